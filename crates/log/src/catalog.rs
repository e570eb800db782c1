//! What is known of the segments and abandoned sequences without reading files.

use std::collections::{BTreeMap, BTreeSet};

use crate::block::Place;
use crate::encoder::EncoderStart;
use crate::recovery::SegmentInfo;
use crate::segment::LogId;

/// Sequences start at 1, so that 0 can mean "nothing yet" in a fence row.
pub(crate) const FIRST_SEQUENCE: u64 = 1;

/// The durable segments.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// By number, without gaps; never empty.
    pub(crate) segments: BTreeMap<u64, SegmentInfo>,
    /// Abandoned sequences of these segments, and of the last one that was removed.
    pub(crate) abandoned: BTreeSet<u64>,
}

impl Catalog {
    /// The oldest sequence that is kept.
    pub(crate) fn oldest(&self) -> u64 {
        self.segments
            .values()
            .next()
            .map_or(FIRST_SEQUENCE, |info| info.first_sequence)
    }

    /// Segments whose successor begins at or below `sequence`.
    pub(crate) fn removable(&self, sequence: u64) -> Vec<(u64, u64)> {
        let successors = self.segments.values().skip(1);
        let old = self
            .segments
            .iter()
            .zip(successors)
            .take_while(|(_, next)| next.first_sequence <= sequence);
        old.map(|((number, info), _)| (*number, info.bytes)).collect()
    }

    /// Forgets a segment. Its abandoned sequences are kept: the last complete one may lie before
    /// them.
    pub(crate) fn remove(&mut self, number: u64) {
        if let Some(info) = self.segments.remove(&number) {
            self.abandoned = self.abandoned.split_off(&info.first_sequence);
        }
    }

    /// An encoder that continues behind what is durable.
    pub(crate) fn encoder_start(
        &self,
        log_id: LogId,
        source: &str,
        segment: u64,
        next: Place,
    ) -> EncoderStart {
        let last = self.segments[&segment];
        EncoderStart {
            log_id,
            source: source.to_owned(),
            segment,
            offset: last.bytes,
            segment_used: last.bytes > last.header_bytes,
            abandoned: self.abandoned.range(last.first_sequence..).copied().collect(),
            next,
            log_bytes: self.segments.values().map(|info| info.bytes).sum(),
        }
    }
}
