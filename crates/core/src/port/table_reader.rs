//! The boundary to what reads the rows of tables.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::plan::TablePlan;
use crate::port::target::CommitTimestamp;
use crate::report::failure::Failure;
use crate::wire::list_value::{MalformedWire, WireReader};
use crate::wire::rows::RowBatch;

/// Reads tables.
///
/// Retries: transient failures are retried within a named bound, and then fail with class
/// `StopMigration` (resumable). Cancellation: safe, nothing is written.
pub trait TableReader: Send + Sync + 'static {
    /// A scan in progress.
    type Scan: TargetScan;

    /// Opens a scan over rows of a table, columns in the plan's order. The rows come in the order
    /// of the target's primary key, all as they were at one timestamp.
    fn scan(&self, request: &ScanRequest<'_>) -> impl Future<Output = Result<Self::Scan, Failure>> + Send;

    /// How long the target keeps old versions of its rows, at least: a scan reads for that long.
    fn version_retention(&self) -> impl Future<Output = Result<Duration, Failure>> + Send;
}

/// What a scan is to read.
#[derive(Debug, Clone, Copy)]
pub struct ScanRequest<'a> {
    /// The table.
    pub table: &'a Arc<TablePlan>,
    /// Which of its rows.
    pub keys: KeyInterval<'a>,
    /// As of when.
    pub at: ScanAt,
}

impl<'a> ScanRequest<'a> {
    /// All rows of a table as they are now.
    pub fn whole(table: &'a Arc<TablePlan>) -> ScanRequest<'a> {
        ScanRequest {
            table,
            keys: KeyInterval::default(),
            at: ScanAt::Now,
        }
    }
}

/// Rows of a table by their keys, in the order of the target's primary key. All of them by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyInterval<'a> {
    /// Only rows whose key follows this one; that row itself is left out.
    pub after: Option<&'a ScanKey>,
    /// Only rows whose key is this one or precedes it.
    pub up_to: Option<&'a ScanKey>,
}

/// As of when a scan reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanAt {
    /// At a timestamp that the target chooses: everything that was committed before the call is
    /// seen.
    Now,
    /// At this timestamp.
    Exactly(CommitTimestamp),
}

/// The primary key of a row as the target spells it: the `ListValue` payload of its cells, in key
/// order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanKey(Vec<u8>);

impl ScanKey {
    /// The cells.
    pub fn payload(&self) -> &[u8] {
        &self.0
    }
}

/// Takes keys from scanned rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanKeyColumns(Vec<usize>);

impl ScanKeyColumns {
    /// The columns of the target's primary key among those of the plan's rows; none if the plan
    /// leaves one of them to the target, so that its rows do not have their keys.
    pub fn of(plan: &TablePlan) -> Option<ScanKeyColumns> {
        let place = |key: &usize| plan.columns.iter().position(|column| column.target == *key);
        let places: Option<Vec<usize>> = plan.target.primary_key.iter().map(place).collect();
        places.filter(|places| !places.is_empty()).map(ScanKeyColumns)
    }

    /// The places of the key's columns in a row, in key order.
    pub fn places(&self) -> &[usize] {
        &self.0
    }

    /// The key of a row, given as `ListValue` payload.
    pub fn key(&self, row: &[u8]) -> Result<ScanKey, MalformedWire> {
        let mut key = Vec::new();
        for place in &self.0 {
            let mut cells = WireReader::new(row);
            for _ in 0..*place {
                cells.next().ok_or(MalformedWire)??;
            }
            let start = row.len() - cells.remaining();
            cells.next().ok_or(MalformedWire)??;
            key.extend_from_slice(&row[start..row.len() - cells.remaining()]);
        }
        Ok(ScanKey(key))
    }
}

/// What a call of [`TargetScan::next`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scanned {
    /// The batch has at least one row.
    Rows,
    /// There are no more rows. The batch is empty.
    End,
    /// The target does not keep the version of the scan's timestamp any more. The batch is empty.
    /// What came before is right; the rest can be read by another scan.
    Expired,
}

/// Rows of one table as the target holds them.
pub trait TargetScan: Send + 'static {
    /// The timestamp at which it reads. It is known once the first row has come, and does not
    /// change from then on.
    fn at(&self) -> Option<CommitTimestamp>;

    /// Clears `into` and fills it with the next rows as the target spells them, at most about
    /// `bytes_max` bytes (at least one row).
    fn next(
        &mut self,
        into: &mut RowBatch,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Scanned, Failure>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::plan::TargetKey;
    use crate::value::encode::{ColumnPlan, Encoding};
    use crate::wire::list_value;

    /// The key is the target's primary key in its order, not the order of the row.
    #[test]
    fn a_key_is_taken_from_its_row() {
        let columns = ["a", "b", "c"].map(|name| fixture::column(name, fixture::BIGINT));
        let mut plan = fixture::plan(fixture::table("t", columns.into()), [Encoding::Int64; 3]);
        plan.target.primary_key = vec![2, 0];
        plan.target_key = TargetKey::Columns(vec![2, 0]);
        let columns = ScanKeyColumns::of(&plan).unwrap();
        assert_eq!(columns.places(), [2, 0]);
        let (mut row, mut expected) = (Vec::new(), Vec::new());
        list_value::put_string(&mut row, b"one");
        list_value::put_number(&mut row, 2.0);
        list_value::put_null(&mut row);
        list_value::put_null(&mut expected);
        list_value::put_string(&mut expected, b"one");
        assert_eq!(columns.key(&row).unwrap().payload(), &expected);
        assert_eq!(columns.key(&row[..row.len() - 4]), Err(MalformedWire));
    }

    /// A row without its whole key has none.
    #[test]
    fn a_key_that_the_target_makes_is_not_in_the_row() {
        let columns = ["a", "b"].map(|name| fixture::column(name, fixture::BIGINT));
        let mut plan = fixture::plan(fixture::table("t", columns.into()), [Encoding::Int64; 2]);
        plan.target.primary_key = vec![0, 1];
        plan.columns = vec![ColumnPlan::of_source(1, 1, Encoding::Int64, false)];
        assert_eq!(ScanKeyColumns::of(&plan), None);
    }
}
