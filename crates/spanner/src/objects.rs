//! Which tables, indexes and foreign keys a database has, without their definitions.

use std::collections::BTreeSet;

use spanferry_core::target::SchemaObjects;
use spanferry_core::target_schema::Dialect;

use crate::catalog::{SYSTEM_SCHEMAS, qualified};
use crate::client::Client;
use crate::control::PREFIX;
use crate::error::SpannerError;

impl Client {
    /// Reads which tables, indexes and foreign keys there are.
    pub(crate) async fn schema_objects(&self, dialect: Dialect) -> Result<SchemaObjects, SpannerError> {
        let managed = match dialect {
            Dialect::GoogleSql => "FALSE",
            Dialect::PostgreSql => "'NO'",
        };
        let tables = format!(
            "SELECT table_schema, table_name FROM information_schema.tables \
             WHERE table_type = 'BASE TABLE' AND table_schema NOT IN {SYSTEM_SCHEMAS}"
        );
        let indexes = format!(
            "SELECT table_schema, index_name FROM information_schema.indexes \
             WHERE index_type <> 'PRIMARY_KEY' AND spanner_is_managed = {managed} AND table_schema NOT IN {SYSTEM_SCHEMAS}"
        );
        let foreign_keys = format!(
            "SELECT constraint_schema, constraint_name FROM information_schema.referential_constraints \
             WHERE constraint_schema NOT IN {SYSTEM_SCHEMAS}"
        );
        let mut tables = self.names(&tables).await?;
        tables.retain(|name| !name.starts_with(PREFIX));
        Ok(SchemaObjects {
            tables,
            indexes: self.names(&indexes).await?,
            foreign_keys: self.names(&foreign_keys).await?,
        })
    }

    /// The names that a query brings, each with its schema.
    async fn names(&self, sql: &str) -> Result<BTreeSet<String>, SpannerError> {
        let rows = self.rows(sql).await?;
        let names = self.each(&rows, |cells| Ok(qualified(cells.text()?, cells.text()?)))?;
        Ok(names.into_iter().collect())
    }
}
