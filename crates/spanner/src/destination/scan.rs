//! A scan of one table.

use bytes::Bytes;
use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::TargetScan;
use spanferry_core::report::failure::Failure;
use spanferry_core::wire::rows::RowBatch;

use crate::client::Client;
use crate::failure::failure;
use crate::read::{Keys, Read, ReadAt, RowStream};

/// A scan of one table at one timestamp.
#[derive(Debug)]
pub struct SpannerScan {
    rows: RowStream,
    /// A row that did not fit into the last batch.
    held: Option<Bytes>,
}

impl SpannerScan {
    pub(super) async fn open(client: &Client, plan: &TablePlan) -> Result<SpannerScan, Failure> {
        let target = &plan.target;
        let read = Read::new(&target.name, plan.column_names(), Keys::All);
        let rows = client
            .read(&format!("table {}", target.name), &read, ReadAt::Strong)
            .await;
        Ok(SpannerScan {
            rows: rows.map_err(failure)?,
            held: None,
        })
    }
}

impl TargetScan for SpannerScan {
    async fn next(&mut self, into: &mut RowBatch, bytes_max: usize) -> Result<bool, Failure> {
        into.clear();
        loop {
            let row = match self.held.take() {
                Some(row) => row,
                None => match self.rows.next().await.map_err(failure)? {
                    Some(row) => row,
                    None => return Ok(!into.is_empty()),
                },
            };
            if !into.is_empty() && into.byte_len() + row.len() > bytes_max {
                self.held = Some(row);
                return Ok(true);
            }
            into.push(&row);
        }
    }
}
