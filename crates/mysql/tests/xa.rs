//! A snapshot beside prepared XA transactions, on both servers.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::{
    PositionSource, PreparedId, PreparedWait, Snapshot, SnapshotRequest, SnapshotSource,
};
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_mysql::connection::Connection;
use spanferry_mysql::{MysqlSession, MysqlSource};
use support::Server;
use support::plan::{plans, read, whole};

const SCHEMA: &str = "CREATE DATABASE x;
CREATE TABLE x.a (id INT PRIMARY KEY);
CREATE DATABASE other;
CREATE TABLE other.t (id INT PRIMARY KEY);
CREATE USER 'low'@'%' IDENTIFIED BY 'low';
GRANT SELECT ON x.* TO 'low'@'%'";
/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn id(hex: &str) -> PreparedId {
    PreparedId(format!("X'{hex}',X'',1"))
}

/// Prepares a transaction by a session of its own, which then goes away.
async fn prepare(server: &Server, name: &str, sql: &str) {
    let script = format!("XA START '{name}';\n{sql};\nXA END '{name}';\nXA PREPARE '{name}'");
    drop(server.run(&script).await);
}

async fn open_beside(
    source: &MysqlSource,
    plans: &[Arc<TablePlan>],
    prepared: PreparedWait<'_>,
) -> Result<Snapshot<MysqlSession>, Failure> {
    let request = SnapshotRequest {
        tables: plans,
        sessions: 2,
        lock: false,
        prepared,
    };
    let opened = SnapshotSource::open_snapshot(source, &request);
    tokio::time::timeout(PATIENCE, opened)
        .await
        .expect("it opens in time")
}

async fn end(admin: &mut Connection, name: &str) {
    // The session that prepared it may not be gone yet.
    let patient = async { while admin.execute(&format!("XA COMMIT '{name}'")).await.is_err() {} };
    tokio::time::timeout(PATIENCE, patient).await.expect("it ends");
}

/// How often anybody has listed prepared transactions.
async fn looks(admin: &mut Connection) -> u64 {
    let found = admin.query("SHOW GLOBAL STATUS LIKE 'Com_xa_recover'").await;
    let rows = found.expect("a counter").rows;
    rows[0].number(1).expect("a number")
}

#[tokio::test]
async fn a_snapshot_waits_for_what_is_prepared() {
    for server in Server::both() {
        let mut admin = server.run(SCHEMA).await;
        let source = MysqlSource::new(server.admin("x"), 4242).expect("options");
        let plans = plans(&source).await;
        let (none, strangers) = (BTreeSet::new(), BTreeSet::from([id("73")]));

        prepare(&server, "s", "INSERT INTO other.t VALUES (1)").await;
        // What is not known to be a stranger is waited for, and named.
        let failure = open_beside(&source, &plans, PreparedWait::AllBut(&none))
            .await
            .unwrap_err();
        assert_eq!(failure.code, code::SOURCE_PREPARED);
        assert!(
            failure.is_retry() && failure.to_string().contains("X'73'"),
            "{failure}"
        );
        let snapshot = open_beside(&source, &plans, PreparedWait::AllBut(&strangers)).await;
        assert_eq!(snapshot.expect("a snapshot").passed, [id("73")]);
        let snapshot = open_beside(&source, &plans, PreparedWait::Nothing).await;
        assert_eq!(snapshot.expect("a snapshot").passed, []);

        // One that ends meanwhile: the snapshot shows its rows, and its `low` may lie before its
        // commit.
        prepare(&server, "t", "INSERT INTO x.a VALUES (7)").await;
        let before = source.position().await.expect("a position");
        let seen = looks(&mut admin).await;
        let (snapshot, ()) = tokio::join!(
            open_beside(&source, &plans, PreparedWait::AllBut(&strangers)),
            async {
                let patient = async { while looks(&mut admin).await < seen + 2 {} };
                tokio::time::timeout(PATIENCE, patient)
                    .await
                    .expect("it looks again");
                end(&mut admin, "t").await;
            }
        );
        let mut snapshot = snapshot.expect("a snapshot");
        assert!(snapshot.low.contains_all(&before).expect("one kind"));
        let rows = read(&mut snapshot.sessions[0], &plans[0], &whole(&plans[0])).await;
        assert_eq!(rows.len(), 1);

        // An account that may not list them waits for none of them.
        prepare(&server, "u", "INSERT INTO x.a VALUES (8)").await;
        if !admin.server().is_mariadb() {
            let low = MysqlSource::new(server.options("low", "low", "x", ""), 4242).expect("options");
            let snapshot = open_beside(&low, &plans, PreparedWait::AllBut(&none)).await;
            assert_eq!(snapshot.expect("a snapshot").passed, []);
        }
    }
}
