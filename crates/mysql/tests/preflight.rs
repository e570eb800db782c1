//! What `check` sees of a real account and a real replica: grants by pattern and by role, and filters of replication.

mod support;

use std::time::Duration;

use spanferry_core::code;
use spanferry_core::finding::{Finding, Severity};
use spanferry_core::source::{CheckRequest, SchemaSource};
use spanferry_mysql::MysqlSource;
use support::Server;

const SCHEMA: &str = "CREATE DATABASE my_shop;
CREATE TABLE my_shop.t (id INT PRIMARY KEY);
CREATE ROLE reader;
GRANT SELECT ON `my\\_sh%`.* TO reader;
CREATE USER narrow@'%' IDENTIFIED BY 'x';
GRANT SELECT (id) ON my_shop.t TO narrow@'%';
CREATE USER wide@'%' IDENTIFIED BY 'x';
GRANT SELECT ON `my\\_sh%`.* TO wide@'%';
CREATE USER member@'%' IDENTIFIED BY 'x';
GRANT reader TO member@'%'";

async fn findings(server: &Server, user: &str, password: &str) -> Vec<Finding> {
    let options = server.options(user, password, "my_shop", "");
    let source = MysqlSource::new(options, 4242).expect("options");
    let request = CheckRequest {
        tables: vec!["t".to_owned()],
        load_estimate: Duration::from_secs(3600),
        server_id: 4242,
        sessions: 2,
    };
    source.check(&request).await.expect("findings")
}

async fn check(server: &Server, default_role: &str, filter: &[&str]) {
    let mut admin = server.run(SCHEMA).await;
    admin.execute(default_role).await.expect("a default role");
    for (user, reads) in [("narrow", false), ("wide", true), ("member", true)] {
        let found = findings(server, user, "x").await;
        let lacks = |finding: &Finding| finding.text.contains("lacks SELECT:");
        assert_eq!(!found.iter().any(lacks), reads, "{user}: {found:#?}");
    }
    for statement in filter {
        admin
            .execute(statement)
            .await
            .expect("a replica that never starts");
    }
    let found = findings(server, "admin", "admin").await;
    let filters: Vec<_> = found
        .iter()
        .filter(|finding| finding.text.contains("replication filters"))
        .collect();
    assert!(
        filters.len() == 1
            && filters[0].code == code::SOURCE_SETTING
            && filters[0].severity == Severity::Warning
            && filters[0].text.contains("`replicate_ignore_db` = `my_shop`"),
        "{found:#?}"
    );
}

#[tokio::test]
async fn mysql_grants_and_filters_are_seen() {
    let server = Server::mysql("");
    let filter = [
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = 1",
        "CHANGE REPLICATION FILTER REPLICATE_IGNORE_DB = (my_shop)",
    ];
    check(&server, "SET DEFAULT ROLE reader TO member@'%'", &filter).await;
}

#[tokio::test]
async fn mariadb_grants_and_filters_are_seen() {
    let server = Server::mariadb("--gtid-strict-mode=1 --binlog-row-metadata=FULL");
    let filter = [
        "SET GLOBAL replicate_ignore_db = 'my_shop'",
        "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1",
    ];
    check(&server, "SET DEFAULT ROLE reader FOR member@'%'", &filter).await;
}
