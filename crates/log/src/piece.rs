//! Pieces as they are read: slices of the buffer that a whole chunk of the log was read into.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use spanferry_core::port::change_log::{Piece, PieceKind, Sequence};

/// UTF-8 text that is a slice of a shared buffer.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text(Bytes);

impl Text {
    /// The text, or `None` if the bytes are not UTF-8.
    pub(crate) fn try_from_bytes(bytes: Bytes) -> Option<Text> {
        str::from_utf8(&bytes).is_ok().then_some(Text(bytes))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("checked when it was made")
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// One piece, without a copy of its text and body. `Piece` is the owned form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceView {
    /// Sequence of its transaction.
    pub sequence: u64,
    /// Number within the transaction, from 0.
    pub number: u32,
    /// Whether it is the last of its transaction.
    pub last: bool,
    /// What it is.
    pub kind: PieceKind,
    /// When the source committed it: microseconds since 1970, 0 if unknown.
    pub committed_at_us: u64,
    /// The transaction's identity as `TransactionId` prints it.
    pub transaction: Text,
    /// Raw source events.
    pub body: Bytes,
}

impl PieceView {
    /// A copy that owns its parts.
    pub(crate) fn to_piece(&self) -> Piece {
        Piece {
            sequence: Sequence(self.sequence),
            number: self.number,
            last: self.last,
            kind: self.kind,
            transaction: self.transaction.as_str().to_owned(),
            committed_at_us: self.committed_at_us,
            body: self.body.to_vec(),
        }
    }
}
