//! Apply: the change log into the target, window by window; loaded tables catch up in batches and join the main stream.
//!
//! One task owns both streams and works on one at a time: while a batch catches up, the main stream stands still at a window
//! boundary `W`; the batch joins exactly there, and is made durable as joined before `W + 1` is applied
//! (docs/design/hand-off.md, steps 9 to 12).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use spanferry_core::change_log::{ChangeLog, ChangeLogReader, Piece, PieceKind, Sequence};
use spanferry_core::code;
use spanferry_core::failure::{Class, Failure, ServerWords};
use spanferry_core::finding::{Finding, Severity, Subject};
use spanferry_core::plan::{GroupId, TableId, TablePlan};
use spanferry_core::position::{Position, PositionError};
use spanferry_core::reached::Reached;
use spanferry_core::source::{ChangeDecoder, ChangeSource};
use spanferry_core::target::{ControlChange, FenceKey, FenceRow, Rejection, TablePhase, Target};
use spanferry_core::window::{Stop, TableFilter, Window, WindowBuilder, WindowLimits};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::lane::{FencedLane, LaneError, LaneShared};
use crate::registry::{Registry, Transition};
use crate::retention::Watermark;

/// How long the watermark may stay behind transactions that change no migrated row.
const ADVANCE_INTERVAL: Duration = Duration::from_secs(1);

/// What the apply task works with.
pub struct Apply<S: ChangeSource, L: ChangeLog, T: Target> {
    source: Arc<S>,
    log: Arc<L>,
    registry: Arc<Registry>,
    shared: LaneShared<T>,
    limits: WindowLimits,
    main: FencedLane<T>,
    catch_up: FencedLane<T>,
    /// Where the main stream's watermark stands in the source's history.
    reached_now: Reached,
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
}

/// How the main stream stands after a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// There is more in the log.
    More,
    /// The log's end is reached and everything with data is committed.
    Idle,
}

/// A stream being read: the log's reader, the decoder and the fold.
struct Stream<L: ChangeLog, D> {
    reader: L::Reader,
    decoder: D,
    builder: WindowBuilder,
    /// Whether a transaction has begun whose last piece has not been taken yet.
    open: bool,
}

impl<S: ChangeSource, L: ChangeLog, T: Target> Apply<S, L, T> {
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
        reached_now: Reached,
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
            aligned: false,
            looked_at: None,
            reached,
            watermark,
            advanced_at: Instant::now(),
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
                if self.shared.stop.is_requested() {
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
                        tokio::select! {
                            biased;
                            () = self.shared.stop.requested() => return Ok(()),
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
            let held = self.log.position_before(at.next()).await?;
            self.aligned = held.contains_all(&self.reached_now.position).map_err(misplaced)?;
        }
        Ok(self.aligned)
    }

    async fn open_main(&mut self) -> Result<Stream<L, S::Decoder>, Failure> {
        let reached = self.reached_now.clone();
        let mut stream = self.stream(self.main.key().sequence, reached).await?;
        for plan in self.registry.plans() {
            admit(&self.registry, &mut stream.builder, plan.id);
        }
        Ok(stream)
    }

    async fn stream(&self, sequence: Sequence, reached: Reached) -> Result<Stream<L, S::Decoder>, Failure> {
        let plans = self.registry.plans();
        Ok(Stream {
            reader: self.log.reader(sequence.next()).await?,
            decoder: self.source.decoder(plans),
            builder: WindowBuilder::new(plans, self.limits, reached, sequence),
            open: false,
        })
    }

    /// Reads until a window is finished or the log's end is reached, and commits what there is.
    async fn round(&mut self, stream: &mut Stream<L, S::Decoder>) -> Result<Round, LaneError> {
        loop {
            let piece = stream.reader.try_next().await?;
            let at_end = piece.is_none();
            if let Some(piece) = piece {
                stream.take(&piece)?;
            }
            self.tell(&mut stream.builder);
            while let Some(window) = stream.builder.take_ready() {
                self.commit(window).await?;
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
            if due
                || moves
                || (self.aligned && self.registry.has_phase(TablePhase::Loaded))
                || self.shared.stop.is_requested()
            {
                return Ok(Round::More);
            }
        }
    }

    /// Commits what the fold holds; the watermark then stands at the last transaction that was read.
    async fn flush(&mut self, stream: &mut Stream<L, S::Decoder>) -> Result<(), LaneError> {
        while let Some(window) = stream.builder.take_now() {
            self.commit(window).await?;
        }
        self.advanced_at = Instant::now();
        Ok(())
    }

    async fn catch_up_and_join(
        &mut self,
        stream: &mut Stream<L, S::Decoder>,
        ready: &[TableId],
    ) -> Result<(), LaneError> {
        self.flush(stream).await?;
        assert_eq!(
            self.main.key().sequence,
            stream.builder.sequence(),
            "a batch joins where the main stream stands"
        );
        self.catch_up_batch(ready).await?;
        for table in ready {
            admit(&self.registry, &mut stream.builder, *table);
        }
        Ok(())
    }

    fn tell(&self, builder: &mut WindowBuilder) {
        for finding in builder.take_notices() {
            tracing::info!(code = %finding.code, subject = %finding.subject, text = finding.text, "in the stream");
            self.shared.progress.find(finding);
        }
    }

    /// Commits one window of the main stream, its stops included.
    async fn commit(&mut self, window: Window) -> Result<(), LaneError> {
        let key = FenceKey {
            epoch: self.main.key().epoch,
            sequence: window.sequence,
            piece: window.reached.piece(),
        };
        let next = FenceRow {
            key,
            position: window.reached.to_string(),
        };
        let registry = Arc::clone(&self.registry);
        let stopping = stopping(&registry, &window).await;
        let control = stopping.as_ref().map_or_else(Vec::new, |(_, rows)| rows.clone());
        self.main.commit(next, window.data, control).await?;
        self.settle(&window.stops, stopping);
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
            state.applied_at_us = state.applied_at_us.max(window.committed_at_us);
            state.position = self.reached_now.position.to_string();
        });
        Ok(())
    }

    /// Makes stops known that have become durable.
    fn settle(&self, stops: &[Stop], stopping: Option<(Transition<'_>, Vec<ControlChange>)>) {
        let Some((transition, rows)) = stopping else {
            return;
        };
        transition.adopt(&rows);
        for stop in stops {
            tracing::error!(code = %stop.finding.code, subject = %stop.finding.subject, transaction = stop.transaction,
                "a group stops");
            self.shared.progress.find(stop.finding.clone());
        }
    }

    /// Applies everything between the tables' `low` and the main stream's watermark to a batch of loaded tables.
    async fn catch_up_batch(&mut self, batch: &[TableId]) -> Result<(), Failure> {
        let end = self.main.key().sequence;
        let (first, position) = self.catch_up_start(batch).await?;
        let reached = Reached { position, torn: None };
        let mut stream = self.stream(Sequence(first.0 - 1), reached).await?;
        for table in batch {
            let after = self.registry.state(*table).low;
            stream.builder.set_filter(*table, TableFilter::Apply { after });
        }
        while stream.builder.sequence() < end {
            if self.shared.stop.is_requested() {
                return Ok(());
            }
            if batch
                .iter()
                .all(|table| self.registry.phase(*table) != TablePhase::Loaded)
            {
                // All have stopped: nothing holds the log for them any more.
                return Ok(());
            }
            match stream.reader.try_next().await? {
                Some(piece) if piece.sequence > end => break,
                Some(piece) => stream.take_wanted(&piece)?,
                None => break,
            }
            drop(stream.builder.take_notices());
            while let Some(window) = stream.builder.take_ready() {
                self.commit_catch_up(window).await?;
            }
        }
        if let Some(window) = stream.builder.take_now() {
            self.commit_catch_up(window).await?;
        }
        let registry = Arc::clone(&self.registry);
        let transition = registry.transition().await;
        let loaded = batch
            .iter()
            .filter(|table| registry.phase(**table) == TablePhase::Loaded);
        let rows: Vec<_> = loaded
            .map(|table| {
                ControlChange::Table(transition.row_with(*table, |row| row.phase = TablePhase::Joined))
            })
            .collect();
        self.record(&transition, rows).await
    }

    /// Where the log is to be read from so that each table of a batch gets every change after its own `low`.
    async fn catch_up_start(&self, batch: &[TableId]) -> Result<(Sequence, Position), Failure> {
        let mut earliest: Option<(Sequence, Position)> = None;
        // Tables of one snapshot have one `low`: the log is asked once for all of them.
        let mut asked: Vec<Position> = Vec::new();
        for table in batch {
            let low = self.registry.state(*table).low;
            let low = low.ok_or_else(|| Failure::bug("catch-up", "a loaded table has no `low`"))?;
            if asked.contains(&low) {
                continue;
            }
            asked.push(low.clone());
            let start = self.log.start_for(&low).await?;
            if !low.contains_all(&start.1).map_err(misplaced)? {
                let text = "it begins after a table's `low`: changes of that table are missing";
                return Err(
                    Failure::new(code::LOG_CORRUPT, Class::StopMigration, "change log", text)
                        .hint("Run `spanferry resync` for the tables that `status` shows as loaded."),
                );
            }
            if earliest.as_ref().is_none_or(|(first, _)| start.0 < *first) {
                earliest = Some(start);
            }
        }
        earliest.ok_or_else(|| Failure::bug("catch-up", "a batch without a table"))
    }

    /// Makes rows durable on the catch-up lane, then known.
    async fn record(&mut self, transition: &Transition<'_>, rows: Vec<ControlChange>) -> Result<(), Failure> {
        if rows.is_empty() {
            return Ok(());
        }
        self.catch_up
            .commit_counted(Vec::new(), rows.clone())
            .await
            .map_err(unexpected)?;
        transition.adopt(&rows);
        Ok(())
    }

    async fn commit_catch_up(&mut self, window: Window) -> Result<(), Failure> {
        if window.data.is_empty() && window.stops.is_empty() {
            return Ok(());
        }
        let registry = Arc::clone(&self.registry);
        let stopping = stopping(&registry, &window).await;
        let control = stopping.as_ref().map_or_else(Vec::new, |(_, rows)| rows.clone());
        let groups: BTreeSet<GroupId> = window.data.iter().map(|data| data.table.group).collect();
        match self.catch_up.commit_counted(window.data, control).await {
            Ok(_) => {
                self.settle(&window.stops, stopping);
                Ok(())
            }
            Err(LaneError::Failed(failure)) => Err(failure),
            Err(LaneError::Rejected(rejection, _)) => {
                // The window's own stops count all the same: what follows them was not folded for their groups.
                if let Some((transition, rows)) = stopping {
                    self.record(&transition, rows.clone()).await?;
                    self.settle(&window.stops, Some((transition, rows)));
                }
                // Nothing binds these tables yet, so a rejection concerns a row as such: every group of the window stops, also those
                // whose rows were in a part of it that was not sent any more.
                let groups: Vec<GroupId> = groups.into_iter().collect();
                self.stop_groups(&groups, &rejection, "while catching up").await
            }
        }
    }

    /// A window was rejected: goes on one transaction at a time, and stops the groups of the one that is rejected again.
    async fn resolve_rejection(&mut self, rejection: &Rejection) -> Result<(), Failure> {
        tracing::warn!(
            status = rejection.status,
            "a window is rejected; going on one transaction at a time"
        );
        let limits = self.limits;
        let divide = if rejection.too_large { 8 } else { 1 };
        self.limits = WindowLimits {
            bytes_best: 1,
            bytes_max: (limits.bytes_max / divide).max(1),
            mutations_max: (limits.mutations_max / divide).max(1),
        };
        let result = self.one_by_one().await;
        self.limits = limits;
        result
    }

    async fn one_by_one(&mut self) -> Result<(), Failure> {
        let mut stream = self.open_main().await?;
        let began = self.main.key().sequence;
        loop {
            if self.shared.stop.is_requested() || self.main.key().sequence.0 >= began.0 + SINGLE_TRANSACTIONS
            {
                return Ok(());
            }
            let Some(piece) = stream.reader.try_next().await? else {
                return Ok(());
            };
            stream.take(&piece)?;
            self.tell(&mut stream.builder);
            while let Some(window) = stream.builder.take_ready() {
                match self.commit(window).await {
                    Ok(()) => {}
                    Err(LaneError::Failed(failure)) => return Err(failure),
                    Err(LaneError::Rejected(rejection, commit)) => {
                        let mut groups: Vec<GroupId> =
                            commit.data.iter().map(|data| data.table.group).collect();
                        groups.sort_unstable();
                        groups.dedup();
                        let transaction = format!("at sequence {}", commit.next.key.sequence);
                        return self.stop_groups(&groups, &rejection, &transaction).await;
                    }
                }
            }
        }
    }

    /// Stops groups on the catch-up lane, without moving the main stream: it then reads the same transaction without them.
    async fn stop_groups(
        &mut self,
        groups: &[GroupId],
        rejection: &Rejection,
        at: &str,
    ) -> Result<(), Failure> {
        if groups.is_empty() {
            let text = format!("the target rejects a commit without data: {}", rejection.status);
            return Err(Failure::bug("fence", text).caused_by(ServerWords::from(rejection.clone())));
        }
        for group in groups {
            let table = first_of(&self.registry, *group).name().table.clone();
            let text = format!(
                "the target rejects a change {at}: {}: {}",
                rejection.status, rejection.message
            );
            let finding = Finding::new(
                code::CHANGE_REJECTED,
                Severity::Blocking,
                Subject::table(table.clone()),
                text,
            )
            .remedy(format!("spanferry resync {table}"));
            let registry = Arc::clone(&self.registry);
            let transition = registry.transition().await;
            let rows = transition.stop_rows(*group, &finding);
            self.record(&transition, rows).await?;
            drop(transition);
            tracing::error!(code = %finding.code, subject = %finding.subject, "a group stops");
            self.shared.progress.find(finding);
        }
        Ok(())
    }
}

/// Lets a table take part in the main stream from its next transaction on, if it has joined. It may be under constraints
/// already, a moment after it was recorded as joined: another task sees to that.
fn admit(registry: &Registry, builder: &mut WindowBuilder, table: TableId) {
    let state = registry.state(table);
    match state.row.phase {
        TablePhase::Joined | TablePhase::Constrained => {
            builder.set_filter(table, TableFilter::Apply { after: state.low });
        }
        TablePhase::Pending | TablePhase::Loading | TablePhase::Loaded | TablePhase::Stopped => {}
    }
}

/// The rows that record a window's stops, with the right to record them; nothing if it has none.
async fn stopping<'a>(
    registry: &'a Registry,
    window: &Window,
) -> Option<(Transition<'a>, Vec<ControlChange>)> {
    if window.stops.is_empty() {
        return None;
    }
    let transition = registry.transition().await;
    let rows = window.stops.iter().flat_map(|stop| {
        let mut finding = stop.finding.clone();
        finding.text = format!("{} (transaction {})", finding.text, stop.transaction);
        transition.stop_rows(stop.group, &finding)
    });
    let rows = rows.collect();
    Some((transition, rows))
}

/// Transactions applied one at a time after a rejected window, before windows are folded again.
const SINGLE_TRANSACTIONS: u64 = 10_000;

fn first_of(registry: &Registry, group: GroupId) -> Arc<TablePlan> {
    let first = registry.group(group).next();
    Arc::clone(first.expect("a group has at least one table"))
}

fn unexpected(error: LaneError) -> Failure {
    match error {
        LaneError::Failed(failure) => failure,
        LaneError::Rejected(rejection, _) => Failure::new(
            code::TARGET_FAILED,
            Class::StopMigration,
            "control tables",
            "the target rejects control rows",
        )
        .caused_by(ServerWords::from(rejection)),
    }
}

fn misplaced(error: PositionError) -> Failure {
    Failure::new(
        code::HISTORY_CHANGED,
        Class::StopMigration,
        "change stream",
        "the source's history does not go on",
    )
    .caused_by(error)
}

impl<L: ChangeLog, D: ChangeDecoder> Stream<L, D> {
    /// Takes one piece into the fold.
    fn take(&mut self, piece: &Piece) -> Result<(), Failure> {
        self.take_if(piece, |_| true)
    }

    /// The same, but leaves a body alone that can change none of the stream's tables. Its notices stay unheard: only for a
    /// stream that goes over what the main stream has heard already.
    fn take_wanted(&mut self, piece: &Piece) -> Result<(), Failure> {
        self.take_if(piece, WindowBuilder::wants_changes)
    }

    fn take_if(
        &mut self,
        piece: &Piece,
        is_wanted: impl FnOnce(&WindowBuilder) -> bool,
    ) -> Result<(), Failure> {
        if piece.kind == PieceKind::Abandoned {
            return Ok(());
        }
        if piece.number == 0 {
            let id = self.decoder.transaction(piece)?;
            self.builder.begin(piece.sequence, id).map_err(misplaced)?;
            self.open = true;
        }
        if is_wanted(&self.builder) {
            self.decoder.decode(piece, &mut self.builder)?;
        }
        if piece.last {
            self.builder.end(piece.committed_at_us).map_err(misplaced)?;
            self.open = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use spanferry_core::position::TransactionId;
    use spanferry_core::source::ChangeSink;
    use spanferry_core::target::TableRow;

    use super::*;
    use crate::fixture::table;
    use crate::progress::Progress;
    use crate::registry::TableState;

    /// Whether the main stream takes a change of a table that was in this phase when its batch had caught up.
    fn takes_part(phase: TablePhase) -> bool {
        let plans = vec![table("t")];
        let low = Position::parse("mariadb:0-1-5").ok();
        let row = TableRow {
            table: "t".to_owned(),
            phase,
            low: String::new(),
            high: String::new(),
            rows_loaded: 0,
            definition: String::new(),
            reason: String::new(),
        };
        let state = TableState {
            row,
            low: low.clone(),
            high: low,
        };
        let progress = Arc::new(Progress::new(Vec::new()));
        let registry = Registry::new(plans.clone(), vec![state], progress);
        let position = Position::parse("mariadb:0-1-6").unwrap();
        let reached = Reached { position, torn: None };
        let mut builder = WindowBuilder::new(&plans, WindowLimits::SPANNER, reached, Sequence(1));
        admit(&registry, &mut builder, TableId(0));
        let id = TransactionId::parse("0-1-7").unwrap();
        builder.begin(Sequence(2), id).unwrap();
        builder.upsert(TableId(0), b"k", b"k");
        builder.end(0).unwrap();
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
