//! Statements that change data in an odd dress: 35. `crates/mysql/tests/statements.rs` tries all of
//! them on the decoder.

use spanferry_testkit::server::Engine;

use crate::support::bench;

const TABLES: &str = "CREATE TABLE calm (id INT PRIMARY KEY, v INT);
    CREATE TABLE parted (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (3), PARTITION p1 VALUES LESS THAN (9));
    CREATE TABLE emptied (id INT PRIMARY KEY, v INT);
    CREATE TABLE dropped (id INT PRIMARY KEY, v INT);
    CREATE TABLE moved (id INT PRIMARY KEY, v INT);
    CREATE TABLE keyed (a INT NOT NULL, v INT, UNIQUE KEY uk (a));
    INSERT INTO calm VALUES (1, 1), (2, 2);
    INSERT INTO parted VALUES (1, 1), (4, 2);
    INSERT INTO emptied VALUES (1, 1), (2, 2);
    INSERT INTO dropped VALUES (1, 1), (2, 2);
    INSERT INTO moved VALUES (1, 1), (2, 2);
    INSERT INTO keyed VALUES (1, 1), (2, 2);
    ";

const MYSQL: &str = "ALTER TABLE parted /*!80000 TRUNCATE PARTITION p1 */;
    PREPARE p FROM 'TRUNCATE TABLE emptied';
    EXECUTE p;
    DROP /*!99999 TEMPORARY */ TABLE dropped;
    CREATE TABLE other (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (9));
    ALTER TABLE other EXCHANGE PARTITION p0 WITH TABLE moved;
    ALTER TABLE keyed ADD INDEX i (v), DROP INDEX uk";

const MARIADB: &str = "ALTER TABLE parted WAIT 10 DROP PARTITION p1;
    SET STATEMENT lock_wait_timeout = 5 FOR TRUNCATE TABLE emptied;
    CREATE OR REPLACE SEQUENCE dropped;
    CREATE TABLE other (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (0));
    ALTER TABLE other CONVERT TABLE moved TO PARTITION p1 VALUES LESS THAN (9);
    ALTER TABLE keyed NOWAIT ADD INDEX i (v), DROP INDEX uk";

/// Each of these statements stops its table; the rows of the others flow on.
async fn odd_statements(engine: Engine, statements: &str) {
    let servers = bench(engine).await;
    let world = servers.as_ref().unwrap().world("googlesql", TABLES).await;
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    // Harmless, in an odd dress too.
    world
        .sql("ALTER TABLE calm /*!50000 ADD UNIQUE u (v) */, COMMENT = 'DROP COLUMN v';\nINSERT INTO calm VALUES (3, 3)")
        .await;
    world.sql(statements).await;
    world.sql("INSERT INTO calm VALUES (4, 4)").await;
    world.wait(&mut migrate, "five tables had stopped", |status| {
        let tables = status["tables"].as_array().unwrap();
        let stopped = |table: &&serde_json::Value| table["phase"] == "stopped";
        tables.iter().filter(stopped).count() == 5
    });
    assert_eq!(migrate.interrupt(), 4);
    let (status, text) = world.drain();
    assert_eq!(status, 4, "{text}");
    let rows = world.target_rows("calm", &["id"]).await;
    assert_eq!(rows, [["1"], ["2"], ["3"], ["4"]]);
}

/// When every table has stopped, a drain applies nothing: `verify` does not ask for one, and names
/// what helps.
#[tokio::test(flavor = "multi_thread")]
async fn verify_asks_for_no_drain_when_every_table_has_stopped() {
    let servers = bench(Engine::MySql).await;
    let schema = "CREATE TABLE t (id INT PRIMARY KEY, v INT);\nINSERT INTO t VALUES (1, 1);\n";
    let world = servers.as_ref().unwrap().world("googlesql", schema).await;
    world.expect_drained();
    world
        .sql("SET SESSION binlog_format = STATEMENT;\nUPDATE t SET v = 7;\n")
        .await;
    for _ in 0..2 {
        let (status, text) = world.drain();
        assert!(status == 4 && text.contains("stopped: `t`"), "{status}: {text}");
        world.sql("UPDATE t SET v = v + 1;\n").await;
    }
    let (status, text) = world.verify();
    let fix = format!("fix: spanferry resync --state-dir {} t\n", world.state.display());
    for words in ["not compared: `t` is stopped", &fix, "1 table not compared"] {
        assert!(status == 4 && text.contains(words), "{words}: {status}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_35_statements_in_an_odd_dress_mysql() {
    odd_statements(Engine::MySql, MYSQL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_35_statements_in_an_odd_dress_mariadb() {
    odd_statements(Engine::MariaDb, MARIADB).await;
}
