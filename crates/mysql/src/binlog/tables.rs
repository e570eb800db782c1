//! The migrated tables: their plans, found by the names of table maps and of statements.

use std::sync::Arc;

use hashbrown::HashMap;
use spanferry_core::plan::TablePlan;
use spanferry_core::schema::source::QualifiedName;

use super::names::TableNames;
use super::table_map::TableMapHead;

/// The plans of the migrated tables. A table's place among them is its index everywhere in the
/// decoder.
#[derive(Debug)]
pub(super) struct Tables {
    plans: Vec<Arc<TablePlan>>,
    by_key: HashMap<Vec<u8>, usize>,
    names: TableNames,
}

impl Tables {
    /// These tables; `schema` is the migrated schema, which may have none.
    pub(super) fn of(schema: &str, plans: &[Arc<TablePlan>]) -> Tables {
        let keyed = plans.iter().enumerate();
        Tables {
            by_key: keyed.map(|(index, plan)| (key_of(plan.name()), index)).collect(),
            plans: plans.to_vec(),
            names: TableNames::of(schema, plans),
        }
    }

    /// All plans, by index.
    pub(super) fn plans(&self) -> &[Arc<TablePlan>] {
        &self.plans
    }

    /// The plan of one table.
    pub(super) fn plan(&self, index: usize) -> &Arc<TablePlan> {
        &self.plans[index]
    }

    /// Every index.
    pub(super) fn indices(&self) -> std::ops::Range<usize> {
        0..self.plans.len()
    }

    /// The table that a table map names, if it is migrated.
    pub(super) fn index_of(&self, head: &TableMapHead<'_>) -> Option<usize> {
        self.by_key.get(&lookup_key(head.schema, head.table)).copied()
    }

    /// The tables by the names that statements use.
    pub(super) fn names(&self) -> &TableNames {
        &self.names
    }
}

/// Names are compared byte by byte: a server writes them the same way into its catalog and into its
/// table maps, but for `lower_case_table_names = 2`, which `check` refuses. Names in statements are
/// `TableNames`.
pub(super) fn lookup_key(schema: &[u8], table: &[u8]) -> Vec<u8> {
    [schema, b"\0", table].concat()
}

/// The same of a name in the catalog.
pub(super) fn key_of(name: &QualifiedName) -> Vec<u8> {
    lookup_key(name.schema.as_bytes(), name.table.as_bytes())
}
