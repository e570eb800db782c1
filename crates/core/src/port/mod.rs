//! The boundary traits: source, change log and target.

pub mod change_log;
pub mod source;
pub mod target;
