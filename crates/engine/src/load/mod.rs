//! Load: ranges of rows into the target, several workers, each on its own fenced lane.
//!
//! Work, workers and commits are the same for every source of rows (`work`, `worker`,
//! `range_commit`). An attempt runs them until a reader is lost; what is left is taken by the next
//! attempt (`loads`). A finished range is recorded in the same commit as its last rows.
//!
//! Snapshots (`supervise`): an attempt opens one snapshot for every table that still misses ranges.
//! `low` is recorded with the first attempt, `high` with each, before the attempt's first load
//! commit. Rows that do not change (`rows`) need none of this.

mod care;
mod key_ranges;
mod loads;
mod range_commit;
mod rows;
mod snapshot_check;
mod supervise;
mod work;
mod worker;

pub(crate) use rows::load_rows;
pub use supervise::{Load, LoadOptions};
pub(crate) use work::rows_at_target;
