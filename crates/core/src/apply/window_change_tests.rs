//! Changes that lack something: partial rows, moves, and changes of whole tables.

use super::history::{builder, reached, table};
use std::sync::Arc;

use super::witness;
use crate::apply::window::{Window, WindowBuilder, WindowLimits};
use crate::plan::{GroupId, TableId, TablePlan};
use crate::port::change::{Change, ChangeSink, NewRow, OldRow, SchemaChange, SchemaChangeKind};
use crate::port::change_log::Sequence;
use crate::port::target::MutationKind;
use crate::report::code;
use crate::report::finding::{Finding, Severity, Subject};
use crate::wire::list_value::put_string;
use crate::wire::partial_rows::{ColumnSet, PartialRow};

fn payload(values: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        put_string(&mut out, value.as_bytes());
    }
    out
}

/// Table 0 is a group, and table 1 another.
fn open() -> WindowBuilder {
    let mut builder = builder(&[table(0, 1, 1), table(1, 1, 1)], reached(3));
    builder.begin(Sequence(11), witness(4)).unwrap();
    builder
}

fn end(mut builder: WindowBuilder) -> Window {
    builder.end(0, witness(4)).unwrap();
    builder.take_now().unwrap()
}

fn insert(builder: &mut WindowBuilder, table: u32, row: &[&str]) {
    let (key, row) = (&payload(&row[..1]), &payload(row));
    builder.change(TableId(table), Change::Insert { key, row });
}

fn delete(builder: &mut WindowBuilder, table: u32, key: &str) {
    let key = &payload(&[key]);
    let old = OldRow { key, row: None };
    builder.change(TableId(table), Change::Delete { old });
}

/// Writes the third column of a row, which may move.
fn update_third(builder: &mut WindowBuilder, table: u32, old_key: &str, key: &str, third: &str) {
    let (old_key, cells) = (&payload(&[old_key]), &payload(&[key, third]));
    let columns = &ColumnSet::of([0, 2]);
    let change = Change::Update {
        old: OldRow {
            key: old_key,
            row: None,
        },
        key: &payload(&[key]),
        row: NewRow::Partial(PartialRow { columns, cells }),
    };
    builder.change(TableId(table), change);
}

fn shown(window: &Window) -> Vec<(u32, MutationKind, Vec<u8>)> {
    let runs = window.data.iter();
    let rows = runs.flat_map(|run| {
        let rows = run.rows.payloads();
        rows.map(|row| (run.table.id.0, run.kind, row.to_vec()))
    });
    rows.collect()
}

#[test]
fn a_partial_row_is_an_update_or_completes_the_row_of_its_window() {
    let third = MutationKind::Update(ColumnSet::of([0, 2]));
    let mut alone = open();
    update_third(&mut alone, 0, "k", "k", "z");
    assert_eq!(shown(&end(alone)), [(0, third, payload(&["k", "z"]))]);

    let mut on_a_row = open();
    insert(&mut on_a_row, 0, &["k", "b", "c"]);
    update_third(&mut on_a_row, 0, "k", "k", "z");
    update_third(&mut on_a_row, 1, "k", "k", "y");
    let whole = (0, MutationKind::Upsert, payload(&["k", "b", "z"]));
    assert_eq!(shown(&end(on_a_row)), [whole, (1, third, payload(&["k", "y"]))]);
}

/// What cannot be made exact stops its group at the transaction, of which nothing is applied to it.
#[test]
fn a_change_that_lacks_values_stops_its_group_alone() {
    let check = |change: &dyn Fn(&mut WindowBuilder)| {
        let mut builder = open();
        insert(&mut builder, 0, &["a", "b", "c"]);
        insert(&mut builder, 1, &["a", "b", "c"]);
        change(&mut builder);
        insert(&mut builder, 0, &["d", "e", "f"]);
        let window = end(builder);
        let stops: Vec<_> = window
            .stops
            .iter()
            .map(|stop| (stop.group.0, stop.finding.code))
            .collect();
        assert_eq!(stops, [(0, code::CHANGE_INCOMPLETE)]);
        let kept = (1, MutationKind::Upsert, payload(&["a", "b", "c"]));
        assert_eq!(shown(&window), [kept]);
    };
    check(&|builder| update_third(builder, 0, "k", "l", "z"));
    check(&|builder| {
        delete(builder, 0, "k");
        update_third(builder, 0, "k", "k", "z");
    });
}

#[test]
fn a_row_that_went_in_an_earlier_transaction_of_the_window_is_gone() {
    let mut builder = open();
    delete(&mut builder, 0, "k");
    builder.end(0, witness(4)).unwrap();
    builder.begin(Sequence(12), witness(5)).unwrap();
    update_third(&mut builder, 0, "k", "k", "z");
    builder.end(0, witness(5)).unwrap();
    let window = builder.take_now().unwrap();
    assert_eq!(shown(&window), [(0, MutationKind::Delete, payload(&["k"]))]);
    assert_eq!((window.stops.len(), window.stops[0].sequence), (1, Sequence(12)));
}

/// The ordered apply carries out no change of a whole table yet: it stops the group with what the
/// decoder says.
#[test]
fn a_change_of_a_whole_table_stops_its_group() {
    for kind in [SchemaChangeKind::Truncated, SchemaChangeKind::Altered] {
        let finding = Finding::new(
            code::DDL_SEEN,
            Severity::Blocking,
            Subject::table(&crate::fixture::qualified("t0")),
            "it",
        );
        let mut builder = open();
        insert(&mut builder, 0, &["a", "b", "c"]);
        let change = SchemaChange {
            kind,
            finding: finding.clone(),
        };
        builder.schema_change(TableId(0), change);
        let window = end(builder);
        assert_eq!(shown(&window), []);
        assert_eq!(window.stops[0].finding, finding);
    }
}

/// A stop reaches every table of the group, before it and behind it in the transaction.
#[test]
fn a_stop_takes_all_tables_of_its_group_out_of_the_transaction() {
    let in_group = |id: u32, group: u32| {
        let plan = TablePlan::clone(&table(id, 1, 1));
        Arc::new(TablePlan {
            group: GroupId(group),
            ..plan
        })
    };
    let mut builder = builder(&[in_group(0, 7), in_group(1, 7), in_group(2, 8)], reached(3));
    builder.begin(Sequence(11), witness(4)).unwrap();
    let row = ["a", "b", "c"];
    (0..3).for_each(|table| insert(&mut builder, table, &row));
    let finding = Finding::new(code::DDL_SEEN, Severity::Blocking, Subject::Whole, "it");
    builder.stop(TableId(0), finding.clone());
    (0..3).for_each(|table| delete(&mut builder, table, "d"));
    // The group stops once.
    builder.stop(TableId(1), finding);
    let window = end(builder);
    let kept = [
        (2, MutationKind::Delete, payload(&["d"])),
        (2, MutationKind::Upsert, payload(&row)),
    ];
    assert_eq!(shown(&window), kept);
    assert_eq!((window.stops.len(), window.stops[0].group), (1, GroupId(7)));
}

/// A table that cannot go on is noticed where its transaction would be cut, and takes no more of
/// it.
#[test]
fn a_change_that_lacks_values_stops_its_group_at_a_cut() {
    let mut builder = open();
    delete(&mut builder, 0, "k");
    update_third(&mut builder, 0, "k", "k", "z");
    for key in ["l", "m", "n"] {
        delete(&mut builder, 0, key);
    }
    insert(&mut builder, 1, &["a"]);
    let window = end(builder);
    assert_eq!(window.stops[0].group, GroupId(0));
    assert_eq!(shown(&window), [(1, MutationKind::Upsert, payload(&["a"]))]);
    assert_eq!((window.transactions, window.reached.partial), (1, None));
}

/// A row that moves is one change, though it makes two mutations.
#[test]
fn a_move_is_one_change() {
    let mut builder = open();
    let (old_key, key, row) = (&payload(&["k"]), &payload(&["l"]), &payload(&["l", "b", "c"]));
    let old = OldRow {
        key: old_key,
        row: None,
    };
    let row = NewRow::Whole(row);
    builder.change(TableId(0), Change::Update { old, key, row });
    let window = end(builder);
    assert_eq!((shown(&window).len(), window.changes), (2, 1));
}

/// How many transactions the windows hold that are ready after the last one. Each is one deletion
/// of 10 bytes that counts so many mutations.
fn windows(limits: WindowLimits, mutations: usize, transactions: u64) -> Vec<u64> {
    let mut builder = builder(&[table(0, 1, mutations)], reached(3));
    builder.set_limits(limits);
    let mut ended = Vec::new();
    for number in 4..4 + transactions {
        builder.begin(Sequence(7 + number), witness(number)).unwrap();
        let key = format!("{number:010}");
        let old = OldRow {
            key: key.as_bytes(),
            row: None,
        };
        builder.change(TableId(0), Change::Delete { old });
        builder.end(0, witness(number)).unwrap();
        let ready = std::iter::from_fn(|| builder.take_ready());
        ended.extend(ready.map(|window| window.transactions));
    }
    ended
}

/// A window ends with the transaction that fills it, or before one that it has no room for.
#[test]
fn a_window_of_several_transactions_keeps_to_the_limits() {
    let limits = |bytes_best, mutations_max| WindowLimits {
        bytes_best,
        bytes_max: 1_000,
        mutations_max,
    };
    assert_eq!(windows(limits(30, 100), 1, 6), [3, 3], "its bytes are full");
    assert_eq!(
        windows(limits(35, 100), 1, 7),
        [3, 3],
        "the next has too many bytes"
    );
    assert_eq!(windows(limits(900, 6), 2, 6), [3, 3], "its mutations are full");
    assert_eq!(
        windows(limits(900, 7), 2, 7),
        [3, 3],
        "the next has too many mutations"
    );
    assert_eq!(windows(limits(1, 100), 1, 3), [1, 1, 1], "each fills one alone");
}

/// The time of a window is that of its last commit at the source, whose clock may go back.
#[test]
fn the_time_of_a_window_does_not_go_back() {
    let mut builder = open();
    builder.end(9, witness(4)).unwrap();
    builder.begin(Sequence(12), witness(5)).unwrap();
    builder.end(7, witness(5)).unwrap();
    assert_eq!(builder.take_now().unwrap().committed_at_us, 9);
}
