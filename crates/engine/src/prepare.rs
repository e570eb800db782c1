//! The start: a new migration is set up or a known one taken over, and everything that runs it is put together.
//!
//! Order of a new one: tables, control tables, change log, then the migration's row with the first epoch. A crash before the
//! last step leaves nothing that a second start would not do again; nor does one between a lost log's successor and the epoch
//! that names it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use spanferry_core::change_log::{ChangeLog, LogId, Sequence};
use spanferry_core::code;
use spanferry_core::ddl;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::finding::{Finding, Severity, Subject};
use spanferry_core::plan::TablePlan;
use spanferry_core::position::Position;
use spanferry_core::reached::Reached;
use spanferry_core::source::{ChangeSource, SchemaSource};
use spanferry_core::target::{
    ControlChange, ControlState, Epoch, FenceKey, FenceRow, Lane, MigrationRow, RangeRow, TablePhase,
    TableRow, Target, TargetDescription,
};
use spanferry_core::target_schema::Dialect;
use spanferry_kill_point::kill_point;
use tokio::sync::Semaphore;

use crate::constraint;
use crate::history::expect_history;
use crate::lane::{FencedLane, LaneShared};
use crate::migrate::ControlLane;
use crate::progress::{Progress, TableProgress};
use crate::registry::{Registry, TableState, Transition};
use crate::stop::StopSignal;

/// Version of the control tables that this release writes and reads.
const CONTROL_VERSION: u32 = 1;

/// Where change logs are kept; implemented over a state directory.
pub trait LogStore: Send + Sync + 'static {
    /// Its logs.
    type Log: ChangeLog;

    /// Opens the log that is there, if any.
    fn open(&self) -> impl Future<Output = Result<Option<Self::Log>, Failure>> + Send;

    /// Erases what is there and creates a log with this identity, whose first transaction comes after `start`. A crash
    /// leaves no log or an empty one.
    fn create(
        &self,
        id: &LogId,
        start: &Position,
        source: &str,
    ) -> impl Future<Output = Result<Self::Log, Failure>> + Send;
}

/// A migration that is ready to run.
pub struct Prepared<L, T> {
    /// The change log.
    pub log: Arc<L>,
    /// Table states.
    pub registry: Arc<Registry>,
    /// What lanes share.
    pub shared: LaneShared<T>,
    /// The lane of control state.
    pub control: Arc<ControlLane<T>>,
    /// The main stream's lane.
    pub main: FencedLane<T>,
    /// The catch-up stream's lane.
    pub catch_up: FencedLane<T>,
    /// One lane per load worker.
    pub load_lanes: Vec<FencedLane<T>>,
    /// Finished ranges.
    pub ranges: BTreeMap<(String, u64), RangeRow>,
    /// Where the main stream's watermark stands in the source's history.
    pub reached: Reached,
    /// The target's dialect.
    pub dialect: Dialect,
}

/// What a start needs to know.
#[derive(Debug, Clone)]
pub struct PrepareOptions {
    /// UUID for a migration that is new.
    pub new_migration_id: String,
    /// Source and schema, for a person, without secrets; a resume with another one is only noted.
    pub source_name: String,
    /// Fingerprint of the schema name and dialect: another one is another migration.
    pub mapping: String,
    /// Load workers.
    pub workers: u32,
    /// Whether the plans are all that is selected: a recorded table without a plan is then left behind by the stream, and stops.
    pub whole: bool,
}

/// What must not be there for a new migration: blocking findings, one per table.
pub fn check_empty(plans: &[Arc<TablePlan>], description: &TargetDescription) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, existing) in &description.tables {
        let subject = Subject::table(name.clone());
        let reason = match plans.iter().find(|plan| &plan.target.name == name) {
            None => Some("it is not one of the migrated tables".to_owned()),
            Some(_) if existing.has_rows => Some("it has rows".to_owned()),
            Some(plan) if existing.misfit.is_none() && fits(plan, existing) => None,
            Some(_) => Some(
                existing
                    .misfit
                    .clone()
                    .unwrap_or_else(|| "its columns or key differ".to_owned()),
            ),
        };
        if let Some(reason) = reason {
            let text = format!("the target has a table `{name}` already: {reason}");
            findings.push(Finding::new(
                code::TARGET_NOT_EMPTY,
                Severity::Blocking,
                subject,
                text,
            ));
        }
    }
    findings
}

fn fits(plan: &TablePlan, existing: &spanferry_core::target::ExistingTable) -> bool {
    existing.table.columns == plan.target.columns && existing.table.primary_key == plan.target.primary_key
}

/// A fingerprint of a source table's definition: what values and keys depend on.
pub fn definition_of(plan: &TablePlan) -> String {
    let source = &plan.source;
    let columns: Vec<_> = source
        .columns
        .iter()
        .map(|column| (&column.name, &column.ty, column.nullable))
        .collect();
    let text = format!("{columns:?} {:?} {:?}", source.primary_key, plan.target.columns);
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}

/// Sets a new migration up, or takes a known one over.
pub async fn prepare<S, B, T>(
    source: &S,
    target: Arc<T>,
    logs: &B,
    plans: Vec<Arc<TablePlan>>,
    options: &PrepareOptions,
) -> Result<(Prepared<B::Log, T>, Arc<Progress>), Failure>
where
    S: SchemaSource + ChangeSource,
    B: LogStore,
    T: Target,
{
    let description = target.describe().await?;
    let start = match target.read_control().await? {
        None => begin_new(source, target.as_ref(), logs, &plans, options, &description).await?,
        Some(state) => take_over(source, target.as_ref(), logs, &plans, options, state).await?,
    };
    let (prepared, progress) = assemble(start, target, plans, options, description.dialect).await?;
    constraint::find_left_out(&prepared.registry, prepared.dialect, &description, &progress);
    Ok((prepared, progress))
}

/// A start that owns the fence.
struct Start<L> {
    log: L,
    epoch: Epoch,
    main: FenceRow,
    reached: Reached,
    tables: BTreeMap<String, TableRow>,
    ranges: BTreeMap<(String, u64), RangeRow>,
    findings: Vec<Finding>,
}

async fn begin_new<S: SchemaSource, B: LogStore, T: Target>(
    source: &S,
    target: &T,
    logs: &B,
    plans: &[Arc<TablePlan>],
    options: &PrepareOptions,
    description: &TargetDescription,
) -> Result<Start<B::Log>, Failure> {
    let missing = plans
        .iter()
        .filter(|plan| !description.tables.contains_key(&plan.target.name));
    let statements: Vec<String> = missing
        .map(|plan| ddl::create_table(&plan.target, description.dialect))
        .collect();
    kill_point("before tables", "");
    if !statements.is_empty() {
        target.run_ddl(&statements).await?;
    }
    kill_point("after tables", "");
    target.create_control().await?;
    kill_point("after control tables", "");
    let position = source.position().await?;
    let id = log_id(&options.new_migration_id, Epoch(1));
    let log = logs.create(&id, &position, &options.source_name).await?;
    kill_point("after log creation", "");
    let migration = MigrationRow {
        id: options.new_migration_id.clone(),
        epoch: Epoch(1),
        log_id: log.id().0,
        source: options.source_name.clone(),
        start_position: position.to_string(),
        mapping: options.mapping.clone(),
        version: CONTROL_VERSION,
    };
    let reached = Reached { position, torn: None };
    let main = fence_row(Epoch(1), Sequence::ZERO, &reached);
    target
        .begin_epoch(None, &migration, &fences(Epoch(1), &main, options.workers))
        .await?;
    kill_point("after first epoch", "");
    Ok(Start {
        log,
        epoch: Epoch(1),
        main,
        reached,
        tables: BTreeMap::new(),
        ranges: BTreeMap::new(),
        findings: Vec::new(),
    })
}

async fn take_over<S: SchemaSource + ChangeSource, B: LogStore, T: Target>(
    source: &S,
    target: &T,
    logs: &B,
    plans: &[Arc<TablePlan>],
    options: &PrepareOptions,
    state: ControlState,
) -> Result<Start<B::Log>, Failure> {
    refuse_foreign(&state, options)?;
    let old = main_fence(&state)?;
    let mut reached = Reached::parse(&old.position, old.key.piece)
        .map_err(|cause| damaged("position of the main stream").caused_by(cause))?;
    if !counts_as_before(plans, &state) {
        // Its changes would be counted otherwise now: it is applied anew from the first, which repeats and loses nothing.
        reached.torn = None;
    }
    let epoch = Epoch(state.migration.epoch.0 + 1);
    let mut findings = Vec::new();
    let (log, sequence) = match own_log(logs, &state, epoch).await? {
        Some(log) => {
            compare_log(&log, &old, &reached.position).await?;
            let (_, captured) = log.end().await?;
            expect_source(source, &captured, &reached.position).await?;
            (log, old.key.sequence)
        }
        None => {
            let text =
                "the change log is not in the state directory: changes are fetched again from the source";
            findings.push(Finding::new(
                code::STATE_LOST,
                Severity::Warning,
                Subject::whole(),
                text,
            ));
            let start = new_log_start(&state, &reached.position)?;
            // The source must also hold the transaction of which the target has the first changes.
            let mut applied = reached.position.clone();
            if let Some(torn) = &reached.torn {
                applied
                    .advance(&torn.transaction)
                    .map_err(|cause| damaged("torn transaction of the main stream").caused_by(cause))?;
            }
            expect_source(source, &start, &applied).await?;
            kill_point("before log creation", "");
            let id = log_id(&state.migration.id, epoch);
            let log = logs.create(&id, &start, &options.source_name).await?;
            kill_point("after log creation", "");
            (log, Sequence::ZERO)
        }
    };
    let migration = MigrationRow {
        epoch,
        log_id: log.id().0,
        ..state.migration.clone()
    };
    let main = fence_row(epoch, sequence, &reached);
    kill_point("before next epoch", "");
    target
        .begin_epoch(
            Some(&state.migration),
            &migration,
            &fences(epoch, &main, options.workers),
        )
        .await?;
    kill_point("after next epoch", "");
    Ok(Start {
        log,
        epoch,
        main,
        reached,
        tables: state.tables,
        ranges: state.ranges,
        findings,
    })
}

fn refuse_foreign(state: &ControlState, options: &PrepareOptions) -> Result<(), Failure> {
    let refuse = |text: String| {
        Err(Failure::new(
            code::STATE_FOREIGN,
            Class::StopMigration,
            "target",
            text,
        ))
    };
    if state.migration.version != CONTROL_VERSION {
        return refuse(format!(
            "its control tables have version {}, this release knows version {CONTROL_VERSION}",
            state.migration.version
        ));
    }
    if state.migration.mapping != options.mapping {
        return refuse(format!(
            "it holds the migration of another schema, `{}`",
            state.migration.source
        ));
    }
    Ok(())
}

fn main_fence(state: &ControlState) -> Result<FenceRow, Failure> {
    let (stream, lane) = Lane::Apply.parts();
    state
        .fences
        .get(&(stream.to_owned(), lane))
        .cloned()
        .ok_or_else(|| damaged("fence row of the main stream"))
}

fn damaged(what: &str) -> Failure {
    let text = format!("the {what} is missing or unreadable in the control tables");
    Failure::new(code::STATE_FOREIGN, Class::StopMigration, "target", text)
}

/// The identity of a log that is made with an epoch: known before the log is, so that a start that died before the target
/// had heard of its log leaves one that the next start tells from a foreign one.
fn log_id(migration: &str, epoch: Epoch) -> LogId {
    let hash = blake3::hash(format!("change log of {migration} from epoch {}", epoch.0).as_bytes()).to_hex();
    let part = |from: usize, to: usize| &hash[from..to];
    LogId(format!(
        "{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    ))
}

/// The log in the state directory, if it is the one that the target knows. `next` is the epoch that this start will take.
async fn own_log<B: LogStore>(
    logs: &B,
    state: &ControlState,
    next: Epoch,
) -> Result<Option<B::Log>, Failure> {
    match logs.open().await? {
        Some(log) if log.id() == LogId(state.migration.log_id.clone()) => Ok(Some(log)),
        // An earlier start made it and died before it had the epoch, without which nothing is captured: it is empty.
        Some(log) if log.id() == log_id(&state.migration.id, next) => Ok(None),
        Some(log) => {
            let text = format!("its change log {} belongs to another migration", log.id().0);
            Err(Failure::new(
                code::STATE_FOREIGN,
                Class::StopMigration,
                "state directory",
                text,
            ))
        }
        None => Ok(None),
    }
}

/// The log's record at the watermark must hold the position that the fence row holds.
async fn compare_log<L: ChangeLog>(log: &L, old: &FenceRow, position: &Position) -> Result<(), Failure> {
    let (end, _) = log.end().await?;
    if end < old.key.sequence {
        let text = format!(
            "the change log ends at {end}, the target has applied {}",
            old.key.sequence
        );
        return Err(Failure::new(
            code::LOG_CORRUPT,
            Class::StopMigration,
            "change log",
            text,
        ));
    }
    let held = log.position_before(old.key.sequence.next()).await?;
    // A log that was begun anew before the watermark's position repeats what is applied; it never lacks anything.
    if position.contains_all(&held).unwrap_or(false) {
        return Ok(());
    }
    let text = format!(
        "at {} the change log holds another position than the target's fence",
        old.key.sequence
    );
    Err(Failure::new(
        code::LOG_CORRUPT,
        Class::StopMigration,
        "change log",
        text,
    ))
}

/// Whether every table that takes part still has the plan it had, so that the changes of a torn transaction count as they did.
fn counts_as_before(plans: &[Arc<TablePlan>], state: &ControlState) -> bool {
    let mut rows = state
        .tables
        .values()
        .filter(|row| row.phase != TablePhase::Stopped);
    rows.all(|row| {
        let plan = plans.iter().find(|plan| plan.name().table == row.table);
        plan.is_some_and(|plan| row.definition == definition_of(plan))
    })
}

/// Where a new log for a known migration begins: at the watermark, unless a table is still to catch up from an earlier `low`; then
/// where the migration began. All tables of the migration count, also those that this start does not work on.
fn new_log_start(state: &ControlState, position: &Position) -> Result<Position, Failure> {
    let catches_up = |row: &TableRow| match row.phase {
        TablePhase::Pending | TablePhase::Loading | TablePhase::Loaded => !row.low.is_empty(),
        TablePhase::Joined | TablePhase::Constrained | TablePhase::Stopped => false,
    };
    if !state.tables.values().any(catches_up) {
        return Ok(position.clone());
    }
    Position::parse(&state.migration.start_position)
        .map_err(|cause| damaged("start position").caused_by(cause))
}

/// The source must be the one that was captured and applied, and still send what follows, before anything is written.
async fn expect_source<S: SchemaSource + ChangeSource>(
    source: &S,
    captured: &Position,
    applied: &Position,
) -> Result<(), Failure> {
    // Opening waits for a commit under way, so the position is asked afterwards.
    drop(source.open(captured).await?);
    expect_history(source, applied).await
}

fn fence_row(epoch: Epoch, sequence: Sequence, reached: &Reached) -> FenceRow {
    FenceRow {
        key: FenceKey {
            epoch,
            sequence,
            piece: reached.piece(),
        },
        position: reached.to_string(),
    }
}

fn counter_row(epoch: Epoch) -> FenceRow {
    FenceRow {
        key: FenceKey {
            epoch,
            sequence: Sequence::ZERO,
            piece: 0,
        },
        position: String::new(),
    }
}

fn fences(epoch: Epoch, main: &FenceRow, workers: u32) -> Vec<(Lane, FenceRow)> {
    let mut rows = vec![
        (Lane::Apply, main.clone()),
        (Lane::CatchUp, counter_row(epoch)),
        (Lane::Control, counter_row(epoch)),
    ];
    rows.extend((0..workers).map(|worker| (Lane::Load(worker), counter_row(epoch))));
    rows
}

async fn assemble<L: ChangeLog, T: Target>(
    start: Start<L>,
    target: Arc<T>,
    plans: Vec<Arc<TablePlan>>,
    options: &PrepareOptions,
    dialect: Dialect,
) -> Result<(Prepared<L, T>, Arc<Progress>), Failure> {
    let progress = Arc::new(Progress::new(
        plans.iter().map(|plan| table_progress(plan, &start)).collect(),
    ));
    progress.update(|state| {
        state.applied_sequence = start.main.key.sequence.0;
        state.position = start.reached.position.to_string();
    });
    for finding in start.findings {
        progress.find(finding);
    }
    let gate = Arc::new(Semaphore::new(
        target.commits_in_flight_max().min(Semaphore::MAX_PERMITS),
    ));
    let shared = LaneShared {
        target,
        gate,
        stop: StopSignal::new(),
        progress: Arc::clone(&progress),
    };
    let counter = counter_row(start.epoch).key;
    let lane = |lane| FencedLane::new(shared.clone(), lane, counter);
    let control = Arc::new(ControlLane::new(lane(Lane::Control), Arc::clone(&progress)));
    let states = plans
        .iter()
        .map(|plan| table_state(plan, &start.tables))
        .collect();
    let registry = Arc::new(Registry::new(plans, states, Arc::clone(&progress)));
    record_new_and_changed(&registry, &control, &start.tables, options.whole).await?;
    let prepared = Prepared {
        log: Arc::new(start.log),
        registry,
        control,
        main: FencedLane::new(shared.clone(), Lane::Apply, start.main.key),
        catch_up: lane(Lane::CatchUp),
        load_lanes: (0..options.workers)
            .map(|worker| lane(Lane::Load(worker)))
            .collect(),
        ranges: start.ranges,
        reached: start.reached,
        dialect,
        shared,
    };
    Ok((prepared, progress))
}

fn table_progress<L>(plan: &TablePlan, start: &Start<L>) -> TableProgress {
    let name = plan.name().table.clone();
    let row = start.tables.get(&name);
    let ranges = start.ranges.range((name.clone(), 0)..=(name.clone(), u64::MAX));
    TableProgress {
        phase: row.map_or(TablePhase::Pending, |row| row.phase),
        rows_estimate: plan.source.rows_estimate,
        // A table that is loaded keeps its count in its own row.
        rows_loaded: ranges
            .map(|(_, range)| range.rows)
            .sum::<u64>()
            .max(row.map_or(0, |row| row.rows_loaded)),
        bytes_loaded: 0,
        group: plan.group.0,
        stopped: row
            .filter(|row| !row.reason.is_empty())
            .map(|row| row.reason.clone()),
        name,
    }
}

fn table_state(plan: &TablePlan, known: &BTreeMap<String, TableRow>) -> TableState {
    let row = known
        .get(&plan.name().table)
        .cloned()
        .unwrap_or_else(|| TableRow {
            table: plan.name().table.clone(),
            phase: TablePhase::Pending,
            low: String::new(),
            high: String::new(),
            rows_loaded: 0,
            definition: definition_of(plan),
            reason: String::new(),
        });
    TableState {
        low: Position::parse(&row.low).ok(),
        high: Position::parse(&row.high).ok(),
        row,
    }
}

/// Records tables that are new, and stops the groups whose definition is no longer the recorded one.
async fn record_new_and_changed<T: Target>(
    registry: &Registry,
    control: &ControlLane<T>,
    known: &BTreeMap<String, TableRow>,
    whole: bool,
) -> Result<(), Failure> {
    let rows = |transition: &Transition<'_>| {
        let mut rows = Vec::new();
        for plan in registry.plans() {
            let row = registry.state(plan.id).row;
            if !known.contains_key(&row.table) {
                rows.push(ControlChange::Table(row));
            } else if row.phase != TablePhase::Stopped && row.definition != definition_of(plan) {
                let text = "its definition at the source is no longer the one that the migration began with";
                let finding = Finding::new(
                    code::SCHEMA_MISMATCH,
                    Severity::Blocking,
                    Subject::table(row.table.clone()),
                    text,
                )
                .remedy(format!("spanferry resync {}", row.table));
                rows.extend(transition.stop_rows(plan.group, &finding));
                control.progress().find(finding);
            }
        }
        let without_plan = known
            .values()
            .filter(|row| whole && registry.named(&row.table).is_none());
        rows.extend(without_plan.filter_map(left_behind).map(ControlChange::Table));
        rows
    };
    control.record(registry, rows).await
}

/// The row of a table that the stream passes over from now on: without it, the table would go on later as if nothing was missing.
fn left_behind(row: &TableRow) -> Option<TableRow> {
    let untouched = row.phase == TablePhase::Pending && row.low.is_empty();
    (row.phase != TablePhase::Stopped && !untouched).then(|| TableRow {
        phase: TablePhase::Stopped,
        reason: format!(
            "{}: {}: a run went on without it: it was not at the source, or not selected",
            code::SCHEMA_MISMATCH,
            row.table
        ),
        ..row.clone()
    })
}
