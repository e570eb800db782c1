//! The apply task: does what the scheduler asks for, and returns the outcome to it.

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::apply::action::{Action, Proposal, StreamId, Tick, Work};
use spanferry_core::apply::scheduler::{Scheduler, Start};
use spanferry_core::port::change_log::{ChangeLog, ChangeLogReader, Sequence};
use spanferry_core::port::source::ChangeSource;
use spanferry_core::port::target::{Committer, SchemaTarget};
use spanferry_core::position::Position;
use spanferry_core::position::checkpoint::Checkpoint;
use spanferry_core::report::failure::Failure;
use spanferry_core::schema::target::Dialect;
use tokio::sync::watch;
use tokio::time::Instant;

use super::give_way::give_way;
use super::recording::Recording;
use super::stream::Stream;
use crate::lane::{FencedLane, LaneError, LaneShared};
use crate::registry::Registry;
use crate::retention::Watermark;
use crate::two_phase::{PreparedLog, StreamLedger};

/// Time between two lines of the run's log that say how far a large transaction is.
const PART_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What the apply task is made of: one part for each boundary of the pipeline.
pub struct ApplyParts<S, L, T> {
    /// Decodes what the log holds.
    pub source: Arc<S>,
    /// The change log.
    pub log: Arc<L>,
    /// Table states.
    pub registry: Arc<Registry>,
    /// What lanes share.
    pub shared: LaneShared<T>,
    /// The main stream's lane.
    pub main: FencedLane<T>,
    /// The lane that batches catch up on.
    pub catch_up: FencedLane<T>,
    /// What is reached at the main lane's fence.
    pub reached: Checkpoint,
    /// The target's dialect.
    pub dialect: Dialect,
}

/// The apply task.
pub struct Apply<S: ChangeSource, L: ChangeLog, T: Committer + SchemaTarget> {
    parts: ApplyParts<S, L, T>,
    machine: Scheduler,
    main: Option<Stream<S, L>>,
    catch_up: Option<Stream<S, L>>,
    /// Gets the position after every commit of the main stream.
    reached: watch::Sender<Position>,
    /// Gets the watermark after every commit of the main stream.
    watermark: watch::Sender<Watermark>,
    /// When the machine's time began.
    began: Instant,
    /// When the run's log last said how far a large transaction is.
    part_logged_at: Option<Instant>,
}

impl<S: ChangeSource, L: ChangeLog, T: Committer + SchemaTarget> Apply<S, L, T> {
    /// An apply task that continues at the main lane's fence.
    pub fn new(parts: ApplyParts<S, L, T>) -> Apply<S, L, T> {
        let key = parts.main.key();
        let watermark = Watermark {
            sequence: key.sequence,
            committed_at_us: 0,
        };
        let machine = Scheduler::new(Start {
            tables: parts.registry.counted().into(),
            states: parts.registry.states(),
            limits: parts.shared.target.capabilities().window_limits,
            key,
            reached: parts.reached.clone(),
            now: Tick::default(),
        });
        Apply {
            machine,
            main: None,
            catch_up: None,
            reached: watch::Sender::new(parts.reached.position.clone()),
            watermark: watch::Sender::new(watermark),
            began: Instant::now(),
            part_logged_at: None,
            parts,
        }
    }

    /// The position that the main stream has reached, sent after every commit.
    pub fn reached(&self) -> watch::Receiver<Position> {
        self.reached.subscribe()
    }

    /// The sequence up to which the main stream is durable, sent after every commit.
    pub fn watermark(&self) -> watch::Receiver<Watermark> {
        self.watermark.subscribe()
    }

    /// Applies until the stop signal.
    ///
    /// A request to stop is followed between commits: everything that was sent is settled.
    pub async fn run(mut self) -> Result<(), Failure> {
        let mut changed = self.parts.registry.subscribe();
        while !self.parts.shared.stop.is_cancelled() {
            for (table, state) in self.parts.registry.take_changed() {
                self.machine.table_changed(table, state);
            }
            let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            match self.machine.poll(Tick(now))? {
                Action::Open { stream, first } => self.open(stream, first).await?,
                Action::Read { stream, up_to } => self.read(stream, up_to).await?,
                Action::AskReached { at } => {
                    let held = self.parts.log.bookmark_before(at.next()).await?;
                    self.machine.log_reached(&held)?;
                }
                Action::AskStarts { lows } => {
                    let mut starts = Vec::with_capacity(lows.len());
                    for low in &lows {
                        starts.push(self.parts.log.start_for(low).await?);
                    }
                    self.machine.log_starts(starts)?;
                }
                Action::Commit(proposal) => self.commit(*proposal).await?,
                Action::GiveWay(obstacle) => {
                    let ApplyParts {
                        shared,
                        registry,
                        catch_up,
                        dialect,
                        ..
                    } = &mut self.parts;
                    let outcome = give_way(shared, registry, catch_up, *dialect, &obstacle).await?;
                    self.machine.gave_way(outcome);
                }
                Action::Wait { until } => self.wait(until, &mut changed).await?,
            }
        }
        Ok(())
    }

    async fn open(&mut self, stream: StreamId, first: Sequence) -> Result<(), Failure> {
        let ApplyParts {
            source,
            log,
            registry,
            shared,
            ..
        } = &self.parts;
        let plans = registry.counted();
        let past = PreparedLog {
            source: Arc::clone(source),
            log: Arc::clone(log),
            plans: plans.to_vec(),
            stop: shared.stop.clone(),
        };
        let opened = Stream {
            prepared: StreamLedger::new(past, first),
            reader: log.reader(first).await?,
            decoder: source.decoder(plans),
        };
        *self.stream(stream) = Some(opened);
        self.machine.opened();
        Ok(())
    }

    fn stream(&mut self, stream: StreamId) -> &mut Option<Stream<S, L>> {
        match stream {
            StreamId::Main => &mut self.main,
            StreamId::CatchUp => &mut self.catch_up,
        }
    }

    async fn read(&mut self, stream: StreamId, up_to: Sequence) -> Result<(), Failure> {
        let opened = match stream {
            StreamId::Main => &mut self.main,
            StreamId::CatchUp => &mut self.catch_up,
        };
        let opened = opened
            .as_mut()
            .expect("the machine opens a stream before it reads it");
        let piece = opened.reader.try_next().await?;
        let Some(piece) = piece.filter(|piece| piece.sequence <= up_to) else {
            self.machine.at_end(stream);
            return Ok(());
        };
        let builder = self.machine.stream_mut(stream);
        match stream {
            StreamId::Main => {
                // Apply may read a transaction before capture has counted it.
                if piece.number == 0 {
                    self.parts.shared.progress.update(|state| {
                        state.captured_sequence = state.captured_sequence.max(piece.sequence.0);
                    });
                }
                opened.take(&piece, builder).await?;
                for finding in builder.take_notices() {
                    tracing::info!(code = %finding.code, subject = %finding.subject, text = finding.text, "in the stream");
                    self.parts.shared.progress.report(finding);
                }
            }
            StreamId::CatchUp => {
                opened.take_wanted(&piece, builder).await?;
                // The main stream has reported them.
                drop(builder.take_notices());
            }
        }
        Ok(())
    }

    async fn commit(&mut self, proposal: Proposal) -> Result<(), Failure> {
        let registry = Arc::clone(&self.parts.registry);
        let recording = Recording::of(&registry, &proposal).await?;
        let Proposal { next, data, work, .. } = proposal;
        let rows = recording.rows.clone();
        let is_main = next.is_some();
        let outcome = match next {
            Some(next) => self.parts.main.commit(next, data, rows).await,
            // What was to be recorded is recorded already.
            None if data.is_empty() && rows.is_empty() => Ok(data),
            None => self.parts.catch_up.commit_counted(data, rows).await,
        };
        match outcome {
            Ok(_) => {
                recording.settle(&self.parts.shared.progress);
                self.machine.committed();
                if is_main {
                    self.publish(work);
                }
                Ok(())
            }
            Err(LaneError::Failed(failure)) => Err(failure),
            Err(LaneError::Rejected(refused)) => {
                let rejection = refused.rejection;
                tracing::warn!(status = rejection.status, is_main, "a commit is rejected");
                let mut rest = refused.commit.data;
                rest.extend(refused.unsent);
                self.machine.rejected(rejection, rest)
            }
        }
    }

    /// Publishes where the main stream stands.
    fn publish(&mut self, work: Work) {
        let key = self.parts.main.key();
        let reached = self.machine.reached();
        self.reached.send_replace(reached.position.clone());
        self.watermark.send_modify(|watermark| {
            watermark.sequence = key.sequence;
            watermark.committed_at_us = watermark.committed_at_us.max(work.committed_at_us);
        });
        let changes = reached.changes_in_part();
        self.parts.shared.progress.update(|state| {
            state.applied_sequence = key.sequence.0;
            state.applied_transactions += work.transactions;
            state.applied_changes += work.changes;
            state.applied_in_part = changes;
            state.applied_at_us = state.applied_at_us.max(work.committed_at_us);
            state.position = reached.position.to_string();
        });
        let is_recent = |at: Instant| at.elapsed() < PART_LOG_INTERVAL;
        if changes > 0 && !self.part_logged_at.is_some_and(is_recent) {
            self.part_logged_at = Some(Instant::now());
            tracing::info!(changes, "a large transaction is being applied");
        }
    }

    async fn wait(&mut self, until: Option<Tick>, changed: &mut watch::Receiver<u64>) -> Result<(), Failure> {
        let read = self.machine.read_up_to().0;
        self.parts
            .shared
            .progress
            .update(|state| state.idle_sequence = read);
        let stream = self.main.as_mut().expect("the machine waits for the main stream");
        let until = until.map(|tick| self.began + Duration::from_millis(tick.0));
        tokio::select! {
            biased;
            () = self.parts.shared.stop.cancelled() => Ok(()),
            _changed = changed.changed() => Ok(()),
            readable = stream.reader.readable() => readable,
            () = tokio::time::sleep_until(until.unwrap_or(self.began)), if until.is_some() => Ok(()),
        }
    }
}
