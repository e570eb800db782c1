//! The indexes that Spanner makes by itself behind foreign keys.

use std::collections::BTreeSet;

use super::TablePlan;
use crate::schema::target::TargetTable;

/// Counts the indexes that Spanner makes by itself behind foreign keys: one over the child's
/// columns, one over the parent's, each unless these are the table's primary key. Keys over the
/// same columns share it.
pub(crate) fn count_backing_indexes(plans: &mut [TablePlan]) {
    let mut backed: BTreeSet<(String, Vec<String>)> = BTreeSet::new();
    for plan in &*plans {
        for key in &plan.target.foreign_keys {
            backed.insert((plan.target.name.clone(), column_names(&plan.target, &key.columns)));
            backed.insert((key.parent.clone(), key.parent_columns.clone()));
        }
    }
    for plan in plans {
        let own = column_names(&plan.target, &plan.target.primary_key);
        let of_table = backed.iter().filter(|(table, _)| *table == plan.target.name);
        plan.backing_indexes = of_table.filter(|(_, columns)| *columns != own).count();
    }
}

/// The names of a table's columns, by their places.
pub(crate) fn column_names(table: &TargetTable, columns: &[usize]) -> Vec<String> {
    columns
        .iter()
        .map(|column| table.columns[*column].name.clone())
        .collect()
}
