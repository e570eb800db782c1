//! The apply task: reads the main stream and commits its windows.

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::apply::window::{TableFilter, Window, WindowBuilder, WindowLimits};
use spanferry_core::plan::TableId;
use spanferry_core::port::change_log::{ChangeLog, ChangeLogReader, Sequence};
use spanferry_core::port::source::ChangeSource;
use spanferry_core::port::target::{Committer, FenceKey, FenceRow, SchemaTarget, TablePhase};
use spanferry_core::position::Position;
use spanferry_core::position::checkpoint::Checkpoint;
use spanferry_core::report::failure::Failure;
use spanferry_core::schema::target::Dialect;
use tokio::sync::watch;
use tokio::time::Instant;

use super::stop::{settle, stopping};
use super::stream::Stream;
use crate::history::misplaced;
use crate::lane::{FencedLane, LaneError, LaneShared};
use crate::registry::Registry;
use crate::retention::Watermark;
use crate::two_phase::{PreparedLog, StreamLedger};

/// How long the watermark may stay behind transactions that change no migrated row.
const ADVANCE_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two lines of the run's log that say how far a large transaction is.
const PART_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What the apply task works with.
pub struct Apply<S: ChangeSource, L: ChangeLog, T: Committer + SchemaTarget> {
    source: Arc<S>,
    pub(super) log: Arc<L>,
    pub(super) registry: Arc<Registry>,
    pub(super) shared: LaneShared<T>,
    pub(super) limits: WindowLimits,
    pub(super) main: FencedLane<T>,
    pub(super) catch_up: FencedLane<T>,
    /// Where the main stream's watermark stands in the source's history.
    reached_now: Checkpoint,
    /// The target's dialect.
    pub(super) dialect: Dialect,
    /// Whether the log, read up to the watermark, is known to hold everything that `reached_now` says is applied.
    aligned: bool,
    /// The watermark at which that was last looked for.
    looked_at: Option<Sequence>,
    /// Told after every commit of the main stream.
    reached: watch::Sender<Position>,
    /// Told as well.
    watermark: watch::Sender<Watermark>,
    /// When the watermark last moved up to what had been read.
    advanced_at: Instant,
    /// When the run's log last said how far a large transaction is.
    part_logged_at: Option<Instant>,
}

/// How the main stream stands after a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// There is more in the log.
    More,
    /// The log's end is reached and everything with data is committed.
    Idle,
}

impl<S: ChangeSource, L: ChangeLog, T: Committer + SchemaTarget> Apply<S, L, T> {
    /// An apply task at the main stream's fence `main.key()`, which has `reached` a place in the history.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one boundary of the pipeline, named where it is wired"
    )]
    pub fn new(
        source: Arc<S>,
        log: Arc<L>,
        registry: Arc<Registry>,
        shared: LaneShared<T>,
        limits: WindowLimits,
        main: FencedLane<T>,
        catch_up: FencedLane<T>,
        reached_now: Checkpoint,
        dialect: Dialect,
    ) -> Apply<S, L, T> {
        let reached = watch::Sender::new(reached_now.position.clone());
        let watermark = watch::Sender::new(Watermark {
            sequence: main.key().sequence,
            committed_at_us: 0,
        });
        Apply {
            source,
            log,
            registry,
            shared,
            limits,
            main,
            catch_up,
            reached_now,
            dialect,
            aligned: false,
            looked_at: None,
            reached,
            watermark,
            advanced_at: Instant::now(),
            part_logged_at: None,
        }
    }

    /// The position that the main stream has reached, told after every commit.
    pub fn reached(&self) -> watch::Receiver<Position> {
        self.reached.subscribe()
    }

    /// The sequence up to which the main stream is durable, told after every commit.
    pub fn watermark(&self) -> watch::Receiver<Watermark> {
        self.watermark.subscribe()
    }

    /// Applies until told to stop.
    ///
    /// A request to stop is followed between commits: everything that was sent is settled.
    pub async fn run(mut self) -> Result<(), Failure> {
        let mut changed = self.registry.subscribe();
        loop {
            let mut stream = self.open_main().await?;
            loop {
                if self.shared.stop.is_cancelled() {
                    return Ok(());
                }
                // Load and catch-up stop groups too, of which other tables may be in the main stream already.
                for table in self.registry.in_phase(TablePhase::Stopped) {
                    stream.builder.set_filter(table, TableFilter::Ignore);
                }
                // A cut transaction must be whole first: its pieces passed without the tables that are to join.
                let ready = self.registry.in_phase(TablePhase::Loaded);
                let may_join = !ready.is_empty() && self.main.key().piece == 0 && self.is_aligned().await?;
                let outcome = if may_join {
                    let joined = self.catch_up_and_join(&mut stream, &ready).await;
                    joined.map(|()| Round::More)
                } else {
                    self.round(&mut stream).await
                };
                match outcome {
                    Ok(Round::More) => {}
                    Ok(Round::Idle) => {
                        let read = stream.builder.sequence().0;
                        self.shared.progress.update(|state| state.idle_sequence = read);
                        tokio::select! {
                            biased;
                            () = self.shared.stop.cancelled() => return Ok(()),
                            _changed = changed.changed() => {}
                            readable = stream.reader.readable() => readable?,
                            () = tokio::time::sleep(ADVANCE_INTERVAL), if stream.builder.is_pending() => {}
                        }
                    }
                    Err(LaneError::Failed(failure)) => return Err(failure),
                    Err(LaneError::Rejected(rejection, _)) => {
                        self.resolve_rejection(&rejection).await?;
                        break;
                    }
                }
            }
        }
    }

    /// Whether the watermark's sequence and position name the same place: not so while a log that was begun anew repeats what is
    /// applied. A batch catches up to the sequence, and the main stream goes on behind the position
    /// (docs/design/hand-off.md, step 9).
    async fn is_aligned(&mut self) -> Result<bool, Failure> {
        let at = self.main.key().sequence;
        // The log is asked once for each place of the watermark: it reads a segment for the answer.
        if !self.aligned && self.looked_at != Some(at) {
            self.looked_at = Some(at);
            let held = self.log.bookmark_before(at.next()).await?;
            let applied = &self.reached_now.position;
            self.aligned = held.position.contains_all(applied).map_err(misplaced)?;
        }
        Ok(self.aligned)
    }

    pub(super) async fn open_main(&mut self) -> Result<Stream<S, L>, Failure> {
        let reached = self.reached_now.clone();
        let mut stream = self.stream(self.main.key().sequence, reached).await?;
        for plan in self.registry.plans() {
            admit(&self.registry, &mut stream.builder, plan.id);
        }
        Ok(stream)
    }

    pub(super) async fn stream(
        &self,
        sequence: Sequence,
        reached: Checkpoint,
    ) -> Result<Stream<S, L>, Failure> {
        let plans = self.registry.counted();
        let past = PreparedLog {
            source: Arc::clone(&self.source),
            log: Arc::clone(&self.log),
            plans: plans.to_vec(),
            stop: self.shared.stop.clone(),
        };
        Ok(Stream {
            prepared: StreamLedger::new(past, sequence.next()),
            reader: self.log.reader(sequence.next()).await?,
            decoder: self.source.decoder(plans),
            builder: WindowBuilder::new(plans, self.limits, reached, sequence, self.main.key().epoch),
            open: false,
        })
    }

    /// Reads until a window is finished or the log's end is reached, and commits what there is. A request to stop ends it
    /// between two commits, also inside a transaction.
    async fn round(&mut self, stream: &mut Stream<S, L>) -> Result<Round, LaneError> {
        while !self.shared.stop.is_cancelled() {
            let piece = stream.reader.try_next().await?;
            let at_end = piece.is_none();
            if let Some(piece) = piece {
                // Apply may read a transaction before capture has counted it.
                if piece.number == 0 {
                    self.shared.progress.update(|state| {
                        state.captured_sequence = state.captured_sequence.max(piece.sequence.0);
                    });
                }
                stream.take(&piece).await?;
            }
            self.tell(&mut stream.builder);
            while let Some(window) = stream.builder.take_ready() {
                self.commit(window).await?;
                if self.shared.stop.is_cancelled() {
                    return Ok(Round::More);
                }
            }
            if stream.open {
                continue;
            }
            let due = self.advanced_at.elapsed() >= ADVANCE_INTERVAL;
            let moves = (due && stream.builder.is_pending()) || (at_end && stream.builder.has_data());
            if moves {
                self.flush(stream).await?;
            }
            if at_end && !moves {
                return Ok(Round::Idle);
            }
            // Where the watermark has moved, a batch may join that could not before.
            if due || moves || (self.aligned && self.registry.has_phase(TablePhase::Loaded)) {
                return Ok(Round::More);
            }
        }
        Ok(Round::More)
    }

    /// Commits what the fold holds; the watermark then stands at the last transaction that was read.
    pub(super) async fn flush(&mut self, stream: &mut Stream<S, L>) -> Result<(), LaneError> {
        while let Some(window) = stream.builder.take_now() {
            self.commit(window).await?;
        }
        self.advanced_at = Instant::now();
        Ok(())
    }

    pub(super) fn tell(&self, builder: &mut WindowBuilder) {
        for finding in builder.take_notices() {
            tracing::info!(code = %finding.code, subject = %finding.subject, text = finding.text, "in the stream");
            self.shared.progress.report(finding);
        }
    }

    /// Commits one window of the main stream, its stops included.
    pub(super) async fn commit(&mut self, window: Window) -> Result<(), LaneError> {
        let key = FenceKey {
            epoch: self.main.key().epoch,
            sequence: window.sequence,
            piece: window.reached.piece(),
        };
        let next = FenceRow {
            key,
            reached: Some(window.reached.clone()),
        };
        let registry = Arc::clone(&self.registry);
        let stopping = stopping(&registry, &window).await;
        let control = stopping.as_ref().map_or_else(Vec::new, |(_, rows)| rows.clone());
        self.main.commit(next, window.data, control).await?;
        settle(&window.stops, stopping, &self.shared.progress);
        self.reached_now = window.reached;
        self.reached.send_replace(self.reached_now.position.clone());
        self.watermark.send_modify(|watermark| {
            watermark.sequence = window.sequence;
            watermark.committed_at_us = watermark.committed_at_us.max(window.committed_at_us);
        });
        self.shared.progress.update(|state| {
            state.applied_sequence = window.sequence.0;
            state.applied_transactions += window.transactions;
            state.applied_changes += window.changes;
            state.applied_in_part = self.reached_now.changes_in_part();
            state.applied_at_us = state.applied_at_us.max(window.committed_at_us);
            state.position = self.reached_now.position.to_string();
        });
        self.log_part();
        Ok(())
    }

    /// Notes in the run's log, now and then, how far a transaction of many commits is.
    fn log_part(&mut self) {
        let changes = self.reached_now.changes_in_part();
        if changes == 0
            || self
                .part_logged_at
                .is_some_and(|at| at.elapsed() < PART_LOG_INTERVAL)
        {
            return;
        }
        self.part_logged_at = Some(Instant::now());
        tracing::info!(changes, "a large transaction is being applied");
    }
}

/// Lets a table take part in the main stream from its next transaction on, if it has joined. It may be under constraints
/// already, a moment after it was recorded as joined: another task sees to that.
pub(super) fn admit(registry: &Registry, builder: &mut WindowBuilder, table: TableId) {
    let row = registry.row(table);
    match row.phase {
        TablePhase::Joined | TablePhase::Constrained => {
            builder.set_filter(table, TableFilter::Apply { after: row.low });
        }
        TablePhase::Pending | TablePhase::Loading | TablePhase::Loaded | TablePhase::Stopped => {}
    }
}

#[cfg(test)]
mod tests {
    use spanferry_core::port::change::{Change, ChangeSink};
    use spanferry_core::port::target::Epoch;
    use spanferry_core::position::{Bookmark, Witness};

    use super::*;
    use crate::fixture::{row, table};
    use crate::progress::Progress;

    /// Whether the main stream takes a change of a table that was in this phase when its batch had caught up.
    fn takes_part(phase: TablePhase) -> bool {
        let plans = vec![table("t")];
        let row = row("t", phase, Some("mariadb:0-1-5"));
        let progress = Arc::new(Progress::new(Vec::new()));
        let registry = Registry::new(plans.clone(), vec![row], progress);
        let position = Position::parse("mariadb:0-1-6").unwrap();
        let reached = Checkpoint::whole(Bookmark::unproved(position));
        let mut builder = WindowBuilder::new(&plans, WindowLimits::SPANNER, reached, Sequence(1), Epoch(1));
        admit(&registry, &mut builder, TableId(0));
        let witness = Witness::parse("0-1-7@7").unwrap();
        builder.begin(Sequence(2), witness.clone()).unwrap();
        builder.change(TableId(0), Change::Insert { key: b"k", row: b"k" });
        builder.end(0, witness).unwrap();
        builder.has_data()
    }

    #[test]
    fn a_table_that_is_constrained_at_once_takes_part() {
        assert!(takes_part(TablePhase::Joined));
        assert!(takes_part(TablePhase::Constrained));
        assert!(!takes_part(TablePhase::Loaded));
        assert!(!takes_part(TablePhase::Stopped));
    }
}
