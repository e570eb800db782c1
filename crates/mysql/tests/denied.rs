//! Services that refuse statements: each statement of a check and of a snapshot is answered with
//! 1045, as Amazon RDS does, by a proxy before a real server; and the table in which such a service
//! keeps its retention.

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::{CheckRequest, PreflightSource};
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::{Finding, Severity};
use spanferry_core::schema::source::QualifiedName;
use spanferry_mysql::{MysqlSource, Options};
use support::Server;
use support::plan::{open, plans};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const SCHEMA: &str = "CREATE DATABASE d;
CREATE TABLE d.parent (id INT PRIMARY KEY);
CREATE TABLE d.t (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES d.parent (id))";

/// What the proxy has seen, and the statement that it refuses.
#[derive(Debug, Default)]
struct Statements {
    seen: BTreeSet<String>,
    refused: Option<String>,
}

type Shared = Arc<Mutex<Statements>>;

/// Stands between a client without TLS and a server.
async fn proxy(port: u16, statements: Shared) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut conversations = JoinSet::new();
        loop {
            let (client, _) = listener.accept().await.expect("a client");
            let server = TcpStream::connect(("127.0.0.1", port)).await.expect("a server");
            conversations.spawn(converse(client, server, Arc::clone(&statements)));
        }
    });
    (address, task)
}

/// One conversation: packets of the client one by one, the server's as they come.
async fn converse(client: TcpStream, server: TcpStream, statements: Shared) {
    const QUERY: u8 = 3;
    let (mut from_client, to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let to_client = Arc::new(tokio::sync::Mutex::new(to_client));
    let mut answers = JoinSet::new();
    let copied = Arc::clone(&to_client);
    answers.spawn(async move {
        let mut room = vec![0; 16 << 10];
        while let Ok(count @ 1..) = from_server.read(&mut room).await {
            if copied.lock().await.write_all(&room[..count]).await.is_err() {
                return;
            }
        }
    });
    while let Some(packet) = packet(&mut from_client).await {
        // The first packet of a command has the number 0; those of the login do not.
        let is_statement = packet[3] == 0 && packet.get(4) == Some(&QUERY);
        let text = String::from_utf8_lossy(packet.get(5..).unwrap_or_default()).into_owned();
        if is_statement && is_refused(&statements, &text) {
            let sent = to_client.lock().await.write_all(&refusal()).await;
            sent.expect("the client waits for an answer");
        } else if to_server.write_all(&packet).await.is_err() {
            return;
        }
    }
}

fn is_refused(statements: &Shared, text: &str) -> bool {
    let mut statements = statements.lock().expect("no test has panicked");
    statements.seen.insert(text.to_owned());
    statements.refused.as_deref() == Some(text)
}

async fn packet(from: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut packet = vec![0; 4];
    from.read_exact(&mut packet).await.ok()?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]);
    packet.resize(4 + usize::try_from(length).expect("it fits"), 0);
    from.read_exact(&mut packet[4..]).await.ok()?;
    Some(packet)
}

/// An error packet with the number of a refused login.
fn refusal() -> Vec<u8> {
    let body = b"\xff\x15\x04#28000Access denied for user 'admin'@'%' (using password: YES)";
    let length = u8::try_from(body.len()).expect("it is short");
    [&[length, 0, 0, 1], body.as_slice()].concat()
}

fn request() -> CheckRequest {
    CheckRequest {
        tables: ["parent", "t"].map(|name| QualifiedName::new("d", name)).into(),
        load_estimate: Duration::from_secs(3600),
        sessions: 2,
        lock: true,
    }
}

/// What a check or a snapshot cannot do without. None of it needs a privilege, or more than SELECT
/// on the schema.
fn is_needed(statement: &str) -> bool {
    const BEGINNINGS: [&str; 13] = [
        "SET @master_binlog_checksum",
        "SET SESSION character_set_results",
        "SET SESSION lock_wait_timeout",
        "SELECT @@",
        "SELECT CONCAT_WS(' ', @@",
        "SELECT IF(@@",
        "SELECT CURRENT_USER()",
        "SHOW GLOBAL VARIABLES",
        "SHOW STATUS LIKE 'Binlog_snapshot_%'",
        "SHOW STATUS LIKE 'Rpl_semi_sync_master_wait_sessions'",
        "START TRANSACTION",
        "COMMIT",
        "SELECT BINLOG_GTID_POS(",
    ];
    BEGINNINGS
        .iter()
        .any(|beginning| statement.starts_with(beginning))
        || statement.contains(" FROM information_schema.")
}

/// A check, and a snapshot that is opened and given up.
async fn check_and_open(url: &str, plans: &[Arc<TablePlan>]) -> Result<(), Failure> {
    let source = MysqlSource::new(Options::parse(url).expect("a URL"), 4242).expect("options");
    source.check(&request()).await?;
    open(&source, plans, 1).await.map(drop)
}

async fn every_statement_refused(server: Server) {
    drop(server.run(SCHEMA).await);
    let statements = Shared::default();
    let (address, _proxy) = proxy(server.port, Arc::clone(&statements)).await;
    let url = format!("mysql://admin:admin@{address}/d?ssl-mode=DISABLED&get-server-public-key=true");
    let plans = plans(&MysqlSource::new(server.admin("d"), 4242).expect("options")).await;
    let whole = check_and_open(&url, &plans).await;
    whole.expect("nothing is refused");
    let seen = std::mem::take(&mut statements.lock().expect("no panic").seen);
    let mut optional = 0;
    for statement in seen {
        statements.lock().expect("no panic").refused = Some(statement.clone());
        match check_and_open(&url, &plans).await {
            Ok(()) => optional += 1,
            Err(failure) => {
                assert_eq!(failure.code, code::SOURCE_PRIVILEGE, "{statement}: {failure}");
                assert!(is_needed(&statement), "not to be needed: {statement}: {failure}");
            }
        }
    }
    assert!(optional > 8, "{optional}");
}

#[tokio::test]
async fn a_refused_statement_is_no_refused_login_mysql() {
    every_statement_refused(Server::mysql("")).await;
}

#[tokio::test]
async fn a_refused_statement_is_no_refused_login_mariadb() {
    let server = Server::mariadb("--gtid-strict-mode=1 --binlog-row-metadata=FULL");
    every_statement_refused(server).await;
}

fn about_retention(findings: &[Finding]) -> Vec<(Severity, Option<String>)> {
    let about = findings
        .iter()
        .filter(|finding| finding.code == code::SOURCE_RETENTION);
    about
        .map(|finding| (finding.severity, finding.remedy.as_ref().map(ToString::to_string)))
        .collect()
}

/// What Amazon RDS has, as far as its manual shows it.
const CONFIGURATION: &str = "CREATE TABLE mysql.rds_configuration (name VARCHAR(100) PRIMARY KEY, value VARCHAR(100), description VARCHAR(300));
INSERT INTO mysql.rds_configuration VALUES ('binlog retention hours', NULL, ''), ('source delay', '0', '');
CREATE PROCEDURE mysql.rds_set_configuration(IN item VARCHAR(100), IN setting INT) UPDATE mysql.rds_configuration SET value = setting WHERE name = item;
CREATE USER blind@'%' IDENTIFIED BY 'x';
GRANT SELECT ON d.* TO blind@'%'";

#[tokio::test]
async fn a_service_keeps_its_log_as_its_table_says() {
    for server in Server::both() {
        drop(server.run(&format!("{SCHEMA};\n{CONFIGURATION}")).await);
        let check = async |user: &str, password: &str| {
            let source = MysqlSource::new(server.options(user, password, "d", ""), 4242).expect("options");
            about_retention(&source.check(&request()).await.expect("findings"))
        };
        let found = check("admin", "admin").await;
        let call =
            |hours: u64| format!("CALL mysql.rds_set_configuration('binlog retention hours', {hours})");
        let [(Severity::Blocking, Some(remedy))] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert!(remedy.starts_with(&call(24)), "{remedy}");
        server.paste(&call(3));
        let found = check("admin", "admin").await;
        assert!(
            matches!(found.as_slice(), [(Severity::Warning, Some(_))]),
            "{found:?}"
        );
        server.paste(remedy);
        assert_eq!(check("admin", "admin").await, []);
        // Who does not see the table is stopped by nothing.
        server.paste("UPDATE mysql.rds_configuration SET value = NULL");
        assert_eq!(check("blind", "x").await, []);
    }
}
