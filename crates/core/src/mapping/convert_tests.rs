//! The conversion of schemas, by what it makes of them and says about them.

use super::*;
use crate::fixture::{BIGINT, column, foreign_key, index, innodb, table};
use crate::report::code;
use crate::report::finding::Finding;
use crate::schema::charset::Charset;
use crate::schema::ddl;
use crate::schema::mysql::{MysqlColumn, MysqlType};
use crate::schema::postgres::{PostgresCollation, PostgresTable, PostgresType, PrintedType};
use crate::schema::source::{
    ForeignKeyAction, IndexPart, SourceColumn, SourceForeignKey, SourceIndex, TableFacts,
};
use crate::schema::target::TargetType;
use crate::value::encode::Encoding;

const GOOGLE: MappingOptions = MappingOptions {
    dialect: Dialect::GoogleSql,
    uuid_supported: true,
};
const POSTGRES: MappingOptions = MappingOptions {
    dialect: Dialect::PostgreSql,
    uuid_supported: false,
};

const UNSIGNED: MysqlType = MysqlType::Integer {
    bits: 64,
    unsigned: true,
};

fn text_type(characters: u32, charset: Charset, collation: &str) -> MysqlType {
    MysqlType::Varchar {
        characters,
        charset,
        collation: collation.to_owned(),
    }
}

fn varchar(characters: u32) -> MysqlType {
    text_type(characters, Charset::Utf8mb4, "utf8mb4_0900_bin")
}

/// Findings as `severity code subject`.
fn findings(mapping: &Mapping) -> Vec<String> {
    let line = |finding: &Finding| format!("{:?} {} {}", finding.severity, finding.code, finding.subject);
    mapping.findings.iter().map(line).collect()
}

fn types(mapping: &Mapping, dialect: Dialect) -> Vec<String> {
    let columns = mapping.plans.iter().flat_map(|plan| &plan.target.columns);
    columns.map(|column| ddl::type_name(column.ty, dialect)).collect()
}

#[test]
fn types_of_both_dialects() {
    let check = |ty: MysqlType, google: &str, postgres: &str| {
        let columns = vec![column("id", BIGINT), column("c", ty)];
        for (options, expected) in [(GOOGLE, google), (POSTGRES, postgres)] {
            let mapped = map(vec![table("t", columns.clone())], &options);
            assert_eq!(
                types(&mapped, options.dialect)[1],
                expected,
                "{:?}",
                columns[1].ty
            );
        }
    };
    let labels = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect::<Vec<_>>();
    let (charset, collation) = (Charset::Utf8mb4, "utf8mb4_bin".to_owned());
    check(
        MysqlType::Integer {
            bits: 8,
            unsigned: false,
        },
        "INT64",
        "bigint",
    );
    check(
        MysqlType::Integer {
            bits: 32,
            unsigned: true,
        },
        "INT64",
        "bigint",
    );
    check(UNSIGNED, "NUMERIC", "numeric");
    check(
        MysqlType::Decimal {
            precision: 38,
            scale: 9,
        },
        "NUMERIC",
        "numeric",
    );
    check(
        MysqlType::Decimal {
            precision: 39,
            scale: 9,
        },
        "STRING(42)",
        "numeric",
    );
    check(
        MysqlType::Decimal {
            precision: 12,
            scale: 10,
        },
        "STRING(15)",
        "numeric",
    );
    check(MysqlType::Float, "FLOAT32", "real");
    check(MysqlType::Double, "FLOAT64", "double precision");
    check(MysqlType::Bit { bits: 1 }, "BYTES(1)", "bytea");
    check(MysqlType::Bit { bits: 9 }, "BYTES(2)", "bytea");
    check(varchar(0), "STRING(1)", "varchar(1)");
    check(varchar(255), "STRING(255)", "varchar(255)");
    check(MysqlType::Text { charset, collation }, "STRING(MAX)", "text");
    check(MysqlType::Binary { bytes: 16 }, "BYTES(16)", "bytea");
    check(MysqlType::Blob { bytes_max: 65_535 }, "BYTES(65535)", "bytea");
    check(MysqlType::Blob { bytes_max: u32::MAX }, "BYTES(MAX)", "bytea");
    check(
        MysqlType::Enum {
            labels: labels(&["a", "äöü"]),
            charset,
        },
        "STRING(3)",
        "varchar(3)",
    );
    check(
        MysqlType::Set {
            labels: labels(&["a", "bc"]),
            charset,
        },
        "STRING(5)",
        "varchar(5)",
    );
    check(MysqlType::Json, "JSON", "jsonb");
    check(
        MysqlType::JsonText {
            charset: Charset::Latin1,
        },
        "JSON",
        "jsonb",
    );
    check(MysqlType::Date, "DATE", "date");
    check(MysqlType::DateTime { fraction: 6 }, "TIMESTAMP", "timestamptz");
    check(MysqlType::Timestamp { fraction: 0 }, "TIMESTAMP", "timestamptz");
    check(MysqlType::Time { fraction: 3 }, "STRING(18)", "varchar(18)");
    check(MysqlType::Year, "INT64", "bigint");
    check(MysqlType::Geometry, "BYTES(MAX)", "bytea");
    check(
        MysqlType::Vector { dimensions: 3 },
        "ARRAY<FLOAT32>(vector_length=>3)",
        "real[] VECTOR LENGTH 3",
    );
    check(MysqlType::Uuid, "UUID", "varchar(36)");
    check(MysqlType::Inet4, "STRING(15)", "varchar(15)");
    check(MysqlType::Inet6, "STRING(45)", "varchar(45)");
}

/// PostgreSQL's types, by MAPPING: what they become in both dialects.
#[test]
fn types_of_postgres_in_both_dialects() {
    let check = |ty: PostgresType, google: &str, postgres: &str| {
        let columns = vec![column("id", BIGINT), column("c", ty)];
        for (options, expected) in [(GOOGLE, google), (POSTGRES, postgres)] {
            let mapped = map(vec![table("t", columns.clone())], &options);
            let made = &types(&mapped, options.dialect)[1];
            assert_eq!(made, expected, "{:?}", columns[1].ty);
        }
    };
    let text = |characters| PostgresType::Text {
        characters,
        collation: PostgresCollation {
            name: "default".to_owned(),
            is_deterministic: true,
        },
    };
    let numeric = |precision, scale| PostgresType::Numeric { precision, scale };
    for bits in [16, 32, 64] {
        check(PostgresType::Integer { bits }, "INT64", "bigint");
    }
    check(PostgresType::Real, "FLOAT32", "real");
    check(PostgresType::Double, "FLOAT64", "double precision");
    check(numeric(38, 9), "NUMERIC", "numeric");
    check(numeric(39, 9), "STRING(42)", "numeric");
    check(numeric(3, 10), "STRING(13)", "numeric");
    check(numeric(29, -1), "STRING(33)", "numeric");
    check(numeric(2, -3), "NUMERIC", "numeric");
    check(PostgresType::AnyNumeric, "STRING(MAX)", "numeric");
    check(PostgresType::Char { characters: 3 }, "STRING(3)", "varchar(3)");
    check(text(Some(20)), "STRING(20)", "varchar(20)");
    check(text(None), "STRING(MAX)", "text");
    check(PostgresType::CiText, "STRING(MAX)", "text");
    check(PostgresType::Name, "STRING(63)", "varchar(63)");
    check(PostgresType::Bytea, "BYTES(MAX)", "bytea");
    check(PostgresType::Date, "DATE", "date");
    check(PostgresType::Timestamp, "TIMESTAMP", "timestamptz");
    check(PostgresType::TimestampTz, "TIMESTAMP", "timestamptz");
    check(PostgresType::Uuid, "UUID", "varchar(36)");
    check(PostgresType::Json, "JSON", "jsonb");
    check(PostgresType::Jsonb, "JSON", "jsonb");
    check(PostgresType::Boolean, "BOOL", "boolean");
    let array = |element| PostgresType::Array {
        element: Box::new(element),
    };
    check(array(PostgresType::Boolean), "ARRAY<BOOL>", "boolean[]");
    check(array(text(Some(20))), "ARRAY<STRING(20)>", "varchar(20)[]");
    check(array(PostgresType::AnyNumeric), "ARRAY<STRING(MAX)>", "numeric[]");
    check(array(PostgresType::Uuid), "ARRAY<UUID>", "varchar(36)[]");
    let interval = PostgresType::Printed(PrintedType::Interval);
    check(array(interval), "ARRAY<STRING(MAX)>", "text[]");
    let labels = ["a", "äöü"].map(str::to_owned).into();
    check(PostgresType::Enum { labels }, "STRING(3)", "varchar(3)");
    let printed = |ty, google: &str, postgres: &str| check(PostgresType::Printed(ty), google, postgres);
    printed(PrintedType::Time, "STRING(15)", "varchar(15)");
    printed(PrintedType::Cidr, "STRING(43)", "varchar(43)");
    printed(PrintedType::Bit { bits: 8 }, "STRING(8)", "varchar(8)");
    printed(PrintedType::VarBit { bits_max: None }, "STRING(MAX)", "text");
    printed(PrintedType::Interval, "STRING(MAX)", "text");
    printed(PrintedType::Range, "STRING(MAX)", "text");
}

/// Keys of PostgreSQL's types: which are refused, and of which two different texts may be equal at
/// the source.
#[test]
fn keys_of_postgres() {
    let check = |ty: PostgresType, expected: &[&str]| {
        let mapped = map(vec![table("t", vec![column("k", ty.clone())])], &POSTGRES);
        assert_eq!(findings(&mapped), expected, "{ty:?}");
    };
    let text = |is_deterministic| PostgresType::Text {
        characters: Some(20),
        collation: PostgresCollation {
            name: "case-blind".to_owned(),
            is_deterministic,
        },
    };
    check(PostgresType::Integer { bits: 32 }, &[]);
    check(text(true), &[]);
    check(text(false), &["Notice SF-4005 t.k"]);
    check(PostgresType::Char { characters: 5 }, &["Notice SF-4005 t.k"]);
    check(PostgresType::Double, &["Blocking SF-4003 t.k"]);
    check(PostgresType::Jsonb, &["Blocking SF-4003 t.k"]);
    let array = PostgresType::Array {
        element: Box::new(PostgresType::Date),
    };
    check(array.clone(), &["Blocking SF-4003 t.k"]);
    check(PostgresType::Boolean, &[]);
    let unknown = PostgresType::Unknown {
        text: "pg_lsn".to_owned(),
    };
    check(unknown.clone(), &["Warning SF-3005 t", "Blocking SF-4002 t.k"]);
    for element in [unknown, array.clone()] {
        let of_it = PostgresType::Array {
            element: Box::new(element.clone()),
        };
        let mapped = map(
            vec![table("t", vec![column("k", BIGINT), column("c", of_it)])],
            &POSTGRES,
        );
        assert_eq!(findings(&mapped), ["Blocking SF-4002 t.c"], "{element:?}");
    }
    let numeric = PostgresType::Numeric {
        precision: 9,
        scale: 2,
    };
    check(numeric, &["Warning SF-4005 t.k"]);
}

#[test]
fn names_of_columns_are_compared_as_their_family_does() {
    let check = |facts: TableFacts, name: &str, expected: Option<usize>| {
        let columns = vec![column("Id", BIGINT), column("ÄÖ", BIGINT)];
        let table = SourceTable {
            facts,
            ..table("t", columns)
        };
        assert_eq!(table.column_index(name), expected, "{name}");
    };
    check(innodb(), "ID", Some(0));
    check(innodb(), "äö", Some(1));
    let postgres = || PostgresTable::default().into();
    check(postgres(), "ID", None);
    check(postgres(), "Id", Some(0));
}

#[test]
fn bytea_has_no_declared_limit_but_the_conversion_keeps_to_it() {
    let mapped = map(
        vec![table("t", vec![column("id", MysqlType::Binary { bytes: 16 })])],
        &POSTGRES,
    );
    assert_eq!(mapped.plans[0].target.columns[0].ty, TargetType::Bytes(None));
    assert_eq!(
        mapped.plans[0].columns[0].encoding,
        Encoding::Bytes { bytes_max: 16 }
    );
}

#[test]
fn unsigned_integers_and_decimals_by_their_place() {
    let decimal = MysqlType::Decimal {
        precision: 10,
        scale: 2,
    };
    let mut parent = table(
        "a",
        vec![column("id", UNSIGNED), column("price", decimal.clone())],
    );
    parent.indexes.push(index("price", true, &[1]));
    parent.columns[1].nullable = false;
    let mut child = table(
        "b",
        vec![
            column("code", decimal.clone()),
            column("a_id", UNSIGNED),
            column("amount", UNSIGNED),
        ],
    );
    child.columns.push(column("price", decimal));
    child.foreign_keys = vec![
        foreign_key("b_a", &[1], "a", &["id"]),
        foreign_key("b_p", &[3], "a", &["PRICE"]),
    ];
    let tables = vec![child, parent];
    let mapped = map(tables.clone(), &GOOGLE);
    assert_eq!(
        types(&mapped, Dialect::GoogleSql),
        ["INT64", "NUMERIC", "NUMERIC", "INT64", "NUMERIC", "NUMERIC"]
    );
    let mapped = map(tables, &POSTGRES);
    let expected = [
        "bigint",
        "varchar(13)",
        "varchar(13)",
        "bigint",
        "numeric",
        "varchar(13)",
    ];
    assert_eq!(types(&mapped, Dialect::PostgreSql), expected);
    assert_eq!(mapped.plans[1].target.foreign_keys.len(), 2);
    assert_eq!(
        findings(&mapped)
            .iter()
            .filter(|line| line.starts_with("Warning SF-4005"))
            .count(),
        3
    );
}

#[test]
fn keys_that_cannot_be() {
    let check = |ty: MysqlType, expected: &[&str]| {
        let mapped = map(vec![table("t", vec![column("k", ty.clone())])], &GOOGLE);
        assert_eq!(findings(&mapped), expected, "{ty:?}");
    };
    let (charset, labels) = (Charset::Utf8mb4, vec![String::new(), "a".to_owned()]);
    check(MysqlType::Double, &["Blocking SF-4003 t.k"]);
    check(MysqlType::Json, &["Blocking SF-4003 t.k"]);
    check(
        MysqlType::Geometry,
        &["Warning SF-3005 t", "Blocking SF-4003 t.k", "Notice SF-4005 t.k"],
    );
    check(
        text_type(9, Charset::Sjis, "sjis_bin"),
        &["Blocking SF-4003 t.k", "Notice SF-4005 t.k"],
    );
    check(MysqlType::Enum { labels, charset }, &["Blocking SF-4003 t.k"]);
    check(
        MysqlType::Unknown {
            text: "xmltype".to_owned(),
        },
        &["Warning SF-3005 t", "Blocking SF-4002 t.k"],
    );
    check(
        text_type(9, Charset::Utf8mb4, "utf8mb4_0900_ai_ci"),
        &["Notice SF-4005 t.k"],
    );
    check(varchar(2_049), &["Warning SF-3005 t"]);
    check(varchar(2_048), &[]);
    check(text_type(8_192, Charset::Ascii, "binary"), &[]);
    check(text_type(8_193, Charset::Ascii, "binary"), &["Warning SF-3005 t"]);
    check(BIGINT, &[]);
}

#[test]
fn a_table_without_a_primary_key() {
    let columns = || {
        vec![
            column("a", MysqlType::Double),
            column("b", BIGINT),
            column("c", BIGINT),
            column("d", varchar(5)),
        ]
    };
    let check = |indexes: Vec<SourceIndex>, key: Option<&[usize]>| {
        let mut source = table("t", columns());
        source.columns[1].nullable = false;
        source.columns[2].nullable = false;
        source.primary_key.clear();
        source.indexes = indexes;
        let mapped = map(vec![source], &GOOGLE);
        assert_eq!(mapped.plans.first().map(TablePlan::key), key);
        if let Some(key) = key {
            assert_eq!(mapped.plans[0].target.primary_key, key);
            assert!(findings(&mapped).contains(&"Warning SF-4005 t".to_owned()));
        } else {
            assert_eq!(findings(&mapped), ["Blocking SF-2007 t"]);
        }
    };
    let mut prefix = index("p", true, &[1]);
    prefix.parts = vec![IndexPart::Column {
        column: 1,
        descending: false,
        prefix: Some(3),
    }];
    check(vec![], None);
    check(
        vec![index("nullable", true, &[3]), index("plain", false, &[1]), prefix],
        None,
    );
    check(
        vec![index("float", true, &[0]), index("two", true, &[2, 1])],
        Some(&[2, 1]),
    );
    check(
        vec![index("two", true, &[2, 1]), index("one", true, &[1])],
        Some(&[1]),
    );
}

#[test]
fn indexes() {
    let mut source = table(
        "t",
        vec![
            column("id", BIGINT),
            column("name", varchar(20)),
            column("data", MysqlType::Json),
        ],
    );
    source.columns.push(column(
        "folded",
        text_type(20, Charset::Utf8mb4, "utf8mb4_general_ci"),
    ));
    source
        .columns
        .push(column("japanese", text_type(20, Charset::Cp932, "cp932_bin")));
    let prefix = |name: &str, unique| {
        let parts = vec![IndexPart::Column {
            column: 1,
            descending: true,
            prefix: Some(4),
        }];
        SourceIndex {
            parts,
            ..index(name, unique, &[])
        }
    };
    let expression = IndexPart::Expression {
        text: "lower(`name`)".to_owned(),
    };
    source.indexes = vec![
        index("again", false, &[0]),
        SourceIndex {
            parts: vec![expression],
            ..index("expression", false, &[])
        },
        SourceIndex {
            kind: "FULLTEXT".to_owned(),
            ..index("full", false, &[1])
        },
        index("japanese", true, &[4]),
        index("json", false, &[2]),
        prefix("prefix", false),
        prefix("prefix_unique", true),
        index("unique", true, &[3, 0]),
    ];
    let mapped = map(vec![source], &GOOGLE);
    let plan = &mapped.plans[0];
    let made: Vec<String> = plan
        .target
        .indexes
        .iter()
        .map(|index| ddl::create_index(&plan.target, index, Dialect::GoogleSql))
        .collect();
    assert_eq!(
        made,
        [
            "CREATE INDEX `t_prefix` ON `t` (`name` DESC)",
            "CREATE UNIQUE NULL_FILTERED INDEX `t_unique` ON `t` (`folded`, `id`)",
        ]
    );
    assert_eq!(
        findings(&mapped),
        [
            "Notice SF-4004 t.again",
            "Warning SF-4004 t.expression",
            "Warning SF-4004 t.full",
            "Warning SF-4010 t.japanese",
            "Warning SF-4004 t.json",
            "Warning SF-4005 t.prefix",
            "Warning SF-4010 t.prefix_unique",
            "Warning SF-4005 t.unique",
            "Warning SF-4005 t.unique",
        ]
    );
    assert_eq!(
        (plan.mutations_per_upsert(), plan.mutations_per_delete()),
        (5 + 2 * 2, 1 + 2)
    );
}

/// An index over the columns given, of a table whose key has `key_parts` columns; the finding about
/// it, if it is left out.
#[track_caller]
fn check_index(types: &[MysqlType], key_parts: usize, index: SourceIndex, expected: Option<&str>) {
    for options in [GOOGLE, POSTGRES] {
        let columns = types.iter().enumerate();
        let columns = columns.map(|(place, ty)| column(&format!("c{place}"), ty.clone()));
        let mut source = table("t", columns.collect());
        source.primary_key = (0..key_parts).collect();
        source.indexes = vec![index.clone()];
        let mapped = map(vec![source], &options);
        let about = mapped
            .findings
            .iter()
            .find(|finding| finding.subject.part.as_deref() == Some("i") && finding.code != code::CONVERTED);
        let told = about.map(|finding| format!("{}: {}", finding.code, finding.text));
        match (told, expected) {
            (Some(told), Some(expected)) => assert!(told.contains(expected), "{told}"),
            (told, expected) => assert_eq!(told.as_deref(), expected, "{:?}", options.dialect),
        }
        let made = mapped.plans[0].target.indexes.len();
        assert_eq!(made, usize::from(expected.is_none()), "{:?}", options.dialect);
    }
}

#[test]
fn parts_of_an_index_count_the_tables_own_key() {
    let numbers = vec![BIGINT; 18];
    let over = |columns: std::ops::Range<usize>| index("i", false, &columns.collect::<Vec<_>>());
    check_index(&numbers, 1, over(1..16), None);
    let too_many = Some("SF-4004: the index is not created at the target: its key has 17 parts");
    check_index(&numbers, 1, over(1..17), too_many);
    check_index(&numbers, 2, over(2..16), None);
    check_index(&numbers, 2, over(2..17), too_many);
    // A column that is in both counts once.
    check_index(&numbers, 2, over(1..16), None);
    let unique = SourceIndex {
        unique: true,
        ..over(1..17)
    };
    check_index(
        &numbers,
        1,
        unique,
        Some("SF-4010: the unique index is not created at the target, where nothing"),
    );
}

#[test]
fn an_index_whose_key_may_be_too_long_is_left_out() {
    let text = MysqlType::Text {
        charset: Charset::Utf8mb4,
        collation: "utf8mb4_bin".to_owned(),
    };
    let prefix = |column| SourceIndex {
        parts: vec![IndexPart::Column {
            column,
            descending: false,
            prefix: Some(20),
        }],
        ..index("i", false, &[])
    };
    let too_long = Some("SF-4004: the index is not created at the target: its key may take up to");
    check_index(&[BIGINT, text.clone()], 1, prefix(1), too_long);
    check_index(
        &[BIGINT, MysqlType::Blob { bytes_max: 65_535 }],
        1,
        prefix(1),
        too_long,
    );
    check_index(&[BIGINT, varchar(5_000)], 1, prefix(1), too_long);
    // The whole column always fits: nothing is lost by an index over it.
    check_index(&[BIGINT, varchar(255)], 1, prefix(1), None);
    check_index(&[BIGINT, varchar(255)], 1, index("i", true, &[1]), None);
    // The longest key that MySQL itself takes, beside the longest of its own.
    check_index(&[varchar(768), varchar(768)], 1, index("i", false, &[1]), None);
    check_index(
        &[varchar(1_025), varchar(1_024)],
        1,
        index("i", false, &[1]),
        too_long,
    );
    let latin = |characters| text_type(characters, Charset::Latin1, "latin1_bin");
    check_index(&[BIGINT, latin(2_700)], 1, index("i", false, &[1]), None);
    check_index(&[BIGINT, latin(2_800)], 1, index("i", false, &[1]), too_long);
    // MariaDB keeps a unique index over a whole text by a hash.
    check_index(
        &[BIGINT, text],
        1,
        index("i", true, &[1]),
        Some("SF-4010: the unique index is not created at the target"),
    );
}

#[test]
fn a_foreign_key_whose_index_is_above_a_limit_is_left_out() {
    let check = |types: &[MysqlType], own_key: &[usize], expected: &str| {
        let columns = || types.iter().enumerate();
        let named = || columns().map(|(place, ty)| column(&format!("c{place}"), ty.clone()));
        let mut parent = table("a", named().collect());
        parent.primary_key = (0..types.len()).collect();
        let mut child = table("b", named().collect());
        child.columns.push(column("id", BIGINT));
        child.primary_key = own_key.to_vec();
        let all: Vec<usize> = (0..types.len()).collect();
        let names: Vec<String> = all.iter().map(|place| format!("c{place}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        child.foreign_keys = vec![foreign_key("f", &all, "a", &names)];
        let mapped = map(vec![parent, child], &GOOGLE);
        let told = mapped
            .findings
            .iter()
            .find(|finding| finding.subject.part.as_deref() == Some("f"))
            .map_or("", |finding| finding.text.as_str());
        assert!(told.contains(expected), "{told}");
        let made = mapped.plans[1].target.foreign_keys.len();
        assert_eq!(made, usize::from(expected.is_empty()), "{told}");
    };
    let numbers = vec![BIGINT; 16];
    check(
        &numbers,
        &[16],
        "the index behind it at `b` is above a limit: its key has 17 parts",
    );
    // No index is needed where the columns are the child's own key.
    check(&numbers, &(0..16).collect::<Vec<_>>(), "");
    let bytes = vec![
        MysqlType::Varbinary { bytes: 4_096 },
        MysqlType::Varbinary { bytes: 4_096 },
    ];
    check(&bytes, &[2], "its key may take up to 8216 bytes");
}

#[test]
fn foreign_keys_and_groups() {
    let folded = || text_type(9, Charset::Utf8mb4, "utf8mb4_0900_ai_ci");
    let mut parent = table(
        "a",
        vec![
            column("id", BIGINT),
            column("code", folded()),
            column("plain", BIGINT),
        ],
    );
    parent.indexes.push(index("code", true, &[1]));
    let mut child = table(
        "b",
        vec![
            column("id", BIGINT),
            column("a_id", BIGINT),
            column("code", folded()),
        ],
    );
    child.foreign_keys = vec![
        SourceForeignKey {
            on_delete: ForeignKeyAction::Cascade,
            ..foreign_key("cascade", &[1], "a", &["ID"])
        },
        foreign_key("folded", &[2], "a", &["code"]),
        foreign_key("gone", &[1], "elsewhere", &["id"]),
        foreign_key("not_unique", &[1], "a", &["plain"]),
        foreign_key("own", &[1], "b", &["id"]),
    ];
    let alone = table("c", vec![column("id", BIGINT)]);
    let mut last = table("d", vec![column("id", BIGINT)]);
    last.foreign_keys = vec![foreign_key("d_b", &[0], "b", &["id"])];
    let mapped = map(vec![last, alone, child, parent], &GOOGLE);
    let names: Vec<&str> = mapped
        .plans
        .iter()
        .map(|plan| plan.name().table.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert!(
        mapped
            .plans
            .iter()
            .enumerate()
            .all(|(place, plan)| plan.id.0 as usize == place)
    );
    let groups: Vec<u32> = mapped.plans.iter().map(|plan| plan.group.0).collect();
    assert_eq!(groups, [0, 0, 1, 0]);
    let carried: Vec<&str> = mapped.plans[1]
        .target
        .foreign_keys
        .iter()
        .map(|key| key.name.as_str())
        .collect();
    assert_eq!(carried, ["cascade", "own"]);
    // `b` has one index over `a_id` for both of its keys; the parents' columns are primary keys,
    // and so is the child's of `d`.
    let backing: Vec<usize> = mapped.plans.iter().map(|plan| plan.backing_indexes).collect();
    assert_eq!(backing, [0, 1, 0, 0]);
    assert_eq!(
        (
            mapped.plans[1].mutations_per_upsert(),
            mapped.plans[1].mutations_per_delete()
        ),
        (3 + 2, 1 + 1)
    );
    let about_keys: Vec<String> = findings(&mapped)
        .into_iter()
        .filter(|line| line.contains(" b."))
        .collect();
    assert_eq!(
        about_keys,
        [
            "Warning SF-4004 b.cascade",
            "Warning SF-4004 b.folded",
            "Warning SF-4004 b.gone",
            "Warning SF-4004 b.not_unique",
        ]
    );
}

#[test]
fn names_limits_and_what_is_left_out() {
    let mut source = table(
        "spanferry-x",
        vec![column("2nd", BIGINT), column("select", BIGINT)],
    );
    source.columns[1].default = Some("7".to_owned());
    source.columns[0].facts = MysqlColumn {
        auto_increment: true,
        ..MysqlColumn::default()
    }
    .into();
    source.columns.push(SourceColumn {
        generated: Some("`select` + 1".to_owned()),
        ..column("Select", BIGINT)
    });
    source
        .checks
        .push(("positive".to_owned(), "`select` > 0".to_owned()));
    source
        .triggers
        .push(("audit".to_owned(), "AFTER INSERT".to_owned()));
    let mapped = map(vec![source], &GOOGLE);
    let target = &mapped.plans[0].target;
    let names: Vec<&str> = target.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(
        (target.name.as_str(), names),
        ("spanferry_x", vec!["x_2nd", "select", "Select_2"])
    );
    let mut lines = findings(&mapped);
    lines.sort();
    assert_eq!(
        lines,
        [
            "Blocking SF-2007 spanferry-x",
            "Warning SF-4004 spanferry-x.2nd",
            "Warning SF-4004 spanferry-x.audit",
            "Warning SF-4004 spanferry-x.positive",
            "Warning SF-4004 spanferry-x.select",
            "Warning SF-4005 spanferry-x",
            "Warning SF-4005 spanferry-x.2nd",
            "Warning SF-4005 spanferry-x.Select",
            "Warning SF-4005 spanferry-x.Select",
        ]
    );
    let wide = (0..1_025)
        .map(|number| column(&format!("c{number}"), BIGINT))
        .collect();
    let mut source = table("wide", wide);
    source.primary_key = (0..17).collect();
    source.indexes = (0..129_usize)
        .map(|number| index(&format!("i{number}"), false, &[number + 20]))
        .collect();
    let mapped = map(vec![source], &GOOGLE);
    assert_eq!(findings(&mapped), ["Blocking SF-3005 wide"; 3]);
    assert!(mapped.plans[0].columns[..17].iter().all(|column| column.not_null));
}

#[test]
fn datetime_is_told_once() {
    let time = || column("at", MysqlType::DateTime { fraction: 0 });
    let tables = vec![
        table("a", vec![column("id", BIGINT), time()]),
        table("b", vec![time()]),
    ];
    assert_eq!(findings(&map(tables, &GOOGLE)), ["Notice SF-4005 "]);
}

#[test]
fn virtual_columns_that_depend_on_more_than_their_row_are_named() {
    let generated = |name: &str, expression: &str, stored| SourceColumn {
        generated: Some(expression.to_owned()),
        generated_stored: stored,
        ..column(name, BIGINT)
    };
    let source = table(
        "t",
        vec![
            column("id", BIGINT),
            column("ts", MysqlType::Timestamp { fraction: 0 }),
            generated("plain", "`id` + 1", false),
            generated("zone", "hour(`ts`)", false),
            generated("fixed", "hour(`ts`)", true),
            generated("chance", "rand()", false),
        ],
    );
    let found = findings(&map(vec![source], &GOOGLE));
    let about: Vec<&String> = found.iter().filter(|line| line.contains("SF-4013")).collect();
    assert_eq!(about, ["Warning SF-4013 t.zone", "Blocking SF-4013 t.chance"]);
}
