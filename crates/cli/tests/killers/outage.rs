//! Servers that abort, answer late or vanish: 12, 13, 15, 26, 32.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use spanferry_spanner_standin::{Fault, Loss, parse_rates};
use spanferry_testkit::patience::until;
use spanferry_testkit::proxy::{Fault as Cut, FaultProxy, Rule};
use spanferry_testkit::server::{Emulator, Engine};

use crate::one;
use crate::support::{HELD_UP, World, bench, is_loading};

/// 6,000 rows of about 150 bytes.
const ROWS: &str = "CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL, pad VARCHAR(150) NOT NULL);
    SET SESSION cte_max_recursion_depth = 100000;
    INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 6000) SELECT i, 0, REPEAT('p', 140) FROM n;
    ";
/// The same for MariaDB, which names the bound differently.
const ROWS_MARIADB: &str = "CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL, pad VARCHAR(150) NOT NULL);
    INSERT INTO t SELECT seq, 0, REPEAT('p', 140) FROM seq_1_to_6000;
    ";

fn rows(engine: Engine) -> &'static str {
    match engine {
        Engine::MySql => ROWS,
        Engine::MariaDb => ROWS_MARIADB,
    }
}

fn touch(step: u64) -> Vec<String> {
    vec![
        format!("UPDATE t SET v = v + 1 WHERE id = {}", step * 37 % 6_000 + 1),
        format!("INSERT INTO t VALUES ({}, {step}, 'new')", 10_000 + step),
        format!("DELETE FROM t WHERE id = {}", 9_990 + step),
    ]
}

/// One row changed again and again while the target is slow: folded, in order, nothing lost.
#[tokio::test(flavor = "multi_thread")]
async fn killer_12_a_hot_row_and_a_slow_target() {
    let servers = bench(Engine::MySql).await;
    let schema =
        "CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL);\nINSERT INTO t VALUES (1, 0), (2, 0);\n";
    let mut world = servers.as_ref().unwrap().world("googlesql", schema).await;
    let interposer = world.interpose("Commit.latency=1:100ms");
    let writer = world.writer(|_| vec!["UPDATE t SET v = v + 1 WHERE id = 1".to_owned(); 5]);
    let mut migrate = world.migrate();
    world.wait_complete(&mut migrate);
    let (commits, steps) = (interposer.counters().commits, writer.steps());
    writer.write_more(400).await;
    let (commits, steps) = (interposer.counters().commits - commits, writer.steps() - steps);
    assert!(
        commits < steps,
        "{commits} commits for {} updates of one row",
        steps * 5
    );
    migrate.kill();
    let steps = writer.stop().await;
    world.expect_drained();
    world.expect_equal();
    assert_eq!(world.target_rows("t", &["v"]).await[0], [(steps * 5).to_string()]);
}

/// A commit that was applied is answered as failed, in every way there is; and it comes a second
/// time, late.
#[tokio::test(flavor = "multi_thread")]
async fn killer_13_a_failed_commit_that_was_applied() {
    let servers = bench(Engine::MySql).await;
    for loss in [
        Fault::LostReply(Loss::Unavailable),
        Fault::LostReply(Loss::Drop),
        Fault::AlreadyExists,
        Fault::Duplicate(2),
        Fault::Late(1),
    ] {
        let mut world = servers.as_ref().unwrap().world("googlesql", ROWS).await;
        let interposer = world.interpose("");
        // The very first commits are those of control rows and load; later ones those of changes.
        for _ in 0..10 {
            interposer.faults().once("Commit", loss);
            interposer
                .faults()
                .once("Commit", Fault::Latency(Duration::from_millis(1)));
        }
        let writer = world.writer(touch);
        let mut migrate = world.migrate();
        world.wait_caught_up(&mut migrate);
        for _ in 0..5 {
            interposer.faults().once("Commit", loss);
            writer.write_more(20).await;
        }
        assert_eq!(migrate.interrupt(), 130);
        writer.stop().await;
        world.expect_drained();
        world.expect_equal();
        assert!(interposer.faults().injected() >= 15, "{loss:?}");
    }
}

/// The answer to an applied commit never comes, and the process dies waiting for it.
#[tokio::test(flavor = "multi_thread")]
async fn killer_13_the_process_dies_before_it_knew() {
    let servers = bench(Engine::MySql).await;
    for skipped in [0, 1, 2, 4, 7] {
        let mut world = servers.as_ref().unwrap().world("googlesql", ROWS).await;
        let interposer = world.interpose("");
        for _ in 0..skipped {
            interposer
                .faults()
                .once("Commit", Fault::Latency(Duration::from_millis(1)));
        }
        interposer
            .faults()
            .once("Commit", Fault::LostReply(Loss::Silence));
        let migrate = world.migrate();
        until("the commit was forwarded", async || {
            interposer.faults().injected() > skipped
        })
        .await;
        world.sql("UPDATE t SET v = 7 WHERE id % 100 = 0;\n").await;
        migrate.kill();
        world.expect_drained();
        world.expect_equal();
    }
}

/// Puts a proxy before the source.
pub(crate) async fn source_proxy(world: &mut World) -> FaultProxy {
    let server = SocketAddr::from(([127, 0, 0, 1], world.server.port()));
    let proxy = FaultProxy::start(server).await.unwrap();
    world.source_address = Some(proxy.address());
    proxy
}

/// The source falls silent without a FIN, in the load and in the stream, and comes back.
async fn silent_source(engine: Engine) {
    let servers = bench(engine).await;
    let mut world = servers.as_ref().unwrap().world("googlesql", rows(engine)).await;
    let proxy = source_proxy(&mut world).await;
    let target = world.interpose(HELD_UP);
    let writer = world.writer(touch);
    let mut migrate = world.migrate();
    world.wait(&mut migrate, "the first rows were loaded", is_loading);
    proxy.set(Cut::HalfOpen);
    target.faults().set_rates(Vec::new());
    writer.write_more(20).await;
    proxy.set(Cut::None);
    world.wait_caught_up(&mut migrate);
    for fault in [Cut::HalfOpen, Cut::Stall, Cut::Reset, Cut::CutAfter(100)] {
        proxy.set(fault);
        writer.write_more(50).await;
        proxy.set(Cut::None);
        let before = world.status().unwrap()["apply"]["changes"].as_u64();
        world.wait(&mut migrate, "changes were applied again", |status| {
            status["apply"]["changes"].as_u64() > before
        });
    }
    assert_eq!(migrate.interrupt(), 130);
    writer.stop().await;
    world.expect_drained();
    world.expect_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_15_the_source_vanishes_without_a_fin_mysql() {
    silent_source(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_15_the_source_vanishes_without_a_fin_mariadb() {
    silent_source(Engine::MariaDb).await;
}

/// Every session asks the server for patience with a slow reader; here the server understands one
/// second.
const IMPATIENT: Rule = Rule::Rewrite {
    from: "net_write_timeout = 900",
    to: "net_write_timeout = 001",
};
/// 26 MB: more than the kernel takes in for a reader that stands still.
const LARGE_ROWS: &str = "CREATE TABLE t (id INT PRIMARY KEY, pad LONGTEXT NOT NULL);
    INSERT INTO t VALUES (1, REPEAT('a', 65000)), (2, REPEAT('b', 65000)), (3, REPEAT('c', 65000)), (4, REPEAT('d', 65000));
    INSERT INTO t SELECT id + 4, pad FROM t;
    INSERT INTO t SELECT id + 8, pad FROM t;
    INSERT INTO t SELECT id + 16, pad FROM t;
    INSERT INTO t SELECT id + 32, pad FROM t;
    INSERT INTO t SELECT id + 64, pad FROM t;
    INSERT INTO t SELECT id + 128, pad FROM t;
    INSERT INTO t SELECT id + 256, pad FROM t WHERE id <= 144;
    ";

/// Whether the server is busy with what `which` says of its process list, for one of our program's
/// connections.
async fn is_serving(world: &World, which: &str) -> bool {
    let sql =
        format!("SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND {which}");
    !world.server.query::<u64>(None, &sql).await.unwrap().is_empty()
}

/// The source drops us because we read too slowly, inside a range and inside a transaction.
async fn dropped_as_too_slow(engine: Engine) {
    let servers = bench(engine).await;
    let mut world = servers.as_ref().unwrap().world("googlesql", LARGE_ROWS).await;
    let server = SocketAddr::from(([127, 0, 0, 1], world.server.port()));
    let proxy = FaultProxy::start_with(server, IMPATIENT).await.unwrap();
    world.source_address = Some(proxy.address());
    world.source_query = "?ssl-mode=DISABLED&get-server-public-key=true";
    let (range, stream) = ("info LIKE '%SELECT%`pad`%'", "command LIKE 'Binlog Dump%'");
    let target = world.interpose(HELD_UP);
    let mut migrate = world.migrate();
    world.wait(&mut migrate, "the first rows were loaded", is_loading);
    // Long before the end of the only range.
    proxy.set(Cut::StallAfter(200_000));
    target.faults().set_rates(Vec::new());
    until("the range's reader stands still", async || proxy.is_stalled()).await;
    until("its slow reader is dropped", async || {
        !is_serving(&world, range).await
    })
    .await;
    proxy.set(Cut::None);
    world
        .sql("UPDATE t SET pad = REPEAT('n', 65000) WHERE id % 100 = 0;\n")
        .await;
    world.wait_caught_up(&mut migrate);
    assert!(
        world.status().unwrap()["findings"]
            .to_string()
            .contains("read in a new snapshot"),
        "the range was read to its end: {}",
        world.status().unwrap()["findings"]
    );
    assert!(is_serving(&world, stream).await);
    proxy.set(Cut::Stall);
    world
        .sql("UPDATE t SET pad = CONCAT(pad, id);\nDELETE FROM t WHERE id % 50 = 1;\n")
        .await;
    until("its slow reader is dropped", async || {
        !is_serving(&world, stream).await
    })
    .await;
    proxy.set(Cut::None);
    world.wait(&mut migrate, "the transaction was applied", |status| {
        status["apply"]["changes"].as_u64() >= Some(400)
    });
    assert_eq!(migrate.interrupt(), 130);
    world.expect_drained();
    world.expect_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_15_the_source_drops_a_slow_reader_mysql() {
    dropped_as_too_slow(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_15_the_source_drops_a_slow_reader_mariadb() {
    dropped_as_too_slow(Engine::MariaDb).await;
}

/// The network falls silent while the read lock is held: the server's writers wait for seconds, not
/// until it misses us.
async fn silent_under_the_lock(engine: Engine) {
    let servers = bench(engine).await;
    let mut world = servers.as_ref().unwrap().world("googlesql", rows(engine)).await;
    let server = SocketAddr::from(([127, 0, 0, 1], world.server.port()));
    let silence = Rule::Trigger {
        text: "WITH CONSISTENT SNAPSHOT",
        fault: Cut::Stall,
    };
    let proxy = FaultProxy::start_with(server, silence).await.unwrap();
    world.source_address = Some(proxy.address());
    world.source_query = "?ssl-mode=DISABLED&get-server-public-key=true";
    let writer = world.writer(touch);
    let mut migrate = world.migrate();
    until("the network is silent", async || proxy.is_stalled()).await;
    // None of them is granted before the lock is gone.
    writer.write_more(20).await;
    assert!(proxy.is_stalled());
    proxy.set(Cut::None);
    world.wait_caught_up(&mut migrate);
    assert_eq!(migrate.interrupt(), 130);
    writer.stop().await;
    world.expect_drained();
    world.expect_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_15_the_network_dies_under_the_read_lock_mysql() {
    silent_under_the_lock(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_15_the_network_dies_under_the_read_lock_mariadb() {
    silent_under_the_lock(Engine::MariaDb).await;
}

/// The connection ends inside a range, at several places: what is missing is read again, in the
/// same process.
async fn cut_inside_a_range(engine: Engine) {
    let servers = bench(engine).await;
    for bytes in [1_000, 100_000, 700_000] {
        let mut world = servers.as_ref().unwrap().world("googlesql", rows(engine)).await;
        let proxy = source_proxy(&mut world).await;
        let target = world.interpose(HELD_UP);
        let mut migrate = world.migrate();
        world.wait(&mut migrate, "the first rows were loaded", is_loading);
        proxy.set(Cut::CutAfter(bytes));
        target.faults().set_rates(Vec::new());
        world.sql("UPDATE t SET v = v + 1 WHERE id % 7 = 0;\n").await;
        proxy.set(Cut::None);
        world.wait_caught_up(&mut migrate);
        assert_eq!(migrate.interrupt(), 130);
        world.expect_drained();
        world.expect_equal();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_26_the_source_is_cut_inside_a_range_mysql() {
    cut_inside_a_range(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_26_the_source_is_cut_inside_a_range_mariadb() {
    cut_inside_a_range(Engine::MariaDb).await;
}

/// A target that aborts, refuses and loses answers all the time: no row is given up.
#[tokio::test(flavor = "multi_thread")]
async fn killer_32_a_target_that_aborts_under_load() {
    let servers = bench(Engine::MySql).await;
    let mut world = servers.as_ref().unwrap().world("googlesql", ROWS).await;
    // An emulator of its own: what the abuse leaves behind there is no other test's concern.
    world.emulator = Arc::new(Emulator::start().unwrap());
    let interposer = world.interpose("");
    let writer = world.writer(|step| {
        let hot = format!("UPDATE t SET v = {step} WHERE id < 20");
        if step % 2 == 0 { touch(step) } else { one(hot) }
    });
    let mut migrate = world.migrate();
    world.wait(&mut migrate, "the migration was set up", |_| true);
    let faults = "aborted=0.3:3ms,unavailable=0.1,exhausted=0.1:3ms,lost=0.1,lost-drop=0.02,already-exists=0.05,drop=0.02,\
        duplicate=0.05:2,late=0.05:2,StreamingRead.unavailable=0.1";
    interposer.faults().set_rates(parse_rates(faults).unwrap());
    world.wait_caught_up(&mut migrate);
    writer.write_more(300).await;
    assert!(interposer.faults().injected() > 20);
    interposer.faults().set_rates(Vec::new());
    migrate.kill();
    writer.stop().await;
    world.expect_drained();
    world.expect_equal();
}
