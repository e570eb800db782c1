//! Which server a connection has reached.

use crate::connection::Connection;
use crate::error::MysqlError;

/// A text that differs between servers behind one address, such as a source and its replicas. It is
/// the same for all connections to one server. It is not stored: a host may get another name.
pub(crate) async fn of_server(connection: &mut Connection) -> Result<String, MysqlError> {
    connection
        .query(connection.server().facts().server_identity)
        .await?
        .first_text()
        .ok_or(MysqlError::Protocol {
            expected: "the server's identity",
        })
}
