//! Consistent snapshots of the source: how they are opened, and how their ranges are read.
//!
//! `low` is a position that every session has passed, `high` one that none can have passed. Where they come from, by server
//! and lock, in `open`; why they are right, in `docs/design/hand-off.md`, "Where `low` and `high` come from".

mod key;
mod open;
mod scalar;
mod session;
mod watch;

pub use session::MysqlSession;
pub(crate) use watch::{Seat, start as watch_sessions};
