//! Whether a snapshot that has been opened can be loaded from: no older than the log and than
//! earlier attempts, and of one history.

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::change_log::{ChangeLog, Sequence};
use spanferry_core::port::source::{ChangeSource, HistorySource, PositionSource, PreparedId};
use spanferry_core::position::Position;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use tokio::time::{Instant, sleep};

use crate::history::{Lacking, SeenHistory, Unproved, prove};
use crate::order::contains_all;
use crate::registry::Registry;
use crate::two_phase::PreparedLog;

/// How long it may take until what was there when a snapshot was opened is captured.
const CAPTURE_PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks.
const CAPTURE_POLL: Duration = Duration::from_millis(100);

/// Whether an attempt may begin at `low`; its sessions are open.
pub(super) async fn expect_usable<S: PositionSource + HistorySource, L: ChangeLog>(
    source: &S,
    log: &L,
    registry: &Registry,
    tables: &[Arc<TablePlan>],
    low: &Position,
    seen: &mut SeenHistory,
) -> Result<(), Failure> {
    expect_logged(log, low).await?;
    expect_not_before(registry, tables, low)?;
    expect_captured_history(source, log).await?;
    match seen
        .lacking(source, registry, tables, None)
        .await?
        .into_iter()
        .next()
    {
        None => Ok(()),
        Some(Lacking::Lost(failure)) => Err(failure),
        Some(Lacking::Yet(plan)) => Err(Failure::new(
            code::SNAPSHOT_LOST,
            Class::Retry { after: None },
            plan.name().table.clone(),
            "the source lacks transactions that an earlier snapshot of the table saw",
        )),
    }
}

/// The server that the snapshot was opened at has the history that was captured
/// (docs/design/history.md, step 13): the stream may not have noticed yet that it has another one.
async fn expect_captured_history<S: PositionSource + HistorySource, L: ChangeLog>(
    source: &S,
    log: &L,
) -> Result<(), Failure> {
    let (_, captured) = log.end().await?;
    if !source.holds(&captured.position).await? {
        return Err(Failure::new(
            code::SNAPSHOT_LOST,
            Class::Retry { after: None },
            "snapshot",
            "the source has not applied everything that was captured",
        ));
    }
    // What it can show no longer was proved when the stream opened.
    prove(source, &captured, Unproved::Accepted).await.map(drop)
}

/// Every change after `low` must be in the change log: a snapshot may not be older than the log's
/// beginning (docs/design/hand-off.md, step 1).
async fn expect_logged<L: ChangeLog>(log: &L, low: &Position) -> Result<(), Failure> {
    let oldest = Sequence(log.usage().oldest.0.max(1));
    let beginning = log.bookmark_before(oldest).await?;
    if contains_all("snapshot", low, &beginning.position)? {
        return Ok(());
    }
    Err(Failure::new(
        code::SNAPSHOT_LOST,
        Class::Retry { after: None },
        "snapshot",
        "the source commits more slowly than it logs: the snapshot is older than the beginning of the change log",
    ))
}

/// A later attempt sees no earlier state than the first: a replica that took over and lags behind
/// is waited for (docs/design/hand-off.md, step 1).
fn expect_not_before(registry: &Registry, tables: &[Arc<TablePlan>], low: &Position) -> Result<(), Failure> {
    for plan in tables {
        let Some(own) = registry.row(plan.id).low else {
            continue;
        };
        if !contains_all("snapshot", low, &own)? {
            return Err(Failure::new(
                code::SNAPSHOT_LOST,
                Class::Retry { after: None },
                plan.name().table.clone(),
                "the source lies behind the table's first snapshot: it has not applied everything that was there before",
            ));
        }
    }
    Ok(())
}

/// Prepared transactions that a snapshot did not wait for have changed no migrated table, whatever
/// their names meant before: an identity may be used again.
pub(super) async fn expect_strangers<S: ChangeSource, L: ChangeLog>(
    prepared: &PreparedLog<S, L>,
    low: &Position,
    passed: &[PreparedId],
) -> Result<(), Failure> {
    if passed.is_empty() {
        return Ok(());
    }
    expect_captured(prepared.log.as_ref(), low).await?;
    let found = prepared.prepared_in(low, passed).await?;
    let changed_nothing = |id: &PreparedId| found.get(id).is_some_and(Vec::is_empty);
    if passed.iter().all(changed_nothing) {
        return Ok(());
    }
    // With this code the loader looks for strangers again.
    Err(Failure::new(
        code::SOURCE_PREPARED,
        Class::Retry { after: None },
        "snapshot",
        "a prepared XA transaction that was not waited for may have changed migrated tables",
    ))
}

/// Waits until the change log holds everything that `low` contains.
async fn expect_captured<L: ChangeLog>(log: &L, low: &Position) -> Result<(), Failure> {
    let deadline = Instant::now() + CAPTURE_PATIENCE;
    while !contains_all("change log", &log.end().await?.1.position, low)? {
        if Instant::now() >= deadline {
            return Err(Failure::new(
                code::SNAPSHOT_LOST,
                Class::Retry { after: None },
                "snapshot",
                "what was there when it was opened is not captured yet",
            ));
        }
        sleep(CAPTURE_POLL).await;
    }
    Ok(())
}
