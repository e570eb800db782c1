//! INFORMATION_SCHEMA from the stand-in's own knowledge: the views and conditions that our client
//! asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use spanferry_core::wire::list_value::{put_bool, put_null, put_string};

use crate::message::cells;
use crate::schema::{Schema, Table};

/// One value of a view.
enum Value {
    Null,
    Text(String),
    Truth(bool),
}

type Record = BTreeMap<&'static str, Value>;

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

fn optional(content: Option<String>) -> Value {
    content.map_or(Value::Null, Value::Text)
}

/// The rows that answer a query, each cell an encoded `Value`, and how many columns they have;
/// `None` for other SQL.
pub(crate) fn answer(schema: &Schema, postgres: bool, sql: &str) -> Option<(usize, Vec<Vec<Bytes>>)> {
    let lower = sql.to_ascii_lowercase();
    let select = lower.find("select ")? + "select ".len();
    let from = lower.find(" from information_schema.")?;
    let view = lower[from + " from information_schema.".len()..]
        .split_whitespace()
        .next()?;
    let columns: Vec<&str> = lower.get(select..from)?.split(',').map(str::trim).collect();
    let prefix = lower
        .split_once(" like '")
        .and_then(|(_, rest)| rest.split('%').next());
    let records = match view {
        "database_options" => {
            let asked = lower.contains("option_name = 'database_dialect'");
            asked.then(|| option(postgres)).into_iter().collect()
        }
        "tables" => tables(schema, postgres, prefix),
        "columns" => each(schema, |table| columns_of(table, postgres)),
        "table_constraints" => each(schema, |table| checks(table, postgres)),
        "indexes" => each(schema, |table| index_states(table, postgres)),
        "index_columns" => each(schema, |table| indexes(table, postgres)),
        "referential_constraints" => each(schema, |table| foreign_keys(schema, table, postgres)),
        "key_column_usage" => each(schema, |table| key_usage(schema, table, postgres)),
        _ => return None,
    };
    let rows = records.iter().map(|record| project(record, &columns)).collect();
    Some((columns.len(), rows))
}

/// The table whose rows a `SELECT COUNT(*) FROM …` counts.
pub(crate) fn counted_table<'a>(schema: &'a Schema, sql: &str) -> Option<&'a Table> {
    let name = sql.strip_prefix("SELECT COUNT(*) FROM ")?;
    schema.table(name.trim_matches(['`', '"'])).map(Arc::as_ref)
}

/// A row with one whole number, which the API spells as text.
pub(crate) fn number(number: usize) -> Vec<Bytes> {
    let record = Record::from([("number", text(number.to_string()))]);
    project(&record, &["number"])
}

fn project(record: &Record, columns: &[&str]) -> Vec<Bytes> {
    let mut out = Vec::new();
    for column in columns {
        let name = column.rsplit('.').next().unwrap_or(column);
        match record.get(name) {
            Some(Value::Text(text)) => put_string(&mut out, text.as_bytes()),
            Some(Value::Truth(truth)) => put_bool(&mut out, *truth),
            Some(Value::Null) | None => put_null(&mut out),
        }
    }
    cells(&out)
        .filter_map(Result::ok)
        .map(Bytes::copy_from_slice)
        .collect()
}

fn each(schema: &Schema, records: impl Fn(&Table) -> Vec<Record>) -> Vec<Record> {
    schema.tables.values().flat_map(|table| records(table)).collect()
}

fn truth(postgres: bool, truth: bool) -> Value {
    if postgres {
        text(if truth { "YES" } else { "NO" })
    } else {
        Value::Truth(truth)
    }
}

fn schema_name(postgres: bool) -> Value {
    text(if postgres { "public" } else { "" })
}

fn option(postgres: bool) -> Record {
    let dialect = if postgres {
        "POSTGRESQL"
    } else {
        "GOOGLE_STANDARD_SQL"
    };
    Record::from([
        ("option_name", text("database_dialect")),
        ("option_value", text(dialect)),
    ])
}

fn tables(schema: &Schema, postgres: bool, prefix: Option<&str>) -> Vec<Record> {
    let wanted = |name: &str| prefix.is_none_or(|prefix| name.to_ascii_lowercase().starts_with(prefix));
    let found = schema.tables.values().filter(|table| wanted(&table.name));
    let record = |table: &std::sync::Arc<Table>| {
        Record::from([
            ("table_schema", schema_name(postgres)),
            ("table_name", text(&table.name)),
            ("table_type", text("BASE TABLE")),
            ("parent_table_name", optional(table.parent.clone())),
        ])
    };
    found.map(record).collect()
}

fn columns_of(table: &Table, postgres: bool) -> Vec<Record> {
    let record = |column: &super::schema::Column| {
        Record::from([
            ("table_schema", schema_name(postgres)),
            ("table_name", text(&table.name)),
            ("column_name", text(&column.name)),
            ("spanner_type", text(column.ty.text(postgres))),
            ("is_nullable", text(if column.not_null { "NO" } else { "YES" })),
            (
                "column_default",
                optional(column.has_default.then(|| "expression".to_owned())),
            ),
            ("is_generated", text("NEVER")),
        ])
    };
    table.columns.iter().map(record).collect()
}

fn checks(table: &Table, postgres: bool) -> Vec<Record> {
    let record = |name: &String| {
        Record::from([
            ("table_schema", schema_name(postgres)),
            ("table_name", text(&table.name)),
            ("constraint_name", text(name)),
        ])
    };
    table.checks.iter().map(record).collect()
}

fn indexes(table: &Table, postgres: bool) -> Vec<Record> {
    let record = |name: &str, kind: &str, unique, filtered, column: &str, descending| {
        Record::from([
            ("table_schema", schema_name(postgres)),
            ("table_name", text(&table.name)),
            ("index_name", text(name)),
            ("index_type", text(kind)),
            ("is_unique", truth(postgres, unique)),
            ("is_null_filtered", truth(postgres, filtered)),
            (
                "filter",
                optional((postgres && filtered).then(|| "IS NOT NULL".to_owned())),
            ),
            ("column_name", text(column)),
            ("column_ordering", text(if descending { "DESC" } else { "ASC" })),
        ])
    };
    let key = table.key_names();
    let key = key
        .iter()
        .map(|column| record("PRIMARY_KEY", "PRIMARY_KEY", true, false, column, false));
    let own = table.indexes.iter().flat_map(|index| {
        index.columns.iter().map(|(column, descending)| {
            record(
                &index.name,
                "INDEX",
                index.unique,
                index.null_filtered,
                column,
                *descending,
            )
        })
    });
    key.chain(own).collect()
}

/// The indexes that were created by a statement.
fn index_states(table: &Table, postgres: bool) -> Vec<Record> {
    let record = |index: &super::schema::Index| {
        let state = if index.unfinished {
            "WRITE_ONLY"
        } else {
            "READ_WRITE"
        };
        Record::from([
            ("table_schema", schema_name(postgres)),
            ("table_name", text(&table.name)),
            ("index_name", text(&index.name)),
            ("index_state", text(state)),
        ])
    };
    table.indexes.iter().map(record).collect()
}

/// The constraint that a foreign key refers to: the parent's primary key, or one of its own.
fn referenced(schema: &Schema, parent: &str, columns: &[String]) -> String {
    let is_key = schema.table(parent).is_some_and(|table| {
        let key = table.key_names();
        key.len() == columns.len() && columns.iter().all(|column| key.contains(column))
    });
    if is_key {
        format!("PK_{parent}")
    } else {
        format!("IDX_{parent}_{}_U", columns.join("_"))
    }
}

fn foreign_keys(schema: &Schema, table: &Table, postgres: bool) -> Vec<Record> {
    let record = |key: &super::schema::ForeignKey| {
        Record::from([
            ("constraint_schema", schema_name(postgres)),
            ("constraint_name", text(&key.name)),
            ("unique_constraint_schema", schema_name(postgres)),
            (
                "spanner_state",
                text(if key.unfinished {
                    "BACKFILLING_INDEXES"
                } else {
                    "COMMITTED"
                }),
            ),
            (
                "unique_constraint_name",
                text(referenced(schema, &key.parent, &key.parent_columns)),
            ),
        ])
    };
    table.foreign_keys.iter().map(record).collect()
}

fn key_usage(schema: &Schema, table: &Table, postgres: bool) -> Vec<Record> {
    let record = |constraint: &str, table: &str, column: &str, position: Option<usize>| {
        Record::from([
            ("constraint_schema", schema_name(postgres)),
            ("constraint_name", text(constraint)),
            ("table_schema", schema_name(postgres)),
            ("table_name", text(table)),
            ("column_name", text(column)),
            (
                "position_in_unique_constraint",
                optional(position.map(|at| (at + 1).to_string())),
            ),
        ])
    };
    let mut records = Vec::new();
    let primary = format!("PK_{}", table.name);
    let key = table.key_names();
    records.extend(
        key.iter()
            .map(|column| record(&primary, &table.name, column, None)),
    );
    for key in &table.foreign_keys {
        let unique = referenced(schema, &key.parent, &key.parent_columns);
        let order = match schema.table(&key.parent) {
            Some(parent) if unique.starts_with("PK_") => parent.key_names(),
            Some(_) | None => key.parent_columns.clone(),
        };
        for (column, parent) in key.columns.iter().zip(&key.parent_columns) {
            let position = order.iter().position(|name| name == parent);
            records.push(record(&key.name, &table.name, column, position));
        }
        if !unique.starts_with("PK_") {
            let columns = key.parent_columns.iter();
            records.extend(columns.map(|column| record(&unique, &key.parent, column, None)));
        }
    }
    records
}
