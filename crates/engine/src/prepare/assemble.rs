//! Puts together what runs a migration, and records the tables that are new or have changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanferry_core::change_log::ChangeLog;
use spanferry_core::code;
use spanferry_core::failure::Failure;
use spanferry_core::finding::{Finding, Severity, Subject};
use spanferry_core::plan::TablePlan;
use spanferry_core::record::StopReason;
use spanferry_core::remedy::Remedy;
use spanferry_core::schema::QualifiedName;
use spanferry_core::target::{ControlChange, Lane, TablePhase, TableRow, Target};
use spanferry_core::target_schema::Dialect;
use tokio::sync::Semaphore;

use super::definition::definition_of;
use super::epoch::counter_row;
use super::prepared::{PrepareOptions, Prepared, Start};
use crate::control::ControlLane;
use crate::lane::{FencedLane, LaneShared};
use crate::load::finished_rows;
use crate::progress::{Progress, TableProgress};
use crate::registry::{Registry, Transition};
use crate::stop::StopSignal;

pub(super) async fn assemble<L: ChangeLog, T: Target>(
    start: Start<L>,
    target: Arc<T>,
    plans: Vec<Arc<TablePlan>>,
    options: &PrepareOptions,
    dialect: Dialect,
    progress: &Arc<Progress>,
) -> Result<Prepared<L, T>, Failure> {
    progress.step("recording the tables");
    progress.begin(plans.iter().map(|plan| table_progress(plan, &start)).collect());
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
        ddl: Arc::default(),
        stop: StopSignal::new(),
        progress: Arc::clone(progress),
    };
    let counter = counter_row(start.epoch).key;
    let lane = |lane| FencedLane::new(shared.clone(), lane, counter);
    let control = Arc::new(ControlLane::new(lane(Lane::Control), Arc::clone(progress)));
    let rows = plans.iter().map(|plan| table_row(plan, &start.tables)).collect();
    let registry = Registry::new(plans, rows, Arc::clone(progress)).with_left_out(start.left_out);
    let registry = Arc::new(registry);
    record_new_and_changed(&registry, &control, &start.tables, options.whole).await?;
    Ok(Prepared {
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
        rows_loaded: finished_rows(name, &start.ranges).max(row.map_or(0, |row| row.rows_loaded)),
        bytes_loaded: 0,
        group: plan.group.0,
        stopped: row
            .and_then(|row| row.stopped.as_ref())
            .map(StopReason::to_string),
        name: name.table.clone(),
    }
}

fn table_row(plan: &TablePlan, known: &BTreeMap<QualifiedName, TableRow>) -> TableRow {
    let new = || TableRow {
        table: plan.name().clone(),
        phase: TablePhase::Pending,
        low: None,
        high: None,
        rows_loaded: 0,
        definition: definition_of(plan),
        stopped: None,
    };
    known.get(plan.name()).cloned().unwrap_or_else(new)
}

/// Records tables that are new, and stops the groups whose definition is no longer the recorded one.
async fn record_new_and_changed<T: Target>(
    registry: &Registry,
    control: &ControlLane<T>,
    known: &BTreeMap<QualifiedName, TableRow>,
    whole: bool,
) -> Result<(), Failure> {
    let rows = |transition: &Transition<'_>| {
        let mut rows = Vec::new();
        for plan in registry.plans() {
            let row = registry.row(plan.id);
            if !known.contains_key(&row.table) {
                rows.push(ControlChange::Table(row));
            } else if row.phase != TablePhase::Stopped && row.definition != definition_of(plan) {
                let text = "its definition at the source is no longer the one that the migration began with";
                let finding = Finding::new(
                    code::SCHEMA_MISMATCH,
                    Severity::Blocking,
                    Subject::table(row.table.table.clone()),
                    text,
                )
                .remedy(Remedy::resync(&row.table.table));
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
    let untouched = row.phase == TablePhase::Pending && row.low.is_none();
    (row.phase != TablePhase::Stopped && !untouched).then(|| TableRow {
        phase: TablePhase::Stopped,
        stopped: Some(StopReason {
            code: code::SCHEMA_MISMATCH,
            subject: Subject::table(row.table.table.clone()),
            text: "a run went on without it: it was not at the source, or not selected".to_owned(),
            remedy: None,
        }),
        ..row.clone()
    })
}
