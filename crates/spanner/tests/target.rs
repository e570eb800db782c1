//! The `Target` of a migration against the emulator, in both dialects.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first surprise, also in its helpers"
)]

#[path = "../../testkit/conformance/target_suite/mod.rs"]
#[expect(unreachable_pub, reason = "a suite that the simulation's tests share")]
mod suite;
mod support;

use std::sync::Arc;

use spanferry_core::fixture;
use spanferry_core::plan::{TablePlan, TargetKey};
use spanferry_core::port::change_log::Sequence;
use spanferry_core::port::target::{
    CommitError, Committer, ControlStore, DdlFailure, Epoch, FenceKey, FenceRow, FencedCommit, Lane,
    MigrationRow, MutationKind, ScanRequest, SchemaTarget, StreamRow, TableMutations, TableReader,
    TargetCapabilities, TargetScan,
};
use spanferry_core::position::Position;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::schema::ddl;
use spanferry_core::schema::target::{
    ByTarget, Dialect, TargetColumn, TargetForeignKey, TargetIndex, TargetTable, TargetType,
};
use spanferry_core::value::encode::{ColumnPlan, Encoding};
use spanferry_core::wire::list_value::{self, WireReader, WireValue};
use spanferry_core::wire::rows::RowBatch;
use spanferry_spanner::SpannerTarget;
use spanferry_spanner::commit::{COMMIT_BYTES_MAX, Mutations, WriteKind};
use support::Emulator;

const DIALECTS: [Dialect; 2] = [Dialect::GoogleSql, Dialect::PostgreSql];

/// A table of three numbers, keyed by the first, unique by the second.
fn plan(name: &str) -> Arc<TablePlan> {
    let column = |name: &str| TargetColumn {
        name: name.to_owned(),
        ty: TargetType::Int64,
        not_null: true,
        by_target: None,
    };
    let target = TargetTable {
        name: name.to_owned(),
        columns: ["id", "tied", "plain"].map(column).into(),
        primary_key: vec![0],
        indexes: vec![TargetIndex {
            name: format!("{name}_tied"),
            unique: true,
            null_filtered: false,
            columns: vec![(1, true)],
            origin: String::new(),
        }],
        foreign_keys: Vec::new(),
    };
    let columns = ["id", "tied", "plain"].map(|name| fixture::column(name, fixture::BIGINT));
    Arc::new(TablePlan {
        target,
        ..fixture::plan(fixture::table(name, columns.into()), [Encoding::Int64; 3])
    })
}

fn rows(rows: &[(i64, Option<&str>)]) -> RowBatch {
    let mut batch = RowBatch::new();
    for (id, text) in rows {
        let row = batch.begin_row();
        list_value::put_string(row, id.to_string().as_bytes());
        match text {
            Some(text) => list_value::put_string(row, text.as_bytes()),
            None => list_value::put_null(row),
        }
        batch.end_row();
    }
    batch
}

fn keys(ids: &[i64]) -> RowBatch {
    let mut batch = RowBatch::new();
    for id in ids {
        list_value::put_string(batch.begin_row(), id.to_string().as_bytes());
        batch.end_row();
    }
    batch
}

#[tokio::test]
async fn a_missing_database_is_named_and_created_once() {
    let emulator = Emulator::start();
    for (dialect, name) in DIALECTS.into_iter().zip(["google", "postgres"]) {
        let target = SpannerTarget::new(emulator.client(name));
        assert_eq!(target.describe().await.unwrap_err().code, code::TARGET_MISSING);
        assert_eq!(
            target.read_control().await.unwrap_err().code,
            code::TARGET_MISSING
        );
        let elsewhere = format!("projects/test/instances/absent/databases/{name}");
        let elsewhere = SpannerTarget::new(emulator.client_of(&elsewhere));
        assert_eq!(
            elsewhere.describe().await.unwrap_err().code,
            code::TARGET_INSTANCE_MISSING
        );
        target.create_database(dialect).await.unwrap();
        let found = target.describe().await.unwrap();
        assert_eq!((found.dialect, found.tables.len()), (dialect, 0));
        assert_eq!(
            target.create_database(dialect).await.unwrap_err().code,
            code::TARGET_NOT_EMPTY
        );
    }
}

#[tokio::test]
async fn what_was_created_is_found_again() {
    let emulator = Emulator::start();
    for (dialect, name) in DIALECTS.into_iter().zip(["google", "postgres"]) {
        let target = SpannerTarget::new(emulator.database(name, dialect, &[]).await);
        let (parent, child) = (every_type(dialect), child());
        let statements = [
            ddl::create_table(&parent, dialect),
            ddl::create_table(&child, dialect),
            ddl::create_index(&parent, &parent.indexes[0], dialect),
            ddl::add_foreign_key(&child, &child.foreign_keys[0], dialect),
        ];
        target.run_ddl(&statements).await.unwrap();
        target.create_control().await.unwrap();
        let found = target.describe().await.unwrap();
        assert_eq!(found.tables.keys().collect::<Vec<_>>(), ["child", "order"]);
        for expected in [parent, child] {
            let existing = &found.tables[&expected.name];
            assert_eq!(existing.table, expected, "{dialect}");
            assert_eq!((existing.has_rows, &existing.misfit), (false, &None));
        }
        assert_eq!(
            (found.indexes, found.foreign_keys),
            (vec!["by_text".to_owned()], vec!["child_order".to_owned()])
        );
    }
}

/// The emulator shows neither vector lengths nor, in the PostgreSQL dialect, the filter of an
/// index; it has no UUID type.
fn every_type(dialect: Dialect) -> TargetTable {
    let bytes = if dialect == Dialect::GoogleSql {
        Some(4)
    } else {
        None
    };
    let array = |ty: TargetType| TargetType::Array {
        element: ty.element().unwrap(),
        dimensions: None,
    };
    let types = [
        TargetType::Int64,
        TargetType::Float32,
        TargetType::Float64,
        TargetType::Numeric,
        TargetType::String(Some(4)),
        TargetType::String(None),
        TargetType::Bytes(bytes),
        TargetType::Bytes(None),
        TargetType::Date,
        TargetType::Timestamp,
        TargetType::Json,
        TargetType::vector(None),
        TargetType::Bool,
        array(TargetType::Bool),
        array(TargetType::Int64),
        array(TargetType::Float64),
        array(TargetType::Numeric),
        array(TargetType::String(Some(4))),
        array(TargetType::String(None)),
        array(TargetType::Bytes(bytes)),
        array(TargetType::Date),
        array(TargetType::Timestamp),
        array(TargetType::Json),
    ];
    let columns = types.into_iter().enumerate().map(|(index, ty)| TargetColumn {
        name: format!("select{index}"),
        ty,
        not_null: index < 5,
        by_target: None,
    });
    TargetTable {
        name: "order".to_owned(),
        columns: columns.collect(),
        primary_key: vec![4, 0],
        indexes: vec![TargetIndex {
            name: "by_text".to_owned(),
            unique: true,
            null_filtered: dialect == Dialect::GoogleSql,
            columns: vec![(5, true), (0, false)],
            origin: String::new(),
        }],
        foreign_keys: Vec::new(),
    }
}

fn child() -> TargetTable {
    let column = |name: &str, ty| TargetColumn {
        name: name.to_owned(),
        ty,
        not_null: name == "a",
        by_target: None,
    };
    let key = TargetForeignKey {
        name: "child_order".to_owned(),
        columns: vec![1, 0],
        parent: "order".to_owned(),
        parent_columns: vec!["select4".to_owned(), "select0".to_owned()],
        origin: String::new(),
    };
    TargetTable {
        name: "child".to_owned(),
        columns: vec![
            column("a", TargetType::Int64),
            column("b", TargetType::String(Some(4))),
        ],
        primary_key: vec![0],
        indexes: Vec::new(),
        foreign_keys: vec![key],
    }
}

#[tokio::test]
async fn misfits_and_rows_are_named() {
    let emulator = Emulator::start();
    let statements = [
        "CREATE TABLE fits (id INT64) PRIMARY KEY (id)",
        "CREATE TABLE type (id INT64, a ARRAY<STRING(MAX)>) PRIMARY KEY (id)",
        "CREATE TABLE dflt (id INT64, a INT64 DEFAULT (1)) PRIMARY KEY (id)",
        "CREATE TABLE gen (id INT64, a INT64 AS (id) STORED) PRIMARY KEY (id)",
        "CREATE TABLE chk (id INT64, CONSTRAINT positive CHECK (id > 0)) PRIMARY KEY (id)",
        "CREATE TABLE kid (id INT64, k INT64) PRIMARY KEY (id, k), INTERLEAVE IN PARENT fits",
        "CREATE TABLE down (id INT64) PRIMARY KEY (id DESC)",
        "CREATE TABLE empty_key (a INT64) PRIMARY KEY ()",
    ];
    let client = emulator.database("db", Dialect::GoogleSql, &statements).await;
    let mut insert = Mutations::new();
    insert.write(WriteKind::Insert, "empty_key", ["a"], &keys(&[7]));
    client.commit("rows", insert).await.unwrap();
    let found = SpannerTarget::new(client).describe().await.unwrap();
    let misfit = |table: &str| found.tables[table].misfit.as_deref();
    assert_eq!(misfit("fits"), None);
    // An array is a type that we create; types that we do not know are never those of a plain
    // column at the emulator.
    assert_eq!(misfit("type"), None);
    // It fills what is left out, and the migration leaves nothing out.
    assert_eq!(misfit("dflt"), None);
    assert_eq!(misfit("gen"), Some("column `a` is generated"));
    assert_eq!(misfit("chk"), Some("it has the CHECK constraint `positive`"));
    assert_eq!(misfit("kid"), Some("it is interleaved in `fits`"));
    assert_eq!(misfit("down"), Some("key column `id` is in descending order"));
    assert_eq!(found.tables.values().filter(|table| table.has_rows).count(), 1);
    assert!(found.tables["empty_key"].has_rows);
}

#[tokio::test]
async fn refused_ddl_names_its_statement_and_keeps_those_before() {
    let emulator = Emulator::start();
    let twice = "CREATE TABLE twice (id INT64, v INT64) PRIMARY KEY (id)";
    let client = emulator.database("db", Dialect::GoogleSql, &[twice]).await;
    let mut insert = Mutations::new();
    insert.write(
        WriteKind::Insert,
        "twice",
        ["id", "v"],
        &rows(&[(1, Some("5")), (2, Some("5"))]),
    );
    client.commit("rows", insert).await.unwrap();
    let target = SpannerTarget::new(client);
    // Refused by its grammar, by the schema, by the data.
    let refused = [
        "CREATE TABLE u (id INT64) PRIMARY KEY",
        "CREATE UNIQUE INDEX i ON missing (id)",
        "CREATE UNIQUE INDEX i ON twice (v)",
    ];
    for (number, broken) in refused.into_iter().enumerate() {
        let first = format!("CREATE TABLE t{number} (id INT64) PRIMARY KEY (id)");
        let statements = [
            first,
            broken.to_owned(),
            "CREATE TABLE z (id INT64) PRIMARY KEY (id)".to_owned(),
        ];
        let failure = target.run_ddl(&statements).await.unwrap_err();
        assert!(
            matches!(failure, DdlFailure::Refused { statement: 1, .. }),
            "{failure:?}"
        );
        let failure = Failure::from(failure);
        assert_eq!(
            (failure.code, failure.class),
            (code::TARGET_DDL, Class::StopTable),
            "{failure:?}"
        );
        assert_eq!(failure.object, broken, "{failure:?}");
    }
    let found = target.describe().await.unwrap();
    assert_eq!(
        found.tables.keys().collect::<Vec<_>>(),
        ["t0", "t1", "t2", "twice"]
    );
}

#[tokio::test]
async fn every_check_of_the_suite_holds() {
    let emulator = Emulator::start();
    for (dialect, name) in DIALECTS.into_iter().zip(["google", "postgres"]) {
        let target = SpannerTarget::new(emulator.database(name, dialect, &[]).await);
        assert_eq!(target.describe().await.unwrap().dialect, dialect);
        assert_eq!(target.capabilities(), TargetCapabilities::EMULATOR);
        let (emulator, name) = (&emulator, name.to_owned());
        let subject = OnEmulator {
            emulator,
            name,
            dialect,
        };
        Box::pin(suite::check_all(&subject)).await;
    }
}

/// A database of the emulator, for the suite.
struct OnEmulator<'a> {
    emulator: &'a Emulator,
    name: String,
    dialect: Dialect,
}

impl suite::Subject for OnEmulator<'_> {
    type Target = SpannerTarget;

    fn connect(&self) -> SpannerTarget {
        SpannerTarget::new(self.emulator.client(&self.name))
    }

    fn dialect(&self) -> Dialect {
        self.dialect
    }

    fn table(&self) -> Arc<TablePlan> {
        plan("item")
    }

    fn others(&self) -> [Arc<TablePlan>; 2] {
        ["book", "note"].map(plan)
    }

    fn texts(&self) -> Option<Arc<TablePlan>> {
        let mut plan = TablePlan::clone(&plan("words"));
        plan.columns.truncate(2);
        plan.target.columns.truncate(2);
        plan.target.columns[1] = TargetColumn {
            name: "text".to_owned(),
            ty: TargetType::String(None),
            not_null: false,
            by_target: None,
        };
        plan.target.indexes.clear();
        Some(Arc::new(plan))
    }

    fn commit_bytes_max(&self) -> usize {
        COMMIT_BYTES_MAX
    }
}

/// A row has the plan's order, not the target's. The target fills what is not written.
#[tokio::test]
async fn a_plan_of_another_order_is_written_and_read() {
    let emulator = Emulator::start();
    for (dialect, name) in DIALECTS.into_iter().zip(["google", "postgres"]) {
        let column = |name: &str, by_target| TargetColumn {
            by_target,
            ..fixture::target_column(name)
        };
        let mut plan = TablePlan::clone(&plan("mapped"));
        plan.target.columns = vec![
            column("id", None),
            column("filled", Some(ByTarget::Default("7".to_owned()))),
            column("v", None),
            column("twice", Some(ByTarget::Generated("v * 2".to_owned()))),
        ];
        plan.target.indexes.clear();
        plan.columns = vec![
            ColumnPlan::of_source(1, 2, Encoding::Int64, false),
            ColumnPlan::of_source(0, 0, Encoding::Int64, false),
        ];
        plan.target_key = TargetKey::Columns(vec![1]);
        let create = ddl::create_table(&plan.target, dialect);
        let target = SpannerTarget::new(emulator.database(name, dialect, &[create.as_str()]).await);
        let starts = [(Lane::MAIN, fence(0).into())];
        target.create_control().await.unwrap();
        target
            .begin_epoch(None, &migration(dialect), &starts)
            .await
            .unwrap();
        let all = TablePlan {
            columns: (0..4)
                .map(|at| ColumnPlan::of_source(0, at, Encoding::Int64, false))
                .collect(),
            ..plan.clone()
        };
        let plan = Arc::new(plan);
        let commit = FencedCommit {
            lane: Lane::MAIN,
            previous: fence(0).key,
            next: fence(1),
            data: vec![TableMutations {
                table: Arc::clone(&plan),
                kind: MutationKind::Upsert,
                rows: rows(&[(21, Some("5"))]),
            }],
            control: Vec::new(),
        };
        target.commit(&commit).await.unwrap();
        for (plan, expected) in [
            (plan, vec!["21", "5"]),
            (Arc::new(all), vec!["5", "7", "21", "42"]),
        ] {
            let mut scan = target.scan(&ScanRequest::whole(&plan)).await.unwrap();
            let mut found = RowBatch::new();
            scan.next(&mut found, 1 << 20).await.unwrap();
            let text = |value| match value {
                Ok(WireValue::String(text)) => std::str::from_utf8(text).unwrap(),
                other => panic!("{other:?}"),
            };
            let cells: Vec<&str> = WireReader::new(found.payloads().next().unwrap())
                .map(text)
                .collect();
            assert_eq!(cells, expected, "{dialect}");
        }
    }
}

/// Words of a rejection name the index or foreign key that it is about, whichever side of a foreign
/// key is written.
#[tokio::test]
async fn a_rejection_names_the_constraint() {
    let emulator = Emulator::start();
    for (dialect, name) in DIALECTS.into_iter().zip(["google", "postgres"]) {
        let statements = match dialect {
            Dialect::GoogleSql => [
                "CREATE TABLE p (id INT64 NOT NULL, v STRING(MAX)) PRIMARY KEY (id)",
                "CREATE TABLE c (id INT64 NOT NULL, v INT64) PRIMARY KEY (id)",
                "CREATE UNIQUE INDEX c_v ON c (v)",
                "CREATE INDEX p_v ON p (v)",
                "ALTER TABLE c ADD CONSTRAINT c_p FOREIGN KEY (v) REFERENCES p (id)",
            ],
            Dialect::PostgreSql => [
                "CREATE TABLE p (id bigint NOT NULL, v varchar, PRIMARY KEY (id))",
                "CREATE TABLE c (id bigint NOT NULL, v bigint, PRIMARY KEY (id))",
                "CREATE UNIQUE INDEX c_v ON c (v)",
                "CREATE INDEX p_v ON p (v)",
                "ALTER TABLE c ADD CONSTRAINT c_p FOREIGN KEY (v) REFERENCES p (id)",
            ],
        };
        let target = SpannerTarget::new(emulator.database(name, dialect, &statements).await);
        let starts = [(Lane::MAIN, fence(0).into())];
        target.create_control().await.unwrap();
        target
            .begin_epoch(None, &migration(dialect), &starts)
            .await
            .unwrap();
        let send = |at: u64, table: &str, kind, rows| {
            let mut plan = TablePlan::clone(&plan(table));
            plan.columns.truncate(2);
            plan.target.columns.truncate(2);
            plan.target.columns[1].name = "v".to_owned();
            let table = Arc::new(plan);
            let commit = FencedCommit {
                lane: Lane::MAIN,
                previous: fence(at).key,
                next: fence(at + 1),
                data: vec![TableMutations { table, kind, rows }],
                control: Vec::new(),
            };
            let target = &target;
            async move { target.commit(&commit).await }
        };
        let upsert = MutationKind::Upsert;
        send(0, "p", upsert, rows(&[(1, Some("a"))])).await.unwrap();
        send(1, "c", upsert, rows(&[(1, Some("1"))])).await.unwrap();
        let long = "x".repeat(9_000);
        let rejected = [
            (send(2, "c", upsert, rows(&[(2, Some("7"))])).await, "c_p"),
            (send(2, "p", MutationKind::Delete, keys(&[1])).await, "c_p"),
            (send(2, "c", upsert, rows(&[(2, Some("1"))])).await, "c_v"),
            (send(2, "p", upsert, rows(&[(2, Some(&long))])).await, "p_v"),
        ];
        for (outcome, expected) in rejected {
            match outcome {
                Err(CommitError::Rejected(rejection)) => {
                    assert!(
                        rejection.named.iter().any(|name| name == expected),
                        "{rejection:?}"
                    );
                }
                other => panic!("{dialect} {expected}: {other:?}"),
            }
        }
    }
}

fn fence(sequence: u64) -> FenceRow {
    FenceRow {
        key: FenceKey {
            epoch: Epoch(1),
            sequence: Sequence(sequence),
            piece: 0,
        },
        reached: None,
    }
}

fn migration(dialect: Dialect) -> MigrationRow {
    MigrationRow {
        id: "6ba7b810".to_owned(),
        epoch: Epoch(1),
        stream: Some(StreamRow {
            log_id: "log".to_owned(),
            start_position: Position::parse("mariadb:0-1-5").unwrap(),
        }),
        source: "db/shop".to_owned(),
        schema: "shop".to_owned(),
        dialect,
    }
}
