//! Indexes and foreign keys: built once all tables of a group are exact. What the target refuses,
//! or what stands in the way of a change later, is left out, recorded and named
//! (docs/design/constraints.md).

mod build;
mod give_way;
mod known;
mod wanted;

pub use build::{build, build_loaded};
pub(crate) use give_way::{Way, drop_recorded, find_way};

pub(crate) use known::compare_with_target;
pub(crate) use wanted::Constraint;
