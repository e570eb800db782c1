//! What is in the database: its tables, whether they have rows, its indexes and foreign keys.

use std::collections::BTreeMap;

use spanferry_core::port::target::{ExistingTable, TargetDescription};
use spanferry_core::schema::target::Dialect;

use super::SpannerTarget;
use crate::catalog::{Catalog, CatalogTable};
use crate::control::PREFIX;
use crate::error::SpannerError;
use crate::read::{Keys, Read, ReadAt};

impl SpannerTarget {
    async fn existing(&self, found: CatalogTable) -> Result<ExistingTable, SpannerError> {
        let has_rows = match &found.probe {
            Some(column) => {
                let mut read = Read::new(&found.table.name, [column.as_str()], Keys::All);
                read.limit = 1;
                let object = format!("table {}", found.table.name);
                self.client
                    .read(&object, &read, ReadAt::Strong)
                    .await?
                    .next()
                    .await?
                    .is_some()
            }
            None => false,
        };
        Ok(ExistingTable {
            table: found.table,
            has_rows,
            misfit: found.misfit,
        })
    }

    pub(super) async fn describe_tables(&self, dialect: Dialect) -> Result<TargetDescription, SpannerError> {
        let Catalog {
            tables: found,
            indexes,
            foreign_keys,
        } = self.client.catalog(dialect).await?;
        let mut tables = BTreeMap::new();
        for (name, found) in found {
            if !name.starts_with(PREFIX) {
                tables.insert(name, self.existing(found).await?);
            }
        }
        Ok(TargetDescription {
            dialect,
            tables,
            indexes,
            foreign_keys,
        })
    }
}
