//! The target: atomic commits behind a compare-and-set of the fence row, constraints, and every
//! unclear outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use spanferry_core::port::target::{
    CommitError, CommitTimestamp, Committer, ControlChange, ControlState, ControlStore, DdlFailure,
    ExistingTable, FenceKey, FenceRow, FencedCommit, Lane, LaneStart, MigrationRow, MutationKind, RangeRow,
    Rejection, SchemaObjects, SchemaTarget, TablePhase, TargetCapabilities, TargetDescription,
};
use spanferry_core::position::Position;
use spanferry_core::position::checkpoint::Checkpoint;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::schema::ddl;
use spanferry_core::schema::target::Dialect;

use crate::LIMITS;
use crate::catalog::{as_read, expect_recorded};
use crate::history::{AUTHOR, BOOK, FOREIGN_KEY, ITEM, State, apply_first, broken, plans};
use crate::mapped::read;
use crate::scan::Versions;
use crate::world::{Mutant, Shared, World, number_of};
use crate::{bulk, cut, unfit};

#[derive(Default)]
pub(crate) struct TargetState {
    pub(crate) rows: State,
    pub(crate) tables: BTreeSet<usize>,
    /// Constraints in force, by table: each has at most one.
    pub(crate) in_force: [bool; 4],
    /// The table whose constraint a statement on its way creates.
    pub(crate) building: Option<usize>,
    /// Tables whose constraint the target still builds for a process that has died, with the looks
    /// until it is there or refused.
    unfinished: BTreeMap<usize, u64>,
    pub(crate) control: Option<ControlState>,
    /// Ranges that were read to their end and had refused rows.
    pub(crate) refused_ranges: Vec<RangeRow>,
    /// Commits on their way that no task waits for, with the target's steps until they arrive.
    late: Vec<(u64, FencedCommit)>,
    /// Commits that a process has begun to send, by lane.
    in_flight: BTreeMap<(String, u32), FencedCommit>,
    /// How many commits it has made.
    commits: i64,
    pub(crate) versions: Versions,
    /// What the control tables held when they were read last, for wrong variants.
    read_before: Option<ControlState>,
}

pub(crate) struct SimTarget(pub(crate) Shared);

pub(crate) fn lane_key(lane: Lane) -> (String, u32) {
    let (stream, number) = lane.parts();
    (stream.to_owned(), number)
}

fn rejection(status: &str, message: &str) -> CommitError {
    CommitError::Rejected(Rejection {
        status: status.into(),
        message: message.into(),
        named: Vec::new(),
        too_large: false,
        of_value: false,
        transient: false,
    })
}

/// The words of the target name the constraint or not.
fn in_the_way(world: &mut World, constraint: &str) -> CommitError {
    let mut error = rejection("FAILED_PRECONDITION", constraint);
    if let CommitError::Rejected(rejection) = &mut error
        && world.random.chance(50)
    {
        let key = &plans()[BOOK].target.foreign_keys[0];
        rejection.named = vec!["violation".into(), key.name.clone()];
    }
    error
}

/// The commit arrives at the target: all of it happens, or nothing.
fn arrive(world: &mut World, commit: &FencedCommit) -> Result<CommitTimestamp, CommitError> {
    let changed;
    let commit = if world.mutant == Some(Mutant::OneStopACommit) {
        changed = unfit::without_later_stops(commit);
        &changed
    } else {
        commit
    };
    let lane = lane_key(commit.lane);
    let control = world.target.control.as_ref().unwrap();
    let found = control.fences.get(&lane).map(|row| row.key);
    let holds = found == Some(commit.previous);
    let is_load = matches!(commit.lane, Lane::Load(_));
    let same_epoch = found.is_some_and(|key| key.epoch == commit.previous.epoch);
    let passes = match world.mutant {
        Some(Mutant::NoLoadFence) => holds || is_load,
        Some(Mutant::EpochOnly) => holds || (is_load && same_epoch),
        Some(
            Mutant::LowReadAgain
            | Mutant::HighIsLow
            | Mutant::HighKept
            | Mutant::HoldsAnything
            | Mutant::NumbersOnly
            | Mutant::StreamByNumbers
            | Mutant::PreparedUnseen
            | Mutant::ClaimByNumbers
            | Mutant::RefusedRangeRecorded
            | Mutant::OneStopACommit
            | Mutant::TrimsOneMore
            | Mutant::TrimsWhatIsRead
            | Mutant::JoinsInsideCut
            | Mutant::LargeIsTaken
            | Mutant::InsertOverwrites
            | Mutant::BatchKept
            | Mutant::ScanFalls
            | Mutant::ScanBeginsAtKey
            | Mutant::ScanSkipsRow
            | Mutant::ScanReadsPresent
            | Mutant::CheckpointBefore
            | Mutant::RecordBefore
            | Mutant::PlanDecidedAgain
            | Mutant::KeyChosenAgain
            | Mutant::CountSelected
            | Mutant::OldLogIsTaken
            | Mutant::HighUnwitnessed
            | Mutant::AcknowledgedEarly
            | Mutant::BegunForgotten
            | Mutant::Source(_),
        )
        | None => holds,
    };
    if !passes {
        return Err(rejection("NOT_FOUND", "the fence row is not there"));
    }
    if world.mutant.is_none() && world.has_history() {
        promises(world, commit);
    }
    if holds && !world.bare {
        expect_recorded(world, commit);
    }
    let bytes: usize = commit.data.iter().map(|data| data.rows.byte_len()).sum();
    if bytes > world.commit_bytes_max() && world.mutant != Some(Mutant::LargeIsTaken) {
        world.count("commit too large");
        return Err(CommitError::Rejected(Rejection {
            status: "INVALID_ARGUMENT".into(),
            message: format!("{bytes} bytes"),
            named: Vec::new(),
            too_large: true,
            of_value: false,
            transient: false,
        }));
    }
    let mut rows = world.target.rows.clone();
    for mutations in &commit.data {
        let table = mutations.table.id.0 as usize;
        for payload in mutations.rows.payloads() {
            let plan = &mutations.table;
            match mutations.kind {
                MutationKind::Delete => {
                    let row = read(plan, plan.key(), payload).unwrap();
                    rows[table].remove(&row[0]);
                }
                MutationKind::Upsert => {
                    let all: Vec<usize> = (0..plan.columns.len()).collect();
                    let row = read(plan, &all, payload).unwrap();
                    if unfit::is_rejected(&row) {
                        return Err(rejection("NOT_FOUND", "no such value"));
                    }
                    rows[table].insert(row[0], row);
                }
                MutationKind::Insert => {
                    let all: Vec<usize> = (0..plan.columns.len()).collect();
                    let row = read(plan, &all, payload).unwrap();
                    let is_twin = rows[table].insert(row[0], row).is_some();
                    if is_twin && world.mutant != Some(Mutant::InsertOverwrites) {
                        return Err(rejection("ALREADY_EXISTS", "the row is there"));
                    }
                }
                MutationKind::Update(columns) => {
                    let written: Vec<usize> = columns.iter().collect();
                    let values = read(plan, &written, payload).unwrap();
                    let Some(row) = rows[table].get_mut(&values[0]) else {
                        return Err(rejection("NOT_FOUND", "the row is not there"));
                    };
                    for source in written.iter().filter_map(|column| plan.columns[*column].source()) {
                        row[source] = values[source];
                    }
                }
            }
        }
    }
    if let Some(constraint) = broken(&rows, world.target.in_force) {
        if world.history.checks_keys || constraint != FOREIGN_KEY {
            world.violations.push(format!("a commit breaks a {constraint}"));
        }
        world.count("constraint in the way");
        return Err(in_the_way(world, constraint));
    }
    world.target.rows = rows;
    unfit::count_stops(world, commit);
    let forgets = world.mutant == Some(Mutant::BegunForgotten);
    let is_forgotten = |row: &RangeRow| forgets && !row.is_finished;
    let control = world.target.control.as_mut().unwrap();
    for change in &commit.control {
        match change {
            ControlChange::Table(row) => {
                let mut row = row.clone();
                if world.mutant == Some(Mutant::HighKept)
                    && let Some(known) = control.tables.get(&row.table)
                    && known.high.is_some()
                    && row.high.is_some()
                {
                    row.high.clone_from(&known.high);
                }
                control.tables.insert(row.table.clone(), row);
            }
            ControlChange::Range(row) if is_forgotten(row) => {}
            ControlChange::Range(row) => {
                drop(
                    control
                        .ranges
                        .insert((row.table.clone(), row.number), row.clone()),
                );
            }
            ControlChange::ForgetRanges(table) => control.ranges.retain(|(name, _), _| name != table),
            ControlChange::LeaveOut(row) => {
                let key = (row.table.clone(), row.constraint.clone());
                control.left_out.insert(key, row.clone());
            }
            ControlChange::ForgetLeftOut(table, constraint) => {
                control.left_out.remove(&(table.clone(), constraint.clone()));
            }
            ControlChange::Definition(definition) => {
                let name = definition.name().clone();
                control.definitions.insert(name, definition.clone());
            }
            ControlChange::ForgetDefinition(table) => drop(control.definitions.remove(table)),
            ControlChange::ForgetTable(table) => drop(control.tables.remove(table)),
        }
    }
    if holds {
        control.fences.insert(lane, commit.next.clone());
    }
    world.count(match commit.lane {
        Lane::Control => "control commit",
        Lane::Load(_) => "load commit",
        Lane::Apply(_) => "apply commit",
        Lane::CatchUp => "catch-up commit",
    });
    let is_joined = |change: &ControlChange| matches!(change, ControlChange::Table(row) if row.phase == TablePhase::Joined);
    if commit.lane == Lane::CatchUp && !commit.data.is_empty() && commit.control.iter().any(is_joined) {
        world.count("rows of a rejected transaction taken alone");
    }
    if commit.lane == Lane::MAIN && commit.next.key.piece > 0 {
        world.count("transaction cut in pieces");
    }
    bulk::count(world, commit);
    if world.has_history() {
        compare(world);
        cut::crash(world);
    }
    world.target.commits += 1;
    let at = timestamp(world.target.commits);
    if world.bare {
        let rows = world.target.rows.clone();
        world.target.versions.keep(at, rows);
    }
    Ok(at)
}

/// When the target has made its last commit.
pub(crate) fn present(world: &World) -> CommitTimestamp {
    timestamp(world.target.commits)
}

/// When the target makes its commit with this number.
fn timestamp(number: i64) -> CommitTimestamp {
    CommitTimestamp {
        seconds: number,
        nanoseconds: 0,
    }
}

/// What must hold before a commit (hand-off.md, steps 1 to 3; fence.md, step 7).
fn promises(world: &mut World, commit: &FencedCommit) {
    let control = world.target.control.as_ref().unwrap();
    let mut broken = Vec::new();
    if commit.next.key.epoch != control.migration.epoch {
        broken.push("a dead epoch writes".to_owned());
    }
    if matches!(commit.lane, Lane::Load(_)) {
        for mutations in &commit.data {
            let row = &control.tables[mutations.table.name()];
            if row.phase == TablePhase::Stopped {
                continue;
            }
            let number = |position: Option<&Position>| position.map(|at| number_of(&at.to_string()));
            if number(row.low.as_ref()).is_none_or(|low| low > world.sessions.0) {
                broken.push(format!(
                    "{}: `low` is not durable or too high: {row:?}",
                    row.table
                ));
            }
            if number(row.high.as_ref().map(|high| &high.position)).is_none_or(|high| high < world.sessions.1)
            {
                broken.push(format!(
                    "{}: `high` is not durable or too low: {row:?}",
                    row.table
                ));
            }
        }
    }
    world.violations.append(&mut broken);
}

/// How far the main stream has come.
pub(crate) fn reached(control: &ControlState) -> &Checkpoint {
    control.fences[&lane_key(Lane::MAIN)].reached.as_ref().unwrap()
}

/// The source's rows where the main stream stands: at its position, with the first changes of a
/// partial transaction.
pub(crate) fn expected_rows(world: &World) -> State {
    let reached = reached(world.target.control.as_ref().unwrap());
    let last = reached.witnesses.newest().map(|witness| witness.committed_at_us);
    let mut state = world.history.state_behind(last);
    if let Some(partial) = &reached.partial {
        let transaction = world.history.transaction(partial.transaction.committed_at_us);
        apply_first(&mut state, transaction, partial.changes);
    }
    state
}

/// Tables under constraints are in a state that the source had, at the main stream's fence
/// (hand-off.md, step 13).
fn compare(world: &mut World) {
    let expected = expected_rows(world);
    let control = world.target.control.as_ref().unwrap();
    let fence = &control.fences[&lane_key(Lane::MAIN)];
    for plan in plans() {
        let table = plan.id.0 as usize;
        let row = control.tables.get(plan.name());
        if row.is_some_and(|row| row.phase == TablePhase::Constrained)
            && world.target.rows[table] != expected[table]
        {
            let (found, wanted) = (&world.target.rows[table], &expected[table]);
            let text = format!("{} at {fence:?}: {found:?}, source {wanted:?}", plan.name());
            world.violations.push(text);
        }
    }
}

/// Late commits whose time has come.
fn land(world: &mut World) {
    let mut due = Vec::new();
    world.target.late.retain_mut(|(left, commit)| {
        *left = left.saturating_sub(1);
        if *left == 0 {
            due.push(commit.clone());
        }
        *left > 0
    });
    for commit in due {
        let stale = commit.previous.epoch != world.target.control.as_ref().unwrap().migration.epoch;
        let what = match (arrive(world, &commit), stale) {
            (Ok(_), _) => "late commit applied",
            (Err(_), true) => "late commit of a dead epoch refused",
            (Err(_), false) => "late commit refused",
        };
        world.count(what);
    }
}

/// A process has died: what it was about to send may be on its way.
pub(crate) fn leave_in_flight(world: &mut World) {
    for commit in std::mem::take(&mut world.target.in_flight).into_values() {
        if world.random.chance(90) {
            let late_by = world.random.between(1, 8);
            world.target.late.push((late_by, commit));
            world.count("commit of a dead process on its way");
        }
    }
}

/// Late commits of the epoch that ends now, as long as it still owns the fence: since the control
/// tables were read.
fn land_before_epoch(world: &mut World) {
    if world.bare || world.target.control.is_none() {
        return;
    }
    let before = world.target.control.clone();
    for _ in 0..world.random.below(16) {
        land(world);
    }
    if world.target.control != before {
        world.count("control state changed before an epoch");
    }
}

fn unclear() -> CommitError {
    let class = Class::Ambiguous;
    CommitError::Ambiguous(Failure::new(code::TARGET_FAILED, class, "target", "no reply"))
}

impl SimTarget {
    fn send(&self, commit: &FencedCommit) -> Result<CommitTimestamp, CommitError> {
        let mut world = self.0.lock();
        if world.bare {
            return arrive(&mut world, commit);
        }
        land(&mut world);
        let late_by = world.random.between(1, 60);
        match world.random.below(40) {
            0 => {
                world.count("aborted");
                Err(CommitError::Aborted { retry_after: None })
            }
            1 => {
                world.count("aborted with a delay");
                Err(CommitError::Aborted {
                    retry_after: Some(Duration::from_millis(300)),
                })
            }
            2 => {
                world.count("request lost");
                Err(unclear())
            }
            3 => {
                world.count("reply lost");
                arrive(&mut world, commit).and(Err(unclear()))
            }
            4 => {
                world.count("request late");
                world.target.late.push((late_by, commit.clone()));
                Err(unclear())
            }
            5 | 6 => {
                world.count("request doubled");
                world.target.late.push((late_by, commit.clone()));
                arrive(&mut world, commit)
            }
            7 => {
                world.count("own success rejected");
                arrive(&mut world, commit).and(Err(rejection("ALREADY_EXISTS", "the fence row")))
            }
            _ => arrive(&mut world, commit),
        }
    }

    fn run_statement(world: &mut World, statement: &String) -> Result<(), Failure> {
        let dialect = Dialect::GoogleSql;
        for plan in plans() {
            let (table, target) = (plan.id.0 as usize, &plan.target);
            let adds = target
                .indexes
                .iter()
                .map(|index| ddl::create_index(target, index, dialect));
            let mut adds = adds.chain(
                target
                    .foreign_keys
                    .iter()
                    .map(|key| ddl::add_foreign_key(target, key, dialect)),
            );
            let removals = target.indexes.iter().map(|index| ddl::drop_index(index, dialect));
            let mut removals = removals.chain(
                target
                    .foreign_keys
                    .iter()
                    .map(|key| ddl::drop_foreign_key(target, key, dialect)),
            );
            let control = world.target.control.as_ref();
            let known = control.and_then(|control| control.definitions.get(plan.name()));
            let mapped = known.map(|known| ddl::create_table(&known.target, dialect));
            // Of two processes, the second one sends a statement that the first one has run.
            let is_twin = world.bulk.is_some()
                && (world.target.tables.contains(&table) && !creates_constraint(statement)
                    || world.target.in_force[table] && creates_constraint(statement));
            let creates =
                *statement == ddl::create_table(target, dialect) || mapped.as_ref() == Some(statement);
            if is_twin && (creates || adds.any(|known| known == *statement)) {
                world.count("created by a rival");
                let class = Class::StopTable;
                return Err(Failure::new(code::TARGET_DDL, class, statement, "it is there"));
            } else if creates {
                assert!(world.target.tables.insert(table), "created twice: {statement}");
            } else if *statement == ddl::drop_table(target, dialect) {
                assert!(!world.target.in_force[table] && world.target.tables.remove(&table));
                world.target.unfinished.remove(&table);
                world.target.rows[table].clear();
            } else if removals.any(|known| known == *statement) {
                world.target.in_force[table] = false;
                world.target.unfinished.remove(&table);
            } else if adds.any(|known| known == *statement) {
                assert!(
                    !world.target.unfinished.contains_key(&table),
                    "twice: {statement}"
                );
                world.target.in_force[table] = true;
                if is_left_out(world, statement) {
                    world.violations.push(format!("{statement} is built again"));
                }
                if let Some(constraint) = broken(&world.target.rows, world.target.in_force) {
                    if world.history.checks_keys || constraint != FOREIGN_KEY {
                        let text = format!("{statement} meets a broken {constraint}");
                        world.violations.push(text);
                    }
                    world.count("constraint refused");
                    world.target.in_force[table] = false;
                    let class = Class::StopTable;
                    return Err(Failure::new(code::TARGET_DDL, class, statement, "refused"));
                }
            } else {
                continue;
            }
            return Ok(());
        }
        world.violations.push(format!("unknown statement {statement}"));
        Err(Failure::bug("target", "a statement that no table needs"))
    }
}

/// The table whose constraint a statement creates.
fn table_of(statement: &str) -> Option<usize> {
    let plans = plans();
    let plan = plans
        .iter()
        .find(|plan| statement.contains(&format!(" `{}` ", plan.target.name)))?;
    creates_constraint(statement).then_some(plan.id.0 as usize)
}

/// A process has died: the target may continue with what it was asked for.
pub(crate) fn continue_building(world: &mut World) {
    if let Some(table) = world.target.building.take()
        && !world.target.in_force[table]
        && world.random.chance(60)
    {
        let looks = world.random.between(1, 6);
        world.target.unfinished.insert(table, looks);
    }
}

/// Time passes for what the target still builds.
fn look_at_unfinished(world: &mut World) {
    for (table, looks) in world.target.unfinished.clone() {
        world.count("unfinished constraint met");
        if looks > 1 {
            world.target.unfinished.insert(table, looks - 1);
            continue;
        }
        world.target.unfinished.remove(&table);
        world.target.in_force[table] = true;
        if broken(&world.target.rows, world.target.in_force).is_some() {
            world.target.in_force[table] = false;
        }
    }
}

/// Whether the constraint that a statement creates is recorded as left out.
fn is_left_out(world: &World, statement: &str) -> bool {
    let control = world.target.control.as_ref();
    let mut left_out = control.iter().flat_map(|control| control.left_out.values());
    left_out.any(|row| statement.contains(&format!("`{}`", row.constraint)))
}

fn creates_constraint(statement: &str) -> bool {
    statement.contains(" INDEX ") && statement.starts_with("CREATE") || statement.contains(" ADD CONSTRAINT ")
}

impl Committer for SimTarget {
    async fn commit(&self, commit: &FencedCommit) -> Result<CommitTimestamp, CommitError> {
        let lane = lane_key(commit.lane);
        let sent = (lane.clone(), commit.clone());
        self.0.lock().target.in_flight.extend([sent]);
        self.0.step().await;
        let result = self.send(commit);
        self.0.lock().target.in_flight.remove(&lane);
        self.0.step().await;
        result
    }

    async fn read_fence(&self, lane: Lane) -> Result<Option<FenceRow>, Failure> {
        self.0.step().await;
        let world = self.0.lock();
        Ok(world
            .target
            .control
            .as_ref()
            .and_then(|control| control.fences.get(&lane_key(lane)).cloned()))
    }

    fn capabilities(&self) -> TargetCapabilities {
        TargetCapabilities {
            commits_in_flight: 4,
            window_limits: LIMITS,
            ..TargetCapabilities::SPANNER
        }
    }
}

impl ControlStore for SimTarget {
    async fn create_control(&self) -> Result<(), Failure> {
        self.0.step().await;
        Ok(())
    }

    async fn read_control(&self) -> Result<Option<ControlState>, Failure> {
        let mut world = self.0.lock();
        let mut control = world.target.control.clone();
        let before = std::mem::replace(&mut world.target.read_before, control.clone());
        if world.mutant == Some(Mutant::RecordBefore)
            && let (Some(now), Some(before)) = (&mut control, before)
            && now.migration.epoch > before.migration.epoch
        {
            (now.tables, now.definitions) = (before.tables, before.definitions);
            (now.ranges, now.left_out) = (before.ranges, before.left_out);
        }
        if world.mutant == Some(Mutant::LowReadAgain) {
            for row in control.iter_mut().flat_map(|control| control.tables.values_mut()) {
                if row.phase == TablePhase::Loading {
                    row.low = None;
                }
            }
        }
        match (world.mutant, &mut control) {
            (Some(Mutant::RefusedRangeRecorded), Some(control)) => {
                unfit::record_refused_ranges(control, &world.target.refused_ranges);
            }
            (Some(Mutant::JoinsInsideCut), Some(control)) => cut::join(control),
            (_, _) => {}
        }
        Ok(control.map(|control| as_read(&world, control)))
    }

    async fn begin_epoch(
        &self,
        expected: Option<&MigrationRow>,
        migration: &MigrationRow,
        lanes: &[(Lane, LaneStart)],
    ) -> Result<(), Failure> {
        self.0.step().await;
        {
            let mut world = self.0.lock();
            land_before_epoch(&mut world);
            let known = world.target.control.clone();
            let found = known.as_ref().map(|control| &control.migration);
            if found == Some(migration) {
                return Ok(());
            }
            if found != expected {
                let class = Class::StopMigration;
                return Err(Failure::new(
                    code::TARGET_FENCED,
                    class,
                    "target",
                    "another owner",
                ));
            }
            let fences: BTreeMap<_, _> = {
                let before = world.target.read_before.as_ref();
                let is_before = world.mutant == Some(Mutant::CheckpointBefore);
                let known = if is_before { before } else { known.as_ref() };
                let row = |(lane, start): &(Lane, LaneStart)| {
                    let found = known.and_then(|known| known.fences.get(&lane_key(*lane)));
                    let row = start.row(migration.epoch, found).expect("the lane has a row");
                    (lane_key(*lane), row)
                };
                lanes.iter().map(row).collect()
            };
            world.target.control = Some(ControlState {
                migration: migration.clone(),
                tables: known
                    .as_ref()
                    .map(|known| known.tables.clone())
                    .unwrap_or_default(),
                definitions: known
                    .as_ref()
                    .map(|known| known.definitions.clone())
                    .unwrap_or_default(),
                ranges: known
                    .as_ref()
                    .map(|known| known.ranges.clone())
                    .unwrap_or_default(),
                left_out: known.map(|known| known.left_out).unwrap_or_default(),
                fences,
            });
        }
        self.0.step().await;
        Ok(())
    }

    async fn drop_control(&self) -> Result<bool, Failure> {
        Ok(self.0.lock().target.control.take().is_some())
    }
}

impl SchemaTarget for SimTarget {
    async fn describe(&self) -> Result<TargetDescription, Failure> {
        let world = self.0.lock();
        let plans = plans();
        let there = plans
            .iter()
            .filter(|plan| world.target.tables.contains(&(plan.id.0 as usize)));
        let tables = there.map(|plan| {
            let has_rows = !world.target.rows[plan.id.0 as usize].is_empty();
            let definitions = world.target.control.as_ref().map(|control| &control.definitions);
            let known = definitions.and_then(|definitions| definitions.get(plan.name()));
            let mut table = known.map_or(&plan.target, |known| &known.target).clone();
            if !world.target.in_force[plan.id.0 as usize] {
                table.indexes.clear();
                table.foreign_keys.clear();
            }
            let existing = ExistingTable {
                table,
                has_rows,
                misfit: None,
            };
            (plan.target.name.clone(), existing)
        });
        let is_there =
            |table: usize| world.target.in_force[table] || world.target.unfinished.contains_key(&table);
        let made = [AUTHOR, ITEM].into_iter().filter(|table| is_there(*table));
        let keys = [BOOK].into_iter().filter(|table| is_there(*table));
        Ok(TargetDescription {
            dialect: Dialect::GoogleSql,
            tables: tables.collect(),
            indexes: made
                .map(|table| plans[table].target.indexes[0].name.clone())
                .collect(),
            foreign_keys: keys
                .map(|table| plans[table].target.foreign_keys[0].name.clone())
                .collect(),
        })
    }

    async fn create_database(&self, _dialect: Dialect) -> Result<(), Failure> {
        Err(Failure::bug("database", "it is there"))
    }

    async fn schema_objects(&self) -> Result<SchemaObjects, Failure> {
        look_at_unfinished(&mut self.0.lock());
        let described = self.describe().await?;
        let unfinished = self.0.lock().target.unfinished.clone();
        let names = plans().into_iter().flat_map(|plan| {
            let is_of = unfinished.contains_key(&(plan.id.0 as usize));
            let indexes = plan.target.indexes.iter().map(|index| index.name.clone());
            let keys = plan.target.foreign_keys.iter().map(|key| key.name.clone());
            indexes.chain(keys).filter(|_| is_of).collect::<Vec<_>>()
        });
        Ok(SchemaObjects {
            tables: described.tables.into_keys().collect(),
            indexes: described.indexes.into_iter().collect(),
            foreign_keys: described.foreign_keys.into_iter().collect(),
            unfinished: names.collect(),
        })
    }

    async fn run_ddl(&self, statements: &[String]) -> Result<(), DdlFailure> {
        for (place, statement) in statements.iter().enumerate() {
            self.0.lock().target.building = table_of(statement);
            self.0.step().await;
            self.0.lock().target.building = None;
            SimTarget::run_statement(&mut self.0.lock(), statement).map_err(|reason| {
                DdlFailure::Refused {
                    statement: place,
                    reason,
                }
            })?;
            let mut world = self.0.lock();
            if creates_constraint(statement) && world.fails(20) {
                world.count("own DDL refused");
                let reason = Failure::new(code::TARGET_DDL, Class::StopTable, statement, "it is there");
                return Err(DdlFailure::Refused {
                    statement: place,
                    reason,
                });
            }
        }
        self.0.step().await;
        Ok(())
    }
}

/// The fence key of the main stream, for a failure's text.
pub(crate) fn main_key(world: &World) -> Option<FenceKey> {
    let control = world.target.control.as_ref()?;
    control.fences.get(&lane_key(Lane::MAIN)).map(|row| row.key)
}
