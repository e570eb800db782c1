//! Reads the target's rows of one table in pieces, each at a timestamp of its own, because the
//! target keeps the version of a timestamp for a limited time (docs/design/verify.md, step 5).

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::{
    KeyInterval, ScanAt, ScanKey, ScanKeyColumns, ScanRequest, Scanned, TableReader, TargetScan,
};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::wire::rows::RowBatch;
use tokio::time::Instant;

/// How long one piece is read at most, also where the target keeps its versions for longer: Spanner
/// itself ends a read after an hour.
const PIECE_AGE_MAX: Duration = Duration::from_secs(30 * 60);
/// How many pieces in a row may end without a row because the target has dropped their version.
const FRUITLESS_MAX: u32 = 3;
/// Keys between pieces that are kept, for a count by parts. Of more only every second one is kept.
const ENDS_MAX: usize = 256;

/// The rows of a table, in the order of the target's key.
pub(super) struct TargetRows<'a, T: TableReader> {
    target: &'a T,
    plan: &'a Arc<TablePlan>,
    age_max: Duration,
    /// None if the rows do not have their keys: the table must be read in one piece.
    key_columns: Option<ScanKeyColumns>,
    piece: Option<Piece<T::Scan>>,
    /// The last row that was read.
    last: Option<LastRow>,
    fruitless: u32,
    ends: Vec<ScanKey>,
    pub(super) batch: RowBatch,
}

struct Piece<S> {
    scan: S,
    begun: Instant,
}

/// The last row that was read.
enum LastRow {
    Key(ScanKey),
    /// Its key is not known.
    Keyless,
}

impl<'a, T: TableReader> TargetRows<'a, T> {
    /// Begins to read the whole table. `retention` is how long the target keeps its versions.
    pub(super) async fn begin(
        target: &'a T,
        plan: &'a Arc<TablePlan>,
        retention: Duration,
    ) -> Result<TargetRows<'a, T>, Failure> {
        let mut rows = TargetRows {
            target,
            plan,
            age_max: (retention / 2).min(PIECE_AGE_MAX),
            key_columns: ScanKeyColumns::of(plan),
            piece: None,
            last: None,
            fruitless: 0,
            ends: Vec::new(),
            batch: RowBatch::new(),
        };
        rows.open().await?;
        Ok(rows)
    }

    /// Reads the next batch of at most about `bytes_max` bytes if it is due; true at the end.
    pub(super) async fn next(&mut self, due: bool, bytes_max: usize) -> Result<bool, Failure> {
        self.batch.clear();
        if !due {
            return Ok(false);
        }
        loop {
            if self.is_old() {
                self.open().await?;
            }
            let Some(piece) = &mut self.piece else {
                return Ok(true);
            };
            match piece.scan.next(&mut self.batch, bytes_max).await? {
                Scanned::Rows => {
                    self.note_last()?;
                    return Ok(false);
                }
                Scanned::End => {
                    self.piece = None;
                    return Ok(true);
                }
                Scanned::Expired => self.reopen_expired().await?,
            }
        }
    }

    /// The keys at which pieces ended and others began, in key order: none if the table was read in
    /// one piece.
    pub(super) fn into_ends(self) -> Vec<ScanKey> {
        self.ends
    }

    /// Whether the piece is so old that the rest is better read at another timestamp.
    fn is_old(&self) -> bool {
        let can_go_on = !matches!(self.last, Some(LastRow::Keyless));
        let piece = self.piece.as_ref();
        can_go_on && piece.is_some_and(|piece| piece.begun.elapsed() > self.age_max)
    }

    async fn reopen_expired(&mut self) -> Result<(), Failure> {
        self.fruitless += 1;
        if self.fruitless > FRUITLESS_MAX || matches!(self.last, Some(LastRow::Keyless)) {
            let table = self.plan.name().table.clone();
            let text = "the target drops the version that is read sooner than rows of it come";
            let class = Class::StopMigration;
            return Err(Failure::new(code::VERSION_EXPIRED, class, table, text));
        }
        self.open().await
    }

    /// Begins a piece behind the last row that was read.
    async fn open(&mut self) -> Result<(), Failure> {
        // The old scan ends first: it takes memory, and a stream of the connection.
        self.piece = None;
        let after = match &self.last {
            Some(LastRow::Key(key)) => Some(key),
            Some(LastRow::Keyless) | None => None,
        };
        if let Some(key) = after.filter(|key| self.ends.last() != Some(*key)) {
            tracing::info!(
                table = self.plan.name().table,
                "the target is read on in another piece"
            );
            self.ends.push(key.clone());
        }
        thin(&mut self.ends);
        let begun = Instant::now();
        let request = ScanRequest {
            table: self.plan,
            keys: KeyInterval { after, up_to: None },
            at: ScanAt::Now,
        };
        let scan = self.target.scan(&request).await?;
        self.piece = Some(Piece { scan, begun });
        Ok(())
    }

    fn note_last(&mut self) -> Result<(), Failure> {
        let Some(row) = self.batch.payloads().last() else {
            return Err(Failure::bug(&self.plan.name().table, "a batch without a row"));
        };
        self.fruitless = 0;
        self.last = Some(match &self.key_columns {
            Some(columns) => LastRow::Key(columns.key(row).map_err(|cause| {
                Failure::bug(&self.plan.name().table, "a row could not be read back").caused_by(cause)
            })?),
            None => LastRow::Keyless,
        });
        Ok(())
    }
}

/// Keeps every second key if there are too many.
fn thin(ends: &mut Vec<ScanKey>) {
    if ends.len() > ENDS_MAX {
        let mut number = 0_usize;
        ends.retain(|_| {
            number += 1;
            number.is_multiple_of(2)
        });
    }
}
