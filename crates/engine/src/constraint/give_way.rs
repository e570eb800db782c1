//! A constraint that stands in the way of a change of the source is dropped, and the change flows.
//!
//! Proof: docs/design/constraints.md.

use std::collections::BTreeSet;
use std::sync::Arc;

use spanferry_core::plan::{TableId, TablePlan};
use spanferry_core::port::target::{Committer, DdlFailure, Rejection, SchemaTarget};
use spanferry_core::report::failure::Failure;
use spanferry_core::schema::target::Dialect;
use spanferry_kill_point::kill_point;

use super::wanted::{Constraint, Kind, constraints};
use crate::history::ASK_INTERVAL;
use crate::lane::{LaneShared, interrupted};
use crate::schema_change::{Presence, Wanted, drop_present};
use crate::stop::Pause;

/// The status of a table, column or row that is not there: no constraint is to blame for it.
const NOT_FOUND: &str = "NOT_FOUND";

/// What is to be done about a rejected commit.
#[derive(Debug)]
pub(crate) enum Way {
    /// No constraint stands in it.
    Blocked,
    /// These constraints are to give way.
    Through(Vec<Constraint>),
    /// Constraints that were being built have come to an end: the commit is to be tried again.
    Changed,
}

/// Looks for the constraints that a rejected commit meets, of those that the target has. `written`
/// are the tables of the commit, and `group` all tables of their groups.
///
/// Cancellation: safe, nothing is changed. A request to stop is the failure `INTERRUPTED`.
pub(crate) async fn find_way<T: Committer + SchemaTarget>(
    shared: &LaneShared<T>,
    group: &[&Arc<TablePlan>],
    dialect: Dialect,
    rejection: &Rejection,
    written: &BTreeSet<TableId>,
) -> Result<Way, Failure> {
    if rejection.too_large || rejection.transient {
        return Ok(Way::Blocked);
    }
    let mut waited = false;
    loop {
        // A build of constraints may be under way, and may be long: it ends first.
        let alone = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return Err(interrupted()),
            alone = shared.ddl.lock() => alone,
        };
        let objects = shared.target.schema_objects().await?;
        drop(alone);
        let mut standing = constraints(group, dialect);
        standing.retain(|constraint| constraint.object.presence(&objects) != Presence::Absent);
        let chosen = choose(standing, rejection, group, written);
        let is_unfinished =
            |constraint: &Constraint| constraint.object.presence(&objects) == Presence::Unfinished;
        if !chosen.iter().any(is_unfinished) {
            return Ok(match chosen.is_empty() {
                _ if waited => Way::Changed,
                true => Way::Blocked,
                false => Way::Through(chosen),
            });
        }
        // The operation of an earlier run is at work on it: the target would queue a statement
        // behind that.
        waited = true;
        if !shared.stop.pause(ASK_INTERVAL).await {
            return Err(interrupted());
        }
    }
}

/// The constraint that the target names; else those of one kind that may be it, most likely first.
/// If they are not it, the commit is rejected again, and the next kind follows.
fn choose(
    standing: Vec<Constraint>,
    rejection: &Rejection,
    group: &[&Arc<TablePlan>],
    written: &BTreeSet<TableId>,
) -> Vec<Constraint> {
    let written_names: BTreeSet<&str> = group
        .iter()
        .filter(|plan| written.contains(&plan.id))
        .map(|plan| plan.target.name.as_str())
        .collect();
    let concerns = |constraint: &Constraint| {
        written.contains(&constraint.plan.id)
            || matches!(&constraint.kind, Kind::ForeignKey { parent } if written_names.contains(parent.as_str()))
    };
    let concerned: Vec<Constraint> = standing.into_iter().filter(concerns).collect();
    let named = rejection.named.iter().find_map(|name| {
        concerned
            .iter()
            .find(|constraint| constraint.name().eq_ignore_ascii_case(name))
    });
    if let Some(named) = named {
        return vec![named.clone()];
    }
    if rejection.status == NOT_FOUND {
        return Vec::new();
    }
    let is_key = |constraint: &Constraint| matches!(constraint.kind, Kind::ForeignKey { .. });
    let is_unique = |constraint: &Constraint| constraint.kind == Kind::UniqueIndex;
    let is_plain = |constraint: &Constraint| constraint.kind == Kind::Index;
    let kinds: [&dyn Fn(&Constraint) -> bool; 3] = if rejection.is_there() {
        [&is_unique, &is_key, &is_plain]
    } else {
        [&is_key, &is_unique, &is_plain]
    };
    for is_of_kind in kinds {
        let found: Vec<Constraint> = concerned
            .iter()
            .filter(|constraint| is_of_kind(constraint))
            .cloned()
            .collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// Drops constraints whose absence is recorded. False if the target refuses to.
pub(crate) async fn drop_recorded<T: Committer + SchemaTarget>(
    shared: &LaneShared<T>,
    constraints: &[Constraint],
) -> Result<bool, Failure> {
    let _alone = shared.ddl.lock().await;
    let _quiet = shared.quiet().await;
    let unwanted: Vec<Wanted> = constraints.iter().map(Constraint::to_drop).collect();
    kill_point("before constraint drop", "");
    let dropped = drop_present(shared.target.as_ref(), &unwanted).await;
    kill_point("after constraint drop", "");
    match dropped {
        Ok(()) => Ok(true),
        Err(DdlFailure::Refused { reason, .. }) => {
            tracing::warn!(failure = %reason.for_log(), "a constraint that is in the way cannot be dropped");
            Ok(false)
        }
        Err(DdlFailure::Failed(failure)) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use spanferry_core::fixture::{self, BIGINT, column, foreign_key, index};
    use spanferry_core::mapping::convert::map;
    use spanferry_core::mapping::options::MappingOptions;

    use super::*;

    /// A parent `a` with a unique and a plain index, its child `b` with a unique index.
    fn plans() -> Vec<Arc<TablePlan>> {
        let columns = || ["id", "x", "y"].map(|name| column(name, BIGINT)).to_vec();
        let mut parent = fixture::table("a", columns());
        parent.indexes = vec![index("one", true, &[1]), index("two", false, &[2])];
        let mut child = fixture::table("b", columns());
        child.indexes = vec![index("one", true, &[2])];
        child.foreign_keys = vec![foreign_key("up", &[1], "a", &["id"])];
        let options = MappingOptions {
            dialect: Dialect::GoogleSql,
            uuid_supported: true,
        };
        map(vec![parent, child], &options)
            .plans
            .into_iter()
            .map(Arc::new)
            .collect()
    }

    #[track_caller]
    fn check(status: &str, named: &[&str], written: &[u32], gone: &[&str], expected: &[&str]) {
        let plans = plans();
        let group: Vec<&Arc<TablePlan>> = plans.iter().collect();
        let mut standing = constraints(&group, Dialect::GoogleSql);
        standing.retain(|constraint| !gone.contains(&constraint.name()));
        let rejection = Rejection {
            status: status.to_owned(),
            message: String::new(),
            named: named.iter().map(|name| (*name).to_owned()).collect(),
            too_large: false,
            of_value: false,
            transient: false,
        };
        let written: BTreeSet<TableId> = written.iter().copied().map(TableId).collect();
        let chosen = choose(standing, &rejection, &group, &written);
        let names: Vec<&str> = chosen.iter().map(Constraint::name).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn the_named_constraint_gives_way() {
        check("FAILED_PRECONDITION", &["violation", "UP"], &[1], &[], &["up"]);
        // The parent's change is rejected by the child's foreign key.
        check("FAILED_PRECONDITION", &["up"], &[0], &[], &["up"]);
        check("ALREADY_EXISTS", &["b_one"], &[0, 1], &[], &["b_one"]);
        check("INVALID_ARGUMENT", &["a_two"], &[0], &[], &["a_two"]);
    }

    #[test]
    fn where_none_is_named_one_kind_after_the_other_gives_way() {
        check("FAILED_PRECONDITION", &[], &[0, 1], &[], &["up"]);
        check("FAILED_PRECONDITION", &[], &[0, 1], &["up"], &["a_one", "b_one"]);
        check(
            "FAILED_PRECONDITION",
            &[],
            &[0, 1],
            &["up", "a_one", "b_one"],
            &["a_two"],
        );
        check(
            "ALREADY_EXISTS",
            &["IDX_a_x_U"],
            &[0, 1],
            &[],
            &["a_one", "b_one"],
        );
        check("ALREADY_EXISTS", &[], &[0, 1], &["a_one", "b_one"], &["up"]);
    }

    #[test]
    fn what_the_commit_does_not_concern_stays() {
        check("ALREADY_EXISTS", &["b_one"], &[0], &[], &["a_one"]);
        check("ALREADY_EXISTS", &[], &[1], &["b_one", "up"], &[]);
        check("NOT_FOUND", &[], &[0, 1], &[], &[]);
    }
}
