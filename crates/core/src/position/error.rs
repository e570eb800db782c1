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
        /// Where it was told to go.
        to: u64,
    },
}
