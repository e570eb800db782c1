//! Attempts: opens a snapshot for what is missing, runs the workers, and opens another while
//! anything is left.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::change_log::ChangeLog;
use spanferry_core::port::source::{
    ChangeSource, HealthSource, HistorySource, PositionSource, PreparedId, PreparedWait, Snapshot,
    SnapshotMethod, SnapshotRequest, SnapshotSession, SnapshotSource, SourceHealth,
};
use spanferry_core::port::target::{Committer, ControlChange, Ranges, TablePhase};
use spanferry_core::position::{Bookmark, Position};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use tokio::sync::Semaphore;

use super::care::watch;
use super::key_ranges::KeyRanges;
use super::snapshot_check::{expect_strangers, expect_usable};
use super::work::{Attempt, TableLoad, loaded_row, rows_at_target};
use super::worker::Worker;
use crate::control::ControlLane;
use crate::high::{expect_earlier, witnessed};
use crate::history::{SeenHistory, Unproved};
use crate::lane::{Backoff, FencedLane, LaneShared, interrupted};
use crate::registry::{Registry, Transition};
use crate::stop::Pause;
use crate::task::Tasks;
use crate::throttle::Throttle;
use crate::two_phase::PreparedLog;

/// How long the source may refuse new snapshots before the migration ends, resumable.
const SOURCE_PATIENCE: Duration = Duration::from_secs(15 * 60);

/// How the source may be read.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// Whether the tables may be locked for the moment in which the sessions open.
    pub lock: bool,
    /// Most bytes a second over all sessions, as they are encoded for the target.
    pub source_rate: Option<NonZeroU64>,
    /// What happens with a source that cannot show what a snapshot saw last.
    pub unproved: Unproved,
}

/// Loads every table that is pending or loading, attempt by attempt, until none is left. Gives the
/// load lanes back.
#[expect(
    clippy::too_many_arguments,
    reason = "each is one boundary of the pipeline, named where it is wired"
)]
pub async fn load<
    S: PositionSource + HealthSource + HistorySource + SnapshotSource + ChangeSource,
    L: ChangeLog,
    T: Committer,
>(
    source: Arc<S>,
    log: Arc<L>,
    registry: Arc<Registry>,
    control: Arc<ControlLane<T>>,
    shared: LaneShared<T>,
    lanes: Vec<FencedLane<T>>,
    ranges: Ranges,
    options: LoadOptions,
) -> Result<Vec<FencedLane<T>>, Failure> {
    let prepared = PreparedLog {
        source: Arc::clone(&source),
        log: Arc::clone(&log),
        plans: registry.counted().to_vec(),
        stop: shared.stop.clone(),
    };
    let mut loader = Loader {
        source,
        log,
        registry,
        control,
        shared,
        lanes,
        ranges,
        lock: options.lock,
        unproved: options.unproved,
        throttle: Arc::new(Throttle::new(options.source_rate)),
        seen: SeenHistory::default(),
        prepared,
        strangers: BTreeSet::new(),
        backoff: Backoff::default(),
    };
    loader.run().await?;
    Ok(loader.lanes)
}

/// What attempts have in common, and what one leaves to the next.
struct Loader<S, L, T> {
    source: Arc<S>,
    log: Arc<L>,
    registry: Arc<Registry>,
    control: Arc<ControlLane<T>>,
    shared: LaneShared<T>,
    lanes: Vec<FencedLane<T>>,
    /// Finished ranges.
    ranges: Ranges,
    /// Whether the tables may be locked for the moment in which the sessions open.
    lock: bool,
    unproved: Unproved,
    throttle: Arc<Throttle>,
    seen: SeenHistory,
    /// The change log, for what it shows of prepared transactions.
    prepared: PreparedLog<S, L>,
    /// Prepared transactions that have changed no migrated table.
    strangers: BTreeSet<PreparedId>,
    /// Since the last attempt that finished a range.
    backoff: Backoff,
}

impl<
    S: PositionSource + HealthSource + HistorySource + SnapshotSource + ChangeSource,
    L: ChangeLog,
    T: Committer,
> Loader<S, L, T>
{
    async fn run(&mut self) -> Result<(), Failure> {
        loop {
            finish_complete(&self.registry, &self.control, &self.ranges).await?;
            let tables = to_load(&self.registry);
            self.shared.progress.update(|state| state.load_throttled = None);
            if tables.is_empty() {
                return Ok(());
            }
            let lost = match self.open(&tables).await {
                Ok((snapshot, high)) => self.read(&tables, snapshot, &high).await?,
                Err(failure) => Some(failure),
            };
            if let Some(failure) = lost {
                self.resolve(failure).await?;
            }
        }
    }

    /// Opens a snapshot that can be loaded from; with its `high` and what proves that.
    async fn open(&mut self, tables: &[Arc<TablePlan>]) -> Result<(Snapshot<S::Session>, Bookmark), Failure> {
        let request = SnapshotRequest {
            tables,
            sessions: self.lanes.len(),
            lock: self.lock,
            prepared: PreparedWait::AllBut(&self.strangers),
        };
        let snapshot = tokio::select! {
            biased;
            () = self.shared.stop.cancelled() => return Err(interrupted()),
            opened = self.source.open_snapshot(&request) => opened?,
        };
        let (source, log) = (self.source.as_ref(), self.log.as_ref());
        let (
            _,
            Bookmark {
                position: captured, ..
            },
        ) = log.end().await?;
        let (high, accepted) = witnessed(source, &captured, &snapshot.high, self.unproved).await?;
        expect_usable(source, log, &self.registry, tables, &snapshot.low, &mut self.seen).await?;
        let earlier = expect_earlier(source, &captured, &self.registry, tables, self.unproved).await?;
        expect_strangers(&self.prepared, &snapshot.low, &snapshot.passed).await?;
        for finding in accepted.into_iter().chain(earlier) {
            self.shared.progress.report(finding);
        }
        Ok((snapshot, high))
    }

    /// Reads what the snapshot's sessions can; the failure that ended one of them, if any did: what
    /// is left needs a new snapshot.
    async fn read(
        &mut self,
        tables: &[Arc<TablePlan>],
        snapshot: Snapshot<S::Session>,
        high: &Bookmark,
    ) -> Result<Option<Failure>, Failure> {
        let hand_off = method_text(snapshot.method);
        self.shared.progress.update(|state| {
            state.hand_off = Some(hand_off);
            state.snapshot_lost = None;
        });
        let attempt = self.begin(tables, &snapshot.low, high).await?;
        let before = self.ranges.len();
        let lanes = std::mem::take(&mut self.lanes);
        let result = tokio::select! {
            biased;
            result = run(&attempt, lanes, snapshot.sessions) => result?,
            never = watch(self.source.as_ref(), &self.shared.progress, &self.throttle) => match never {},
        };
        self.throttle.strain(None);
        self.shared
            .progress
            .update(|state| state.health = SourceHealth::default());
        self.lanes = result.lanes;
        self.ranges = attempt.ranges();
        if self.ranges.len() > before {
            self.backoff = Backoff::default();
        }
        Ok(result.lost)
    }

    /// What becomes of a failed attempt: its table stops, or another attempt follows after a while,
    /// or it is passed on.
    async fn resolve(&mut self, failure: Failure) -> Result<(), Failure> {
        if failure.class == Class::StopTable {
            return self.control.stop_table(&self.registry, &failure).await;
        }
        if !failure.is_retry() {
            return Err(failure);
        }
        let is_prepared = failure.code == code::SOURCE_PREPARED;
        let is_for_operator = is_prepared || failure.code == code::HISTORY_UNPROVED;
        if self.backoff.elapsed() >= SOURCE_PATIENCE && is_for_operator {
            let class = Class::StopMigration;
            return Err(Failure { class, ..failure });
        }
        if self.backoff.elapsed() >= SOURCE_PATIENCE {
            let text = "no snapshot could be read for 15 minutes";
            let lost = Failure::new(code::SOURCE_FAILED, Class::StopMigration, "source", text);
            return Err(lost.caused_by(failure));
        }
        tracing::warn!(failure = %failure.for_log(), "the snapshot is lost; opening a new one for the rest");
        self.shared.progress.report(lost_snapshot(&failure));
        self.shared.progress.update(|state| {
            let text = format!(
                "the snapshot is lost, and a new one is tried for {} minutes: {}: {}",
                SOURCE_PATIENCE.as_secs() / 60,
                failure.object,
                failure.reason()
            );
            state.snapshot_lost = Some(text);
        });
        if is_prepared {
            self.strangers = self.prepared.ledger(None).await?.strangers();
        }
        if self.shared.stop.pause(self.backoff.delay(None)).await {
            Ok(())
        } else {
            Err(interrupted())
        }
    }

    /// Makes `low` (once) and `high` durable, then prepares the work.
    async fn begin(
        &self,
        tables: &[Arc<TablePlan>],
        low: &Position,
        high: &Bookmark,
    ) -> Result<Arc<Attempt<T>>, Failure> {
        let registry = &self.registry;
        let rows = |transition: &Transition<'_>| {
            // A group may have stopped while the snapshot was opened.
            let wanted = tables.iter().filter(|plan| is_to_load(registry, plan));
            wanted
                .map(|plan| {
                    ControlChange::Table(transition.row_with(plan.id, |row| {
                        row.low.get_or_insert_with(|| low.clone());
                        row.high = Some(high.clone());
                        row.phase = TablePhase::Loading;
                    }))
                })
                .collect()
        };
        self.control.record(registry, rows).await?;
        let mut loads: Vec<TableLoad> = tables
            .iter()
            .filter(|plan| is_to_load(registry, plan))
            .map(|plan| TableLoad::new(Arc::clone(plan), &self.ranges))
            .collect();
        for load in &loads {
            // Rows of ranges that were not finished are read once more.
            let rows = rows_at_target(load.plan.name(), &self.ranges);
            self.shared
                .progress
                .update_table(load.plan.id, |table| table.rows_loaded = rows);
        }
        loads.sort_by_key(|load| std::cmp::Reverse(load.plan.source.bytes_estimate));
        Ok(Arc::new(Attempt {
            tables: Mutex::new(loads),
            registry: Arc::clone(registry),
            control: Arc::clone(&self.control),
            shared: self.shared.clone(),
            ranges: Mutex::new(self.ranges.clone()),
            lost: AtomicBool::new(false),
            large: Semaphore::new(1),
            throttle: Arc::clone(&self.throttle),
        }))
    }
}

/// How a snapshot was opened, for a person.
fn method_text(method: SnapshotMethod) -> String {
    match method {
        SnapshotMethod::Locked { held } => {
            format!(
                "under a read lock, for which writers waited {} ms at most",
                held.as_millis()
            )
        }
        SnapshotMethod::Exported => "of one exported state, without a lock".to_owned(),
        SnapshotMethod::Unlocked => "without a lock".to_owned(),
    }
}

/// Why a snapshot was lost, for the report: nothing is missing because of it.
fn lost_snapshot(failure: &Failure) -> Finding {
    let text = format!(
        "{}: {}; what is left is read in a new snapshot",
        failure.object,
        failure.reason()
    );
    Finding::new(failure.code, Severity::Notice, Subject::whole(), text)
}

/// Tables whose ranges are all recorded are loaded: a process may have died between its last range
/// and that record.
async fn finish_complete<T: Committer>(
    registry: &Registry,
    control: &ControlLane<T>,
    ranges: &Ranges,
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

fn to_load(registry: &Registry) -> Vec<Arc<TablePlan>> {
    let wanted = registry.plans().iter().filter(|plan| is_to_load(registry, plan));
    wanted.map(Arc::clone).collect()
}

fn is_to_load(registry: &Registry, plan: &TablePlan) -> bool {
    matches!(registry.phase(plan.id), TablePhase::Pending | TablePhase::Loading)
}

struct RunResult<T> {
    lanes: Vec<FencedLane<T>>,
    /// The failure that ended a session, if any did: what is left needs a new snapshot.
    lost: Option<Failure>,
}

/// Runs one worker per lane until no work is left or their sessions are lost.
async fn run<S: SnapshotSession, T: Committer>(
    attempt: &Arc<Attempt<T>>,
    lanes: Vec<FencedLane<T>>,
    sessions: Vec<S>,
) -> Result<RunResult<T>, Failure> {
    let mut result = RunResult {
        lanes: Vec::new(),
        lost: None,
    };
    let mut workers = Tasks::new();
    let mut sessions = sessions.into_iter();
    for lane in lanes {
        match sessions.next() {
            Some(session) => {
                workers.spawn(
                    "load worker",
                    Worker::new(Arc::clone(attempt), lane, KeyRanges(session)).run(),
                );
            }
            None => result.lanes.push(lane),
        }
    }
    while let Some(joined) = workers.join_next().await {
        let (lane, ended) = joined?;
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
