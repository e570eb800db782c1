//! Changes that lack something: partial rows, moves, and changes of whole tables.

use super::history::{builder, reached, table};
use super::witness;
use crate::apply::window::{Window, WindowBuilder};
use crate::plan::TableId;
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
