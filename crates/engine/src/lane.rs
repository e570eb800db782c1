//! A fenced lane: one commit in flight, repeated until its outcome is certain.

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::apply::fence::{Verdict, judge};
use spanferry_core::port::target::{
    CommitError, CommitTimestamp, Committer, ControlChange, FenceKey, FenceRow, FencedCommit, Lane,
    Rejection, TableMutations,
};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::wire::rows::RowBatch;
use spanferry_kill_point::kill_point;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::progress::Progress;
use crate::stop::{CancellationToken, Pause};

/// The first delay before a commit is sent again when the target names none; it doubles up to
/// `BACKOFF_MAX`.
const BACKOFF_FIRST: Duration = Duration::from_millis(2);
/// The longest such delay.
const BACKOFF_MAX: Duration = Duration::from_secs(8);
/// How long a target may fail to answer before the migration ends, resumable.
pub const TARGET_PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Doubling delays between attempts.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    since: Instant,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff {
            next: BACKOFF_FIRST,
            since: Instant::now(),
        }
    }
}

impl Backoff {
    /// The delay before the next attempt: the server's own if it named one.
    pub fn delay(&mut self, asked: Option<Duration>) -> Duration {
        let own = self.next;
        self.next = (self.next * 2).min(BACKOFF_MAX);
        asked.unwrap_or(own)
    }

    /// How long attempts have been failing.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }
}

/// Why a lane could not commit.
#[derive(Debug)]
pub enum LaneError {
    /// The target rejects the data for good.
    Rejected(Box<Refused>),
    /// The lane is lost, the target is gone beyond patience, or the operator interrupts.
    Failed(Failure),
}

/// What the target rejected; nothing of it happened.
#[derive(Debug)]
pub struct Refused {
    /// The target's reason.
    pub rejection: Rejection,
    /// The commit.
    pub commit: FencedCommit,
    /// The parts behind it that were not sent any more, in their order.
    pub unsent: Vec<TableMutations>,
}

impl From<Failure> for LaneError {
    fn from(failure: Failure) -> Self {
        LaneError::Failed(failure)
    }
}

/// When a commit that the target rejects goes in halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halving {
    /// When it is too large.
    TooLarge,
    /// Also when a row that it inserts is there: so the rejection comes down to that row alone.
    TooLargeOrThere,
}

/// One of the commits that bring some data, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// How many rows of the data are at the target with it, from the first one on.
    pub(crate) rows: u64,
    /// Whether it brings the last row.
    pub(crate) is_last: bool,
}

/// What lanes of one process share.
#[derive(Debug)]
pub struct LaneShared<T> {
    /// The target.
    pub target: Arc<T>,
    /// As many permits as commits may be in flight at the target.
    pub gate: Arc<Semaphore>,
    /// Held by the task that changes the target's schema, from the look at what is there on. It
    /// comes before a permit of the gate.
    pub ddl: Arc<tokio::sync::Mutex<()>>,
    /// The request to stop.
    pub stop: CancellationToken,
    /// Counters.
    pub progress: Arc<Progress>,
}

impl<T> Clone for LaneShared<T> {
    fn clone(&self) -> Self {
        LaneShared {
            target: Arc::clone(&self.target),
            gate: Arc::clone(&self.gate),
            ddl: Arc::clone(&self.ddl),
            stop: self.stop.clone(),
            progress: Arc::clone(&self.progress),
        }
    }
}

impl<T: Committer> LaneShared<T> {
    /// Keeps commits out where the target needs that: the emulator refuses DDL while one is in
    /// flight. The service does not, and its commits must not be held up.
    pub(crate) async fn quiet(&self) -> Option<SemaphorePermit<'_>> {
        if self.target.capabilities().ddl_needs_quiet {
            Some(self.gate.acquire().await.expect("the gate is never closed"))
        } else {
            None
        }
    }
}

/// One lane, owned by one task.
#[derive(Debug)]
pub struct FencedLane<T> {
    shared: LaneShared<T>,
    lane: Lane,
    key: FenceKey,
}

impl<T: Committer> FencedLane<T> {
    /// A lane whose fence row has `key`, as `begin_epoch` wrote it.
    pub fn new(shared: LaneShared<T>, lane: Lane, key: FenceKey) -> FencedLane<T> {
        FencedLane { shared, lane, key }
    }

    /// The lane must still be ours. A target that does not answer now says nothing against it.
    pub(crate) async fn expect_owned(&self) -> Result<(), Failure> {
        match self.shared.target.read_fence(self.lane).await {
            Ok(found) if found.as_ref().map(|row| row.key) == Some(self.key) => Ok(()),
            Ok(_) => Err(self.fenced()),
            Err(failure) if failure.is_retry() => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// The lane's present fence key.
    pub fn key(&self) -> FenceKey {
        self.key
    }

    /// Commits on a lane that counts its commits. Returns the data for reuse of its memory.
    ///
    /// What the target calls too large is halved and goes in several commits, in order; `control`
    /// travels with the last, so that it never says more than is there. One row alone that is too
    /// large is rejected. What was rejected comes back with what was not sent any more; the parts
    /// before it have happened.
    pub async fn commit_counted(
        &mut self,
        data: Vec<TableMutations>,
        control: Vec<ControlChange>,
    ) -> Result<Vec<TableMutations>, LaneError> {
        let travelling = |part: Part| {
            if part.is_last { control.clone() } else { Vec::new() }
        };
        self.commit_in_parts(data, Halving::TooLarge, travelling).await
    }

    /// The same with control state that says of each part what is there with it.
    pub(crate) async fn commit_in_parts(
        &mut self,
        data: Vec<TableMutations>,
        halving: Halving,
        control: impl Fn(Part) -> Vec<ControlChange> + Send,
    ) -> Result<Vec<TableMutations>, LaneError> {
        // The next part on top. Each halving adds one part, so it holds at most log2(rows) of them.
        let mut parts = vec![data];
        let mut rows_in = 0;
        loop {
            let data = parts.pop().expect("the last part ends the loop");
            let is_last = parts.is_empty();
            let rows = rows_in + count(&data);
            match self.commit_next(data, control(Part { rows, is_last })).await {
                Ok(data) if is_last => return Ok(data),
                Ok(_) => rows_in = rows,
                Err(LaneError::Rejected(mut refused)) => {
                    let is_to_halve = match halving {
                        Halving::TooLarge => refused.rejection.too_large,
                        Halving::TooLargeOrThere => {
                            refused.rejection.too_large || refused.rejection.is_there()
                        }
                    };
                    let Some((first, second)) = halves(&refused.commit.data).filter(|_| is_to_halve) else {
                        refused.unsent = parts.into_iter().rev().flatten().collect();
                        return Err(LaneError::Rejected(refused));
                    };
                    tracing::info!(
                        status = refused.rejection.status,
                        "a commit is rejected; it goes in halves"
                    );
                    parts.extend([second, first]);
                }
                Err(LaneError::Failed(failure)) => return Err(failure.into()),
            }
        }
    }

    /// One commit to the next count.
    async fn commit_next(
        &mut self,
        data: Vec<TableMutations>,
        control: Vec<ControlChange>,
    ) -> Result<Vec<TableMutations>, LaneError> {
        let key = FenceKey {
            sequence: self.key.sequence.next(),
            ..self.key
        };
        let next = FenceRow { key, reached: None };
        self.commit(next, data, control).await
    }

    /// Commits until the outcome is certain (docs/design/fence.md). Returns the data for reuse of
    /// its memory.
    ///
    /// Cancellation: not safe; the lane is then unusable until the next epoch.
    pub async fn commit(
        &mut self,
        next: FenceRow,
        data: Vec<TableMutations>,
        control: Vec<ControlChange>,
    ) -> Result<Vec<TableMutations>, LaneError> {
        assert!(
            next.key > self.key,
            "the keys of a lane rise (fence.md, step 1): {:?} follows {:?}",
            next.key,
            self.key
        );
        let commit = FencedCommit {
            lane: self.lane,
            previous: self.key,
            next,
            data,
            control,
        };
        let mut backoff = Backoff::default();
        loop {
            match self.send(&commit).await {
                Ok(at) => {
                    self.shared.progress.note_commit(at);
                    break;
                }
                Err(CommitError::Aborted { retry_after }) => {
                    self.shared.progress.count_aborted();
                    self.wait(&mut backoff, retry_after, None).await?;
                }
                Err(CommitError::Ambiguous(cause)) => match self.look(&commit, &mut backoff).await? {
                    Verdict::Applied => break,
                    Verdict::NotApplied => self.wait(&mut backoff, None, Some(cause)).await?,
                    Verdict::Fenced => return Err(self.fenced().into()),
                },
                Err(CommitError::Rejected(rejection)) => match self.look(&commit, &mut backoff).await? {
                    Verdict::Applied => break,
                    Verdict::NotApplied if rejection.transient => {
                        let cause = Failure::new(
                            code::TARGET_FAILED,
                            Class::Retry { after: None },
                            "",
                            rejection.message,
                        );
                        self.wait(&mut backoff, None, Some(cause)).await?;
                    }
                    Verdict::NotApplied => {
                        return Err(LaneError::Rejected(Box::new(Refused {
                            rejection,
                            commit,
                            unsent: Vec::new(),
                        })));
                    }
                    Verdict::Fenced => return Err(self.fenced().into()),
                },
            }
        }
        self.key = commit.next.key;
        Ok(commit.data)
    }

    async fn send(&self, commit: &FencedCommit) -> Result<CommitTimestamp, CommitError> {
        let _permit = self
            .shared
            .gate
            .acquire()
            .await
            .expect("the gate is never closed");
        let (stream, _) = self.lane.parts();
        kill_point("before commit", stream);
        let result = self.shared.target.commit(commit).await;
        kill_point("after commit", stream);
        result
    }

    /// Reads the fence row until it can be read.
    async fn look(&self, commit: &FencedCommit, backoff: &mut Backoff) -> Result<Verdict, Failure> {
        loop {
            match self.shared.target.read_fence(self.lane).await {
                Ok(found) => return Ok(judge(commit.previous, commit.next.key, found.map(|row| row.key))),
                Err(failure) if failure.is_retry() => self.wait(backoff, None, Some(failure)).await?,
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn wait(
        &self,
        backoff: &mut Backoff,
        asked: Option<Duration>,
        cause: Option<Failure>,
    ) -> Result<(), Failure> {
        if let Some(cause) = cause
            && backoff.elapsed() > TARGET_PATIENCE
        {
            let text = "no commit succeeded for 15 minutes";
            return Err(
                Failure::new(code::TARGET_FAILED, Class::StopMigration, "target", text).caused_by(cause),
            );
        }
        if self.shared.stop.pause(backoff.delay(asked)).await {
            Ok(())
        } else {
            Err(interrupted())
        }
    }

    fn fenced(&self) -> Failure {
        let (stream, number) = self.lane.parts();
        let text = format!("lane `{stream}` {number} belongs to another process");
        Failure::new(code::TARGET_FENCED, Class::StopMigration, "fence", text)
    }
}

/// The failure that ends a task after the stop signal.
pub fn interrupted() -> Failure {
    Failure::new(
        code::INTERRUPTED,
        Class::StopMigration,
        "",
        "interrupted; the same command resumes",
    )
}

fn count(data: &[TableMutations]) -> u64 {
    data.iter().map(|mutations| mutations.rows.len() as u64).sum()
}

/// The first half of the rows and the rest, in order; nothing for a single row.
fn halves(data: &[TableMutations]) -> Option<(Vec<TableMutations>, Vec<TableMutations>)> {
    let rows: usize = data.iter().map(|mutations| mutations.rows.len()).sum();
    if rows < 2 {
        return None;
    }
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let mut room = rows / 2;
    for mutations in data {
        let (mut head, mut tail) = (RowBatch::new(), RowBatch::new());
        for payload in mutations.rows.payloads() {
            if room > 0 {
                room -= 1;
                head.push(payload);
            } else {
                tail.push(payload);
            }
        }
        for (half, rows) in [(&mut first, head), (&mut second, tail)] {
            if !rows.is_empty() {
                let table = Arc::clone(&mutations.table);
                let kind = mutations.kind;
                half.push(TableMutations { table, kind, rows });
            }
        }
    }
    Some((first, second))
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
