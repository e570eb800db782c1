//! What is to be migrated, decided before anything is written: from the source's catalog at the
//! first start, from the record at every later one. `survey` reads both ends; everything else here
//! is pure.

mod comparable;
mod decide;
mod judge;
#[cfg(test)]
mod plan_tests;
mod resync;
mod survey;
mod today;

pub use comparable::{Comparable, NotCompared, no_drain_helps};
pub use decide::{Planned, TableStop, decide};
pub use judge::is_blocking;
pub use resync::{Refusal, Resync, ResyncRequest, decide_forget, decide_resync};
pub use survey::{Survey, SurveyError, SurveyRequest, survey};
pub use today::Today;
