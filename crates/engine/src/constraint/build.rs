//! The task that builds the constraints of groups as they become exact.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use spanferry_core::failure::Failure;
use spanferry_core::plan::{GroupId, TablePlan};
use spanferry_core::position::Position;
use spanferry_core::source::SchemaSource;
use spanferry_core::target::{ControlChange, TablePhase, Target};
use spanferry_core::target_schema::Dialect;
use spanferry_kill_point::kill_point;
use tokio::sync::watch;
use tokio::time::Instant;

use super::wanted::{Constraint, constraints};
use crate::control::ControlLane;
use crate::history::{ASK_INTERVAL, Lacking, SeenHistory, waits_for_source};
use crate::lane::{LaneShared, interrupted};
use crate::order::contains_all;
use crate::registry::{Registry, Transition};
use crate::schema_change::{Wanted, create_missing};

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

/// Builds the constraints of all groups in one batch, which the service works on together.
async fn build_groups<T: Target>(
    registry: &Registry,
    control: &ControlLane<T>,
    shared: &LaneShared<T>,
    dialect: Dialect,
    groups: &BTreeSet<GroupId>,
) -> Result<(), Failure> {
    let plans: Vec<&Arc<TablePlan>> = registry
        .plans()
        .iter()
        .filter(|plan| groups.contains(&plan.group))
        .collect();
    create(shared, &constraints(&plans, dialect)).await?;
    let constrained = |transition: &Transition<'_>| {
        // A group may have stopped meanwhile: then it stays so.
        let joined = plans
            .iter()
            .filter(|plan| registry.phase(plan.id) == TablePhase::Joined);
        joined
            .map(|plan| {
                ControlChange::Table(transition.row_with(plan.id, |row| row.phase = TablePhase::Constrained))
            })
            .collect()
    };
    control.record(registry, constrained).await
}

/// Creates what the target lacks; what it refuses is left out.
async fn create<T: Target>(shared: &LaneShared<T>, constraints: &[Constraint]) -> Result<(), Failure> {
    if constraints.is_empty() {
        return Ok(());
    }
    // The emulator refuses DDL while a commit is in flight; the service does not mind, and must not be held up.
    let _quiet = if shared.target.commits_in_flight_max() == 1 {
        Some(shared.gate.acquire().await.expect("the gate is never closed"))
    } else {
        None
    };
    let wanted: Vec<Wanted> = constraints
        .iter()
        .map(|constraint| constraint.wanted.clone())
        .collect();
    kill_point("before constraints", "");
    // An index over many rows takes long: a request to stop leaves the target to go on with it alone.
    let refused = tokio::select! {
        biased;
        () = shared.stop.requested() => return Err(interrupted()),
        refused = create_missing(shared.target.as_ref(), &wanted) => refused?,
    };
    kill_point("after constraints", "");
    for (place, failure) in &refused {
        leave_out(shared, &constraints[*place], failure);
    }
    Ok(())
}

fn leave_out<T>(shared: &LaneShared<T>, constraint: &Constraint, failure: &Failure) {
    let (table, name) = (&constraint.plan.name().table, constraint.wanted.object.name());
    tracing::warn!(table, constraint = name, failure = %failure.for_log(), "a constraint is left out");
    let why = format!("the target refuses it: {}", failure.reason());
    shared.progress.find(constraint.left_out(&why));
}
