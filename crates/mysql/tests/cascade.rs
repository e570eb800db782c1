//! Foreign keys with actions: a server that logs cascades, behind one that does not.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first surprise, also in its helpers"
)]

mod support;

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::CheckRequest;
use spanferry_core::port::source::{PositionSource, PreflightSource};
use spanferry_core::position::Position;
use spanferry_core::report::code;
use spanferry_core::schema::source::QualifiedName;
use spanferry_mysql::MysqlSource;
use support::Server;
use support::plan::plans;
use support::stream::{assert_same, decode, snapshot};

const SCHEMA: &str = "CREATE DATABASE s;
CREATE DATABASE elsewhere;
CREATE TABLE elsewhere.parent (id INT PRIMARY KEY, n INT);
CREATE TABLE s.child (id INT PRIMARY KEY, p INT, CONSTRAINT fk FOREIGN KEY (p) REFERENCES elsewhere.parent (id) ON DELETE CASCADE ON UPDATE SET NULL);
CREATE TABLE s.other (id INT PRIMARY KEY)";
const ROWS: &str = "INSERT INTO elsewhere.parent VALUES (1, 0), (2, 0), (3, 0);
INSERT INTO s.child VALUES (1, 1), (2, 2), (3, 3), (4, NULL)";

/// Lets a server follow another one, and waits until it has all of it.
async fn follow(replica: &Server, source: &Server) {
    let sql = format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {}, SOURCE_USER = 'admin', \
         SOURCE_PASSWORD = 'admin', SOURCE_AUTO_POSITION = 1, SOURCE_SSL = 1, SOURCE_CONNECT_RETRY = 1;\nSTART REPLICA",
        source.port
    );
    drop(replica.run(&sql).await);
    caught_up(replica, source).await;
}

async fn caught_up(replica: &Server, source: &Server) {
    let mut connection = source.connect().await;
    let done = connection.query("SELECT @@GLOBAL.gtid_executed").await.unwrap();
    let wait = format!(
        "SELECT WAIT_FOR_EXECUTED_GTID_SET('{}', 60)",
        done.first_text().unwrap().replace('\n', "")
    );
    let found = replica.connect().await.query(&wait).await.unwrap();
    assert_eq!(found.first_text().as_deref(), Some("0"), "the replica follows");
}

/// The codes of the tables that stop behind a position.
async fn stops(
    source: &MysqlSource,
    plans: &[Arc<TablePlan>],
    before: &Position,
) -> Vec<(String, code::Code)> {
    let sink = decode(source, plans, before).await;
    let stops = sink.stops.iter();
    stops
        .map(|(_, stop)| (stop.subject.table_name().unwrap().to_owned(), stop.code))
        .collect()
}

#[tokio::test]
async fn a_cascade_above_a_server_that_logs_cascades_stops_the_child() {
    let native = Server::mysql("--innodb-native-foreign-keys=ON");
    let replica = Server::mysql("");
    drop(native.run(SCHEMA).await);
    follow(&replica, &native).await;
    let source = MysqlSource::new(replica.admin("s"), 4242).unwrap();
    let request = CheckRequest {
        tables: ["child", "other"]
            .map(|name| QualifiedName::new("s", name))
            .into(),
        load_estimate: std::time::Duration::from_secs(60),
        sessions: 1,
        lock: true,
    };
    let findings = source.check(&request).await.unwrap();
    let refused = findings
        .iter()
        .find(|finding| finding.subject.part_name() == Some("fk"));
    assert_eq!(
        refused, None,
        "the variable of the server at hand is that it logs cascades"
    );

    let plans = plans(&source).await;
    // Changes of the server's own are logged, with their cascades.
    let before = source.position().await.unwrap();
    drop(native.run(ROWS).await);
    caught_up(&replica, &native).await;
    let own = "UPDATE elsewhere.parent SET id = 30 WHERE id = 3;\nDELETE FROM elsewhere.parent WHERE id = 2";
    drop(replica.run(own).await);
    let sink = decode(&source, &plans, &before).await;
    assert_eq!(sink.stops, []);
    assert_same(&plans, &sink, &snapshot(&source, &plans).await);

    // What leaves the key alone has no effect, nor have checks that are off.
    for (sql, is_stopped) in [
        ("UPDATE elsewhere.parent SET n = 1 WHERE id = 1", false),
        ("INSERT INTO elsewhere.parent VALUES (9, 9)", false),
        (
            "SET foreign_key_checks = 0;\nDELETE FROM elsewhere.parent WHERE id = 9",
            false,
        ),
        ("DELETE FROM elsewhere.parent WHERE id = 1", true),
        (
            "INSERT INTO elsewhere.parent VALUES (5, 5);\nUPDATE elsewhere.parent SET id = 6 WHERE id = 5",
            true,
        ),
    ] {
        let before = source.position().await.unwrap();
        drop(native.run(sql).await);
        caught_up(&replica, &native).await;
        let expected: &[(String, code::Code)] = if is_stopped {
            &[("child".to_owned(), code::CASCADE_HIDDEN)]
        } else {
            &[]
        };
        assert_eq!(stops(&source, &plans, &before).await, expected, "{sql}");
    }
    // The rows for which no event came are gone.
    let child = replica
        .connect()
        .await
        .query("SELECT id FROM s.child")
        .await
        .unwrap();
    assert_eq!(child.rows.len(), 2, "cascades: 1 from above, 2 of its own");
}

/// InnoDB treats SET DEFAULT as RESTRICT.
#[tokio::test]
async fn set_default_changes_no_row() {
    for server in Server::both() {
        let mut connection = server
            .run(
                "CREATE DATABASE d;
CREATE TABLE d.p (id INT PRIMARY KEY);
CREATE TABLE d.c (id INT PRIMARY KEY, p INT DEFAULT 2, CONSTRAINT fk FOREIGN KEY (p) REFERENCES d.p (id) ON DELETE SET DEFAULT ON UPDATE SET DEFAULT);
INSERT INTO d.p VALUES (1), (2);
INSERT INTO d.c VALUES (1, 1)",
            )
            .await;
        for refused in [
            "DELETE FROM d.p WHERE id = 1",
            "UPDATE d.p SET id = 5 WHERE id = 1",
        ] {
            let error = connection.execute(refused).await.unwrap_err().to_string();
            assert!(error.contains("1451"), "{refused}: {error}");
        }
        let source = MysqlSource::new(server.admin("d"), 4242).unwrap();
        let request = CheckRequest {
            tables: ["c", "p"].map(|name| QualifiedName::new("d", name)).into(),
            load_estimate: std::time::Duration::from_secs(60),
            sessions: 1,
            lock: true,
        };
        let findings = source.check(&request).await.unwrap();
        let refused = findings
            .iter()
            .find(|finding| finding.subject.part_name() == Some("fk"));
        assert_eq!(refused, None);
    }
}
