//! What is to be migrated, decided before anything is written: from the source's catalog at the
//! first start, from the record at every later one.

mod decide;
#[cfg(test)]
mod plan_tests;
mod resync;
mod today;

pub use decide::{Planned, TableStop, decide};
pub use resync::{Refusal, Resync, ResyncRequest, decide_forget, decide_resync};
pub use today::Today;
