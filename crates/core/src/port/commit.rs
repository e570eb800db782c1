//! The boundary to what commits: fenced lanes, and mutations that happen as a whole or not at all.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::plan::TablePlan;
use crate::port::capabilities::TargetCapabilities;
use crate::port::control::ControlChange;
use crate::port::lane::{FenceKey, FenceRow, Lane};
use crate::port::timestamp::CommitTimestamp;
use crate::report::failure::{Failure, ServerWords};
use crate::wire::partial_rows::ColumnSet;
use crate::wire::rows::RowBatch;

/// Which kind of mutation a run of rows is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MutationKind {
    /// Rows are keys.
    Delete,
    /// Rows are whole rows; a missing one is inserted.
    Upsert,
    /// Rows are whole rows. The commit is rejected if one of them is there.
    Insert,
    /// Rows hold these columns in the plan's order, those of the key among them; the other columns
    /// keep their values. The commit is rejected if one of the rows is not there.
    Update(ColumnSet),
}

/// Mutations of one kind on one table.
#[derive(Debug, Clone)]
pub struct TableMutations {
    /// The table.
    pub table: Arc<TablePlan>,
    /// What is done with the rows.
    pub kind: MutationKind,
    /// Keys or rows.
    pub rows: RowBatch,
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
    /// Data, in the order in which it is to be sent: all deletes first.
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
    /// What its words name as an index or a foreign key, in their order. Spanner gives no other
    /// sign of which one it was.
    pub named: Vec<String>,
    /// The commit was larger than the target allows: splitting it helps.
    pub too_large: bool,
    /// A value of a row does not fit its column: no index and no foreign key is the reason.
    pub of_value: bool,
    /// Whether it concerns the session, the credentials or the request as such rather than its
    /// data: another attempt may help after the delay.
    pub transient: bool,
}

/// The status of a row that is there already, or of a value that a unique index has already.
const ALREADY_EXISTS: &str = "ALREADY_EXISTS";

impl Rejection {
    /// Whether the reason is that a row, or a value of a unique index, is there already.
    pub fn is_there(&self) -> bool {
        self.status == ALREADY_EXISTS
    }
}

impl From<Rejection> for ServerWords {
    fn from(rejection: Rejection) -> ServerWords {
        ServerWords::new(rejection.message, rejection.status)
    }
}

/// Commits behind a fence.
///
/// Retries: nothing is retried inside `commit`. `read_fence` retries transient failures within a
/// named bound and then fails with class `StopMigration` (resumable). Cancellation: a dropped
/// commit may or may not have happened.
pub trait Committer: Send + Sync + 'static {
    /// Sends one commit, once.
    ///
    /// Atomic. Blind compare-and-set on the lane's fence row: `Update` of the previous key's row,
    /// `Delete` of it, `Insert` of the next: a repeat, a late duplicate or a commit of a dead
    /// process finds no row and fails as a whole.
    ///
    /// The answer is the timestamp of the commit: a read of the target at this timestamp or
    /// later sees it.
    fn commit(
        &self,
        commit: &FencedCommit,
    ) -> impl Future<Output = Result<CommitTimestamp, CommitError>> + Send;

    /// Reads a lane's fence row, strongly.
    fn read_fence(&self, lane: Lane) -> impl Future<Output = Result<Option<FenceRow>, Failure>> + Send;

    /// What the target can do. It does not change while the process lives.
    fn capabilities(&self) -> TargetCapabilities;
}
