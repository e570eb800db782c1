//! Spanner as the `Target` of a migration.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use prost_types::Timestamp;
use spanferry_core::code;
use spanferry_core::ddl;
use spanferry_core::failure::{Class, Failure, ServerWords};
use spanferry_core::plan::TablePlan;
use spanferry_core::rows::RowBatch;
use spanferry_core::target::{
    CommitError, ControlState, ExistingTable, FenceRow, FencedCommit, Lane, MigrationRow, MutationKind,
    Rejection, Target, TargetDescription, TargetScan,
};
use spanferry_core::target_schema::Dialect;
use spanferry_spanner_api::spanner::{KeyRange, key_range};

use crate::admin::DdlError;
use crate::backoff::{Backoff, RETRY_BUDGET};
use crate::catalog::{Catalog, CatalogTable};
use crate::client::{Client, ClientOptions};
use crate::commit::{COMMIT_BYTES_MAX, Mutations, WriteKind};
use crate::control::{
    self, FENCE_COLUMNS, FENCES, MIGRATION, MIGRATION_COLUMNS, OwnedMigration, PREFIX, RANGE_COLUMNS, RANGES,
    StoredFence, TABLE_COLUMNS, TABLES,
};
use crate::endpoint::{Endpoint, EndpointChoice};
use crate::error::SpannerError;
use crate::failure::{commit_error, failure, first_failure, malformed};
use crate::name::DatabaseName;
use crate::read::{Keys, Read, ReadAt, RowStream};
use crate::row::MalformedRow;

/// Commits in flight at the service: far below what its connections carry (100 calls each), so that reads find room.
const SERVICE_COMMITS_IN_FLIGHT: usize = 32;
/// Room for a commit's control mutations beside its data.
const CONTROL_BYTES: usize = 64 << 10;

/// A Spanner database as the target of one migration.
#[derive(Debug)]
pub struct SpannerTarget {
    client: Client,
    /// Tells this owner's migration row from a rival's equal one.
    owner: String,
    /// Part of every fence key; known once control state was read or an epoch begun.
    migration: RwLock<Option<Arc<str>>>,
}

/// What an attempt at taking over found.
enum Takeover {
    Done,
    Foreign(Option<Box<MigrationRow>>),
}

impl SpannerTarget {
    /// The target behind a URL `spanner://projects/P/instances/I/databases/D`. Connects at the first call; must be called
    /// within a tokio runtime. Failures: a malformed URL or endpoint (`USAGE`), no credentials (`TARGET_LOGIN`).
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

    fn remember(&self, migration: &str) {
        let mut known = self.migration.write().expect("no holder of this lock panics");
        *known = Some(migration.into());
    }

    fn migration(&self) -> Option<Arc<str>> {
        self.migration
            .read()
            .expect("no holder of this lock panics")
            .clone()
    }

    async fn dialect(&self) -> Result<Dialect, Failure> {
        self.client.dialect().await.map_err(|error| {
            if error.rejection() != Some(tonic::Code::NotFound) {
                return first_failure(error);
            }
            let name = self.client.name().to_string();
            Failure::new(
                code::TARGET_MISSING,
                Class::StopMigration,
                name,
                "the database does not exist",
            )
            .caused_by(ServerWords::from(error))
        })
    }

    async fn existing(&self, found: CatalogTable) -> Result<ExistingTable, SpannerError> {
        let has_rows = match &found.probe {
            Some(column) => {
                let mut read = Read::new(&found.table.name, [column.as_str()], Keys::All);
                read.limit = 1;
                let object = format!("table {}", found.table.name);
                self.client
                    .read(&object, &read, ReadAt::Strong)
                    .await?
                    .next()
                    .await?
                    .is_some()
            }
            None => false,
        };
        Ok(ExistingTable {
            table: found.table,
            has_rows,
            misfit: found.misfit,
        })
    }

    async fn describe_tables(&self, dialect: Dialect) -> Result<TargetDescription, SpannerError> {
        let Catalog {
            tables: found,
            indexes,
            foreign_keys,
        } = self.client.catalog(dialect).await?;
        let mut tables = BTreeMap::new();
        for (name, found) in found {
            if !name.starts_with(PREFIX) {
                tables.insert(name, self.existing(found).await?);
            }
        }
        Ok(TargetDescription {
            dialect,
            emulator: self.client.is_emulator(),
            tables,
            indexes,
            foreign_keys,
        })
    }

    /// Runs a batch; where the server refuses it before it names a statement, one statement at a time finds that one.
    async fn run_batch(&self, statements: &[String]) -> Result<(), (usize, SpannerError)> {
        let (applied, refusal) = match self.client.update_ddl(statements, &operation_id()).await {
            Ok(()) => return Ok(()),
            Err(DdlError { applied, cause }) => (applied, cause),
        };
        if applied > 0 || refusal.rejection().is_none() || statements.len() == 1 {
            return Err((applied, refusal));
        }
        for (index, statement) in statements.iter().enumerate() {
            let run = self
                .client
                .update_ddl(std::slice::from_ref(statement), &operation_id())
                .await;
            run.map_err(|error| (index, error.cause))?;
        }
        Ok(())
    }

    async fn control_rows<T>(
        &self,
        table: &'static str,
        columns: &[&'static str],
        at: ReadAt,
        parse: impl Fn(&[u8]) -> Result<T, MalformedRow>,
    ) -> Result<(Vec<T>, Option<Timestamp>), Failure> {
        let read = Read::new(table, columns.iter().copied(), Keys::All);
        let object = format!("table {table}");
        let mut rows = self.client.read(&object, &read, at).await.map_err(failure)?;
        let mut parsed = Vec::new();
        while let Some(row) = rows.next().await.map_err(failure)? {
            parsed.push(parse(&row).map_err(|error| malformed(table, error))?);
        }
        Ok((parsed, rows.read_timestamp()))
    }

    async fn try_epoch(
        &self,
        expected: Option<&MigrationRow>,
        migration: &MigrationRow,
        fences: &[(Lane, FenceRow)],
    ) -> Result<Takeover, SpannerError> {
        let mut transaction = self.client.begin("the beginning of an epoch").await?;
        let read = Read::new(
            MIGRATION,
            MIGRATION_COLUMNS,
            Keys::List(vec![control::migration_key()]),
        );
        let found = match transaction.read(&read).await {
            Ok(rows) => rows.first().map(|row| control::read_migration(row)).transpose(),
            Err(error) => {
                transaction.rollback().await;
                return Err(error);
            }
        };
        let malformed_row =
            |_| SpannerError::malformed(format!("table {MIGRATION}"), "a row as Spanferry writes it");
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                transaction.rollback().await;
                return Err(malformed_row(error));
            }
        };
        if found
            .as_ref()
            .is_some_and(|found| found.migration == *migration && found.owner == self.owner)
        {
            // An earlier attempt, whose outcome was unknown, has succeeded.
            transaction.rollback().await;
            return Ok(Takeover::Done);
        }
        if found.as_ref().map(|found| &found.migration) != expected {
            transaction.rollback().await;
            return Ok(Takeover::Foreign(found.map(|found| Box::new(found.migration))));
        }
        let mut mutations = Mutations::new();
        control::write_migration(&mut mutations, migration, &self.owner);
        mutations.delete_all(FENCES);
        for (lane, row) in fences {
            control::insert_fence(&mut mutations, &migration.id, *lane, row);
        }
        transaction.commit(mutations).await.map(|_| Takeover::Done)
    }

    fn fenced(&self, found: Option<&MigrationRow>) -> Failure {
        let message = match found {
            Some(row) => format!(
                "the target belongs to migration {} in epoch {}",
                row.id, row.epoch.0
            ),
            None => "the target holds no migration any more".to_owned(),
        };
        Failure::new(
            code::TARGET_FENCED,
            Class::StopMigration,
            self.client.name().to_string(),
            message,
        )
    }

    fn assemble(commit: &FencedCommit, migration: &str) -> Result<Mutations, Rejection> {
        let bytes: usize = commit.data.iter().map(|data| data.rows.byte_len()).sum();
        if bytes > COMMIT_BYTES_MAX {
            return Err(too_large(bytes));
        }
        let mut mutations = Mutations::with_capacity(bytes + CONTROL_BYTES);
        control::write_fence(
            &mut mutations,
            migration,
            commit.lane,
            commit.previous,
            &commit.next,
        );
        for data in &commit.data {
            let table = &data.table.target;
            match data.kind {
                MutationKind::Delete => mutations.delete(&table.name, &data.rows),
                MutationKind::Upsert => {
                    let columns = table.columns.iter().map(|column| column.name.as_str());
                    mutations.write(WriteKind::Upsert, &table.name, columns, &data.rows);
                }
            }
        }
        for change in &commit.control {
            control::write_change(&mut mutations, change);
        }
        let bytes = mutations.byte_len();
        if bytes > COMMIT_BYTES_MAX {
            Err(too_large(bytes))
        } else {
            Ok(mutations)
        }
    }
}

impl Target for SpannerTarget {
    type Scan = SpannerScan;

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

    async fn run_ddl(&self, statements: &[String]) -> Result<(), Failure> {
        if statements.is_empty() {
            return Ok(());
        }
        self.run_batch(statements).await.map_err(|(index, error)| {
            if error.rejection().is_none() {
                return failure(error);
            }
            let statement = statements.get(index).cloned().unwrap_or_default();
            Failure::new(
                code::TARGET_DDL,
                Class::StopTable,
                statement,
                "the statement was refused",
            )
            .caused_by(ServerWords::from(error))
        })
    }

    async fn create_control(&self) -> Result<(), Failure> {
        let dialect = self.dialect().await?;
        let present = self.client.table_names(PREFIX).await.map_err(failure)?;
        let missing = control::definitions()
            .into_iter()
            .filter(|table| !present.contains(&table.name));
        let statements: Vec<String> = missing.map(|table| ddl::create_table(&table, dialect)).collect();
        self.run_ddl(&statements).await
    }

    async fn read_control(&self) -> Result<Option<ControlState>, Failure> {
        let present = self.client.table_names(PREFIX).await.map_err(first_failure)?;
        if control::definitions()
            .iter()
            .any(|table| !present.contains(&table.name))
        {
            return Ok(None);
        }
        let (migrations, at) = self
            .control_rows(
                MIGRATION,
                &MIGRATION_COLUMNS,
                ReadAt::Strong,
                control::read_migration,
            )
            .await?;
        let Some(OwnedMigration { migration, .. }) = migrations.into_iter().next() else {
            return Ok(None);
        };
        let at = at.ok_or_else(|| {
            Failure::new(
                code::TARGET_FAILED,
                Class::StopMigration,
                format!("table {MIGRATION}"),
                "the target did not say at which timestamp it read",
            )
        })?;
        let at = ReadAt::Exact(at);
        let (tables, _) = self
            .control_rows(TABLES, &TABLE_COLUMNS, at, control::read_table)
            .await?;
        let (ranges, _) = self
            .control_rows(RANGES, &RANGE_COLUMNS, at, control::read_range)
            .await?;
        let (stored, _) = self
            .control_rows(FENCES, &FENCE_COLUMNS, at, control::read_fence)
            .await?;
        let fences = by_lane(stored, &migration.id)?;
        self.remember(&migration.id);
        Ok(Some(ControlState {
            migration,
            tables: tables.into_iter().map(|row| (row.table.clone(), row)).collect(),
            ranges: ranges
                .into_iter()
                .map(|row| ((row.table.clone(), row.number), row))
                .collect(),
            fences,
        }))
    }

    async fn begin_epoch(
        &self,
        expected: Option<&MigrationRow>,
        migration: &MigrationRow,
        fences: &[(Lane, FenceRow)],
    ) -> Result<(), Failure> {
        let mut backoff = Backoff::new(RETRY_BUDGET);
        loop {
            match self.try_epoch(expected, migration, fences).await {
                Ok(Takeover::Done) => break,
                Ok(Takeover::Foreign(found)) => return Err(self.fenced(found.as_deref())),
                // ALREADY_EXISTS may be our own earlier success: the next attempt reads the migration's row, which tells.
                Err(error) if error.is_passing() || error.rejection() == Some(tonic::Code::AlreadyExists) => {
                    backoff.wait(error).await.map_err(failure)?;
                }
                Err(error) => return Err(failure(error)),
            }
        }
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

    async fn commit(&self, commit: &FencedCommit) -> Result<(), CommitError> {
        let Some(migration) = self.migration() else {
            let failure = Failure::bug(
                format!("lane {:?}", commit.lane),
                "a commit before any epoch has begun",
            );
            return Err(CommitError::Ambiguous(failure));
        };
        let mutations = SpannerTarget::assemble(commit, &migration).map_err(CommitError::Rejected)?;
        let (stream, number) = commit.lane.parts();
        let committed = self
            .client
            .commit(&format!("lane {stream} {number}"), mutations)
            .await;
        committed.map(|_| ()).map_err(commit_error)
    }

    async fn read_fence(&self, lane: Lane) -> Result<Option<FenceRow>, Failure> {
        let (stream, number) = lane.parts();
        let object = format!("lane {stream} {number}");
        let Some(migration) = self.migration() else {
            return Err(Failure::bug(object, "a fence read before any epoch has begun"));
        };
        let prefix = control::fence_prefix(&migration, lane);
        let range = KeyRange {
            start_key_type: Some(key_range::StartKeyType::StartClosed(prefix.clone())),
            end_key_type: Some(key_range::EndKeyType::EndClosed(prefix)),
        };
        let read = Read::new(FENCES, FENCE_COLUMNS, Keys::Ranges(vec![range]));
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

    async fn scan(&self, table: &Arc<TablePlan>) -> Result<SpannerScan, Failure> {
        let target = &table.target;
        let columns = target.columns.iter().map(|column| column.name.as_str());
        let read = Read::new(&target.name, columns, Keys::All);
        let rows = self
            .client
            .read(&format!("table {}", target.name), &read, ReadAt::Strong)
            .await;
        Ok(SpannerScan {
            rows: rows.map_err(failure)?,
            held: None,
        })
    }

    fn commits_in_flight_max(&self) -> usize {
        if self.client.is_emulator() {
            1
        } else {
            SERVICE_COMMITS_IN_FLIGHT
        }
    }
}

/// A scan of one table at one timestamp.
#[derive(Debug)]
pub struct SpannerScan {
    rows: RowStream,
    /// A row that did not fit into the last batch.
    held: Option<Bytes>,
}

impl TargetScan for SpannerScan {
    async fn next(&mut self, into: &mut RowBatch, bytes_max: usize) -> Result<bool, Failure> {
        into.clear();
        loop {
            let row = match self.held.take() {
                Some(row) => row,
                None => match self.rows.next().await.map_err(failure)? {
                    Some(row) => row,
                    None => return Ok(!into.is_empty()),
                },
            };
            if !into.is_empty() && into.byte_len() + row.len() > bytes_max {
                self.held = Some(row);
                return Ok(true);
            }
            into.push(&row);
        }
    }
}

fn by_lane(stored: Vec<StoredFence>, migration: &str) -> Result<BTreeMap<(String, u32), FenceRow>, Failure> {
    let mut fences = BTreeMap::new();
    for fence in stored {
        let object = format!("lane {} {}", fence.lane.0, fence.lane.1);
        if fence.migration != migration {
            return Err(Failure::bug(
                object,
                format!("a fence row of another migration, {}", fence.migration),
            ));
        }
        if fences.insert(fence.lane, fence.row).is_some() {
            return Err(Failure::bug(object, "a lane has more than one fence row"));
        }
    }
    Ok(fences)
}

fn too_large(bytes: usize) -> Rejection {
    let message = format!("a commit of {bytes} bytes is above Spanner's limit of {COMMIT_BYTES_MAX}");
    Rejection {
        status: "INVALID_ARGUMENT".to_owned(),
        message,
        too_large: true,
        transient: false,
    }
}

/// A letter, then letters and digits, as operations want it; no two calls have the same.
fn operation_id() -> String {
    format!("spanferry_{}", nonce())
}

/// 32 hexadecimal digits from the keys that the standard library draws from the system's randomness.
fn nonce() -> String {
    let half = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", half(), half())
}
