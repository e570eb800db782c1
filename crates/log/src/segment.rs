//! Segment files: their names and the header each of them opens with.
//!
//! ```text
//! 0   magic "SPANFLOG"
//! 8   format version, u32
//! 12  length of the whole header, u32
//! 16  log id, 16 bytes
//! 32  segment number, u64
//! 40  first sequence, u64: the sequence of the first transaction that begins in this segment
//! 48  length of the segment before, u64 (0 in segment 0): proves that it is whole
//! 56  number of abandoned sequences in the segment before, u32
//! 60  length of the source identity, u32
//! 64  length of the context, u32
//! 68  abandoned sequences (u64 each), source identity (UTF-8), context
//! end CRC-32 of everything before it, u32
//! ```
//!
//! All numbers are little-endian. A header is written to a temporary file, synced and renamed, so a
//! segment under its final name always has a whole header. Segments change only between
//! transactions: a transaction never spans two.

use std::fmt;

use std::io;

use uuid::Uuid;

use crate::error::LogError;
use crate::files::{Files, LogFile, read_exact_at};

/// The first bytes of every segment.
pub(crate) const SEGMENT_MAGIC: [u8; 8] = *b"SPANFLOG";
/// The format this program writes, and the newest it reads.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// Longest header that is read: a GTID set of many servers is long, but not that long.
pub(crate) const MAX_HEADER_BYTES: u32 = 64 << 20;
/// Longest context or source identity that is taken.
pub(crate) const MAX_CONTEXT_BYTES: usize = 16 << 20;

const FIXED_BYTES: usize = 68;
const CHECKSUM_BYTES: usize = 4;
const NAME_PREFIX: &str = "segment-";
const NAME_SUFFIX: &str = ".log";
const TEMPORARY_SUFFIX: &str = ".new";
/// Digits of the largest u64, so that names sort as numbers.
const NAME_DIGITS: usize = 20;

/// The identity of one log: given when it is created, in every segment, and in the fence rows at
/// the target.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LogId(pub(crate) [u8; 16]);

impl LogId {
    /// Reads the 36 characters that `Display` writes.
    pub(crate) fn parse(text: &str) -> Option<LogId> {
        let id = LogId(Uuid::try_parse(text).ok()?.into_bytes());
        (id.to_string() == text).then_some(id)
    }

    /// What the checksums of the blocks start from, so that a block of another log never fits.
    pub(crate) fn checksum_seed(self) -> u32 {
        crc32fast::hash(&self.0)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Uuid::from_bytes(self.0), f)
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a segment opens with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The log it belongs to.
    pub(crate) log_id: LogId,
    /// Its number, from 0, without gaps.
    pub(crate) number: u64,
    /// The sequence of the first transaction in it.
    pub(crate) first_sequence: u64,
    /// Final length of the segment before.
    pub(crate) previous_bytes: u64,
    /// Abandoned sequences of the segment before.
    pub(crate) previous_abandoned: Vec<u64>,
    /// Whose changes these are.
    pub(crate) source: String,
    /// What a decoder needs to start at `first_sequence`.
    pub(crate) context: Vec<u8>,
}

impl SegmentHeader {
    /// Length of the encoded header.
    pub(crate) fn encoded_bytes(&self) -> u64 {
        let variable = self.previous_abandoned.len() * 8 + self.source.len() + self.context.len();
        (FIXED_BYTES + variable + CHECKSUM_BYTES) as u64
    }

    /// The header as it stands in the file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&SEGMENT_MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&length(self.encoded_bytes()).to_le_bytes());
        bytes.extend_from_slice(&self.log_id.0);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.first_sequence.to_le_bytes());
        bytes.extend_from_slice(&self.previous_bytes.to_le_bytes());
        bytes.extend_from_slice(&length(self.previous_abandoned.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&length(self.source.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&length(self.context.len() as u64).to_le_bytes());
        for sequence in &self.previous_abandoned {
            bytes.extend_from_slice(&sequence.to_le_bytes());
        }
        bytes.extend_from_slice(self.source.as_bytes());
        bytes.extend_from_slice(&self.context);
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the header of a segment file.
    pub(crate) fn read(
        files: &dyn Files,
        file: &dyn LogFile,
        number: u64,
    ) -> Result<SegmentHeader, LogError> {
        let path = files.path(&segment_name(number));
        let corrupt = |offset, reason: &str| LogError::Corrupt {
            segment: path.clone(),
            offset,
            reason: reason.to_owned(),
        };
        let short = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => corrupt(0, "the file ends inside its header"),
            _ => LogError::from_io("read", &path, error),
        };
        let mut start = [0_u8; 16];
        read_exact_at(file, &mut start, 0).map_err(short)?;
        if start[..8] != SEGMENT_MAGIC {
            return Err(corrupt(0, "it does not begin as a segment of a change log does"));
        }
        let version = u32_at(&start, 8);
        if version != FORMAT_VERSION {
            return Err(LogError::UnsupportedVersion {
                segment: path,
                version,
                supported: FORMAT_VERSION,
            });
        }
        let bytes = u32_at(&start, 12);
        let file_bytes = file.len().map_err(short)?;
        if bytes > MAX_HEADER_BYTES
            || u64::from(bytes) > file_bytes
            || (bytes as usize) < FIXED_BYTES + CHECKSUM_BYTES
        {
            return Err(corrupt(12, "the length of its header is impossible"));
        }
        let mut encoded = vec![0_u8; bytes as usize];
        read_exact_at(file, &mut encoded, 0).map_err(short)?;
        let header = SegmentHeader::decode(&encoded).map_err(|reason| corrupt(0, reason))?;
        if header.number != number {
            let reason = format!("it says to be segment {}", header.number);
            return Err(LogError::OutOfOrder {
                segment: path,
                offset: 0,
                reason,
            });
        }
        Ok(header)
    }

    /// The inverse of `encode`; the lengths were checked against the file.
    fn decode(encoded: &[u8]) -> Result<SegmentHeader, &'static str> {
        let (covered, checksum) = encoded.split_at(encoded.len() - CHECKSUM_BYTES);
        if crc32fast::hash(covered) != u32_at(checksum, 0) {
            return Err("the checksum of its header does not match");
        }
        let abandoned_bytes = u64::from(u32_at(covered, 56)) * 8;
        let source_bytes = u64::from(u32_at(covered, 60));
        let context_bytes = u64::from(u32_at(covered, 64));
        let variable = &covered[FIXED_BYTES..];
        if abandoned_bytes + source_bytes + context_bytes != variable.len() as u64 {
            return Err("the lengths in its header do not add up");
        }
        let split = |bytes: u64| usize::try_from(bytes).map_err(|_| "the lengths in its header do not fit");
        let (abandoned, rest) = variable.split_at(split(abandoned_bytes)?);
        let (source, context) = rest.split_at(split(source_bytes)?);
        Ok(SegmentHeader {
            log_id: LogId(covered[16..32].try_into().expect("16 bytes")),
            number: u64_at(covered, 32),
            first_sequence: u64_at(covered, 40),
            previous_bytes: u64_at(covered, 48),
            previous_abandoned: abandoned.chunks_exact(8).map(|bytes| u64_at(bytes, 0)).collect(),
            source: str::from_utf8(source)
                .map_err(|_| "the source identity is not UTF-8")?
                .to_owned(),
            context: context.to_vec(),
        })
    }
}

/// Lengths in headers were checked against `MAX_CONTEXT_BYTES`, and abandoned sequences are bounded
/// by blocks.
fn length(bytes: u64) -> u32 {
    u32::try_from(bytes).expect("lengths are limited when they are taken")
}

/// The u32 at an offset that the caller knows to be inside.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

/// The u64 at an offset that the caller knows to be inside.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

/// File name of a segment.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{NAME_PREFIX}{number:0NAME_DIGITS$}{NAME_SUFFIX}")
}

/// File name of a segment whose header is not yet durable.
pub(crate) fn temporary_name(number: u64) -> String {
    segment_name(number) + TEMPORARY_SUFFIX
}

/// Whether a file is a left-over of an interrupted creation.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.strip_suffix(TEMPORARY_SUFFIX)
        .and_then(segment_number)
        .is_some()
}

/// The number in a segment's file name.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(NAME_PREFIX)?.strip_suffix(NAME_SUFFIX)?;
    let canonical = digits.len() == NAME_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if canonical { digits.parse().ok() } else { None }
}

/// Creates a segment: header to a temporary file, synced, renamed, directory synced.
///
/// On any failure the temporary file is removed as far as possible, and nothing exists under the
/// final name, except when the directory could not be synced: then the outcome is unknown and the
/// error is `Poisoned`.
pub(crate) fn create_segment(
    files: &dyn Files,
    header: &SegmentHeader,
) -> Result<Box<dyn LogFile>, LogError> {
    let (temporary, name) = (temporary_name(header.number), segment_name(header.number));
    let file = write_header(files, &temporary, header).inspect_err(|_| {
        if let Err(error) = files.remove(&temporary) {
            tracing::debug!(%error, file = temporary, "a temporary file stays until the log is opened again");
        }
    })?;
    let unknown =
        |error: io::Error| LogError::poisoned(format!("creating segment {}: {error}", header.number));
    files.rename(&temporary, &name).map_err(unknown)?;
    files.sync_directory().map_err(unknown)?;
    Ok(file)
}

fn write_header(files: &dyn Files, name: &str, header: &SegmentHeader) -> Result<Box<dyn LogFile>, LogError> {
    let path = files.path(name);
    let file = files
        .create(name)
        .map_err(|error| LogError::from_io("created", &path, error))?;
    file.write_all_at(&header.encode(), 0)
        .map_err(|error| LogError::from_io("written", &path, error))?;
    // The file is thrown away on failure, so a failed sync here is no lost promise.
    file.sync()
        .map_err(|error| LogError::from_io("synced", &path, error))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_canonical() {
        let check = |name: &str, expected: Option<u64>| assert_eq!(segment_number(name), expected, "{name}");
        check("segment-00000000000000000007.log", Some(7));
        check("segment-18446744073709551615.log", Some(u64::MAX));
        check("segment-18446744073709551616.log", None);
        check("segment-7.log", None);
        check("segment-+0000000000000000007.log", None);
        check("lock", None);
        assert_eq!(segment_number(&segment_name(42)), Some(42));
        assert!(is_temporary(&temporary_name(42)) && !is_temporary("x.new"));
    }

    #[test]
    fn headers_survive_encoding_and_any_changed_byte_is_noticed() {
        let header = SegmentHeader {
            log_id: LogId([7; 16]),
            number: 3,
            first_sequence: 99,
            previous_bytes: 1234,
            previous_abandoned: vec![40, 50],
            source: "source".to_owned(),
            context: b"mysql:3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5".to_vec(),
        };
        let encoded = header.encode();
        assert_eq!(encoded.len() as u64, header.encoded_bytes());
        assert_eq!(SegmentHeader::decode(&encoded).unwrap(), header);
        for at in 0..encoded.len() {
            let mut damaged = encoded.clone();
            damaged[at] ^= 1;
            SegmentHeader::decode(&damaged).unwrap_err();
        }
    }

    #[test]
    fn ids_are_read_as_they_are_written() {
        let id = LogId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(LogId::parse(&id.to_string()), Some(id));
        for text in [
            "",
            "log",
            "00010203-0405-0607-0809-0a0b0c0d0e",
            "000102030405060708090a0b0c0d0eff",
        ] {
            assert_eq!(LogId::parse(text), None, "{text}");
        }
    }
}
