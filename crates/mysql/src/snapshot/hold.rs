//! What a snapshot session and the watch share: the connection, the tables that it holds, and
//! whether it was preempted.
//!
//! The server ends a session that is idle for too long, so that the snapshot of a client that has
//! vanished does not stay. A session that waits for work is therefore kept alive by pings.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use spanferry_core::plan::TablePlan;
use tokio::sync::{Notify, watch};

use crate::connection::Connection;
use crate::error::MysqlError;
use crate::sql;

/// How long the server is asked about the last statement of an ended session. A server that has not
/// ended it by then has lost the end of the socket, or cannot end the statement.
const LEAVE_MAX: Duration = Duration::from_secs(30);

/// One session's hold on tables.
///
/// A call of the session borrows the connection and returns it. The watch takes it away in between,
/// and a call that has it ends at once: either way the socket is closed from our side, and no
/// number of a connection is needed for it.
#[derive(Debug)]
pub(super) struct TableHold {
    state: Mutex<State>,
    /// Why the session was ended from our side, if it was.
    ended: watch::Sender<Option<Ended>>,
    /// Whether the server gives a table's lock back at the end of a range.
    gives_back: bool,
    /// A ping has ended.
    pinged: Notify,
    /// The server's number of the connection, if there was one.
    connection_id: Option<u32>,
}

/// Why a session was ended from our side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A statement waits for this table, which the session holds.
    Preempted(String),
    /// No task watches the session any more, for this reason: a statement that waits for it would
    /// wait for ever.
    Unwatched(String),
    /// The reader does not need it any more.
    Released,
}

impl Ended {
    /// The reason, for people.
    pub(crate) fn why(&self) -> String {
        match self {
            Ended::Preempted(table) => format!("a statement waits for {table}"),
            Ended::Unwatched(why) => why.clone(),
            Ended::Released => "its reader does not need it any more".to_owned(),
        }
    }
}

#[derive(Debug)]
struct State {
    /// Absent while a call uses it, and for ever after the session was preempted or a call failed.
    connection: Option<Connection>,
    /// A ping uses the connection, and gives it back.
    is_pinging: bool,
    /// Qualified and quoted names.
    tables: BTreeSet<String>,
    /// When the session was ended, while the server may still run its last statement.
    leaving_since: Option<Instant>,
}

impl TableHold {
    pub(super) fn new(connection: Option<Connection>, gives_back: bool) -> TableHold {
        TableHold {
            connection_id: connection.as_ref().map(Connection::id),
            state: Mutex::new(State {
                connection,
                is_pinging: false,
                tables: BTreeSet::new(),
                leaving_since: None,
            }),
            ended: watch::Sender::new(None),
            gives_back,
            pinged: Notify::new(),
        }
    }

    /// The session begins to read the table.
    pub(super) fn hold(&self, plan: &TablePlan) {
        self.hold_table(qualified(plan));
    }

    fn hold_table(&self, table: String) {
        self.lock().tables.insert(table);
    }

    /// The session has given back what the server lets it give back.
    pub(super) fn release(&self) {
        if self.gives_back {
            self.lock().tables.clear();
        }
    }

    /// The tables that it holds; none once it was ended.
    pub(super) fn tables(&self) -> Vec<String> {
        match self.ended() {
            Some(_) => Vec::new(),
            None => self.lock().tables.iter().cloned().collect(),
        }
    }

    /// Why the session was ended from our side, if it was.
    pub(super) fn ended(&self) -> Option<Ended> {
        self.ended.borrow().clone()
    }

    /// Takes the connection for a call, which gives it back by `give_back` if it succeeds. Waits
    /// until a ping has ended.
    pub(super) async fn borrow(&self) -> Result<Connection, MysqlError> {
        loop {
            let pinged = self.pinged.notified();
            {
                let mut state = self.lock();
                if let Some(connection) = state.connection.take() {
                    return Ok(connection);
                }
                if !state.is_pinging {
                    return Err(MysqlError::Protocol {
                        expected: "a session that has not ended",
                    });
                }
            }
            pinged.await;
        }
    }

    /// Sends a ping if no call uses the session and the server waits for a command. One that is not
    /// answered ends the session, as the next call finds.
    pub(super) async fn keep_alive(&self) {
        let Some(mut connection) = self.take_idle() else {
            return;
        };
        let answered = self.until_ended(connection.ping()).await;
        if let Err(error) = &answered {
            tracing::warn!(error = error.for_log(), "an idle snapshot session is lost");
        }
        if answered.is_ok() {
            self.give_back(connection);
        }
        self.lock().is_pinging = false;
        self.pinged.notify_waiters();
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut state = self.lock();
        let is_idle = state.connection.as_ref().is_some_and(Connection::is_idle);
        state.is_pinging = is_idle;
        state.connection.take_if(|_| is_idle)
    }

    /// Ends a call.
    pub(super) fn give_back(&self, connection: Connection) {
        let mut state = self.lock();
        if self.ended.borrow().is_none() {
            state.connection = Some(connection);
        }
    }

    /// Runs a call until it ends or the session is ended from our side.
    pub(super) async fn until_ended<R>(
        &self,
        call: impl Future<Output = Result<R, MysqlError>>,
    ) -> Result<R, MysqlError> {
        let mut ended = self.ended.subscribe();
        tokio::select! {
            biased;
            _ = ended.wait_for(Option::is_some) => Err(MysqlError::Protocol {
                expected: "a session that was not ended",
            }),
            result = call => result,
        }
    }

    /// Ends the session if it holds the table. Whether it did.
    pub(super) fn preempt(&self, table: &str) -> bool {
        if !self.tables().iter().any(|held| held == table) {
            return false;
        }
        self.end(Ended::Preempted(table.to_owned()));
        true
    }

    /// Ends the session. The first reason stays.
    pub(super) fn end(&self, why: Ended) {
        let is_first = self.ended.send_if_modified(|ended| {
            let is_first = ended.is_none();
            ended.get_or_insert(why);
            is_first
        });
        if !is_first {
            return;
        }
        // Behind the notice: a call that ends meanwhile no longer gives the connection back.
        let mut state = self.lock();
        let connection = state.connection.take();
        // The end of an idle connection is announced to the server, which runs no statement for it.
        if !connection.is_some_and(|connection| connection.is_idle()) {
            state.leaving_since = Some(Instant::now());
        }
    }

    /// Whether the session was ended and the server may still run its last statement.
    pub(super) fn is_leaving(&self) -> bool {
        let since = self.lock().leaving_since;
        since.is_some_and(|since| since.elapsed() < LEAVE_MAX)
    }

    /// The server's number of the session's connection.
    pub(super) fn connection_id(&self) -> Option<u32> {
        self.connection_id
    }

    /// The server has no statement of the ended session.
    pub(super) fn has_left(&self) {
        self.lock().leaving_since = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}

/// The table's name as a statement takes it.
pub(super) fn qualified(plan: &TablePlan) -> String {
    let name = plan.name();
    format!(
        "{}.{}",
        sql::identifier(&name.schema),
        sql::identifier(&name.table)
    )
}

#[cfg(test)]
impl TableHold {
    /// A session without a connection that holds tables.
    pub(super) fn of_tables(tables: &[&str]) -> TableHold {
        let hold = TableHold::new(None, true);
        for table in tables {
            hold.hold_table((*table).to_owned());
        }
        hold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_preempted_for_a_table_that_it_holds() {
        let hold = TableHold::new(None, true);
        assert!(!hold.preempt("a"));
        hold.hold_table("a".to_owned());
        hold.release();
        assert!(!hold.preempt("a"), "it was given back");
        hold.hold_table("b".to_owned());
        assert!(hold.preempt("b"));
        assert_eq!(hold.ended(), Some(Ended::Preempted("b".to_owned())));
        assert_eq!(hold.tables(), [""; 0]);
        assert!(!hold.preempt("b"), "once is enough");
    }

    #[test]
    fn a_session_that_cannot_give_back_holds_every_table_it_has_read() {
        let hold = TableHold::new(None, false);
        hold.hold_table("a".to_owned());
        hold.release();
        hold.hold_table("b".to_owned());
        assert_eq!(hold.tables(), ["a", "b"]);
        assert!(hold.preempt("a"));
    }

    #[tokio::test]
    async fn a_call_ends_when_its_session_is_preempted() {
        let hold = TableHold::new(None, true);
        hold.hold_table("a".to_owned());
        let call = hold.until_ended(std::future::pending::<Result<(), MysqlError>>());
        let (result, ()) = tokio::join!(call, async {
            assert!(hold.preempt("a"));
        });
        result.expect_err("it was preempted");
    }
}
