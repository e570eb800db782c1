//! The boundary to rows that are loaded in ranges: key ranges of a snapshot, pieces of a file.

use std::future::Future;
use std::sync::Arc;

use crate::plan::{RefusedCell, TableId, TablePlan};
use crate::report::failure::Failure;
use crate::wire::rows::RowBatch;

/// A place between two rows of a table, as text that only its source understands: a key of a
/// server, a place in a file. It is stored, handed back, and compared for equality alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary(pub String);

/// The rows of one table behind `after`, up to `up_to`. `None` is open. Of a key range, `after` is
/// exclusive and `up_to` inclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The table.
    pub table: TableId,
    /// Where it begins.
    pub after: Option<Boundary>,
    /// Where it ends.
    pub up_to: Option<Boundary>,
}

/// A row that was refused while reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// The row's key as the source prints it, for findings only (mode 0600), never for logs.
    pub key: String,
    /// Its key as `ListValue` payload; empty if the key itself is refused.
    pub encoded_key: Vec<u8>,
    /// Column and reason.
    pub cell: RefusedCell,
}

/// What a call of `read` brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadStatus {
    /// The range continues.
    More,
    /// The range is read to its end.
    End,
}

/// Rows of one call of `read`.
#[derive(Debug, Default)]
pub struct ReadRows {
    /// Converted rows, in the source's order.
    pub rows: RowBatch,
    /// Refused ones. The range reads on.
    pub refused: Vec<RefusedRow>,
}

/// How the rows of a source are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// A row takes the place of one with the same key. A range may be written again from its
    /// beginning.
    Upsert,
    /// A row whose key is there already is a finding, never an overwrite. Each commit records how
    /// many rows of its range are in, and a range is continued behind these
    /// (docs/design/load.md): read again, also by another process, it must bring the same rows in
    /// the same order.
    Insert,
}

/// Rows of tables, in ranges that can be read again from their beginning. Used by one worker at a
/// time.
///
/// The rows of a table lie in one order, which never changes. A range is finished once its rows are
/// at the target; it is recorded in the same commit as its last row, and never read again.
///
/// A failure of class `Retry` means that this reader is lost: what it has not finished is read by
/// another one. `StopTable` names the table (`Failure::of_table`). Neither ever looks like the end
/// of a range.
pub trait RowSource: Send + 'static {
    /// How its rows are written. It does not change.
    fn write_mode(&self) -> WriteMode;

    /// The place that lies about `rows` rows behind `after` in the source's order, or `None` if
    /// fewer rows follow. `None` for `after` is the beginning of the table.
    fn divide(
        &mut self,
        plan: &TablePlan,
        after: Option<&Boundary>,
        rows: u64,
    ) -> impl Future<Output = Result<Option<Boundary>, Failure>> + Send;

    /// Begins to read a range from its beginning. `read` must then be called until `End`, or the
    /// reader dropped.
    fn begin(
        &mut self,
        plan: &Arc<TablePlan>,
        range: &Range,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Clears `into` and fills it with the next rows: until `bytes_max` encoded bytes or `rows_max`
    /// rows are reached, at least one row unless the range ends.
    ///
    /// Cancellation: not safe; drop the reader.
    fn read(
        &mut self,
        into: &mut ReadRows,
        rows_max: usize,
        bytes_max: usize,
    ) -> impl Future<Output = Result<ReadStatus, Failure>> + Send;
}

/// The rows of a load that no stream of changes follows. They do not change while the load lasts,
/// also not between two processes of it.
pub trait RowSet: Send + Sync + 'static {
    /// Its readers.
    type Reader: RowSource;

    /// Opens a reader of these tables. One is opened for each worker, and others when a reader was
    /// lost. What must hold before anything is read, such as that a file is still the one that the
    /// load began with, is checked here. Failures are as in [`RowSource`]. Cancellation: safe.
    fn open(&self, tables: &[Arc<TablePlan>]) -> impl Future<Output = Result<Self::Reader, Failure>> + Send;
}
