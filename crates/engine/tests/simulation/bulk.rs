//! Loads without a stream: rows of files that are read in pieces, inserted or upserted, through
//! crashes, unclear commits and processes that claim the target from one another
//! (docs/design/load.md).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::row_source::{
    Boundary, Range, ReadRows, ReadStatus, RefusedRow, RowSet, RowSource, WriteMode,
};
use spanferry_core::port::target::{ControlStore as _, Epoch, FencedCommit, Lane, RangeRow, TablePhase};
use spanferry_core::report::code::{self, Code};
use spanferry_core::report::failure::Failure;
use spanferry_engine::bulk_load::{BulkLoad, LoadOutcome};
use spanferry_engine::plan::decide;
use spanferry_engine::prepare::{ClaimOptions, prepare_load};
use spanferry_engine::progress::Progress;
use spanferry_engine::stop::CancellationToken;

use crate::history::{AUTHOR, BEFORE, BOOK, ITEM, NOTE, Row, plans};
use crate::mapped::encode_key;
use crate::random::Random;
use crate::source::{SimSource, lost};
use crate::stream::encoded;
use crate::target::SimTarget;
use crate::unfit::REFUSED;
use crate::world::{Mutant, Shared, SourceFault, World};
use crate::{live_as, new_world, process, today};

const SEEDS: u64 = 300;
/// Seeds within which a wrong variant must be caught.
const MUTANT_SEEDS: u64 = 200;
/// Processes that one load may need.
const LIVES_MAX: usize = 40;
/// Rows of a file.
const ROWS: (u64, u64) = (0, 60);
/// Bytes of one commit: some rows.
const SMALL: usize = 120;

/// The files, and how they are loaded.
pub(crate) struct Bulk {
    /// The records of each table's file, in their order.
    pub(crate) files: [Vec<Row>; 4],
    mode: WriteMode,
    pub(crate) commit_bytes_max: usize,
    /// Records that are not there any more, by table and place.
    cut: BTreeSet<(usize, usize)>,
    /// How often a reader has begun a range.
    ranges_read: u64,
}

/// A world whose source stands still, and whose files hold rows that keep every constraint.
pub(crate) fn world(seed: u64, mutant: Option<Mutant>, mode: WriteMode) -> Shared {
    let shared = new_world(seed, mutant);
    let mut world = shared.lock();
    (world.fails_over, world.rewinds, world.lags) = (false, false, 0);
    world.administration.locks = 1;
    world.history.truncate(BEFORE);
    let random = &mut world.random;
    let files = [AUTHOR, BOOK, ITEM, NOTE].map(|table| file(random, table));
    let commit_bytes_max = if random.chance(60) { SMALL } else { 100_000 };
    world.bulk = Some(Bulk {
        files,
        mode,
        commit_bytes_max,
        cut: BTreeSet::new(),
        ranges_read: 0,
    });
    drop(world);
    shared
}

/// The records of a table, in no order.
fn file(random: &mut Random, table: usize) -> Vec<Row> {
    let rows = random.between(ROWS.0, ROWS.1) as i64;
    let tied = |key| if table == BOOK { 0 } else { key };
    let mut file: Vec<Row> = (0..rows).map(|key| [key, tied(key), key % 7]).collect();
    if table == AUTHOR && file.is_empty() {
        // The books' author.
        file.push([0, 0, 0]);
    }
    for place in (1..file.len()).rev() {
        file.swap(place, random.below(place as u64 + 1) as usize);
    }
    file
}

/// A commit has arrived: of rows that are inserted, as many are there as the ranges count.
pub(crate) fn count(world: &mut World, commit: &FencedCommit) {
    let Some(bulk) = &world.bulk else { return };
    let control = world.target.control.as_ref().unwrap();
    let mut wrong = Vec::new();
    if bulk.mode == WriteMode::Insert {
        for plan in plans() {
            let own = control.ranges.values().filter(|row| row.table == *plan.name());
            let counted: u64 = own.map(|row| row.rows).sum();
            let there = world.target.rows[plan.id.0 as usize].len() as u64;
            if counted != there {
                wrong.push(format!("{}: {there} rows, {counted} recorded", plan.name()));
            }
        }
    }
    let begun = control.ranges.values().any(|row| !row.is_finished);
    world.violations.append(&mut wrong);
    if begun && matches!(commit.lane, Lane::Load(_)) {
        world.count("a range is begun");
    }
}

pub(crate) struct SimFiles(pub(crate) Shared);

impl RowSet for SimFiles {
    type Reader = SimReader;

    async fn open(&self, _tables: &[Arc<TablePlan>]) -> Result<SimReader, Failure> {
        self.0.step().await;
        let mut world = self.0.lock();
        if world.fails(4) {
            world.count("files out of reach");
            return Err(lost(code::SOURCE_FAILED));
        }
        Ok(SimReader {
            shared: self.0.clone(),
            epoch: world
                .target
                .control
                .as_ref()
                .map(|control| control.migration.epoch),
            mode: world.bulk.as_ref().unwrap().mode,
            reading: None,
            rest: Vec::new(),
        })
    }
}

/// Reads the pieces of files. A place is the number of the records before it.
pub(crate) struct SimReader {
    shared: Shared,
    /// That of its process; none without a target.
    epoch: Option<Epoch>,
    mode: WriteMode,
    reading: Option<Arc<TablePlan>>,
    /// What is left of the piece, in falling order.
    rest: Vec<Row>,
}

/// From which record up to which a piece reaches.
fn places(after: Option<&String>, up_to: Option<&String>, records: usize) -> (usize, usize) {
    let place = |text: Option<&String>, open| text.map_or(open, |text| text.parse().unwrap());
    (place(after, 0), place(up_to, records))
}

impl SimReader {
    /// What is recorded as finished is not read again, unless another process has recorded it.
    fn expect_unfinished(&self, world: &mut World, plan: &TablePlan, piece: (usize, usize)) {
        let records = world.bulk.as_ref().unwrap().files[plan.id.0 as usize].len();
        let overlaps = |row: &&RangeRow| {
            let known = places(row.after.as_ref(), row.up_to.as_ref(), records);
            row.is_finished && row.table == *plan.name() && known.0 < piece.1 && piece.0 < known.1
        };
        let Some(control) = &world.target.control else {
            return;
        };
        let found = control.ranges.values().find(overlaps).cloned();
        if let Some(row) = found
            && self.epoch == Some(control.migration.epoch)
        {
            let text = format!("{piece:?} is read again: {row:?}");
            world.violations.push(text);
        }
    }
}

impl RowSource for SimReader {
    fn write_mode(&self) -> WriteMode {
        self.mode
    }

    async fn divide(
        &mut self,
        plan: &TablePlan,
        after: Option<&Boundary>,
        rows: u64,
    ) -> Result<Option<Boundary>, Failure> {
        self.shared.step().await;
        let mut world = self.shared.lock();
        let records = world.bulk.as_ref().unwrap().files[plan.id.0 as usize].len();
        let (from, _) = places(after.map(|place| &place.0), None, records);
        let up_to = from + world.part(rows as usize, 1, 20);
        Ok((up_to < records).then(|| Boundary(up_to.to_string())))
    }

    async fn begin(&mut self, plan: &Arc<TablePlan>, range: &Range) -> Result<(), Failure> {
        self.shared.step().await;
        let mut world = self.shared.lock();
        let table = plan.id.0 as usize;
        let is_inclusive = world.has(SourceFault::RangeInclusive);
        let turns = world.has(SourceFault::OrderTurns);
        let bulk = world.bulk.as_mut().unwrap();
        bulk.ranges_read += 1;
        let text = |place: &Option<Boundary>| place.as_ref().map(|place| place.0.clone());
        let (after, up_to) = (text(&range.after), text(&range.up_to));
        let piece = places(after.as_ref(), up_to.as_ref(), bulk.files[table].len());
        let first = piece.0.saturating_sub(usize::from(is_inclusive));
        let there = (first..piece.1).filter(|place| !bulk.cut.contains(&(table, *place)));
        self.rest = there.map(|place| bulk.files[table][place]).rev().collect();
        if turns && bulk.ranges_read.is_multiple_of(2) {
            self.rest.reverse();
        }
        self.reading = Some(Arc::clone(plan));
        self.expect_unfinished(&mut world, plan, piece);
        Ok(())
    }

    async fn read(
        &mut self,
        into: &mut ReadRows,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<ReadStatus, Failure> {
        self.shared.step().await;
        let plan = Arc::clone(self.reading.as_ref().unwrap());
        let mut world = self.shared.lock();
        if !world.has(SourceFault::RowsKept) {
            into.rows.clear();
            into.refused.clear();
        }
        if world.fails(4) {
            world.count("reader lost in a range");
            return Err(lost(code::SOURCE_FAILED));
        }
        let (rows_max, bytes_max) = if world.has(SourceFault::SizesIgnored) {
            (usize::MAX, usize::MAX)
        } else {
            (world.part(rows_max, 1, 8), bytes_max)
        };
        while into.rows.len() + into.refused.len() < rows_max && into.rows.byte_len() < bytes_max {
            let Some(row) = self.rest.pop() else {
                return Ok(ReadStatus::End);
            };
            match encoded(&plan, row) {
                Ok(encoded) => into.rows.push(&encoded),
                Err(cell) => into.refused.push(RefusedRow {
                    key: row[0].to_string(),
                    encoded_key: encode_key(&plan, row[0]),
                    cell,
                }),
            }
        }
        Ok(ReadStatus::More)
    }
}

/// What one process does: it claims the target and loads.
async fn load(shared: Shared, interrupt: CancellationToken) -> Result<LoadOutcome, Failure> {
    let target = Arc::new(SimTarget(shared.clone()));
    let today = today(&SimSource(shared.clone())).await?;
    let planned = decide(&today, target.read_control().await?.as_ref());
    let options = ClaimOptions {
        new_migration_id: "simulated".into(),
        source_name: "files".into(),
        schema: "shop".into(),
        workers: 3,
    };
    let progress = Arc::new(Progress::default());
    let load = prepare_load(target, &planned, &options, &progress).await?;
    let running = BulkLoad {
        rows: Arc::new(SimFiles(shared)),
        load,
        interrupt,
        rate: None,
    };
    running.run().await
}

/// One process; or two, of which the second claims the target after a while. The first is fenced
/// off then, unless it was through before.
async fn rivals(shared: Shared, claims_after: Option<Duration>) -> Result<LoadOutcome, Failure> {
    let first = load(shared.clone(), CancellationToken::new());
    let Some(delay) = claims_after else {
        return first.await;
    };
    let first = tokio::spawn(first);
    tokio::time::sleep(delay).await;
    let second = load(shared.clone(), CancellationToken::new()).await;
    if let Err(failure) = first.await.unwrap() {
        assert_eq!(failure.code, code::TARGET_FENCED, "{failure}");
        shared.lock().count("rival fenced off");
    }
    second
}

/// Runs processes until one is through.
fn run(shared: &Shared) -> Option<LoadOutcome> {
    let mut crashes = shared.lock().random.below(6);
    for _ in 0..LIVES_MAX {
        let delay = {
            let mut world = shared.lock();
            let steps = if world.random.chance(25) { 20 } else { 500 };
            let drawn = world.random.below(steps);
            world.crash_in = (crashes > 0).then_some(drawn);
            crashes = crashes.saturating_sub(1);
            let delay = world.random.below(1_500);
            world.random.chance(30).then(|| Duration::from_millis(delay))
        };
        let ended = live_as(shared, rivals(shared.clone(), delay));
        let mut world = shared.lock();
        if !world.violations.is_empty() {
            return None;
        }
        match ended {
            None => {}
            // What a dead process had sent has changed what this one had read.
            Some(Err(failure)) if failure.code == code::TARGET_FENCED => {}
            Some(Err(failure)) => {
                world.violations.push(format!("ended: {failure}"));
                return None;
            }
            Some(Ok(outcome)) => return Some(outcome),
        }
    }
    shared.lock().violations.push("it does not get on".into());
    None
}

/// The end of a load: the tables of these groups have stopped for this reason, all others equal
/// their files and have their constraints.
fn judge(world: &mut World, outcome: &LoadOutcome, stopped: &[(usize, Code)]) {
    let plans = plans();
    let bulk = world.bulk.as_ref().unwrap();
    let control = world.target.control.as_ref().unwrap();
    let mut wrong = Vec::new();
    for plan in &plans {
        let table = plan.id.0 as usize;
        let row = &control.tables[plan.name()];
        let reason = stopped
            .iter()
            .find(|(cause, _)| plans[*cause].group == plan.group);
        let found = row.stopped.as_ref().map(|reason| reason.code);
        if found != reason.map(|(_, code)| *code) {
            wrong.push(format!("{row:?} instead of {reason:?}"));
        }
        let told = outcome.stopped.iter().find(|(name, _)| name == plan.name());
        if told.map(|(_, reason)| reason.code) != found {
            wrong.push(format!("{outcome:?} says something else than {row:?}"));
        }
        if reason.is_some() {
            continue;
        }
        let expected: BTreeMap<i64, Row> = bulk.files[table].iter().map(|row| (row[0], *row)).collect();
        if row.phase != TablePhase::Constrained || row.rows_loaded != expected.len() as u64 {
            wrong.push(format!("ends as {row:?}"));
        }
        if world.target.rows[table] != expected {
            wrong.push(format!("{}: {:?}", plan.name(), world.target.rows[table]));
        }
        if !world.target.in_force[table] && table != NOTE {
            wrong.push(format!("{} ends without its constraint", plan.name()));
        }
    }
    if outcome.interrupted {
        wrong.push("it was not interrupted".into());
    }
    world.violations.append(&mut wrong);
}

/// Loads, and judges the end; violations and counters.
fn run_and_judge(shared: &Shared, stopped: &[(usize, Code)]) -> Vec<String> {
    let outcome = run(shared);
    let mut world = shared.lock();
    if let Some(outcome) = outcome {
        judge(&mut world, &outcome, stopped);
    }
    std::mem::take(&mut world.violations)
}

const MODES: [WriteMode; 2] = [WriteMode::Insert, WriteMode::Upsert];

#[test]
fn files_are_loaded_exactly_through_crashes_and_rivals() {
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in 0..SEEDS {
        let shared = world(seed, None, MODES[seed as usize % 2]);
        let violations = run_and_judge(&shared, &[]);
        assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
        for (what, number) in &shared.lock().counts {
            *counts.entry(what).or_default() += number;
        }
    }
    for what in [
        "a range is begun",
        "aborted",
        "commit of a dead process on its way",
        "commit too large",
        "crash while joined",
        "created by a rival",
        "crash while loading",
        "crash while pending",
        "files out of reach",
        "late commit of a dead epoch refused",
        "late commit applied",
        "own success rejected",
        "reader lost in a range",
        "reply lost",
        "request doubled",
        "rival fenced off",
    ] {
        assert!(counts.contains_key(what), "{what} never happens: {counts:#?}");
    }
}

/// A key that comes twice stops its table, wherever the two rows lie, and the reason names it.
#[test]
fn a_key_that_comes_twice_is_reported_and_not_overwritten() {
    for seed in 0..SEEDS / 3 {
        let shared = world(seed, None, WriteMode::Insert);
        let key = {
            let mut world = shared.lock();
            let World { random, bulk, .. } = &mut *world;
            let file = &mut bulk.as_mut().unwrap().files[NOTE];
            file.push([7_000, 0, 0]);
            let twin = *random.pick(file);
            let place = random.below(file.len() as u64 + 1) as usize;
            file.insert(place, [twin[0], 0, 5]);
            twin[0]
        };
        let violations = run_and_judge(&shared, &[(NOTE, code::KEY_TWICE)]);
        assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
        let world = shared.lock();
        let control = world.target.control.as_ref().unwrap();
        let reason = control.tables[plans()[NOTE].name()].stopped.clone().unwrap();
        let named = format!("the key [\"{key}\"]");
        assert!(reason.text.contains(&named), "seed {seed}: {}", reason.text);
        assert!(
            world.target.rows[NOTE].contains_key(&key),
            "the first one is there"
        );
    }
}

/// A row that cannot be converted stops its table once all others are read.
#[test]
fn a_refused_row_of_a_file_stops_its_table() {
    for seed in 0..SEEDS / 3 {
        let shared = world(seed, None, MODES[seed as usize % 2]);
        let expected = {
            let mut world = shared.lock();
            let World { random, bulk, .. } = &mut *world;
            let file = &mut bulk.as_mut().unwrap().files[ITEM];
            let place = random.below(file.len() as u64 + 1) as usize;
            file.insert(place, [8_000, 8_000, REFUSED]);
            file.len() - 1
        };
        let violations = run_and_judge(&shared, &[(ITEM, code::VALUE_REFUSED)]);
        assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
        let there = shared.lock().target.rows[ITEM].len();
        assert_eq!(there, expected, "seed {seed}: all others are there");
    }
}

/// The process dies at each step in turn, and the next one is through.
#[test]
fn a_load_goes_on_wherever_the_process_dies() {
    for step in 0.. {
        let shared = world(4, None, WriteMode::Insert);
        shared.lock().crash_in = Some(step);
        let died = live_as(&shared, rivals(shared.clone(), None)).is_none();
        if died {
            let violations = run_and_judge(&shared, &[]);
            assert!(violations.is_empty(), "step {step}: {violations:#?}");
        } else {
            assert!(step > 100, "a load has more steps than {step}");
            return;
        }
    }
}

#[test]
fn a_complete_load_reads_nothing_again() {
    let shared = world(8, None, WriteMode::Insert);
    assert_eq!(run_and_judge(&shared, &[]), [""; 0]);
    let read = |shared: &Shared| shared.lock().bulk.as_ref().unwrap().ranges_read;
    let before = read(&shared);
    assert!(before > 4);
    shared.lock().crash_in = None;
    let outcome = live_as(&shared, rivals(shared.clone(), None)).unwrap().unwrap();
    assert_eq!((outcome, read(&shared)), (LoadOutcome::default(), before));
}

#[test]
fn an_interrupted_load_says_so_and_is_resumed() {
    let shared = world(12, None, WriteMode::Insert);
    let interrupted = async |shared: Shared| {
        let interrupt = CancellationToken::new();
        let loading = tokio::spawn(load(shared, interrupt.clone()));
        tokio::time::sleep(Duration::from_millis(300)).await;
        interrupt.cancel();
        loading.await.unwrap()
    };
    shared.lock().crash_in = None;
    let outcome = live_as(&shared, interrupted(shared.clone())).unwrap().unwrap();
    assert!(outcome.interrupted && outcome.stopped.is_empty(), "{outcome:?}");
    assert_eq!(run_and_judge(&shared, &[]), [""; 0]);
}

/// A file that has lost records of a range that was begun is not taken for the one that it was.
#[test]
fn a_range_that_became_shorter_stops_its_table() {
    for step in 0.. {
        let shared = world(4, None, WriteMode::Insert);
        shared.lock().crash_in = Some(step);
        assert!(
            live_as(&shared, rivals(shared.clone(), None)).is_none(),
            "no range is ever begun"
        );
        let table = {
            let mut world = shared.lock();
            let control = world.target.control.as_ref();
            let ranges = control.into_iter().flat_map(|control| control.ranges.values());
            let begun = ranges.into_iter().find(|row| !row.is_finished && row.rows > 0);
            let Some(row) = begun.cloned() else { continue };
            let table = plans().iter().position(|plan| *plan.name() == row.table).unwrap();
            let bulk = world.bulk.as_mut().unwrap();
            let (from, up_to) = places(row.after.as_ref(), row.up_to.as_ref(), bulk.files[table].len());
            let kept = from + row.rows as usize - 1;
            bulk.cut.extend((kept..up_to).map(|place| (table, place)));
            table
        };
        let violations = run_and_judge(&shared, &[(table, code::ROWS_CHANGED)]);
        assert!(violations.is_empty(), "{violations:#?}");
        return;
    }
}

/// A load is not continued as a migration, nor a migration as a load.
#[test]
fn the_road_of_a_migration_does_not_change() {
    let shared = world(16, None, WriteMode::Insert);
    shared.lock().crash_in = None;
    live_as(&shared, rivals(shared.clone(), None)).unwrap().unwrap();
    let refused = live_as(&shared, process(shared.clone(), None)).unwrap();
    assert_eq!(refused.unwrap_err().code, code::ROAD_CHANGED);

    let shared = world(16, None, WriteMode::Insert);
    let bulk = shared.lock().bulk.take();
    shared.lock().crash_in = None;
    live_as(&shared, process(shared.clone(), None)).unwrap().unwrap();
    shared.lock().bulk = bulk;
    let refused = live_as(&shared, rivals(shared.clone(), None)).unwrap();
    assert_eq!(refused.unwrap_err().code, code::ROAD_CHANGED);
}

/// Wrong variants are caught: a commit that does not record what it brings, one of a dead process
/// that lands, a key that is overwritten.
#[test]
fn wrong_loads_are_caught() {
    for mutant in [Mutant::BegunForgotten, Mutant::NoLoadFence] {
        let is_caught = |seed| {
            let shared = world(seed, Some(mutant), WriteMode::Insert);
            !run_and_judge(&shared, &[]).is_empty()
        };
        assert!((0..MUTANT_SEEDS).any(is_caught), "{mutant:?} is not caught");
    }
    let shared = world(0, Some(Mutant::InsertOverwrites), WriteMode::Insert);
    shared.lock().bulk.as_mut().unwrap().files[NOTE].extend([[7_000, 0, 0]; 2]);
    let violations = run_and_judge(&shared, &[(NOTE, code::KEY_TWICE)]);
    assert!(!violations.is_empty(), "an overwritten key is not caught");
}
