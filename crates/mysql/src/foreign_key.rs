//! Foreign keys whose actions change rows of the child, and the statements that take the actions
//! away.

use spanferry_core::schema::source::{ForeignKeyAction, SourceForeignKey, SourceTable};

use crate::sql;

/// Whether the server changes rows of the child by this action. InnoDB treats SET DEFAULT as
/// RESTRICT (error 1451, both servers: `mysql/tests/cascade.rs`).
pub(crate) fn changes_rows(action: ForeignKeyAction) -> bool {
    match action {
        ForeignKeyAction::Cascade | ForeignKeyAction::SetNull => true,
        ForeignKeyAction::NoAction | ForeignKeyAction::SetDefault => false,
    }
}

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
