//! From changes that were stored to changes that stream: 25.
//!
//! Rows are upserts, so a transaction that came twice would leave no trace at the end. An observer
//! therefore looks at the target all the time: every state of it must be one that the source had,
//! and none may lie before an earlier one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use spanferry_core::wire::list_value::{WireReader, WireValue};
use spanferry_spanner::client::Client;
use spanferry_spanner::read::{Keys, Read, ReadAt};
use spanferry_spanner_standin::parse_rates;
use spanferry_testkit::patience::until;
use spanferry_testkit::proxy::Fault;
use spanferry_testkit::server::Engine;
use tokio::task::JoinHandle;

use crate::outage::source_proxy;
use crate::support::{HELD_UP, Running, World, bench};

/// Transaction number n sets both counters to n and enters n into the ledger: two tables of one
/// group, one of another.
const SCHEMA: &str = "CREATE TABLE counter (id INT PRIMARY KEY, n INT NOT NULL);
    CREATE TABLE ledger (n INT PRIMARY KEY, counter INT NOT NULL, FOREIGN KEY (counter) REFERENCES counter (id));
    CREATE TABLE mirror (id INT PRIMARY KEY, n INT NOT NULL);
    INSERT INTO counter VALUES (1, 0);
    INSERT INTO mirror VALUES (1, 0);
    ";

fn entry(step: u64) -> Vec<String> {
    let n = step + 1;
    vec![
        "START TRANSACTION".to_owned(),
        format!("UPDATE mirror SET n = {n} WHERE id = 1"),
        format!("INSERT INTO ledger VALUES ({n}, 1)"),
        format!("UPDATE counter SET n = {n} WHERE id = 1"),
        "COMMIT".to_owned(),
    ]
}

/// Looks at the target until it is dropped or stopped.
struct Observer {
    looks: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Observer {
    fn new(world: &World) -> Observer {
        let (client, looks) = (world.target_client(), Arc::new(AtomicU64::new(0)));
        let told = Arc::clone(&looks);
        let task = tokio::spawn(async move {
            let mut last = 0;
            loop {
                let now = state(&client).await;
                assert!(now >= last, "transaction {now} stands after {last}");
                last = now;
                told.fetch_add(1, Ordering::Relaxed);
            }
        });
        Observer { looks, task }
    }

    fn looks(&self) -> u64 {
        assert!(!self.task.is_finished(), "the observer has failed, see above");
        self.looks.load(Ordering::Relaxed)
    }

    async fn stop(self) {
        self.looks();
        self.task.abort();
        assert!(self.task.await.is_err_and(|ended| ended.is_cancelled()));
    }
}

/// The number of the last transaction, by all tables at one moment.
async fn state(client: &Client) -> i64 {
    let counter = Read::new("counter", ["n"], Keys::All);
    let stream = client.read("counter", &counter, ReadAt::Strong).await.unwrap();
    let at = ReadAt::Exact(stream.read_timestamp().unwrap());
    let n = numbers(stream.collect().await.unwrap())[0];
    let read = async |table: &str| {
        let read = Read::new(table, ["n"], Keys::All);
        numbers(
            client
                .read(table, &read, at)
                .await
                .unwrap()
                .collect()
                .await
                .unwrap(),
        )
    };
    assert_eq!(read("mirror").await, [n], "the counter stands at {n}");
    let ledger = read("ledger").await;
    assert!(
        ledger.iter().copied().eq(1..=n),
        "the counter stands at {n}: {ledger:?}"
    );
    n
}

fn numbers(rows: Vec<impl AsRef<[u8]>>) -> Vec<i64> {
    let number = |row: &[u8]| match WireReader::new(row).next().unwrap().unwrap() {
        WireValue::String(text) => std::str::from_utf8(text).unwrap().parse().unwrap(),
        other => panic!("expected a number, found {other:?}"),
    };
    rows.iter().map(|row| number(row.as_ref())).collect()
}

fn has_backlog(status: &serde_json::Value) -> bool {
    status["lag"]["transactions"].as_u64() > Some(100)
}

async fn expect_caught_up(world: &World, migrate: &mut Running, observer: &Observer) {
    world.wait_caught_up(migrate);
    let looks = observer.looks();
    until("the observer has looked", async || observer.looks() >= looks + 3).await;
}

async fn hand_over(engine: Engine) {
    let servers = bench(engine).await;
    let mut world = servers.as_ref().unwrap().world("googlesql", SCHEMA).await;
    let proxy = source_proxy(&mut world).await;
    let target = world.interpose(HELD_UP);
    let writer = world.writer(entry);
    // Stored while the tables load, caught up from the log, then joined to what streams.
    let mut migrate = world.migrate();
    writer.write_more(150).await;
    target.faults().set_rates(Vec::new());
    world.wait_caught_up(&mut migrate);
    let observer = Observer::new(&world);
    for cut in [false, true] {
        // Stored at the source while nothing runs.
        migrate.kill();
        writer.write_more(150).await;
        migrate = world.migrate();
        expect_caught_up(&world, &mut migrate, &observer).await;
        // Stored in the log, by a process that dies before it has applied it.
        target
            .faults()
            .set_rates(parse_rates("Commit.latency=1:1500ms").unwrap());
        world.wait(&mut migrate, "a backlog was stored", has_backlog);
        migrate.kill();
        target.faults().set_rates(Vec::new());
        if cut {
            proxy.set(Fault::CutAfter(20_000));
        }
        migrate = world.migrate();
        writer.write_more(30).await;
        proxy.set(Fault::None);
        expect_caught_up(&world, &mut migrate, &observer).await;
    }
    assert_eq!(migrate.interrupt(), 130);
    let steps = writer.stop().await;
    world.expect_drained();
    observer.stop().await;
    world.expect_equal();
    assert_eq!(state(&world.target_client()).await.unsigned_abs(), steps);
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_25_from_stored_to_streaming_mysql() {
    hand_over(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_25_from_stored_to_streaming_mariadb() {
    hand_over(Engine::MariaDb).await;
}
