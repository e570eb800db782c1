//! Errors of the change log: one family, each naming the file or limit it is about.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use spanferry_core::report::amount::bytes;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure, panic_text};
use spanferry_private_dir::{Fault, PrivateError};
use thiserror::Error;
use tokio::task::JoinError;

/// What to do about damage: the hint of every error that names a segment.
pub(crate) const REPAIR_HINT: &str = "Move the folder `log` of the state directory away and run the same command again: \
     the changes are fetched again while the source still has them.";

/// What to do about a transaction that can never fit.
pub(crate) const BUDGET_HINT: &str =
    "Waiting does not help: stop `migrate`, and start it again with a larger `--log-budget`.";

/// Why the change log could not do what it was asked.
#[derive(Debug, Clone, Error)]
pub enum LogError {
    /// No room on the device or in the quota. Nothing half-written stays visible; the same call may
    /// be made again.
    #[error("no space left for the change log in `{}`", directory.display())]
    DiskFull {
        /// The log's directory.
        directory: PathBuf,
        /// The operating system's words.
        #[source]
        source: Arc<io::Error>,
    },
    /// The piece would exceed the byte budget. Nothing was taken; the same call may be made again
    /// after a trim.
    #[error(
        "the change log holds {} of at most {}, and {} more are needed",
        bytes(*used_bytes), bytes(*budget_bytes), bytes(*needed_bytes)
    )]
    BudgetReached {
        /// The budget.
        budget_bytes: u64,
        /// What the log holds, unsynced pieces included.
        used_bytes: u64,
        /// What the refused pieces need.
        needed_bytes: u64,
    },
    /// The transaction alone would exceed the byte budget, whatever is trimmed. Nothing was taken.
    #[error(
        "a transaction takes {} or more, and the change log may take {}",
        bytes(*transaction_bytes), bytes(*budget_bytes)
    )]
    BudgetTooSmall {
        /// The budget.
        budget_bytes: u64,
        /// What the log would hold with this transaction and nothing that can be trimmed, as far as
        /// the transaction is known.
        transaction_bytes: u64,
    },
    /// An earlier write, fsync or task failed in a way that leaves the file's state unknown.
    /// Re-open the log.
    #[error("the change log takes no more pieces since `{cause}`; it has to be opened again")]
    Poisoned {
        /// What happened first.
        cause: String,
    },
    /// Bytes that were durable are not what was written.
    #[error("segment `{}` is damaged at byte {offset}: {reason}", segment.display())]
    Corrupt {
        /// File.
        segment: PathBuf,
        /// Offset of the first damaged block.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A block with a valid checksum stands where another block belongs.
    #[error("segment `{}` holds a block out of order at byte {offset}: {reason}", segment.display())]
    OutOfOrder {
        /// File.
        segment: PathBuf,
        /// Offset of the block.
        offset: u64,
        /// What was expected and found.
        reason: String,
    },
    /// A segment between others, or the one named by its successor, is not there.
    #[error("segment `{}` is missing", segment.display())]
    SegmentMissing {
        /// File.
        segment: PathBuf,
    },
    /// Written by a newer Spanferry.
    #[error("segment `{}` has format version {version}, this program reads up to {supported}", segment.display())]
    UnsupportedVersion {
        /// File.
        segment: PathBuf,
        /// Its version.
        version: u32,
        /// Ours.
        supported: u32,
    },
    /// Another process holds the log.
    #[error("the change log in `{}` is in use by another process", directory.display())]
    Locked {
        /// The log's directory.
        directory: PathBuf,
    },
    /// There is no log to open.
    #[error("there is no change log in `{}`", directory.display())]
    NotFound {
        /// The log's directory.
        directory: PathBuf,
    },
    /// There already is a log where one should be created.
    #[error("there already is a change log in `{}`", directory.display())]
    AlreadyExists {
        /// The log's directory.
        directory: PathBuf,
    },
    /// The sequence asked for lies before the oldest one kept.
    #[error("sequence {sequence} is no longer in the change log, the oldest kept is {oldest}")]
    Trimmed {
        /// Asked for.
        sequence: u64,
        /// Oldest kept.
        oldest: u64,
    },
    /// The sequence asked for has not been assigned yet.
    #[error("sequence {sequence} is not in the change log yet, the next one is {next}")]
    NotYet {
        /// Asked for.
        sequence: u64,
        /// The next to be assigned.
        next: u64,
    },
    /// The log was closed while a reader waited for more.
    #[error("the change log was closed")]
    Closed,
    /// The writer was asked for while there is one.
    #[error("the change log has a writer already")]
    SecondWriter,
    /// A transaction's identity cannot follow the position that the log has reached.
    #[error("transaction `{transaction}` cannot follow position `{position}`: {reason}")]
    WrongPosition {
        /// Identity of the transaction.
        transaction: String,
        /// Where the log is.
        position: String,
        /// Why not.
        reason: String,
    },
    /// A position that cannot be compared with those of the log.
    #[error("position `{position}` cannot be compared with `{held}` of the change log: {reason}")]
    OtherHistory {
        /// What was asked for.
        position: String,
        /// What the log holds.
        held: String,
        /// Why not.
        reason: String,
    },
    /// The caller broke the order of pieces; nothing was taken.
    #[error("piece {found} was given where {expected} belongs")]
    WrongPiece {
        /// What belongs there.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The identity given for a new log is no UUID; nothing was made.
    #[error("expected a lower-case UUID as the identity of the change log, found `{text}`")]
    WrongId {
        /// What was given.
        text: String,
    },
    /// A part of a piece exceeds a format limit; nothing was taken.
    #[error("{part} has {bytes} bytes, the change log takes at most {limit}")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Other users can reach the directory or a file in it, or it is not what its name promises.
    /// Nothing was read or written.
    #[error("`{}` {fault}", path.display())]
    Unsafe {
        /// The directory or file.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Any other failure of a file operation.
    #[error("`{}` could not be {action}", path.display())]
    Io {
        /// What was attempted, as a participle.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The operating system's words.
        #[source]
        source: Arc<io::Error>,
    },
}

impl LogError {
    /// Classifies a failed file operation: full device or quota, or anything else.
    pub(crate) fn from_io(action: &'static str, path: &Path, source: io::Error) -> LogError {
        let source = match source.downcast::<PrivateError>() {
            Ok(private) => return private.into(),
            Err(source) => source,
        };
        if is_full(&source) {
            let directory = path.parent().unwrap_or(path).to_owned();
            return LogError::DiskFull {
                directory,
                source: Arc::new(source),
            };
        }
        LogError::Io {
            action,
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }

    /// A broken invariant that leaves the log unusable until it is opened again.
    pub(crate) fn poisoned(cause: impl Into<String>) -> LogError {
        LogError::Poisoned { cause: cause.into() }
    }

    /// The same, since a task ended without a result: `task NAME panicked: …`.
    pub(crate) fn task_ended(name: &str, error: JoinError) -> LogError {
        LogError::poisoned(match error.try_into_panic() {
            Ok(payload) => panic_text(name, payload.as_ref()),
            Err(_) => format!("task {name} was ended early"),
        })
    }

    /// Whether the same call may be made again once space is back.
    pub(crate) fn is_space(&self) -> bool {
        matches!(
            self,
            LogError::DiskFull { .. } | LogError::BudgetReached { .. } | LogError::BudgetTooSmall { .. }
        )
    }
}

/// ENOSPC, EDQUOT, and EFBIG of a file system or user limit, which can be raised while the process
/// runs.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

impl From<PrivateError> for LogError {
    fn from(error: PrivateError) -> LogError {
        match error {
            PrivateError::Unsafe { path, fault } => LogError::Unsafe { path, fault },
            PrivateError::Io { action, path, source } => LogError::from_io(action, &path, source),
        }
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Failure {
        if let LogError::Unsafe { path, fault } = &error {
            return fault.refusal(path);
        }
        let (code, class, hint) = match &error {
            LogError::DiskFull { .. } => (code::DISK_FAILED, Class::Retry { after: None }, None),
            LogError::BudgetReached { .. } => (code::LOG_BUDGET, Class::Retry { after: None }, None),
            LogError::BudgetTooSmall { .. } => {
                (code::LOG_BUDGET, Class::Retry { after: None }, Some(BUDGET_HINT))
            }
            LogError::Poisoned { .. } | LogError::Io { .. } => {
                (code::DISK_FAILED, Class::StopMigration, None)
            }
            LogError::Unsafe { .. } => (code::STATE_UNSAFE, Class::StopMigration, None),
            LogError::Corrupt { .. }
            | LogError::OutOfOrder { .. }
            | LogError::SegmentMissing { .. }
            | LogError::Trimmed { .. }
            | LogError::NotYet { .. } => (code::LOG_CORRUPT, Class::StopMigration, Some(REPAIR_HINT)),
            LogError::UnsupportedVersion { .. } => (
                code::LOG_CORRUPT,
                Class::StopMigration,
                Some("Run the newer version of Spanferry that wrote it."),
            ),
            LogError::OtherHistory { .. } => (code::HISTORY_CHANGED, Class::StopMigration, None),
            LogError::Locked { .. } => (code::STATE_LOCKED, Class::StopMigration, None),
            LogError::NotFound { .. } => (code::STATE_LOST, Class::StopMigration, None),
            LogError::AlreadyExists { .. }
            | LogError::Closed
            | LogError::SecondWriter
            | LogError::WrongId { .. }
            | LogError::WrongPiece { .. }
            | LogError::WrongPosition { .. }
            | LogError::TooLarge { .. } => (code::BUG, Class::Bug, None),
        };
        let failure = Failure::new(code, class, "", error.to_string());
        let failure = match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        };
        match error {
            LogError::DiskFull { source, .. } | LogError::Io { source, .. } => failure.caused_by(source),
            LogError::BudgetReached { .. }
            | LogError::BudgetTooSmall { .. }
            | LogError::Poisoned { .. }
            | LogError::Corrupt { .. }
            | LogError::OutOfOrder { .. }
            | LogError::SegmentMissing { .. }
            | LogError::UnsupportedVersion { .. }
            | LogError::Locked { .. }
            | LogError::NotFound { .. }
            | LogError::AlreadyExists { .. }
            | LogError::Trimmed { .. }
            | LogError::NotYet { .. }
            | LogError::Closed
            | LogError::SecondWriter
            | LogError::WrongId { .. }
            | LogError::WrongPiece { .. }
            | LogError::WrongPosition { .. }
            | LogError::OtherHistory { .. }
            | LogError::TooLarge { .. }
            | LogError::Unsafe { .. } => failure,
        }
    }
}
