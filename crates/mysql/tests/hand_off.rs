//! A snapshot without a lock beside what a server shows to sessions earlier or later than its
//! position says.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use spanferry_core::port::source::PositionSource;
use spanferry_core::position::{Position, ServerUuid};
use spanferry_mysql::MysqlSource;
use spanferry_mysql::connection::Connection;
use support::Server;
use support::plan::{open, plans, read, whole};

/// Longest that the sessions may take to open.
const PATIENCE: Duration = Duration::from_secs(60);
const SCHEMA: &str = "CREATE DATABASE h;
CREATE TABLE h.a (id BIGINT AUTO_INCREMENT PRIMARY KEY, v INT);
CREATE USER 'low'@'%' IDENTIFIED BY 'low';
GRANT SELECT ON h.* TO 'low'@'%'";

/// How many transactions were begun by name since the server started.
async fn begun(admin: &mut Connection) -> u64 {
    let found = admin.query("SHOW GLOBAL STATUS LIKE 'Com_begin'").await;
    let rows = found.expect("a counter").rows;
    rows[0].number(1).expect("a number")
}

/// What is owned while the sessions open may be visible to them: `high` holds it, unless it is
/// given up.
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
        let (snapshot, ()) = tokio::join!(open(&source, &plans, 2), async {
            let sessions_open = async { while begun(&mut admin).await < before + 2 {} };
            tokio::time::timeout(PATIENCE, sessions_open)
                .await
                .expect("two sessions begin");
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

/// How many snapshots are opened beside the writers.
const ROUNDS: usize = 15;

/// The last number of a position that has one domain.
fn number(position: &Position) -> usize {
    let text = position.to_string();
    let (_, number) = text.rsplit_once('-').expect("a position");
    number.parse().expect("a number")
}

async fn insert_until(server: &Server, done: &AtomicBool) {
    let mut writer = server.connect().await;
    while !done.load(Ordering::Relaxed) {
        let insert = writer.execute("INSERT INTO h.a (v) VALUES (1)").await;
        insert.expect("an insert");
    }
}

/// A session with an old snapshot asks for its place, again and again: the server answers others
/// with it now and then.
async fn ask_until(server: &Server, done: &AtomicBool) {
    let mut asker = server.connect().await;
    let begin = asker.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT").await;
    begin.expect("a snapshot");
    while !done.load(Ordering::Relaxed) {
        let found = asker.query("SHOW STATUS LIKE 'Binlog_snapshot_%'").await;
        found.expect("its place");
    }
}

/// MariaDB changes its binary log every few transactions, and other sessions ask for their own
/// places: every session sees all of `low`, and nothing beyond `high`. Each transaction is one row.
#[tokio::test]
async fn mariadb_changes_its_log_and_answers_others() {
    let server = Server::mariadb("--max-binlog-size=4096 --sync-binlog=1");
    drop(server.run(SCHEMA).await);
    let source = MysqlSource::new(server.options("low", "low", "h", ""), 4242).expect("options");
    let plans = plans(&source).await;
    let before = number(&source.position().await.expect("a position"));
    let done = AtomicBool::new(false);
    let look = async {
        for _ in 0..ROUNDS {
            let mut snapshot = open(&source, &plans, 2).await.expect("a snapshot");
            let [low, high] = [&snapshot.low, &snapshot.high].map(|bound| number(bound) - before);
            for session in &mut snapshot.sessions {
                let seen = read(session, &plans[0], &whole(&plans[0])).await.len();
                assert!((low..=high).contains(&seen), "{low} <= {seen} <= {high}");
            }
        }
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(
        look,
        insert_until(&server, &done),
        insert_until(&server, &done),
        futures_util::future::join_all((0..8).map(|_| ask_until(&server, &done))),
    );
}
