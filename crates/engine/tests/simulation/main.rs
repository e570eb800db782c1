//! The whole engine in virtual time: seeded histories, crashes between durable steps, unclear
//! commits; the target must equal a serial replay of the source (docs/design/hand-off.md).
//! `SPANFERRY_SEED=N` replays one seed.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "the world is small"
)]

mod backward;
mod batch;
mod bulk;
mod catalog;
mod conformance;
mod conformance_log;
mod conformance_rows;
mod conformance_source;
mod cut;
mod ended;
mod history;
mod interrupt;
mod last_look;
mod log;
mod mapped;
mod pieces;
#[path = "../../../testkit/src/random.rs"]
#[expect(
    unreachable_pub,
    reason = "the test kit's generator, shared without its connectors"
)]
mod random;
mod refused;
mod rewound;
mod scan;
mod snapshot;
mod source;
mod stream;
mod survey;
mod target;
mod unfit;
mod verification;
mod witness;
mod world;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use random::{Random, SEED_VARIABLE, seed};
use spanferry_core::apply::window::WindowLimits;
use spanferry_core::plan::GroupId;
use spanferry_core::port::source::CatalogSource as _;
use spanferry_core::port::target::{
    ControlState, ControlStore as _, SchemaTarget as _, TablePhase, TableRow,
};
use spanferry_core::position::Position;
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::Severity;
use spanferry_core::schema::source::QualifiedName;
use spanferry_engine::migrate::{Migration, Outcome, StopWhen};
use spanferry_engine::plan::{Resync, ResyncRequest, Today, decide, decide_resync};
use spanferry_engine::prepare::{ClaimOptions, PrepareOptions, Unproved, prepare};
use spanferry_engine::progress::Progress;
use spanferry_engine::resync::resync;
use spanferry_engine::retention::RetentionOptions;
use spanferry_engine::stop::CancellationToken;

use backward::{LAGS_MAX, goes_back, is_old_log, put_back_log};
use catalog::{CatalogChanges, bring_back, change_catalog, explains, judge_record, taken_over};
use history::{BEFORE, BOOK, History, Kind, plans};
use log::SimLog;
use source::SimSource;
use target::{SimTarget, TargetState, continue_building, expected_rows, leave_in_flight, main_key, reached};
use world::{Administration, Mutant, Reservation, Shared, SourceFault, World, number_of};

const SEEDS: u64 = 1_000;
/// Seeds within which a wrong variant must be caught.
const MUTANT_SEEDS: u64 = 2_000;
const LIMITS: WindowLimits = WindowLimits {
    bytes_best: 300,
    bytes_max: 100_000,
    mutations_max: 24,
};
/// Nothing is kept beyond need, and the log is trimmed often: what a later life misses is a
/// violation.
const RETENTION: RetentionOptions = RetentionOptions {
    keep: Duration::ZERO,
    look_interval: Duration::from_millis(40),
};
/// Processes that one run may need; more means that it does not get on.
const LIVES_MAX: usize = 60;
/// Virtual time after which a process that has not ended is stuck.
const LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

fn new_world(seed: u64, mutant: Option<Mutant>) -> Shared {
    let mut random = Random::new(seed);
    let kind = match seed % 4 {
        2 => Kind::Unfit,
        0 => Kind::Large,
        1 => Kind::Prepared,
        _ => Kind::Ordinary,
    };
    let history = History::new(&mut random, kind);
    let fails_over = random.chance(30);
    let rewinds = !fails_over && random.chance(25);
    let lags = if goes_back(mutant) && !rewinds && random.chance(40) {
        LAGS_MAX
    } else {
        0
    };
    let rewinds_late = random.chance(70);
    Shared::new(World {
        random,
        mutant,
        bare: false,
        log_writer: Weak::new(),
        bulk: None,
        is_mapped: false,
        administration: Administration::default(),
        catalog: CatalogChanges::default(),
        history,
        committed: BEFORE,
        received: BEFORE,
        fails_over,
        lags,
        fork: None,
        rewinds,
        rewinds_late,
        rewinds_unseen: false,
        rewound: None,
        is_quiet: false,
        sessions: (0, 0),
        commits_behind: None,
        reservation: Reservation {
            forgets: seed % 5 == 3 && !fails_over && !rewinds && lags == 0,
            ..Reservation::default()
        },
        exports: seed % 7 == 2,
        log: None,
        log_copy: None,
        target: TargetState::default(),
        crash_in: None,
        crashes_inside_cuts: 2,
        violations: Vec::new(),
        counts: BTreeMap::new(),
    })
}

/// What the source shows, and what of it is selected.
pub(crate) async fn today(source: &SimSource) -> Result<Today, Failure> {
    let catalog = source.catalog().await?;
    let (tables, cascades) = (catalog.tables, catalog.cascades);
    let world = source.0.lock();
    let (selected, unselected): (Vec<_>, Vec<_>) = tables
        .into_iter()
        .partition(|table| world.catalog.selects(&table.name));
    Ok(Today {
        selected,
        unselected: unselected.into_iter().map(|table| table.name).collect(),
        mapping: history::MAPPING,
        cascades,
    })
}

/// What the resync of a table does.
async fn decided(
    shared: &Shared,
    today: &Today,
    target: &SimTarget,
    table: usize,
) -> Result<Resync, Failure> {
    let plans = plans();
    let control = shared.lock().target.control.clone().unwrap();
    let description = target.describe().await?;
    let request = ResyncRequest {
        table: plans[table].name(),
        today,
        control: &control,
        description: &description,
        checked: &[],
    };
    Ok(decide_resync(request, |finding| finding.severity == Severity::Blocking).unwrap())
}

/// What one process does: resync one group if asked, or migrate until it has caught up.
async fn process(shared: Shared, resynced: Option<usize>) -> Result<Option<Outcome>, Failure> {
    let source = Arc::new(SimSource(shared.clone()));
    let target = Arc::new(SimTarget(shared.clone()));
    let options = PrepareOptions {
        claim: ClaimOptions {
            new_migration_id: "simulated".into(),
            source_name: "simulated".into(),
            schema: "shop".into(),
            workers: 3,
        },
        unproved: Unproved::Refused,
    };
    let today = today(source.as_ref()).await?;
    let control = target.read_control().await?;
    let mut planned = decide(&today, control.as_ref());
    if !planned.is_recorded() {
        mapped::replace_plan(&shared.lock(), &mut planned);
    }
    let progress = Arc::new(Progress::default());
    let decided = match resynced {
        None => None,
        Some(table) => {
            planned = planned.to_change(control.as_ref().expect("there is something to resync"));
            Some(decided(&shared, &today, target.as_ref(), table).await?)
        }
    };
    let logs = SimLog(shared.clone());
    let prepared = prepare(
        source.as_ref(),
        Arc::clone(&target),
        &logs,
        &planned,
        &options,
        &progress,
    )
    .await?;
    if let Some(decided) = decided {
        resync(&prepared, &decided).await?;
        return Ok(None);
    }
    let migration = Migration {
        source: Arc::clone(&source),
        prepared,
        interrupt: CancellationToken::new(),
        progress: Arc::clone(&progress),
        stop_when: StopWhen::CaughtUp,
        sees_all_tables: true,
        lock: false,
        source_rate: None,
        retention: RETENTION,
    };
    let outcome = migration.run().await?;
    let findings = progress.snapshot().findings;
    let mut left_out = findings
        .iter()
        .filter(|finding| finding.code == code::CONSTRAINT_LEFT_OUT);
    if let Some(finding) = left_out.next()
        && shared.lock().history.checks_keys
    {
        let text = format!("{} could stand, but is {}", finding.subject, finding.text);
        shared.lock().violations.push(text);
    }
    Ok(Some(outcome))
}

/// Runs one process in virtual time; `None` if it died.
fn live(shared: &Shared, resynced: Option<usize>) -> Option<Result<Option<Outcome>, Failure>> {
    live_as(shared, process(shared.clone(), resynced))
}

/// The same for what any process does.
fn live_as<R: Send + 'static>(
    shared: &Shared,
    process: impl Future<Output = R> + Send + 'static,
) -> Option<R> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    shared.crashed.send_replace(false);
    let mut died = shared.crashed.subscribe();
    let ended = runtime.block_on(async {
        tokio::select! {
            biased;
            _ = died.wait_for(|died| *died) => None,
            ended = tokio::spawn(process) => Some(ended.unwrap()),
            () = tokio::time::sleep(LIFE_MAX) => {
                shared.lock().stuck();
                None
            }
        }
    });
    drop(runtime);
    if ended.is_none() {
        died_at(shared);
    }
    ended
}

/// Counts where the process died, and what the death takes with it.
fn died_at(shared: &Shared) {
    let mut world = shared.lock();
    let phases = world
        .target
        .control
        .as_ref()
        .map(|control| control.tables.values().map(|row| row.phase).collect::<Vec<_>>());
    world.count("crash");
    for phase in phases.iter().flatten() {
        world.count(match phase {
            TablePhase::Pending => "crash while pending",
            TablePhase::Loading => "crash while loading",
            TablePhase::Loaded => "crash while loaded",
            TablePhase::Joined => "crash while joined",
            TablePhase::Constrained => "crash while constrained",
            TablePhase::Stopped => "crash while stopped",
        });
    }
    if phases.is_none() {
        world.count("crash before the first epoch");
    }
    continue_building(&mut world);
    leave_in_flight(&mut world);
    if world.bulk.is_some() {
        return;
    }
    let share = world.random.below(101) as usize;
    if let Some(log) = &mut world.log
        && log.crash(|tail| tail * share / 100)
    {
        world.count("log's tail lost");
    }
    if world.reservation.forgets {
        // What was acknowledged is in the log alone.
        return;
    }
    put_back_log(&mut world);
    if world.random.chance(10) {
        world.log = None;
        world.count("log lost");
        if world.random.chance(50) {
            forget_unneeded(&mut world);
        }
    }
}

/// The source forgets everything that a new change log does not need: what lies before the main
/// stream's position and before the `low` of each table that is still to catch up
/// (docs/design/retention.md, step 5). The last transaction before stays: the source is recognised
/// by it.
fn forget_unneeded(world: &mut World) {
    let Some(control) = &world.target.control else {
        return;
    };
    let is_to_catch_up = |row: &&TableRow| {
        matches!(
            row.phase,
            TablePhase::Pending | TablePhase::Loading | TablePhase::Loaded
        )
    };
    let rows = control.tables.values().filter(is_to_catch_up);
    let lows: Vec<&Position> = rows.filter_map(|row| row.low.as_ref()).collect();
    if lows.iter().any(|low| !world.holds(low)) {
        // Lost in a failover: the log begins where the migration began.
        return;
    }
    let needed = lows
        .into_iter()
        .chain([&reached(control).position])
        .map(|at| number_of(&at.to_string()))
        .min();
    let kept = needed.map_or(0, |needed| needed.saturating_sub(1));
    world.administration.purged = world.administration.purged.max(kept);
    if kept > BEFORE {
        world.count("source forgets what came after the beginning");
    }
}

/// A whole run over one seed; violations and counters. `crash_at` kills the first process at
/// exactly that step.
fn run(
    seed: u64,
    mutant: Option<Mutant>,
    crash_at: Option<u64>,
) -> (Vec<String>, BTreeMap<&'static str, u64>) {
    run_in(&new_world(seed, mutant), crash_at)
}

/// A whole run in a world; violations and counters.
pub(crate) fn run_in(shared: &Shared, crash_at: Option<u64>) -> (Vec<String>, BTreeMap<&'static str, u64>) {
    let mut crashes = if crash_at.is_some() {
        1
    } else {
        shared.lock().random.below(7)
    };
    if crash_at.is_some() {
        shared.lock().crashes_inside_cuts = 0;
    }
    let mut resynced = None;
    for life in 0.. {
        if life > LIVES_MAX {
            shared.lock().violations.push("it does not get on".into());
        }
        {
            let mut world = shared.lock();
            if resynced.is_some() {
                bring_back(&mut world);
            } else if crashes > 0 && world.random.chance(35) {
                change_catalog(&mut world);
            }
            let steps = if world.random.chance(25) { 12 } else { 250 };
            let drawn = world.random.below(steps);
            world.crash_in = (crashes > 0).then(|| crash_at.unwrap_or(drawn));
            crashes = crashes.saturating_sub(1);
        }
        let ended = live(shared, resynced);
        let mut world = shared.lock();
        if !world.violations.is_empty() {
            break;
        }
        match ended {
            None => {}
            Some(Err(failure)) if failure.code == code::HISTORY_CHANGED && knows_what_is_lost(&world) => {
                world.count("rewound source refused");
                break;
            }
            // The last process had a commit on its way, which has changed what this one had read.
            Some(Err(failure)) if failure.code == code::TARGET_FENCED => {
                world.count("start refused as the record had changed");
            }
            Some(Err(failure)) if failure.code == code::LOG_CORRUPT && is_old_log(&mut world) => {}
            Some(Err(failure)) => {
                let key = main_key(&world);
                world
                    .violations
                    .push(format!("ended at {key:?}: {}: {failure}", failure.code));
                break;
            }
            Some(Ok(None)) => {
                world.count("resync");
                taken_over(&mut world);
                resynced = None;
            }
            Some(Ok(Some(outcome))) => {
                judge(&mut world, &outcome);
                judge_record(&mut world);
                let stopped = outcome.stopped.first().map(|(table, _)| table.clone());
                let whole = number_of(&outcome.position) == world.history.transactions.len();
                world.committed = world.history.transactions.len();
                resynced =
                    stopped.map(|table| plans().iter().position(|plan| *plan.name() == table).unwrap());
                if !world.violations.is_empty() || (resynced.is_none() && whole) {
                    break;
                }
            }
        }
    }
    let mut world = shared.lock();
    (
        std::mem::take(&mut world.violations),
        std::mem::take(&mut world.counts),
    )
}

/// The end of a process: every table equals the source where the main stream stands, or is stopped
/// for a reason that exists.
fn judge(world: &mut World, outcome: &Outcome) {
    // The stop may come inside a transaction that takes several commits: its first changes are
    // there.
    let expected = expected_rows(world);
    let status = if outcome.stopped.is_empty() { 0 } else { 4 };
    let mut wrong = Vec::new();
    if outcome.exit_status() != status || outcome.interrupted {
        wrong.push(format!("exit status of {outcome:?}"));
    }
    let mut transactions = world.history.transactions.iter();
    let is_prepared = transactions.any(|one| matches!(one, history::Transaction::Prepare(..)));
    let control = world.target.control.as_ref().unwrap();
    for plan in plans() {
        let (table, name) = (plan.id.0 as usize, plan.name());
        let row = &control.tables[name];
        match outcome.stopped.iter().find(|(stopped, _)| stopped == name) {
            Some((_, reason)) => {
                let is_truncated = world.history.transactions.iter().any(
                    |transaction| matches!(transaction, history::Transaction::Truncate(at) if *at == table),
                );
                let truncated = is_truncated && reason.code == code::DDL_SEEN;
                let history = reason.code == code::HISTORY_CHANGED && saw_what_is_lost(world, plan.group);
                let catalog = explains(world, table, reason.code);
                let is_unfit = unfit::explains(world, plan.group, reason.code);
                let prepared = is_prepared && reason.code == code::EVENT_UNSUPPORTED
                    || table == history::NOTE && is_prepared && reason.code == code::DDL_SEEN;
                let is_explained = truncated || history || catalog || is_unfit || prepared;
                if row.phase != TablePhase::Stopped || !is_explained {
                    wrong.push(format!("{name} stops: {reason}"));
                }
            }
            None if row.phase != TablePhase::Constrained => wrong.push(format!("{name} ends as {row:?}")),
            None if is_constrained(control, name) && !world.target.in_force[table] => {
                let is_recorded = control
                    .left_out
                    .keys()
                    .any(|(left_out, _)| left_out == plan.name());
                if table != BOOK || world.history.checks_keys || !is_recorded {
                    wrong.push(format!(
                        "{name} ends without its constraint: {:?}",
                        control.left_out
                    ));
                }
            }
            None if world.target.in_force[table]
                && control
                    .left_out
                    .keys()
                    .any(|(left_out, _)| left_out == plan.name()) =>
            {
                wrong.push(format!(
                    "{name}: its constraint stands and is recorded as left out"
                ));
            }
            None if world.target.rows[table] != expected[table] => {
                wrong.push(format!(
                    "{name}: {:?}, source {:?}",
                    world.target.rows[table], expected[table]
                ));
            }
            None => {}
        }
    }
    if !outcome.stopped.is_empty() {
        world.count("group stopped");
    }
    let mut reasons = outcome.stopped.iter().map(|(_, reason)| reason);
    if reasons
        .clone()
        .any(|reason| reason.code == code::EVENT_UNSUPPORTED)
    {
        world.count("group stopped by the commit of what was prepared");
    }
    if reasons.any(|reason| reason.code == code::HISTORY_CHANGED) {
        world.count("group stopped by what a failover lost");
    }
    world.violations.append(&mut wrong);
}

/// Whether the record of a table has an index or a foreign key.
fn is_constrained(control: &ControlState, table: &QualifiedName) -> bool {
    let target = &control.definitions[table].target;
    !(target.indexes.is_empty() && target.foreign_keys.is_empty())
}

/// Whether a snapshot of the group saw transactions that the source has lost.
fn saw_what_is_lost(world: &World, group: GroupId) -> bool {
    let control = world.target.control.as_ref().unwrap();
    plans().iter().filter(|plan| plan.group == group).any(|plan| {
        let high = control.tables[plan.name()].high.as_ref();
        high.is_some_and(|high| !world.holds(&high.position))
    })
}

/// Whether anything was captured, applied or claimed that the source has lost when it was rewound.
fn knows_what_is_lost(world: &World) -> bool {
    let Some(kept) = world.rewound else { return false };
    let Some(control) = &world.target.control else {
        return false;
    };
    let captured = world.log.as_ref().map(|log| log.end().position);
    let reached = control.fences.values().filter_map(|fence| fence.reached.as_ref());
    let applied = reached.map(|reached| reached.position.clone());
    let tables = control.tables.values();
    let claimed = tables
        .flat_map(|row| [row.low.clone(), row.high.clone().map(|high| high.position)])
        .flatten();
    let mut known = captured.into_iter().chain(applied).chain(claimed);
    known.any(|position| number_of(&position.to_string()) > kept)
}

/// Runs seeds on two threads; the first violation, and all counters. A wrong variant is known to be
/// caught once one thread has caught it.
fn run_seeds(seeds: u64, mutant: Option<Mutant>) -> (Option<String>, BTreeMap<&'static str, u64>) {
    let is_caught = AtomicBool::new(false);
    let half = |first: u64| {
        let mut counts = BTreeMap::new();
        for seed in (first..seeds).step_by(2) {
            if mutant.is_some() && is_caught.load(Ordering::Relaxed) {
                break;
            }
            let (violations, counted) = run(seed, mutant, None);
            for (what, count) in counted {
                *counts.entry(what).or_default() += count;
            }
            if let Some(violation) = violations.first() {
                is_caught.store(true, Ordering::Relaxed);
                return (Some(format!("{SEED_VARIABLE}={seed}: {violation}")), counts);
            }
        }
        (None, counts)
    };
    let (left, right) = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        (half(0), other.join().unwrap())
    });
    let mut counts: BTreeMap<&'static str, u64> = left.1;
    for (what, count) in right.1 {
        *counts.entry(what).or_default() += count;
    }
    (left.0.or(right.0), counts)
}

const MUST_HAPPEN: [&str; 73] = [
    "rows of a rejected transaction taken alone",
    "acknowledged and forgotten",
    "sessions on one exported state",
    "older copy of the log put back",
    "older copy of the log refused",
    "snapshot of a source that lags",
    "source lags behind",
    "change of the catalog taken over",
    "colliding table created",
    "colliding table dropped",
    "constraint dropped or added at the source",
    "table altered",
    "table dropped",
    "table excluded",
    "table excluded in a cut transaction",
    "table created again",
    "table included again",
    "unique index added or dropped at the source",
    "prepared and not listed",
    "prepared and passed",
    "prepared and waited for",
    "group stopped by the commit of what was prepared",
    "source forgets what came after the beginning",
    "commit of a dead process on its way",
    "control state changed before an epoch",
    "rewound",
    "rewound source refused",
    "failover",
    "failover with loss",
    "group stopped by what a failover lost",
    "log trimmed",
    "aborted",
    "aborted with a delay",
    "apply commit",
    "catch-up commit",
    "constraint in the way",
    "constraint refused",
    "control commit",
    "crash",
    "crash before the first epoch",
    "crash while constrained",
    "crash while joined",
    "crash while loaded",
    "crash while loading",
    "crash while pending",
    "crash while stopped",
    "group stopped",
    "late commit applied",
    "late commit of a dead epoch refused",
    "late commit refused",
    "load commit",
    "log at its budget",
    "log lost",
    "log's tail lost",
    "own DDL refused",
    "own success rejected",
    "reply lost",
    "request doubled",
    "request late",
    "request lost",
    "resync",
    "session lost in a range",
    "sessions at several positions",
    "stream cut in a transaction",
    "unfinished constraint met",
    "transaction cut in pieces",
    "crash inside a cut transaction",
    "value refused in the load",
    "value refused in the catch-up",
    "value refused in the stream",
    "value rejected in the load",
    "value rejected in a stream",
    "values refused in two groups at once",
];

#[test]
fn the_target_equals_a_serial_replay_of_random_histories() {
    if std::env::var(SEED_VARIABLE).is_ok() {
        let (violations, counts) = run(seed(0), None, None);
        assert!(violations.is_empty(), "{violations:#?} {counts:#?}");
        return;
    }
    let (violation, counts) = run_seeds(SEEDS, None);
    assert_eq!(violation, None);
    for what in MUST_HAPPEN {
        assert!(counts.contains_key(what), "never happened: {what}; {counts:#?}");
    }
}

/// One history, a crash at each durable step in turn, until a run gets through without meeting it.
#[test]
fn a_crash_between_every_two_durable_steps() {
    for step in 0.. {
        let (violations, counts) = run(7, None, Some(step));
        assert!(violations.is_empty(), "step {step}: {violations:#?}");
        if !counts.contains_key("crash") {
            assert!(step > 200, "a run has more steps than {step}");
            return;
        }
    }
}

#[test]
fn a_seed_replays() {
    assert_eq!(run(11, None, None), run(11, None, None));
}

#[test]
fn wrong_variants_are_caught() {
    for mutant in [
        Mutant::NoLoadFence,
        Mutant::EpochOnly,
        Mutant::LowReadAgain,
        Mutant::HighIsLow,
        Mutant::HighKept,
        Mutant::HoldsAnything,
        Mutant::NumbersOnly,
        Mutant::StreamByNumbers,
        Mutant::ClaimByNumbers,
        Mutant::CheckpointBefore,
        Mutant::RecordBefore,
        Mutant::PlanDecidedAgain,
        Mutant::KeyChosenAgain,
        Mutant::CountSelected,
        Mutant::OldLogIsTaken,
        Mutant::RefusedRangeRecorded,
        Mutant::OneStopACommit,
        Mutant::TrimsOneMore,
        Mutant::TrimsWhatIsRead,
        Mutant::JoinsInsideCut,
        Mutant::Source(SourceFault::RefusedPassedOver),
        Mutant::Source(SourceFault::RefusedOfLastRangeOnly),
        Mutant::Source(SourceFault::RefusedChangePassedOver),
        Mutant::PreparedUnseen,
        Mutant::AcknowledgedEarly,
    ] {
        let (violation, _) = run_seeds(MUTANT_SEEDS, Some(mutant));
        assert!(violation.is_some(), "{mutant:?} passes {MUTANT_SEEDS} seeds");
    }
}
