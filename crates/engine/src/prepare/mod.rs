//! The start: a new migration is set up or a known one taken over, and everything that runs it is
//! put together.
//!
//! A start opens a change log, if changes are followed (`open_log`), claims the target by the next
//! epoch (`claim`), and puts together what runs (`assemble`).
//!
//! Order of a new one: control tables, change log, the migration's row with the first epoch, the
//! definitions of its tables, the rows of its tables in one commit, and then the tables themselves.
//! A crash before the rows leaves nothing that a second start would not do again; after them every
//! start works from the record (docs/design/record.md). Nor does a crash between a lost log's
//! successor and the epoch that names it leave anything.

mod assemble;
mod claim;
mod empty;
mod epoch;
mod log;
mod open_log;
mod prepared;
mod record;
mod start;
mod tables;

pub use crate::history::{Unproved, no_witness};
pub use empty::check_empty;
pub use log::LogStore;
pub use prepared::{ClaimOptions, PrepareOptions, Prepared, PreparedLoad};
pub(crate) use record::record_definitions;
pub use start::{prepare, prepare_load};
