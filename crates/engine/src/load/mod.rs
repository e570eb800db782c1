//! Load: the snapshot's ranges into the target, several workers, each on its own fenced lane.
//!
//! An attempt opens one snapshot for every table that still misses ranges. `low` is recorded with
//! the first attempt, `high` with each, before the attempt's first load commit. A finished range is
//! recorded in the same commit as its last rows.

mod care;
mod key_ranges;
mod range_commit;
mod snapshot_check;
mod supervise;
mod work;
mod worker;

pub use supervise::{LoadOptions, load};
pub(crate) use work::rows_at_target;
