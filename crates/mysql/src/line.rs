//! The one connection by which the source is asked: one question at a time, and one login for
//! questions that follow one another.

use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};

use crate::connection::Connection;
use crate::error::MysqlError;
use crate::login::Login;
use crate::options::Options;

/// Age up to which a connection may ask where the source stands and what it holds. An older one
/// could still reach the server that was failed over from (docs/design/hand-off.md, step 14).
pub(crate) const FRESH: Duration = Duration::from_secs(1);
/// Age up to which a connection may ask what does not depend on which server stands behind the
/// address now.
pub(crate) const KEPT: Duration = Duration::from_secs(60);

/// The connection that is kept between questions, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Line {
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    connection: Connection,
    opened: Instant,
}

/// The connection of a question under way. Dropped, it is closed; `keep` leaves it to the next
/// question.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    slot: MutexGuard<'a, Option<Kept>>,
    kept: Kept,
}

impl Line {
    /// The connection for a question, no older than `age_max`. Waits until the question before has
    /// its answer.
    pub(crate) async fn ask(
        &self,
        login: &Login,
        options: &Options,
        age_max: Duration,
    ) -> Result<Asking<'_>, MysqlError> {
        let mut slot = self.kept.lock().await;
        let is_good = |kept: &Kept| kept.opened.elapsed() <= age_max && kept.connection.is_quiet();
        let known = slot.take().filter(is_good);
        let kept = match known {
            Some(kept) => kept,
            None => {
                // Before the login: what it reaches is as old as the address's look-up.
                let opened = Instant::now();
                let connection = login.open(options).await?;
                Kept { connection, opened }
            }
        };
        Ok(Asking { slot, kept })
    }
}

impl Asking<'_> {
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.kept.connection
    }

    /// Leaves the connection to the next question: it has given its whole answer.
    pub(crate) fn keep(mut self) {
        *self.slot = Some(self.kept);
    }
}
