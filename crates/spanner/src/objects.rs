//! Which tables, indexes and foreign keys a database has, without their definitions.

use std::collections::BTreeSet;

use spanferry_core::port::target::SchemaObjects;
use spanferry_core::schema::target::Dialect;

use crate::catalog::{SYSTEM_SCHEMAS, qualified};
use crate::client::Client;
use crate::control::PREFIX;
use crate::error::SpannerError;

/// The state of an index that reads and writes use. Before it, an index is being created and
/// filled, or it is being removed because it could not be filled.
const INDEX_READY: &str = "READ_WRITE";
/// The state of a foreign key whose indexes are filled and whose rows are checked.
const FOREIGN_KEY_READY: &str = "COMMITTED";

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
            "SELECT table_schema, index_name, index_state FROM information_schema.indexes \
             WHERE index_type <> 'PRIMARY_KEY' AND spanner_is_managed = {managed} AND table_schema NOT IN {SYSTEM_SCHEMAS}"
        );
        let foreign_keys = format!(
            "SELECT constraint_schema, constraint_name, spanner_state FROM information_schema.referential_constraints \
             WHERE constraint_schema NOT IN {SYSTEM_SCHEMAS}"
        );
        let mut objects = SchemaObjects {
            tables: self.names(&tables).await?,
            ..SchemaObjects::default()
        };
        objects.tables.retain(|name| !name.starts_with(PREFIX));
        for (name, state) in self.states(&indexes).await? {
            if state.is_some_and(|state| state != INDEX_READY) {
                objects.unfinished.insert(name.clone());
            }
            objects.indexes.insert(name);
        }
        for (name, state) in self.states(&foreign_keys).await? {
            if state.is_some_and(|state| state != FOREIGN_KEY_READY) {
                objects.unfinished.insert(name.clone());
            }
            objects.foreign_keys.insert(name);
        }
        Ok(objects)
    }

    /// The names that a query brings, each with the state in which its object is.
    async fn states(&self, sql: &str) -> Result<Vec<(String, Option<String>)>, SpannerError> {
        let rows = self.rows(sql).await?;
        self.each(&rows, |cells| {
            let name = qualified(cells.text()?, cells.text()?);
            Ok((name, cells.optional_text()?.map(str::to_owned)))
        })
    }

    /// The names that a query brings, each with its schema.
    async fn names(&self, sql: &str) -> Result<BTreeSet<String>, SpannerError> {
        let rows = self.rows(sql).await?;
        let names = self.each(&rows, |cells| Ok(qualified(cells.text()?, cells.text()?)))?;
        Ok(names.into_iter().collect())
    }
}
