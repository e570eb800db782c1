//! Attempts: opens a snapshot for what is missing, runs the workers, and opens another while anything is left.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use spanferry_core::change_log::{ChangeLog, Sequence};
use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::finding::{Finding, Severity, Subject};
use spanferry_core::plan::{TableId, TablePlan};
use spanferry_core::position::Position;
use spanferry_core::source::{SchemaSource, Snapshot, SnapshotSession, SnapshotSource};
use spanferry_core::target::{ControlChange, RangeRow, TablePhase, TableRow, Target};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::work::{Attempt, TableLoad};
use super::worker::Worker;
use crate::history::{Lacking, SeenHistory};
use crate::lane::{Backoff, FencedLane, LaneShared, interrupted};
use crate::migrate::ControlLane;
use crate::registry::{Registry, Transition};
use crate::throttle::Throttle;

/// How long the source may refuse new snapshots before the migration ends, resumable.
const SOURCE_PATIENCE: Duration = Duration::from_secs(15 * 60);

/// How the source may be read.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// Whether locks may be taken while the sessions open.
    pub lock: bool,
    /// Most bytes a second over all sessions, as they are encoded for the target.
    pub source_rate: Option<NonZeroU64>,
}

/// Loads every table that is pending or loading, attempt by attempt, until none is left. Gives the load lanes back.
#[expect(
    clippy::too_many_arguments,
    reason = "each is one boundary of the pipeline, named where it is wired"
)]
pub async fn load<S: SchemaSource + SnapshotSource, L: ChangeLog, T: Target>(
    source: Arc<S>,
    log: Arc<L>,
    registry: Arc<Registry>,
    control: Arc<ControlLane<T>>,
    shared: LaneShared<T>,
    mut lanes: Vec<FencedLane<T>>,
    mut ranges: BTreeMap<(String, u64), RangeRow>,
    options: LoadOptions,
) -> Result<Vec<FencedLane<T>>, Failure> {
    let mut backoff = Backoff::default();
    let mut seen = SeenHistory::default();
    let throttle = Arc::new(Throttle::new(options.source_rate));
    loop {
        finish_complete(&registry, &control, &ranges).await?;
        let tables = to_load(&registry);
        shared.progress.update(|state| state.load_throttled = None);
        if tables.is_empty() {
            return Ok(lanes);
        }
        let opened = tokio::select! {
            biased;
            () = shared.stop.requested() => return Err(interrupted()),
            opened = source.open(&tables, lanes.len(), options.lock) => opened,
        };
        let opened = match opened {
            Ok(snapshot) => {
                let seen = &mut seen;
                expect_usable(
                    source.as_ref(),
                    log.as_ref(),
                    &registry,
                    &tables,
                    &snapshot.low,
                    seen,
                )
                .await
                .map(|()| snapshot)
            }
            Err(failure) => Err(failure),
        };
        let failure = match opened {
            Ok(snapshot) => {
                let Snapshot {
                    low,
                    high,
                    sessions,
                    hand_off,
                    locked_for,
                } = snapshot;
                let text = format!("{hand_off:?}, writers held up for {} ms", locked_for.as_millis());
                shared.progress.update(|state| state.hand_off = Some(text));
                let attempt = begin(
                    &registry,
                    &control,
                    &shared,
                    &throttle,
                    &tables,
                    (&low, &high),
                    &ranges,
                )
                .await?;
                let before = ranges.len();
                let result = run(&attempt, lanes, sessions).await?;
                lanes = result.lanes;
                ranges = attempt
                    .ranges
                    .lock()
                    .expect("no worker panics while it holds the ranges")
                    .clone();
                if ranges.len() > before {
                    backoff = Backoff::default();
                }
                result.lost
            }
            Err(failure) => Some(failure),
        };
        match failure {
            None => {}
            Some(failure) if failure.class == Class::StopTable => {
                control.stop_table(&registry, &failure).await?;
            }
            Some(failure) if failure.is_retry() && backoff.elapsed() < SOURCE_PATIENCE => {
                tracing::warn!(failure = %failure.for_log(), "the snapshot is lost; opening a new one for the rest");
                shared.progress.find(lost_snapshot(&failure));
                if !shared.stop.pause(backoff.delay(None)).await {
                    return Err(interrupted());
                }
            }
            Some(failure) if failure.is_retry() => {
                let text = "no snapshot could be read for 15 minutes";
                return Err(
                    Failure::new(code::SOURCE_FAILED, Class::StopMigration, "source", text)
                        .caused_by(failure),
                );
            }
            Some(failure) => return Err(failure),
        }
    }
}

/// Why a snapshot was lost, for the report: nothing is missing because of it.
fn lost_snapshot(failure: &Failure) -> Finding {
    let text = format!("{failure}; what is left is read in a new snapshot");
    Finding::new(failure.code, Severity::Notice, Subject::whole(), text)
}

/// Tables whose ranges are all recorded are loaded: a process may have died between its last range and that record.
async fn finish_complete<T: Target>(
    registry: &Registry,
    control: &ControlLane<T>,
    ranges: &BTreeMap<(String, u64), RangeRow>,
) -> Result<(), Failure> {
    let complete = |transition: &Transition<'_>| {
        let loading = registry
            .plans()
            .iter()
            .filter(|plan| registry.phase(plan.id) == TablePhase::Loading);
        loading
            .filter(|plan| TableLoad::new(Arc::clone(plan), ranges).is_done())
            .map(|plan| ControlChange::Table(loaded_row(transition, plan.id, ranges)))
            .collect()
    };
    control.record(registry, complete).await
}

/// The row of a table that is loaded.
pub(super) fn loaded_row(
    transition: &Transition<'_>,
    table: TableId,
    ranges: &BTreeMap<(String, u64), RangeRow>,
) -> TableRow {
    transition.row_with(table, |row| {
        row.phase = TablePhase::Loaded;
        let own = ranges.range((row.table.clone(), 0)..=(row.table.clone(), u64::MAX));
        row.rows_loaded = own.map(|(_, range)| range.rows).sum();
    })
}

/// Whether an attempt may begin at `low`; its sessions are open.
async fn expect_usable<S: SchemaSource, L: ChangeLog>(
    source: &S,
    log: &L,
    registry: &Registry,
    tables: &[Arc<TablePlan>],
    low: &Position,
    seen: &mut SeenHistory,
) -> Result<(), Failure> {
    expect_logged(log, low).await?;
    expect_not_before(registry, tables, low)?;
    match seen.lacking(source, registry, tables).await?.into_iter().next() {
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

/// Every change after `low` must be in the change log: a snapshot may not be older than the log's beginning
/// (docs/design/hand-off.md, step 1).
async fn expect_logged<L: ChangeLog>(log: &L, low: &Position) -> Result<(), Failure> {
    let oldest = Sequence(log.usage().oldest.0.max(1));
    let beginning = log.position_before(oldest).await?;
    match low.contains_all(&beginning) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::new(
            code::SNAPSHOT_LOST,
            Class::Retry { after: None },
            "snapshot",
            "the source commits more slowly than it logs: the snapshot is older than the beginning of the change log",
        )),
        Err(cause) => Err(Failure::new(
            code::HISTORY_CHANGED,
            Class::StopMigration,
            "snapshot",
            "it is of another history than the change log",
        )
        .caused_by(cause)),
    }
}

/// A later attempt sees no earlier state than the first: a replica that took over and lags behind is waited for
/// (docs/design/hand-off.md, step 1).
fn expect_not_before(registry: &Registry, tables: &[Arc<TablePlan>], low: &Position) -> Result<(), Failure> {
    let earlier = tables.iter().find(|plan| {
        let own = registry.state(plan.id).low;
        own.is_some_and(|own| !low.contains_all(&own).unwrap_or(false))
    });
    match earlier {
        None => Ok(()),
        Some(plan) => Err(Failure::new(
            code::SNAPSHOT_LOST,
            Class::Retry { after: None },
            plan.name().table.clone(),
            "the source lies behind the table's first snapshot: it has not applied everything that was there before",
        )),
    }
}

fn to_load(registry: &Registry) -> Vec<Arc<TablePlan>> {
    let wanted = registry.plans().iter().filter(|plan| is_to_load(registry, plan));
    wanted.map(Arc::clone).collect()
}

fn is_to_load(registry: &Registry, plan: &TablePlan) -> bool {
    matches!(registry.phase(plan.id), TablePhase::Pending | TablePhase::Loading)
}

/// Makes `low` (once) and `high` durable, then prepares the work.
async fn begin<T: Target>(
    registry: &Arc<Registry>,
    control: &Arc<ControlLane<T>>,
    shared: &LaneShared<T>,
    throttle: &Arc<Throttle>,
    tables: &[Arc<TablePlan>],
    (low, high): (&Position, &Position),
    ranges: &BTreeMap<(String, u64), RangeRow>,
) -> Result<Arc<Attempt<T>>, Failure> {
    let rows = |transition: &Transition<'_>| {
        // A group may have stopped while the snapshot was opened.
        let wanted = tables.iter().filter(|plan| is_to_load(registry, plan));
        wanted
            .map(|plan| {
                ControlChange::Table(transition.row_with(plan.id, |row| {
                    if row.low.is_empty() {
                        row.low = low.to_string();
                    }
                    row.high = high.to_string();
                    row.phase = TablePhase::Loading;
                }))
            })
            .collect()
    };
    control.record(registry, rows).await?;
    let mut loads: Vec<TableLoad> = tables
        .iter()
        .filter(|plan| is_to_load(registry, plan))
        .map(|plan| TableLoad::new(Arc::clone(plan), ranges))
        .collect();
    loads.sort_by_key(|load| std::cmp::Reverse(load.plan.source.bytes_estimate));
    Ok(Arc::new(Attempt {
        tables: Mutex::new(loads),
        registry: Arc::clone(registry),
        control: Arc::clone(control),
        shared: shared.clone(),
        ranges: Mutex::new(ranges.clone()),
        lost: AtomicBool::new(false),
        large: Semaphore::new(1),
        throttle: Arc::clone(throttle),
    }))
}

struct RunResult<T> {
    lanes: Vec<FencedLane<T>>,
    /// The failure that ended a session, if any did: what is left needs a new snapshot.
    lost: Option<Failure>,
}

/// Runs one worker per lane until no work is left or their sessions are lost.
async fn run<S: SnapshotSession, T: Target>(
    attempt: &Arc<Attempt<T>>,
    lanes: Vec<FencedLane<T>>,
    sessions: Vec<S>,
) -> Result<RunResult<T>, Failure> {
    let mut result = RunResult {
        lanes: Vec::new(),
        lost: None,
    };
    let mut workers = JoinSet::new();
    let mut sessions = sessions.into_iter();
    for lane in lanes {
        match sessions.next() {
            Some(session) => {
                workers.spawn(Worker::new(Arc::clone(attempt), lane, session).run());
            }
            None => result.lanes.push(lane),
        }
    }
    while let Some(joined) = workers.join_next().await {
        let (lane, ended) =
            joined.map_err(|cause| Failure::bug("load worker", "a task ended by itself").caused_by(cause))?;
        result.lanes.push(lane);
        match ended {
            Ok(()) => {}
            Err(failure) if failure.is_retry() || failure.class == Class::StopTable => {
                result.lost = Some(failure);
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(result)
}
