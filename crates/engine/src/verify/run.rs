//! Compares all tables of a migration, one after the other, while the source is at rest.

use std::sync::Arc;

use spanferry_core::canonical::render;
use spanferry_core::failure::Failure;
use spanferry_core::plan::TablePlan;
use spanferry_core::position::Position;
use spanferry_core::source::{ChangeSource, SchemaSource, SnapshotSource};
use spanferry_core::target::Target;

use crate::lane::Backoff;

use super::buckets::Buckets;
use super::compare::Comparison;
use super::counters::Counters;
use super::reader::Reader;
use super::scan::read_both;
use super::verdict::{DifferentKey, KEYS_NAMED_MAX, TableVerdict};

/// Bytes of rows held at once while they wait for their partners: 200,000 rows or more.
const HELD_BYTES_MAX: usize = 48 << 20;
/// Scans of both sides that pairing may take; what is left then is told as lower bounds.
const COMPARE_PASSES_MAX: u32 = 8;
/// How often one table is begun before the failure that breaks it off is the result: 16 s of delays.
const TABLE_ATTEMPTS_MAX: u32 = 14;

/// Compares all tables. `applied` is the position that the target holds. A transaction of the source beyond it that concerns one
/// of the tables, before or meanwhile, is the failure `SOURCE_AHEAD`, never a difference; `changes` brings those transactions, and
/// is opened only if there are any. `told` is called with each table's verdict.
///
/// The tables share a session at the source. When it is lost, the table that was being read is compared anew, a bounded number of times.
/// Memory: two batches, two sets of buckets and `HELD_BYTES_MAX`. Cancellation: safe, nothing is written.
pub async fn verify<S, C, T>(
    source: &S,
    changes: &C,
    target: &T,
    plans: &[Arc<TablePlan>],
    applied: &Position,
    counters: &Counters,
    mut told: impl FnMut(&TableVerdict),
) -> Result<Vec<TableVerdict>, Failure>
where
    S: SchemaSource + SnapshotSource,
    C: ChangeSource,
    T: Target,
{
    let mut reader = Reader::new(source, changes, plans, applied);
    reader.expect_rest().await?;
    let mut verdicts = Vec::new();
    for plan in plans {
        let verdict = verify_patiently(&mut reader, target, plan, counters).await?;
        if !verdict.is_equal() {
            reader.expect_rest().await?;
        }
        told(&verdict);
        verdicts.push(verdict);
    }
    reader.expect_rest().await?;
    Ok(verdicts)
}

/// Compares a table, anew if the reading of it breaks off: a session may be lost, or give way to a statement at the source.
async fn verify_patiently<S, C, T>(
    source: &mut Reader<'_, S, C>,
    target: &T,
    plan: &Arc<TablePlan>,
    counters: &Counters,
) -> Result<TableVerdict, Failure>
where
    S: SchemaSource + SnapshotSource,
    C: ChangeSource,
    T: Target,
{
    let mut backoff = Backoff::default();
    for _ in 1..TABLE_ATTEMPTS_MAX {
        match verify_table(source, target, plan, counters).await {
            Err(failure) if failure.is_retry() => {
                tracing::warn!(
                    failure = failure.for_log(),
                    table = plan.name().table,
                    "this table is compared anew"
                );
                tokio::time::sleep(backoff.delay(None)).await;
            }
            ended => return ended,
        }
    }
    verify_table(source, target, plan, counters).await
}

async fn verify_table<S, C, T>(
    source: &mut Reader<'_, S, C>,
    target: &T,
    plan: &Arc<TablePlan>,
    counters: &Counters,
) -> Result<TableVerdict, Failure>
where
    S: SchemaSource + SnapshotSource,
    C: ChangeSource,
    T: Target,
{
    let name = &plan.name().table;
    counters.begin(name, 0, plan.source.rows_estimate);
    let mut buckets = Buckets::new();
    let refusals = read_both(source, target, plan, counters, |side, key, content| {
        buckets.add(side, key, content);
    })
    .await?;
    let (rows_source, rows_target) = buckets.rows();
    let mut verdict = TableVerdict {
        name: name.clone(),
        rows_source: rows_source + refusals.keyless,
        rows_target,
        refused: refusals.count,
        refused_rows: refusals.named,
        ..TableVerdict::default()
    };
    pair_rows(source, target, plan, counters, &buckets, &mut verdict).await?;
    Ok(verdict)
}

/// Reads the rows of differing buckets again and pairs them, pass by pass.
async fn pair_rows<S, C, T>(
    source: &mut Reader<'_, S, C>,
    target: &T,
    plan: &Arc<TablePlan>,
    counters: &Counters,
    buckets: &Buckets,
    verdict: &mut TableVerdict,
) -> Result<(), Failure>
where
    S: SchemaSource + SnapshotSource,
    C: ChangeSource,
    T: Target,
{
    let columns = plan.target.columns.iter();
    let names: Vec<String> = columns.map(|column| column.name.clone()).collect();
    let mut left = buckets.differing();
    for pass in 1..=COMPARE_PASSES_MAX {
        if left.is_empty() {
            break;
        }
        counters.begin(&verdict.name, pass, verdict.rows_source);
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
