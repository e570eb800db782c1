//! MySQL and MariaDB as a source: catalog, preflight, snapshot and binlog.

pub mod binlog;
mod bookmark;
mod catalog;
pub mod connection;
pub mod error;
mod flavor;
mod foreign_key;
#[cfg(test)]
mod fuzz;
mod health;
mod history;
mod identity;
mod line;
mod login;
mod login_method;
pub mod options;
mod own_type;
mod owned;
mod ports;
mod position;
mod preflight;
mod prepared;
mod replica;
mod replica_id;
mod sessions;
mod snapshot;
mod source;
mod sql;
mod task;
mod upper_bound;
mod witness;

pub use error::MysqlError;
pub use options::{Options, SslMode, read_password};
pub use sessions::{SESSIONS_BESIDE, sessions_beside};
pub use snapshot::MysqlSession;
pub use source::MysqlSource;
pub use witness::MysqlWitness;
