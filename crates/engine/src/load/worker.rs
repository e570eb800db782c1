//! One load worker: reads ranges and commits them on its lane.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use spanferry_core::plan::{TableId, TablePlan};
use spanferry_core::port::row_source::{Boundary, Range, ReadRows, ReadStatus, RowSource};
use spanferry_core::port::target::{Committer, TableMutations};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use tokio::time::Instant;

use super::range_commit::RangeCommit;
use super::work::{Attempt, REFUSED_NAMED_MAX, RangeDone, Work};
use crate::lane::{FencedLane, interrupted};

/// Most rows of one load commit.
const COMMIT_ROWS_MAX: usize = 1_000;
/// Most encoded bytes of one load commit: larger messages leave the processor's cache.
const COMMIT_BYTES_MAX: usize = 1 << 20;
/// A batch above this holds rows so large that one worker at a time commits such a batch, without
/// reading on meanwhile.
const LARGE_BYTES: u64 = 2 << 20;
/// Most mutations of one load commit, below Spanner's 80,000.
const COMMIT_MUTATIONS_MAX: usize = 79_000;

/// One load worker: a reader of the row source and a lane of the target.
pub(super) struct Worker<R, T> {
    attempt: Arc<Attempt<T>>,
    lane: FencedLane<T>,
    reader: R,
    /// The batch being filled, and the memory of the one that was committed last.
    filling: ReadRows,
    spare: ReadRows,
}

impl<R: RowSource, T: Committer> Worker<R, T> {
    pub(super) fn new(attempt: Arc<Attempt<T>>, lane: FencedLane<T>, reader: R) -> Worker<R, T> {
        Worker {
            attempt,
            lane,
            reader,
            filling: ReadRows::default(),
            spare: ReadRows::default(),
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
    async fn one(&mut self, table: TableId, mut work: Work) -> Result<(), (Work, Failure)> {
        let plan = Arc::clone(&self.attempt.registry.plans()[table.0 as usize]);
        let began = Instant::now();
        let result = match self.load(&plan, &mut work).await {
            Ok(done) => self.attempt.finish(table, done, began.elapsed()).await,
            Err(failure) => Err(failure),
        };
        result.map_err(|failure| (work, failure))
    }

    async fn load(&mut self, plan: &Arc<TablePlan>, work: &mut Work) -> Result<RangeDone, Failure> {
        if work.up_to.is_none() {
            work.up_to = Some(self.divide(plan, work).await?);
        }
        let range = Range {
            table: plan.id,
            after: work.after.clone(),
            up_to: work.up_to.clone().flatten(),
        };
        let mode = self.reader.write_mode();
        let mut commit = RangeCommit::new(plan, &range, work.number, work.rows_in, mode);
        let done = self.range(plan, &range, &mut commit).await;
        work.rows_in = commit.rows_in();
        done
    }

    /// Cuts a range off the rest of a table and leaves what remains to the others.
    async fn divide(&mut self, plan: &TablePlan, work: &Work) -> Result<Option<Boundary>, Failure> {
        let rows = self.attempt.rows_per_range(plan.id);
        let boundary = self.reader.divide(plan, work.after.as_ref(), rows).await?;
        if boundary.is_some() {
            self.attempt.leave_rest(
                plan.id,
                Work {
                    number: work.number + 1,
                    after: boundary.clone(),
                    up_to: None,
                    rows_in: 0,
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
        commit: &mut RangeCommit<'_>,
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
        self.reader.begin(plan, range).await?;
        let mut status = self
            .reader
            .read(&mut self.filling, rows_max, COMMIT_BYTES_MAX)
            .await?;
        loop {
            self.note_refused(plan, &mut done);
            let batch = commit.without_known(std::mem::take(&mut self.filling.rows));
            let (rows, bytes) = (batch.len() as u64, batch.byte_len() as u64);
            done.rows += rows;
            self.attempt.pace(bytes).await?;
            let data = vec![TableMutations {
                table: Arc::clone(plan),
                kind: commit.kind(),
                rows: batch,
            }];
            let large = if bytes > LARGE_BYTES {
                Some(attempt.large.acquire().await.expect("the permit is never closed"))
            } else {
                None
            };
            if status == ReadStatus::End {
                // A range with refused rows is not recorded as finished: after a crash it must be
                // read, and refused, again.
                let data = commit
                    .send_last(&mut self.lane, data, done.refused == 0, &attempt)
                    .await?;
                self.keep_memory(data);
                self.attempt.loaded(plan.id, rows, bytes);
                return Ok(done);
            }
            if large.is_some() {
                let committed = commit.send(&mut self.lane, data, &attempt).await;
                // The memory of large rows is given back, not kept for the next batch.
                drop((committed?, large));
                self.spare = ReadRows::default();
                self.attempt.loaded(plan.id, rows, bytes);
                status = self
                    .reader
                    .read(&mut self.filling, rows_max, COMMIT_BYTES_MAX)
                    .await?;
                continue;
            }
            std::mem::swap(&mut self.filling, &mut self.spare);
            let read = self.reader.read(&mut self.filling, rows_max, COMMIT_BYTES_MAX);
            let (committed, read) = tokio::join!(commit.send(&mut self.lane, data, &attempt), read);
            self.keep_memory(committed?);
            self.attempt.loaded(plan.id, rows, bytes);
            status = read?;
        }
    }

    fn keep_memory(&mut self, mut data: Vec<TableMutations>) {
        self.spare.rows = data.pop().map(|mutations| mutations.rows).unwrap_or_default();
    }

    fn note_refused(&mut self, plan: &TablePlan, done: &mut RangeDone) {
        for row in self.filling.refused.drain(..) {
            done.refused += 1;
            if done.named.len() < REFUSED_NAMED_MAX {
                let column = plan.column_title(row.cell.column);
                let subject = Subject::part(plan.name(), column);
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
