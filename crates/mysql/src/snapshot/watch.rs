//! The watch over an open snapshot: a session whose table others must wait for gives way at once.
//!
//! A statement that needs a table for itself (a DDL, `LOCK TABLES … WRITE`, another tool's `FLUSH TABLES WITH READ LOCK`) waits
//! for our reading session, and every later reader of the table waits behind it. That is what the watch looks for, as the
//! application would meet it: it reads nothing from each table that a session holds. If that must wait too, the session is
//! killed; its failure says why, and what it had not finished is read in a new snapshot. No privilege is needed for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use spanferry_core::plan::TablePlan;
use tokio::task::AbortHandle;

use crate::connection::Connection;
use crate::error::MysqlError;
use crate::identity;
use crate::source::MysqlSource;
use crate::sql;

/// Time between two looks.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// Seconds that a look may wait for a table before the session gives way; the servers know no shorter time.
const PROBE_WAIT_SECONDS: u32 = 1;
/// Most tables looked at in a round; only sessions that cannot give locks back hold more than one.
const PROBES_MAX: usize = 256;

/// What the sessions of one snapshot hold; the last of them ends the watching task.
#[derive(Debug)]
struct Watch {
    /// The server whose sessions they are: numbers of sessions mean others elsewhere.
    server: String,
    sessions: Mutex<Vec<Held>>,
    task: OnceLock<AbortHandle>,
}

/// What one session holds.
#[derive(Debug)]
struct Held {
    /// The server's number of the session.
    connection: u32,
    /// Qualified and quoted names.
    tables: BTreeSet<String>,
    /// The table that it gave way for.
    yielded: Option<String>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// One session's place in the watch.
#[derive(Debug)]
pub(crate) struct Seat {
    watch: Arc<Watch>,
    index: usize,
    /// Whether the session gives a table's lock back at the end of a range.
    gives_back: bool,
}

impl Seat {
    /// The session begins to read the table.
    pub(crate) fn hold(&self, plan: &TablePlan) {
        self.change(|held| held.tables.insert(qualified(plan)));
    }

    /// The session has given back what the server lets it give back.
    pub(crate) fn release(&self) {
        if self.gives_back {
            self.change(|held| held.tables.clear());
        }
    }

    /// The table that the session was ended for, if it was.
    pub(crate) fn yielded_for(&self) -> Option<String> {
        self.change(|held| held.yielded.clone())
    }

    fn change<R>(&self, change: impl FnOnce(&mut Held) -> R) -> R {
        change(&mut self.watch.lock()[self.index])
    }
}

impl Watch {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Held>> {
        self.sessions
            .lock()
            .expect("nobody panics while it holds the sessions")
    }

    /// The tables that are held, from the one behind `last` on, in a circle; at most `PROBES_MAX`.
    fn tables_after(&self, last: Option<&str>) -> Vec<String> {
        let sessions = self.lock();
        let alive = sessions.iter().filter(|held| held.yielded.is_none());
        let tables: BTreeSet<&String> = alive.flat_map(|held| &held.tables).collect();
        let (behind, before): (Vec<_>, Vec<_>) = tables
            .into_iter()
            .partition(|table| last.is_none_or(|last| table.as_str() > last));
        let circle = behind.into_iter().chain(before);
        circle.take(PROBES_MAX).cloned().collect()
    }

    /// Marks the sessions that hold the table and returns their numbers.
    fn give_way(&self, table: &str) -> Vec<u32> {
        let mut sessions = self.lock();
        let holders = sessions
            .iter_mut()
            .filter(|held| held.yielded.is_none() && held.tables.contains(table));
        holders
            .map(|held| {
                held.yielded = Some(table.to_owned());
                held.connection
            })
            .collect()
    }
}

/// Starts the watch over sessions of `server`, given by number and whether they give locks back; `connection` is its own.
pub(crate) async fn start(
    source: &MysqlSource,
    connection: Connection,
    server: String,
    sessions: &[(u32, bool)],
) -> Result<Vec<Seat>, MysqlError> {
    let connection = prepared(connection).await?;
    let held = sessions.iter().map(|(connection, _)| Held {
        connection: *connection,
        tables: BTreeSet::new(),
        yielded: None,
    });
    let watch = Arc::new(Watch {
        server,
        sessions: Mutex::new(held.collect()),
        task: OnceLock::new(),
    });
    let task = tokio::spawn(run(source.clone(), connection, Arc::downgrade(&watch)));
    watch
        .task
        .set(task.abort_handle())
        .expect("the watch is started once");
    let places = sessions.iter().enumerate();
    Ok(places
        .map(|(index, (_, gives_back))| Seat {
            watch: Arc::clone(&watch),
            index,
            gives_back: *gives_back,
        })
        .collect())
}

async fn run(source: MysqlSource, connection: Connection, watch: Weak<Watch>) {
    let mut connection = Some(connection);
    let mut last = None;
    loop {
        tokio::time::sleep(WATCH_INTERVAL).await;
        let Some(watch) = watch.upgrade() else { return };
        if let Err(error) = look(&source, &mut connection, &watch, &mut last).await {
            tracing::warn!(
                error = error.for_log(),
                "the watch for waiting statements is disturbed and goes on"
            );
            connection = None;
        }
    }
}

/// Looks at tables that are held, from the one behind `last` on, and ends the sessions that others must wait for.
async fn look(
    source: &MysqlSource,
    connection: &mut Option<Connection>,
    watch: &Watch,
    last: &mut Option<String>,
) -> Result<(), MysqlError> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(prepared(connect_again(source, &watch.server).await?).await?),
    };
    for table in watch.tables_after(last.as_deref()) {
        let waits = must_wait(connection, &table).await?;
        *last = Some(table.clone());
        if !waits {
            continue;
        }
        for session in watch.give_way(&table) {
            tracing::warn!(
                table,
                session,
                "a statement waits for this table; its snapshot session gives way"
            );
            match connection.kill(session).await {
                Ok(()) | Err(MysqlError::Server { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// A new connection; the address may have come to stand for another server meanwhile.
async fn connect_again(source: &MysqlSource, server: &str) -> Result<Connection, MysqlError> {
    let mut connection = source.connect().await?;
    if identity::of_server(&mut connection).await? != server {
        return Err(MysqlError::Protocol {
            expected: "the server that the snapshot was opened at",
        });
    }
    Ok(connection)
}

async fn prepared(mut connection: Connection) -> Result<Connection, MysqlError> {
    let sql = format!("SET SESSION lock_wait_timeout = {PROBE_WAIT_SECONDS}");
    connection.execute(&sql).await?;
    Ok(connection)
}

/// Whether a new reader of the table must wait. A table that is gone or refused concerns the session, not the watch.
async fn must_wait(connection: &mut Connection, table: &str) -> Result<bool, MysqlError> {
    const LOCK_WAIT_TIMEOUT: u16 = 1205;
    let sql = format!("SELECT 1 FROM {table} LIMIT 0");
    match connection.execute(&sql).await {
        Ok(()) => Ok(false),
        Err(error) if error.server_code() == Some(LOCK_WAIT_TIMEOUT) => Ok(true),
        Err(error @ MysqlError::Server { .. }) if !error.is_connection_lost() => {
            tracing::debug!(
                table,
                error = error.for_log(),
                "a table that is held cannot be looked at"
            );
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn qualified(plan: &TablePlan) -> String {
    let name = plan.name();
    format!(
        "{}.{}",
        sql::identifier(&name.schema),
        sql::identifier(&name.table)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(tables: &[&str]) -> Watch {
        let half = tables.len() / 2;
        let held = |tables: &[&str]| Held {
            connection: 1,
            tables: tables.iter().map(|table| (*table).to_owned()).collect(),
            yielded: None,
        };
        Watch {
            server: String::new(),
            sessions: Mutex::new(vec![held(&tables[..half]), held(&tables[half..])]),
            task: OnceLock::new(),
        }
    }

    #[test]
    fn rounds_go_on_behind_the_last_table() {
        let some = watch(&["b", "a", "d", "c"]);
        assert_eq!(some.tables_after(None), ["a", "b", "c", "d"]);
        assert_eq!(some.tables_after(Some("b")), ["c", "d", "a", "b"]);
        assert_eq!(some.tables_after(Some("z")), ["a", "b", "c", "d"]);
        some.give_way("a");
        assert_eq!(
            some.tables_after(None),
            ["c", "d"],
            "the session that held a held b too"
        );
    }

    #[test]
    fn every_table_has_its_turn_however_many_there_are() {
        let names: Vec<String> = (0..2 * PROBES_MAX + 7)
            .map(|number| format!("{number:05}"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let many = watch(&names);
        let (mut seen, mut last) = (BTreeSet::new(), None);
        for _ in 0..3 {
            let round = many.tables_after(last.as_deref());
            assert_eq!(round.len(), PROBES_MAX);
            last = round.last().cloned();
            seen.extend(round);
        }
        assert_eq!(seen.len(), names.len());
    }
}
