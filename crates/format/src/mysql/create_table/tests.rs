//! Definitions as tools print them and as people write them; and every definition of the corpus.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::schema::source::{IndexPart, NameCase, SourceColumn, SourceTable};
use spanferry_core::schema::source_default::Clock;

use super::{Defaults, NotRead, Surroundings, parse};
use crate::mysql::dump::{Limits, Reader, Reading, Step};
use crate::mysql::token::Dialect;

fn dialect(mariadb: bool) -> Dialect {
    Dialect {
        mariadb,
        ansi_quotes: false,
        no_backslash: false,
    }
}

fn resolved(text: &str, mariadb: bool) -> Result<SourceTable, NotRead> {
    let table = parse(text, dialect(mariadb))?.expect("a table");
    table.resolve(&Surroundings {
        mariadb,
        schema: "s",
        names: NameCase::Sensitive,
        clock: Clock::Local,
        defaults: &Defaults::default(),
    })
}

fn table(text: &str, mariadb: bool) -> SourceTable {
    resolved(text, mariadb).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A type in few words.
fn shown(column: &SourceColumn) -> String {
    match column.ty.mysql().expect("a type of MySQL") {
        MysqlType::Integer { bits, unsigned } => format!("{}{bits}", if *unsigned { "u" } else { "i" }),
        MysqlType::Varchar {
            characters,
            collation,
            ..
        } => format!("varchar {characters} {collation}"),
        MysqlType::Text { collation, .. } => format!("text {collation}"),
        MysqlType::Enum { labels, charset } => format!("enum {labels:?} {}", charset.name()),
        MysqlType::JsonText { charset } => format!("json {}", charset.name()),
        other => format!("{other:?}"),
    }
}

#[test]
fn types_are_read_in_every_spelling() {
    let check = |written: &str, expected: &str| {
        let table = table(&format!("CREATE TABLE t (c {written})"), false);
        assert_eq!(shown(&table.columns[0]), expected, "{written}");
    };
    check("INTEGER", "i32");
    check("int(10) unsigned zerofill", "u32");
    check("bigint ZEROFILL", "u64");
    check("BOOLEAN", "i8");
    check("SERIAL", "u64");
    check("NUMERIC", "Decimal { precision: 10, scale: 0 }");
    check("DEC(7)", "Decimal { precision: 7, scale: 0 }");
    check("decimal(7, 2) unsigned", "Decimal { precision: 7, scale: 2 }");
    check("double precision", "Double");
    check("REAL", "Double");
    check("FLOAT(25)", "Double");
    check("FLOAT(7,3)", "Float");
    check("bit", "Bit { bits: 1 }");
    check("char", "varchar 1 utf8mb4_0900_ai_ci");
    check("varchar(7) CHARACTER SET latin1", "varchar 7 latin1_swedish_ci");
    check(
        "varchar(7) CHARSET utf8 COLLATE utf8_bin",
        "varchar 7 utf8mb3_bin",
    );
    check("varchar(7) COLLATE gbk_bin", "varchar 7 gbk_bin");
    check("national char varying(3)", "varchar 3 utf8mb3_general_ci");
    check("text BINARY", "text utf8mb4_bin");
    check("varchar(9) CHARACTER SET binary", "Varbinary { bytes: 9 }");
    check("text CHARACTER SET binary", "Blob { bytes_max: 65535 }");
    check("long varbinary", "Blob { bytes_max: 16777215 }");
    check(
        r"enum('it''s','a,b',')','b\\c') CHARACTER SET latin1",
        r#"enum ["it's", "a,b", ")", "b\\c"] latin1"#,
    );
    check("timestamp(3) NULL DEFAULT NULL", "Timestamp { fraction: 3 }");
    check("xmltype", "Unknown { text: \"xmltype\" }");
    check(
        "varchar(7) CHARACTER SET klingon",
        "Unknown { text: \"varchar(7)\" }",
    );
}

#[test]
fn charsets_come_from_the_column_the_table_the_database_or_the_server() {
    let defaults = Defaults {
        charset: Some("latin1".to_owned()),
        collation: None,
    };
    let check = |text: &str, mariadb: bool, defaults: &Defaults, expected: &str| {
        let table = parse(text, dialect(mariadb)).unwrap().unwrap();
        let around = Surroundings {
            mariadb,
            schema: "s",
            names: NameCase::Sensitive,
            clock: Clock::Local,
            defaults,
        };
        let table = table.resolve(&around).unwrap();
        assert_eq!(shown(&table.columns[0]), expected, "{text}");
    };
    let none = Defaults::default();
    check(
        "CREATE TABLE t (c text)",
        false,
        &defaults,
        "text latin1_swedish_ci",
    );
    check("CREATE TABLE t (c text)", false, &none, "text utf8mb4_0900_ai_ci");
    check("CREATE TABLE t (c text)", true, &none, "text utf8mb4_general_ci");
    let of_table = "CREATE TABLE t (c text) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin";
    check(of_table, true, &defaults, "text utf8mb4_bin");
    let of_column = "CREATE TABLE t (c text CHARACTER SET utf8mb4) CHARSET latin1";
    check(of_column, true, &defaults, "text utf8mb4_general_ci");
}

const PRINTED: &str = r"CREATE TABLE `orders` (
  `id` int NOT NULL AUTO_INCREMENT,
  `a``b` varchar(20) NOT NULL DEFAULT 'it''s' COMMENT 'x, ''y'' )',
  `total` decimal(10,2) DEFAULT '0.00',
  `made` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  `twice` int GENERATED ALWAYS AS ((`id` * 2)) STORED,
  `name` varchar(9) GENERATED ALWAYS AS (concat(_utf8mb4'v',`id`)) VIRTUAL,
  `hidden` int DEFAULT '9' /*!80023 INVISIBLE */,
  `u` char(36) DEFAULT (uuid()),
  `place` geometry NOT NULL /*!80003 SRID 4326 */,
  PRIMARY KEY (`id`),
  UNIQUE KEY `z` (`made` DESC,`id`),
  KEY `a` (`a``b`(5)),
  KEY `f` (((`id` + 1))),
  FULLTEXT KEY `words` (`a``b`) /*!50100 WITH PARSER `ngram` */ ,
  CONSTRAINT `to_parent` FOREIGN KEY (`total`) REFERENCES `other`.`parents` (`id`) ON DELETE CASCADE ON UPDATE SET NULL,
  CONSTRAINT `positive` CHECK ((`id` > 0)) /*!80016 NOT ENFORCED */
) ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci COMMENT='of ''a'' shop'
/*!50100 PARTITION BY RANGE (`id`)
(PARTITION p0 VALUES LESS THAN (10) ENGINE = InnoDB,
 PARTITION p1 VALUES LESS THAN MAXVALUE ENGINE = InnoDB) */";

#[test]
fn a_printed_definition_is_read_whole() {
    let read = parse(PRINTED, dialect(false)).unwrap().unwrap();
    let hidden: Vec<&str> = read
        .columns
        .iter()
        .filter(|column| column.invisible)
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(hidden, ["hidden"]);
    let table = table(PRINTED, false);
    assert_eq!(table.name.to_string(), "s.orders");
    assert_eq!(table.primary_key, [0]);
    let column = |name: &str| &table.columns[table.column_index(name).unwrap()];
    let default = |name: &str| column(name).default.as_ref().map(|default| default.text.as_str());
    assert_eq!(default("a`b"), Some("it's"));
    assert_eq!(default("total"), Some("0.00"));
    assert_eq!(default("made"), Some("CURRENT_TIMESTAMP"));
    assert_eq!(default("u"), Some("uuid()"));
    assert_eq!(column("twice").generated.as_deref(), Some("(`id` * 2)"));
    assert!(column("twice").generated_stored);
    assert_eq!(column("name").generated.as_deref(), Some("concat('v',`id`)"));
    assert!(!column("name").generated_stored);
    assert!(!column("made").nullable && column("twice").nullable);
    let names: Vec<&str> = table.indexes.iter().map(|index| index.name.as_str()).collect();
    assert_eq!(names, ["a", "f", "words", "z"]);
    let prefix = IndexPart::Column {
        column: 1,
        descending: false,
        prefix: Some(5),
    };
    assert_eq!(table.indexes[0].parts, [prefix]);
    let expression = IndexPart::Expression {
        text: "(`id` + 1)".to_owned(),
    };
    assert_eq!(table.indexes[1].parts, [expression]);
    assert_eq!(table.indexes[2].kind, "FULLTEXT");
    assert!(table.indexes[3].unique);
    assert_eq!(table.checks, [("positive".to_owned(), "(`id` > 0)".to_owned())]);
    let key = &table.foreign_keys[0];
    assert_eq!(
        (
            key.parent.to_string(),
            key.on_delete.words(),
            key.on_update.words()
        ),
        ("other.parents".to_owned(), "CASCADE", "SET NULL")
    );
}

#[test]
fn what_is_not_named_gets_the_servers_name() {
    let text = "CREATE TABLE t (a int PRIMARY KEY, b int UNIQUE, KEY (b), CHECK (a > 0), b2 int CHECK (b2 > 1), \
                FOREIGN KEY (b) REFERENCES p (a), FOREIGN KEY (b2) REFERENCES p (a))";
    let named = |table: &SourceTable| {
        let indexes = table.indexes.iter().map(|index| index.name.clone());
        let keys = table.foreign_keys.iter().map(|key| key.name.clone());
        let checks = table.checks.iter().map(|(name, _)| name.clone());
        indexes.chain(keys).chain(checks).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        named(&table(text, false)),
        "b b_2 t_ibfk_1 t_ibfk_2 t_chk_1 t_chk_2"
    );
    assert_eq!(
        named(&table(text, true)),
        "b b_2 t_ibfk_1 t_ibfk_2 b2 CONSTRAINT_1"
    );
}

#[test]
fn mariadb_prints_json_as_text_with_a_check() {
    let text = "CREATE TABLE t (j longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT 'x' CHECK (json_valid(`j`)), \
                k JSON, d int DEFAULT -1, e datetime DEFAULT current_timestamp() ON UPDATE current_timestamp(), \
                f varchar(9) COMPRESSED DEFAULT 'a') WITH SYSTEM VERSIONING";
    let table = table(text, true);
    assert_eq!(shown(&table.columns[0]), "json utf8mb4");
    assert_eq!(shown(&table.columns[1]), "json utf8mb4");
    let defaults: Vec<Option<&str>> = table
        .columns
        .iter()
        .map(|column| column.default.as_ref().map(|default| default.text.as_str()))
        .collect();
    let expected = [
        Some("'x'"),
        None,
        Some("-1"),
        Some("current_timestamp()"),
        Some("'a'"),
    ];
    assert_eq!(defaults, expected);
    assert!(table.facts.mysql().unwrap().system_versioned);
}

#[test]
fn what_is_not_understood_is_refused_by_its_text() {
    let check = |text: &str, expected: &str| {
        let refused = resolved(text, false).expect_err(text);
        assert!(refused.to_string().contains(expected), "{refused}");
    };
    check("CREATE TABLE t LIKE u", "`LIKE`");
    check("CREATE TABLE t (a int) AS SELECT 1", "`AS`");
    check("CREATE TABLE t (a int) SELECT 1 AS b", "`SELECT`");
    check("CREATE TEMPORARY TABLE t (a int)", "TEMPORARY");
    check("CREATE TABLE t (a int WIBBLE)", "WIBBLE");
    check("CREATE TABLE t (a int, KEY (b))", "`b`");
    check("CREATE TABLE t (a int, A int)", "two columns");
    check("CREATE TABLE t (a int", "too early");
    check("CREATE TABLE t (KEY (a))", "no columns");
    check("CREATE TABLE t (a int) /*", "not understood");
    assert_eq!(parse("INSERT INTO t VALUES (1)", dialect(false)), Ok(None));
    assert_eq!(parse("CREATE VIEW v AS SELECT 1", dialect(false)), Ok(None));
}

/// The SQL files below a folder of the corpus; none without the corpus.
fn corpus(folder: &str) -> Vec<PathBuf> {
    let Some(root) = std::env::var_os("SPANFERRY_CORPUS") else {
        return Vec::new();
    };
    let (mut folders, mut files) = (vec![Path::new(&root).join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)
            .expect("a folder of the corpus")
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "sql") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Every definition in dumps and schemas that nobody here wrote is read; what is not understood is
/// refused for a reason that is listed here.
#[test]
fn the_corpus_is_read_or_refused_by_name() {
    const LIMITS: Limits = Limits {
        statement_bytes_max: 1 << 20,
        row_bytes_max: 16 << 20,
    };
    let (mut tables, mut refused) = (0, Vec::new());
    for path in corpus("mysql").into_iter().chain(corpus("dumps")) {
        let name = path.display().to_string();
        if name.contains("pg_dump") || name.contains("postgres") {
            continue;
        }
        let mut reader = Reader::new(LIMITS, Reading::plain(name.contains("mariadb")));
        reader.feed(&std::fs::read(&path).expect("a file"));
        reader.finish();
        loop {
            let mut scratch = Vec::new();
            match reader.next() {
                Ok(Step::Statement(statement)) => {
                    let text = match statement.text(&mut scratch) {
                        Ok(text) => text,
                        Err(error) => {
                            refused.push(format!("{name}: {error}"));
                            continue;
                        }
                    };
                    let reading = statement.session().reading();
                    match parse(text, reading.dialect()) {
                        Ok(None) => {}
                        Err(error) => refused.push(format!("{name}: {error}")),
                        Ok(Some(table)) => {
                            tables += 1;
                            let around = Surroundings {
                                mariadb: reading.mariadb,
                                schema: "s",
                                names: NameCase::Sensitive,
                                clock: Clock::Local,
                                defaults: &Defaults::default(),
                            };
                            if let Err(error) = table.resolve(&around) {
                                refused.push(format!("{name}: {error}"));
                            }
                        }
                    }
                }
                Ok(Step::Row(_) | Step::Refused { .. }) => {}
                Ok(Step::More | Step::End(_)) => break,
                Err(error) => {
                    refused.push(format!("{name}: {error}"));
                    break;
                }
            }
        }
    }
    // Folders whose files are written in the character set of their columns, and do not say so.
    let is_known = |refused: &&String| {
        (refused.contains("/gb18030/") || refused.contains("/mixed/")) && refused.contains("no text of")
    };
    let unknown: Vec<&String> = refused.iter().filter(|refused| !is_known(refused)).collect();
    assert!(unknown.is_empty(), "of {tables} tables\n{unknown:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// A damaged definition is read or refused; nothing panics, nothing runs for ever.
    #[test]
    fn fuzz_damaged_definitions(
        changes in proptest::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(&b"'\"`\\/*!-();,0x A=."[..]), 0..3_u8),
            1..6,
        ),
        mariadb in any::<bool>(),
    ) {
        let mut text = PRINTED.as_bytes().to_vec();
        for (at, byte, kind) in changes {
            let at = at.index(text.len());
            match kind {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.remove(at)),
            }
        }
        let text = String::from_utf8_lossy(&text);
        drop(parse(&text, dialect(mariadb)).map(|table| table.map(|table| {
            table.resolve(&Surroundings {
                mariadb,
                schema: "s",
                names: NameCase::Sensitive,
                clock: Clock::Local,
                defaults: &Defaults::default(),
            })
        })));
    }
}
