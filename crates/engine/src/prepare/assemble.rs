//! Puts together what runs a migration.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::change_log::ChangeLog;
use spanferry_core::port::target::{Committer, ControlChange, Lane, TablePhase, TableRow};
use spanferry_core::position::checkpoint::Checkpoint;
use spanferry_core::record::StopReason;
use spanferry_core::report::failure::Failure;
use spanferry_core::schema::definition::TableDefinition;
use spanferry_core::schema::source::QualifiedName;
use spanferry_core::schema::target::Dialect;
use tokio::sync::Semaphore;

use super::epoch::counter_row;
use super::prepared::{PrepareOptions, Prepared, Start};
use crate::control::ControlLane;
use crate::lane::{FencedLane, LaneShared};
use crate::load::rows_at_target;
use crate::plan::Planned;
use crate::progress::{Progress, TableProgress};
use crate::registry::Registry;
use crate::resync::new_row;
use crate::stop::CancellationToken;

pub(super) async fn assemble<L: ChangeLog, T: Committer>(
    start: Start<L>,
    target: Arc<T>,
    planned: &Planned,
    options: &PrepareOptions,
    dialect: Dialect,
    progress: &Arc<Progress>,
) -> Result<Prepared<L, T>, Failure> {
    progress.step("recording the tables");
    let plans = &planned.plans;
    progress.begin(plans.iter().map(|plan| table_progress(plan, &start)).collect());
    progress.update(|state| {
        state.applied_sequence = start.main.key.sequence.0;
        state.applied_in_part = start.reached.changes_in_part();
        state.position = start.reached.position.to_string();
    });
    for finding in start.findings {
        progress.report(finding);
    }
    let in_flight = target.capabilities().commits_in_flight;
    assert!(in_flight > 0, "a target takes at least one commit");
    let gate = Arc::new(Semaphore::new(in_flight.min(Semaphore::MAX_PERMITS)));
    let shared = LaneShared {
        target,
        gate,
        ddl: Arc::default(),
        stop: CancellationToken::new(),
        progress: Arc::clone(progress),
    };
    let counter = counter_row(start.epoch).key;
    let lane = |lane| FencedLane::new(shared.clone(), lane, counter);
    let control = Arc::new(ControlLane::new(lane(Lane::Control), Arc::clone(progress)));
    let rows = plans.iter().map(|plan| table_row(plan, &start.tables)).collect();
    let (kept, unneeded) = forgotten(&start.reached, &start.definitions);
    let registry = Registry::new(plans.clone(), rows, Arc::clone(progress))
        .with_left_out(start.left_out)
        .with_forgotten(&kept);
    let registry = Arc::new(registry);
    let unneeded: Vec<_> = unneeded
        .into_iter()
        .map(ControlChange::ForgetDefinition)
        .collect();
    control.record(&registry, |_| unneeded).await?;
    Ok(Prepared {
        log: Arc::new(start.log),
        registry,
        control,
        main: FencedLane::new(shared.clone(), Lane::MAIN, start.main.key),
        catch_up: lane(Lane::CatchUp),
        load_lanes: (0..options.workers)
            .map(|worker| lane(Lane::Load(worker)))
            .collect(),
        ranges: start.ranges,
        reached: start.reached,
        dialect,
        unproved: options.unproved,
        shared,
    })
}

fn table_progress<L>(plan: &TablePlan, start: &Start<L>) -> TableProgress {
    let name = plan.name();
    let row = start.tables.get(name);
    TableProgress {
        phase: row.map_or(TablePhase::Pending, |row| row.phase),
        rows_estimate: plan.source.rows_estimate,
        // A table that is loaded keeps its count in its own row.
        rows_loaded: rows_at_target(name, &start.ranges).max(row.map_or(0, |row| row.rows_loaded)),
        bytes_loaded: 0,
        group: plan.group.0,
        stopped: row
            .and_then(|row| row.stopped.as_ref())
            .map(StopReason::to_string),
        name: name.table.clone(),
    }
}

fn table_row(plan: &TablePlan, known: &BTreeMap<QualifiedName, TableRow>) -> TableRow {
    let known = known.get(plan.name()).cloned();
    known.unwrap_or_else(|| new_row(plan.name()))
}

/// Definitions of tables that the migration has given up: those that a transaction was counted with
/// of which the rest is still to come, and the names of those that nothing needs any more.
fn forgotten(
    reached: &Checkpoint,
    definitions: &BTreeMap<QualifiedName, TableDefinition>,
) -> (Vec<TableDefinition>, Vec<QualifiedName>) {
    let forgotten = definitions.values().filter(|definition| definition.is_forgotten);
    if reached.partial.is_some() {
        return (forgotten.cloned().collect(), Vec::new());
    }
    (
        Vec::new(),
        forgotten.map(|definition| definition.name().clone()).collect(),
    )
}
