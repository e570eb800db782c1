//! What unit tests of this crate work with.

use std::sync::Arc;

use spanferry_core::fixture::{plan, table as source_table};
use spanferry_core::plan::TablePlan;
use spanferry_core::target::{TablePhase, TableRow};

use crate::registry::TableState;

/// The plan of a table without columns, the first and only one of a migration.
pub(crate) fn table(name: &str) -> Arc<TablePlan> {
    Arc::new(plan(source_table(name, Vec::new()), []))
}

/// The state of a table in a phase, whose snapshot was taken at one position, in its text form; none if it is empty.
pub(crate) fn state(name: &str, phase: TablePhase, snapshot: &str) -> TableState {
    TableState::new(TableRow {
        table: name.to_owned(),
        phase,
        low: snapshot.to_owned(),
        high: snapshot.to_owned(),
        rows_loaded: 0,
        definition: String::new(),
        reason: String::new(),
    })
}
