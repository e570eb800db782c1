//! Catalog, check and snapshot against real servers.

mod support;

use std::time::Duration;

use spanferry_core::port::source::{
    CheckRequest, PreflightSource, Range, ReadRows, ReadStatus, SnapshotSession,
};
use spanferry_core::report::code;
use spanferry_core::report::finding::{Finding, Severity};
use spanferry_core::report::remedy::Remedy;
use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::schema::source::QualifiedName;
use spanferry_core::wire::list_value::{WireReader, WireValue};
use spanferry_mysql::MysqlSource;
use spanferry_mysql::connection::Connection;
use support::Server;
use support::plan::{open, plans, read, whole};

const KEYS: &str = "CREATE DATABASE k CHARACTER SET utf8mb4;
USE k;
CREATE TABLE signed (a BIGINT PRIMARY KEY);
INSERT INTO signed VALUES (-9223372036854775808),(-1),(0),(1),(9223372036854775806),(9223372036854775807);
CREATE TABLE wide (a BIGINT UNSIGNED PRIMARY KEY);
INSERT INTO wide VALUES (0),(1),(9223372036854775807),(9223372036854775808),(18446744073709551614),(18446744073709551615);
CREATE TABLE decimals (a DECIMAL(30,10) PRIMARY KEY);
INSERT INTO decimals VALUES (-12345678901234567890.0000000001),(-0.5),(0),(0.0000000001),(99999999999999999999.9999999999);
CREATE TABLE folded (a VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY);
INSERT INTO folded VALUES (''),('a''b'),('B'),('c\\\\d'),('é'),('ß'),('Z'),('日本');
CREATE TABLE latin (a VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci PRIMARY KEY);
INSERT INTO latin VALUES ('a'),('Ä'),('Å'),('z'),('ö');
CREATE TABLE wide_text (a VARCHAR(20) CHARACTER SET utf16 COLLATE utf16_general_ci PRIMARY KEY);
INSERT INTO wide_text VALUES ('a'),('é'),('z'),('日');
CREATE TABLE old_text (a VARCHAR(20) CHARACTER SET utf8 PRIMARY KEY);
INSERT INTO old_text VALUES ('a'),('é'),('z');
CREATE TABLE bytes (a BINARY(4) PRIMARY KEY);
INSERT INTO bytes VALUES (X'00000000'),(X'00000001'),(X'01000000'),(X'0100'),(X'FF00FF00'),(X'FFFFFFFF') ON DUPLICATE KEY UPDATE a = a;
CREATE TABLE loose (a VARBINARY(4) PRIMARY KEY);
INSERT INTO loose VALUES (X''),(X'00'),(X'0000'),(X'01'),(X'0100'),(X'FF');
CREATE TABLE days (a DATE PRIMARY KEY);
INSERT INTO days VALUES ('1000-01-01'),('1969-12-31'),('2024-02-29'),('9999-12-31');
CREATE TABLE moments (a DATETIME(6) PRIMARY KEY);
INSERT INTO moments VALUES ('1999-12-31 23:59:59.999999'),('2000-01-01 00:00:00.000001'),('2024-06-01 12:00:00');
CREATE TABLE spans (a TIME(3) PRIMARY KEY);
INSERT INTO spans VALUES ('-838:59:59'),('-00:00:00.001'),('00:00:00'),('00:00:00.001'),('838:59:59');
CREATE TABLE labels (a ENUM('z','a','m') PRIMARY KEY);
INSERT INTO labels VALUES ('z'),('a'),('m');
CREATE TABLE bits (a BIT(64) PRIMARY KEY);
INSERT INTO bits VALUES (0),(1),(9223372036854775808),(18446744073709551615);
CREATE TABLE pair (a INT, b VARCHAR(10), c INT, v INT, PRIMARY KEY (a, b, c));
INSERT INTO pair VALUES (1,'x',1,0),(1,'x',2,0),(1,'x',3,0),(1,'y',-1,0),(1,'y',0,0),(2,'',5,0),(2,'a',4,0);
CREATE TABLE uniq (v INT, a INT NOT NULL, UNIQUE KEY u (a));
INSERT INTO uniq VALUES (1,10),(2,20),(3,30)";

#[tokio::test]
async fn ranges_cover_every_key_type_once_and_in_order() {
    for server in Server::both() {
        drop(server.run(KEYS).await);
        let source = MysqlSource::new(server.admin("k"), 4242).unwrap();
        let plans = plans(&source).await;
        assert_eq!(plans.len(), 16);
        let mut snapshot = open(&source, &plans, 2).await.expect("a snapshot");
        let session = &mut snapshot.sessions[1];
        for plan in &plans {
            let expected = read(session, plan, &whole(plan)).await;
            assert!(!expected.is_empty(), "{}", plan.name());
            for step in [1, 2, 3] {
                let (mut found, mut after) = (Vec::new(), None);
                loop {
                    let up_to = session
                        .boundary(plan, after.as_ref(), step)
                        .await
                        .expect("a boundary");
                    let range = Range {
                        table: plan.id,
                        after,
                        up_to: up_to.clone(),
                    };
                    let rows = read(session, plan, &range).await;
                    assert!(
                        up_to.is_none() || rows.len() as u64 == step,
                        "{} step {step}",
                        plan.name()
                    );
                    found.extend(rows);
                    if up_to.is_none() {
                        break;
                    }
                    after = up_to;
                }
                assert_eq!(found, expected, "{} step {step}", plan.name());
            }
        }
    }
}

#[tokio::test]
async fn types_and_values_are_exact() {
    for server in Server::both() {
        drop(
            server
                .run(
                    "CREATE DATABASE v CHARACTER SET utf8mb4;
USE v;
CREATE TABLE t (id INT(5) UNSIGNED ZEROFILL PRIMARY KEY, e ENUM('x''y','b\\\\c','d\\ne','é') CHARACTER SET latin1, s SET('é','b') CHARACTER SET utf16, f FLOAT, d DOUBLE, b BIT(10), j JSON, y YEAR, l TEXT CHARACTER SET latin1, m TIMESTAMP(3) NULL, g INT AS (id + 1) STORED, w INT AS (id + 2) VIRTUAL);
SET time_zone = '+05:00';
INSERT INTO t (id, e, s, f, d, b, j, y, l, m) VALUES (7, 'x''y', 'é,b', 0.1, 0.30000000000000004, 513, '{\"a\": 1.50}', 0, 'é', '2024-01-01 05:00:00.005'), (8, 'é', '', 16777216, -0e0, 1, '[]', 2155, '', NULL)",
                )
                .await,
        );
        let source = MysqlSource::new(server.admin("v"), 4242).unwrap();
        let plans = plans(&source).await;
        let source_columns = &plans[0].source.columns;
        let Some(MysqlType::Enum { labels, .. }) = source_columns[1].ty.mysql() else {
            panic!("expected an ENUM")
        };
        assert_eq!(labels, &["x'y", "b\\c", "d\ne", "é"]);
        assert!(matches!(
            source_columns[6].ty.mysql(),
            Some(MysqlType::Json | MysqlType::JsonText { .. })
        ));
        assert!(source_columns[10].generated_stored && source_columns[11].generated.is_some());
        let mut snapshot = open(&source, &plans, 1).await.expect("a snapshot");
        let rows = read(&mut snapshot.sessions[0], &plans[0], &whole(&plans[0])).await;
        let first: Vec<_> = WireReader::new(&rows[0]).map(Result::unwrap).collect();
        let text = |text: &'static str| WireValue::String(text.as_bytes());
        assert_eq!(first[..3], [text("7"), text("x'y"), text("é,b")]);
        assert_eq!(
            first[3..5],
            [
                WireValue::Number(f64::from(0.1_f32)),
                WireValue::Number(0.300_000_000_000_000_04)
            ]
        );
        assert_eq!(
            (first[5], first[7], first[8]),
            (text("AgE="), text("0"), text("é"))
        );
        assert_eq!(first[10..], [text("8"), text("9")]);
        let WireValue::String(moment) = first[9] else {
            panic!("expected a TIMESTAMP")
        };
        assert!(
            moment.starts_with(b"2024-01-01T00:00:00.005"),
            "{}",
            String::from_utf8_lossy(moment)
        );
    }
}

/// The keys of refused rows are kept too, so they count.
#[tokio::test]
async fn refused_rows_fill_a_batch() {
    let server = Server::mariadb("--gtid-strict-mode=1 --binlog-row-metadata=FULL");
    let rows: Vec<_> = (10..60)
        .map(|row| format!("(REPEAT('k', {row}), '0000-00-00')"))
        .collect();
    let sql = format!(
        "CREATE DATABASE z;\nCREATE TABLE z.t (k VARCHAR(99) PRIMARY KEY, d DATE);\nSET sql_mode = '';\nINSERT INTO z.t VALUES {}",
        rows.join(",")
    );
    drop(server.run(&sql).await);
    let source = MysqlSource::new(server.admin("z"), 4242).unwrap();
    let plans = plans(&source).await;
    let mut snapshot = open(&source, &plans, 1).await.expect("a snapshot");
    let session = &mut snapshot.sessions[0];
    session.begin(&plans[0], &whole(&plans[0])).await.unwrap();
    let (mut batch, mut refused) = (ReadRows::default(), 0);
    loop {
        let status = session.read(&mut batch, 1000, 500).await.unwrap();
        assert!(
            batch.rows.is_empty() && batch.refused.len() < 25,
            "{}",
            batch.refused.len()
        );
        refused += batch.refused.len();
        if status == ReadStatus::End {
            break;
        }
    }
    assert_eq!(refused, rows.len());
}

/// Without a primary key the rows are unique by an index, which must be the planned one when the
/// snapshot is opened.
#[tokio::test]
async fn a_key_index_that_is_not_the_planned_one_opens_no_snapshot() {
    const TABLE: &str = "CREATE TABLE i.t (v INT, a INT NOT NULL, b INT NOT NULL, UNIQUE KEY u (a, b))";
    for server in Server::both() {
        let mut admin = server.run(&format!("CREATE DATABASE i;\n{TABLE}")).await;
        let source = MysqlSource::new(server.admin("i"), 4242).unwrap();
        let plans = plans(&source).await;
        drop(open(&source, &plans, 1).await.expect("nothing has changed"));
        for (change, is_seen) in [
            ("DROP INDEX u", true),
            ("DROP INDEX u, ADD INDEX u (a, b)", true),
            ("DROP INDEX u, ADD UNIQUE u (b, a)", true),
            ("DROP INDEX u, ADD UNIQUE u (a, b, v)", true),
            ("DROP INDEX u, ADD UNIQUE u (b)", true),
            ("RENAME INDEX u TO w", true),
            ("DROP INDEX u, ADD UNIQUE u (a, b)", false),
            ("ADD UNIQUE w (a)", false),
            ("ADD INDEX w (v)", false),
        ] {
            let alter = format!("ALTER TABLE i.t {change}");
            for statement in ["DROP TABLE i.t", TABLE, &alter] {
                admin.execute(statement).await.expect(change);
            }
            let found = open(&source, &plans, 1).await.err().map(|failure| failure.code);
            assert_eq!(found, is_seen.then_some(code::SCHEMA_MISMATCH), "{change}");
        }
    }
}

/// The rows of a range whose session is killed: far more than the sockets between server and reader
/// hold.
async fn fill(admin: &mut Connection) {
    for chunk in 0..20 {
        let rows: Vec<_> = (0..1000)
            .map(|row| format!("({}, REPEAT('x', 900))", chunk * 1000 + row))
            .collect();
        let sql = format!("INSERT INTO h.t VALUES {}", rows.join(","));
        admin.execute(&sql).await.expect("rows");
    }
}

/// KILLER 26
#[tokio::test]
async fn a_killed_session_never_ends_a_large_range() {
    for server in Server::both() {
        let mut admin = server
            .run("CREATE DATABASE h;\nCREATE TABLE h.t (id INT PRIMARY KEY, v VARCHAR(900))")
            .await;
        fill(&mut admin).await;
        let source = MysqlSource::new(server.admin("h"), 4242).unwrap();
        let plans = plans(&source).await;
        let mut snapshot = open(&source, &plans, 1).await.unwrap();
        let session = &mut snapshot.sessions[0];
        session.begin(&plans[0], &whole(&plans[0])).await.unwrap();
        let mut rows = ReadRows::default();
        session.read(&mut rows, 10, 1 << 20).await.unwrap();
        admin.kill(session.connection_id()).await.unwrap();
        let error = loop {
            match session.read(&mut rows, 1000, 1 << 20).await {
                Ok(ReadStatus::More) => {}
                Ok(ReadStatus::End) => panic!("a killed session ended its range as if it were whole"),
                Err(error) => break error,
            }
        };
        assert!(error.code == code::SNAPSHOT_LOST && error.is_retry(), "{error:?}");
    }
}

fn blocking(findings: &[Finding]) -> Vec<String> {
    let blocking = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Blocking);
    blocking
        .map(|finding| format!("{} {}", finding.code, finding.subject))
        .collect()
}

#[tokio::test]
async fn check_names_everything_at_once() {
    for server in Server::both() {
        let mut admin = server
            .run(
                "CREATE DATABASE c;
USE c;
CREATE TABLE good (id INT PRIMARY KEY);
CREATE TABLE child (id INT PRIMARY KEY, p INT, CONSTRAINT fk FOREIGN KEY (p) REFERENCES good (id) ON DELETE CASCADE);
CREATE TABLE nokey (v INT);
CREATE TABLE floating (f FLOAT PRIMARY KEY);
CREATE TABLE plain (id INT PRIMARY KEY) ENGINE = MyISAM;
CREATE USER 'low'@'%' IDENTIFIED BY 'low';
GRANT SELECT ON c.* TO 'low'@'%'",
            )
            .await;
        let mariadb = admin.server().is_mariadb();
        let names = ["absent", "child", "floating", "good", "nokey", "plain"];
        let request = |tables: &[&str]| CheckRequest {
            tables: tables.iter().map(|name| QualifiedName::new("c", *name)).collect(),
            load_estimate: Duration::from_secs(3600),
            sessions: 2,
            lock: false,
        };
        let source = MysqlSource::new(server.admin("c"), 4242).unwrap();
        let findings = source.check(&request(&["good"])).await.unwrap();
        assert_eq!(blocking(&findings), [""; 0], "{findings:?}");
        // The mapping reports keys and types, once.
        let mut expected = vec!["SF-2006 absent", "SF-2007 plain"];
        if mariadb {
            expected.insert(1, "SF-2007 child.fk");
        }
        assert_eq!(blocking(&source.check(&request(&names)).await.unwrap()), expected);
        let same_id = MysqlSource::new(server.admin("c"), u32::from(server.port)).unwrap();
        let own = same_id.check(&request(&["good"])).await.unwrap();
        assert_eq!(blocking(&own), ["SF-2010 "]);

        admin
            .execute("SET GLOBAL binlog_row_image = MINIMAL")
            .await
            .unwrap();
        admin.execute("XA START 'x'").await.unwrap();
        admin.execute("INSERT INTO c.good VALUES (1)").await.unwrap();
        admin.execute("XA END 'x'").await.unwrap();
        admin.execute("XA PREPARE 'x'").await.unwrap();
        let findings = source.check(&request(&["good"])).await.unwrap();
        assert_eq!(blocking(&findings), ["SF-2004 "], "{findings:?}");
        // Which tables it changed is not known here: the load waits if it must.
        let prepared = findings
            .iter()
            .find(|finding| finding.code == code::SOURCE_PREPARED);
        assert!(
            prepared.is_some_and(|found| found.severity == Severity::Notice && found.text.contains("X'78'")),
            "{findings:?}"
        );
        let low = MysqlSource::new(server.options("low", "low", "c", ""), 4242).unwrap();
        let findings = low.check(&request(&["good"])).await.unwrap();
        let granted = |finding: &Finding| {
            let grant = "GRANT REPLICATION SLAVE ON *.* TO 'low'@'%'";
            finding.remedy == Some(Remedy::source(grant))
        };
        assert!(findings.iter().any(granted), "{findings:?}");
        admin.execute("XA ROLLBACK 'x'").await.unwrap();
    }
}
