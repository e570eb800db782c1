//! Stream and decoder against real servers: what the binary log brings is what a SELECT shows.

mod support;

use std::sync::Arc;

use spanferry_core::plan::{TableId, TablePlan, TargetKey};
use spanferry_core::port::change::SchemaChangeKind;
use spanferry_core::port::source::{
    ChangeDecoder, ChangeSource, ChangeStream, PositionSource, PreparedId, ReadRows, SnapshotSession,
    TwoPhase,
};
use spanferry_core::position::{Bookmark, Witness};
use spanferry_core::report::code;
use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::value::encode::{ColumnPlan, Constant, Encoding, Input, Refusal};
use spanferry_core::wire::list_value::{WireReader, WireValue};
use spanferry_mysql::MysqlSource;
use support::plan::{open, spelled_plans as plans};
use support::stream::{assert_same, capture, decode, snapshot};
use support::{Server, types};

#[tokio::test]
async fn every_type_is_the_same_as_selected() {
    for server in Server::both() {
        let mariadb = server.connect().await.server().is_mariadb();
        let (create, insert) = types::statements(&server).await;
        drop(server.run(&create).await);
        let source = MysqlSource::new(server.admin("v"), 4243).unwrap();
        let (plans, before) = (plans(&source).await, source.position().await.unwrap());
        drop(server.run(&insert).await);
        let sink = decode(&source, &plans, &before).await;
        assert_eq!(sink.stops, [], "mariadb {mariadb}");
        assert_same(&plans, &sink, &snapshot(&source, &plans).await);
        assert_eq!(sink.relocated, 4);
        // The same rows in another order, with a constant that the key begins with, and without a
        // last column that is no key.
        let turned: Vec<_> = plans.iter().map(|plan| turned(plan)).collect();
        let sink = decode(&source, &turned, &before).await;
        assert_eq!(sink.stops, [], "mariadb {mariadb}");
        assert_same(&turned, &sink, &snapshot(&source, &turned).await);
        assert_eq!(sink.relocated, 4);
    }
}

/// A plan whose row has the source's columns backwards, and a constant, with which the key begins.
fn turned(plan: &TablePlan) -> Arc<TablePlan> {
    let mut turned = plan.clone();
    turned.columns.reverse();
    let is_key = |column: &ColumnPlan| plan.source_key.iter().any(|key| column.source() == Some(*key));
    if !is_key(&turned.columns[0]) {
        turned.columns.remove(0);
    }
    let last = turned.columns.len();
    let places = turned.columns.iter().map(ColumnPlan::source);
    let places: Vec<Option<usize>> = places.collect();
    let place = |source| places.iter().position(|known| *known == Some(source));
    let own = plan.source_key.iter().filter_map(|column| place(*column));
    turned.target_key = TargetKey::Columns(std::iter::once(last).chain(own).collect());
    turned.columns.push(ColumnPlan {
        input: Input::Constant(Constant::Text("eu".to_owned())),
        target: last,
        encoding: Encoding::String { characters_max: 2 },
        not_null: true,
    });
    Arc::new(turned)
}

/// Character sets of a MariaDB JSON column, and a text that each of them can hold. sjis has the
/// byte of a backslash inside of characters.
const JSON_CHARSETS: [(&str, &str); 9] = [
    ("utf8mb4", "é😀"),
    ("utf8mb3", "é日"),
    ("latin1", "é€"),
    ("utf16", "é😀"),
    ("utf16le", "日😀"),
    ("utf32", "é😀"),
    ("ucs2", "é日"),
    ("sjis", "表ソ"),
    ("gbk", "中文"),
];

/// Issue 7, point 7: `CONVERT TO CHARACTER SET` leaves a JSON column of MariaDB in any character
/// set.
#[tokio::test]
async fn json_texts_of_any_charset_are_the_same_by_both_roads() {
    let server = Server::mariadb("--gtid-strict-mode=1 --binlog-row-metadata=FULL");
    let columns: Vec<String> = JSON_CHARSETS
        .iter()
        .map(|(charset, _)| {
            format!("{charset} JSON, z{charset} LONGTEXT COMPRESSED CHECK (json_valid(z{charset}))")
        })
        .collect();
    let charsets: Vec<String> = JSON_CHARSETS
        .iter()
        .map(|(charset, _)| {
            format!(
                "MODIFY {charset} LONGTEXT CHARACTER SET {charset} CHECK (json_valid({charset})), \
                 MODIFY z{charset} LONGTEXT COMPRESSED CHARACTER SET {charset} CHECK (json_valid(z{charset}))"
            )
        })
        .collect();
    let create = format!(
        "CREATE DATABASE v CHARACTER SET utf8mb4;\nUSE v;\n\
         CREATE TABLE converted (id INT PRIMARY KEY, j JSON);\nALTER TABLE converted CONVERT TO CHARACTER SET latin1;\n\
         CREATE TABLE one (id INT PRIMARY KEY, {});\nALTER TABLE one {}",
        columns.join(", "),
        charsets.join(", ")
    );
    drop(server.run(&create).await);
    let source = MysqlSource::new(server.admin("v"), 4243).unwrap();
    let (plans, before) = (plans(&source).await, source.position().await.unwrap());
    let documents: Vec<String> = JSON_CHARSETS
        .iter()
        .flat_map(|(_, text)| {
            [
                format!("{{\"k\": \"{text}\"}}"),
                format!("[\"{}\"]", text.repeat(90)),
            ]
        })
        .collect();
    let insert = format!(
        "USE v;\nSET NAMES utf8mb4;\nINSERT INTO converted VALUES (1, '{{\"é\": \"€\"}}');\nINSERT INTO one VALUES (1, '{}')",
        documents.join("', '")
    );
    drop(server.run(&insert).await);
    let sink = decode(&source, &plans, &before).await;
    assert_eq!(sink.stops, []);
    let selected = snapshot(&source, &plans).await;
    assert_same(&plans, &sink, &selected);
    let cells = |table: usize| -> Vec<String> {
        WireReader::new(&selected[&plans[table].id.0][0])
            .map(|cell| match cell {
                Ok(WireValue::String(text)) => String::from_utf8(text.to_vec()).unwrap(),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(cells(0), ["1", "{\"é\": \"€\"}"]);
    assert_eq!(cells(1)[1..], documents[..]);
}

/// Bytes that are no character of the column's character set are refused by both roads, in the same
/// words.
#[tokio::test]
async fn json_bytes_that_are_no_text_are_refused_by_both_roads() {
    let server = Server::mariadb("--gtid-strict-mode=1 --binlog-row-metadata=FULL");
    let create = "CREATE DATABASE v CHARACTER SET utf8mb4;\nUSE v;\n\
        CREATE TABLE t (id INT PRIMARY KEY, j LONGTEXT CHARACTER SET sjis CHECK (json_valid(j)))";
    drop(server.run(create).await);
    let source = MysqlSource::new(server.admin("v"), 4243).unwrap();
    let (plans, before) = (plans(&source).await, source.position().await.unwrap());
    assert!(matches!(
        plans[0].source.columns[1].ty.mysql(),
        Some(MysqlType::JsonText { .. })
    ));
    // A code of two bytes that sjis leaves unused, in quotes.
    let insert =
        "USE v;\nSET check_constraint_checks = 0;\nINSERT INTO t VALUES (1, _sjis X'2281AD22'), (2, '[]')";
    drop(server.run(insert).await);
    let sink = decode(&source, &plans, &before).await;
    let stops: Vec<_> = sink.stops.iter().map(|(_, finding)| finding).collect();
    assert!(
        matches!(stops[..], [stop] if stop.code == code::VALUE_REFUSED && stop.text.contains("sjis")),
        "{stops:?}"
    );
    let mut snapshot = open(&source, &plans, 1).await.unwrap();
    let session = &mut snapshot.sessions[0];
    session
        .begin(&plans[0], &support::plan::whole(&plans[0]))
        .await
        .unwrap();
    let mut rows = ReadRows::default();
    session.read(&mut rows, 100, 1 << 20).await.unwrap();
    let refused: Vec<_> = rows
        .refused
        .iter()
        .map(|row| (row.key.as_str(), &row.cell))
        .collect();
    let expected = Refusal::Undecodable {
        charset: "sjis",
        offset: 1,
    };
    assert!(
        matches!(refused[..], [("1", cell)] if cell.column == 1 && cell.refusal == expected),
        "{refused:?}"
    );
    assert_eq!(rows.rows.len(), 1);
}

/// What a session does, which stops follow, which notices.
type Case = (&'static str, &'static [(u32, code::Code)], &'static [code::Code]);

const ALL: [(u32, code::Code); 2] = [(0, code::EVENT_UNSUPPORTED), (1, code::EVENT_UNSUPPORTED)];

#[expect(clippy::too_many_lines, reason = "one line for each case")]
#[tokio::test]
async fn what_is_not_whole_stops() {
    const BOTH: &[Case] = &[
        ("INSERT INTO a VALUES (1, 'x')", &[], &[]),
        (
            "SET binlog_row_image = MINIMAL;\nUPDATE a SET v = 'y' WHERE id = 1",
            &[(0, code::EVENT_UNSUPPORTED)],
            &[],
        ),
        (
            "SET binlog_row_image = MINIMAL;\nINSERT INTO a (id) VALUES (50)",
            &[(0, code::EVENT_UNSUPPORTED)],
            &[],
        ),
        (
            "SET binlog_row_image = MINIMAL;\nDELETE FROM a WHERE id = 50",
            &[(0, code::EVENT_UNSUPPORTED)],
            &[],
        ),
        (
            "SET binlog_format = STATEMENT;\nINSERT INTO a VALUES (2, 'x')",
            &ALL,
            &[],
        ),
        (
            "SET binlog_format = STATEMENT;\nINSERT INTO other.t VALUES (2)",
            &ALL,
            &[],
        ),
        (
            "USE other;\nSET binlog_format = STATEMENT;\nUPDATE seen SET v = 'w' WHERE id = 1",
            &ALL,
            &[],
        ),
        (
            "USE other;\nSET binlog_format = STATEMENT;\nINSERT INTO fires VALUES (30)",
            &ALL,
            &[],
        ),
        (
            "USE other;\nSET binlog_format = STATEMENT;\nDELETE FROM s.a WHERE id = 3",
            &ALL,
            &[],
        ),
        ("ALTER TABLE b ADD COLUMN w INT", &[(1, code::DDL_SEEN)], &[]),
        (
            "INSERT INTO b VALUES (1, 'x', 2)",
            &[(1, code::SCHEMA_MISMATCH)],
            &[],
        ),
        (
            "USE other;\nALTER TABLE `s` . b DROP COLUMN w",
            &[(1, code::DDL_SEEN)],
            &[],
        ),
        ("CREATE INDEX i ON a (v)", &[], &[code::DDL_SEEN]),
        (
            "ALTER TABLE a ADD INDEX j (v), DROP INDEX i",
            &[],
            &[code::DDL_SEEN],
        ),
        ("ANALYZE TABLE a", &[], &[code::DDL_SEEN]),
        (
            "CREATE TABLE fresh (id INT PRIMARY KEY)",
            &[],
            &[code::TABLE_CREATED],
        ),
        (
            "CREATE TABLE copied AS SELECT 1 AS x UNION SELECT 2",
            &[],
            &[code::TABLE_CREATED],
        ),
        (
            "RENAME TABLE fresh TO x, a TO fresh, x TO y",
            &[(0, code::DDL_SEEN)],
            &[code::TABLE_CREATED, code::TABLE_CREATED, code::TABLE_CREATED],
        ),
        ("RENAME TABLE fresh TO a", &[(0, code::DDL_SEEN)], &[]),
        (
            "CREATE DATABASE elsewhere;\nCREATE TABLE elsewhere.w (id INT PRIMARY KEY);\nALTER TABLE elsewhere.w RENAME TO s.late",
            &[],
            &[code::TABLE_CREATED],
        ),
        ("TRUNCATE TABLE /* it */ b", &[(1, code::DDL_SEEN)], &[]),
        (
            "CREATE TEMPORARY TABLE temp (id INT);\nINSERT INTO temp VALUES (1);\nDROP TEMPORARY TABLE temp",
            &[],
            &[],
        ),
        (
            "START TRANSACTION;\nINSERT INTO a VALUES (5, 'x');\nSAVEPOINT p;\nINSERT INTO a VALUES (6, 'x');\nROLLBACK TO p;\nCOMMIT",
            &[],
            &[],
        ),
        (
            "XA START 'q';\nINSERT INTO a VALUES (7, 'x');\nXA END 'q';\nXA PREPARE 'q'",
            &[(0, code::EVENT_UNSUPPORTED)],
            &[],
        ),
        // `two_phase` decides what the end of a prepared transaction means.
        ("XA COMMIT 'q'", &[], &[]),
        ("ALTER DATABASE s CHARACTER SET latin1", &[], &[code::DDL_SEEN]),
    ];
    const MYSQL: &[Case] = &[
        (
            "USE other;\nSET binlog_format = STATEMENT;\nINSERT INTO t VALUES (3)",
            &[],
            &[],
        ),
        (
            "SET binlog_transaction_compression = ON;\nUPDATE a SET v = 'z' WHERE id = 1",
            &ALL,
            &[],
        ),
        (
            "SET binlog_row_value_options = PARTIAL_JSON;\nUPDATE j SET j = JSON_SET(j, '$.a', 1)",
            &[(2, code::EVENT_UNSUPPORTED)],
            &[],
        ),
        (
            "SET gtid_next = 'AUTOMATIC:tag';\nINSERT INTO a VALUES (8, 'x')",
            &[],
            &[],
        ),
    ];
    const MARIADB: &[Case] = &[
        // The temporary table makes the server log what the ROLLBACK takes back.
        (
            "START TRANSACTION;\nINSERT INTO a VALUES (9, 'x');\nCREATE TEMPORARY TABLE t (id INT);\nROLLBACK",
            &[(0, code::EVENT_UNSUPPORTED)],
            &[],
        ),
        // The server does not say whose rows a statement changed.
        (
            "USE other;\nSET binlog_format = STATEMENT;\nINSERT INTO t VALUES (3)",
            &ALL,
            &[],
        ),
        // What a function changes is not in the log then.
        (
            "USE other;\nSET binlog_format = STATEMENT;\nCREATE TABLE x SELECT f() AS y",
            &ALL,
            &[],
        ),
        (
            "SET STATEMENT binlog_format = 'STATEMENT' FOR UPDATE a SET v = 'z'",
            &ALL,
            &[],
        ),
        (
            "CREATE OR REPLACE DATABASE s",
            &[(0, code::DDL_SEEN), (1, code::DDL_SEEN)],
            &[],
        ),
        (
            "CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(99));\nINSERT INTO a VALUES (1, 'x')",
            &[(0, code::DDL_SEEN)],
            &[],
        ),
        (
            "CREATE OR REPLACE TABLE later (id INT PRIMARY KEY)",
            &[],
            &[code::TABLE_CREATED],
        ),
        (
            "CREATE TABLE c (id INT PRIMARY KEY, v TEXT COMPRESSED)",
            &[],
            &[code::TABLE_CREATED],
        ),
        (
            "SET GLOBAL log_bin_compress = ON, log_bin_compress_min_len = 10;\nUPDATE a SET v = REPEAT('z', 90) WHERE id = 1;\nSET GLOBAL log_bin_compress = OFF",
            &[(0, code::EVENT_UNSUPPORTED)],
            &[],
        ),
    ];
    for server in Server::both() {
        let mariadb = server.connect().await.server().is_mariadb();
        let create = "SET GLOBAL log_bin_trust_function_creators = 1;\nCREATE DATABASE other;\nCREATE FUNCTION other.f() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO s.a VALUES (88, 'f'); RETURN 1; END;\nCREATE TABLE other.t (id INT PRIMARY KEY);\nCREATE DATABASE s;\nUSE s;\nCREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(99));\nCREATE TABLE b (id INT PRIMARY KEY, v VARCHAR(9));\nCREATE VIEW other.seen AS SELECT * FROM a;\nCREATE TABLE other.fires (id INT PRIMARY KEY);\nCREATE TRIGGER other.fire AFTER INSERT ON other.fires FOR EACH ROW INSERT INTO s.a VALUES (NEW.id, 'x')";
        drop(server.run(create).await);
        if !mariadb {
            let json = "CREATE TABLE s.j (id INT PRIMARY KEY, j JSON);\nINSERT INTO s.j VALUES (1, '{\"a\": 2, \"b\": \"xxxxxxxxxxxxxxxx\"}')";
            drop(server.run(json).await);
        }
        let source = MysqlSource::new(server.admin("s"), 4244).unwrap();
        let plans = plans(&source).await;
        for (sql, stops, notices) in BOTH.iter().chain(if mariadb { MARIADB } else { MYSQL }) {
            let before = source.position().await.unwrap();
            drop(server.run(&format!("USE s;\n{sql}")).await);
            let sink = decode(&source, &plans, &before).await;
            let mut found: Vec<_> = sink
                .stops
                .iter()
                .map(|(table, finding)| (*table, finding.code))
                .collect();
            // What stops all stops the third table of MySQL too.
            found.retain(|(table, _)| *table < 2 || stops.iter().any(|(other, _)| other == table));
            assert_eq!(found, *stops, "mariadb {mariadb}: {sql}: {:?}", sink.stops);
            let found: Vec<_> = sink.notices.iter().map(|finding| finding.code).collect();
            assert_eq!(found, *notices, "mariadb {mariadb}: {sql}: {:?}", sink.notices);
            let is_truncated = sink.schema_changes.contains(&SchemaChangeKind::Truncated);
            assert_eq!(
                is_truncated,
                sql.starts_with("TRUNCATE"),
                "mariadb {mariadb}: {sql}"
            );
        }
    }
}

/// What both servers log of prepared transactions, and what the decoder hands on of it.
#[tokio::test]
async fn prepared_transactions_are_told() {
    for server in Server::both() {
        let create = "CREATE DATABASE other;\nCREATE TABLE other.t (id INT PRIMARY KEY);\nCREATE DATABASE s;\nUSE s;\nCREATE TABLE a (id INT PRIMARY KEY);\nCREATE TABLE b (id INT PRIMARY KEY);\nCREATE TABLE other.fires (id INT PRIMARY KEY);\nCREATE TRIGGER other.fire AFTER INSERT ON other.fires FOR EACH ROW INSERT INTO s.a VALUES (NEW.id)";
        drop(server.run(create).await);
        let source = MysqlSource::new(server.admin("s"), 4244).unwrap();
        let (plans, before) = (plans(&source).await, source.position().await.unwrap());
        let prepare =
            |id: &str, sql: &str| format!("XA START {id};\n{sql};\nXA END {id};\nXA PREPARE {id};\n");
        let script = [
            prepare("'stranger'", "INSERT INTO other.t VALUES (1)"),
            "XA COMMIT 'stranger';\n".to_owned(),
            prepare("'both','branch',7", "INSERT INTO b VALUES (1);\nINSERT INTO other.t VALUES (2);\nINSERT INTO a VALUES (1)"),
            "XA COMMIT 'both','branch',7;\n".to_owned(),
            prepare("X'00ff27'", "INSERT INTO other.fires VALUES (9)"),
            "XA ROLLBACK X'00ff27';\n".to_owned(),
            prepare("'saved'", "INSERT INTO other.t VALUES (3);\nSAVEPOINT p;\nINSERT INTO other.t VALUES (4)"),
            "XA COMMIT 'saved';\n".to_owned(),
            // Not logged, or committed at once.
            prepare("'reads'", "SELECT * FROM a"),
            "XA COMMIT 'reads';\nXA START 'one';\nINSERT INTO other.t VALUES (5);\nXA END 'one';\nXA COMMIT 'one' ONE PHASE".to_owned(),
        ]
        .concat();
        drop(server.run(&format!("USE s;\n{script}")).await);
        let mut decoder = source.decoder(&plans);
        let pieces = capture(&source, &before).await.unwrap();
        let told = pieces.iter().map(|piece| decoder.two_phase(piece).unwrap());
        let told: Vec<TwoPhase> = told.flatten().collect();
        let id = |text: &str| PreparedId(text.to_owned());
        let prepared = |text: &str, tables: &[u32]| TwoPhase::Prepared {
            id: id(text),
            tables: tables.iter().map(|table| TableId(*table)).collect(),
        };
        let stranger = "X'737472616E676572',X'',1";
        let both = "X'626F7468',X'6272616E6368',7";
        assert_eq!(
            told,
            [
                prepared(stranger, &[]),
                TwoPhase::Committed(id(stranger)),
                prepared(both, &[0, 1]),
                TwoPhase::Committed(id(both)),
                prepared("X'00FF27',X'',1", &[0]),
                TwoPhase::RolledBack(id("X'00FF27',X'',1")),
                prepared("X'7361766564',X'',1", &[]),
                TwoPhase::Committed(id("X'7361766564',X'',1")),
            ],
            "{script}"
        );
    }
}

#[tokio::test]
async fn positions_resume_behind_huge_and_tagged_transactions() {
    for server in Server::both() {
        let mut admin = server.run("CREATE DATABASE p;\nUSE p;\nCREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT);\nSET GLOBAL max_allowed_packet = 1073741824").await;
        let mariadb = admin.server().is_mariadb();
        let source = MysqlSource::new(server.admin("p"), 4246).unwrap();
        let plans = plans(&source).await;
        // A transaction in several pieces, one event above the bound of a piece, empty transactions
        // and rotations between.
        let before = source.position().await.unwrap();
        let mut huge = server.run("USE p;\nSTART TRANSACTION").await;
        for id in 0..40 {
            let sql = format!("INSERT INTO t VALUES ({id}, REPEAT('{}', 100000))", id % 10);
            huge.execute(&sql).await.unwrap();
        }
        huge.execute("INSERT INTO t VALUES (99, REPEAT('日', 1000000))")
            .await
            .unwrap();
        huge.execute("COMMIT").await.unwrap();
        admin.execute("FLUSH BINARY LOGS").await.unwrap();
        if !mariadb {
            admin
                .execute("SET gtid_next = 'AUTOMATIC:some_tag'")
                .await
                .unwrap();
        }
        admin
            .execute("INSERT INTO t VALUES (100, 'tagged')")
            .await
            .unwrap();
        admin
            .execute("INSERT INTO t VALUES (101, 'tagged')")
            .await
            .unwrap();
        let pieces = capture(&source, &before).await.unwrap();
        assert!(pieces.len() > 6, "{}", pieces.len());
        let sink = decode(&source, &plans, &before).await;
        assert_same(&plans, &sink, &snapshot(&source, &plans).await);
        // Every transaction's position is one to resume from.
        let mut reached = before.clone();
        for (at, piece) in pieces.iter().enumerate().filter(|(_, piece)| piece.last) {
            let witness = Witness::parse(&piece.transaction).unwrap();
            reached.advance(&witness.id).unwrap();
            assert_eq!(
                capture(&source, &reached).await.unwrap(),
                pieces[at + 1..],
                "{reached}"
            );
        }
    }
}

/// Longest that a server's silence may take to be noticed, its heartbeats before included.
const SILENCE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(90);

/// Heartbeats come while nothing else does; a server that is paused, and one that is killed, end
/// the stream.
async fn check_silence(server: &Server) {
    let source = MysqlSource::new(server.admin("mysql"), 4247).expect("options");
    let position = Bookmark::unproved(source.position().await.expect("a position"));
    let mut stream = ChangeSource::open_stream(&source, &position)
        .await
        .expect("a stream");
    let mut pieces = Vec::new();
    for _ in 0..2 {
        stream.next(&mut pieces, 1).await.expect("a heartbeat");
        assert!(pieces.is_empty());
    }
    drop(server.run("CREATE DATABASE later").await);
    server.command("pause");
    let failure = loop {
        // What was sent before comes first.
        if let Err(failure) = stream.next(&mut pieces, 1).await {
            break failure;
        }
    };
    assert!(failure.is_retry(), "{failure:?}");
    server.command("resume");
    let mut stream = ChangeSource::open_stream(&source, &position)
        .await
        .expect("a stream");
    pieces.clear();
    while pieces.is_empty() {
        stream.next(&mut pieces, 1).await.expect("a stream");
    }
    server.command("kill");
    let failure = stream.next(&mut Vec::new(), 1).await.expect_err("a dead server");
    assert!(failure.is_retry(), "{failure:?}");
}

#[tokio::test]
async fn heartbeats_keep_a_stream_and_silence_ends_it() {
    for server in Server::both() {
        let noticed = tokio::time::timeout(SILENCE_PATIENCE, check_silence(&server));
        noticed.await.expect("silence is noticed in time");
    }
}
