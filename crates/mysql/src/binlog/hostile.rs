//! Events of a server that lies about sizes and counts: what they can make us keep has a bound, and
//! reading them has an end.

use spanferry_core::port::source::ChangeDecoder;
use spanferry_core::position::Position;
use spanferry_core::schema::source::ForeignKeyAction;
use spanferry_format::mysql::statement::{Kind, Statement};
use spanferry_format::mysql::token::Dialect;

use super::assemble::Assembler;
use super::assemble_error::AssembleError;
use super::cascade_tests::child;
use super::compressed::inflate;
use super::content::Content;
use super::count::ChangeCounter;
use super::decoder::BinlogDecoder;
use super::definitions::Definitions;
use super::event::{Header, Malformed, append_event, kind};
use super::golden::MARIADB_INSERT;
use super::gtid::parse_mysql_tagged;
use super::proof::{Proof, Purpose};
use super::rows::{Change, RowsEvent, RowsFlags};
use super::table_map::{Definition, TRANSACTION_TABLES_MAX};
use super::tests::{Sink, golden_plan, piece};
use super::transaction::{TRANSACTION_MAP_BYTES_MAX, Transaction};

/// An event with its header.
fn event(number: u8, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(19 + body.len()).unwrap().to_le_bytes();
    [&[1, 0, 0, 0, number, 1, 0, 0, 0], &size[..], &[0; 6], body].concat()
}

/// A table map of table `t` of schema `g` with this number, and one integer column.
fn table_map(number: u64) -> Vec<u8> {
    let body = [
        &number.to_le_bytes()[..6],
        b"\x01\x00\x01g\0\x01t\0\x01\x03\x00\x00",
    ]
    .concat();
    event(kind::TABLE_MAP, &body)
}

#[test]
fn events_outside_of_transactions_are_few() {
    let stray = event(kind::USER_VAR, &vec![7; 100_000]);
    let position = Position::parse("mysql:").unwrap();
    let mut assembler = Assembler::new(position, Proof::new(Purpose::Compare, Vec::new()));
    let mut pieces = Vec::new();
    let outcome = (0..20).try_for_each(|_| assembler.event(&stray, &mut pieces));
    let expected = AssembleError::Malformed(Malformed("more than 1 MiB of events outside of transactions"));
    assert_eq!(outcome, Err(expected));
}

#[test]
fn a_table_map_has_no_more_than_a_table() {
    let check = |bytes: &[u8], expected: &'static str| {
        assert_eq!(Definition::parse(bytes, false), Err(Malformed(expected)));
    };
    check(&[0xfd, 0, 0, 1], "a table map with more than 4096 columns");
    // One INT column; its primary key has two.
    check(
        &[1, 3, 0, 0, 8, 2, 0, 0],
        "a primary key of more columns than the table has",
    );
    check(
        &[1, 3, 0, 0, 9, 4, 0, 0, 0, 0],
        "a primary key of more columns than the table has",
    );
    // ENUM columns, with a million labels together.
    let labels = |counts: &[u32]| {
        let metas = counts.iter().flat_map(|_| [247, 2]);
        let count = u8::try_from(counts.len()).unwrap();
        let mut bytes = vec![count];
        bytes.extend(counts.iter().map(|_| 254));
        bytes.push(2 * count);
        bytes.extend(metas);
        bytes.push(0);
        let mut value = Vec::new();
        for labels in counts {
            let all = usize::try_from(*labels).unwrap().min(700_000);
            value.push(254);
            value.extend_from_slice(&u64::from(*labels).to_le_bytes());
            value.extend(std::iter::repeat_n(0, all));
        }
        bytes.extend_from_slice(&[6, 254]);
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&value);
        bytes
    };
    check(&labels(&[u32::MAX]), "more than a million labels in a table map");
    check(
        &labels(&[700_000, 700_000]),
        "more than a million labels in a table map",
    );
    assert!(Definition::parse(&labels(&[700_000]), false).is_ok());
}

#[test]
fn a_transaction_has_a_bound_of_tables() {
    let maps = (0..=u64::try_from(TRANSACTION_TABLES_MAX).unwrap()).map(table_map);
    let mut content = Content::default();
    let (mut body, mut stops) = (Vec::new(), Sink::default());
    for map in maps {
        content.event(&Header::parse(&map).unwrap(), &map[19..]);
        append_event(&mut body, &map).unwrap();
    }
    assert_eq!(content.finish(), None);
    let mut whole = piece(&MARIADB_INSERT);
    whole.body = body;
    let mut decoder = BinlogDecoder::new("g", &[golden_plan(false)]);
    decoder.decode(&whole, &mut stops).unwrap();
    let [stop] = stops.stops.as_slice() else {
        panic!("{:?}", stops.stops)
    };
    assert_eq!(stop.text, "a transaction of more than 65536 tables");
}

#[test]
fn table_maps_that_are_kept_have_a_bound_of_bytes() {
    let mut definitions = Definitions::default();
    for bytes in [40 << 20, 41 << 20, 70 << 20] {
        definitions.keep(&vec![0; bytes], &None);
        assert_eq!(definitions.kept(), (1, bytes.min(41 << 20)));
    }
}

#[test]
fn whole_table_maps_of_a_transaction_have_a_bound_of_bytes() {
    let mut transaction = Transaction::default();
    let half = vec![0; TRANSACTION_MAP_BYTES_MAX / 2];
    assert!(transaction.keep_map(1, &half) && transaction.keep_map(2, &half));
    assert!(!transaction.keep_map(3, &[1]));
    // The same once more, and another one in its place, as each statement of a transaction has it.
    assert!(transaction.keep_map(1, &half) && transaction.keep_map(2, &half[1..]));
    assert!(transaction.keep_map(3, &[1]));
    assert_eq!(transaction.kept_map(3), Some(&[1][..]));
    transaction.clear();
    assert!(transaction.kept_map(3).is_none() && transaction.keep_map(3, &[half.as_slice(); 2].concat()));

    let mut body = Vec::new();
    for number in 1..4 {
        let map = [&table_map(number)[19..], &vec![0; 30 << 20]].concat();
        append_event(&mut body, &event(kind::TABLE_MAP, &map)).unwrap();
    }
    let mut whole = piece(&MARIADB_INSERT);
    whole.body = body;
    let stops = |plans: &[_]| {
        let mut sink = Sink::default();
        BinlogDecoder::new("g", plans).decode(&whole, &mut sink).unwrap();
        sink.stops.into_iter().map(|stop| stop.text).collect::<Vec<_>>()
    };
    let child = child(1, "c", ("g", "p", "id"), [ForeignKeyAction::Cascade; 2]);
    let text = "a transaction of more than 64 MiB of table maps";
    assert_eq!(stops(&[child]), [text]);
    let no_strings: [&str; 0] = [];
    assert_eq!(stops(&[golden_plan(false)]), no_strings, "none are kept");
}

#[test]
fn a_tag_is_short() {
    for (letters, is_read) in [(32, true), (33, false)] {
        // Three numbers of the format, then the fields: server, number 5, tag. Small numbers are
        // doubled.
        let mut body = vec![2, 0, 0, 2];
        body.extend_from_slice(&[0; 16]);
        body.extend_from_slice(&[4, 20, 6, letters << 1]);
        body.extend(std::iter::repeat_n(b'a', usize::from(letters)));
        assert_eq!(parse_mysql_tagged(&body).is_ok(), is_read, "{letters}");
    }
}

/// Images without a column have no bytes: their number has no end.
#[test]
fn images_without_bytes_are_not_counted_for_ever() {
    let check = |definition: &[u8], columns: usize, bitmap: &[u8]| {
        let definition = Definition::parse(definition, false).unwrap();
        let event = RowsEvent {
            table_id: 1,
            flags: RowsFlags(0),
            change: Change::Insert,
            columns,
            first_columns: bitmap,
            second_columns: &[],
            images: &[1, 2, 3],
        };
        assert_eq!(ChangeCounter::new(Some(&definition)).count(&event), 1);
    };
    check(&[0, 0], 0, &[]);
    check(&[1, 3, 0, 0], 1, &[0]);
}

#[test]
fn a_false_length_of_a_compressed_value_takes_no_memory() {
    let mut stored = vec![0x84, 0x40, 0, 0, 1];
    stored.resize(2 << 20, 0);
    let mut value = Vec::new();
    assert!(inflate(&stored, &mut value).is_err());
    assert_eq!(value.capacity(), 0);
}

#[test]
fn a_huge_statement_is_not_taken_apart() {
    let dialect = Dialect {
        mariadb: false,
        ansi_quotes: false,
        no_backslash: false,
    };
    let text = format!("DROP TABLE t{}", " ".repeat(4 << 20));
    assert_eq!(Statement::read(&text, dialect), Statement::new(Kind::Unknown));
    assert_ne!(
        Statement::read(&text[..100], dialect),
        Statement::new(Kind::Unknown)
    );
}
