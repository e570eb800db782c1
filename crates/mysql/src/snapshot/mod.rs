//! Consistent snapshots of the source: how they are opened, and how their ranges are read.
//!
//! `low` is a position that every session has passed, `high` one that none can have passed. Where
//! they come from, by server and lock, in `open` and `bounds`; why they are right, in
//! `docs/design/hand-off.md`, "Where `low` and `high` come from".

mod bounds;
mod hold;
mod key;
mod lock;
mod mark;
mod open;
mod prepared;
mod probe;
mod session;
mod watch;
mod watched;

pub(crate) use mark::Mark;
pub use session::MysqlSession;
pub(crate) use watched::{Watched, watch_sessions};
