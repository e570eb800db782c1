//! The boundary traits: source, change log and target.

mod capabilities;
pub mod change;
pub mod change_log;
mod commit;
mod control;
pub(crate) mod epoch;
mod lane;
pub mod row_source;
mod schema_target;
pub mod source;
mod table_reader;
pub mod target;
mod timestamp;
