//! The scenarios: what stands in the source before a migration, what is written behind it, and
//! which tool is measured beside us.

use std::path::Path;
use std::process::{Command, Stdio};

use spanferry_testkit::server::Server;

use super::setup::SCHEMA;
use crate::start::service;

/// What the source's own tools do with the same data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    /// `mysqldump > /dev/null`.
    Dump,
    /// `mysqlbinlog --raw` over the network.
    Binlog,
}

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Tool::Dump => "  mysqldump > /dev/null",
            Tool::Binlog => "  mysqlbinlog --raw",
        }
    }

    /// Its command line; `last` is the newest binary log.
    pub(crate) fn command(self, server: &Server, folder: &Path, last: Option<&String>) -> Command {
        let mut command = service("mysql.sh");
        match self {
            Tool::Dump => {
                command.arg("dump").arg(server.directory()).args([
                    "--single-transaction",
                    "--no-tablespaces",
                    SCHEMA,
                ]);
            }
            Tool::Binlog => {
                let port = server.port().to_string();
                command.arg("binlog").arg(server.directory());
                command.args(["--raw", "--read-from-remote-server", "-h127.0.0.1", "-uadmin"]);
                command.args([format!("-P{port}"), format!("-p{}", server.password())]);
                command
                    .arg(format!("--result-file={}/", folder.display()))
                    .args(last);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

/// One line of the table and its companion.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// Its name.
    pub(crate) name: &'static str,
    /// Statements that make the source, separated by `;;` at line ends.
    pub(crate) before: &'static str,
    /// Statements that run after a first migration: then the second one is measured.
    pub(crate) backlog: Option<String>,
    /// Rows or changes moved by the measured run.
    pub(crate) units: u64,
    /// What they are.
    pub(crate) unit: &'static str,
    /// What is measured beside us.
    pub(crate) tool: Tool,
}

const NEW: &str = "DROP DATABASE IF EXISTS bench;;
CREATE DATABASE bench;;
CREATE TABLE bench.n (i INT PRIMARY KEY);;
";

const SYSBENCH: &str = "CREATE TABLE bench.sbtest1 (id INT AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL DEFAULT 0, \
c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '')";

const WIDE: &str = "CREATE TABLE bench.wide (id BIGINT PRIMARY KEY, a INT, b INT UNSIGNED, c BIGINT, d DECIMAL(18,4), e DOUBLE, f FLOAT, \
g DATETIME(6), h TIMESTAMP(3) NULL, i DATE, j TINYINT(1), k VARCHAR(40), l VARCHAR(80) CHARACTER SET latin1, m VARCHAR(200), n CHAR(36), \
o TEXT, p VARCHAR(100), q JSON, r VARBINARY(64), s ENUM('new','paid','sent','gone'))";

/// Four changes a transaction, as a small application writes them.
const SMALL: &str = "CREATE PROCEDURE bench.small(transactions INT, row_count INT) BEGIN DECLARE i INT DEFAULT 0; \
WHILE i < transactions DO START TRANSACTION; \
UPDATE bench.sbtest1 SET k = k + 1 WHERE id = 1 + (i * 7919) % row_count; \
UPDATE bench.sbtest1 SET c = CONCAT(i, '-abcdefghijabcdefghij') WHERE id = 1 + (i * 104729) % row_count; \
DELETE FROM bench.sbtest1 WHERE id = 1 + i % row_count; \
INSERT INTO bench.sbtest1 (id, k, c, pad) VALUES (1 + i % row_count, i, REPEAT('z', 100), 'pad'); \
COMMIT; SET i = i + 1; END WHILE; END";

/// All scenarios for a sysbench table of `rows` rows.
pub(crate) fn all(rows: u64) -> Vec<Scenario> {
    let sysbench = |rows: u64| {
        leak(format!(
            "{NEW}{SYSBENCH};;\n{}",
            filled(
                rows,
                "INSERT INTO bench.sbtest1 (k, c, pad) SELECT i * 7, REPEAT(CONCAT(i, '-klmnopqrst'), 6), REPEAT('x', 58) FROM n"
            )
        ))
    };
    let wide = leak(format!("{NEW}{WIDE};;\n{}", filled(rows / 5, WIDE_ROWS)));
    let transactions = rows / 10;
    let small = format!(
        "{SMALL};;\nFLUSH BINARY LOGS;;\nCALL bench.small({transactions}, {})",
        rows / 10
    );
    let bulk =
        "FLUSH BINARY LOGS;;\nUPDATE bench.sbtest1 SET k = k + 1;;\nUPDATE bench.sbtest1 SET k = k + 1"
            .to_owned();
    vec![
        Scenario {
            name: "snapshot, sysbench rows",
            before: sysbench(rows),
            backlog: None,
            units: rows,
            unit: "rows",
            tool: Tool::Dump,
        },
        Scenario {
            name: "snapshot, 20 typed columns",
            before: wide,
            backlog: None,
            units: rows / 5,
            unit: "rows",
            tool: Tool::Dump,
        },
        Scenario {
            name: "backlog, small transactions",
            before: sysbench(rows / 10),
            backlog: Some(small),
            units: transactions * 4,
            unit: "changes",
            tool: Tool::Binlog,
        },
        Scenario {
            name: "backlog, bulk updates",
            before: sysbench(rows / 4),
            backlog: Some(bulk),
            units: rows / 4 * 2,
            unit: "changes",
            tool: Tool::Binlog,
        },
    ]
}

const WIDE_ROWS: &str = "INSERT INTO bench.wide SELECT i, i * 3, i * 5, i * 1000003, i / 7, i / 3e0, i / 11, \
TIMESTAMPADD(MICROSECOND, i * 1000017, '2020-01-01'), TIMESTAMPADD(SECOND, i, '2021-02-03'), '2022-03-04' + INTERVAL i % 900 DAY, i % 2, \
CONCAT('name ', i), CONCAT('strasse ', i), REPEAT(CONCAT('text ', i, ' '), 8), CONCAT('123e4567-e89b-12d3-a456-', LPAD(i, 12, '0')), \
REPEAT('lorem ipsum ', 14), CONCAT('user', i, '@example.org'), JSON_OBJECT('id', i, 'tags', JSON_ARRAY('a', 'b'), 'price', i / 4), \
UNHEX(LPAD(HEX(i), 32, '0')), ELT(1 + i % 4, 'new', 'paid', 'sent', 'gone') FROM n";

/// A statement that inserts from the numbers 1 to `rows`.
fn filled(rows: u64, insert: &str) -> String {
    let (head, select) = insert
        .split_once("SELECT")
        .expect("rows are selected from the numbers");
    format!(
        "SET SESSION cte_max_recursion_depth = {}; {head} WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) SELECT{select}",
        rows + 1
    )
}

/// Scenario texts live as long as the program.
fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}
