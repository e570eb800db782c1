//! Defaults of every type, and the DDL that they become.

use super::*;
use crate::fixture::{BIGINT, column, table};
use crate::mapping::convert::{Mapping, map};
use crate::mapping::options::MappingOptions;
use crate::schema::charset::Charset;
use crate::schema::ddl;
use crate::schema::mysql::{MysqlColumn, MysqlType};
use crate::schema::source_default::SourceDefault;
use crate::value::scalar::{Date, DateTime, Scalar, Time};

fn mapped(dialect: Dialect, changed: SourceColumn) -> Mapping {
    let options = MappingOptions {
        dialect,
        uuid_supported: false,
    };
    map(vec![table("t", vec![column("id", BIGINT), changed])], &options)
}

/// The DDL of the column `c`, and the findings about it.
fn made(dialect: Dialect, changed: SourceColumn) -> (String, Vec<String>) {
    let mapped = mapped(dialect, changed);
    let statement = ddl::create_table(&mapped.plans[0].target, dialect);
    let line = statement.lines().nth(2).expect("the second column");
    let name = ddl::quote("c", dialect);
    let line = line
        .trim_start()
        .trim_start_matches(&name)
        .trim()
        .trim_end_matches(',');
    let about_default = |finding: &&crate::report::finding::Finding| finding.text.contains("default");
    let findings = mapped.findings.iter().filter(about_default);
    let told = findings.map(|finding| format!("{} {}", finding.code, finding.text));
    (line.to_owned(), told.collect())
}

fn with_default(ty: MysqlType, value: Scalar<'_>) -> SourceColumn {
    let value = OwnedScalar::of(value).expect("a value");
    SourceColumn {
        default: Some(SourceDefault::value("x", value)),
        ..column("c", ty)
    }
}

#[track_caller]
fn check(ty: MysqlType, value: Scalar<'_>, google: &str, postgres: &str) {
    for (dialect, expected) in [(Dialect::GoogleSql, google), (Dialect::PostgreSql, postgres)] {
        let found = made(dialect, with_default(ty.clone(), value));
        assert_eq!(found, (expected.to_owned(), Vec::new()), "{value:?}");
    }
}

#[track_caller]
fn check_left_out(ty: MysqlType, value: Scalar<'_>, dialect: Dialect, reason: &str) {
    let (line, told) = made(dialect, with_default(ty, value));
    assert!(!line.contains("DEFAULT"), "{line}");
    let text = format!("SF-4004 the default `x` is not created at the target: {reason}");
    assert_eq!(told, [text], "{value:?}");
}

fn varchar(characters: u32) -> MysqlType {
    MysqlType::Varchar {
        characters,
        charset: Charset::Latin1,
        collation: "latin1_bin".to_owned(),
    }
}

const DAY: Date = Date {
    year: 2024,
    month: 2,
    day: 29,
};

fn moment(nanosecond: u32) -> Scalar<'static> {
    Scalar::DateTime(DateTime {
        date: DAY,
        hour: 3,
        minute: 4,
        second: 5,
        nanosecond,
    })
}

#[test]
fn numbers() {
    let small = MysqlType::Integer {
        bits: 8,
        unsigned: false,
    };
    check(
        small,
        Scalar::Digits(b"-3"),
        "INT64 DEFAULT (-3)",
        "bigint DEFAULT (-3)",
    );
    let big = MysqlType::Integer {
        bits: 64,
        unsigned: true,
    };
    check(
        big,
        Scalar::Digits(b"18446744073709551615"),
        "NUMERIC DEFAULT (NUMERIC '18446744073709551615')",
        "numeric DEFAULT ('18446744073709551615'::numeric)",
    );
    let price = MysqlType::Decimal {
        precision: 10,
        scale: 2,
    };
    check(
        price,
        Scalar::Decimal(b"1.50"),
        "NUMERIC DEFAULT (NUMERIC '1.5')",
        "numeric DEFAULT ('1.5'::numeric)",
    );
    let exact = MysqlType::Decimal {
        precision: 20,
        scale: 12,
    };
    check(
        exact,
        Scalar::Decimal(b"0.000000000001"),
        "STRING(23) DEFAULT ('0.000000000001')",
        "numeric DEFAULT ('0.000000000001'::numeric)",
    );
    check(
        MysqlType::Float,
        Scalar::Float32(0.1),
        "FLOAT32 DEFAULT (1.0000000149011612e-1)",
        "real DEFAULT ('1.0000000149011612e-1'::float8)",
    );
    check(
        MysqlType::Double,
        Scalar::Float64(1e300),
        "FLOAT64 DEFAULT (1e300)",
        "double precision DEFAULT ('1e300'::float8)",
    );
    for dialect in [Dialect::GoogleSql, Dialect::PostgreSql] {
        let reason = "the target has no literal for exactly this value";
        check_left_out(MysqlType::Double, Scalar::Float64(-0.0), dialect, reason);
    }
    check(
        MysqlType::Year,
        Scalar::Signed(2024),
        "INT64 DEFAULT (2024)",
        "bigint DEFAULT (2024)",
    );
}

#[test]
fn texts_and_bytes() {
    check(
        varchar(9),
        Scalar::Text(""),
        "STRING(9) DEFAULT ('')",
        "varchar(9) DEFAULT ('')",
    );
    check(
        varchar(9),
        Scalar::Text("it's \\ é😀"),
        "STRING(9) DEFAULT ('it\\'s \\\\ é😀')",
        "varchar(9) DEFAULT (E'it''s \\\\ é😀')",
    );
    check(
        varchar(9),
        Scalar::Text("tab\t\u{1}"),
        "STRING(9) DEFAULT ('tab\\u0009\\u0001')",
        "varchar(9) DEFAULT ('tab\t\u{1}')",
    );
    let (line, _) = made(Dialect::GoogleSql, with_default(varchar(3), Scalar::Text("a\0b")));
    assert_eq!(line, "STRING(3) DEFAULT ('a\\u0000b')");
    check_left_out(
        varchar(3),
        Scalar::Text("a\0b"),
        Dialect::PostgreSql,
        "the target has no literal for exactly this value",
    );
    check_left_out(
        varchar(3),
        Scalar::Text("abcd"),
        Dialect::GoogleSql,
        "it is a value longer than 3",
    );
    let labels = MysqlType::Enum {
        labels: vec!["new".to_owned(), "sold".to_owned()],
        charset: Charset::Utf8mb4,
    };
    check(
        labels,
        Scalar::Text("sold"),
        "STRING(4) DEFAULT ('sold')",
        "varchar(4) DEFAULT ('sold')",
    );
    check(
        MysqlType::Binary { bytes: 3 },
        Scalar::Bytes(b"a\0\xff"),
        "BYTES(3) DEFAULT (b'\\x61\\x00\\xff')",
        "bytea DEFAULT ('\\x6100ff'::bytea)",
    );
    check(
        MysqlType::Bit { bits: 10 },
        Scalar::Bytes(b"\0\x05"),
        "BYTES(2) DEFAULT (b'\\x00\\x05')",
        "bytea DEFAULT ('\\x0005'::bytea)",
    );
    let (line, _) = made(
        Dialect::GoogleSql,
        with_default(MysqlType::Json, Scalar::Json(r#"{"b": "it's"}"#)),
    );
    assert_eq!(line, r#"JSON DEFAULT (JSON '{"b":"it\'s"}')"#);
    check_left_out(
        MysqlType::Json,
        Scalar::Json("{}"),
        Dialect::PostgreSql,
        "the target has no literal for exactly this value",
    );
}

#[test]
fn dates_and_times() {
    check(
        MysqlType::Date,
        Scalar::Date(DAY),
        "DATE DEFAULT (DATE '2024-02-29')",
        "date DEFAULT ('2024-02-29'::date)",
    );
    check(
        MysqlType::DateTime { fraction: 3 },
        moment(120_000_000),
        "TIMESTAMP DEFAULT (TIMESTAMP '2024-02-29T03:04:05.12Z')",
        "timestamptz DEFAULT ('2024-02-29T03:04:05.12Z'::timestamptz)",
    );
    check(
        MysqlType::Timestamp { fraction: 0 },
        moment(0),
        "TIMESTAMP DEFAULT (TIMESTAMP '2024-02-29T03:04:05Z')",
        "timestamptz DEFAULT ('2024-02-29T03:04:05Z'::timestamptz)",
    );
    let span = Scalar::Time(Time {
        negative: true,
        hours: 1,
        minutes: 2,
        seconds: 3,
        microseconds: 500_000,
    });
    let time = MysqlType::Time { fraction: 3 };
    let (line, told) = made(Dialect::GoogleSql, with_default(time, span));
    assert!(line.ends_with("DEFAULT ('-01:02:03.500000')"), "{line}");
    assert_eq!(told, Vec::<String>::new());
    let zero = Date {
        year: 0,
        month: 0,
        day: 0,
    };
    check_left_out(
        MysqlType::Date,
        Scalar::Date(zero),
        Dialect::GoogleSql,
        "it is a zero or partial date",
    );
}

#[test]
fn a_not_null_column_without_its_default_is_told_by_its_own_code() {
    let check = |default: SourceDefault, nullable, expected: &str| {
        let changed = SourceColumn {
            nullable,
            default: Some(default),
            ..column("c", BIGINT)
        };
        let (line, told) = made(Dialect::GoogleSql, changed);
        assert!(!line.contains("DEFAULT"), "{line}");
        assert_eq!(told, [expected]);
    };
    let expression = || SourceDefault::expression("(rand() * 10)");
    check(
        expression(),
        true,
        "SF-4004 the default `(rand() * 10)` is not created at the target: this expression is not one that is translated",
    );
    check(
        expression(),
        false,
        "SF-4019 the default `(rand() * 10)` is not created at the target: this expression is not one that is translated; the column is NOT NULL, so an INSERT without it fails there",
    );
    let hidden = SourceDefault {
        text: "''".to_owned(),
        kind: DefaultKind::Hidden,
    };
    check(
        hidden,
        false,
        "SF-4019 the default (an empty string) is not created at the target: the source does not show its value; the column is NOT NULL, so an INSERT without it fails there",
    );
}

#[test]
fn a_default_stands_behind_not_null() {
    let changed = SourceColumn {
        nullable: false,
        ..with_default(BIGINT, Scalar::Digits(b"7"))
    };
    let (line, told) = made(Dialect::GoogleSql, changed);
    assert_eq!((line.as_str(), told), ("INT64 NOT NULL DEFAULT (7)", Vec::new()));
}

/// A column's values are written whatever its default is.
#[test]
fn a_column_with_a_default_is_still_written() {
    let mapped = mapped(Dialect::GoogleSql, with_default(BIGINT, Scalar::Digits(b"7")));
    assert_eq!(mapped.plans[0].column_names().collect::<Vec<_>>(), ["id", "c"]);
}

#[test]
fn a_generated_column_has_no_default() {
    let changed = SourceColumn {
        generated: Some("`id` + 1".to_owned()),
        ..with_default(BIGINT, Scalar::Digits(b"7"))
    };
    let (line, _) = made(Dialect::GoogleSql, changed);
    assert_eq!(line, "INT64");
}

fn by_kind(ty: MysqlType, kind: DefaultKind) -> SourceColumn {
    let text = "x".to_owned();
    SourceColumn {
        default: Some(SourceDefault { text, kind }),
        ..column("c", ty)
    }
}

/// The default at each target; `None` where it is left out.
#[track_caller]
fn check_kind(ty: MysqlType, kind: &DefaultKind, google: Option<&str>, postgres: Option<&str>) {
    for (dialect, expected) in [(Dialect::GoogleSql, google), (Dialect::PostgreSql, postgres)] {
        let (line, told) = made(dialect, by_kind(ty.clone(), kind.clone()));
        let found = line.split_once(" DEFAULT ").map(|(_, default)| default);
        assert_eq!(found, expected, "{kind:?} {told:?}");
        assert_eq!(told.is_empty(), expected.is_some(), "{told:?}");
    }
}

#[test]
fn the_time_has_no_more_digits_than_at_the_source() {
    let check = |fraction, google: &str, postgres: Option<&str>| {
        let now = DefaultKind::Now {
            fraction,
            clock: Clock::Local,
        };
        let ty = MysqlType::Timestamp { fraction };
        check_kind(ty, &now, Some(google), postgres);
    };
    check(
        0,
        "(TIMESTAMP_TRUNC(CURRENT_TIMESTAMP(), SECOND))",
        Some("(date_trunc('second', CURRENT_TIMESTAMP))"),
    );
    check(
        3,
        "(TIMESTAMP_TRUNC(CURRENT_TIMESTAMP(), MILLISECOND))",
        Some("(date_trunc('milliseconds', CURRENT_TIMESTAMP))"),
    );
    check(
        6,
        "(TIMESTAMP_TRUNC(CURRENT_TIMESTAMP(), MICROSECOND))",
        Some("(date_trunc('microseconds', CURRENT_TIMESTAMP))"),
    );
    check(
        1,
        "(TIMESTAMP_MICROS(DIV(UNIX_MICROS(CURRENT_TIMESTAMP()), 100000) * 100000))",
        None,
    );
}

/// A date and time without a zone is read as UTC: the local time of another zone is another value.
#[test]
fn a_local_time_is_carried_only_from_utc() {
    let now = |clock| DefaultKind::Now { fraction: 0, clock };
    let today = |clock| DefaultKind::Today { clock };
    let local = MysqlType::DateTime { fraction: 0 };
    check_kind(
        local.clone(),
        &now(Clock::Utc),
        Some("(TIMESTAMP_TRUNC(CURRENT_TIMESTAMP(), SECOND))"),
        Some("(date_trunc('second', CURRENT_TIMESTAMP))"),
    );
    check_kind(
        MysqlType::Date,
        &today(Clock::Utc),
        Some("(CURRENT_DATE('UTC'))"),
        Some("(DATE '1970-01-01' + floor(extract(epoch FROM CURRENT_TIMESTAMP) / 86400)::bigint)"),
    );
    for (ty, kind) in [(local, now(Clock::Local)), (MysqlType::Date, today(Clock::Local))] {
        let (_, told) = made(Dialect::GoogleSql, by_kind(ty, kind));
        let reason =
            "it is the local time of the session, in a time zone that is not UTC; DATETIME is read as UTC";
        let text = format!("SF-4004 the default `x` is not created at the target: {reason}");
        assert_eq!(told, [text]);
    }
}

#[test]
fn new_uuids() {
    let uuid = DefaultKind::Uuid;
    check_kind(
        varchar(36),
        &uuid(UuidForm::Text),
        Some("(GENERATE_UUID())"),
        Some("(spanner.generate_uuid())"),
    );
    check_kind(varchar(35), &uuid(UuidForm::Text), None, None);
    check_kind(BIGINT, &uuid(UuidForm::Text), None, None);
    check_kind(
        varchar(32),
        &uuid(UuidForm::Digits),
        Some("(REPLACE(GENERATE_UUID(), '-', ''))"),
        Some("(REPLACE(spanner.generate_uuid(), '-', ''))"),
    );
    let bytes = MysqlType::Binary { bytes: 16 };
    check_kind(
        bytes,
        &uuid(UuidForm::Bytes),
        Some("(FROM_HEX(REPLACE(GENERATE_UUID(), '-', '')))"),
        None,
    );
}

/// A number that the target gives is none that the source's column can hold; of BIGINT it is above
/// 2^62.
#[test]
fn auto_increment_is_an_identity_that_skips_the_source() {
    let numbered = |ty: MysqlType| SourceColumn {
        nullable: false,
        facts: MysqlColumn {
            auto_increment: true,
            ..MysqlColumn::default()
        }
        .into(),
        ..column("c", ty)
    };
    let check = |bits, unsigned, skipped_to: &str| {
        let ty = MysqlType::Integer { bits, unsigned };
        for (dialect, ty_name, comma) in [
            (Dialect::GoogleSql, "INT64", ","),
            (Dialect::PostgreSql, "bigint", ""),
        ] {
            let (line, _) = made(dialect, numbered(ty.clone()));
            let expected = format!(
                "{ty_name} NOT NULL GENERATED BY DEFAULT AS IDENTITY (BIT_REVERSED_POSITIVE SKIP RANGE 1{comma} {skipped_to})"
            );
            assert_eq!(line, expected);
        }
    };
    check(8, false, "127");
    check(16, true, "65535");
    check(24, false, "8388607");
    check(32, false, "2147483647");
    check(32, true, "4294967295");
    check(64, false, "4611686018427387903");
    check(64, true, "4611686018427387903");
    let text = |ty: MysqlType| {
        let mapped = mapped(Dialect::GoogleSql, numbered(ty));
        let mut findings = mapped.findings.into_iter();
        let found = findings.find(|finding| finding.text.starts_with("AUTO_INCREMENT"));
        found
            .map(|finding| format!("{} {}", finding.code, finding.text))
            .unwrap()
    };
    let whole = |bits| MysqlType::Integer {
        bits,
        unsigned: false,
    };
    assert_eq!(
        text(whole(32)),
        "SF-4005 AUTO_INCREMENT is an identity column at the target: values that are given are kept, new ones are above 2147483647 and in no order"
    );
    assert_eq!(
        text(whole(64)),
        "SF-4005 AUTO_INCREMENT is an identity column at the target: values that are given are kept, new ones are above 4611686018427387903 and in no order; if rows have higher ones, give it another range to skip before the application inserts"
    );
    assert_eq!(
        text(MysqlType::Double),
        "SF-4019 AUTO_INCREMENT is not created at the target: the column is not a whole number there; the column is NOT NULL, so an INSERT without it fails there"
    );
}
