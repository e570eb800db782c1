//! What all attempts of a load have in common, and what one leaves to the next.

use std::convert::Infallible;
use std::num::NonZeroU64;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::row_source::RowSource;
use spanferry_core::port::target::{Committer, ControlChange, Ranges, TablePhase, TableRow};
use spanferry_core::report::failure::{Class, Failure};
use tokio::sync::Semaphore;

use super::work::{Attempt, TableLoad, loaded_row, rows_at_target};
use super::worker::Worker;
use crate::control::ControlLane;
use crate::lane::{Backoff, FencedLane, LaneShared, interrupted};
use crate::registry::{Registry, Transition};
use crate::stop::Pause;
use crate::task::Tasks;
use crate::throttle::Throttle;

/// How long what is loaded may be out of reach before the load ends, resumable.
pub(super) const SOURCE_PATIENCE: Duration = Duration::from_secs(15 * 60);

/// A load, attempt by attempt.
pub(super) struct Loads<T> {
    pub(super) registry: Arc<Registry>,
    pub(super) control: Arc<ControlLane<T>>,
    pub(super) shared: LaneShared<T>,
    pub(super) lanes: Vec<FencedLane<T>>,
    /// Ranges that are finished or begun.
    ranges: Ranges,
    pub(super) throttle: Arc<Throttle>,
    /// Since the last attempt that got on.
    backoff: Backoff,
}

impl<T: Committer> Loads<T> {
    pub(super) fn new(
        registry: Arc<Registry>,
        control: Arc<ControlLane<T>>,
        shared: LaneShared<T>,
        lanes: Vec<FencedLane<T>>,
        ranges: Ranges,
        rate: Option<NonZeroU64>,
    ) -> Loads<T> {
        Loads {
            registry,
            control,
            shared,
            lanes,
            ranges,
            throttle: Arc::new(Throttle::new(rate)),
            backoff: Backoff::default(),
        }
    }

    /// The tables that the next attempt loads. Those whose ranges are all recorded are loaded: a
    /// process may have died between its last range and that record.
    pub(super) async fn next_tables(&self) -> Result<Vec<Arc<TablePlan>>, Failure> {
        let registry = &self.registry;
        let complete = |transition: &Transition<'_>| {
            let loading = registry
                .plans()
                .iter()
                .filter(|plan| registry.phase(plan.id) == TablePhase::Loading);
            loading
                .filter(|plan| TableLoad::new(Arc::clone(plan), &self.ranges).is_done())
                .map(|plan| ControlChange::Table(loaded_row(registry, transition, plan.id, &self.ranges)))
                .collect()
        };
        self.control.record(registry, complete).await?;
        self.shared.progress.update(|state| state.load_throttled = None);
        let wanted = registry.plans().iter().filter(|plan| is_to_load(registry, plan));
        Ok(wanted.map(Arc::clone).collect())
    }

    /// Records that the tables are being loaded, with what `mark` adds to their rows, and prepares
    /// the work. A group that has stopped meanwhile is left out.
    pub(super) async fn begin(
        &self,
        tables: &[Arc<TablePlan>],
        mark: impl Fn(&mut TableRow),
    ) -> Result<Arc<Attempt<T>>, Failure> {
        let registry = &self.registry;
        let rows = |transition: &Transition<'_>| {
            let wanted = tables.iter().filter(|plan| is_to_load(registry, plan));
            wanted
                .map(|plan| {
                    ControlChange::Table(transition.row_with(plan.id, |row| {
                        mark(row);
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
            // What a lost attempt has written of other ranges is written once more.
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

    /// Runs an attempt, one worker for each reader and lane, beside a task that never ends by
    /// itself. The failure that ended a reader, if any did: what is left needs another attempt.
    pub(super) async fn run<R: RowSource>(
        &mut self,
        attempt: &Arc<Attempt<T>>,
        readers: Vec<R>,
        beside: impl Future<Output = Infallible>,
    ) -> Result<Option<Failure>, Failure> {
        let before = amount(&self.ranges);
        let lanes = std::mem::take(&mut self.lanes);
        let result = tokio::select! {
            biased;
            result = run(attempt, lanes, readers) => result?,
            never = beside => match never {},
        };
        self.lanes = result.lanes;
        self.ranges = attempt.ranges();
        if amount(&self.ranges) != before {
            self.backoff = Backoff::default();
        }
        Ok(result.lost)
    }

    /// Stops the table of a failed attempt, or passes the failure on if another attempt cannot
    /// help. Nothing if another attempt may help.
    pub(super) async fn stop_or_pass(&self, failure: Failure) -> Result<Option<Failure>, Failure> {
        if failure.class == Class::StopTable {
            self.control.stop_table(&self.registry, &failure).await?;
            return Ok(None);
        }
        if failure.is_retry() {
            Ok(Some(failure))
        } else {
            Err(failure)
        }
    }

    /// Whether attempts have failed for so long that the load ends.
    pub(super) fn is_out_of_patience(&self) -> bool {
        self.backoff.elapsed() >= SOURCE_PATIENCE
    }

    /// Waits before the next attempt.
    pub(super) async fn wait(&mut self) -> Result<(), Failure> {
        if self.shared.stop.pause(self.backoff.delay(None)).await {
            Ok(())
        } else {
            Err(interrupted())
        }
    }
}

/// How much is recorded as loaded: an attempt that got on has changed it.
fn amount(ranges: &Ranges) -> (usize, u64) {
    (ranges.len(), ranges.values().map(|range| range.rows).sum())
}

fn is_to_load(registry: &Registry, plan: &TablePlan) -> bool {
    matches!(registry.phase(plan.id), TablePhase::Pending | TablePhase::Loading)
}

struct RunResult<T> {
    lanes: Vec<FencedLane<T>>,
    /// The failure that ended a reader, if any did.
    lost: Option<Failure>,
}

/// Runs one worker per lane until no work is left or their readers are lost.
async fn run<R: RowSource, T: Committer>(
    attempt: &Arc<Attempt<T>>,
    lanes: Vec<FencedLane<T>>,
    readers: Vec<R>,
) -> Result<RunResult<T>, Failure> {
    let mut result = RunResult {
        lanes: Vec::new(),
        lost: None,
    };
    let mut workers = Tasks::new();
    let mut readers = readers.into_iter();
    for lane in lanes {
        match readers.next() {
            Some(reader) => {
                workers.spawn(
                    "load worker",
                    Worker::new(Arc::clone(attempt), lane, reader).run(),
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
