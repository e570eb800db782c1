//! Case 16, XA: an application with prepared transactions beside the migrated schema, and one in
//! it.

use mysql_async::prelude::Queryable;
use serde_json::Value;
use spanferry_testkit::patience::until;
use spanferry_testkit::server::Engine;

use crate::support::{World, bench};

const SCHEMA: &str = "CREATE TABLE t (id BIGINT PRIMARY KEY, v INT NOT NULL);
    INSERT INTO t VALUES (1, 0), (2, 0);
    ";

/// Prepares a transaction by a connection of its own, which then goes away.
async fn prepare(world: &World, name: &str, statement: &str) {
    let pool = world.server.pool(None);
    let mut connection = pool.get_conn().await.unwrap();
    for statement in [
        &format!("XA START '{name}'"),
        statement,
        &format!("XA END '{name}'"),
        &format!("XA PREPARE '{name}'"),
    ] {
        connection.query_drop(statement).await.unwrap();
    }
    connection.disconnect().await.unwrap();
    pool.disconnect().await.unwrap();
}

/// Commits it; the connection that prepared it may not be gone yet.
async fn commit(world: &World, name: &str) {
    let statement = format!("XA COMMIT '{name}'");
    until("a prepared transaction can be committed", async || {
        world.server.execute(None, &statement).await.is_ok()
    })
    .await;
}

/// Whether the snapshot is said to wait for the transaction `before`.
fn waits(status: &Value) -> bool {
    let findings = status["findings"].as_array().into_iter().flatten();
    let mut texts = findings.filter(|finding| finding["code"] == "SF-2025");
    texts.any(|finding| finding["text"].as_str().unwrap().contains("X'6265666F7265'"))
}

/// One prepared on the migrated table before the start holds the load up until it has ended, and is
/// named. One that the change log shows to be a stranger holds nothing up, also when it ends after
/// a restart; nor does a stream of them.
async fn beside_xa(engine: Engine) {
    let servers = bench(engine).await;
    let world = servers.as_ref().unwrap().world("googlesql", SCHEMA).await;
    let (own, other) = (world.schema.clone(), format!("{}_other", world.schema));
    for statement in [
        format!("CREATE DATABASE {other}"),
        format!("CREATE TABLE {other}.seen (id BIGINT PRIMARY KEY)"),
    ] {
        world.server.execute(None, &statement).await.unwrap();
    }
    prepare(&world, "before", &format!("INSERT INTO {own}.t VALUES (3, 0)")).await;
    let beside = other.clone();
    let strangers = world.writer(move |step| {
        let name = format!("'jta','{step}'");
        vec![
            format!("XA START {name}"),
            format!("INSERT INTO {beside}.seen VALUES ({step})"),
            format!("XA END {name}"),
            format!("XA PREPARE {name}"),
            format!("XA COMMIT {name}"),
        ]
    });
    let writer = world.writer(|step| vec![format!("INSERT INTO t VALUES ({}, 1)", 100 + step)]);

    let mut migrate = world.migrate();
    world.wait(&mut migrate, "the snapshot waits", waits);
    prepare(
        &world,
        "stranger",
        &format!("INSERT INTO {other}.seen VALUES (-1)"),
    )
    .await;
    commit(&world, "before").await;
    world.wait_caught_up(&mut migrate);
    writer.write_more(20).await;
    strangers.write_more(20).await;
    migrate.kill();
    strangers.write_more(20).await;
    commit(&world, "stranger").await;
    strangers.stop().await;
    writer.stop().await;
    world.expect_drained();
    world.expect_equal();
}

#[tokio::test]
async fn killer_16_xa_beside_the_migration_mysql() {
    beside_xa(Engine::MySql).await;
}

#[tokio::test]
async fn killer_16_xa_beside_the_migration_mariadb() {
    beside_xa(Engine::MariaDb).await;
}
