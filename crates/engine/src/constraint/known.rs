//! At a start: what is recorded of constraints, compared with what the target has.

use std::collections::BTreeSet;

use spanferry_core::plan::GroupId;
use spanferry_core::port::target::{Committer, ControlChange, SchemaObjects, TablePhase};
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::schema::target::Dialect;

use super::wanted::{Constraint, constraints};
use crate::control::ControlLane;
use crate::registry::{Registry, Transition};
use crate::schema_change::Presence;

/// Finds which constraints are left out, by the recorded reasons. One that a person has created
/// meanwhile is left out no longer. One that is missing without a record is built again: its group
/// counts as joined until then.
pub(crate) async fn compare_with_target<T: Committer>(
    registry: &Registry,
    control: &ControlLane<T>,
    dialect: Dialect,
    objects: &SchemaObjects,
) -> Result<(), Failure> {
    let plans: Vec<_> = registry.plans().iter().collect();
    let all = constraints(&plans, dialect);
    let progress = control.progress();
    let mut created = Vec::new();
    let mut reopened = BTreeSet::new();
    for constraint in &all {
        let is_absent = constraint.object.presence(objects) == Presence::Absent;
        match constraint.recorded_reason(registry) {
            Some(reason) if is_absent => progress.report(constraint.left_out(&reason)),
            Some(_) => created.push(constraint),
            None if is_absent && registry.phase(constraint.plan.id) == TablePhase::Constrained => {
                progress.report(missing(constraint));
                reopened.insert(constraint.plan.group);
            }
            None => {}
        }
    }
    let changes = |transition: &Transition<'_>| {
        let created = created.iter().map(|constraint| {
            ControlChange::ForgetLeftOut(constraint.plan.name().clone(), constraint.name().to_owned())
        });
        created
            .chain(joined_again(registry, transition, &reopened))
            .collect()
    };
    control.record(registry, changes).await
}

fn joined_again<'a>(
    registry: &'a Registry,
    transition: &'a Transition<'_>,
    groups: &'a BTreeSet<GroupId>,
) -> impl Iterator<Item = ControlChange> + 'a {
    let of_groups = registry
        .plans()
        .iter()
        .filter(|plan| groups.contains(&plan.group));
    let constrained = of_groups.filter(|plan| registry.phase(plan.id) == TablePhase::Constrained);
    constrained
        .map(|plan| ControlChange::Table(transition.row_with(plan.id, |row| row.phase = TablePhase::Joined)))
}

fn missing(constraint: &Constraint) -> Finding {
    let subject = Subject::part(constraint.plan.name(), constraint.name());
    let text = "it was at the target, and is no longer there; it is built again";
    tracing::warn!(%subject, "a constraint is missing at the target");
    Finding::new(code::CONSTRAINT_MISSING, Severity::Warning, subject, text)
}
