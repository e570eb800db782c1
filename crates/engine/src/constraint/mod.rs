//! Indexes and foreign keys: built once all tables of a group are exact; what the target refuses is left out, and named.

mod build;
mod wanted;

pub use build::build;
pub(crate) use wanted::find_left_out;
