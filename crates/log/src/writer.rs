//! The writing side: brings encoded blocks and segment headers to the device, in order, with one
//! sync for many blocks.

use std::collections::VecDeque;
use std::sync::Arc;

use spanferry_kill_point::kill_point;

use crate::block::Place;
use crate::encoder::{Operation, PendingBlock};
use crate::error::LogError;
use crate::files::{Files, LogFile};
use crate::recovery::SegmentInfo;
use crate::segment::{SegmentHeader, create_segment, segment_name};

/// What has become durable, to be published.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    /// Blocks of the current segment.
    Blocks {
        /// Segment.
        segment: u64,
        /// Its durable length now.
        bytes: u64,
        /// How many of them are new.
        added: u64,
        /// First sequence that is not complete.
        complete_below: u64,
        /// Sequences that turned out to be abandoned.
        abandoned: Vec<u64>,
        /// The blocks' memory, no longer needed.
        memory: Vec<Vec<u8>>,
    },
    /// A new segment.
    Segment {
        /// Its number.
        number: u64,
        /// What is known of it.
        info: SegmentInfo,
    },
}

/// The writing side.
pub(crate) struct Writer {
    files: Arc<dyn Files>,
    file: Box<dyn LogFile>,
    segment: u64,
    seed: u32,
    durable: u64,
    next: Place,
    queue: VecDeque<Operation>,
}

impl Writer {
    /// A writer that continues at the end of a segment whose `durable` bytes are durable; `next` is
    /// the place behind them.
    pub(crate) fn new(
        files: Arc<dyn Files>,
        file: Box<dyn LogFile>,
        segment: u64,
        seed: u32,
        (durable, next): (u64, Place),
    ) -> Writer {
        Writer {
            files,
            file,
            segment,
            seed,
            durable,
            next,
            queue: VecDeque::new(),
        }
    }

    /// Place behind the last durable piece.
    pub(crate) fn next(&self) -> Place {
        self.next
    }

    /// The current durable segment.
    pub(crate) fn segment(&self) -> u64 {
        self.segment
    }

    /// Forgets what is not durable, for good: no crash brings back what an earlier failed write
    /// left.
    pub(crate) fn discard(&mut self) -> Result<(), LogError> {
        self.queue.clear();
        let failed = |error| {
            LogError::poisoned(format!(
                "cutting segment {} of the change log: {error}",
                self.segment
            ))
        };
        self.file
            .set_len(self.durable)
            .and_then(|()| self.file.sync())
            .map_err(failed)
    }

    /// Takes over operations, behind those that still wait.
    pub(crate) fn enqueue(&mut self, operations: VecDeque<Operation>) {
        self.queue.extend(operations);
    }

    /// Writes and syncs everything that waits. `DiskFull`: what was not yet durable waits again,
    /// the file is cut back to its durable length, and `flush` may be repeated. Any other error:
    /// the state of the file is unknown, poison.
    pub(crate) fn flush(&mut self, mut publish: impl FnMut(Durable)) -> Result<(), LogError> {
        while let Some(operation) = self.queue.front() {
            match operation {
                Operation::Block(_) => publish(self.flush_blocks()?),
                Operation::Segment(_) => publish(self.start_segment()?),
            }
        }
        Ok(())
    }

    /// The blocks at the front of the queue, with one sync.
    fn flush_blocks(&mut self) -> Result<Durable, LogError> {
        let (segment, durable, seed) = (self.segment, self.durable, self.seed);
        let mut end = durable;
        for operation in &mut self.queue {
            let Operation::Block(block) = operation else { break };
            end = write_block(self.file.as_ref(), block, durable, seed)
                .map_err(|error| {
                    LogError::from_io("written", &self.files.path(&segment_name(segment)), error)
                })
                .or_else(|error| cut_back(self.file.as_ref(), durable, error))?;
        }
        kill_point("after log write", "");
        self.file.sync().or_else(|error| {
            let error = LogError::from_io("synced", &self.files.path(&segment_name(segment)), error);
            if error.is_space() {
                // Some file systems give out room only now. Nothing of these blocks is relied on:
                // all are written again.
                return cut_back(self.file.as_ref(), durable, error);
            }
            Err(LogError::poisoned(error_chain(&error)))
        })?;
        self.durable = end;
        Ok(self.settle_blocks(end - durable))
    }

    /// Forgets the blocks that are now durable.
    fn settle_blocks(&mut self, added: u64) -> Durable {
        let (mut abandoned, mut memory) = (Vec::new(), Vec::new());
        while let Some(Operation::Block(_)) = self.queue.front() {
            if let Some(Operation::Block(block)) = self.queue.pop_front() {
                self.next = block.end;
                abandoned.extend(block.abandoned);
                memory.push(block.bytes);
            }
        }
        let (segment, bytes, complete_below) = (self.segment, self.durable, self.next.sequence);
        Durable::Blocks {
            segment,
            bytes,
            added,
            complete_below,
            abandoned,
            memory,
        }
    }

    fn start_segment(&mut self) -> Result<Durable, LogError> {
        let Some(Operation::Segment(header)) = self.queue.front() else {
            unreachable!("the caller looked at the front");
        };
        let SegmentHeader {
            number,
            first_sequence,
            ..
        } = *header;
        let header_bytes = header.encoded_bytes();
        self.file = create_segment(self.files.as_ref(), header)?;
        self.queue.pop_front();
        self.segment = number;
        self.durable = header_bytes;
        let info = SegmentInfo {
            first_sequence,
            header_bytes,
            bytes: header_bytes,
        };
        Ok(Durable::Segment { number, info })
    }
}

/// Completes and writes one block; the end of it.
fn write_block(
    file: &dyn LogFile,
    block: &mut PendingBlock,
    durable: u64,
    seed: u32,
) -> std::io::Result<u64> {
    block.header.durable = durable;
    block.header.seal(seed, &mut block.bytes);
    file.write_all_at(&block.bytes, block.header.offset)?;
    Ok(block.header.offset + block.bytes.len() as u64)
}

/// After a failed write or sync: a full disk leaves the durable bytes only, anything else (also if
/// cutting fails) is poison.
fn cut_back<T>(file: &dyn LogFile, durable: u64, error: LogError) -> Result<T, LogError> {
    match (&error, file.set_len(durable)) {
        (LogError::DiskFull { .. }, Ok(())) => Err(error),
        (_, Ok(())) => Err(LogError::poisoned(error_chain(&error))),
        (_, Err(cut)) => Err(LogError::poisoned(format!(
            "{}; cutting it back: {cut}",
            error_chain(&error)
        ))),
    }
}

/// An error and its cause in one line.
pub(crate) fn error_chain(error: &LogError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
