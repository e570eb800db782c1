//! Snapshot sessions that wait for work are kept alive, and those of a client that has vanished are
//! not.

mod support;

use std::time::{Duration, Instant};

use spanferry_mysql::connection::Connection;
use spanferry_mysql::{MysqlSource, Options};
use support::Server;
use support::plan::{open, plans, read, whole};
use tokio::runtime::{Builder, Runtime};

/// How long a session may be idle here.
const IDLE_MAX: Duration = Duration::from_secs(2);
/// How long the server may take to notice.
const PATIENCE: Duration = Duration::from_secs(120);
/// Sessions of the snapshot, and all of ours.
const SESSIONS: usize = 3;

const SCHEMA: &str = "CREATE DATABASE i;
CREATE TABLE i.t (id INT PRIMARY KEY, v INT);
INSERT INTO i.t VALUES (1, 1), (2, 2);
CREATE USER reader@'%' IDENTIFIED BY 'reader';
GRANT SELECT ON i.* TO reader@'%'";

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn options(server: &Server) -> Options {
    Options {
        idle_max: IDLE_MAX,
        ..server.options("reader", "reader", "i", "")
    }
}

/// The sessions of the account that the server has.
async fn open_sessions(admin: &mut Connection) -> Vec<u64> {
    let sql = "SELECT id FROM information_schema.processlist WHERE user = 'reader'";
    let found = admin.query(sql).await.expect("the process list").rows;
    found.iter().filter_map(|row| row.number(0)).collect()
}

/// Waits until the server has ended sessions: those that are left.
async fn until_left(admin: &mut Connection, is_reached: impl Fn(&[u64]) -> bool) -> Vec<u64> {
    let begun = Instant::now();
    loop {
        let left = open_sessions(admin).await;
        if is_reached(&left) {
            return left;
        }
        assert!(begun.elapsed() < PATIENCE, "{left:?}");
        tokio::task::yield_now().await;
    }
}

/// `client` is a runtime of its own: what is not run on it stands still like a process that was
/// stopped, with its sockets open.
fn check(server: &Server) {
    let (client, other) = (runtime(), runtime());
    drop(other.block_on(server.run(SCHEMA)));
    let source = MysqlSource::new(options(server), 4242).expect("options");
    let (plans, mut snapshot) = client.block_on(async {
        let plans = plans(&source).await;
        let snapshot = open(&source, &plans, SESSIONS).await.expect("a snapshot");
        (plans, snapshot)
    });
    client.block_on(async {
        let mut admin = server.connect().await;
        admin.execute("UPDATE i.t SET v = 0").await.expect("a change");
        // A session without pings shows that the time is over, several times.
        for _ in 0..3 {
            let forgotten = Connection::open(&options(server)).await.expect("reader logs in");
            let id = u64::from(forgotten.id());
            until_left(&mut admin, |left| !left.contains(&id)).await;
        }
        let mut numbers = Vec::new();
        for session in &mut snapshot.sessions {
            numbers.push(u64::from(session.connection_id()));
            let rows = read(session, &plans[0], &whole(&plans[0])).await;
            assert_eq!(rows.len(), 2, "the session and its snapshot are still there");
            let found = session.query("SELECT SUM(v) FROM i.t").await.expect("a sum");
            assert_eq!(
                found.first_text().as_deref(),
                Some("3"),
                "it is the same snapshot"
            );
        }
        let left = open_sessions(&mut admin).await;
        assert!(
            numbers.iter().all(|number| left.contains(number)),
            "{numbers:?} of {left:?}"
        );
    });
    // Nothing of the client runs any more.
    other.block_on(async {
        let mut admin = server.connect().await;
        until_left(&mut admin, <[u64]>::is_empty).await;
    });
    let lost = client.block_on(snapshot.sessions[0].query("SELECT 1"));
    assert!(lost.is_err(), "a lost session is never taken for a good one");
}

#[test]
fn idle_sessions_of_mysql() {
    check(&Server::mysql(""));
}

#[test]
fn idle_sessions_of_mariadb() {
    check(&Server::mariadb(""));
}
