//! The appending side in memory: gives pieces their place, checks order and limits, fills blocks.

use std::collections::VecDeque;

use spanferry_core::port::change_log::PieceKind;

use crate::block::{
    BLOCK_HEADER_BYTES, BLOCK_TARGET_BYTES, BlockHeader, MAX_BODY_BYTES, MAX_TRANSACTION_BYTES, PieceParts,
    Place,
};
use crate::error::LogError;
use crate::limits::Limits;
use crate::segment::{LogId, MAX_CONTEXT_BYTES, SegmentHeader};

/// Bytes that may wait for a sync; they are kept in memory so that a sync can be repeated after a
/// full disk.
pub(crate) const MAX_UNSYNCED_BYTES: u64 = 16 << 20;

/// Blocks whose memory is kept for the next ones: what one sync usually covers.
const SPARES_MAX: usize = 2;
/// Largest memory of a block that is kept: one that ended with a large piece is given back.
const SPARE_BYTES_MAX: usize = 2 * BLOCK_TARGET_BYTES;

/// Something to be written, in order.
#[derive(Debug)]
pub(crate) enum Operation {
    /// A block of the current segment.
    Block(PendingBlock),
    /// The beginning of the next segment.
    Segment(SegmentHeader),
}

/// A block that has its place but is not yet durable.
#[derive(Debug)]
pub(crate) struct PendingBlock {
    /// Room for the header, then the payload.
    pub(crate) bytes: Vec<u8>,
    /// Header, as far as it is known before the write.
    pub(crate) header: BlockHeader,
    /// Place behind its last piece.
    pub(crate) end: Place,
    /// Sequences that are abandoned in it.
    pub(crate) abandoned: Vec<u64>,
}

/// What the encoder needs to know of the log that it continues.
#[derive(Debug, Clone)]
pub(crate) struct EncoderStart {
    /// Log identity.
    pub(crate) log_id: LogId,
    /// Source identity.
    pub(crate) source: String,
    /// Current segment.
    pub(crate) segment: u64,
    /// Its length.
    pub(crate) offset: u64,
    /// Whether it holds a piece.
    pub(crate) segment_used: bool,
    /// Its abandoned sequences.
    pub(crate) abandoned: Vec<u64>,
    /// Place of the next piece.
    pub(crate) next: Place,
    /// Bytes of all segments.
    pub(crate) log_bytes: u64,
}

/// What `append` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// The first piece has this place, the others follow.
    From(Place),
    /// Too much waits for a sync; nothing was taken.
    SyncFirst,
}

/// What is needed to take an append back.
#[derive(Debug)]
struct Checkpoint {
    at: EncoderStart,
    operations: usize,
    unsynced_bytes: u64,
    /// The last block, if it may have grown: length, header, end, abandoned sequences.
    block: Option<(usize, BlockHeader, Place, usize)>,
}

/// The appending side.
#[derive(Debug)]
pub(crate) struct Encoder {
    at: EncoderStart,
    limits: Limits,
    pending: VecDeque<Operation>,
    /// Bytes in `pending` and with the writer.
    unsynced_bytes: u64,
    /// Memory of blocks that are durable.
    spares: Vec<Vec<u8>>,
}

impl Encoder {
    /// An encoder that continues where `start` says.
    pub(crate) fn new(start: EncoderStart, limits: Limits) -> Encoder {
        Encoder {
            at: start,
            limits,
            pending: VecDeque::new(),
            unsynced_bytes: 0,
            spares: Vec::new(),
        }
    }

    /// Bytes of all segments, unsynced ones included.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.at.log_bytes
    }

    /// The sizes in force.
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether the next transaction opens a new segment.
    fn roll_due(&self) -> bool {
        self.at.next.piece == 0 && self.at.segment_used && self.at.offset >= self.limits.segment_bytes
    }

    /// Takes all pieces, or none: on any error, and on `SyncFirst`, everything is as before.
    /// `context` is asked with the index of each piece that opens a new segment.
    pub(crate) fn append(
        &mut self,
        pieces: &[PieceParts<'_>],
        mut context: impl FnMut(usize) -> Vec<u8>,
    ) -> Result<Appended, LogError> {
        for parts in pieces {
            check_piece(parts)?;
        }
        let block_headers = (pieces.len() * BLOCK_HEADER_BYTES) as u64;
        let needed = pieces.iter().map(PieceParts::encoded_bytes).sum::<u64>() + block_headers;
        if self.unsynced_bytes > 0 && self.unsynced_bytes + needed > MAX_UNSYNCED_BYTES {
            return Ok(Appended::SyncFirst);
        }
        let before = self.checkpoint();
        let first = self.at.next;
        for (index, parts) in pieces.iter().enumerate() {
            if let Err(error) = self.append_one(parts, || context(index)) {
                self.restore(before);
                return Err(error);
            }
        }
        if self.at.log_bytes > self.limits.budget_bytes {
            let needed_bytes = self.at.log_bytes - before.at.log_bytes;
            self.restore(before);
            let (budget_bytes, used_bytes) = (self.limits.budget_bytes, self.at.log_bytes);
            let transaction_bytes = self.bytes_with_first(pieces);
            if transaction_bytes > budget_bytes {
                return Err(LogError::BudgetTooSmall {
                    budget_bytes,
                    transaction_bytes,
                });
            }
            return Err(LogError::BudgetReached {
                budget_bytes,
                used_bytes,
                needed_bytes,
            });
        }
        Ok(Appended::From(first))
    }

    /// Bytes of a log that holds the first transaction of `pieces`, as far as it is among them, and
    /// nothing that can be trimmed: the segment in which it has begun stays.
    fn bytes_with_first(&self, pieces: &[PieceParts<'_>]) -> u64 {
        let end = pieces
            .iter()
            .position(|parts| parts.last)
            .map_or(pieces.len(), |last| last + 1);
        let own: u64 = pieces[..end].iter().map(PieceParts::encoded_bytes).sum();
        let has_begun = self.at.next.piece > 0;
        own + if has_begun { self.at.offset } else { 0 }
    }

    /// Opens a new segment, so that the last one can be trimmed once it is applied. Nothing where a
    /// transaction is open, or where the segment is still empty.
    pub(crate) fn seal(&mut self, context: impl FnOnce() -> Vec<u8>) -> Result<(), LogError> {
        if self.at.next.piece == 0 && self.at.segment_used {
            let header = self.next_segment(context())?;
            self.roll(header);
        }
        Ok(())
    }

    fn append_one(
        &mut self,
        parts: &PieceParts<'_>,
        context: impl FnOnce() -> Vec<u8>,
    ) -> Result<(), LogError> {
        if self.at.next.sequence >= u64::MAX - 1 || self.at.next.piece >= u32::MAX - 1 {
            return Err(LogError::TooLarge {
                part: "a number",
                bytes: u64::MAX,
                limit: u64::MAX - 1,
            });
        }
        if self.roll_due() {
            let header = self.next_segment(context())?;
            self.roll(header);
        }
        self.push(parts);
        Ok(())
    }

    /// Ends the open sequence with a marker, if there is one. It is let through at the budget: it
    /// lets a stuck sequence end, and is a few dozen bytes.
    pub(crate) fn abandon(&mut self) -> Option<u64> {
        let Place { sequence, piece } = self.at.next;
        if piece == 0 {
            return None;
        }
        self.push(&PieceParts {
            kind: PieceKind::Abandoned,
            last: true,
            committed_at_us: 0,
            transaction: "",
            body: &[],
        });
        Some(sequence)
    }

    fn checkpoint(&self) -> Checkpoint {
        let block = match self.pending.back() {
            Some(Operation::Block(block)) => {
                Some((block.bytes.len(), block.header, block.end, block.abandoned.len()))
            }
            Some(Operation::Segment(_)) | None => None,
        };
        let (at, operations, unsynced_bytes) = (self.at.clone(), self.pending.len(), self.unsynced_bytes);
        Checkpoint {
            at,
            operations,
            unsynced_bytes,
            block,
        }
    }

    fn restore(&mut self, before: Checkpoint) {
        self.pending.truncate(before.operations);
        if let (Some(Operation::Block(block)), Some((bytes, header, end, abandoned))) =
            (self.pending.back_mut(), before.block)
        {
            block.bytes.truncate(bytes);
            block.abandoned.truncate(abandoned);
            (block.header, block.end) = (header, end);
        }
        self.at = before.at;
        self.unsynced_bytes = before.unsynced_bytes;
    }

    /// Hands over everything that waits, in order.
    pub(crate) fn take_pending(&mut self) -> VecDeque<Operation> {
        std::mem::take(&mut self.pending)
    }

    /// The writer made so many bytes durable.
    pub(crate) fn synced(&mut self, bytes: u64) {
        self.unsynced_bytes = self.unsynced_bytes.saturating_sub(bytes);
    }

    /// Takes back the memory of blocks that are durable.
    pub(crate) fn reuse(&mut self, blocks: Vec<Vec<u8>>) {
        let kept = blocks
            .into_iter()
            .filter(|bytes| bytes.capacity() <= SPARE_BYTES_MAX);
        self.spares.extend(kept);
        self.spares.truncate(SPARES_MAX);
    }

    /// Segments of so many bytes were removed.
    pub(crate) fn removed(&mut self, bytes: u64) {
        self.at.log_bytes = self.at.log_bytes.saturating_sub(bytes);
    }

    fn next_segment(&self, context: Vec<u8>) -> Result<SegmentHeader, LogError> {
        check_length("the context", context.len(), MAX_CONTEXT_BYTES)?;
        Ok(SegmentHeader {
            log_id: self.at.log_id,
            number: self.at.segment + 1,
            first_sequence: self.at.next.sequence,
            previous_bytes: self.at.offset,
            previous_abandoned: self.at.abandoned.clone(),
            source: self.at.source.clone(),
            context,
        })
    }

    fn roll(&mut self, header: SegmentHeader) {
        self.at.segment = header.number;
        self.at.offset = header.encoded_bytes();
        self.at.segment_used = false;
        self.at.abandoned.clear();
        self.grow(header.encoded_bytes());
        self.pending.push_back(Operation::Segment(header));
    }

    fn grow(&mut self, bytes: u64) {
        self.at.log_bytes += bytes;
        self.unsynced_bytes += bytes;
    }

    /// Encodes one piece into the last open block, or a new one.
    fn push(&mut self, parts: &PieceParts<'_>) {
        let place = self.at.next;
        let abandoned = (parts.kind == PieceKind::Abandoned).then_some(place.sequence);
        self.at.abandoned.extend(abandoned);
        self.at.next = place.next(parts.last);
        let (end, bytes) = (self.at.next, parts.encoded_bytes());
        let block = self.open_block(place);
        parts.encode(place, &mut block.bytes);
        block.header.pieces += 1;
        block.header.payload_bytes = u32::try_from(block.bytes.len() - BLOCK_HEADER_BYTES)
            .expect("a block holds at most one oversized piece");
        block.end = end;
        block.abandoned.extend(abandoned);
        self.at.offset += bytes;
        self.at.segment_used = true;
        self.grow(bytes);
    }

    fn open_block(&mut self, first: Place) -> &mut PendingBlock {
        let limit = self.limits.block_bytes.min(BLOCK_TARGET_BYTES);
        let open = matches!(self.pending.back(), Some(Operation::Block(block)) if block.bytes.len() < limit);
        if !open {
            let (segment, offset) = (self.at.segment, self.at.offset);
            let header = BlockHeader {
                payload_bytes: 0,
                pieces: 0,
                segment,
                offset,
                durable: 0,
                first,
            };
            let mut bytes = self.spares.pop().unwrap_or_default();
            bytes.clear();
            bytes.resize(BLOCK_HEADER_BYTES, 0);
            self.pending.push_back(Operation::Block(PendingBlock {
                bytes,
                header,
                end: first,
                abandoned: Vec::new(),
            }));
            self.at.offset += BLOCK_HEADER_BYTES as u64;
            self.grow(BLOCK_HEADER_BYTES as u64);
        }
        match self.pending.back_mut() {
            Some(Operation::Block(block)) => block,
            Some(Operation::Segment(_)) | None => unreachable!("a block was just made sure of"),
        }
    }
}

fn check_piece(parts: &PieceParts<'_>) -> Result<(), LogError> {
    match parts.kind {
        PieceKind::Transaction => {}
        PieceKind::Abandoned => {
            let (expected, found) = (
                "a piece of a transaction".to_owned(),
                "an abandoned marker".to_owned(),
            );
            return Err(LogError::WrongPiece { expected, found });
        }
    }
    check_length(
        "the identity of the transaction",
        parts.transaction.len(),
        MAX_TRANSACTION_BYTES,
    )?;
    check_length("the body", parts.body.len(), MAX_BODY_BYTES)
}

/// Refuses a part of `bytes` bytes above its limit.
pub(crate) fn check_length(part: &'static str, bytes: usize, limit: usize) -> Result<(), LogError> {
    if bytes > limit {
        return Err(LogError::TooLarge {
            part,
            bytes: bytes as u64,
            limit: limit as u64,
        });
    }
    Ok(())
}
