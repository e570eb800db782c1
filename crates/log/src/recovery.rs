//! Opening an existing log: which segments there are, and where the last one really ends.
//!
//! The argument, step by step:
//!
//! 1. A segment is created only after the one before is durable, and names its length. So all but
//!    the last are whole, and any other length is damage.
//! 2. In the last segment, blocks are valid up to some offset X. If a valid block behind X says
//!    that bytes beyond X were durable when it was written, X was promised to a writer: damage, an
//!    error. Otherwise nothing was promised from X on (a sync returns only after everything before
//!    it is durable), and the tail is cut at X.
//! 3. What is valid may still be only in the page cache: of a process that was killed before its
//!    sync, or whose sync failed (after which Linux takes the pages for clean). Therefore
//!    everything from the `durable` of the last block to X is written again with the same bytes,
//!    the length is set again, and both are synced before anything is shown to a reader. Bytes
//!    before it were durable.
//! 4. A transaction without its last piece can only be at the end of the last segment, since
//!    segments change between transactions. It is ended by an "abandoned" marker: the source sends
//!    it again, under a new sequence.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use spanferry_core::port::change_log::PieceKind;

use crate::block::Place;
use crate::error::LogError;
use crate::files::{Files, LogFile, read_exact_at};
use crate::scan::{Cursor, Fault, READ_CHUNK_BYTES, read_blocks, was_durable};
use crate::segment::{LogId, SegmentHeader, is_temporary, segment_name, segment_number};

/// What is known of one segment without reading its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentInfo {
    /// Sequence of its first transaction.
    pub(crate) first_sequence: u64,
    /// Length of its header.
    pub(crate) header_bytes: u64,
    /// Durable length; final unless it is the last segment.
    pub(crate) bytes: u64,
}

/// An opened log.
pub(crate) struct Recovered {
    /// Identity.
    pub(crate) log_id: LogId,
    /// Source identity.
    pub(crate) source: String,
    /// All segments.
    pub(crate) segments: BTreeMap<u64, SegmentInfo>,
    /// All abandoned sequences of these segments, and of the one before them.
    pub(crate) abandoned: BTreeSet<u64>,
    /// The last segment's file.
    pub(crate) file: Box<dyn LogFile>,
    /// The last segment's number.
    pub(crate) segment: u64,
    /// Place of the next piece; in the middle of a sequence if its transaction is partial.
    pub(crate) next: Place,
}

/// Opens the log in a directory; `None` if there is none.
pub(crate) fn recover(files: &dyn Files) -> Result<Option<Recovered>, LogError> {
    let numbers = segment_numbers(files)?;
    let Some(last) = numbers.last().copied() else {
        return Ok(None);
    };
    let mut opened = Opened::default();
    for number in numbers {
        opened.add(files, number)?;
    }
    let Opened {
        header,
        file,
        mut segments,
        abandoned,
        ..
    } = opened;
    let (header, file) = header.zip(file).expect("at least one segment was added");
    let header_bytes = header.encoded_bytes();
    let file_bytes = file
        .len()
        .map_err(|error| LogError::from_io("read", &files.path(&segment_name(last)), error))?;
    let scan = Scan {
        files,
        file: file.as_ref(),
        header: &header,
        end: file_bytes,
    };
    let tail = scan.run()?;
    scan.settle(&tail)
        .map_err(|error| LogError::from_io("settled", &scan.path(), error))?;
    let info = SegmentInfo {
        first_sequence: header.first_sequence,
        header_bytes,
        bytes: tail.cursor.offset,
    };
    segments.insert(last, info);
    let abandoned = abandoned
        .into_iter()
        .chain(tail.abandoned.iter().copied())
        .collect();
    Ok(Some(Recovered {
        log_id: header.log_id,
        source: header.source,
        segments,
        abandoned,
        file,
        segment: last,
        next: tail.cursor.expected,
    }))
}

/// All segment numbers in order, without gaps; left-overs of interrupted creations are removed.
fn segment_numbers(files: &dyn Files) -> Result<Vec<u64>, LogError> {
    let directory = files.path("");
    let names = files
        .list()
        .map_err(|error| LogError::from_io("listed", &directory, error))?;
    for name in names.iter().filter(|name| is_temporary(name)) {
        files
            .remove(name)
            .map_err(|error| LogError::from_io("removed", &files.path(name), error))?;
    }
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    for pair in numbers.windows(2) {
        if pair[0] + 1 != pair[1] {
            return Err(LogError::SegmentMissing {
                segment: files.path(&segment_name(pair[0] + 1)),
            });
        }
    }
    Ok(numbers)
}

/// The segments looked at so far.
#[derive(Default)]
struct Opened {
    header: Option<SegmentHeader>,
    file: Option<Box<dyn LogFile>>,
    file_bytes: u64,
    segments: BTreeMap<u64, SegmentInfo>,
    abandoned: BTreeSet<u64>,
}

impl Opened {
    fn add(&mut self, files: &dyn Files, number: u64) -> Result<(), LogError> {
        let path = files.path(&segment_name(number));
        let file = files
            .open(&segment_name(number))
            .map_err(|error| LogError::from_io("opened", &path, error))?;
        let header = SegmentHeader::read(files, file.as_ref(), number)?;
        if let Some(before) = &self.header {
            self.check_successor(files, before, &header)?;
        }
        let bytes = file
            .len()
            .map_err(|error| LogError::from_io("read", &path, error))?;
        let (first_sequence, header_bytes) = (header.first_sequence, header.encoded_bytes());
        self.segments.insert(
            number,
            SegmentInfo {
                first_sequence,
                header_bytes,
                bytes,
            },
        );
        self.abandoned.extend(&header.previous_abandoned);
        self.file_bytes = bytes;
        self.header = Some(header);
        self.file = Some(file);
        Ok(())
    }

    fn check_successor(
        &self,
        files: &dyn Files,
        before: &SegmentHeader,
        header: &SegmentHeader,
    ) -> Result<(), LogError> {
        if before.log_id != header.log_id || before.source != header.source {
            let reason = format!(
                "it is of log {}, the one before of log {}",
                header.log_id, before.log_id
            );
            return Err(LogError::OutOfOrder {
                segment: files.path(&segment_name(header.number)),
                offset: 16,
                reason,
            });
        }
        if header.first_sequence <= before.first_sequence {
            let reason = format!(
                "it begins with sequence {}, the one before with {}",
                header.first_sequence, before.first_sequence
            );
            return Err(LogError::OutOfOrder {
                segment: files.path(&segment_name(header.number)),
                offset: 40,
                reason,
            });
        }
        if self.file_bytes != header.previous_bytes {
            return Err(LogError::Corrupt {
                segment: files.path(&segment_name(before.number)),
                offset: self.file_bytes.min(header.previous_bytes),
                reason: format!(
                    "it has {} bytes instead of {}",
                    self.file_bytes, header.previous_bytes
                ),
            });
        }
        Ok(())
    }
}

/// The last segment, being read to its end.
struct Scan<'a> {
    files: &'a dyn Files,
    file: &'a dyn LogFile,
    header: &'a SegmentHeader,
    end: u64,
}

/// Where the last segment ends.
struct Tail {
    /// Behind the last valid block.
    cursor: Cursor,
    /// From here on, the bytes may not be on the device.
    unsure: u64,
    /// Abandoned sequences.
    abandoned: Vec<u64>,
}

impl Scan<'_> {
    fn path(&self) -> PathBuf {
        self.files.path(&segment_name(self.header.number))
    }

    /// Reads all blocks: steps 2 and 4.
    fn run(&self) -> Result<Tail, LogError> {
        let seed = self.header.log_id.checksum_seed();
        let start = self.header.encoded_bytes();
        let expected = Place::start(self.header.first_sequence);
        let cursor = Cursor {
            segment: self.header.number,
            offset: start,
            expected,
        };
        let mut tail = Tail {
            cursor,
            unsure: start,
            abandoned: Vec::new(),
        };
        let failed = |error: io::Error| LogError::from_io("read", &self.path(), error);
        let mut memory = Bytes::new();
        while tail.cursor.offset < self.end {
            let chunk = read_blocks(self.file, seed, tail.cursor, self.end, &mut memory).map_err(failed)?;
            for block in chunk.blocks {
                let markers = block
                    .pieces
                    .iter()
                    .filter(|piece| piece.kind == PieceKind::Abandoned);
                tail.abandoned.extend(markers.map(|piece| piece.sequence));
                tail.unsure = block.header.durable.max(start);
                tail.cursor = block.next;
            }
            let Some(fault) = chunk.fault else { continue };
            self.judge(fault, &tail)?;
            break;
        }
        Ok(tail)
    }

    /// A partial tail is fine, anything else is an error.
    fn judge(&self, fault: Fault, tail: &Tail) -> Result<(), LogError> {
        let (segment, offset) = (self.path(), tail.cursor.offset);
        let seed = self.header.log_id.checksum_seed();
        match fault {
            Fault::OutOfOrder(reason) => Err(LogError::OutOfOrder {
                segment,
                offset,
                reason,
            }),
            Fault::Damaged(reason) => {
                let durable = was_durable(self.file, seed, tail.cursor, self.end)
                    .map_err(|error| LogError::from_io("read", &segment, error))?;
                if durable {
                    return Err(LogError::Corrupt {
                        segment,
                        offset,
                        reason,
                    });
                }
                let cut_bytes = self.end - offset;
                tracing::info!(segment = %segment.display(), offset, cut_bytes, reason, "a partial tail of the change log is cut");
                Ok(())
            }
        }
    }

    /// Cuts the tail and makes sure of what is left: step 3.
    fn settle(&self, tail: &Tail) -> io::Result<()> {
        // The length is set in any case, and to another one first: an earlier cut may have been
        // lost by a failed sync.
        self.file.set_len(tail.cursor.offset + 1)?;
        self.file.set_len(tail.cursor.offset)?;
        let mut at = tail.unsure;
        while at < tail.cursor.offset {
            let bytes = (tail.cursor.offset - at).min(READ_CHUNK_BYTES as u64);
            let mut buffer = vec![0_u8; usize::try_from(bytes).expect("a chunk fits")];
            read_exact_at(self.file, &mut buffer, at)?;
            self.file.write_all_at(&buffer, at)?;
            at += bytes;
        }
        self.file.sync()?;
        self.files.sync_directory()
    }
}
