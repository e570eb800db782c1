//! A DDL on a table that is being loaded ends at once, and the migration ends as documented.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use mysql_async::prelude::Queryable;
use spanferry_testkit::server::Engine;
use support::{Running, World};

const SCHEMA: &str = "CREATE TABLE t (id INT PRIMARY KEY, pad VARCHAR(200) NOT NULL);
     INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 100) \
       SELECT a.i * 100 + b.i, REPEAT('x', 200) FROM n a JOIN n b;
     CREATE TABLE other (id INT PRIMARY KEY);
     INSERT INTO other VALUES (1)";

/// A migration that reads so slowly that its first range is open until a statement needs the table.
fn start_slowly(world: &World) -> Running {
    let mut migrate = world.migrate_with(&["--source-rate", "200000"]);
    world.wait(&mut migrate, "the load had begun", |status| {
        let throttled = status["throttled"].as_str().unwrap_or_default();
        let loaded = status["tables"].as_array().is_some_and(|tables| {
            tables
                .iter()
                .any(|table| table["name"] == "t" && table["phase"] == "loading")
        });
        loaded && throttled.contains("--source-rate")
    });
    migrate
}

/// Runs the DDL and a reader behind it, and waits until the migration reports why it ended its
/// snapshot.
async fn change(world: &World, migrate: &mut Running, ddl: &str) {
    let pool = world.server.pool(Some("shop"));
    let (mut changer, mut reader) = (pool.get_conn().await.unwrap(), pool.get_conn().await.unwrap());
    let (changed, counted) = tokio::join!(
        changer.query_drop(ddl),
        reader.query_first::<u64, _>("SELECT COUNT(*) FROM t")
    );
    changed.unwrap();
    assert_eq!(counted.unwrap(), Some(10_000));
    drop((changer, reader));
    pool.disconnect().await.unwrap();
    world.wait(migrate, "the reason was told", |status| {
        let findings = status["findings"].as_array().cloned().unwrap_or_default();
        findings.iter().any(|finding| {
            let text = finding["text"].as_str().unwrap_or_default();
            text.contains("a statement waits for `shop`.`t`")
        })
    });
}

async fn check(engine: Engine) {
    let world = World::new(engine, SCHEMA).await;
    let mut migrate = start_slowly(&world);
    change(&world, &mut migrate, "ALTER TABLE t ADD INDEX pads (pad)").await;
    migrate.kill();
    world.expect_drained();
    world.expect_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_harmless_ddl_passes_and_the_load_completes_mysql() {
    check(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_harmless_ddl_passes_and_the_load_completes_mariadb() {
    check(Engine::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_definition_stops_the_group() {
    let world = World::new(Engine::MySql, SCHEMA).await;
    let mut migrate = start_slowly(&world);
    change(&world, &mut migrate, "ALTER TABLE t ADD COLUMN c INT").await;
    world.wait(&mut migrate, "the group had stopped", |status| {
        let tables = status["tables"].as_array().cloned().unwrap_or_default();
        tables
            .iter()
            .any(|table| table["name"] == "t" && table["phase"] == "stopped")
    });
    assert_eq!(migrate.interrupt(), 4);
}
