//! The conversion of schemas, by what it makes of them and says about them.

use super::*;
use crate::fixture::{BIGINT, column, foreign_key, index, innodb, table};
use crate::report::finding::Finding;
use crate::schema::charset::Charset;
use crate::schema::ddl;
use crate::schema::mysql::{MysqlColumn, MysqlType};
use crate::schema::postgres::{PostgresCollation, PostgresTable, PostgresType, PrintedType};
use crate::schema::source::{IndexPart, SourceColumn, SourceIndex, TableFacts};
use crate::schema::source_default::SourceDefault;
use crate::schema::target::{Dialect, TargetType};
use crate::value::encode::Encoding;

pub(super) const GOOGLE: MappingOptions = MappingOptions {
    dialect: Dialect::GoogleSql,
    uuid_supported: true,
};
pub(super) const POSTGRES: MappingOptions = MappingOptions {
    dialect: Dialect::PostgreSql,
    uuid_supported: false,
};

const UNSIGNED: MysqlType = MysqlType::Integer {
    bits: 64,
    unsigned: true,
};

pub(super) fn text_type(characters: u32, charset: Charset, collation: &str) -> MysqlType {
    MysqlType::Varchar {
        characters,
        charset,
        collation: collation.to_owned(),
    }
}

pub(super) fn varchar(characters: u32) -> MysqlType {
    text_type(characters, Charset::Utf8mb4, "utf8mb4_0900_bin")
}

/// Findings as `severity code subject`.
pub(super) fn findings(mapping: &Mapping) -> Vec<String> {
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

/// A number that the server gives counts; an index shows it only where numerics have none.
#[test]
fn unsigned_integers_that_count() {
    let check = |numbered: bool, indexed: bool, expected: [&str; 2]| {
        let mut source = table("t", vec![column("id", BIGINT), column("n", UNSIGNED)]);
        source.columns[1].facts = MysqlColumn {
            auto_increment: numbered,
            ..MysqlColumn::default()
        }
        .into();
        source.indexes = indexed.then(|| index("i", false, &[1])).into_iter().collect();
        let found = [GOOGLE, POSTGRES].map(|options| {
            let mapped = map(vec![source.clone()], &options);
            types(&mapped, options.dialect).remove(1)
        });
        assert_eq!(found, expected, "{numbered} {indexed}");
    };
    check(false, false, ["NUMERIC", "numeric"]);
    check(true, false, ["INT64", "bigint"]);
    check(false, true, ["NUMERIC", "bigint"]);
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
fn names_limits_and_what_is_left_out() {
    let mut source = table(
        "spanferry-x",
        vec![column("2nd", BIGINT), column("select", BIGINT)],
    );
    source.columns[1].default = Some(SourceDefault::expression("rand()"));
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
            "Warning SF-4004 spanferry-x.audit",
            "Warning SF-4004 spanferry-x.positive",
            "Warning SF-4004 spanferry-x.select",
            "Warning SF-4005 spanferry-x",
            "Warning SF-4005 spanferry-x.2nd",
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
fn datetime_is_reported_once() {
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
