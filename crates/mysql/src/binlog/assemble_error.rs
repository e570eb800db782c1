//! Why an event cannot be part of the history that is followed.

use spanferry_core::position::PositionError;

use super::event::Malformed;

/// Why an event cannot be part of the history that is followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AssembleError {
    /// Not what the format says.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A transaction without an identity.
    #[error("a transaction without a GTID came")]
    Anonymous,
    /// A transaction that is contained in the position came again, or a MariaDB domain went
    /// backwards.
    #[error("transaction {0} came, which lies at or before the position reached")]
    Again(String),
    /// Another transaction has the identity of one that is known.
    #[error("transaction {shown} came, in whose place {known} was")]
    Other {
        /// What is known.
        known: String,
        /// What came.
        shown: String,
    },
    /// A known transaction is not where it was.
    #[error("transaction {0} is not there any more")]
    NotThere(String),
    /// A known transaction came without anything that could prove it.
    #[error("transaction {0} came without its commit time and content")]
    Unproved(String),
    /// Rows that belong to no transaction: nothing would bring them again after a resume.
    #[error("rows came outside of a transaction, in an event of type {0}")]
    Outside(u8),
    /// A transaction of another kind of server.
    #[error(transparent)]
    Position(#[from] PositionError),
}
