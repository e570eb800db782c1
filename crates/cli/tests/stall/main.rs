//! The application never waits for the migration: its statements are watched at the server while a
//! migration from afar reads every table over many sessions, beside a long SELECT, a transaction
//! that stays open, and the application's own DDL.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Pool};
use spanferry_testkit::far::FarLine;
use spanferry_testkit::patience::until;
use spanferry_testkit::server::Engine;
use support::{Running, World, Writer};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How far the program is from the source.
const ROUND_TRIP: Duration = Duration::from_millis(200);
/// Longest that a statement of the application may wait for a lock because of us.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Time between two looks at the server.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);
const SESSIONS: &str = "64";
/// Tables that only we and short statements hold.
const TABLES: u64 = 40;
const ROWS: u64 = 2_000;
/// Tables that the application changes.
const ALTERED: usize = 5;
/// Statements of the application that wait for a lock.
const WAITING: &str = "SELECT info FROM information_schema.processlist WHERE info LIKE '/* app %' AND state LIKE 'Waiting for%'";
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

/// Reads and writes every table all the time. Each statement has a text of its own.
fn application(world: &World) -> [Writer; 4] {
    let clients = [0, 1, 2, 3];
    clients.map(|client| {
        world.writer(move |step| {
            let (table, id) = place(step + client * 10);
            let mark = format!("/* app {client} {step} */");
            vec![if client < 2 {
                format!("{mark} UPDATE {table} SET v = v + 1 WHERE id = {id}")
            } else {
                format!("{mark} SELECT v FROM {table} WHERE id = {id}")
            }]
        })
    })
}

/// Looks at the server all the time.
struct Sampler {
    stop: watch::Sender<bool>,
    task: JoinHandle<Samples>,
}

/// What was seen.
#[derive(Debug, Default)]
struct Samples {
    /// How long each statement waited that was seen waiting.
    waited: HashMap<String, Duration>,
    /// The longest time between two looks: how far this machine's own slowness may lengthen a wait.
    gap: Duration,
}

impl Sampler {
    async fn start(pool: &Pool) -> Sampler {
        let (stop, stopped) = watch::channel(false);
        let connection = pool.get_conn().await.unwrap();
        Sampler {
            stop,
            task: tokio::spawn(sample(connection, stopped)),
        }
    }

    async fn stop(self) -> Samples {
        self.stop.send_replace(true);
        self.task.await.unwrap()
    }
}

async fn sample(mut connection: Conn, stopped: watch::Receiver<bool>) -> Samples {
    let mut samples = Samples::default();
    let mut first_seen: HashMap<String, Instant> = HashMap::new();
    let mut pace = tokio::time::interval(SAMPLE_INTERVAL);
    let mut last = Instant::now();
    while !*stopped.borrow() {
        pace.tick().await;
        let waiting: Vec<String> = connection.query(WAITING).await.unwrap();
        let now = Instant::now();
        samples.gap = samples.gap.max(now - last);
        last = now;
        first_seen.retain(|statement, _| waiting.contains(statement));
        for statement in waiting {
            let waited = now - *first_seen.entry(statement.clone()).or_insert(now);
            let longest = samples.waited.entry(statement).or_default();
            *longest = waited.max(*longest);
        }
    }
    samples
}

impl Samples {
    /// No statement waited long, and some of the application's DDL waited, or nothing was shown.
    fn expect_short_waits(&self) {
        let longest = self.waited.iter().max_by_key(|(_, waited)| **waited);
        assert!(
            longest.is_none_or(|(_, waited)| *waited < WAIT_MAX + self.gap),
            "{longest:?}, looked at every {:?} at least",
            self.gap
        );
        let is_ddl = |statement: &String| statement.contains("ALTER TABLE");
        assert!(self.waited.keys().any(is_ddl), "{self:?}");
    }
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
        let sql = format!("/* app alter */ ALTER TABLE {table} ADD INDEX added (v)");
        connection.query_drop(sql).await.unwrap();
    }
}

async fn check(engine: Engine) {
    let mut world = World::new(engine, &schema()).await;
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
    let sampler = Sampler::start(&pool).await;

    world.source_address = Some(far.address());
    let mut migrate = world.migrate_with(&["--source-connections", SESSIONS, "--source-rate", "300KB/s"]);
    alter(&world, &mut migrate, &mut admin).await;
    assert_eq!(migrate.interrupt(), 130);
    let mut drain = world.drain_command();
    drain.args(["--source-connections", SESSIONS, "--lock"]);
    let (status, text) = support::said(&drain.output().unwrap());
    assert_eq!(status, 0, "{text}");

    let samples = sampler.stop().await;
    for client in clients {
        assert!(client.stop().await > 0);
    }
    samples.expect_short_waits();
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
