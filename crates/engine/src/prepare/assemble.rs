//! Puts together what runs a load, and a migration.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::{Committer, ControlChange, ControlState, Lane, TablePhase, TableRow};
use spanferry_core::position::checkpoint::Checkpoint;
use spanferry_core::record::StopReason;
use spanferry_core::report::failure::Failure;
use spanferry_core::schema::definition::TableDefinition;
use spanferry_core::schema::source::QualifiedName;
use spanferry_core::schema::target::Dialect;
use tokio::sync::Semaphore;

use super::epoch::counter_row;
use super::open_log::OwnLog;
use super::prepared::{Prepared, PreparedLoad};
use crate::control::ControlLane;
use crate::history::Unproved;
use crate::lane::{FencedLane, LaneShared};
use crate::load::rows_at_target;
use crate::plan::Planned;
use crate::progress::{Progress, TableProgress};
use crate::registry::Registry;
use crate::resync::new_row;
use crate::stop::CancellationToken;

/// What a load is put together from, once the start owns the fence.
pub(super) struct Parts<'a, T> {
    pub(super) state: ControlState,
    pub(super) target: Arc<T>,
    pub(super) planned: &'a Planned,
    pub(super) workers: u32,
    pub(super) dialect: Dialect,
    pub(super) progress: &'a Arc<Progress>,
    /// What the main stream has applied; none without a stream.
    pub(super) reached: Option<&'a Checkpoint>,
}

impl<T: Committer> Parts<'_, T> {
    /// Puts the load together; `progress` counts for it from now on.
    pub(super) async fn assemble(self) -> Result<PreparedLoad<T>, Failure> {
        let Parts {
            state,
            target,
            planned,
            workers,
            dialect,
            progress,
            reached,
        } = self;
        progress.step("recording the tables");
        progress.begin(
            planned
                .plans
                .iter()
                .map(|plan| table_progress(plan, &state))
                .collect(),
        );
        let shared = share(target, progress);
        let counter = counter_row(state.migration.epoch).key;
        let lane = |lane| FencedLane::new(shared.clone(), lane, counter);
        let control = Arc::new(ControlLane::new(lane(Lane::Control), Arc::clone(progress)));
        let rows = planned
            .plans
            .iter()
            .map(|plan| table_row(plan, &state.tables))
            .collect();
        let (kept, unneeded) = forgotten(reached, &state.definitions);
        let registry = Registry::new(planned.plans.clone(), rows, Arc::clone(progress))
            .with_left_out(state.left_out)
            .with_forgotten(&kept);
        let registry = Arc::new(match reached {
            Some(_) => registry,
            None => registry.without_stream(),
        });
        let unneeded: Vec<_> = unneeded
            .into_iter()
            .map(ControlChange::ForgetDefinition)
            .collect();
        control.record(&registry, |_| unneeded).await?;
        let workers = 0..workers;
        Ok(PreparedLoad {
            lanes: workers.map(|worker| lane(Lane::Load(worker))).collect(),
            registry,
            control,
            ranges: state.ranges,
            dialect,
            shared,
        })
    }
}

/// Puts the stream behind a load.
pub(super) fn with_stream<L, T: Committer>(
    load: PreparedLoad<T>,
    log: OwnLog<L>,
    unproved: Unproved,
) -> Prepared<L, T> {
    let counter = counter_row(log.main.key.epoch).key;
    let lane = |lane, key| FencedLane::new(load.shared.clone(), lane, key);
    let (main, catch_up) = (lane(Lane::MAIN, log.main.key), lane(Lane::CatchUp, counter));
    let progress = &load.shared.progress;
    progress.update(|state| {
        state.applied_sequence = log.main.key.sequence.0;
        state.applied_in_part = log.reached.changes_in_part();
        state.position = log.reached.position.to_string();
    });
    for finding in log.findings {
        progress.report(finding);
    }
    Prepared {
        main,
        catch_up,
        load,
        log: Arc::new(log.log),
        reached: log.reached,
        unproved,
    }
}

/// What the lanes share.
fn share<T: Committer>(target: Arc<T>, progress: &Arc<Progress>) -> LaneShared<T> {
    let in_flight = target.capabilities().commits_in_flight;
    assert!(in_flight > 0, "a target takes at least one commit");
    LaneShared {
        target,
        gate: Arc::new(Semaphore::new(in_flight.min(Semaphore::MAX_PERMITS))),
        ddl: Arc::default(),
        stop: CancellationToken::new(),
        progress: Arc::clone(progress),
    }
}

fn table_progress(plan: &TablePlan, state: &ControlState) -> TableProgress {
    let name = plan.name();
    let row = state.tables.get(name);
    TableProgress {
        phase: row.map_or(TablePhase::Pending, |row| row.phase),
        rows_estimate: plan.source.rows_estimate,
        // A table that is loaded keeps its count in its own row.
        rows_loaded: rows_at_target(name, &state.ranges).max(row.map_or(0, |row| row.rows_loaded)),
        bytes_loaded: 0,
        group: plan.group.0,
        stopped: row
            .and_then(|row| row.stopped.as_ref())
            .map(StopReason::to_string),
        name: name.clone(),
    }
}

fn table_row(plan: &TablePlan, known: &BTreeMap<QualifiedName, TableRow>) -> TableRow {
    let known = known.get(plan.name()).cloned();
    known.unwrap_or_else(|| new_row(plan.name()))
}

/// Definitions of tables that the migration has given up: those that a transaction was counted with
/// of which the rest is still to come, and the names of those that nothing needs any more.
fn forgotten(
    reached: Option<&Checkpoint>,
    definitions: &BTreeMap<QualifiedName, TableDefinition>,
) -> (Vec<TableDefinition>, Vec<QualifiedName>) {
    let forgotten = definitions.values().filter(|definition| definition.is_forgotten);
    if reached.is_some_and(|reached| reached.partial.is_some()) {
        return (forgotten.cloned().collect(), Vec::new());
    }
    (
        Vec::new(),
        forgotten.map(|definition| definition.name().clone()).collect(),
    )
}
