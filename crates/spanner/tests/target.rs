//! The `Target` of a migration against the emulator, in both dialects.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first surprise, also in its helpers"
)]

mod support;

use std::sync::Arc;

use spanferry_core::change_log::Sequence;
use spanferry_core::code;
use spanferry_core::ddl;
use spanferry_core::encode::{ColumnPlan, Encoding};
use spanferry_core::failure::Class;
use spanferry_core::plan::{GroupId, TableId, TablePlan};
use spanferry_core::rows::RowBatch;
use spanferry_core::schema::{QualifiedName, SourceTable};
use spanferry_core::target::{
    CommitError, ControlChange, Epoch, FenceKey, FenceRow, FencedCommit, Lane, MigrationRow, MutationKind,
    RangeRow, TableMutations, TablePhase, TableRow, Target, TargetScan,
};
use spanferry_core::target_schema::{
    Dialect, TargetColumn, TargetForeignKey, TargetIndex, TargetTable, TargetType,
};
use spanferry_core::wire::{self, WireReader, WireValue};
use spanferry_spanner::SpannerTarget;
use spanferry_spanner::commit::{Mutations, WriteKind};
use support::Emulator;

const DIALECTS: [Dialect; 2] = [Dialect::GoogleSql, Dialect::PostgreSql];

/// A table of a number and a text, keyed by the number.
fn plan(name: &str) -> Arc<TablePlan> {
    let column = |name: &str, ty, not_null| TargetColumn {
        name: name.to_owned(),
        ty,
        not_null,
    };
    let target = TargetTable {
        name: name.to_owned(),
        columns: vec![
            column("id", TargetType::Int64, true),
            column("text", TargetType::String(Some(10)), false),
        ],
        primary_key: vec![0],
        indexes: vec![TargetIndex {
            name: format!("{name}_text"),
            unique: true,
            null_filtered: false,
            columns: vec![(1, true)],
        }],
        foreign_keys: Vec::new(),
    };
    let source = SourceTable {
        name: QualifiedName {
            schema: "s".to_owned(),
            table: name.to_owned(),
        },
        engine: "InnoDB".to_owned(),
        system_versioned: false,
        columns: Vec::new(),
        primary_key: vec![0],
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        triggers: Vec::new(),
        rows_estimate: 0,
        bytes_estimate: 0,
    };
    let encodings = [Encoding::Int64, Encoding::String { characters_max: 10 }];
    let columns = encodings
        .into_iter()
        .enumerate()
        .map(|(source_index, encoding)| ColumnPlan {
            source_index,
            encoding,
            not_null: source_index == 0,
        });
    let (id, group, columns) = (TableId(0), GroupId(0), columns.collect());
    Arc::new(TablePlan {
        id,
        group,
        source: Arc::new(source),
        target,
        columns,
        key: vec![0],
        backing_indexes: 0,
    })
}

fn migration(epoch: u64) -> MigrationRow {
    MigrationRow {
        id: "6ba7b810".to_owned(),
        epoch: Epoch(epoch),
        log_id: "log".to_owned(),
        source: "mysql://example/shop".to_owned(),
        start_position: "3e11fa47:1-5".to_owned(),
        mapping: "mapping".to_owned(),
        version: 1,
    }
}

fn fence(epoch: u64, sequence: u64, position: &str) -> FenceRow {
    let key = FenceKey {
        epoch: Epoch(epoch),
        sequence: Sequence(sequence),
        piece: 0,
    };
    FenceRow {
        key,
        position: position.to_owned(),
    }
}

fn rows(rows: &[(i64, Option<&str>)]) -> RowBatch {
    let mut batch = RowBatch::new();
    for (id, text) in rows {
        let row = batch.begin_row();
        wire::put_string(row, id.to_string().as_bytes());
        match text {
            Some(text) => wire::put_string(row, text.as_bytes()),
            None => wire::put_null(row),
        }
        batch.end_row();
    }
    batch
}

fn keys(ids: &[i64]) -> RowBatch {
    let mut batch = RowBatch::new();
    for id in ids {
        wire::put_string(batch.begin_row(), id.to_string().as_bytes());
        batch.end_row();
    }
    batch
}

fn mutations(table: &Arc<TablePlan>, kind: MutationKind, rows: RowBatch) -> TableMutations {
    TableMutations {
        table: Arc::clone(table),
        kind,
        rows,
    }
}

fn commit(lane: Lane, previous: &FenceRow, next: &FenceRow, data: Vec<TableMutations>) -> FencedCommit {
    FencedCommit {
        lane,
        previous: previous.key,
        next: next.clone(),
        data,
        control: Vec::new(),
    }
}

fn table_row(table: &str, phase: TablePhase) -> TableRow {
    TableRow {
        table: table.to_owned(),
        phase,
        low: "l".to_owned(),
        high: String::new(),
        rows_loaded: u64::from(u32::MAX) + 1,
        definition: "d".to_owned(),
        reason: String::new(),
    }
}

fn range_row(table: &str, number: u64, after: Option<&str>) -> RangeRow {
    RangeRow {
        table: table.to_owned(),
        number,
        after: after.map(str::to_owned),
        up_to: None,
        rows: 9,
    }
}

async fn scanned(
    target: &SpannerTarget,
    table: &Arc<TablePlan>,
    bytes_max: usize,
) -> Vec<Vec<Option<String>>> {
    let (mut scan, mut batch, mut out) = (target.scan(table).await.unwrap(), RowBatch::new(), Vec::new());
    while scan.next(&mut batch, bytes_max).await.unwrap() {
        for row in batch.payloads() {
            let cells = WireReader::new(row).map(|cell| match cell.unwrap() {
                WireValue::Null => None,
                WireValue::String(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
                other => panic!("unexpected {other:?}"),
            });
            out.push(cells.collect());
        }
    }
    out
}

fn row(id: &str, text: Option<&str>) -> Vec<Option<String>> {
    vec![Some(id.to_owned()), text.map(str::to_owned)]
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
        target.create_database(dialect).await.unwrap();
        let found = target.describe().await.unwrap();
        assert_eq!(
            (found.dialect, found.emulator, found.tables.len()),
            (dialect, true, 0)
        );
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

/// The emulator shows neither vector lengths nor, in the PostgreSQL dialect, the filter of an index; it has no UUID type.
fn every_type(dialect: Dialect) -> TargetTable {
    let bytes = if dialect == Dialect::GoogleSql {
        Some(4)
    } else {
        None
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
        TargetType::Float32Array(None),
    ];
    let columns = types.into_iter().enumerate().map(|(index, ty)| TargetColumn {
        name: format!("select{index}"),
        ty,
        not_null: index < 5,
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
        }],
        foreign_keys: Vec::new(),
    }
}

fn child() -> TargetTable {
    let column = |name: &str, ty| TargetColumn {
        name: name.to_owned(),
        ty,
        not_null: name == "a",
    };
    let key = TargetForeignKey {
        name: "child_order".to_owned(),
        columns: vec![1, 0],
        parent: "order".to_owned(),
        parent_columns: vec!["select4".to_owned(), "select0".to_owned()],
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
    assert_eq!(misfit("type"), Some("column `a` has the type ARRAY<STRING(MAX)>"));
    assert_eq!(misfit("dflt"), Some("column `a` has the default 1"));
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
async fn control_state_round_trips() {
    let emulator = Emulator::start();
    for (dialect, name) in DIALECTS.into_iter().zip(["google", "postgres"]) {
        let target = SpannerTarget::new(emulator.database(name, dialect, &[]).await);
        assert_eq!(target.read_control().await.unwrap(), None);
        target.create_control().await.unwrap();
        target.create_control().await.unwrap();
        assert_eq!(target.read_control().await.unwrap(), None);
        let starts = [
            (Lane::Control, fence(1, 0, "")),
            (Lane::Apply, fence(1, 4, "position é")),
        ];
        target.begin_epoch(None, &migration(1), &starts).await.unwrap();
        let mut change = commit(Lane::Control, &fence(1, 0, ""), &fence(1, 1, ""), Vec::new());
        change.control = vec![
            ControlChange::Table(table_row("a", TablePhase::Loading)),
            ControlChange::Range(range_row("a", 1, None)),
            ControlChange::Range(range_row("a", 2, Some("k"))),
            ControlChange::Range(range_row("b", 1, None)),
        ];
        target.commit(&change).await.unwrap();
        let mut forget = commit(Lane::Control, &fence(1, 1, ""), &fence(1, 2, ""), Vec::new());
        forget.control = vec![
            ControlChange::ForgetRanges("a".to_owned()),
            ControlChange::Range(range_row("a", 3, Some("z"))),
        ];
        target.commit(&forget).await.unwrap();
        let state = SpannerTarget::new(emulator.client(name))
            .read_control()
            .await
            .unwrap()
            .unwrap();
        assert_eq!(state.migration, migration(1));
        assert_eq!(
            state.tables.into_values().collect::<Vec<_>>(),
            [table_row("a", TablePhase::Loading)]
        );
        let ranges: Vec<_> = state.ranges.into_values().collect();
        assert_eq!(ranges, [range_row("a", 3, Some("z")), range_row("b", 1, None)]);
        let fences: Vec<_> = state
            .fences
            .into_iter()
            .map(|(lane, row)| (lane.0, row))
            .collect();
        let expected = [
            ("apply".to_owned(), fence(1, 4, "position é")),
            ("control".to_owned(), fence(1, 2, "")),
        ];
        assert_eq!(fences, expected);
        target.drop_control().await.unwrap();
        target.drop_control().await.unwrap();
        assert_eq!(target.read_control().await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_commit_happens_once_and_only_for_its_owner() {
    let emulator = Emulator::start();
    for (dialect, name) in DIALECTS.into_iter().zip(["google", "postgres"]) {
        let table = plan("orders");
        let statements = [
            ddl::create_table(&table.target, dialect),
            ddl::create_index(&table.target, &table.target.indexes[0], dialect),
        ];
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        let old = SpannerTarget::new(emulator.database(name, dialect, &statements).await);
        old.create_control().await.unwrap();
        old.begin_epoch(None, &migration(1), &[(Lane::Apply, fence(1, 0, "p0"))])
            .await
            .unwrap();

        let upsert = |list: &[(i64, Option<&str>)]| mutations(&table, MutationKind::Upsert, rows(list));
        let first = vec![upsert(&[(1, Some("é")), (-2, None), (3, Some("c"))])];
        let first = commit(Lane::Apply, &fence(1, 0, "p0"), &fence(1, 2, "p2"), first);
        old.commit(&first).await.unwrap();
        check_rejected(&old, &first, "NOT_FOUND").await;
        assert_eq!(
            old.read_fence(Lane::Apply).await.unwrap(),
            Some(fence(1, 2, "p2"))
        );
        assert_eq!(old.read_fence(Lane::Load(3)).await.unwrap(), None);

        // A swap of unique values and a delete, in one commit.
        let swap = vec![
            mutations(&table, MutationKind::Delete, keys(&[-2, 99])),
            upsert(&[(1, Some("c")), (3, Some("é"))]),
        ];
        let swap = commit(Lane::Apply, &fence(1, 2, "p2"), &fence(1, 5, "p5"), swap);
        old.commit(&swap).await.unwrap();
        assert_eq!(
            scanned(&old, &table, 1).await,
            [row("1", Some("c")), row("3", Some("é"))]
        );

        // A real rejection leaves the fence.
        let duplicate = commit(
            Lane::Apply,
            &fence(1, 5, "p5"),
            &fence(1, 6, "p6"),
            vec![upsert(&[(7, Some("c"))])],
        );
        check_rejected(&old, &duplicate, "ALREADY_EXISTS").await;
        assert_eq!(
            old.read_fence(Lane::Apply).await.unwrap(),
            Some(fence(1, 5, "p5"))
        );

        // Another owner takes over: the old one can neither commit nor come back.
        let new = SpannerTarget::new(emulator.client(name));
        new.begin_epoch(
            Some(&migration(1)),
            &migration(2),
            &[(Lane::Apply, fence(2, 5, "p5"))],
        )
        .await
        .unwrap();
        let late = commit(
            Lane::Apply,
            &fence(1, 5, "p5"),
            &fence(1, 6, "p6"),
            vec![upsert(&[(8, None)])],
        );
        check_rejected(&old, &late, "NOT_FOUND").await;
        let back = old
            .begin_epoch(Some(&migration(1)), &migration(2), &[])
            .await
            .unwrap_err();
        assert_eq!(
            (back.code, back.class),
            (code::TARGET_FENCED, Class::StopMigration)
        );
        // The same call by the owner itself is the repeat of one whose outcome was unknown.
        new.begin_epoch(Some(&migration(1)), &migration(2), &[])
            .await
            .unwrap();
        assert_eq!(
            new.read_fence(Lane::Apply).await.unwrap(),
            Some(fence(2, 5, "p5"))
        );
        assert_eq!(scanned(&new, &table, 1 << 20).await.len(), 2);
        assert_eq!(new.commits_in_flight_max(), 1);
    }
}

async fn check_rejected(target: &SpannerTarget, commit: &FencedCommit, status: &str) {
    match target.commit(commit).await {
        Err(CommitError::Rejected(rejection)) => {
            assert_eq!(
                (
                    rejection.status.as_str(),
                    rejection.too_large,
                    rejection.transient
                ),
                (status, false, false)
            );
        }
        other => panic!("expected {status}, found {other:?}"),
    }
}

#[tokio::test]
async fn a_scan_gives_every_row_once_in_small_batches() {
    let emulator = Emulator::start();
    let table = plan("many");
    let create = ddl::create_table(&table.target, Dialect::GoogleSql);
    let target = SpannerTarget::new(emulator.database("db", Dialect::GoogleSql, &[&create]).await);
    target.create_control().await.unwrap();
    target
        .begin_epoch(None, &migration(1), &[(Lane::Load(0), fence(1, 0, ""))])
        .await
        .unwrap();
    for part in 0..4_i64 {
        let list: Vec<_> = (part * 1000..(part + 1) * 1000)
            .map(|id| (id, Some("0123456789")))
            .collect();
        let (previous, next) = (
            fence(1, part.unsigned_abs(), ""),
            fence(1, part.unsigned_abs() + 1, ""),
        );
        let data = vec![mutations(&table, MutationKind::Upsert, rows(&list))];
        target
            .commit(&commit(Lane::Load(0), &previous, &next, data))
            .await
            .unwrap();
    }
    let ids: Vec<_> = scanned(&target, &table, 4000)
        .await
        .into_iter()
        .map(|row| row[0].clone().unwrap())
        .collect();
    let expected: Vec<_> = (0..4000).map(|id| id.to_string()).collect();
    assert_eq!(ids, expected);
}
