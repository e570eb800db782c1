//! The constraints that plans want at the target, with the statements that create and drop each.

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::{ControlChange, LeftOutRow};
use spanferry_core::report::code;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::schema::ddl;
use spanferry_core::schema::target::Dialect;

use crate::registry::Registry;
use crate::schema_change::{Object, Wanted};

/// What a constraint does, as far as it can stand in the way of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An index without uniqueness: only a key that is too long stands in its way.
    Index,
    /// A unique index.
    UniqueIndex,
    /// A foreign key to the target table of this name.
    ForeignKey {
        /// The table that it refers to.
        parent: String,
    },
}

/// An index or foreign key of a table.
#[derive(Debug, Clone)]
pub(crate) struct Constraint {
    pub(crate) plan: Arc<TablePlan>,
    pub(crate) kind: Kind,
    pub(crate) object: Object,
    create: String,
    drop: String,
}

impl Constraint {
    /// Its name at the target.
    pub(crate) fn name(&self) -> &str {
        self.object.name()
    }

    /// The object with the statement that creates it.
    pub(crate) fn to_create(&self) -> Wanted {
        Wanted {
            object: self.object.clone(),
            statement: self.create.clone(),
        }
    }

    /// The object with the statement that drops it.
    pub(crate) fn to_drop(&self) -> Wanted {
        Wanted {
            object: self.object.clone(),
            statement: self.drop.clone(),
        }
    }

    /// The message when it is not at the target.
    pub(crate) fn left_out(&self, why: &str) -> Finding {
        let subject = Subject::part(self.plan.name(), self.name());
        let text = format!("left out: {why}");
        let remedy = format!(
            "When its reason is gone, create it at the target by hand: {}",
            self.create
        );
        let finding = Finding::new(code::CONSTRAINT_LEFT_OUT, Severity::Warning, subject, text);
        finding
            .meaning_of("an index or foreign key that cannot hold at the target is left out")
            .remedy(remedy)
    }

    /// The record that it is not at the target, and is not to be built again.
    pub(crate) fn leave_out(&self, reason: &str) -> ControlChange {
        ControlChange::LeaveOut(LeftOutRow {
            table: self.plan.name().clone(),
            constraint: self.name().to_owned(),
            reason: reason.to_owned(),
        })
    }

    /// The reason that is recorded for its absence.
    pub(crate) fn recorded_reason(&self, registry: &Registry) -> Option<String> {
        registry.left_out(self.plan.name(), self.name())
    }
}

/// The constraints of tables: all indexes before all foreign keys, which may need them.
pub(crate) fn constraints(plans: &[&Arc<TablePlan>], dialect: Dialect) -> Vec<Constraint> {
    let indexes = plans.iter().flat_map(|plan| indexes(plan, dialect));
    let foreign_keys = plans.iter().flat_map(|plan| foreign_keys(plan, dialect));
    indexes.chain(foreign_keys).collect()
}

fn indexes(plan: &Arc<TablePlan>, dialect: Dialect) -> impl Iterator<Item = Constraint> {
    plan.target.indexes.iter().map(move |index| Constraint {
        plan: Arc::clone(plan),
        kind: if index.unique {
            Kind::UniqueIndex
        } else {
            Kind::Index
        },
        object: Object::Index(index.name.clone()),
        create: ddl::create_index(&plan.target, index, dialect),
        drop: ddl::drop_index(index, dialect),
    })
}

fn foreign_keys(plan: &Arc<TablePlan>, dialect: Dialect) -> impl Iterator<Item = Constraint> {
    plan.target.foreign_keys.iter().map(move |key| Constraint {
        plan: Arc::clone(plan),
        kind: Kind::ForeignKey {
            parent: key.parent.clone(),
        },
        object: Object::ForeignKey(key.name.clone()),
        create: ddl::add_foreign_key(&plan.target, key, dialect),
        drop: ddl::drop_foreign_key(&plan.target, key, dialect),
    })
}
