//! Reads one table from both sides side by side, neither far ahead of the other, as canonical keys
//! and rows.

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::{
    ChangeSource, HistorySource, PositionSource, Range, ReadRows, ReadStatus, RefusedRow, SnapshotSession,
    SnapshotSource,
};
use spanferry_core::port::target::{ScanKey, TableReader};
use spanferry_core::report::failure::Failure;
use spanferry_core::verify::canonical::Canonicalizer;
use spanferry_core::wire::list_value::MalformedWire;
use spanferry_core::wire::rows::RowBatch;

use super::counters::Counters;
use super::pieces::TargetRows;
use super::reader::Reader;
use super::refusals::Refusals;
use super::verdict::Kind;

/// Rows and bytes read at once.
const BATCH: (usize, usize) = (4_000, 1 << 20);
/// Rows that one side may be ahead of the other, so that pairs meet soon where both have one order:
/// a few batches.
const AHEAD_ROWS_MAX: u64 = 20_000;

/// Where a row comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Target,
}

impl Side {
    /// What a row is that only this side has.
    pub(super) fn alone(self) -> Kind {
        match self {
            Side::Source => Kind::Missing,
            Side::Target => Kind::Extra,
        }
    }
}

/// What of a row is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// A row.
    Row {
        /// Its canonical form.
        canonical: &'a [u8],
        /// As the side spells it.
        spelled: &'a [u8],
    },
    /// The source's row has no exact form at the target: whatever the target holds for its key, it
    /// is not equal.
    Refused,
}

/// The target as the side that is read.
pub(super) struct Target<'a, T> {
    pub(super) reader: &'a T,
    /// How long it keeps old versions of its rows.
    pub(super) retention: Duration,
}

/// What reading a table came to, beside its rows.
pub(super) struct WasRead {
    /// The source's refused rows.
    pub(super) refusals: Refusals,
    /// The keys at which pieces of the target's rows ended and others began, in key order.
    pub(super) ends: Vec<ScanKey>,
}

/// Reads a whole table from both sides and hands every row to `take`, with its canonical key.
pub(super) async fn read_both<S, C, T>(
    source: &mut Reader<'_, S, C>,
    target: &Target<'_, T>,
    plan: &Arc<TablePlan>,
    counters: &Counters,
    mut take: impl FnMut(Side, &[u8], Content<'_>),
) -> Result<WasRead, Failure>
where
    S: PositionSource + SnapshotSource,
    C: HistorySource + ChangeSource,
    T: TableReader,
{
    let mut refusals = Refusals::default();
    let mut canonical = CanonicalRows::new(plan);
    let mut opened = source.take().await?;
    let (ours, theirs) = tokio::join!(
        SourceRows::begin(&mut opened.session, plan),
        TargetRows::begin(target.reader, plan, target.retention)
    );
    let (mut ours, mut theirs) = (ours?, theirs?);
    let (mut our, mut their) = (Progress::default(), Progress::default());
    while !(our.ended && their.ended) {
        let (read, scanned) = tokio::join!(
            ours.next(our.is_due(&their)),
            theirs.next(their.is_due(&our), BATCH.1)
        );
        our.note(read?, ours.batch.rows.len() + ours.batch.refused.len());
        their.note(scanned?, theirs.batch.len());
        canonical.each(&ours.batch.rows, |key, row| take(Side::Source, key, row))?;
        canonical.each(&theirs.batch, |key, row| take(Side::Target, key, row))?;
        for row in &ours.batch.refused {
            refusals.note(plan, row);
            canonical.refused(row, |key| take(Side::Source, key, Content::Refused))?;
        }
        counters.read(our.rows, their.rows);
    }
    source.keep(opened);
    counters.end_reading();
    let ends = theirs.into_ends();
    Ok(WasRead { refusals, ends })
}

/// How far one side is read.
#[derive(Debug, Default)]
struct Progress {
    rows: u64,
    ended: bool,
}

impl Progress {
    /// Whether this side reads on now. One of the two always does until both have ended.
    fn is_due(&self, other: &Progress) -> bool {
        !self.ended && (other.ended || self.rows <= other.rows + AHEAD_ROWS_MAX)
    }

    fn note(&mut self, ended: bool, rows: usize) {
        self.ended |= ended;
        self.rows += rows as u64;
    }
}

struct SourceRows<'a, S> {
    session: &'a mut S,
    batch: ReadRows,
}

impl<'a, S: SnapshotSession> SourceRows<'a, S> {
    /// Begins to read the whole table.
    async fn begin(session: &'a mut S, plan: &'a Arc<TablePlan>) -> Result<SourceRows<'a, S>, Failure> {
        let whole = Range {
            table: plan.id,
            after: None,
            up_to: None,
        };
        session.begin(plan, &whole).await?;
        Ok(SourceRows {
            session,
            batch: ReadRows::default(),
        })
    }

    /// Reads the next batch if it is due; true at the end.
    async fn next(&mut self, due: bool) -> Result<bool, Failure> {
        self.batch.rows.clear();
        self.batch.refused.clear();
        if !due {
            return Ok(false);
        }
        let status = self.session.read(&mut self.batch, BATCH.0, BATCH.1).await?;
        Ok(status == ReadStatus::End)
    }
}

/// Turns batches into canonical rows and keys, with memory of its own.
struct CanonicalRows {
    canonicalizer: Canonicalizer,
    table: String,
    row: Vec<u8>,
    key: Vec<u8>,
}

impl CanonicalRows {
    fn new(plan: &TablePlan) -> CanonicalRows {
        CanonicalRows {
            canonicalizer: Canonicalizer::new(plan),
            table: plan.name().table.clone(),
            row: Vec::new(),
            key: Vec::new(),
        }
    }

    fn each(&mut self, rows: &RowBatch, mut take: impl FnMut(&[u8], Content<'_>)) -> Result<(), Failure> {
        for payload in rows.payloads() {
            self.row.clear();
            self.key.clear();
            let read = self.canonicalizer.row(payload, &mut self.row);
            read.and_then(|()| self.canonicalizer.key(&self.row, &mut self.key))
                .map_err(|cause| self.unreadable(cause))?;
            let (canonical, spelled) = (&self.row, payload);
            take(&self.key, Content::Row { canonical, spelled });
        }
        Ok(())
    }

    /// The canonical key of a refused row, unless the key itself is refused.
    fn refused(&mut self, row: &RefusedRow, take: impl FnOnce(&[u8])) -> Result<(), Failure> {
        if row.encoded_key.is_empty() {
            return Ok(());
        }
        self.key.clear();
        let read = self.canonicalizer.key_alone(&row.encoded_key, &mut self.key);
        read.map_err(|cause| self.unreadable(cause))?;
        take(&self.key);
        Ok(())
    }

    fn unreadable(&self, cause: MalformedWire) -> Failure {
        Failure::bug(self.table.clone(), "a row could not be read back").caused_by(cause)
    }
}
