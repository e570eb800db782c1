//! Consistent snapshots of the source: how they are opened, and how their ranges are read.
//!
//! Why `low` and `high` are right (DESIGN section 5):
//! 1. MySQL adds a transaction to `gtid_executed` only once it is visible to new snapshots, so the set read before the first
//!    session opens holds only what every session sees: that is `low`.
//! 2. A session sees only what was committed when it opened, so the set read after the last session opened misses nothing that a
//!    session sees, unless that transaction is visible but not yet in the set. Such a one is in the binary log behind `high`, is
//!    applied again as a full row image, and so changes nothing.
//! 3. MariaDB tells each session the binary log position of its own snapshot; the lowest and highest of them are exact.
//! 4. Under the global lock nothing commits, so all of these are equal.

mod key;
mod open;
mod scalar;
mod session;

pub use session::MysqlSession;
