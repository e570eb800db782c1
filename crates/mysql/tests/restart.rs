//! A restart of the source gives the numbers of our sessions to other clients, which the watch
//! leaves alone.

mod support;

use std::time::Duration;

use spanferry_core::port::source::{ReadRows, ReadStatus, SnapshotSession};
use spanferry_core::report::code;
use spanferry_mysql::connection::Connection;
use spanferry_mysql::{MysqlSession, MysqlSource};
use support::Server;
use support::plan::{open, plans, whole};

/// Longest that a state may be waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const SESSIONS: usize = 8;
const SCHEMA: &str = "CREATE DATABASE r;
CREATE TABLE r.t (id INT PRIMARY KEY, v VARCHAR(1000));
INSERT INTO r.t VALUES (1, ''), (2, '')";
/// A statement of ours that waits for the table.
const WAITING: &str = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT%FROM `r`.`t` LIMIT 0' AND state LIKE 'Waiting%'";

async fn until(admin: &mut Connection, wanted: impl Fn(u64) -> bool) {
    let reached = async {
        loop {
            let found = admin.query(WAITING).await.expect("a process list").rows;
            if wanted(found[0].number(0).expect("a number")) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reached)
        .await
        .expect("the watch looks");
}

async fn check(server: Server) {
    drop(server.run(SCHEMA).await);
    let source = MysqlSource::new(server.admin("r"), 4242).expect("options");
    let plans = plans(&source).await;
    let mut snapshot = open(&source, &plans, SESSIONS).await.expect("a snapshot");
    let numbers: Vec<u32> = snapshot
        .sessions
        .iter()
        .map(MysqlSession::connection_id)
        .collect();
    let session = &mut snapshot.sessions[0];
    session
        .begin(&plans[0], &whole(&plans[0]))
        .await
        .expect("a range");
    let mut rows = ReadRows::default();
    let status = session.read(&mut rows, 1, 1 << 20).await.expect("a row");
    assert_eq!(status, ReadStatus::More);

    server.restart();
    // The application's connections take the old numbers, and all that the watch's own new ones
    // leave between them.
    let mut application = Vec::new();
    while application.iter().map(Connection::id).max() <= numbers.iter().copied().max() {
        application.push(server.connect().await);
    }
    let is_taken = |number: &u32| application.iter().any(|one| one.id() == *number);
    assert!(numbers.iter().any(is_taken), "{numbers:?}");
    let mut locker = server.connect().await;
    let mut admin = server.connect().await;
    locker.execute("LOCK TABLES r.t WRITE").await.expect("a lock");
    until(&mut admin, |waiting| waiting > 0).await;
    until(&mut admin, |waiting| waiting == 0).await;
    let failure = snapshot.sessions[0]
        .read(&mut rows, 1, 1 << 20)
        .await
        .expect_err("it was ended");
    assert_eq!(failure.code, code::SNAPSHOT_LOST);
    assert!(
        failure.message.contains("a statement waits for `r`.`t`"),
        "{failure:?}"
    );
    for connection in &mut application {
        let id = connection.id();
        let alive = connection.query("SELECT 1").await;
        assert!(alive.is_ok(), "connection {id} of the application was ended");
    }
}

#[tokio::test]
async fn mysql_leaves_the_application_alone() {
    check(Server::mysql("")).await;
}

#[tokio::test]
async fn mariadb_leaves_the_application_alone() {
    check(Server::mariadb("")).await;
}
