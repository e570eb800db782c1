//! Where `low` comes from, and `high` of sessions that opened without a lock:
//! `docs/design/hand-off.md`.

use std::time::Duration;

use spanferry_core::position::{MariadbGtids, Position};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use tokio::time::{Instant, sleep};

use crate::connection::Connection;
use crate::error::MysqlError;
use crate::flavor::CommitOrder;
use crate::owned;
use crate::position::{position_now, unreadable};
use crate::source::{At, MysqlSource};
use crate::sql;

/// Offset of the first event of a binary log, behind its magic number (MariaDB's documentation of
/// the format).
const FIRST_OFFSET: u64 = 4;
/// A place at the beginning of a binary log is used when it has stayed the same for so long: the
/// source is then taken for idle.
const QUIET: Duration = Duration::from_secs(2);
/// Longest that `visible` looks for a place that it can use.
const SETTLE_MAX: Duration = Duration::from_secs(30);
/// Pause between two looks.
const SETTLE_POLL: Duration = Duration::from_millis(10);

/// A place in MariaDB's binary log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    file: String,
    offset: u64,
}

/// Waits until the position holds what has ended before the call. MySQL takes a prepared
/// transaction from its list a moment before it counts the commit.
pub(super) async fn settle(source: &MysqlSource, control: &mut Connection) -> Result<(), Failure> {
    match control.server().facts().commit_order {
        CommitOrder::PositionBeforeSeen => Ok(()),
        CommitOrder::SeenBeforePosition => owned::upper_bound(source, control).await.map(drop),
    }
}

/// A position whose transactions are visible to each session that opens after the call.
pub(super) async fn visible(source: &MysqlSource, control: &mut Connection) -> Result<Position, Failure> {
    match control.server().facts().commit_order {
        CommitOrder::SeenBeforePosition => position_now(source, control).await,
        CommitOrder::PositionBeforeSeen => visible_place(source, control).await,
    }
}

/// The same from the place at which a snapshot opens, which MariaDB shows.
async fn visible_place(source: &MysqlSource, control: &mut Connection) -> Result<Position, Failure> {
    let started = Instant::now();
    let mut quiet: Option<(Place, Instant)> = None;
    while started.elapsed() < SETTLE_MAX {
        let looked = look(control).await.at(source)?;
        let since = match quiet {
            Some((place, since)) if place == looked.place => since,
            _ => Instant::now(),
        };
        if let Some(here) = looked.usable(since.elapsed()) {
            let gtids = MariadbGtids::parse(here).map_err(|error| unreadable(source.options(), error))?;
            return Ok(Position::Mariadb(gtids));
        }
        quiet = Some((looked.place, since));
        sleep(SETTLE_POLL).await;
    }
    let text = "the source changes its binary log so often that no position of what is visible can be read";
    let class = Class::Retry { after: None };
    Err(Failure::new(code::SNAPSHOT_LOST, class, control.address(), text))
}

/// What MariaDB says of a snapshot that is opened and closed again.
struct Look {
    place: Place,
    /// The position there; none if the place is not one of the file.
    here: Option<String>,
    /// The position at the beginning of the same file.
    beginning: Option<String>,
    /// Whether a commit waits for a replica between the binary log and the engine.
    waits_for_replica: bool,
}

impl Look {
    /// The position of the place, if everything in it is visible. At the beginning of a file that
    /// is not known: the server sets the place there before the engine commits the last
    /// transactions of the file before.
    fn usable(&self, unchanged_for: Duration) -> Option<&str> {
        let here = self.here.as_deref()?;
        let has_commits = self.beginning.as_deref() != Some(here);
        let is_idle = unchanged_for >= QUIET && !self.waits_for_replica;
        (has_commits || is_idle).then_some(here)
    }
}

async fn look(control: &mut Connection) -> Result<Look, MysqlError> {
    let place = own_place(control).await?;
    let here = gtids_at(control, &place.file, place.offset).await?;
    let beginning = gtids_at(control, &place.file, FIRST_OFFSET).await?;
    let waiting = control
        .query("SHOW STATUS LIKE 'Rpl_semi_sync_master_wait_sessions'")
        .await?;
    let waiting = waiting.rows.first().and_then(|row| row.text(1));
    Ok(Look {
        place,
        here,
        beginning,
        waits_for_replica: waiting.is_some_and(|count| count != "0"),
    })
}

/// MariaDB: the place of a snapshot that is opened and closed again.
async fn own_place(control: &mut Connection) -> Result<Place, MysqlError> {
    let begin = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
    control.execute(begin).await?;
    let place = snapshot_coordinates(control).await?;
    control.execute("COMMIT").await?;
    Ok(place)
}

/// File and offset of this session's own snapshot.
async fn snapshot_coordinates(connection: &mut Connection) -> Result<Place, MysqlError> {
    let found = connection.query("SHOW STATUS LIKE 'Binlog_snapshot_%'").await?;
    let value = |name: &str| {
        let row = found
            .rows
            .iter()
            .find(|row| row.text_or_empty(0).eq_ignore_ascii_case(name));
        row.and_then(|row| row.text(1)).unwrap_or_default()
    };
    let (file, offset) = (value("Binlog_snapshot_file"), value("Binlog_snapshot_position"));
    Place::parse(&file, &offset).ok_or(MysqlError::Protocol {
        expected: "`Binlog_snapshot_file` and `Binlog_snapshot_position`",
    })
}

impl Place {
    fn parse(file: &str, offset: &str) -> Option<Place> {
        let offset = offset.parse().ok().filter(|_| !file.is_empty())?;
        Some(Place {
            file: file.to_owned(),
            offset,
        })
    }
}

/// The position at a place of the binary log; none if the file has no event that begins or ends
/// there.
async fn gtids_at(control: &mut Connection, file: &str, offset: u64) -> Result<Option<String>, MysqlError> {
    let sql = format!("SELECT BINLOG_GTID_POS({}, {offset})", sql::text(file));
    Ok(control.query(&sql).await?.first_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_at_the_beginning_of_a_file_is_used_only_when_the_source_rests() {
        let check = |here, beginning, waits_for_replica, unchanged_for, expected| {
            let text = |text: Option<&str>| text.map(str::to_owned);
            let look = Look {
                place: Place::parse("log.000002", "339").expect("a place"),
                here: text(here),
                beginning: text(beginning),
                waits_for_replica,
            };
            assert_eq!(look.usable(unchanged_for), expected, "{here:?} {beginning:?}");
        };
        let (before, now) = (Some("0-1-5"), Some("0-1-6"));
        let short = QUIET.saturating_sub(Duration::from_millis(1));
        check(now, before, false, Duration::ZERO, now);
        check(now, before, true, Duration::ZERO, now);
        check(before, before, false, Duration::ZERO, None);
        check(before, before, false, short, None);
        check(before, before, false, QUIET, before);
        check(before, before, true, QUIET, None);
        check(None, before, false, QUIET, None);
    }

    #[test]
    fn places_of_a_binary_log() {
        let place = Place::parse("log.bin.000009", "900").expect("a place");
        assert_eq!((place.file.as_str(), place.offset), ("log.bin.000009", 900));
        for (file, offset) in [("", ""), ("", "4"), ("log.1", ""), ("log.1", "-1")] {
            assert_eq!(Place::parse(file, offset), None, "{file} {offset}");
        }
    }
}
