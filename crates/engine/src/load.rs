//! Load: the snapshot's ranges into the target, several workers, each on its own fenced lane.
//!
//! An attempt opens one snapshot for every table that still misses ranges. `low` is recorded with the first attempt, `high`
//! with each, before the attempt's first load commit. A finished range is recorded in the same commit as its last rows.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use spanferry_core::change_log::{ChangeLog, Sequence};
use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::finding::{Finding, Severity, Subject};
use spanferry_core::plan::{TableId, TablePlan};
use spanferry_core::position::Position;
use spanferry_core::source::{
    Boundary, Range, ReadStatus, Snapshot, SnapshotRows, SnapshotSession, SnapshotSource,
};
use spanferry_core::target::{
    ControlChange, MutationKind, RangeRow, TableMutations, TablePhase, TableRow, Target,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::lane::{Backoff, FencedLane, LaneError, LaneShared, interrupted};
use crate::migrate::ControlLane;
use crate::registry::{Registry, Transition};
use crate::throttle::Throttle;

/// Most rows of one load commit.
const COMMIT_ROWS_MAX: usize = 1_000;
/// Most encoded bytes of one load commit: larger messages leave the processor's cache.
const COMMIT_BYTES_MAX: usize = 1 << 20;
/// Most mutations of one load commit, below Spanner's 80,000.
const COMMIT_MUTATIONS_MAX: usize = 79_000;
/// Rows of a table's first range; later ones are sized by time.
const RANGE_ROWS_FIRST: u64 = 20_000;
/// Bounds of a range's rows.
const RANGE_ROWS: (u64, u64) = (1_000, 2_000_000);
/// How long a range should take: what a crash may cost, and how long a DDL at the source may wait.
const RANGE_TIME: Duration = Duration::from_secs(2);
/// Refused rows that are named; the rest is counted.
const REFUSED_NAMED_MAX: usize = 100;
/// How long the source may refuse new snapshots before the migration ends, resumable.
const SOURCE_PATIENCE: Duration = Duration::from_secs(15 * 60);

/// A piece of work: one range, or the yet undivided rest of a table.
#[derive(Debug, Clone)]
struct Work {
    number: u64,
    after: Option<Boundary>,
    /// `Some(end)`: a range with this end. `None`: the undivided rest.
    up_to: Option<Option<Boundary>>,
}

#[derive(Debug)]
struct TableLoad {
    plan: Arc<TablePlan>,
    waiting: Vec<Work>,
    outstanding: usize,
    rows_per_range: u64,
    refused: u64,
    named: Vec<Finding>,
}

impl TableLoad {
    /// What is left of a table after the recorded ranges.
    fn new(plan: Arc<TablePlan>, ranges: &BTreeMap<(String, u64), RangeRow>) -> TableLoad {
        let table = plan.name().table.clone();
        let mut waiting = Vec::new();
        let (mut number, mut after, mut open) = (0, None, true);
        for row in ranges
            .range((table.clone(), 0)..=(table, u64::MAX))
            .map(|(_, row)| row)
        {
            if row.after != after {
                let up_to = Some(row.after.clone().map(Boundary));
                waiting.push(Work {
                    number,
                    after: after.take().map(Boundary),
                    up_to,
                });
            }
            number = row.number + 1;
            after.clone_from(&row.up_to);
            open = row.up_to.is_some();
        }
        if open {
            waiting.push(Work {
                number,
                after: after.map(Boundary),
                up_to: None,
            });
        }
        waiting.reverse();
        TableLoad {
            plan,
            waiting,
            outstanding: 0,
            rows_per_range: RANGE_ROWS_FIRST,
            refused: 0,
            named: Vec::new(),
        }
    }

    fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.outstanding == 0
    }
}

/// How the source may be read.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// Whether locks may be taken while the sessions open.
    pub lock: bool,
    /// Most bytes a second over all sessions, as they are encoded for the target.
    pub source_rate: Option<NonZeroU64>,
}

/// What the workers of an attempt share.
struct Attempt<T> {
    tables: Mutex<Vec<TableLoad>>,
    registry: Arc<Registry>,
    control: Arc<ControlLane<T>>,
    shared: LaneShared<T>,
    ranges: Mutex<BTreeMap<(String, u64), RangeRow>>,
    /// A session was lost: the others finish their range, then a new snapshot with all sessions takes the rest.
    lost: AtomicBool,
    throttle: Arc<Throttle>,
}

/// Loads every table that is pending or loading, attempt by attempt, until none is left. Gives the load lanes back.
#[expect(
    clippy::too_many_arguments,
    reason = "each is one boundary of the pipeline, named where it is wired"
)]
pub async fn load<S: SnapshotSource, L: ChangeLog, T: Target>(
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
            Ok(snapshot) => expect_logged(log.as_ref(), &snapshot.low)
                .await
                .map(|()| snapshot),
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
                stop_table(&registry, &control, &failure).await?;
            }
            Some(failure) if failure.is_retry() && backoff.elapsed() < SOURCE_PATIENCE => {
                tracing::warn!(%failure, "the snapshot is lost; opening a new one for the rest");
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
fn loaded_row(
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

/// One load worker: a session of the snapshot and a lane of the target.
struct Worker<S, T> {
    attempt: Arc<Attempt<T>>,
    lane: FencedLane<T>,
    session: S,
    /// The batch being filled, and the memory of the one that was committed last.
    filling: SnapshotRows,
    spare: SnapshotRows,
}

/// How a range ended.
struct RangeDone {
    rows: u64,
    refused: u64,
    named: Vec<Finding>,
}

impl<S: SnapshotSession, T: Target> Worker<S, T> {
    fn new(attempt: Arc<Attempt<T>>, lane: FencedLane<T>, session: S) -> Worker<S, T> {
        Worker {
            attempt,
            lane,
            session,
            filling: SnapshotRows::default(),
            spare: SnapshotRows::default(),
        }
    }

    async fn run(mut self) -> (FencedLane<T>, Result<(), Failure>) {
        let mut version = self.attempt.registry.subscribe();
        let result = loop {
            if self.attempt.shared.stop.is_requested() {
                break Err(interrupted());
            }
            let Some((table, work)) = self.attempt.take() else {
                if self.attempt.is_over() {
                    break Ok(());
                }
                // Another worker holds the rest of the only table left; it gives it back or ends.
                let _changed = version.changed().await;
                continue;
            };
            if let Err((rest, failure)) = self.one(table, work).await {
                self.attempt.give_back(table, rest);
                if failure.is_retry() {
                    self.attempt.lost.store(true, Ordering::Relaxed);
                }
                if failure.class == Class::StopTable {
                    let stopped = stop_table(&self.attempt.registry, &self.attempt.control, &failure).await;
                    break stopped.and(Err(failure));
                }
                break Err(failure);
            }
        };
        self.attempt.registry.touch();
        (self.lane, result)
    }

    /// Does one piece of work: divides it if it is the rest of a table, then loads its range. On failure, what is left of the work.
    async fn one(&mut self, table: TableId, work: Work) -> Result<(), (Work, Failure)> {
        let plan = Arc::clone(&self.attempt.registry.plans()[table.0 as usize]);
        let up_to = match &work.up_to {
            Some(up_to) => up_to.clone(),
            None => match self.divide(&plan, &work).await {
                Ok(up_to) => up_to,
                Err(failure) => return Err((work, failure)),
            },
        };
        let range = Range {
            table,
            after: work.after.clone(),
            up_to: up_to.clone(),
        };
        let began = Instant::now();
        match self.range(&plan, &range, work.number).await {
            Ok(done) => {
                let rest = Work {
                    up_to: Some(up_to),
                    ..work
                };
                self.attempt
                    .finish(table, done, began.elapsed())
                    .await
                    .map_err(|failure| (rest, failure))
            }
            Err(failure) => Err((
                Work {
                    up_to: Some(up_to),
                    ..work
                },
                failure,
            )),
        }
    }

    /// Cuts a range off the rest of a table and leaves what remains to the others.
    async fn divide(&mut self, plan: &TablePlan, work: &Work) -> Result<Option<Boundary>, Failure> {
        let rows = self.attempt.rows_per_range(plan.id);
        let boundary = self.session.boundary(plan, work.after.as_ref(), rows).await?;
        if boundary.is_some() {
            self.attempt.leave_rest(
                plan.id,
                Work {
                    number: work.number + 1,
                    after: boundary.clone(),
                    up_to: None,
                },
            );
        }
        Ok(boundary)
    }

    /// Reads a range and commits it; the next batch is read while the last one is on its way.
    async fn range(
        &mut self,
        plan: &Arc<TablePlan>,
        range: &Range,
        number: u64,
    ) -> Result<RangeDone, Failure> {
        let rows_max = COMMIT_ROWS_MAX
            .min(COMMIT_MUTATIONS_MAX / plan.mutations_per_upsert().max(1))
            .max(1);
        let mut done = RangeDone {
            rows: 0,
            refused: 0,
            named: Vec::new(),
        };
        self.session.begin(plan, range).await?;
        let mut status = self
            .session
            .read(&mut self.filling, rows_max, COMMIT_BYTES_MAX)
            .await?;
        loop {
            self.note_refused(plan, &mut done);
            let batch = std::mem::take(&mut self.filling.rows);
            let (rows, bytes) = (batch.len() as u64, batch.byte_len() as u64);
            done.rows += rows;
            self.attempt.pace(bytes).await?;
            let data = vec![TableMutations {
                table: Arc::clone(plan),
                kind: MutationKind::Upsert,
                rows: batch,
            }];
            if status == ReadStatus::End {
                // A range with refused rows is not recorded: after a crash it must be read, and refused, again.
                let row = (done.refused == 0).then(|| range_row(plan, range, number, done.rows));
                self.commit(plan, data, row.into_iter().map(ControlChange::Range).collect())
                    .await?;
                self.attempt.loaded(plan.id, rows, bytes);
                return Ok(done);
            }
            std::mem::swap(&mut self.filling, &mut self.spare);
            let read = self.session.read(&mut self.filling, rows_max, COMMIT_BYTES_MAX);
            let (committed, read) = tokio::join!(self.lane.commit_counted(data, Vec::new()), read);
            let mut data = committed.map_err(|error| rejected(plan, error))?;
            self.spare.rows = data.pop().map(|mutations| mutations.rows).unwrap_or_default();
            self.attempt.loaded(plan.id, rows, bytes);
            status = read?;
        }
    }

    async fn commit(
        &mut self,
        plan: &TablePlan,
        data: Vec<TableMutations>,
        control: Vec<ControlChange>,
    ) -> Result<(), Failure> {
        let ranges: Vec<_> = control
            .iter()
            .filter_map(|change| {
                if let ControlChange::Range(row) = change {
                    Some(row.clone())
                } else {
                    None
                }
            })
            .collect();
        let mut data = self
            .lane
            .commit_counted(data, control)
            .await
            .map_err(|error| rejected(plan, error))?;
        self.spare.rows = data.pop().map(|mutations| mutations.rows).unwrap_or_default();
        self.attempt.record(ranges);
        Ok(())
    }

    fn note_refused(&mut self, plan: &TablePlan, done: &mut RangeDone) {
        for row in self.filling.refused.drain(..) {
            done.refused += 1;
            if done.named.len() < REFUSED_NAMED_MAX {
                let column = &plan.source.columns[plan.source_index(row.cell.column)].name;
                let subject = Subject::part(plan.name().table.clone(), column.clone());
                let text = format!("the row with key {} holds {}", row.key, row.cell.refusal);
                done.named.push(Finding::new(
                    code::VALUE_REFUSED,
                    Severity::Blocking,
                    subject,
                    text,
                ));
            }
        }
    }
}

fn range_row(plan: &TablePlan, range: &Range, number: u64, rows: u64) -> RangeRow {
    RangeRow {
        table: plan.name().table.clone(),
        number,
        after: range.after.as_ref().map(|boundary| boundary.0.clone()),
        up_to: range.up_to.as_ref().map(|boundary| boundary.0.clone()),
        rows,
    }
}

fn rejected(plan: &TablePlan, error: LaneError) -> Failure {
    match error {
        LaneError::Failed(failure) => failure,
        LaneError::Rejected(rejection, _) => {
            let text = format!("the target rejects rows of the snapshot: {}", rejection.status);
            Failure::new(
                code::CHANGE_REJECTED,
                Class::StopTable,
                plan.name().table.clone(),
                text,
            )
            .caused_by(rejection)
        }
    }
}

impl<T: Target> Attempt<T> {
    fn with<R>(&self, table: TableId, change: impl FnOnce(&mut TableLoad) -> R) -> R {
        let mut tables = self
            .tables
            .lock()
            .expect("no worker panics while it holds the work");
        let load = tables
            .iter_mut()
            .find(|load| load.plan.id == table)
            .expect("the table is of this attempt");
        change(load)
    }

    /// The next piece of work, of the largest table that has any; nothing once a session was lost.
    fn take(&self) -> Option<(TableId, Work)> {
        if self.lost.load(Ordering::Relaxed) {
            return None;
        }
        let mut tables = self
            .tables
            .lock()
            .expect("no worker panics while it holds the work");
        for load in tables.iter_mut() {
            if self.registry.phase(load.plan.id) != TablePhase::Loading {
                load.waiting.clear();
            }
            if let Some(work) = load.waiting.pop() {
                load.outstanding += 1;
                return Some((load.plan.id, work));
            }
        }
        None
    }

    /// Whether no work is left, or what is left needs a new snapshot.
    fn is_over(&self) -> bool {
        if self.lost.load(Ordering::Relaxed) {
            return true;
        }
        let tables = self
            .tables
            .lock()
            .expect("no worker panics while it holds the work");
        tables.iter().all(TableLoad::is_done)
    }

    fn rows_per_range(&self, table: TableId) -> u64 {
        self.with(table, |load| load.rows_per_range)
    }

    fn leave_rest(&self, table: TableId, rest: Work) {
        self.with(table, |load| load.waiting.push(rest));
        self.registry.touch();
    }

    fn give_back(&self, table: TableId, work: Work) {
        self.with(table, |load| {
            load.outstanding -= 1;
            load.waiting.push(work);
        });
    }

    /// Counts a finished range; the last one makes the table loaded, or stops its group if a value was refused.
    async fn finish(&self, table: TableId, done: RangeDone, took: Duration) -> Result<(), Failure> {
        let (over, refused, named) = self.with(table, |load| {
            load.rows_per_range = next_range_rows(load.rows_per_range, done.rows, took);
            load.refused += done.refused;
            let room = REFUSED_NAMED_MAX - load.named.len();
            load.named.extend(done.named.into_iter().take(room));
            let over = load.waiting.is_empty() && load.outstanding == 1;
            (
                over,
                load.refused,
                if over {
                    std::mem::take(&mut load.named)
                } else {
                    Vec::new()
                },
            )
        });
        if over && refused > 0 {
            for finding in &named {
                self.shared.progress.find(finding.clone());
            }
            let text = format!(
                "{refused} rows hold values that the target cannot hold; the first are in the findings"
            );
            let name = self.registry.plans()[table.0 as usize].name().table.clone();
            let failure = Failure::new(code::VALUE_REFUSED, Class::StopTable, name, text);
            stop_table(&self.registry, &self.control, &failure).await?;
        } else if over {
            let loaded = |transition: &Transition<'_>| {
                let ranges = self
                    .ranges
                    .lock()
                    .expect("no worker panics while it holds the ranges");
                let row = (self.registry.phase(table) == TablePhase::Loading)
                    .then(|| loaded_row(transition, table, &ranges));
                row.into_iter().map(ControlChange::Table).collect()
            };
            self.control.record(&self.registry, loaded).await?;
        }
        self.with(table, |load| load.outstanding -= 1);
        self.registry.touch();
        Ok(())
    }

    /// Waits until what was read keeps to the operator's rate.
    async fn pace(&self, bytes: u64) -> Result<(), Failure> {
        let delay = self.throttle.delay(bytes, Instant::now());
        if delay.is_zero() {
            return Ok(());
        }
        let reason = self.throttle.reason();
        self.shared.progress.update(|state| state.load_throttled = reason);
        if self.shared.stop.pause(delay).await {
            Ok(())
        } else {
            Err(interrupted())
        }
    }

    fn record(&self, rows: Vec<RangeRow>) {
        let mut ranges = self
            .ranges
            .lock()
            .expect("no worker panics while it holds the ranges");
        ranges.extend(rows.into_iter().map(|row| ((row.table.clone(), row.number), row)));
    }

    fn loaded(&self, table: TableId, rows: u64, bytes: u64) {
        self.shared.progress.update_table(table, |progress| {
            progress.rows_loaded += rows;
            progress.bytes_loaded += bytes;
        });
    }
}

/// The next range's rows: what took `took` is scaled to `RANGE_TIME`, at most fourfold at a time.
fn next_range_rows(planned: u64, rows: u64, took: Duration) -> u64 {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let target = u64::try_from(RANGE_TIME.as_micros()).unwrap_or(u64::MAX);
    let ideal = rows.max(1).saturating_mul(target) / micros;
    ideal
        .clamp(planned / 4, planned.saturating_mul(4))
        .clamp(RANGE_ROWS.0, RANGE_ROWS.1)
}

/// Stops the group of the table that a failure names.
pub(crate) async fn stop_table<T: Target>(
    registry: &Registry,
    control: &ControlLane<T>,
    failure: &Failure,
) -> Result<(), Failure> {
    let Some(plan) = registry.named(&failure.object) else {
        return Err(Failure::bug(
            failure.object.clone(),
            "a failure names a table that is not migrated",
        ));
    };
    if registry.phase(plan.id) == TablePhase::Stopped {
        return Ok(());
    }
    let cause = failure
        .cause
        .as_ref()
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    let text = format!("{}{cause}", failure.message);
    let finding = Finding::new(
        failure.code,
        Severity::Blocking,
        Subject::table(failure.object.clone()),
        text,
    )
    .remedy(format!("spanferry resync {}", failure.object));
    tracing::error!(table = failure.object, code = %failure.code, "the group of this table stops");
    control
        .record(registry, |transition| transition.stop_rows(plan.group, &finding))
        .await?;
    control.progress().find(finding);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_grow_and_shrink_towards_their_time() {
        let check = |planned, rows, ms, expected| {
            assert_eq!(
                next_range_rows(planned, rows, Duration::from_millis(ms)),
                expected
            );
        };
        check(20_000, 20_000, 2_000, 20_000);
        check(20_000, 20_000, 10, 80_000);
        check(20_000, 20_000, 60_000, 5_000);
        check(1_000, 1_000, 60_000, 1_000);
        check(2_000_000, 2_000_000, 1, 2_000_000);
    }
}
