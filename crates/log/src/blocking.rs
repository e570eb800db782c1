//! The log without a runtime: appending, syncing, trimming, look-ups; all blocking.
//!
//! Locks are taken in the order writer, encoder, catalog; the encoder's is never held during a file
//! operation, so pieces are taken while a sync runs.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use spanferry_core::port::change_log::{LogUsage, Sequence};
use tokio::sync::watch;

use crate::block::PieceParts;
use crate::catalog::Catalog;
use crate::encoder::{Appended, Encoder};
use crate::error::LogError;
use crate::files::{Files, LOCK_NAME};
use crate::recovery::SegmentInfo;
use crate::segment::{LogId, SegmentHeader, segment_name, temporary_name};
use crate::writer::{Durable, Writer, error_chain};

/// How far readers may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// First sequence that is not complete and durable.
    pub(crate) complete_below: u64,
    /// The last durable segment.
    pub(crate) segment: u64,
    /// Its durable length.
    pub(crate) bytes: u64,
    /// Whether the mark can still move.
    pub(crate) state: State,
}

/// Whether the log takes pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It does.
    Open,
    /// Not since a failure.
    Poisoned,
    /// It was closed or dropped.
    Closed,
}

/// What a decoder needs to start at a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentContext {
    /// The segment.
    pub(crate) segment: u64,
    /// The first transaction the context is good for: read from here on to reach any later one of
    /// the segment.
    pub(crate) first_sequence: u64,
    /// The bytes given when the segment was opened.
    pub(crate) context: Vec<u8>,
}

/// The log. All methods block, and may be called from many threads.
pub(crate) struct BlockingLog {
    /// The directory.
    pub(crate) files: Arc<dyn Files>,
    /// Identity.
    pub(crate) log_id: LogId,
    /// Name of the source.
    pub(crate) source: String,
    /// The writing side.
    pub(crate) writer: Mutex<Writer>,
    /// The appending side.
    pub(crate) encoder: Mutex<Encoder>,
    /// What is durable.
    pub(crate) catalog: Mutex<Catalog>,
    /// How far readers may go.
    pub(crate) mark: watch::Sender<Mark>,
    /// Why nothing is taken any more.
    pub(crate) poison: OnceLock<LogError>,
}

/// What is durable stays so, and segments follow each other.
fn expect_forward(mark: Mark, durable: &Durable) {
    match durable {
        Durable::Blocks {
            segment,
            bytes,
            complete_below,
            ..
        } => {
            assert_eq!(*segment, mark.segment, "blocks go to the last segment");
            assert!(*bytes >= mark.bytes, "a segment does not shrink");
            assert!(
                *complete_below >= mark.complete_below,
                "a complete transaction stays complete"
            );
        }
        Durable::Segment { number, .. } => assert!(*number > mark.segment, "segments are numbered upwards"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("no thread panics while holding a lock of the log")
}

impl BlockingLog {
    /// Forgets what was taken and is not durable, and abandons a transaction that is durable in
    /// part: the log is as after a crash and a new opening.
    pub(crate) fn discard(&self) -> Result<(), LogError> {
        let mut writer = lock(&self.writer);
        self.check_poison()?;
        writer.discard().map_err(|error| self.note(error))?;
        let start =
            lock(&self.catalog).encoder_start(self.log_id, &self.source, writer.segment(), writer.next());
        let mut encoder = lock(&self.encoder);
        *encoder = Encoder::new(start, encoder.limits());
        drop((encoder, writer));
        self.abandon_partial()
    }

    /// Ends an open transaction; on a full disk the marker waits for the next sync.
    pub(crate) fn abandon_partial(&self) -> Result<(), LogError> {
        if self.abandon()?.is_none() {
            return Ok(());
        }
        match self.sync() {
            Err(error) if error.is_space() => {
                tracing::warn!(%error, "the end of a partial transaction is marked with the next sync");
                Ok(())
            }
            result => result,
        }
    }

    /// Identity.
    pub(crate) fn log_id(&self) -> LogId {
        self.log_id
    }

    /// Source identity.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The directory.
    pub(crate) fn files(&self) -> &dyn Files {
        self.files.as_ref()
    }

    /// A view of the mark that can be awaited.
    pub(crate) fn watch(&self) -> watch::Receiver<Mark> {
        self.mark.subscribe()
    }

    /// Takes pieces into memory, all or none. `context` is asked with the index of a piece that
    /// opens a new segment.
    pub(crate) fn append(
        &self,
        pieces: &[PieceParts<'_>],
        context: impl FnMut(usize) -> Vec<u8>,
    ) -> Result<Appended, LogError> {
        self.check_poison()?;
        lock(&self.encoder).append(pieces, context)
    }

    /// Opens a new segment with the next sync if no transaction is open, however short the last one
    /// is: the last one is never trimmed.
    pub(crate) fn seal(&self, context: impl FnOnce() -> Vec<u8>) -> Result<(), LogError> {
        self.check_poison()?;
        lock(&self.encoder).seal(context)
    }

    /// Ends the open sequence, if there is one, with a marker; the sequence.
    pub(crate) fn abandon(&self) -> Result<Option<u64>, LogError> {
        self.check_poison()?;
        Ok(lock(&self.encoder).abandon())
    }

    /// Makes everything durable that was taken before the call. `DiskFull`: repeat it when space is
    /// back.
    pub(crate) fn sync(&self) -> Result<(), LogError> {
        let mut writer = lock(&self.writer);
        self.check_poison()?;
        writer.enqueue(lock(&self.encoder).take_pending());
        writer
            .flush(|durable| self.publish(durable))
            .map_err(|error| self.note(error))
    }

    /// Keeps a failure other than a full disk as the reason why nothing works any more.
    fn note(&self, error: LogError) -> LogError {
        if error.is_space() {
            return error;
        }
        let poison = match error {
            LogError::Poisoned { cause } => LogError::Poisoned { cause },
            error => LogError::poisoned(error_chain(&error)),
        };
        self.poison(poison)
    }

    /// Takes no more pieces from now on; the first reason is kept.
    pub(crate) fn poison(&self, reason: LogError) -> LogError {
        let kept = self.poison.get_or_init(|| reason).clone();
        self.set_state(State::Poisoned);
        kept
    }

    /// The reason, if it takes no more pieces.
    pub(crate) fn check_poison(&self) -> Result<(), LogError> {
        match self.poison.get() {
            Some(reason) => Err(reason.clone()),
            None => Ok(()),
        }
    }

    /// Wakes waiting readers: nothing more will come.
    pub(crate) fn set_state(&self, state: State) {
        self.mark.send_modify(|mark| mark.state = state);
    }

    fn publish(&self, durable: Durable) {
        expect_forward(*self.mark.borrow(), &durable);
        let mut catalog = lock(&self.catalog);
        match durable {
            Durable::Blocks {
                segment,
                bytes,
                added,
                complete_below,
                abandoned,
                memory,
            } => {
                catalog.abandoned.extend(abandoned);
                if let Some(info) = catalog.segments.get_mut(&segment) {
                    info.bytes = bytes;
                }
                drop(catalog);
                let mut encoder = lock(&self.encoder);
                encoder.synced(added);
                encoder.reuse(memory);
                drop(encoder);
                self.mark.send_modify(|mark| {
                    (mark.bytes, mark.complete_below) = (bytes, complete_below);
                });
            }
            Durable::Segment { number, info } => {
                catalog.segments.insert(number, info);
                drop(catalog);
                lock(&self.encoder).synced(info.bytes);
                self.mark
                    .send_modify(|mark| (mark.segment, mark.bytes) = (number, info.bytes));
            }
        }
    }

    /// Removes segments all of whose sequences are below `sequence`, oldest first, never the last
    /// one; how many bytes.
    pub(crate) fn trim(&self, sequence: u64) -> Result<u64, LogError> {
        let _writer = lock(&self.writer);
        let removable = lock(&self.catalog).removable(sequence);
        let mut removed = 0;
        for (number, bytes) in &removable {
            let name = segment_name(*number);
            self.files
                .remove(&name)
                .map_err(|error| LogError::from_io("removed", &self.files.path(&name), error))?;
            lock(&self.catalog).remove(*number);
            lock(&self.encoder).removed(*bytes);
            removed += bytes;
        }
        if !removable.is_empty() {
            let directory = self.files.path("");
            self.files
                .sync_directory()
                .map_err(|error| LogError::from_io("synced", &directory, error))?;
        }
        Ok(removed)
    }

    /// Removes the whole log, oldest segment first: what a crash leaves is a trimmed log, never a
    /// rewound one.
    pub(crate) fn erase(&self) -> Result<(), LogError> {
        let writer = lock(&self.writer);
        drop(self.poison(LogError::poisoned("the change log was erased")));
        let numbers: Vec<u64> = lock(&self.catalog).segments.keys().copied().collect();
        let pending = numbers.last().map(|last| temporary_name(last + 1));
        let removed = numbers
            .iter()
            .map(|number| segment_name(*number))
            .chain(pending)
            .chain([LOCK_NAME.to_owned()]);
        for name in removed {
            match self.files.remove(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(LogError::from_io("removed", &self.files.path(&name), error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        let directory = self.files.path("");
        self.files
            .sync_directory()
            .map_err(|error| LogError::from_io("synced", &directory, error))?;
        drop(writer);
        Ok(())
    }

    /// Bytes, budget and ends.
    pub(crate) fn usage(&self) -> LogUsage {
        let (bytes, budget_bytes) = {
            let encoder = lock(&self.encoder);
            (encoder.log_bytes(), encoder.limits().budget_bytes)
        };
        let durable = Sequence(self.last_complete(self.mark().complete_below));
        LogUsage {
            bytes,
            budget_bytes,
            oldest: Sequence(self.oldest()),
            durable,
        }
    }

    /// Bytes of all segments without those that wait for a sync.
    #[cfg(test)]
    pub(crate) fn durable_bytes(&self) -> u64 {
        lock(&self.catalog).segments.values().map(|info| info.bytes).sum()
    }

    /// How far readers may go now.
    pub(crate) fn mark(&self) -> Mark {
        *self.mark.borrow()
    }

    /// The last sequence below `below` that is not abandoned; 0 if there is none.
    pub(crate) fn last_complete(&self, below: u64) -> u64 {
        let catalog = lock(&self.catalog);
        let mut sequence = below.saturating_sub(1);
        while sequence > 0 && catalog.abandoned.contains(&sequence) {
            sequence -= 1;
        }
        sequence
    }

    /// The segment that holds a sequence, or will hold it if it is the next.
    pub(crate) fn segment_of(&self, sequence: u64) -> Result<(u64, SegmentInfo), LogError> {
        let next = self.mark().complete_below;
        if sequence > next {
            return Err(LogError::NotYet { sequence, next });
        }
        let catalog = lock(&self.catalog);
        let found = catalog
            .segments
            .iter()
            .rev()
            .find(|(_, info)| info.first_sequence <= sequence);
        let oldest = catalog.oldest();
        found
            .map(|(number, info)| (*number, *info))
            .ok_or(LogError::Trimmed { sequence, oldest })
    }

    /// A segment by its number; `None` if it was trimmed or is not there yet.
    pub(crate) fn segment_info(&self, number: u64) -> Option<SegmentInfo> {
        lock(&self.catalog).segments.get(&number).copied()
    }

    /// The first sequence of every segment, ascending.
    pub(crate) fn first_sequences(&self) -> Vec<u64> {
        let catalog = lock(&self.catalog);
        catalog
            .segments
            .values()
            .map(|info| info.first_sequence)
            .collect()
    }

    /// The oldest sequence that is kept.
    pub(crate) fn oldest(&self) -> u64 {
        lock(&self.catalog).oldest()
    }

    /// Whether a sequence is abandoned.
    pub(crate) fn is_abandoned(&self, sequence: u64) -> bool {
        lock(&self.catalog).abandoned.contains(&sequence)
    }

    /// The context of the segment that holds a sequence.
    pub(crate) fn context(&self, sequence: u64) -> Result<SegmentContext, LogError> {
        let (number, info) = self.segment_of(sequence)?;
        let path = self.files.path(&segment_name(number));
        let file = self
            .files
            .open(&segment_name(number))
            .map_err(|error| match error.kind() {
                // Trimmed between the look-up and now.
                std::io::ErrorKind::NotFound => LogError::Trimmed {
                    sequence,
                    oldest: self.oldest(),
                },
                _ => LogError::from_io("opened", &path, error),
            })?;
        let header = SegmentHeader::read(self.files.as_ref(), file.as_ref(), number)?;
        Ok(SegmentContext {
            segment: number,
            first_sequence: info.first_sequence,
            context: header.context,
        })
    }
}
