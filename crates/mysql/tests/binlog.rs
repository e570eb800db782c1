//! Stream and decoder against real servers: what the binary log brings is what a SELECT shows.

mod support;

use spanferry_core::code;
use spanferry_core::encode::Refusal;
use spanferry_core::schema::SourceType;
use spanferry_core::source::{
    ChangeSource, ChangeStream, SchemaSource, SnapshotRows, SnapshotSession, SnapshotSource,
};
use spanferry_core::wire::{WireReader, WireValue};
use spanferry_mysql::MysqlSource;
use support::Server;
use support::plan::spelled_plans as plans;
use support::stream::{assert_same, capture, decode, snapshot};

const NUMBERS: &str = "CREATE TABLE numbers (id INT PRIMARY KEY, a TINYINT, b TINYINT UNSIGNED, c SMALLINT, d SMALLINT UNSIGNED,
 e MEDIUMINT, f MEDIUMINT UNSIGNED, g INT, h INT UNSIGNED ZEROFILL, i BIGINT, j BIGINT UNSIGNED, k DECIMAL(65,30), l DECIMAL(9,0), m DECIMAL(3,3),
 n FLOAT, o DOUBLE, p BIT(1), q BIT(10), r BIT(64), s YEAR, t DECIMAL(20,10) UNSIGNED, u BOOL)";
const TEXTS: &str = "CREATE TABLE texts (id VARBINARY(8) PRIMARY KEY, a CHAR(20), b VARCHAR(300), c CHAR(255) CHARACTER SET utf8mb4,
 d TINYTEXT CHARACTER SET latin1, e TEXT CHARACTER SET utf16, f MEDIUMTEXT, g LONGTEXT, h VARCHAR(10) CHARACTER SET ucs2, i CHAR(5) CHARACTER SET latin1,
 j ENUM('a','','ä') CHARACTER SET latin1, k SET('x','y','ü') CHARACTER SET utf8mb4, l BINARY(6), m VARBINARY(300), n TINYBLOB, o BLOB, p MEDIUMBLOB, q LONGBLOB,
 r VARCHAR(10) CHARACTER SET sjis, s BINARY(255))";
const TIMES: &str = "CREATE TABLE times (id BINARY(4) PRIMARY KEY, a DATE, b TIME, c TIME(1), d TIME(2), e TIME(3), f TIME(4), g TIME(5), h TIME(6),
 i DATETIME, j DATETIME(1), k DATETIME(2), l DATETIME(3), m DATETIME(4), n DATETIME(5), o DATETIME(6), p TIMESTAMP NULL, q TIMESTAMP(1) NULL, r TIMESTAMP(2) NULL, s TIMESTAMP(3) NULL, t TIMESTAMP(6) NULL)";

const VALUES: &str = "SET time_zone = '+03:30', sql_mode = 'NO_ENGINE_SUBSTITUTION';
INSERT INTO numbers VALUES (1,-128,255,-32768,65535,-8388608,16777215,-2147483648,4294967295,-9223372036854775808,18446744073709551615,
 -99999999999999999999999999999999999.999999999999999999999999999999,-999999999,-0.999,-3.4e38,-1.7976931348623157e308,1,1023,18446744073709551615,2155,9999999999.9999999999,1),
 (2,127,0,32767,0,8388607,0,2147483647,0,9223372036854775807,0,0.000000000000000000000000000001,0,0.001,1e-38,5e-324,0,1,1,0,0,0),
 (3,0,1,-1,1,-1,1,-1,1,-1,1,12345678901.5,7,0,0.1,0.1,NULL,513,9223372036854775808,1901,0.5,NULL),
 (-4,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO texts VALUES ('k1','char  ','ünïcödé €😀',REPEAT('😀',255),'é',N'日本😀',REPEAT('m',70000),REPEAT('long',100000),'日','äb','ä','x,ü',X'0100','v\\0\\0',X'00FF',X'00',REPEAT(X'AB',300),'','表ソ',REPEAT(X'01',200)),
 ('k2','','','','','','','','','','','',X'000000000000','','','','','','',''),
 (X'6B3300',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO texts (id, j, k) VALUES ('bad', 'none', 'x,y,ü');
INSERT INTO times VALUES (X'01','9999-12-31','838:59:59','-838:59:59.0','-00:00:00.01','-00:00:00.001','-12:34:56.7891','23:59:59.99999','-00:00:00.000001',
 '1000-01-01 00:00:00','9999-12-31 23:59:59.9','2024-02-29 01:02:03.45','2024-02-29 01:02:03.456','2024-02-29 01:02:03.4567','2024-02-29 01:02:03.45678','2024-02-29 01:02:03.456789',
 '1970-01-02 00:00:01','2038-01-19 03:14:07.9','2024-03-31 02:30:00.25','2000-02-29 12:00:00.125','2024-12-31 23:59:59.999999'),
 (X'0200','0001-01-01','00:00:00','-01:00:00','00:00:00.10','-100:00:00.5','00:00:00.0001','-00:00:01.00001','838:59:59','2024-01-01','2024-01-01','2024-01-01','2024-01-01','2024-01-01','2024-01-01','2024-01-01',NULL,NULL,NULL,NULL,NULL),
 (X'00000000','2024-01-01',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
UPDATE numbers SET id = 4, a = 5 WHERE id = -4;
UPDATE numbers SET a = a - 1, o = o / 3 WHERE id = 3;
UPDATE texts SET id = X'6B330000', b = 'moved' WHERE id = X'6B3300';
UPDATE times SET b = '-00:00:01' WHERE id = X'00000000';
DELETE FROM numbers WHERE id = 2";

const MYSQL_ONLY: &str = "CREATE TABLE documents (id INT PRIMARY KEY, j JSON);
CREATE TABLE vectors (id INT PRIMARY KEY, v VECTOR(3), g GEOMETRY, p POINT, gc INT AS (id * 2) STORED, gv VARCHAR(20) AS (CONCAT('v', id)) VIRTUAL, h INT INVISIBLE DEFAULT 9)";
const MYSQL_ONLY_VALUES: &str = r#"INSERT INTO documents VALUES (1,'{"a": 1, "b": [true,false,null,"x\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\\u001fü😀"], "": {}, "long": {"z": 1, "aa": 2}}'),
 (2,'[0,-1,32767,-32768,32768,65535,65536,2147483647,-2147483648,4294967295,4294967296,9223372036854775807,-9223372036854775808,18446744073709551615]'),
 (3,'[1.0,0.1,-0.0,1e15,1e14,123456789012345.0,1234567890123456.0,1e16,1e-5,1e-14,1e-15,1.25e-15,1e-16,1.5e-16,0.00001234,1.5e300,-2.5e-300,1e22,100.25,5e-324,1.7976931348623157e308,0.30000000000000004]'),
 (4,'"text"'),(5,'null'),(6,'true'),(7,'-12.5'),(8,'[]'),(9,NULL);
INSERT INTO documents VALUES (10, JSON_ARRAY(CAST(1.50 AS DECIMAL(10,3)), CAST(-12345678901234567890.123 AS DECIMAL(40,10)), DATE'2024-02-29', TIME'-837:59:59.000001', CAST('2024-02-29 01:02:03.5' AS DATETIME(6)), b'101', X'00FF41', 18446744073709551615)),
 (11, JSON_OBJECT('blob', CAST(REPEAT('x', 200) AS BINARY), 'time', CAST('00:00:01' AS TIME), 'dt', TIMESTAMP'2020-01-01 00:00:00')),
 (12, JSON_OBJECT('k', REPEAT('0123456789', 20000))), (13, CAST(CAST('2024-01-01' AS DATE) AS JSON)), (14, JSON_ARRAY(REPEAT('a', 127), REPEAT('b', 128), REPEAT('c', 16384))),
 (15, CAST(CAST(1e27 AS DECIMAL(65,30)) AS JSON)), (16, JSON_ARRAY(CAST(-1e34 AS DECIMAL(65,30))));
INSERT INTO documents SELECT 20, JSON_ARRAYAGG(JSON_OBJECT(CONCAT('key', n), n * 1000)) FROM (WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 900) SELECT n FROM s) x;
INSERT INTO documents SELECT 21, JSON_OBJECTAGG(CONCAT('key', n), IF(n % 2, n * 100000, CONCAT('t', n))) FROM (WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 900) SELECT n FROM s) x;
UPDATE documents SET j = JSON_SET(j, '$.a', 77, '$.b[0]', 'short') WHERE id = 1;
INSERT INTO vectors (id, v, g, p) VALUES (1, TO_VECTOR('[1,-2.5,3e10]'), ST_GeomFromText('LINESTRING(0 0,1 1)'), POINT(1, 2)), (2, NULL, NULL, NULL)"#;

const MARIADB_ONLY: &str = "CREATE TABLE mariadb (id UUID PRIMARY KEY, u UUID, i INET6, i4 INET4, j JSON, g POINT, gc INT AS (1 + 1) STORED, gv VARCHAR(20) AS (CONCAT('v', 1)) VIRTUAL, h INT INVISIBLE DEFAULT 9, c VARCHAR(200) COMPRESSED DEFAULT 'short', d TEXT COMPRESSED DEFAULT '', e BLOB COMPRESSED)";
const MARIADB_ONLY_VALUES: &str = r#"INSERT INTO mariadb (id, u, i, j, g) VALUES ('123e4567-e89b-12d3-a456-426655440000', 'f47ac10b-58cc-4372-a567-0e02b2c3d479', '::ffff:1.2.3.4', '{ "a":  1.50 }', POINT(1, 2)),
 ('00000000-0000-0000-0000-000000000000', '01234567-89ab-7def-8123-456789abcd00', '2001:db8::', '[]', NULL),
 ('123e4567-e89b-12d3-a456-426655000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '::', NULL, NULL),
 ('20202020-2020-2020-2020-202020202020', '20202020-2020-2020-2020-202020202000', '2020:2020:2020:2020:2020:2020:2020:2020', NULL, NULL);
INSERT INTO mariadb (id, i4) VALUES ('223e4567-e89b-12d3-a456-000000000001', '1.2.3.0'), ('223e4567-e89b-12d3-a456-000000000002', '0.0.0.0'), ('223e4567-e89b-12d3-a456-000000000003', '255.255.32.32');
INSERT INTO mariadb (id, i) VALUES ('123e4567-e89b-12d3-a456-000000000001', '::1.2.3.4'), ('123e4567-e89b-12d3-a456-000000000002', '1::2:0:0:3'), ('123e4567-e89b-12d3-a456-000000000003', '1:0:0:2::3'), ('123e4567-e89b-12d3-a456-000000000004', '::1'), ('123e4567-e89b-12d3-a456-000000000005', '1:0:2:3:4:5:6:7'), ('123e4567-e89b-12d3-a456-000000000006', '::0.0.1.2'), ('123e4567-e89b-12d3-a456-000000000007', '0:0:0:0:0:0:100:0');
INSERT INTO mariadb (id, c, d, e) VALUES ('323e4567-e89b-12d3-a456-000000000001', REPEAT('aé', 90), REPEAT('text ü ', 40000), REPEAT(X'00FF20', 300)), ('323e4567-e89b-12d3-a456-000000000002', REPEAT(' ', 150), '', RANDOM_BYTES(500));
SET column_compression_zlib_wrap = ON;
INSERT INTO mariadb (id, c, d, e) VALUES ('323e4567-e89b-12d3-a456-000000000003', REPEAT('日本', 60), REPEAT('x', 70000), REPEAT(X'0A00', 20000))"#;

const MARIADB_VECTORS: &str = "CREATE TABLE mvectors (id INT PRIMARY KEY, v VECTOR(3), t TIMESTAMP(6) NULL)";
const MARIADB_VECTOR_VALUES: &str = "INSERT INTO mvectors VALUES (1, VEC_FromText('[1,-2.5,3e10]'), '2106-02-07 06:28:15.999999'), (2, NULL, '2038-01-19 03:14:08'), (3, VEC_FromText('[0,0,0]'), '2100-02-28 23:59:59')";

#[tokio::test]
async fn every_type_is_the_same_as_selected() {
    for server in Server::both() {
        let mariadb = server.connect().await.server().is_mariadb();
        let version = server.connect().await.server().version;
        let (schema, values) = match version {
            _ if !mariadb => (MYSQL_ONLY.to_owned(), MYSQL_ONLY_VALUES.to_owned()),
            (10, 5..=9, _) => ("DO 0".to_owned(), "DO 0".to_owned()),
            (11, 7.., _) => (
                format!("{MARIADB_ONLY};\n{MARIADB_VECTORS}"),
                format!("{MARIADB_ONLY_VALUES};\n{MARIADB_VECTOR_VALUES}"),
            ),
            _ => (MARIADB_ONLY.to_owned(), MARIADB_ONLY_VALUES.to_owned()),
        };
        let create = [
            "CREATE DATABASE v CHARACTER SET utf8mb4;\nUSE v",
            NUMBERS,
            TEXTS,
            TIMES,
            &schema,
        ]
        .join(";\n");
        drop(server.run(&create).await);
        let source = MysqlSource::new(server.admin("v"), 4243).unwrap();
        let (plans, before) = (plans(&source).await, source.position().await.unwrap());
        drop(server.run(&format!("USE v;\n{VALUES};\n{values}")).await);
        let sink = decode(&source, &plans, &before).await;
        assert_eq!(sink.stops, [], "mariadb {mariadb}");
        assert_same(&plans, &sink, &snapshot(&source, &plans).await);
        assert_eq!(sink.relocated, 2);
    }
}

/// Character sets of a MariaDB JSON column, and a text that each of them can hold. sjis has the byte of a backslash inside of
/// characters.
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

/// Issue 7, point 7: `CONVERT TO CHARACTER SET` leaves a JSON column of MariaDB in any character set.
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

/// Bytes that are no character of the column's character set are refused by both roads, in the same words.
#[tokio::test]
async fn json_bytes_that_are_no_text_are_refused_by_both_roads() {
    let server = Server::mariadb("--gtid-strict-mode=1 --binlog-row-metadata=FULL");
    let create = "CREATE DATABASE v CHARACTER SET utf8mb4;\nUSE v;\n\
        CREATE TABLE t (id INT PRIMARY KEY, j LONGTEXT CHARACTER SET sjis CHECK (json_valid(j)))";
    drop(server.run(create).await);
    let source = MysqlSource::new(server.admin("v"), 4243).unwrap();
    let (plans, before) = (plans(&source).await, source.position().await.unwrap());
    assert!(matches!(
        plans[0].source.columns[1].ty,
        SourceType::JsonText { .. }
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
    let mut snapshot = SnapshotSource::open(&source, &plans, 1, true).await.unwrap();
    let session = &mut snapshot.sessions[0];
    session
        .begin(&plans[0], &support::plan::whole(&plans[0]))
        .await
        .unwrap();
    let mut rows = SnapshotRows::default();
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
        ("XA COMMIT 'q'", &ALL, &[]),
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
        }
    }
}

#[tokio::test]
async fn positions_resume_behind_huge_and_tagged_transactions() {
    for server in Server::both() {
        let mut admin = server.run("CREATE DATABASE p;\nUSE p;\nCREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT);\nSET GLOBAL max_allowed_packet = 1073741824").await;
        let mariadb = admin.server().is_mariadb();
        let source = MysqlSource::new(server.admin("p"), 4246).unwrap();
        let plans = plans(&source).await;
        // A transaction in several pieces, one event above the bound of a piece, empty transactions and rotations between.
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
            let id = spanferry_core::position::TransactionId::parse(&piece.transaction).unwrap();
            reached.advance(&id).unwrap();
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

/// Heartbeats come while nothing else does; a server that is paused, and one that is killed, end the stream.
async fn check_silence(server: &Server) {
    let source = MysqlSource::new(server.admin("mysql"), 4247).expect("options");
    let position = source.position().await.expect("a position");
    let mut stream = ChangeSource::open(&source, &position).await.expect("a stream");
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
    let mut stream = ChangeSource::open(&source, &position).await.expect("a stream");
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
