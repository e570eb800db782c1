//! Verify at rest: every row and column of source and target compared by digests, then row by row where they differ.
//!
//! Rows fall into buckets by a hash of their converted key; each bucket holds a count and the sum of its rows' digests, so that
//! the order of source and target need not agree. Rows of buckets that differ are read again and compared key by key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use spanferry_core::canonical::{Canonicalizer, digest};
use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::plan::TablePlan;
use spanferry_core::position::Position;
use spanferry_core::rows::RowBatch;
use spanferry_core::source::{
    Range, ReadStatus, SchemaSource, SnapshotRows, SnapshotSession, SnapshotSource,
};
use spanferry_core::target::{Target, TargetScan};

/// Buckets a table's rows fall into: 96 KiB a side.
const BUCKETS: usize = 4_096;
/// Most rows held at once while buckets are compared row by row: about 100 bytes each.
const ROWS_HELD_MAX: u64 = 200_000;
/// Keys named per table; more are only counted.
const KEYS_NAMED_MAX: usize = 1_000;
/// Rows and bytes read at once.
const BATCH: (usize, usize) = (4_000, 1 << 20);

/// How a key differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The source has it, the target has not.
    Missing,
    /// The target has it, the source has not.
    Extra,
    /// Both have it, with other values.
    Different,
}

/// A key that differs, as JSON list of its converted values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferentKey {
    /// How.
    pub kind: Kind,
    /// The key.
    pub key: String,
}

/// The result for one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableVerdict {
    /// Source name.
    pub name: String,
    /// Rows at the source.
    pub rows_source: u64,
    /// Rows at the target.
    pub rows_target: u64,
    /// Rows that only the source has.
    pub missing: u64,
    /// Rows that only the target has.
    pub extra: u64,
    /// Rows that differ.
    pub different: u64,
    /// At most 1,000 of their keys.
    pub keys: Vec<DifferentKey>,
}

impl TableVerdict {
    /// Whether both sides hold the same rows.
    pub fn is_equal(&self) -> bool {
        self.missing == 0 && self.extra == 0 && self.different == 0
    }
}

/// Compares all tables. `applied` is the position that the target holds; a source that has gone beyond it, before or
/// meanwhile, is the failure `SOURCE_AHEAD`, never a difference.
///
/// Memory: two batches, two sets of buckets and at most `ROWS_HELD_MAX` digests. Cancellation: safe, nothing is written.
pub async fn verify<S, T>(
    source: &S,
    target: &T,
    plans: &[Arc<TablePlan>],
    applied: &Position,
    mut told: impl FnMut(&TableVerdict),
) -> Result<Vec<TableVerdict>, Failure>
where
    S: SchemaSource + SnapshotSource,
    T: Target,
{
    expect_at_rest(source, applied).await?;
    let mut verdicts = Vec::new();
    for plan in plans {
        let verdict = verify_table(source, target, plan).await?;
        if !verdict.is_equal() {
            expect_at_rest(source, applied).await?;
        }
        told(&verdict);
        verdicts.push(verdict);
    }
    expect_at_rest(source, applied).await?;
    Ok(verdicts)
}

async fn expect_at_rest<S: SchemaSource>(source: &S, applied: &Position) -> Result<(), Failure> {
    let now = source.position().await?;
    let ahead = now.count_beyond(applied).map_err(|cause| {
        Failure::new(
            code::HISTORY_CHANGED,
            Class::StopMigration,
            "source",
            "it has another history",
        )
        .caused_by(cause)
    })?;
    if ahead == 0 {
        return Ok(());
    }
    let text = format!("source is {ahead} transactions ahead");
    Err(Failure::new(code::SOURCE_AHEAD, Class::StopMigration, "", text))
}

/// Count and sum of digests of the rows in one bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bucket {
    rows: u64,
    sum: u128,
}

/// One side's buckets.
struct Buckets(Vec<Bucket>);

impl Buckets {
    fn new() -> Buckets {
        Buckets(vec![Bucket::default(); BUCKETS])
    }

    fn add(&mut self, key: &[u8], row: &[u8]) {
        let bucket = &mut self.0[bucket_of(key)];
        bucket.rows += 1;
        bucket.sum = bucket.sum.wrapping_add(digest(row));
    }

    fn rows(&self) -> u64 {
        self.0.iter().map(|bucket| bucket.rows).sum()
    }
}

fn bucket_of(key: &[u8]) -> usize {
    usize::try_from(digest(key) % BUCKETS as u128).expect("a bucket's number is below BUCKETS")
}

async fn verify_table<S: SnapshotSource, T: Target>(
    source: &S,
    target: &T,
    plan: &Arc<TablePlan>,
) -> Result<TableVerdict, Failure> {
    let (mut ours, mut theirs) = (Buckets::new(), Buckets::new());
    read_both(
        source,
        target,
        plan,
        |key, row| ours.add(key, row),
        |key, row| theirs.add(key, row),
    )
    .await?;
    let mut verdict = TableVerdict {
        name: plan.name().table.clone(),
        rows_source: ours.rows(),
        rows_target: theirs.rows(),
        ..TableVerdict::default()
    };
    let differing: Vec<usize> = (0..BUCKETS).filter(|at| ours.0[*at] != theirs.0[*at]).collect();
    for portion in portions(&differing, &ours, &theirs) {
        compare_rows(source, target, plan, &portion, &mut verdict).await?;
    }
    Ok(verdict)
}

/// Splits differing buckets so that one portion's rows fit into memory.
fn portions(differing: &[usize], ours: &Buckets, theirs: &Buckets) -> Vec<BTreeSet<usize>> {
    let mut result: Vec<BTreeSet<usize>> = Vec::new();
    let mut held = u64::MAX;
    for at in differing {
        let rows = ours.0[*at].rows + theirs.0[*at].rows;
        if held.saturating_add(rows) > ROWS_HELD_MAX {
            result.push(BTreeSet::new());
            held = 0;
        }
        held += rows;
        result
            .last_mut()
            .expect("the first bucket opens a portion")
            .insert(*at);
    }
    result
}

async fn compare_rows<S: SnapshotSource, T: Target>(
    source: &S,
    target: &T,
    plan: &Arc<TablePlan>,
    portion: &BTreeSet<usize>,
    verdict: &mut TableVerdict,
) -> Result<(), Failure> {
    let (mut ours, mut theirs) = (BTreeMap::new(), BTreeMap::new());
    let take = |rows: &mut BTreeMap<Vec<u8>, u128>, key: &[u8], row: &[u8]| {
        if portion.contains(&bucket_of(key)) {
            rows.insert(key.to_vec(), digest(row));
        }
    };
    read_both(
        source,
        target,
        plan,
        |key, row| take(&mut ours, key, row),
        |key, row| take(&mut theirs, key, row),
    )
    .await?;
    for (key, row) in &ours {
        match theirs.get(key) {
            None => note(verdict, Kind::Missing, key),
            Some(other) if other != row => note(verdict, Kind::Different, key),
            Some(_) => {}
        }
    }
    for key in theirs.keys().filter(|key| !ours.contains_key(*key)) {
        note(verdict, Kind::Extra, key);
    }
    Ok(())
}

fn note(verdict: &mut TableVerdict, kind: Kind, key: &[u8]) {
    match kind {
        Kind::Missing => verdict.missing += 1,
        Kind::Extra => verdict.extra += 1,
        Kind::Different => verdict.different += 1,
    }
    if verdict.keys.len() < KEYS_NAMED_MAX {
        verdict.keys.push(DifferentKey {
            kind,
            key: spanferry_core::canonical::render(key),
        });
    }
}

/// Reads a table from both sides at once and hands on canonical keys and rows.
async fn read_both<S: SnapshotSource, T: Target>(
    source: &S,
    target: &T,
    plan: &Arc<TablePlan>,
    ours: impl FnMut(&[u8], &[u8]),
    theirs: impl FnMut(&[u8], &[u8]),
) -> Result<(), Failure> {
    let (from_source, from_target) =
        tokio::join!(read_source(source, plan, ours), read_target(target, plan, theirs));
    from_source?;
    from_target
}

async fn read_source<S: SnapshotSource>(
    source: &S,
    plan: &Arc<TablePlan>,
    mut take: impl FnMut(&[u8], &[u8]),
) -> Result<(), Failure> {
    let mut snapshot = source.open(std::slice::from_ref(plan), 1, false).await?;
    let session = snapshot
        .sessions
        .first_mut()
        .ok_or_else(|| Failure::bug("snapshot", "one session was asked for"))?;
    session
        .begin(
            plan,
            &Range {
                table: plan.id,
                after: None,
                up_to: None,
            },
        )
        .await?;
    let mut rows = SnapshotRows::default();
    let mut canonical = CanonicalRows::new(plan);
    loop {
        let status = session.read(&mut rows, BATCH.0, BATCH.1).await?;
        if let Some(refused) = rows.refused.first() {
            let text = format!("the row with key {} holds {}", refused.key, refused.cell.refusal);
            return Err(Failure::new(
                code::VALUE_REFUSED,
                Class::StopMigration,
                plan.name().table.clone(),
                text,
            ));
        }
        canonical.each(&rows.rows, &mut take)?;
        if status == ReadStatus::End {
            return Ok(());
        }
    }
}

async fn read_target<T: Target>(
    target: &T,
    plan: &Arc<TablePlan>,
    mut take: impl FnMut(&[u8], &[u8]),
) -> Result<(), Failure> {
    let mut scan = target.scan(plan).await?;
    let mut rows = RowBatch::new();
    let mut canonical = CanonicalRows::new(plan);
    while scan.next(&mut rows, BATCH.1).await? {
        canonical.each(&rows, &mut take)?;
    }
    Ok(())
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

    fn each(&mut self, rows: &RowBatch, take: &mut impl FnMut(&[u8], &[u8])) -> Result<(), Failure> {
        for payload in rows.payloads() {
            self.row.clear();
            self.key.clear();
            let read = self.canonicalizer.row(payload, &mut self.row);
            read.and_then(|()| self.canonicalizer.key(&self.row, &mut self.key))
                .map_err(|cause| {
                    Failure::new(
                        code::BUG,
                        Class::Bug,
                        self.table.clone(),
                        "a row could not be read back",
                    )
                    .caused_by(cause)
                })?;
            take(&self.key, &self.row);
        }
        Ok(())
    }
}
