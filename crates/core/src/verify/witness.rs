//! The boundary to witnesses: what each end says of itself, by ways that share nothing with the
//! load and with verify's own reading.
//!
//! A witness is asked what it holds in words of its own: its server's count, its server's catalog,
//! and rows as the server itself prints them. It uses neither the plan's conversions (`encode`,
//! `canonical`, `value`) nor a snapshot's rows, so that a fault that the load and verify have in
//! common does not hide.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use crate::plan::TablePlan;
use crate::port::target::KeyInterval;
use crate::position::Position;
use crate::report::failure::Failure;
use crate::schema::source::QualifiedName;

/// Tables of the source, each with the names of its columns, as the server's catalog spells them.
pub type SourceColumns = BTreeMap<QualifiedName, BTreeSet<String>>;

/// Names of tables of the target, each with the names of its columns, as its catalog spells them.
pub type TargetColumns = BTreeMap<String, BTreeSet<String>>;

/// Opens witnesses at the source.
pub trait WitnessSource: Send + Sync + 'static {
    /// Its witnesses.
    type Witness: SourceWitness;

    /// A witness with connections of its own. Cancellation: safe.
    fn witness(&self) -> impl Future<Output = Result<Self::Witness, Failure>> + Send;
}

/// Something that the source says against a row of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The row, by its place among those that were asked for.
    pub row: usize,
    /// Indexes into the plan's columns that differ; empty if the source has no row with this key.
    pub columns: Vec<usize>,
}

/// A witness at the source. Used by one task at a time.
///
/// It reads the present state, not a snapshot: `position` bounds what it may have seen. A failure
/// of class `Retry` means that it is lost (its connection broke, or it gave way to a statement that
/// waits for a table): open another.
pub trait SourceWitness: Send + 'static {
    /// All base tables of the migrated schema with all of their columns. Cancellation: not safe;
    /// drop the witness.
    fn columns(&mut self) -> impl Future<Output = Result<SourceColumns, Failure>> + Send;

    /// Rows of a table by the server's own count, which may take long. Cancellation: not safe; drop
    /// the witness.
    fn count(&mut self, table: &Arc<TablePlan>) -> impl Future<Output = Result<u64, Failure>> + Send;

    /// Looks for the rows of the target at the source, by their keys, and compares each cell with
    /// what the source prints. `rows` are `ListValue` payloads as the target spells them, columns
    /// in the plan's order. Cancellation: not safe; drop the witness.
    fn compare(
        &mut self,
        table: &Arc<TablePlan>,
        rows: &[Vec<u8>],
    ) -> impl Future<Output = Result<Vec<Contradiction>, Failure>> + Send;

    /// A position that contains every transaction that the calls before may have seen.
    /// Cancellation: not safe; drop the witness.
    fn position(&mut self) -> impl Future<Output = Result<Position, Failure>> + Send;
}

/// What the target says of itself. Retries as in `Target`; cancellation: safe.
pub trait TargetWitness: Send + Sync + 'static {
    /// All tables of the default schema with all of their columns, our control tables among them.
    fn columns(&self) -> impl Future<Output = Result<TargetColumns, Failure>> + Send;

    /// Rows of a table in an interval of its keys by the server's own count, which may take long.
    fn count(
        &self,
        table: &Arc<TablePlan>,
        keys: KeyInterval<'_>,
    ) -> impl Future<Output = Result<Counted, Failure>> + Send;
}

/// What a target's own count came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// So many rows.
    Rows(u64),
    /// The target cannot count them in one statement: it takes longer than the target keeps one
    /// version of its rows, or than it lets a statement run; or its statements cannot compare the
    /// keys of the interval.
    TooLong,
}
