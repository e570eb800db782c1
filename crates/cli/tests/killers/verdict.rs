//! What `verify` must see, and must not: 19, 20, 43, and a target that another program has written
//! to.

use mysql_async::prelude::Queryable;
use spanferry_testkit::patience::until;
use spanferry_testkit::server::Engine;

use crate::support::schema::expect_documented;
use crate::support::{World, bench, said};

/// What the witnesses say of a table that is asked for whole.
fn witness(rows_source: u64, rows_target: u64, contradicted: serde_json::Value) -> serde_json::Value {
    serde_json::json!({"rows_source": rows_source, "rows_target": rows_target, "rows_asked": rows_target,
        "columns_missing": [], "contradicted": contradicted})
}

/// Differences that cancel out under XOR, or that hide behind separators: each is found, with its
/// key.
#[tokio::test(flavor = "multi_thread")]
async fn killer_19_differences_that_weak_checksums_miss() {
    let servers = bench(Engine::MySql).await;
    let schema = "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20), b VARCHAR(20), n INT);
        INSERT INTO t VALUES (1, 'x', 'y', 1), (2, 'x', 'y', 2), (3, 'a,b', 'c', 3), (4, NULL, '', 4), (5, 'a', 'a', 5), \
          (6, 'same', 'same', 6), (7, 'same', 'same', 6), (8, '1', '23', 8);
        ";
    let world = servers.as_ref().unwrap().world("googlesql", schema).await;
    world.expect_drained();
    world.expect_equal();
    let damages: [&[&[&str]]; 6] = [
        // Two equal rows changed in the same way: their digests cancel under XOR.
        &[&["6", "other", "same", "6"], &["7", "other", "same", "6"]],
        // Values exchanged between two rows.
        &[&["1", "x", "y", "2"], &["2", "x", "y", "1"]],
        // Values exchanged between two columns, and a separator that moved.
        &[&["3", "a", "b,c", "3"]],
        &[&["8", "12", "3", "8"]],
        // NULL and the empty text.
        &[&["4", "", "", "4"]],
        &[&["5", "a", "A", "5"]],
    ];
    let columns = ["id", "a", "b", "n"];
    for damage in damages {
        let before = world.target_rows("t", &columns).await;
        world.meddle("t", &columns, damage).await;
        let output = world.run("verify", &["--output", "json"]);
        let (status, text) = said(&output);
        assert_eq!(status, 4, "{damage:?}: {text}");
        let verdict: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let table = &verdict["tables"][0];
        assert_eq!(verdict["equal"], false);
        assert_eq!(table["different"], damage.len(), "{damage:?}: {text}");
        assert_eq!(table["keys"].as_array().unwrap().len(), damage.len(), "{text}");
        assert_eq!(
            (&table["missing"], &table["extra"]),
            (&0.into(), &0.into()),
            "{text}"
        );
        let repaired: Vec<Vec<&str>> = before
            .iter()
            .filter(|row| row[1] != "NULL")
            .map(|row| row.iter().map(String::as_str).collect())
            .collect();
        let repaired: Vec<&[&str]> = repaired.iter().map(Vec::as_slice).collect();
        world.meddle("t", &columns, &repaired).await;
        if damage[0][0] == "4" {
            world.sql("UPDATE t SET a = '' WHERE id = 4;\n").await;
            world.expect_drained();
        }
        world.expect_equal();
    }
}

/// Rows changed, removed and added at the target behind our back: each is reported, with its key
/// and the columns that differ.
async fn a_target_changed_behind_our_back(dialect: &'static str) {
    let servers = bench(Engine::MySql).await;
    let schema = "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20), n INT, d DECIMAL(10,2));
        INSERT INTO t VALUES (1, 'x', 1, 1.5), (2, 'x', 2, 2.5), (3, 'x', 3, 3.5);
        CREATE TABLE u (id INT PRIMARY KEY);
        INSERT INTO u VALUES (1);
        ";
    let world = servers.as_ref().unwrap().world(dialect, schema).await;
    world.expect_drained();
    world.expect_equal();
    let columns = ["id", "a", "n"];
    world
        .meddle("t", &columns, &[&["2", "y", "7"], &["9", "x", "9"]])
        .await;
    world.meddle_away("t", &[&["3"]]).await;

    let output = world.run("verify", &["--output", "json"]);
    assert_eq!(output.status.code(), Some(4));
    let mut found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys = found["tables"][0]["keys"].as_array_mut().unwrap();
    keys.sort_by_key(|key| key["key"].to_string());
    let expected = serde_json::json!({"version": 1, "equal": false, "tables": [
        {"schema": world.schema, "name": "t", "rows_source": 3, "rows_target": 3, "missing": 1, "extra": 1, "different": 1, "keys": [
            {"kind": "different", "key": "[\"2\"]", "columns": ["a", "n"]},
            {"kind": "missing", "key": "[\"3\"]", "columns": []},
            {"kind": "extra", "key": "[\"9\"]", "columns": []}], "refused": 0, "refused_rows": [],
            "witness": witness(3, 3, serde_json::json!([]))},
        {"schema": world.schema, "name": "u", "rows_source": 1, "rows_target": 1, "missing": 0, "extra": 0, "different": 0, "keys": [],
            "refused": 0, "refused_rows": [], "witness": witness(1, 1, serde_json::json!([]))}], "not_compared": []});
    assert_eq!(found, expected);

    let (status, text) = world.verify();
    assert_eq!(status, 4, "{text}");
    for line in [
        "DIFFERENT: 3 rows at the source, 3 at the target; 1 missing, 1 extra, 1 different",
        "    different [\"2\"] in a, n\n",
        "    missing [\"3\"]\n",
        "    extra [\"9\"]\n",
        "verify: different",
    ] {
        assert!(text.contains(line), "`{line}` is missing in: {text}");
    }

    // A table that was not compared is never called equal.
    let output = world.run("verify", &["--exclude", "t", "--output", "json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &found["equal"], &found["tables"][0]["name"]),
        (Some(4), &false.into(), &"u".into())
    );

    // The source has moved on: neither equal nor different.
    world
        .sql("INSERT INTO u VALUES (2);\nINSERT INTO u VALUES (3);\n")
        .await;
    let (status, text) = world.verify();
    assert!(
        status == 5
            && text.contains("error[SF-5009]: the source is ahead of the target: its transaction")
            && text.contains("changes `u`"),
        "{status}: {text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_changed_behind_our_back_googlesql() {
    a_target_changed_behind_our_back("googlesql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_changed_behind_our_back_postgresql() {
    a_target_changed_behind_our_back("postgresql").await;
}

/// Verify while the application writes: the source being ahead is said, never a difference; at rest
/// it is equal again.
async fn no_false_alarm(engine: Engine) {
    let servers = bench(engine).await;
    let schema = "CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL);
        INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT i, i FROM n;
        ";
    let world = servers.as_ref().unwrap().world("googlesql", schema).await;
    world.expect_drained();
    let writer = world.writer(|step| {
        vec![
            format!("UPDATE t SET v = v + 1 WHERE id = {}", step % 500 + 1),
            format!("INSERT INTO t VALUES ({}, {step})", 1_000 + step),
            format!("DELETE FROM t WHERE id = {}", 990 + step),
        ]
    });
    for _ in 0..5 {
        writer.write_more(5).await;
        let (status, text) = world.verify();
        assert!(
            status == 5 && text.contains("the source is ahead of the target"),
            "{status}: {text}"
        );
        assert!(
            !text.contains("DIFFERENT") && !text.contains("verify: different"),
            "{text}"
        );
    }
    writer.stop().await;
    world.expect_drained();
    world.expect_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_20_no_false_alarm_under_writes_mysql() {
    no_false_alarm(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_20_no_false_alarm_under_writes_mariadb() {
    no_false_alarm(Engine::MariaDb).await;
}

/// A write in the middle of a verify that began at rest: still no false alarm.
#[tokio::test(flavor = "multi_thread")]
async fn killer_20_a_write_in_the_middle_of_a_verify() {
    let servers = bench(Engine::MySql).await;
    let schema = "CREATE TABLE a (id INT PRIMARY KEY, v INT NOT NULL);
        CREATE TABLE z (id INT PRIMARY KEY, v INT NOT NULL);
        INSERT INTO a VALUES (1, 1);
        INSERT INTO z VALUES (1, 1);
        ";
    let mut world = servers.as_ref().unwrap().world("googlesql", schema).await;
    world.expect_drained();
    let (status, text) = said(&world.run("verify", &["--include", "a"]));
    assert!(
        status == 4
            && text.contains("not compared: `z` is not selected")
            && text.contains("verify: no difference found, but 1 table not compared"),
        "{status}: {text}"
    );
    let interposer = world.interpose("");
    interposer
        .faults()
        .set_rates(spanferry_spanner_standin::parse_rates("StreamingRead.latency=1:300ms").unwrap());
    let verify = world
        .command("verify", &[])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let begun = interposer.faults().injected();
    // The control tables are read first: three reads later the tables themselves are under way.
    until("the tables are read", async || {
        interposer.faults().injected() >= begun + 5
    })
    .await;
    world.sql("UPDATE a SET v = 2;\nUPDATE z SET v = 2;\n").await;
    let (status, text) = said(&verify.wait_with_output().unwrap());
    assert!(
        status == 5 && text.contains("the source is ahead of the target"),
        "{status}: {text}"
    );
}

/// The streams of replicas at the source, by the server's number of their session.
async fn dumps(world: &World) -> Vec<u64> {
    let pool = world.server.pool(None);
    let mut connection = pool.get_conn().await.unwrap();
    let sql = "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%' ORDER BY id";
    let found = connection.query(sql).await.unwrap();
    drop(connection);
    pool.disconnect().await.unwrap();
    found
}

/// A heartbeat in another schema every few milliseconds: verify at rest is equal all the same,
/// beside a `migrate` whose stream it leaves alone, and after it. A write to a selected table is
/// not passed over.
async fn heartbeat_elsewhere(engine: Engine) {
    let servers = bench(engine).await;
    let schema = "CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL);
        INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT i, i FROM n;
        CREATE TABLE u (id INT PRIMARY KEY, v INT NOT NULL);
        INSERT INTO u VALUES (1, 1);
        DROP DATABASE IF EXISTS elsewhere;
        CREATE DATABASE elsewhere;
        CREATE TABLE elsewhere.heartbeat (id INT PRIMARY KEY, v BIGINT NOT NULL, z DATE);
        INSERT INTO elsewhere.heartbeat VALUES (1, 0, NULL);
        ";
    let world = servers.as_ref().unwrap().world("googlesql", schema).await;
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    let writer = world.writer(|step| {
        let statement = if step % 10 == 9 {
            "CREATE OR REPLACE VIEW elsewhere.seen AS SELECT v FROM elsewhere.heartbeat".to_owned()
        } else {
            format!("UPDATE elsewhere.heartbeat SET v = {step} WHERE id = 1")
        };
        vec![statement]
    });
    writer.write_more(20).await;
    let streams = dumps(&world).await;
    assert_eq!(streams.len(), 1, "{streams:?}");
    world.expect_equal();
    assert_eq!(
        dumps(&world).await,
        streams,
        "verify has ended the stream of migrate"
    );
    assert_eq!(migrate.interrupt(), 130);

    writer.write_more(20).await;
    for _ in 0..3 {
        world.expect_equal();
    }
    world.sql("UPDATE t SET v = 0 WHERE id = 7;\n").await;
    let (status, text) = world.verify();
    assert!(
        status == 5 && text.contains("the source is ahead of the target") && text.contains("changes `t`"),
        "{status}: {text}"
    );
    // A run that does not compare that table is not concerned.
    let (status, text) = said(&world.run("verify", &["--include", "u"]));
    assert!(
        status == 4 && text.contains("verify: no difference found, but 1 table not compared"),
        "{status}: {text}"
    );
    world.expect_drained();
    world.expect_equal();
    world.sql("TRUNCATE TABLE t;\n").await;
    let (status, text) = world.verify();
    assert!(
        status == 5 && text.contains("concerns `t` (TRUNCATE"),
        "{status}: {text}"
    );
    writer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_43_a_heartbeat_in_another_schema_mysql() {
    heartbeat_elsewhere(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_43_a_heartbeat_in_another_schema_mariadb() {
    heartbeat_elsewhere(Engine::MariaDb).await;
}

/// A row without an exact form is reported, with the rest of its table and the other tables
/// compared; keys of bytes are readable.
async fn rows_without_an_exact_form(engine: Engine) {
    let servers = bench(engine).await;
    let schema = "CREATE TABLE t (id INT PRIMARY KEY, d DATE NULL);
        INSERT INTO t VALUES (1, '2024-01-01'), (2, NULL), (3, '2024-01-03');
        CREATE TABLE u (id BINARY(2) PRIMARY KEY, v INT NOT NULL);
        INSERT INTO u VALUES (X'00FF', 1), (X'2000', 2);
        ";
    let world = servers.as_ref().unwrap().world("googlesql", schema).await;
    world.expect_drained();
    world
        .sql("SET sql_mode = '';\nUPDATE t SET d = '0000-00-00' WHERE id = 2;\nINSERT INTO t VALUES (9, '2024-00-01');\n")
        .await;
    let (status, text) = world.drain();
    assert!(
        status == 4 && text.contains("zero or partial date"),
        "{status}: {text}"
    );
    world.meddle("u", &["id", "v"], &[&["AP8=", "7"]]).await;
    let output = world.run("verify", &["--output", "json"]);
    assert_eq!(output.status.code(), Some(4));
    let lines = expect_documented("verify", std::str::from_utf8(&output.stdout).unwrap());
    let reason = "a zero or partial date";
    let expected = serde_json::json!({"version": 1, "equal": false, "tables": [
        {"schema": world.schema, "name": "t", "rows_source": 4, "rows_target": 3, "missing": 0, "extra": 0, "different": 0, "keys": [], "refused": 2,
            "refused_rows": [{"key": "[\"2\"]", "column": "d", "reason": reason}, {"key": "[\"9\"]", "column": "d", "reason": reason}],
            "witness": witness(4, 3, serde_json::json!([]))},
        {"schema": world.schema, "name": "u", "rows_source": 2, "rows_target": 2, "missing": 0, "extra": 0, "different": 1,
            "keys": [{"kind": "different", "key": "[\"0x00FF\"]", "columns": ["v"]}], "refused": 0, "refused_rows": [],
            "witness": witness(2, 2, serde_json::json!([]))}], "not_compared": []});
    assert_eq!(lines[0], expected);
    let (status, text) = world.verify();
    for line in [
        "DIFFERENT: 4 rows at the source, 3 at the target; 0 missing, 0 extra, 0 different; 2 rows without an exact form",
        "    no exact form [\"2\"] in d: a zero or partial date\n",
        "    different [\"0x00FF\"] in v\n",
        "verify: different",
    ] {
        assert!(
            status == 4 && text.contains(line),
            "`{line}` is missing in: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_an_exact_form_are_reported_mysql() {
    rows_without_an_exact_form(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_an_exact_form_are_reported_mariadb() {
    rows_without_an_exact_form(Engine::MariaDb).await;
}

/// A table or a column that was dropped at the target is a difference of its table, and the others
/// are compared. What was added there is noted. `migrate` stops the group of the dropped table by
/// name, and what is printed brings it back.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_dropped_at_the_target_is_a_difference_of_its_table() {
    let servers = bench(Engine::MySql).await;
    let schema = "CREATE TABLE gone (id INT PRIMARY KEY);
        CREATE TABLE narrow (id INT PRIMARY KEY, v INT, w INT);
        CREATE TABLE whole (id INT PRIMARY KEY);
        INSERT INTO gone VALUES (1), (2);
        INSERT INTO narrow VALUES (1, 1, 1);
        INSERT INTO whole VALUES (1);
        ";
    let world = servers.as_ref().unwrap().world("googlesql", schema).await;
    world.expect_drained();
    let statements = [
        "DROP TABLE `gone`",
        "ALTER TABLE `narrow` DROP COLUMN `v`",
        "ALTER TABLE `whole` ADD COLUMN more INT64",
        "CREATE TABLE stranger (id INT64) PRIMARY KEY (id)",
    ];
    let client = world.target_client();
    client
        .update_ddl(&statements.map(str::to_owned), "by_hand")
        .await
        .unwrap();
    let (status, text) = world.verify();
    assert_eq!(status, 4, "{text}");
    for line in [
        "DIFFERENT: the target does not have the table; no row was compared, 2 rows at the source, 0 at the target",
        "DIFFERENT: the target does not have these columns: v; no row was compared, 1 row at the source, 1 at the target",
        "equal: 1 row at the source, 1 at the target",
        "witnesses: in 1 equal table, ",
        "note: `whole` has a column `more` at the target",
        "note: the target has a table `stranger`",
    ] {
        assert!(text.contains(line), "`{line}` is missing in: {text}");
    }
    let output = world.run("verify", &["--output", "json"]);
    let found = expect_documented("verify", std::str::from_utf8(&output.stdout).unwrap());
    let tables = found[0]["tables"].as_array().unwrap().iter();
    let lacks: Vec<_> = tables.map(|table| table["target_lacks"].as_str()).collect();
    assert_eq!(lacks, [Some("table"), Some("columns"), None]);
    let (status, text) = said(&world.drain_command().output().unwrap());
    assert!(
        status == 4 && text.contains("stopped: `gone`: SF-3012") && text.contains("  fix: spanferry resync "),
        "{status}: {text}"
    );
    for table in ["gone", "narrow"] {
        let (status, text) = said(&world.run("resync", &[table, "--yes"]));
        assert_eq!(status, 0, "{text}");
    }
    world.expect_drained();
    world.expect_equal();
}
