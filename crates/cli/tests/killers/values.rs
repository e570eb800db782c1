//! Values that other tools shift, wrap or drop: 18, 27, 28, 29, 30. The expected values are
//! literals: `verify` alone would not see a conversion that is wrong on both sides.

use spanferry_testkit::server::{Engine, Server, ServerOptions};

use crate::support::{World, bench};

/// Migrates `rows` from the snapshot, then the same rows with the ids of `again` from the change
/// stream.
async fn by_both_roads(world: &World, again: &str) {
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    world.sql(again).await;
    assert_eq!(migrate.interrupt(), 130);
    world.expect_drained();
    world.expect_equal();
}

/// What the target holds of `t` for ids 1, 2, 3, … and again from 101 on.
async fn expect(world: &World, columns: &[&str], expected: &[&[&str]]) {
    let names: Vec<&str> = std::iter::once("id").chain(columns.iter().copied()).collect();
    let rows = world.target_rows("t", &names).await;
    for first in [1, 101] {
        for (offset, expected) in expected.iter().enumerate() {
            let id = (first + offset).to_string();
            let found = rows.iter().find(|row| row[0] == id);
            let found = found.unwrap_or_else(|| panic!("row {id} is not at the target"));
            assert_eq!(found[1..], **expected, "row {id}");
        }
    }
}

/// The rows of a statement with `ID` for the first id, by both roads.
fn both(statements: impl Fn(u64) -> String) -> (String, String) {
    (statements(1), statements(101))
}

/// Central European time in the form that needs no time zone tables.
const DAYLIGHT_SAVING: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

async fn times(engine: Engine) {
    let options = ServerOptions {
        time_zone: Some(DAYLIGHT_SAVING.to_owned()),
        ..ServerOptions::default()
    };
    let server = Server::start_with(engine, &options).unwrap();
    let table = "CREATE TABLE t (id INT PRIMARY KEY, ts TIMESTAMP(6) NULL, dt DATETIME(3) NULL, d DATE NULL, \
        upd TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, v INT NOT NULL DEFAULT 0);\n";
    let (before, after) = both(|id| {
        format!(
            "SET time_zone = '+00:00';
             INSERT INTO t (id, ts, dt, d) VALUES ({id}, '2024-10-27 00:30:00', '2024-10-27 02:30:00.125', '2024-10-27');
             INSERT INTO t (id, ts, dt, d) VALUES ({}, '2024-10-27 01:30:00.000001', '2024-03-31 02:30:00.999', '0001-01-01');
             INSERT INTO t (id, ts, dt, d) VALUES ({}, '1970-01-01 00:00:01', '1000-01-01 00:00:00', '9999-12-31');
             INSERT INTO t (id, ts, dt, d) VALUES ({}, '2038-01-19 03:14:07.999999', '9999-12-31 23:59:59.999', '1969-12-31');
             INSERT INTO t (id, ts, dt, d) VALUES ({}, NULL, NULL, NULL);
             SET time_zone = '-08:00';
             INSERT INTO t (id, ts, dt, d) VALUES ({}, '2023-12-31 16:00:00', '1582-10-15 12:00:00', '2024-02-29');
             UPDATE t SET v = v + 1 WHERE id >= {id};
             ",
            id + 1, id + 2, id + 3, id + 4, id + 5
        )
    });
    let world = World::with(server, "googlesql", &format!("{table}{before}")).await;
    by_both_roads(&world, &after).await;
    expect(
        &world,
        &["ts", "dt", "d"],
        &[
            &["2024-10-27T00:30:00Z", "2024-10-27T02:30:00.125Z", "2024-10-27"],
            &[
                "2024-10-27T01:30:00.000001Z",
                "2024-03-31T02:30:00.999Z",
                "0001-01-01",
            ],
            &["1970-01-01T00:00:01Z", "1000-01-01T00:00:00Z", "9999-12-31"],
            &[
                "2038-01-19T03:14:07.999999Z",
                "9999-12-31T23:59:59.999Z",
                "1969-12-31",
            ],
            &["NULL", "NULL", "NULL"],
            &["2024-01-01T00:00:00Z", "1582-10-15T12:00:00Z", "2024-02-29"],
        ],
    )
    .await;
    // A zero date has no form: it stops its table, and says where.
    world
        .sql("SET sql_mode = '';\nINSERT INTO t (id, ts, dt, d) VALUES (200, '0000-00-00', '2024-00-00', '0000-00-00');\n")
        .await;
    let (status, text) = world.drain();
    assert!(
        status == 4 && text.contains("zero or partial date"),
        "{status}: {text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_18_times_across_zones_and_daylight_saving_mysql() {
    times(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_18_times_across_zones_and_daylight_saving_mariadb() {
    times(Engine::MariaDb).await;
}

async fn unsigned(engine: Engine) {
    let servers = bench(engine).await;
    let table = "CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY, u BIGINT UNSIGNED, i INT UNSIGNED, z BIGINT UNSIGNED ZEROFILL);\n";
    let (before, after) = both(|id| {
        format!(
            "INSERT INTO t VALUES ({id}, 18446744073709551615, 4294967295, 9223372036854775808), ({}, 9223372036854775808, 0, 1), \
               ({}, 9223372036854775807, 2147483648, 18446744073709551614);\n",
            id + 1,
            id + 2
        )
    });
    let world = servers
        .as_ref()
        .unwrap()
        .world("googlesql", &format!("{table}{before}"))
        .await;
    by_both_roads(&world, &after).await;
    expect(
        &world,
        &["u", "i", "z"],
        &[
            &["18446744073709551615", "4294967295", "9223372036854775808"],
            &["9223372036854775808", "0", "1"],
            &["9223372036854775807", "2147483648", "18446744073709551614"],
        ],
    )
    .await;
    // As a key it is an INT64: what does not fit stops the table by name, from the stream as from
    // the snapshot.
    world
        .sql("INSERT INTO t VALUES (9223372036854775808, 1, 1, 1);\n")
        .await;
    let (status, text) = world.drain();
    assert!(
        status == 4 && text.contains("an integer above 9223372036854775807"),
        "{status}: {text}"
    );
    let keys = world.target_rows("t", &["id"]).await;
    assert!(keys.iter().all(|key| !key[0].starts_with('-')), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_27_unsigned_beyond_the_signed_range_mysql() {
    unsigned(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_27_unsigned_beyond_the_signed_range_mariadb() {
    unsigned(Engine::MariaDb).await;
}

/// The server's global zone is not UTC, and sessions write in zones of their own.
async fn global_zone(engine: Engine) {
    let options = ServerOptions {
        arguments: vec!["--default-time-zone=-07:30".to_owned()],
        ..ServerOptions::default()
    };
    let server = Server::start_with(engine, &options).unwrap();
    let table = "CREATE TABLE t (id INT PRIMARY KEY, ts TIMESTAMP NULL, dt DATETIME NULL);\n";
    let (before, after) = both(|id| {
        format!(
            "INSERT INTO t VALUES ({id}, '2024-06-01 00:00:00', '2024-06-01 00:00:00');
             SET time_zone = '+05:45';
             INSERT INTO t VALUES ({}, '2024-06-01 00:00:00', '2024-06-01 00:00:00');
             ",
            id + 1
        )
    });
    let world = World::with(server, "googlesql", &format!("{table}{before}")).await;
    by_both_roads(&world, &after).await;
    expect(
        &world,
        &["ts", "dt"],
        &[
            &["2024-06-01T07:30:00Z", "2024-06-01T00:00:00Z"],
            &["2024-05-31T18:15:00Z", "2024-06-01T00:00:00Z"],
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_28_global_time_zone_other_than_utc_mysql() {
    global_zone(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_28_global_time_zone_other_than_utc_mariadb() {
    global_zone(Engine::MariaDb).await;
}

/// Generated columns, stored and virtual, before, between and behind others: carried as plain
/// values, no row is lost.
async fn generated(engine: Engine) {
    let servers = bench(engine).await;
    let table = "CREATE TABLE t (id INT, total INT AS (a + b) STORED, a INT NOT NULL, twice BIGINT AS (a * 2) VIRTUAL, b INT NOT NULL, \
        label VARCHAR(30) AS (CONCAT('#', a, '/', b)) VIRTUAL, PRIMARY KEY (id), KEY (total), KEY (label));\n";
    let (before, after) = both(|id| {
        format!(
            "INSERT INTO t (id, a, b) VALUES ({id}, 1, 2), ({}, 10, 0), ({}, 0, 0);
             UPDATE t SET a = -5, b = 6 WHERE id = {};
             UPDATE t SET b = 7 WHERE id = {};
             ",
            id + 1,
            id + 2,
            id + 1,
            id + 2
        )
    });
    let world = servers
        .as_ref()
        .unwrap()
        .world("googlesql", &format!("{table}{before}"))
        .await;
    by_both_roads(&world, &after).await;
    expect(
        &world,
        &["total", "a", "twice", "b", "label"],
        &[
            &["3", "1", "2", "2", "#1/2"],
            &["1", "-5", "-10", "6", "#-5/6"],
            &["7", "0", "0", "7", "#0/7"],
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_29_generated_columns_mysql() {
    generated(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_29_generated_columns_mariadb() {
    generated(Engine::MariaDb).await;
}

/// FLOAT, the year 0000 and JSON numbers: the same from both roads, and what the source says they
/// are.
async fn odd_numbers(engine: Engine) {
    let servers = bench(engine).await;
    let table = "CREATE TABLE t (id INT PRIMARY KEY, f FLOAT, d DOUBLE, y YEAR, j JSON);\n";
    let (before, after) = both(|id| {
        format!(
            "INSERT INTO t VALUES ({id}, 0.1, 0.1, 0, '[1.50, 1e2, 18446744073709551615, -0.0]'), \
               ({}, 16777217, 1e-310, '0', '1.0'), ({}, 3.40282e38, 1.7976931348623157e308, 2155, '{{\"a\": 0.1}}');\n",
            id + 1,
            id + 2
        )
    });
    let world = servers
        .as_ref()
        .unwrap()
        .world("googlesql", &format!("{table}{before}"))
        .await;
    by_both_roads(&world, &after).await;
    let rows = world.target_rows("t", &["id", "f", "d", "y", "j"]).await;
    let row = |id: &str| &rows.iter().find(|row| row[0] == id).unwrap()[1..];
    for (snapshot, stream) in [("1", "101"), ("2", "102"), ("3", "103")] {
        assert_eq!(row(snapshot), row(stream));
    }
    assert_eq!(row("1")[2], "0", "the year 0000");
    assert_eq!(row("3")[2], "2155");
    assert!(row("1")[3].contains("18446744073709551615"), "{:?}", row("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_30_odd_numbers_mysql() {
    odd_numbers(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_30_odd_numbers_mariadb() {
    odd_numbers(Engine::MariaDb).await;
}

/// `check` names VIRTUAL columns whose values depend on the session, by the expressions that the
/// servers themselves print.
async fn virtual_columns_of_a_session(engine: Engine, by_themselves: &str, blocking: &[&str]) {
    let servers = bench(engine).await;
    let schema = format!(
        "CREATE TABLE v (id INT PRIMARY KEY, ts TIMESTAMP NULL, dt DATETIME NULL, n INT, s VARCHAR(20), \
           day DATE AS (DATE(ts)) VIRTUAL, \
           kept DATETIME AS (dt) STORED, \
           month VARCHAR(20) AS (DATE_FORMAT(dt, '%M')) VIRTUAL, \
           digits VARCHAR(20) AS (DATE_FORMAT(dt, '%Y-%m')) VIRTUAL, \
           third DECIMAL(20,10) AS (n / 3) VIRTUAL, \
           whole INT AS (n DIV 3) VIRTUAL, \
           parsed DATE AS (CAST(s AS DATE)) VIRTUAL{by_themselves});
         "
    );
    let world = servers.as_ref().unwrap().world("googlesql", &schema).await;
    let mut options = world.migrate_options().to_vec();
    options.extend(["--output", "json"]);
    let output = world.run("check", &options);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |severity: &str| -> Vec<String> {
        let findings = found["findings"].as_array().unwrap().iter();
        let about =
            findings.filter(|finding| finding["code"] == "SF-4013" && finding["severity"] == severity);
        let mut parts: Vec<String> = about
            .map(|finding| finding["part"].as_str().unwrap().to_owned())
            .collect();
        parts.sort();
        parts
    };
    assert_eq!(of("warning"), ["day", "month", "parsed", "third"], "{found}");
    assert_eq!(of("blocking"), blocking, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn virtual_columns_of_a_session_are_named_mysql() {
    virtual_columns_of_a_session(Engine::MySql, "", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn virtual_columns_of_a_session_are_named_mariadb() {
    let by_themselves = ", at DATETIME AS (NOW()) VIRTUAL, chance DOUBLE AS (RAND()) VIRTUAL";
    virtual_columns_of_a_session(Engine::MariaDb, by_themselves, &["at", "chance"]).await;
}
