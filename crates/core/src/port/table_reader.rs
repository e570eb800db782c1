//! The boundary to what reads the rows of tables.

use std::future::Future;
use std::sync::Arc;

use crate::plan::TablePlan;
use crate::report::failure::Failure;
use crate::wire::rows::RowBatch;

/// Reads tables.
///
/// Retries: transient failures are retried within a named bound, and then fail with class
/// `StopMigration` (resumable). Cancellation: safe, nothing is written.
pub trait TableReader: Send + Sync + 'static {
    /// A scan in progress.
    type Scan: TargetScan;

    /// Opens a scan over all rows of a table at one timestamp, columns in the plan's order.
    fn scan(&self, table: &Arc<TablePlan>) -> impl Future<Output = Result<Self::Scan, Failure>> + Send;
}

/// Rows of one table as the target holds them.
pub trait TargetScan: Send + 'static {
    /// Clears `into` and fills it with the next rows as the target spells them, at most about
    /// `bytes_max` bytes (at least one row); false at the end.
    fn next(
        &mut self,
        into: &mut RowBatch,
        bytes_max: usize,
    ) -> impl Future<Output = Result<bool, Failure>> + Send;
}
