//! Constraints: indexes and foreign keys of a group, once every table of it is exact.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use spanferry_core::code;
use spanferry_core::ddl;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::finding::{Finding, Severity, Subject};
use spanferry_core::plan::{GroupId, TablePlan};
use spanferry_core::position::Position;
use spanferry_core::source::SchemaSource;
use spanferry_core::target::{ControlChange, TablePhase, Target, TargetDescription};
use spanferry_core::target_schema::Dialect;
use spanferry_kill_point::kill_point;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::control::ControlLane;
use crate::history::{ASK_INTERVAL, Lacking, SeenHistory, waits_for_source};
use crate::lane::{LaneShared, interrupted};
use crate::order::contains_all;
use crate::progress::Progress;
use crate::registry::{Registry, Transition};

/// Most groups whose constraints are built together: their control rows share one commit.
const GROUPS_MAX: usize = 500;

/// How often it is asked whether the source still holds what tables wait for.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Builds the constraints of groups as they become exact, until told to stop or nothing is left to build.
pub async fn build<S: SchemaSource, T: Target>(
    source: Arc<S>,
    registry: Arc<Registry>,
    control: Arc<ControlLane<T>>,
    shared: LaneShared<T>,
    dialect: Dialect,
    mut reached: watch::Receiver<Position>,
) -> Result<(), Failure> {
    let mut changed = registry.subscribe();
    let mut seen = SeenHistory::default();
    let mut looked_at = Instant::now();
    while !registry.all_constrained() {
        let position = reached.borrow_and_update().clone();
        let mut groups = exact_groups(&registry, &position)?;
        let is_due = looked_at.elapsed() >= LOOK_INTERVAL;
        if !groups.is_empty() || is_due {
            let tables = joined(&registry, |plan| is_due || groups.contains(&plan.group));
            let waiting = still_to_come(
                source.as_ref(),
                &registry,
                &control,
                &tables,
                &position,
                &mut seen,
            )
            .await?;
            looked_at = Instant::now();
            groups.retain(|group| !waiting.contains(group));
            if !groups.is_empty() {
                build_groups(&registry, &control, &shared, dialect, &groups).await?;
                continue;
            }
            if !waiting.is_empty() {
                if !shared.stop.pause(ASK_INTERVAL).await {
                    return Ok(());
                }
                continue;
            }
        }
        tokio::select! {
            biased;
            () = shared.stop.requested() => return Ok(()),
            _changed = changed.changed() => {}
            moved = reached.changed() => if moved.is_err() { return Ok(()) },
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
    Ok(())
}

fn joined(registry: &Registry, wanted: impl Fn(&TablePlan) -> bool) -> Vec<Arc<TablePlan>> {
    let plans = registry.plans().iter();
    plans
        .filter(|plan| registry.phase(plan.id) == TablePhase::Joined && wanted(plan))
        .map(Arc::clone)
        .collect()
}

/// Groups whose tables saw what the source does not hold: no stream will ever bring it. Those for which that is so for good stop.
async fn still_to_come<S: SchemaSource, T: Target>(
    source: &S,
    registry: &Registry,
    control: &ControlLane<T>,
    tables: &[Arc<TablePlan>],
    reached: &Position,
    seen: &mut SeenHistory,
) -> Result<BTreeSet<GroupId>, Failure> {
    let lacking = match seen.lacking(source, registry, tables, Some(reached)).await {
        Ok(lacking) => lacking,
        Err(failure) if failure.is_retry() => {
            tracing::warn!(failure = %failure.for_log(), "the source does not say what it holds");
            return Ok(tables.iter().map(|plan| plan.group).collect());
        }
        Err(failure) => return Err(failure),
    };
    let mut groups = BTreeSet::new();
    for table in lacking {
        match table {
            Lacking::Yet(plan) => {
                control.progress().find(waits_for_source(&plan));
                groups.insert(plan.group);
            }
            Lacking::Lost(failure) => {
                let table = failure.table.as_ref().and_then(|table| registry.named(table));
                groups.extend(table.map(|plan| plan.group));
                control.stop_table(registry, &failure).await?;
            }
        }
    }
    Ok(groups)
}

/// Groups whose tables have all joined and whose every `high` the main stream has passed, unless they are constrained.
fn exact_groups(registry: &Registry, position: &Position) -> Result<BTreeSet<GroupId>, Failure> {
    let (mut exact, mut waiting) = (BTreeSet::new(), BTreeSet::new());
    for plan in registry.plans() {
        let row = registry.row(plan.id);
        let is_exact = match (row.phase, &row.high) {
            (TablePhase::Constrained, _) => continue,
            (TablePhase::Joined, Some(high)) => contains_all("main stream", position, high)?,
            (
                TablePhase::Pending
                | TablePhase::Loading
                | TablePhase::Loaded
                | TablePhase::Joined
                | TablePhase::Stopped,
                _,
            ) => false,
        };
        let groups = if is_exact { &mut exact } else { &mut waiting };
        groups.insert(plan.group);
    }
    Ok(exact.difference(&waiting).copied().take(GROUPS_MAX).collect())
}

/// One look at the target and one batch for all groups: a look takes a read of each of its tables.
async fn build_groups<T: Target>(
    registry: &Registry,
    control: &ControlLane<T>,
    shared: &LaneShared<T>,
    dialect: Dialect,
    groups: &BTreeSet<GroupId>,
) -> Result<(), Failure> {
    let plans = || {
        registry
            .plans()
            .iter()
            .filter(|plan| groups.contains(&plan.group))
    };
    if plans().any(|plan| !plan.target.indexes.is_empty() || !plan.target.foreign_keys.is_empty()) {
        let description = shared.target.describe().await?;
        let mut missing: Vec<Constraint> = plans()
            .flat_map(|plan| indexes(plan, dialect, &description))
            .collect();
        missing.extend(plans().flat_map(|plan| foreign_keys(plan, dialect, &description)));
        run(shared, missing).await?;
    }
    let constrained = |transition: &Transition<'_>| {
        // A group may have stopped meanwhile: then it stays so.
        let joined = plans().filter(|plan| registry.phase(plan.id) == TablePhase::Joined);
        joined
            .map(|plan| {
                ControlChange::Table(transition.row_with(plan.id, |row| row.phase = TablePhase::Constrained))
            })
            .collect()
    };
    control.record(registry, constrained).await
}

/// Tells which constraints of complete tables the target lacks: those that an earlier process left out.
pub(crate) fn find_left_out(
    registry: &Registry,
    dialect: Dialect,
    description: &TargetDescription,
    progress: &Progress,
) {
    for plan in registry.plans() {
        if registry.phase(plan.id) == TablePhase::Constrained {
            let missing = indexes(plan, dialect, description).chain(foreign_keys(plan, dialect, description));
            for constraint in missing {
                progress.find(constraint.left_out("an earlier run left it out; the run's log says why"));
            }
        }
    }
}

/// An index or foreign key that is to be made.
struct Constraint {
    plan: Arc<TablePlan>,
    name: String,
    statement: String,
}

impl Constraint {
    fn left_out(&self, why: &str) -> Finding {
        let subject = Subject::part(self.plan.name().table.clone(), &self.name);
        let text = format!("left out: {why}");
        Finding::new(code::CONSTRAINT_LEFT_OUT, Severity::Warning, subject, text)
            .remedy(self.statement.clone())
    }
}

/// Runs all statements as one batch, which the service works on together; what the target refuses is left out, and the batch
/// goes on behind it.
async fn run<T: Target>(shared: &LaneShared<T>, constraints: Vec<Constraint>) -> Result<(), Failure> {
    // The emulator refuses DDL while a commit is in flight; the service does not mind, and must not be held up.
    let _quiet = if shared.target.commits_in_flight_max() == 1 {
        Some(shared.gate.acquire().await.expect("the gate is never closed"))
    } else {
        None
    };
    let mut rest = constraints.as_slice();
    while !rest.is_empty() {
        let statements: Vec<String> = rest
            .iter()
            .map(|constraint| constraint.statement.clone())
            .collect();
        kill_point("before constraints", "");
        // An index over many rows takes long: a request to stop leaves the target to go on with it alone.
        let done = tokio::select! {
            biased;
            () = shared.stop.requested() => return Err(interrupted()),
            done = shared.target.run_ddl(&statements) => done,
        };
        kill_point("after constraints", "");
        let failure = match done {
            Ok(()) => return Ok(()),
            Err(failure) if failure.class == Class::StopTable => failure,
            Err(failure) => return Err(failure),
        };
        let refused = statements
            .iter()
            .position(|statement| *statement == failure.object);
        let Some(refused) = refused else {
            return Err(
                Failure::bug("constraints", "a statement was refused that was not sent").caused_by(failure),
            );
        };
        leave_out(shared, &rest[refused], &failure);
        rest = &rest[refused + 1..];
    }
    Ok(())
}

fn leave_out<T>(shared: &LaneShared<T>, constraint: &Constraint, failure: &Failure) {
    let table = &constraint.plan.name().table;
    tracing::warn!(table, constraint = constraint.name, failure = %failure.for_log(), "a constraint is left out");
    let why = format!("the target refuses it: {}", failure.reason());
    shared.progress.find(constraint.left_out(&why));
}

fn indexes(
    plan: &Arc<TablePlan>,
    dialect: Dialect,
    existing: &TargetDescription,
) -> impl Iterator<Item = Constraint> {
    let missing = plan
        .target
        .indexes
        .iter()
        .filter(|index| !existing.indexes.contains(&index.name));
    missing.map(move |index| Constraint {
        plan: Arc::clone(plan),
        name: index.name.clone(),
        statement: ddl::create_index(&plan.target, index, dialect),
    })
}

fn foreign_keys(
    plan: &Arc<TablePlan>,
    dialect: Dialect,
    existing: &TargetDescription,
) -> impl Iterator<Item = Constraint> {
    let missing = plan
        .target
        .foreign_keys
        .iter()
        .filter(|key| !existing.foreign_keys.contains(&key.name));
    missing.map(move |key| Constraint {
        plan: Arc::clone(plan),
        name: key.name.clone(),
        statement: ddl::add_foreign_key(&plan.target, key, dialect),
    })
}
