//! Where transactions begin and end: every event is in the piece of its own transaction.

use spanferry_core::port::change_log::Piece;
use spanferry_core::position::Position;

use super::assemble::Assembler;
use super::assemble_error::AssembleError;
use super::event::{append_event, kind, next_event};
use super::golden::{Golden, MARIADB_INSERT, MARIADB_UPDATE, MYSQL_DELETE, MYSQL_INSERT, MYSQL_UPDATE};
use super::golden_images::{MOVE, ROLLED_BACK, TO_SAVEPOINT};
use super::proof::{Proof, Purpose};
use crate::fuzz::bytes;

/// Bytes of an event's header.
const HEADER: usize = super::event::HEADER_BYTES;

/// The events of a golden transaction, one by one.
fn events(golden: &Golden) -> Vec<Vec<u8>> {
    let whole = bytes(golden.2);
    let (mut run, mut events) = (whole.as_slice(), Vec::new());
    while let Some(event) = next_event(&mut run).unwrap() {
        let end = whole.len() - run.len();
        events.push(whole[end - event.body.len() - HEADER..end].to_vec());
    }
    events
}

/// The kinds of the events in a body.
fn kinds(body: &[u8]) -> Vec<u8> {
    let (mut run, mut kinds) = (body, Vec::new());
    while let Some(event) = next_event(&mut run).unwrap() {
        kinds.push(event.header.kind);
    }
    kinds
}

fn assembler(start: &str) -> Assembler {
    let nothing_to_prove = Proof::new(Purpose::Compare, Vec::new());
    Assembler::new(Position::parse(start).unwrap(), nothing_to_prove)
}

fn pieces(start: &str, events: &[Vec<u8>]) -> Result<Vec<Piece>, AssembleError> {
    let (mut assembler, mut pieces) = (assembler(start), Vec::new());
    for event in events {
        assembler.event(event, &mut pieces)?;
    }
    Ok(pieces)
}

/// The golden transactions of a server, and what its positions begin with.
const MYSQL: (&str, [&Golden; 3]) = ("mysql:", [&MYSQL_INSERT, &MYSQL_UPDATE, &MYSQL_DELETE]);
const MARIADB: (&str, [&Golden; 3]) = ("mariadb:", [&MOVE, &TO_SAVEPOINT, &ROLLED_BACK]);

#[test]
fn each_transaction_is_a_piece_of_its_own() {
    for (start, goldens) in [MYSQL, MARIADB] {
        let all: Vec<_> = goldens.iter().flat_map(|golden| events(golden)).collect();
        let found = pieces(start, &all).unwrap();
        assert_eq!(found.len(), goldens.len());
        for (piece, golden) in found.iter().zip(goldens) {
            assert!(piece.last);
            assert_eq!(piece.body, bytes(golden.2), "{}", golden.0);
            assert!(piece.transaction.starts_with(golden.0), "{}", piece.transaction);
        }
    }
}

/// Its rows must not travel with the next transaction, which may be applied without them, or after
/// them a second time.
#[test]
fn a_transaction_without_an_end_ends_where_the_next_begins() {
    for (start, [first, second, _]) in [MYSQL, MARIADB] {
        let mut all = events(first);
        let end = all.pop().unwrap();
        assert_eq!(end[4], kind::XID);
        all.extend(events(second));
        let found = pieces(start, &all).unwrap();
        let [left, right] = &found[..] else {
            panic!("{found:?}");
        };
        assert!(left.last && right.last);
        assert!(left.transaction.starts_with(first.0) && right.transaction.starts_with(second.0));
        assert_eq!(left.body, bytes(first.2)[..left.body.len()]);
        assert_eq!(right.body, bytes(second.2));
    }
}

/// A ROLLBACK ends its transaction, that to a savepoint does not.
#[test]
fn a_rollback_to_a_savepoint_stays_inside() {
    let found = pieces("mariadb:", &events(&TO_SAVEPOINT)).unwrap();
    assert_eq!(found.len(), 1);
    let expected = [
        kind::MARIADB_GTID,
        kind::TABLE_MAP,
        kind::WRITE_ROWS_V1,
        kind::QUERY,
        kind::TABLE_MAP,
        kind::WRITE_ROWS_V1,
        kind::QUERY,
        kind::XID,
    ];
    assert_eq!(kinds(&found[0].body), expected);
    let found = pieces("mariadb:", &events(&ROLLED_BACK)).unwrap();
    assert_eq!(kinds(&found[0].body).last(), Some(&kind::QUERY));
}

#[test]
fn rows_outside_of_a_transaction_are_refused() {
    for (start, golden) in [("mysql:", &MYSQL_UPDATE), ("mariadb:", &MARIADB_UPDATE)] {
        let whole = events(golden);
        for event in whole.iter().filter(|event| {
            !matches!(
                event[4],
                kind::GTID | kind::MARIADB_GTID | kind::QUERY | kind::XID
            )
        }) {
            let outside = Err(AssembleError::Outside(event[4]));
            assert_eq!(pieces(start, std::slice::from_ref(event)), outside);
            let mut behind = whole.clone();
            behind.push(event.clone());
            assert_eq!(pieces(start, &behind), outside);
        }
    }
    let mut event = events(&MYSQL_UPDATE).remove(3);
    for number in [kind::PARTIAL_UPDATE_ROWS, kind::TRANSACTION_PAYLOAD, 166, 171] {
        event[4] = number;
        let found = pieces("mysql:", std::slice::from_ref(&event));
        assert_eq!(found, Err(AssembleError::Outside(number)));
    }
}

/// An event that the decoder must see goes with the next transaction, once.
#[test]
fn what_stands_between_two_transactions_goes_with_the_next() {
    let mut incident = events(&MARIADB_INSERT)[0][..HEADER].to_vec();
    incident[4] = kind::INCIDENT;
    let mut whole = Vec::new();
    append_event(&mut whole, &incident).unwrap();
    let goldens = [&MYSQL_INSERT, &MYSQL_UPDATE, &MYSQL_DELETE];
    let mut all = events(goldens[0]);
    all.push(whole);
    all.extend(events(goldens[1]));
    all.extend(events(goldens[2]));
    let found = pieces("mysql:", &all).unwrap();
    let has_it: Vec<_> = found
        .iter()
        .map(|piece| kinds(&piece.body).contains(&kind::INCIDENT))
        .collect();
    assert_eq!(has_it, [false, true, false]);
    assert_eq!(kinds(&found[1].body)[..2], [kind::INCIDENT, kind::GTID]);
}

/// A statement inside of BEGIN ends nothing.
#[test]
fn a_savepoint_of_mysql_stays_inside() {
    let mut all = events(&MYSQL_UPDATE);
    let begin = all.iter().find(|event| event[4] == kind::QUERY).unwrap();
    let head = begin.strip_suffix(b"BEGIN").unwrap();
    let mut savepoint = Vec::new();
    append_event(&mut savepoint, &[head, b"SAVEPOINT s"].concat()).unwrap();
    all.insert(2, savepoint.clone());
    all.insert(all.len() - 1, savepoint);
    let found = pieces("mysql:", &all).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].body, all.concat());
}
