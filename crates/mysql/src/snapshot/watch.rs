//! The watch over an open snapshot: a session whose table others must wait for is preempted at
//! once.
//!
//! A statement that needs a table for itself (a DDL, `LOCK TABLES … WRITE`, another tool's
//! `FLUSH TABLES WITH READ LOCK`) waits for our reading session, and every later statement on the
//! table waits behind it. The watch probes each table that a session holds (`probe`). If a probe
//! waits, the sessions that hold its table are preempted (`hold`): their sockets are closed from
//! our side. A server that is busy with a statement of theirs does not notice that before the
//! statement ends, so it is ended too, where the process list shows our mark (`mark`). No privilege
//! is needed for any of it.
//!
//! The same holds for a session that is dropped in the middle of a statement. So the watch asks the
//! server about each ended session until the server has nothing of it any more, and lives until
//! then itself.
//!
//! Time for a statement to wait for us: `WATCH_INTERVAL`, `PROBE_PATIENCE` and two round trips.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::hold::{Ended, TableHold};
use super::mark::{Mark, Role, Seen};
use super::probe::{Answer, PROBES_MAX, Probe};
use crate::connection::Connection;
use crate::error::MysqlError;
use crate::identity;
use crate::source::MysqlSource;
use crate::task;

/// Time between two rounds of probes.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
/// Time before a login that was refused is tried again.
const LOGIN_PAUSE: Duration = Duration::from_secs(1);
/// How long an answer may take before the process list is looked at.
const PROBE_PATIENCE: Duration = Duration::from_millis(100);

/// The sessions of one snapshot.
#[derive(Debug)]
pub(super) struct Watch {
    mark: Arc<Mark>,
    sessions: Vec<Arc<TableHold>>,
    /// A session was dropped.
    dropped: Notify,
    pings: OnceLock<AbortHandle>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(pings) = self.pings.get() {
            pings.abort();
        }
    }
}

impl Watch {
    pub(super) fn new(mark: Arc<Mark>, sessions: Vec<Arc<TableHold>>) -> Watch {
        Watch {
            mark,
            sessions,
            dropped: Notify::new(),
            pings: OnceLock::new(),
        }
    }

    /// The comment that marks a session's statements.
    pub(super) fn comment(&self, session: usize) -> String {
        self.mark.comment(Role::Session(session))
    }

    /// The tables that are held, from the one behind `last` on, in a circle; at most `PROBES_MAX`.
    fn tables_after(&self, last: Option<&str>) -> Vec<String> {
        let tables: BTreeSet<String> = self.sessions.iter().flat_map(|hold| hold.tables()).collect();
        let (behind, before): (Vec<_>, Vec<_>) = tables
            .into_iter()
            .partition(|table| last.is_none_or(|last| table.as_str() > last));
        behind.into_iter().chain(before).take(PROBES_MAX).collect()
    }

    /// Ends the sessions that hold the table.
    fn preempt(&self, table: &str) {
        for (session, hold) in self.sessions.iter().enumerate() {
            if hold.preempt(table) {
                tracing::warn!(
                    table,
                    session,
                    "a statement waits for this table; its snapshot session is ended"
                );
            }
        }
    }

    fn is_ended(&self, session: usize) -> bool {
        let hold = self.sessions.get(session);
        hold.is_some_and(|hold| hold.ended().is_some())
    }

    fn are_all_ended(&self) -> bool {
        self.sessions.iter().all(|hold| hold.ended().is_some())
    }

    /// Whether the server may still run a statement of an ended session.
    fn is_any_leaving(&self) -> bool {
        self.sessions.iter().any(|hold| hold.is_leaving())
    }

    /// Forgets the ended sessions of which the server shows nothing.
    fn forget_left(&self, seen: &Seen) {
        for (session, hold) in self.sessions.iter().enumerate() {
            if hold.is_leaving() && !seen.may_run(session, hold.connection_id()) {
                hold.has_left();
            }
        }
    }

    /// A session was dropped: the watch looks at once.
    pub(super) fn notify(&self) {
        self.dropped.notify_one();
    }

    /// Ends every session: without the watch a statement that waits for one would wait for ever.
    fn lose(&self, why: &str) {
        for hold in &self.sessions {
            hold.end(Ended::Unwatched(why.to_owned()));
        }
    }
}

/// Starts the watch over the sessions, which are those of `server`; the connections are its own.
pub(super) async fn start(
    watch: &Arc<Watch>,
    source: &MysqlSource,
    server: String,
    probe: Connection,
    aide: Connection,
) -> Result<(), MysqlError> {
    let mut lookout = Lookout::new(source, server.clone());
    (lookout.probe, lookout.aide) = (Some(Probe::new(probe).await?), Some(aide));
    let successor = Lookout::new(source, server);
    observed(watch, "snapshot watch", lookout.run(Arc::clone(watch)), |watch| {
        // All sessions have ended: it ends what they run at the server, no more.
        let task = successor.run(watch);
        task::spawn(&Handle::current(), "snapshot watch's successor", task, drop);
    });
    let pings = keep_alive(Arc::downgrade(watch), source.options().ping_interval());
    let pings = observed(watch, "snapshot pings", pings, drop);
    watch.pings.set(pings).expect("the watch is started once");
    Ok(())
}

/// Starts a task of the watch. A panic in it ends the sessions; `next` runs behind that.
fn observed(
    watch: &Arc<Watch>,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
    next: impl FnOnce(Arc<Watch>) + Send + 'static,
) -> AbortHandle {
    let watch = Arc::downgrade(watch);
    task::spawn(&Handle::current(), name, task, move |why| {
        if let Some(watch) = watch.upgrade() {
            watch.lose(&why);
            next(watch);
        }
    })
}

/// Sessions without connections, one of whose watching tasks panics with `text`.
#[cfg(test)]
pub(super) fn panicking(sessions: Vec<Arc<TableHold>>, text: &'static str) -> Arc<Watch> {
    let watch = Arc::new(Watch::new(Arc::new(Mark::new()), sessions));
    observed(&watch, "snapshot watch", async move { panic!("{text}") }, drop);
    watch
}

/// Keeps the sessions alive that no call uses.
async fn keep_alive(watch: Weak<Watch>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        let Some(watch) = watch.upgrade() else { return };
        join_all(watch.sessions.iter().map(|session| session.keep_alive())).await;
    }
}

/// The watching task's own.
struct Lookout {
    source: MysqlSource,
    /// The server that was probed first.
    server: String,
    probe: Option<Probe>,
    /// Looks at the process list while a probe waits, or the server may run a statement of an ended
    /// session.
    aide: Option<Connection>,
    /// The table that was probed last.
    last: Option<String>,
    /// When its own connections were last kept alive.
    alive_at: Instant,
}

impl Lookout {
    /// A watching task that has yet to connect.
    fn new(source: &MysqlSource, server: String) -> Lookout {
        Lookout {
            source: source.clone(),
            server,
            probe: None,
            aide: None,
            last: None,
            alive_at: Instant::now(),
        }
    }

    /// Watches until all sessions have ended and the server runs nothing of them.
    async fn run(mut self, watch: Arc<Watch>) {
        while !watch.are_all_ended() || watch.is_any_leaving() {
            // A notice or the time: either way the next round is due.
            let _either = timeout(WATCH_INTERVAL, watch.dropped.notified()).await;
            if let Err(error) = self.round(&watch).await {
                tracing::warn!(
                    error = error.for_log(),
                    "the watch for waiting statements lost its connection and opens a new one"
                );
                (self.probe, self.aide) = (None, None);
            }
        }
    }

    /// Looks after ended sessions, and probes tables that are held, from the one behind the last
    /// on.
    async fn round(&mut self, watch: &Watch) -> Result<(), MysqlError> {
        if watch.are_all_ended() {
            // Nothing is held. An account may have few connections.
            self.probe = None;
            return self.see_off(watch).await;
        }
        if let Err(error) = self.connect().await {
            tokio::time::sleep(LOGIN_PAUSE).await;
            return Err(error);
        }
        self.keep_alive().await?;
        if watch.is_any_leaving() {
            self.look(watch, &[]).await?;
        }
        let tables = watch.tables_after(self.last.as_deref());
        if tables.is_empty() {
            return Ok(());
        }
        let asked = self.probe().ask(&watch.mark, &tables).await?;
        for table in &tables[..asked] {
            let answer = self.answer(watch, &tables).await?;
            self.last = Some(table.clone());
            match answer {
                Answer::Passed => continue,
                Answer::Waited => watch.preempt(table),
                // It concerns the session, not the watch.
                Answer::Refused(error) => tracing::debug!(
                    table,
                    error = error.for_log(),
                    "a table that is held cannot be probed"
                ),
            }
            break;
        }
        Ok(())
    }

    /// Ends what the server still runs of the sessions, all of which have ended.
    async fn see_off(&mut self, watch: &Watch) -> Result<(), MysqlError> {
        if !watch.is_any_leaving() {
            return Ok(());
        }
        if self.aide.is_none() {
            match self.connect_again().await {
                Ok(aide) => self.aide = Some(aide),
                Err(error) => {
                    tokio::time::sleep(LOGIN_PAUSE).await;
                    return Err(error);
                }
            }
        }
        self.look(watch, &[]).await
    }

    /// The answer to the next probe; while it does not come, the process list may show why.
    async fn answer(&mut self, watch: &Watch, tables: &[String]) -> Result<Answer, MysqlError> {
        loop {
            match timeout(PROBE_PATIENCE, self.probe().answer()).await {
                Ok(answer) => return answer,
                Err(_) => self.look(watch, tables).await?,
            }
        }
    }

    /// Ends the sessions that hold a table for which a probe waits at the server, and the probe;
    /// ends what the server still runs of ended sessions.
    async fn look(&mut self, watch: &Watch, tables: &[String]) -> Result<(), MysqlError> {
        let aide = self.aide.as_mut().expect("a round begins with connections");
        let seen = watch.mark.look(aide).await?;
        watch.forget_left(&seen);
        for statement in seen.running.iter().filter(|statement| statement.is_waiting) {
            if let Role::Probe(number) = statement.role
                && let Some(table) = tables.get(number)
            {
                watch.preempt(table);
            }
        }
        for statement in &seen.running {
            let is_over = match statement.role {
                Role::Session(session) => watch.is_ended(session),
                Role::Probe(_) => statement.is_waiting,
                Role::Lock => false,
            };
            if is_over {
                statement.end(aide).await?;
            }
        }
        Ok(())
    }

    /// Keeps its own connections alive, of which one is needed only while a statement waits.
    async fn keep_alive(&mut self) -> Result<(), MysqlError> {
        if self.alive_at.elapsed() < self.source.options().ping_interval() {
            return Ok(());
        }
        self.alive_at = Instant::now();
        let aide = self.aide.as_mut().expect("a round begins with connections");
        aide.ping().await?;
        self.probe().ping().await
    }

    fn probe(&mut self) -> &mut Probe {
        self.probe.as_mut().expect("a round begins with connections")
    }

    /// New connections, if the last ones are lost.
    async fn connect(&mut self) -> Result<(), MysqlError> {
        if self.aide.is_none() {
            self.aide = Some(self.connect_again().await?);
        }
        if self.probe.is_none() {
            self.probe = Some(Probe::new(self.connect_again().await?).await?);
        }
        Ok(())
    }

    /// The address may have come to stand for another server, whose locks do not concern the
    /// sessions.
    async fn connect_again(&self) -> Result<Connection, MysqlError> {
        let mut connection = self.source.connect().await?;
        if identity::of_server(&mut connection).await? != self.server {
            return Err(MysqlError::Protocol {
                expected: "the server that the snapshot was opened at",
            });
        }
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(sessions: &[&[&str]]) -> Watch {
        let holds = sessions
            .iter()
            .map(|tables| Arc::new(TableHold::of_tables(tables)));
        Watch::new(Arc::new(Mark::new()), holds.collect())
    }

    #[test]
    fn rounds_go_on_behind_the_last_table() {
        let some = watch(&[&["b", "a"], &["d", "c"]]);
        assert_eq!(some.tables_after(None), ["a", "b", "c", "d"]);
        assert_eq!(some.tables_after(Some("b")), ["c", "d", "a", "b"]);
        assert_eq!(some.tables_after(Some("z")), ["a", "b", "c", "d"]);
        some.preempt("a");
        assert!(some.is_ended(0) && !some.is_ended(1));
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
        let many = watch(&[&names]);
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
