//! Constraints: indexes and foreign keys of a group, once every table of it is exact.

use std::sync::Arc;

use spanferry_core::code;
use spanferry_core::ddl;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::finding::{Finding, Severity, Subject};
use spanferry_core::plan::{GroupId, TablePlan};
use spanferry_core::position::Position;
use spanferry_core::target::{ControlChange, TablePhase, Target, TargetDescription};
use spanferry_core::target_schema::Dialect;
use tokio::sync::watch;

use crate::lane::LaneShared;
use crate::migrate::ControlLane;
use crate::registry::Registry;

/// Builds constraints group by group until told to stop or nothing is left to build.
pub async fn build<T: Target>(
    registry: Arc<Registry>,
    control: Arc<ControlLane<T>>,
    shared: LaneShared<T>,
    dialect: Dialect,
    mut reached: watch::Receiver<Position>,
) -> Result<(), Failure> {
    let mut changed = registry.subscribe();
    while !registry.all_constrained() {
        let position = reached.borrow_and_update().clone();
        if let Some(group) = next_exact(&registry, &position) {
            build_group(&registry, &control, &shared, dialect, group).await?;
            continue;
        }
        tokio::select! {
            biased;
            () = shared.stop.requested() => return Ok(()),
            _changed = changed.changed() => {}
            moved = reached.changed() => if moved.is_err() { return Ok(()) },
        }
    }
    Ok(())
}

/// A group whose tables have all joined and whose every `high` the main stream has passed.
fn next_exact(registry: &Registry, position: &Position) -> Option<GroupId> {
    let exact = |plan: &Arc<TablePlan>| {
        let state = registry.state(plan.id);
        state.row.phase == TablePhase::Joined
            && state
                .high
                .is_some_and(|high| position.contains_all(&high).unwrap_or(false))
    };
    let constrained = |plan: &Arc<TablePlan>| registry.phase(plan.id) == TablePhase::Constrained;
    registry
        .plans()
        .iter()
        .filter(|plan| exact(plan))
        .map(|plan| plan.group)
        .find(|group| {
            registry
                .group(*group)
                .all(|plan| exact(plan) || constrained(plan))
        })
}

async fn build_group<T: Target>(
    registry: &Registry,
    control: &ControlLane<T>,
    shared: &LaneShared<T>,
    dialect: Dialect,
    group: GroupId,
) -> Result<(), Failure> {
    let description = shared.target.describe().await?;
    let indexes = registry
        .group(group)
        .flat_map(|plan| index_statements(plan, dialect, &description));
    let keys = registry
        .group(group)
        .flat_map(|plan| foreign_key_statements(plan, dialect, &description));
    let statements: Vec<(Arc<TablePlan>, String, String)> = indexes.chain(keys).collect();
    run(shared, statements).await?;
    let rows = registry
        .group(group)
        .map(|plan| {
            ControlChange::Table(registry.row_with(plan.id, |row| row.phase = TablePhase::Constrained))
        })
        .collect();
    control.record(rows, registry).await
}

/// Runs all statements in one batch; if the target refuses one, goes on one by one and leaves out what it refuses.
async fn run<T: Target>(
    shared: &LaneShared<T>,
    statements: Vec<(Arc<TablePlan>, String, String)>,
) -> Result<(), Failure> {
    if statements.is_empty() {
        return Ok(());
    }
    // The emulator refuses DDL while a commit is in flight; the service does not mind, and must not be held up.
    let _quiet = if shared.target.commits_in_flight_max() == 1 {
        Some(shared.gate.acquire().await.expect("the gate is never closed"))
    } else {
        None
    };
    for (plan, name, statement) in statements {
        match shared.target.run_ddl(std::slice::from_ref(&statement)).await {
            Ok(()) => {}
            Err(failure) if failure.class == Class::StopTable => leave_out(shared, &plan, &name, &failure),
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

fn leave_out<T>(shared: &LaneShared<T>, plan: &TablePlan, name: &str, failure: &Failure) {
    let cause = failure
        .cause
        .as_ref()
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    let text = format!(
        "left out, because the target refuses it: {}{cause}",
        failure.message
    );
    let subject = Subject::part(plan.name().table.clone(), name);
    tracing::warn!(table = plan.name().table, constraint = name, %failure, "a constraint is left out");
    shared.progress.find(
        Finding::new(code::CONSTRAINT_LEFT_OUT, Severity::Warning, subject, text)
            .remedy(failure.object.clone()),
    );
}

fn index_statements(
    plan: &Arc<TablePlan>,
    dialect: Dialect,
    existing: &TargetDescription,
) -> Vec<(Arc<TablePlan>, String, String)> {
    let missing = plan
        .target
        .indexes
        .iter()
        .filter(|index| !existing.indexes.contains(&index.name));
    missing
        .map(|index| {
            (
                Arc::clone(plan),
                index.name.clone(),
                ddl::create_index(&plan.target, index, dialect),
            )
        })
        .collect()
}

fn foreign_key_statements(
    plan: &Arc<TablePlan>,
    dialect: Dialect,
    existing: &TargetDescription,
) -> Vec<(Arc<TablePlan>, String, String)> {
    let missing = plan
        .target
        .foreign_keys
        .iter()
        .filter(|key| !existing.foreign_keys.contains(&key.name));
    missing
        .map(|key| {
            (
                Arc::clone(plan),
                key.name.clone(),
                ddl::add_foreign_key(&plan.target, key, dialect),
            )
        })
        .collect()
}
