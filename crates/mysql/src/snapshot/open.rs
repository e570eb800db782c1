//! The hand-off: brings all sessions to known positions, under a lock as short as possible or under none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::plan::TablePlan;
use spanferry_core::position::{MariadbGtids, Position};
use spanferry_core::source::{HandOff, Snapshot, SnapshotSource};
use tokio::time::timeout;

use super::session::MysqlSession;
use super::watch;
use crate::catalog;
use crate::connection::Connection;
use crate::error::MysqlError;
use crate::identity;
use crate::owned;
use crate::source::{MysqlSource, position, unreadable};
use crate::sql;

/// Seconds for which a lock may be waited for; while a global read lock waits, MySQL blocks every new statement on the tables.
const LOCK_WAIT_SECONDS: u32 = 2;
/// How often a lock is tried before the next weaker hand-off is taken.
const LOCK_ATTEMPTS: u32 = 5;
/// How long a lock may be held. The server itself ends the session that holds it after so long a silence, so that writers do
/// not wait for a program or a network that has vanished.
const LOCK_HELD_MAX: Duration = Duration::from_secs(10);
/// Time for the source to breathe between two attempts.
const LOCK_PAUSE: Duration = Duration::from_millis(500);
/// MySQL's answer to `XA RECOVER` without the privilege for it.
const XA_RECOVER_DENIED: u16 = 1401;

impl SnapshotSource for MysqlSource {
    type Session = MysqlSession;

    async fn open(
        &self,
        tables: &[Arc<TablePlan>],
        sessions: usize,
        lock: bool,
    ) -> Result<Snapshot<MysqlSession>, Failure> {
        let mut control = self.connect().await.map_err(|error| self.failure(error))?;
        expect_tables(self, &mut control, tables).await?;
        let mut connections = Vec::with_capacity(sessions);
        let mut watched = Vec::with_capacity(sessions);
        for _ in 0..sessions.max(1) {
            let mut connection = self.connect().await.map_err(|error| self.failure(error))?;
            let gives_back = pin(&mut connection).await.map_err(|error| self.failure(error))?;
            watched.push((connection.id(), gives_back));
            connections.push(connection);
        }
        let mut locker = self.connect().await.map_err(|error| self.failure(error))?;
        let server = expect_one_server(&mut control, connections.iter_mut().chain([&mut locker])).await;
        let server = server.map_err(|error| self.failure(error))??;
        let begun = Instant::now();
        let (hand_off, held_from) = acquire(&mut locker, tables, lock)
            .await
            .map_err(|error| self.failure(error))?;
        let begin = self.begin_all(&mut control, &mut connections, hand_off);
        let (low, high) = match hand_off {
            HandOff::NoLock => begin.await?,
            HandOff::GlobalLock | HandOff::TableLocks => {
                let begun = timeout(LOCK_HELD_MAX, begin).await;
                begun.map_err(|_| self.failure(held_too_long(&locker)))??
            }
        };
        let mut locked_for = Duration::ZERO;
        if hand_off != HandOff::NoLock {
            locker
                .execute("UNLOCK TABLES")
                .await
                .map_err(|error| self.failure(error))?;
            locked_for = held_from.elapsed();
        }
        expect_tables(self, &mut control, tables).await?;
        let (total_ms, locked_ms) = (begun.elapsed().as_millis(), locked_for.as_millis());
        tracing::info!(
            ?hand_off,
            locked_ms,
            total_ms,
            sessions = connections.len(),
            "snapshot opened"
        );
        let seats = watch::start(self, control, server, &watched)
            .await
            .map_err(|error| self.failure(error))?;
        let sessions = connections.into_iter().zip(seats);
        let sessions = sessions
            .map(|(connection, seat)| MysqlSession::new(connection, seat))
            .collect();
        Ok(Snapshot {
            low,
            high,
            sessions,
            hand_off,
            locked_for,
        })
    }
}

impl MysqlSource {
    /// Begins the snapshot in every session and returns `low` and `high`; each branch is argued in `docs/design/hand-off.md`.
    async fn begin_all(
        &self,
        control: &mut Connection,
        connections: &mut [Connection],
        hand_off: HandOff,
    ) -> Result<(Position, Position), Failure> {
        let low = self.position_now(control).await?;
        // After `low`: a transaction prepared before it is in no later part of the stream.
        self.expect_no_prepared(control).await?;
        for connection in connections.iter_mut() {
            let begun = connection
                .execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                .await;
            begun.map_err(|error| self.failure(error))?;
        }
        match (control.server().is_mariadb(), hand_off) {
            (_, HandOff::GlobalLock) | (false, HandOff::TableLocks) => {
                let high = self.position_now(control).await?;
                Ok((low, high))
            }
            (false, HandOff::NoLock) => {
                let high = owned::upper_bound(self, control).await?;
                Ok((low, Position::Mysql(high)))
            }
            (true, HandOff::TableLocks | HandOff::NoLock) => {
                let ends = self.own_positions(control, connections).await?;
                // Their lowest is behind the position that was looked at above.
                self.expect_no_prepared(control).await?;
                Ok(ends)
            }
        }
    }

    /// MariaDB: the lowest and the highest of the positions of the sessions' own snapshots.
    async fn own_positions(
        &self,
        control: &mut Connection,
        connections: &mut [Connection],
    ) -> Result<(Position, Position), Failure> {
        let mut own = Vec::with_capacity(connections.len());
        for connection in connections {
            let coordinates = snapshot_coordinates(connection).await;
            own.push(coordinates.map_err(|error| self.failure(error))?);
        }
        own.dedup();
        let mut ends: Option<(MariadbGtids, MariadbGtids)> = None;
        for (file, offset) in own {
            let found = gtids_at(control, &file, &offset).await;
            let found = found.map_err(|error| self.failure(error))?;
            let found = MariadbGtids::parse(&found).map_err(|error| unreadable(self.options(), error))?;
            ends = Some(match ends {
                None => (found.clone(), found),
                Some((low, high)) => (low.combine(&found, false), high.combine(&found, true)),
            });
        }
        let (low, high) = ends.expect("there is at least one session");
        Ok((Position::Mariadb(low), Position::Mariadb(high)))
    }

    async fn position_now(&self, control: &mut Connection) -> Result<Position, Failure> {
        let found = position(control).await.map_err(|error| self.failure(error))?;
        found.map_err(|error| unreadable(self.options(), error))
    }

    /// A prepared XA transaction is in the binary log before `low` and in no snapshot: it must end first.
    async fn expect_no_prepared(&self, control: &mut Connection) -> Result<(), Failure> {
        let open = match control.query("XA RECOVER").await {
            Ok(found) => found.rows.len(),
            Err(error) if error.is_denied() || error.server_code() == Some(XA_RECOVER_DENIED) => 0,
            Err(error) => return Err(self.failure(error)),
        };
        if open == 0 {
            return Ok(());
        }
        let class = Class::Retry {
            after: Some(Duration::from_secs(1)),
        };
        let text = format!("{open} prepared XA transactions are open");
        let failure = Failure::new(code::SOURCE_SETTING, class, control.address(), text);
        Err(failure.hint("End them with `XA COMMIT` or `XA ROLLBACK`; `XA RECOVER` lists them."))
    }
}

/// All connections must have reached one server, which is returned: an address may stand for several, of which one lags behind
/// another, and positions and locks of one say nothing of what the others show.
async fn expect_one_server(
    control: &mut Connection,
    others: impl Iterator<Item = &mut Connection>,
) -> Result<Result<String, Failure>, MysqlError> {
    let server = identity::of_server(control).await?;
    for other in others {
        if identity::of_server(other).await? != server {
            let class = Class::Retry { after: None };
            let text = "the snapshot's connections reached different servers under one address";
            let failure = Failure::new(code::SNAPSHOT_LOST, class, control.address(), text);
            let hint = "Name one server as the source: no address that spreads connections over several (a reader endpoint, a balancing proxy).";
            return Ok(Err(failure.hint(hint)));
        }
    }
    Ok(Ok(server))
}

/// What a snapshot's session has beside the state of every connection: texts in their own character sets. Whether the session gives a table's lock back after a range.
async fn pin(connection: &mut Connection) -> Result<bool, MysqlError> {
    connection
        .execute(&format!(
            "SET SESSION character_set_results = binary, lock_wait_timeout = {LOCK_WAIT_SECONDS}"
        ))
        .await?;
    if !connection.server().is_mariadb() {
        return Ok(true);
    }
    // Only so does MariaDB give metadata locks back at ROLLBACK TO SAVEPOINT; needs BINLOG ADMIN, `check` says so.
    match connection.execute("SET SESSION sql_log_bin = 0").await {
        Ok(()) => Ok(true),
        Err(error) if error.is_denied() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes the strongest lock that the account and the load of the source allow.
async fn acquire(
    locker: &mut Connection,
    tables: &[Arc<TablePlan>],
    lock: bool,
) -> Result<(HandOff, Instant), MysqlError> {
    if !lock || tables.is_empty() {
        return Ok((HandOff::NoLock, Instant::now()));
    }
    locker
        .execute(&format!(
            "SET SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS}, wait_timeout = {}",
            LOCK_HELD_MAX.as_secs()
        ))
        .await?;
    let names: Vec<_> = tables
        .iter()
        .map(|plan| {
            format!(
                "{}.{} READ",
                sql::identifier(&plan.name().schema),
                sql::identifier(&plan.name().table)
            )
        })
        .collect();
    let table_locks = format!("LOCK TABLES {}", names.join(", "));
    for (hand_off, statement) in [
        (HandOff::GlobalLock, "FLUSH TABLES WITH READ LOCK"),
        (HandOff::TableLocks, table_locks.as_str()),
    ] {
        if let Some(held_from) = try_lock(locker, statement).await? {
            return Ok((hand_off, held_from));
        }
    }
    tracing::warn!("no read lock could be taken; the snapshot's sessions open without one");
    Ok((HandOff::NoLock, Instant::now()))
}

fn held_too_long(locker: &Connection) -> MysqlError {
    MysqlError::Timeout {
        operation: "beginning the snapshot's sessions under the read lock of",
        address: locker.address().to_owned(),
        after: LOCK_HELD_MAX,
    }
}

/// Tries one lock; `None` if the privilege is missing or the source is too busy.
async fn try_lock(locker: &mut Connection, statement: &str) -> Result<Option<Instant>, MysqlError> {
    const LOCK_WAIT_TIMEOUT: u16 = 1205;
    for attempt in 1..=LOCK_ATTEMPTS {
        let from = Instant::now();
        match locker.execute(statement).await {
            Ok(()) => return Ok(Some(from)),
            Err(error) if error.is_denied() => return Ok(None),
            Err(error) if error.server_code() == Some(LOCK_WAIT_TIMEOUT) => {
                tracing::warn!(
                    attempt,
                    "the source is busy; the read lock was given up and is tried again"
                );
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// MariaDB: file and offset of this session's own snapshot.
async fn snapshot_coordinates(connection: &mut Connection) -> Result<(String, String), MysqlError> {
    let found = connection.query("SHOW STATUS LIKE 'Binlog_snapshot_%'").await?;
    let value = |name: &str| {
        let row = found
            .rows
            .iter()
            .find(|row| row.text_or_empty(0).eq_ignore_ascii_case(name));
        row.and_then(|row| row.text(1)).filter(|text| !text.is_empty())
    };
    match (value("Binlog_snapshot_file"), value("Binlog_snapshot_position")) {
        (Some(file), Some(offset)) if offset.bytes().all(|byte| byte.is_ascii_digit()) => Ok((file, offset)),
        _ => Err(MysqlError::Protocol {
            expected: "`Binlog_snapshot_file` and `Binlog_snapshot_position`",
        }),
    }
}

async fn gtids_at(control: &mut Connection, file: &str, offset: &str) -> Result<String, MysqlError> {
    let found = control
        .query(&format!("SELECT BINLOG_GTID_POS({}, {offset})", sql::text(file)))
        .await?;
    found.first_text().ok_or(MysqlError::Protocol {
        expected: "a GTID position for the snapshot's file and offset",
    })
}

/// The catalog must still be the one that the plans were made from.
async fn expect_tables(
    source: &MysqlSource,
    control: &mut Connection,
    tables: &[Arc<TablePlan>],
) -> Result<(), Failure> {
    let read = catalog::read(control, &source.options().schema).await;
    let now = read.map_err(|error| source.failure(error))?;
    for plan in tables {
        let same = now
            .tables
            .iter()
            .any(|table| catalog::same_definition(table, &plan.source));
        if !same {
            let text = "its definition is not the one the migration began with";
            return Err(Failure::of_table(code::SCHEMA_MISMATCH, plan.name(), text));
        }
    }
    Ok(())
}
