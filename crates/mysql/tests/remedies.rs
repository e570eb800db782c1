//! `check` prints statements that mend what it finds: on a server with everything wrong they are run, and nothing is left.

mod support;

use std::time::Duration;

use spanferry_core::code;
use spanferry_core::finding::{Finding, Severity};
use spanferry_core::source::{CheckRequest, SchemaSource};
use spanferry_mysql::MysqlSource;
use spanferry_mysql::connection::Connection;
use support::Server;

const SCHEMA: &str = "CREATE DATABASE `c d`;
CREATE DATABASE elsewhere;
CREATE TABLE elsewhere.parent (id INT PRIMARY KEY, `a b` INT NOT NULL, UNIQUE KEY (`a b`));
CREATE TABLE `c d`.child (id INT PRIMARY KEY, p INT, CONSTRAINT `f k` FOREIGN KEY (p) REFERENCES elsewhere.parent (`a b`) ON DELETE CASCADE);
CREATE TABLE `c d`.plain (id INT PRIMARY KEY) ENGINE = MyISAM;
CREATE USER 'a@b'@'%' IDENTIFIED BY 'x';
GRANT SELECT ON `c d`.child TO 'a@b'@'%'";

/// Remedies that a database administrator can run as they stand.
fn statements(findings: &[Finding]) -> Vec<String> {
    let remedies = findings.iter().filter_map(|finding| finding.remedy.as_deref());
    let verbs = ["SET ", "GRANT ", "ALTER "];
    remedies
        .filter(|remedy| verbs.iter().any(|verb| remedy.starts_with(verb)))
        .flat_map(|remedy| remedy.split("; "))
        // What MariaDB's configuration needs besides is told behind the statement.
        .filter(|statement| !statement.starts_with("-- "))
        .map(str::to_owned)
        .collect()
}

async fn run(admin: &mut Connection, statements: &[String]) {
    for statement in statements {
        if let Err(error) = admin.execute(statement).await {
            panic!("{statement}: {error}");
        }
    }
}

async fn check(server: &Server, settings: &[&str]) {
    let mut admin = server.run(SCHEMA).await;
    let options = server.options("a%40b", "x", "c%20d", "");
    let source = MysqlSource::new(options, 4242).expect("options");
    let request = CheckRequest {
        tables: vec!["child".to_owned(), "plain".to_owned()],
        load_estimate: Duration::from_secs(3600),
        server_id: 4242,
        sessions: 2,
    };
    let first = source.check(&request).await.expect("findings");
    for name in settings {
        let named = first.iter().filter(|finding| {
            finding.code == code::SOURCE_SETTING && finding.text.starts_with(&format!("`{name}`"))
        });
        assert_eq!(named.count(), 1, "{name}: {first:?}");
    }
    for name in [
        "SELECT",
        "REPLICATION SLAVE",
        "REPLICATION CLIENT",
        "RELOAD or LOCK TABLES",
    ] {
        let text = format!("lacks {name}:");
        assert!(
            first.iter().any(|finding| finding.text.contains(&text)),
            "{name}: {first:?}"
        );
    }
    assert!(
        first.iter().any(|finding| finding.code == code::SOURCE_RETENTION),
        "{first:?}"
    );
    run(&mut admin, &statements(&first)).await;
    // Only with the new privileges everything can be seen.
    let second = source.check(&request).await.expect("findings");
    let is_cascade = |finding: &Finding| finding.subject.part.as_deref() == Some("f k");
    assert!(first.iter().chain(&second).any(is_cascade), "{second:?}");
    run(&mut admin, &statements(&second)).await;
    let last = source.check(&request).await.expect("findings");
    assert!(
        last.iter().all(|finding| finding.severity == Severity::Notice) && statements(&last).is_empty(),
        "{last:#?}"
    );
}

#[tokio::test]
async fn mysql_is_clean_after_the_printed_statements() {
    let server = Server::mysql(
        "--gtid-mode=OFF --enforce-gtid-consistency=OFF --binlog-format=STATEMENT --binlog-row-image=MINIMAL \
         --binlog-row-metadata=MINIMAL --binlog-row-value-options=PARTIAL_JSON --binlog-transaction-compression=ON \
         --binlog-expire-logs-seconds=60 --innodb-native-foreign-keys=ON",
    );
    check(
        &server,
        &[
            "gtid_mode",
            "enforce_gtid_consistency",
            "binlog_format",
            "binlog_row_image",
            "binlog_row_metadata",
            "binlog_row_value_options",
            "binlog_transaction_compression",
        ],
    )
    .await;
}

#[tokio::test]
async fn mariadb_is_clean_after_the_printed_statements() {
    let server = Server::mariadb(
        "--gtid-strict-mode=0 --binlog-format=STATEMENT --binlog-row-image=MINIMAL --binlog-row-metadata=MINIMAL \
         --log-bin-compress=1 --binlog-expire-logs-seconds=60",
    );
    check(
        &server,
        &[
            "gtid_strict_mode",
            "binlog_format",
            "binlog_row_image",
            "binlog_row_metadata",
            "log_bin_compress",
        ],
    )
    .await;
}
