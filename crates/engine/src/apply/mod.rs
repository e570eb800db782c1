//! Apply: the change log into the target.
//!
//! `spanferry_core::apply::scheduler` decides; here its actions are carried out, and it gets their
//! outcome. One task owns both streams and does one thing at a time.

mod give_way;
mod recording;
mod stream;
mod task;

pub use task::{Apply, ApplyParts};
