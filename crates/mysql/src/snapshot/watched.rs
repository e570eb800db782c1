//! A session under watch: a reader that uses it gives way to the statements that wait for its
//! tables.

use std::sync::Arc;

use spanferry_core::plan::TablePlan;

use super::hold::{Ended, TableHold};
use super::mark::Mark;
use super::watch::{self, Watch};
use crate::connection::Connection;
use crate::error::MysqlError;
use crate::source::MysqlSource;

/// One of the sessions of a watch.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Marks the statements of the session by which it holds tables.
    comment: String,
    hold: Arc<TableHold>,
    /// Runs as long as one of its sessions lives, or its last statement may run at the server.
    watch: Arc<Watch>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.hold.end(Ended::Released);
        self.watch.notify();
    }
}

/// Puts sessions under watch. All connections are to `server`; `probe` and `aide` are the watch's
/// own. `gives_back`: whether the sessions give a table's lock back after each statement or range.
pub(crate) async fn watch_sessions(
    source: &MysqlSource,
    server: String,
    mark: Arc<Mark>,
    [probe, aide]: [Connection; 2],
    sessions: Vec<Connection>,
    gives_back: bool,
) -> Result<Vec<Watched>, MysqlError> {
    let hold = |connection| Arc::new(TableHold::new(Some(connection), gives_back));
    let holds: Vec<Arc<TableHold>> = sessions.into_iter().map(hold).collect();
    let watch = Arc::new(Watch::new(mark, holds.clone()));
    watch::start(&watch, source, server, probe, aide).await?;
    let watched = |(number, hold)| Watched {
        comment: watch.comment(number),
        hold,
        watch: Arc::clone(&watch),
    };
    Ok(holds.into_iter().enumerate().map(watched).collect())
}

impl Watched {
    /// The comment that each statement on a table must carry, so that the watch may end it.
    pub(crate) fn comment(&self) -> &str {
        &self.comment
    }

    /// The session begins to read the table.
    pub(crate) fn hold(&self, plan: &TablePlan) {
        self.hold.hold(plan);
    }

    /// The session has given back what the server lets it give back.
    pub(crate) fn release(&self) {
        self.hold.release();
    }

    /// Why the session was ended from our side, if it was.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.hold.ended()
    }

    /// Takes the connection for questions that hold no table; `give_back` returns it.
    pub(crate) async fn borrow(&self) -> Result<Connection, MysqlError> {
        self.hold.borrow().await
    }

    /// Returns the connection.
    pub(crate) fn give_back(&self, connection: Connection) {
        self.hold.give_back(connection);
    }

    /// Runs a call on the session's connection until it ends or the session is ended. A call that
    /// fails ends the session.
    pub(crate) async fn call<R>(
        &self,
        call: impl AsyncFnOnce(&mut Connection) -> Result<R, MysqlError>,
    ) -> Result<R, MysqlError> {
        let mut connection = self.hold.borrow().await?;
        let result = self.hold.until_ended(call(&mut connection)).await?;
        self.hold.give_back(connection);
        Ok(result)
    }
}

#[cfg(test)]
impl Watched {
    /// A session without a connection whose watch panics with `text`.
    pub(super) fn panicking(text: &'static str) -> Watched {
        let hold = Arc::new(TableHold::new(None, true));
        Watched {
            comment: String::new(),
            hold: Arc::clone(&hold),
            watch: watch::panicking(vec![hold], text),
        }
    }

    /// Runs a call that never ends by itself.
    pub(super) async fn endless_call(&self) -> MysqlError {
        let call = self
            .hold
            .until_ended(std::future::pending::<Result<(), MysqlError>>());
        call.await.expect_err("the session was ended")
    }
}
