//! The admin services: databases, their schema, long-running operations, instances.

use std::future::Future;
use std::time::Duration;

use prost::Message;
use spanferry_core::target_schema::Dialect;
use spanferry_spanner_api::database_admin::database_admin_client::DatabaseAdminClient;
use spanferry_spanner_api::database_admin::{
    CreateDatabaseRequest, DatabaseDialect, DropDatabaseRequest, GetDatabaseDdlRequest, GetDatabaseRequest,
    UpdateDatabaseDdlMetadata, UpdateDatabaseDdlRequest,
};
use spanferry_spanner_api::instance_admin::GetInstanceRequest;
use spanferry_spanner_api::instance_admin::instance_admin_client::InstanceAdminClient;
use spanferry_spanner_api::longrunning::operations_client::OperationsClient;
use spanferry_spanner_api::longrunning::{GetOperationRequest, Operation, operation};
use spanferry_spanner_api::rpc;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::backoff::{Backoff, retry};
use crate::channel::MESSAGE_BYTES_MAX;
use crate::client::{CALL_DEADLINE, Client, Route};
use crate::error::SpannerError;
use crate::row::Cells;

/// How long DDL that is refused because of other work on the database is tried again.
const DDL_CONTENTION_BUDGET: Duration = Duration::from_secs(120);
/// Most statements of one DDL call: the emulator answers a call only when all of them are done, each slower than the one before.
const DDL_STATEMENTS_MAX: usize = 50;
/// What the emulator says while a read-write transaction or another schema change is active.
const DDL_CONTENTION: &str = "concurrent schema change operation or read-write transaction";

/// What is known of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceInfo {
    /// Its configuration: where it runs.
    pub config: String,
    /// Processing units: 1,000 are a node.
    pub processing_units: i32,
}

/// DDL that came to an end without success.
#[derive(Debug, thiserror::Error)]
#[error("statement {} of the batch", .applied + 1)]
pub struct DdlError {
    /// Statements before it, all of them done.
    pub applied: usize,
    /// Why the next one was not done.
    #[source]
    pub cause: SpannerError,
}

impl Client {
    fn databases(&self) -> DatabaseAdminClient<Channel> {
        DatabaseAdminClient::new(self.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Makes one admin call with retries; it must be one that repeats harmlessly.
    async fn admin<M, T, F>(
        &self,
        object: &str,
        message: M,
        key: (&str, &str),
        call: impl Fn(Request<M>) -> F,
    ) -> Result<T, SpannerError>
    where
        M: Clone,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        retry(|| async {
            let request = self
                .request(message.clone(), key, Route::Any, CALL_DEADLINE)
                .await?;
            let answer = call(request).await;
            answer
                .map(Response::into_inner)
                .map_err(|status| self.error(object, &status))
        })
        .await
    }

    /// The database's dialect. A missing database or instance is `Rejected` with `NOT_FOUND`.
    pub async fn dialect(&self) -> Result<Dialect, SpannerError> {
        let message = GetDatabaseRequest {
            name: self.path().to_owned(),
        };
        let call = |request| async { self.databases().get_database(request).await };
        let database = self
            .admin("its dialect", message, ("name", self.path()), call)
            .await?;
        match database.database_dialect() {
            DatabaseDialect::Postgresql => Ok(Dialect::PostgreSql),
            DatabaseDialect::GoogleStandardSql => Ok(Dialect::GoogleSql),
            DatabaseDialect::Unspecified => self.dialect_option().await,
        }
    }

    /// The dialect as the database itself says; the emulator's admin service does not tell it.
    async fn dialect_option(&self) -> Result<Dialect, SpannerError> {
        let sql = "SELECT option_value FROM information_schema.database_options WHERE option_name = 'database_dialect'";
        let rows = self.query("its dialect", sql).await?.collect().await?;
        let option = rows.first().and_then(|row| Cells::new(row).text().ok());
        match option {
            Some("POSTGRESQL") => Ok(Dialect::PostgreSql),
            // Databases older than the option do not have it.
            Some("GOOGLE_STANDARD_SQL") | None => Ok(Dialect::GoogleSql),
            Some(_) => Err(SpannerError::malformed(
                self.object("its dialect"),
                "GOOGLE_STANDARD_SQL or POSTGRESQL",
            )),
        }
    }

    /// The instance; a missing one is `Rejected` with `NOT_FOUND`.
    pub async fn instance(&self) -> Result<InstanceInfo, SpannerError> {
        let name = self.name().instance_path();
        let message = GetInstanceRequest {
            name: name.clone(),
            field_mask: None,
        };
        let call = |request| async {
            InstanceAdminClient::new(self.channel())
                .get_instance(request)
                .await
        };
        let instance = self.admin("its instance", message, ("name", &name), call).await?;
        Ok(InstanceInfo {
            config: instance.config,
            processing_units: instance.processing_units,
        })
    }

    /// The statements that would create the schema anew.
    pub async fn schema_statements(&self) -> Result<Vec<String>, SpannerError> {
        let message = GetDatabaseDdlRequest {
            database: self.path().to_owned(),
        };
        let call = |request| async { self.databases().get_database_ddl(request).await };
        Ok(self
            .admin("its schema", message, ("database", self.path()), call)
            .await?
            .statements)
    }

    /// Creates the database and waits for it. One that is there is `Rejected` with `ALREADY_EXISTS`, which may also be
    /// an earlier attempt of the same call.
    pub async fn create_database(&self, dialect: Dialect) -> Result<(), SpannerError> {
        let id = self.name().database();
        let (create_statement, dialect) = match dialect {
            Dialect::GoogleSql => (
                format!("CREATE DATABASE `{id}`"),
                DatabaseDialect::GoogleStandardSql,
            ),
            Dialect::PostgreSql => (format!("CREATE DATABASE \"{id}\""), DatabaseDialect::Postgresql),
        };
        let parent = self.name().instance_path();
        let message = CreateDatabaseRequest {
            parent: parent.clone(),
            create_statement,
            database_dialect: dialect as i32,
            ..CreateDatabaseRequest::default()
        };
        let call = |request| async { self.databases().create_database(request).await };
        let operation = self
            .admin("its creation", message, ("parent", &parent), call)
            .await?;
        self.finish("its creation", operation).await.map(|_| ())
    }

    /// Drops the database with everything in it; a missing one is no error.
    pub async fn drop_database(&self) -> Result<(), SpannerError> {
        let message = DropDatabaseRequest {
            database: self.path().to_owned(),
        };
        let call = |request| async { self.databases().drop_database(request).await };
        self.admin("its removal", message, ("database", self.path()), call)
            .await
    }

    /// Runs DDL statements in order, in as few calls as may be, and waits for their end, however long that takes.
    ///
    /// `operation_id` (a letter, then letters, digits and `_`) makes the call repeatable: a batch that was accepted under it
    /// before is waited for, not run again. Statements before a failing one stay done.
    pub async fn update_ddl(&self, statements: &[String], operation_id: &str) -> Result<(), DdlError> {
        let mut applied = 0;
        let mut backoff = Backoff::new(DDL_CONTENTION_BUDGET);
        for call in 0_usize.. {
            // A refused operation keeps its id, so each call after the first needs one of its own.
            let id = match call {
                0 => operation_id.to_owned(),
                _ => format!("{operation_id}_{call}"),
            };
            let end = statements.len().min(applied + DDL_STATEMENTS_MAX);
            match self.update_ddl_once(&statements[applied..end], &id).await {
                Ok(()) if end == statements.len() => break,
                Ok(()) => {
                    applied = end;
                    backoff = Backoff::new(DDL_CONTENTION_BUDGET);
                }
                Err(mut error) => {
                    applied += error.applied;
                    error.applied = applied;
                    if !is_contention(&error.cause) {
                        return Err(error);
                    }
                    backoff
                        .wait(error.cause)
                        .await
                        .map_err(|cause| DdlError { applied, cause })?;
                }
            }
        }
        Ok(())
    }

    async fn update_ddl_once(&self, statements: &[String], operation_id: &str) -> Result<(), DdlError> {
        const OBJECT: &str = "its schema change";
        let message = UpdateDatabaseDdlRequest {
            database: self.path().to_owned(),
            statements: statements.to_vec(),
            operation_id: operation_id.to_owned(),
            ..UpdateDatabaseDdlRequest::default()
        };
        let unapplied = |cause| DdlError { applied: 0, cause };
        let call = |request| async { self.databases().update_database_ddl(request).await };
        let operation = match self.admin(OBJECT, message, ("database", self.path()), call).await {
            Ok(operation) => operation,
            Err(error) if error.rejection() == Some(Code::AlreadyExists) => {
                let name = format!("{}/operations/{operation_id}", self.path());
                self.operation(OBJECT, &name).await.map_err(unapplied)?
            }
            Err(error) => return Err(unapplied(error)),
        };
        let operation = self
            .finish_operation(OBJECT, operation)
            .await
            .map_err(unapplied)?;
        result(self, OBJECT, &operation).map_err(|cause| DdlError {
            applied: applied_statements(&operation),
            cause,
        })
    }

    async fn finish(&self, object: &str, operation: Operation) -> Result<Operation, SpannerError> {
        let operation = self.finish_operation(object, operation).await?;
        result(self, object, &operation).map(|()| operation)
    }

    /// Looks at an operation until it is done.
    async fn finish_operation(
        &self,
        object: &str,
        mut operation: Operation,
    ) -> Result<Operation, SpannerError> {
        let mut backoff = Backoff::new(Duration::MAX);
        while !operation.done {
            backoff.pause().await;
            operation = self.operation(object, &operation.name.clone()).await?;
        }
        Ok(operation)
    }

    async fn operation(&self, object: &str, name: &str) -> Result<Operation, SpannerError> {
        let message = GetOperationRequest {
            name: name.to_owned(),
        };
        let call = |request| async { OperationsClient::new(self.channel()).get_operation(request).await };
        self.admin(object, message, ("name", name), call).await
    }
}

fn result(client: &Client, object: &str, operation: &Operation) -> Result<(), SpannerError> {
    match &operation.result {
        Some(operation::Result::Error(rpc::Status { code, message, .. })) => {
            Err(client.error(object, &Status::new(Code::from_i32(*code), message.clone())))
        }
        Some(operation::Result::Response(_)) | None => Ok(()),
    }
}

/// The metadata has a commit timestamp for each statement that is done.
fn applied_statements(operation: &Operation) -> usize {
    let metadata = operation.metadata.as_ref();
    let metadata = metadata.and_then(|any| UpdateDatabaseDdlMetadata::decode(any.value.as_slice()).ok());
    metadata.map_or(0, |metadata| metadata.commit_timestamps.len())
}

fn is_contention(error: &SpannerError) -> bool {
    matches!(error, SpannerError::Rejected { code: Code::FailedPrecondition, message, .. } if message.contains(DDL_CONTENTION))
}
