//! Servers on the way: the source restarted, failed over, of another history, purged; the emulator
//! standing still.

use std::net::SocketAddr;
use std::sync::Arc;

use spanferry_testkit::patience::until;
use spanferry_testkit::server::{Engine, Server};

use crate::support::{World, bench};

const SCHEMA: &str = "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT NOT NULL);
    INSERT INTO t (v) VALUES (1), (2), (3);
    ";
const CHANGES: &str = "INSERT INTO t (v) VALUES (10), (11);
    UPDATE t SET v = v + 1 WHERE id <= 2;
    DELETE FROM t WHERE id = 4;
    ";

/// More than a source of these tests ever has.
const STRANGE_TRANSACTIONS: u32 = 100;

pub(crate) fn address(server: &Server) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], server.port()))
}

/// Restarted, killed, failed over to a replica, and a server of another history refused.
async fn source_replaced(engine: Engine) {
    let mut world = World::new(engine, SCHEMA).await;
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    // An idle source that comes back: nothing is captured, and yet it is not lost any more.
    let is_lost = |status: &serde_json::Value| {
        let reason = status["throttled"].as_str().unwrap_or_default();
        reason.contains("the source is out of reach")
    };
    world.server.stop().unwrap();
    world.wait(&mut migrate, "the source was lost", is_lost);
    world.server.restart().unwrap();
    world.wait(&mut migrate, "the source was back", |status| !is_lost(status));
    for kill in [true, false] {
        world.sql(CHANGES).await;
        if kill {
            world.server.kill()
        } else {
            world.server.stop()
        }
        .unwrap();
        world.server.restart().unwrap();
        world.sql(CHANGES).await;
        let rows: Vec<u64> = world
            .server
            .query(Some("shop"), "SELECT COUNT(*) FROM t")
            .await
            .unwrap();
        wait_for_rows(&world, &mut migrate, rows[0]).await;
    }
    let replica = world.server.replica().unwrap();
    world.sql(CHANGES).await;
    let rows: Vec<u64> = world
        .server
        .query(Some("shop"), "SELECT COUNT(*) FROM t")
        .await
        .unwrap();
    wait_for_rows(&world, &mut migrate, rows[0]).await;
    assert_eq!(migrate.interrupt(), 130);
    wait_for_replica(&replica, rows[0]).await;
    world.server.stop().unwrap();
    world.source_address = Some(address(&replica));
    make_writable(&replica).await;
    replica
        .execute(Some("shop"), "INSERT INTO t (v) VALUES (77)")
        .await
        .unwrap();
    world.expect_drained();
    world.expect_equal();

    refuse_stranger(&mut world, engine).await;
    world.source_address = Some(address(&replica));
    world.expect_drained();
    world.expect_equal();
    refuse_rewound(&world, &replica).await;
}

/// A source that forgets its history while it is followed ends the migration: it never looks caught
/// up again.
async fn refuse_rewound(world: &World, source: &Server) {
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    let reset = match source.engine() {
        Engine::MySql => "RESET BINARY LOGS AND GTIDS",
        Engine::MariaDb => "RESET MASTER",
    };
    source.execute(None, reset).await.unwrap();
    assert_eq!(migrate.ended(), Some(3), "a rewound source is another one");
    let (status, text) = world.drain();
    assert!(status == 3 && text.contains("SF-5007"), "{status}: {text}");
}

/// A server with the same tables but another history is refused, whether it stands behind what was
/// captured or far ahead.
async fn refuse_stranger(world: &mut World, engine: Engine) {
    let stranger = Server::start(engine).unwrap();
    stranger.execute(None, "CREATE DATABASE shop").await.unwrap();
    stranger
        .execute(
            Some("shop"),
            "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT NOT NULL)",
        )
        .await
        .unwrap();
    world.source_address = Some(address(&stranger));
    for more in [0, STRANGE_TRANSACTIONS] {
        for step in 0..more {
            let insert = format!("INSERT INTO t (v) VALUES ({step})");
            stranger.execute(Some("shop"), &insert).await.unwrap();
        }
        let (status, text) = world.drain();
        assert!(
            status == 3 && text.contains("SF-5007"),
            "another history, {more} transactions more: {status}: {text}"
        );
    }
    // Its tables may even be the same: what was applied did not come from it.
    // (A MariaDB server that is far ahead is reported as one: its position alone does not show it.)
    let (status, text) = world.verify();
    assert!(
        status == 2 && text.contains("SF-1003"),
        "the state directory remembers another source: {status}: {text}"
    );
    if engine == Engine::MySql {
        // Without a state directory that remembers the source, its history gives it away.
        let elsewhere = world.state.with_extension("elsewhere");
        let state = std::mem::replace(&mut world.state, elsewhere);
        let (status, text) = world.verify();
        world.state = state;
        assert!(
            status == 3 && text.contains("SF-5007"),
            "verify: {status}: {text}"
        );
    }
}

async fn wait_for_rows(world: &World, migrate: &mut crate::support::Running, rows: u64) {
    until("the target has every row", async || {
        assert!(migrate.0.try_wait().unwrap().is_none(), "migrate ended");
        world.target_rows("t", &["id"]).await.len() as u64 == rows
    })
    .await;
}

pub(crate) async fn wait_for_replica(replica: &Server, rows: u64) {
    until("the replica has every row", async || {
        let found = replica.query::<u64>(Some("shop"), "SELECT COUNT(*) FROM t").await;
        found.is_ok_and(|found| found[0] == rows)
    })
    .await;
}

pub(crate) async fn make_writable(replica: &Server) {
    let statements: &[&str] = match replica.engine() {
        Engine::MySql => &[
            "STOP REPLICA",
            "SET GLOBAL super_read_only = 0",
            "SET GLOBAL read_only = 0",
        ],
        Engine::MariaDb => &["STOP SLAVE", "SET GLOBAL read_only = 0"],
    };
    for statement in statements {
        replica.execute(None, statement).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_14_a_restarted_and_a_replaced_source_mysql() {
    source_replaced(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_14_a_restarted_and_a_replaced_source_mariadb() {
    source_replaced(Engine::MariaDb).await;
}

/// What was not captured is purged at the source: exit 5, and it says so.
async fn purged(engine: Engine) {
    let servers = bench(engine).await;
    let world = servers.as_ref().unwrap().world("googlesql", SCHEMA).await;
    world.expect_drained();
    world.sql(CHANGES).await;
    world
        .sql("FLUSH BINARY LOGS;\nINSERT INTO t (v) VALUES (1);\n")
        .await;
    let status = match engine {
        Engine::MySql => "SHOW BINARY LOG STATUS",
        Engine::MariaDb => "SHOW MASTER STATUS",
    };
    let newest = first_column(&world, status).await;
    // A file that a stream still has open, ours that has just ended, is left alone.
    until("the older binary logs are purged", async || {
        world.sql(&format!("PURGE BINARY LOGS TO '{newest}';\n")).await;
        first_column(&world, "SHOW BINARY LOGS").await == newest
    })
    .await;
    let (status, text) = world.drain();
    assert!(
        status == 5 && text.contains("error[SF-5006]") && text.contains("purged") && text.contains("hint"),
        "{status}: {text}"
    );
}

/// The first row's first column.
async fn first_column(world: &World, statement: &str) -> String {
    let rows: Vec<mysql_async::Row> = world.server.query(None, statement).await.unwrap();
    rows[0].get(0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_binary_log_is_said_mysql() {
    purged(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_binary_log_is_said_mariadb() {
    purged(Engine::MariaDb).await;
}

/// The emulator is stopped for a while, in the middle of changes, and continues.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_stands_still() {
    let servers = bench(Engine::MySql).await;
    let world = servers.as_ref().unwrap().world("googlesql", SCHEMA).await;
    let writer = world.writer(|step| {
        vec![
            format!("INSERT INTO t (v) VALUES ({step})"),
            format!("UPDATE t SET v = {step} WHERE id = 1"),
        ]
    });
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    let emulator = Arc::clone(&world.emulator);
    for _ in 0..2 {
        emulator.pause().unwrap();
        writer.write_more(300).await;
        emulator.resume().unwrap();
        writer.write_more(50).await;
    }
    let steps = writer.stop().await;
    wait_for_rows(&world, &mut migrate, steps + 3).await;
    assert_eq!(migrate.interrupt(), 130);
    world.expect_drained();
    world.expect_equal();
}
