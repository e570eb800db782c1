//! A source that is replaced by a replica which lacks what a snapshot has seen.

use spanferry_spanner_standin::parse_rates;
use spanferry_testkit::patience::until;
use spanferry_testkit::server::{Engine, Server};

use spanferry_core::port::source::{HealthSource, SourceHealth};
use spanferry_mysql::MysqlSource;
use spanferry_mysql::options::Options;

use crate::server::{address, make_writable};
use crate::support::{HELD_UP, World, is_loading, said};

/// `t` takes long to load, `f` not.
const SCHEMA: &str = "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, pad VARCHAR(150) NOT NULL);
    CREATE TABLE f (id INT PRIMARY KEY, pad VARCHAR(3000) NOT NULL);
    INSERT INTO t (pad) VALUES (REPEAT('p', 140)), (REPEAT('q', 140)), (REPEAT('r', 140));
    INSERT INTO t (pad) SELECT a.pad FROM t a, t b, t c, t d, t e, t f, t g, t h, t i;
    INSERT INTO f VALUES (0, 'x');
    ";
/// A transaction larger than the budget: capture waits at it until there is a larger one.
const FILL: &str = "INSERT INTO f SELECT id, REPEAT('x', 2500) FROM t WHERE id <= 2000;\n";
const LOG_BUDGET: &str = "3000000";

/// Nothing before the tables are known.
fn phase<'a>(status: &'a serde_json::Value, table: &str) -> &'a str {
    let tables = status["tables"].as_array().into_iter().flatten();
    let mut named = tables.filter(|found| found["name"] == table);
    named
        .next()
        .and_then(|found| found["phase"].as_str())
        .unwrap_or_default()
}

/// Rows that came from transactions which the new source never had are not taken for the source's:
/// the table waits and says why, the others flow, and a resync ends it.
async fn lossy_failover(engine: Engine) {
    let mut world = World::new(engine, SCHEMA).await;
    let replica = world.server.replica().unwrap();
    let target = world.interpose(HELD_UP);
    world.options = vec!["--log-budget".to_owned(), LOG_BUDGET.to_owned()];
    let mut migrate = world.migrate();
    world.wait(&mut migrate, "the first rows were loaded", |status| {
        is_loading(status) && ["joined", "constrained"].contains(&phase(status, "f"))
    });
    // Twenty commits load `t`: none of the rest is answered any more.
    target
        .faults()
        .set_rates(parse_rates("Commit.latency=1:600000ms").unwrap());
    world.sql(FILL).await;
    world.wait(&mut migrate, "capture waits for room", |status| {
        status["throttled"]
            .as_str()
            .is_some_and(|reason| reason.contains("capture waits"))
    });
    until("the replica has what the stream brought", async || {
        let found = replica.query::<u64>(Some("shop"), "SELECT COUNT(*) FROM f");
        found.await.is_ok_and(|found| found[0] > 1)
    })
    .await;
    assert!(strain(&replica).await.replica_lag.is_some());
    let stop = match engine {
        Engine::MySql => "STOP REPLICA",
        Engine::MariaDb => "STOP SLAVE",
    };
    replica.execute(None, stop).await.unwrap();
    assert!(world.status().as_ref().is_some_and(is_loading));
    migrate.kill();

    // In no part of the stream that capture has room for, and in the snapshot of the next attempt.
    world.sql("INSERT INTO t VALUES (1000000, 'lost');\n").await;
    target.faults().set_rates(Vec::new());
    let mut migrate = world.migrate();
    world.wait(&mut migrate, "the rest was loaded", |status| {
        ["loaded", "joined"].contains(&phase(status, "t"))
    });
    assert!(has_row(&world, "1000000").await);
    migrate.kill();
    world.server.kill().unwrap();
    world.source_address = Some(address(&replica));
    make_writable(&replica).await;
    let changes = "INSERT INTO f VALUES (1000001, 'after')";
    replica.execute(Some("shop"), changes).await.unwrap();

    world.options.clear();
    let mut migrate = world.migrate();
    world.wait(
        &mut migrate,
        "the table waits for what its snapshot saw",
        |status| {
            status["findings"]
                .to_string()
                .contains("had more transactions than the source has now")
        },
    );
    world.wait(&mut migrate, "the other table flows", |status| {
        phase(status, "f") == "constrained"
    });
    let status = world.status().unwrap();
    assert!(
        status["caught_up"] == false && phase(&status, "t") != "constrained",
        "{status}"
    );
    assert_eq!(migrate.interrupt(), 130);

    let (status, text) = said(&world.run("resync", &["t", "--yes"]));
    assert_eq!(status, 0, "{text}");
    world.expect_drained();
    world.expect_equal();
    assert!(!has_row(&world, "1000000").await);
}

async fn strain(server: &Server) -> SourceHealth {
    let url = server.url("shop").replace("admin@", "admin:admin@");
    let options = Options::parse(&url).unwrap();
    MysqlSource::new(options, 4242).unwrap().health().await.unwrap()
}

async fn has_row(world: &World, id: &str) -> bool {
    world
        .target_rows("t", &["id"])
        .await
        .iter()
        .any(|row| row[0] == id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_loses_what_a_snapshot_saw_mysql() {
    lossy_failover(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_loses_what_a_snapshot_saw_mariadb() {
    lossy_failover(Engine::MariaDb).await;
}
