//! What the database says of itself: its catalog, and rows by its own count.

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::KeyInterval;
use spanferry_core::report::failure::Failure;
use spanferry_core::verify::witness::{Counted, TargetColumns, TargetWitness};
use tokio::time::Instant;

use super::SpannerTarget;
use super::count::count_query;
use crate::error::SpannerError;
use crate::failure::failure;
use crate::read::{Keys, Read, ReadAt, STREAM_DEADLINE};
use crate::row::Cells;

impl TargetWitness for SpannerTarget {
    async fn columns(&self) -> Result<TargetColumns, Failure> {
        let found = self.client.column_names("").await.map_err(failure)?;
        let tables = found.into_iter();
        Ok(tables
            .map(|(table, columns)| (table, columns.into_iter().collect()))
            .collect())
    }

    async fn count(&self, table: &Arc<TablePlan>, keys: KeyInterval<'_>) -> Result<Counted, Failure> {
        let object = format!("table {}", table.target.name);
        let Some(query) = count_query(table, keys, self.dialect().await?) else {
            return Ok(Counted::TooLong);
        };
        // The timestamp is chosen first, so that a count that outlives it is known as that.
        let at = self.present(&object, table).await.map_err(failure)?;
        let begun = Instant::now();
        let rows = match self.client.aggregate(&object, query, at).await {
            Ok(rows) => rows.collect().await.map_err(failure)?,
            Err(SpannerError::Expired { .. }) => return Ok(Counted::TooLong),
            Err(_) if begun.elapsed() >= STREAM_DEADLINE => return Ok(Counted::TooLong),
            Err(error) => return Err(failure(error)),
        };
        let count = match rows.as_slice() {
            [row] => Cells::new(row).number().ok(),
            _ => None,
        };
        count.map(Counted::Rows).ok_or_else(|| {
            let object = self.client.object(&object);
            failure(SpannerError::malformed(object, "one row with a count"))
        })
    }
}

impl SpannerTarget {
    /// A timestamp of the present, by a read of at most one row.
    async fn present(&self, object: &str, table: &TablePlan) -> Result<ReadAt, SpannerError> {
        let mut read = Read::new(&table.target.name, table.column_names().take(1), Keys::All);
        read.limit = 1;
        let rows = self.client.read(object, &read, ReadAt::Strong).await?;
        let at = rows.read_timestamp();
        at.map(ReadAt::Exact)
            .ok_or_else(|| SpannerError::malformed(self.client.object(object), "a read timestamp"))
    }
}
