//! Where `low` comes from, and `high` of sessions that opened without a lock: `docs/design/hand-off.md`.

use futures_util::future::try_join_all;
use spanferry_core::failure::Failure;
use spanferry_core::position::{MariadbGtids, Position};

use crate::connection::Connection;
use crate::error::MysqlError;
use crate::owned;
use crate::source::{MysqlSource, position, unreadable};
use crate::sql;

/// A place in MariaDB's binary log. Earlier places are smaller: a file's number, then the offset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Coordinates {
    number: u64,
    offset: u64,
    file: String,
}

/// Waits until the position counts what has ended before the call. MySQL takes a prepared transaction from its list a moment before
/// it counts the commit.
pub(super) async fn settle(source: &MysqlSource, control: &mut Connection) -> Result<(), Failure> {
    if control.server().is_mariadb() {
        return Ok(());
    }
    owned::upper_bound(source, control).await.map(drop)
}

/// A position whose transactions are visible to each session that opens after the call.
pub(super) async fn visible(source: &MysqlSource, control: &mut Connection) -> Result<Position, Failure> {
    if !control.server().is_mariadb() {
        return position_now(source, control).await;
    }
    let place = own_place(control).await;
    let place = place.map_err(|error| source.failure(error))?;
    Ok(Position::Mariadb(gtids_at(source, control, &place).await?))
}

/// Where the server's history stands.
pub(super) async fn position_now(
    source: &MysqlSource,
    control: &mut Connection,
) -> Result<Position, Failure> {
    let found = position(control).await.map_err(|error| source.failure(error))?;
    found.map_err(|error| unreadable(source.options(), error))
}

/// A position that no session can have passed that has opened before the call, without a lock.
pub(super) async fn highest(
    source: &MysqlSource,
    control: &mut Connection,
    sessions: &mut [Connection],
) -> Result<Position, Failure> {
    if !control.server().is_mariadb() {
        return Ok(Position::Mysql(owned::upper_bound(source, control).await?));
    }
    let own = try_join_all(sessions.iter_mut().map(snapshot_coordinates)).await;
    let own = own.map_err(|error| source.failure(error))?;
    // They lie on one binary log, so the last of them is the highest in every domain.
    let last = own.iter().max().expect("there is at least one session");
    Ok(Position::Mariadb(gtids_at(source, control, last).await?))
}

/// MariaDB: the place of a snapshot that is opened and closed again.
async fn own_place(control: &mut Connection) -> Result<Coordinates, MysqlError> {
    let begin = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
    control.execute(begin).await?;
    let place = snapshot_coordinates(control).await?;
    control.execute("COMMIT").await?;
    Ok(place)
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
