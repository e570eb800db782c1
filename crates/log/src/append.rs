//! The writer for asynchronous callers: numbers pieces, counts what is reached, syncs on the
//! blocking pool.

use std::sync::Arc;

use spanferry_core::port::change_log::{ChangeLogWriter, Piece, Sequence};
use spanferry_core::position::{Bookmark, Witness};
use spanferry_core::report::failure::Failure;
use tokio::task::spawn_blocking;

use crate::block::{PieceParts, Place};
use crate::blocking::BlockingLog;
use crate::encoder::Appended;
use crate::error::LogError;
use crate::position::{advance, parse_transaction};
use crate::shared_end::{End, SharedEnd, WriterClaim, lock_end};

/// The one writer of a `DiskLog`.
///
/// A failed call other than for space makes every later one fail in the same way. A dropped
/// `append` took all its pieces or none, a dropped `sync` continues in the background: take a new
/// writer, which discards what is not durable.
pub struct DiskLogWriter {
    blocking: Arc<BlockingLog>,
    end: SharedEnd,
    /// What all complete transactions that were appended have reached.
    reached: Bookmark,
    failed: Option<LogError>,
    _claim: WriterClaim,
}

impl DiskLogWriter {
    /// A writer that continues where the log ends.
    pub(crate) fn new(
        blocking: Arc<BlockingLog>,
        end: SharedEnd,
        claim: WriterClaim,
        reached: Bookmark,
    ) -> DiskLogWriter {
        DiskLogWriter {
            blocking,
            end,
            reached,
            failed: None,
            _claim: claim,
        }
    }

    async fn take(&mut self, pieces: &mut [Piece]) -> Result<(), LogError> {
        let steps = self.steps(pieces)?;
        let first = self.encode(pieces, &steps).await?;
        assert!(
            first.sequence >= lock_end(&self.end).complete_below,
            "new pieces lie behind what is durable"
        );
        for witness in steps.into_iter().flatten() {
            advance(&mut self.reached, witness)?;
        }
        number(pieces, first);
        Ok(())
    }

    /// The transaction that ends with each piece; all of them can follow what is reached.
    fn steps(&self, pieces: &[Piece]) -> Result<Vec<Option<Witness>>, LogError> {
        let mut reached = self.reached.clone();
        let mut steps = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let witness = if piece.last {
                Some(parse_transaction(&piece.transaction, &reached)?)
            } else {
                None
            };
            if let Some(witness) = &witness {
                advance(&mut reached, witness.clone())?;
            }
            steps.push(witness);
        }
        Ok(steps)
    }

    /// Takes the pieces into memory, after a sync if too much waits there.
    async fn encode(&mut self, pieces: &[Piece], steps: &[Option<Witness>]) -> Result<Place, LogError> {
        let parts: Vec<PieceParts<'_>> = pieces.iter().map(parts).collect();
        loop {
            let appended = self.blocking.append(&parts, |index| {
                let mut reached = self.reached.clone();
                for witness in steps[..index].iter().flatten() {
                    advance(&mut reached, witness.clone()).expect("every step was tried before");
                }
                reached.to_string().into_bytes()
            });
            match appended {
                Ok(Appended::From(place)) => return Ok(place),
                Ok(Appended::SyncFirst) => self.make_durable().await?,
                Err(error @ (LogError::BudgetReached { .. } | LogError::BudgetTooSmall { .. })) => {
                    // One large transaction may fill the last segment, and the last one is never
                    // trimmed.
                    self.blocking.seal(|| self.reached.to_string().into_bytes())?;
                    self.make_durable().await?;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Syncs on the blocking pool.
    async fn make_durable(&self) -> Result<(), LogError> {
        let blocking = Arc::clone(&self.blocking);
        match spawn_blocking(move || blocking.sync()).await {
            Ok(result) => result?,
            Err(error) => return Err(self.blocking.poison(LogError::task_ended("log sync", error))),
        }
        let complete_below = self.blocking.mark().complete_below;
        let mut end = lock_end(&self.end);
        assert!(
            complete_below >= end.complete_below,
            "what is durable stays so: {complete_below} after {}",
            end.complete_below
        );
        *end = End {
            complete_below,
            reached: self.reached.clone(),
        };
        Ok(())
    }

    /// Every later call fails like the first one that did not fail for space.
    fn keep<T>(&mut self, result: Result<T, LogError>) -> Result<T, LogError> {
        if let Err(error) = &result
            && !error.is_space()
        {
            self.failed = Some(error.clone());
        }
        result
    }

    fn check(&self) -> Result<(), LogError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }
}

impl ChangeLogWriter for DiskLogWriter {
    async fn append(&mut self, pieces: &mut [Piece]) -> Result<(), Failure> {
        self.check()?;
        let result = self.take(pieces).await;
        Ok(self.keep(result)?)
    }

    async fn abandon(&mut self) -> Result<(), Failure> {
        self.check()?;
        let result = self.blocking.abandon().map(drop);
        Ok(self.keep(result)?)
    }

    async fn sync(&mut self) -> Result<Sequence, Failure> {
        self.check()?;
        let result = self.make_durable().await;
        self.keep(result)?;
        Ok(Sequence(
            self.blocking.last_complete(self.blocking.mark().complete_below),
        ))
    }
}

fn parts(piece: &Piece) -> PieceParts<'_> {
    PieceParts {
        kind: piece.kind,
        last: piece.last,
        committed_at_us: piece.committed_at_us,
        transaction: &piece.transaction,
        body: &piece.body,
    }
}

/// Writes the places into pieces that were taken from `first` on.
fn number(pieces: &mut [Piece], first: Place) {
    let mut place = first;
    for piece in pieces {
        piece.sequence = Sequence(place.sequence);
        piece.number = place.piece;
        place = place.next(piece.last);
    }
}
