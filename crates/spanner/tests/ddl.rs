//! A batch of DDL with one statement that the emulator refuses: that one is named, and everything
//! else is created.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first surprise, also in its helpers"
)]

mod support;

use spanferry_core::port::target::{DdlFailure, SchemaTarget};
use spanferry_core::schema::ddl::quote;
use spanferry_core::schema::target::Dialect;
use spanferry_core::wire::list_value;
use spanferry_core::wire::rows::RowBatch;
use spanferry_spanner::SpannerTarget;
use spanferry_spanner::commit::{Mutations, WriteKind};
use support::Emulator;

/// Statements of a batch: more than one call takes.
const STATEMENTS: usize = 60;
const DIALECTS: [Dialect; 2] = [Dialect::GoogleSql, Dialect::PostgreSql];
/// Columns beside the key.
const COLUMNS: usize = 16;

/// What a statement creates, and how the refused one is refused.
#[derive(Debug, Clone, Copy)]
enum Case {
    /// A table whose key names no column.
    TableBySchema,
    /// An index with one part too many.
    IndexBySchema,
    /// A unique index over equal values.
    IndexByData,
    /// A foreign key to a table that is not there.
    ForeignKeyBySchema,
    /// A foreign key without a parent row.
    ForeignKeyByData,
}

const CASES: [Case; 5] = [
    Case::TableBySchema,
    Case::IndexBySchema,
    Case::IndexByData,
    Case::ForeignKeyBySchema,
    Case::ForeignKeyByData,
];

fn name(number: usize) -> String {
    format!("object_{number:02}")
}

fn table(name: &str, key: &str, dialect: Dialect) -> String {
    let number = match dialect {
        Dialect::GoogleSql => "INT64",
        Dialect::PostgreSql => "bigint",
    };
    let columns: Vec<String> = (0..COLUMNS)
        .map(|column| format!("{} {number}", quote(&format!("c{column}"), dialect)))
        .collect();
    let (name, columns) = (quote(name, dialect), columns.join(", "));
    match dialect {
        Dialect::GoogleSql => {
            format!("CREATE TABLE {name} (id {number} NOT NULL, {columns}) PRIMARY KEY ({key})")
        }
        Dialect::PostgreSql => {
            format!("CREATE TABLE {name} (id {number} NOT NULL, {columns}, PRIMARY KEY ({key}))")
        }
    }
}

fn statement(case: Case, number: usize, refused: bool, dialect: Dialect) -> String {
    let name = name(number);
    let quoted = quote(&name, dialect);
    let all: Vec<String> = (0..COLUMNS).map(|column| format!("c{column}")).collect();
    match (case, refused) {
        (Case::TableBySchema, _) => table(&name, if refused { "missing" } else { "id" }, dialect),
        (Case::IndexBySchema, true) => format!("CREATE INDEX {quoted} ON base ({})", all.join(", ")),
        (Case::IndexByData, true) => format!("CREATE UNIQUE INDEX {quoted} ON base (c0)"),
        (Case::IndexBySchema | Case::IndexByData, false) => format!("CREATE INDEX {quoted} ON base (c1)"),
        (Case::ForeignKeyBySchema | Case::ForeignKeyByData, _) => {
            let (column, parent) = match (case, refused) {
                (Case::ForeignKeyBySchema, true) => ("c1", "missing"),
                (Case::ForeignKeyByData, true) => ("c0", "base"),
                _ => ("c1", "base"),
            };
            format!(
                "ALTER TABLE base ADD CONSTRAINT {quoted} FOREIGN KEY ({column}) REFERENCES {parent} (id)"
            )
        }
    }
}

/// Two rows that are equal in `c0`, which names no row, and NULL elsewhere.
fn rows() -> Mutations {
    let mut batch = RowBatch::new();
    for id in ["1", "2"] {
        let row = batch.begin_row();
        list_value::put_string(row, id.as_bytes());
        list_value::put_string(row, b"77");
        batch.end_row();
    }
    let mut mutations = Mutations::new();
    mutations.write(WriteKind::Insert, "base", ["id", "c0"], &batch);
    mutations
}

#[tokio::test]
async fn exactly_the_refused_statement_is_named() {
    let emulator = Emulator::start();
    let mut number = 0;
    for case in CASES {
        for dialect in DIALECTS {
            for place in [0, 49, 50, STATEMENTS - 1] {
                number += 1;
                let database = format!("db{number}");
                let client = emulator
                    .database(&database, dialect, &[&table("base", "id", dialect)])
                    .await;
                client.commit("rows", rows()).await.unwrap();
                let target = SpannerTarget::new(client);
                check(&target, case, dialect, place).await;
                target.client().drop_database().await.unwrap();
            }
        }
    }
}

async fn check(target: &SpannerTarget, case: Case, dialect: Dialect, place: usize) {
    let statements: Vec<String> = (0..STATEMENTS)
        .map(|number| statement(case, number, number == place, dialect))
        .collect();
    let context = format!("{case:?} {dialect} {place}");
    match target.run_ddl(&statements).await.unwrap_err() {
        DdlFailure::Refused { statement, reason } => {
            assert_eq!(
                (statement, &reason.object),
                (place, &statements[place]),
                "{context}"
            );
        }
        other @ DdlFailure::Failed(_) => panic!("{context}: {other:?}"),
    }
    target.run_ddl(&statements[place + 1..]).await.unwrap();
    let objects = target.schema_objects().await.unwrap();
    let found = match case {
        Case::TableBySchema => objects.tables,
        Case::IndexBySchema | Case::IndexByData => objects.indexes,
        Case::ForeignKeyBySchema | Case::ForeignKeyByData => objects.foreign_keys,
    };
    let found: Vec<String> = found
        .into_iter()
        .filter(|name| name.starts_with("object_"))
        .collect();
    let expected: Vec<String> = (0..STATEMENTS)
        .filter(|number| *number != place)
        .map(name)
        .collect();
    assert_eq!(found, expected, "{context}");
}
