//! One asynchronous connection to a MySQL or MariaDB server, shared by control queries, snapshot
//! reads and the binlog.
//!
//! The login uses `mysql_common` (`handshake`, `auth`). Packets, results and rows are our own,
//! because the libraries are slower by more than the rest of a snapshot costs. Measured with MySQL
//! 9.7 on a machine of two cores, rows of 190 bytes, per second of our CPU:
//!
//! - snapshot: 6.8 million rows, read and encoded for Spanner, against 3.1 million that
//!   `mysql_async` 0.37 only reads; with 20 typed columns, 1.4 million against 1.2 million that are
//!   only read;
//! - binary log: 6.3 to 10.8 million rows, against 0.5 to 0.6 million of `mysql_async`, whose
//!   `mysql_common` builds the description of the columns again for every row. It also checks no
//!   checksum, passes over an error while it inflates a transaction, and hands MariaDB's compressed
//!   rows on as unknown events.
//!
//! One connection of a server fills one core of that server at 2.2 to 2.9 million rows a second, so
//! a slower reader would cost the operator a second core beside it.

mod auth;
mod client;
mod error_packet;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod fuzz;
mod handshake;
#[cfg(test)]
mod hostile;
mod open;
mod packet;
mod result;
mod server;
mod session;
mod tls;
mod trust;
mod wire;

pub use client::Connection;
pub use result::{Cells, ColumnDefinition, ResultRow, ResultSet, RowView};
pub use server::{Flavor, Server};
pub use session::{Pin, SessionVariable, Treatment};
