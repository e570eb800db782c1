//! Which server a connection has reached.

use crate::connection::Connection;
use crate::error::MysqlError;

/// Tells servers apart that one address may stand for, such as a source and its replicas. The same
/// for all connections to one server; not meant to be kept: a host may get another name.
pub(crate) async fn of_server(connection: &mut Connection) -> Result<String, MysqlError> {
    connection
        .query(connection.server().facts().server_identity)
        .await?
        .first_text()
        .ok_or(MysqlError::Protocol {
            expected: "the server's identity",
        })
}
