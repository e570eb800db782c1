//! Faults on the way: SIGKILL at every durable step, a source that is replaced, purged or lost, a
//! target that stands still, a full disk.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod cascade;
mod disk;
mod failover;
mod kill;
mod server;
#[path = "../support/mod.rs"]
mod support;
