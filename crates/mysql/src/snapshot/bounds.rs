//! Where `low` and `high` of sessions come from that opened without a lock: `docs/design/hand-off.md`.

use futures_util::future::try_join_all;
use spanferry_core::failure::Failure;
use spanferry_core::position::{MariadbGtids, Position};

use crate::connection::Connection;
use crate::error::MysqlError;
use crate::owned;
use crate::source::{MysqlSource, unreadable};
use crate::sql;

/// A place in MariaDB's binary log. Earlier places are smaller: a file's number, then the offset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Coordinates {
    number: u64,
    offset: u64,
    file: String,
}

/// `low` and `high` of sessions that have opened after the position `before` was read.
pub(super) async fn unlocked(
    source: &MysqlSource,
    control: &mut Connection,
    sessions: &mut [Connection],
    before: Position,
) -> Result<(Position, Position), Failure> {
    if control.server().is_mariadb() {
        own_positions(source, control, sessions).await
    } else {
        let high = owned::upper_bound(source, control).await?;
        Ok((before, Position::Mysql(high)))
    }
}

/// MariaDB: the lowest and the highest of the positions of the sessions' own snapshots. They lie on one binary log, so these are
/// the lowest and the highest in every domain.
async fn own_positions(
    source: &MysqlSource,
    control: &mut Connection,
    sessions: &mut [Connection],
) -> Result<(Position, Position), Failure> {
    let own = try_join_all(sessions.iter_mut().map(snapshot_coordinates)).await;
    let own = own.map_err(|error| source.failure(error))?;
    let lowest = own.iter().min().expect("there is at least one session");
    let highest = own.iter().max().expect("there is at least one session");
    let low = gtids_at(source, control, lowest).await?;
    let high = if highest == lowest {
        low.clone()
    } else {
        gtids_at(source, control, highest).await?
    };
    Ok((Position::Mariadb(low), Position::Mariadb(high)))
}

/// File and offset of this session's own snapshot.
async fn snapshot_coordinates(connection: &mut Connection) -> Result<Coordinates, MysqlError> {
    let found = connection.query("SHOW STATUS LIKE 'Binlog_snapshot_%'").await?;
    let value = |name: &str| {
        let row = found
            .rows
            .iter()
            .find(|row| row.text_or_empty(0).eq_ignore_ascii_case(name));
        row.and_then(|row| row.text(1)).unwrap_or_default()
    };
    let (file, offset) = (value("Binlog_snapshot_file"), value("Binlog_snapshot_position"));
    Coordinates::parse(&file, &offset).ok_or(MysqlError::Protocol {
        expected: "`Binlog_snapshot_file` and `Binlog_snapshot_position`",
    })
}

impl Coordinates {
    /// Reads `name.000123` and an offset. The number grows beyond six digits.
    fn parse(file: &str, offset: &str) -> Option<Coordinates> {
        let (_, number) = file.rsplit_once('.')?;
        Some(Coordinates {
            number: number.parse().ok()?,
            offset: offset.parse().ok()?,
            file: file.to_owned(),
        })
    }
}

async fn gtids_at(
    source: &MysqlSource,
    control: &mut Connection,
    place: &Coordinates,
) -> Result<MariadbGtids, Failure> {
    let sql = format!(
        "SELECT BINLOG_GTID_POS({}, {})",
        sql::text(&place.file),
        place.offset
    );
    let found = control.query(&sql).await.map_err(|error| source.failure(error))?;
    let text = found.first_text().ok_or(MysqlError::Protocol {
        expected: "a GTID position for the snapshot's file and offset",
    });
    let text = text.map_err(|error| source.failure(error))?;
    MariadbGtids::parse(&text).map_err(|error| unreadable(source.options(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_a_binary_log_in_their_order() {
        let place = |file, offset| Coordinates::parse(file, offset).unwrap();
        let rising = [
            place("log.bin.000009", "900"),
            place("log.bin.000010", "4"),
            place("log.bin.000010", "1000"),
            place("log.bin.999999", "5"),
            place("log.bin.1000000", "4"),
        ];
        assert!(rising.is_sorted());
        for (file, offset) in [
            ("", ""),
            ("log", "4"),
            ("log.index", "4"),
            ("log.1", ""),
            ("log.1", "-1"),
        ] {
            assert_eq!(Coordinates::parse(file, offset), None, "{file} {offset}");
        }
    }
}
