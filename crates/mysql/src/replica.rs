//! What a server that is itself a replica says of its own replication.

use crate::connection::{Connection, ResultSet};
use crate::error::MysqlError;

/// A row for each channel that the server is a replica over; `None` if the account may not see
/// that.
pub(crate) async fn status(connection: &mut Connection) -> Result<Option<ResultSet>, MysqlError> {
    for statement in connection.server().facts().replica_status {
        if let Some(found) = connection.query_if_allowed(statement).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
