//! A snapshot without a lock beside a commit that MySQL shows to sessions before it counts it as executed.

mod support;

use std::time::Duration;

use spanferry_core::position::{Position, ServerUuid};
use spanferry_mysql::MysqlSource;
use spanferry_mysql::connection::Connection;
use support::Server;
use support::plan::{open, plans};

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
