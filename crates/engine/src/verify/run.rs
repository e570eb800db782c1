//! Compares all tables of a migration, one after the other, while the source is at rest.

use std::sync::Arc;

use spanferry_core::failure::Failure;
use spanferry_core::plan::TablePlan;
use spanferry_core::position::Position;
use spanferry_core::source::{SchemaSource, SnapshotSource};
use spanferry_core::target::Target;

use crate::history::{ASK_INTERVAL, HistoryWatch, under_way};
use crate::lane::Backoff;
use crate::order::contains_all;

use super::buckets::Buckets;
use super::compare::Comparison;
use super::counters::Counters;
use super::reader::{Reader, expect_not_ahead};
use super::scan::read_both;
use super::verdict::{KEYS_NAMED_MAX, TableVerdict};

/// Bytes of rows held at once while they wait for their partners: 200,000 rows or more.
const HELD_BYTES_MAX: usize = 48 << 20;
/// Scans of both sides that pairing may take; what is left then is told as lower bounds.
const COMPARE_PASSES_MAX: u32 = 8;
/// How often one table is begun before the failure that breaks it off is the result: 16 s of delays.
const TABLE_ATTEMPTS_MAX: u32 = 14;

/// Compares all tables. `applied` is the position that the target holds; a source that has gone beyond it, before or
/// meanwhile, is the failure `SOURCE_AHEAD`, never a difference. `told` is called with each table's verdict.
///
/// The tables share a session at the source. When it is lost, the table that was being read is compared anew, a bounded number of times.
/// Memory: two batches, two sets of buckets and `HELD_BYTES_MAX`. Cancellation: safe, nothing is written.
pub async fn verify<S, T>(
    source: &S,
    target: &T,
    plans: &[Arc<TablePlan>],
    applied: &Position,
    counters: &Counters,
    mut told: impl FnMut(&TableVerdict),
) -> Result<Vec<TableVerdict>, Failure>
where
    S: SchemaSource + SnapshotSource,
    T: Target,
{
    expect_at_rest(source, applied).await?;
    let mut reader = Reader::new(source, plans, applied);
    let mut verdicts = Vec::new();
    for plan in plans {
        let verdict = verify_patiently(&mut reader, target, plan, counters).await?;
        if !verdict.is_equal() {
            expect_at_rest(source, applied).await?;
        }
        told(&verdict);
        verdicts.push(verdict);
    }
    expect_at_rest(source, applied).await?;
    Ok(verdicts)
}

/// The source must hold everything that was applied, and nothing beyond.
async fn expect_at_rest<S: SchemaSource>(source: &S, applied: &Position) -> Result<(), Failure> {
    let mut history = HistoryWatch::default();
    loop {
        let now = source.position().await?;
        let holds = source.holds(applied).await?;
        let is_there = holds && contains_all("source", &now, applied)?;
        match history.accepts(is_there) {
            Ok(true) => return expect_not_ahead(&now, applied),
            Ok(false) => {}
            Err(_) if holds => return Err(under_way()),
            Err(lacking) => return Err(lacking),
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}

/// Compares a table, anew if the reading of it breaks off: a session may be lost, or give way to a statement at the source.
async fn verify_patiently<S: SnapshotSource, T: Target>(
    source: &mut Reader<'_, S>,
    target: &T,
    plan: &Arc<TablePlan>,
    counters: &Counters,
) -> Result<TableVerdict, Failure> {
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

async fn verify_table<S: SnapshotSource, T: Target>(
    source: &mut Reader<'_, S>,
    target: &T,
    plan: &Arc<TablePlan>,
    counters: &Counters,
) -> Result<TableVerdict, Failure> {
    let name = &plan.name().table;
    counters.begin(name, 0, plan.source.rows_estimate);
    let mut buckets = Buckets::new();
    read_both(source, target, plan, counters, |side, key, row| {
        buckets.add(side, key, row);
    })
    .await?;
    let (rows_source, rows_target) = buckets.rows();
    let mut verdict = TableVerdict {
        name: name.clone(),
        rows_source,
        rows_target,
        ..TableVerdict::default()
    };
    let mut left = buckets.differing();
    for pass in 1..=COMPARE_PASSES_MAX {
        if left.is_empty() {
            break;
        }
        counters.begin(name, pass, rows_source);
        let names: Vec<String> = plan
            .target
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        let room = KEYS_NAMED_MAX - verdict.keys.len();
        let mut comparison = Comparison::new(&left, &names, HELD_BYTES_MAX, room);
        read_both(source, target, plan, counters, |side, key, row| {
            comparison.add(side, key, row);
        })
        .await?;
        let outcome = comparison.finish();
        verdict.add(outcome.tally);
        verdict.keys.extend(outcome.named);
        left = outcome.left;
        if !outcome.advanced {
            break;
        }
    }
    verdict.at_least = !left.is_empty();
    for at in &left {
        verdict.add(buckets.least(*at));
    }
    Ok(verdict)
}
