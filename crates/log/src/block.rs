//! Blocks: the unit of checksum and recovery, holding whole pieces.
//!
//! ```text
//! 0   magic "SPBK"
//! 4   CRC-32 of bytes 8.. of the header and of the payload, started from the log id
//! 8   payload length, u32
//! 12  number of pieces, u32, at least 1
//! 16  segment number, u64
//! 24  offset of this block in the segment, u64
//! 32  durable, u64: how many bytes of this segment were known to be durable when the block was written
//! 40  sequence of the first piece, u64
//! 48  number of the first piece, u32
//! 52  0, u32
//! 56  payload: pieces, each
//!       0  sequence, u64
//!       8  commit time, u64, microseconds since 1970 by the source's clock
//!       16 piece number, u32
//!       20 length of the transaction's identity, u32
//!       24 length of the body, u32
//!       28 kind, u8: 0 transaction, 1 abandoned
//!       29 1 if it is the last piece of its sequence, u8
//!       30 0, u16
//!       32 identity of the transaction (UTF-8), body
//! ```
//!
//! `durable` serves recovery: bytes below the `durable` of any later valid block were promised to a
//! writer, so damage there is an error; bytes that no later block covers may be a partial tail.

use bytes::Bytes;
use spanferry_core::port::change_log::PieceKind;

use crate::piece::{PieceView, Text};
use crate::segment::{u32_at, u64_at};

/// The first bytes of every block.
pub(crate) const BLOCK_MAGIC: [u8; 4] = *b"SPBK";
/// Length of a block's header.
pub(crate) const BLOCK_HEADER_BYTES: usize = 56;
/// Length of the fixed part of a piece.
pub(crate) const PIECE_HEADER_BYTES: usize = 32;
/// Longest identity of a transaction.
pub const MAX_TRANSACTION_BYTES: usize = 64 << 10;
/// Longest body of a piece: MySQL's largest event (`max_allowed_packet` of 1 GiB) and room for its
/// frame.
pub const MAX_BODY_BYTES: usize = (1 << 30) + (16 << 20);
/// Longest payload that can be valid: blocks close at `BLOCK_TARGET_BYTES`, which one piece may
/// exceed by its length.
pub(crate) const MAX_PAYLOAD_BYTES: usize =
    BLOCK_TARGET_BYTES + PIECE_HEADER_BYTES + MAX_TRANSACTION_BYTES + MAX_BODY_BYTES;
/// A block that has reached this length takes no further piece.
pub(crate) const BLOCK_TARGET_BYTES: usize = 1 << 20;

/// Place of a piece in the log: the order of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Sequence of its transaction.
    pub(crate) sequence: u64,
    /// Number within the transaction.
    pub(crate) piece: u32,
}

impl Place {
    /// The beginning of a sequence.
    pub(crate) fn start(sequence: u64) -> Place {
        Place { sequence, piece: 0 }
    }

    /// The place after a piece that is written here.
    pub(crate) fn next(self, last: bool) -> Place {
        if last {
            Place::start(self.sequence + 1)
        } else {
            Place {
                sequence: self.sequence,
                piece: self.piece + 1,
            }
        }
    }

    /// What must follow a piece that is read.
    pub(crate) fn after(piece: &PieceView) -> Option<Place> {
        if piece.last {
            Some(Place::start(piece.sequence.checked_add(1)?))
        } else {
            Some(Place {
                sequence: piece.sequence,
                piece: piece.number.checked_add(1)?,
            })
        }
    }
}

/// The header of a block, without magic and checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    /// Length of the payload.
    pub(crate) payload_bytes: u32,
    /// Number of pieces.
    pub(crate) pieces: u32,
    /// Segment it belongs to.
    pub(crate) segment: u64,
    /// Where it stands in the segment.
    pub(crate) offset: u64,
    /// Durable prefix of the segment when it was written.
    pub(crate) durable: u64,
    /// Place of its first piece.
    pub(crate) first: Place,
}

impl BlockHeader {
    /// Whole length of the block.
    pub(crate) fn block_bytes(&self) -> u64 {
        BLOCK_HEADER_BYTES as u64 + u64::from(self.payload_bytes)
    }

    /// Reads the fields; `None` if this cannot be the header of a block. The checksum is not looked
    /// at.
    pub(crate) fn decode(bytes: &[u8]) -> Option<BlockHeader> {
        if bytes.len() < BLOCK_HEADER_BYTES || bytes[..4] != BLOCK_MAGIC {
            return None;
        }
        let header = BlockHeader {
            payload_bytes: u32_at(bytes, 8),
            pieces: u32_at(bytes, 12),
            segment: u64_at(bytes, 16),
            offset: u64_at(bytes, 24),
            durable: u64_at(bytes, 32),
            first: Place {
                sequence: u64_at(bytes, 40),
                piece: u32_at(bytes, 48),
            },
        };
        let plausible = header.payload_bytes as usize <= MAX_PAYLOAD_BYTES && u32_at(bytes, 52) == 0;
        plausible.then_some(header)
    }

    /// Writes the header over the first bytes of `block`, whose payload is complete, with the
    /// checksum.
    pub(crate) fn seal(&self, seed: u32, block: &mut [u8]) {
        block[..4].copy_from_slice(&BLOCK_MAGIC);
        block[8..12].copy_from_slice(&self.payload_bytes.to_le_bytes());
        block[12..16].copy_from_slice(&self.pieces.to_le_bytes());
        block[16..24].copy_from_slice(&self.segment.to_le_bytes());
        block[24..32].copy_from_slice(&self.offset.to_le_bytes());
        block[32..40].copy_from_slice(&self.durable.to_le_bytes());
        block[40..48].copy_from_slice(&self.first.sequence.to_le_bytes());
        block[48..52].copy_from_slice(&self.first.piece.to_le_bytes());
        block[52..56].copy_from_slice(&[0; 4]);
        let checksum = block_checksum(seed, block);
        block[4..8].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// The checksum of a whole block.
pub(crate) fn block_checksum(seed: u32, block: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(&block[8..]);
    hasher.finalize()
}

/// Whether a whole block is as it was written.
pub(crate) fn checksum_matches(seed: u32, block: &[u8]) -> bool {
    block_checksum(seed, block) == u32_at(block, 4)
}

/// What an appended piece consists of, before it has a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PieceParts<'a> {
    /// What it is.
    pub(crate) kind: PieceKind,
    /// Whether nothing follows in its sequence.
    pub(crate) last: bool,
    /// Source's commit time.
    pub(crate) committed_at_us: u64,
    /// Identity of the transaction.
    pub(crate) transaction: &'a str,
    /// Raw events.
    pub(crate) body: &'a [u8],
}

impl PieceParts<'_> {
    /// Length in a block.
    pub(crate) fn encoded_bytes(&self) -> u64 {
        (PIECE_HEADER_BYTES + self.transaction.len() + self.body.len()) as u64
    }

    /// Appends the piece to a block's payload; lengths were checked against the limits.
    pub(crate) fn encode(&self, place: Place, block: &mut Vec<u8>) {
        let length = |bytes: usize| u32::try_from(bytes).expect("lengths are limited when they are taken");
        block.extend_from_slice(&place.sequence.to_le_bytes());
        block.extend_from_slice(&self.committed_at_us.to_le_bytes());
        block.extend_from_slice(&place.piece.to_le_bytes());
        block.extend_from_slice(&length(self.transaction.len()).to_le_bytes());
        block.extend_from_slice(&length(self.body.len()).to_le_bytes());
        block.extend_from_slice(&[kind_byte(self.kind), u8::from(self.last), 0, 0]);
        block.extend_from_slice(self.transaction.as_bytes());
        block.extend_from_slice(self.body);
    }
}

fn kind_byte(kind: PieceKind) -> u8 {
    match kind {
        PieceKind::Transaction => 0,
        PieceKind::Abandoned => 1,
    }
}

fn kind_of(byte: u8) -> Option<PieceKind> {
    [PieceKind::Transaction, PieceKind::Abandoned]
        .into_iter()
        .find(|kind| kind_byte(*kind) == byte)
}

/// Takes a payload apart without copying. The checksum matched, so a failure means that another
/// program wrote it.
pub(crate) fn decode_pieces(header: &BlockHeader, payload: &Bytes) -> Result<Vec<PieceView>, String> {
    let mut pieces: Vec<PieceView> = Vec::new();
    let mut expected = header.first;
    let mut at = 0;
    while at < payload.len() {
        let piece = decode_piece(payload, at)
            .ok_or_else(|| format!("piece {} of its payload is cut", pieces.len()))?;
        let found = Place {
            sequence: piece.sequence,
            piece: piece.number,
        };
        if found != expected {
            return Err(format!("it holds {found:?} where {expected:?} belongs"));
        }
        expected = Place::after(&piece).ok_or("its numbers overflow")?;
        at += PIECE_HEADER_BYTES + piece.transaction.len() + piece.body.len();
        pieces.push(piece);
    }
    if pieces.is_empty() || pieces.len() as u64 != u64::from(header.pieces) {
        return Err(format!(
            "it holds {} pieces and says {}",
            pieces.len(),
            header.pieces
        ));
    }
    Ok(pieces)
}

/// One piece; `None` if it does not fit or has a field that format version 1 does not know.
fn decode_piece(payload: &Bytes, at: usize) -> Option<PieceView> {
    let fixed = payload.get(at..at.checked_add(PIECE_HEADER_BYTES)?)?;
    let transaction_at = at + PIECE_HEADER_BYTES;
    let body_at = transaction_at.checked_add(u32_at(fixed, 20) as usize)?;
    let end = body_at.checked_add(u32_at(fixed, 24) as usize)?;
    if end > payload.len() || fixed[29] > 1 || fixed[30..32] != [0, 0] {
        return None;
    }
    Some(PieceView {
        sequence: u64_at(fixed, 0),
        number: u32_at(fixed, 16),
        last: fixed[29] == 1,
        kind: kind_of(fixed[28])?,
        committed_at_us: u64_at(fixed, 8),
        transaction: Text::try_from_bytes(payload.slice(transaction_at..body_at))?,
        body: payload.slice(body_at..end),
    })
}
