//! MySQL and MariaDB as a source: catalog, preflight, snapshot and binlog.

pub mod connection;
pub mod error;
pub mod options;
mod sql;

pub use error::MysqlError;
pub use options::{Options, SslMode};
