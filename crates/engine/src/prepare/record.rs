//! The record of what the target is built from: written once by the first start, compared by every
//! later one.

use std::collections::{BTreeMap, BTreeSet};

use spanferry_core::plan::{GroupId, TablePlan};
use spanferry_core::port::target::{Committer, ControlChange, TablePhase, TableRow};
use spanferry_core::record::StopReason;
use spanferry_core::report::code::{self, Code};
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::{Finding, Subject};
use spanferry_core::report::remedy::Remedy;
use spanferry_core::schema::definition::TableDefinition;
use spanferry_core::schema::source::QualifiedName;
use spanferry_kill_point::kill_point;

use crate::control::ControlLane;
use crate::plan::TableStop;
use crate::registry::{Registry, Transition};

/// Most bytes of definitions in one commit; a larger definition goes alone.
const DEFINITION_BYTES_MAX: usize = 4 << 20;
/// Most definitions in one commit.
const DEFINITIONS_MAX: usize = 5_000;

/// Records definitions, in as many commits as their size needs.
pub(crate) async fn record_definitions<T: Committer>(
    registry: &Registry,
    control: &ControlLane<T>,
    definitions: Vec<TableDefinition>,
) -> Result<(), Failure> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for definition in definitions {
        let length = definition.to_record().len();
        if !batch.is_empty() && (bytes + length > DEFINITION_BYTES_MAX || batch.len() >= DEFINITIONS_MAX) {
            let full = std::mem::take(&mut batch);
            control.record(registry, |_| full).await?;
            bytes = 0;
        }
        bytes += length;
        batch.push(ControlChange::Definition(definition));
    }
    control.record(registry, |_| batch).await
}

/// Records the tables of a new migration: the definitions first, then all rows in one commit. Until
/// that commit the next start decides again, so definitions that an earlier start has left are
/// removed.
pub(super) async fn record_new<T: Committer>(
    registry: &Registry,
    control: &ControlLane<T>,
    left: &BTreeMap<QualifiedName, TableDefinition>,
) -> Result<(), Failure> {
    kill_point("before definitions", "");
    let stale = left.keys().filter(|table| registry.named(table).is_none());
    let stale: Vec<_> = stale
        .map(|table| ControlChange::ForgetDefinition(table.clone()))
        .collect();
    control.record(registry, |_| stale).await?;
    let definitions = registry.plans().iter().map(|plan| TableDefinition::of(plan));
    record_definitions(registry, control, definitions.collect()).await?;
    kill_point("after definitions", "");
    let rows = |_: &Transition<'_>| {
        let rows = registry.plans().iter().map(|plan| registry.row(plan.id));
        rows.map(ControlChange::Table).collect()
    };
    control.record(registry, rows).await
}

/// Records the groups of tables that cannot continue as recorded as stopped, each for its first
/// reason.
pub(super) async fn record_stops<T: Committer>(
    registry: &Registry,
    control: &ControlLane<T>,
    stops: &[TableStop],
) -> Result<(), Failure> {
    let mut groups: BTreeSet<GroupId> = BTreeSet::new();
    let mut told = Vec::new();
    let rows = |transition: &Transition<'_>| {
        let mut rows = Vec::new();
        for stop in stops {
            let Some(plan) = registry.named(&stop.table) else {
                continue;
            };
            rows.extend(renamed_stop(transition, plan, &stop.finding).map(ControlChange::Table));
            if groups.insert(plan.group) {
                let stopped = transition.stop_rows(plan.group, &stop.finding);
                if !stopped.is_empty() {
                    told.push(&stop.finding);
                }
                rows.extend(stopped);
            }
        }
        rows
    };
    control.record(registry, rows).await?;
    for finding in told {
        tracing::error!(code = %finding.code, subject = %finding.subject, "a group stops at the start");
        control.progress().report(finding.clone());
    }
    Ok(())
}

/// Renames the reason of the tables that stopped because they were away and that are there again
/// today. `stops` are all stops of this start: with fewer, a table that is still away would count
/// as back.
pub(super) async fn record_returns<T: Committer>(
    registry: &Registry,
    control: &ControlLane<T>,
    stops: &[TableStop],
) -> Result<(), Failure> {
    let rows = |transition: &Transition<'_>| {
        let plans = registry.plans().iter();
        let back = plans.filter(|plan| is_back(registry, plan, stops));
        back.map(|plan| ControlChange::Table(back_row(transition, plan)))
            .collect()
    };
    control.record(registry, rows).await
}

/// Reasons for which a table is away rather than changed.
fn is_away(code: Code) -> bool {
    code == code::TABLE_GONE || code == code::TABLE_UNSELECTED
}

/// A table that has stopped before, for example by the statement that dropped it, and is away
/// today: its reason becomes that, which names another way out.
fn renamed_stop(transition: &Transition<'_>, plan: &TablePlan, finding: &Finding) -> Option<TableRow> {
    let row = transition.row_with(plan.id, |row| row.stopped = Some(StopReason::from(finding)));
    (is_away(finding.code) && row.phase == TablePhase::Stopped).then_some(row)
}

/// Whether a table stopped because it was away, and is there again.
fn is_back(registry: &Registry, plan: &TablePlan, stops: &[TableStop]) -> bool {
    let reason = registry.row(plan.id).stopped;
    let was_away = reason
        .is_some_and(|reason| is_away(reason.code) && reason.subject.source_table() == Some(plan.name()));
    let is_away_today = stops
        .iter()
        .any(|stop| stop.table == *plan.name() && is_away(stop.finding.code));
    was_away && !is_away_today
}

fn back_row(transition: &Transition<'_>, plan: &TablePlan) -> TableRow {
    let table = plan.name();
    transition.row_with(plan.id, |row| {
        row.stopped = Some(StopReason {
            code: code::SCHEMA_MISMATCH,
            text: "an earlier run continued without it: it was not at the source, or not selected".to_owned(),
            remedy: Some(Remedy::resync(table)),
            subject: Subject::table(table),
        });
    })
}
