//! What the database says of itself: its catalog, and rows by its own count.

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::report::failure::Failure;
use spanferry_core::schema::ddl;
use spanferry_core::verify::witness::{TableColumns, TargetWitness};

use super::SpannerTarget;
use crate::error::SpannerError;
use crate::failure::failure;
use crate::row::Cells;

impl TargetWitness for SpannerTarget {
    async fn columns(&self) -> Result<TableColumns, Failure> {
        let found = self.client.column_names("").await.map_err(failure)?;
        let tables = found.into_iter();
        Ok(tables
            .map(|(table, columns)| (table, columns.into_iter().collect()))
            .collect())
    }

    async fn count(&self, table: &Arc<TablePlan>) -> Result<u64, Failure> {
        let name = &table.target.name;
        let sql = format!("SELECT COUNT(*) FROM {}", ddl::quote(name, self.dialect().await?));
        let rows = self.client.aggregate(&format!("table {name}"), &sql).await;
        let rows = rows.map_err(failure)?.collect().await.map_err(failure)?;
        let count = match rows.as_slice() {
            [row] => Cells::new(row).number().ok(),
            _ => None,
        };
        count.ok_or_else(|| {
            let object = self.client.object(&format!("table {name}"));
            failure(SpannerError::malformed(object, "one row with a count"))
        })
    }
}
