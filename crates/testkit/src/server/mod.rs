//! Real servers for tests: MySQL, MariaDB, a replica of each, and the Spanner emulator.
//!
//! Each runs in a temporary directory on a free port and listens on loopback only. It ends, and its
//! directory is removed, when its value is dropped, also by a panic; and, because a guard process
//! watches for our end, also when this process is killed. Starting blocks the calling thread for up
//! to a few seconds (minutes when packages have to be fetched).

mod emulator;
mod instance;
mod source;

pub use emulator::{Dialect, Emulator};
pub use instance::{ServerError, services_directory, workspace_directory};
pub use source::{Engine, Server, ServerOptions};
