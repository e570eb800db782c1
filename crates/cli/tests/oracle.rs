//! The database as oracle: random and edge values of every type go through snapshot and change
//! stream into Spanner, are read back from there, and the source itself judges whether they are its
//! own.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "test data is cut from random bits, and a failed step is a failed test"
)]

mod support;

use std::fmt::Write as _;

use mysql_async::prelude::Queryable;
use spanferry_core::wire::list_value::{WireReader, WireValue};
use spanferry_spanner::client::{Client, ClientOptions};
use spanferry_spanner::endpoint::{Endpoint, EndpointChoice};
use spanferry_spanner::read::{Keys, Read, ReadAt};
use spanferry_testkit::random::{Random, seed};
use spanferry_testkit::server::Engine;
use support::World;

/// Rows that are there before the snapshot; as many come after it with other values, and as many
/// with the same.
const ROWS: usize = 60;

/// How values of a column are made and judged.
#[derive(Debug, Clone, Copy)]
enum Judge {
    Integer {
        low: i128,
        high: i128,
    },
    Decimal {
        digits: u64,
        scale: u64,
    },
    Float,
    Double,
    Bits(u64),
    /// Any text the column's character set can hold; the server replaces what it cannot.
    Text {
        characters: u64,
        charset: &'static str,
    },
    Bytes {
        length: u64,
    },
    Label(&'static [&'static str]),
    Date,
    DateTime,
    Timestamp,
    Time,
    Year,
    Json,
    JsonText,
    Geometry,
    Spelled(&'static [&'static str]),
    Vector,
}

struct Column {
    name: String,
    definition: &'static str,
    judge: Judge,
}

fn columns(engine: Engine) -> Vec<Column> {
    use Judge::{
        Bits, Bytes, Date, DateTime, Decimal, Double, Float, Geometry, Integer, Json, JsonText, Label,
        Spelled, Text, Time, Timestamp, Vector, Year,
    };
    let integer = |low, high| Integer { low, high };
    let text = |characters, charset| Text { characters, charset };
    let mut list: Vec<(&'static str, Judge)> = vec![
        ("TINYINT", integer(-128, 127)),
        ("TINYINT(1)", integer(-128, 127)),
        ("TINYINT UNSIGNED", integer(0, 255)),
        ("SMALLINT", integer(-32_768, 32_767)),
        ("SMALLINT UNSIGNED", integer(0, 65_535)),
        ("MEDIUMINT", integer(-8_388_608, 8_388_607)),
        ("MEDIUMINT UNSIGNED", integer(0, 16_777_215)),
        ("INT", integer(-2_147_483_648, 2_147_483_647)),
        ("INT UNSIGNED ZEROFILL", integer(0, 4_294_967_295)),
        ("BIGINT", integer(i64::MIN.into(), i64::MAX.into())),
        ("BIGINT UNSIGNED", integer(0, u64::MAX.into())),
        ("DECIMAL(5,0)", Decimal { digits: 5, scale: 0 }),
        ("DECIMAL(38,9)", Decimal { digits: 38, scale: 9 }),
        ("DECIMAL(9,9)", Decimal { digits: 9, scale: 9 }),
        (
            "DECIMAL(65,30)",
            Decimal {
                digits: 65,
                scale: 30,
            },
        ),
        ("FLOAT", Float),
        ("DOUBLE", Double),
        ("BIT(1)", Bits(1)),
        ("BIT(12)", Bits(12)),
        ("BIT(64)", Bits(64)),
        ("CHAR(12)", text(12, "utf8mb4")),
        ("VARCHAR(30) CHARACTER SET utf8mb4", text(30, "utf8mb4")),
        ("VARCHAR(30) CHARACTER SET latin1", text(30, "latin1")),
        ("VARCHAR(30) CHARACTER SET gbk", text(30, "gbk")),
        ("VARCHAR(30) CHARACTER SET sjis", text(30, "sjis")),
        ("VARCHAR(30) CHARACTER SET utf16", text(30, "utf16")),
        ("VARCHAR(30) CHARACTER SET ucs2", text(30, "ucs2")),
        ("VARCHAR(30) CHARACTER SET koi8r", text(30, "koi8r")),
        ("TINYTEXT CHARACTER SET cp932", text(40, "cp932")),
        ("TEXT", text(400, "utf8mb4")),
        ("MEDIUMTEXT CHARACTER SET euckr", text(400, "euckr")),
        ("LONGTEXT CHARACTER SET utf32", text(400, "utf32")),
        ("BINARY(6)", Bytes { length: 6 }),
        ("VARBINARY(40)", Bytes { length: 40 }),
        ("TINYBLOB", Bytes { length: 60 }),
        ("BLOB", Bytes { length: 600 }),
        ("MEDIUMBLOB", Bytes { length: 600 }),
        ("LONGBLOB", Bytes { length: 600 }),
        ("ENUM('a','b,c','ü','x y')", Label(&["a", "b,c", "ü", "x y"])),
        ("SET('x','y','z','ä')", Label(&["", "x", "y,z", "x,y,z,ä", "ä"])),
        ("DATE", Date),
        ("DATETIME", DateTime),
        ("DATETIME(3)", DateTime),
        ("DATETIME(6)", DateTime),
        ("TIMESTAMP NULL", Timestamp),
        ("TIMESTAMP(6) NULL", Timestamp),
        ("TIME", Time),
        ("TIME(6)", Time),
        ("TIME(2)", Time),
        ("YEAR", Year),
        ("GEOMETRY", Geometry),
    ];
    if matches!(engine, Engine::MariaDb) {
        list.push(("JSON", JsonText));
        list.push((
            "UUID",
            Spelled(&[
                "123e4567-e89b-12d3-a456-426614174000",
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
            ]),
        ));
        list.push(("INET4", Spelled(&["0.0.0.0", "255.255.255.255", "10.0.100.7"])));
        list.push((
            "INET6",
            Spelled(&["::", "::1", "2001:db8::ff00:42:8329", "::ffff:1.2.3.4"]),
        ));
    } else {
        list.push(("JSON", Json));
        list.push(("VECTOR(3)", Vector));
    }
    list.into_iter()
        .enumerate()
        .map(|(index, (definition, judge))| Column {
            name: format!("c{index}"),
            definition,
            judge,
        })
        .collect()
}

impl Judge {
    /// A value as the source's SQL spells it.
    fn value(self, random: &mut Random) -> String {
        if random.chance(8) {
            return "NULL".to_owned();
        }
        match self {
            Judge::Integer { low, high } => integer(random, low, high),
            Judge::Decimal { digits, scale } => decimal(random, digits, scale),
            Judge::Float => format!("{:e}", float(random)),
            Judge::Double => format!("{:e}", double(random)),
            Judge::Bits(bits) => format!("{}", random.word() >> (64 - bits)),
            Judge::Text { characters, charset } => text(random, characters, charset),
            Judge::Bytes { length } => bytes(random, length),
            Judge::Label(labels) | Judge::Spelled(labels) => format!("'{}'", random.pick(labels)),
            Judge::Date => format!("'{}'", date(random)),
            Judge::DateTime => format!("'{} {}'", date(random), clock(random, 23)),
            Judge::Timestamp => {
                let year = random.between(1971, 2037);
                format!(
                    "'{year}-{:02}-{:02} {}'",
                    random.between(1, 12),
                    random.between(1, 28),
                    clock(random, 23)
                )
            }
            Judge::Time => {
                let sign = if random.chance(50) { "-" } else { "" };
                format!("'{sign}{}'", clock(random, 837))
            }
            Judge::Year => random.pick(&["1901", "2155", "1970", "2024", "0"]).to_string(),
            Judge::Json => format!("'{}'", json(random, 3).replace('\\', "\\\\")),
            // MariaDB's own comparison takes `\/` and `/` for different, and 1e3 and 1000.
            Judge::JsonText => {
                let text = json(random, 3)
                    .replace("\\/", "/")
                    .replace("1e3", "1000")
                    .replace("1.5e-7", "0.25");
                format!("'{}'", text.replace('\\', "\\\\"))
            }
            Judge::Geometry => geometry(random),
            Judge::Vector => {
                // The server takes no subnormal element from text.
                let mut element = || {
                    Some(float(random))
                        .filter(|value| value.is_normal())
                        .unwrap_or_default()
                };
                format!("STRING_TO_VECTOR('[{:e},{:e},{:e}]')", element(), element(), 0.0)
            }
        }
    }

    /// An expression that is 1 if the source's column holds what the target has.
    fn verdict(self, column: &str, value: WireValue<'_>) -> String {
        let literal = literal(value);
        match self {
            Judge::Integer { .. } | Judge::Year => format!("{column} <=> CAST({literal} AS DECIMAL(65,0))"),
            Judge::Decimal { .. } => format!("{column} <=> CAST({literal} AS DECIMAL(65,30))"),
            Judge::Float => format!("{column} * 1e0 <=> {literal}"),
            Judge::Double => format!("{column} <=> {literal}"),
            Judge::Bits(_) => {
                format!(
                    "CAST({column} AS UNSIGNED) <=> CAST(CONV(HEX(FROM_BASE64({literal})), 16, 10) AS UNSIGNED)"
                )
            }
            Judge::Text { .. } | Judge::Label(_) => {
                format!("HEX(CONVERT({column} USING utf8mb4)) <=> HEX({literal})")
            }
            Judge::Bytes { .. } | Judge::Geometry => format!("HEX({column}) <=> HEX(FROM_BASE64({literal}))"),
            Judge::Date => format!("{column} <=> CAST({literal} AS DATE)"),
            Judge::DateTime | Judge::Timestamp => {
                format!("{column} <=> CAST(REPLACE(REPLACE({literal}, 'T', ' '), 'Z', '') AS DATETIME(6))")
            }
            Judge::Time => format!("{column} <=> CAST({literal} AS TIME(6))"),
            Judge::Json => format!("{column} <=> CAST({literal} AS JSON)"),
            Judge::JsonText => {
                format!("COALESCE(JSON_EQUALS({column}, {literal}), {column} IS NULL AND {literal} IS NULL)")
            }
            Judge::Spelled(_) => format!("CAST({column} AS CHAR) <=> {literal}"),
            Judge::Vector => format!("HEX({column}) <=> {literal}"),
        }
    }
}

/// A value of the target as a literal of the source.
fn literal(value: WireValue<'_>) -> String {
    match value {
        WireValue::Null => "NULL".to_owned(),
        WireValue::Number(number) => format!("{number:e}"),
        WireValue::String([]) => "''".to_owned(),
        WireValue::String(text) => format!("CONVERT(X'{}' USING utf8mb4)", hex(text)),
        WireValue::Bool(value) => u8::from(value).to_string(),
        WireValue::List(elements) => {
            let mut text = String::new();
            for element in WireReader::new(elements) {
                let Ok(WireValue::Number(number)) = element else {
                    panic!("a vector of numbers, not {element:?}")
                };
                let single = number as f32;
                assert_eq!(f64::from(single), number, "an element is a 4-byte float");
                text += &hex(&single.to_le_bytes());
            }
            format!("'{}'", text.to_uppercase())
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn integer(random: &mut Random, low: i128, high: i128) -> String {
    let span = (high - low) as u128;
    let any = low + (u128::from(random.word()) % (span + 1)) as i128;
    let small = i128::from(random.below(3)).clamp(low, high);
    random
        .pick(&[low, high, any, any, small, low + 1, high - 1])
        .to_string()
}

fn decimal(random: &mut Random, digits: u64, scale: u64) -> String {
    let whole = digits - scale;
    let mut text = String::from(if random.chance(50) { "-" } else { "" });
    let nines = random.chance(15);
    let mut run = |length: u64, text: &mut String| {
        let used = if nines { length } else { random.below(length + 1) };
        for _ in 0..used {
            text.push(if nines {
                '9'
            } else {
                char::from(b'0' + random.below(10) as u8)
            });
        }
        if used == 0 {
            text.push('0');
        }
    };
    run(whole, &mut text);
    text.push('.');
    run(scale, &mut text);
    text
}

fn float(random: &mut Random) -> f32 {
    let any = f32::from_bits(random.word() as u32);
    let any = if any.is_finite() { any } else { 0.1 };
    *random.pick(&[
        any,
        any,
        any,
        0.0,
        0.1,
        16_777_216.0,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        -1.5,
    ])
}

fn double(random: &mut Random) -> f64 {
    let any = f64::from_bits(random.word());
    let any = if any.is_finite() { any } else { 0.1 };
    *random.pick(&[
        any,
        any,
        any,
        0.0,
        0.1,
        9_007_199_254_740_993.0,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
    ])
}

fn text(random: &mut Random, characters: u64, charset: &str) -> String {
    const PICKED: [&str; 22] = [
        "a", "Z", " ", "\0", "\n", "\t", "'", "\"", "\\", "%", "ü", "ß", "é", "€", "Ж", "я", "中", "文",
        "한", "ア", "🍐", "\u{301}",
    ];
    let mut text = String::new();
    for _ in 0..random.below(characters + 1) {
        text.push_str(random.pick::<&str>(&PICKED));
    }
    let utf8 = format!("CONVERT(X'{}' USING utf8mb4)", hex(text.as_bytes()));
    if text.is_empty() {
        "''".to_owned()
    } else {
        format!("CONVERT({utf8} USING {charset})")
    }
}

fn bytes(random: &mut Random, length: u64) -> String {
    let length = random.below(length + 1) as usize;
    let mut bytes = random.bytes(length);
    if random.chance(50) {
        // Trailing zero bytes and spaces, which the binary log strips from BINARY(n).
        let from = length / 2;
        bytes[from..].fill(*random.pick(&[0, b' ']));
    }
    if bytes.is_empty() {
        "''".to_owned()
    } else {
        format!("X'{}'", hex(&bytes))
    }
}

fn date(random: &mut Random) -> String {
    let year = *random.pick(&[1, 1000, 1582, 1900, 1969, 1970, 2000, 2024, 2038, 9999]);
    let (month, day) = *random.pick(&[(1, 1), (2, 28), (10, 15), (12, 31), (6, 30)]);
    format!("{year:04}-{month:02}-{day:02}")
}

fn clock(random: &mut Random, hours: u64) -> String {
    // Half a microsecond is never asked for, so that no server rounds up into the next day; a
    // column with fewer digits may.
    let micros = random.pick(&[0, 5, 499_999, 120_000, 1]).to_string();
    format!(
        "{:02}:{:02}:{:02}.{micros:0>6}",
        random.below(hours + 1),
        random.below(60),
        random.below(59)
    )
}

fn json(random: &mut Random, depth: u64) -> String {
    let leaf = depth == 0 || random.chance(50);
    match random.below(if leaf { 5 } else { 7 }) {
        0 => random.pick(&["null", "true", "false"]).to_string(),
        1 => random
            .pick(&[
                "0",
                "-1",
                "9223372036854775807",
                "18446744073709551615",
                "-9223372036854775808",
            ])
            .to_string(),
        2 => random
            .pick(&["0.5", "-2.25", "1e3", "1.5e-7", "3.141592653589793"])
            .to_string(),
        3 => random
            .pick(&[
                r#""""#,
                r#""x""#,
                r#""ü🍐""#,
                r#""a\"b\\c\/d\n\u0001""#,
                r#""NULL""#,
            ])
            .to_string(),
        4 => random
            .pick(&["[]", "{}", "[1, 2, 3]", r#"{"a": null}"#])
            .to_string(),
        5 => format!("[{}, {}]", json(random, depth - 1), json(random, depth - 1)),
        _ => format!(
            r#"{{"k": {}, "ä b": {}, "": 1}}"#,
            json(random, depth - 1),
            json(random, depth - 1)
        ),
    }
}

fn geometry(random: &mut Random) -> String {
    let text = random.pick(&[
        "POINT(1 -2)",
        "LINESTRING(0 0, 1.5 2.5, -3 4)",
        "POLYGON((0 0, 4 0, 4 4, 0 4, 0 0))",
        "MULTIPOINT(1 1, 2 2)",
        "GEOMETRYCOLLECTION(POINT(1 1), LINESTRING(0 0, 1 1))",
    ]);
    format!("ST_GeomFromText('{text}', {})", random.pick(&[0, 4326]))
}

fn insert(columns: &[Column], random: &mut Random) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let values: Vec<String> = columns.iter().map(|column| column.judge.value(random)).collect();
    format!(
        "INSERT INTO t ({}) VALUES ({})",
        names.join(","),
        values.join(",")
    )
}

async fn target_rows(world: &World, columns: &[Column]) -> Vec<Vec<u8>> {
    let choice = EndpointChoice {
        emulator_host: Some(world.emulator.host_port().to_owned()),
        ..EndpointChoice::default()
    };
    let name = "spanner://projects/test/instances/test/databases/shop"
        .parse()
        .unwrap();
    let client = Client::new(name, Endpoint::choose(&choice).unwrap(), ClientOptions::default()).unwrap();
    let names = std::iter::once("id").chain(columns.iter().map(|column| column.name.as_str()));
    let rows = client
        .read("t", &Read::new("t", names, Keys::All), ReadAt::Strong)
        .await
        .unwrap();
    rows.collect()
        .await
        .unwrap()
        .iter()
        .map(|row| row.to_vec())
        .collect()
}

/// The source judges every cell that the target holds.
async fn judge(world: &World, columns: &[Column]) {
    let pool = world.server.pool(Some("shop"));
    let mut connection = pool.get_conn().await.unwrap();
    connection
        .query_drop("SET time_zone = '+00:00', sql_mode = ''")
        .await
        .unwrap();
    let rows = target_rows(world, columns).await;
    let expected: Option<u64> = connection.query_first("SELECT COUNT(*) FROM t").await.unwrap();
    assert_eq!(
        Some(rows.len() as u64),
        expected,
        "rows at the target, rows at the source"
    );
    for row in rows {
        let mut cells = WireReader::new(&row).map(Result::unwrap);
        let Some(WireValue::String(id)) = cells.next() else {
            panic!("the key comes first")
        };
        let id = String::from_utf8(id.to_vec()).unwrap();
        let verdicts: Vec<String> = columns
            .iter()
            .zip(cells)
            .map(|(column, cell)| column.judge.verdict(&column.name, cell))
            .collect();
        let sql = format!(
            "SELECT CONCAT_WS(',', {}) FROM t WHERE id = {id}",
            verdicts.join(", ")
        );
        let found: Option<String> = connection.query_first(sql).await.unwrap();
        let found = found.expect("the source has this row");
        for (at, verdict) in found.split(',').enumerate() {
            assert_eq!(
                verdict, "1",
                "row {id}, {} {}: {}",
                columns[at].name, columns[at].definition, verdicts[at]
            );
        }
        assert_eq!(
            found.split(',').count(),
            columns.len(),
            "a verdict on every column"
        );
    }
    drop(connection);
    pool.disconnect().await.unwrap();
}

async fn source_agrees(engine: Engine, dialect: &'static str) {
    let columns = columns(engine);
    let seed = seed(20_261_125);
    let mut random = Random::new(seed);
    let definitions: Vec<String> = columns
        .iter()
        .map(|column| format!("{} {}", column.name, column.definition))
        .collect();
    // Floating point in JSON, and a session's own time zone and mode: neither may matter.
    let mut setup = format!(
        "CREATE TABLE t (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, {}) CHARACTER SET utf8mb4;\nSET sql_mode = '', time_zone = '-03:00';\n",
        definitions.join(", ")
    );
    let before: Vec<String> = (0..ROWS).map(|_| insert(&columns, &mut random)).collect();
    setup += &before.join(";\n");
    let server = spanferry_testkit::server::Server::start(engine).unwrap();
    let world = World::with(server, dialect, &setup).await;
    let mut migrate = world.migrate();
    world.wait_caught_up(&mut migrate);
    let mut after: Vec<String> = vec!["SET sql_mode = '', time_zone = '+11:00'".to_owned()];
    after.extend((0..ROWS).map(|_| insert(&columns, &mut random)));
    for id in 1..=ROWS {
        let column = &columns[random.below(columns.len() as u64) as usize];
        let value = column.judge.value(&mut random);
        after.push(format!("UPDATE t SET {} = {value} WHERE id = {id}", column.name));
    }
    world.sql(&after.join(";\n")).await;
    assert_eq!(migrate.interrupt(), 130, "seed {seed}");
    world.expect_drained();
    world.expect_equal();
    judge(&world, &columns).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_values_agree_mysql() {
    source_agrees(Engine::MySql, "googlesql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_values_agree_mysql_postgresql_dialect() {
    source_agrees(Engine::MySql, "postgresql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_values_agree_mariadb() {
    source_agrees(Engine::MariaDb, "googlesql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_values_agree_mariadb_postgresql_dialect() {
    source_agrees(Engine::MariaDb, "postgresql").await;
}
