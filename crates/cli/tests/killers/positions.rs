//! Histories that are not one transaction after another of one server: 14, 24.

use std::io::Read;
use std::process::Stdio;

use spanferry_testkit::patience::until;
use spanferry_testkit::proxy::Fault;
use spanferry_testkit::server::{Engine, Server};

use crate::outage::source_proxy;
use crate::support::{Running, World, bench, said};

const SCHEMA: &str = "CREATE TABLE t (id BIGINT PRIMARY KEY, v INT NOT NULL);
    CREATE TABLE other (id BIGINT PRIMARY KEY, v INT NOT NULL);
    INSERT INTO t VALUES (1, 0), (2, 0);
    ";

/// Gaps that stay, gaps that are filled later, transactions without an event, tags, and a new
/// binary log file every few steps.
fn odd_history_mysql(own: &str, step: u64) -> Vec<String> {
    let foreign = "11111111-2222-3333-4444-555555555555";
    let change = format!("INSERT INTO t VALUES ({}, {step})", 100 + step);
    let named = |server: &str, number: u64, statement: String| {
        vec![
            format!("SET gtid_next = '{server}:{number}'"),
            "START TRANSACTION".to_owned(),
            statement,
            "COMMIT".to_owned(),
            "SET gtid_next = AUTOMATIC".to_owned(),
        ]
    };
    match step % 8 {
        0 => named(foreign, step * 3 + 10, change),
        // Below the one before, which it follows.
        1 => named(foreign, step * 3 - 2, change),
        2 => named(foreign, step * 3 + 100_000, "DO 0".to_owned()),
        // The numbers before it are given out afterwards.
        3 => named(own, 100_000 + step, change),
        4 => vec!["FLUSH BINARY LOGS".to_owned(), change],
        5 => vec![
            "SET gtid_next = 'AUTOMATIC:tag'".to_owned(),
            change,
            "SET gtid_next = AUTOMATIC".to_owned(),
        ],
        6 => vec![
            "START TRANSACTION".to_owned(),
            change,
            "ROLLBACK".to_owned(),
            "UPDATE t SET v = v + 1 WHERE id = 1".to_owned(),
        ],
        _ => vec![
            "FLUSH BINARY LOGS".to_owned(),
            "FLUSH BINARY LOGS".to_owned(),
            "UPDATE t SET v = v + 1 WHERE id = 2".to_owned(),
        ],
    }
}

/// Sequences with gaps, two domains, other servers' ids, statements that change nothing, and a new
/// binary log file every few steps.
fn odd_history_mariadb(step: u64) -> Vec<String> {
    let change = format!("INSERT INTO t VALUES ({}, {step})", 100 + step);
    match step % 6 {
        0 => vec![format!("SET gtid_seq_no = {}", (step + 1) * 1_000_000), change],
        1 => vec![
            "SET gtid_domain_id = 7".to_owned(),
            format!("SET gtid_seq_no = {}", step * 10),
            format!("INSERT INTO other VALUES ({step}, 0)"),
            format!("INSERT INTO other VALUES ({}, 1)", step + 1),
            "SET gtid_domain_id = 0".to_owned(),
        ],
        2 => vec![
            "ANALYZE TABLE t".to_owned(),
            change,
            "DROP TABLE IF EXISTS none".to_owned(),
        ],
        3 => vec![
            format!("SET server_id = {}", step + 1),
            change,
            "SET server_id = DEFAULT".to_owned(),
        ],
        4 => vec!["FLUSH BINARY LOGS".to_owned(), change],
        _ => vec![
            "FLUSH BINARY LOGS".to_owned(),
            "START TRANSACTION".to_owned(),
            change,
            "ROLLBACK".to_owned(),
            "UPDATE t SET v = v + 1 WHERE id = 1".to_owned(),
        ],
    }
}

async fn binary_logs(world: &World) -> usize {
    let logs: Vec<mysql_async::Row> = world.server.query(None, "SHOW BINARY LOGS").await.unwrap();
    logs.len()
}

/// Such a history before, during and after the snapshot, over connections that are cut and
/// processes that are killed.
async fn odd_history(engine: Engine) {
    let servers = bench(engine).await;
    let mut world = servers.as_ref().unwrap().world("googlesql", SCHEMA).await;
    let proxy = source_proxy(&mut world).await;
    let files = binary_logs(&world).await;
    let uuid = match engine {
        Engine::MySql => world
            .server
            .query::<String>(None, "SELECT @@server_uuid")
            .await
            .unwrap(),
        Engine::MariaDb => Vec::new(),
    };
    let writer = world.writer(move |step| match uuid.first() {
        Some(own) => odd_history_mysql(own, step),
        None => odd_history_mariadb(step),
    });
    writer.write_more(20).await;
    for _ in 0..3 {
        let mut migrate = world.migrate();
        world.wait_caught_up(&mut migrate);
        for _ in 0..3 {
            proxy.set(Fault::Reset);
            writer.write_more(10).await;
            proxy.set(Fault::None);
            writer.write_more(15).await;
        }
        migrate.kill();
        writer.write_more(20).await;
    }
    writer.stop().await;
    assert!(binary_logs(&world).await >= files + 60, "many rotations");
    world.expect_drained();
    world.expect_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_14_gaps_empty_transactions_and_rotations_mysql() {
    odd_history(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_14_gaps_empty_transactions_and_rotations_mariadb() {
    odd_history(Engine::MariaDb).await;
}

/// The id under which this process would register.
const SERVER_ID: u32 = 4_711;

/// Whether the source has a replica with this id, by its own word.
async fn has_replica(source: &Server, id: u32) -> bool {
    let statement = match source.engine() {
        Engine::MySql => "SHOW REPLICAS",
        Engine::MariaDb => "SHOW SLAVE HOSTS",
    };
    let rows: Vec<mysql_async::Row> = source.query(None, statement).await.unwrap();
    rows.iter().any(|row| row.get::<u32, _>(0) == Some(id))
}

/// Gives a replica another id, and lets it register again.
async fn rename_replica(replica: &Server, id: u32) {
    let (stop, start) = match replica.engine() {
        Engine::MySql => ("STOP REPLICA", "START REPLICA"),
        Engine::MariaDb => ("STOP SLAVE", "START SLAVE"),
    };
    for statement in [stop, &format!("SET GLOBAL server_id = {id}"), start] {
        replica.execute(None, statement).await.unwrap();
    }
}

async fn wait_for_rows(server: &Server, rows: u64) {
    until("the replica has every row", async || {
        let found = server.query::<u64>(Some("shop"), "SELECT COUNT(*) FROM t").await;
        found.is_ok_and(|found| found[0] == rows)
    })
    .await;
}

/// A real replica's id is refused; one that takes ours while we run costs neither side a change;
/// and what the source has from a server of our id is carried like anything else.
async fn taken_server_id(engine: Engine) {
    let mut world = World::new(engine, SCHEMA).await;
    let replica = world.server.replica().unwrap();
    let (theirs, ours) = (u32::from(replica.port()), SERVER_ID.to_string());
    until("the replica has registered", async || {
        has_replica(&world.server, theirs).await
    })
    .await;
    for taken in [theirs, u32::from(world.server.port())] {
        let (status, text) = said(&world.run(
            "migrate",
            &[
                "--create-database",
                "--dialect",
                "googlesql",
                "--server-id",
                &taken.to_string(),
            ],
        ));
        assert!(
            status == 3 && text.contains("blocking[SF-2010]") && text.contains("--server-id"),
            "{status}: {text}"
        );
    }
    let writer = world.writer(|step| vec![format!("INSERT INTO t VALUES ({}, {step})", 100 + step)]);
    let mut migrate = world.migrate_with(&["--server-id", &ours]);
    world.wait_caught_up(&mut migrate);
    rename_replica(&replica, SERVER_ID).await;
    if engine == Engine::MariaDb {
        // The server ends the older of two streams of one id: to take it back would end the
        // replica's.
        assert_eq!(migrate.ended(), Some(3));
        world.options = ["--server-id", &ours].map(str::to_owned).to_vec();
        let (status, text) = world.drain();
        assert!(status == 3 && text.contains("SF-2010"), "{status}: {text}");
        world.options.clear();
        migrate = world.migrate();
        world.wait_caught_up(&mut migrate);
    }
    writer.write_more(300).await;
    rename_replica(&replica, theirs).await;
    let rows = writer.stop().await + 2;
    wait_for_rows(&replica, rows).await;
    world.wait_caught_up(&mut migrate);
    assert_eq!(migrate.interrupt(), 130);
    world.expect_drained();
    world.expect_equal();

    // The replica as source: all that it has comes from a server whose id is the one we take.
    world.source_address = Some(([127, 0, 0, 1], replica.port()).into());
    let origin = world.server.port().to_string();
    world
        .sql("UPDATE t SET v = -1 WHERE id = 1;\nINSERT INTO t VALUES (3, -2);\n")
        .await;
    wait_for_rows(&replica, rows + 1).await;
    world.options = ["--server-id", &origin].map(str::to_owned).to_vec();
    world.expect_drained();
    world.expect_equal();
    assert_eq!(world.target_rows("t", &["v"]).await[..3], [["-1"], ["0"], ["-2"]]);
}

/// Another process takes the migration over and, with it, the replica id. The one before hears that
/// it was replaced, not that it should choose another id.
async fn taken_over(engine: Engine) {
    let mut world = World::new(engine, SCHEMA).await;
    let ours = SERVER_ID.to_string();
    world.options = ["--server-id", &ours].map(str::to_owned).to_vec();
    let mut first = world.command("migrate", &world.migrate_options());
    let mut first = Running(
        first
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    world.wait_caught_up(&mut first);
    let elsewhere = world.state.with_extension("elsewhere");
    let before = std::mem::replace(&mut world.state, elsewhere);
    let mut second = world.migrate();
    world.wait_caught_up(&mut second);
    let mut text = String::new();
    let mut words = first.0.stderr.take().unwrap();
    words.read_to_string(&mut text).unwrap();
    assert_eq!(first.ended(), Some(5), "{text}");
    assert!(text.contains("SF-3007") && !text.contains("SF-2010"), "{text}");
    assert_eq!(second.interrupt(), 130);
    std::fs::remove_dir_all(before).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_24_a_takeover_is_no_collision_mysql() {
    taken_over(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_24_a_takeover_is_no_collision_mariadb() {
    taken_over(Engine::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_24_a_taken_server_id_mysql() {
    taken_server_id(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_24_a_taken_server_id_mariadb() {
    taken_server_id(Engine::MariaDb).await;
}
