//! The simulated world: one source history, one log, one target, and the seed that decides what
//! goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use crate::random::Random;
use spanferry_core::port::target::TablePhase;
use spanferry_core::position::{Agreement, Bookmark, ContentDigest, Position, Witness, Witnesses};
use tokio::sync::watch;

use crate::LIMITS;
use crate::backward::lag;
use crate::bulk::Bulk;
use crate::catalog::CatalogChanges;
use crate::history::History;
use crate::log::LogState;
use crate::rewound::rewind_unseen;
use crate::target::TargetState;

/// A wrong variant, expressed by a switch in the fakes: each must be caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Load commits are not fenced.
    NoLoadFence,
    /// Load commits are fenced by their epoch alone.
    EpochOnly,
    /// `low` is taken again after a restart.
    LowReadAgain,
    /// The source reports `low` as `high`.
    HighIsLow,
    /// `high` is kept from an earlier attempt.
    HighKept,
    /// The source is said to hold whatever a snapshot saw.
    HoldsAnything,
    /// The source is recognised by its numbers alone.
    NumbersOnly,
    /// A stream is recognised by its numbers alone.
    StreamByNumbers,
    /// What is claimed of the source is proved by its numbers alone.
    ClaimByNumbers,
    /// A range that was read whole is recorded although it has refused rows.
    RefusedRangeRecorded,
    /// Of several groups that a commit stops only the first is recorded.
    OneStopACommit,
    /// The log is trimmed by one transaction too many: as if the watermark sent were too high.
    TrimsOneMore,
    /// The log is trimmed up to what was read: as if the watermark were sent before its commit.
    TrimsWhatIsRead,
    /// A loaded table joins the main stream inside a cut transaction.
    JoinsInsideCut,
    /// The target takes a commit above its limit.
    LargeIsTaken,
    /// An insert replaces a row that is there.
    InsertOverwrites,
    /// No task learns which transactions are prepared, and which are committed later.
    PreparedUnseen,
    /// A scan leaves what an earlier batch brought.
    BatchKept,
    /// A scan brings its rows in the reverse order.
    ScanFalls,
    /// A scan behind a key begins with the row that has this key.
    ScanBeginsAtKey,
    /// A scan behind a key leaves the first row out.
    ScanSkipsRow,
    /// A scan at a timestamp reads the present.
    ScanReadsPresent,
    /// The main stream continues from the checkpoint that was read before the epoch was taken.
    CheckpointBefore,
    /// The record is used as it was read before the epoch was taken.
    RecordBefore,
    /// What tables are built from is decided again at each start.
    PlanDecidedAgain,
    /// The key of a table is chosen again at each start.
    KeyChosenAgain,
    /// Changes of a cut transaction are counted over the tables that are there and selected.
    CountSelected,
    /// An older copy of the change log is taken for the log.
    OldLogIsTaken,
    /// What a snapshot has seen is recognised by its numbers alone.
    HighUnwitnessed,
    /// What was sent counts as acknowledged, before it is durable in the change log.
    AcknowledgedEarly,
    /// How far a range is, is not recorded by the commit that brings its rows.
    BegunForgotten,
    /// The source breaks its contract.
    Source(SourceFault),
}

/// A source that breaks its contract: each fault must be caught by the suite of the source traits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceFault {
    /// `position` lacks the last transaction that was committed.
    PositionBehind,
    /// A boundary lies one row too low.
    BoundaryLow,
    /// The lower end of a range is part of it.
    RangeInclusive,
    /// `read` leaves what the last call brought.
    RowsKept,
    /// `read` brings all rows at once.
    SizesIgnored,
    /// Every second range is read backwards.
    OrderTurns,
    /// A refused row is passed over.
    RefusedPassedOver,
    /// A refused row is passed over, unless it is in the last range of its table.
    RefusedOfLastRangeOnly,
    /// A changed row that is refused is passed over.
    RefusedChangePassedOver,
    /// A lost session ends its range as if it were whole.
    LostIsEnd,
    /// A session sees what is committed after it was opened.
    SessionMovesOn,
    /// A session sees the first change of the next transaction.
    SessionPartial,
    /// A snapshot that is given up while it opens keeps its lock.
    LockKept,
    /// A snapshot opens over tables that have changed.
    ChangedIsOpened,
    /// The stream begins with the last transaction that the position contains.
    OneTwice,
    /// The stream begins behind the first transaction that it should bring.
    OneMissed,
    /// A history is taken for the known one though it shows another transaction in its place.
    OtherIsSame,
    /// A history is taken for the known one though it can show it no longer.
    ForgottenIsProof,
    /// The last transaction but one is taken for the last.
    BookmarkIsOld,
    /// A call of `next` that is dropped takes a piece with it.
    CallLosesPiece,
    /// A stream is opened though what it should bring is forgotten.
    ForgottenIsOpened,
    /// A stream is opened behind a position that the source does not hold.
    StrangerIsOpened,
    /// A stream that is cut brings nothing more, and does not say so.
    CutIsQuiet,
    /// A decoder hands on nothing of the first transaction that it sees.
    DecoderNeedsPast,
    /// A row that moves leaves itself behind.
    MovedIsKept,
    /// A statement that empties a table is passed over.
    TruncatePassedOver,
    /// A range ends after a few rows, as if the server had a limit of its own.
    RowsCut,
    /// The last column is read as another value.
    Misread,
    /// The witness counts one row more than there is.
    WitnessCountsOff,
    /// The witness says nothing against any row.
    WitnessIsBlind,
    /// The witness's position lacks the last transaction that it may have seen.
    WitnessIsBehind,
}

/// What a witness of the source was asked, by table where it is about one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Columns,
    Count(usize),
    Compare(usize),
    Position,
}

/// What an administrator has done to the source. Nothing of it happens in a run of the engine.
#[derive(Debug, Default)]
pub(crate) struct Administration {
    /// Tables whose last column is another than at first.
    pub(crate) altered: BTreeSet<usize>,
    /// A table that was not there at first.
    pub(crate) created: Option<&'static str>,
    /// Statements on each table, none of which a session's view of it outlives.
    pub(crate) statements: [u64; 4],
    /// How often every connection was cut.
    pub(crate) cuts: u64,
    /// How many transactions are forgotten.
    pub(crate) purged: usize,
    /// Read locks that are held.
    pub(crate) locks: u64,
    /// A column of a table that the target's catalog lacks.
    pub(crate) hidden_at_target: Option<(&'static str, &'static str)>,
}

/// What the source keeps of its history for the migration.
#[derive(Debug, Default)]
pub(crate) struct Reservation {
    pub(crate) is_made: bool,
    pub(crate) is_released: bool,
    /// Whether what is acknowledged is forgotten at once. Otherwise the source keeps more than it
    /// must.
    pub(crate) forgets: bool,
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) mutant: Option<Mutant>,
    /// Whether source and target are asked for their contracts alone: nothing goes wrong by itself,
    /// no history explains the target's rows, and the source brings as much at a time as it is
    /// asked for.
    pub(crate) bare: bool,
    /// Alive while the change log has a writer.
    pub(crate) log_writer: Weak<()>,
    /// The rows that are loaded without a stream, in the worlds of `bulk`.
    pub(crate) bulk: Option<Bulk>,
    /// Whether one table has another shape at the target.
    pub(crate) is_mapped: bool,
    pub(crate) administration: Administration,
    /// What the administrator changes between two processes of a run.
    pub(crate) catalog: CatalogChanges,
    pub(crate) history: History,
    /// Transactions that the source has committed.
    pub(crate) committed: usize,
    /// How many transactions the stream has brought whole: a failover keeps those.
    pub(crate) received: usize,
    /// Whether the source is to fail over in this run.
    pub(crate) fails_over: bool,
    /// How often a replica that lags is still to take the source's place in this run.
    pub(crate) lags: u64,
    /// Where the history of the server that took over begins to be its own.
    pub(crate) fork: Option<usize>,
    /// Whether the source is to be rewound in this run, and to continue under the numbers that it
    /// has lost.
    pub(crate) rewinds: bool,
    /// Whether it waits with that until a table is complete.
    pub(crate) rewinds_late: bool,
    /// Whether it is to be rewound to a place that a snapshot has seen and that was not captured
    /// yet.
    pub(crate) rewinds_unseen: bool,
    /// How much of the history it was rewound to.
    pub(crate) rewound: Option<usize>,
    /// Whether streams stay open over the rewinding, and bring nothing more.
    pub(crate) is_quiet: bool,
    /// Lowest and highest position of the sessions of the present attempt.
    pub(crate) sessions: (usize, usize),
    /// The source commits its next transaction right behind this answer.
    pub(crate) commits_behind: Option<Look>,
    pub(crate) reservation: Reservation,
    /// Whether all sessions of a snapshot open on one exported state.
    pub(crate) exports: bool,
    pub(crate) log: Option<LogState>,
    /// A copy that was made of it.
    pub(crate) log_copy: Option<LogState>,
    pub(crate) target: TargetState,
    /// Durable steps until the process dies.
    pub(crate) crash_in: Option<u64>,
    /// How often the process may die at once where a table is loaded while the main stream stands
    /// inside a transaction.
    pub(crate) crashes_inside_cuts: u64,
    pub(crate) violations: Vec<String>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl World {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// A process neither ends nor dies.
    pub(crate) fn stuck(&mut self) {
        let control = self.target.control.as_ref();
        let fences = control.map(|control| &control.fences);
        let tables = control.map(|control| &control.tables);
        let text = format!("stuck: {} committed, {fences:?}, {tables:?}", self.committed);
        self.violations.push(text);
    }

    /// Another server takes over. It lacks transactions that were committed and visible, but none
    /// that the stream has brought.
    fn fail_over(&mut self) {
        let lost = self.committed - self.received.min(self.committed);
        let kept = self.committed - usize::try_from(self.random.below(lost as u64 + 1)).unwrap();
        self.fails_over = false;
        self.fork = Some(kept);
        self.count(if kept < self.committed {
            "failover with loss"
        } else {
            "failover"
        });
        self.committed = kept;
        self.history.fork(&mut self.random, kept);
    }

    fn is_rewound_now(&mut self) -> bool {
        let tables = self.target.control.as_ref().map(|control| &control.tables);
        let mut rows = tables.into_iter().flat_map(|tables| tables.values());
        let is_complete = rows.any(|row| row.phase == TablePhase::Constrained);
        self.rewinds && (is_complete || !self.rewinds_late) && self.random.chance(2)
    }

    /// A backup is restored, or the machine rolled back: what was committed since is lost, and its
    /// numbers are given out again.
    fn rewind(&mut self) {
        let lost = usize::try_from(self.random.below(6)).unwrap();
        let known = self.known();
        let kept = self.committed.min(known).saturating_sub(1 + lost);
        self.rewinds = false;
        // A server that resets its log keeps its streams open. One whose data goes back is
        // restarted, which cuts them.
        self.is_quiet = self.log.is_some() && self.random.chance(50);
        self.count("rewound");
        self.rewind_to(kept);
    }

    /// The source goes back to its first `kept` transactions, and continues from there in another
    /// way.
    pub(crate) fn rewind_to(&mut self, kept: usize) {
        self.rewound = Some(kept);
        self.administration.cuts += 1;
        self.committed = kept;
        self.received = self.received.min(kept);
        self.administration.purged = self.administration.purged.min(kept);
        self.history.fork(&mut self.random, kept);
    }

    /// The position after `number` transactions.
    pub(crate) fn position(&self, number: usize) -> Position {
        Position::parse(&format!("mariadb:{}", self.transaction(number))).unwrap()
    }

    /// The identity of the transaction with a number from 1.
    pub(crate) fn transaction(&self, number: usize) -> String {
        let server = if self.fork.is_some_and(|kept| number > kept) {
            2
        } else {
            1
        };
        format!("0-{server}-{number}")
    }

    /// The last transaction that is surely known, also if the log is lost: the last that was
    /// applied.
    fn known(&self) -> usize {
        let fences = self.target.control.as_ref().map(|control| &control.fences);
        let mut rows = fences.into_iter().flat_map(|fences| fences.values());
        let reached = rows.find_map(|fence| fence.reached.as_ref());
        reached.map_or(usize::MAX, |reached| number_of(&reached.position.to_string()))
    }

    /// The transaction with a number from 1, with what proves it.
    pub(crate) fn witness(&self, number: usize) -> Witness {
        let mut witness = Witness::parse(&self.transaction(number)).unwrap();
        witness.committed_at_us = self.history.stamps[number - 1];
        witness.content = Some(ContentDigest(witness.committed_at_us * 1_000));
        witness
    }

    /// The position after `number` transactions, with the last of them.
    pub(crate) fn bookmark(&self, number: usize) -> Bookmark {
        let mut witnesses = Witnesses::default();
        if (1..=self.history.stamps.len()).contains(&number) {
            witnesses.push(self.witness(number));
        }
        Bookmark {
            position: self.position(number),
            witnesses,
        }
    }

    /// Whether a transaction is part of the source's history.
    pub(crate) fn has_committed(&self, witness: &Witness) -> bool {
        let number = transaction_number(&witness.to_string());
        (1..=self.committed).contains(&number)
            && self.witness(number).compare(witness) != Agreement::Different
    }

    /// Whether the source's history led to a position.
    pub(crate) fn holds(&self, position: &Position) -> bool {
        let Position::Mariadb(gtids) = position else {
            return false;
        };
        let number = usize::try_from(gtids.sequence(0)).unwrap();
        number <= self.committed && self.position(number) == *position
    }

    /// The source is asked to keep its history.
    pub(crate) fn reserve(&mut self) {
        self.reservation.is_made = true;
        self.reservation.is_released = false;
    }

    /// The source need not keep its history any more.
    pub(crate) fn release(&mut self) {
        self.reservation.is_released = true;
    }

    /// Whether what a stream asks for was given up.
    pub(crate) fn is_released(&self) -> bool {
        self.reservation.is_released
    }

    /// A migration must not begin at a position behind which the source may forget.
    pub(crate) fn expect_reservation(&mut self) {
        if !self.bare && !self.reservation.is_made {
            let text = "the change log begins before the source's history is reserved";
            self.violations.push(text.into());
        }
    }

    /// The engine has no need of the first `number` transactions any more; the stream has brought
    /// `sent`.
    pub(crate) fn acknowledge(&mut self, number: usize, sent: usize) {
        let durable = self
            .log
            .as_ref()
            .map(|log| number_of(&log.end().position.to_string()));
        if !self.bare && durable.is_none_or(|durable| number > durable) {
            let text = format!("{number} is acknowledged, the change log holds {durable:?}");
            self.violations.push(text);
        }
        if self.reservation.forgets {
            let is_early = self.mutant == Some(Mutant::AcknowledgedEarly);
            let number = if is_early { number.max(sent) } else { number };
            // The last one stays: the source is recognised by it.
            self.administration.purged = self.administration.purged.max(number.saturating_sub(1));
            self.count("acknowledged and forgotten");
        }
    }

    /// What a connection is one to: it ends with its server, or when it is cut.
    pub(crate) fn line(&self) -> (Option<usize>, u64) {
        (self.fork, self.administration.cuts)
    }

    /// Whether the source has this fault.
    pub(crate) fn has(&self, fault: SourceFault) -> bool {
        self.mutant == Some(Mutant::Source(fault))
    }

    /// Whether a history explains the target's rows.
    pub(crate) fn has_history(&self) -> bool {
        !self.bare && self.bulk.is_none()
    }

    /// Most bytes of one commit.
    pub(crate) fn commit_bytes_max(&self) -> usize {
        let bulk = self.bulk.as_ref();
        bulk.map_or(LIMITS.bytes_max, |bulk| bulk.commit_bytes_max)
    }

    /// How much the source brings when so much is asked for: less, so that little makes many parts,
    /// unless it is held to its contract.
    pub(crate) fn part(&mut self, asked: usize, low: u64, high: u64) -> usize {
        if self.bare {
            return asked;
        }
        let drawn = self.random.between(low, high);
        asked.min(usize::try_from(drawn).unwrap())
    }

    /// Whether something goes wrong, in `percent` of 100 cases.
    pub(crate) fn fails(&mut self, percent: u64) -> bool {
        !self.bare && self.random.chance(percent)
    }

    /// A witness has answered.
    pub(crate) fn answered(&mut self, look: Look) {
        if self.commits_behind == Some(look) {
            self.commits_behind = None;
            self.committed += 1;
        }
    }

    /// The source commits up to `most` more transactions.
    pub(crate) fn advance(&mut self, most: u64) {
        if self.administration.locks > 0 {
            return;
        }
        let more = usize::try_from(self.random.below(most + 1)).unwrap();
        self.committed = (self.committed + more).min(self.history.transactions.len());
    }
}

/// A handle on the world; clones share it.
#[derive(Clone)]
pub(crate) struct Shared {
    world: Arc<Mutex<World>>,
    pub(crate) crashed: watch::Sender<bool>,
    /// Moves whenever the log's durable mark does.
    pub(crate) durable: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(world: World) -> Shared {
        Shared {
            world: Arc::new(Mutex::new(world)),
            crashed: watch::Sender::new(false),
            durable: watch::Sender::new(0),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// A point between two durable steps: time passes, others run, and the process may die here.
    pub(crate) async fn step(&self) {
        let (delay, dies) = {
            let mut world = self.lock();
            if world.random.chance(30) {
                world.advance(2);
            }
            if world.fails_over && world.random.chance(3) {
                world.fail_over();
            }
            if world.is_rewound_now() {
                world.rewind();
            }
            rewind_unseen(&mut world);
            lag(&mut world);
            let delay = world.random.below(12);
            let dies = match &mut world.crash_in {
                Some(0) => true,
                Some(left) => {
                    *left -= 1;
                    false
                }
                None => false,
            };
            (delay, dies)
        };
        if dies || *self.crashed.borrow() {
            self.crashed.send_replace(true);
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
}

/// The number of transactions that a position contains.
pub(crate) fn number_of(position: &str) -> usize {
    position.rsplit('-').next().unwrap().parse().unwrap()
}

pub(crate) fn transaction_number(text: &str) -> usize {
    let id = Witness::parse(text).unwrap().id;
    number_of(&id.to_string())
}
