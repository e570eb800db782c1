//! One asynchronous connection to a MySQL or MariaDB server, shared by control queries, snapshot reads and the binlog.

mod auth;
mod client;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod fuzz;
mod handshake;
#[cfg(test)]
mod hostile;
mod packet;
mod result;
mod server;
mod session;
mod tls;
mod trust;
mod wire;

pub use client::Connection;
pub use packet::{PACKET_BYTES_MAX, PHYSICAL_BYTES_MAX};
pub use result::{Cells, ColumnDefinition, RESULT_BYTES_MAX, ResultRow, ResultSet, RowStream, RowView};
pub use server::{Flavor, Server};
pub use session::{Pin, SessionVariable, Treatment};
