//! The servers of the test kit live, die and come back as their documentation says.

#![expect(clippy::unwrap_used, reason = "a test ends at a failure")]

use std::time::{Duration, Instant};

use spanferry_testkit::server::{Dialect, Emulator, Engine, Server, ServerOptions};

async fn lives_dies_and_comes_back(engine: Engine) {
    let server = Server::start(engine).unwrap();
    server.execute(None, "CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY); INSERT INTO shop.t VALUES (1), (2)")
        .await
        .unwrap();
    server.kill().unwrap();
    assert!(server.query::<i64>(None, "SELECT 1").await.is_err());
    server.restart().unwrap();
    let rows: Vec<i64> = server
        .query(Some("shop"), "SELECT a FROM t ORDER BY a")
        .await
        .unwrap();
    assert_eq!(rows, [1, 2]);
    assert!(
        server
            .url("shop")
            .contains(&format!("@127.0.0.1:{}/shop?", server.port()))
    );
    assert!(server.certificate_authority().exists());

    let directory = server.directory().to_owned();
    drop(server);
    assert!(
        !directory.exists(),
        "a dropped server left {}",
        directory.display()
    );
}

#[tokio::test]
async fn mysql_lives_dies_and_comes_back() {
    lives_dies_and_comes_back(Engine::MySql).await;
}

#[tokio::test]
async fn mariadb_lives_dies_and_comes_back() {
    lives_dies_and_comes_back(Engine::MariaDb).await;
}

/// A replica has what its source had; waiting is by asking again until it is there.
async fn a_replica_follows(engine: Engine) {
    let source = Server::start(engine).unwrap();
    let replica = source.replica().unwrap();
    source
        .execute(
            None,
            "CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY); INSERT INTO shop.t VALUES (7)",
        )
        .await
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match replica.query::<i64>(None, "SELECT a FROM shop.t").await {
            Ok(rows) if rows == [7] => break,
            other => assert!(Instant::now() < deadline, "the replica has {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_mysql_replica_follows() {
    a_replica_follows(Engine::MySql).await;
}

#[tokio::test]
async fn a_mariadb_replica_follows() {
    a_replica_follows(Engine::MariaDb).await;
}

#[tokio::test]
async fn options_reach_the_server() {
    let options = ServerOptions {
        arguments: vec!["--max-connections=42".into()],
        ..ServerOptions::default()
    };
    let server = Server::start_with(Engine::MariaDb, &options).unwrap();
    let rows: Vec<i64> = server
        .query(None, "SELECT @@global.max_connections")
        .await
        .unwrap();
    assert_eq!(rows, [42]);
}

#[tokio::test]
async fn the_emulator_makes_databases_of_both_dialects() {
    let emulator = Emulator::start().unwrap();
    let name = emulator
        .create_database("shop", Dialect::GoogleSql)
        .await
        .unwrap();
    assert_eq!(name, "projects/test/instances/test/databases/shop");
    emulator
        .create_database("shop-pg", Dialect::PostgreSql)
        .await
        .unwrap();
    let again = emulator.create_database("shop", Dialect::GoogleSql).await;
    assert!(again.is_err(), "a database was created twice");
    let attached = Emulator::attach(emulator.host_port()).await.unwrap();
    drop(attached);
    emulator.pause().unwrap();
    emulator.resume().unwrap();
    emulator
        .create_database("third", Dialect::GoogleSql)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_panic_ends_the_server() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let task = tokio::task::spawn_blocking(move || {
        let server = Server::start(Engine::MariaDb).unwrap();
        sender.send(server.directory().to_owned()).unwrap();
        panic!("as a failing test does");
    });
    assert!(task.await.is_err());
    assert!(!receiver.recv().unwrap().exists());
}
