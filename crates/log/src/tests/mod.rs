//! Tests against simulated and real files.

mod damage;
mod faults;
mod golden;
mod model;
mod sim;

use std::sync::Arc;

use spanferry_core::port::change_log::PieceKind;

use crate::block::PieceParts;
use crate::blocking::BlockingLog;
use crate::cursor::LogCursor;
use crate::encoder::Appended;
use crate::error::LogError;
use crate::limits::Limits;
use crate::piece::PieceView;
use crate::segment::LogId;

/// Small, so that every case is met soon.
const SMALL: Limits = Limits {
    segment_bytes: 700,
    budget_bytes: u64::MAX,
    block_bytes: 200,
};
const ID: LogId = LogId([9; 16]);

fn parts(body: &[u8], last: bool) -> PieceParts<'_> {
    PieceParts {
        kind: PieceKind::Transaction,
        last,
        committed_at_us: 5,
        transaction: "0-1-1",
        body,
    }
}

/// Appends one piece; its sequence.
fn append(log: &BlockingLog, body: &[u8], last: bool) -> Result<u64, LogError> {
    match log.append(&[parts(body, last)], |_| b"mariadb:".to_vec())? {
        Appended::From(place) => Ok(place.sequence),
        Appended::SyncFirst => {
            log.sync()?;
            append(log, body, last)
        }
    }
}

/// Everything a reader sees from the oldest sequence on.
fn read_all(log: &Arc<BlockingLog>) -> Result<Vec<PieceView>, LogError> {
    let mut cursor = LogCursor::new(Arc::clone(log), log.oldest())?;
    let mut pieces = Vec::new();
    loop {
        match cursor.read(log.mark())? {
            chunk if chunk.is_empty() => return Ok(pieces),
            chunk => pieces.extend(chunk),
        }
    }
}
