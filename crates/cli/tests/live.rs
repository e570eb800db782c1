//! Live migrations against real servers and the emulator: writes, kills, stops, odd values.

#![allow(
    clippy::unwrap_used,
    clippy::no_effect_replace,
    reason = "a failed step is a failed test"
)]

mod support;

use spanferry_testkit::crowd::Crowd;
use spanferry_testkit::random::{Random, seed};
use spanferry_testkit::scenario::{SCHEMA, State, read_state};
use spanferry_testkit::server::Engine;
use support::World;

/// Operations of one random run, all connections together.
const OPERATIONS: u64 = 10_000;

/// Random transactions before, during and after the snapshot, some of them left open across it; the
/// process is killed again and again, each time twice in a row.
async fn random_operations_with_kills(engine: Engine) {
    let seed = seed(20_261_124);
    let world = World::new(engine, SCHEMA).await;
    let mut crowd = Crowd::new(world.server.pool(Some("shop")), seed, 100)
        .await
        .unwrap();
    let mut random = Random::new(seed);
    crowd.run(1_500).await.unwrap();
    for round in 0..5 {
        crowd.hold(random.between(5, 60)).await.unwrap();
        // The moments differ by the seed: before the first commit, in the load, in catch-up, when
        // caught up.
        for _ in 0..2 {
            let migrate = world.migrate();
            crowd.run(random.between(1, 500)).await.unwrap();
            migrate.kill();
        }
        let mut migrate = world.migrate();
        crowd.run(random.between(1, 300)).await.unwrap();
        if round == 0 {
            world.wait(&mut migrate, "a snapshot was opened", has_opened_snapshot);
        }
        crowd.let_go().await.unwrap();
        if round % 2 == 0 {
            world.wait_caught_up(&mut migrate);
            crowd.run(200).await.unwrap();
        }
        migrate.kill();
        crowd.run(100).await.unwrap();
    }
    let left = OPERATIONS.saturating_sub(crowd.operations());
    crowd.run(left).await.unwrap();
    let expected = crowd.end().await.unwrap();
    assert_eq!(
        read_source(&world).await,
        expected,
        "seed {seed}: the source itself"
    );
    world.expect_drained();
    world.expect_equal();
}

/// This process has, or an earlier one has loaded everything.
fn has_opened_snapshot(status: &serde_json::Value) -> bool {
    let tables = status["tables"].as_array().map_or(&[][..], Vec::as_slice);
    let is_loaded = |table: &serde_json::Value| table["phase"] != "pending" && table["phase"] != "loading";
    status["hand_off"].is_string() || (!tables.is_empty() && tables.iter().all(is_loaded))
}

async fn read_source(world: &World) -> State {
    let pool = world.server.pool(Some("shop"));
    let mut connection = pool.get_conn().await.unwrap();
    let state = read_state(&mut connection).await.unwrap();
    drop(connection);
    pool.disconnect().await.unwrap();
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn random_operations_with_kills_mysql() {
    random_operations_with_kills(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_operations_with_kills_mariadb() {
    random_operations_with_kills(Engine::MariaDb).await;
}

/// A transaction that is open across the snapshot, and key changes between ranges: killers 1 and 4.
#[tokio::test(flavor = "multi_thread")]
async fn killer_01_keys_move_while_the_snapshot_runs() {
    use mysql_async::prelude::Queryable;
    let world = World::new(
        Engine::MySql,
        "CREATE TABLE t (id BIGINT PRIMARY KEY, v INT NOT NULL, pad VARCHAR(200) NOT NULL);
         INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
           SELECT a.i * 1000 + b.i, b.i, REPEAT('x', 100) FROM n a JOIN n b ON b.i <= 60 WHERE a.i <= 1000;
         ",
    )
    .await;
    let pool = world.server.pool(Some("shop"));
    let mut open = pool.get_conn().await.unwrap();
    open.query_drop("START TRANSACTION").await.unwrap();
    open.query_drop("UPDATE t SET id = id + 500 WHERE id = 1001")
        .await
        .unwrap();
    let mut migrate = world.migrate();
    let mut writer = pool.get_conn().await.unwrap();
    for step in 0..300 {
        let low = 2001 + step;
        let (from, to) = if step % 2 == 0 {
            (low / 2 * 2, 1_000_500 + step)
        } else {
            (1_000_001 + step % 60, 500 - step)
        };
        writer
            .query_drop(format!("UPDATE t SET id = {to}, v = v + 1 WHERE id = {from}"))
            .await
            .unwrap();
    }
    open.query_drop("COMMIT").await.unwrap();
    world.wait_caught_up(&mut migrate);
    assert_eq!(migrate.interrupt(), 130);
    drop((open, writer));
    pool.disconnect().await.unwrap();
    world.expect_drained();
    world.expect_equal();
}

/// The same odd values before the snapshot and after it: both roads must give what the other gives.
async fn types(engine: Engine, dialect: &'static str, more: &str) {
    let table = format!(
        "CREATE TABLE t (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, i1 TINYINT, u1 TINYINT UNSIGNED, i2 SMALLINT, i3 MEDIUMINT, \
           u3 MEDIUMINT UNSIGNED, i4 INT, u4 INT UNSIGNED ZEROFILL, i8 BIGINT, u8 BIGINT UNSIGNED, d DECIMAL(20,6), dw DECIMAL(65,30), \
           f FLOAT, g DOUBLE, b BIT(12), c CHAR(10), vc VARCHAR(50), l1 VARCHAR(20) CHARACTER SET latin1, gb VARCHAR(20) CHARACTER SET gbk, \
           u16 VARCHAR(20) CHARACTER SET utf16, tx TEXT, bn BINARY(6), vb VARBINARY(20), bl BLOB, e ENUM('a','b,c','ü') , \
           s SET('x','y','z'), dt DATE, dm DATETIME(6), dz DATETIME, ts TIMESTAMP(6) NULL, tm TIME(6), t0 TIME, y YEAR, g1 POINT{more})"
    );
    let rows = "INSERT INTO t (i1,u1,i2,i3,u3,i4,u4,i8,u8,d,dw,f,g,b,c,vc,l1,gb,u16,tx,bn,vb,bl,e,s,dt,dm,dz,ts,tm,t0,y,g1) VALUES \
        (-128,255,-32768,-8388608,16777215,-2147483648,4294967295,-9223372036854775808,18446744073709551615,'-99999999999999.999999', \
         '-12345678901234567890123456789012345.123456789012345678901234567890',-3.4e38,-1.7976931348623157e308,b'111111111111','äöü','日本🍐 \\n\\t\\\\ NULL','éß€', \
         '中文','ü🍐','',0x610000000000,0x00,0x00ff00,'ü','x,z','0001-01-01','9999-12-31 23:59:59.999999','1969-12-31 23:59:59', \
         '2038-01-19 03:14:07.999999','-838:59:59.000000','838:59:59',1901,ST_GeomFromText('POINT(1 -2)')), \
        (NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL), \
        (0,0,0,0,0,0,0,0,0,0,0,0.1,0.1,0,'','','','','','text',0x00,'','','a','','2024-02-29','2024-02-29 00:00:00.000005','1000-01-01 00:00:00', \
         '1971-01-01 00:00:01.1','00:00:00.000005','-00:00:01',0,ST_GeomFromText('POINT(0 0)')), \
        (1,1,1,1,1,1,1,1,9223372036854775808,'0.000001','0.000000000000000000000000000001',16777216,1e-310,1,'a b','a ','a','a','a',REPEAT('ü',3000),0x0102030405FF, \
         0x0102,REPEAT('\\0',300),'b,c','x,y,z','1582-10-15','1582-10-15 12:00:00.5','2024-03-31 02:30:00','2001-09-09 01:46:40','12:34:56.789','01:02:03',2155,NULL)";
    let server = spanferry_testkit::server::Server::start_with(
        engine,
        &spanferry_testkit::server::ServerOptions {
            arguments: vec!["--default-time-zone=+05:30".to_owned()],
            ..spanferry_testkit::server::ServerOptions::default()
        },
    )
    .unwrap();
    let world = World::with(
        server,
        dialect,
        &format!("{table};\nSET sql_mode = '';\n{rows};\n"),
    )
    .await;
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    world
        .sql(&format!(
            "SET sql_mode = '';\n{rows};\nUPDATE t SET u1 = 7 WHERE id % 2 = 0;\n"
        ))
        .await;
    assert_eq!(migrate.interrupt(), 130);
    world.expect_drained();
    world.expect_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_30_values_agree_from_snapshot_and_stream_mysql() {
    types(Engine::MySql, "googlesql", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_30_values_agree_from_snapshot_and_stream_mysql_postgresql_dialect() {
    types(Engine::MySql, "postgresql", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_30_values_agree_from_snapshot_and_stream_mariadb() {
    types(Engine::MariaDb, "googlesql", ", uu UUID DEFAULT '123e4567-e89b-12d3-a456-426614174000', n4 INET4 DEFAULT '10.1.2.3', n6 INET6 DEFAULT '2001:db8::1', j JSON DEFAULT '{\"a\": [1, 2.50]}'").await;
}

/// JSON from both roads, read back as equal values.
#[tokio::test(flavor = "multi_thread")]
async fn json_agrees_from_snapshot_and_stream() {
    let rows = r#"INSERT INTO t (j) VALUES ('{"b": [1, -2.5, 1e3, true, null, "ü\\"\\\\"], "a": {"": 18446744073709551615}}'), ('[]'), ('"x"'), ('0.1'), (NULL), (CAST(CAST('1.50' AS DECIMAL(10,2)) AS JSON)), (CAST(NOW() AS JSON))"#;
    let table = "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, j JSON)";
    let world = World::new(Engine::MySql, &format!("{table};\n{rows};\n")).await;
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    world.sql(&format!("{rows};\n")).await;
    migrate.kill();
    world.expect_drained();
    world.expect_equal();
}

/// One transaction that touches every row under a unique index, larger than one commit may be.
#[tokio::test(flavor = "multi_thread")]
async fn a_huge_transaction_under_a_unique_index() {
    let world = World::new(
        Engine::MySql,
        "CREATE TABLE t (id INT PRIMARY KEY, pos INT NOT NULL, pad VARCHAR(20) NOT NULL, UNIQUE KEY pos (pos));
         SET SESSION cte_max_recursion_depth = 200000;
         INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 60000) SELECT i, i, 'x' FROM n;
         ",
    )
    .await;
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    world.sql("UPDATE t SET pos = pos + 1 ORDER BY pos DESC;\n").await;
    assert_eq!(migrate.interrupt(), 130);
    world.expect_drained();
    world.expect_equal();
}

/// A DDL stops its group with exit status 4 and a finding; the others flow; `resync` brings it
/// back.
#[tokio::test(flavor = "multi_thread")]
async fn a_ddl_stops_its_group_and_resync_brings_it_back() {
    let world = World::new(
        Engine::MySql,
        "CREATE TABLE a (id INT PRIMARY KEY, v INT);
         CREATE TABLE b (id INT PRIMARY KEY, v INT);
         INSERT INTO a VALUES (1, 1), (2, 2);
         INSERT INTO b VALUES (1, 1);
         ",
    )
    .await;
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    world
        .sql("INSERT INTO a VALUES (3, 3);\nALTER TABLE a ADD COLUMN w INT FIRST;\nUPDATE a SET w = 1;\nINSERT INTO b VALUES (2, 2);\n")
        .await;
    world.wait(&mut migrate, "group a had stopped", |status| {
        status["tables"][0]["phase"] == "stopped"
    });
    assert_eq!(migrate.interrupt(), 4);
    let (status, text) = world.drain();
    let printed = format!("fix: spanferry resync --state-dir {} a\n", world.state.display());
    assert!(
        status == 4 && text.contains("SF-5001") && text.contains(&printed),
        "{status}: {text}"
    );
    // The columns are no longer those of the target: that table is named, the other one compared.
    let (status, text) = world.verify();
    assert!(
        status == 4
            && text.contains("not compared: `a` has another definition")
            && text.contains("equal: 2 rows"),
        "{status}: {text}"
    );
    let (status, text) = support::said(&world.run("resync", &["a", "--yes"]));
    assert_eq!(status, 0, "{text}");
    let status = world.status().unwrap();
    let blocking = |finding: &&serde_json::Value| finding["severity"] == "blocking";
    assert_eq!(status["findings"].as_array().unwrap().iter().find(blocking), None);
    world.expect_drained();
    world.expect_equal();
}

/// A table that is created while the migration runs is reported and never carried in silence: the
/// end is 4, also of a later run.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_created_meanwhile_is_told_at_every_end() {
    let world = World::new(
        Engine::MySql,
        "CREATE TABLE a (id INT PRIMARY KEY);
         INSERT INTO a VALUES (1);
         ",
    )
    .await;
    let mut migrate = world.migrate_with(&["--exclude", "scratch*"]);
    world.wait_caught_up(&mut migrate);
    world
        .sql("CREATE TABLE scratch1 (id INT PRIMARY KEY);\nINSERT INTO a VALUES (2);\n")
        .await;
    world.wait(&mut migrate, "the row had been applied", |status| {
        status["apply"]["transactions"].as_u64() >= Some(2)
    });
    assert_eq!(
        migrate.interrupt(),
        130,
        "a table that is not selected is none of ours"
    );
    let mut migrate = world.migrate_with(&["--exclude", "scratch*"]);
    world.wait_caught_up(&mut migrate);
    world
        .sql("CREATE TABLE later (id INT PRIMARY KEY);\nINSERT INTO a VALUES (3);\n")
        .await;
    world.wait(&mut migrate, "the new table had been seen", |status| {
        status["findings"].to_string().contains("SF-5005")
    });
    assert_eq!(migrate.interrupt(), 4);
    let again = world.run("migrate", &["--exclude", "scratch*", "--stop-when", "caught-up"]);
    let (status, text) = support::said(&again);
    assert!(
        status == 4 && text.contains("not migrated: `later`"),
        "{status}: {text}"
    );
    let (status, text) = world.verify();
    assert!(
        status == 4 && text.contains("not compared: `later`") && !text.contains("scratch1"),
        "{status}: {text}"
    );
    // What is dropped again before the end is missing nowhere.
    let statements = "DROP TABLE later;\nCREATE TABLE gone (id INT PRIMARY KEY);\nDROP TABLE gone;\n";
    world.sql(statements).await;
    let again = world.run("migrate", &["--exclude", "scratch*", "--stop-when", "caught-up"]);
    let (status, text) = support::said(&again);
    assert!(
        status == 0 && !text.contains("not migrated: "),
        "{status}: {text}"
    );
}

/// A first start that died before it recorded its tables leaves a target that equals nothing.
#[tokio::test(flavor = "multi_thread")]
async fn verify_of_a_migration_without_tables_is_not_equal() {
    let world = World::new(
        Engine::MySql,
        "CREATE TABLE a (id INT PRIMARY KEY);
         INSERT INTO a VALUES (1);
         ",
    )
    .await;
    let killed = world
        .drain_command()
        .env("SPANFERRY_KILL_AT", "after first epoch:1")
        .output()
        .unwrap();
    assert_eq!(killed.status.code(), None, "it was to be killed");
    let (status, text) = world.verify();
    assert!(
        status == 4 && text.contains("not compared: `a`"),
        "{status}: {text}"
    );
    world.expect_drained();
    world.expect_equal();
}

/// Events that do not carry the whole change stop the group instead of passing unseen: killer 16 in
/// part.
#[tokio::test(flavor = "multi_thread")]
async fn statement_events_and_partial_images_stop_the_group() {
    for (statements, expected) in [
        (
            "SET SESSION binlog_format = 'STATEMENT';\nINSERT INTO a VALUES (9, 9, 9);\n",
            "the server or the session that wrote it has another `binlog_format`",
        ),
        (
            "SET SESSION binlog_row_image = 'MINIMAL';\nUPDATE a SET v = 9 WHERE id = 1;\n",
            "the server or the session that wrote it has another `binlog_row_image`",
        ),
        ("TRUNCATE TABLE a;\n", "TRUNCATE TABLE at the source"),
    ] {
        let world = World::new(
            Engine::MySql,
            "CREATE TABLE a (id INT PRIMARY KEY, v INT, w INT);
             INSERT INTO a (id, v) VALUES (1, 1);
             ",
        )
        .await;
        world.expect_drained();
        world.sql(statements).await;
        let (status, text) = world.drain();
        assert!(status == 4 && text.contains(expected), "{statements}: {text}");
    }
}

/// A server that comes up again without `binlog_format = ROW` in its file: the stop does not put it
/// down to a session, and a new start names the server's setting.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_row_format_is_named() {
    let table = "CREATE TABLE a (id INT PRIMARY KEY, v INT);\nINSERT INTO a VALUES (1, 1);\n";
    let world = World::new(Engine::MariaDb, table).await;
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    world.sql("SET GLOBAL binlog_format = MIXED;\n").await;
    world.sql("INSERT INTO a VALUES (2, 2);\n").await;
    world.wait(&mut migrate, "the table had stopped", |status| {
        status["tables"][0]["phase"] == "stopped"
    });
    assert_eq!(migrate.interrupt(), 4);
    let status = world.status().unwrap().to_string();
    let words = "the server or the session that wrote it has another `binlog_format`, expected ROW";
    assert!(status.contains(words), "{status}");
    let (status, text) = world.drain();
    assert!(
        status == 3 && text.contains("`binlog_format` is `MIXED`, expected `ROW`"),
        "{status}: {text}"
    );
}

/// A value without an exact form is refused with key, column and reason, from the snapshot: killers
/// 18 and 27.
#[tokio::test(flavor = "multi_thread")]
async fn killer_27_values_without_exact_form_are_refused() {
    let world = World::new(
        Engine::MySql,
        "CREATE TABLE a (id BIGINT UNSIGNED PRIMARY KEY, d DATE);
         SET sql_mode = '';
         INSERT INTO a VALUES (1, '2024-01-01'), (18446744073709551615, '2024-01-01'), (7, '0000-00-00');
         CREATE TABLE b (id BIGINT UNSIGNED PRIMARY KEY, d DATE);
         INSERT INTO b VALUES (42, '2024-01-01');
         ",
    )
    .await;
    let (status, text) = world.drain();
    assert_eq!(status, 4, "{text}");
    assert!(
        text.contains("18446744073709551615") && text.contains("a zero or partial date"),
        "{text}"
    );
    let (status, text) = world.verify();
    assert_ne!(status, 0, "{text}");
    world
        .sql("SET sql_mode = '';\nUPDATE b SET d = '2024-00-01' WHERE id = 42;\n")
        .await;
    let (status, text) = world.drain();
    assert!(
        status == 4 && text.contains("the changed row with key [\"42\"] holds"),
        "{status}: {text}"
    );
}
