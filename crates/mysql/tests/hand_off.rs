//! The hand-off under writes: what each session sees lies between `low` and `high`, and is both under a lock.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use spanferry_core::encode::{ColumnPlan, Encoding};
use spanferry_core::plan::{GroupId, TableId, TablePlan};
use spanferry_core::position::{GtidSet, Position};
use spanferry_core::schema::SourceTable;
use spanferry_core::source::{HandOff, SchemaSource, SnapshotSource};
use spanferry_core::target_schema::TargetTable;
use spanferry_mysql::MysqlSource;
use spanferry_mysql::connection::Connection;
use support::Server;

/// Snapshots opened in each mode.
const ROUNDS: usize = 8;
const SESSIONS: usize = 6;
const WRITERS: usize = 3;

/// Transactions in a position's history: each of them inserts one row.
fn transactions(position: &Position) -> u64 {
    match position {
        Position::Mysql(set) => set.count_beyond(&GtidSet::default()),
        Position::Mariadb(gtids) => gtids.sequence(0),
    }
}

fn plan(source: &SourceTable) -> Arc<TablePlan> {
    let columns = (0..source.columns.len()).map(|source_index| ColumnPlan {
        source_index,
        encoding: Encoding::Int64,
        not_null: true,
    });
    Arc::new(TablePlan {
        id: TableId(0),
        group: GroupId(0),
        source: Arc::new(source.clone()),
        target: TargetTable {
            name: source.name.table.clone(),
            columns: Vec::new(),
            primary_key: Vec::new(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
        },
        columns: columns.collect(),
        key: vec![0],
    })
}

async fn write(mut connection: Connection, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        connection
            .execute("INSERT INTO h.t () VALUES ()")
            .await
            .expect("a writer is never refused");
    }
}

/// Opens snapshots as `user` while others write; `base` is how many transactions of the history inserted no row.
async fn rounds(server: &Server, user: &str, lock: bool, expected: HandOff, base: u64) {
    let source = MysqlSource::new(server.options(user, user, "h", ""), 4242).expect("a source");
    let catalog = source.catalog().await.expect("a catalog");
    let plans = vec![plan(&catalog.tables[0])];
    for round in 0..ROUNDS {
        let mut snapshot = source.open(&plans, SESSIONS, lock).await.expect("a snapshot");
        assert_eq!(snapshot.hand_off, expected, "{user}");
        let (low, high) = (
            transactions(&snapshot.low) - base,
            transactions(&snapshot.high) - base,
        );
        for session in &mut snapshot.sessions {
            let found = session.query("SELECT COUNT(*) FROM h.t").await.expect("a count");
            let rows: u64 = found
                .first_text()
                .and_then(|text| text.parse().ok())
                .expect("a number");
            assert!(
                low <= rows && rows <= high,
                "{expected:?}, round {round}: {low} <= {rows} <= {high}"
            );
            if expected != HandOff::NoLock {
                assert_eq!(
                    (low, rows),
                    (high, rows),
                    "{expected:?}, round {round}: one instant"
                );
            }
        }
    }
}

async fn under_writes(server: Server) {
    let mut admin = server
        .run(
            "CREATE DATABASE h;
CREATE TABLE h.t (id BIGINT AUTO_INCREMENT PRIMARY KEY);
CREATE USER 'low'@'%' IDENTIFIED BY 'low';
GRANT SELECT, REPLICATION CLIENT ON *.* TO 'low'@'%';
CREATE USER 'mid'@'%' IDENTIFIED BY 'mid';
GRANT SELECT, LOCK TABLES, REPLICATION CLIENT ON *.* TO 'mid'@'%'",
        )
        .await;
    let source = MysqlSource::new(server.admin("h"), 4242).expect("a source");
    let base = transactions(&source.position().await.expect("a position"));
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        writers.push(tokio::spawn(write(server.connect().await, Arc::clone(&stop))));
    }
    rounds(&server, "admin", true, HandOff::GlobalLock, base).await;
    rounds(&server, "mid", true, HandOff::TableLocks, base).await;
    rounds(&server, "low", true, HandOff::NoLock, base).await;
    rounds(&server, "admin", false, HandOff::NoLock, base).await;
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("no writer failed");
    }
    let rows = admin
        .query("SELECT COUNT(*) FROM h.t")
        .await
        .expect("a count")
        .first_text();
    let reached = transactions(&source.position().await.expect("a position")) - base;
    assert_eq!(
        rows,
        Some(reached.to_string()),
        "one transaction a row, or the proof is void"
    );
    assert!(reached > 100, "too few writes to prove anything: {reached}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hand_off_under_writes_mysql() {
    // Commits become visible in another order than they are logged: the wider window between rows and GTID.
    under_writes(Server::mysql("--binlog-order-commits=OFF")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hand_off_under_writes_mariadb() {
    under_writes(Server::mariadb("--gtid-strict-mode=1 --binlog-row-metadata=FULL")).await;
}
