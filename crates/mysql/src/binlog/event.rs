//! Binlog events: the 19-byte header, the type numbers, the checksum, and a bounds-checked cursor
//! over their bytes.
//!
//! Source of the numbers: `libs/mysql/binlog/event/binlog_event.h` of MySQL, `sql/log_event.h` of
//! MariaDB.

use thiserror::Error;

/// Bytes that are not what the format says. Parsers of this folder return it instead of panicking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed binlog event: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Reads little-endian fields from a slice, never past its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self
            .bytes
            .split_at_checked(count)
            .ok_or(Malformed("it ends too early"))?;
        self.bytes = tail;
        Ok(head)
    }

    /// An unsigned little-endian integer of 0 to 8 bytes.
    pub(crate) fn uint(&mut self, count: usize) -> Result<u64, Malformed> {
        Ok(little_endian(self.take(count)?))
    }

    /// An unsigned big-endian integer of 0 to 8 bytes.
    pub(crate) fn uint_be(&mut self, count: usize) -> Result<u64, Malformed> {
        Ok(big_endian(self.take(count)?))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        let bytes = self.take(2)?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.uint(8)
    }

    /// A length from `count` bytes.
    pub(crate) fn length(&mut self, count: usize) -> Result<usize, Malformed> {
        usize::try_from(self.uint(count)?).map_err(|_| Malformed("a length beyond this machine"))
    }

    /// A length-encoded ("packed") integer of the client protocol.
    pub(crate) fn packed(&mut self) -> Result<u64, Malformed> {
        match self.u8()? {
            value @ 0..=250 => Ok(u64::from(value)),
            252 => self.uint(2),
            253 => self.uint(3),
            254 => self.uint(8),
            251 | 255 => Err(Malformed("a packed integer with a reserved first byte")),
        }
    }

    /// A packed integer as a length.
    pub(crate) fn packed_length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.packed()?).map_err(|_| Malformed("a length beyond this machine"))
    }

    /// Bytes behind a packed length.
    pub(crate) fn packed_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.packed_length()?;
        self.take(length)
    }
}

/// Up to eight bytes, the lowest first.
pub(crate) fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

/// Up to eight bytes, the highest first.
pub(crate) fn big_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

/// Event type numbers.
pub(crate) mod kind {
    pub(crate) const QUERY: u8 = 2;
    pub(crate) const STOP: u8 = 3;
    pub(crate) const ROTATE: u8 = 4;
    pub(crate) const INTVAR: u8 = 5;
    pub(crate) const RAND: u8 = 13;
    pub(crate) const USER_VAR: u8 = 14;
    pub(crate) const FORMAT_DESCRIPTION: u8 = 15;
    pub(crate) const XID: u8 = 16;
    pub(crate) const TABLE_MAP: u8 = 19;
    pub(crate) const WRITE_ROWS_V1: u8 = 23;
    pub(crate) const UPDATE_ROWS_V1: u8 = 24;
    pub(crate) const DELETE_ROWS_V1: u8 = 25;
    pub(crate) const INCIDENT: u8 = 26;
    pub(crate) const HEARTBEAT: u8 = 27;
    pub(crate) const IGNORABLE: u8 = 28;
    pub(crate) const ROWS_QUERY: u8 = 29;
    pub(crate) const WRITE_ROWS: u8 = 30;
    pub(crate) const UPDATE_ROWS: u8 = 31;
    pub(crate) const DELETE_ROWS: u8 = 32;
    pub(crate) const GTID: u8 = 33;
    pub(crate) const ANONYMOUS_GTID: u8 = 34;
    pub(crate) const PREVIOUS_GTIDS: u8 = 35;
    pub(crate) const TRANSACTION_CONTEXT: u8 = 36;
    pub(crate) const VIEW_CHANGE: u8 = 37;
    pub(crate) const XA_PREPARE: u8 = 38;
    pub(crate) const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub(crate) const TRANSACTION_PAYLOAD: u8 = 40;
    pub(crate) const HEARTBEAT_V2: u8 = 41;
    pub(crate) const GTID_TAGGED: u8 = 42;
    pub(crate) const MARIADB_ANNOTATE_ROWS: u8 = 160;
    pub(crate) const MARIADB_CHECKPOINT: u8 = 161;
    pub(crate) const MARIADB_GTID: u8 = 162;
    pub(crate) const MARIADB_GTID_LIST: u8 = 163;
    pub(crate) const MARIADB_START_ENCRYPTION: u8 = 164;
    pub(crate) const MARIADB_QUERY_COMPRESSED: u8 = 165;
    /// 166 to 168 are rows v1, 169 to 171 rows v2, all compressed.
    pub(crate) const MARIADB_COMPRESSED_ROWS: std::ops::RangeInclusive<u8> = 166..=171;
}

/// Bytes of an event's header.
pub(crate) const HEADER_BYTES: usize = 19;
/// Bytes of an event's checksum.
pub(crate) const CHECKSUM_BYTES: usize = 4;
/// Header flag: an event that a reader may ignore if it does not know it.
pub(crate) const FLAG_IGNORABLE: u16 = 0x80;

/// The common header of every event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Seconds since 1970; 0 in events made up for this connection.
    pub(crate) timestamp: u32,
    /// Type, see `kind`.
    pub(crate) kind: u8,
    /// Server that wrote it first.
    pub(crate) server_id: u32,
    /// Bytes of the event, header included (and the checksum, where there is one).
    pub(crate) size: u32,
    /// Where the next event begins in its file.
    pub(crate) log_position: u32,
    /// See `FLAG_IGNORABLE`.
    pub(crate) flags: u16,
}

impl Header {
    /// Parses the first 19 bytes.
    pub(crate) fn parse(event: &[u8]) -> Result<Header, Malformed> {
        let mut cursor = Cursor::new(event);
        Ok(Header {
            timestamp: cursor.u32()?,
            kind: cursor.u8()?,
            server_id: cursor.u32()?,
            size: cursor.u32()?,
            log_position: cursor.u32()?,
            flags: cursor.u16()?,
        })
    }
}

/// One event of a piece: header and what follows it, without a checksum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'a> {
    pub(crate) header: Header,
    pub(crate) body: &'a [u8],
}

/// Takes the next event from a run of events without checksums, as a piece's body holds them.
pub(crate) fn next_event<'a>(run: &mut &'a [u8]) -> Result<Option<Event<'a>>, Malformed> {
    if run.is_empty() {
        return Ok(None);
    }
    let header = Header::parse(run)?;
    let size = usize::try_from(header.size).map_err(|_| Malformed("a length beyond this machine"))?;
    if size < HEADER_BYTES {
        return Err(Malformed("an event shorter than its header"));
    }
    let (event, rest) = run.split_at_checked(size).ok_or(Malformed("it ends too early"))?;
    *run = rest;
    Ok(Some(Event {
        header,
        body: &event[HEADER_BYTES..],
    }))
}

/// Appends an event to a piece's body, its size corrected to what is appended (the checksum left
/// out).
pub(crate) fn append_event(piece: &mut Vec<u8>, event: &[u8]) -> Result<(), Malformed> {
    let size = u32::try_from(event.len()).map_err(|_| Malformed("an event above 4 GiB"))?;
    let head = event
        .get(..HEADER_BYTES)
        .ok_or(Malformed("an event shorter than its header"))?;
    piece.extend_from_slice(&head[..9]);
    piece.extend_from_slice(&size.to_le_bytes());
    piece.extend_from_slice(&event[13..]);
    Ok(())
}

/// Checks size and, if `checksummed`, the CRC32 at the end of an event as it came from the network;
/// returns it without.
pub(crate) fn verified(event: &[u8], checksummed: bool) -> Result<&[u8], Malformed> {
    let header = Header::parse(event)?;
    if usize::try_from(header.size) != Ok(event.len()) {
        return Err(Malformed("its size field differs from its length"));
    }
    if !checksummed {
        return Ok(event);
    }
    let end = event
        .len()
        .checked_sub(CHECKSUM_BYTES)
        .filter(|end| *end >= HEADER_BYTES);
    let (content, checksum) = event.split_at(end.ok_or(Malformed("an event shorter than its header"))?);
    if u64::from(crc32fast::hash(content)) != little_endian(checksum) {
        return Err(Malformed("its checksum is wrong"));
    }
    Ok(content)
}
