//! Reading blocks from a segment: the one place that judges bytes, used by recovery and by readers.

use std::io;

use bytes::{Bytes, BytesMut};

use crate::block::{BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockHeader, Place, checksum_matches, decode_pieces};
use crate::files::{LogFile, read_exact_at};
use crate::piece::PieceView;

/// How much is read at once; a longer block is read whole.
pub(crate) const READ_CHUNK_BYTES: usize = 1 << 20;

/// Largest buffer that is kept for the next read.
const KEPT_BYTES_MAX: usize = 2 * READ_CHUNK_BYTES;
/// Buffers are made in steps of this length, so that blocks of nearly the same length fit into one.
const ROOM_STEP_BYTES: usize = 64 << 10;

/// Where the next block stands, and what must be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Segment.
    pub(crate) segment: u64,
    /// Offset of the block.
    pub(crate) offset: u64,
    /// Place of its first piece.
    pub(crate) expected: Place,
}

/// A whole, valid block that stands where it belongs.
#[derive(Debug)]
pub(crate) struct Block {
    /// Its header.
    pub(crate) header: BlockHeader,
    /// Its pieces, slices of the buffer that was read.
    pub(crate) pieces: Vec<PieceView>,
    /// The cursor behind it.
    pub(crate) next: Cursor,
}

/// Why the bytes at a cursor are not the block that belongs there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The bytes end, or are not what was written: a partial tail or damage.
    Damaged(String),
    /// The checksum matches, so it was written by a log, but it does not belong here.
    OutOfOrder(String),
}

/// What one read brought.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Whole blocks in order.
    pub(crate) blocks: Vec<Block>,
    /// What stands behind them, if it is not a block.
    pub(crate) fault: Option<Fault>,
}

/// Reads the blocks at `cursor`, at least one unless `limit` is reached or a fault is found.
/// `limit` is the end of the bytes that may be looked at; a block that crosses it is a fault.
/// `memory` holds what the last call read; it is used again if no piece of it is held any more.
pub(crate) fn read_blocks(
    file: &dyn LogFile,
    seed: u32,
    cursor: Cursor,
    limit: u64,
    memory: &mut Bytes,
) -> io::Result<Chunk> {
    let available = limit.saturating_sub(cursor.offset);
    let mut wanted = available.min(READ_CHUNK_BYTES as u64);
    // A block that has grown to its full length is a little longer than a chunk.
    if available > wanted
        && let Some(header) = BlockHeader::decode(&read(file, cursor.offset, BLOCK_HEADER_BYTES as u64)?)
        && header.block_bytes() <= available
    {
        wanted = wanted.max(header.block_bytes());
    }
    let mut buffer = room(std::mem::take(memory), length(wanted)?);
    read_exact_at(file, &mut buffer, cursor.offset)?;
    let buffer = buffer.freeze();
    if buffer.len() <= KEPT_BYTES_MAX {
        *memory = buffer.clone();
    }
    let complete = cursor.offset + buffer.len() as u64 == limit;
    Ok(parse(&buffer, seed, cursor, complete))
}

/// A buffer of so many bytes, in memory that was used before if it is free and large enough.
fn room(memory: Bytes, bytes: usize) -> BytesMut {
    let mut buffer = match memory.try_into_mut() {
        Ok(buffer) if buffer.capacity() >= bytes => buffer,
        Ok(_) | Err(_) => BytesMut::zeroed(bytes.next_multiple_of(ROOM_STEP_BYTES)),
    };
    buffer.resize(bytes, 0);
    buffer
}

fn read(file: &dyn LogFile, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0_u8; length(bytes)?];
    read_exact_at(file, &mut buffer, offset)?;
    Ok(buffer)
}

fn length(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))
}

/// Takes whole blocks from the front; a rest that is only cut by the end of the buffer is a fault
/// if `complete`.
fn parse(buffer: &Bytes, seed: u32, mut cursor: Cursor, complete: bool) -> Chunk {
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < buffer.len() {
        match parse_block(buffer, at, seed, cursor) {
            Ok(Some(block)) => {
                at += BLOCK_HEADER_BYTES + block.header.payload_bytes as usize;
                cursor = block.next;
                blocks.push(block);
            }
            // More bytes are there to be read; the next call starts at this block.
            Ok(None) if !complete && !blocks.is_empty() => return Chunk { blocks, fault: None },
            Ok(None) => {
                let fault = Some(Fault::Damaged("the block is cut".to_owned()));
                return Chunk { blocks, fault };
            }
            Err(fault) => {
                return Chunk {
                    blocks,
                    fault: Some(fault),
                };
            }
        }
    }
    Chunk { blocks, fault: None }
}

/// One block; `None` if the buffer ends inside it.
fn parse_block(buffer: &Bytes, at: usize, seed: u32, cursor: Cursor) -> Result<Option<Block>, Fault> {
    let rest = &buffer[at..];
    if rest.len() < BLOCK_HEADER_BYTES {
        return Ok(None);
    }
    let Some(header) = BlockHeader::decode(rest) else {
        return Err(Fault::Damaged("no block begins here".to_owned()));
    };
    let Some(whole) = rest.get(..BLOCK_HEADER_BYTES + header.payload_bytes as usize) else {
        return Ok(None);
    };
    if !checksum_matches(seed, whole) {
        return Err(Fault::Damaged(
            "the checksum of the block does not match".to_owned(),
        ));
    }
    if let Some(reason) = misplaced(&header, cursor) {
        return Err(Fault::OutOfOrder(reason));
    }
    let payload = buffer.slice(at + BLOCK_HEADER_BYTES..at + whole.len());
    let pieces = decode_pieces(&header, &payload).map_err(Fault::OutOfOrder)?;
    let last = pieces.last().expect("a decoded block has a piece");
    let expected = Place::after(last).ok_or_else(|| Fault::OutOfOrder("its numbers overflow".to_owned()))?;
    let next = Cursor {
        segment: cursor.segment,
        offset: cursor.offset + whole.len() as u64,
        expected,
    };
    Ok(Some(Block { header, pieces, next }))
}

/// Why a block with this header cannot stand at this cursor.
fn misplaced(header: &BlockHeader, cursor: Cursor) -> Option<String> {
    if header.segment != cursor.segment || header.offset != cursor.offset {
        return Some(format!(
            "it belongs to byte {} of segment {}",
            header.offset, header.segment
        ));
    }
    if header.durable > header.offset {
        return Some(format!(
            "it says that {} bytes before it were durable",
            header.durable
        ));
    }
    if header.first != cursor.expected {
        let (found, wanted) = (header.first, cursor.expected);
        return Some(format!(
            "it begins with piece {} of sequence {} where piece {} of sequence {} belongs",
            found.piece, found.sequence, wanted.piece, wanted.sequence
        ));
    }
    None
}

/// Whether a valid block of this segment behind `cursor` says that the bytes at it were durable:
/// then what is there is damage, not a partial tail.
pub(crate) fn was_durable(file: &dyn LogFile, seed: u32, cursor: Cursor, end: u64) -> io::Result<bool> {
    let finder = memchr::memmem::Finder::new(&BLOCK_MAGIC);
    let mut start = cursor.offset + 1;
    while start + (BLOCK_HEADER_BYTES as u64) <= end {
        let window = read(file, start, (end - start).min(READ_CHUNK_BYTES as u64))?;
        for at in finder.find_iter(&window) {
            let offset = start + at as u64;
            if covers(file, seed, cursor, offset, end)? {
                return Ok(true);
            }
        }
        // Overlap, so that a magic number across two windows is seen.
        start += (window.len() - (BLOCK_MAGIC.len() - 1)) as u64;
    }
    Ok(false)
}

/// Whether a valid block at `offset` covers the bytes at `cursor` as durable.
fn covers(file: &dyn LogFile, seed: u32, cursor: Cursor, offset: u64, end: u64) -> io::Result<bool> {
    if end - offset < BLOCK_HEADER_BYTES as u64 {
        return Ok(false);
    }
    let start = read(file, offset, BLOCK_HEADER_BYTES as u64)?;
    let Some(header) = BlockHeader::decode(&start) else {
        return Ok(false);
    };
    let here = header.segment == cursor.segment && header.offset == offset;
    if !here || header.durable <= cursor.offset || header.block_bytes() > end - offset {
        return Ok(false);
    }
    Ok(checksum_matches(seed, &read(file, offset, header.block_bytes())?))
}

/// Walks over block headers only, from `cursor`, to the last block that begins at or before
/// `wanted`. Payloads are not read, so nothing is judged: at the first oddity the walk ends, and
/// reading from there reports it.
pub(crate) fn seek(file: &dyn LogFile, cursor: Cursor, wanted: Place, limit: u64) -> io::Result<Cursor> {
    let mut best = cursor;
    let mut offset = cursor.offset;
    while offset + (BLOCK_HEADER_BYTES as u64) <= limit {
        let start = read(file, offset, BLOCK_HEADER_BYTES as u64)?;
        let Some(header) = BlockHeader::decode(&start) else {
            break;
        };
        let here = header.segment == cursor.segment && header.offset == offset;
        if !here || header.first > wanted || header.first < best.expected {
            break;
        }
        best = Cursor {
            segment: cursor.segment,
            offset,
            expected: header.first,
        };
        offset += header.block_bytes();
    }
    Ok(best)
}
