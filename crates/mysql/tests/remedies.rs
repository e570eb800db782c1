//! `check` prints statements that repair what it finds: on a server with everything wrong they are
//! run, and nothing is left.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use spanferry_core::port::source::{CheckRequest, PreflightSource};
use spanferry_core::report::code::{self, Code};
use spanferry_core::report::finding::{Finding, Severity};
use spanferry_core::report::remedy::{Remedy, RemedyKind, WITH_STATEMENTS};
use spanferry_core::schema::source::QualifiedName;
use spanferry_mysql::MysqlSource;
use support::Server;

const SCHEMA: &str = "CREATE DATABASE `c d`;
CREATE DATABASE elsewhere;
CREATE TABLE elsewhere.parent (id INT PRIMARY KEY, `a b` INT NOT NULL, UNIQUE KEY (`a b`));
CREATE TABLE `c d`.child (id INT PRIMARY KEY, p INT, CONSTRAINT `f k` FOREIGN KEY (p) REFERENCES elsewhere.parent (`a b`) ON DELETE CASCADE);
CREATE TABLE `c d`.plain (id INT PRIMARY KEY) ENGINE = MyISAM;
CREATE TABLE `c d`.fixed (id INT PRIMARY KEY, v CHAR(3)) ENGINE = MyISAM ROW_FORMAT = FIXED;
CREATE TABLE `c d`.counted (a INT, n INT AUTO_INCREMENT, PRIMARY KEY (a, n)) ENGINE = MyISAM;
CREATE USER 'a@b'@'%' IDENTIFIED BY 'x';
GRANT SELECT ON `c d`.child TO 'a@b'@'%'";

/// What a database administrator pastes: everything that is printed, one remedy behind the other.
fn printed(findings: &[Finding]) -> String {
    let remedies = findings.iter().filter_map(|finding| finding.remedy.as_ref());
    let statements = remedies.filter(|remedy| remedy.kind() == RemedyKind::Statements);
    statements.map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What is found when only the table is asked for that the account may read.
async fn partly_visible(source: &MysqlSource, request: &CheckRequest) -> Option<Finding> {
    let request = CheckRequest {
        tables: vec![QualifiedName::new("c d", "child")],
        ..request.clone()
    };
    let found = source.check(&request).await.expect("findings");
    found
        .into_iter()
        .find(|finding| finding.code == code::SOURCE_PARTLY_VISIBLE)
}

/// Tables with dates and times in the format of before MySQL 5.6, which only MariaDB can still
/// make.
const OLD_TEMPORAL: &str = "SET GLOBAL mysql56_temporal_format = OFF;
CREATE TABLE `c d`.`o ld` (id INT PRIMARY KEY, a DATETIME, b TIMESTAMP(3) NULL, c TIME(6))";

async fn check(server: &Server, settings: &[&str]) {
    let admin = server.run(SCHEMA).await;
    let mut tables = vec!["child", "plain", "fixed", "counted"];
    if admin.server().is_mariadb() {
        drop(server.run(OLD_TEMPORAL).await);
        tables.push("o ld");
    }
    // Each look is a new run: a session keeps the privileges on its schema that it began with.
    let source = || {
        let options = server.options("a%40b", "x", "c%20d", "");
        MysqlSource::new(options, 4242).expect("options")
    };
    let request = CheckRequest {
        tables: tables
            .iter()
            .map(|table| QualifiedName::new("c d", *table))
            .collect(),
        load_estimate: Duration::from_secs(3600),
        sessions: 2,
        lock: true,
    };
    let partly = partly_visible(&source(), &request)
        .await
        .expect("the account reads one table");
    server.paste(&printed(std::slice::from_ref(&partly)));
    assert_eq!(partly_visible(&source(), &request).await, None);
    server.paste("REVOKE SELECT ON `c d`.* FROM 'a@b'@'%'");
    let first = source().check(&request).await.expect("findings");
    for name in settings {
        let named = first.iter().filter(|finding| {
            finding.code == code::SOURCE_SETTING && finding.text.starts_with(&format!("`{name}`"))
        });
        assert_eq!(named.count(), 1, "{name}: {first:?}");
    }
    for name in ["SELECT", "REPLICATION SLAVE", "REPLICATION CLIENT", "LOCK TABLES"] {
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
    server.paste(&printed(&first));
    // Only with the new privileges everything can be seen.
    let second = source().check(&request).await.expect("findings");
    let is_cascade = |finding: &Finding| finding.subject.part_name() == Some("f k");
    let cascade = first
        .iter()
        .chain(&second)
        .find(|finding| is_cascade(finding))
        .expect("it was found");
    let remedy = cascade.remedy.as_ref().expect("it has a remedy").to_string();
    assert_eq!(remedy.matches(";\n").count(), 2, "{remedy}");
    assert!(
        remedy.contains("-- the application then loses these actions"),
        "{remedy}"
    );
    let old = second
        .iter()
        .filter(|finding| finding.subject.table_name() == Some("o ld"));
    let old: Vec<_> = old.map(|finding| (finding.code, finding.severity)).collect();
    let expected = tables
        .contains(&"o ld")
        .then_some((code::SOURCE_TABLE_UNSUPPORTED, Severity::Blocking));
    assert_eq!(old, Vec::from_iter(expected), "{second:#?}");
    server.paste(&printed(&second));
    let with_statements = |finding: &&Finding| {
        let kind = finding.remedy.as_ref().map(Remedy::kind);
        kind == Some(RemedyKind::Statements)
    };
    let pasted = first
        .iter()
        .chain(&second)
        .chain([&partly])
        .filter(with_statements);
    let codes: BTreeSet<Code> = pasted.map(|finding| finding.code).collect();
    // What raises a limit on sessions is tried in `sessions`.
    let elsewhere = [code::SOURCE_SESSIONS, code::SOURCE_SESSIONS_TAKEN];
    let mut expected: BTreeSet<Code> = WITH_STATEMENTS.into_iter().collect();
    expected.retain(|code| !elsewhere.contains(code));
    assert_eq!(codes, expected, "each code is tried");
    let last = source().check(&request).await.expect("findings");
    assert!(
        last.iter().all(|finding| finding.severity == Severity::Notice) && printed(&last).is_empty(),
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
