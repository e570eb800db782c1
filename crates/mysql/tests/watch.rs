//! A snapshot never holds up a DDL: a session whose table a statement waits for gives way, and says
//! so.

mod support;

use std::sync::Arc;

use spanferry_core::plan::{TablePlan, TargetKey};
use spanferry_core::port::source::{ReadRows, ReadStatus, SnapshotSession};
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_mysql::connection::Connection;
use spanferry_mysql::{MysqlSession, MysqlSource};
use support::Server;
use support::patience::{until, within};
use support::plan::{open, plans, read, whole};

/// Far more rows than the sockets between server and reader hold.
const ROWS: u32 = 40_000;

async fn prepare(server: &Server) {
    let mut admin = server
        .run(
            "CREATE DATABASE w;
CREATE TABLE w.t (id INT PRIMARY KEY, v VARCHAR(1000));
CREATE TABLE w.u (id INT PRIMARY KEY);
INSERT INTO w.u VALUES (1);
CREATE TABLE w.v (id INT PRIMARY KEY, v VARCHAR(100));
INSERT INTO w.v WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 200) SELECT 1000 * a.i + b.i, REPEAT('v', 100) FROM n a JOIN n b;
ALTER TABLE w.v ADD COLUMN h VARCHAR(128) AS (SHA2(REPEAT(v, 200000), 512)) VIRTUAL;
CREATE USER 'low'@'%' IDENTIFIED BY 'low';
GRANT SELECT ON w.* TO 'low'@'%'",
        )
        .await;
    for chunk in 0..ROWS / 1000 {
        let rows: Vec<_> = (0..1000)
            .map(|row| format!("({}, REPEAT('x', 900))", chunk * 1000 + row))
            .collect();
        let sql = format!("INSERT INTO w.t VALUES {}", rows.join(","));
        admin.execute(&sql).await.expect("rows");
    }
}

/// Reads some rows of the range and leaves it open.
async fn begin(session: &mut MysqlSession, plan: &Arc<TablePlan>) {
    session.begin(plan, &whole(plan)).await.expect("a range");
    let mut rows = ReadRows::default();
    let status = session.read(&mut rows, 10, 1 << 20).await.expect("rows");
    assert_eq!(status, ReadStatus::More);
}

/// Reads on until the session fails.
async fn read_to_failure(session: &mut MysqlSession) -> Failure {
    let mut rows = ReadRows::default();
    loop {
        match session.read(&mut rows, 1000, 1 << 20).await {
            Ok(ReadStatus::More) => {}
            Ok(ReadStatus::End) => panic!("the range ended as if it were whole"),
            Err(failure) => return failure,
        }
    }
}

/// A DDL and a reader behind it end although a range is open whose reader stands still, and whose
/// session gets the reason.
async fn check(server: &Server, user: &str, ddl: &str) {
    let source = MysqlSource::new(server.options(user, user, "w", ""), 4242).expect("options");
    let plans = plans(&source).await;
    let mut snapshot = open(&source, &plans, 2).await.expect("a snapshot");
    begin(&mut snapshot.sessions[0], &plans[0]).await;
    let (mut changer, mut reader) = (server.connect().await, server.connect().await);
    let waiting = async {
        changer.execute(ddl).await.expect("the DDL ends");
    };
    let behind = async {
        reader
            .query("SELECT COUNT(*) FROM w.t")
            .await
            .expect("the reader ends");
    };
    within("the DDL and the reader end", async {
        tokio::join!(waiting, behind)
    })
    .await;
    let failure = read_to_failure(&mut snapshot.sessions[0]).await;
    assert!(
        failure.code == code::SNAPSHOT_LOST && failure.is_retry(),
        "{failure:?}"
    );
    assert!(
        failure.message.contains("a statement waits for `w`.`t`"),
        "{failure:?}"
    );
    // The other session holds nothing that anybody waits for.
    assert_eq!(
        read(&mut snapshot.sessions[1], &plans[1], &whole(&plans[1]))
            .await
            .len(),
        1
    );
}

/// A session that cannot give its lock back holds the table behind its range, too, and gives way
/// for it.
async fn check_behind_range(server: &Server) {
    let source = MysqlSource::new(server.options("low", "low", "w", ""), 4242).expect("options");
    let plans = plans(&source).await;
    let mut snapshot = open(&source, &plans, 1).await.expect("a snapshot");
    let session = &mut snapshot.sessions[0];
    read(session, &plans[1], &whole(&plans[1])).await;
    let mut changer = server.connect().await;
    changer
        .execute("ALTER TABLE w.u ADD INDEX again (id)")
        .await
        .expect("the DDL ends");
    let failure = session
        .begin(&plans[0], &whole(&plans[0]))
        .await
        .expect_err("it gave way");
    assert!(
        failure.code == code::SNAPSHOT_LOST && failure.is_retry(),
        "{failure:?}"
    );
    assert!(failure.message.contains("`w`.`u`"), "{failure:?}");
}

/// A plan of `w.v` whose order takes the server far longer than a test may take.
fn slow(plans: &[Arc<TablePlan>]) -> TablePlan {
    let mut slow = TablePlan::clone(&plans[2]);
    slow.source_key = vec![2];
    slow.target_key = TargetKey::Columns(vec![2]);
    slow
}

/// How many statements of sessions on `w.v` the server runs.
async fn busy(admin: &mut Connection) -> u64 {
    let sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT /* spanferry-%FROM `w`.`v`%'";
    let found = admin.query(sql).await.expect("a process list");
    found.rows[0].number(0).expect("a number")
}

/// Sessions that are dropped while the server is busy with their statements, and sends nothing: the
/// statements end although no other statement waits, while a session of the same snapshot lives,
/// and behind the last.
async fn check_dropped(server: &Server, user: &str) {
    let source = MysqlSource::new(server.options(user, user, "w", ""), 4242).expect("options");
    let plans = plans(&source).await;
    let mut snapshot = open(&source, &plans, 2).await.expect("a snapshot");
    let slow = Arc::new(slow(&plans));
    let mut admin = server.connect().await;
    for left in [1, 0] {
        let mut session = snapshot.sessions.remove(0);
        let plan = Arc::clone(&slow);
        let reading = tokio::spawn(async move { session.boundary(&plan, None, 1).await });
        until("the statement runs", async || busy(&mut admin).await > 0).await;
        reading.abort();
        assert!(reading.await.expect_err("it was dropped").is_cancelled());
        until("the statement ends", async || busy(&mut admin).await == 0).await;
        assert_eq!(snapshot.sessions.len(), left);
    }
    let sql = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{user}'");
    drop(source);
    until("the watch has ended", async || {
        let found = admin.query(&sql).await.expect("a process list");
        found.rows[0].number(0) == Some(0)
    })
    .await;
}

/// A server that is busy with a session's statement, and sends nothing, does not notice that the
/// session's socket is closed: its statement is ended too.
async fn check_quiet(server: &Server, user: &str) {
    let source = MysqlSource::new(server.options(user, user, "w", ""), 4242).expect("options");
    let plans = plans(&source).await;
    let mut snapshot = open(&source, &plans, 1).await.expect("a snapshot");
    let slow = slow(&plans);
    let session = &mut snapshot.sessions[0];
    let mut changer = server.run("SET SESSION lock_wait_timeout = 20").await;
    let change = async {
        until("the statement runs", async || busy(&mut changer).await > 0).await;
        let ddl = format!("ALTER TABLE w.v ADD INDEX of_{user} (v)");
        changer.execute(&ddl).await.expect("the DDL ends");
    };
    let (bound, ()) = tokio::join!(
        within("the statement ends", session.boundary(&slow, None, 1)),
        change
    );
    let failure = bound.expect_err("it was ended");
    assert!(
        failure.code == code::SNAPSHOT_LOST && failure.message.contains("`w`.`v`"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn mysql_ddl_does_not_wait_for_a_range() {
    let server = Server::mysql("");
    prepare(&server).await;
    check(&server, "admin", "ALTER TABLE w.t ADD COLUMN c INT").await;
    check(&server, "low", "ALTER TABLE w.t ADD INDEX other (v(10))").await;
    check_quiet(&server, "low").await;
    check_dropped(&server, "low").await;
}

#[tokio::test]
async fn mariadb_ddl_does_not_wait_for_a_range() {
    let server = Server::mariadb("");
    prepare(&server).await;
    check(&server, "admin", "ALTER TABLE w.t ADD COLUMN c INT").await;
    check(&server, "low", "ALTER TABLE w.t ADD INDEX other (v(10))").await;
    check_quiet(&server, "low").await;
    check_dropped(&server, "low").await;
    check_behind_range(&server).await;
}
