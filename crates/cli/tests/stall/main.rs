//! The application never waits for the migration: its statements are watched at the server while a
//! migration from afar reads every table over many sessions, beside a long SELECT, a transaction
//! that stays open, and the application's own DDL.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod observer;
#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use observer::{ACCOUNT, Observer};
use spanferry_testkit::far::FarLine;
use spanferry_testkit::patience::until;
use spanferry_testkit::server::{Engine, Server, ServerOptions};
use support::{Running, World, Writer};

/// How far the program is from the source.
const ROUND_TRIP: Duration = Duration::from_millis(200);
const SESSIONS: &str = "64";
/// Tables that only we and short statements hold.
const TABLES: u64 = 40;
const ROWS: u64 = 2_000;
/// Tables that the application changes.
const ALTERED: usize = 5;
const SLEEPING: &str = "SELECT SLEEP(3600) FROM busy LIMIT 1";

fn schema() -> String {
    let mut sql = String::from(
        "CREATE TABLE busy (id INT PRIMARY KEY, v INT NOT NULL, pad VARCHAR(200) NOT NULL);
         INSERT INTO busy WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 50) \
           SELECT (a.i - 1) * 50 + b.i, 0, REPEAT('x', 200) FROM n a JOIN n b WHERE a.i <= 40;
         CREATE TABLE pending LIKE busy;
         INSERT INTO pending SELECT * FROM busy;\n",
    );
    for table in 0..TABLES {
        write!(
            sql,
            "CREATE TABLE t{table} LIKE busy;\nINSERT INTO t{table} SELECT * FROM busy;\n"
        )
        .unwrap();
    }
    sql
}

/// The tables in a circle. Row 1 of `pending` is locked by the application's own open transaction.
fn place(step: u64) -> (String, u64) {
    let table = match step % (TABLES + 2) {
        0 => "busy".to_owned(),
        1 => "pending".to_owned(),
        more => format!("t{}", more - 2),
    };
    (table, 2 + step % (ROWS - 1))
}

/// Reads and writes every table all the time. Each statement has a text of its own, which names its
/// table for the observer.
fn application(world: &World) -> [Writer; 4] {
    let clients = [0, 1, 2, 3];
    clients.map(|client| {
        world.writer(move |step| {
            let (table, id) = place(step + client * 10);
            let mark = format!("/* app {client}.{step} {table} */");
            vec![if client < 2 {
                format!("{mark} UPDATE {table} SET v = v + 1 WHERE id = {id}")
            } else {
                format!("{mark} SELECT v FROM {table} WHERE id = {id}")
            }]
        })
    })
}

/// Tables of which sessions have read some rows, and not all.
fn half_read(status: &serde_json::Value) -> Vec<String> {
    let is_half = |table: &&serde_json::Value| {
        let rows = table["rows_loaded"].as_u64().unwrap_or(0);
        table["phase"] == "loading" && rows > 0 && rows < ROWS
    };
    let tables = status["tables"].as_array().map_or(&[][..], Vec::as_slice);
    let names = tables
        .iter()
        .filter(is_half)
        .filter_map(|table| table["name"].as_str());
    names
        .filter(|name| name.starts_with('t'))
        .map(str::to_owned)
        .collect()
}

/// The application changes tables that sessions are reading, one after another.
async fn alter(world: &World, migrate: &mut Running, connection: &mut Conn) {
    let found = std::cell::RefCell::new(Vec::new());
    world.wait(migrate, "tables were half read", |status| {
        let tables = half_read(status);
        let are_enough = tables.len() >= ALTERED;
        found.replace(tables);
        are_enough
    });
    for table in found.into_inner().iter().take(ALTERED) {
        let sql = format!("/* app alter {table} */ ALTER TABLE {table} ADD INDEX added (v)");
        connection.query_drop(sql).await.unwrap();
    }
}

/// A server that shows who holds its locks, and an account for the migration alone.
async fn world(engine: Engine) -> World {
    let mut options = ServerOptions::default();
    if engine == Engine::MariaDb {
        options.plugins = Some("mariadb-server".to_owned());
        options.arguments = vec!["--plugin-load-add=metadata_lock_info".to_owned()];
    }
    let server = Server::start_with(engine, &options).unwrap();
    let mut world = World::with(server, "googlesql", &schema()).await;
    let account =
        format!("CREATE USER {ACCOUNT}@'%' IDENTIFIED BY '{ACCOUNT}';\nGRANT ALL ON *.* TO {ACCOUNT}@'%';\n");
    world.sql(&account).await;
    world.account = ACCOUNT;
    world
}

async fn check(engine: Engine) {
    let mut world = world(engine).await;
    let server: SocketAddr = ([127, 0, 0, 1], world.server.port()).into();
    let far = FarLine::start(server, ROUND_TRIP).await.unwrap();
    let pool = world.server.pool(Some("shop"));
    let mut admin = pool.get_conn().await.unwrap();

    let mut reporting = pool.get_conn().await.unwrap();
    let report = tokio::spawn(async move { drop(reporting.query_drop(SLEEPING).await) });
    let sleeper = format!("SELECT id FROM information_schema.processlist WHERE info = '{SLEEPING}'");
    let mut sleeping = None;
    until("the long SELECT runs", async || {
        sleeping = admin.query_first::<u64, _>(sleeper.as_str()).await.unwrap();
        sleeping.is_some()
    })
    .await;
    let mut open = pool.get_conn().await.unwrap();
    open.query_drop("BEGIN").await.unwrap();
    open.query_drop("UPDATE pending SET v = v + 1 WHERE id = 1")
        .await
        .unwrap();
    let clients = application(&world);
    let observer = Observer::start(engine, &pool).await;

    world.source_address = Some(far.address());
    let mut migrate = world.migrate_with(&["--source-connections", SESSIONS, "--source-rate", "300KB/s"]);
    alter(&world, &mut migrate, &mut admin).await;
    assert_eq!(migrate.interrupt(), 130);
    let mut drain = world.drain_command();
    drain.args(["--source-connections", SESSIONS, "--lock"]);
    let (status, text) = support::said(&drain.output().unwrap());
    assert_eq!(status, 0, "{text}");

    let waits = observer.stop().await;
    for client in clients {
        assert!(client.stop().await > 0);
    }
    waits.expect_short_waits();
    admin
        .query_drop(format!("KILL QUERY {}", sleeping.unwrap()))
        .await
        .unwrap();
    report.await.unwrap();
    open.query_drop("COMMIT").await.unwrap();
    drop((admin, open));
    pool.disconnect().await.unwrap();
    world.source_address = None;
    world.expect_drained();
    world.expect_equal();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_application_never_waits_for_us_mysql() {
    check(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_application_never_waits_for_us_mariadb() {
    check(Engine::MariaDb).await;
}
