//! Resync: a group's tables are dropped and made anew at the target; the next run loads them with a new `low`.

use std::sync::Arc;

use spanferry_core::change_log::ChangeLog;
use spanferry_core::code;
use spanferry_core::ddl;
use spanferry_core::failure::Failure;
use spanferry_core::finding::Subject;
use spanferry_core::plan::{GroupId, TablePlan};
use spanferry_core::record::StopReason;
use spanferry_core::remedy::Remedy;
use spanferry_core::target::{ControlChange, TablePhase, Target};
use spanferry_kill_point::kill_point;

use crate::prepare::{Prepared, definition_of};
use crate::registry::Transition;

/// Empties a group. Its tables must not be written by anybody else meanwhile: `prepared` owns the fence.
///
/// Order: the tables are recorded as stopped, then dropped and created, then recorded as pending without `low`. A crash in
/// between leaves a stopped group, which is resynced again. Cancellation: as a crash.
pub async fn resync<L: ChangeLog, T: Target>(
    prepared: &Prepared<L, T>,
    group: GroupId,
) -> Result<(), Failure> {
    let registry = &prepared.registry;
    let plans: Vec<_> = registry.group(group).cloned().collect();
    let row = |transition: &Transition<'_>, plan: &TablePlan, phase| {
        ControlChange::Table(transition.row_with(plan.id, |row| {
            row.phase = phase;
            row.stopped = (phase == TablePhase::Stopped).then(|| unfinished(plan));
            row.low = None;
            row.high = None;
            row.rows_loaded = 0;
            row.definition = definition_of(plan);
        }))
    };
    let stop = |transition: &Transition<'_>| {
        let rows = plans
            .iter()
            .map(|plan| row(transition, plan, TablePhase::Stopped));
        let forgotten = plans
            .iter()
            .map(|plan| ControlChange::ForgetRanges(plan.name().clone()));
        rows.chain(forgotten).collect()
    };
    prepared.control.record(registry, stop).await?;

    let target = &prepared.shared.target;
    let existing = target.describe().await?;
    let mut statements = Vec::new();
    let is_there = |plan: &&Arc<TablePlan>| existing.tables.contains_key(&plan.target.name);
    for plan in plans.iter().filter(is_there) {
        let keys = plan
            .target
            .foreign_keys
            .iter()
            .filter(|key| existing.foreign_keys.contains(&key.name));
        statements.extend(keys.map(|key| ddl::drop_foreign_key(&plan.target, key, prepared.dialect)));
    }
    for plan in plans.iter().filter(is_there) {
        let indexes = plan
            .target
            .indexes
            .iter()
            .filter(|index| existing.indexes.contains(&index.name));
        statements.extend(indexes.map(|index| ddl::drop_index(index, prepared.dialect)));
        statements.push(ddl::drop_table(&plan.target, prepared.dialect));
    }
    statements.extend(
        plans
            .iter()
            .map(|plan| ddl::create_table(&plan.target, prepared.dialect)),
    );
    kill_point("before resync tables", "");
    target.run_ddl(&statements).await?;
    kill_point("after resync tables", "");

    // All constraints are tried again over the new rows.
    let left_out = plans.iter().flat_map(|plan| {
        let names = registry.left_out_of(plan.name());
        names
            .into_iter()
            .map(|name| ControlChange::ForgetLeftOut(plan.name().clone(), name))
    });
    let left_out: Vec<ControlChange> = left_out.collect();
    let renew = |transition: &Transition<'_>| {
        let pending = plans
            .iter()
            .map(|plan| row(transition, plan, TablePhase::Pending));
        pending.chain(left_out).collect()
    };
    prepared.control.record(registry, renew).await
}

/// What stops a table from the moment at which `resync` begins until its empty tables are there.
fn unfinished(plan: &TablePlan) -> StopReason {
    let table = plan.name().table.clone();
    StopReason {
        code: code::RESYNC_UNFINISHED,
        text: "`resync` has begun to empty it, and was ended before it was done".to_owned(),
        remedy: Some(Remedy::resync(&table).to_string()),
        subject: Subject::table(table),
    }
}
