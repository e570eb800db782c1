//! The decoder without a server: golden transactions, damaged bytes, statements, transactions'
//! ends.

use std::sync::Arc;

use spanferry_core::fixture;
use spanferry_core::plan::{TableId, TablePlan};
use spanferry_core::port::change::{Change, ChangeSink, NewRow, SchemaChange};
use spanferry_core::port::change_log::{PIECE_BYTES_MAX, Piece, PieceKind, Sequence};
use spanferry_core::port::source::ChangeDecoder;
use spanferry_core::position::Position;
use spanferry_core::report::code;
use spanferry_core::report::finding::Finding;
use spanferry_core::schema::charset::Charset;
use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::schema::source::SourceTable;
use spanferry_core::value::encode::Encoding;
use spanferry_core::wire::list_value::{WireReader, WireValue};
use spanferry_format::mysql::statement::Statement;
use spanferry_format::mysql::token::Dialect;

use super::assemble::Assembler;
use super::assemble_error::AssembleError;
use super::decoder::BinlogDecoder;
use super::event::kind;
use super::event::{CHECKSUM_BYTES, append_event, next_event, verified};
use super::golden::{
    Golden, MARIADB_DELETE, MARIADB_INSERT, MARIADB_UPDATE, MYSQL_DELETE, MYSQL_INSERT, MYSQL_TAGGED,
    MYSQL_UPDATE,
};
use super::proof::{Proof, Purpose};
use super::query::{QueryEvent, is_begin};
use super::table_map::Definition;
use super::{decimal, json};
use crate::fuzz::{Random, bytes};

fn nothing_to_prove() -> Proof {
    Proof::new(Purpose::Compare, Vec::new())
}

pub(super) fn piece(golden: &Golden) -> Piece {
    Piece {
        sequence: Sequence(1),
        number: 0,
        last: true,
        kind: PieceKind::Transaction,
        transaction: golden.0.to_owned(),
        committed_at_us: golden.1,
        body: bytes(golden.2),
    }
}

const TEXT: Encoding = Encoding::String { characters_max: 99 };

/// The table of the golden transactions.
pub(super) fn golden_plan(json: bool) -> Arc<TablePlan> {
    let latin = || (vec!["a".to_owned(), "ä".to_owned()], Charset::Latin1);
    let (labels, charset) = latin();
    let types = [
        (
            "id",
            MysqlType::Integer {
                bits: 32,
                unsigned: true,
            },
            Encoding::Int64,
        ),
        ("y", MysqlType::Year, Encoding::Int64),
        (
            "b",
            MysqlType::Binary { bytes: 4 },
            Encoding::Bytes { bytes_max: 99 },
        ),
        (
            "c",
            MysqlType::Varchar {
                characters: 20,
                charset,
                collation: String::new(),
            },
            TEXT,
        ),
        ("e", MysqlType::Enum { labels, charset }, TEXT),
        (
            "s",
            MysqlType::Set {
                labels: vec!["x".into(), "y".into()],
                charset: Charset::Utf8mb4,
            },
            TEXT,
        ),
        (
            "d",
            MysqlType::Decimal {
                precision: 12,
                scale: 3,
            },
            Encoding::PgNumeric,
        ),
        ("t", MysqlType::Time { fraction: 3 }, TEXT),
        ("dt", MysqlType::DateTime { fraction: 6 }, Encoding::Timestamp),
        ("ts", MysqlType::Timestamp { fraction: 0 }, Encoding::Timestamp),
        ("f", MysqlType::Double, Encoding::Float64),
        ("j", MysqlType::Json, TEXT),
    ];
    let types = &types[..if json { 12 } else { 11 }];
    let columns = types
        .iter()
        .map(|(name, ty, _)| fixture::column(name, ty.clone()));
    let mut source = fixture::table("t", columns.collect());
    "g".clone_into(&mut source.name.schema);
    let encodings = types.iter().map(|(_, _, encoding)| *encoding);
    Arc::new(fixture::plan(source, encodings))
}

/// Writes changes down as text.
#[derive(Debug, Default)]
pub(super) struct Sink {
    pub(super) changes: Vec<String>,
    pub(super) stops: Vec<Finding>,
    pub(super) passed: u64,
    /// What is said of rows before their changes, if it is wanted.
    pub(super) old_rows: Vec<Option<String>>,
    pub(super) wants_old_rows: bool,
    /// Rows after their changes.
    pub(super) new_rows: Vec<String>,
}

pub(super) fn shown(payload: &[u8]) -> String {
    let values = WireReader::new(payload).map(|value| match value.unwrap() {
        WireValue::Null => "NULL".to_owned(),
        WireValue::String(text) => String::from_utf8_lossy(text).into_owned(),
        other => format!("{other:?}"),
    });
    values.collect::<Vec<_>>().join("|")
}

fn updated(old_key: &[u8], key: &[u8], row: &[u8]) -> String {
    let (moved_from, key, row) = (shown(old_key), shown(key), shown(row));
    if moved_from == key {
        format!("upsert {key} {row}")
    } else {
        format!("relocate {moved_from} {key} {row}")
    }
}

impl ChangeSink for Sink {
    fn wants_old_rows(&self, _: TableId) -> bool {
        self.wants_old_rows
    }
    fn change(&mut self, _: TableId, change: Change<'_>) {
        let (text, old, after) = match change {
            Change::Insert { key, row } => (format!("upsert {} {}", shown(key), shown(row)), None, Some(row)),
            Change::Update { old, key, row } => {
                let NewRow::Whole(row) = row else {
                    panic!("MySQL's images are whole")
                };
                (updated(old.key, key, row), Some(old), Some(row))
            }
            Change::Delete { old } => (format!("delete {}", shown(old.key)), Some(old), None),
        };
        self.changes.push(text);
        self.new_rows.extend(after.map(shown));
        self.old_rows.extend(old.map(|old| old.row.map(shown)));
    }
    fn schema_change(&mut self, _: TableId, change: SchemaChange) {
        self.stops.push(change.finding);
    }
    fn pass(&mut self, _: TableId, changes: u64) {
        self.passed += changes;
    }
    fn stop(&mut self, _: TableId, finding: Finding) {
        self.stops.push(finding);
    }
    fn notice(&mut self, _: Finding) {}
}

fn decoded(golden: &Golden, plan: &Arc<TablePlan>) -> Sink {
    let mut sink = Sink::default();
    let mut decoder = BinlogDecoder::new("g", std::slice::from_ref(plan));
    decoder.decode(&piece(golden), &mut sink).unwrap();
    sink
}

const FIRST: &str = "4294967295|2024|AQAAAA==|é|ä|x,y|-12.5|-00:00:00.001000|2024-02-29T01:02:03.456789Z|2024-01-01T00:00:01Z|Number(0.1)";
const SECOND: &str = "1|0|AQAAAA==|NULL|ä|x,y|-12.5|-00:00:00.001000|2024-02-29T01:02:03.456789Z|2024-01-01T00:00:01Z|Number(0.1)";

#[test]
fn golden_transactions() {
    let (with, without) = (golden_plan(true), golden_plan(false));
    let check = |golden: &Golden, plan: &Arc<TablePlan>, expected: String| {
        let sink = decoded(golden, plan);
        assert_eq!((sink.stops, sink.changes), (vec![], vec![expected]));
    };
    check(&MYSQL_INSERT, &with, format!("upsert 4294967295 {FIRST}|NULL"));
    check(
        &MYSQL_UPDATE,
        &with,
        format!("relocate 4294967295 1 {SECOND}|NULL"),
    );
    check(
        &MYSQL_TAGGED,
        &with,
        format!("upsert 1 {SECOND}|{{\"a\": [1, -2.5, \"x\"]}}"),
    );
    check(&MYSQL_DELETE, &with, "delete 1".to_owned());
    check(&MARIADB_INSERT, &without, format!("upsert 4294967295 {FIRST}"));
    check(
        &MARIADB_UPDATE,
        &without,
        format!("relocate 4294967295 1 {SECOND}"),
    );
    check(&MARIADB_DELETE, &without, "delete 1".to_owned());
}

#[test]
fn another_schema_stops() {
    let check = |change: &dyn Fn(&mut SourceTable), expected: &str| {
        let mut plan = TablePlan::clone(&golden_plan(true));
        change(Arc::make_mut(&mut plan.source));
        let sink = decoded(&MYSQL_INSERT, &Arc::new(plan));
        assert_eq!(sink.stops.len(), 1);
        assert_eq!(sink.stops[0].code, code::SCHEMA_MISMATCH);
        assert!(sink.stops[0].text.contains(expected), "{}", sink.stops[0].text);
        assert!(sink.changes.is_empty());
    };
    check(&|table| table.columns.swap(8, 9), "column `ts` is `dt`");
    check(
        &|table| {
            table.columns[0].ty = MysqlType::Integer {
                bits: 32,
                unsigned: false,
            }
            .into();
        },
        "column `id`",
    );
    check(
        &|table| table.columns[3].nullable = false,
        "column `c` allows NULL",
    );
    check(&|table| table.primary_key = vec![1], "primary key");
    check(&|table| drop(table.columns.pop()), "12 columns");
    check(
        &|table| table.columns[2].ty = MysqlType::Binary { bytes: 5 }.into(),
        "column `b`",
    );
    check(
        &|table| table.columns[8].ty = MysqlType::DateTime { fraction: 3 }.into(),
        "column `dt`",
    );
    check(
        &|table| {
            table.columns[4].ty = MysqlType::Enum {
                labels: vec!["ä".into(), "a".into()],
                charset: Charset::Latin1,
            }
            .into();
        },
        "column `e`",
    );
}

/// `{"a": [1, -2.5, "x"]}` as MySQL 9.7 stores it.
const DOCUMENT: &str = "00010023000b000100020c0061030017000501000b0d000c150000000000000004c00178";
/// Changed transactions, and as many changed documents.
const FUZZ_ROUNDS: usize = 20_000;

#[test]
fn fuzz_transactions_never_panic() {
    let plan = golden_plan(true);
    let mut random = Random(0x5eed);
    let goldens = [
        &MYSQL_INSERT,
        &MYSQL_UPDATE,
        &MYSQL_TAGGED,
        &MYSQL_DELETE,
        &MARIADB_INSERT,
        &MARIADB_UPDATE,
        &MARIADB_DELETE,
    ];
    for round in 0..FUZZ_ROUNDS {
        let mut piece = piece(goldens[round % goldens.len()]);
        random.damage(&mut piece.body);
        let (mut decoder, mut sink) = (
            BinlogDecoder::new("g", std::slice::from_ref(&plan)),
            Sink::default(),
        );
        let _outcome = decoder.decode(&piece, &mut sink);
        assert!(sink.changes.len() <= piece.body.len(), "changes out of nothing");
        let mut assembler = Assembler::new(Position::parse("mysql:").unwrap(), nothing_to_prove());
        let (mut run, mut pieces) = (piece.body.as_slice(), Vec::new());
        while let Ok(Some(event)) = next_event(&mut run) {
            let mut whole = vec![0; 19];
            whole[4] = event.header.kind;
            whole.extend_from_slice(event.body);
            let _outcome = assembler.event(&whole, &mut pieces);
        }
        let assembled: usize = pieces.iter().map(|piece| piece.body.len()).sum();
        assert!(assembled <= piece.body.len(), "{assembled} bytes assembled");
    }
}

#[test]
fn fuzz_documents_and_noise_never_panic() {
    let mut random = Random(0x0bad_5eed);
    let mut whole = String::new();
    json::to_text(&bytes(DOCUMENT), &mut whole).unwrap();
    assert_eq!(whole, "{\"a\": [1, -2.5, \"x\"]}");
    for round in 0..FUZZ_ROUNDS {
        let mut document = bytes(DOCUMENT);
        random.damage(&mut document);
        let noise = random.noise(120);
        for bytes in [&document, &noise] {
            let mut text = String::new();
            let _outcome = json::to_text(bytes, &mut text);
            assert!(text.len() <= 100 * (bytes.len() + 1), "{} characters", text.len());
            let _outcome = (Definition::parse(bytes, true), Definition::parse(bytes, false));
        }
        let text = String::from_utf8_lossy(&noise);
        let dialect = Dialect {
            mariadb: round % 5 == 0,
            ansi_quotes: round % 2 == 0,
            no_backslash: round % 3 == 0,
        };
        let _statement = Statement::read(&text, dialect);
    }
}

#[test]
fn json_whose_parts_overlap_is_refused() {
    // A large array of arrays that all lie at the same place, level under level.
    let mut document = vec![2];
    for _ in 0..90 {
        document.extend_from_slice(&[2, 0, 0xff, 0x7f, 2, 10, 0, 2, 10, 0]);
    }
    document.resize(0x8000, 0);
    assert!(json::to_text(&document, &mut String::new()).is_err());
}

#[test]
fn doubles_in_json() {
    let check = |input: f64, expected: &str| {
        let mut text = String::new();
        json::double(input, &mut text);
        assert_eq!(text, expected);
    };
    check(0.0, "0.0");
    check(-0.0, "-0.0");
    check(1.0, "1.0");
    check(1e14, "100000000000000.0");
    check(1e15, "1e15");
    check(0.000_012_34, "0.00001234");
    check(1e-15, "0.000000000000001");
    check(1e-16, "1e-16");
    check(-2.5e-300, "-2.5e-300");
}

#[test]
fn decimals() {
    let check = |hex: &str, precision, scale, expected: &str| {
        let mut text = Vec::new();
        decimal::decimal_text(&bytes(hex), precision, scale, &mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    };
    // `decimal2bin` of MySQL's own documentation: 1234567890.1234 as DECIMAL(14,4).
    check("810dfb38d204d2", 14, 4, "1234567890.1234");
    check("7ef204c72dfb2d", 14, 4, "-1234567890.1234");
    check("80000000000000", 14, 4, "0.0000");
}

#[test]
fn large_transactions_are_cut_between_events() {
    let whole = bytes(MYSQL_INSERT.2);
    let (mut run, mut events) = (whole.as_slice(), Vec::new());
    while let Some(event) = next_event(&mut run).unwrap() {
        let mut copy = whole[..0].to_vec();
        let start = whole.len() - run.len() - event.body.len() - 19;
        append_event(&mut copy, &whole[start..whole.len() - run.len()]).unwrap();
        events.push(copy);
    }
    let mut huge = events[3].clone();
    huge.resize(PIECE_BYTES_MAX / 3, 0);
    let mut assembler = Assembler::new(Position::parse("mysql:").unwrap(), nothing_to_prove());
    let mut pieces = Vec::new();
    for event in [
        &events[0], &events[1], &events[2], &huge, &huge, &huge, &huge, &events[4],
    ] {
        assembler.event(event, &mut pieces).unwrap();
    }
    assert_eq!(
        pieces.iter().map(|piece| piece.last).collect::<Vec<_>>(),
        [false, true]
    );
    let text = format!("{}@{}", MYSQL_INSERT.0, MYSQL_INSERT.1);
    assert!(
        pieces
            .iter()
            .all(|piece| piece.body.len() <= PIECE_BYTES_MAX && piece.transaction == text)
    );
    assert_eq!(pieces[0].committed_at_us, MYSQL_INSERT.1);
    let again = assembler.event(&events[0], &mut pieces).unwrap_err();
    assert_eq!(again, AssembleError::Again(MYSQL_INSERT.0.to_owned()));
}

#[test]
fn checksums_are_verified() {
    let mut event = Vec::new();
    let whole = bytes(MARIADB_INSERT.2);
    append_event(&mut event, &whole[..0x26]).unwrap();
    let size = u32::try_from(event.len() + CHECKSUM_BYTES).unwrap();
    event[9..13].copy_from_slice(&size.to_le_bytes());
    event.extend_from_slice(&crc32fast::hash(&event).to_le_bytes());
    assert_eq!(verified(&event, true).unwrap().len(), 0x26);
    event[20] ^= 1;
    verified(&event, true).unwrap_err();
}

#[test]
fn begin_is_told_as_the_whole_parser_tells_it() {
    for golden in [MYSQL_INSERT, MYSQL_TAGGED] {
        let body = bytes(golden.2);
        let mut run = body.as_slice();
        let mut begins = 0;
        while let Some(event) = next_event(&mut run).unwrap() {
            let parsed = (event.header.kind == kind::QUERY).then(|| QueryEvent::parse(event.body).unwrap());
            let expected = parsed.is_some_and(|query| query.text.as_deref() == Some("BEGIN"));
            assert_eq!(event.header.kind == kind::QUERY && is_begin(event.body), expected);
            begins += usize::from(expected);
            for cut in 0..event.body.len() {
                assert!(!is_begin(&event.body[..cut]), "cut at {cut}");
            }
        }
        assert_eq!(begins, 1);
    }
}

/// Events of both servers carry the row before a change: that of the update is the one that was
/// inserted.
#[test]
fn events_carry_the_row_before() {
    for (json, chain) in [
        (true, [&MYSQL_INSERT, &MYSQL_UPDATE, &MYSQL_DELETE]),
        (false, [&MARIADB_INSERT, &MARIADB_UPDATE, &MARIADB_DELETE]),
    ] {
        let plan = golden_plan(json);
        let mut sink = Sink {
            wants_old_rows: true,
            ..Sink::default()
        };
        let mut decoder = BinlogDecoder::new("g", std::slice::from_ref(&plan));
        for golden in chain {
            decoder.decode(&piece(golden), &mut sink).unwrap();
        }
        let [updated, deleted] = &sink.old_rows[..] else {
            panic!("{:?}", sink.old_rows)
        };
        assert_eq!(updated.as_ref(), sink.new_rows.first(), "json {json}");
        let key = sink.changes[2].strip_prefix("delete ").unwrap();
        let row = deleted.as_ref().unwrap();
        assert!(row.starts_with(&format!("{key}|")), "json {json}: {row}");
        // Not wanted, it is not told.
        sink = Sink::default();
        decoder.decode(&piece(chain[1]), &mut sink).unwrap();
        assert_eq!(sink.old_rows, [None]);
    }
}
