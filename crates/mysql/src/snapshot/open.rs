//! Opens a snapshot: brings all sessions to known positions, without a lock unless one is asked
//! for.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::{try_join, try_join_all};
use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::{PreparedId, Snapshot, SnapshotMethod, SnapshotRequest, SnapshotSource};
use spanferry_core::position::Position;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::schema::difference::plan_difference;
use tokio::time::timeout;

use super::lock::{self, LOCK_HELD_MAX, ReadLock};
use super::mark::Mark;
use super::session::MysqlSession;
use super::watched::watch_sessions;
use super::{bounds, prepared};
use crate::catalog;
use crate::connection::Connection;
use crate::error::MysqlError;
use crate::identity;
use crate::position::position_now;
use crate::source::{At, MysqlSource};
use crate::upper_bound::highest;

/// Seconds for which a session waits for a table that another statement has for itself.
const TABLE_WAIT_SECONDS: u32 = 2;

impl SnapshotSource for MysqlSource {
    type Session = MysqlSession;

    async fn open_snapshot(&self, request: &SnapshotRequest<'_>) -> Result<Snapshot<MysqlSession>, Failure> {
        let mut control = self.connect().await.at(self)?;
        expect_tables(self, &mut control, request.tables).await?;
        let mut opening = Opening::connect(self, control, request.sessions.max(1)).await?;
        let started = Instant::now();
        let begun = opening.begin(request).await?;
        expect_tables(self, &mut opening.control, request.tables).await?;
        tracing::info!(
            method = ?begun.method,
            total_ms = started.elapsed().as_millis(),
            sessions = opening.sessions.len(),
            "snapshot opened"
        );
        let sessions = opening.watched().await?;
        Ok(Snapshot {
            low: begun.low,
            high: begun.high,
            sessions,
            method: begun.method,
            passed: begun.passed,
        })
    }
}

/// The connections of a snapshot that is being opened.
struct Opening<'a> {
    source: &'a MysqlSource,
    /// Which server they have reached.
    server: String,
    mark: Arc<Mark>,
    /// Reads positions, and later probes for the watch.
    control: Connection,
    /// Looks at the process list.
    aide: Connection,
    sessions: Vec<Connection>,
    /// Whether the sessions give a table's lock back after a range.
    gives_back: bool,
}

impl Opening<'_> {
    /// Opens all connections at once.
    async fn connect(
        source: &MysqlSource,
        mut control: Connection,
        sessions: usize,
    ) -> Result<Opening<'_>, Failure> {
        let failed = |error| source.failure(error);
        let server = identity::of_server(&mut control).await.map_err(failed)?;
        let aide = session(source, false);
        let sessions = (0..sessions).map(|_| session(source, true));
        let opened = try_join_all(std::iter::once(aide).chain(sessions)).await;
        let mut opened = opened.map_err(failed)?;
        if opened.iter().any(|one| one.server != server) {
            return Err(several_servers(&control));
        }
        let sessions = opened.split_off(1);
        Ok(Opening {
            source,
            server,
            mark: Arc::new(Mark::new()),
            control,
            aide: opened.remove(0).connection,
            gives_back: sessions.iter().all(|session| session.gives_back),
            sessions: sessions.into_iter().map(|session| session.connection).collect(),
        })
    }

    /// Begins the snapshot in every session; each step is argued in `docs/design/hand-off.md`.
    async fn begin(&mut self, request: &SnapshotRequest<'_>) -> Result<Begun, Failure> {
        // What is prepared now may have been so before the change log began: its end is to be in
        // `low`.
        let before = prepared::wait(self.source, &mut self.control, request.prepared).await?;
        if before.has_waited {
            bounds::settle(self.source, &mut self.control).await?;
        }
        let low = bounds::visible(self.source, &mut self.control).await?;
        // What ends in `low` is to be visible before the sessions open.
        let passed = prepared::wait(self.source, &mut self.control, request.prepared)
            .await?
            .passed;
        let is_asked = request.lock && !request.tables.is_empty();
        let lock = if is_asked {
            self.lock(request.tables).await
        } else {
            None
        };
        let locked = match lock {
            Some(lock) => self.begin_locked(lock).await?,
            None => {
                begin_sessions(self.source, &mut self.sessions).await?;
                None
            }
        };
        let (high, method) = if let Some(locked) = locked {
            locked
        } else {
            let high = highest(self.source, &mut self.control).await?;
            (high, SnapshotMethod::Unlocked)
        };
        Ok(Begun {
            low,
            high,
            method,
            passed,
        })
    }

    /// The lock, if it can be had.
    async fn lock(&mut self, tables: &[Arc<TablePlan>]) -> Option<ReadLock> {
        let taken = match self.source.connect().await {
            Ok(locker) => lock::take(self.source, locker, &mut self.aide, &self.mark, tables).await,
            Err(error) => Err(error.for_log()),
        };
        let refused =
            |reason| tracing::warn!(reason, "no read lock was taken; the snapshot opens without one");
        taken.map_err(refused).ok()
    }

    /// Begins under the lock. The position of all sessions, if the lock was held until the last of
    /// them had begun.
    async fn begin_locked(&mut self, lock: ReadLock) -> Result<Option<(Position, SnapshotMethod)>, Failure> {
        let position = position_now(self.source, &mut self.control);
        let begin = try_join(position, begin_sessions(self.source, &mut self.sessions));
        let mut begin = pin!(begin);
        let in_time = timeout(LOCK_HELD_MAX, &mut begin).await;
        let held = lock.release().await;
        let Ok(begun) = in_time else {
            begin.await?;
            tracing::warn!("the sessions did not begin while the read lock was held; it was released before");
            return Ok(None);
        };
        let (position, ()) = begun?;
        Ok(held.map(|held| (position, SnapshotMethod::Locked { held })))
    }

    /// The sessions, watched.
    async fn watched(self) -> Result<Vec<MysqlSession>, Failure> {
        let numbers: Vec<u32> = self.sessions.iter().map(Connection::id).collect();
        let own = [self.control, self.aide];
        let watched = watch_sessions(
            self.source,
            self.server,
            self.mark,
            own,
            self.sessions,
            self.gives_back,
        );
        let watched = watched.await.at(self.source)?;
        let sessions = numbers.into_iter().zip(watched);
        Ok(sessions
            .map(|(number, watched)| MysqlSession::new(number, watched))
            .collect())
    }
}

/// What is known of sessions that have begun.
struct Begun {
    low: Position,
    high: Position,
    method: SnapshotMethod,
    passed: Vec<PreparedId>,
}

/// A connection that has been opened for a snapshot.
struct Opened {
    connection: Connection,
    server: String,
    gives_back: bool,
}

/// Opens one connection, and pins it if a session reads by it.
async fn session(source: &MysqlSource, reads: bool) -> Result<Opened, MysqlError> {
    let mut connection = source.connect().await?;
    let gives_back = reads && pin(&mut connection).await?;
    Ok(Opened {
        server: identity::of_server(&mut connection).await?,
        connection,
        gives_back,
    })
}

async fn begin_sessions(source: &MysqlSource, sessions: &mut [Connection]) -> Result<(), Failure> {
    let begun = try_join_all(sessions.iter_mut().map(begin_session)).await;
    begun.at(source).map(drop)
}

async fn begin_session(session: &mut Connection) -> Result<(), MysqlError> {
    session
        .execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await
}

/// All connections must have reached one server: an address may stand for several, of which one
/// lags behind another, and positions and locks of one say nothing of what the others show.
fn several_servers(control: &Connection) -> Failure {
    let class = Class::Retry { after: None };
    let text = "the snapshot's connections reached different servers under one address";
    let failure = Failure::new(code::SNAPSHOT_LOST, class, control.address(), text);
    let hint = "Name one server as the source: no address that spreads connections over several (a reader endpoint, a balancing proxy).";
    failure.hint(hint)
}

/// What a snapshot's session has beside the state of every connection: texts in their own character
/// sets. Whether the session gives a table's lock back after a range.
async fn pin(connection: &mut Connection) -> Result<bool, MysqlError> {
    connection
        .execute(&format!(
            "SET SESSION character_set_results = binary, lock_wait_timeout = {TABLE_WAIT_SECONDS}"
        ))
        .await?;
    let Some(release) = &connection.server().facts().lock_release else {
        return Ok(true);
    };
    // `check` reports the missing privilege.
    match connection.execute(release.statement).await {
        Ok(()) => Ok(true),
        Err(error) if error.is_denied() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The catalog must still be the one that the plans were made from.
async fn expect_tables(
    source: &MysqlSource,
    control: &mut Connection,
    tables: &[Arc<TablePlan>],
) -> Result<(), Failure> {
    let read = catalog::read(control, &source.options().schema).await;
    let now = read.at(source)?;
    for plan in tables {
        let found = now.tables.iter().find(|table| table.name == *plan.name());
        let difference = match found {
            None => Some("it is not at the source any more".to_owned()),
            Some(table) => plan_difference(plan, table),
        };
        if let Some(difference) = difference {
            let text = format!("its definition is not the one the migration began with: {difference}");
            return Err(Failure::of_table(code::SCHEMA_MISMATCH, plan.name(), text));
        }
    }
    Ok(())
}
