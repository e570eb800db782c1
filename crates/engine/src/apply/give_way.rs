//! Drops the constraint that stands in the way of a group's change (docs/design/constraints.md,
//! step 4).

use std::sync::Arc;

use spanferry_core::apply::action::{GaveWay, Obstacle};
use spanferry_core::apply::verdict::rejects_control;
use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::{Committer, ControlChange, Rejection, SchemaTarget};
use spanferry_core::report::failure::Failure;
use spanferry_core::schema::target::Dialect;

use crate::constraint::{Constraint, Way, drop_recorded, find_way};
use crate::lane::{FencedLane, LaneError, LaneShared};
use crate::registry::Registry;

/// Looks for a constraint that stands in the way, and drops it; `lane` records that it is left out.
pub(super) async fn give_way<T: Committer + SchemaTarget>(
    shared: &LaneShared<T>,
    registry: &Registry,
    lane: &mut FencedLane<T>,
    dialect: Dialect,
    obstacle: &Obstacle,
) -> Result<GaveWay, Failure> {
    let Obstacle {
        group,
        written,
        rejection,
    } = obstacle;
    let of_group: Vec<&Arc<TablePlan>> = registry.group(*group).collect();
    match find_way(shared, &of_group, dialect, rejection, written).await? {
        Way::Changed => Ok(GaveWay::Yes),
        Way::Blocked => Ok(GaveWay::No),
        Way::Through(constraints) => let_through(shared, registry, lane, rejection, &constraints).await,
    }
}

/// Records that constraints are left out, then drops them. They stay if the target refuses to drop
/// them.
async fn let_through<T: Committer + SchemaTarget>(
    shared: &LaneShared<T>,
    registry: &Registry,
    lane: &mut FencedLane<T>,
    rejection: &Rejection,
    constraints: &[Constraint],
) -> Result<GaveWay, Failure> {
    let reason = format!(
        "it stood in the way of a change of the source: {}: {}",
        rejection.status, rejection.message
    );
    let rows: Vec<ControlChange> = constraints
        .iter()
        .map(|constraint| constraint.leave_out(&reason))
        .collect();
    let transition = registry.transition().await;
    let recorded = lane.commit_counted(Vec::new(), rows.clone()).await;
    recorded.map_err(unexpected)?;
    transition.adopt(&rows);
    drop(transition);
    let is_dropped = drop_recorded(shared, constraints).await?;
    for constraint in constraints {
        let finding = constraint.left_out(&reason);
        tracing::warn!(code = %finding.code, subject = %finding.subject, status = rejection.status,
            "a constraint gives way to a change");
        shared.progress.report(finding);
    }
    Ok(if is_dropped { GaveWay::Yes } else { GaveWay::No })
}

fn unexpected(error: LaneError) -> Failure {
    match error {
        LaneError::Failed(failure) => failure,
        LaneError::Rejected(refused) => rejects_control(refused.rejection),
    }
}
