//! Which server a connection has reached.

use crate::connection::Connection;
use crate::error::MysqlError;

/// Tells servers apart that one address may stand for, such as a source and its replicas. The same for all connections to one
/// server; not meant to be kept: a host may get another name.
pub(crate) async fn of_server(connection: &mut Connection) -> Result<String, MysqlError> {
    let uuid = if connection.server().is_mariadb() {
        ""
    } else {
        "@@server_uuid, "
    };
    let sql = format!("SELECT CONCAT_WS(' ', {uuid}@@GLOBAL.server_id, @@hostname, @@port)");
    connection
        .query(&sql)
        .await?
        .first_text()
        .ok_or(MysqlError::Protocol {
            expected: "the server's identity",
        })
}
