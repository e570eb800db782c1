//! A scan of one table.

use bytes::Bytes;
use prost_types::Timestamp;
use spanferry_core::port::target::{
    CommitTimestamp, KeyInterval, ScanAt, ScanKey, ScanRequest, Scanned, TargetScan,
};
use spanferry_core::report::failure::Failure;
use spanferry_core::wire::rows::RowBatch;
use spanferry_spanner_api::spanner::KeyRange;
use spanferry_spanner_api::spanner::key_range::{EndKeyType, StartKeyType};

use crate::client::Client;
use crate::commit::timestamp;
use crate::error::SpannerError;
use crate::failure::failure;
use crate::read::{Keys, Read, ReadAt, RowStream};

/// A scan of one table at one timestamp. Rows come in the order of the primary key: that is the
/// order of `StreamingRead` unless another is asked for (`ReadRequest.order_by`, spanner.proto).
#[derive(Debug)]
pub struct SpannerScan {
    /// None once the server does not keep its version any more.
    rows: Option<RowStream>,
    /// The timestamp that was asked for.
    asked: Option<CommitTimestamp>,
    /// A row that did not fit into the last batch.
    held: Option<Bytes>,
}

impl SpannerScan {
    pub(super) async fn open(client: &Client, request: &ScanRequest<'_>) -> Result<SpannerScan, Failure> {
        let plan = request.table;
        let read = Read::new(&plan.target.name, plan.column_names(), keys(request.keys));
        let asked = match request.at {
            ScanAt::Now => None,
            ScanAt::Exactly(at) => Some(at),
        };
        let at = asked.map_or(ReadAt::Strong, |at| ReadAt::Exact(proto_timestamp(at)));
        let object = format!("table {}", plan.target.name);
        let rows = unless_expired(client.read(&object, &read, at).await)?;
        let held = None;
        Ok(SpannerScan { rows, asked, held })
    }

    /// The next row; none at the end, or once the version is not kept any more.
    async fn row(&mut self) -> Result<Option<Bytes>, Failure> {
        if let Some(row) = self.held.take() {
            return Ok(Some(row));
        }
        let Some(rows) = &mut self.rows else {
            return Ok(None);
        };
        match unless_expired(rows.next().await)? {
            Some(row) => Ok(row),
            None => {
                self.rows = None;
                Ok(None)
            }
        }
    }
}

impl TargetScan for SpannerScan {
    fn at(&self) -> Option<CommitTimestamp> {
        let read = self.rows.as_ref().and_then(RowStream::read_timestamp);
        self.asked.or(read.map(timestamp))
    }

    async fn next(&mut self, into: &mut RowBatch, bytes_max: usize) -> Result<Scanned, Failure> {
        into.clear();
        while let Some(row) = self.row().await? {
            if !into.is_empty() && into.byte_len() + row.len() > bytes_max {
                self.held = Some(row);
                break;
            }
            into.push(&row);
        }
        Ok(match (into.is_empty(), &self.rows) {
            (false, _) => Scanned::Rows,
            (true, Some(_)) => Scanned::End,
            (true, None) => Scanned::Expired,
        })
    }
}

/// None if the server does not keep the version any more.
fn unless_expired<T>(answer: Result<T, SpannerError>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(SpannerError::Expired { .. }) => Ok(None),
        Err(error) => Err(failure(error)),
    }
}

fn keys(interval: KeyInterval<'_>) -> Keys {
    let KeyInterval { after, up_to } = interval;
    if after.is_none() && up_to.is_none() {
        return Keys::All;
    }
    // A closed end without cells is the end of the table.
    let payload = |key: &ScanKey| Bytes::copy_from_slice(key.payload());
    let start = after.map_or(StartKeyType::StartClosed(Bytes::new()), |key| {
        StartKeyType::StartOpen(payload(key))
    });
    let end = EndKeyType::EndClosed(up_to.map(payload).unwrap_or_default());
    Keys::Ranges(vec![KeyRange {
        start_key_type: Some(start),
        end_key_type: Some(end),
    }])
}

fn proto_timestamp(at: CommitTimestamp) -> Timestamp {
    Timestamp {
        seconds: at.seconds,
        nanos: i32::try_from(at.nanoseconds).expect("nanoseconds are below 1,000,000,000"),
    }
}
