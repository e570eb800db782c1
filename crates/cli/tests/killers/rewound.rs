//! A source that gives its numbers out a second time: 36. Its history is reset, or an older copy of
//! its data takes its place.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use spanferry_testkit::patience::until;
use spanferry_testkit::server::{Emulator, Engine, Server};

use crate::support::World;

const SCHEMA: &str = "CREATE TABLE t (id BIGINT AUTO_INCREMENT PRIMARY KEY, v INT NOT NULL);
    INSERT INTO t (v) VALUES (1), (2);
    ";

/// Servers of one engine whose history may be broken, and worlds on them, one after another.
struct Lab {
    server: Arc<Server>,
    emulator: Arc<Emulator>,
}

impl Lab {
    fn new(engine: Engine) -> Lab {
        Lab {
            server: Arc::new(Server::start(engine).unwrap()),
            emulator: Arc::new(Emulator::start().unwrap()),
        }
    }

    /// A migration of a schema of its own that has caught up and ended.
    async fn drained(&self, schema: &str) -> World {
        let world = self.world(schema).await;
        world.expect_drained();
        world
    }

    async fn world(&self, schema: &str) -> World {
        let (server, emulator) = (Arc::clone(&self.server), Arc::clone(&self.emulator));
        World::on(server, emulator, schema, "googlesql", SCHEMA).await
    }

    async fn reset(&self) {
        let statement = match self.server.engine() {
            Engine::MySql => "RESET BINARY LOGS AND GTIDS",
            Engine::MariaDb => "RESET MASTER",
        };
        self.server.execute(None, statement).await.unwrap();
    }

    /// How many transactions the history has; there is one origin.
    async fn length(&self) -> u64 {
        let statement = match self.server.engine() {
            Engine::MySql => "SELECT @@GLOBAL.gtid_executed",
            Engine::MariaDb => "SELECT @@GLOBAL.gtid_binlog_pos",
        };
        let found: Vec<String> = self.server.query(None, statement).await.unwrap();
        let last = found[0].rsplit(['-', ':']).next().unwrap();
        last.parse().unwrap_or(0)
    }

    /// Writes until the history has `length` transactions.
    async fn write_up_to(&self, world: &World, length: u64) {
        while self.length().await < length {
            world.sql("INSERT INTO t (v) VALUES (7);\n").await;
        }
    }

    fn data(&self) -> PathBuf {
        self.server.directory().join("data")
    }

    fn copied(&self) -> PathBuf {
        self.server.directory().join("copied-data")
    }

    /// Stops the server, puts `from` in the place of `to`, and starts the server again.
    fn exchange(&self, from: &Path, to: &Path) {
        self.server.stop().unwrap();
        if to.exists() {
            std::fs::remove_dir_all(to).unwrap();
        }
        let copied = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
        assert!(copied.success());
        self.server.restart().unwrap();
    }

    fn back_up(&self) {
        self.exchange(&self.data(), &self.copied());
    }

    fn restore(&self) {
        self.exchange(&self.copied(), &self.data());
    }
}

/// The end of a drain that is refused, and nothing of it at the target.
async fn refused(world: &World, code: &str) {
    let before = world.target_rows("t", &["id"]).await;
    let (status, text) = world.drain();
    assert!(status == 3 && text.contains(code), "{status}: {text}");
    assert_eq!(world.target_rows("t", &["id"]).await, before);
}

/// Reset while nothing runs, then more transactions than were captured.
async fn reset_while_stopped(lab: &Lab) {
    let world = lab.drained("stopped").await;
    let captured = lab.length().await;
    lab.reset().await;
    lab.write_up_to(&world, captured + 3).await;
    refused(&world, "SF-5007").await;
    let (status, text) = world.verify();
    assert!(status == 3 && text.contains("SF-5007"), "{status}: {text}");
    // The state directory is lost too: what the target knows is enough.
    std::fs::remove_dir_all(world.state.join("log")).unwrap();
    refused(&world, "SF-5007").await;
}

/// Reset before the first transaction was captured: only the beginning is known.
async fn reset_before_the_first_transaction(lab: &Lab) {
    let world = lab.world("beginning").await;
    let mut first = world.drain_command();
    first.env("SPANFERRY_KILL_AT", "after tables:1");
    assert_eq!(first.status().unwrap().code(), None, "it was killed");
    let begun = lab.length().await;
    lab.reset().await;
    lab.write_up_to(&world, begun + 3).await;
    refused(&world, "SF-5007").await;
}

/// Reset under a running migrate that has captured little: the stream ends, or stays open and
/// follows no longer.
async fn reset_while_running(lab: &Lab) {
    let world = lab.world("running").await;
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    let captured = lab.length().await;
    let before = world.target_rows("t", &["id"]).await;
    lab.reset().await;
    lab.write_up_to(&world, captured + 3).await;
    assert_eq!(migrate.ended(), Some(3), "a rewound source is another one");
    assert_eq!(world.target_rows("t", &["id"]).await, before);
    refused(&world, "SF-5007").await;
}

/// An older copy of the data takes its place. What was lost was captured: refused. It was not:
/// nothing is known of it, and the target is what the source is.
async fn older_copy(lab: &Lab) {
    let world = lab.drained("restored").await;
    lab.back_up();
    world.sql("INSERT INTO t (v) VALUES (30);\n").await;
    lab.restore();
    world.sql("INSERT INTO t (v) VALUES (31), (32);\n").await;
    world.expect_drained();
    world.expect_equal();

    lab.back_up();
    world.sql("INSERT INTO t (v) VALUES (33);\n").await;
    world.expect_drained();
    let captured = lab.length().await;
    lab.restore();
    lab.write_up_to(&world, captured + 3).await;
    refused(&world, "SF-5007").await;

    // The same while it runs.
    let world = lab.world("restored_running").await;
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    lab.server.stop().unwrap();
    lab.server.restart().unwrap();
    world.sql("INSERT INTO t (v) VALUES (40);\n").await;
    until("it continues after a restart", async || {
        world.target_rows("t", &["id"]).await.len() == 3
    })
    .await;
    assert_eq!(migrate.interrupt(), 130);
}

/// A source that has purged the last transaction that was captured cannot show it: refused, unless
/// the operator knows better.
async fn purged_witness(lab: &Lab) {
    let mut world = lab.drained("purged").await;
    let statement = match lab.server.engine() {
        Engine::MySql => "SHOW BINARY LOG STATUS",
        Engine::MariaDb => "SHOW MASTER STATUS",
    };
    world.sql("FLUSH BINARY LOGS;\n").await;
    let first = |rows: Vec<mysql_async::Row>| rows[0].get::<String, _>(0).unwrap();
    let newest = first(lab.server.query(None, statement).await.unwrap());
    // A file that a stream still has open, ours that has just ended, is left alone.
    until("the older binary logs are purged", async || {
        world.sql(&format!("PURGE BINARY LOGS TO '{newest}';\n")).await;
        first(lab.server.query(None, "SHOW BINARY LOGS").await.unwrap()) == newest
    })
    .await;
    refused(&world, "SF-5030").await;
    let (status, text) = crate::support::said(&world.run("check", &world.migrate_options()));
    assert!(status == 3 && text.contains("SF-5030"), "{status}: {text}");
    world.options = ["--accept", "SF-5030"].map(str::to_owned).to_vec();
    world.expect_drained();
    world.options.clear();
    // Nothing is to be shown yet but what was accepted; the next transaction proves what follows.
    refused(&world, "SF-5030").await;
    world.sql("INSERT INTO t (v) VALUES (50);\n").await;
    world.options = ["--accept", "SF-5030"].map(str::to_owned).to_vec();
    world.expect_drained();
    world.options.clear();
    world.sql("INSERT INTO t (v) VALUES (51);\n").await;
    world.expect_drained();
    world.expect_equal();
}

async fn rewound(engine: Engine) {
    let lab = Lab::new(engine);
    reset_while_stopped(&lab).await;
    reset_before_the_first_transaction(&lab).await;
    reset_while_running(&lab).await;
    older_copy(&lab).await;
    purged_witness(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_36_numbers_given_out_again_mysql() {
    rewound(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_36_numbers_given_out_again_mariadb() {
    rewound(Engine::MariaDb).await;
}
