//! The account that a connection is logged in as.

use crate::connection::Connection;
use crate::error::MysqlError;
use crate::sql;

/// The account that is logged in, as GRANT takes it. A user's name may hold `@`, a host's may not.
pub(crate) async fn account(connection: &mut Connection) -> Result<String, MysqlError> {
    let found = connection.query("SELECT CURRENT_USER()").await?;
    let account = found.first_text().unwrap_or_default();
    Ok(account.rsplit_once('@').map_or_else(
        || sql::text(&account),
        |(user, host)| format!("{}@{}", sql::text(user), sql::text(host)),
    ))
}
