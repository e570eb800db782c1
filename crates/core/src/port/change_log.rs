//! The boundary to the durable change log: what may be appended, when it is durable, who may read
//! it.
//!
//! ```text
//!   trimmed │ kept for replay │ applied … watermark │ durable, not applied │ appended, not durable
//!           ▲ oldest                                                       ▲ durable mark: no reader passes it
//! ```

use std::fmt;
use std::future::Future;

use crate::position::{Bookmark, Position};
use crate::report::failure::Failure;

/// Our own dense number of a source transaction, given at append: the only order used downstream.
/// The first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before the first transaction.
    pub const ZERO: Sequence = Sequence(0);

    /// The sequence after this one.
    #[must_use]
    pub fn next(self) -> Sequence {
        Sequence(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The UUID a log was given when it was created; it distinguishes one log from another at the
/// target's fence.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogId(pub String);

/// What a piece carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceKind {
    /// Raw source events of a transaction.
    Transaction,
    /// The transaction of this sequence was cut off; the source sends it again under a new
    /// sequence. Has no body.
    Abandoned,
}

/// A part of one source transaction, at most `PIECE_BYTES_MAX` unless one event alone is larger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The transaction. Writers leave it 0: the log numbers pieces at append.
    pub sequence: Sequence,
    /// 0-based number of this piece within its transaction. Writers leave it 0.
    pub number: u32,
    /// Whether the transaction ends with this piece.
    pub last: bool,
    /// What it carries.
    pub kind: PieceKind,
    /// The transaction as `Witness` prints it: its last piece knows all of it, the earlier ones not
    /// yet its content.
    pub transaction: String,
    /// When the source committed it: microseconds since 1970, 0 if unknown.
    pub committed_at_us: u64,
    /// Raw source events, opaque to the log.
    pub body: Vec<u8>,
}

/// Bound of a piece's body; capture cuts there, between events.
pub const PIECE_BYTES_MAX: usize = 1 << 20;

/// How much a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogUsage {
    /// Bytes on disk.
    pub bytes: u64,
    /// Most bytes it may take.
    pub budget_bytes: u64,
    /// The first sequence that is still there.
    pub oldest: Sequence,
    /// The last sequence that is complete and durable.
    pub durable: Sequence,
}

/// A durable change log.
///
/// Order: pieces are read in the order of their append. Sequences are dense: 1, 2, 3, … without a
/// hole, across restarts. Durability: a transaction is readable once its last piece has been made
/// durable by `ChangeLogWriter::sync`, never before; what was readable once is never lost or given
/// to another transaction, whatever crashes. An incomplete transaction at the tail is abandoned
/// when the log is opened again: readers skip it, its sequence is not used again.
pub trait ChangeLog: Send + Sync + 'static {
    /// The single writer.
    type Writer: ChangeLogWriter;
    /// One of many readers.
    type Reader: ChangeLogReader;

    /// The log's identity.
    fn id(&self) -> LogId;

    /// Takes the writer. There is one; a second call is a `Failure` of class `Bug` until the first
    /// writer is dropped.
    fn writer(&self) -> impl Future<Output = Result<Self::Writer, Failure>> + Send;

    /// A reader whose first piece is the first one of the first transaction with a sequence at or
    /// past `from`. A sequence that has been trimmed is a failure (`LOG_CORRUPT` naming the oldest
    /// one).
    fn reader(&self, from: Sequence) -> impl Future<Output = Result<Self::Reader, Failure>> + Send;

    /// What the last complete durable transaction reached, and its sequence. For an empty log: the
    /// bookmark it was created with, and `Sequence::ZERO`. Capture starts here.
    fn end(&self) -> impl Future<Output = Result<(Sequence, Bookmark), Failure>> + Send;

    /// What was reached just before the transaction with sequence `at`, counted up from the
    /// segment's own context.
    fn bookmark_before(&self, at: Sequence) -> impl Future<Output = Result<Bookmark, Failure>> + Send;

    /// Where to begin reading for a reader that has everything up to `position`: a sequence below
    /// which `position` contains every transaction, as late as is cheap to find (a segment's
    /// beginning), and what was reached just before it. The oldest sequence if none is known to be
    /// later. Reading from there also brings transactions that `position` contains: the reader
    /// filters by position.
    ///
    /// A position of another kind of source is the failure `HISTORY_CHANGED`. Cancellation: safe.
    fn start_for(
        &self,
        position: &Position,
    ) -> impl Future<Output = Result<(Sequence, Bookmark), Failure>> + Send;

    /// Drops what lies wholly below `below`. Keeps more than asked if that is cheaper (whole
    /// segments).
    fn trim(&self, below: Sequence) -> impl Future<Output = Result<(), Failure>> + Send;

    /// What it holds, from memory: cheap.
    fn usage(&self) -> LogUsage;
}

/// The appending end.
///
/// Cancellation: a dropped `append` or `sync` future leaves the log as after a crash at that point:
/// reopen the writer. After any failure of class other than `Retry` the writer is poisoned: every
/// later call fails the same way, because a failed fsync says nothing about what reached the disk;
/// the log must be opened again. `LOG_BUDGET` and a full disk are of class `Retry`: nothing of the
/// failed append stays visible, and the same append may be made again when there is room.
pub trait ChangeLogWriter: Send + 'static {
    /// Appends pieces in order, numbering them, and leaves them in `pieces`. A piece that follows
    /// one without `last` continues that transaction.
    fn append(&mut self, pieces: &mut [Piece]) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Ends an incomplete transaction as abandoned; nothing to do if there is none.
    fn abandon(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Makes everything appended durable, then visible to readers. Returns the last complete
    /// sequence.
    fn sync(&mut self) -> impl Future<Output = Result<Sequence, Failure>> + Send;
}

/// A reading end. Never sees a piece of a transaction that is not complete and durable; skips
/// abandoned ones.
pub trait ChangeLogReader: Send + 'static {
    /// The next piece if one is readable now; `None` if the reader has reached the durable mark.
    ///
    /// Cancellation: safe; a dropped call loses nothing.
    fn try_next(&mut self) -> impl Future<Output = Result<Option<Piece>, Failure>> + Send;

    /// Waits until `try_next` would return a piece (or the writer has moved the durable mark).
    ///
    /// Cancellation: safe.
    fn readable(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;
}
