//! Foreign keys with actions: a server that logs cascades, behind one that does not.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first surprise, also in its helpers"
)]

mod support;

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::CheckRequest;
use spanferry_core::port::source::{CatalogSource, PositionSource, PreflightSource};
use spanferry_core::position::Position;
use spanferry_core::report::code;
use spanferry_core::schema::source::{ActionEdge, CascadeLog, QualifiedName};
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

#[tokio::test]
async fn foreign_keys_with_actions_in_the_catalog() {
    for server in Server::both() {
        set_default_changes_no_row(&server).await;
        parents_are_followed_through_other_schemas(&server).await;
    }
}

/// Which foreign keys change rows of a schema: its own, and those above its parents in other
/// schemas; the same for an account that may do nothing but SELECT.
async fn parents_are_followed_through_other_schemas(server: &Server) {
    drop(
        server
            .run(
                "CREATE DATABASE e1;
CREATE DATABASE e2;
CREATE DATABASE hidden;
CREATE TABLE e2.top (id INT PRIMARY KEY, n INT, KEY (n));
CREATE TABLE e1.p (Id INT PRIMARY KEY, t INT, c INT, CONSTRAINT up FOREIGN KEY (t) REFERENCES e2.top (id) ON UPDATE CASCADE);
ALTER TABLE e2.top ADD COLUMN p INT, ADD CONSTRAINT above FOREIGN KEY (p) REFERENCES e1.p (id) ON DELETE CASCADE;
/*!80400 SET SESSION restrict_fk_on_non_standard_key = OFF */;
CREATE TABLE e1.own (id INT PRIMARY KEY, n INT, CONSTRAINT own FOREIGN KEY (n) REFERENCES e2.top (n) ON DELETE CASCADE);
CREATE TABLE e1.beside (id INT PRIMARY KEY, CONSTRAINT beside FOREIGN KEY (id) REFERENCES e1.p (id) ON DELETE CASCADE);
CREATE TABLE hidden.h (a INT, b INT, PRIMARY KEY (a, b));
CREATE TABLE e1.k (id INT PRIMARY KEY, p INT, a INT, b INT,
  CONSTRAINT to_p FOREIGN KEY (P) REFERENCES e1.p (ID) ON DELETE SET NULL,
  CONSTRAINT plain FOREIGN KEY (p) REFERENCES e1.p (id),
  CONSTRAINT to_h FOREIGN KEY (a, b) REFERENCES hidden.h (a, b) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE e2.below (id INT PRIMARY KEY, CONSTRAINT below FOREIGN KEY (id) REFERENCES e1.k (id) ON DELETE CASCADE);
CREATE USER 'partly'@'%' IDENTIFIED BY 'partly';
GRANT SELECT ON e1.* TO 'partly'@'%';
GRANT SELECT ON e2.* TO 'partly'@'%'",
            )
            .await,
    );
    let is_mariadb = server.connect().await.server().is_mariadb();
    let check = async |user: &str, expected: &[&str]| {
        let source = MysqlSource::new(server.options(user, user, "e1", ""), 4242).unwrap();
        let cascades = source.catalog().await.unwrap().cascades;
        let mut found: Vec<String> = cascades.edges.iter().map(title).collect();
        found.sort();
        assert_eq!(found, expected);
        let log = cascades.log;
        assert_eq!(log == CascadeLog::Unlogged, is_mariadb);
    };
    let beside = "beside: e1.beside(id) to e1.p(id), CASCADE and NO ACTION, Unique";
    let to_p = "to_p: e1.k(p) to e1.p(id), SET NULL and NO ACTION, Unique";
    let own = "own: e1.own(n) to e2.top(n), CASCADE and NO ACTION, NotUnique";
    let all = [
        "above: e2.top(p) to e1.p(id), CASCADE and NO ACTION, Unique",
        beside,
        own,
        "to_h: e1.k(a,b) to hidden.h(a,b), CASCADE and CASCADE, Unique",
        to_p,
        "up: e1.p(t) to e2.top(id), NO ACTION and CASCADE, Unique",
    ];
    check("admin", &all).await;
    let hidden = all.map(|edge| {
        if edge.starts_with("to_h") {
            "to_h: e1.k(a,b) to hidden.h(a,b), CASCADE and CASCADE, Hidden"
        } else {
            edge
        }
    });
    check("partly", &hidden).await;
}

/// An edge as text.
fn title(edge: &ActionEdge) -> String {
    format!(
        "{}: {}({}) to {}({}), {} and {}, {:?}",
        edge.name,
        edge.child,
        edge.columns.join(","),
        edge.parent,
        edge.parent_columns.join(","),
        edge.on_delete.words(),
        edge.on_update.words(),
        edge.parent_key
    )
}

/// InnoDB treats SET DEFAULT as RESTRICT.
async fn set_default_changes_no_row(server: &Server) {
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
