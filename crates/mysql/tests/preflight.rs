//! What `check` sees of a real account, table and replica: grants by pattern and by role, defaults,
//! filters of replication.

mod support;

use std::time::Duration;

use spanferry_core::port::source::{CatalogSource, CheckRequest, PreflightSource};
use spanferry_core::report::code;
use spanferry_core::report::finding::{Finding, Severity};
use spanferry_core::report::remedy::Remedy;
use spanferry_core::schema::source::QualifiedName;
use spanferry_mysql::MysqlSource;
use support::Server;

const SCHEMA: &str = "CREATE DATABASE my_shop;
CREATE TABLE my_shop.t (id INT PRIMARY KEY, bare INT, word VARCHAR(8) DEFAULT 'NULL');
CREATE ROLE reader;
GRANT SELECT ON `my\\_sh%`.* TO reader;
CREATE USER narrow@'%' IDENTIFIED BY 'x';
GRANT SELECT (id) ON my_shop.t TO narrow@'%';
CREATE USER wide@'%' IDENTIFIED BY 'x';
GRANT SELECT ON `my\\_sh%`.* TO wide@'%';
CREATE USER member@'%' IDENTIFIED BY 'x';
GRANT reader TO member@'%';
CREATE TABLE my_shop.hidden (id INT PRIMARY KEY, other INT, KEY (other));
CREATE USER single@'%' IDENTIFIED BY 'x';
GRANT SELECT ON my_shop.t TO single@'%';
CREATE USER trigger_only@'%' IDENTIFIED BY 'x';
GRANT SELECT ON my_shop.t TO trigger_only@'%';
GRANT TRIGGER ON my_shop.* TO trigger_only@'%'";

async fn findings(server: &Server, user: &str, password: &str) -> Vec<Finding> {
    let options = server.options(user, password, "my_shop", "");
    let source = MysqlSource::new(options, 4242).expect("options");
    let request = CheckRequest {
        tables: vec![QualifiedName::new("my_shop", "t")],
        load_estimate: Duration::from_secs(3600),
        sessions: 2,
        lock: true,
    };
    source.check(&request).await.expect("findings")
}

/// A nullable column without a default has none, and the word NULL as a text is one.
async fn only_given_defaults_are_told(server: &Server) {
    let options = server.options("admin", "admin", "my_shop", "");
    let source = MysqlSource::new(options, 4242).expect("options");
    let catalog = source.catalog().await.expect("a catalog");
    let found = catalog.tables.iter().find(|table| table.name.table == "t");
    let told: Vec<_> = found
        .expect("the table")
        .columns
        .iter()
        .filter(|column| column.default.is_some())
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(told, ["word"]);
}

/// A table that the account may not read is not there for it: that is said, and never takes a table
/// away in silence.
async fn hidden_tables_are_told(server: &Server) {
    let found = findings(server, "single", "x").await;
    let partly = found
        .iter()
        .find(|finding| finding.code == code::SOURCE_PARTLY_VISIBLE);
    let partly = partly.unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!(partly.severity, Severity::Blocking);
    assert_eq!(
        partly.remedy,
        Some(Remedy::source("GRANT SELECT ON `my_shop`.* TO 'single'@'%'"))
    );
    let options = server.options("trigger_only", "x", "my_shop", "");
    let source = MysqlSource::new(options, 4242).expect("options");
    let refused = source.catalog().await.expect_err("an index of hidden columns");
    assert_eq!(
        (refused.code, refused.is_retry()),
        (code::SOURCE_PRIVILEGE, false)
    );
    assert!(
        refused
            .hint
            .is_some_and(|hint| hint.contains("`my_shop`.`hidden`"))
    );
}

async fn check(server: &Server, default_role: &str, filter: &[&str]) {
    let mut admin = server.run(SCHEMA).await;
    admin.execute(default_role).await.expect("a default role");
    only_given_defaults_are_told(server).await;
    hidden_tables_are_told(server).await;
    for (user, reads) in [
        ("narrow", false),
        ("wide", true),
        ("member", true),
        ("single", true),
    ] {
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
