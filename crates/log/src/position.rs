//! Counting bookmarks: what the log has reached, from a segment's context and the transactions
//! after it.

use std::sync::Arc;

use spanferry_core::position::{Bookmark, Position, PositionError, Witness};

use crate::blocking::{BlockingLog, SegmentContext};
use crate::cursor::LogCursor;
use crate::error::LogError;
use crate::segment::segment_name;

/// What was reached just before the transaction with a sequence, or the one that will get it. Reads
/// the segment up to there.
pub(crate) fn bookmark_before(log: &Arc<BlockingLog>, sequence: u64) -> Result<Bookmark, LogError> {
    let start = log.context(sequence)?;
    let mut reached = parse_context(log, &start)?;
    let mut mark = log.mark();
    mark.complete_below = mark.complete_below.min(sequence);
    let mut cursor = LogCursor::new(Arc::clone(log), start.first_sequence)?;
    loop {
        let pieces = cursor.read(mark)?;
        if pieces.is_empty() {
            return Ok(reached);
        }
        for piece in pieces.iter().filter(|piece| piece.last) {
            let witness = parse_transaction(&piece.transaction, &reached)?;
            advance(&mut reached, witness)?;
        }
    }
}

/// The last segment whose first transaction has nothing before it that `position` lacks: its first
/// sequence and what was reached before that. The oldest segment if there is no such. Reads headers
/// only, from the newest on.
pub(crate) fn start_for(log: &Arc<BlockingLog>, position: &Position) -> Result<(u64, Bookmark), LogError> {
    let oldest = log.oldest();
    let mut firsts = log.first_sequences();
    firsts.retain(|first| *first >= oldest);
    for first in firsts.into_iter().rev() {
        let before = parse_context(log, &log.context(first)?)?;
        let is_contained = position
            .contains_all(&before.position)
            .map_err(|cause| incomparable(position, &before.position, &cause))?;
        if first == oldest || is_contained {
            return Ok((first, before));
        }
    }
    Ok((oldest, parse_context(log, &log.context(oldest)?)?))
}

fn incomparable(position: &Position, held: &Position, cause: &PositionError) -> LogError {
    LogError::OtherHistory {
        position: position.to_string(),
        held: held.to_string(),
        reason: cause.to_string(),
    }
}

/// The bookmark that a segment opens with.
fn parse_context(log: &BlockingLog, start: &SegmentContext) -> Result<Bookmark, LogError> {
    let damaged = |reason: String| LogError::Corrupt {
        segment: log.files().path(&segment_name(start.segment)),
        offset: 0,
        reason,
    };
    let text = str::from_utf8(&start.context).map_err(|_| damaged("its context is not UTF-8".to_owned()))?;
    Bookmark::parse(text).map_err(|error| damaged(format!("its context: {error}")))
}

/// The transaction in a piece.
pub(crate) fn parse_transaction(text: &str, reached: &Bookmark) -> Result<Witness, LogError> {
    Witness::parse(text).map_err(|_| LogError::WrongPosition {
        transaction: text.to_owned(),
        position: reached.position.to_string(),
        reason: "it is not the identity of a transaction".to_owned(),
    })
}

/// Moves on by one transaction.
pub(crate) fn advance(reached: &mut Bookmark, witness: Witness) -> Result<(), LogError> {
    let transaction = witness.id.clone();
    reached.advance(witness).map_err(|error| LogError::WrongPosition {
        transaction: transaction.to_string(),
        position: reached.position.to_string(),
        reason: error.to_string(),
    })
}
