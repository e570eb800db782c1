//! SIGKILL at every durable step, the first time it comes and a later time, twice in a row, then
//! drained and compared. The drop of a constraint that is in the way: `killers/constraints.rs`.

use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::ExitStatusExt;

use spanferry_testkit::server::Engine;

use crate::support::{World, bench};

const KILL_VARIABLE: &str = "SPANFERRY_KILL_AT";
const SIGKILL: i32 = 9;

/// A parent, its children (whose key is not in the order of the columns), a unique column, and rows
/// enough for several commits of one range.
const SCHEMA: &str = "CREATE TABLE parent (id INT PRIMARY KEY, slot INT NULL, v INT NOT NULL, UNIQUE KEY slot (slot));
    CREATE TABLE child (number INT, id INT, v INT NOT NULL, PRIMARY KEY (id, number), FOREIGN KEY (id) REFERENCES parent (id));
    CREATE TABLE alone (id INT PRIMARY KEY, v VARCHAR(60) NOT NULL);
    SET SESSION cte_max_recursion_depth = 10000;
    INSERT INTO parent WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 2500) SELECT i, i, 0 FROM n;
    INSERT INTO child SELECT 1, id, 0 FROM parent WHERE id % 5 = 0;
    INSERT INTO alone VALUES (1, 'a'), (2, 'b');
    ";

/// Changes of every kind, in one transaction and in several; may be run any number of times.
const CHANGES: &str = "UPDATE alone SET v = CONCAT('v', LENGTH(v) % 7, RAND()) WHERE id = 1;
    START TRANSACTION;
    UPDATE parent SET slot = NULL WHERE id = 1;
    UPDATE parent SET slot = 1, v = v + 1 WHERE id = 1;
    INSERT INTO alone SELECT MAX(id) + 1, 'new' FROM alone a;
    UPDATE child SET number = number + 1, v = v + 1 WHERE id % 10 = 0 ORDER BY number DESC;
    COMMIT;
    DELETE FROM child WHERE id = (SELECT MAX(id) FROM parent p);
    DELETE FROM parent ORDER BY id DESC LIMIT 1;
    ";

/// Runs `verb` and expects it to be killed at the `turn`-th time of `step`.
fn expect_killed(world: &World, verb: &str, more: &[&str], step: &str, turn: u32) {
    let mut command = match verb {
        "migrate" => world.drain_command(),
        other => world.command(other, more),
    };
    let output = command
        .env(KILL_VARIABLE, format!("{step}:{turn}"))
        .output()
        .unwrap();
    assert_eq!(
        output.status.signal(),
        Some(SIGKILL),
        "`{step}` was not reached {turn} times: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Steps of a new migration, in the order in which it passes them: each process is killed at its
/// step and leaves the next one what it has. Several chains, each another migration, because what
/// one process has done the next does not do again.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_of_a_new_migration() {
    let servers = bench(Engine::MySql).await;
    let chains: [&[(&str, u32)]; 4] = [
        &[
            ("before database", 1),
            ("after database", 1),
            ("after control tables", 1),
            ("after control tables", 1),
            ("after log creation", 1),
            ("after log creation", 1),
            ("after first epoch", 1),
            ("before definitions", 1),
            ("after definitions", 1),
            ("after definitions", 1),
            ("before tables", 1),
            ("before tables", 1),
            ("after tables", 1),
            ("after tables", 1),
        ],
        &[
            ("after commit control", 1),
            ("before commit load", 1),
            ("after commit load", 1),
            ("after commit catch-up", 1),
            ("before constraints", 1),
            ("after constraints", 1),
        ],
        &[("after commit load", 3), ("before commit control", 2)],
        &[("before commit control", 2), ("after commit control", 3)],
    ];
    for chain in chains {
        let world = servers.as_ref().unwrap().world("googlesql", SCHEMA).await;
        for (step, turn) in chain {
            expect_killed(&world, "migrate", &[], step, *turn);
            world.sql(CHANGES).await;
        }
        world.expect_drained();
        world.expect_equal();
    }
}

/// Steps that come with every batch of changes and every start: one migration, killed again and
/// again.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_of_the_stream() {
    let servers = bench(Engine::MySql).await;
    let world = servers.as_ref().unwrap().world("googlesql", SCHEMA).await;
    world.expect_drained();
    for step in [
        "before sync",
        "after log write",
        "after sync",
        "before commit apply",
        "after commit apply",
        "before next epoch",
        "after next epoch",
    ] {
        for _ in 0..2 {
            world.sql(CHANGES).await;
            expect_killed(&world, "migrate", &[], step, 1);
        }
        world.expect_drained();
        world.expect_equal();
    }
}

/// A lost log is replaced: killed at every step of that, twice, each time beginning with what the
/// one before left.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_lost_log_is_replaced() {
    let servers = bench(Engine::MySql).await;
    let world = servers.as_ref().unwrap().world("googlesql", SCHEMA).await;
    world.expect_drained();
    let log = world.state.join("log");
    std::fs::remove_dir_all(&log).unwrap();
    for step in [
        "before log creation",
        "after log creation",
        "before next epoch",
        "after next epoch",
    ] {
        world.sql(CHANGES).await;
        expect_killed(&world, "migrate", &[], step, 1);
        expect_killed(&world, "migrate", &[], step, 1);
    }
    world.expect_drained();
    world.expect_equal();
    // Killed while the first segment was being made.
    std::fs::remove_dir_all(&log).unwrap();
    std::fs::DirBuilder::new().mode(0o700).create(&log).unwrap();
    std::fs::write(log.join("segment-00000000000000000000.log.new"), "torn").unwrap();
    world.sql(CHANGES).await;
    world.expect_drained();
    world.expect_equal();
}

/// `resync` and `end` are killed between their steps, and simply run again.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_of_resync_and_end() {
    let servers = bench(Engine::MySql).await;
    let world = servers.as_ref().unwrap().world("googlesql", SCHEMA).await;
    world.expect_drained();
    let resync: &[&str] = &["child", "--yes"];
    for (step, turn) in [
        ("after next epoch", 1),
        ("before commit control", 1),
        ("after commit control", 1),
        ("before resync drops", 1),
        ("after resync drops", 1),
        ("before commit control", 2),
        ("after commit control", 2),
        ("before resync tables", 1),
        ("after resync tables", 1),
        ("before commit control", 3),
        ("after commit control", 3),
    ] {
        expect_killed(&world, "resync", resync, step, turn);
        expect_killed(&world, "resync", resync, step, turn);
        world.sql(CHANGES).await;
        // What is half emptied stays stopped until it is emptied whole: never equal by chance,
        // never wrong.
        let (status, text) = crate::support::said(&world.run("resync", resync));
        assert_eq!(status, 0, "{step}:{turn}: {text}");
        world.expect_drained();
        world.expect_equal();
    }
    let end: &[&str] = &["--yes"];
    expect_killed(&world, "end", end, "before control drop", 1);
    world.expect_drained();
    expect_killed(&world, "end", end, "after control drop", 1);
    let (status, text) = crate::support::said(&world.run("end", end));
    assert_eq!(status, 0, "{text}");
}
