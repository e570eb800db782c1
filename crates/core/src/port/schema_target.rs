//! The boundary to the target's schema: what is there, and statements that change it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use thiserror::Error;

use crate::report::failure::Failure;
use crate::schema::target::{Dialect, TargetTable};

/// Why DDL statements did not all run.
#[derive(Debug, Error)]
pub enum DdlFailure {
    /// The target refuses one statement, whichever others come with it.
    #[error("the target refuses a statement")]
    Refused {
        /// Its place in the batch. The statements before it are done; it and those behind it are
        /// not.
        statement: usize,
        /// Why: `TARGET_DDL` (class `StopTable`), whose object is the statement.
        #[source]
        reason: Failure,
    },
    /// No statement is to blame. Some may be done, and some may still be done later.
    #[error("the target does not run statements")]
    Failed(#[source] Failure),
}

impl From<DdlFailure> for Failure {
    fn from(failure: DdlFailure) -> Failure {
        match failure {
            DdlFailure::Refused { reason, .. } => reason,
            DdlFailure::Failed(failure) => failure,
        }
    }
}

/// What a table of the target holds before the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingTable {
    /// Its definition, as far as it matters to rows of which every column is written: without
    /// defaults.
    pub table: TargetTable,
    /// Whether it has any row.
    pub has_rows: bool,
    /// Whether it has anything we would not create (other column types, generated
    /// columns, checks, interleaving), with the reason.
    pub misfit: Option<String>,
}

/// The target as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetDescription {
    /// The database's dialect.
    pub dialect: Dialect,
    /// All tables but `spanferry_…`, by name.
    pub tables: BTreeMap<String, ExistingTable>,
    /// Names of all indexes.
    pub indexes: Vec<String>,
    /// Names of all foreign keys.
    pub foreign_keys: Vec<String>,
}

/// Which objects the database has, without a look at rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaObjects {
    /// Names of all tables but `spanferry_…`.
    pub tables: BTreeSet<String>,
    /// Names of all indexes that are no table's own, also of unfinished ones.
    pub indexes: BTreeSet<String>,
    /// Names of all foreign keys, also of unfinished ones.
    pub foreign_keys: BTreeSet<String>,
    /// Names of indexes and foreign keys that the target is still building, or removing after it
    /// could not build them.
    pub unfinished: BTreeSet<String>,
}

/// Describes and changes the schema of the target.
///
/// Retries: transient failures are retried within a named bound, and then fail with class
/// `StopMigration` (resumable). Cancellation: a dropped call may or may not have happened.
pub trait SchemaTarget: Send + Sync + 'static {
    /// Looks at the database. A missing one is the failure `TARGET_MISSING`, a missing instance
    /// `TARGET_INSTANCE_MISSING`.
    fn describe(&self) -> impl Future<Output = Result<TargetDescription, Failure>> + Send;

    /// Creates the database; fails if it is there.
    fn create_database(&self, dialect: Dialect) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Looks at which objects are there. A missing database fails as in `describe`.
    fn schema_objects(&self) -> impl Future<Output = Result<SchemaObjects, Failure>> + Send;

    /// Runs DDL statements in order and waits for them. Statements before a failing one stay done.
    /// A statement is refused only if the target refuses it alone, after those before it.
    fn run_ddl(&self, statements: &[String]) -> impl Future<Output = Result<(), DdlFailure>> + Send;
}
