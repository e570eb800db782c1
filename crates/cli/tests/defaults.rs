//! The database as oracle for defaults: the source fills the columns of a row that its INSERT
//! leaves out, and the row is migrated; then the target fills the columns of a row that a client of
//! Spanner leaves out. Both rows must be the same.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::sync::Arc;

use spanferry_core::wire::list_value;
use spanferry_core::wire::rows::RowBatch;
use spanferry_spanner::commit::{Mutations, WriteKind};
use spanferry_testkit::server::{Emulator, Engine, Server};
use support::World;

/// Types with a default that is a value; all of them are created at both targets.
const VALUES: &[&str] = &[
    "INT NOT NULL DEFAULT 5",
    "INT NOT NULL DEFAULT 1.5",
    "TINYINT NOT NULL DEFAULT -128",
    "TINYINT(1) NOT NULL DEFAULT TRUE",
    "BOOL DEFAULT FALSE",
    "INT(5) UNSIGNED ZEROFILL NOT NULL DEFAULT 42",
    "BIGINT NOT NULL DEFAULT -9223372036854775808",
    "BIGINT NOT NULL DEFAULT 9223372036854775807",
    "BIGINT UNSIGNED NOT NULL DEFAULT 18446744073709551615",
    "DECIMAL(10,2) NOT NULL DEFAULT 1",
    "DECIMAL(10,2) NOT NULL DEFAULT -0.005",
    "DECIMAL(38,9) DEFAULT -99999999999999999999999999999.999999999",
    "DECIMAL(65,30) DEFAULT 1.000000000000000000000000000001",
    "FLOAT NOT NULL DEFAULT 0",
    "FLOAT DEFAULT 0.1",
    "FLOAT DEFAULT 16777217",
    "FLOAT(7,3) DEFAULT 1.2345",
    "FLOAT DEFAULT 1.17549435e-38",
    "DOUBLE NOT NULL DEFAULT 0.30000000000000004",
    "DOUBLE DEFAULT -1e300",
    "DOUBLE(10,3) DEFAULT 1.2345",
    "BIT(1) NOT NULL DEFAULT b'1'",
    "BIT(10) DEFAULT b'101'",
    "BIT(64) DEFAULT x'ffffffffffffffff'",
    "BIT(9) DEFAULT 0",
    "VARCHAR(30) NOT NULL DEFAULT ''",
    r#"VARCHAR(30) NOT NULL DEFAULT 'a''b\\c\nd" `e` -- (f), %'"#,
    "VARCHAR(30) NOT NULL DEFAULT 'NULL'",
    "VARCHAR(30) NOT NULL DEFAULT 'CURRENT_TIMESTAMP'",
    r"VARCHAR(30) NOT NULL DEFAULT 'ends in \\'",
    "VARCHAR(30) CHARACTER SET utf8mb4 DEFAULT 'why? 😀'",
    "VARCHAR(30) CHARACTER SET latin1 DEFAULT 'é'",
    "VARCHAR(30) CHARACTER SET utf16 DEFAULT 'ä?'",
    "VARCHAR(30) CHARACTER SET sjis DEFAULT 'ソ'",
    "CHAR(5) NOT NULL DEFAULT 'x  '",
    "BINARY(4) NOT NULL DEFAULT 'ab'",
    "BINARY(3) NOT NULL DEFAULT ''",
    "VARBINARY(9) DEFAULT x'00ff275c'",
    "VARBINARY(9) NOT NULL DEFAULT ''",
    "ENUM('new','it''s','ü') NOT NULL DEFAULT 'it''s'",
    "ENUM('é','','x') CHARACTER SET latin1 DEFAULT ''",
    "SET('a','b','c') NOT NULL DEFAULT 'c,a'",
    "SET('a','b') DEFAULT ''",
    "DATE NOT NULL DEFAULT '2020-02-29'",
    "DATE DEFAULT '9999-12-31'",
    "DATETIME NOT NULL DEFAULT '1000-01-01'",
    "DATETIME(6) DEFAULT '2020-01-02 03:04:05.123456'",
    "DATETIME(3) DEFAULT '2020-01-02 03:04:05.1'",
    "TIMESTAMP NOT NULL DEFAULT '2020-01-02 03:04:05'",
    "TIMESTAMP(6) NULL DEFAULT '2020-07-02 03:04:05.5'",
    "TIME NOT NULL DEFAULT '10:00'",
    "TIME(3) DEFAULT '-838:59:59'",
    "YEAR NOT NULL DEFAULT 2020",
    "YEAR DEFAULT 0",
    "INT DEFAULT NULL",
    "INT",
];

/// Further ones of MariaDB, where any type may have a default.
const MARIADB_VALUES: &[&str] = &[
    "TEXT NOT NULL DEFAULT 'it''s'",
    "BLOB DEFAULT x'00ff'",
    "INT NOT NULL DEFAULT (1.5)",
    "CHAR(5) DEFAULT ('ab ')",
    "DECIMAL(10,2) DEFAULT (1.005)",
    "UUID DEFAULT '123E4567-E89B-12D3-A456-426614174000'",
    "INET4 DEFAULT '10.0.100.7'",
    "INET6 DEFAULT '::1'",
];

/// Further ones of MySQL, where some types take a default in parentheses only. JSON is created in
/// GoogleSQL.
const MYSQL_VALUES: &[&str] = &["TEXT DEFAULT ('it''s')", "TEXT NOT NULL DEFAULT ('')"];

/// JSON by the literal and the functions of both servers, which the PostgreSQL dialect leaves out.
const JSON: [&str; 3] = [
    r#"JSON DEFAULT ('{"b": 1, "a": [1.5, "it''s"]}')"#,
    "JSON DEFAULT (JSON_ARRAY())",
    "JSON DEFAULT (JSON_OBJECT())",
];

/// Values that are new in each row: they agree in their form, and are new.
const NEW: [&str; 9] = [
    "DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP",
    "DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)",
    "DATETIME(6) DEFAULT NOW(6)",
    "TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP",
    "TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6)",
    "DATETIME DEFAULT (UTC_TIMESTAMP())",
    "DATE DEFAULT (CURDATE())",
    "VARCHAR(36) NOT NULL DEFAULT (UUID())",
    "CHAR(32) DEFAULT (REPLACE(UUID(),'-',''))",
];

/// Defaults that stay out, each with a part of the reason.
const LEFT_OUT: &[(&str, &str)] = &[
    ("DATE DEFAULT '0000-00-00'", "a zero or partial date"),
    ("DATETIME DEFAULT '2020-00-00'", "a zero or partial date"),
    ("TIMESTAMP NULL DEFAULT 0", "a zero or partial date"),
    ("INT DEFAULT (floor(rand() * 10))", "not one that is translated"),
];

/// Of an empty table the servers show less of a default. The sources fill one of these later.
const EMPTY: [&str; 8] = [
    "TIMESTAMP NOT NULL DEFAULT '2020-01-02 03:04:05'",
    "BINARY(3) NOT NULL DEFAULT 'a'",
    "BINARY(14) NOT NULL DEFAULT ''",
    "VARBINARY(9) NOT NULL DEFAULT ''",
    "FLOAT NOT NULL DEFAULT 0",
    "DOUBLE NOT NULL DEFAULT 0.1",
    "FLOAT DEFAULT 0.1",
    "DOUBLE(10,3) DEFAULT 1.5",
];

async fn insert_key(world: &World, table: &str, id: &str) {
    insert_value(world, table, "id", id).await;
}

/// Inserts a row of which only one column is given.
async fn insert_value(world: &World, table: &str, column: &str, value: &str) {
    let mut rows = RowBatch::new();
    list_value::put_string(rows.begin_row(), value.as_bytes());
    rows.end_row();
    let mut mutations = Mutations::new();
    mutations.write(WriteKind::Insert, table, [column], &rows);
    world
        .target_client()
        .commit("a row by defaults", mutations)
        .await
        .unwrap();
}

/// The target's time is that of a later row, with no more digits; everything else that is new has
/// the same form, digit for digit.
fn expect_alike(source: &str, target: &str, definition: &str) {
    let context = format!("{definition}: {source} at the source, {target} at the target");
    let is_time = source.ends_with('Z') || definition.contains("DATE");
    if is_time {
        let (source, target) = (source.trim_end_matches('Z'), target.trim_end_matches('Z'));
        let year = |text: &str| text[..4].parse::<u32>().unwrap();
        assert!(target >= source && year(target) <= year(source) + 1, "{context}");
        let room = [6, 3]
            .into_iter()
            .find(|room| definition.contains(&format!("({room})")));
        let digits = target.split_once('.').map_or(0, |(_, digits)| digits.len());
        assert!(digits <= room.unwrap_or(0), "{context}");
        return;
    }
    assert_ne!(source, target, "{context}");
    let form = |text: &str| text.replace(|letter| letter != '-', "x");
    assert_eq!(form(source), form(target), "{context}");
    let is_lower = target.to_lowercase() == *target;
    assert!(is_lower || definition.contains("BINARY"), "{context}");
}

fn definitions(columns: &[&str]) -> Vec<String> {
    let numbered = columns.iter().enumerate();
    numbered
        .map(|(at, definition)| format!("c{at} {definition}"))
        .collect()
}

/// What the report says about defaults, as `column: text`.
fn told(world: &World) -> Vec<String> {
    let text = std::fs::read_to_string(world.state.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let about = findings.filter_map(|finding| {
        let (column, text) = (finding["part"].as_str()?, finding["text"].as_str()?);
        text.contains("default")
            .then(|| format!("{column}: {} {text}", finding["code"].as_str().unwrap()))
    });
    about.collect()
}

async fn values_agree(server: &Arc<Server>, emulator: &Arc<Emulator>, engine: Engine, dialect: &'static str) {
    let mut columns = VALUES.to_vec();
    match engine {
        Engine::MariaDb => columns.extend(MARIADB_VALUES),
        Engine::MySql => columns.extend(MYSQL_VALUES),
    }
    if dialect == "googlesql" {
        columns.extend(JSON);
    }
    let mut new = NEW.to_vec();
    if dialect == "googlesql" && matches!(engine, Engine::MySql) {
        new.push("BINARY(16) DEFAULT (UUID_TO_BIN(UUID()))");
    }
    let created = columns.len();
    columns.extend(LEFT_OUT.iter().map(|(definition, _)| *definition));
    let setup = format!(
        "SET sql_mode = '', time_zone = '-03:00';\nCREATE TABLE t (id INT PRIMARY KEY, {}) CHARACTER SET utf8mb4;\nINSERT INTO t (id) VALUES (1)",
        definitions(&columns[..created]).join(", ")
    );
    let lost = definitions(&columns)[created..].join(", ");
    let (empty, fresh) = (definitions(&EMPTY).join(", "), definitions(&new).join(", "));
    let setup = format!(
        "{setup};\nSET time_zone = '+00:00';\nCREATE TABLE fresh (id INT PRIMARY KEY, {fresh});\nINSERT INTO fresh (id) VALUES (1);\nCREATE TABLE lost (id INT PRIMARY KEY, {lost});\nCREATE TABLE vacant (id INT PRIMARY KEY, {empty})"
    );
    let world = World::on(Arc::clone(server), Arc::clone(emulator), dialect, dialect, &setup).await;
    world.expect_drained();
    insert_key(&world, "t", "2").await;
    insert_key(&world, "vacant", "1").await;
    let names: Vec<String> = (0..created).map(|at| format!("c{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let rows = world.target_rows("t", &names).await;
    for (at, definition) in columns[..created].iter().enumerate() {
        assert_eq!(rows[1][at], rows[0][at], "{dialect}: {definition}");
    }
    insert_key(&world, "fresh", "2").await;
    let rows = world.target_rows("fresh", &names[..new.len()]).await;
    for (at, definition) in new.iter().enumerate() {
        expect_alike(&rows[0][at], &rows[1][at], &format!("{dialect}: {definition}"));
    }
    world.sql("INSERT INTO vacant (id) VALUES (2)").await;
    world.expect_drained();
    let names: Vec<&str> = names[..EMPTY.len()].to_vec();
    let rows = world.target_rows("vacant", &names).await;
    assert_eq!(rows[0], rows[1], "{dialect}: an empty table");
    let found = told(&world);
    for (at, (definition, reason)) in LEFT_OUT.iter().enumerate() {
        let column = format!("c{}: SF-4004 ", created + at);
        let is_told = |text: &&String| text.starts_with(&column) && text.contains(reason);
        assert_eq!(
            found.iter().filter(is_told).count(),
            1,
            "{definition}: {found:#?}"
        );
    }
    assert_eq!(found.len(), LEFT_OUT.len(), "{found:#?}");
}

/// Numbers that the source has given are kept, before and after the target has given some; those of
/// the target are none that the source can give.
async fn numbers_agree(server: &Arc<Server>, emulator: &Arc<Emulator>, dialect: &'static str) {
    let setup = "CREATE TABLE small (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, v INT);
CREATE TABLE big (id BIGINT AUTO_INCREMENT PRIMARY KEY, v INT);
CREATE TABLE part (v INT PRIMARY KEY, id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT UNIQUE);
INSERT INTO small (v) VALUES (1), (2);
INSERT INTO big (id, v) VALUES (7, 1), (-3, 2);
INSERT INTO part (v) VALUES (1), (2)";
    let schema = format!("numbers_{dialect}");
    let world = World::on(Arc::clone(server), Arc::clone(emulator), &schema, dialect, setup).await;
    world.expect_drained();
    let tables = [
        ("small", i64::from(u32::MAX)),
        ("big", (1 << 62) - 1),
        ("part", (1 << 62) - 1),
    ];
    for (table, _) in tables {
        for value in ["101", "102"] {
            insert_value(&world, table, "v", value).await;
        }
    }
    world
        .sql("INSERT INTO small (v) VALUES (3);\nINSERT INTO big (v) VALUES (3);\nINSERT INTO part (v) VALUES (3)")
        .await;
    world.expect_drained();
    for (table, skipped_to) in tables {
        let rows = world.target_rows(table, &["v", "id"]).await;
        let number = |text: &String| text.parse::<i64>().unwrap();
        let mut numbers: Vec<(i64, i64)> = rows
            .iter()
            .map(|row| (number(&row[0]), number(&row[1])))
            .collect();
        numbers.sort_unstable();
        let own: Vec<i64> = numbers.iter().take(3).map(|(_, id)| *id).collect();
        let expected = if table == "big" { [7, -3, 8] } else { [1, 2, 3] };
        assert_eq!(own, expected, "{dialect}: {table}");
        let given = &numbers[3..];
        assert!(
            given.iter().all(|(_, id)| *id > skipped_to),
            "{dialect}: {table} {given:?}"
        );
        assert_eq!(given.len(), 2, "{dialect}: {table}");
    }
}

async fn check(engine: Engine) {
    let server = Arc::new(Server::start(engine).unwrap());
    let emulator = Arc::new(Emulator::start().unwrap());
    server
        .execute(None, "SET GLOBAL time_zone = '+00:00'")
        .await
        .unwrap();
    for dialect in ["googlesql", "postgresql"] {
        values_agree(&server, &emulator, engine, dialect).await;
        numbers_agree(&server, &emulator, dialect).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_fills_columns_as_mysql_does() {
    check(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_fills_columns_as_mariadb_does() {
    check(Engine::MariaDb).await;
}
