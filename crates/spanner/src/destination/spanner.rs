//! Spanner as the `Target` of a migration.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use spanferry_core::port::target::{
    CommitError, CommitTimestamp, Committer, ControlState, ControlStore, DdlFailure, FenceRow, FencedCommit,
    Lane, LaneStart, MigrationRow, ScanRequest, SchemaObjects, SchemaTarget, TableReader, TargetCapabilities,
    TargetDescription,
};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure, ServerWords};
use spanferry_core::schema::ddl;
use spanferry_core::schema::target::Dialect;
use uuid::Uuid;

use super::assemble::assemble;
use super::scan::SpannerScan;
use crate::client::{Client, ClientOptions};
use crate::control::{self, FENCE_COLUMNS, FENCES, PREFIX};
use crate::ddl::DdlError;
use crate::endpoint::{Endpoint, EndpointChoice};
use crate::failure::{commit_error, failure, first_failure, malformed};
use crate::name::DatabaseName;
use crate::read::{Read, ReadAt};

/// A Spanner database as the target of one migration.
#[derive(Debug)]
pub struct SpannerTarget {
    pub(super) client: Client,
    /// Distinguishes this owner's migration row from an equal one of another process.
    pub(super) owner: String,
    /// Part of every fence key; known once control state was read or an epoch begun.
    migration: RwLock<Option<Arc<str>>>,
}

impl SpannerTarget {
    /// The target behind a URL `spanner://projects/P/instances/I/databases/D`. Connects at the
    /// first call; must be called within a tokio runtime. Failures: a malformed URL or endpoint
    /// (`USAGE`), no credentials (`TARGET_LOGIN`).
    pub fn connect(
        url: &str,
        choice: &EndpointChoice,
        options: ClientOptions,
    ) -> Result<SpannerTarget, Failure> {
        let name: DatabaseName = url.parse().map_err(|error| {
            Failure::new(code::USAGE, Class::StopMigration, "target URL", "not understood").caused_by(error)
        })?;
        let endpoint = Endpoint::choose(choice).map_err(|error| failure(error.into()))?;
        Client::new(name, endpoint, options)
            .map(SpannerTarget::new)
            .map_err(failure)
    }

    /// The target behind a client.
    pub fn new(client: Client) -> SpannerTarget {
        SpannerTarget {
            client,
            owner: nonce(),
            migration: RwLock::new(None),
        }
    }

    /// The low-level client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn remember(&self, migration: &str) {
        let mut known = self.migration.write().expect("no holder of this lock panics");
        *known = Some(migration.into());
    }

    fn migration(&self) -> Option<Arc<str>> {
        self.migration
            .read()
            .expect("no holder of this lock panics")
            .clone()
    }

    pub(super) async fn dialect(&self) -> Result<Dialect, Failure> {
        let error = match self.client.dialect().await {
            Ok(dialect) => return Ok(dialect),
            Err(error) if error.rejection() != Some(tonic::Code::NotFound) => {
                return Err(first_failure(error));
            }
            Err(error) => error,
        };
        // A database can be created, an instance only by a person who knows what it shall cost.
        let instance = self.client.instance().await;
        let name = self.client.name();
        let failure = if instance.is_err_and(|error| error.rejection() == Some(tonic::Code::NotFound)) {
            let text = "the instance does not exist";
            Failure::new(
                code::TARGET_INSTANCE_MISSING,
                Class::StopMigration,
                name.instance_path(),
                text,
            )
        } else {
            let text = "the database does not exist";
            Failure::new(code::TARGET_MISSING, Class::StopMigration, name.to_string(), text)
        };
        Err(failure.caused_by(ServerWords::from(error)))
    }
}

impl Committer for SpannerTarget {
    async fn commit(&self, commit: &FencedCommit) -> Result<CommitTimestamp, CommitError> {
        let Some(migration) = self.migration() else {
            let failure = Failure::bug(
                format!("lane {:?}", commit.lane),
                "a commit before any epoch has begun",
            );
            return Err(CommitError::Ambiguous(failure));
        };
        let mutations = assemble(commit, &migration).map_err(CommitError::Rejected)?;
        let (stream, number) = commit.lane.parts();
        let committed = self
            .client
            .commit(&format!("lane {stream} {number}"), mutations)
            .await;
        committed
            .map(|committed| committed.timestamp())
            .map_err(commit_error)
    }

    async fn read_fence(&self, lane: Lane) -> Result<Option<FenceRow>, Failure> {
        let (stream, number) = lane.parts();
        let object = format!("lane {stream} {number}");
        let Some(migration) = self.migration() else {
            return Err(Failure::bug(object, "a fence read before any epoch has begun"));
        };
        let read = Read::new(FENCES, FENCE_COLUMNS, control::fence_keys(&migration, lane));
        let rows = self
            .client
            .read(&object, &read, ReadAt::Strong)
            .await
            .map_err(failure)?;
        let rows: Vec<Bytes> = rows.collect().await.map_err(failure)?;
        match rows.as_slice() {
            [] => Ok(None),
            [row] => Ok(Some(
                control::read_fence(row)
                    .map_err(|error| malformed(FENCES, error))?
                    .row,
            )),
            _ => Err(Failure::bug(object, "a lane has more than one fence row")),
        }
    }

    fn capabilities(&self) -> TargetCapabilities {
        if self.client.is_emulator() {
            TargetCapabilities::EMULATOR
        } else {
            TargetCapabilities::SPANNER
        }
    }
}

impl ControlStore for SpannerTarget {
    async fn create_control(&self) -> Result<(), Failure> {
        let dialect = self.dialect().await?;
        let present = self.client.table_names(PREFIX).await.map_err(failure)?;
        self.expect_format().await?;
        let missing = control::definitions()
            .into_iter()
            .filter(|table| !present.contains(&table.name));
        let statements: Vec<String> = missing.map(|table| ddl::create_table(&table, dialect)).collect();
        Ok(self.run_ddl(&statements).await?)
    }

    async fn read_control(&self) -> Result<Option<ControlState>, Failure> {
        self.control_state().await
    }

    async fn begin_epoch(
        &self,
        expected: Option<&MigrationRow>,
        migration: &MigrationRow,
        lanes: &[(Lane, LaneStart)],
    ) -> Result<(), Failure> {
        self.take_over(expected, migration, lanes).await?;
        self.remember(&migration.id);
        Ok(())
    }

    async fn drop_control(&self) -> Result<bool, Failure> {
        let dialect = self.dialect().await?;
        let present = self.client.table_names(PREFIX).await.map_err(failure)?;
        let ours = control::definitions()
            .into_iter()
            .filter(|table| present.contains(&table.name));
        let statements: Vec<String> = ours.map(|table| ddl::drop_table(&table, dialect)).collect();
        self.run_ddl(&statements).await?;
        Ok(!statements.is_empty())
    }
}

impl SchemaTarget for SpannerTarget {
    async fn describe(&self) -> Result<TargetDescription, Failure> {
        let dialect = self.dialect().await?;
        self.describe_tables(dialect).await.map_err(first_failure)
    }

    async fn create_database(&self, dialect: Dialect) -> Result<(), Failure> {
        self.client.create_database(dialect).await.map_err(|error| {
            if error.rejection() != Some(tonic::Code::AlreadyExists) {
                return first_failure(error);
            }
            let name = self.client.name().to_string();
            Failure::new(
                code::TARGET_NOT_EMPTY,
                Class::StopMigration,
                name,
                "the database is there already",
            )
            .hint("Leave out `--create-database`.")
            .caused_by(ServerWords::from(error))
        })
    }

    async fn schema_objects(&self) -> Result<SchemaObjects, Failure> {
        self.client
            .schema_objects(self.dialect().await?)
            .await
            .map_err(failure)
    }

    async fn run_ddl(&self, statements: &[String]) -> Result<(), DdlFailure> {
        let ran = self.client.update_ddl(statements, &operation_id()).await;
        ran.map_err(|error| ddl_failure(error, statements))
    }
}

impl TableReader for SpannerTarget {
    type Scan = SpannerScan;

    async fn scan(&self, request: &ScanRequest<'_>) -> Result<SpannerScan, Failure> {
        SpannerScan::open(&self.client, request).await
    }

    async fn version_retention(&self) -> Result<Duration, Failure> {
        self.client.version_retention().await.map_err(failure)
    }
}

fn ddl_failure(error: DdlError, statements: &[String]) -> DdlFailure {
    let DdlError {
        applied,
        is_refusal,
        cause,
    } = error;
    match statements.get(applied) {
        Some(statement) if is_refusal => {
            let text = "the statement was refused";
            let reason = Failure::new(code::TARGET_DDL, Class::StopTable, statement, text);
            DdlFailure::Refused {
                statement: applied,
                reason: reason.caused_by(ServerWords::from(cause)),
            }
        }
        Some(_) | None => DdlFailure::Failed(failure(cause)),
    }
}

/// A letter, then letters and digits, as operations want it; no two calls have the same.
fn operation_id() -> String {
    format!("spanferry_{}", nonce())
}

/// 32 random hexadecimal digits.
fn nonce() -> String {
    Uuid::new_v4().simple().to_string()
}
