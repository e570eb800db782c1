//! The read lock of an opening: asked for once, where it can be had at once, and released on every
//! way out.

mod support;

use std::time::{Duration, Instant};

use spanferry_core::port::source::{Snapshot, SnapshotMethod};
use spanferry_mysql::connection::Connection;
use spanferry_mysql::{MysqlSession, MysqlSource};
use support::Server;
use support::plan::{open_by, plans};

/// Longest that a state may be waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a step is tried on a machine that is too slow for it.
const ATTEMPTS: u32 = 20;
const SCHEMA: &str = "CREATE DATABASE l;
CREATE TABLE l.a (id INT PRIMARY KEY, v INT);
CREATE TABLE l.b (id INT PRIMARY KEY, v INT);
INSERT INTO l.a VALUES (1, 0), (2, 0);
INSERT INTO l.b VALUES (1, 0), (2, 0)";
/// Statements of ours that lock or want to.
const LOCKING: &str = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%LOCK TABLES `l`%' AND id <> CONNECTION_ID()";

/// Seconds since the oldest transaction began that has written anything.
const WRITING: &str = "SELECT COALESCE(MAX(TIMESTAMPDIFF(SECOND, trx_started, \
    CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM'))), 0) FROM information_schema.innodb_trx WHERE trx_rows_modified > 0";

/// Transactions that have written anything.
const WRITERS: &str = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_rows_modified > 0";
/// InnoDB shows its transactions from a copy that it renews only when that was not read for 100 ms
/// (`CACHE_MIN_IDLE_TIME` in `storage/innobase/trx/trx0i_s.cc`).
const COPY_AGE: Duration = Duration::from_millis(150);

/// Waits until the server shows no transaction that has written. Without the pause before each look
/// a fast machine is shown the same old copy for ever.
async fn no_writers(admin: &mut Connection) {
    let reached = async {
        loop {
            tokio::time::sleep(COPY_AGE).await;
            if number(admin, WRITERS).await == 0 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect(WRITERS);
}

async fn number(admin: &mut Connection, sql: &str) -> u64 {
    let found = admin.query(sql).await.expect("a query").rows;
    found[0].number(0).expect("a number")
}

/// How often a lock was asked for, and how often released, since the server started.
async fn counts(admin: &mut Connection) -> (u64, u64) {
    let mut count = async |name: &str| {
        let found = admin.query(&format!("SHOW GLOBAL STATUS LIKE '{name}'")).await;
        found.expect("a counter").rows[0].number(1).expect("a number")
    };
    (count("Com_lock_tables").await, count("Com_unlock_tables").await)
}

async fn until(admin: &mut Connection, sql: &str, wanted: impl Fn(u64) -> bool) {
    let reached = async { while !wanted(number(admin, sql).await) {} };
    tokio::time::timeout(PATIENCE, reached).await.expect(sql);
}

/// Writes to both tables, which must not wait. InnoDB's own row locks are of other rows.
async fn write(server: &Server) {
    let mut writer = server.connect().await;
    writer
        .execute("SET SESSION lock_wait_timeout = 1")
        .await
        .expect("a bound");
    for table in ["a", "b"] {
        let sql = format!("UPDATE l.{table} SET v = v + 1 WHERE id = 2");
        writer.execute(&sql).await.expect("a write that does not wait");
    }
}

async fn opened(source: &MysqlSource) -> Snapshot<MysqlSession> {
    let plans = plans(source).await;
    open_by(source, &plans, 3, true).await.expect("a snapshot")
}

/// Opens a snapshot that cannot have the lock: how often it asked.
async fn refused(server: &Server, source: &MysqlSource, admin: &mut Connection) -> u64 {
    let (asked, _) = counts(admin).await;
    let snapshot = opened(source).await;
    assert_eq!(snapshot.method, SnapshotMethod::Unlocked);
    write(server).await;
    until(admin, LOCKING, |running| running == 0).await;
    counts(admin).await.0 - asked
}

async fn check(server: Server) {
    let mut admin = server.run(SCHEMA).await;
    let source = MysqlSource::new(server.admin("l"), 4242).expect("options");

    let (asked, released) = counts(&mut admin).await;
    let snapshot = opened(&source).await;
    assert!(
        matches!(snapshot.method, SnapshotMethod::Locked { held } if held < Duration::from_secs(1)),
        "{:?}",
        snapshot.method
    );
    assert_eq!(snapshot.low, snapshot.high);
    assert_eq!(counts(&mut admin).await, (asked + 1, released + 1));
    write(&server).await;
    drop(snapshot);

    // Behind a statement of the application nothing is even asked for: it would wait.
    let mut reader = server.connect().await;
    let sleeping = "SELECT SLEEP(600) FROM l.a LIMIT 1";
    let reading = async { drop(reader.execute(sleeping).await) };
    let beside = async {
        let old = format!(
            "SELECT COALESCE(MAX(time), 0) FROM information_schema.processlist WHERE info = '{sleeping}'"
        );
        until(&mut admin, &old, |seconds| seconds >= 2).await;
        assert_eq!(refused(&server, &source, &mut admin).await, 0);
        let who = format!("SELECT id FROM information_schema.processlist WHERE info = '{sleeping}'");
        let id = number(&mut admin, &who).await;
        admin.execute(&format!("KILL QUERY {id}")).await.expect("its end");
    };
    tokio::join!(reading, beside);

    behind_transactions(&server, &source, &mut admin).await;
    given_up(&server, &source, &mut admin).await;
}

/// Behind a transaction that has just begun to write the lock is asked for once, in vain; behind an
/// old one it is not.
async fn behind_transactions(server: &Server, source: &MysqlSource, admin: &mut Connection) {
    let mut writer = server.connect().await;
    for attempt in 1.. {
        assert!(attempt <= ATTEMPTS, "no opening took less than a second");
        writer.execute("BEGIN").await.expect("a transaction");
        let update = "UPDATE l.a SET v = v + 1 WHERE id = 1";
        writer.execute(update).await.expect("an update");
        let begun = Instant::now();
        let asked = refused(server, source, admin).await;
        if begun.elapsed() < Duration::from_secs(1) {
            assert_eq!(asked, 1);
            break;
        }
        // This machine is so slow that the transaction may have been an old one.
        writer.execute("ROLLBACK").await.expect("its end");
        no_writers(admin).await;
    }
    until(admin, WRITING, |seconds| seconds >= 2).await;
    assert_eq!(refused(server, source, admin).await, 0);
    writer.execute("ROLLBACK").await.expect("its end");
    no_writers(admin).await;
}

/// An opening that is dropped while it waits for the lock leaves nothing behind.
async fn given_up(server: &Server, source: &MysqlSource, admin: &mut Connection) {
    let plans = plans(source).await;
    let mut writer = server.connect().await;
    for attempt in 1.. {
        assert!(attempt <= ATTEMPTS, "no opening was seen to wait for the lock");
        writer.execute("BEGIN").await.expect("a transaction");
        // The table whose lock is taken last: that of the other is held meanwhile.
        let update = "UPDATE l.b SET v = v + 1 WHERE id = 1";
        writer.execute(update).await.expect("an update");
        // Its own connection: the look may be dropped in the middle of a query.
        let mut looker = server.connect().await;
        let is_waiting = tokio::select! {
            biased;
            () = until(&mut looker, LOCKING, |running| running > 0) => true,
            // This machine is so slow that the lock was not asked for, or waited for unseen.
            opened = open_by(source, &plans, 3, true) => opened.is_err(),
        };
        if is_waiting {
            break;
        }
        writer.execute("ROLLBACK").await.expect("its end");
        no_writers(admin).await;
    }
    until(admin, LOCKING, |running| running == 0).await;
    write(server).await;
    writer.execute("ROLLBACK").await.expect("its end");
}

#[tokio::test]
async fn mysql_is_asked_once() {
    check(Server::mysql("")).await;
}

#[tokio::test]
async fn mariadb_is_asked_once() {
    check(Server::mariadb("--gtid-strict-mode=1 --binlog-row-metadata=FULL")).await;
}
