//! The null mode: databases, sessions, transactions and kept rows in memory.

mod admin;
mod bounded;
mod slow_ddl;
mod state;

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use spanferry_spanner_api::database_admin::{
    Database as DatabaseMessage, DropDatabaseRequest, GetDatabaseDdlRequest, GetDatabaseDdlResponse,
    GetDatabaseRequest,
};
use spanferry_spanner_api::instance_admin::{GetInstanceRequest, Instance};
use spanferry_spanner_api::longrunning::GetOperationRequest;
use spanferry_spanner_api::spanner::commit_response::CommitStats;
use spanferry_spanner_api::spanner::transaction_options::{Mode, read_only::TimestampBound};
use spanferry_spanner_api::spanner::transaction_selector::Selector;
use spanferry_spanner_api::spanner::{
    BeginTransactionRequest, CommitResponse, CreateSessionRequest, DeleteSessionRequest, ExecuteSqlRequest,
    KeySet, MultiplexedSessionPrecommitToken, ReadRequest, RollbackRequest, Session as SessionMessage,
    Transaction as TransactionMessage,
};
use tonic::Code;

use crate::message::{Change, CommitIn, changes, commit_head};
use crate::read::{Answer, nanoseconds, resume, timestamp};
use crate::refusal::{Refusal, Rule, retryable};
use crate::schema::Table;
use crate::server::{Call, Messages, single};
use crate::store::{NULL, Row, Staged};
use crate::{Shared, catalog, check};
use admin::dialect;
use state::{Session, State, Transaction, decode};

const CONTROL_PREFIX: &str = "spanferry_";

/// The server's memory.
#[derive(Debug)]
pub(crate) struct Null {
    keep_all: bool,
    state: Mutex<State>,
}

fn token(id: &[u8], transaction: &mut Transaction) -> MultiplexedSessionPrecommitToken {
    transaction.sequence += 1;
    let text = format!("token {} {}", String::from_utf8_lossy(id), transaction.sequence);
    MultiplexedSessionPrecommitToken {
        precommit_token: text.into(),
        seq_num: transaction.sequence,
    }
}

impl Null {
    pub(crate) fn new(keep_all: bool) -> Null {
        Null {
            keep_all,
            state: Mutex::new(State::default()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    fn keeps(&self, table: &str) -> bool {
        self.keep_all || table.starts_with(CONTROL_PREFIX)
    }

    pub(crate) fn held_ddl(&self) -> Vec<String> {
        admin::held_ddl(&self.state())
    }

    /// Lets the operation that is held at this object continue; false if there is none.
    pub(crate) fn finish_ddl(&self, shared: &Shared, object: &str, succeeds: bool) -> bool {
        admin::finish_ddl(&mut self.state(), &shared.ddl_rules, object, succeeds)
    }

    pub(crate) fn expire_sessions(&self) {
        self.state()
            .sessions
            .entries
            .values_mut()
            .for_each(|session| session.expired = true);
    }

    /// A token that the commit must come back with, if it is one of a transaction.
    pub(crate) fn retry_token(&self, message: &[u8]) -> Result<MultiplexedSessionPrecommitToken, Refusal> {
        let head = commit_head(message)?;
        match head.transaction {
            Some(CommitIn::Id(id)) => Ok(token(id, self.state().transaction(head.session, id)?)),
            Some(CommitIn::SingleUse) | None => Ok(MultiplexedSessionPrecommitToken {
                precommit_token: "single".into(),
                seq_num: 1,
            }),
        }
    }

    pub(crate) fn answer(&self, shared: &Shared, call: &Call) -> Result<Messages, Refusal> {
        let message = &call.message;
        match call.method() {
            "Commit" => self.commit(shared, message).map(|answer| single(&answer)),
            "CreateSession" => self.create_session(message).map(|answer| single(&answer)),
            "DeleteSession" => {
                let request: DeleteSessionRequest = decode(message)?;
                self.state().sessions.entries.remove(request.name.as_bytes());
                Ok(single(&()))
            }
            "BeginTransaction" => self.begin(message).map(|answer| single(&answer)),
            "Rollback" => {
                let request: RollbackRequest = decode(message)?;
                // OK also for a transaction that has ended or was never there (spanner.proto,
                // `Rollback`).
                if let Ok(transaction) = self
                    .state()
                    .transaction(&request.session, &request.transaction_id)
                {
                    transaction.ended = true;
                }
                Ok(single(&()))
            }
            "StreamingRead" => self.read(message),
            "ExecuteStreamingSql" => self.query(message),
            "GetInstance" => {
                let GetInstanceRequest { name, .. } = decode(message)?;
                Ok(single(&Instance {
                    name,
                    processing_units: 1_000,
                    node_count: 1,
                    ..Instance::default()
                }))
            }
            "CreateDatabase" => {
                admin::create_database(&mut self.state(), message).map(|answer| single(&answer))
            }
            "DropDatabase" => {
                let request: DropDatabaseRequest = decode(message)?;
                self.state().databases.remove(&request.database);
                Ok(single(&()))
            }
            "GetDatabase" => {
                let request: GetDatabaseRequest = decode(message)?;
                let mut state = self.state();
                let postgres = state.database(&request.name)?.postgres;
                let database_dialect = dialect(postgres).into();
                Ok(single(&DatabaseMessage {
                    name: request.name,
                    database_dialect,
                    ..DatabaseMessage::default()
                }))
            }
            "GetDatabaseDdl" => {
                let request: GetDatabaseDdlRequest = decode(message)?;
                let statements = self.state().database(&request.database)?.statements.clone();
                Ok(single(&GetDatabaseDdlResponse {
                    statements,
                    ..GetDatabaseDdlResponse::default()
                }))
            }
            "UpdateDatabaseDdl" => slow_ddl::update_ddl(&mut self.state(), &shared.ddl_rules, message)
                .map(|answer| single(&answer)),
            "GetOperation" => {
                let request: GetOperationRequest = decode(message)?;
                let mut state = self.state();
                slow_ddl::time_passes(&mut state, &shared.ddl_rules);
                let found = state.operations.entries.get(request.name.as_bytes());
                let missing =
                    || Refusal::answer(Code::NotFound, format!("Operation not found: {}", request.name));
                found.map(single).ok_or_else(missing)
            }
            method => {
                let message = format!("the null mode does not answer {method}");
                Err(Refusal::broken(Rule::Unsupported, Code::Unimplemented, message))
            }
        }
    }

    fn create_session(&self, message: &Bytes) -> Result<SessionMessage, Refusal> {
        let request: CreateSessionRequest = decode(message)?;
        let mut state = self.state();
        state.database(&request.database)?;
        let name = format!("{}/sessions/s{}", request.database, state.next());
        let multiplexed = request.session.is_some_and(|session| session.multiplexed);
        state.sessions.insert(
            name.clone().into(),
            Session {
                multiplexed,
                expired: false,
            },
        );
        Ok(SessionMessage {
            name,
            multiplexed,
            ..SessionMessage::default()
        })
    }

    fn begin(&self, message: &Bytes) -> Result<TransactionMessage, Refusal> {
        let request: BeginTransactionRequest = decode(message)?;
        let mut state = self.state();
        let (_, multiplexed) = state.session(&request.session)?;
        if !matches!(
            request.options.and_then(|options| options.mode),
            Some(Mode::ReadWrite(_))
        ) {
            let message = "the null mode begins read-write transactions only";
            return Err(Refusal::broken(Rule::Unsupported, Code::Unimplemented, message));
        }
        let id = Bytes::from(format!("t{}", state.next()));
        let mut transaction = Transaction {
            session: request.session,
            ..Transaction::default()
        };
        let precommit_token =
            (multiplexed && request.mutation_key.is_some()).then(|| token(&id, &mut transaction));
        transaction.used = precommit_token.is_some();
        state.transactions.insert(id.clone(), transaction);
        Ok(TransactionMessage {
            id,
            precommit_token,
            ..TransactionMessage::default()
        })
    }

    fn read(&self, message: &Bytes) -> Result<Messages, Refusal> {
        let request: ReadRequest = decode(message)?;
        let resumed = resume(&request.resume_token)?;
        let mut state = self.state();
        let (name, multiplexed) = state.session(&request.session)?;
        let now = state.now();
        let selector = request.transaction.clone().and_then(|selector| selector.selector);
        let at = match (&resumed, read_time(selector.as_ref())?) {
            (Some((at, _)), _) => *at,
            (None, Some(at)) => at,
            (None, None) => now,
        };
        let database = state.database(&name)?;
        let table = database.schema.table(&request.table).cloned();
        let table = table.ok_or_else(|| Refusal::unknown_table(&request.table))?;
        let positions = positions(&table, &request.columns)?;
        let keys = request.key_set.unwrap_or_default();
        let kept = self.keeps(&table.name) && request.index.is_empty();
        let found = if kept {
            database.store.read(&table, &keys, at)?
        } else {
            Vec::new()
        };
        let mut answer = Answer {
            at,
            ..Answer::default()
        };
        answer.columns = positions
            .iter()
            .map(|position| &table.columns[*position])
            .map(|column| (column.name.clone(), column.ty.wire()))
            .collect();
        let limit = usize::try_from(request.limit)
            .ok()
            .filter(|limit| *limit > 0)
            .unwrap_or(usize::MAX);
        let cell =
            |row: &Row, position: usize| row.get(position).cloned().unwrap_or(Bytes::from_static(NULL));
        let project = |row: &Row| positions.iter().map(|position| cell(row, *position)).collect();
        answer.rows = found.iter().take(limit).map(|(_, row)| project(row)).collect();
        if let Some(Selector::Id(id)) = selector {
            let transaction = state.transaction(&request.session, &id)?;
            transaction.used = true;
            transaction.seen.push((table.name.clone(), keys, found));
            answer.token = multiplexed.then(|| token(&id, transaction));
        }
        Ok(answer.stream(resumed.map_or(0, |(_, row)| row)))
    }

    fn query(&self, message: &Bytes) -> Result<Messages, Refusal> {
        let request: ExecuteSqlRequest = decode(message)?;
        let mut state = self.state();
        let (name, _) = state.session(&request.session)?;
        let at = state.now();
        let database = state.database(&name)?;
        let counted = catalog::counted_table(&database.schema, &request.sql);
        let answered = match counted {
            Some(table) => {
                let all = KeySet {
                    all: true,
                    ..KeySet::default()
                };
                Some((
                    1,
                    vec![catalog::number(database.store.read(table, &all, at)?.len())],
                ))
            }
            None => catalog::answer(&database.schema, database.postgres, &request.sql),
        };
        let Some((columns, rows)) = answered else {
            let message = format!("the null mode does not answer: {}", request.sql);
            return Err(Refusal::broken(Rule::Unsupported, Code::Unimplemented, message));
        };
        let columns =
            (0..columns).map(|number| (format!("c{number}"), super::schema::ColumnType::Other.wire()));
        let answer = Answer {
            columns: columns.collect(),
            rows,
            at,
            token: None,
        };
        Ok(answer.stream(resume(&request.resume_token)?.map_or(0, |(_, row)| row)))
    }

    fn commit(&self, shared: &Shared, message: &Bytes) -> Result<CommitResponse, Refusal> {
        let head = commit_head(message)?;
        let (name, schema, multiplexed) = {
            let mut state = self.state();
            let (name, multiplexed) = state.session(head.session)?;
            let schema = Arc::clone(&state.database(&name)?.schema);
            (name, schema, multiplexed)
        };
        let tally = check::commit(&schema, message, shared.check)?;
        let mut state = self.state();
        if let Some(CommitIn::Id(id)) = head.transaction {
            let transaction = state.transaction(head.session, id)?;
            if let Some(at) = transaction.committed {
                return Ok(CommitResponse {
                    commit_timestamp: Some(timestamp(at)),
                    ..CommitResponse::default()
                });
            }
            check_token(transaction, multiplexed, head.token)?;
            let seen = std::mem::take(&mut transaction.seen);
            let database = state.database(&name)?;
            for (table, keys, rows) in seen {
                let table = schema
                    .table(&table)
                    .ok_or_else(|| Refusal::unknown_table(&table))?;
                if database.store.read(table, &keys, u64::MAX)? != rows {
                    state.transaction(head.session, id)?.ended = true;
                    let delay = Some(std::time::Duration::from_millis(1));
                    return Err(retryable(
                        Code::Aborted,
                        "Transaction was aborted: a row read has changed.",
                        delay,
                    )
                    .into());
                }
            }
        } else if head.transaction.is_none() {
            return Err(Refusal::broken(
                Rule::Malformed,
                Code::InvalidArgument,
                "No transaction in the commit.",
            ));
        }
        let database = state.database(&name)?;
        let mut staged = Staged::default();
        for change in changes(message) {
            let change = change?;
            let (Change::Write { table, .. } | Change::Delete { table, .. }) = &change;
            if self.keeps(table) {
                database.store.stage(&mut staged, &schema, &change)?;
            }
        }
        let at = state.now();
        state.database(&name)?.store.apply(staged, at);
        if let Some(CommitIn::Id(id)) = head.transaction {
            state.transaction(head.session, id)?.committed = Some(at);
        }
        drop(state);
        shared.count(tally.rows, message.len());
        let mutation_count = i64::try_from(tally.mutations).unwrap_or(i64::MAX);
        let commit_stats = head.stats.then_some(CommitStats { mutation_count });
        Ok(CommitResponse {
            commit_timestamp: Some(timestamp(at)),
            commit_stats,
            ..CommitResponse::default()
        })
    }
}

fn positions(table: &Table, columns: &[String]) -> Result<Vec<usize>, Refusal> {
    let position = |column: &String| {
        table
            .position(column)
            .ok_or_else(|| Refusal::unknown_column(&table.name, column))
    };
    columns.iter().map(position).collect()
}

/// When a read sees the database, if not now.
fn read_time(selector: Option<&Selector>) -> Result<Option<u64>, Refusal> {
    match selector {
        Some(Selector::SingleUse(options)) => match &options.mode {
            Some(Mode::ReadOnly(only)) => match &only.timestamp_bound {
                Some(TimestampBound::ReadTimestamp(at)) => Ok(Some(nanoseconds(*at))),
                _ => Ok(None),
            },
            _ => Ok(None),
        },
        Some(Selector::Id(_)) | None => Ok(None),
        Some(Selector::Begin(_)) => {
            let message = "the null mode does not begin transactions inline";
            Err(Refusal::broken(Rule::Unsupported, Code::Unimplemented, message))
        }
    }
}

fn check_token(
    transaction: &Transaction,
    multiplexed: bool,
    token: Option<(&[u8], u64)>,
) -> Result<(), Refusal> {
    if !multiplexed {
        return Ok(());
    }
    let refuse = |message: &str| {
        Err(Refusal::broken(
            Rule::PrecommitToken,
            Code::FailedPrecondition,
            message,
        ))
    };
    if !transaction.used {
        return refuse(
            "A transaction of a multiplexed session that only writes needs a mutation key at its begin.",
        );
    }
    let expected = u64::try_from(transaction.sequence).unwrap_or(0);
    if token.is_none_or(|(_, sequence)| sequence != expected) {
        return refuse("The commit does not carry the newest precommit token of its transaction.");
    }
    Ok(())
}
