//! What a snapshot costs the server is seen, as far as the account may see it.

mod support;

use spanferry_core::port::source::HealthSource;
use spanferry_mysql::MysqlSource;
use support::Server;
use support::plan::{open, plans};

const UPDATES: u64 = 300;

async fn check(server: &Server) {
    let mut admin = server
        .run(
            "CREATE DATABASE h;
CREATE TABLE h.t (id INT PRIMARY KEY, v INT);
INSERT INTO h.t VALUES (1, 0);
CREATE USER 'low'@'%' IDENTIFIED BY 'low';
GRANT SELECT ON h.* TO 'low'@'%'",
        )
        .await;
    let source = MysqlSource::new(server.admin("h"), 4242).expect("options");
    let snapshot = open(&source, &plans(&source).await, 1).await.expect("a snapshot");
    for _ in 0..UPDATES {
        admin
            .execute("UPDATE h.t SET v = v + 1")
            .await
            .expect("an update");
    }
    let strain = source.health().await.expect("the source's health");
    assert!(strain.versions_kept >= Some(UPDATES), "{strain:?}");
    assert_eq!(strain.replica_lag, None);
    drop(snapshot);
    let low = MysqlSource::new(server.options("low", "low", "h", ""), 4242).expect("options");
    let seen = low.health().await.expect("what may be seen");
    assert_eq!(seen.versions_kept.is_some(), admin.server().is_mariadb());
    assert_eq!(seen.replica_lag, None);
}

#[tokio::test]
async fn mysql() {
    check(&Server::mysql("")).await;
}

#[tokio::test]
async fn mariadb() {
    check(&Server::mariadb("")).await;
}
