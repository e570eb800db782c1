//! Transactions that the binary log shows before any session does: 4.
//!
//! Semi-synchronous replication that waits after the sync stretches that moment for as long as a
//! test wants: the transaction is in the binary log and sent to replicas, the engine has not
//! committed it.

use mysql_async::prelude::Queryable;
use spanferry_testkit::patience::until;
use spanferry_testkit::server::Engine;
use tokio::task::JoinSet;

use crate::support::{HELD_UP, World, is_loading};

/// Waits for an acknowledgement that never comes, for longer than any test.
const HOLD_MYSQL: &[&str] = &[
    "SET GLOBAL rpl_semi_sync_source_wait_point = AFTER_SYNC",
    "SET GLOBAL rpl_semi_sync_source_timeout = 3600000",
    "SET GLOBAL rpl_semi_sync_source_enabled = 1",
];
const HOLD_MARIADB: &[&str] = &[
    "SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC",
    "SET GLOBAL rpl_semi_sync_master_timeout = 3600000",
    "SET GLOBAL rpl_semi_sync_master_enabled = 1",
    // One group: behind a commit that waits, MariaDB lets nothing look at its binary log once the
    // next one has come.
    "SET GLOBAL binlog_commit_wait_usec = 60000000",
    "SET GLOBAL binlog_commit_wait_count = 3",
];

/// Each changes a row that a snapshot reads, and commits by itself.
const CHANGES: [&[&str]; 3] = [
    &[
        "UPDATE t SET v = -1 WHERE id = 7",
        "DELETE FROM t WHERE id = 5990",
        "INSERT INTO t VALUES (-5, -2, 'new')",
    ],
    &["UPDATE t SET id = 7000 WHERE id = 20"],
    &["UPDATE t SET id = 21000, v = -3 WHERE id = 5000"],
];

const SCHEMA: &str = "CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL, pad VARCHAR(150) NOT NULL);
    CREATE TABLE n (n INT PRIMARY KEY);
    INSERT INTO n VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
    INSERT INTO t SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 1, 0, REPEAT('p', 140) FROM n a, n b, n c, n d WHERE d.n < 6;
    DROP TABLE n;
    ";

/// A server of its own: its commits hang while they are held.
async fn world(engine: Engine) -> World {
    let world = World::new(engine, SCHEMA).await;
    if engine == Engine::MySql {
        let install = "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'";
        world.server.execute(None, install).await.unwrap();
    }
    world
}

/// Commits that are written to the binary log, and not visible yet.
struct Held {
    commits: JoinSet<()>,
}

impl Held {
    async fn new(world: &World) -> Held {
        let hold = match world.server.engine() {
            Engine::MySql => HOLD_MYSQL,
            Engine::MariaDb => HOLD_MARIADB,
        };
        for statement in hold {
            world.server.execute(None, statement).await.unwrap();
        }
        let before = logged(world).await;
        let mut commits = JoinSet::new();
        for changes in CHANGES {
            let pool = world.server.pool(Some(&world.schema));
            commits.spawn(async move {
                let mut connection = pool.get_conn().await.unwrap();
                connection.query_drop("START TRANSACTION").await.unwrap();
                for change in changes {
                    connection.query_drop(*change).await.unwrap();
                }
                connection.query_drop("COMMIT").await.unwrap();
                drop(connection);
                pool.disconnect().await.unwrap();
            });
        }
        until("every commit is in the binary log", async || {
            logged(world).await >= before + CHANGES.len() as u64
        })
        .await;
        let visible: Vec<i64> = query(world, "SELECT v FROM t WHERE v < 0").await;
        assert!(visible.is_empty(), "the engine has committed: {visible:?}");
        Held { commits }
    }

    /// Lets the engine commit, and waits until it has.
    async fn release(mut self, world: &World) {
        let release = match world.server.engine() {
            Engine::MySql => "SET GLOBAL rpl_semi_sync_source_enabled = 0",
            Engine::MariaDb => "SET GLOBAL rpl_semi_sync_master_enabled = 0",
        };
        world.server.execute(None, release).await.unwrap();
        while let Some(committed) = self.commits.join_next().await {
            committed.unwrap();
        }
    }
}

/// Transactions that ended in the newest binary log file.
async fn logged(world: &World) -> u64 {
    let status = match world.server.engine() {
        Engine::MySql => "SHOW BINARY LOG STATUS",
        Engine::MariaDb => "SHOW MASTER STATUS",
    };
    let file: String = world
        .server
        .query::<mysql_async::Row>(None, status)
        .await
        .unwrap()[0]
        .get(0)
        .unwrap();
    let events: Vec<mysql_async::Row> = query(world, &format!("SHOW BINLOG EVENTS IN '{file}'")).await;
    let ends = events
        .iter()
        .filter(|event| event.get::<String, _>(2).unwrap() == "Xid");
    ends.count() as u64
}

async fn query<T: mysql_async::prelude::FromRow + Send + 'static>(world: &World, sql: &str) -> Vec<T> {
    world.server.query(Some(&world.schema), sql).await.unwrap()
}

/// The table gets its changes from the main stream.
fn is_following(status: &serde_json::Value) -> bool {
    let phase = &status["tables"][0]["phase"];
    status["running"] == true && (phase == "joined" || phase == "constrained")
}

async fn expect_all_carried(world: &World) {
    world.expect_drained();
    world.expect_equal();
    let rows = world.target_rows("t", &["id", "v"]).await;
    let changed: Vec<_> = rows.iter().filter(|row| row[1].starts_with('-')).collect();
    assert_eq!(
        changed,
        [&["-5", "-2"], &["7", "-1"], &["21000", "-3"]],
        "in key order"
    );
    assert_eq!(rows.len(), 6_000);
}

/// The first snapshot opens while such transactions hang; a lock that is asked for is not waited
/// for.
async fn first_snapshot(engine: Engine, options: &[&str]) {
    let world = world(engine).await;
    let held = Held::new(&world).await;
    let mut migrate = world.migrate_with(options);
    // MySQL's position does not hold them: they are left to the stream. MariaDB's does, and so does
    // the change log's beginning: no snapshot may open.
    world.wait(
        &mut migrate,
        "a snapshot was opened or given up",
        |status| match engine {
            Engine::MySql => is_following(status),
            Engine::MariaDb => status["findings"]
                .to_string()
                .contains("commits more slowly than it logs"),
        },
    );
    held.release(&world).await;
    world.wait_caught_up(&mut migrate);
    assert_eq!(migrate.interrupt(), 130);
    expect_all_carried(&world).await;
}

/// A snapshot of a later attempt opens while they hang: the change log began before them.
async fn later_snapshot(engine: Engine) {
    let mut world = world(engine).await;
    let target = world.interpose(HELD_UP);
    let mut migrate = world.migrate();
    world.wait(&mut migrate, "the first rows were loaded", is_loading);
    migrate.kill();
    target.faults().set_rates(Vec::new());
    let held = Held::new(&world).await;
    let mut migrate = world.migrate();
    world.wait(&mut migrate, "everything was loaded", |status| {
        is_following(status)
    });
    assert_eq!(migrate.interrupt(), 130);
    // The target is ahead of what sessions see: no difference, and no other source either.
    let (status, text) = world.verify();
    assert!(
        status == 5 && text.contains("still committing"),
        "{status}: {text}"
    );
    let mut migrate = world.migrate();
    world.wait(&mut migrate, "it went on", is_following);
    held.release(&world).await;
    world.wait_caught_up(&mut migrate);
    migrate.kill();
    expect_all_carried(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_04_logged_but_not_visible_to_the_first_snapshot_mysql() {
    first_snapshot(Engine::MySql, &["--no-lock"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_04_logged_but_not_visible_to_the_first_snapshot_mariadb() {
    first_snapshot(Engine::MariaDb, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_04_logged_but_not_visible_to_a_later_snapshot_mysql() {
    later_snapshot(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_04_logged_but_not_visible_to_a_later_snapshot_mariadb() {
    later_snapshot(Engine::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_04_logged_but_not_visible_with_the_lock_mysql() {
    first_snapshot(Engine::MySql, &["--lock"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_04_logged_but_not_visible_with_the_lock_mariadb() {
    first_snapshot(Engine::MariaDb, &["--lock"]).await;
}
