//! The ordered apply: what of the source's transactions goes into which commit, and how far it has
//! come.
//!
//! `scheduler` is the machine that decides, and `action` what it asks for. `window` folds
//! transactions; `fence` judges what became of a commit.

pub mod action;
mod batch;
pub mod fence;
mod filter;
mod fold;
pub(crate) mod limits;
mod main_stream;
mod partial;
pub mod scheduler;
mod search;
pub mod table_states;
pub mod verdict;
pub mod window;
