//! The load on the server while it is read: old row versions that it keeps for snapshots, and how
//! far a replica is behind.

use std::time::Duration;

use spanferry_core::port::source::SourceHealth;

use crate::connection::{Connection, ResultSet};
use crate::error::MysqlError;
use crate::replica;

/// The columns of a replica's status that show its lag, new name first; NULL while it does not
/// replicate.
const LAG: [&str; 2] = ["Seconds_Behind_Source", "Seconds_Behind_Master"];

/// What the account may see of it.
pub(crate) async fn health(connection: &mut Connection) -> Result<SourceHealth, MysqlError> {
    let undo = connection.server().facts().undo_history;
    let undo = connection.query_if_allowed(undo).await?;
    let versions_kept = undo.and_then(|found| found.rows.first()?.number(1));
    let status = replica::status(connection).await?;
    let replica_lag = status.as_ref().and_then(lag);
    Ok(SourceHealth {
        versions_kept,
        replica_lag,
    })
}

/// The lag of the channel that is furthest behind.
fn lag(status: &ResultSet) -> Option<Duration> {
    let column = LAG.iter().find_map(|name| status.column(name))?;
    let seconds = status.rows.iter().filter_map(|row| row.number(column));
    seconds.max().map(Duration::from_secs)
}
