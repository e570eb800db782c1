//! Capture: the source's stream into the change log, never waiting for apply.

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::port::change_log::{ChangeLog, ChangeLogWriter, LogUsage, Piece, Sequence};
use spanferry_core::port::source::{ChangeSource, ChangeStream};
use spanferry_core::port::target::Committer;
use spanferry_core::position::{Bookmark, Witness};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::Finding;
use spanferry_kill_point::kill_point;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::control::ControlLane;
use crate::high::SeenWitnesses;
use crate::history::{Unproved, open_proved};
use crate::lane::Backoff;
use crate::progress::{Progress, Snapshot};
use crate::registry::Registry;
use crate::stop::{CancellationToken, Pause};

/// Bytes taken from the stream at once, and so about what one fsync covers.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Batches that may wait for the disk: one being written, one being filled.
const BATCHES_MAX: usize = 2;
/// How long the source may be out of reach before the migration ends, resumable.
pub(crate) const SOURCE_PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How often, and how long after another, the target is asked whether another process has taken the
/// migration over: a start has some ten seconds between its first look at the source and its first
/// word at the target.
const OWNER_LOOKS: u32 = 15;
const OWNER_PAUSE: Duration = Duration::from_secs(1);
/// How often we acknowledge to the source what is durable.
const ACKNOWLEDGE_INTERVAL: Duration = Duration::from_secs(1);
/// How often a full log or disk is tried again.
const BUDGET_PAUSE: Duration = Duration::from_secs(2);

enum Job {
    Append(Vec<Piece>),
    /// The stream broke: abandon what is incomplete, and answer where the log ends.
    Resume(oneshot::Sender<Result<(Sequence, Bookmark), Failure>>),
}

/// The capture of one migration: what it reads, where it writes, and whom it informs.
pub struct Capture<S, L, T> {
    /// What is captured.
    pub source: Arc<S>,
    /// Where the changes are kept.
    pub log: Arc<L>,
    /// Its rows hold what snapshots saw.
    pub registry: Arc<Registry>,
    /// Shows whether this process still owns the migration.
    pub control: Arc<ControlLane<T>>,
    /// Ends the capture.
    pub stop: CancellationToken,
    /// What a person sees of it.
    pub progress: Arc<Progress>,
    /// Holds whether a stream is open, whose position the source has accepted.
    pub following: watch::Sender<bool>,
    /// What happens with a position that the source cannot prove.
    pub unproved: Unproved,
}

impl<S: ChangeSource, L: ChangeLog, T: Committer> Capture<S, L, T> {
    /// Captures until the stop signal. Returns an error only if another attempt cannot help, or
    /// after the limit of attempts.
    pub async fn run(self) -> Result<(), Failure> {
        let (jobs, queue) = mpsc::channel(BATCHES_MAX);
        let seen = SeenWitnesses::new(Arc::clone(&self.registry), self.unproved);
        let (log, progress) = (Arc::clone(&self.log), Arc::clone(&self.progress));
        let append = append(log, queue, self.stop.clone(), progress, seen);
        let (received, appended) = tokio::join!(receive(self, jobs), append);
        // When the disk fails the receiver only sees a closed queue: the disk's failure is the
        // cause.
        appended.and(received)
    }
}

async fn receive<S: ChangeSource, L: ChangeLog, T: Committer>(
    capture: Capture<S, L, T>,
    jobs: mpsc::Sender<Job>,
) -> Result<(), Failure> {
    let Capture {
        source,
        log,
        registry: _,
        control,
        stop,
        progress,
        following,
        unproved,
    } = capture;
    let mut backoff = Backoff::default();
    loop {
        let (answer, end) = oneshot::channel();
        if jobs.send(Job::Resume(answer)).await.is_err() {
            return Ok(());
        }
        let Ok(end) = end.await else { return Ok(()) };
        let (_, captured) = end?;
        let opening = open_proved(source.as_ref(), &captured, unproved);
        let followed = follow::<S, L>(opening, &log, &jobs, &stop, &progress, &following).await;
        following.send_replace(false);
        let Err((lasted, failure)) = followed else {
            return Ok(());
        };
        if failure.code == code::SOURCE_SERVER_ID {
            expect_owned(control.as_ref(), &failure, &stop).await?;
        }
        if !failure.is_retry() {
            return Err(failure);
        }
        if lasted {
            backoff = Backoff::default();
        }
        if backoff.elapsed() > SOURCE_PATIENCE {
            let text = "the change stream could not be opened for 15 minutes";
            return Err(
                Failure::new(code::SOURCE_FAILED, Class::StopMigration, "source", text).caused_by(failure),
            );
        }
        tracing::warn!(failure = %failure.for_log(), "the change stream is lost; opening it again");
        progress.update(|state| {
            let text = format!(
                "the source is out of reach, and is tried again for {} minutes: {}: {}",
                SOURCE_PATIENCE.as_secs() / 60,
                failure.object,
                failure.reason()
            );
            state.source_lost = Some(text);
        });
        if !stop.pause(backoff.delay(None)).await {
            return Ok(());
        }
    }
}

/// Another stream has come with our replica id: that may be the process that has taken the
/// migration over. It may look at the source before it says so at the target, so we look for a
/// while where the collision would end us.
async fn expect_owned<T: Committer>(
    control: &ControlLane<T>,
    collision: &Failure,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    for look in 0..OWNER_LOOKS {
        if look > 0 && !stop.pause(OWNER_PAUSE).await {
            return Ok(());
        }
        control.expect_owned().await?;
        if collision.is_retry() {
            return Ok(());
        }
    }
    Ok(())
}

/// Follows one stream until the stop signal; on failure, whether anything had arrived.
async fn follow<S: ChangeSource, L: ChangeLog>(
    opening: impl Future<Output = Result<(S::Stream, Option<Finding>), Failure>>,
    log: &L,
    jobs: &mpsc::Sender<Job>,
    stop: &CancellationToken,
    progress: &Progress,
    following: &watch::Sender<bool>,
) -> Result<(), (bool, Failure)> {
    let (mut stream, accepted) = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        opened = opening => opened.map_err(|failure| (false, failure))?,
    };
    if let Some(finding) = accepted {
        progress.report(finding);
    }
    progress.update(|state| state.source_lost = None);
    following.send_replace(true);
    let mut arrived = false;
    let mut acknowledged = (Sequence::ZERO, Instant::now());
    loop {
        let mut pieces = Vec::new();
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            next = stream.next(&mut pieces, BATCH_BYTES_MAX) => next.map_err(|failure| (arrived, failure))?,
        }
        arrived = true;
        let told = acknowledge(&mut stream, log, &mut acknowledged).await;
        told.map_err(|failure| (arrived, failure))?;
        if !pieces.is_empty() && jobs.send(Job::Append(pieces)).await.is_err() {
            return Ok(());
        }
    }
}

/// Acknowledges to the source from time to time what it need not keep any more: only what is
/// durable in the change log. `last` is the last acknowledged position, and when it was sent.
async fn acknowledge<C: ChangeStream, L: ChangeLog>(
    stream: &mut C,
    log: &L,
    last: &mut (Sequence, Instant),
) -> Result<(), Failure> {
    if last.1.elapsed() < ACKNOWLEDGE_INTERVAL {
        return Ok(());
    }
    let (durable, captured) = log.end().await?;
    if durable > last.0 {
        stream.acknowledge(&captured.position).await?;
    }
    *last = (durable, Instant::now());
    Ok(())
}

async fn append<L: ChangeLog>(
    log: Arc<L>,
    mut queue: mpsc::Receiver<Job>,
    stop: CancellationToken,
    progress: Arc<Progress>,
    mut seen: SeenWitnesses,
) -> Result<(), Failure> {
    let mut writer = log.writer().await?;
    while let Some(job) = queue.recv().await {
        match job {
            Job::Resume(answer) => {
                writer.abandon().await?;
                if sync_patiently(&mut writer, &stop, &progress).await?.is_none() {
                    return Ok(());
                }
                progress.update(|state| note_usage(state, &log.usage()));
                // The receiver waits for this answer unless it was cancelled.
                let _unwanted = answer.send(log.end().await);
            }
            Job::Append(mut pieces) => {
                if seen.is_due() {
                    let (_, captured) = log.end().await?;
                    if let Some(finding) = seen.expect_same(&captured.position, &pieces)? {
                        progress.report(finding);
                    }
                }
                for portion in portions(&mut pieces, log.usage().budget_bytes) {
                    if !append_patiently(&mut writer, portion, &stop, &progress).await? {
                        return Ok(());
                    }
                    kill_point("before sync", "");
                    let Some(durable) = sync_patiently(&mut writer, &stop, &progress).await? else {
                        return Ok(());
                    };
                    kill_point("after sync", "");
                    count(&progress, log.as_ref(), portion, durable);
                }
            }
        }
    }
    Ok(())
}

/// What is appended at once, because an append takes all or nothing: everything, or one transaction
/// after the other where everything is more than half of the log's budget and might find no room
/// although each of them would.
fn portions(pieces: &mut [Piece], budget_bytes: u64) -> impl Iterator<Item = &mut [Piece]> {
    let bytes: u64 = pieces.iter().map(|piece| piece.body.len() as u64).sum();
    let is_large = bytes > budget_bytes / 2;
    pieces.split_inclusive_mut(move |piece| is_large && piece.last)
}

/// Appends, waiting while the log is at its budget or the disk full; false if the stop signal came
/// meanwhile.
async fn append_patiently<W: ChangeLogWriter>(
    writer: &mut W,
    pieces: &mut [Piece],
    stop: &CancellationToken,
    progress: &Progress,
) -> Result<bool, Failure> {
    loop {
        match writer.append(pieces).await {
            Ok(()) => return Ok(true),
            Err(failure) => {
                if !wait_for_room(failure, stop, progress).await? {
                    return Ok(false);
                }
            }
        }
    }
}

/// Makes durable what was appended, waiting while the disk is full; nothing if the stop signal came
/// meanwhile.
async fn sync_patiently<W: ChangeLogWriter>(
    writer: &mut W,
    stop: &CancellationToken,
    progress: &Progress,
) -> Result<Option<Sequence>, Failure> {
    loop {
        match writer.sync().await {
            Ok(durable) => return Ok(Some(durable)),
            Err(failure) => {
                if !wait_for_room(failure, stop, progress).await? {
                    return Ok(None);
                }
            }
        }
    }
}

/// Says why the log takes nothing more, and waits a while; false if the stop signal came meanwhile.
/// Fails for any other reason than room.
async fn wait_for_room(
    failure: Failure,
    stop: &CancellationToken,
    progress: &Progress,
) -> Result<bool, Failure> {
    if !failure.is_retry() {
        return Err(failure);
    }
    tracing::error!(failure = %failure.for_log(), "capture waits");
    let hint = failure
        .hint
        .as_deref()
        .map_or_else(String::new, |hint| format!(". {hint}"));
    let text = format!("capture waits: {failure}{hint}");
    progress.update(|state| state.throttled = Some(text));
    Ok(stop.pause(BUDGET_PAUSE).await)
}

fn count<L: ChangeLog>(progress: &Progress, log: &L, pieces: &[Piece], durable: Sequence) {
    let usage = log.usage();
    progress.update(|state| {
        for piece in pieces {
            state.captured_bytes += piece.body.len() as u64;
            state.captured_transactions += u64::from(piece.last);
            state.captured_at_us = state.captured_at_us.max(piece.committed_at_us);
        }
        if let Some(piece) = pieces.last() {
            // Without what proves it: that is for programs.
            let shown = Witness::parse(&piece.transaction);
            state.captured_transaction =
                shown.map_or_else(|_| piece.transaction.clone(), |witness| witness.id.to_string());
        }
        note_usage(state, &usage);
        state.captured_sequence = durable.0;
        state.throttled = None;
    });
}

/// Shows how much the log holds.
pub(crate) fn note_usage(state: &mut Snapshot, usage: &LogUsage) {
    state.captured_sequence = usage.durable.0;
    state.log_bytes = usage.bytes;
    state.log_budget_bytes = usage.budget_bytes;
    state.log_transactions = (usage.durable.0 + 1).saturating_sub(usage.oldest.0.max(1));
}

#[cfg(test)]
mod tests {
    use spanferry_core::port::change_log::PieceKind;

    use super::*;

    fn piece(bytes: usize, last: bool) -> Piece {
        Piece {
            sequence: Sequence::ZERO,
            number: 0,
            last,
            kind: PieceKind::Transaction,
            transaction: String::new(),
            committed_at_us: 0,
            body: vec![0; bytes],
        }
    }

    #[test]
    fn a_batch_that_may_never_fit_is_appended_by_transactions() {
        let check = |budget_bytes, expected: &[usize]| {
            let mut pieces = [
                piece(40, true),
                piece(30, false),
                piece(20, true),
                piece(10, false),
            ];
            let found: Vec<usize> = portions(&mut pieces, budget_bytes)
                .map(|portion| portion.len())
                .collect();
            assert_eq!(found, expected, "{budget_bytes}");
        };
        check(200, &[4]);
        check(199, &[1, 2, 1]);
        assert_eq!(portions(&mut [], 0).count(), 0);
    }
}
