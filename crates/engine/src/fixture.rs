//! What unit tests of this crate work with.

use std::sync::Arc;

use spanferry_core::fixture::{plan, qualified, table as source_table};
use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::{TablePhase, TableRow};
use spanferry_core::position::Bookmark;
use spanferry_core::record::StopReason;
use spanferry_core::report::code;
use spanferry_core::report::finding::Subject;

/// The plan of a table without columns, the first and only one of a migration.
pub(crate) fn table(name: &str) -> Arc<TablePlan> {
    Arc::new(plan(source_table(name, Vec::new()), []))
}

/// The state of a table in a phase, whose snapshot was taken at one position, in its text form,
/// perhaps with witnesses.
pub(crate) fn row(name: &str, phase: TablePhase, snapshot: Option<&str>) -> TableRow {
    let high = snapshot.map(|text| Bookmark::parse(text).expect("a position"));
    let reason = || StopReason {
        code: code::DDL_SEEN,
        subject: Subject::table(&qualified(name)),
        text: "ALTER TABLE".to_owned(),
        remedy: None,
    };
    TableRow {
        table: qualified(name),
        phase,
        low: high.as_ref().map(|high| high.position.clone()),
        high,
        rows_loaded: 0,
        stopped: (phase == TablePhase::Stopped).then(reason),
    }
}
