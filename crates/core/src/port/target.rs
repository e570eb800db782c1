//! The boundary to the target: schema, control state, fenced commits and reads.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::plan::{TableId, TablePlan};
use crate::port::change_log::Sequence;
use crate::position::checkpoint::Checkpoint;
use crate::position::{Bookmark, Position};
use crate::record::StopReason;
use crate::report::failure::{Failure, ServerWords};
use crate::schema::definition::TableDefinition;
use crate::schema::source::QualifiedName;
use crate::schema::target::{Dialect, TargetTable};
use crate::wire::rows::RowBatch;

/// An ordered stream of commits: one in flight, each a compare-and-set on the lane's fence row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Control state: table states and stops.
    Control,
    /// One lane per load worker.
    Load(u32),
    /// The main stream of changes.
    Apply,
    /// The catch-up stream of a batch of loaded tables.
    CatchUp,
}

impl Lane {
    /// The stream's name and the lane's number within it, as stored.
    pub fn parts(self) -> (&'static str, u32) {
        match self {
            Lane::Control => ("control", 0),
            Lane::Load(number) => ("load", number),
            Lane::Apply => ("apply", 0),
            Lane::CatchUp => ("catch-up", 0),
        }
    }
}

/// One owner's term over the fence rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// The key of a lane's fence row: what a commit must find, and what it leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FenceKey {
    /// The owner's term.
    pub epoch: Epoch,
    /// `Apply`: the sequence up to which the lane is durable. Other lanes: a commit counter. It never falls within an epoch.
    pub sequence: Sequence,
    /// Changes of the partial transaction that are already applied: 0, except inside a transaction too large for one commit.
    pub piece: u64,
}

/// A lane's fence row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FenceRow {
    /// Its key.
    pub key: FenceKey,
    /// `Apply`: what is reached at `key.sequence`. Other lanes have none.
    pub reached: Option<Checkpoint>,
}

/// What the row of a lane is when an epoch begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneStart {
    /// This row.
    At(FenceRow),
    /// The row that the transaction finds, in the new epoch: the lane goes on where it stands in that moment.
    Kept,
    /// The same for a change log that is new, whose first sequence is 1.
    KeptInNewLog,
}

impl LaneStart {
    /// The row with which the lane begins `epoch`; `found` is its row so far. None if the row to keep is not there.
    pub fn row(&self, epoch: Epoch, found: Option<&FenceRow>) -> Option<FenceRow> {
        let kept = |sequence| {
            let found = found?;
            let key = FenceKey {
                epoch,
                sequence: if sequence {
                    found.key.sequence
                } else {
                    Sequence::ZERO
                },
                piece: found.key.piece,
            };
            Some(FenceRow {
                key,
                reached: found.reached.clone(),
            })
        };
        match self {
            LaneStart::At(row) => Some(row.clone()),
            LaneStart::Kept => kept(true),
            LaneStart::KeptInNewLog => kept(false),
        }
    }
}

impl From<FenceRow> for LaneStart {
    fn from(row: FenceRow) -> LaneStart {
        LaneStart::At(row)
    }
}

/// Which kind of mutation a run of rows is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MutationKind {
    /// Rows are keys.
    Delete,
    /// Rows are whole rows; a missing one is inserted.
    Upsert,
}

/// Mutations of one kind on one table.
#[derive(Debug, Clone)]
pub struct TableMutations {
    /// The table.
    pub table: Arc<TablePlan>,
    /// Delete or upsert.
    pub kind: MutationKind,
    /// Keys or rows.
    pub rows: RowBatch,
}

/// The life of one table, as recorded at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TablePhase {
    /// No load commit has been made since `low` was recorded.
    Pending,
    /// Ranges are being loaded.
    Loading,
    /// All ranges are in; changes after `low` are still to be applied by the catch-up stream.
    Loaded,
    /// Takes part in the main stream.
    Joined,
    /// Constraints are in place (for a group: all of its tables at once).
    Constrained,
    /// Its group has stopped; the reason is recorded.
    Stopped,
}

impl TablePhase {
    /// The word that is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            TablePhase::Pending => "pending",
            TablePhase::Loading => "loading",
            TablePhase::Loaded => "loaded",
            TablePhase::Joined => "joined",
            TablePhase::Constrained => "constrained",
            TablePhase::Stopped => "stopped",
        }
    }

    /// The phase of a stored word.
    pub fn parse(word: &str) -> Option<TablePhase> {
        [
            TablePhase::Pending,
            TablePhase::Loading,
            TablePhase::Loaded,
            TablePhase::Joined,
            TablePhase::Constrained,
            TablePhase::Stopped,
        ]
        .into_iter()
        .find(|phase| phase.word() == word)
    }
}

/// The control row of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRow {
    /// The source table: its text is the row's key.
    pub table: QualifiedName,
    /// Its phase.
    pub phase: TablePhase,
    /// Position of the first snapshot attempt; none before it.
    pub low: Option<Position>,
    /// Position of the last snapshot attempt, with the transactions that prove it; none before the first. Without witnesses, the
    /// source could show none (docs/design/history.md, step 13).
    pub high: Option<Bookmark>,
    /// Rows loaded so far by finished ranges.
    pub rows_loaded: u64,
    /// Why it stopped; none if it has not.
    pub stopped: Option<StopReason>,
}

/// The control row of one finished range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeRow {
    /// The source table.
    pub table: QualifiedName,
    /// Number of the range in the server's key order; with `table` the row's key.
    pub number: u64,
    /// Lower boundary, exclusive; `None` is open.
    pub after: Option<String>,
    /// Upper boundary, inclusive; `None` is open.
    pub up_to: Option<String>,
    /// Rows in it.
    pub rows: u64,
}

/// The control row of an index or foreign key that is not at the target although the plan has it: the target refuses it, or it gave
/// way to a change. It is not built again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOutRow {
    /// The source table; with `constraint` the row's key.
    pub table: QualifiedName,
    /// The name that it has at the target.
    pub constraint: String,
    /// Why, for a person.
    pub reason: String,
}

/// A change of control state that travels in a fenced commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlChange {
    /// Writes a table's row.
    Table(TableRow),
    /// Records a finished range.
    Range(RangeRow),
    /// Forgets all finished ranges of a table (by key range).
    ForgetRanges(QualifiedName),
    /// Records that a constraint is left out.
    LeaveOut(LeftOutRow),
    /// Forgets that a constraint of a table was left out.
    ForgetLeftOut(QualifiedName, String),
    /// Writes what a table is built from.
    Definition(TableDefinition),
    /// Removes a table's definition; its row must not be there.
    ForgetDefinition(QualifiedName),
    /// Removes a table's row.
    ForgetTable(QualifiedName),
}

/// The migration's own row: what binds source, target and log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationRow {
    /// The migration's UUID.
    pub id: String,
    /// The epoch of its present owner.
    pub epoch: Epoch,
    /// The change log's UUID.
    pub log_id: String,
    /// The source's identity and schema, for a person.
    pub source: String,
    /// The position at which the change log begins.
    pub start_position: Position,
    /// The schema of the source that is migrated.
    pub schema: String,
    /// The target's dialect when the migration began.
    pub dialect: Dialect,
}

/// The format of the control tables that this release writes and reads. A migration that is recorded in another one is the
/// failure `CONTROL_FORMAT`. Version 1 kept table names without their schema, and no definitions; version 2 knew only types of
/// MySQL-family servers, and columns that come from the source.
pub const CONTROL_VERSION: u32 = 3;

/// Constraints that are left out, by (table, constraint).
pub type LeftOut = BTreeMap<(QualifiedName, String), LeftOutRow>;

/// Finished ranges, by (table, number).
pub type Ranges = BTreeMap<(QualifiedName, u64), RangeRow>;

/// Everything the control tables hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlState {
    /// The migration.
    pub migration: MigrationRow,
    /// Its tables, by source name. They are recorded in one commit, after all definitions: without any, the first start has
    /// died before it had decided what is migrated.
    pub tables: BTreeMap<QualifiedName, TableRow>,
    /// What each table is built from, by source name: one for each of `tables` at least.
    pub definitions: BTreeMap<QualifiedName, TableDefinition>,
    /// Finished ranges, by (table, number).
    pub ranges: Ranges,
    /// Constraints that are left out.
    pub left_out: LeftOut,
    /// Fence rows by lane (`Lane::parts`).
    pub fences: BTreeMap<(String, u32), FenceRow>,
}

/// One commit: everything in it happens, or nothing.
#[derive(Debug, Clone)]
pub struct FencedCommit {
    /// Its lane.
    pub lane: Lane,
    /// The fence key it must find.
    pub previous: FenceKey,
    /// The fence row it leaves.
    pub next: FenceRow,
    /// Data, in the order in which it is to be sent: all deletes before all upserts.
    pub data: Vec<TableMutations>,
    /// Control state.
    pub control: Vec<ControlChange>,
}

/// Why a commit did not succeed; born in the target's client.
#[derive(Debug, Error)]
pub enum CommitError {
    /// The target gave it up; it did not happen. Send it again after the delay.
    #[error("aborted by the target")]
    Aborted {
        /// The server's own delay.
        retry_after: Option<Duration>,
    },
    /// It may or may not have happened: read the fence.
    #[error("the outcome is unknown")]
    Ambiguous(#[source] Failure),
    /// The target says no, which may also mean that it happened before: read the fence.
    #[error("rejected by the target")]
    Rejected(Rejection),
}

/// The target's reason to reject a commit. No error by itself: as a cause it is [`ServerWords`].
#[derive(Debug, Clone)]
pub struct Rejection {
    /// The gRPC status, such as `FAILED_PRECONDITION`.
    pub status: String,
    /// The target's own words. May hold key values: for findings, never for logs.
    pub message: String,
    /// What its words name as an index or a foreign key, in their order. Spanner gives no other sign of which one it was.
    pub named: Vec<String>,
    /// The commit was larger than the target allows: splitting it helps.
    pub too_large: bool,
    /// Whether it concerns the session, the credentials or the request as such rather than its data: another attempt may help after the delay.
    pub transient: bool,
}

impl From<Rejection> for ServerWords {
    fn from(rejection: Rejection) -> ServerWords {
        ServerWords::new(rejection.message, rejection.status)
    }
}

/// Why DDL statements did not all run.
#[derive(Debug, Error)]
pub enum DdlFailure {
    /// The target refuses one statement, whichever others come with it.
    #[error("the target refuses a statement")]
    Refused {
        /// Its place in the batch. The statements before it are done; it and those behind it are not.
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
    /// Its definition, as far as we create such.
    pub table: TargetTable,
    /// Whether it has any row.
    pub has_rows: bool,
    /// Whether it has anything we would not create (other column types, defaults, checks, interleaving), with the reason.
    pub misfit: Option<String>,
}

/// The target as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetDescription {
    /// The database's dialect.
    pub dialect: Dialect,
    /// Whether it is the emulator: one commit in flight, no UUID type.
    pub emulator: bool,
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
    /// Names of indexes and foreign keys that the target is still building, or removing after it could not build them.
    pub unfinished: BTreeSet<String>,
}

/// The target database.
///
/// Retries: nothing is retried inside `commit`. Other calls retry transient failures within a named bound and then fail with
/// class `StopMigration` (resumable). Cancellation: a dropped call may or may not have happened.
pub trait Target: Send + Sync + 'static {
    /// A scan in progress.
    type Scan: TargetScan;

    /// Looks at the database. A missing one is the failure `TARGET_MISSING`, a missing instance `TARGET_INSTANCE_MISSING`.
    fn describe(&self) -> impl Future<Output = Result<TargetDescription, Failure>> + Send;

    /// Creates the database; fails if it is there.
    fn create_database(&self, dialect: Dialect) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Looks at which objects are there. A missing database fails as in `describe`.
    fn schema_objects(&self) -> impl Future<Output = Result<SchemaObjects, Failure>> + Send;

    /// Runs DDL statements in order and waits for them. Statements before a failing one stay done. A statement is refused only
    /// if the target refuses it alone, after those before it.
    fn run_ddl(&self, statements: &[String]) -> impl Future<Output = Result<(), DdlFailure>> + Send;

    /// Creates the control tables where they are missing. Those of another format are the failure `CONTROL_FORMAT`.
    fn create_control(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Reads all control state, consistently; `None` if there is no migration. One in another format is the failure
    /// `CONTROL_FORMAT`; a row that cannot be read is a failure too, never a row that is not there.
    fn read_control(&self) -> impl Future<Output = Result<Option<ControlState>, Failure>> + Send;

    /// Takes over: one read-write transaction that checks that the migration's row is as `expected` (`None`: not there),
    /// writes `migration`, removes all fence rows and writes those of `lanes`; what they keep is read in the same transaction.
    /// If the row is not as expected: `TARGET_FENCED`. An unknown outcome is resolved inside by reading the migration's row.
    fn begin_epoch(
        &self,
        expected: Option<&MigrationRow>,
        migration: &MigrationRow,
        lanes: &[(Lane, LaneStart)],
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Removes the control tables that are there, also what is left of them; false if there were none. May be repeated.
    fn drop_control(&self) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// Sends one commit, once.
    ///
    /// Atomic. Blind compare-and-set on the lane's fence row: `Update` of the previous key's row, `Delete` of it, `Insert`
    /// of the next: a repeat, a late duplicate or a commit of a dead process finds no row and fails as a whole.
    fn commit(&self, commit: &FencedCommit) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Reads a lane's fence row, strongly.
    fn read_fence(&self, lane: Lane) -> impl Future<Output = Result<Option<FenceRow>, Failure>> + Send;

    /// Opens a scan over all rows of a table at one timestamp, columns in the plan's order.
    fn scan(&self, table: &Arc<TablePlan>) -> impl Future<Output = Result<Self::Scan, Failure>> + Send;

    /// How many commits may be in flight at once in all lanes: 1 for the emulator.
    fn commits_in_flight_max(&self) -> usize;
}

/// Rows of one table as the target holds them.
pub trait TargetScan: Send + 'static {
    /// Clears `into` and fills it with the next rows as the target spells them, at most about `bytes_max` bytes (at least one row); false at the end.
    fn next(
        &mut self,
        into: &mut RowBatch,
        bytes_max: usize,
    ) -> impl Future<Output = Result<bool, Failure>> + Send;
}

/// Reads a table's plan by its id.
pub fn plan_of(tables: &[Arc<TablePlan>], id: TableId) -> &Arc<TablePlan> {
    &tables[id.0 as usize]
}
