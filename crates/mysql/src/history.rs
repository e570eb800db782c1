//! Whether the server's history holds everything that led to a position.

use spanferry_core::position::{GtidSet, MariadbGtids, Position, PositionError};
use spanferry_core::report::failure::Failure;

use crate::connection::Connection;
use crate::owned::executed_or_owned;
use crate::position::{is_of, unreadable};
use crate::source::{At, MysqlSource};

/// Whether the server has what `position` contains. A server of the other kind has not.
///
/// MySQL: what is executed, or owned by a commit under way, of which a replica may have heard
/// already.
///
/// MariaDB: `gtid_binlog_state` holds the last sequence of each server in each domain, also of
/// purged binary logs, and `gtid_slave_pos` where a replica was set up; a position's last
/// transaction must be known by its own server's sequence, because a domain's sequence alone does
/// not distinguish what a failover has lost from what came in its place.
pub(crate) async fn holds(
    source: &MysqlSource,
    connection: &mut Connection,
    position: &Position,
) -> Result<bool, Failure> {
    if !is_of(connection.server(), position) {
        return Ok(false);
    }
    match position {
        Position::Mysql(set) => {
            let known = executed_or_owned(source, connection).await?;
            Ok(known.contains_all(set))
        }
        Position::Mariadb(named) => {
            let state = connection
                .query("SELECT CONCAT(@@GLOBAL.gtid_binlog_state, ',', @@GLOBAL.gtid_slave_pos)")
                .await
                .at(source)?;
            state_holds(&state.first_text().unwrap_or_default(), named)
                .map_err(|error| unreadable(source.options(), error))
        }
    }
}

/// MySQL: what is executed and no longer in the binary log.
pub(crate) async fn purged(source: &MysqlSource, connection: &mut Connection) -> Result<GtidSet, Failure> {
    let found = connection.query("SELECT @@GLOBAL.gtid_purged").await.at(source)?;
    GtidSet::parse(&found.first_text().unwrap_or_default())
        .map_err(|error| unreadable(source.options(), error))
}

/// Whether each domain's last transaction of `position` is in a list of last transactions, which
/// has several servers a domain.
fn state_holds(state: &str, position: &MariadbGtids) -> Result<bool, PositionError> {
    let mut known = Vec::new();
    for part in state.split(',').filter(|part| !part.is_empty()) {
        // One entry a domain is what this reads; a state is many of them.
        known.extend(MariadbGtids::parse(part)?.last());
    }
    let holds = |(domain, server, number): (u32, u32, u64)| {
        known
            .iter()
            .any(|last| (last.0, last.1) == (domain, server) && last.2 >= number)
    };
    Ok(position.last().all(holds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_held_by_the_sequence_of_the_server_that_wrote_last() {
        let check = |state: &str, position: &str, expected: bool| {
            let position = MariadbGtids::parse(position).unwrap();
            assert_eq!(
                state_holds(state, &position),
                Ok(expected),
                "{state} {position:?}"
            );
        };
        check("0-1-5", "0-1-5", true);
        check("0-1-5,", "", true);
        check("0-1-5,0-2-9,1-1-1", "0-1-5", true);
        check("0-1-5,0-2-9", "0-2-9", true);
        // Another server continued where 0-1-6 to 0-1-8 were lost.
        check("0-1-5,0-2-9", "0-1-8", false);
        check("0-1-4", "0-1-5", false);
        check("0-2-5", "0-1-5", false);
        check("0-1-9", "0-1-5,1-1-1", false);
        check("", "0-1-1", false);
        // A replica that was set up at 0-1-5 and promoted before anything came.
        check("0-2-6,0-1-5", "0-1-5", true);
        state_holds("0-1", &MariadbGtids::default()).unwrap_err();
    }
}
