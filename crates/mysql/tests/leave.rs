//! How connections end: with a word to the server, and no more logins than are needed. A change
//! stream is no conversation: the server counts the end of every replica's stream as an aborted
//! client.

mod support;

use spanferry_core::port::source::{HealthSource, PositionSource};
use spanferry_mysql::MysqlSource;
use spanferry_mysql::connection::Connection;
use support::Server;
use support::patience::until;
use support::plan::{open, plans};

const ROUNDS: u64 = 10;

async fn count(admin: &mut Connection, name: &str) -> u64 {
    let found = admin.query(&format!("SHOW GLOBAL STATUS LIKE '{name}'")).await;
    found.expect("a status").rows[0].number(1).expect("a number")
}

async fn sessions_take_leave(server: Server, query: &str) {
    let mut admin = server
        .run("CREATE DATABASE s;\nCREATE TABLE s.t (id INT PRIMARY KEY);\nINSERT INTO s.t VALUES (1), (2)")
        .await;
    let source = MysqlSource::new(server.options("admin", "admin", "s", query), 4242).expect("options");
    let plans = plans(&source).await;
    until("the sessions before are gone", async || {
        count(&mut admin, "Threads_connected").await <= 2
    })
    .await;
    let (aborted, logins) = (
        count(&mut admin, "Aborted_clients").await,
        count(&mut admin, "Connections").await,
    );
    for _ in 0..ROUNDS {
        let position = source.position().await.expect("a position");
        assert!(source.holds(&position).await.expect("an answer"));
        source.health().await.expect("the source's health");
        source.identity().await.expect("who it is");
    }
    let asked = count(&mut admin, "Connections").await - logins;
    assert!(asked <= ROUNDS, "{asked} logins for {ROUNDS} rounds of questions");
    let snapshot = open(&source, &plans, 3).await.expect("a snapshot");
    drop((source, snapshot));
    until("every session has ended", async || {
        count(&mut admin, "Threads_connected").await == 1
    })
    .await;
    assert_eq!(count(&mut admin, "Aborted_clients").await, aborted, "{query}");
}

#[tokio::test]
async fn sessions_take_leave_mysql() {
    sessions_take_leave(Server::mysql(""), "").await;
}

#[tokio::test]
async fn sessions_take_leave_mariadb() {
    sessions_take_leave(Server::mariadb(""), "").await;
}

#[tokio::test]
async fn sessions_without_tls_take_leave() {
    let query = "ssl-mode=DISABLED&get-server-public-key=true";
    sessions_take_leave(Server::mysql(""), query).await;
}
