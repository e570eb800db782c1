//! Creating and opening a log.

use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::watch;

use crate::blocking::{BlockingLog, Mark, State};
use crate::catalog::{Catalog, FIRST_SEQUENCE};
use crate::encoder::{Encoder, check_length};
use crate::error::LogError;
use crate::files::Files;
use crate::limits::Limits;
use crate::recovery::{Recovered, recover};
use crate::segment::{LogId, MAX_CONTEXT_BYTES, SegmentHeader, create_segment};
use crate::writer::Writer;

impl BlockingLog {
    /// Creates a log in an empty directory.
    pub(crate) fn create(
        files: Arc<dyn Files>,
        log_id: LogId,
        source: &str,
        context: Vec<u8>,
        limits: Limits,
    ) -> Result<BlockingLog, LogError> {
        if recover(files.as_ref())?.is_some() {
            return Err(LogError::AlreadyExists {
                directory: files.path(""),
            });
        }
        check_length("the source identity", source.len(), MAX_CONTEXT_BYTES)?;
        check_length("the context", context.len(), MAX_CONTEXT_BYTES)?;
        let header = SegmentHeader {
            log_id,
            number: 0,
            first_sequence: FIRST_SEQUENCE,
            previous_bytes: 0,
            previous_abandoned: Vec::new(),
            source: source.to_owned(),
            context,
        };
        drop(create_segment(files.as_ref(), &header)?);
        BlockingLog::open(files, limits)
    }

    /// Opens an existing log. A partial transaction at its end is abandoned; if the disk is too
    /// full for the marker, it is written with the next sync.
    pub(crate) fn open(files: Arc<dyn Files>, limits: Limits) -> Result<BlockingLog, LogError> {
        let directory = files.path("");
        let Some(recovered) = recover(files.as_ref())? else {
            return Err(LogError::NotFound { directory });
        };
        let blocking = BlockingLog::from_recovered(files, recovered, limits);
        blocking.abandon_partial()?;
        Ok(blocking)
    }

    fn from_recovered(files: Arc<dyn Files>, recovered: Recovered, limits: Limits) -> BlockingLog {
        let Recovered {
            log_id,
            source,
            segments,
            abandoned,
            file,
            segment,
            next,
        } = recovered;
        let bytes = segments[&segment].bytes;
        let catalog = Catalog { segments, abandoned };
        let start = catalog.encoder_start(log_id, &source, segment, next);
        let mark = Mark {
            complete_below: next.sequence,
            segment,
            bytes,
            state: State::Open,
        };
        let writer = Writer::new(
            Arc::clone(&files),
            file,
            segment,
            log_id.checksum_seed(),
            (bytes, next),
        );
        BlockingLog {
            files,
            log_id,
            source,
            writer: Mutex::new(writer),
            encoder: Mutex::new(Encoder::new(start, limits)),
            catalog: Mutex::new(catalog),
            mark: watch::Sender::new(mark),
            poison: OnceLock::new(),
        }
    }
}
