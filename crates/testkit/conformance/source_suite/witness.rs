//! What every `WitnessSource` must do: count, list and judge as the source is now, and name a
//! position that contains what it saw.

use std::collections::BTreeSet;

use spanferry_core::port::source::{CatalogSource, PositionSource};
use spanferry_core::schema::source::QualifiedName;
use spanferry_core::verify::witness::{Contradiction, SourceWitness, WitnessSource};
use spanferry_core::wire::list_value;

use super::{A, B, Bench, CREATED, Row, Statement, Subject, Writer, delete, in_time, insert, update};

/// Rows in a table: more than one statement asks for.
const ROWS: i64 = 120;

pub(super) async fn check<S: Subject>(subject: &S) {
    in_time("a witness", check_words(subject)).await;
    in_time("a witness's catalog", check_columns(subject)).await;
}

fn payload(row: Row) -> Vec<u8> {
    let mut out = Vec::new();
    for cell in row {
        list_value::put_string(&mut out, cell.to_string().as_bytes());
    }
    out
}

/// Counts and judgements are of the present, and the position contains what they saw.
async fn check_words<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let mut witness = bench.source.witness().await.unwrap();
    let table = std::sync::Arc::clone(&bench.plans[A]);
    assert_eq!(witness.count(&table).await.unwrap(), 0);
    assert_eq!(witness.compare(&table, &[]).await.unwrap(), []);
    let mut rows: Vec<Row> = (0..ROWS).map(|id| [id - 7, id % 3, i64::MAX - id]).collect();
    rows.push([i64::MIN, 0, i64::MIN]);
    bench.insert(A, &rows).await;
    bench.insert(B, &[[1, 1, 1]]).await;
    assert_eq!(witness.count(&table).await.unwrap(), rows.len() as u64);
    let payloads: Vec<Vec<u8>> = rows.iter().map(|row| payload(*row)).collect();
    assert_eq!(witness.compare(&table, &payloads).await.unwrap(), []);

    let seen = witness.position().await.unwrap();
    assert!(
        seen.contains_all(&bench.source.position().await.unwrap())
            .unwrap()
    );
    bench
        .writer
        .commit(&[update(A, 0, [0, 2, 1]), delete(A, 1), insert(A, [9_000, 0, 0])])
        .await;
    let said = |row: usize, columns: &[usize]| Contradiction {
        row,
        columns: columns.to_vec(),
    };
    let expected = [said(7, &[1, 2]), said(8, &[])];
    assert_eq!(witness.compare(&table, &payloads).await.unwrap(), expected);
    assert_eq!(witness.count(&table).await.unwrap(), rows.len() as u64);
    let now = witness.position().await.unwrap();
    assert!(now.contains_all(&seen).unwrap() && !seen.contains_all(&now).unwrap());
}

/// All base tables and no view, with all of their columns, also those that were created since.
async fn check_columns<S: Subject>(subject: &S) {
    let bench = Bench::new(subject).await;
    let mut witness = bench.source.witness().await.unwrap();
    let names: BTreeSet<QualifiedName> = witness.columns().await.unwrap().into_keys().collect();
    let expected = bench.plans.iter().map(|plan| plan.name().clone());
    assert_eq!(names, expected.collect());
    subject.run(Statement::CreateTable).await;
    let now = witness.columns().await.unwrap();
    let created = QualifiedName::new(&bench.plans[A].name().schema, CREATED);
    assert!(now.contains_key(&created), "{now:?}");
    let catalog = bench.source.catalog().await.unwrap();
    for table in catalog.tables {
        let columns = table.columns.into_iter().map(|column| column.name);
        assert_eq!(now[&table.name], columns.collect(), "{}", table.name);
    }
}
