//! Values of every family's types at the emulator, in both dialects: what we write is taken, means
//! there what it should, and is read back as equal.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first surprise, also in its helpers"
)]

mod support;

use bytes::Bytes;
use spanferry_core::fixture;
use spanferry_core::plan::{RowEncoder, RowLayout, TablePlan, TargetKey};
use spanferry_core::schema::ddl;
use spanferry_core::schema::target::{Dialect, ElementType, TargetColumn, TargetTable, TargetType};
use spanferry_core::value::encode::{ElementEncoding, Encoding};
use spanferry_core::value::scalar::{Date, DateTime, Interval, Scalar};
use spanferry_core::verify::canonical::Canonicalizer;
use spanferry_core::wire::rows::RowBatch;
use spanferry_spanner::client::Client;
use spanferry_spanner::commit::{Mutations, WriteKind};
use spanferry_spanner::read::{Keys, Read, ReadAt};
use support::Emulator;

const DIALECTS: [Dialect; 2] = [Dialect::GoogleSql, Dialect::PostgreSql];
const UUID: [u8; 16] = 0x6ccd_780c_baba_1026_9564_5b8c_6560_24db_u128.to_be_bytes();
const DAY: Date = Date {
    year: 2038,
    month: 1,
    day: 19,
};

fn moment(nanosecond: u32) -> DateTime {
    DateTime {
        date: DAY,
        hour: 3,
        minute: 14,
        second: 8,
        nanosecond,
    }
}

/// A value in a column of its type, and a condition on that column `c` which the server must find
/// true, in either dialect.
struct Case {
    ty: TargetType,
    encoding: Encoding,
    value: Scalar<'static>,
    google: &'static str,
    postgres: &'static str,
}

impl Case {
    fn of(ty: TargetType, encoding: Encoding, value: Scalar<'static>) -> Case {
        let (google, postgres) = ("TRUE", "true");
        Case {
            ty,
            encoding,
            value,
            google,
            postgres,
        }
    }

    fn array(ty: ElementType, element: ElementEncoding, elements: &'static [Scalar<'static>]) -> Case {
        let dimensions = None;
        let ty = TargetType::Array {
            element: ty,
            dimensions,
        };
        Case::of(
            ty,
            Encoding::Array { element, dimensions },
            Scalar::Array(elements),
        )
    }

    fn means(self, google: &'static str, postgres: &'static str) -> Case {
        Case {
            google,
            postgres,
            ..self
        }
    }

    fn meaning(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::GoogleSql => self.google,
            Dialect::PostgreSql => self.postgres,
        }
    }
}

fn scalars(dialect: Dialect) -> Vec<Case> {
    let boolean = |value| Case::of(TargetType::Bool, Encoding::Bool, value);
    let at = |nanosecond| {
        let value = Scalar::DateTime(moment(nanosecond));
        Case::of(TargetType::Timestamp, Encoding::Timestamp, value)
    };
    let text = |value| {
        let encoding = Encoding::String { characters_max: 80 };
        Case::of(TargetType::String(Some(80)), encoding, value)
    };
    let interval = |months, days, microseconds| {
        text(Scalar::Interval(Interval {
            months,
            days,
            microseconds,
        }))
    };
    let mut cases = vec![
        boolean(Scalar::Bool(true)).means("c", "c"),
        boolean(Scalar::Bool(false)).means("NOT c", "NOT c"),
        boolean(Scalar::Digits(b"1")).means("c", "c"),
        boolean(Scalar::Bytes(&[0])).means("NOT c", "NOT c"),
        boolean(Scalar::Null).means("c IS NULL", "c IS NULL"),
        at(0).means(
            "c = TIMESTAMP '2038-01-19T03:14:08Z'",
            "c = '2038-01-19T03:14:08Z'::timestamptz",
        ),
        at(123_456_000).means(
            "c = TIMESTAMP '2038-01-19T03:14:08.123456Z'",
            "c = '2038-01-19T03:14:08.123456Z'::timestamptz",
        ),
        at(123_456_789).means(
            "UNIX_MICROS(c) = 2147483648123456 AND c > TIMESTAMP '2038-01-19T03:14:08.123456Z'",
            "c > '2038-01-19T03:14:08.123456Z'::timestamptz AND c < '2038-01-19T03:14:08.123457Z'::timestamptz",
        ),
        at(7).means(
            "c > TIMESTAMP '2038-01-19T03:14:08Z' AND c < TIMESTAMP '2038-01-19T03:14:08.000001Z'",
            "c > '2038-01-19T03:14:08Z'::timestamptz AND c < '2038-01-19T03:14:08.000001Z'::timestamptz",
        ),
        text(Scalar::Uuid(UUID)).means(
            "c = '6ccd780c-baba-1026-9564-5b8c656024db'",
            "c = '6ccd780c-baba-1026-9564-5b8c656024db'",
        ),
        interval(-14, 3, -1_500_000).means(
            "c = '-1 years -2 mons +3 days -00:00:01.5'",
            "c = '-1 years -2 mons +3 days -00:00:01.5'",
        ),
        interval(i32::MIN, i32::MIN, i64::MIN),
        Case::of(
            TargetType::Float64,
            Encoding::Float64,
            Scalar::Float64(f64::NEG_INFINITY),
        )
        .means("IS_INF(c) AND c < 0", "c = '-Infinity'::double precision"),
        Case::of(TargetType::Float64, Encoding::Float64, Scalar::Float64(f64::NAN))
            .means("IS_NAN(c)", "c = 'NaN'::double precision"),
    ];
    if dialect == Dialect::PostgreSql {
        let nan = Scalar::Decimal(b"NaN");
        cases.push(Case::of(TargetType::Numeric, Encoding::PgNumeric, nan).means("", "c = 'NaN'::numeric"));
    }
    cases
}

fn arrays(dialect: Dialect) -> Vec<Case> {
    let is_google = dialect == Dialect::GoogleSql;
    let numeric = if is_google {
        ElementEncoding::Numeric
    } else {
        ElementEncoding::PgNumeric
    };
    let string = ElementEncoding::String { characters_max: 9 };
    let bytes = ElementEncoding::Bytes { bytes_max: 9 };
    let bytes_type = ElementType::Bytes(is_google.then_some(9));
    let json = ElementEncoding::Json {
        arbitrary_numbers: !is_google,
    };
    vec![
        Case::array(
            ElementType::Bool,
            ElementEncoding::Bool,
            &[Scalar::Bool(true), Scalar::Null, Scalar::Signed(0)],
        )
        .means(
            "ARRAY_LENGTH(c) = 3 AND c[OFFSET(0)] AND c[OFFSET(1)] IS NULL AND NOT c[OFFSET(2)]",
            "array_length(c, 1) = 3 AND c[1] AND c[2] IS NULL AND NOT c[3]",
        ),
        Case::array(
            ElementType::Int64,
            ElementEncoding::Int64,
            &[Scalar::Signed(i64::MIN), Scalar::Digits(b"7")],
        )
        .means(
            "c[OFFSET(0)] = -9223372036854775808 AND c[OFFSET(1)] = 7",
            "c[1] < -9223372036854775807 AND c[2] = 7",
        ),
        Case::array(ElementType::Int64, ElementEncoding::Int64, &[])
            .means("ARRAY_LENGTH(c) = 0", "c IS NOT NULL"),
        Case::array(
            ElementType::Float32,
            ElementEncoding::Float32,
            &[Scalar::Float32(0.1), Scalar::Float32(f32::INFINITY), Scalar::Null],
        )
        .means("IS_INF(c[OFFSET(1)])", "c[3] IS NULL"),
        Case::array(
            ElementType::Float64,
            ElementEncoding::Float64,
            &[Scalar::Float64(0.1), Scalar::Float64(-0.0)],
        )
        .means("c[OFFSET(0)] = 0.1", "c[1] = 0.1"),
        Case::array(
            ElementType::Numeric,
            numeric,
            &[Scalar::Decimal(b"-1.50"), Scalar::Null],
        )
        .means("c[OFFSET(0)] = NUMERIC '-1.5'", "c[1] = '-1.5'::numeric"),
        Case::array(
            ElementType::String(Some(9)),
            string,
            &[Scalar::Text("é,\"{}"), Scalar::Text(""), Scalar::Text("NULL")],
        )
        .means(
            "c[OFFSET(0)] = 'é,\"{}' AND c[OFFSET(1)] = '' AND c[OFFSET(2)] IS NOT NULL",
            "c[1] = 'é,\"{}' AND c[2] = '' AND c[3] IS NOT NULL",
        ),
        Case::array(bytes_type, bytes, &[Scalar::Bytes(b"\0\xff"), Scalar::Null])
            .means("c[OFFSET(0)] = b'\\x00\\xff'", "length(c[1]) = 2"),
        Case::array(ElementType::Date, ElementEncoding::Date, &[Scalar::Date(DAY)])
            .means("c[OFFSET(0)] = DATE '2038-01-19'", "c[1] = '2038-01-19'::date"),
        Case::array(
            ElementType::Timestamp,
            ElementEncoding::Timestamp,
            &[
                Scalar::Null,
                Scalar::DateTime(DateTime {
                    date: DAY,
                    hour: 3,
                    minute: 14,
                    second: 8,
                    nanosecond: 9,
                }),
            ],
        )
        .means("c[OFFSET(0)] IS NULL", "c[1] IS NULL"),
        Case::array(
            ElementType::Json,
            json,
            &[Scalar::Json("{\"a\": [1.50]}"), Scalar::Null],
        )
        .means("JSON_VALUE(c[OFFSET(0)], '$.a[0]') = '1.5'", "c[1] IS NOT NULL"),
    ]
}

/// A table with a number as key and one column for each case.
fn plan(cases: &[Case]) -> TablePlan {
    let names: Vec<String> = (0..cases.len()).map(|at| format!("c{at}")).collect();
    let source = names.iter().map(|name| fixture::column(name, fixture::BIGINT));
    let key = fixture::column("id", fixture::BIGINT);
    let source = fixture::table("v", std::iter::once(key).chain(source).collect());
    let encodings = cases.iter().map(|case| case.encoding);
    let column = |(name, ty): (&str, TargetType)| TargetColumn {
        name: name.to_owned(),
        ty,
        not_null: name == "id",
        by_target: None,
    };
    let types = names
        .iter()
        .zip(cases)
        .map(|(name, case)| (name.as_str(), case.ty));
    let columns = std::iter::once(("id", TargetType::Int64))
        .chain(types)
        .map(column);
    let target = TargetTable {
        name: "v".to_owned(),
        columns: columns.collect(),
        primary_key: vec![0],
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
    };
    TablePlan {
        target,
        ..fixture::plan(source, std::iter::once(Encoding::Int64).chain(encodings))
    }
}

async fn read_all(client: &Client, plan: &TablePlan) -> Vec<Bytes> {
    let columns = plan.target.columns.iter().map(|column| column.name.as_str());
    let read = Read::new(&plan.target.name, columns, Keys::All);
    let rows = client.read("v", &read, ReadAt::Strong).await.unwrap();
    rows.collect().await.unwrap()
}

async fn write(client: &Client, plan: &TablePlan, rows: &RowBatch) {
    let mut mutations = Mutations::new();
    let columns = plan.target.columns.iter().map(|column| column.name.as_str());
    mutations.write(WriteKind::Insert, &plan.target.name, columns, rows);
    client.commit("v", mutations).await.unwrap();
}

#[tokio::test]
async fn values_of_every_type_come_back_as_they_were_meant() {
    let emulator = Emulator::start();
    for (dialect, name) in DIALECTS.into_iter().zip(["google", "postgres"]) {
        let cases: Vec<Case> = scalars(dialect).into_iter().chain(arrays(dialect)).collect();
        let plan = plan(&cases);
        let create = ddl::create_table(&plan.target, dialect);
        let client = emulator.database(name, dialect, &[&create]).await;
        let (layout, mut encoder) = (RowLayout::of(&plan), RowEncoder::new());
        encoder.begin(&plan, &layout);
        encoder.cell(&plan, &layout, Scalar::Signed(1)).unwrap();
        for case in &cases {
            encoder.cell(&plan, &layout, case.value).unwrap();
        }
        let mut rows = RowBatch::new();
        encoder.end(&plan, &layout).unwrap();
        rows.push(encoder.row());
        write(&client, &plan, &rows).await;

        let found = read_all(&client, &plan).await;
        assert_eq!(found.len(), 1);
        let canonicalizer = Canonicalizer::new(&plan);
        let canonical = |row: &[u8]| {
            let mut out = Vec::new();
            canonicalizer.row(row, &mut out).unwrap();
            out
        };
        assert_eq!(canonical(&found[0]), canonical(encoder.row()), "{dialect}");

        for (at, case) in cases.iter().enumerate() {
            let condition = case.meaning(dialect);
            let sql = format!("SELECT id FROM (SELECT id, c{at} AS c FROM v) AS t WHERE {condition}");
            let rows = client.query("v", &sql).await.unwrap().collect().await;
            let rows = rows.unwrap_or_else(|error| panic!("{dialect} {sql}: {error}"));
            assert_eq!(rows.len(), 1, "{dialect} {condition} of {:?}", case.value);
        }
    }
}

/// Keys of booleans and nanoseconds are distinguished, and found again by what a deletion names.
#[tokio::test]
async fn booleans_and_nanoseconds_are_keys() {
    let emulator = Emulator::start();
    for (dialect, name) in DIALECTS.into_iter().zip(["google", "postgres"]) {
        let null = Scalar::Null;
        let cases = [
            Case::of(TargetType::Bool, Encoding::Bool, null),
            Case::of(TargetType::Timestamp, Encoding::Timestamp, null),
        ];
        let mut plan = plan(&cases);
        plan.target_key = TargetKey::Columns(vec![2, 1]);
        plan.target.primary_key = vec![2, 1];
        let create = ddl::create_table(&plan.target, dialect);
        let client = emulator.database(name, dialect, &[&create]).await;
        let (mut rows, mut keys) = (RowBatch::new(), Vec::new());
        for (id, (truth, nanosecond)) in (0_i64..).zip([(true, 0), (true, 1), (false, 1), (false, 10)]) {
            let (layout, mut encoder) = (RowLayout::of(&plan), RowEncoder::new());
            encoder.begin(&plan, &layout);
            encoder.cell(&plan, &layout, Scalar::Signed(id)).unwrap();
            encoder.cell(&plan, &layout, Scalar::Bool(truth)).unwrap();
            encoder
                .cell(&plan, &layout, Scalar::DateTime(moment(nanosecond)))
                .unwrap();
            encoder.end(&plan, &layout).unwrap();
            rows.push(encoder.row());
            let mut key = Vec::new();
            encoder.key_into(&plan, &mut key);
            keys.push(key);
        }
        write(&client, &plan, &rows).await;
        assert_eq!(read_all(&client, &plan).await.len(), 4, "{dialect}");
        let mut deleted = RowBatch::new();
        deleted.push(&keys[1]);
        deleted.push(&keys[2]);
        let mut mutations = Mutations::new();
        mutations.delete("v", &deleted);
        client.commit("v", mutations).await.unwrap();
        let canonicalizer = Canonicalizer::new(&plan);
        let canonical_keys = |rows: &mut dyn Iterator<Item = Vec<u8>>| {
            let mut found: Vec<Vec<u8>> = rows
                .map(|row| {
                    let (mut whole, mut key) = (Vec::new(), Vec::new());
                    canonicalizer.row(&row, &mut whole).unwrap();
                    canonicalizer.key(&whole, &mut key).unwrap();
                    key
                })
                .collect();
            found.sort();
            found
        };
        let left = read_all(&client, &plan).await;
        let expected = rows.payloads().map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(
            canonical_keys(&mut left.iter().map(|row| row.to_vec())),
            canonical_keys(&mut [&expected[0], &expected[3]].into_iter().cloned()),
            "{dialect}"
        );
    }
}
