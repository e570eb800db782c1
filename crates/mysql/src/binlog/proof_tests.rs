//! Proofs without a server: transactions shown again are compared and dropped, whatever else comes
//! is kept in order.

use spanferry_core::port::change_log::Piece;
use spanferry_core::position::{Position, TransactionId, Witness};

use super::assemble::Assembler;
use super::assemble_error::AssembleError;
use super::event::{HEADER_BYTES, append_event, kind, next_event};
use super::golden::{Golden, MARIADB_DELETE, MARIADB_INSERT, MARIADB_UPDATE, MYSQL_INSERT, MYSQL_UPDATE};
use super::gtid::{GtidEvent, parse_mysql, parse_mysql_tagged};
use super::proof::{Proof, Purpose};
use crate::fuzz::bytes;

/// GTID events of one transaction as MySQL 9.7 writes them, on the server where it began and on a
/// replica; without checksums.
const PLAIN: [&str; 2] = [
    "50600c6b21b15600004f0000006102000000000007bd6b3eec1a11f19a4d02fc000000010300000000000000020200000000000000030000000000000042cba0986d6106fc17015062010000",
    "50600c6b21b1560000560000007602000000000007bd6b3eec1a11f19a4d02fc00000001030000000000000002020000000000000003000000000000008c1da1986d618642cba0986d6106fc19015062010000",
];
const TAGGED: [&str; 2] = [
    "50600c6b2ab15600004d000000760300000000026c000000020ef502d67cb1033422c50369029a04f1030000000204040606746167080c0a100c7f56cda0986d61061055041283120b",
    "50600c6b2ab1560000560000008f0300000000027e000000020ef502d67cb1033422c50369029a04f1030000000204040606746167080c0a100c7fd31ea1986d61060e7f56cda0986d61061065041283120b",
];

#[test]
fn a_replica_shows_the_commit_time_of_the_first_server() {
    let check = |events: [&str; 2], parse: fn(&[u8]) -> GtidEvent| {
        let [first, replica] = events.map(|event| parse(&bytes(event)[HEADER_BYTES..]));
        assert_eq!(first.id, replica.id);
        assert_eq!(first.original_us, first.committed_at_us);
        assert_eq!(first.original_us, replica.original_us);
        assert!(replica.committed_at_us > replica.original_us);
    };
    check(PLAIN, |body| parse_mysql(body).unwrap());
    check(TAGGED, |body| parse_mysql_tagged(body).unwrap());
}

/// The events of a golden transaction, one by one.
fn events(golden: &Golden) -> Vec<Vec<u8>> {
    let whole = bytes(golden.2);
    let (mut run, mut events) = (whole.as_slice(), Vec::new());
    while let Some(event) = next_event(&mut run).unwrap() {
        let end = whole.len() - run.len();
        let mut copy = Vec::new();
        append_event(&mut copy, &whole[end - event.body.len() - HEADER_BYTES..end]).unwrap();
        events.push(copy);
    }
    events
}

fn after(golden: &Golden) -> Position {
    let id = TransactionId::parse(golden.0).unwrap();
    let mut position = match id {
        TransactionId::Mysql { .. } => Position::parse("mysql:").unwrap(),
        TransactionId::Mariadb { .. } => Position::parse("mariadb:").unwrap(),
    };
    position.advance(&id).unwrap();
    position
}

fn feed(assembler: &mut Assembler, events: &[Vec<u8>]) -> Result<Vec<Piece>, AssembleError> {
    let mut pieces = Vec::new();
    for event in events {
        assembler.event(event, &mut pieces)?;
    }
    Ok(pieces)
}

/// What a stream that brings only this transaction writes into its piece.
fn captured(events: &[Vec<u8>], kind: &str) -> Witness {
    let nothing = Proof::new(Purpose::Compare, Vec::new());
    let mut assembler = Assembler::new(Position::parse(kind).unwrap(), nothing);
    let pieces = feed(&mut assembler, events).unwrap();
    Witness::parse(&pieces.last().unwrap().transaction).unwrap()
}

fn compare(golden: &Golden, known: &Witness) -> Assembler {
    Assembler::new(after(golden), Proof::new(Purpose::Compare, vec![known.clone()]))
}

#[test]
fn a_transaction_that_is_shown_again_is_dropped() {
    for (golden, next, family) in [
        (MARIADB_INSERT, MARIADB_UPDATE, "mariadb:"),
        (MYSQL_INSERT, MYSQL_UPDATE, "mysql:"),
    ] {
        let known = captured(&events(&golden), family);
        assert_eq!(known.id.to_string(), golden.0);
        assert_eq!(known.content.is_some(), family == "mariadb:");
        let mut assembler = compare(&golden, &known);
        assert!(!assembler.proof().is_complete());
        assert!(feed(&mut assembler, &events(&golden)).unwrap().is_empty());
        assert!(assembler.proof().is_complete());
        let pieces = feed(&mut assembler, &events(&next)).unwrap();
        assert_eq!(pieces.len(), 1);
        assert!(pieces[0].transaction.starts_with(&format!("{}@", next.0)));
        assert_eq!(pieces[0].body, bytes(next.2));

        // What only the identity is known of shows the same.
        let unknown = Proof::new(Purpose::Learn, vec![Witness::unknown(known.id.clone())]);
        let mut assembler = Assembler::new(after(&golden), unknown);
        feed(&mut assembler, &events(&golden)).unwrap();
        assert!(assembler.proof().is_complete());
        assert_eq!(assembler.into_proof().into_shown(), [known]);
    }
}

#[test]
fn another_transaction_of_the_same_identity_is_told() {
    let check = |golden: &Golden, family: &str, change: fn(&mut Vec<Vec<u8>>)| {
        let known = captured(&events(golden), family);
        let mut changed = events(golden);
        change(&mut changed);
        let mut assembler = compare(golden, &known);
        let refused = feed(&mut assembler, &changed).unwrap_err();
        assert!(matches!(refused, AssembleError::Other { .. }), "{refused:?}");
        assert!(!assembler.proof().is_complete());
    };
    // A byte of a row; a second of the time; a microsecond of the commit.
    check(&MARIADB_INSERT, "mariadb:", |events| {
        let rows = events
            .iter_mut()
            .find(|event| event[4] == kind::WRITE_ROWS_V1)
            .unwrap();
        *rows.last_mut().unwrap() ^= 1;
    });
    check(&MARIADB_INSERT, "mariadb:", |events| events[0][0] ^= 1);
    check(&MYSQL_INSERT, "mysql:", |events| {
        events[0][HEADER_BYTES + 42] ^= 1;
    });
}

#[test]
fn a_mysql_transaction_without_a_commit_time_is_proved_by_its_rows() {
    let mut old = events(&MYSQL_INSERT);
    for byte in &mut old[0][HEADER_BYTES + 42..HEADER_BYTES + 49] {
        *byte = 0;
    }
    let known = captured(&old, "mysql:");
    assert_eq!(known.committed_at_us, 0);
    let mut assembler = compare(&MYSQL_INSERT, &known);
    assert!(feed(&mut assembler, &old).unwrap().is_empty());
    assert!(assembler.proof().is_complete());
    let rows = old.iter_mut().find(|event| event[4] == kind::WRITE_ROWS).unwrap();
    *rows.last_mut().unwrap() ^= 1;
    let refused = feed(&mut compare(&MYSQL_INSERT, &known), &old).unwrap_err();
    assert!(matches!(refused, AssembleError::Other { .. }), "{refused:?}");
    // A server that has dropped the time shows nothing that could be compared.
    let known = captured(&events(&MYSQL_INSERT), "mysql:");
    let refused = feed(&mut compare(&MYSQL_INSERT, &known), &old).unwrap_err();
    assert!(matches!(refused, AssembleError::Unproved(_)), "{refused:?}");
}

#[test]
fn what_comes_in_front_of_a_known_transaction_is_kept() {
    let known = captured(&events(&MYSQL_INSERT), "mysql:");
    let mut assembler = compare(&MYSQL_INSERT, &known);
    let early = feed(&mut assembler, &events(&MYSQL_UPDATE)).unwrap();
    assert_eq!(early.len(), 1);
    assert!(!assembler.proof().is_complete());
    assert!(feed(&mut assembler, &events(&MYSQL_INSERT)).unwrap().is_empty());
    assert!(assembler.proof().is_complete());
}

#[test]
fn a_known_transaction_that_its_domain_passes_over_is_not_there() {
    let known = captured(&events(&MARIADB_INSERT), "mariadb:");
    let mut assembler = compare(&MARIADB_INSERT, &known);
    let refused = feed(&mut assembler, &events(&MARIADB_DELETE)).unwrap_err();
    assert_eq!(refused, AssembleError::NotThere(known.to_string()));
    // Another domain goes its own way.
    let mut elsewhere = events(&MARIADB_DELETE);
    elsewhere[0][HEADER_BYTES + 8] = 7;
    let mut assembler = compare(&MARIADB_INSERT, &known);
    assert_eq!(feed(&mut assembler, &elsewhere).unwrap().len(), 1);
    assert!(!assembler.proof().is_complete());
}

#[test]
fn what_was_shown_once_does_not_come_again() {
    for (golden, family) in [(MARIADB_INSERT, "mariadb:"), (MYSQL_INSERT, "mysql:")] {
        let known = captured(&events(&golden), family);
        let mut assembler = compare(&golden, &known);
        feed(&mut assembler, &events(&golden)).unwrap();
        let again = feed(&mut assembler, &events(&golden)).unwrap_err();
        assert_eq!(again, AssembleError::Again(golden.0.to_owned()));
    }
}
