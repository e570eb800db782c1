//! The scenario's model agrees with the real servers.

#![expect(clippy::unwrap_used, reason = "a test ends at a failure")]

use spanferry_testkit::random::seed;
use spanferry_testkit::scenario::{SCHEMA, Scenario, read_state};
use spanferry_testkit::server::{Engine, Server};

async fn the_model_agrees(engine: Engine) {
    let seed = seed(11);
    let server = Server::start(engine).unwrap();
    server
        .execute(None, &format!("CREATE DATABASE s; USE s; {SCHEMA}"))
        .await
        .unwrap();
    let pool = server.pool(Some("s"));
    let mut connection = pool.get_conn().await.unwrap();
    let mut scenario = Scenario::new(seed, 100);
    scenario
        .run(&mut connection, 10_000)
        .await
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert_eq!(
        &read_state(&mut connection).await.unwrap(),
        scenario.state(),
        "seed {seed}"
    );
    drop(connection);
    pool.disconnect().await.unwrap();
}

#[tokio::test]
async fn random_operations_agree_with_mysql() {
    the_model_agrees(Engine::MySql).await;
}

#[tokio::test]
async fn random_operations_agree_with_mariadb() {
    the_model_agrees(Engine::MariaDb).await;
}
