//! The boundary to what keeps the control state of a migration.

use std::collections::BTreeMap;
use std::future::Future;

use crate::port::epoch::Epoch;
use crate::port::lane::{FenceRow, Lane, LaneStart};
use crate::position::{Bookmark, Position};
use crate::record::StopReason;
use crate::report::failure::Failure;
use crate::schema::definition::TableDefinition;
use crate::schema::source::QualifiedName;
use crate::schema::target::Dialect;

/// The life of one table, as recorded at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TablePhase {
    /// No load commit has been made since `low` was recorded.
    Pending,
    /// Ranges are being loaded.
    Loading,
    /// All ranges are in; changes after `low` are still to be applied by the catch-up stream.
    Loaded,
    /// Takes part in the main stream. Without a stream: all ranges are in, and no change is still
    /// to be applied.
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
    /// Position of the last snapshot attempt, with the transactions that prove it; none before the
    /// first. Without witnesses, the source could show none (docs/design/history.md, step 13).
    pub high: Option<Bookmark>,
    /// Rows loaded so far by finished ranges.
    pub rows_loaded: u64,
    /// Why it stopped; none if it has not.
    pub stopped: Option<StopReason>,
}

/// The control row of one range of a table's rows: a unit of work of a load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeRow {
    /// The source table.
    pub table: QualifiedName,
    /// Number of the range in the order of the row source; with `table` the row's key.
    pub number: u64,
    /// Where the range begins, as a text that only the row source understands: a key, exclusive, or
    /// a place in a file. `None`: at the table's beginning.
    pub after: Option<String>,
    /// Where it ends, as a text of the same kind, and where the next range begins. `None`: at the
    /// table's end.
    pub up_to: Option<String>,
    /// Rows of it that are at the target.
    pub rows: u64,
    /// Whether all of its rows are. A range that is not finished was begun by rows that are
    /// inserted, and continues behind the first `rows` of them (docs/design/load.md).
    pub is_finished: bool,
}

/// The control row of an index or foreign key that is not at the target although the plan has it:
/// the target refuses it, or it gave way to a change. It is not built again.
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
    /// Records a range that is finished, or how far one is.
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

/// What the migration's row holds of a stream of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRow {
    /// The change log's UUID.
    pub log_id: String,
    /// The position at which the change log begins.
    pub start_position: Position,
}

/// The migration's own row: what binds source, target and log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationRow {
    /// The migration's UUID.
    pub id: String,
    /// The epoch of its present owner.
    pub epoch: Epoch,
    /// The stream of changes; none for a load that is followed by no changes.
    pub stream: Option<StreamRow>,
    /// The source's identity and schema, for a person.
    pub source: String,
    /// The schema of the source that is migrated.
    pub schema: String,
    /// The target's dialect when the migration began.
    pub dialect: Dialect,
}

/// The format of the control tables that this release writes and reads. A migration that is
/// recorded in another one is the failure `CONTROL_FORMAT`. Version 1 kept table names without
/// their schema, and no definitions; version 2 knew only types of MySQL-family servers, and columns
/// that come from the source.
pub const CONTROL_VERSION: u32 = 3;

/// Constraints that are left out, by (table, constraint).
pub type LeftOut = BTreeMap<(QualifiedName, String), LeftOutRow>;

/// Ranges that are finished, or begun by rows that are inserted, by (table, number).
pub type Ranges = BTreeMap<(QualifiedName, u64), RangeRow>;

/// Everything the control tables hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlState {
    /// The migration.
    pub migration: MigrationRow,
    /// Its tables, by source name. They are recorded in one commit, after all definitions: without
    /// any, the first start has died before it had decided what is migrated.
    pub tables: BTreeMap<QualifiedName, TableRow>,
    /// What each table is built from, by source name: one for each of `tables` at least.
    pub definitions: BTreeMap<QualifiedName, TableDefinition>,
    /// Ranges that are finished or begun, by (table, number).
    pub ranges: Ranges,
    /// Constraints that are left out.
    pub left_out: LeftOut,
    /// Fence rows by lane (`Lane::parts`).
    pub fences: BTreeMap<(String, u32), FenceRow>,
}

/// Keeps the control state of one migration.
///
/// Retries: transient failures are retried within a named bound, and then fail with class
/// `StopMigration` (resumable). Cancellation: a dropped call may or may not have happened.
pub trait ControlStore: Send + Sync + 'static {
    /// Creates the control tables where they are missing. Those of another format are the failure
    /// `CONTROL_FORMAT`.
    fn create_control(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Reads all control state, consistently; `None` if there is no migration. One in another
    /// format is the failure `CONTROL_FORMAT`; a row that cannot be read is a failure too, never a
    /// row that is not there.
    fn read_control(&self) -> impl Future<Output = Result<Option<ControlState>, Failure>> + Send;

    /// Takes over: one read-write transaction that checks that the migration's row is as `expected`
    /// (`None`: not there), writes `migration`, removes all fence rows and writes those of `lanes`;
    /// what they keep is read in the same transaction. If the row is not as expected:
    /// `TARGET_FENCED`. An unknown outcome is resolved inside by reading the migration's row.
    fn begin_epoch(
        &self,
        expected: Option<&MigrationRow>,
        migration: &MigrationRow,
        lanes: &[(Lane, LaneStart)],
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Removes the control tables that are there, also what is left of them; false if there were
    /// none. May be repeated.
    fn drop_control(&self) -> impl Future<Output = Result<bool, Failure>> + Send;
}
