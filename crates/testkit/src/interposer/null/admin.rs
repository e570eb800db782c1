//! Databases and their schema: created and changed at once, told as finished operations.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use spanferry_spanner_api::database_admin::{
    CreateDatabaseRequest, Database as DatabaseMessage, DatabaseDialect, UpdateDatabaseDdlMetadata,
    UpdateDatabaseDdlRequest,
};
use spanferry_spanner_api::longrunning::{Operation, operation};
use spanferry_spanner_api::rpc;
use tonic::Code;

use super::super::ddl;
use super::super::read::timestamp;
use super::super::refusal::Refusal;
use super::super::schema::Schema;
use super::{Database, Null, decode};

impl Null {
    pub(super) fn create_database(&self, message: &Bytes) -> Result<Operation, Refusal> {
        let request: CreateDatabaseRequest = decode(message)?;
        let id = request
            .create_statement
            .split_whitespace()
            .last()
            .unwrap_or_default();
        let name = format!("{}/databases/{}", request.parent, id.trim_matches(['`', '"']));
        let mut state = self.state();
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

    pub(super) fn update_ddl(&self, message: &Bytes) -> Result<Operation, Refusal> {
        let request: UpdateDatabaseDdlRequest = decode(message)?;
        let mut state = self.state();
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
        let at = timestamp(state.now());
        let database = state.database(&request.database)?;
        let mut applied = Vec::new();
        let mut error = None;
        for statement in &request.statements {
            match database.run(statement) {
                Ok(()) => applied.push(at),
                Err(refusal) => {
                    error = Some(refusal.status);
                    break;
                }
            }
        }
        let metadata = UpdateDatabaseDdlMetadata {
            database: request.database,
            statements: request.statements,
            commit_timestamps: applied,
            ..UpdateDatabaseDdlMetadata::default()
        };
        let any = |kind: &str, value: Vec<u8>| prost_types::Any {
            type_url: format!("type.googleapis.com/{kind}"),
            value,
        };
        let result = match error {
            Some(status) => operation::Result::Error(rpc::Status {
                code: status.code().into(),
                message: status.message().to_owned(),
                details: Vec::new(),
            }),
            None => operation::Result::Response(any("google.protobuf.Empty", Vec::new())),
        };
        let kind = "google.spanner.admin.database.v1.UpdateDatabaseDdlMetadata";
        let metadata = Some(any(kind, metadata.encode_to_vec()));
        let operation = Operation {
            name,
            metadata,
            done: true,
            result: Some(result),
        };
        state
            .operations
            .insert(operation.name.clone().into(), operation.clone());
        Ok(operation)
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

/// The dialect as the admin service tells it.
pub(super) fn dialect(postgres: bool) -> DatabaseDialect {
    if postgres {
        DatabaseDialect::Postgresql
    } else {
        DatabaseDialect::GoogleStandardSql
    }
}
