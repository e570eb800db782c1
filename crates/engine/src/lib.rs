//! Runs a migration: supervises snapshot, capture, apply and verify over the traits of core; and
//! loads what no stream follows (`bulk_load`).
//!
//! Generic over the boundary traits; it imports no connector, prints nothing and knows no wall
//! clock but tokio's timer, so that a simulation in virtual time runs the very same code.

pub mod apply;
pub mod bulk_load;
pub mod capture;
pub mod constraint;
pub mod control;
pub mod end;
#[cfg(test)]
mod fixture;
mod high;
mod history;
pub mod lane;
pub mod load;
pub mod migrate;
mod order;
pub mod plan;
pub mod prepare;
pub mod progress;
pub mod registry;
pub mod resync;
pub mod retention;
mod schema_change;
pub mod stop;
mod table_rows;
pub mod task;
mod throttle;
mod two_phase;
pub mod verify;
