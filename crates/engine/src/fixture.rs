//! What unit tests of this crate work with.

use std::sync::Arc;

use spanferry_core::plan::{GroupId, TableId, TablePlan};
use spanferry_core::schema::{QualifiedName, SourceTable};
use spanferry_core::target::{TablePhase, TableRow};
use spanferry_core::target_schema::TargetTable;

use crate::registry::TableState;

/// The plan of a table without columns, the first and only one of a migration.
pub(crate) fn table(name: &str) -> Arc<TablePlan> {
    let source = SourceTable {
        name: QualifiedName {
            schema: "s".to_owned(),
            table: name.to_owned(),
        },
        engine: "InnoDB".to_owned(),
        system_versioned: false,
        columns: Vec::new(),
        primary_key: Vec::new(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        triggers: Vec::new(),
        rows_estimate: 0,
        bytes_estimate: 0,
    };
    let target = TargetTable {
        name: name.to_owned(),
        columns: Vec::new(),
        primary_key: Vec::new(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
    };
    Arc::new(TablePlan {
        id: TableId(0),
        group: GroupId(0),
        source: Arc::new(source),
        target,
        columns: Vec::new(),
        key: Vec::new(),
        backing_indexes: 0,
    })
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
