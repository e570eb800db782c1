//! Reading forward from a sequence, blocking: what a reader does between two moves of the durable
//! mark.

use std::sync::Arc;

use bytes::Bytes;
use spanferry_core::port::change_log::PieceKind;

use crate::block::Place;
use crate::blocking::{BlockingLog, Mark};
use crate::error::LogError;
use crate::files::LogFile;
use crate::piece::PieceView;
use crate::scan::{Block, Cursor, Fault, read_blocks, seek};
use crate::segment::{SegmentHeader, segment_name};

/// A place in the log, moving forward.
pub(crate) struct LogCursor {
    blocking: Arc<BlockingLog>,
    segment: Option<OpenSegment>,
    /// The next piece to deliver, or one before it that turns out to be abandoned.
    deliver_from: Place,
    /// What the last chunk was read into.
    memory: Bytes,
}

/// The segment being read.
struct OpenSegment {
    file: Box<dyn LogFile>,
    at: Cursor,
}

impl LogCursor {
    /// Starts at a sequence that is kept, or at the next one to come.
    pub(crate) fn new(blocking: Arc<BlockingLog>, sequence: u64) -> Result<LogCursor, LogError> {
        blocking.segment_of(sequence)?;
        Ok(LogCursor {
            blocking,
            segment: None,
            deliver_from: Place::start(sequence),
            memory: Bytes::new(),
        })
    }

    /// The next pieces below the mark, from one chunk of the file; none if there are none.
    pub(crate) fn read(&mut self, mark: Mark) -> Result<Vec<PieceView>, LogError> {
        while self.deliver_from.sequence < mark.complete_below {
            let mut segment = match self.segment.take() {
                Some(segment) => segment,
                None => self.open_first()?,
            };
            let Some(limit) = self.limit(segment.at.segment, mark) else {
                // Trimmed. If it was read to its end, reading continues in the one that is now the
                // oldest.
                if self.deliver_from.sequence < self.blocking.oldest() {
                    return Err(self.trimmed());
                }
                continue;
            };
            if segment.at.offset >= limit {
                self.segment = Some(self.open_next(segment.at)?);
                continue;
            }
            let pieces = self.read_chunk(&mut segment, limit, mark);
            // Kept also after an error, so that the same error comes again.
            self.segment = Some(segment);
            let pieces = pieces?;
            if !pieces.is_empty() {
                return Ok(pieces);
            }
        }
        Ok(Vec::new())
    }

    /// Durable length of a segment; `None` if it was trimmed.
    fn limit(&self, segment: u64, mark: Mark) -> Option<u64> {
        let info = self.blocking.segment_info(segment)?;
        Some(if segment == mark.segment {
            mark.bytes
        } else {
            info.bytes
        })
    }

    fn trimmed(&self) -> LogError {
        LogError::Trimmed {
            sequence: self.deliver_from.sequence,
            oldest: self.blocking.oldest(),
        }
    }

    /// Opens the segment that holds the first wanted sequence, near it.
    fn open_first(&self) -> Result<OpenSegment, LogError> {
        let (number, info) = self.blocking.segment_of(self.deliver_from.sequence)?;
        let mut segment = self.open(number, Place::start(info.first_sequence))?;
        segment.at = seek(segment.file.as_ref(), segment.at, self.deliver_from, info.bytes)
            .map_err(|error| self.io_error("read", number, error))?;
        Ok(segment)
    }

    fn open_next(&self, at: Cursor) -> Result<OpenSegment, LogError> {
        self.open(at.segment + 1, at.expected)
    }

    fn open(&self, number: u64, expected: Place) -> Result<OpenSegment, LogError> {
        let files = self.blocking.files();
        let file = files
            .open(&segment_name(number))
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound if self.blocking.segment_info(number).is_none() => {
                    self.trimmed()
                }
                std::io::ErrorKind::NotFound => LogError::SegmentMissing {
                    segment: files.path(&segment_name(number)),
                },
                _ => self.io_error("opened", number, error),
            })?;
        let header = SegmentHeader::read(files, file.as_ref(), number)?;
        if header.log_id != self.blocking.log_id() || Place::start(header.first_sequence) != expected {
            return Err(LogError::OutOfOrder {
                segment: files.path(&segment_name(number)),
                offset: 0,
                reason: format!(
                    "it is of log {} and begins with sequence {}",
                    header.log_id, header.first_sequence
                ),
            });
        }
        Ok(OpenSegment {
            file,
            at: Cursor {
                segment: number,
                offset: header.encoded_bytes(),
                expected,
            },
        })
    }

    /// Reads one chunk and keeps what is wanted, complete and not abandoned.
    fn read_chunk(
        &mut self,
        segment: &mut OpenSegment,
        limit: u64,
        mark: Mark,
    ) -> Result<Vec<PieceView>, LogError> {
        let number = segment.at.segment;
        let seed = self.blocking.log_id().checksum_seed();
        let chunk = read_blocks(segment.file.as_ref(), seed, segment.at, limit, &mut self.memory)
            .map_err(|error| self.short_or_io(segment.at, error))?;
        let mut pieces = Vec::new();
        for block in chunk.blocks {
            let next = block.next;
            if !self.take(block, mark, &mut pieces) {
                // The rest of this block becomes visible later: it is read again then, from here.
                return Ok(pieces);
            }
            segment.at = next;
        }
        match chunk.fault {
            // What was read before the damage is delivered first.
            Some(fault) if pieces.is_empty() => Err(self.fault(number, segment.at.offset, fault)),
            Some(_) | None => Ok(pieces),
        }
    }

    /// Moves the wanted pieces of a block over; whether the block is used up.
    fn take(&mut self, block: Block, mark: Mark, pieces: &mut Vec<PieceView>) -> bool {
        for piece in block.pieces {
            if piece.sequence >= mark.complete_below {
                return false;
            }
            let place = Place {
                sequence: piece.sequence,
                piece: piece.number,
            };
            if place < self.deliver_from {
                continue;
            }
            self.deliver_from = Place::after(&piece).expect("checked when the block was decoded");
            if piece.kind != PieceKind::Abandoned && !self.blocking.is_abandoned(piece.sequence) {
                pieces.push(piece);
            }
        }
        true
    }

    fn fault(&self, number: u64, offset: u64, fault: Fault) -> LogError {
        let segment = self.blocking.files().path(&segment_name(number));
        match fault {
            Fault::Damaged(reason) => LogError::Corrupt {
                segment,
                offset,
                reason,
            },
            Fault::OutOfOrder(reason) => LogError::OutOfOrder {
                segment,
                offset,
                reason,
            },
        }
    }

    /// A durable byte that cannot be read because the file ends before it is damage.
    fn short_or_io(&self, at: Cursor, error: std::io::Error) -> LogError {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            return self.fault(
                at.segment,
                at.offset,
                Fault::Damaged("the file ends before it".to_owned()),
            );
        }
        self.io_error("read", at.segment, error)
    }

    fn io_error(&self, action: &'static str, number: u64, error: std::io::Error) -> LogError {
        LogError::from_io(action, &self.blocking.files().path(&segment_name(number)), error)
    }
}
