//! Foreign keys with actions: those of the schema's tables, and those of other schemas' tables by
//! which rows of the schema may change (docs/design/cascades.md, 1).
//!
//! What a table of another schema does to its own children there does not matter: only parents are
//! followed, to their own parents and so on.

use std::collections::{BTreeMap, BTreeSet};

use spanferry_core::schema::source::{
    ActionEdge, CascadeLog, IndexPart, NameCase, ParentKey, QualifiedName, SourceCascades, SourceTable,
};

use super::actions::ActionReader;
use crate::connection::{Connection, ResultRow};
use crate::error::MysqlError;
use crate::sql;

/// Most tables of other schemas that are looked at. The definition of one more counts as hidden.
const OUTSIDE_TABLES_MAX: usize = 1_000;

/// What the server does to rows of these tables by foreign keys.
pub(super) async fn read(
    connection: &mut Connection,
    names: NameCase,
    tables: &BTreeMap<String, SourceTable>,
) -> Result<SourceCascades, MysqlError> {
    let mut keys: Vec<ActionEdge> = tables.values().flat_map(own_edges).collect();
    for key in &mut keys {
        key.parent = spelled(names, &key.parent);
    }
    let unique = tables
        .values()
        .map(|table| (table.name.clone(), own_unique_keys(table)));
    let mut unique: BTreeMap<QualifiedName, Vec<Vec<String>>> = unique.collect();
    let own: BTreeSet<QualifiedName> = unique.keys().cloned().collect();
    let mut seen = BTreeSet::new();
    let mut open: Vec<QualifiedName> = keys.iter().map(|key| key.parent.clone()).collect();
    while let Some(table) = open.pop() {
        if own.contains(&table) || seen.len() >= OUTSIDE_TABLES_MAX || !seen.insert(table.clone()) {
            continue;
        }
        if let Some(outside) = outside(connection, names, &table).await? {
            open.extend(outside.edges.iter().map(|edge| edge.parent.clone()));
            keys.extend(outside.edges);
            unique.insert(table, outside.unique_keys);
        }
    }
    for key in &mut keys {
        key.parent_key = match unique.get(&key.parent) {
            None => ParentKey::Hidden,
            Some(known) if known.iter().any(|known| is_within(known, &key.parent_columns)) => {
                ParentKey::Unique
            }
            Some(_) => ParentKey::NotUnique,
        };
    }
    let log = log(connection).await?;
    Ok(SourceCascades { log, edges: keys })
}

/// MySQL 9.7 and later without `innodb_native_foreign_keys` write cascades as rows of their own.
/// The variable speaks for this server only: events that come from a server above it
/// are judged one by one (`binlog::cascade`).
async fn log(connection: &mut Connection) -> Result<CascadeLog, MysqlError> {
    let Some(sql) = connection.server().facts().native_foreign_keys else {
        return Ok(CascadeLog::Unlogged);
    };
    let found = connection.query_if_allowed(sql).await?;
    let is_native = found.and_then(|found| found.rows.first().and_then(|row| row.number(0)));
    Ok(if is_native == Some(0) {
        CascadeLog::Logged
    } else {
        CascadeLog::Unlogged
    })
}

/// Whether columns that no two rows have in common are all among these.
fn is_within(unique: &[String], columns: &[String]) -> bool {
    unique.iter().all(|column| columns.contains(column))
}

/// A name as the catalog spells it.
fn spelled(names: NameCase, name: &QualifiedName) -> QualifiedName {
    QualifiedName::new(names.normalise(&name.schema), names.normalise(&name.table))
}

/// Names of columns are compared without regard to letter case.
fn column_name(name: &str) -> String {
    NameCase::Insensitive.normalise(name).into_owned()
}

fn own_edges(table: &SourceTable) -> impl Iterator<Item = ActionEdge> + '_ {
    let keys = table.foreign_keys.iter().filter(|key| key.has_actions());
    keys.map(|key| ActionEdge {
        name: key.name.clone(),
        child: table.name.clone(),
        columns: key
            .columns
            .iter()
            .map(|column| column_name(&table.columns[*column].name))
            .collect(),
        parent: key.parent.clone(),
        parent_columns: key.parent_columns.iter().map(|name| column_name(name)).collect(),
        on_delete: key.on_delete,
        on_update: key.on_update,
        parent_key: ParentKey::Hidden,
    })
}

/// The sets of columns of which no two rows have the same values.
fn own_unique_keys(table: &SourceTable) -> Vec<Vec<String>> {
    let name = |column: &usize| column_name(&table.columns[*column].name);
    let whole = |part: &IndexPart| match part {
        IndexPart::Column {
            column, prefix: None, ..
        } => Some(name(column)),
        IndexPart::Column { .. } | IndexPart::Expression { .. } => None,
    };
    let indexes = table.indexes.iter().filter(|index| index.unique);
    let unique = indexes.filter_map(|index| index.parts.iter().map(whole).collect());
    let primary = (!table.primary_key.is_empty()).then(|| table.primary_key.iter().map(name).collect());
    primary.into_iter().chain(unique).collect()
}

/// A table of another schema.
struct Outside {
    edges: Vec<ActionEdge>,
    unique_keys: Vec<Vec<String>>,
}

/// Looks at a table of another schema; none if the account may not see it.
async fn outside(
    connection: &mut Connection,
    names: NameCase,
    table: &QualifiedName,
) -> Result<Option<Outside>, MysqlError> {
    let seen = rows(
        connection,
        table,
        "SELECT 1 FROM information_schema.tables t WHERE $in(t.table_schema) AND $is(t.table_name)",
    );
    if seen.await?.is_empty() {
        return Ok(None);
    }
    let keys = rows(
        connection,
        table,
        "SELECT k.constraint_name, k.column_name, k.referenced_table_schema, k.referenced_table_name, \
         k.referenced_column_name, r.delete_rule, r.update_rule FROM information_schema.key_column_usage k \
         LEFT JOIN information_schema.referential_constraints r ON r.constraint_schema = k.constraint_schema \
         AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name \
         WHERE $in(k.table_schema) AND $is(k.table_name) AND k.referenced_table_name IS NOT NULL \
         ORDER BY k.constraint_name, k.ordinal_position",
    );
    let keys = keys.await?;
    let indexes = rows(
        connection,
        table,
        "SELECT s.index_name, s.column_name, s.sub_part FROM information_schema.statistics s \
         WHERE $in(s.table_schema) AND $is(s.table_name) AND s.non_unique = 0 \
         ORDER BY s.index_name, s.seq_in_index",
    );
    let indexes = indexes.await?;
    Ok(Some(Outside {
        edges: outside_edges(connection, names, table, &keys).await?,
        unique_keys: outside_unique_keys(&indexes),
    }))
}

/// The rows of a query, in which `$in(column)` and `$is(column)` stand for the conditions that a
/// column names the table's schema, and the table.
async fn rows(
    connection: &mut Connection,
    table: &QualifiedName,
    sql: &str,
) -> Result<Vec<ResultRow>, MysqlError> {
    let sql = sql::in_schema(sql, &table.schema).replace("$is(", "$in(");
    let sql = sql::in_schema(&sql, &table.table);
    Ok(connection.query(&sql).await?.rows)
}

async fn outside_edges(
    connection: &mut Connection,
    names: NameCase,
    table: &QualifiedName,
    rows: &[ResultRow],
) -> Result<Vec<ActionEdge>, MysqlError> {
    let mut edges: Vec<ActionEdge> = Vec::new();
    let mut reader = ActionReader::default();
    for row in rows {
        let name = row.text_or_empty(0);
        if edges.last().is_none_or(|edge| edge.name != name) {
            let actions = reader.actions(connection, table, &name, (row, 5));
            let (on_delete, on_update) = actions.await?;
            let parent = QualifiedName::new(row.text_or_empty(2), row.text_or_empty(3));
            edges.push(ActionEdge {
                name,
                child: table.clone(),
                columns: Vec::new(),
                parent: spelled(names, &parent),
                parent_columns: Vec::new(),
                on_delete,
                on_update,
                parent_key: ParentKey::Hidden,
            });
        }
        let edge = edges.last_mut().expect("one was just pushed");
        edge.columns.push(column_name(&row.text_or_empty(1)));
        edge.parent_columns.push(column_name(&row.text_or_empty(4)));
    }
    edges.retain(|edge| edge.on_delete.changes_rows() || edge.on_update.changes_rows());
    Ok(edges)
}

fn outside_unique_keys(rows: &[ResultRow]) -> Vec<Vec<String>> {
    let mut keys: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
    for row in rows {
        let key = keys
            .entry(row.text_or_empty(0))
            .or_insert_with(|| Some(Vec::new()));
        let whole = row.text(1).filter(|_| row.number(2).is_none());
        *key = match (key.take(), whole) {
            (Some(mut key), Some(column)) => {
                key.push(column_name(&column));
                Some(key)
            }
            (_, _) => None,
        };
    }
    keys.into_values().flatten().collect()
}
