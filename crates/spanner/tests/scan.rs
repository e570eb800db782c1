//! Scans and counts by keys of every type that a key can have, against the emulator, in both
//! dialects; and how long the database keeps its versions.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first surprise, also in its helpers"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::fixture;
use spanferry_core::plan::{TablePlan, TargetKey};
use spanferry_core::port::target::{
    KeyInterval, ScanKey, ScanKeyColumns, ScanRequest, Scanned, TableReader, TargetScan,
};
use spanferry_core::schema::ddl;
use spanferry_core::schema::target::{Dialect, TargetColumn, TargetType};
use spanferry_core::value::encode::{ColumnPlan, Encoding};
use spanferry_core::verify::witness::{Counted, TargetWitness};
use spanferry_core::wire::list_value;
use spanferry_core::wire::rows::RowBatch;
use spanferry_spanner::SpannerTarget;
use spanferry_spanner::commit::{Mutations, WriteKind};
use support::Emulator;

const DIALECTS: [Dialect; 2] = [Dialect::GoogleSql, Dialect::PostgreSql];

/// A cell of a key.
#[derive(Debug, Clone, Copy)]
enum Cell {
    Null,
    Text(&'static str),
    Number(f64),
    Truth(bool),
}
use Cell::{Null, Number, Text, Truth};

/// A table whose key has these columns.
fn plan(name: &str, types: &[TargetType], not_null: bool) -> Arc<TablePlan> {
    let names: Vec<String> = (0..types.len()).map(|at| format!("k{at}")).collect();
    let columns = names.iter().map(|name| fixture::column(name, fixture::BIGINT));
    let mut plan = fixture::plan(fixture::table(name, columns.collect()), []);
    plan.target.columns = names
        .iter()
        .zip(types)
        .map(|(name, ty)| TargetColumn {
            name: name.clone(),
            ty: *ty,
            not_null,
            by_target: None,
        })
        .collect();
    let all: Vec<usize> = (0..types.len()).collect();
    // A row is not decoded here: its columns only have places, the last one first.
    plan.columns = all
        .iter()
        .rev()
        .map(|at| ColumnPlan::of_source(*at, *at, Encoding::Int64, false))
        .collect();
    plan.target.primary_key.clone_from(&all);
    plan.target_key = TargetKey::Columns(all.into_iter().rev().collect());
    Arc::new(plan)
}

/// The row of a key: its cells in the plan's order.
fn row(key: &[Cell]) -> Vec<u8> {
    let mut row = Vec::new();
    for cell in key.iter().rev() {
        match cell {
            Null => list_value::put_null(&mut row),
            Text(text) => list_value::put_string(&mut row, text.as_bytes()),
            Number(number) => list_value::put_number(&mut row, *number),
            Truth(truth) => list_value::put_bool(&mut row, *truth),
        }
    }
    row
}

async fn scanned(target: &SpannerTarget, request: &ScanRequest<'_>) -> Vec<Vec<u8>> {
    let mut scan = target.scan(request).await.unwrap();
    let (mut batch, mut rows) = (RowBatch::new(), Vec::new());
    while scan.next(&mut batch, 1).await.unwrap() == Scanned::Rows {
        rows.extend(batch.payloads().map(<[u8]>::to_vec));
    }
    rows
}

/// Rows come in this order of their keys, and each key divides them. `counts` says whether the
/// database can count by these keys.
async fn check(
    target: &SpannerTarget,
    plan: &Arc<TablePlan>,
    dialect: Dialect,
    keys: &[&[Cell]],
    counts: bool,
) {
    let create = ddl::create_table(&plan.target, dialect);
    let name = &plan.target.name;
    target
        .client()
        .update_ddl(&[create], &format!("create_{name}"))
        .await
        .unwrap();
    let mut batch = RowBatch::new();
    // The order in which they are written is another.
    for key in keys.iter().rev() {
        batch.push(&row(key));
    }
    let mut mutations = Mutations::new();
    let columns: Vec<&str> = plan.column_names().collect();
    mutations.write(WriteKind::Insert, name, columns, &batch);
    target.client().commit(name, mutations).await.unwrap();
    let rows = scanned(target, &ScanRequest::whole(plan)).await;
    let expected: Vec<Vec<u8>> = keys.iter().map(|key| row(key)).collect();
    assert_eq!(rows, expected, "{dialect} {name}");
    let columns = ScanKeyColumns::of(plan).unwrap();
    let ends: Vec<ScanKey> = rows.iter().map(|row| columns.key(row).unwrap()).collect();
    for (place, end) in ends.iter().enumerate() {
        for (after, up_to, expected) in [
            (Some(end), None, &rows[place + 1..]),
            (None, Some(end), &rows[..=place]),
            (ends.first(), Some(end), &rows[1.min(place + 1)..=place]),
        ] {
            let keys = KeyInterval { after, up_to };
            let request = ScanRequest {
                keys,
                ..ScanRequest::whole(plan)
            };
            let found = scanned(target, &request).await;
            assert_eq!(found, expected, "{dialect} {name} {place}");
            let counted = target.count(plan, keys).await.unwrap();
            if counts {
                let expected = Counted::Rows(expected.len() as u64);
                assert_eq!(counted, expected, "{dialect} {name} {place}");
            }
        }
    }
}

#[tokio::test]
async fn keys_of_every_type_divide_a_table() {
    let emulator = Emulator::start();
    for (dialect, name) in DIALECTS.into_iter().zip(["google", "postgres"]) {
        let target = SpannerTarget::new(emulator.database(name, dialect, &[]).await);
        let one = |name, ty| plan(name, &[ty], true);
        let texts: [&[Cell]; 6] = [
            &[Text("")],
            &[Text("A")],
            &[Text("B \"quoted\" ' \\")],
            &[Text("a")],
            &[Text("é")],
            &[Text("😀")],
        ];
        check(
            &target,
            &one("texts", TargetType::String(Some(99))),
            dialect,
            &texts,
            true,
        )
        .await;
        // `/w==` is the byte 255, `fg==` is `~`.
        let bytes: [&[Cell]; 4] = [&[Text("")], &[Text("AA==")], &[Text("fg==")], &[Text("/w==")]];
        check(
            &target,
            &one("bytes", TargetType::Bytes(Some(99))),
            dialect,
            &bytes,
            true,
        )
        .await;
        let numbers: [&[Cell]; 5] = [
            &[Text("-9223372036854775808")],
            &[Text("-10")],
            &[Text("-9")],
            &[Text("9")],
            &[Text("10")],
        ];
        check(
            &target,
            &one("numbers", TargetType::Int64),
            dialect,
            &numbers,
            true,
        )
        .await;
        let dates: [&[Cell]; 3] = [
            &[Text("0001-01-01")],
            &[Text("1999-12-31")],
            &[Text("9999-12-31")],
        ];
        check(&target, &one("dates", TargetType::Date), dialect, &dates, true).await;
        let times: [&[Cell]; 3] = [
            &[Text("0001-01-01T00:00:00Z")],
            &[Text("2024-01-01T00:00:00.000001Z")],
            &[Text("2024-01-01T00:00:00.000002Z")],
        ];
        check(
            &target,
            &one("times", TargetType::Timestamp),
            dialect,
            &times,
            true,
        )
        .await;
        let truths: [&[Cell]; 2] = [&[Truth(false)], &[Truth(true)]];
        check(&target, &one("truths", TargetType::Bool), dialect, &truths, true).await;
        let mixed: [&[Cell]; 6] = [
            &[Text("-1"), Text("b"), Text("1")],
            &[Text("1"), Text("a"), Text("2")],
            &[Text("1"), Text("b"), Text("1")],
            &[Text("1"), Text("b"), Text("2")],
            &[Text("1"), Text("b"), Text("10")],
            &[Text("2"), Text("a"), Text("0")],
        ];
        let types = [TargetType::Int64, TargetType::String(Some(9)), TargetType::Int64];
        check(&target, &plan("mixed", &types, true), dialect, &mixed, true).await;
    }
}

/// NULL comes first. NaN comes before all numbers; SQL compares it in another way, so that no count
/// is made by it.
#[tokio::test]
async fn keys_that_sql_compares_in_another_way_divide_a_table() {
    let emulator = Emulator::start();
    let postgres = SpannerTarget::new(emulator.database("postgres", Dialect::PostgreSql, &[]).await);
    let dialect = Dialect::GoogleSql;
    let target = SpannerTarget::new(emulator.database("google", dialect, &[]).await);
    let floats: [&[Cell]; 7] = [
        &[Null],
        &[Text("NaN")],
        &[Text("-Infinity")],
        &[Number(-1.5)],
        &[Number(0.0)],
        &[Number(1e300)],
        &[Text("Infinity")],
    ];
    check(
        &target,
        &plan("floats", &[TargetType::Float64], false),
        dialect,
        &floats,
        false,
    )
    .await;
    let plan_of_floats = plan("floats", &[TargetType::Float64], true);
    check(
        &postgres,
        &plan_of_floats,
        Dialect::PostgreSql,
        &floats[1..],
        false,
    )
    .await;
    let numerics: [&[Cell]; 4] = [&[Text("-10")], &[Text("-9.5")], &[Text("9.25")], &[Text("10")]];
    check(
        &target,
        &plan("numerics", &[TargetType::Numeric], true),
        dialect,
        &numerics,
        true,
    )
    .await;
    let nulls: [&[Cell]; 6] = [
        &[Null, Null],
        &[Null, Text("a")],
        &[Null, Text("b")],
        &[Text("1"), Null],
        &[Text("1"), Text("a")],
        &[Text("2"), Null],
    ];
    let types = [TargetType::Int64, TargetType::String(Some(9))];
    check(&target, &plan("nulls", &types, false), dialect, &nulls, true).await;
}

/// A database that does not set it keeps its versions for an hour. The emulator shows another
/// setting in its DDL alone.
#[tokio::test]
async fn a_database_tells_how_long_it_keeps_its_versions() {
    let emulator = Emulator::start();
    for (dialect, name) in DIALECTS.into_iter().zip(["google", "postgres"]) {
        let target = SpannerTarget::new(emulator.database(name, dialect, &[]).await);
        let retention = target.version_retention().await.unwrap();
        assert_eq!(retention, Duration::from_secs(3_600), "{dialect}");
    }
}
