//! Compares all tables of a migration, one after the other, while the source is at rest.

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::{ChangeSource, HistorySource, PositionSource, SnapshotSource};
use spanferry_core::port::target::{KeyInterval, ScanKey, TableReader};
use spanferry_core::position::Bookmark;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::schema::source::QualifiedName;
use spanferry_core::verify::canonical::render;
use spanferry_core::verify::witness::{Counted, TargetWitness, WitnessSource};

use crate::lane::Backoff;

use super::buckets::Buckets;
use super::compare::Comparison;
use super::counters::Counters;
use super::reader::Reader;
use super::sample::Sample;
use super::scan::{Content, Side, Target, WasRead, read_both};
use super::verdict::{DifferentKey, KEYS_NAMED_MAX, Lack, TableVerdict, Testimony};
use super::witness::{Witnesses, contradicted};

/// Bytes of rows held at once while they wait for their partners: 200,000 rows or more.
const HELD_BYTES_MAX: usize = 48 << 20;
/// Scans of both sides that pairing may take; what is left then is reported as lower bounds.
const COMPARE_PASSES_MAX: u32 = 8;
/// How often one table is begun before the failure that breaks it off is the result: 16 s of
/// delays.
const TABLE_ATTEMPTS_MAX: u32 = 14;

/// What a verification found.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// The tables that were compared, in the order of the plans.
    pub tables: Vec<TableVerdict>,
    /// All base tables of the migrated schema by the source's own catalog, whether they were
    /// compared or not.
    pub source_tables: Vec<QualifiedName>,
    /// All tables of the target by its own catalog, whether they belong to the migration or not.
    pub target_tables: Vec<String>,
    /// Columns of compared tables that only the target has: the target's names of table and column.
    pub columns_extra: Vec<(String, String)>,
}

/// Compares all tables. A table that the target lacks, or lacks columns of, is different without
/// being read. `applied` is the position that the target holds. A transaction of the source beyond
/// it that concerns one of the tables, before or meanwhile, is the failure `SOURCE_AHEAD`, never a
/// difference; `changes` brings those transactions, and is opened only if there are any. `told` is
/// called with each table's verdict.
///
/// The tables share a session at the source. When it is lost, the table that was being read is
/// compared again, a bounded number of times. Memory: two batches, two sets of buckets, a sample
/// and `HELD_BYTES_MAX`. Cancellation: safe, nothing is written.
pub async fn verify<S, C, T>(
    source: &S,
    changes: &C,
    target: &T,
    plans: &[Arc<TablePlan>],
    applied: &Bookmark,
    counters: &Counters,
    mut told: impl FnMut(&TableVerdict),
) -> Result<Verification, Failure>
where
    S: PositionSource + SnapshotSource + WitnessSource,
    C: HistorySource + ChangeSource,
    T: TableReader + TargetWitness,
{
    let mut run = Run {
        reader: Reader::new(source, changes, plans, applied),
        witnesses: Witnesses::new(source, target),
        target: Target {
            reader: target,
            retention: target.version_retention().await?,
        },
        counters,
    };
    run.reader.expect_rest().await?;
    let seen = patiently("both catalogs", async || run.witnesses.read_catalogs().await).await?;
    run.reader.note_seen(seen);
    let mut tables = Vec::new();
    for plan in plans {
        let verdict = patiently(&plan.name().table, async || run.verify_table(plan).await).await?;
        if !verdict.is_equal() {
            run.reader.expect_rest().await?;
        }
        // What the target lacks does not depend on what the source has done since.
        if verdict.lack.is_none() && verdict.differs() {
            run.reader.expect_known()?;
        }
        told(&verdict);
        tables.push(verdict);
    }
    run.reader.expect_rest().await?;
    let columns_extra = plans.iter().flat_map(|plan| {
        let columns = run.witnesses.columns_extra(plan).into_iter();
        columns.map(|column| (plan.target.name.clone(), column))
    });
    Ok(Verification {
        tables,
        source_tables: run.witnesses.source_tables().cloned().collect(),
        target_tables: run.witnesses.target_tables().cloned().collect(),
        columns_extra: columns_extra.collect(),
    })
}

/// Tries again what breaks off: a session may be lost, or give way to a statement at the source.
async fn patiently<R>(
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<R, Failure>,
) -> Result<R, Failure> {
    let mut backoff = Backoff::default();
    for _ in 1..TABLE_ATTEMPTS_MAX {
        match attempt().await {
            Err(failure) if failure.is_retry() => {
                tracing::warn!(failure = failure.for_log(), what, "this is compared again");
                tokio::time::sleep(backoff.delay(None)).await;
            }
            ended => return ended,
        }
    }
    attempt().await
}

/// One verification.
struct Run<'a, S: SnapshotSource + WitnessSource, C, T> {
    reader: Reader<'a, S, C>,
    witnesses: Witnesses<'a, S, T>,
    target: Target<'a, T>,
    counters: &'a Counters,
}

impl<S, C, T> Run<'_, S, C, T>
where
    S: PositionSource + SnapshotSource + WitnessSource,
    C: HistorySource + ChangeSource,
    T: TableReader + TargetWitness,
{
    async fn verify_table(&mut self, plan: &Arc<TablePlan>) -> Result<TableVerdict, Failure> {
        let name = &plan.name().table;
        self.counters.begin(name, 0, plan.source.rows_estimate);
        if let Some(lack) = self.witnesses.lack(plan) {
            return self.lacking(plan, lack).await;
        }
        let (mut buckets, mut sample) = (Buckets::new(), Sample::new());
        let reading = read_both(
            &mut self.reader,
            &self.target,
            plan,
            self.counters,
            |side, key, content| {
                let digest = buckets.add(side, key, content);
                if let (Side::Target, Content::Row { spelled, .. }) = (side, content) {
                    sample.offer(digest, spelled);
                }
            },
        );
        // The servers count while their rows are read. A witness that is lost is asked again, and
        // the reading continues.
        let witnesses = &mut self.witnesses;
        let counting = patiently(name, async || witnesses.count(plan).await);
        let whole = self.target.reader.count(plan, KeyInterval::default());
        let (WasRead { refusals, ends }, counted_source, counted) =
            tokio::try_join!(reading, counting, whole)?;
        let counted_target = match counted {
            Counted::Rows(rows) => rows,
            Counted::TooLong => self.count_by_parts(plan, &ends).await?,
        };
        let (rows_source, rows_target) = buckets.rows();
        let mut verdict = TableVerdict {
            rows_source: rows_source + refusals.keyless,
            rows_target,
            refused: refusals.count,
            refused_rows: refusals.named,
            ..TableVerdict::new(plan.name())
        };
        let (source, target) = (&mut self.reader, &self.target);
        pair_rows(source, target, plan, self.counters, &buckets, &mut verdict).await?;
        let counted = (counted_source, counted_target);
        verdict.testimony = self.testimony(plan, counted, sample, &verdict).await?;
        Ok(verdict)
    }

    /// The verdict on a table that the target lacks, or lacks columns of: the servers count, and no
    /// row is read.
    async fn lacking(&mut self, plan: &Arc<TablePlan>, lack: Lack) -> Result<TableVerdict, Failure> {
        let name = &plan.name().table;
        let witnesses = &mut self.witnesses;
        let rows_source = patiently(name, async || witnesses.count(plan).await).await?;
        let rows_target = match lack {
            Lack::Table => 0,
            Lack::Columns => match self.target.reader.count(plan, KeyInterval::default()).await? {
                Counted::Rows(rows) => rows,
                Counted::TooLong => return Err(too_long(plan)),
            },
        };
        Ok(TableVerdict {
            rows_source,
            rows_target,
            lack: Some(lack),
            testimony: Testimony {
                rows_source,
                rows_target,
                columns_missing: self.witnesses.columns_missing(plan),
                ..Testimony::default()
            },
            ..TableVerdict::new(plan.name())
        })
    }

    /// Rows by the target's own count, added up over the parts between these keys.
    async fn count_by_parts(&self, plan: &Arc<TablePlan>, ends: &[ScanKey]) -> Result<u64, Failure> {
        let mut rows = 0;
        let mut after = None;
        for up_to in ends.iter().map(Some).chain([None]) {
            let part = KeyInterval { after, up_to };
            // Without an end there is but one part, which has been tried.
            let counted = if part == KeyInterval::default() {
                Counted::TooLong
            } else {
                self.target.reader.count(plan, part).await?
            };
            match counted {
                Counted::Rows(more) => rows += more,
                Counted::TooLong => return Err(too_long(plan)),
            }
            after = up_to;
        }
        Ok(rows)
    }

    /// What the servers say of a table whose rows were read.
    async fn testimony(
        &mut self,
        plan: &Arc<TablePlan>,
        (rows_source, rows_target): (u64, u64),
        sample: Sample,
        verdict: &TableVerdict,
    ) -> Result<Testimony, Failure> {
        let rows = sample.into_rows();
        let (witnesses, counters) = (&mut self.witnesses, self.counters);
        let asked = patiently(&verdict.name.table, async || {
            witnesses.compare(plan, &rows, counters).await
        });
        let (said, seen) = asked.await?;
        self.reader.note_seen(seen);
        Ok(Testimony {
            rows_source,
            rows_target,
            rows_asked: rows.len() as u64,
            columns_missing: self.witnesses.columns_missing(plan),
            contradicted: contradicted(plan, &rows, &said, verdict),
        })
    }
}

fn too_long(plan: &TablePlan) -> Failure {
    let table = plan.name().table.clone();
    let text = "the target cannot count its rows in the time that it has";
    Failure::new(code::COUNT_TOO_LONG, Class::StopMigration, table, text)
}

/// Reads the rows of differing buckets again and pairs them, pass by pass.
async fn pair_rows<S, C, T>(
    source: &mut Reader<'_, S, C>,
    target: &Target<'_, T>,
    plan: &Arc<TablePlan>,
    counters: &Counters,
    buckets: &Buckets,
    verdict: &mut TableVerdict,
) -> Result<(), Failure>
where
    S: PositionSource + SnapshotSource,
    C: HistorySource + ChangeSource,
    T: TableReader,
{
    let names: Vec<String> = plan.column_names().map(str::to_owned).collect();
    let mut left = buckets.differing();
    for pass in 1..=COMPARE_PASSES_MAX {
        if left.is_empty() {
            break;
        }
        counters.begin(&verdict.name.table, pass, verdict.rows_source);
        let room = KEYS_NAMED_MAX - verdict.keys.len();
        let mut comparison = Comparison::new(&left, &names, HELD_BYTES_MAX, room);
        read_both(source, target, plan, counters, |side, key, content| {
            comparison.add(side, key, content);
        })
        .await?;
        let outcome = comparison.finish();
        verdict.add(outcome.tally);
        let named = outcome.named.into_iter();
        verdict.keys.extend(named.map(|named| DifferentKey {
            kind: named.kind,
            key: render(plan, &named.key),
            columns: named.columns,
        }));
        left = outcome.left;
        if !outcome.advanced {
            break;
        }
    }
    verdict.at_least = !left.is_empty();
    for at in &left {
        verdict.add(buckets.least(*at));
    }
    Ok(())
}
