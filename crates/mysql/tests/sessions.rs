//! Limits on sessions, on real servers: they are seen without a privilege, and the printed
//! statement is enough.

mod support;

use spanferry_core::port::source::{CheckRequest, PreflightSource, SessionSource};
use spanferry_core::report::code;
use spanferry_core::report::finding::{Finding, Severity};
use spanferry_core::schema::source::QualifiedName;
use spanferry_mysql::connection::Connection;
use spanferry_mysql::{MysqlError, MysqlSource, SESSIONS_BESIDE};
use support::Server;

/// Sessions that a snapshot asks for.
const WANTED: usize = 4;

const SCHEMA: &str = "CREATE DATABASE shop;
CREATE TABLE shop.t (id INT PRIMARY KEY);
CREATE USER narrow@'%' IDENTIFIED BY 'narrow' WITH MAX_USER_CONNECTIONS 3;
CREATE USER hourly@'%' IDENTIFIED BY 'hourly' WITH MAX_QUERIES_PER_HOUR 1000 MAX_CONNECTIONS_PER_HOUR 900;
CREATE USER free@'%' IDENTIFIED BY 'free';
GRANT SELECT ON shop.* TO narrow@'%';
GRANT SELECT ON shop.* TO hourly@'%';
GRANT SELECT ON shop.* TO free@'%'";

/// What a new process of the account reports, and how many sessions its snapshot has.
async fn allotted(server: &Server, user: &str) -> (usize, Option<Finding>) {
    let source = MysqlSource::new(server.options(user, user, "shop", ""), 77).expect("a source");
    let found = source.allot_sessions(WANTED, false).await.expect("a number");
    (found.sessions, found.finding)
}

async fn limits_are_told_and_mended(server: Server) {
    let mut admin = server.run(SCHEMA).await;
    assert_eq!(allotted(&server, "free").await, (WANTED, None));

    // The account's own limit: too small, then enough for fewer sessions, then enough.
    let (_, finding) = allotted(&server, "narrow").await;
    let finding = finding.expect("three are too few");
    assert_eq!(
        (finding.code, finding.severity),
        (code::SOURCE_SESSIONS, Severity::Blocking)
    );
    let least = format!("at least {}", 1 + SESSIONS_BESIDE);
    assert!(
        finding.text.contains("'narrow'@'%' may have 3 sessions") && finding.text.contains(&least),
        "{finding:?}"
    );
    let sql = format!(
        "ALTER USER narrow@'%' WITH MAX_USER_CONNECTIONS {}",
        2 + SESSIONS_BESIDE
    );
    admin.execute(&sql).await.expect("another limit");
    let (sessions, fewer) = allotted(&server, "narrow").await;
    let fewer = fewer.expect("a finding says so");
    assert_eq!((sessions, fewer.severity), (2, Severity::Warning), "{fewer:?}");
    assert!(
        fewer.text.contains("read by 2 instead of 4 sessions"),
        "{fewer:?}"
    );

    // Sessions of others on the same account.
    let narrow = server.options("narrow", "narrow", "", "");
    let mut others = Vec::new();
    for _ in 0..2 {
        others.push(Connection::open(&narrow).await.expect("narrow logs in"));
    }
    let (_, taken) = allotted(&server, "narrow").await;
    let taken = taken.expect("no session is left for the snapshot");
    assert_eq!(
        (taken.code, taken.severity),
        (code::SOURCE_SESSIONS_TAKEN, Severity::Blocking),
        "{taken:?}"
    );
    assert!(taken.text.contains("others have 2 of them"), "{taken:?}");
    server.paste(&taken.remedy.expect("a statement").to_string());
    assert_eq!(allotted(&server, "narrow").await, (WANTED, None));
    drop(others);

    // The limit of all accounts that have none of their own.
    admin
        .execute("SET GLOBAL max_user_connections = 5")
        .await
        .expect("a setting");
    let (_, finding) = allotted(&server, "free").await;
    let finding = finding.expect("five are too few");
    assert_eq!(finding.code, code::SOURCE_SESSIONS);
    server.paste(&finding.remedy.expect("a statement").to_string());
    assert_eq!(allotted(&server, "free").await, (WANTED, None));
}

/// `max_connections` almost taken by others, then wholly.
async fn a_full_server_is_told(server: Server, least: u64) {
    let mut admin = server.run(SCHEMA).await;
    let sql = format!("SET GLOBAL max_connections = {least}");
    admin.execute(&sql).await.expect("a setting");
    let free = server.options("free", "free", "", "");
    let mut others = Vec::new();
    while (others.len() as u64) < least - 4 {
        others.push(Connection::open(&free).await.expect("free logs in"));
    }
    let (_, taken) = allotted(&server, "free").await;
    let taken = taken.expect("three are too few");
    assert_eq!(
        (taken.code, taken.severity),
        (code::SOURCE_SESSIONS_TAKEN, Severity::Blocking),
        "{taken:?}"
    );
    assert!(
        taken.text.contains(&format!("allows {least} sessions")),
        "{taken:?}"
    );
    let refused = loop {
        match Connection::open(&free).await {
            Ok(other) => others.push(other),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.server_code(), Some(1040), "{refused}");
    assert_limited(refused);
    drop(others.drain(..4));
    server.paste(&taken.remedy.expect("a statement").to_string());
    assert_eq!(allotted(&server, "free").await, (WANTED, None));
}

/// A login that is refused by a limit is tried again, and says which limit it is.
fn assert_limited(error: MysqlError) {
    let failure = error.into_failure("source");
    assert!(failure.is_retry(), "{failure:?}");
    assert_eq!(failure.code, code::SOURCE_SESSIONS_TAKEN);
    assert!(failure.hint.is_some(), "{failure:?}");
}

async fn hourly_limits_are_told_and_mended(server: &Server) {
    let source = || MysqlSource::new(server.options("hourly", "hourly", "shop", ""), 77).expect("a source");
    let request = CheckRequest {
        tables: vec![QualifiedName::new("shop", "t")],
        ..CheckRequest::default()
    };
    let limits = async || {
        let found = source().check(&request).await.expect("findings");
        let found = found
            .into_iter()
            .filter(|finding| finding.code == code::SOURCE_SESSIONS);
        found.collect::<Vec<_>>()
    };
    let found = limits().await;
    assert_eq!(found.len(), 2, "{found:?}");
    for finding in found {
        assert_eq!(finding.severity, Severity::Warning);
        server.paste(&finding.remedy.expect("a statement").to_string());
    }
    assert_eq!(limits().await, []);
}

async fn refused_by_the_account(server: &Server) {
    drop(
        server
            .run("CREATE USER one@'%' IDENTIFIED BY 'one' WITH MAX_USER_CONNECTIONS 1")
            .await,
    );
    let one = server.options("one", "one", "", "");
    let _first = Connection::open(&one).await.expect("one logs in");
    let second = Connection::open(&one).await.expect_err("one is all");
    assert_eq!(second.server_code(), Some(1226));
    assert_limited(second);
}

#[tokio::test]
async fn mysql_limits_are_told_and_mended() {
    limits_are_told_and_mended(Server::mysql("")).await;
}

#[tokio::test]
async fn mariadb_limits_are_told_and_mended() {
    // A MariaDB that starts without this limit takes none later.
    limits_are_told_and_mended(Server::mariadb("--max-user-connections=500")).await;
}

#[tokio::test]
async fn a_full_mysql_is_told() {
    let server = Server::mysql("");
    refused_by_the_account(&server).await;
    a_full_server_is_told(server, 12).await;
}

#[tokio::test]
async fn a_full_mariadb_is_told() {
    let server = Server::mariadb("");
    refused_by_the_account(&server).await;
    a_full_server_is_told(server, 12).await;
}

#[tokio::test]
async fn hourly_limits_of_both_servers() {
    for server in [Server::mysql(""), Server::mariadb("")] {
        drop(server.run(SCHEMA).await);
        hourly_limits_are_told_and_mended(&server).await;
    }
}
