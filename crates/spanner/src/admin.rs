//! The admin services: databases, long-running operations, instances.

use std::future::Future;
use std::time::Duration;

use spanferry_core::schema::target::Dialect;
use spanferry_spanner_api::database_admin::database_admin_client::DatabaseAdminClient;
use spanferry_spanner_api::database_admin::{
    CreateDatabaseRequest, DatabaseDialect, DropDatabaseRequest, GetDatabaseDdlRequest, GetDatabaseRequest,
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

/// What a call about it is named.
const RETENTION: &str = "its version_retention_period";
/// `version_retention_period` of a database that does not set it.
const VERSION_RETENTION_DEFAULT: Duration = Duration::from_secs(3_600);

/// What is known of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceInfo {
    /// Its configuration: where it runs.
    pub config: String,
    /// Processing units: 1,000 are a node.
    pub processing_units: i32,
}

impl Client {
    pub(crate) fn databases(&self) -> DatabaseAdminClient<Channel> {
        DatabaseAdminClient::new(self.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Makes one admin call with retries; it must be one that repeats harmlessly.
    pub(crate) async fn admin<M, T, F>(
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

    /// The dialect as the database itself says; the emulator's admin service does not return it.
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

    /// How long the database keeps old versions of its rows.
    pub async fn version_retention(&self) -> Result<Duration, SpannerError> {
        let message = GetDatabaseRequest {
            name: self.path().to_owned(),
        };
        let call = |request| async { self.databases().get_database(request).await };
        let database = self
            .admin(RETENTION, message, ("name", self.path()), call)
            .await?;
        let text = match database.version_retention_period {
            text if text.is_empty() => self.version_retention_option().await?,
            text => Some(text),
        };
        let text = text.as_deref();
        text.map_or(Some(VERSION_RETENTION_DEFAULT), parse_duration)
            .ok_or_else(|| {
                SpannerError::malformed(self.object(RETENTION), "a duration such as 7d, 36h or 3600s")
            })
    }

    /// The same as the database's options say; the emulator's admin service does not return it.
    async fn version_retention_option(&self) -> Result<Option<String>, SpannerError> {
        let sql = "SELECT option_value FROM information_schema.database_options WHERE option_name = 'version_retention_period'";
        let rows = self.query(RETENTION, sql).await?.collect().await?;
        let option = rows.first().map(|row| Cells::new(row).string()).transpose();
        option.map_err(|_| SpannerError::malformed(self.object(RETENTION), "a text"))
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

    /// The statements that create the schema.
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

    /// Creates the database and waits for it. One that is there is `Rejected` with
    /// `ALREADY_EXISTS`, which may also be an earlier attempt of the same call.
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

    async fn finish(&self, object: &str, operation: Operation) -> Result<Operation, SpannerError> {
        let operation = self.finish_operation(object, operation).await?;
        result(self, object, &operation).map(|()| operation)
    }

    /// Looks at an operation until it is done.
    pub(crate) async fn finish_operation(
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

    pub(crate) async fn operation(&self, object: &str, name: &str) -> Result<Operation, SpannerError> {
        let message = GetOperationRequest {
            name: name.to_owned(),
        };
        let call = |request| async { OperationsClient::new(self.channel()).get_operation(request).await };
        self.admin(object, message, ("name", name), call).await
    }
}

/// A duration as options of a database write it: a whole number of days, hours, minutes or seconds.
fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds: u64 = match unit {
        "d" => 24 * 3_600,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// What a finished operation came to.
pub(crate) fn result(client: &Client, object: &str, operation: &Operation) -> Result<(), SpannerError> {
    match &operation.result {
        Some(operation::Result::Error(rpc::Status { code, message, .. })) => {
            Err(client.error(object, &Status::new(Code::from_i32(*code), message.clone())))
        }
        Some(operation::Result::Response(_)) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_options() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(parse_duration(text), expected.map(Duration::from_secs), "{text}");
        };
        check("7d", Some(7 * 24 * 3_600));
        check("168h", Some(7 * 24 * 3_600));
        check("1h", Some(3_600));
        check("60m", Some(3_600));
        check("3600s", Some(3_600));
        for text in [
            "",
            "h",
            "1",
            "1w",
            "-1h",
            "1.5h",
            "1 h",
            "99999999999999999d",
            "ü",
        ] {
            check(text, None);
        }
    }
}
