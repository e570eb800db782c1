//! Consistent snapshots of the source: how they are opened, and how their ranges are read.
//!
//! Why `low` and `high` are right (DESIGN section 5):
//! 1. MySQL adds a transaction to `gtid_executed` only once it is visible to new snapshots, so the set read before the first
//!    session opens holds only what every session sees: that is `low`.
//! 2. A session sees only what was committed when it opened. Under a lock that is `gtid_executed` read after the last session
//!    opened; without one, commits that are visible but not yet in that set are waited for (`bound`): that is `high`.
//! 3. MariaDB tells each session the binary log position of its own snapshot; the lowest and highest of them are exact.
//!    A transaction may be in MariaDB's binary log, and in its position, before it is visible: the engine therefore refuses a
//!    snapshot whose `low` lies before the beginning of the change log, and opens another one.
//! 4. Under the global lock nothing commits, so all of these are equal.

mod bound;
mod key;
mod open;
mod scalar;
mod session;

pub use session::MysqlSession;
