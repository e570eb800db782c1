//! The boundary to a source database: its schema, its snapshots and its changes.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::plan::{TableId, TablePlan};
use crate::port::change::ChangeSink;
use crate::port::change_log::Piece;
pub use crate::port::row_source::{Boundary, Range, ReadRows, ReadStatus, RefusedRow};
use crate::position::{Bookmark, Position, Witness};
use crate::report::failure::Failure;
use crate::report::finding::Finding;
use crate::schema::source::{Catalog, QualifiedName};

/// Reads the source's schema.
///
/// Nothing here changes the source. Every call may be repeated; a `Retry` failure means that the
/// connection broke and a later call opens a new one. Cancellation: safe.
pub trait CatalogSource: Send + Sync + 'static {
    /// The catalog of the migrated schema, all base tables of it.
    fn catalog(&self) -> impl Future<Output = Result<Catalog, Failure>> + Send;
}

/// Checks before anything is written whether the source can be migrated. Retries and cancellation
/// as in [`CatalogSource`].
pub trait PreflightSource: Send + Sync + 'static {
    /// Everything that catalog, variables and privileges show, all at once, for the tables that are
    /// to be migrated. A failure means only that the check itself could not be made (no route, no
    /// login).
    fn check(&self, request: &CheckRequest) -> impl Future<Output = Result<Vec<Finding>, Failure>> + Send;
}

/// Says where the source's history stands. Retries and cancellation as in [`CatalogSource`].
pub trait PositionSource: Send + Sync + 'static {
    /// Where the source's history stands now: everything committed before the call is contained.
    fn position(&self) -> impl Future<Output = Result<Position, Failure>> + Send;

    /// Whether the source's history holds everything that led to `position`: false for one that
    /// lags behind it, has lost a part of it in a failover, or is a stranger. What a change stream
    /// may have sent is held, also before it is committed and seen in `position`; it may still be
    /// given up then.
    fn holds(&self, position: &Position) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// Text that names the source's history for a person: server UUID or domain and server id,
    /// version, host.
    fn identity(&self) -> impl Future<Output = Result<String, Failure>> + Send;
}

/// Reports how the source copes with being read. Retries and cancellation as in [`CatalogSource`].
pub trait HealthSource: Send + Sync + 'static {
    /// What reading costs the source at this moment, as far as the account may see it; a source
    /// that shows nothing of it has the default.
    fn health(&self) -> impl Future<Output = Result<SourceHealth, Failure>> + Send;
}

/// Proves that the source's history is the one that is known, by more than its numbers
/// (docs/design/history.md).
///
/// Both calls read a little of the source's log; every call may be repeated. Cancellation: safe.
pub trait HistorySource: Send + Sync + 'static {
    /// The position with its last transactions, as the source shows them now. Without witnesses
    /// where the source shows none of them: it has forgotten them, or has no transaction yet.
    fn bookmark(&self, position: &Position) -> impl Future<Output = Result<Bookmark, Failure>> + Send;

    /// Proves that the source's history led to `known`, whose newest witness it shows.
    ///
    /// A source that lacks a part of it, or shows another transaction in the place of a witness, is
    /// the failure `HISTORY_CHANGED`. One that can show the newest witness no longer is
    /// `HISTORY_UNPROVED`. Both are of class `StopMigration`. A bookmark without witnesses is only
    /// compared by its numbers.
    fn prove(&self, known: &Bookmark) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Reports how many sessions the source allows. Retries and cancellation as in [`CatalogSource`].
pub trait SessionSource: Send + Sync + 'static {
    /// How many sessions a snapshot may have, if `wanted` are asked for; with `lock` it opens under
    /// a read lock.
    fn allot_sessions(
        &self,
        wanted: usize,
        lock: bool,
    ) -> impl Future<Output = Result<Allotment, Failure>> + Send;

    /// Whether the sessions of a verification can be opened; a blocking finding if they cannot.
    fn allot_verification(&self) -> impl Future<Output = Result<Option<Finding>, Failure>> + Send;
}

/// How many sessions a snapshot may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allotment {
    /// As many as were wanted, or fewer; at least one.
    pub sessions: usize,
    /// Why they are fewer, or why a migration is not possible.
    pub finding: Option<Finding>,
}

/// What `PreflightSource::check` looks at.
#[derive(Debug, Clone, Default)]
pub struct CheckRequest {
    /// The selected tables.
    pub tables: Vec<QualifiedName>,
    /// How long the load is estimated to take.
    pub load_estimate: Duration,
    /// Number of sessions that the snapshot will open.
    pub sessions: usize,
    /// Whether the snapshot is to be opened under a lock.
    pub lock: bool,
}

/// What reading costs a source. `None`: there is nothing of the kind, or the account may not see
/// it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceHealth {
    /// Transactions whose old row versions are kept because a snapshot may still need them.
    pub versions_kept: Option<u64>,
    /// How far the source, itself a replica, is behind its own source.
    pub replica_lag: Option<Duration>,
}

/// What a snapshot is to be.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotRequest<'a> {
    /// The tables that its sessions will read.
    pub tables: &'a [Arc<TablePlan>],
    /// How many sessions; at least one is opened.
    pub sessions: usize,
    /// Whether the source may lock the tables while the sessions open, so that all of them show one
    /// state. Without it no statement of the application ever waits for the opening.
    pub lock: bool,
    /// Which prepared transactions must have ended before the sessions open.
    pub prepared: PreparedWait<'a>,
}

/// The identity of a prepared (two-phase) transaction, as the source names it. It is compared, and
/// shown to people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PreparedId(pub String);

/// For which prepared transactions a snapshot waits. The changes of one are in the stream where it
/// was prepared, and become visible where it is committed: the sessions would miss them if the
/// commit came after they have opened.
#[derive(Debug, Clone, Copy)]
pub enum PreparedWait<'a> {
    /// For none: nothing will be applied on top of what the sessions show.
    Nothing,
    /// For all but these, which have changed no migrated table.
    AllBut(&'a BTreeSet<PreparedId>),
}

/// How the sessions of a snapshot were opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotMethod {
    /// The tables were locked against writers while the sessions opened: all sessions show one
    /// state of the tables, that of `high`.
    Locked {
        /// From the moment the lock was asked for until it was released: no writer waited longer.
        held: Duration,
    },
    /// All sessions were opened on one exported state, without a lock: `low` and `high` are equal.
    Exported,
    /// No lock was held: each session may show another state, and `low` and `high` bound them all.
    Unlocked,
}

/// An open snapshot: sessions that each see one consistent state, between `low` and `high`.
#[derive(Debug)]
pub struct Snapshot<S> {
    /// A position that every session has surely passed, as far as the tables of the request are
    /// concerned.
    pub low: Position,
    /// A position that no session can have passed, as far as the tables of the request are
    /// concerned.
    pub high: Position,
    /// The sessions.
    pub sessions: Vec<S>,
    /// How it was made.
    pub method: SnapshotMethod,
    /// Transactions that were prepared when the sessions opened, and that the request named as not
    /// to be waited for.
    pub passed: Vec<PreparedId>,
}

/// Opens snapshots.
pub trait SnapshotSource: Send + Sync + 'static {
    /// Its sessions.
    type Session: SnapshotSession;

    /// Opens sessions with consistent snapshots.
    ///
    /// The catalog is read before and after they open, and must equal the plans' `source`;
    /// otherwise the failure is `SCHEMA_MISMATCH` with class `StopTable` and the table
    /// (`Failure::of_table`). A lock that is asked for is tried once. It is held for a second at
    /// most, its wait included, and released on every way out. Where it cannot be had (the
    /// privilege is missing, the source is busy), the sessions open without one.
    ///
    /// Everything that is committed in `low` is visible to every session, with the two phases of a
    /// prepared transaction taken apart: one whose commit is in `low` is visible too. A source that
    /// lists prepared transactions waits some seconds for each that the request does not name; one
    /// that does not end is the failure `SOURCE_PREPARED` (class `Retry`), which names it. A source
    /// that may not list them waits for none: their commits behind `low` are in the stream.
    /// Cancellation: dropping the future releases every lock and session.
    fn open_snapshot(
        &self,
        request: &SnapshotRequest<'_>,
    ) -> impl Future<Output = Result<Snapshot<Self::Session>, Failure>> + Send;
}

/// One session with a consistent snapshot. Used by one worker at a time.
///
/// A lost connection, a lost snapshot (error 1412) or a table whose planned columns have changed is
/// a failure with code `SNAPSHOT_LOST` (class `Retry`) or `SCHEMA_MISMATCH` (class `StopTable`): it
/// never looks like the end of a range. A column added since may pass unseen here: no plan reads
/// it, and the statement is in the stream.
///
/// A session never holds up a statement at the source: while it holds a table that another
/// statement waits for, also between its calls, the implementation ends it within a second. Its
/// next call then fails with `SNAPSHOT_LOST` (class `Retry`) and a message that says so; what it
/// had not finished is read in a new snapshot.
pub trait SnapshotSession: Send + 'static {
    /// The key that lies `rows` rows above `after` in the server's own order, or `None` if fewer
    /// rows follow.
    fn boundary(
        &mut self,
        plan: &TablePlan,
        after: Option<&Boundary>,
        rows: u64,
    ) -> impl Future<Output = Result<Option<Boundary>, Failure>> + Send;

    /// Begins to read a range. `read` must then be called until `End`, or the session dropped.
    fn begin(
        &mut self,
        plan: &Arc<TablePlan>,
        range: &Range,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Clears `into` and fills it with the next rows: until `bytes_max` encoded bytes or `rows_max`
    /// rows are reached, at least one row unless the range ends. With `End` the table's metadata
    /// lock has been given back.
    ///
    /// Cancellation: not safe; drop the session.
    fn read(
        &mut self,
        into: &mut ReadRows,
        rows_max: usize,
        bytes_max: usize,
    ) -> impl Future<Output = Result<ReadStatus, Failure>> + Send;
}

/// Captures changes.
pub trait ChangeSource: Send + Sync + 'static {
    /// An open stream.
    type Stream: ChangeStream;
    /// Decodes what the stream brought.
    type Decoder: ChangeDecoder;

    /// Makes the source keep its history from this moment on for a migration, until it is
    /// acknowledged or released. It comes before the position at which the change log begins, and
    /// again at every start: what is reserved stays as it is. A source that keeps its history by
    /// itself, for a time that its administrator sets, has nothing to do. Cancellation: safe.
    fn reserve(&self, migration: &str) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Gives up what `reserve` made the source keep for a migration, for good. May be repeated,
    /// also where nothing is reserved. No stream of the migration is opened afterwards.
    /// Cancellation: safe.
    fn release(&self, migration: &str) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Opens the stream of every transaction that is not contained in `after`.
    ///
    /// The source's history must be the one of `after`, as `HistorySource::prove` checks it, with
    /// the same failures; the witnesses come over the stream itself, so that nothing can be
    /// replaced between the proof and the first transaction. A position that the source has purged
    /// is `POSITION_PURGED`, of class `StopMigration`. Returns only once the source has accepted
    /// the position and the history is proved. Cancellation: safe.
    fn open_stream(&self, after: &Bookmark) -> impl Future<Output = Result<Self::Stream, Failure>> + Send;

    /// A decoder for the given tables, indexed by `TableId`. It knows no I/O.
    fn decoder(&self, tables: &[Arc<TablePlan>]) -> Self::Decoder;
}

/// An open stream of raw transactions.
pub trait ChangeStream: Send + 'static {
    /// Waits for at least one piece and appends what has arrived to `pieces`, at most about
    /// `bytes_max` bytes.
    ///
    /// Every event's checksum was verified. Pieces of one transaction follow one another; a
    /// transaction's pieces carry its `transaction` id. A failure of class `Retry` means that the
    /// stream is lost: open a new one after the position of the last complete transaction, and
    /// abandon the incomplete one. Silence is bounded: heartbeats are expected, and a source that
    /// has vanished is a `Retry` failure, not a wait for ever. Returns with no piece when only a
    /// heartbeat came. Cancellation: safe; nothing received is lost.
    fn next(
        &mut self,
        pieces: &mut Vec<Piece>,
        bytes_max: usize,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Everything in `durable` is in the change log: the source need not keep it for this migration
    /// any more. It may come late or be lost, so the source may keep more. A failure is one of the
    /// stream, as in `next`. Cancellation: safe.
    fn acknowledge(&mut self, durable: &Position) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What a transaction of the stream is to prepared transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TwoPhase {
    /// Its changes were prepared. Another transaction commits them or rolls them back.
    Prepared {
        /// Its identity.
        id: PreparedId,
        /// The tables of the decoder that it changed, or may have changed.
        tables: Vec<TableId>,
    },
    /// It committed this one, which had been prepared before.
    Committed(PreparedId),
    /// It rolled this one back.
    RolledBack(PreparedId),
}

/// Turns raw pieces into changes. Pure: the same pieces give the same changes.
///
/// It keeps no state across transactions but caches, so that a reader may start at any transaction.
pub trait ChangeDecoder: Send + 'static {
    /// The transaction of a piece, as far as the piece knows it. A text that is none is a failure
    /// of class `StopMigration`.
    fn transaction(&self, piece: &Piece) -> Result<Witness, Failure>;

    /// Decodes the next piece of a transaction; pieces come in order, the first with `number` 0.
    ///
    /// What concerns one table goes to `sink.stop`; a failure is returned only for what concerns
    /// the stream as a whole (class `StopMigration`).
    ///
    /// A transaction with changes that are only prepared stops their tables. One that commits a
    /// prepared transaction brings no changes: what it means is up to the caller, by `two_phase`.
    fn decode(&mut self, piece: &Piece, sink: &mut dyn ChangeSink) -> Result<(), Failure>;

    /// What the piece's transaction means for prepared ones, returned with its last piece. Cheap
    /// where it means nothing for them: no rows are decoded. Pieces come in order, as for `decode`;
    /// each of both may be called without the other.
    fn two_phase(&mut self, piece: &Piece) -> Result<Option<TwoPhase>, Failure>;
}

/// A source with everything that a whole live migration needs of it.
pub trait Source:
    CatalogSource
    + PreflightSource
    + PositionSource
    + HealthSource
    + HistorySource
    + SnapshotSource
    + ChangeSource
{
}

impl<
    S: CatalogSource
        + PreflightSource
        + PositionSource
        + HealthSource
        + HistorySource
        + SnapshotSource
        + ChangeSource,
> Source for S
{
}
