//! Results as streams of `PartialResultSet`, with resume tokens.

use bytes::Bytes;
use prost::Message;
use prost_types::Timestamp;
use spanferry_spanner_api::spanner::struct_type::Field;
use spanferry_spanner_api::spanner::{
    MultiplexedSessionPrecommitToken, PartialResultSet, ResultSetMetadata, StructType, Transaction, Type,
};
use tonic::codegen::tokio_stream;

use crate::refusal::Refusal;
use crate::server::Messages;

/// Rows of one part of a result.
const PART_ROWS: usize = 500;

/// A whole result.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Name and type of each column.
    pub(crate) columns: Vec<(String, Type)>,
    /// Rows of encoded `Value`s.
    pub(crate) rows: Vec<Vec<Bytes>>,
    /// When it was read, in nanoseconds.
    pub(crate) at: u64,
    /// The newest token of the read-write transaction that it is part of.
    pub(crate) token: Option<MultiplexedSessionPrecommitToken>,
}

/// A time in nanoseconds as the protocol has it.
pub(crate) fn timestamp(at: u64) -> Timestamp {
    let seconds = i64::try_from(at / 1_000_000_000).expect("below 2^63 / 10^9");
    let nanos = i32::try_from(at % 1_000_000_000).expect("below 10^9");
    Timestamp { seconds, nanos }
}

/// The reverse; times before 1970 are 0.
pub(crate) fn nanoseconds(timestamp: Timestamp) -> u64 {
    let seconds = u64::try_from(timestamp.seconds).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(timestamp.nanos).unwrap_or(0)
}

/// The reading time and the next row of a resume token.
pub(crate) fn resume(token: &[u8]) -> Result<Option<(u64, usize)>, Refusal> {
    if token.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(token)
        .ok()
        .and_then(|text| text.split_once(' '));
    let parsed = text.and_then(|(at, row)| Some((at.parse().ok()?, row.parse().ok()?)));
    parsed.map(Some).ok_or_else(Refusal::malformed)
}

impl Answer {
    /// The parts from row `first` on.
    pub(crate) fn stream(self, first: usize) -> Messages {
        let fields = self.columns.into_iter().map(|(name, ty)| Field {
            name,
            r#type: Some(ty),
        });
        let metadata = ResultSetMetadata {
            row_type: Some(StructType {
                fields: fields.collect(),
            }),
            transaction: Some(Transaction {
                read_timestamp: Some(timestamp(self.at)),
                ..Transaction::default()
            }),
            ..ResultSetMetadata::default()
        };
        let mut metadata = Some(metadata);
        let mut token = self.token;
        let rows = self.rows.get(first..).unwrap_or_default();
        let mut parts = Vec::new();
        let mut next = first;
        for chunk in rows.chunks(PART_ROWS).chain(rows.is_empty().then_some(rows)) {
            next += chunk.len();
            let part = PartialResultSet {
                metadata: metadata.take(),
                values: chunk.iter().flatten().cloned().collect(),
                resume_token: format!("{} {next}", self.at).into(),
                precommit_token: token.take(),
                ..PartialResultSet::default()
            };
            parts.push(Ok(Bytes::from(part.encode_to_vec())));
        }
        Box::pin(tokio_stream::iter(parts))
    }
}
