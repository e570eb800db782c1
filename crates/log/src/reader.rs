//! A reader for asynchronous callers: waits for the durable mark, reads on the blocking pool.

use std::collections::VecDeque;
use std::sync::Arc;

use spanferry_core::port::change_log::{ChangeLogReader, Piece};
use spanferry_core::report::failure::Failure;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::blocking::{BlockingLog, Mark, State};
use crate::cursor::LogCursor;
use crate::error::LogError;
use crate::piece::PieceView;

/// Reads complete, durable, not abandoned transactions in sequence order. Many may read at the same
/// time.
///
/// **Errors** come after everything before them was delivered, and come again on the next call. A
/// poisoned or closed log is an error of `readable` and `next_chunk` once everything durable was
/// delivered.
///
/// **Cancellation.** Every method may be dropped at any time; nothing is lost or repeated.
pub struct DiskLogReader {
    blocking: Arc<BlockingLog>,
    mark: watch::Receiver<Mark>,
    task: Task,
    ready: VecDeque<PieceView>,
}

/// What comes back from the blocking pool.
type Read = (Box<LogCursor>, Result<Vec<PieceView>, LogError>);

/// Where the cursor is.
enum Task {
    /// Here.
    Idle(Box<LogCursor>),
    /// On the blocking pool.
    Running(JoinHandle<Read>),
    /// Lost to a panic.
    Lost,
}

impl DiskLogReader {
    /// Starts at a sequence.
    pub(crate) fn new(blocking: Arc<BlockingLog>, sequence: u64) -> Result<DiskLogReader, LogError> {
        let cursor = Box::new(LogCursor::new(Arc::clone(&blocking), sequence)?);
        Ok(DiskLogReader {
            mark: blocking.watch(),
            blocking,
            task: Task::Idle(cursor),
            ready: VecDeque::new(),
        })
    }

    /// The next pieces without a copy, as many as one read of the file brings, at least one; waits
    /// until there is one.
    pub async fn next_chunk(&mut self) -> Result<Vec<PieceView>, LogError> {
        self.fill_or_wait().await?;
        Ok(std::mem::take(&mut self.ready).into())
    }

    /// Waits until pieces are ready.
    async fn fill_or_wait(&mut self) -> Result<(), LogError> {
        loop {
            self.fill().await?;
            if !self.ready.is_empty() {
                return Ok(());
            }
            // The mark may have moved since the read began: then there may be more.
            if self.mark.has_changed().unwrap_or(false) {
                continue;
            }
            let state = self.mark.borrow().state;
            match state {
                State::Open => self.mark.changed().await.map_err(|_| LogError::Closed)?,
                State::Poisoned => {
                    return Err(self.blocking.check_poison().err().unwrap_or(LogError::Closed));
                }
                State::Closed => return Err(LogError::Closed),
            }
        }
    }

    /// Reads what is there, if nothing is ready.
    async fn fill(&mut self) -> Result<(), LogError> {
        if !self.ready.is_empty() {
            return Ok(());
        }
        self.start();
        self.ready = self.finish().await?.into();
        Ok(())
    }

    /// Sends the cursor to work, unless it is there already.
    fn start(&mut self) {
        self.task = match std::mem::replace(&mut self.task, Task::Lost) {
            Task::Idle(mut cursor) => {
                let mark = *self.mark.borrow_and_update();
                Task::Running(spawn_blocking(move || {
                    let result = cursor.read(mark);
                    (cursor, result)
                }))
            }
            running_or_lost @ (Task::Running(_) | Task::Lost) => running_or_lost,
        };
    }

    /// Waits for the cursor to come back.
    async fn finish(&mut self) -> Result<Vec<PieceView>, LogError> {
        let early = "a reader of the change log ended early";
        let Task::Running(handle) = &mut self.task else {
            return Err(LogError::poisoned(early));
        };
        match handle.await {
            Ok((cursor, result)) => {
                self.task = Task::Idle(cursor);
                result
            }
            Err(error) => {
                self.task = Task::Lost;
                Err(LogError::task_ended("log reader", error))
            }
        }
    }
}

impl ChangeLogReader for DiskLogReader {
    async fn try_next(&mut self) -> Result<Option<Piece>, Failure> {
        self.fill().await?;
        Ok(self.ready.pop_front().map(|piece| piece.to_piece()))
    }

    async fn readable(&mut self) -> Result<(), Failure> {
        Ok(self.fill_or_wait().await?)
    }
}
