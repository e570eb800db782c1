//! MySQL and MariaDB keep the contracts of the source traits, as an account with all privileges and
//! as lesser ones.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first surprise, also in its helpers"
)]

#[path = "../../testkit/src/random.rs"]
#[expect(
    unreachable_pub,
    reason = "the test kit's generator, shared without its connectors"
)]
mod random;
#[path = "../../testkit/conformance/source_suite/mod.rs"]
#[expect(unreachable_pub, reason = "a suite that the simulation's tests share")]
mod suite;
mod support;

use std::time::Duration;

use spanferry_mysql::MysqlSource;
use spanferry_mysql::connection::Connection;
use suite::{CREATED, Change, End, Row, Statement, Subject, Writer};
use support::Server;
use tokio::time::Instant;

const TABLES: [&str; 3] = ["a", "b", "c"];
/// What the suite wants of a table; the view is none.
const RESET: &str = "DROP DATABASE IF EXISTS s;
CREATE DATABASE s;
CREATE TABLE s.c (id BIGINT PRIMARY KEY, tied BIGINT NOT NULL, plain BIGINT NOT NULL);
CREATE TABLE s.a LIKE s.c;
CREATE TABLE s.b LIKE s.c;
CREATE VIEW s.view AS SELECT id FROM s.a";
/// No statement waits for a lock for ever.
const WAIT: &str = "SET SESSION lock_wait_timeout = 60";
const ACCOUNTS: &str = "CREATE USER 'low'@'%' IDENTIFIED BY 'low';
GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'low'@'%';
CREATE USER 'mid'@'%' IDENTIFIED BY 'mid';
GRANT SELECT, LOCK TABLES, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'mid'@'%'";
/// Rows of one INSERT statement.
const STATEMENT_ROWS: usize = 1_000;
/// The replica id of the streams.
const SERVER_ID: u32 = 4_251;
/// Longest that the server may take to end a connection, or to let a binary log go.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, seen by one of its accounts.
struct Account<'a> {
    server: &'a Server,
    user: &'static str,
    locks: bool,
}

impl Subject for Account<'_> {
    type Source = MysqlSource;
    type Writer = Session;

    fn source(&self) -> MysqlSource {
        let options = self.server.options(self.user, self.user, "s", "");
        MysqlSource::new(options, SERVER_ID).unwrap()
    }

    fn tables(&self) -> &'static [&'static str] {
        &TABLES
    }

    fn locks(&self) -> bool {
        self.locks
    }

    fn rows_of_many_pieces(&self) -> i64 {
        // An image of a row takes 25 bytes, a piece at most a mebibyte.
        100_000
    }

    async fn reset(&self) {
        drop(self.server.run(&format!("{WAIT};\n{RESET}")).await);
    }

    async fn writer(&self) -> Session {
        Session(self.server.run(WAIT).await)
    }

    async fn run(&self, statement: Statement) {
        let sql = match statement {
            Statement::ChangeColumn(table) => {
                format!(
                    "ALTER TABLE s.{} MODIFY plain DECIMAL(30, 10) NOT NULL",
                    TABLES[table]
                )
            }
            Statement::AddIndex(table) => format!("ALTER TABLE s.{} ADD INDEX (plain)", TABLES[table]),
            Statement::Truncate(table) => format!("TRUNCATE TABLE s.{}", TABLES[table]),
            Statement::CreateTable => format!("CREATE TABLE s.{CREATED} (id BIGINT PRIMARY KEY)"),
        };
        drop(self.server.run(&format!("{WAIT};\n{sql}")).await);
    }

    async fn disconnect(&self) {
        let mut admin = self.server.connect().await;
        let others = "SELECT id FROM information_schema.processlist WHERE user IN ('admin', 'low', 'mid') AND id <> CONNECTION_ID()";
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = admin.query(others).await.unwrap().rows;
            if found.is_empty() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{} connections do not end",
                found.len()
            );
            for row in &found {
                // It may have ended meanwhile.
                drop(admin.kill(row.number(0).unwrap().try_into().unwrap()).await);
            }
        }
    }

    async fn purge(&self) {
        let mut admin = self.server.connect().await;
        if admin.server().is_mariadb() && admin.server().version >= (11, 4, 0) {
            let setting = "SET GLOBAL slave_connections_needed_for_purge = 0";
            admin.execute(setting).await.unwrap();
        }
        // The server purges only once it has noticed that earlier streams are gone, and it does so
        // when it writes.
        let deadline = Instant::now() + PATIENCE;
        loop {
            admin.execute("FLUSH BINARY LOGS").await.unwrap();
            let files = admin.query("SHOW BINARY LOGS").await.unwrap().rows;
            let last = files.last().unwrap().text(0).unwrap();
            let purge = format!("PURGE BINARY LOGS TO '{last}'");
            admin.execute(&purge).await.unwrap();
            let left = admin.query("SHOW BINARY LOGS").await.unwrap().rows.len();
            if left == 1 {
                return;
            }
            assert!(Instant::now() < deadline, "{left} binary logs are left");
        }
    }
}

/// An application's connection.
struct Session(Connection);

fn insert(table: usize, changes: &[Change]) -> String {
    let row = |change: &Change| {
        let [id, tied, plain] = change.new.expect("an insert has a row");
        format!("({id}, {tied}, {plain})")
    };
    let rows: Vec<String> = changes.iter().map(row).collect();
    format!("INSERT INTO s.{} VALUES {}", TABLES[table], rows.join(", "))
}

fn change(table: usize, old: i64, new: Option<Row>) -> String {
    let table = TABLES[table];
    match new {
        Some([id, tied, plain]) => {
            format!("UPDATE s.{table} SET id = {id}, tied = {tied}, plain = {plain} WHERE id = {old}")
        }
        None => format!("DELETE FROM s.{table} WHERE id = {old}"),
    }
}

impl Writer for Session {
    async fn begin(&mut self, changes: &[Change]) {
        self.0.execute("BEGIN").await.unwrap();
        let mut rest = changes;
        while let Some(first) = rest.first() {
            let is_same = |change: &&Change| change.old.is_none() && change.table == first.table;
            let inserts = rest.iter().take(STATEMENT_ROWS).take_while(is_same).count();
            let (these, others) = rest.split_at(inserts.max(1));
            let sql = match first.old {
                None => insert(first.table, these),
                Some(old) => change(first.table, old, first.new),
            };
            self.0.execute(&sql).await.unwrap();
            rest = others;
        }
    }

    async fn end(&mut self, end: End) {
        let sql = match end {
            End::Commit => "COMMIT",
            End::RollBack => "ROLLBACK",
        };
        self.0.execute(sql).await.unwrap();
    }
}

/// An account that may take no lock.
fn low(server: &Server) -> Account<'_> {
    Account {
        server,
        user: "low",
        locks: false,
    }
}

/// The suite as the account that may do everything; what depends on the lock also as those that may
/// just take it, or not.
async fn check(server: &Server) {
    drop(server.run(ACCOUNTS).await);
    let mid = Account {
        server,
        user: "mid",
        locks: true,
    };
    for account in [mid, low(server)] {
        Box::pin(suite::snapshot::check_opening(&account)).await;
        Box::pin(suite::hand_over::check(&account, random::seed(2))).await;
    }
    let admin = Account {
        server,
        user: "admin",
        locks: true,
    };
    suite::check_all(&admin).await;
}

#[tokio::test]
async fn mysql_conforms_under_random_operations() {
    let server = Server::mysql("");
    check(&server).await;
    // The engine's commit and `gtid_executed` then lie further apart.
    drop(server.run("SET GLOBAL binlog_order_commits = OFF").await);
    Box::pin(suite::snapshot::check_opening(&low(&server))).await;
}

#[tokio::test]
async fn mariadb_conforms_under_random_operations() {
    check(&Server::mariadb(
        "--gtid-strict-mode=1 --binlog-row-metadata=FULL",
    ))
    .await;
}
