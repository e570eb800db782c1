//! One load worker: reads ranges in its session and commits them on its lane.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use spanferry_core::plan::{TableId, TablePlan};
use spanferry_core::port::source::{Boundary, Range, ReadStatus, SnapshotRows, SnapshotSession};
use spanferry_core::port::target::{Committer, ControlChange, MutationKind, RangeRow, TableMutations};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure, ServerWords};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use tokio::time::Instant;

use super::work::{Attempt, REFUSED_NAMED_MAX, RangeDone, Work};
use crate::lane::{FencedLane, LaneError, interrupted};

/// Most rows of one load commit.
const COMMIT_ROWS_MAX: usize = 1_000;
/// Most encoded bytes of one load commit: larger messages leave the processor's cache.
const COMMIT_BYTES_MAX: usize = 1 << 20;
/// A batch above this holds rows so large that one worker at a time commits such a batch, without
/// reading on meanwhile.
const LARGE_BYTES: u64 = 2 << 20;
/// Most mutations of one load commit, below Spanner's 80,000.
const COMMIT_MUTATIONS_MAX: usize = 79_000;

/// One load worker: a session of the snapshot and a lane of the target.
pub(super) struct Worker<S, T> {
    attempt: Arc<Attempt<T>>,
    lane: FencedLane<T>,
    session: S,
    /// The batch being filled, and the memory of the one that was committed last.
    filling: SnapshotRows,
    spare: SnapshotRows,
}

impl<S: SnapshotSession, T: Committer> Worker<S, T> {
    pub(super) fn new(attempt: Arc<Attempt<T>>, lane: FencedLane<T>, session: S) -> Worker<S, T> {
        Worker {
            attempt,
            lane,
            session,
            filling: SnapshotRows::default(),
            spare: SnapshotRows::default(),
        }
    }

    pub(super) async fn run(mut self) -> (FencedLane<T>, Result<(), Failure>) {
        let mut version = self.attempt.registry.subscribe();
        let result = loop {
            if self.attempt.shared.stop.is_cancelled() {
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
                    let stopped = self
                        .attempt
                        .control
                        .stop_table(&self.attempt.registry, &failure)
                        .await;
                    break stopped.and(Err(failure));
                }
                break Err(failure);
            }
        };
        self.attempt.registry.touch();
        (self.lane, result)
    }

    /// Does one piece of work: divides it if it is the rest of a table, then loads its range. On
    /// failure, what is left of the work.
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
        let attempt = Arc::clone(&self.attempt);
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
            let large = if bytes > LARGE_BYTES {
                Some(attempt.large.acquire().await.expect("the permit is never closed"))
            } else {
                None
            };
            if status == ReadStatus::End {
                // A range with refused rows is not recorded: after a crash it must be read, and
                // refused, again.
                let row = (done.refused == 0).then(|| range_row(plan, range, number, done.rows));
                self.commit(plan, data, row.into_iter().map(ControlChange::Range).collect())
                    .await?;
                self.attempt.loaded(plan.id, rows, bytes);
                return Ok(done);
            }
            if large.is_some() {
                let committed = self.lane.commit_counted(data, Vec::new()).await;
                // The memory of large rows is given back, not kept for the next batch.
                drop((committed.map_err(|error| rejected(plan, error))?, large));
                self.spare = SnapshotRows::default();
                self.attempt.loaded(plan.id, rows, bytes);
                status = self
                    .session
                    .read(&mut self.filling, rows_max, COMMIT_BYTES_MAX)
                    .await?;
                continue;
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
                let column = plan.column_title(row.cell.column);
                let subject = Subject::part(plan.name().table.clone(), column);
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
        table: plan.name().clone(),
        number,
        after: range.after.as_ref().map(|boundary| boundary.0.clone()),
        up_to: range.up_to.as_ref().map(|boundary| boundary.0.clone()),
        rows,
    }
}

fn rejected(plan: &TablePlan, error: LaneError) -> Failure {
    match error {
        LaneError::Failed(failure) => failure,
        LaneError::Rejected(refused) => {
            let rejection = refused.rejection;
            let text = format!("the target rejects rows of the snapshot: {}", rejection.status);
            Failure::of_table(code::CHANGE_REJECTED, plan.name(), text)
                .caused_by(ServerWords::from(rejection))
        }
    }
}
