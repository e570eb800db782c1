//! Events that begin a transaction: MySQL's GTID (33), tagged GTID (42), and MariaDB's (162, with
//! lists in 163).

use spanferry_core::position::{ServerUuid, TransactionId};

use super::event::{Cursor, Malformed};

/// What a GTID event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GtidEvent {
    pub(crate) id: TransactionId,
    /// When this server committed it: microseconds since 1970, 0 if the event does not say.
    pub(crate) committed_at_us: u64,
    /// When the server where it began committed it; replicas keep that. 0 if the event does not
    /// say.
    pub(crate) original_us: u64,
    /// MariaDB: no COMMIT follows, the transaction is the one event behind it (a DDL statement).
    pub(crate) standalone: bool,
    /// MariaDB: the transaction is an XA PREPARE, or the completion of one.
    pub(crate) xa: bool,
}

/// Parses the body of a GTID_LOG_EVENT (33): flags, UUID, number, then optionally logical clocks
/// and commit times.
pub(crate) fn parse_mysql(body: &[u8]) -> Result<GtidEvent, Malformed> {
    let mut cursor = Cursor::new(body);
    cursor.take(1)?;
    let server = uuid(cursor.take(16)?)?;
    let number = cursor.u64()?;
    let (committed_at_us, original_us) = commit_times(cursor).unwrap_or((0, 0));
    Ok(GtidEvent {
        id: TransactionId::Mysql {
            server,
            tag: String::new(),
            number,
        },
        committed_at_us,
        original_us: known_time(original_us),
        standalone: false,
        xa: false,
    })
}

/// The highest bit of a commit time says that the original one follows; that bit alone stands for a
/// time that is not known.
const FOLLOWS: u64 = 1 << 55;

/// A logical clock of 17 bytes (its type byte is 2), then the commit times of this server and of
/// the first one, in 7 bytes each. The second is left out where both are equal.
fn commit_times(mut cursor: Cursor<'_>) -> Option<(u64, u64)> {
    if cursor.u8().ok()? != 2 {
        return None;
    }
    cursor.take(16).ok()?;
    let immediate = cursor.uint(7).ok()?;
    if immediate & FOLLOWS == 0 {
        return Some((immediate, immediate));
    }
    Some((immediate & !FOLLOWS, cursor.uint(7).ok()?))
}

/// Longest tag that a server takes (`gtids::tag_max_length`). It is part of every text of its
/// transaction.
const TAG_BYTES_MAX: usize = 32;

/// The time, 0 if it is none.
fn known_time(time: u64) -> u64 {
    if time < FOLLOWS { time } else { 0 }
}

/// Parses the body of a GTID_TAGGED_LOG_EVENT (42), in MySQL's self-describing serialisation
/// (mysql/serialization).
pub(crate) fn parse_mysql_tagged(body: &[u8]) -> Result<GtidEvent, Malformed> {
    let mut cursor = Cursor::new(body);
    // Format version, payload size, number of the last field that may not be ignored.
    for _ in 0..3 {
        variable_uint(&mut cursor)?;
    }
    let (mut server, mut number, mut tag) = ([0_u8; 16], 0_u64, String::new());
    let (mut committed_at_us, mut original_us) = (0, None);
    let mut seen = [false; 4];
    while !cursor.is_empty() {
        let field = variable_uint(&mut cursor)?;
        if let Some(flag) = usize::try_from(field).ok().and_then(|index| seen.get_mut(index)) {
            *flag = true;
        }
        match field {
            // Flags.
            0 => {
                variable_uint(&mut cursor)?;
            }
            1 => {
                for byte in &mut server {
                    *byte = u8::try_from(variable_uint(&mut cursor)?)
                        .map_err(|_| Malformed("a UUID byte above 255"))?;
                }
            }
            2 => {
                let value = variable_int(&mut cursor)?;
                number = u64::try_from(value).map_err(|_| Malformed("a transaction number below 0"))?;
            }
            3 => {
                let length =
                    usize::try_from(variable_uint(&mut cursor)?).map_err(|_| Malformed("a tag's length"))?;
                if length > TAG_BYTES_MAX {
                    return Err(Malformed("a tag of more than 32 characters"));
                }
                let bytes = cursor.take(length)?;
                let text = std::str::from_utf8(bytes).map_err(|_| Malformed("a tag that is no text"))?;
                tag = String::from(text);
            }
            // Logical clock: last committed, sequence number.
            4 | 5 => {
                variable_int(&mut cursor)?;
            }
            6 => committed_at_us = variable_uint(&mut cursor)?,
            // Left out where it is the same.
            7 => original_us = Some(variable_uint(&mut cursor)?),
            _ => break,
        }
    }
    if !seen[1] || !seen[2] || !seen[3] || number == 0 {
        return Err(Malformed("a tagged GTID without its parts"));
    }
    Ok(GtidEvent {
        id: TransactionId::Mysql {
            server: ServerUuid(server),
            tag,
            number,
        },
        committed_at_us,
        original_us: known_time(original_us.unwrap_or(committed_at_us)),
        standalone: false,
        xa: false,
    })
}

/// The number of trailing one bits of the first byte is the number of bytes that follow; the rest
/// is the value.
fn variable_uint(cursor: &mut Cursor<'_>) -> Result<u64, Malformed> {
    let first = cursor.u8()?;
    let more = first.trailing_ones();
    let following = cursor.uint(more as usize)?;
    if more >= 7 {
        return Ok(following);
    }
    let low = u64::from(first) >> (more + 1);
    Ok((following << (7 - more)) | low)
}

/// Zigzag: the lowest bit is the sign.
fn variable_int(cursor: &mut Cursor<'_>) -> Result<i64, Malformed> {
    let value = variable_uint(cursor)?;
    let half = i64::try_from(value >> 1).map_err(|_| Malformed("a number beyond 64 bits"))?;
    Ok(if value & 1 == 1 { -half - 1 } else { half })
}

/// Parses the body of a MariaDB GTID event (162); the server id stands in the header.
pub(crate) fn parse_mariadb(server: u32, timestamp: u32, body: &[u8]) -> Result<GtidEvent, Malformed> {
    const STANDALONE: u8 = 1;
    const PREPARED_XA: u8 = 64;
    const COMPLETED_XA: u8 = 128;
    let mut cursor = Cursor::new(body);
    let number = cursor.u64()?;
    let domain = cursor.u32()?;
    let flags = cursor.u8()?;
    Ok(GtidEvent {
        id: TransactionId::Mariadb {
            domain,
            server,
            number,
        },
        committed_at_us: u64::from(timestamp) * 1_000_000,
        // A replica takes the time over with the transaction.
        original_us: u64::from(timestamp) * 1_000_000,
        standalone: flags & STANDALONE != 0,
        xa: flags & (PREPARED_XA | COMPLETED_XA) != 0,
    })
}

fn uuid(bytes: &[u8]) -> Result<ServerUuid, Malformed> {
    bytes
        .try_into()
        .map(ServerUuid)
        .map_err(|_| Malformed("a UUID that is not of 16 bytes"))
}
