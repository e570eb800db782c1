//! The target's schema as INFORMATION_SCHEMA shows it, in the terms that we create tables in.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use spanferry_core::schema::target::{Dialect, TargetColumn, TargetForeignKey, TargetIndex, TargetTable};

use crate::client::Client;
use crate::error::SpannerError;
use crate::row::{Cells, MalformedRow};
use crate::type_name::parse_type;

/// What the database holds.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// Tables by name, `schema.table` outside the default schema.
    pub(crate) tables: BTreeMap<String, CatalogTable>,
    /// Names of all secondary indexes that a person created.
    pub(crate) indexes: Vec<String>,
    /// Names of all foreign keys.
    pub(crate) foreign_keys: Vec<String>,
}

/// One table, and what it has that we would not create.
#[derive(Debug)]
pub(crate) struct CatalogTable {
    /// Its definition.
    pub(crate) table: TargetTable,
    /// The first reason against it.
    pub(crate) misfit: Option<String>,
    /// A column to read by: the first of the key, or of the table if the key is empty.
    pub(crate) probe: Option<String>,
}

/// Schemas that the server keeps by itself.
pub(crate) const SYSTEM_SCHEMAS: &str =
    "('INFORMATION_SCHEMA', 'SPANNER_SYS', 'information_schema', 'spanner_sys', 'pg_catalog')";
/// CHECK constraints that only repeat NOT NULL.
const NOT_NULL_CHECK: &str = "CK_IS_NOT_NULL_";

impl Client {
    /// Names of the tables in the default schema that begin with `prefix`, which holds no `%`, `_`
    /// aside.
    pub(crate) async fn table_names(&self, prefix: &str) -> Result<Vec<String>, SpannerError> {
        let sql = format!(
            "SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE' \
             AND table_schema IN ('', 'public') AND table_name LIKE '{prefix}%' ORDER BY table_name"
        );
        let rows = self.rows(&sql).await?;
        let names = self.each(&rows, |cells| Ok(cells.text()?.to_owned()))?;
        Ok(names
            .into_iter()
            .filter(|name| name.starts_with(prefix))
            .collect())
    }

    /// Tables in the default schema whose names begin with `prefix`, with the names of their
    /// columns in order.
    pub(crate) async fn column_names(
        &self,
        prefix: &str,
    ) -> Result<HashMap<String, Vec<String>>, SpannerError> {
        let sql = format!(
            "SELECT table_name, column_name FROM information_schema.columns \
             WHERE table_schema IN ('', 'public') AND table_name LIKE '{prefix}%' ORDER BY table_name, ordinal_position"
        );
        let rows = self.rows(&sql).await?;
        let mut tables: HashMap<String, Vec<String>> = HashMap::new();
        for (table, column) in self.each(&rows, |cells| Ok((cells.string()?, cells.string()?)))? {
            tables.entry(table).or_default().push(column);
        }
        Ok(tables)
    }

    /// Reads the whole schema.
    pub(crate) async fn catalog(&self, dialect: Dialect) -> Result<Catalog, SpannerError> {
        let mut catalog = Catalog::default();
        self.read_tables(&mut catalog).await?;
        self.read_columns(dialect, &mut catalog).await?;
        self.read_checks(&mut catalog).await?;
        self.read_indexes(dialect, &mut catalog).await?;
        self.read_foreign_keys(&mut catalog).await?;
        Ok(catalog)
    }

    pub(crate) async fn rows(&self, sql: &str) -> Result<Vec<Bytes>, SpannerError> {
        self.query("its schema", sql).await?.collect().await
    }

    pub(crate) fn each<T>(
        &self,
        rows: &[Bytes],
        read: impl Fn(&mut Cells<'_>) -> Result<T, MalformedRow>,
    ) -> Result<Vec<T>, SpannerError> {
        let read = rows.iter().map(|row| read(&mut Cells::new(row)));
        read.collect::<Result<_, _>>()
            .map_err(|_| SpannerError::malformed(self.object("its schema"), "rows of INFORMATION_SCHEMA"))
    }

    async fn read_tables(&self, catalog: &mut Catalog) -> Result<(), SpannerError> {
        let sql = format!(
            "SELECT table_schema, table_name, parent_table_name, row_deletion_policy_expression \
             FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema NOT IN {SYSTEM_SCHEMAS}"
        );
        let rows = self.rows(&sql).await?;
        let tables = self.each(&rows, |cells| {
            let name = qualified(cells.text()?, cells.text()?);
            let misfit = match (name.contains('.'), cells.optional_text()?, cells.optional_text()?) {
                (true, _, _) => Some("it is in a named schema".to_owned()),
                (false, Some(parent), _) if !parent.is_empty() => {
                    Some(format!("it is interleaved in `{parent}`"))
                }
                (false, _, Some(policy)) => Some(format!("it has a row deletion policy: {policy}")),
                (false, _, None) => None,
            };
            Ok((name, misfit))
        })?;
        for (name, misfit) in tables {
            let (columns, primary_key, indexes, foreign_keys) =
                (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            let table = TargetTable {
                name: name.clone(),
                columns,
                primary_key,
                indexes,
                foreign_keys,
            };
            catalog.tables.insert(
                name,
                CatalogTable {
                    table,
                    misfit,
                    probe: None,
                },
            );
        }
        Ok(())
    }

    async fn read_columns(&self, dialect: Dialect, catalog: &mut Catalog) -> Result<(), SpannerError> {
        let sql = format!(
            "SELECT table_schema, table_name, column_name, spanner_type, is_nullable, is_generated \
             FROM information_schema.columns WHERE table_schema NOT IN {SYSTEM_SCHEMAS} \
             ORDER BY table_schema, table_name, ordinal_position"
        );
        let rows = self.rows(&sql).await?;
        let columns = self.each(&rows, |cells| {
            let table = qualified(cells.text()?, cells.text()?);
            let (name, type_text, nullable) = (cells.string()?, cells.string()?, cells.truth()?);
            // Every value is written, so a default or an identity does not matter.
            let misfit = (cells.text()? == "ALWAYS").then(|| format!("column `{name}` is generated"));
            Ok((table, name, type_text, nullable, misfit))
        })?;
        for (table, name, type_text, nullable, misfit) in columns {
            // Views have columns too.
            let Some(found) = catalog.tables.get_mut(&table) else {
                continue;
            };
            found.misfit = found.misfit.take().or(misfit);
            found.probe.get_or_insert_with(|| name.clone());
            if let Some(ty) = parse_type(dialect, &type_text) {
                found.table.columns.push(TargetColumn {
                    name,
                    ty,
                    not_null: !nullable,
                    by_target: None,
                });
            } else {
                let reason = format!("column `{name}` has the type {type_text}");
                found.misfit.get_or_insert(reason);
            }
        }
        Ok(())
    }

    async fn read_checks(&self, catalog: &mut Catalog) -> Result<(), SpannerError> {
        let sql = format!(
            "SELECT table_schema, table_name, constraint_name FROM information_schema.table_constraints \
             WHERE constraint_type = 'CHECK' AND table_schema NOT IN {SYSTEM_SCHEMAS}"
        );
        let rows = self.rows(&sql).await?;
        for (table, name) in self.each(&rows, |cells| {
            Ok((qualified(cells.text()?, cells.text()?), cells.string()?))
        })? {
            if !name.starts_with(NOT_NULL_CHECK)
                && let Some(found) = catalog.tables.get_mut(&table)
            {
                found
                    .misfit
                    .get_or_insert(format!("it has the CHECK constraint `{name}`"));
            }
        }
        Ok(())
    }

    /// Reads indexes, the primary key among them.
    async fn read_indexes(&self, dialect: Dialect, catalog: &mut Catalog) -> Result<(), SpannerError> {
        let filter = match dialect {
            Dialect::GoogleSql => "CAST(NULL AS STRING)",
            Dialect::PostgreSql => "i.filter",
        };
        let sql = format!(
            "SELECT c.table_schema, c.table_name, c.index_name, c.index_type, i.is_unique, i.is_null_filtered, {filter}, \
             c.column_name, c.column_ordering FROM information_schema.index_columns c \
             JOIN information_schema.indexes i ON i.table_schema = c.table_schema AND i.table_name = c.table_name \
             AND i.index_name = c.index_name WHERE c.ordinal_position IS NOT NULL AND i.spanner_is_managed = {} \
             AND c.table_schema NOT IN {SYSTEM_SCHEMAS} \
             ORDER BY c.table_schema, c.table_name, c.index_name, c.ordinal_position",
            match dialect {
                Dialect::GoogleSql => "FALSE",
                Dialect::PostgreSql => "'NO'",
            }
        );
        let rows = self.rows(&sql).await?;
        let parts = self.each(&rows, |cells| {
            Ok(IndexPart {
                table: qualified(cells.text()?, cells.text()?),
                index: cells.string()?,
                primary: cells.text()? == "PRIMARY_KEY",
                unique: cells.truth()?,
                null_filtered: cells.truth()? | cells.optional_text()?.is_some(),
                column: cells.string()?,
                descending: cells.text()?.starts_with("DESC"),
            })
        })?;
        for part in parts {
            if let Some(found) = catalog.tables.get_mut(&part.table) {
                part.add_to(found, &mut catalog.indexes);
            }
        }
        Ok(())
    }

    async fn read_foreign_keys(&self, catalog: &mut Catalog) -> Result<(), SpannerError> {
        let usage = self.key_usage().await?;
        let sql = format!(
            "SELECT constraint_schema, constraint_name, unique_constraint_schema, unique_constraint_name \
             FROM information_schema.referential_constraints WHERE constraint_schema NOT IN {SYSTEM_SCHEMAS} \
             ORDER BY constraint_schema, constraint_name"
        );
        let rows = self.rows(&sql).await?;
        let keys = self.each(&rows, |cells| {
            Ok((
                qualified(cells.text()?, cells.text()?),
                qualified(cells.text()?, cells.text()?),
            ))
        })?;
        for (name, unique) in keys {
            if let (Some(child), Some(parent)) = (usage.get(&name), usage.get(&unique))
                && let Some(found) = catalog.tables.get_mut(&child.table)
                && let Some(key) = foreign_key(&name, &found.table, child, parent)
            {
                found.table.foreign_keys.push(key);
            }
            catalog.foreign_keys.push(name);
        }
        Ok(())
    }

    /// The columns of every key constraint, by its name.
    async fn key_usage(&self) -> Result<HashMap<String, KeyUsage>, SpannerError> {
        let sql = format!(
            "SELECT constraint_schema, constraint_name, table_schema, table_name, column_name, \
             position_in_unique_constraint FROM information_schema.key_column_usage \
             WHERE constraint_schema NOT IN {SYSTEM_SCHEMAS} ORDER BY constraint_schema, constraint_name, ordinal_position"
        );
        let rows = self.rows(&sql).await?;
        let parts = self.each(&rows, |cells| {
            let (constraint, table) = (
                qualified(cells.text()?, cells.text()?),
                qualified(cells.text()?, cells.text()?),
            );
            let column = cells.string()?;
            Ok((
                constraint,
                table,
                column,
                cells.optional_text()?.and_then(|position| position.parse().ok()),
            ))
        })?;
        let mut usage = HashMap::new();
        for (constraint, table, column, position) in parts {
            let entry = usage.entry(constraint).or_insert_with(|| KeyUsage {
                table,
                columns: Vec::new(),
            });
            entry.columns.push((column, position));
        }
        Ok(usage)
    }
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "they are columns of INFORMATION_SCHEMA"
)]
struct IndexPart {
    table: String,
    index: String,
    primary: bool,
    unique: bool,
    null_filtered: bool,
    column: String,
    descending: bool,
}

impl IndexPart {
    fn add_to(self, found: &mut CatalogTable, names: &mut Vec<String>) {
        let column = found
            .table
            .columns
            .iter()
            .position(|column| column.name == self.column);
        if self.primary {
            if found.table.primary_key.is_empty() {
                found.probe = Some(self.column.clone());
            }
            if self.descending {
                found
                    .misfit
                    .get_or_insert(format!("key column `{}` is in descending order", self.column));
            }
            found.table.primary_key.extend(column);
            return;
        }
        if found
            .table
            .indexes
            .last()
            .is_none_or(|index| index.name != self.index)
        {
            names.push(self.index.clone());
            let (unique, null_filtered) = (self.unique, self.null_filtered);
            found.table.indexes.push(TargetIndex {
                name: self.index,
                unique,
                null_filtered,
                columns: Vec::new(),
                origin: String::new(),
            });
        }
        let index = found
            .table
            .indexes
            .last_mut()
            .expect("one was just pushed, or was there");
        index
            .columns
            .extend(column.map(|column| (column, self.descending)));
    }
}

struct KeyUsage {
    table: String,
    /// Column, and its position in the unique constraint that a foreign key refers to, from 1.
    columns: Vec<(String, Option<usize>)>,
}

/// `None` if a column is of a type that we do not know; the table is a misfit then.
fn foreign_key(
    name: &str,
    table: &TargetTable,
    child: &KeyUsage,
    parent: &KeyUsage,
) -> Option<TargetForeignKey> {
    let (mut columns, mut parent_columns) = (Vec::new(), Vec::new());
    for (column, position) in &child.columns {
        columns.push(table.columns.iter().position(|known| known.name == *column)?);
        parent_columns.push(parent.columns.get(position.as_ref()?.checked_sub(1)?)?.0.clone());
    }
    Some(TargetForeignKey {
        name: name.to_owned(),
        columns,
        parent: parent.table.clone(),
        parent_columns,
        origin: String::new(),
    })
}

/// The name alone in the default schema, which GoogleSQL calls the empty one.
pub(crate) fn qualified(schema: &str, name: &str) -> String {
    if matches!(schema, "" | "public") {
        name.to_owned()
    } else {
        format!("{schema}.{name}")
    }
}
