//! What a window knows of the source's history: a transaction is recognised by more than its
//! number, and each commit shows the last.

use std::sync::Arc;

use super::witness;
use crate::apply::window::{TableFilter, WindowBuilder, WindowLimits};
use crate::fixture;
use crate::plan::{GroupId, TableId, TablePlan};
use crate::port::change::{Change, ChangeSink, OldRow};
use crate::port::change_log::Sequence;
use crate::port::epoch::Epoch;
use crate::position::checkpoint::{Checkpoint, PartialTransaction};
use crate::position::{Bookmark, Position, PositionError, Witness, Witnesses};
use crate::report::code;
use crate::report::finding::{Finding, Severity, Subject};

const LIMITS: WindowLimits = WindowLimits {
    bytes_best: 1_000,
    bytes_max: 1_000,
    mutations_max: 4,
};

fn deletion(key: &[u8]) -> Change<'_> {
    let old = OldRow { key, row: None };
    Change::Delete { old }
}

/// A transaction that has the number of another one.
fn other(number: u64) -> Witness {
    let mut other = witness(number);
    other.committed_at_us += 1;
    other
}

/// A table of a group of its own: each of its deletions counts `mutations`.
pub(super) fn table(id: u32, recorded_in: u64, mutations: usize) -> Arc<TablePlan> {
    Arc::new(TablePlan {
        id: TableId(id),
        group: GroupId(id),
        counted_from: Epoch(recorded_in),
        backing_indexes: mutations - 1,
        ..fixture::plan(fixture::table(&format!("t{id}"), Vec::new()), [])
    })
}

/// What is reached with the transactions up to a number.
pub(super) fn reached(number: u64) -> Checkpoint {
    let mut bookmark = Bookmark::unproved(Position::parse("mysql:").unwrap());
    for number in 1..=number {
        bookmark.advance(witness(number)).unwrap();
    }
    Checkpoint::whole(bookmark)
}

/// The same, with the first changes of the next transaction.
fn reached_in_part(number: u64, changes: u64) -> Checkpoint {
    let partial = PartialTransaction {
        transaction: witness(number + 1),
        changes,
        abandoned: 0,
        counted_in: Epoch(1),
    };
    Checkpoint {
        partial: Some(partial),
        ..reached(number)
    }
}

/// A builder of the second epoch, in which all tables take part.
pub(super) fn builder(tables: &[Arc<TablePlan>], reached: Checkpoint) -> WindowBuilder {
    let mut builder = WindowBuilder::new(tables, LIMITS, reached, Sequence(10), Epoch(2));
    for plan in tables {
        builder.set_filter(plan.id, TableFilter::Apply { after: None });
    }
    builder
}

fn is_other(found: Result<(), PositionError>) -> bool {
    matches!(found, Err(PositionError::OtherTransaction { .. }))
}

fn stop(builder: &mut WindowBuilder, table: u32) {
    let finding = Finding::new(
        code::CHANGE_REJECTED,
        Severity::Blocking,
        Subject::whole(),
        "stop",
    );
    builder.stop(TableId(table), finding);
}

/// The first changes of the one that was cut are at the target: the rest of another one must not
/// follow them.
#[test]
fn the_rest_of_a_cut_transaction_is_of_that_transaction() {
    let begin = |shown| builder(&[table(0, 1, 1)], reached_in_part(3, 2)).begin(Sequence(11), shown);
    assert_eq!(begin(witness(4)), Ok(()));
    assert!(is_other(begin(other(4))));
}

/// A source whose history was rewound gives numbers again.
#[test]
fn another_transaction_under_an_applied_number_is_an_error() {
    let again = |number, shown| {
        let mut builder = builder(&[table(0, 1, 1)], reached(3));
        builder.begin(Sequence(11), witness(number)).unwrap();
        let ended = builder.end(0, shown);
        let window = builder.take_now();
        (ended, window.map(|window| window.reached))
    };
    assert_eq!(again(3, witness(3)), (Ok(()), Some(reached(3))));
    assert!(is_other(again(3, other(3)).0));
    // Of older ones nothing is known any more. They do not take the place of the last one.
    assert_eq!(again(2, other(2)), (Ok(()), Some(reached(3))));
}

/// Each commit says by which transaction the history is recognised when the log is lost.
#[test]
fn a_window_shows_the_last_transaction() {
    let mut builder = builder(&[table(0, 1, 1)], reached(3));
    builder.begin(Sequence(11), witness(4)).unwrap();
    builder.end(0, witness(4)).unwrap();
    let mut last = Witnesses::default();
    last.push(witness(4));
    assert_eq!(builder.take_now().unwrap().reached.witnesses, last);
}

/// What an earlier epoch has counted of a cut transaction is nothing of a table that was recorded
/// later: none of its changes is at the target.
#[test]
fn a_table_that_was_recorded_later_gets_all_of_a_cut_transaction() {
    let mut builder = builder(&[table(0, 1, 1), table(1, 2, 1)], reached_in_part(3, 2));
    builder.begin(Sequence(11), witness(4)).unwrap();
    for (table, key) in [(1, b"a"), (0, b"b"), (0, b"c"), (0, b"d")] {
        builder.change(TableId(table), deletion(key));
    }
    builder.end(0, witness(4)).unwrap();
    let window = builder.take_now().unwrap();
    let found = window.data.iter().flat_map(|run| {
        let keys = run.rows.payloads();
        keys.map(|key| (run.table.id.0, key.to_vec()))
    });
    assert_eq!(
        found.collect::<Vec<_>>(),
        [(0, b"d".to_vec()), (1, b"a".to_vec())]
    );
}

/// A transaction is cut where one more change would be too much for a commit, and not before.
#[test]
fn a_commit_holds_no_mutation_more_than_its_limit() {
    for (mutations, fit) in [(1, 4), (2, 2), (3, 1)] {
        for changes in [fit, fit + 1] {
            let mut builder = builder(&[table(0, 1, mutations)], reached(3));
            builder.begin(Sequence(11), witness(4)).unwrap();
            for key in 0..changes {
                builder.change(TableId(0), deletion(&[key]));
            }
            builder.end(0, witness(4)).unwrap();
            let first = builder.take_now().unwrap();
            assert_eq!(first.changes, u64::from(fit), "{mutations} each");
            assert_eq!(first.reached.partial.is_some(), changes > fit, "{mutations} each");
        }
    }
}

/// What a stopped group had in a transaction leaves its room to the others: they are not cut
/// because of it.
#[test]
fn changes_that_a_stop_removes_take_no_room() {
    let mut builder = builder(&[table(0, 1, 1), table(1, 1, 1)], reached(3));
    builder.begin(Sequence(11), witness(4)).unwrap();
    for key in 0..3 {
        builder.change(TableId(0), deletion(&[key]));
    }
    stop(&mut builder, 0);
    for key in 0..4 {
        builder.change(TableId(1), deletion(&[key]));
    }
    builder.end(0, witness(4)).unwrap();
    let window = builder.take_now().unwrap();
    assert_eq!((window.changes, window.stops.len()), (4, 1));
    assert_eq!(window.reached.partial, None);
}

/// A stop is committed as soon as data is, also where the stopped group had the only change.
#[test]
fn a_stop_alone_is_something_to_commit() {
    let mut builder = builder(&[table(0, 1, 1)], reached(3));
    builder.begin(Sequence(11), witness(4)).unwrap();
    assert!(!builder.has_data());
    stop(&mut builder, 0);
    builder.end(0, witness(4)).unwrap();
    assert!(builder.has_data());
}

/// A table that joined inside a transaction would lack its first changes.
#[test]
#[should_panic(expected = "in whole transactions")]
fn a_table_never_joins_inside_a_transaction() {
    let mut builder = builder(&[table(0, 1, 1)], reached(3));
    builder.begin(Sequence(11), witness(4)).unwrap();
    builder.set_filter(TableId(0), TableFilter::Apply { after: None });
}

/// A sequence that came again would be counted as a later transaction.
#[test]
#[should_panic(expected = "transactions come in their order")]
fn a_sequence_never_comes_again() {
    let mut builder = builder(&[table(0, 1, 1)], reached(3));
    builder.begin(Sequence(10), witness(4)).unwrap();
}
