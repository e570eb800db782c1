//! The statements that take the actions of a foreign key away.

use spanferry_core::schema::source::{SourceForeignKey, SourceTable};

use crate::sql;

/// The statements that create the foreign key again, without actions.
pub(crate) fn without_actions(table: &SourceTable, key: &SourceForeignKey) -> Vec<String> {
    let child = format!(
        "{}.{}",
        sql::identifier(&table.name.schema),
        sql::identifier(&table.name.table)
    );
    let columns: Vec<_> = key
        .columns
        .iter()
        .map(|column| sql::identifier(&table.columns[*column].name))
        .collect();
    let parents: Vec<_> = key
        .parent_columns
        .iter()
        .map(|column| sql::identifier(column))
        .collect();
    let name = sql::identifier(&key.name);
    let add = format!(
        "ALTER TABLE {child} ADD CONSTRAINT {name} FOREIGN KEY ({}) REFERENCES {}.{} ({})",
        columns.join(", "),
        sql::identifier(&key.parent.schema),
        sql::identifier(&key.parent.table),
        parents.join(", ")
    );
    vec![format!("ALTER TABLE {child} DROP FOREIGN KEY {name}"), add]
}
