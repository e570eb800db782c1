//! Databases and their schema: created at once, changed by operations that are done at once unless
//! they are held.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use spanferry_spanner_api::database_admin::{
    CreateDatabaseRequest, Database as DatabaseMessage, DatabaseDialect, UpdateDatabaseDdlMetadata,
    UpdateDatabaseDdlRequest,
};
use spanferry_spanner_api::longrunning::{Operation, operation};
use spanferry_spanner_api::rpc;
use tonic::{Code, Status};

use super::state::{Database, HeldDdl, State, decode};
use crate::ddl;
use crate::ddl_rules::{DdlRules, DdlStage};
use crate::read::timestamp;
use crate::refusal::Refusal;
use crate::schema::Schema;

/// Creates a database; the operation is done at once.
pub(super) fn create_database(state: &mut State, message: &Bytes) -> Result<Operation, Refusal> {
    let request: CreateDatabaseRequest = decode(message)?;
    let id = request
        .create_statement
        .split_whitespace()
        .last()
        .unwrap_or_default();
    let name = format!("{}/databases/{}", request.parent, id.trim_matches(['`', '"']));
    if state.databases.contains_key(&name) {
        return Err(Refusal::answer(
            Code::AlreadyExists,
            format!("Database already exists: {name}"),
        ));
    }
    let postgres = request.database_dialect() == DatabaseDialect::Postgresql;
    let mut database = Database {
        postgres,
        ..Database::default()
    };
    for statement in &request.extra_statements {
        database.run(statement)?;
    }
    state.databases.insert(name.clone(), database);
    let database_dialect = dialect(postgres).into();
    let database = DatabaseMessage {
        name: name.clone(),
        database_dialect,
        ..DatabaseMessage::default()
    };
    let response = prost_types::Any {
        type_url: "type.googleapis.com/google.spanner.admin.database.v1.Database".to_owned(),
        value: database.encode_to_vec(),
    };
    let operation = Operation {
        name: format!("{name}/operations/_auto_{}", state.next()),
        done: true,
        result: Some(operation::Result::Response(response)),
        metadata: None,
    };
    state
        .operations
        .insert(operation.name.clone().into(), operation.clone());
    Ok(operation)
}

/// As the service does: the whole call is judged against the schema first, then its statements
/// are run by an operation.
pub(super) fn update_ddl(state: &mut State, rules: &DdlRules, message: &Bytes) -> Result<Operation, Refusal> {
    let request: UpdateDatabaseDdlRequest = decode(message)?;
    let id = match request.operation_id.as_str() {
        "" => format!("_auto_{}", state.next()),
        id => id.to_owned(),
    };
    let name = format!("{}/operations/{id}", request.database);
    if state.operations.entries.contains_key(name.as_bytes()) {
        return Err(Refusal::answer(
            Code::AlreadyExists,
            format!("Operation already exists: {name}"),
        ));
    }
    let mut judged = Schema::clone(&state.database(&request.database)?.schema);
    for statement in &request.statements {
        ddl::apply(&mut judged, statement)?;
    }
    let work = HeldDdl {
        name,
        request,
        applied: Vec::new(),
        object: String::new(),
    };
    state.proceed(rules, work)
}

/// What each held operation waits for.
pub(super) fn held_ddl(state: &State) -> Vec<String> {
    state.held.iter().map(|held| held.object.clone()).collect()
}

/// Lets the operation that is held at this object continue; false if there is none.
pub(super) fn finish_ddl(state: &mut State, rules: &DdlRules, object: &str, succeeds: bool) -> bool {
    let Some(place) = state.held.iter().position(|held| held.object == object) else {
        return false;
    };
    let mut work = state.held.remove(place);
    let at = timestamp(state.now());
    let Ok(database) = state.database(&work.request.database) else {
        return false;
    };
    let mut schema = Schema::clone(&database.schema);
    if succeeds {
        schema.set_unfinished(object, false);
        work.applied.push(at);
    } else {
        schema.forget(object);
    }
    database.schema = Arc::new(schema);
    if succeeds {
        return state.proceed(rules, work).is_ok();
    }
    let error = Status::failed_precondition(format!("The stand-in ends the work on `{object}`."));
    state.end(work, Some(error));
    true
}

impl State {
    /// Runs statements until the end, a refusal, or one whose work is held.
    fn proceed(&mut self, rules: &DdlRules, mut work: HeldDdl) -> Result<Operation, Refusal> {
        while let Some(statement) = work.request.statements.get(work.applied.len()) {
            let at = timestamp(self.now());
            let database = self.database(&work.request.database)?;
            let ran = match rules.refusal(statement, DdlStage::Operation) {
                Some(status) => Err(status),
                None => database.run(statement).map_err(|refusal| refusal.status),
            };
            if let Err(status) = ran {
                return Ok(self.end(work, Some(status)));
            }
            if let Some(object) = rules.take_held(statement) {
                let mut schema = Schema::clone(&database.schema);
                schema.set_unfinished(&object, true);
                database.schema = Arc::new(schema);
                work.object = object;
                let operation = work.operation(None);
                self.operations
                    .insert(operation.name.clone().into(), operation.clone());
                self.held.push(work);
                return Ok(operation);
            }
            work.applied.push(at);
        }
        Ok(self.end(work, None))
    }

    fn end(&mut self, work: HeldDdl, error: Option<Status>) -> Operation {
        let result = match error {
            Some(status) => operation::Result::Error(rpc::Status {
                code: status.code().into(),
                message: status.message().to_owned(),
                details: Vec::new(),
            }),
            None => operation::Result::Response(any("google.protobuf.Empty", Vec::new())),
        };
        let operation = work.operation(Some(result));
        self.operations
            .insert(operation.name.clone().into(), operation.clone());
        operation
    }
}

impl HeldDdl {
    /// The set state: done if it has a result.
    fn operation(&self, result: Option<operation::Result>) -> Operation {
        let metadata = UpdateDatabaseDdlMetadata {
            database: self.request.database.clone(),
            statements: self.request.statements.clone(),
            commit_timestamps: self.applied.clone(),
            ..UpdateDatabaseDdlMetadata::default()
        };
        let kind = "google.spanner.admin.database.v1.UpdateDatabaseDdlMetadata";
        Operation {
            name: self.name.clone(),
            metadata: Some(any(kind, metadata.encode_to_vec())),
            done: result.is_some(),
            result,
        }
    }
}

fn any(kind: &str, value: Vec<u8>) -> prost_types::Any {
    prost_types::Any {
        type_url: format!("type.googleapis.com/{kind}"),
        value,
    }
}

impl Database {
    fn run(&mut self, statement: &str) -> Result<(), Refusal> {
        let before: Vec<String> = self.schema.tables.keys().cloned().collect();
        let mut schema = Schema::clone(&self.schema);
        ddl::apply(&mut schema, statement)?;
        for table in before.iter().filter(|table| !schema.tables.contains_key(*table)) {
            self.store.drop_table(table);
        }
        self.schema = Arc::new(schema);
        self.statements.push(statement.to_owned());
        Ok(())
    }
}

/// The dialect as the admin service returns it.
pub(super) fn dialect(postgres: bool) -> DatabaseDialect {
    if postgres {
        DatabaseDialect::Postgresql
    } else {
        DatabaseDialect::GoogleStandardSql
    }
}
