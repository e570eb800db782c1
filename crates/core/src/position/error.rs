//! Why a position operation makes no sense.

use thiserror::Error;

/// A refused operation on positions.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PositionError {
    /// The text is not a position.
    #[error("expected a GTID set, found `{0}`")]
    Malformed(String),
    /// Two positions of different kinds of history.
    #[error("positions of different kinds of source cannot be compared")]
    DifferentKinds,
    /// A MariaDB domain whose sequence does not rise.
    #[error("sequence of domain {domain} went from {from} to {to}")]
    Backwards {
        /// Replication domain.
        domain: u32,
        /// Where it was.
        from: u64,
        /// Where it should go.
        to: u64,
    },
    /// A transaction with the identity of another one: the source's history was replaced.
    #[error("transaction {shown} came, in whose place {known} was")]
    OtherTransaction {
        /// What is known, as `Witness` prints it.
        known: String,
        /// What came.
        shown: String,
    },
}

/// Most characters that an error shows of a text.
const SHOWN_MAX: usize = 500;

impl PositionError {
    /// A text that is no position, or a longer one than is read.
    pub(super) fn malformed(text: &str) -> PositionError {
        PositionError::Malformed(text.chars().take(SHOWN_MAX).collect())
    }
}
