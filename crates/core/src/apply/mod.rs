//! The ordered apply: what of the source's transactions goes into which commit, and how far it has come.

pub mod fence;
mod filter;
mod fold;
mod partial;
pub mod window;
