//! What every `Target` must do (`core/src/port/target.rs`, docs/design/fence.md): control state,
//! commits and scans, each in a file.
//!
//! Included by `#[path]` in the tests of each implementation, the engine's simulated one among
//! them: that one may depend on no connector, so the suite depends on `core` alone.

mod bench;
mod commit;
mod control;
mod scan;
mod witness;

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::Target;
use spanferry_core::schema::target::Dialect;
use spanferry_core::verify::witness::TargetWitness;

/// A row of a subject's tables: the key, a value that the unique index is on, and a plain one.
type Row = [i64; 3];

/// An empty database of the kind under test.
pub trait Subject {
    /// The implementation.
    type Target: Target + TargetWitness;
    /// Another process's connection to the same database.
    fn connect(&self) -> Self::Target;
    /// Its dialect.
    fn dialect(&self) -> Dialect;
    /// A table, not yet created, of three `INT64` columns that are not null, keyed by the first,
    /// with one unique index on the second.
    fn table(&self) -> Arc<TablePlan>;
    /// Two more tables, not yet created.
    fn others(&self) -> [Arc<TablePlan>; 2];
    /// A table, not yet created, of an `INT64` key and a text that may be NULL; `None` if the
    /// target holds whole numbers alone.
    fn texts(&self) -> Option<Arc<TablePlan>>;
    /// Most bytes of rows that a commit may have.
    fn commit_bytes_max(&self) -> usize;
}

/// All checks, each of which leaves the database as empty as it found it.
pub async fn check_all<S: Subject>(subject: &S) {
    control::check_control_state(subject).await;
    control::check_ddl(subject).await;
    control::check_takeover(subject).await;
    commit::check_commits(subject).await;
    commit::check_lanes(subject).await;
    commit::check_race(subject).await;
    commit::check_kinds(subject).await;
    commit::check_too_large(subject).await;
    scan::check_scan(subject).await;
    scan::check_intervals(subject).await;
    witness::check(subject).await;
    if let Some(texts) = subject.texts() {
        scan::check_texts(subject, &texts).await;
    }
}
