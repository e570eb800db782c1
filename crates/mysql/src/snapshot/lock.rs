//! The lock under which the sessions of one snapshot see one state: asked for once, held for an
//! instant, released on every way out.
//!
//! `LOCK TABLES … READ` on the tables that are read. While it waits for a transaction that has
//! written one of them, only writers of tables that are already locked wait for it; while it
//! is held, writers of these tables wait. `FLUSH TABLES WITH READ LOCK` is not used: on MySQL,
//! behind a long SELECT, it makes every new statement on that table wait until the SELECT ends,
//! even after it was withdrawn, and on both servers it stalls every commit of the server behind one
//! long UPDATE.

use std::sync::Arc;
use std::time::{Duration, Instant};

use spanferry_core::plan::TablePlan;
use tokio::time::timeout;

use super::hold::qualified;
use super::mark::{Mark, Role};
use crate::connection::{Connection, ResultRow};
use crate::error::MysqlError;
use crate::source::MysqlSource;
use crate::task;

/// How long the lock is waited for.
const LOCK_WAIT_MAX: Duration = Duration::from_millis(400);
/// How long it is held once it is granted; with the wait, and with the way of two packets, less
/// than a second.
pub(super) const LOCK_HELD_MAX: Duration = Duration::from_millis(400);
/// How long its release may take before its connection is closed instead.
const RELEASE_MAX: Duration = Duration::from_secs(1);
/// Seconds after which the server itself gives up the request, and ends a session that holds the
/// lock and is silent: writers do not wait for a program or a network that has vanished. The
/// servers know no shorter time.
const SERVER_SECONDS: u32 = 1;
/// What has run for over a second will hardly end within `LOCK_WAIT_MAX`. The servers count whole
/// seconds, as their clock shows them: 1 may be a moment.
const LONG_SECONDS: u64 = 2;
/// The user of a replica's own threads, whose time is the lag.
const REPLICATION: &str = "system user";
/// Changes of open transactions, by their age in seconds. Needs the privilege PROCESS. The table
/// shows the server's local time.
const WRITING: &str = "SELECT TIMESTAMPDIFF(SECOND, trx_started, CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM')) \
    FROM information_schema.innodb_trx WHERE trx_rows_modified > 0";

/// The lock, held by a connection of its own: dropped, the connection ends, and the server releases
/// it.
#[derive(Debug)]
pub(super) struct ReadLock {
    locker: Connection,
    asked: Instant,
}

impl ReadLock {
    /// Releases it. For how long writers may have waited; `None` if the server had ended it before.
    pub(super) async fn release(mut self) -> Option<Duration> {
        match timeout(RELEASE_MAX, self.locker.execute("UNLOCK TABLES")).await {
            Ok(Ok(())) => Some(self.asked.elapsed()),
            Ok(Err(_)) | Err(_) => None,
        }
    }
}

/// Asks for the lock once, by `locker`; `aide` looks at the server meanwhile. Why there is none, if
/// there is none.
pub(super) async fn take(
    source: &MysqlSource,
    locker: Connection,
    aide: &mut Connection,
    mark: &Arc<Mark>,
    tables: &[Arc<TablePlan>],
) -> Result<ReadLock, String> {
    if let Some(reason) = busy(aide).await.map_err(|error| error.for_log())? {
        return Err(reason);
    }
    ask(source, locker, aide, mark, tables).await
}

/// Whether something runs at the source that would surely keep the lock waiting, as far as the
/// account may see it.
async fn busy(aide: &mut Connection) -> Result<Option<String>, MysqlError> {
    let own = u64::from(aide.id());
    let list = aide.query("SHOW PROCESSLIST").await?;
    let column = |name| {
        list.column(name).ok_or(MysqlError::Protocol {
            expected: "`Id`, `User`, `Command` and `Time` in a process list",
        })
    };
    let (id, user, command, time) = (
        column("Id")?,
        column("User")?,
        column("Command")?,
        column("Time")?,
    );
    let is_statement = |row: &&ResultRow| {
        let runs = matches!(row.text_or_empty(command).as_str(), "Query" | "Execute");
        runs && row.number(id) != Some(own) && row.text_or_empty(user) != REPLICATION
    };
    let statements = list.rows.iter().filter(is_statement);
    let oldest = statements.filter_map(|row| row.number(time)).max();
    if let Some(seconds) = oldest.filter(|seconds| *seconds >= LONG_SECONDS) {
        return Ok(Some(format!("a statement has been running for {seconds} s")));
    }
    let writing = aide.query_if_allowed(WRITING).await?;
    let rows = writing.map(|found| found.rows).unwrap_or_default();
    let oldest = rows.iter().filter_map(|row| row.number(0)).max();
    let oldest = oldest.filter(|seconds| *seconds >= LONG_SECONDS);
    Ok(oldest.map(|seconds| format!("a transaction has been writing for {seconds} s")))
}

async fn ask(
    source: &MysqlSource,
    mut locker: Connection,
    aide: &mut Connection,
    mark: &Arc<Mark>,
    tables: &[Arc<TablePlan>],
) -> Result<ReadLock, String> {
    let bounds = format!("SET SESSION lock_wait_timeout = {SERVER_SECONDS}, wait_timeout = {SERVER_SECONDS}");
    let for_log = |error: MysqlError| error.for_log();
    locker.execute(&bounds).await.map_err(for_log)?;
    let names: Vec<_> = tables
        .iter()
        .map(|plan| format!("{} READ", qualified(plan)))
        .collect();
    let statement = format!("{} LOCK TABLES {}", mark.comment(Role::Lock), names.join(", "));
    let asked = Instant::now();
    let mut request = Request::new(source, mark);
    let answer = timeout(LOCK_WAIT_MAX, locker.execute(&statement)).await;
    if answer.is_err() {
        withdraw(aide, mark).await.map_err(for_log)?;
    }
    request.is_open = false;
    match answer {
        Ok(Ok(())) => Ok(ReadLock { locker, asked }),
        Ok(Err(error)) => Err(for_log(error)),
        Err(_) => Err(format!(
            "it was not granted within {} ms",
            LOCK_WAIT_MAX.as_millis()
        )),
    }
}

/// Ends the statement that asks for the lock. If it was granted meanwhile, the end of its
/// connection releases it.
async fn withdraw(aide: &mut Connection, mark: &Mark) -> Result<(), MysqlError> {
    for statement in mark.running(aide).await? {
        if statement.role == Role::Lock {
            statement.end(aide).await?;
        }
    }
    Ok(())
}

/// An unanswered request. Dropped with the whole opening, it is withdrawn: a server does not notice
/// that a connection is closed before its statement ends.
struct Request {
    source: MysqlSource,
    mark: Arc<Mark>,
    is_open: bool,
}

impl Request {
    fn new(source: &MysqlSource, mark: &Arc<Mark>) -> Request {
        Request {
            source: source.clone(),
            mark: Arc::clone(mark),
            is_open: true,
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.is_open {
            return;
        }
        let (source, mark) = (self.source.clone(), Arc::clone(&self.mark));
        let withdrawal = async move {
            let withdrawn = async {
                let mut aide = source.connect().await?;
                withdraw(&mut aide, &mark).await
            };
            if let Err(error) = withdrawn.await {
                tracing::debug!(
                    error = error.for_log(),
                    "the request for a read lock was not withdrawn; the server ends it"
                );
            }
        };
        // Nothing depends on it: the server ends the request by itself.
        task::spawn(&runtime, "lock withdrawal", withdrawal, drop);
    }
}
