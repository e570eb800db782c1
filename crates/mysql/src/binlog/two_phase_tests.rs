//! What transactions are to prepared ones, from events as both servers write them.

use spanferry_core::plan::TableId;
use spanferry_core::port::change_log::{Piece, PieceKind, Sequence};
use spanferry_core::port::source::{ChangeDecoder, PreparedId, TwoPhase};
use spanferry_core::schema::source::ForeignKeyAction::{Cascade, NoAction};

use super::cascade_tests::child;
use super::decoder::BinlogDecoder;
use super::event::kind;
use super::golden::MYSQL_INSERT;
use super::tests::{Sink, golden_plan, piece};
use crate::fuzz::Random;

const ID: &str = "X'61',X'',1";

fn event(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut event = vec![0; 19];
    event[4] = kind;
    let size = u32::try_from(19 + body.len()).unwrap();
    event[9..13].copy_from_slice(&size.to_le_bytes());
    event.extend_from_slice(body);
    event
}

fn query(text: &str) -> Vec<u8> {
    let mut body = vec![0; 14];
    body.extend_from_slice(text.as_bytes());
    event(kind::QUERY, &body)
}

/// The table map of a table without columns.
fn table_map(schema: &str, table: &str) -> Vec<u8> {
    let mut body = vec![7, 0, 0, 0, 0, 0, 1, 0];
    for name in [schema, table] {
        body.push(u8::try_from(name.len()).unwrap());
        body.extend_from_slice(name.as_bytes());
        body.push(0);
    }
    body.push(0);
    event(kind::TABLE_MAP, &body)
}

fn prepare(one_phase: bool) -> Vec<u8> {
    let mut body = vec![u8::from(one_phase)];
    for number in [1_u32, 1, 0] {
        body.extend_from_slice(&number.to_le_bytes());
    }
    body.push(b'a');
    event(kind::XA_PREPARE, &body)
}

fn mysql_gtid() -> Vec<u8> {
    event(kind::GTID, &[0; 42])
}

fn mariadb_gtid(flags: u8) -> Vec<u8> {
    let mut body = vec![0; 19];
    body[12] = flags;
    event(kind::MARIADB_GTID, &body)
}

/// Pieces of one transaction: each of them holds these events.
fn pieces(parts: &[&[Vec<u8>]]) -> Vec<Piece> {
    let numbered = parts.iter().zip(0_u32..);
    numbered
        .map(|(events, number)| Piece {
            sequence: Sequence(1),
            number,
            last: usize::try_from(number).unwrap() + 1 == parts.len(),
            kind: PieceKind::Transaction,
            transaction: MYSQL_INSERT.0.to_owned(),
            committed_at_us: 1,
            body: events.concat(),
        })
        .collect()
}

fn told(parts: &[&[Vec<u8>]]) -> Vec<TwoPhase> {
    let plan = golden_plan(true);
    let mut decoder = BinlogDecoder::new("g", std::slice::from_ref(&plan));
    let pieces = pieces(parts);
    let told = pieces.iter().map(|piece| decoder.two_phase(piece).unwrap());
    told.flatten().collect()
}

fn prepared(tables: &[TableId]) -> Vec<TwoPhase> {
    vec![TwoPhase::Prepared {
        id: PreparedId(ID.to_owned()),
        tables: tables.to_vec(),
    }]
}

fn start() -> Vec<u8> {
    query(&format!("XA START {ID}"))
}

fn end() -> Vec<u8> {
    query(&format!("XA END {ID}"))
}

#[test]
fn a_prepared_transaction_names_its_tables() {
    let own = [TableId(0)];
    let check = |events: &[Vec<u8>], expected: &[TableId]| {
        for beginning in [vec![mysql_gtid(), start()], vec![mariadb_gtid(64)]] {
            let all = [&beginning[..], events, &[end(), prepare(false)]].concat();
            assert_eq!(told(&[&all]), prepared(expected));
            // In pieces, cut behind each event.
            for cut in 1..all.len() {
                assert_eq!(
                    told(&[&all[..cut], &all[cut..]]),
                    prepared(expected),
                    "cut at {cut}"
                );
            }
        }
    };
    check(&[], &[]);
    check(&[table_map("other", "t"), table_map("g", "u")], &[]);
    check(&[table_map("other", "t"), table_map("g", "t")], &own);
    // What is not known to leave the tables alone may change all of them.
    check(&[query("INSERT INTO other.t VALUES (1)")], &own);
    check(&[query("SAVEPOINT `p`")], &[]);
    check(&[query("ROLLBACK TO `p`")], &own);
    check(&[event(kind::TABLE_MAP, &[1, 2])], &own);
    check(&[event(kind::INCIDENT, &[])], &own);
}

/// What a server does below a parent by foreign keys, and does not log, counts as changed by the
/// transaction too; also where the parent is not migrated, and with it any table above it.
#[test]
fn a_prepared_transaction_names_the_tables_of_hidden_cascades() {
    let plans = |parent: &str| {
        [
            golden_plan(true),
            child(1, "c", (parent, "p", "id"), [Cascade, NoAction]),
        ]
    };
    let rows = |kind: u8, flags: u8| event(kind, &[7, 0, 0, 0, 0, 0, flags, 0]);
    let check = |parent: &str, table: (&str, &str), event: &[u8], is_mariadb: bool, expected: &[u32]| {
        let beginning = if is_mariadb {
            vec![mariadb_gtid(64)]
        } else {
            vec![mysql_gtid(), start()]
        };
        let whole = [
            &beginning[..],
            &[table_map(table.0, table.1), event.to_vec(), end(), prepare(false)],
        ]
        .concat();
        let mut decoder = BinlogDecoder::new("g", &plans(parent));
        let found = pieces(&[&whole[..3], &whole[3..]])
            .iter()
            .find_map(|piece| decoder.two_phase(piece).unwrap());
        let expected: Vec<TableId> = expected.iter().copied().map(TableId).collect();
        assert_eq!(
            found,
            prepared(&expected).pop(),
            "{parent} {table:?} {event:?} {is_mariadb}"
        );
    };
    let parent = ("other", "p");
    for kind in [kind::DELETE_ROWS, kind::UPDATE_ROWS, kind::PARTIAL_UPDATE_ROWS] {
        check("other", parent, &rows(kind, 0x01), false, &[1]);
        check("other", ("other", "above"), &rows(kind, 0x01), false, &[1]);
        check("other", ("g", "t"), &rows(kind, 0x01), false, &[0, 1]);
        // The rows of the cascade are logged, or there was none.
        check("other", parent, &rows(kind, 0x11), false, &[]);
        check("other", parent, &rows(kind, 0x03), false, &[]);
    }
    check("other", parent, &rows(kind::WRITE_ROWS, 0x01), false, &[]);
    check("other", parent, &rows(kind::DELETE_ROWS_V1, 0x11), true, &[1]);
    check("other", parent, &rows(kind::DELETE_ROWS_V1, 0x03), true, &[]);
    // All parents are migrated: no other table stands above them.
    let mut known = plans("g");
    let table = std::sync::Arc::make_mut(&mut known[0]);
    "p".clone_into(&mut std::sync::Arc::make_mut(&mut table.source).name.table);
    let whole = |table: &str| {
        let rows = rows(kind::DELETE_ROWS, 0x01);
        [
            mysql_gtid(),
            start(),
            table_map("g", table),
            rows,
            end(),
            prepare(false),
        ]
    };
    for (table, expected) in [("p", vec![TableId(0), TableId(1)]), ("u", vec![])] {
        let mut decoder = BinlogDecoder::new("g", &known);
        let found = decoder.two_phase(&pieces(&[&whole(table)])[0]).unwrap();
        assert_eq!(found, prepared(&expected).pop(), "{table}");
    }
}

#[test]
fn a_decision_names_the_transaction() {
    let id = || PreparedId(ID.to_owned());
    for beginning in [mysql_gtid(), mariadb_gtid(128)] {
        let decided = |text: &str| told(&[&[beginning.clone(), query(text)]]);
        assert_eq!(decided(&format!("XA COMMIT {ID}")), [TwoPhase::Committed(id())]);
        assert_eq!(
            decided(&format!("XA ROLLBACK {ID}")),
            [TwoPhase::RolledBack(id())]
        );
    }
}

#[test]
fn other_transactions_are_nothing_to_prepared_ones() {
    assert_eq!(told(&[&[mysql_gtid(), query("BEGIN"), table_map("g", "t")]]), []);
    assert_eq!(
        told(&[&[mariadb_gtid(0), table_map("g", "t"), prepare(false)]]),
        []
    );
    assert_eq!(told(&[&[mysql_gtid(), query("XA COMMIT 'a'")]]), []);
    // It commits at once, and nothing decides about it later.
    assert_eq!(
        told(&[&[mysql_gtid(), start(), table_map("g", "t"), end(), prepare(true)]]),
        []
    );
    let plan = golden_plan(true);
    let mut decoder = BinlogDecoder::new("g", std::slice::from_ref(&plan));
    assert_eq!(decoder.two_phase(&piece(&MYSQL_INSERT)).unwrap(), None);
}

/// The end of a prepared transaction brings no changes; one that is unknown stops.
#[test]
fn a_decision_that_is_told_stops_nothing() {
    let stops = |text: &str| {
        let plan = golden_plan(true);
        let mut decoder = BinlogDecoder::new("g", std::slice::from_ref(&plan));
        let mut sink = Sink::default();
        for piece in pieces(&[&[mysql_gtid(), query(text)]]) {
            decoder.decode(&piece, &mut sink).unwrap();
        }
        sink.stops.len()
    };
    assert_eq!(stops(&format!("XA COMMIT {ID}")), 0);
    assert_eq!(stops(&format!("XA ROLLBACK {ID}")), 0);
    assert_eq!(stops("XA COMMIT 'a'"), 1);
    assert_eq!(stops("/* x */ XA COMMIT X'61',X'',1"), 1);
}

/// A decoder that inspected and decoded the same pieces does both as if it did only one.
#[test]
fn telling_and_decoding_do_not_disturb_each_other() {
    let plan = golden_plan(true);
    let mut decoder = BinlogDecoder::new("g", std::slice::from_ref(&plan));
    let whole = [mysql_gtid(), start(), table_map("g", "t"), end(), prepare(false)];
    let mut found = Vec::new();
    for piece in pieces(&[&whole[..2], &whole[2..]]) {
        decoder.decode(&piece, &mut Sink::default()).unwrap();
        found.extend(decoder.two_phase(&piece).unwrap());
        decoder
            .decode(&super::tests::piece(&MYSQL_INSERT), &mut Sink::default())
            .unwrap();
    }
    assert_eq!(found, prepared(&[TableId(0)]));
}

#[test]
fn fuzz_two_phase_never_panics() {
    let plan = golden_plan(true);
    let mut random = Random(0x7a2_5eed);
    let whole = [mysql_gtid(), start(), table_map("g", "t"), end(), prepare(false)];
    for _ in 0..5_000 {
        let mut piece = pieces(&[&whole]).remove(0);
        random.damage(&mut piece.body);
        let mut decoder = BinlogDecoder::new("g", std::slice::from_ref(&plan));
        let _outcome = decoder.two_phase(&piece);
    }
}
