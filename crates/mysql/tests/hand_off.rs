//! Every way of opening a snapshot is exact under writers: what each session sees lies between `low` and `high`.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use spanferry_core::position::{GtidSet, Position, ServerUuid};
use spanferry_core::source::{HandOff, SchemaSource, SnapshotSource};
use spanferry_mysql::MysqlSource;
use spanferry_mysql::connection::Connection;
use support::Server;
use support::plan::plans;
use tokio::task::JoinSet;

/// Writers that commit all the time; each of their transactions adds one row to `a` and one to `b`.
const WRITERS: usize = 4;
const SESSIONS: usize = 4;
/// How long the sessions may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);
/// Snapshots opened in each mode.
const ROUNDS: usize = 5;

const SCHEMA: &str = "CREATE DATABASE h;
CREATE TABLE h.a (id BIGINT AUTO_INCREMENT PRIMARY KEY, v INT);
CREATE TABLE h.b (id BIGINT AUTO_INCREMENT PRIMARY KEY, v INT);
CREATE USER 'low'@'%' IDENTIFIED BY 'low';
GRANT SELECT ON h.* TO 'low'@'%';
CREATE USER 'mid'@'%' IDENTIFIED BY 'mid';
GRANT SELECT, LOCK TABLES ON h.* TO 'mid'@'%'";

/// How many transactions a position holds.
fn transactions(position: &Position) -> u64 {
    match position {
        Position::Mysql(set) => set.count_beyond(&GtidSet::default()),
        Position::Mariadb(gtids) => gtids.sequence(0),
    }
}

/// Writers that run until `stop`; returns once each of them has committed.
async fn write(server: &Server, stop: &Arc<AtomicBool>) -> JoinSet<()> {
    let mut writers = JoinSet::new();
    let (sender, mut begun) = tokio::sync::mpsc::channel(WRITERS);
    for writer in 0..WRITERS {
        let (stop, sender) = (Arc::clone(stop), sender.clone());
        let mut connection = server.connect().await;
        writers.spawn(async move {
            let mut first = true;
            while !stop.load(Ordering::Relaxed) {
                for statement in [
                    "BEGIN",
                    "INSERT INTO h.a (v) VALUES (1)",
                    "INSERT INTO h.b (v) VALUES (1)",
                    "COMMIT",
                ] {
                    connection.execute(statement).await.expect("a write");
                }
                if first {
                    sender.send(writer).await.expect("the test waits");
                    first = false;
                }
            }
        });
    }
    for _ in 0..WRITERS {
        begun.recv().await.expect("a writer");
    }
    writers
}

/// Opens snapshots as `user` and compares what their sessions see with their positions. `base` transactions came before the rows.
async fn check(server: &Server, user: &str, expected: HandOff, base: u64) {
    let source = MysqlSource::new(server.options(user, user, "h", ""), 4242).expect("options");
    let plans = plans(&source).await;
    for round in 0..ROUNDS {
        let mut snapshot = source.open(&plans, SESSIONS, true).await.expect(user);
        assert_eq!(snapshot.hand_off, expected, "{user}");
        let low = transactions(&snapshot.low) - base;
        let high = transactions(&snapshot.high) - base;
        for session in &mut snapshot.sessions {
            let counted = session
                .query("SELECT (SELECT COUNT(*) FROM h.a), (SELECT COUNT(*) FROM h.b)")
                .await;
            let counted = counted.expect("a count");
            let (a, b) = (
                counted.rows[0].number(0).expect("a count"),
                counted.rows[0].number(1).expect("a count"),
            );
            assert_eq!(a, b, "{user}, round {round}: half a transaction");
            assert!(
                low <= a && a <= high,
                "{user}, round {round}: {low} <= {a} <= {high}"
            );
            if expected != HandOff::NoLock {
                assert_eq!((low, high), (a, a), "{user}, round {round}");
            }
        }
    }
}

async fn check_all(server: &Server) {
    let mut admin = server.run(SCHEMA).await;
    let source = MysqlSource::new(server.admin("h"), 4242).expect("options");
    let base = transactions(&source.position().await.expect("a position"));
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = write(server, &stop).await;
    for (user, expected) in [
        ("admin", HandOff::GlobalLock),
        ("mid", HandOff::TableLocks),
        ("low", HandOff::NoLock),
    ] {
        check(server, user, expected, base).await;
    }
    if !admin.server().is_mariadb() {
        // The engine's commit and `gtid_executed` then lie further apart.
        admin
            .execute("SET GLOBAL binlog_order_commits = OFF")
            .await
            .expect("a setting");
        check(server, "low", HandOff::NoLock, base).await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(writer) = writers.join_next().await {
        writer.expect("no writer failed");
    }
    let rows = admin.query("SELECT COUNT(*) FROM h.a").await.expect("a count");
    let reached = transactions(&source.position().await.expect("a position")) - base;
    assert_eq!(
        rows.rows[0].number(0),
        Some(reached),
        "one transaction a row, or the proof is void"
    );
}

#[tokio::test]
async fn mysql_sessions_lie_between_low_and_high() {
    check_all(&Server::mysql("")).await;
}

#[tokio::test]
async fn mariadb_sessions_lie_between_low_and_high() {
    check_all(&Server::mariadb("")).await;
}

/// How many transactions were begun by name since the server started.
async fn begun(admin: &mut Connection) -> u64 {
    let found = admin.query("SHOW GLOBAL STATUS LIKE 'Com_begin'").await;
    let rows = found.expect("a counter").rows;
    rows[0].number(1).expect("a number")
}

/// What is owned while the sessions open may be visible to them: `high` holds it, unless it is given up.
#[tokio::test]
async fn mysql_waits_for_what_is_owned() {
    let server = Server::mysql("");
    let mut admin = server.run(SCHEMA).await;
    let source = MysqlSource::new(server.options("low", "low", "h", ""), 4242).expect("options");
    let plans = plans(&source).await;
    let origin = "11111111-2222-3333-4444-555555555555";
    for (number, end, committed) in [(7, "COMMIT", true), (9, "ROLLBACK", false)] {
        let mut owner = server.connect().await;
        for statement in [
            format!("SET gtid_next = '{origin}:{number}'"),
            "BEGIN".to_owned(),
            "INSERT INTO h.a (v) VALUES (1)".to_owned(),
        ] {
            owner.execute(&statement).await.expect("a statement");
        }
        let before = begun(&mut admin).await;
        let (snapshot, ()) = tokio::join!(source.open(&plans, 2, true), async {
            let begun = async { while begun(&mut admin).await < before + 2 {} };
            tokio::time::timeout(PATIENCE, begun)
                .await
                .expect("the sessions begin");
            owner.execute(end).await.expect("an end");
        });
        let snapshot = snapshot.expect("a snapshot");
        let origin = ServerUuid::parse(origin).expect("a UUID");
        let (Position::Mysql(low), Position::Mysql(high)) = (snapshot.low, snapshot.high) else {
            panic!("expected GTID sets")
        };
        assert!(!low.contains(origin, "", number));
        assert_eq!(high.contains(origin, "", number), committed, "{end}");
    }
}
