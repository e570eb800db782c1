//! The start: a new migration is set up or a known one taken over, and everything that runs it is put together.
//!
//! Order of a new one: tables, control tables, change log, then the migration's row with the first epoch. A crash before the
//! last step leaves nothing that a second start would not do again; nor does one between a lost log's successor and the epoch
//! that names it.

mod assemble;
mod begin;
mod definition;
mod empty;
mod epoch;
mod log;
mod prepared;
mod start;
mod take_over;

pub use crate::history::{Unproved, no_witness};
pub use definition::definition_of;
pub use empty::check_empty;
pub use log::LogStore;
pub use prepared::{PrepareOptions, Prepared};
pub use start::prepare;
