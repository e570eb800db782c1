//! A running migration: its tasks, its stop condition, and how it ended.

mod created;
mod outcome;
mod stale;
mod supervise;
mod watcher;

pub use outcome::{Outcome, StopWhen};
pub use supervise::Migration;
