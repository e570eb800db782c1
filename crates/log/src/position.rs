//! Counting positions: what the log has reached, from a segment's context and the transactions after it.

use std::sync::Arc;

use spanferry_core::position::{Position, TransactionId};

use crate::core::{Core, SegmentContext};
use crate::cursor::LogCursor;
use crate::error::LogError;
use crate::segment::segment_name;

/// The position just before the transaction with a sequence, or the one that will get it. Reads the segment up to there.
pub(crate) fn position_before(core: &Arc<Core>, sequence: u64) -> Result<Position, LogError> {
    let start = core.context(sequence)?;
    let mut position = parse_context(core, &start)?;
    let mut mark = core.mark();
    mark.complete_below = mark.complete_below.min(sequence);
    let mut cursor = LogCursor::new(Arc::clone(core), start.first_sequence)?;
    loop {
        let pieces = cursor.read(mark)?;
        if pieces.is_empty() {
            return Ok(position);
        }
        for piece in pieces.iter().filter(|piece| piece.last) {
            let id = parse_transaction(&piece.transaction, &position)?;
            advance(&mut position, &id)?;
        }
    }
}

/// The last segment whose first transaction has nothing before it that `position` lacks: its first sequence and the position before
/// that. The oldest segment if there is no such. Reads headers only, from the newest on.
///
/// A position of another kind counts as one that contains nothing: beginning too early is always right.
pub(crate) fn start_for(core: &Arc<Core>, position: &Position) -> Result<(u64, Position), LogError> {
    let oldest = core.oldest();
    for first in core.first_sequences().into_iter().rev() {
        let before = parse_context(core, &core.context(first)?)?;
        if first <= oldest || position.contains_all(&before).unwrap_or(false) {
            return Ok((first, before));
        }
    }
    Ok((oldest, parse_context(core, &core.context(oldest)?)?))
}

/// The position that a segment opens with.
fn parse_context(core: &Core, start: &SegmentContext) -> Result<Position, LogError> {
    let damaged = |reason: String| LogError::Corrupt {
        segment: core.files().path(&segment_name(start.segment)),
        offset: 0,
        reason,
    };
    let text = str::from_utf8(&start.context).map_err(|_| damaged("its context is not UTF-8".to_owned()))?;
    Position::parse(text).map_err(|error| damaged(format!("its context: {error}")))
}

/// The identity in a piece.
pub(crate) fn parse_transaction(text: &str, position: &Position) -> Result<TransactionId, LogError> {
    TransactionId::parse(text).ok_or_else(|| LogError::WrongPosition {
        transaction: text.to_owned(),
        position: position.to_string(),
        reason: "it is not the identity of a transaction".to_owned(),
    })
}

/// Moves a position on by one transaction.
pub(crate) fn advance(position: &mut Position, id: &TransactionId) -> Result<(), LogError> {
    position.advance(id).map_err(|error| LogError::WrongPosition {
        transaction: id.to_string(),
        position: position.to_string(),
        reason: error.to_string(),
    })
}
