//! The key ranges of a snapshot session as a source of rows.

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::row_source::{Boundary, Range, ReadRows, ReadStatus, RowSource, WriteMode};
use spanferry_core::port::source::SnapshotSession;
use spanferry_core::report::failure::Failure;

/// Reads key ranges in a session. Sessions of several attempts see several states, so a row may
/// have been written by an earlier one, and takes its place (docs/design/hand-off.md, step 7).
pub(super) struct KeyRanges<S>(pub(super) S);

impl<S: SnapshotSession> RowSource for KeyRanges<S> {
    fn write_mode(&self) -> WriteMode {
        WriteMode::Upsert
    }

    fn divide(
        &mut self,
        plan: &TablePlan,
        after: Option<&Boundary>,
        rows: u64,
    ) -> impl Future<Output = Result<Option<Boundary>, Failure>> + Send {
        self.0.boundary(plan, after, rows)
    }

    fn begin(
        &mut self,
        plan: &Arc<TablePlan>,
        range: &Range,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        self.0.begin(plan, range)
    }

    fn read(
        &mut self,
        into: &mut ReadRows,
        rows_max: usize,
        bytes_max: usize,
    ) -> impl Future<Output = Result<ReadStatus, Failure>> + Send {
        self.0.read(into, rows_max, bytes_max)
    }
}
