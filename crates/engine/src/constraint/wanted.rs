//! The constraints that plans want, and those of them that the target lacks.

use std::sync::Arc;

use spanferry_core::code;
use spanferry_core::ddl;
use spanferry_core::finding::{Finding, Severity, Subject};
use spanferry_core::plan::TablePlan;
use spanferry_core::target::{SchemaObjects, TablePhase};
use spanferry_core::target_schema::Dialect;

use crate::progress::Progress;
use crate::registry::Registry;
use crate::schema_change::{Object, Wanted};

/// An index or foreign key of a table.
pub(super) struct Constraint {
    pub(super) plan: Arc<TablePlan>,
    pub(super) wanted: Wanted,
}

impl Constraint {
    /// What a person is told when it is not at the target.
    pub(super) fn left_out(&self, why: &str) -> Finding {
        let subject = Subject::part(self.plan.name().table.clone(), self.wanted.object.name());
        let text = format!("left out: {why}");
        Finding::new(code::CONSTRAINT_LEFT_OUT, Severity::Warning, subject, text)
            .remedy(self.wanted.statement.clone())
    }
}

/// The constraints of tables: all indexes before all foreign keys, which may need them.
pub(super) fn constraints(plans: &[&Arc<TablePlan>], dialect: Dialect) -> Vec<Constraint> {
    let indexes = plans.iter().flat_map(|plan| indexes(plan, dialect));
    let foreign_keys = plans.iter().flat_map(|plan| foreign_keys(plan, dialect));
    indexes.chain(foreign_keys).collect()
}

fn indexes(plan: &Arc<TablePlan>, dialect: Dialect) -> impl Iterator<Item = Constraint> {
    plan.target.indexes.iter().map(move |index| Constraint {
        plan: Arc::clone(plan),
        wanted: Wanted {
            object: Object::Index(index.name.clone()),
            statement: ddl::create_index(&plan.target, index, dialect),
        },
    })
}

fn foreign_keys(plan: &Arc<TablePlan>, dialect: Dialect) -> impl Iterator<Item = Constraint> {
    plan.target.foreign_keys.iter().map(move |key| Constraint {
        plan: Arc::clone(plan),
        wanted: Wanted {
            object: Object::ForeignKey(key.name.clone()),
            statement: ddl::add_foreign_key(&plan.target, key, dialect),
        },
    })
}

/// Tells which constraints of complete tables the target lacks: those that an earlier process left out.
pub(crate) fn find_left_out(
    registry: &Registry,
    dialect: Dialect,
    objects: &SchemaObjects,
    progress: &Progress,
) {
    let complete = registry.plans().iter();
    let complete: Vec<_> = complete
        .filter(|plan| registry.phase(plan.id) == TablePhase::Constrained)
        .collect();
    for constraint in constraints(&complete, dialect) {
        if !constraint.wanted.object.is_in(objects) {
            progress.find(constraint.left_out("an earlier run left it out; the run's log says why"));
        }
    }
}
