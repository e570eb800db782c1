//! What every source must do (`core/src/port/source.rs`, `core/src/verify/witness.rs`): the traits
//! of schema, snapshots, changes and witnesses, each in a file of its own.
//!
//! Included by `#[path]` in the tests of each implementation, the engine's simulated one among
//! them: that one may depend on no connector, so the suite depends on `core` and `tokio` alone, and
//! on the test kit's generator as `crate::random`.

mod change;
mod decoder;
pub mod hand_over;
mod history;
mod model;
mod reading;
mod schema;
pub mod snapshot;
mod witness;

pub use model::Row;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use spanferry_core::mapping::convert;
use spanferry_core::mapping::options::MappingOptions;
use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::{
    CatalogSource, PositionSource, PreparedWait, Snapshot, SnapshotRequest, SnapshotSource, Source,
};
use spanferry_core::position::{Bookmark, Position};
use spanferry_core::report::failure::Failure;
use spanferry_core::schema::target::Dialect;
use spanferry_core::verify::witness::WitnessSource;

use crate::random::seed;

/// Longest that anything here may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// How far an opening may have come when it is abandoned.
const GIVEN_UP_AFTER_MS: [u64; 8] = [0, 1, 2, 4, 8, 16, 32, 64];

/// Tables that the checks write to, by their place among the subject's tables.
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

/// One row that a transaction changes: an insert has no `old` key, a delete no `new` row, an update
/// both.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// The table, by its place among the subject's tables.
    pub table: usize,
    /// The key of the row that is replaced or deleted.
    pub old: Option<i64>,
    /// The row as it is then.
    pub new: Option<Row>,
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its changes hold.
    Commit,
    /// They never were.
    RollBack,
}

/// The table that `Statement::CreateTable` creates; its name comes behind all others.
pub const CREATED: &str = "zebra";

/// A statement that is no change of rows, on a table by its place.
#[derive(Debug, Clone, Copy)]
pub enum Statement {
    /// The last column becomes one of decimals.
    ChangeColumn(usize),
    /// Nothing changes that a row shows.
    AddIndex(usize),
    /// All rows go without being named.
    Truncate(usize),
    /// A table like the others, named `CREATED`, which `reset` drops.
    CreateTable,
}

/// A database of the kind under test, with the means to be its application and its administrator.
pub trait Subject {
    /// The implementation of the traits.
    type Source: Source + WitnessSource;
    /// An application's session.
    type Writer: Writer;

    /// The source, as another process sees it.
    fn source(&self) -> Self::Source;
    /// The names of all base tables, at least three, in order: each of three 64-bit integers that
    /// are not null, keyed by the first.
    fn tables(&self) -> &'static [&'static str];
    /// Whether a snapshot gets the lock that it asks for while there are no writes.
    fn locks(&self) -> bool;
    /// How many rows, inserted by one transaction, surely make more than one piece.
    fn rows_of_many_pieces(&self) -> i64;
    /// Creates all tables again, empty. The history continues.
    async fn reset(&self);
    /// A new session that writes.
    async fn writer(&self) -> Self::Writer;
    /// Runs a statement in a session of its own, to its end.
    async fn run(&self, statement: Statement);
    /// Cuts every connection, those of writers too.
    async fn disconnect(&self);
    /// Has the source forget the history up to now.
    async fn purge(&self);
}

/// An application's session.
pub trait Writer {
    /// Makes the changes in this order in a transaction that stays open.
    async fn begin(&mut self, changes: &[Change]);
    /// Ends the open transaction, and returns once it has ended.
    async fn end(&mut self, end: End);

    /// A whole transaction.
    async fn commit(&mut self, changes: &[Change]) {
        self.begin(changes).await;
        self.end(End::Commit).await;
    }

    /// The same, but taken back at the end.
    async fn roll_back(&mut self, changes: &[Change]) {
        self.begin(changes).await;
        self.end(End::RollBack).await;
    }
}

/// All checks; the tables and the history are left as the last one made them.
pub async fn check_all<S: Subject>(subject: &S) {
    Box::pin(schema::check(subject)).await;
    Box::pin(snapshot::check(subject)).await;
    Box::pin(reading::check(subject)).await;
    Box::pin(change::check(subject)).await;
    Box::pin(history::check(subject)).await;
    Box::pin(decoder::check(subject)).await;
    Box::pin(witness::check(subject)).await;
    Box::pin(hand_over::check(subject, seed(1))).await;
    // Last: what is forgotten never comes back.
    Box::pin(change::check_purged(subject)).await;
    Box::pin(history::check_purged(subject)).await;
}

/// Empty tables, their plans, the position, and a writer.
struct Bench<S: Subject> {
    source: S::Source,
    writer: S::Writer,
    plans: Vec<Arc<TablePlan>>,
    /// Where the history stood when the tables were empty.
    start: Position,
}

impl<S: Subject> Bench<S> {
    async fn new(subject: &S) -> Bench<S> {
        subject.reset().await;
        let source = subject.source();
        Bench {
            plans: plans(&source).await,
            start: source.position().await.unwrap(),
            writer: subject.writer().await,
            source,
        }
    }

    /// Where the history stood when the tables were empty, by its numbers alone.
    fn beginning(&self) -> Bookmark {
        Bookmark::unproved(self.start.clone())
    }

    /// Inserts rows into a table, in one transaction.
    async fn insert(&mut self, table: usize, rows: &[Row]) {
        let changes: Vec<Change> = rows.iter().map(|row| insert(table, *row)).collect();
        self.writer.commit(&changes).await;
    }
}

/// The plans that the source's own catalog gives, one for each table.
async fn plans<S: CatalogSource>(source: &S) -> Vec<Arc<TablePlan>> {
    let options = MappingOptions {
        dialect: Dialect::GoogleSql,
        uuid_supported: false,
    };
    let mapped = convert::map(source.catalog().await.unwrap().tables, &options);
    mapped.plans.into_iter().map(Arc::new).collect()
}

/// Opens a snapshot.
async fn open<S: SnapshotSource>(
    source: &S,
    tables: &[Arc<TablePlan>],
    sessions: usize,
    lock: bool,
) -> Result<Snapshot<S::Session>, Failure> {
    let none = BTreeSet::new();
    let request = SnapshotRequest {
        tables,
        sessions,
        lock,
        prepared: PreparedWait::AllBut(&none),
    };
    source.open_snapshot(&request).await
}

/// The future's output; a source that lets one wait for ever has failed.
async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let output = tokio::time::timeout(PATIENCE, future).await;
    output.unwrap_or_else(|_| panic!("{what} takes longer than {PATIENCE:?}"))
}

fn insert(table: usize, row: Row) -> Change {
    Change {
        table,
        old: None,
        new: Some(row),
    }
}

fn update(table: usize, old: i64, row: Row) -> Change {
    Change {
        table,
        old: Some(old),
        new: Some(row),
    }
}

fn delete(table: usize, key: i64) -> Change {
    Change {
        table,
        old: Some(key),
        new: None,
    }
}
