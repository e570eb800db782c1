//! The change log as a model in memory: a durable mark, and a tail that a crash may take.

use std::sync::Arc;

use spanferry_core::port::change_log::{
    ChangeLog, ChangeLogReader, ChangeLogWriter, LogId, LogUsage, Piece, Sequence,
};
use spanferry_core::position::{Bookmark, Position, Witness};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_engine::prepare::LogStore;

use crate::backward::{bookmark_told, copy_log, end_told};
use crate::world::{Mutant, Shared, number_of};

#[derive(Clone)]
pub(crate) struct LogState {
    id: String,
    /// What was reached before the first piece.
    start: Bookmark,
    /// The first sequence that has not been trimmed.
    oldest: Sequence,
    pieces: Vec<Piece>,
    /// The last transaction that a reader has brought whole.
    read: Sequence,
    durable: usize,
    next: u64,
    next_durable: u64,
    open: Option<u32>,
}

impl LogState {
    /// The process died: what was not synced may be there, wholly, in part or not at all.
    pub(crate) fn crash(&mut self, kept: impl FnOnce(usize) -> usize) -> bool {
        let kept = self.durable + kept(self.pieces.len() - self.durable);
        let lost = kept < self.pieces.len();
        self.pieces.truncate(kept);
        // An incomplete transaction is abandoned: its sequence is not used again.
        let last = self.pieces.last().map_or(0, |piece| piece.sequence.0);
        while self.pieces.last().is_some_and(|piece| !piece.last) {
            self.pieces.pop();
        }
        self.next = self.next_durable.max(last + 1);
        self.next_durable = self.next;
        self.durable = self.pieces.len();
        self.open = None;
        lost
    }

    fn complete(&self) -> impl DoubleEndedIterator<Item = &Piece> + Clone {
        self.pieces[..self.durable].iter().filter(|piece| piece.last)
    }

    /// What is reached with every transaction below a sequence.
    fn before(&self, at: Sequence) -> Bookmark {
        let mut reached = self.start.clone();
        for piece in self.complete().filter(|piece| piece.sequence < at) {
            reached
                .advance(Witness::parse(&piece.transaction).unwrap())
                .unwrap();
        }
        reached
    }

    /// The last complete durable transaction.
    pub(crate) fn last(&self) -> Sequence {
        let last = self.complete().next_back();
        last.map_or(Sequence::ZERO, |piece| piece.sequence)
    }

    /// Whether another one is a copy of this log, taken at some time.
    pub(crate) fn is_copied_by(&self, other: &LogState) -> bool {
        self.id == other.id
    }

    /// Where it ends.
    pub(crate) fn end(&self) -> Bookmark {
        self.before(self.last().next())
    }
}

#[derive(Clone)]
pub(crate) struct SimLog(pub(crate) Shared);

impl LogStore for SimLog {
    type Log = SimLog;

    async fn open(&self) -> Result<Option<SimLog>, Failure> {
        Ok(self.0.lock().log.is_some().then(|| self.clone()))
    }

    async fn create(&self, id: &LogId, start: &Bookmark, _source: &str) -> Result<SimLog, Failure> {
        self.0.step().await;
        {
            let mut world = self.0.lock();
            let id = id.0.clone();
            let start = start.clone();
            world.log = Some(LogState {
                id,
                start,
                oldest: Sequence(1),
                pieces: Vec::new(),
                read: Sequence::ZERO,
                durable: 0,
                next: 1,
                next_durable: 1,
                open: None,
            });
        }
        self.0.step().await;
        Ok(self.clone())
    }
}

impl SimLog {
    fn with<R>(&self, change: impl FnOnce(&mut LogState) -> R) -> R {
        change(self.0.lock().log.as_mut().unwrap())
    }

    /// What was trimmed must not be asked for again.
    fn expect_kept(&self, from: Sequence) -> Result<(), Failure> {
        let mut world = self.0.lock();
        let oldest = world.log.as_ref().unwrap().oldest;
        // Nothing is before the first.
        if from.max(Sequence(1)) >= oldest {
            return Ok(());
        }
        let text = format!("sequence {from} is needed, the log was trimmed below {oldest}");
        world.violations.push(text.clone());
        Err(Failure::new(code::LOG_CORRUPT, Class::StopMigration, "log", text))
    }
}

impl ChangeLog for SimLog {
    type Writer = SimWriter;
    type Reader = SimReader;

    fn id(&self) -> LogId {
        LogId(self.with(|log| log.id.clone()))
    }

    async fn writer(&self) -> Result<SimWriter, Failure> {
        let mut world = self.0.lock();
        if world.log_writer.upgrade().is_some() {
            return Err(Failure::bug("log", "it has a writer already"));
        }
        let claim = Arc::new(());
        world.log_writer = Arc::downgrade(&claim);
        let log = world.log.as_mut().unwrap();
        log.crash(|_| 0);
        Ok(SimWriter {
            reached: log.end(),
            log: self.clone(),
            failed: false,
            _claim: claim,
        })
    }

    async fn reader(&self, from: Sequence) -> Result<SimReader, Failure> {
        self.expect_kept(from)?;
        Ok(SimReader {
            log: self.clone(),
            next: (from.0, 0),
            is_open: false,
        })
    }

    async fn end(&self) -> Result<(Sequence, Bookmark), Failure> {
        let (last, end) = self.with(|log| (log.last(), log.end()));
        Ok((end_told(&self.0.lock(), last), end))
    }

    async fn bookmark_before(&self, at: Sequence) -> Result<Bookmark, Failure> {
        self.expect_kept(at)?;
        if let Some(told) = bookmark_told(&self.0.lock(), at) {
            return Ok(told);
        }
        Ok(self.with(|log| log.before(at)))
    }

    async fn start_for(&self, position: &Position) -> Result<(Sequence, Bookmark), Failure> {
        let world = &mut *self.0.lock();
        let log = world.log.as_ref().unwrap();
        position.contains_all(&log.start.position).map_err(|error| {
            let text = error.to_string();
            Failure::new(code::HISTORY_CHANGED, Class::StopMigration, "log", text)
        })?;
        let mut starts = vec![log.oldest];
        starts.extend(log.complete().map(|piece| piece.sequence.next()));
        let contained = number_of(&position.to_string());
        let is_good = |first: &&Sequence| number_of(&log.before(**first).position.to_string()) <= contained;
        let good = starts.iter().filter(is_good).count().max(1);
        // Any good one may begin a segment; where nothing is drawn, the last does: no caller
        // depends on more than was asked for.
        let drawn = world.random.below(good as u64) as usize;
        let chosen = if world.bare { good - 1 } else { drawn };
        Ok((starts[chosen], log.before(starts[chosen])))
    }

    async fn trim(&self, below: Sequence) -> Result<(), Failure> {
        self.0.step().await;
        let world = &mut *self.0.lock();
        let log = world.log.as_mut().unwrap();
        let below = match world.mutant {
            Some(Mutant::TrimsOneMore) => below.next(),
            Some(Mutant::TrimsWhatIsRead) => below.max(log.read.next()),
            _ => below,
        };
        let last = log.complete().next_back().map(|piece| piece.sequence);
        let trimmed = log
            .complete()
            .filter(|piece| piece.sequence < below && Some(piece.sequence) != last);
        // Whole segments go: some of what may.
        let count = world.random.below(trimmed.clone().count() as u64 + 1) as usize;
        let Some(sequence) = trimmed.take(count).last().map(|piece| piece.sequence) else {
            return Ok(());
        };
        let start = log.before(sequence.next());
        let before = log.pieces.len();
        log.pieces.retain(|piece| piece.sequence > sequence);
        log.durable -= before - log.pieces.len();
        (log.oldest, log.start) = (sequence.next(), start);
        world.count("log trimmed");
        Ok(())
    }

    fn usage(&self) -> LogUsage {
        self.with(|log| LogUsage {
            bytes: log.pieces.len() as u64,
            budget_bytes: u64::MAX,
            oldest: log.oldest,
            durable: log.last(),
        })
    }
}

/// The one writer; what an earlier one has not synced is gone.
pub(crate) struct SimWriter {
    log: SimLog,
    /// What all complete transactions that were appended have reached.
    reached: Bookmark,
    /// A call has failed other than for space: every later one fails.
    failed: bool,
    _claim: Arc<()>,
}

impl SimWriter {
    fn expect_sound(&self) -> Result<(), Failure> {
        if self.failed {
            return Err(Failure::bug("log", "an earlier call has failed"));
        }
        Ok(())
    }

    /// What is reached behind pieces, which must follow what was reached before.
    fn behind(&self, pieces: &[Piece]) -> Result<Bookmark, Failure> {
        let mut reached = self.reached.clone();
        for piece in pieces.iter().filter(|piece| piece.last) {
            let wrong = |cause: String| Failure::bug("log", cause);
            let witness = Witness::parse(&piece.transaction).map_err(|error| wrong(error.to_string()))?;
            reached
                .advance(witness)
                .map_err(|error| wrong(error.to_string()))?;
        }
        Ok(reached)
    }
}

impl ChangeLogWriter for SimWriter {
    async fn append(&mut self, pieces: &mut [Piece]) -> Result<(), Failure> {
        self.expect_sound()?;
        let reached = self.behind(pieces).inspect_err(|_| self.failed = true)?;
        self.log.0.step().await;
        let mut world = self.log.0.lock();
        if world.fails(5) {
            world.count("log at its budget");
            let class = Class::Retry { after: None };
            return Err(Failure::new(
                code::LOG_BUDGET,
                class,
                "log",
                "it is at its budget",
            ));
        }
        let log = world.log.as_mut().unwrap();
        for piece in pieces {
            piece.sequence = Sequence(log.next);
            piece.number = log.open.map_or(0, |number| number + 1);
            log.open = Some(piece.number);
            if piece.last {
                log.open = None;
                log.next += 1;
            }
            log.pieces.push(piece.clone());
        }
        self.reached = reached;
        Ok(())
    }

    async fn abandon(&mut self) -> Result<(), Failure> {
        self.expect_sound()?;
        let abandoned = self.log.with(|log| {
            let open = log.open.take().is_some();
            while log.pieces.last().is_some_and(|piece| !piece.last) {
                log.pieces.pop();
            }
            log.durable = log.durable.min(log.pieces.len());
            log.next += u64::from(open);
            open
        });
        if abandoned {
            self.log.0.lock().count("transaction abandoned");
        }
        Ok(())
    }

    async fn sync(&mut self) -> Result<Sequence, Failure> {
        self.expect_sound()?;
        let shared = &self.log.0;
        shared.step().await;
        self.log.with(|log| {
            log.durable = log.pieces.len();
            log.next_durable = log.next;
        });
        copy_log(&mut shared.lock());
        shared.durable.send_modify(|version| *version += 1);
        shared.step().await;
        Ok(self.log.usage().durable)
    }
}

pub(crate) struct SimReader {
    log: SimLog,
    next: (u64, u32),
    /// Whether it has brought a part of a transaction.
    is_open: bool,
}

impl SimReader {
    fn peek(&self) -> Option<Piece> {
        self.log.with(|log| {
            let durable = log.complete().next_back()?.sequence;
            let next = self.next;
            let mut pieces = log.pieces.iter();
            pieces
                .find(|piece| (piece.sequence.0, piece.number) >= next && piece.sequence <= durable)
                .cloned()
        })
    }
}

impl ChangeLogReader for SimReader {
    async fn try_next(&mut self) -> Result<Option<Piece>, Failure> {
        let piece = self.peek();
        if let Some(piece) = &piece {
            if self.is_open && piece.sequence.0 != self.next.0 {
                self.log.expect_kept(Sequence(self.next.0))?;
                let class = Class::StopMigration;
                return Err(Failure::new(
                    code::LOG_CORRUPT,
                    class,
                    "log",
                    "it was trimmed under a reader",
                ));
            }
            self.is_open = !piece.last;
            self.next = (piece.sequence.0, piece.number + 1);
            if piece.last {
                self.log.with(|log| log.read = log.read.max(piece.sequence));
            }
        }
        Ok(piece)
    }

    async fn readable(&mut self) -> Result<(), Failure> {
        let mut durable = self.log.0.durable.subscribe();
        while self.peek().is_none() {
            durable.changed().await.unwrap();
        }
        Ok(())
    }
}
