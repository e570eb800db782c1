//! What a server that is itself a replica says of its own replication.

use crate::connection::{Connection, ResultSet};
use crate::error::MysqlError;

/// A row for each channel that the server is a replica over; `None` if the account may not see that.
pub(crate) async fn status(connection: &mut Connection) -> Result<Option<ResultSet>, MysqlError> {
    // MariaDB says SHOW ALL SLAVES STATUS for all of its connections, MySQL from 8.0.22 on SHOW REPLICA STATUS.
    let statements: &[&str] = if connection.server().is_mariadb() {
        &["SHOW ALL SLAVES STATUS"]
    } else {
        &["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"]
    };
    for statement in statements {
        if let Some(found) = connection.query_if_allowed(statement).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
