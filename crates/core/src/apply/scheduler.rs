//! The apply machine: decides what is folded, committed, caught up, joined and stopped, and in
//! which order.
//!
//! It does no I/O and knows no clock. Its owner asks `poll` what to do next, does that, and reports
//! the outcome; time comes in as an argument. One thing is under way at a time: while a batch
//! catches up, the main stream stands still at a window boundary `W`; the batch joins exactly
//! there, and is durable as joined before `W + 1` is applied (docs/design/hand-off.md, steps 9 to
//! 12).

use std::sync::Arc;
use std::time::Duration;

use crate::plan::{GroupId, TableId, TablePlan};
use crate::port::change_log::Sequence;
use crate::port::target::{FenceKey, Lane, Rejection, TableMutations, TablePhase};
use crate::position::Bookmark;
use crate::position::checkpoint::Checkpoint;
use crate::report::failure::Failure;

use super::action::{Action, GaveWay, Obstacle, Proposal, Seen, StreamId, Tick, Work};
use super::batch::Batch;
use super::main_stream::MainStream;
use super::search::{Search, Step};
use super::table_states::{TableState, TableStates};
use super::verdict::{misplaced, rejected_change, rejects_control};
use super::window::{TableFilter, Window, WindowBuilder, WindowLimits};

/// How long the watermark may stay behind transactions that change no migrated row.
pub(crate) const ADVANCE_INTERVAL: Duration = Duration::from_secs(1);

/// What is under way: its answer is awaited.
#[derive(Debug)]
enum Asked {
    Nothing,
    Open,
    LogReached,
    LogStarts,
    /// The commit of a window; its rows are with the owner.
    Window(StreamId, Box<Window>),
    /// The commit of the rows that some groups have in a rejected window.
    Trial(Vec<GroupId>),
    /// The stop of a group whose rows were rejected.
    Stop(GroupId),
    Join(Vec<TableId>),
    GiveWay,
}

/// What the machine begins with.
#[derive(Debug)]
pub struct Start {
    /// All tables whose changes are counted, by id: those of the migration, then those that it has
    /// given up.
    pub tables: Arc<[Arc<TablePlan>]>,
    /// The states of the migration's tables, by id.
    pub states: Vec<TableState>,
    /// Bounds of windows.
    pub limits: WindowLimits,
    /// The main lane's fence key.
    pub key: FenceKey,
    /// What is reached at `key`.
    pub reached: Checkpoint,
    /// Now.
    pub now: Tick,
}

/// The apply machine.
#[derive(Debug)]
pub struct Scheduler {
    tables: Arc<[Arc<TablePlan>]>,
    states: TableStates,
    limits: WindowLimits,
    main: MainStream,
    batch: Option<Batch>,
    search: Option<Search>,
    asked: Asked,
}

impl Scheduler {
    /// A machine that continues where the fence stands.
    pub fn new(start: Start) -> Scheduler {
        Scheduler {
            states: TableStates::new(start.states),
            main: MainStream::new(start.key, start.reached, start.now),
            tables: start.tables,
            limits: start.limits,
            batch: None,
            search: None,
            asked: Asked::Nothing,
        }
    }

    /// A table's state has changed. It counts from the next transaction on.
    pub fn table_changed(&mut self, table: TableId, state: TableState) {
        self.states.set(table, state);
    }

    /// An open stream; the caller gives it what its pieces hold.
    pub fn stream_mut(&mut self, stream: StreamId) -> &mut WindowBuilder {
        let builder = match stream {
            StreamId::Main => self.main.builder.as_mut(),
            StreamId::CatchUp => self.batch.as_mut().and_then(|batch| batch.builder.as_mut()),
        };
        builder.expect("the stream was opened")
    }

    /// What the main stream has reached.
    pub fn reached(&self) -> &Checkpoint {
        &self.main.reached
    }

    /// The sequence up to which the main stream is read.
    pub fn read_up_to(&self) -> Sequence {
        let builder = self.main.builder.as_ref();
        builder.map_or(self.main.key.sequence, WindowBuilder::sequence)
    }

    /// What is to be done next.
    pub fn poll(&mut self, now: Tick) -> Result<Action, Failure> {
        assert!(
            matches!(self.asked, Asked::Nothing),
            "the last action is answered first: {:?}",
            self.asked
        );
        loop {
            let action = if let Some(search) = &self.search {
                let step = search.step();
                self.next_of_search(step)
            } else if self.main.builder.is_none() {
                Some(self.open_main())
            } else if self.batch.is_some() {
                self.next_of_batch()
            } else {
                self.next_of_main(now)?
            };
            if let Some(action) = action {
                return Ok(action);
            }
        }
    }

    /// Answers `Open`.
    pub fn opened(&mut self) {
        assert!(
            matches!(self.asked, Asked::Open),
            "no stream was asked for: {:?}",
            self.asked
        );
        self.asked = Asked::Nothing;
    }

    /// Answers `Read`: nothing is readable now.
    pub fn at_end(&mut self, stream: StreamId) {
        assert!(
            !self.stream_mut(stream).is_open(),
            "a transaction is readable whole, or not at all"
        );
        match (stream, &mut self.batch) {
            (StreamId::CatchUp, Some(batch)) => batch.at_end = true,
            (StreamId::CatchUp | StreamId::Main, _) => self.main.at_end = true,
        }
    }

    /// Answers `AskReached`.
    ///
    /// The watermark's sequence and position must name the same place before a batch joins: not so
    /// while a log that was begun again repeats what is applied. A batch catches up to the
    /// sequence, and the main stream continues behind the position (docs/design/hand-off.md, step
    /// 9).
    pub fn log_reached(&mut self, held: &Bookmark) -> Result<(), Failure> {
        assert!(matches!(self.asked, Asked::LogReached), "it was not asked");
        self.asked = Asked::Nothing;
        let applied = &self.main.reached.position;
        self.main.aligned = held.position.contains_all(applied).map_err(misplaced)?;
        Ok(())
    }

    /// Answers `AskStarts`: for each position, a sequence below which it contains every
    /// transaction, and what was reached just before that sequence.
    pub fn log_starts(&mut self, starts: Vec<(Sequence, Bookmark)>) -> Result<(), Failure> {
        assert!(matches!(self.asked, Asked::LogStarts), "it was not asked");
        self.asked = Asked::Nothing;
        let batch = self.batch.as_mut().expect("a batch asks for its start");
        batch.begins_at(starts)
    }

    /// Answers `Commit`: it happened.
    pub fn committed(&mut self) {
        match std::mem::replace(&mut self.asked, Asked::Nothing) {
            Asked::Window(stream, window) => {
                window.stops.iter().for_each(|stop| self.stop(stop.group));
                if stream == StreamId::Main {
                    self.main.advance(*window);
                }
            }
            Asked::Trial(groups) => self.search_mut().taken(&groups),
            Asked::Stop(group) => {
                self.stop(group);
                self.end_search();
            }
            Asked::Join(tables) => {
                for table in tables {
                    if self.states.phase(table) == Some(TablePhase::Loaded) {
                        self.states.set_phase(table, TablePhase::Joined);
                    }
                }
                self.batch = None;
            }
            asked
            @ (Asked::Nothing | Asked::Open | Asked::LogReached | Asked::LogStarts | Asked::GiveWay) => {
                unreachable!("no commit is under way: {asked:?}")
            }
        }
    }

    /// Answers `Commit`: the target rejects it for good. `rest` is what has not happened of its
    /// rows: all of them on the main lane; on a lane that counts its commits, parts of it may have
    /// happened before.
    pub fn rejected(&mut self, rejection: Rejection, rest: Vec<TableMutations>) -> Result<(), Failure> {
        match std::mem::replace(&mut self.asked, Asked::Nothing) {
            Asked::Window(stream, window) if !rest.is_empty() => {
                let window = Window {
                    data: rest,
                    ..*window
                };
                let is_smallest = match stream {
                    StreamId::Main => self.main.rejected(&rejection, &window, self.limits),
                    StreamId::CatchUp => true,
                };
                if is_smallest {
                    self.search = Some(Search::new(stream, window, rejection));
                }
                Ok(())
            }
            Asked::Trial(groups) => {
                self.search_mut().rejected(groups, rejection);
                Ok(())
            }
            Asked::Window(..) | Asked::Stop(_) | Asked::Join(_) => Err(rejects_control(rejection)),
            asked
            @ (Asked::Nothing | Asked::Open | Asked::LogReached | Asked::LogStarts | Asked::GiveWay) => {
                unreachable!("no commit is under way: {asked:?}")
            }
        }
    }

    /// Answers `GiveWay`.
    pub fn gave_way(&mut self, outcome: GaveWay) {
        assert!(matches!(self.asked, Asked::GiveWay), "it was not asked");
        self.asked = Asked::Nothing;
        match outcome {
            // The main stream has not moved, and reads the transaction again.
            GaveWay::Yes => self.search = None,
            GaveWay::No => self.search_mut().no_way(),
        }
    }

    fn search_mut(&mut self) -> &mut Search {
        self.search.as_mut().expect("a search is under way")
    }

    /// Marks a group as stopped: no stream takes its changes from the next transaction on, and none
    /// of its rows are sent.
    fn stop(&mut self, group: GroupId) {
        for plan in self.tables.iter().filter(|plan| plan.group == group) {
            if self.states.phase(plan.id).is_some() {
                self.states.set_phase(plan.id, TablePhase::Stopped);
            }
        }
    }

    /// A search has ended with a stop. The main stream reads the transaction again, without the
    /// group; a batch sends what is left of the window.
    fn end_search(&mut self) {
        let search = self.search.take().expect("a search is under way");
        if search.origin == StreamId::CatchUp {
            let batch = self.batch.as_mut().expect("a batch catches up");
            batch.window = Some(search.window);
        }
    }

    fn next_of_search(&mut self, step: Step) -> Option<Action> {
        match step {
            Step::Try(groups) => {
                let proposal = self.trial(&groups);
                self.asked = Asked::Trial(groups);
                Some(commit(proposal))
            }
            Step::GiveWay(group) => {
                let search = self.search_mut();
                let obstacle = Obstacle {
                    group,
                    written: search.written(group),
                    rejection: search.rejection.clone(),
                };
                self.asked = Asked::GiveWay;
                Some(Action::GiveWay(obstacle))
            }
            Step::Stop(group) => {
                let search = self.search.as_ref().expect("a search is under way");
                let stop = rejected_change(search, group, &self.tables);
                self.asked = Asked::Stop(group);
                Some(commit(Proposal {
                    stops: vec![stop],
                    ..Proposal::counted(Vec::new())
                }))
            }
            Step::NoGroup => {
                // The target has taken every group's rows by now: what is left is to say so.
                let search = self.search.take().expect("a search is under way");
                let window = Window {
                    data: Vec::new(),
                    ..search.window
                };
                self.propose(search.origin, window)
            }
        }
    }

    /// The commit of the rows that some groups have in a rejected window.
    fn trial(&self, groups: &[GroupId]) -> Proposal {
        let search = self.search.as_ref().expect("a search is under way");
        let seen = match search.origin {
            StreamId::Main => Some(Seen {
                transaction: search.transaction().clone(),
                groups: groups.to_vec(),
            }),
            StreamId::CatchUp => None,
        };
        Proposal {
            seen,
            ..Proposal::counted(search.rows_of(groups))
        }
    }

    fn open_main(&mut self) -> Action {
        let limits = self.main.limits(self.limits);
        let (reached, key) = (self.main.reached.clone(), self.main.key);
        let mut builder = WindowBuilder::new(&self.tables, limits, reached, key.sequence, key.epoch);
        for table in self.states.flowing() {
            builder.set_filter(table, self.filter(table));
        }
        self.main.builder = Some(builder);
        self.main.at_end = false;
        self.open(StreamId::Main, key.sequence.next())
    }

    fn open(&mut self, stream: StreamId, first: Sequence) -> Action {
        self.asked = Asked::Open;
        Action::Open { stream, first }
    }

    /// How a table takes part in the main stream.
    fn filter(&self, table: TableId) -> TableFilter {
        if self.states.flows(table) {
            let after = self.states.low(table).cloned();
            TableFilter::Apply { after }
        } else {
            TableFilter::Ignore
        }
    }

    /// Lets the streams know which tables have joined or stopped. Only between transactions.
    fn apply_changes(&mut self) {
        for table in self.states.take_changed() {
            let filter = self.filter(table);
            let is_stopped = self.states.is_stopped(table);
            let catch_up = self.batch.as_mut().and_then(|batch| batch.builder.as_mut());
            if let Some(builder) = catch_up.filter(|_| is_stopped) {
                builder.set_filter(table, TableFilter::Ignore);
            }
            if let Some(builder) = &mut self.main.builder {
                builder.set_filter(table, filter);
            }
        }
    }

    /// The commit of a window, without rows of groups that have stopped meanwhile. None if nothing
    /// is to be said.
    fn propose(&mut self, stream: StreamId, mut window: Window) -> Option<Action> {
        let mut data = std::mem::take(&mut window.data);
        data.retain(|mutations| !self.states.is_stopped(mutations.table.id));
        let proposal = match stream {
            StreamId::Main => Proposal {
                lane: Lane::MAIN,
                next: Some(self.main.next(&window)),
                stops: window.stops.clone(),
                work: Work {
                    transactions: window.transactions,
                    changes: window.changes,
                    committed_at_us: window.committed_at_us,
                },
                ..Proposal::counted(data)
            },
            StreamId::CatchUp if data.is_empty() && window.stops.is_empty() => return None,
            StreamId::CatchUp => Proposal {
                stops: window.stops.clone(),
                ..Proposal::counted(data)
            },
        };
        self.asked = Asked::Window(stream, Box::new(window));
        Some(commit(proposal))
    }

    fn next_of_main(&mut self, now: Tick) -> Result<Option<Action>, Failure> {
        let builder = self.main.builder.as_mut().expect("the main stream is open");
        if let Some(window) = builder.take_ready() {
            return Ok(self.propose(StreamId::Main, window));
        }
        if builder.is_open() {
            return Ok(Some(read(StreamId::Main, Sequence(u64::MAX))));
        }
        self.apply_changes();
        self.main.fold_again(self.limits);
        if self.main.may_be_joined() && !self.states.loaded().is_empty() {
            if self.main.aligned {
                return self.begin_batch(now);
            }
            // The log is asked once for each place of the watermark: it reads a segment for the
            // answer.
            let at = self.main.key.sequence;
            if self.main.asked_at.replace(at) != Some(at) {
                self.asked = Asked::LogReached;
                return Ok(Some(Action::AskReached { at }));
            }
        }
        Ok(self.flush_or_read(now))
    }

    /// Commits what the fold holds if it is due, reads on, or waits.
    fn flush_or_read(&mut self, now: Tick) -> Option<Action> {
        let builder = self.main.builder.as_mut().expect("the main stream is open");
        let due = self.main.advanced_at.after(ADVANCE_INTERVAL);
        let is_pending = builder.is_pending();
        if is_pending && (now >= due || (self.main.at_end && builder.has_data())) {
            return self.flush(now);
        }
        if !self.main.at_end {
            return Some(read(StreamId::Main, Sequence(u64::MAX)));
        }
        self.main.at_end = false;
        Some(Action::Wait {
            until: is_pending.then_some(due),
        })
    }

    /// Commits the next part of what the fold holds; the watermark then stands at the last
    /// transaction that was read.
    fn flush(&mut self, now: Tick) -> Option<Action> {
        self.main.advanced_at = now;
        let builder = self.main.builder.as_mut().expect("the main stream is open");
        let window = builder.take_now()?;
        self.propose(StreamId::Main, window)
    }

    /// All loaded tables catch up, once everything that was read is committed.
    fn begin_batch(&mut self, now: Tick) -> Result<Option<Action>, Failure> {
        if let Some(flush) = self.flush(now) {
            return Ok(Some(flush));
        }
        let end = self.main.key.sequence;
        assert_eq!(
            end,
            self.read_up_to(),
            "a batch joins where the main stream stands"
        );
        let batch = Batch::new(&self.states, end)?;
        let lows = batch.lows.clone();
        self.batch = Some(batch);
        self.asked = Asked::LogStarts;
        Ok(Some(Action::AskStarts { lows }))
    }

    fn next_of_batch(&mut self) -> Option<Action> {
        let batch = self.batch.as_mut().expect("a batch catches up");
        let (end, has_tables) = (batch.end, batch.has_tables(&self.states));
        let Some(builder) = &mut batch.builder else {
            return Some(self.open_batch());
        };
        if let Some(window) = batch.window.take().or_else(|| builder.take_ready()) {
            return self.propose(StreamId::CatchUp, window);
        }
        if !has_tables {
            // All have stopped: nothing holds the log for them any more.
            self.batch = None;
            return None;
        }
        if builder.is_open() {
            return Some(read(StreamId::CatchUp, end));
        }
        if !batch.at_end && builder.sequence() < end {
            self.apply_changes();
            return Some(read(StreamId::CatchUp, end));
        }
        if let Some(window) = builder.take_now() {
            return self.propose(StreamId::CatchUp, window);
        }
        let joins = batch.tables.clone();
        self.asked = Asked::Join(joins.clone());
        Some(commit(Proposal {
            joins,
            ..Proposal::counted(Vec::new())
        }))
    }

    fn open_batch(&mut self) -> Action {
        let batch = self.batch.as_mut().expect("a batch catches up");
        let (first, before) = batch.start.take().expect("the log was asked where it begins");
        let after = Sequence(first.0 - 1);
        let (reached, epoch) = (Checkpoint::whole(before), self.main.key.epoch);
        let mut builder = WindowBuilder::new(&self.tables, self.limits, reached, after, epoch);
        for table in &batch.tables {
            let after = self.states.low(*table).cloned();
            builder.set_filter(*table, TableFilter::Apply { after });
        }
        batch.builder = Some(builder);
        self.open(StreamId::CatchUp, first)
    }
}

fn commit(proposal: Proposal) -> Action {
    Action::Commit(Box::new(proposal))
}

fn read(stream: StreamId, up_to: Sequence) -> Action {
    Action::Read { stream, up_to }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
#[expect(clippy::cast_possible_truncation, reason = "the world is small")]
mod tests;
