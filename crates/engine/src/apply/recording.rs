//! The control rows that travel with a commit of apply, and what is made known once it has
//! happened.

use spanferry_core::apply::action::{Proposal, Seen};
use spanferry_core::apply::window::Stop;
use spanferry_core::plan::TableId;
use spanferry_core::port::target::{ControlChange, TablePhase};
use spanferry_core::report::failure::Failure;

use crate::progress::Progress;
use crate::registry::{Registry, Transition};
use spanferry_core::apply::verdict::misplaced;

/// The rows of a commit, with the right to change the states of tables if it has any.
pub(super) struct Recording<'a> {
    transition: Option<Transition<'a>>,
    /// The rows.
    pub(super) rows: Vec<ControlChange>,
    stops: Vec<Stop>,
}

impl<'a> Recording<'a> {
    /// The rows that record a proposal's stops, joins, and what its rows were seen of.
    pub(super) async fn of(registry: &'a Registry, proposal: &Proposal) -> Result<Recording<'a>, Failure> {
        let Proposal {
            stops, joins, seen, ..
        } = proposal;
        let mut recording = Recording {
            transition: None,
            rows: Vec::new(),
            stops: stops.clone(),
        };
        if stops.is_empty() && joins.is_empty() && seen.is_none() {
            return Ok(recording);
        }
        let transition = registry.transition().await;
        recording.rows = stop_rows(&transition, stops);
        recording.rows.extend(join_rows(registry, &transition, joins));
        if let Some(seen) = seen {
            recording.rows.extend(seen_rows(registry, &transition, seen)?);
        }
        recording.transition = Some(transition);
        Ok(recording)
    }

    /// Makes known what has become durable.
    pub(super) fn settle(self, progress: &Progress) {
        if let Some(transition) = self.transition {
            transition.adopt(&self.rows);
        }
        for stop in self.stops {
            tracing::error!(code = %stop.finding.code, subject = %stop.finding.subject, transaction = stop.transaction,
                "a group stops");
            progress.report(stop.finding);
        }
    }
}

fn stop_rows(transition: &Transition<'_>, stops: &[Stop]) -> Vec<ControlChange> {
    let rows = stops.iter().flat_map(|stop| {
        let mut finding = stop.finding.clone();
        if let Some(transaction) = &stop.transaction {
            finding.text = format!("{} (transaction {transaction})", finding.text);
        }
        transition.stop_rows(stop.group, &finding)
    });
    rows.collect()
}

/// A table that has stopped meanwhile does not join.
fn join_rows(registry: &Registry, transition: &Transition<'_>, joins: &[TableId]) -> Vec<ControlChange> {
    let loaded = joins
        .iter()
        .filter(|table| registry.phase(**table) == TablePhase::Loaded);
    loaded
        .map(|table| ControlChange::Table(transition.row_with(*table, |row| row.phase = TablePhase::Joined)))
        .collect()
}

/// The tables hold rows of a transaction that the main stream has not passed: they are exact again
/// once it has (docs/design/fence.md, step 14).
fn seen_rows(
    registry: &Registry,
    transition: &Transition<'_>,
    seen: &Seen,
) -> Result<Vec<ControlChange>, Failure> {
    let mut rows = Vec::new();
    let mut plans: Vec<_> = seen
        .groups
        .iter()
        .flat_map(|group| registry.group(*group))
        .collect();
    plans.sort_by_key(|plan| plan.id);
    plans.dedup_by_key(|plan| plan.id);
    for plan in plans {
        let mut row = registry.row(plan.id);
        match row.phase {
            TablePhase::Joined | TablePhase::Constrained => {}
            TablePhase::Pending | TablePhase::Loading | TablePhase::Loaded | TablePhase::Stopped => continue,
        }
        let Some(high) = &mut row.high else {
            return Err(Failure::bug("main stream", "a joined table has no `high`"));
        };
        high.take_in(&seen.transaction).map_err(misplaced)?;
        let high = row.high;
        rows.push(ControlChange::Table(transition.row_with(plan.id, |row| {
            row.phase = TablePhase::Joined;
            row.high = high;
        })));
    }
    Ok(rows)
}
