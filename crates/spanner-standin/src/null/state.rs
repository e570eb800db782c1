//! What the null mode remembers: databases, sessions, transactions and operations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use prost::Message;
use prost_types::Timestamp;
use spanferry_spanner_api::database_admin::UpdateDatabaseDdlRequest;
use spanferry_spanner_api::longrunning::Operation;
use spanferry_spanner_api::spanner::KeySet;
use tonic::Code;

use super::bounded::Bounded;
use crate::ddl_rules::Outlast;
use crate::refusal::{Refusal, Rule};
use crate::schema::Schema;
use crate::store::{Key, Row, Store};

/// Everything that the server remembers.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) databases: BTreeMap<String, Database>,
    pub(super) sessions: Bounded<Session>,
    pub(super) transactions: Bounded<Transaction>,
    pub(super) operations: Bounded<Operation>,
    pub(super) held: Vec<HeldDdl>,
    pub(super) slow: Option<SlowDdl>,
    number: u64,
    clock: u64,
}

/// One database with its rows.
#[derive(Debug, Default)]
pub(super) struct Database {
    pub(super) postgres: bool,
    pub(super) schema: Arc<Schema>,
    pub(super) statements: Vec<String>,
    pub(super) store: Store,
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) multiplexed: bool,
    pub(super) expired: bool,
}

/// What a read found: at the commit it must find the same.
pub(super) type Seen = (String, KeySet, Vec<(Key, Row)>);

/// One read-write transaction.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) session: String,
    pub(super) sequence: i32,
    pub(super) seen: Vec<Seen>,
    pub(super) used: bool,
    pub(super) committed: Option<u64>,
    pub(super) ended: bool,
}

/// An operation that waits behind a statement of which the work is not done.
#[derive(Debug)]
pub(super) struct HeldDdl {
    pub(super) name: String,
    pub(super) request: UpdateDatabaseDdlRequest,
    /// When each statement that is done was done.
    pub(super) applied: Vec<Timestamp>,
    /// What the statement creates that the operation waits behind.
    pub(super) object: String,
}

/// A call that has outlasted its caller's deadline.
#[derive(Debug)]
pub(super) enum SlowDdl {
    /// Its statements are at work; nothing of it shows.
    AtWork { message: Bytes, how: Outlast },
    /// Its statements are done; the operation is not known for so many calls and looks.
    Unknown { operation: Operation, left: u32 },
}

impl State {
    /// The time in nanoseconds, later at each call.
    pub(super) fn now(&mut self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_micros()).unwrap_or(0) * 1_000;
        self.clock = now.max(self.clock + 1_000);
        self.clock
    }

    /// A number that was not given before.
    pub(super) fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// A database by its name.
    pub(super) fn database(&mut self, name: &str) -> Result<&mut Database, Refusal> {
        self.databases
            .get_mut(name)
            .ok_or_else(|| Refusal::no_database(name))
    }

    /// The session's database, and whether it is multiplexed.
    pub(super) fn session(&self, name: &str) -> Result<(String, bool), Refusal> {
        let session = self.sessions.entries.get(name.as_bytes());
        match session {
            Some(session) if !session.expired => {
                let database = name.split("/sessions/").next().unwrap_or_default();
                Ok((database.to_owned(), session.multiplexed))
            }
            Some(_) => Err(Refusal::no_session(name, true)),
            None => Err(Refusal::no_session(name, false)),
        }
    }

    /// An open transaction of a session.
    pub(super) fn transaction(&mut self, session: &str, id: &[u8]) -> Result<&mut Transaction, Refusal> {
        match self.transactions.entries.get_mut(id) {
            Some(transaction) if transaction.session == session && !transaction.ended => Ok(transaction),
            Some(_) | None => {
                let message = format!("Transaction not found: {}", String::from_utf8_lossy(id));
                Err(Refusal::broken(Rule::Transaction, Code::NotFound, message))
            }
        }
    }
}

/// Reads a request.
pub(super) fn decode<M: Message + Default>(message: &Bytes) -> Result<M, Refusal> {
    M::decode(message.clone()).map_err(|_| Refusal::malformed())
}
