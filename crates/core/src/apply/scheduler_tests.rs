//! Seeded interleavings of the apply machine against a naive model of the target: rejected rows,
//! constraints, tables that become ready, processes that die. Without the engine.
//! `SPANFERRY_SEED=N` replays one seed.

#[path = "../../../testkit/src/random.rs"]
#[expect(
    unreachable_pub,
    dead_code,
    reason = "the test kit's generator, shared without its connectors"
)]
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use random::{Random, SEED_VARIABLE, seed};

use super::{Scheduler, Start};
use crate::apply::action::{Action, GaveWay, Obstacle, Proposal, StreamId, Tick};
use crate::apply::table_states::{TableState, TableStates};
use crate::apply::window::WindowLimits;
use crate::fixture;
use crate::plan::{GroupId, TableId, TablePlan};
use crate::port::change::{Change as RowChange, ChangeSink, OldRow};
use crate::port::change_log::Sequence;
use crate::port::target::{
    Epoch, FenceKey, FenceRow, Lane, MutationKind, Rejection, TableMutations, TablePhase,
};
use crate::position::checkpoint::Checkpoint;
use crate::position::{Bookmark, Position, Witness};
use crate::report::code;
use crate::report::finding::{Finding, Severity, Subject};

const SEEDS: u64 = 800;
const SERVER: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const LIMITS: WindowLimits = WindowLimits {
    bytes_best: 24,
    bytes_max: 60,
    mutations_max: 12,
};
/// The group of each table.
const GROUPS: [u32; 6] = [0, 0, 1, 2, 3, 3];
/// Values from here on are rejected by the group's constraint while it stands, from `UNFIT` on
/// always.
const UNBOUND: u8 = 200;
const UNFIT: u8 = 230;
/// Steps of one process after which it does not get on.
const STEPS_MAX: u64 = 20_000;

type Rows = BTreeMap<(u32, u8), u8>;

/// One change: a row's value, or its end.
#[derive(Debug, Clone, Copy)]
struct Change {
    table: u32,
    key: u8,
    value: Option<u8>,
}

#[derive(Debug, Clone)]
struct Table {
    phase: TablePhase,
    low: Option<u64>,
    high: Bookmark,
}

/// A fault of the machine's owner that the test must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// Rows of a transaction that the main stream has not passed are not recorded as such.
    TrialUnseen,
    /// A stop is not recorded.
    StopForgotten,
}

struct World {
    random: Random,
    wrong: Option<Wrong>,
    history: Vec<Vec<Change>>,
    /// How many transactions the log has.
    captured: u64,
    now: u64,
    rows: Rows,
    fence: FenceRow,
    tables: Vec<Table>,
    /// By group: whether its constraint stands, and whether it was dropped for a change.
    stands: [bool; 4],
    dropped: [bool; 4],
    /// Rows that a commit may hold; above, it is too large.
    rows_max: usize,
    crashes: u64,
    counts: BTreeMap<&'static str, u64>,
}

fn witness(number: u64) -> Witness {
    Witness::parse(&format!("{SERVER}:{number}@{}", 1_000 + number)).unwrap()
}

fn bookmark(number: u64) -> Bookmark {
    let mut bookmark = Bookmark::unproved(Position::parse("mysql:").unwrap());
    for number in 1..=number {
        bookmark.advance(witness(number)).unwrap();
    }
    bookmark
}

fn group(table: u32) -> usize {
    GROUPS[table as usize] as usize
}

fn plans() -> Arc<[Arc<TablePlan>]> {
    let plan = |id: u32| {
        Arc::new(TablePlan {
            id: TableId(id),
            group: GroupId(GROUPS[id as usize]),
            ..fixture::plan(fixture::table(&format!("t{id}"), Vec::new()), [])
        })
    };
    (0..6).map(plan).collect()
}

fn apply(rows: &mut Rows, changes: &[Change]) {
    for change in changes {
        match change.value {
            Some(value) => rows.insert((change.table, change.key), value),
            None => rows.remove(&(change.table, change.key)),
        };
    }
}

fn draw_change(random: &mut Random, unfit: u64) -> Change {
    let value = match random.below(100) {
        at if at < unfit => UNFIT + random.below(20) as u8,
        at if at < 2 * unfit => UNBOUND + random.below(20) as u8,
        _ => random.below(100) as u8,
    };
    Change {
        table: random.below(6) as u32,
        key: random.below(5) as u8,
        value: (!random.chance(15)).then_some(value),
    }
}

impl World {
    fn new(seed: u64, wrong: Option<Wrong>) -> World {
        let mut random = Random::new(seed);
        let unfit = [0, 1, 3, 8][random.below(4) as usize];
        let transaction = |random: &mut Random| {
            let changes = if random.chance(10) {
                random.below(40)
            } else {
                random.below(5)
            };
            (0..changes).map(|_| draw_change(random, unfit)).collect()
        };
        let length = random.between(5, 40);
        let history = (0..length).map(|_| transaction(&mut random)).collect();
        let key = FenceKey {
            epoch: Epoch(0),
            sequence: Sequence::ZERO,
            piece: 0,
        };
        let table = Table {
            phase: TablePhase::Loading,
            low: None,
            high: bookmark(0),
        };
        let crashes = random.below(6);
        let rows_max = if random.chance(30) {
            random.between(1, 8) as usize
        } else {
            100
        };
        World {
            random,
            wrong,
            history,
            captured: 0,
            now: 0,
            rows: Rows::new(),
            fence: FenceRow {
                key,
                reached: Some(Checkpoint::whole(bookmark(0))),
            },
            tables: vec![table; 6],
            stands: [false; 4],
            dropped: [false; 4],
            rows_max,
            crashes,
            counts: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn replay(&self, number: u64) -> Rows {
        let mut rows = Rows::new();
        for changes in &self.history[..number as usize] {
            apply(&mut rows, changes);
        }
        rows
    }

    /// A table's rows behind so many transactions equal those of the target.
    fn expect_rows(&self, table: u32, number: u64, context: &str) {
        let of_table = |rows: &Rows| -> Vec<(u8, u8)> {
            let rows = rows.iter().filter(|((other, _), _)| *other == table);
            rows.map(|((_, key), value)| (*key, *value)).collect()
        };
        let (found, expected) = (of_table(&self.rows), of_table(&self.replay(number)));
        assert_eq!(found, expected, "{context}: table {table} behind {number}");
    }

    fn reached(&self) -> &Checkpoint {
        self.fence.reached.as_ref().unwrap()
    }

    fn state(&self, table: usize) -> TableState {
        TableState {
            phase: self.tables[table].phase,
            low: self.tables[table].low.map(|low| bookmark(low).position),
        }
    }

    /// A table's load ends: its rows are those behind `s`, with `low <= s <= high`.
    fn load(&mut self, table: usize) {
        let low = self.random.below(self.captured + 1);
        let at = self.random.between(low, self.captured);
        let of_table = |(other, _): &(u32, u8)| *other as usize == table;
        let loaded: Rows = self
            .replay(at)
            .into_iter()
            .filter(|(key, _)| of_table(key))
            .collect();
        let known = &mut self.tables[table];
        (known.low, known.high) = (Some(low), bookmark(self.captured));
        if loaded.values().any(|value| *value >= UNFIT) {
            known.phase = TablePhase::Loading;
            return self.stop(table as u32);
        }
        known.phase = TablePhase::Loaded;
        self.rows.retain(|key, _| !of_table(key));
        self.rows.extend(loaded);
    }

    fn stop(&mut self, table: u32) {
        for other in 0..6 {
            if group(other) == group(table) {
                self.tables[other as usize].phase = TablePhase::Stopped;
            }
        }
    }

    /// What other tasks do meanwhile: capture, load, constraints. Returns the tables that have
    /// changed.
    fn elsewhere(&mut self) -> BTreeSet<usize> {
        let before: Vec<TablePhase> = self.tables.iter().map(|table| table.phase).collect();
        self.now += self.random.below(400);
        if self.random.chance(40) && self.captured < self.history.len() as u64 {
            self.captured += 1;
        }
        let table = self.random.below(6) as usize;
        if self.random.chance(20) && self.tables[table].phase == TablePhase::Loading {
            self.load(table);
        }
        let group = self.random.below(4) as usize;
        if self.random.chance(30) {
            self.constrain(group);
        }
        let tables = self.tables.iter().zip(before).enumerate();
        tables
            .filter(|(_, (table, before))| table.phase != *before)
            .map(|(table, _)| table)
            .collect()
    }

    /// A group becomes constrained once it is exact. Its rows are then those of the source.
    fn constrain(&mut self, wanted: usize) {
        let reached = self.reached().clone();
        let tables: Vec<usize> = (0..6).filter(|table| group(*table as u32) == wanted).collect();
        let is_exact = |table: &usize| {
            let table = &self.tables[*table];
            let passed = reached.position.contains_all(&table.high.position).unwrap();
            matches!(table.phase, TablePhase::Joined | TablePhase::Constrained) && passed
        };
        let is_built = |table: &usize| self.tables[*table].phase == TablePhase::Constrained;
        if !tables.iter().all(is_exact) || tables.iter().all(is_built) {
            return;
        }
        let binds = |((table, _), value): (&(u32, u8), &u8)| group(*table) == wanted && *value >= UNBOUND;
        if !self.dropped[wanted] && !self.rows.iter().any(binds) {
            self.stands[wanted] = true;
        }
        for table in tables {
            self.tables[table].phase = TablePhase::Constrained;
        }
        self.count("constrained");
        self.expect_constrained();
    }

    /// Constrained tables are in a state that the source had, at the main stream's fence.
    fn expect_constrained(&self) {
        for table in 0..6 {
            if self.tables[table as usize].phase == TablePhase::Constrained && self.fence.key.piece == 0 {
                self.expect_rows(table, self.fence.key.sequence.0, "constrained");
            }
        }
    }

    /// What the target says to rows: the rows behind them, or why not.
    fn judge(&self, proposal: &Proposal) -> Result<Rows, Rejection> {
        let count: usize = proposal.data.iter().map(|run| run.rows.len()).sum();
        if proposal.lane == Lane::MAIN && count > self.rows_max {
            return Err(rejection("too large"));
        }
        let mut rows = self.rows.clone();
        for run in &proposal.data {
            let table = run.table.id.0;
            for payload in run.rows.payloads() {
                match run.kind {
                    MutationKind::Delete => drop(rows.remove(&(table, payload[0]))),
                    MutationKind::Upsert if payload[1] >= UNFIT => return Err(rejection("unfit")),
                    MutationKind::Upsert => drop(rows.insert((table, payload[0]), payload[1])),
                    MutationKind::Insert | MutationKind::Update(_) => unreachable!("every row is whole"),
                }
            }
        }
        let binds = |((table, _), value): (&(u32, u8), &u8)| self.stands[group(*table)] && *value >= UNBOUND;
        if rows.iter().any(binds) {
            return Err(rejection("constraint"));
        }
        Ok(rows)
    }

    /// The commit happens at the target, control rows included.
    fn happen(&mut self, proposal: &Proposal, rows: Rows) {
        self.rows = rows;
        for stop in &proposal.stops {
            self.expect_stop(stop.group.0 as usize, proposal.next.is_none());
            let table = (0..6)
                .find(|table| group(*table) == stop.group.0 as usize)
                .unwrap();
            if self.wrong != Some(Wrong::StopForgotten) {
                self.stop(table);
            }
        }
        for table in &proposal.joins {
            let table = &mut self.tables[table.0 as usize];
            assert_eq!(table.phase, TablePhase::Loaded);
            table.phase = TablePhase::Joined;
        }
        if let Some(seen) = &proposal.seen
            && self.wrong != Some(Wrong::TrialUnseen)
        {
            for table in 0..6_usize {
                let known = &mut self.tables[table];
                let flows = matches!(known.phase, TablePhase::Joined | TablePhase::Constrained);
                if flows && seen.groups.contains(&GroupId(GROUPS[table])) {
                    known.phase = TablePhase::Joined;
                    known.high.take_in(&seen.transaction).unwrap();
                }
            }
            self.count("trial taken");
        }
        if let Some(next) = &proposal.next {
            assert!(next.key > self.fence.key);
            let piece = next.reached.as_ref().unwrap().piece();
            assert_eq!(piece, next.key.piece);
            self.fence = next.clone();
            self.count(if piece > 0 { "cut" } else { "window" });
        }
        self.expect_constrained();
    }

    /// Only a group with rows that do not fit stops. In the main stream, it stops right before the
    /// transaction.
    fn expect_stop(&mut self, stopped: usize, by_rejection: bool) {
        let mut changes = self.history.iter().flatten();
        let is_unfit = |change: &Change| group(change.table) == stopped && change.value >= Some(UNFIT);
        assert!(changes.any(is_unfit), "group {stopped} stops for another's rows");
        self.count("group stopped");
        let fence = self.fence.key;
        let tables = (0..6).filter(|table| group(*table) == stopped);
        for table in tables {
            let known = &self.tables[table as usize];
            let passed = self
                .reached()
                .position
                .contains_all(&known.high.position)
                .unwrap();
            let flows = matches!(known.phase, TablePhase::Joined | TablePhase::Constrained);
            if by_rejection && flows && passed && fence.piece == 0 {
                self.expect_rows(table, fence.sequence.0, "stopped");
            }
        }
    }

    fn give_way(&mut self, obstacle: &Obstacle) -> GaveWay {
        let group = obstacle.group.0 as usize;
        if !self.stands[group] {
            return GaveWay::No;
        }
        let of_group = |change: &Change| GROUPS[change.table as usize] == obstacle.group.0;
        let mut changes = self.history.iter().flatten();
        let is_bound = |change: &Change| of_group(change) && change.value >= Some(UNBOUND);
        assert!(
            changes.any(is_bound),
            "a constraint goes for another group's rows"
        );
        let mut changes = self.history.iter().flatten();
        let needs = |change: &Change| {
            of_group(change)
                && change
                    .value
                    .is_some_and(|value| (UNBOUND..UNFIT).contains(&value))
        };
        assert!(
            changes.any(needs),
            "a constraint goes for a value that does not fit"
        );
        (self.stands[group], self.dropped[group]) = (false, true);
        self.count("constraint dropped");
        GaveWay::Yes
    }

    fn is_done(&self) -> bool {
        let is_at_rest = |table: &Table| match table.phase {
            TablePhase::Stopped | TablePhase::Constrained => true,
            TablePhase::Pending | TablePhase::Loading | TablePhase::Loaded | TablePhase::Joined => false,
        };
        self.captured == self.history.len() as u64
            && self.fence.key.sequence.0 == self.captured
            && self.fence.key.piece == 0
            && self.tables.iter().all(is_at_rest)
    }
}

fn rejection(text: &str) -> Rejection {
    Rejection {
        status: text.to_owned(),
        message: String::new(),
        named: Vec::new(),
        too_large: text == "too large",
        of_value: text == "unfit",
        transient: false,
    }
}

/// Where a stream reads: the transaction, and how many of its changes it has read.
#[derive(Debug, Clone, Copy)]
struct Reader {
    sequence: u64,
    change: usize,
}

/// Gives a stream the next piece of its transaction; false if the log has none up to a sequence.
fn read(
    world: &mut World,
    machine: &mut Scheduler,
    stream: StreamId,
    reader: &mut Reader,
    up_to: u64,
) -> bool {
    if reader.sequence > world.captured.min(up_to) {
        return false;
    }
    let changes = world.history[reader.sequence as usize - 1].clone();
    let builder = machine.stream_mut(stream);
    if reader.change == 0 {
        builder
            .begin(Sequence(reader.sequence), witness(reader.sequence))
            .unwrap();
    }
    let left = changes.len() - reader.change;
    let piece = if world.random.chance(50) {
        left
    } else {
        left.min(7)
    };
    for change in &changes[reader.change..reader.change + piece] {
        match change.value {
            Some(value) => builder.change(
                TableId(change.table),
                RowChange::Insert {
                    key: &[change.key],
                    row: &[change.key, value],
                },
            ),
            None => builder.change(
                TableId(change.table),
                RowChange::Delete {
                    old: OldRow {
                        key: &[change.key],
                        row: None,
                    },
                },
            ),
        }
    }
    reader.change += piece;
    if reader.change == changes.len() {
        builder.end(reader.sequence, witness(reader.sequence)).unwrap();
        *reader = Reader {
            sequence: reader.sequence + 1,
            change: 0,
        };
    }
    true
}

/// Sends a commit. None if the process dies: before it, or behind it.
fn commit(world: &mut World, machine: &mut Scheduler, mut proposal: Proposal) -> Option<()> {
    let dies = world.crashes > 0 && world.random.chance(4);
    if dies {
        world.crashes -= 1;
        world.count("crash");
    }
    if dies && world.random.chance(50) {
        return None;
    }
    proposal
        .joins
        .retain(|table| world.tables[table.0 as usize].phase == TablePhase::Loaded);
    match world.judge(&proposal) {
        Ok(rows) => {
            world.happen(&proposal, rows);
            if dies {
                return None;
            }
            machine.committed();
        }
        Err(rejection) => {
            world.count("rejected");
            let rest: Vec<TableMutations> = proposal.data;
            machine.rejected(rejection, rest).unwrap();
        }
    }
    report_tables(world, machine);
    Some(())
}

fn report_tables(world: &World, machine: &mut Scheduler) {
    for table in 0..6 {
        machine.table_changed(TableId(table as u32), world.state(table));
    }
}

/// The machine of a new process.
fn start(world: &World) -> Scheduler {
    Scheduler::new(Start {
        tables: plans(),
        states: (0..6).map(|table| world.state(table)).collect(),
        limits: LIMITS,
        key: world.fence.key,
        reached: world.reached().clone(),
        now: Tick(world.now),
    })
}

/// One process; false if it died.
fn live(world: &mut World) -> bool {
    world.fence.key.epoch = Epoch(world.fence.key.epoch.0 + 1);
    let mut machine = start(world);
    let mut readers = [Reader {
        sequence: 0,
        change: 0,
    }; 2];
    for _ in 0..STEPS_MAX {
        for table in world.elsewhere() {
            machine.table_changed(TableId(table as u32), world.state(table));
        }
        match machine.poll(Tick(world.now)).unwrap() {
            Action::Open { stream, first } => {
                readers[stream as usize] = Reader {
                    sequence: first.0,
                    change: 0,
                };
                machine.opened();
            }
            Action::Read { stream, up_to } => {
                let mut reader = readers[stream as usize];
                if !read(world, &mut machine, stream, &mut reader, up_to.0) {
                    machine.at_end(stream);
                }
                readers[stream as usize] = reader;
            }
            Action::AskReached { at } => machine.log_reached(&bookmark(at.0)).unwrap(),
            Action::AskStarts { lows } => {
                let mut start = |low: &Position| {
                    let low = (0..=world.captured)
                        .find(|at| bookmark(*at).position == *low)
                        .unwrap();
                    let before = world.random.below(low + 1);
                    (Sequence(before + 1), bookmark(before))
                };
                let starts = lows.iter().map(&mut start).collect();
                machine.log_starts(starts).unwrap();
            }
            Action::Commit(proposal) => {
                if commit(world, &mut machine, *proposal).is_none() {
                    return false;
                }
            }
            Action::GiveWay(obstacle) => {
                let outcome = world.give_way(&obstacle);
                machine.gave_way(outcome);
            }
            Action::Wait { until } => {
                if world.is_done() {
                    return true;
                }
                if let Some(until) = until {
                    world.now = world.now.max(until.0);
                }
            }
        }
    }
    panic!("it does not get on: {:?} {:?}", world.fence, world.tables);
}

fn run(seed: u64, wrong: Option<Wrong>) -> BTreeMap<&'static str, u64> {
    let mut world = World::new(seed, wrong);
    while !live(&mut world) {}
    for table in 0..6_u32 {
        if world.tables[table as usize].phase == TablePhase::Stopped {
            continue;
        }
        world.expect_rows(table, world.captured, "at the end");
    }
    world.counts
}

#[test]
fn random_interleavings_equal_a_serial_replay() {
    if std::env::var(SEED_VARIABLE).is_ok() {
        run(seed(0), None);
        return;
    }
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..SEEDS {
        let counted = std::panic::catch_unwind(|| run(seed, None));
        let counted = counted.unwrap_or_else(|_| panic!("{SEED_VARIABLE}={seed} fails"));
        for (what, count) in counted {
            *counts.entry(what).or_default() += count;
        }
    }
    for what in [
        "constrained",
        "constraint dropped",
        "crash",
        "cut",
        "group stopped",
        "rejected",
        "trial taken",
        "window",
    ] {
        assert!(counts.contains_key(what), "never happened: {what}; {counts:?}");
    }
}

#[test]
fn wrong_owners_are_caught() {
    for wrong in [Wrong::TrialUnseen, Wrong::StopForgotten] {
        let is_caught = (0..SEEDS).any(|seed| std::panic::catch_unwind(|| run(seed, Some(wrong))).is_err());
        assert!(is_caught, "{wrong:?} passes {SEEDS} seeds");
    }
}

#[path = "scheduler_case_tests.rs"]
mod cases;
