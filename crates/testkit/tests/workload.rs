//! The shop's rows and its application run on the real servers.

#![expect(clippy::unwrap_used, reason = "a test ends at a failure")]

use std::time::{Duration, Instant};

use spanferry_testkit::server::{Engine, Server};
use spanferry_testkit::workload::{self, Load, LoadOptions, Rows};

/// Committed transactions to wait for: enough that every kind comes many times.
const TRANSACTIONS: u64 = 1500;

async fn the_shop_lives(engine: Engine) {
    let server = Server::start(engine).unwrap();
    let rows = Rows::about(8000);
    workload::create(&server.pool(None), "shop").await.unwrap();
    let pool = server.pool(Some("shop"));
    workload::fill(&pool, &rows, 5).await.unwrap();
    assert_eq!(counted(&server).await, rows.total());

    let load = Load::start(&pool, &rows, &LoadOptions::default());
    let deadline = Instant::now() + Duration::from_secs(120);
    while load.report().committed < TRANSACTIONS && !load.is_finished() {
        assert!(
            Instant::now() < deadline,
            "the load stands still at {:?}",
            load.report()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let report = load.stop().await.unwrap();
    assert!(report.committed >= TRANSACTIONS);
    assert!(report.rolled_back > 0);
    assert_eq!(report.reconnected, 0);
    // Refusals are part of the load, but most of it has to get through.
    assert!(
        report.refused + report.retried < report.committed / 2,
        "{report:?}"
    );
    let before = counted(&server).await;
    assert_eq!(before, counted(&server).await);
    assert!(before > rows.total() / 2, "{before} rows are left");
    pool.disconnect().await.unwrap();
}

/// Rows of all tables, counted exactly.
async fn counted(server: &Server) -> u64 {
    let tables: Vec<String> = server
        .query(
            None,
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop'",
        )
        .await
        .unwrap();
    assert_eq!(tables.len(), 14);
    let sums: Vec<String> = tables
        .iter()
        .map(|table| format!("(SELECT COUNT(*) FROM `{table}`)"))
        .collect();
    let total: Vec<u64> = server
        .query(Some("shop"), &format!("SELECT {}", sums.join(" + ")))
        .await
        .unwrap();
    total[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shop_lives_on_mysql() {
    the_shop_lives(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shop_lives_on_mariadb() {
    the_shop_lives(Engine::MariaDb).await;
}

#[tokio::test]
async fn the_load_outlives_a_restart_of_the_server() {
    let server = Server::start(Engine::MariaDb).unwrap();
    let rows = Rows::about(3000);
    workload::create(&server.pool(None), "shop").await.unwrap();
    let pool = server.pool(Some("shop"));
    workload::fill(&pool, &rows, 6).await.unwrap();
    let options = LoadOptions {
        connections: 2,
        transactions_per_second: Some(200),
        seed: 2,
    };
    let load = Load::start(&pool, &rows, &options);
    server.kill().unwrap();
    server.restart().unwrap();
    let before = load.report().committed;
    let deadline = Instant::now() + Duration::from_secs(60);
    while load.report().committed < before + 50 && !load.is_finished() {
        assert!(
            Instant::now() < deadline,
            "the load stands still at {:?}",
            load.report()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    load.stop().await.unwrap();
    pool.disconnect().await.unwrap();
}
