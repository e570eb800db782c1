//! Every shape of table that `check` passes: it is loaded, then rows are inserted, updated, deleted
//! and get other keys, and both sides are equal. One server and one migration for all shapes of a
//! server.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use spanferry_core::schema::charset::Charset;
use spanferry_testkit::server::Engine;
use support::World;

/// A type, an expression for a value that differs by `{i}` (1 to 9), and whether columns of it may
/// be keys.
type Values = (String, &'static str, bool);

fn values(engine: Engine) -> Vec<Values> {
    let fixed: &[(&str, &str, bool)] = &[
        ("TINYINT", "-{i}", true),
        ("TINYINT(1)", "{i}", true),
        ("TINYINT UNSIGNED", "200 + {i}", true),
        ("SMALLINT", "-300 - {i}", true),
        ("SMALLINT UNSIGNED ZEROFILL", "60000 + {i}", true),
        ("MEDIUMINT", "-70000 - {i}", true),
        ("MEDIUMINT UNSIGNED", "16000000 + {i}", true),
        ("INT", "-{i}", true),
        ("INT(3) UNSIGNED ZEROFILL", "4294967290 - {i}", true),
        ("BIGINT", "-9223372036854775800 + {i}", true),
        ("BIGINT UNSIGNED", "9223372036854775790 + {i}", true),
        ("DECIMAL(9,2)", "-{i}.25", true),
        ("DECIMAL(38,9)", "12345678901234567890.5 + {i}", true),
        (
            "DECIMAL(65,30)",
            "12345678901234567890123456789012345.000000000000000000000000000001 + {i}",
            true,
        ),
        ("DECIMAL(5,0) UNSIGNED", "{i}", true),
        ("FLOAT", "{i} / 3", false),
        ("FLOAT(7,3)", "{i} / 3", false),
        ("DOUBLE", "{i} / 7", false),
        ("DOUBLE(10,2)", "{i} / 7", false),
        ("BIT(1)", "{i} % 2", false),
        ("BIT(12)", "{i} * 400", true),
        ("BIT(64)", "18446744073709551600 + {i}", true),
        ("CHAR(0)", "''", false),
        ("CHAR(5)", "CONCAT('ä', {i}, ' ')", true),
        ("CHAR(255)", "CONCAT('🍐', {i})", true),
        ("NATIONAL VARCHAR(20)", "CONCAT('é', {i})", true),
        ("VARCHAR(300)", "CONCAT(REPEAT('x', 260), {i})", true),
        ("VARCHAR(9000)", "CONCAT(REPEAT('ü', 200 * {i}), {i})", false),
        ("TINYTEXT", "CONCAT('ü', {i})", false),
        ("TEXT", "CONCAT(REPEAT('🍐', 999), {i})", false),
        ("MEDIUMTEXT", "CONCAT(REPEAT('x', 70000), {i})", false),
        ("LONGTEXT", "CONCAT('x', {i})", false),
        ("BINARY(6)", "CONCAT(CHAR({i}), 0x0061)", true),
        ("BINARY(255)", "CONCAT(CHAR({i}), REPEAT(0x20, 9))", true),
        ("VARBINARY(40)", "CONCAT(0x00FF, CHAR({i}), 0x00)", true),
        ("VARBINARY(700)", "CONCAT(REPEAT(0xFE, 300), CHAR({i}))", true),
        ("TINYBLOB", "CONCAT(0x00, CHAR({i}))", false),
        ("BLOB", "CONCAT(REPEAT(0xFF, 600), CHAR({i}))", false),
        ("MEDIUMBLOB", "CONCAT(REPEAT(0x00, 70000), CHAR({i}))", false),
        ("LONGBLOB", "CHAR({i})", false),
        ("YEAR", "2000 + {i}", true),
        ("DATE", "'2024-02-28' + INTERVAL {i} DAY", true),
        ("ENUM('a','b,c','ü','d','e','f','g''','h','i','j')", "{i}", true),
        (
            "ENUM('🍐','b🎉','🎈','d','e','f','g','h','i','𝒥') COLLATE utf8mb4_bin",
            "{i}",
            true,
        ),
        (
            "ENUM('é','b','c','d','e','f','g','h','ß') COLLATE latin1_bin",
            "{i}",
            true,
        ),
        ("SET('x','y','z','ä')", "{i}", true),
        (
            "SET('a','b','c','d','e','f','g','h','i','🍐','🎉') COLLATE utf8mb4_bin",
            "1024 + 512 + {i}",
            true,
        ),
        ("GEOMETRY", "ST_GeomFromText('LINESTRING(0 0, 1.5 {i})')", false),
        ("POINT", "ST_GeomFromText('POINT({i} -2)', 4326)", false),
        (
            "POLYGON",
            "ST_GeomFromText('POLYGON((0 0, 4 0, 4 {i}, 0 0))')",
            false,
        ),
        (
            "GEOMETRYCOLLECTION",
            "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 {i}))')",
            false,
        ),
        (
            "JSON",
            "JSON_OBJECT('k', {i}, 'a', JSON_ARRAY('🍐', NULL, 1.5))",
            false,
        ),
    ];
    let mut list: Vec<Values> = fixed
        .iter()
        .map(|(ty, value, key)| ((*ty).to_owned(), *value, *key))
        .collect();
    list.push((many_labels("ENUM", 300), "300 - {i}", true));
    list.push((many_labels("SET", 64), "9223372036854775808 + {i}", true));
    for fraction in 0..=6 {
        list.push((
            format!("DATETIME({fraction})"),
            "'2024-03-31 02:30:00.987654' + INTERVAL {i} SECOND",
            true,
        ));
        list.push((
            format!("TIMESTAMP({fraction})"),
            "'2030-01-19 03:14:07.123456' + INTERVAL {i} SECOND",
            true,
        ));
        list.push((
            format!("TIME({fraction})"),
            "SUBTIME('-01:02:03.987654', {i})",
            true,
        ));
    }
    for charset in CHARSETS {
        let is_key = Charset::from_name(charset).unwrap().is_injective();
        list.push((
            format!("VARCHAR(20) CHARACTER SET {charset}"),
            "CONCAT('a Z', {i})",
            is_key,
        ));
    }
    match engine {
        Engine::MySql => {
            list.push((
                "VARCHAR(20) CHARACTER SET gb18030".to_owned(),
                "CONCAT('中🍐', {i})",
                true,
            ));
            list.push(("VECTOR(2)".to_owned(), "STRING_TO_VECTOR('[{i}, -0.5]')", false));
        }
        Engine::MariaDb => {
            list.push((
                "UUID".to_owned(),
                "'123e4567-e89b-12d3-a456-42661417400{i}'",
                true,
            ));
            list.push(("INET4".to_owned(), "'10.0.0.{i}'", true));
            list.push(("INET6".to_owned(), "'2001:db8::{i}'", true));
            for compressed in [
                "VARCHAR(400) COMPRESSED",
                "TEXT COMPRESSED CHARACTER SET latin1",
                "LONGTEXT COMPRESSED",
            ] {
                list.push((
                    compressed.to_owned(),
                    "CONCAT('[\"', REPEAT('x', 300), '\", {i}]')",
                    false,
                ));
            }
            list.push((
                "BLOB COMPRESSED".to_owned(),
                "CONCAT(REPEAT('x', 300), {i})",
                false,
            ));
            list.push(("VARBINARY(400) COMPRESSED".to_owned(), "{i}", false));
        }
    }
    list
}

/// Those that both servers have.
const CHARSETS: [&str; 39] = [
    "big5", "dec8", "cp850", "hp8", "koi8r", "latin1", "latin2", "swe7", "ascii", "ujis", "sjis", "hebrew",
    "tis620", "euckr", "koi8u", "gb2312", "greek", "cp1250", "gbk", "latin5", "armscii8", "utf8mb3", "ucs2",
    "cp866", "keybcs2", "macce", "macroman", "cp852", "latin7", "utf8mb4", "cp1251", "utf16", "utf16le",
    "cp1256", "cp1257", "utf32", "geostd8", "cp932", "eucjpms",
];

fn many_labels(kind: &str, count: usize) -> String {
    let labels: Vec<String> = (1..=count).map(|number| format!("'l{number}'")).collect();
    format!("{kind}({})", labels.join(","))
}

/// One table, and how its rows change. `{t}` stands for its name, `{i}` for a row's number.
struct Shape {
    name: String,
    /// Makes it.
    create: String,
    /// A row: columns and values.
    columns: String,
    row: String,
    /// Changes that keep the key.
    updates: Vec<String>,
    /// A change of the key.
    relocate: String,
    /// What identifies the row with the number.
    at: &'static str,
}

impl Shape {
    /// Keeps rows in `n` (their number) and `v`; the key moves with `n`.
    fn of(name: &str, create: &str) -> Shape {
        Shape {
            name: name.to_owned(),
            create: create.to_owned(),
            columns: "n, v".to_owned(),
            row: "{i}, {i} * 10".to_owned(),
            updates: vec!["v = v + 1".to_owned()],
            relocate: "n = n + 50".to_owned(),
            at: "n = {i}",
        }
    }

    fn row(self, columns: &str, row: &str) -> Shape {
        Shape {
            columns: columns.to_owned(),
            row: row.to_owned(),
            ..self
        }
    }

    fn relocate(self, relocate: &str) -> Shape {
        Shape {
            relocate: relocate.to_owned(),
            ..self
        }
    }

    fn fill(&self, template: &str, number: usize) -> String {
        let name = format!("`{}`", self.name.replace('`', "``"));
        template.replace("{t}", &name).replace("{i}", &number.to_string())
    }

    fn insert(&self, number: usize) -> String {
        self.fill(
            &format!("INSERT INTO {{t}} ({}) VALUES ({});\n", self.columns, self.row),
            number,
        )
    }

    fn set(&self, change: &str, number: usize) -> String {
        self.fill(&format!("UPDATE {{t}} SET {change} WHERE {};\n", self.at), number)
    }

    fn set_each(&self, number: usize) -> String {
        let updates = self.updates.iter();
        updates.map(|update| self.set(update, number)).collect()
    }

    /// The table with its first rows.
    fn before(&self) -> String {
        let create = self.fill(&self.create, 0);
        (1..=4).fold(create + ";\n", |sql, number| sql + &self.insert(number))
    }

    /// What happens to it afterwards: an insert, an update, a change of key, a delete, and a row
    /// with the key that has become free.
    fn after(&self) -> String {
        let delete = self.fill(&format!("DELETE FROM {{t}} WHERE {};\n", self.at), 3);
        [
            self.insert(5),
            self.set_each(1),
            self.set(&self.relocate, 2),
            delete,
            self.insert(2),
            self.insert(3),
            self.set_each(4),
        ]
        .concat()
    }
}

/// Tables with a column of each type, and tables with keys of each type, alone and together.
fn typed(engine: Engine) -> Vec<Shape> {
    let list = values(engine);
    let mut shapes: Vec<Shape> = list.chunks(COLUMNS).enumerate().map(columns_of).collect();
    let mut keys: Vec<&Values> = list.iter().filter(|(.., is_key)| *is_key).collect();
    for (number, parts) in KEY_PARTS.into_iter().cycle().enumerate() {
        let rest = keys.split_off(parts.min(keys.len()));
        shapes.push(key_of(number, &keys));
        keys = rest;
        if keys.is_empty() {
            break;
        }
    }
    shapes
}

/// Columns of a table that has one of many types.
const COLUMNS: usize = 25;
/// Parts of the keys, over and over.
const KEY_PARTS: [usize; 4] = [1, 3, 5, 2];

/// Columns of many types; each is NULL in one row, and changes by itself.
fn columns_of((number, types): (usize, &[Values])) -> Shape {
    let (mut create, mut columns, mut row) = (String::new(), String::new(), String::new());
    let mut updates = Vec::new();
    for (at, (ty, value, _)) in types.iter().enumerate() {
        write!(create, ", c{at} {ty} NULL").unwrap();
        write!(columns, ", c{at}").unwrap();
        write!(row, ", IF({{i}} = 4, NULL, {value})").unwrap();
        updates.push(format!("c{at} = {}", value.replace("{i}", "7")));
    }
    let shape = Shape::of(
        &format!("columns{number}"),
        &format!("CREATE TABLE {{t}} (n INT PRIMARY KEY{create})"),
    );
    Shape {
        updates,
        ..shape.row(&format!("n{columns}"), &format!("{{i}}{row}"))
    }
}

/// A key of some types, whose columns are not in the order of the key.
fn key_of(number: usize, types: &[&Values]) -> Shape {
    let (mut create, mut columns, mut row) = (String::new(), String::new(), String::new());
    let (mut key, mut moved) = (Vec::new(), "n = n + 50".to_owned());
    for (at, (ty, value, _)) in types.iter().enumerate() {
        write!(create, ", k{at} {ty} NOT NULL").unwrap();
        write!(columns, ", k{at}").unwrap();
        write!(row, ", {value}").unwrap();
        write!(moved, ", k{at} = {}", value.replace("{i}", "8")).unwrap();
        key.insert(0, format!("k{at}"));
    }
    let kind = ["PRIMARY KEY", "UNIQUE KEY u"][number / KEY_PARTS.len() % 2];
    let key = key.join(", ");
    let shape = Shape::of(
        &format!("key{number}"),
        &format!("CREATE TABLE {{t}} (v INT{create}, n INT NOT NULL, {kind} ({key}))"),
    );
    let shape = shape.row(&format!("n, v{columns}"), &format!("{{i}}, 0{row}"));
    shape.relocate(&moved)
}

/// Shapes of both servers.
fn common() -> Vec<Shape> {
    let mut shapes = vec![
        Shape::of("plain", "CREATE TABLE {t} (n INT PRIMARY KEY, v INT)"),
        Shape::of("Case Ünd `Quote", "CREATE TABLE `Case Ünd ``Quote` (n INT, `V` INT, `Ä ö` INT DEFAULT 7, PRIMARY KEY (N))"),
        Shape::of("key_at_the_end", "CREATE TABLE {t} (v INT, w TEXT, z INT NOT NULL DEFAULT 4, n INT, PRIMARY KEY (n, z))"),
        Shape::of("unique_key", "CREATE TABLE {t} (v INT, n INT NOT NULL, UNIQUE KEY u (n))"),
        Shape::of("unique_reversed", "CREATE TABLE {t} (z INT NOT NULL DEFAULT 1, n INT NOT NULL, v INT, UNIQUE KEY u (n, z))"),
        Shape::of(
            "unique_of_several",
            "CREATE TABLE {t} (w INT NULL, z INT NOT NULL, n INT NOT NULL, v INT, UNIQUE a (w), UNIQUE b (z, n), UNIQUE c (n))",
        )
        .row("n, z, v", "{i}, 9 - {i}, 0"),
        Shape::of("unique_beside_key", "CREATE TABLE {t} (u INT NULL, n INT, v INT, PRIMARY KEY (n), UNIQUE (v), UNIQUE (u))").relocate("n = n + 50, v = v + 500"),
        Shape::of("prefix_key", "CREATE TABLE {t} (k TEXT NOT NULL, n INT NOT NULL, v INT, PRIMARY KEY (k(7), n))")
            .row("n, v, k", "{i}, 0, CONCAT('prefix ', {i})")
            .relocate("k = CONCAT('moved ', n)"),
        Shape::of("prefix_of_bytes", "CREATE TABLE {t} (k BLOB NOT NULL, n INT, v INT, PRIMARY KEY (k(9)))")
            .row("n, v, k", "{i}, 0, CONCAT('prefix ', {i}, REPEAT(0x00, 99))")
            .relocate("k = CONCAT('moved ', n)"),
        Shape::of("prefix_unique_only", "CREATE TABLE {t} (k TEXT NOT NULL, n INT, v INT, UNIQUE KEY u (k(7)))").row("n, v, k", "{i}, 0, {i}"),
        Shape::of("nullable_unique_only", "CREATE TABLE {t} (n INT, v INT, UNIQUE KEY u (n))"),
        Shape::of("no_key", "CREATE TABLE {t} (n INT, v INT)"),
        Shape::of("generated", "CREATE TABLE {t} (n INT PRIMARY KEY, v INT, s INT AS (v + 1) STORED, w VARCHAR(20) AS (CONCAT('ä', v)) VIRTUAL, KEY (w))"),
        Shape::of("generated_unique", "CREATE TABLE {t} (n INT NOT NULL, v INT, g INT AS (n * 2) VIRTUAL, UNIQUE (n), UNIQUE (g))"),
        Shape::of("counted", "CREATE TABLE {t} (v INT, n BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY)"),
        Shape::of("counted_aside", "CREATE TABLE {t} (n INT, v INT, a INT AUTO_INCREMENT, PRIMARY KEY (n), KEY (a))"),
        Shape::of("defaults", "CREATE TABLE {t} (n INT PRIMARY KEY, v INT DEFAULT 5, a VARCHAR(40) DEFAULT (CONCAT('ü', 1 + 1)), b DATETIME(3) DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), c VARCHAR(9) DEFAULT '')"),
        Shape::of("checked", "CREATE TABLE {t} (n INT PRIMARY KEY, v INT CHECK (v >= 0), CONSTRAINT `c x` CHECK (n > 0))"),
        Shape::of("child", "CREATE TABLE {t} (n INT PRIMARY KEY, v INT, p INT, FOREIGN KEY (p) REFERENCES plain (n))"),
        Shape::of("triggered", "CREATE TABLE {t} (n INT PRIMARY KEY, v INT, w INT);\nCREATE TRIGGER tr BEFORE UPDATE ON {t} FOR EACH ROW SET NEW.w = NEW.v * 2"),
        Shape::of("spatial_index", "CREATE TABLE {t} (n INT PRIMARY KEY, v INT, g POINT NOT NULL, SPATIAL KEY (g))")
            .row("n, v, g", "{i}, 0, ST_GeomFromText('POINT(1 {i})')"),
        Shape::of("full_text", "CREATE TABLE {t} (n INT PRIMARY KEY, v INT, w TEXT, FULLTEXT KEY (w))").row("n, v, w", "{i}, 0, 'some words'"),
        Shape::of("invisible", "CREATE TABLE {t} (n INT INVISIBLE DEFAULT 0, v INT, w INT INVISIBLE DEFAULT 3, PRIMARY KEY (n))"),
        Shape::of("by_hash", "CREATE TABLE {t} (n INT PRIMARY KEY, v INT) PARTITION BY HASH (n) PARTITIONS 3"),
        Shape::of("by_key", "CREATE TABLE {t} (v INT, n INT NOT NULL, UNIQUE KEY u (n)) PARTITION BY KEY (n) PARTITIONS 3"),
        Shape::of("by_range", "CREATE TABLE {t} (v INT, n INT PRIMARY KEY) PARTITION BY RANGE (n) SUBPARTITION BY HASH (n) SUBPARTITIONS 2 (PARTITION p0 VALUES LESS THAN (3), PARTITION p1 VALUES LESS THAN MAXVALUE)"),
        Shape::of("by_list", "CREATE TABLE {t} (v INT, w INT DEFAULT 1, n INT, PRIMARY KEY (n, w)) PARTITION BY LIST COLUMNS (w) (PARTITION p0 VALUES IN (0), PARTITION p1 VALUES IN (1))"),
        Shape::of("instant", "CREATE TABLE {t} (n INT PRIMARY KEY, v INT, gone VARCHAR(9) DEFAULT 'g');\nINSERT INTO {t} (n, v) VALUES (90, 1), (91, 2);\nALTER TABLE {t} ADD COLUMN a INT NOT NULL DEFAULT 7, ALGORITHM = INSTANT;\nUPDATE {t} SET v = 3 WHERE n = 90;\nALTER TABLE {t} DROP COLUMN gone, ALGORITHM = INSTANT;\nALTER TABLE {t} ADD COLUMN b VARCHAR(9) DEFAULT 'ü' FIRST, ALGORITHM = INSTANT"),
        Shape::of("reordered", "CREATE TABLE {t} (n INT PRIMARY KEY, v INT, w INT DEFAULT 1);\nALTER TABLE {t} MODIFY w BIGINT DEFAULT 1 FIRST, CHANGE v `V v` INT AFTER w;\nALTER TABLE {t} CHANGE `V v` v INT"),
        Shape::of("converted", "CREATE TABLE {t} (n INT PRIMARY KEY, v INT, w VARCHAR(9) DEFAULT 'é') CHARACTER SET latin1;\nALTER TABLE {t} CONVERT TO CHARACTER SET utf16"),
        Shape::of("descending", "CREATE TABLE {t} (n INT, z INT DEFAULT 1, v INT, PRIMARY KEY (n DESC, z))"),
        Shape::of("floating_key", "CREATE TABLE {t} (n FLOAT PRIMARY KEY, v INT)"),
        Shape::of("other_engine", "CREATE TABLE {t} (n INT PRIMARY KEY, v INT) ENGINE = MyISAM"),
    ];
    for format in ["REDUNDANT", "COMPACT", "DYNAMIC", "COMPRESSED KEY_BLOCK_SIZE = 8"] {
        let name = format!("format_{}", format.split(' ').next().unwrap().to_lowercase());
        let create = format!(
            "CREATE TABLE {{t}} (n INT PRIMARY KEY, v INT, w CHAR(40), x LONGTEXT) ROW_FORMAT = {format}"
        );
        shapes.push(Shape::of(&name, &create).row("n, v, w, x", "{i}, 0, 'ü', REPEAT('x', 20000)"));
    }
    shapes.push(wide());
    shapes
}

/// More columns than a byte of any bitmap has bits, by far.
fn wide() -> Shape {
    let mut create = "CREATE TABLE {t} (".to_owned();
    for number in 0..300 {
        write!(
            create,
            "x{number} SMALLINT DEFAULT {}, ",
            ["NULL", "7"][number % 2]
        )
        .unwrap();
    }
    Shape::of("wide", &(create + "n INT, v INT, PRIMARY KEY (n))"))
}

fn of_mysql() -> Vec<Shape> {
    vec![
        Shape::of(
            "no_key_of_its_own",
            "SET SESSION sql_generate_invisible_primary_key = ON;\nCREATE TABLE {t} (n INT, v INT);\nSET SESSION sql_generate_invisible_primary_key = OFF",
        ),
        Shape::of(
            "functional_index",
            "CREATE TABLE {t} (n INT PRIMARY KEY, v INT, UNIQUE KEY ((v * 2)))",
        )
        .relocate("n = n + 50, v = v + 500"),
        Shape::of(
            "generated_key",
            "CREATE TABLE {t} (n INT NOT NULL, v INT, g INT AS (n * 2) STORED PRIMARY KEY)",
        ),
        Shape::of(
            "virtual_key",
            "CREATE TABLE {t} (n INT, v INT, g INT AS (n * 2) VIRTUAL NOT NULL UNIQUE)",
        ),
        Shape::of(
            "multi_valued",
            "CREATE TABLE {t} (n INT PRIMARY KEY, v INT, j JSON, KEY ((CAST(j AS UNSIGNED ARRAY))))",
        )
        .row("n, v, j", "{i}, 0, '[1, {i}]'"),
        Shape::of(
            "ruled",
            "CREATE TABLE {t} (n INT PRIMARY KEY, v INT, g POINT SRID 4326)",
        )
        .row("n, v, g", "{i}, 0, ST_GeomFromText('POINT(1 {i})', 4326)"),
    ]
}

fn of_mariadb() -> Vec<Shape> {
    vec![
        Shape::of("long_unique", "CREATE TABLE {t} (n INT PRIMARY KEY, v INT, w TEXT, x VARCHAR(9000), UNIQUE (w), UNIQUE (x, w))").relocate("n = n + 50, w = 'moved'").row("n, v, w, x", "{i}, 0, CONCAT(REPEAT('ä', 999), {i}), {i}"),
        Shape::of("long_unique_key", "CREATE TABLE {t} (v INT, n INT, w TEXT NOT NULL, UNIQUE (w))").row("n, v, w", "{i}, 0, CONCAT(REPEAT('ä', 99), {i})").relocate("w = 'moved'"),
        Shape::of(
            "compressed_json",
            "CREATE TABLE {t} (n INT PRIMARY KEY, v INT, j LONGTEXT COMPRESSED CHECK (JSON_VALID(j)))",
        )
        .row("n, v, j", "{i}, 0, CONCAT('[\"', REPEAT('x', 300), '\", {i}]')"),
        Shape::of("versioned", "CREATE TABLE {t} (n INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING"),
        Shape::of("period", "CREATE TABLE {t} (n INT, v INT, a DATE DEFAULT '2024-01-01', b DATE DEFAULT '2025-01-01', PERIOD FOR p (a, b), UNIQUE (n, p WITHOUT OVERLAPS), PRIMARY KEY (n))"),
        Shape::of("page_compressed", "CREATE TABLE {t} (n INT PRIMARY KEY, v INT) PAGE_COMPRESSED = 1"),
        Shape::of("json_of_latin", "CREATE TABLE {t} (n INT PRIMARY KEY, v INT, j JSON);\nALTER TABLE {t} CONVERT TO CHARACTER SET latin1").row("n, v, j", "{i}, 0, '[\"é\", {i}]'"),
        Shape::of("old_temporal", "SET GLOBAL mysql56_temporal_format = OFF;\nCREATE TABLE {t} (n INT PRIMARY KEY, v INT, d DATETIME DEFAULT NOW());\nSET GLOBAL mysql56_temporal_format = ON"),
    ]
}

/// What `check` refuses of the shapes: the tables with a blocking finding.
fn refused(world: &World) -> BTreeSet<String> {
    let output = world.run(
        "check",
        &[
            "--output",
            "json",
            "--create-database",
            "--dialect",
            world.dialect,
        ],
    );
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = found["findings"].as_array().unwrap();
    let blocking = findings
        .iter()
        .filter(|finding| finding["severity"] == "blocking");
    blocking
        .map(|finding| {
            finding["table"]
                .as_str()
                .unwrap_or_else(|| panic!("{finding}"))
                .to_owned()
        })
        .collect()
}

async fn every_shape(engine: Engine, dialect: &'static str, own: Vec<Shape>, refusals: &[&str]) {
    let shapes: Vec<Shape> = common().into_iter().chain(own).chain(typed(engine)).collect();
    let setup = "ALTER DATABASE shop CHARACTER SET utf8mb4;\n".to_owned();
    let setup = shapes.iter().fold(setup, |sql, shape| sql + &shape.before());
    let server = spanferry_testkit::server::Server::start(engine).unwrap();
    let mut world = World::with(server, dialect, &setup).await;
    let refused = refused(&world);
    assert_eq!(refused.iter().map(String::as_str).collect::<Vec<_>>(), refusals);
    for table in &refused {
        world.options.extend(["--exclude".to_owned(), table.clone()]);
    }
    let shapes: Vec<&Shape> = shapes
        .iter()
        .filter(|shape| !refused.contains(&shape.name))
        .collect();
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    let changes: String = shapes.iter().map(|shape| shape.after()).collect();
    world.sql(&changes).await;
    assert_eq!(migrate.interrupt(), 130);
    world.expect_drained();
    let status = world.status().unwrap();
    let tables = status["tables"].as_array().unwrap();
    assert!(
        tables.iter().all(|table| table["phase"] == "constrained"),
        "{tables:?}"
    );
    assert_eq!(tables.len(), shapes.len());
    world.expect_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shape_that_check_passes_is_changed_mysql() {
    let refusals = [
        "floating_key",
        "no_key",
        "nullable_unique_only",
        "other_engine",
        "prefix_unique_only",
    ];
    every_shape(Engine::MySql, "googlesql", of_mysql(), &refusals).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shape_that_check_passes_is_changed_mariadb_postgresql_dialect() {
    let refusals = [
        "floating_key",
        "no_key",
        "nullable_unique_only",
        "old_temporal",
        "other_engine",
        "prefix_unique_only",
        "versioned",
    ];
    every_shape(Engine::MariaDb, "postgresql", of_mariadb(), &refusals).await;
}
