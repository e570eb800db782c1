//! The witness against real servers: it agrees with what the load reads of every type, and sees
//! every cell that is altered.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step is a failed test, also in helpers"
)]

mod support;

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::PositionSource;
use spanferry_core::value::encode::Encoding;
use spanferry_core::verify::witness::{Contradiction, SourceWitness, WitnessSource};
use spanferry_core::wire::list_value::{self, WireReader, WireValue};
use spanferry_mysql::{MysqlSource, MysqlWitness};
use support::plan::{open, plans, read, whole};
use support::{Server, types};

fn put(value: WireValue<'_>, out: &mut Vec<u8>) {
    match value {
        WireValue::Null => list_value::put_null(out),
        WireValue::Number(number) => list_value::put_number(out, number),
        WireValue::String(text) => list_value::put_string(out, text),
        WireValue::Bool(value) => list_value::put_bool(out, value),
        WireValue::List(elements) => {
            let list = list_value::open_list(out);
            out.extend_from_slice(elements);
            list_value::close_list(out, list);
        }
    }
}

/// Another value of the same form.
fn altered_text(encoding: Encoding, text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    match (encoding, letters.last().copied()) {
        (Encoding::Json { .. }, _) => return "[\"altered\"]".to_owned(),
        (Encoding::Bytes { .. }, None) => return "AA==".to_owned(),
        (Encoding::Bytes { .. }, Some(_)) => letters[0] = if letters[0] == 'A' { 'B' } else { 'A' },
        (Encoding::Timestamp, None) => return "2024-01-01T00:00:00Z".to_owned(),
        (Encoding::Timestamp, Some(_)) => letters[3] = if letters[3] == '8' { '7' } else { '8' },
        (_, Some(digit @ '0'..='9')) => {
            letters.pop();
            letters.push(if digit == '9' {
                '8'
            } else {
                char::from(digit as u8 + 1)
            });
        }
        (_, _) => letters.push('x'),
    }
    letters.into_iter().collect()
}

/// The row with another value in one column.
fn altered(plan: &TablePlan, row: &[u8], column: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, value) in WireReader::new(row).map(Result::unwrap).enumerate() {
        let encoding = plan.columns[index].encoding;
        if index != column {
            put(value, &mut out);
            continue;
        }
        match value {
            WireValue::Null if matches!(encoding, Encoding::Float32 | Encoding::Float64) => {
                list_value::put_number(&mut out, 0.0);
            }
            WireValue::Null if matches!(encoding, Encoding::Array { .. }) => {
                put(WireValue::List(&[]), &mut out);
            }
            WireValue::Null => list_value::put_string(&mut out, altered_text(encoding, "").as_bytes()),
            WireValue::Number(number) => {
                list_value::put_number(&mut out, if number == 0.0 { 1.0 } else { -number });
            }
            WireValue::String(text) => {
                let text = std::str::from_utf8(text).unwrap();
                list_value::put_string(&mut out, altered_text(encoding, text).as_bytes());
            }
            WireValue::List(elements) => {
                let numbers = WireReader::new(elements).map(|element| match element {
                    Ok(WireValue::Number(number)) => number + 1.0,
                    other => panic!("no element of a vector: {other:?}"),
                });
                let mut others = Vec::new();
                for number in numbers {
                    list_value::put_number(&mut others, number);
                }
                put(WireValue::List(&others), &mut out);
            }
            WireValue::Bool(_) => panic!("no plan of these tests has one"),
        }
    }
    out
}

/// Everything that the witness says of the rows of one table, and of each cell altered.
async fn check_table(witness: &mut MysqlWitness, plan: &Arc<TablePlan>, rows: &[Vec<u8>]) {
    assert_eq!(
        witness.count(plan).await.unwrap(),
        rows.len() as u64,
        "{}",
        plan.name()
    );
    assert_eq!(witness.compare(plan, rows).await.unwrap(), [], "{}", plan.name());
    for column in 0..plan.columns.len() {
        let name = plan.column_title(column);
        let others: Vec<Vec<u8>> = rows.iter().map(|row| altered(plan, row, column)).collect();
        let said = witness.compare(plan, &others).await.unwrap();
        let numbers: Vec<usize> = said.iter().map(|said| said.row).collect();
        let all: Vec<usize> = (0..rows.len()).collect();
        assert_eq!(numbers, all, "{}.{name}", plan.name());
        // With another key the row is another, or none.
        let is_key = plan.key().contains(&column);
        for said in said.iter().filter(|_| !is_key) {
            assert_eq!(said.columns, [column], "{}.{name}, row {}", plan.name(), said.row);
        }
    }
}

/// Every type: what the load reads is what the server prints, and a cell that is altered is seen,
/// whatever its type.
#[tokio::test]
async fn every_type_is_printed_as_it_is_read() {
    for server in Server::both() {
        let (create, insert) = types::statements(&server).await;
        drop(server.run(&create).await);
        drop(server.run(&insert).await);
        let source = MysqlSource::new(server.admin("v"), 4_252).unwrap();
        let plans = plans(&source).await;
        let mut snapshot = open(&source, &plans, 1).await.unwrap();
        let mut witness = source.witness().await.unwrap();
        for plan in &plans {
            let rows = read(&mut snapshot.sessions[0], plan, &whole(plan)).await;
            check_table(&mut witness, plan, &rows).await;
        }
        let (end, seen) = (
            source.position().await.unwrap(),
            witness.position().await.unwrap(),
        );
        assert!(seen.contains_all(&end).unwrap());
    }
}

const SMALL: &str = "CREATE DATABASE w CHARACTER SET utf8mb4;
USE w;
CREATE TABLE t (k VARCHAR(9) CHARACTER SET latin1, n INT, v INT, hidden INT AS (v + 1) VIRTUAL, PRIMARY KEY (n, k));
INSERT INTO t (k, n, v) VALUES ('a', 1, 1), ('B', 1, 2), ('é', 2, 3), ('', 2, 4), ('last', 3, 5);
CREATE TABLE bare (id INT PRIMARY KEY);
CREATE VIEW seen AS SELECT n FROM t";

fn cells(row: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for cell in row {
        list_value::put_string(&mut out, cell.as_bytes());
    }
    out
}

/// Issue 7, point 7: no limit that its own session may have inherited cuts what a witness says.
#[tokio::test]
async fn a_limit_on_rows_does_not_reach_a_witness() {
    for server in Server::both() {
        drop(server.run(SMALL).await);
        let source = MysqlSource::new(server.admin("w"), 4_253).unwrap();
        let plans = plans(&source).await;
        let (bare, t) = (&plans[0], &plans[1]);
        let mut witness = source.witness().await.unwrap();
        for limit in ["18446744073709551615", "1", "0"] {
            witness
                .query(&format!("SET SESSION sql_select_limit = {limit}"))
                .await
                .unwrap();
            assert_eq!(witness.count(t).await.unwrap(), 5, "{limit}");
            assert_eq!(witness.count(bare).await.unwrap(), 0, "{limit}");
            let columns: Vec<_> = witness.columns().await.unwrap().into_iter().collect();
            let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let expected = [
                (plans[0].name().clone(), names(&["id"])),
                (plans[1].name().clone(), names(&["hidden", "k", "n", "v"])),
            ];
            assert_eq!(columns, expected, "{limit}");
            let rows = [
                cells(&["a", "1", "1", "2"]),
                cells(&["b", "1", "2", "3"]),
                cells(&["é", "2", "3", "5"]),
                cells(&["", "2", "4", "5"]),
                cells(&["no", "3", "5", "6"]),
                cells(&["last", "3 OR 1", "5", "6"]),
                cells(&["last", "3", "5", "6"]),
            ];
            let said = |row, columns: &[usize]| Contradiction {
                row,
                columns: columns.to_vec(),
            };
            // The collation finds `B` for `b`; the bytes differ.
            let expected = [said(1, &[0]), said(2, &[3]), said(4, &[]), said(5, &[])];
            assert_eq!(witness.compare(t, &rows).await.unwrap(), expected, "{limit}");
        }
    }
}

/// More rows than one statement asks for, and values that are printed by their digest.
#[tokio::test]
async fn many_rows_and_long_values_are_compared() {
    for server in Server::both() {
        let create = "CREATE DATABASE w CHARACTER SET utf8mb4;
USE w;
CREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT CHARACTER SET latin1, b LONGBLOB, j JSON);
INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 120)
 SELECT i, REPEAT('é', IF(i % 40, i, 70000)), REPEAT(X'00FF', IF(i % 40, i, 70000)), '[1, 2]' FROM n;
UPDATE t SET j = CONCAT('[\"', REPEAT('x', 300000), '\", 2]') WHERE id % 50 = 0";
        drop(server.run(create).await);
        let source = MysqlSource::new(server.admin("w"), 4_254).unwrap();
        let plans = plans(&source).await;
        let mut snapshot = open(&source, &plans, 1).await.unwrap();
        let rows = read(&mut snapshot.sessions[0], &plans[0], &whole(&plans[0])).await;
        assert_eq!(rows.len(), 120);
        let mut witness = source.witness().await.unwrap();
        assert_eq!(witness.compare(&plans[0], &rows).await.unwrap(), []);
        for column in 1..4 {
            let others: Vec<Vec<u8>> = rows.iter().map(|row| altered(&plans[0], row, column)).collect();
            let said = witness.compare(&plans[0], &others).await.unwrap();
            assert_eq!(said.len(), 120, "column {column}");
            assert!(said.iter().all(|said| said.columns == [column]));
        }
    }
}
