//! `ChangeLog` on local disk: the blocking log behind the runtime's blocking pool.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use spanferry_core::port::change_log::{self, ChangeLog, LogUsage, Sequence};
use spanferry_core::position::{Bookmark, Position};
use spanferry_core::report::failure::Failure;
use tokio::task::spawn_blocking;

use crate::append::DiskLogWriter;
use crate::block::BLOCK_TARGET_BYTES;
use crate::blocking::{BlockingLog, State};
use crate::error::LogError;
use crate::files::Directory;
use crate::limits::Limits;
use crate::position::{bookmark_before, start_for};
use crate::reader::DiskLogReader;
use crate::segment::LogId;
use crate::shared_end::{End, SharedEnd, WriterClaim, lock_end};

/// Length at which a segment takes no further transaction (one that has begun still ends in it).
pub const DEFAULT_SEGMENT_BYTES: u64 = 256 << 20;

/// Sizes of a log, chosen at each opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// Length at which a segment takes no further transaction.
    pub segment_bytes: u64,
    /// How many bytes all segments together may have.
    pub budget_bytes: u64,
}

impl Default for LogOptions {
    /// Segments of `DEFAULT_SEGMENT_BYTES`, no budget.
    fn default() -> LogOptions {
        LogOptions {
            segment_bytes: DEFAULT_SEGMENT_BYTES,
            budget_bytes: u64::MAX,
        }
    }
}

impl From<LogOptions> for Limits {
    fn from(options: LogOptions) -> Limits {
        Limits {
            segment_bytes: options.segment_bytes,
            budget_bytes: options.budget_bytes,
            block_bytes: BLOCK_TARGET_BYTES,
        }
    }
}

/// The change log on local disk.
///
/// **Order.** Pieces have the order of the `append` calls. One transaction is open at a time; a new
/// segment begins only between two transactions, so a huge transaction makes a huge segment.
///
/// **Durability.** `append` only takes pieces into memory; at most 16 MiB wait there, then it syncs
/// by itself. Everything taken before a call of `sync` is durable when it returns, with one fsync
/// for all of it.
///
/// **Full disk or budget.** `append` takes all its pieces or none, `sync` keeps what it could not
/// write; either call may be made again when there is room.
///
/// **Other failures** of a write or fsync poison the log: nothing is taken any more, and readers
/// get the reason once they have read what is durable. Opening it again reads the files again.
///
/// **Taking the writer** discards what an earlier writer left unsynced, so ask `end` after it, not
/// before.
///
/// **Closing.** Dropping the log ends waiting readers. The directory stays locked until the log,
/// its writer, its readers and calls of theirs that were cancelled are gone.
pub struct DiskLog {
    blocking: Arc<BlockingLog>,
    end: SharedEnd,
    writing: Arc<AtomicBool>,
}

impl DiskLog {
    /// Creates a log in a directory (made with mode 0700) that holds none. `id` is a UUID, `source`
    /// names the source for a person, `start` is where it begins.
    pub async fn create(
        directory: &Path,
        id: &change_log::LogId,
        source: &str,
        start: &Bookmark,
        options: LogOptions,
    ) -> Result<DiskLog, LogError> {
        let (directory, source, context) = (directory.to_owned(), source.to_owned(), start.to_string());
        let log_id = LogId::parse(&id.0).ok_or_else(|| LogError::WrongId { text: id.0.clone() })?;
        on_blocking_pool(move || {
            let files = Arc::new(Directory::lock(&directory, true)?);
            DiskLog::new(BlockingLog::create(
                files,
                log_id,
                &source,
                context.into_bytes(),
                options.into(),
            )?)
        })
        .await
    }

    /// Opens the log in a directory. A partial tail is cut, a transaction without its last piece is
    /// abandoned.
    pub async fn open(directory: &Path, options: LogOptions) -> Result<DiskLog, LogError> {
        let directory = directory.to_owned();
        on_blocking_pool(move || {
            let files = Arc::new(Directory::lock(&directory, false)?);
            DiskLog::new(BlockingLog::open(files, options.into())?)
        })
        .await
    }

    /// Wraps a blocking log; counts its end.
    pub(crate) fn new(blocking: BlockingLog) -> Result<DiskLog, LogError> {
        let blocking = Arc::new(blocking);
        let complete_below = blocking.mark().complete_below;
        let reached = bookmark_before(&blocking, complete_below)?;
        let end = Arc::new(Mutex::new(End {
            complete_below,
            reached,
        }));
        Ok(DiskLog {
            blocking,
            end,
            writing: Arc::new(AtomicBool::new(false)),
        })
    }

    /// Name of the source, as given when the log was created.
    pub fn source(&self) -> &str {
        self.blocking.source()
    }

    /// Removes all files of the log; the empty directory stays. The writer and readers fail from
    /// now on.
    ///
    /// A crash on the way leaves a log that looks trimmed, never one that looks rewound.
    pub async fn erase(self) -> Result<(), LogError> {
        let blocking = Arc::clone(&self.blocking);
        on_blocking_pool(move || blocking.erase()).await
    }

    /// Sequence of the last complete durable transaction, and what it reached.
    async fn known_end(&self) -> Result<(Sequence, Bookmark), LogError> {
        let (blocking, end) = (Arc::clone(&self.blocking), Arc::clone(&self.end));
        on_blocking_pool(move || {
            let below = blocking.mark().complete_below;
            let known = {
                let end = lock_end(&end);
                (end.complete_below == below).then(|| end.reached.clone())
            };
            let reached = match known {
                Some(reached) => reached,
                None => bookmark_before(&blocking, below)?,
            };
            *lock_end(&end) = End {
                complete_below: below,
                reached: reached.clone(),
            };
            Ok((Sequence(blocking.last_complete(below)), reached))
        })
        .await
    }
}

impl Drop for DiskLog {
    fn drop(&mut self) {
        self.blocking.set_state(State::Closed);
    }
}

impl ChangeLog for DiskLog {
    type Writer = DiskLogWriter;
    type Reader = DiskLogReader;

    fn id(&self) -> change_log::LogId {
        change_log::LogId(self.blocking.log_id().to_string())
    }

    async fn writer(&self) -> Result<DiskLogWriter, Failure> {
        let claim = WriterClaim::take(&self.writing)?;
        let blocking = Arc::clone(&self.blocking);
        on_blocking_pool(move || blocking.discard()).await?;
        let (_, reached) = self.known_end().await?;
        Ok(DiskLogWriter::new(
            Arc::clone(&self.blocking),
            Arc::clone(&self.end),
            claim,
            reached,
        ))
    }

    async fn reader(&self, from: Sequence) -> Result<DiskLogReader, Failure> {
        Ok(DiskLogReader::new(Arc::clone(&self.blocking), from.0.max(1))?)
    }

    async fn end(&self) -> Result<(Sequence, Bookmark), Failure> {
        Ok(self.known_end().await?)
    }

    async fn bookmark_before(&self, at: Sequence) -> Result<Bookmark, Failure> {
        let blocking = Arc::clone(&self.blocking);
        Ok(on_blocking_pool(move || bookmark_before(&blocking, at.0.max(1))).await?)
    }

    async fn start_for(&self, position: &Position) -> Result<(Sequence, Bookmark), Failure> {
        let (blocking, position) = (Arc::clone(&self.blocking), position.clone());
        let (first, before) = on_blocking_pool(move || start_for(&blocking, &position)).await?;
        Ok((Sequence(first), before))
    }

    async fn trim(&self, below: Sequence) -> Result<(), Failure> {
        let blocking = Arc::clone(&self.blocking);
        on_blocking_pool(move || blocking.trim(below.0)).await?;
        Ok(())
    }

    fn usage(&self) -> LogUsage {
        self.blocking.usage()
    }
}

/// Runs on the blocking pool; a panic there becomes an error.
pub(crate) async fn on_blocking_pool<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(LogError::task_ended("change log", error)),
    }
}
