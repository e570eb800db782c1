//! Rows events by their flags: which tables stop, and that no other event stops one.

use std::sync::Arc;

use spanferry_core::fixture;
use spanferry_core::plan::{TableId, TablePlan};
use spanferry_core::port::source::ChangeDecoder;
use spanferry_core::report::code;
use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::schema::source::ForeignKeyAction::{self, Cascade, NoAction, SetDefault, SetNull};
use spanferry_core::schema::source::NameCase;
use spanferry_core::value::encode::Encoding;

use super::decoder::BinlogDecoder;
use super::golden::{Golden, MYSQL_DELETE, MYSQL_INSERT, MYSQL_UPDATE};
use super::tests::{Sink, golden_plan, piece};

/// Statement end and the checks of unique indexes: neither matters here.
const UNMARKED: u16 = 0x1;
const UNCHECKED: u16 = 0x3;
const MARKED: u16 = 0x11;

/// A table `name` with a foreign key from its column `p` to a parent.
pub(super) fn child(
    id: u32,
    name: &str,
    parent: (&str, &str, &str),
    actions: [ForeignKeyAction; 2],
) -> Arc<TablePlan> {
    let integer = || MysqlType::Integer {
        bits: 32,
        unsigned: true,
    };
    let columns = vec![fixture::column("id", integer()), fixture::column("p", integer())];
    let mut source = fixture::table(name, columns);
    "g".clone_into(&mut source.name.schema);
    let (schema, table, column) = parent;
    let mut key = fixture::foreign_key("fk", &[1], table, &[column]);
    schema.clone_into(&mut key.parent.schema);
    [key.on_delete, key.on_update] = actions;
    source.foreign_keys.push(key);
    let mut plan = fixture::plan(source, [Encoding::Int64, Encoding::Int64]);
    plan.id = TableId(id);
    Arc::new(plan)
}

/// The tables that stop by a golden transaction of `g.t` with these flags, by name.
fn stopped(golden: &Golden, flags: u16, plans: &[Arc<TablePlan>]) -> Vec<String> {
    let mut piece = piece(golden);
    let rows = [0x6f, 0, 0, 0, 0, 0, 0x11, 0];
    let at = piece.body.windows(8).position(|window| window == rows).unwrap();
    piece.body[at + 6..at + 8].copy_from_slice(&flags.to_le_bytes());
    let mut sink = Sink::default();
    BinlogDecoder::new("g", plans).decode(&piece, &mut sink).unwrap();
    for stop in &sink.stops {
        assert_eq!(stop.code, code::CASCADE_HIDDEN, "{}", stop.text);
        assert!(
            stop.text.contains("`g.t`") && stop.text.contains("`fk`"),
            "{}",
            stop.text
        );
        let remedy = stop.remedy.as_ref().unwrap().to_string();
        assert!(remedy.contains("DROP FOREIGN KEY `fk`"), "{remedy}");
    }
    let stops = sink.stops.into_iter();
    stops
        .map(|stop| stop.subject.table_name().unwrap().to_owned())
        .collect()
}

const PARENT: (&str, &str, &str) = ("g", "t", "id");

#[test]
fn an_unmarked_change_of_a_parent_stops_the_child_and_the_parent() {
    let none: &[&str] = &[];
    let both: &[&str] = &["c", "t"];
    let check = |golden, flags, column, actions, expected: &[&str]| {
        let child = child(1, "c", ("g", "t", column), actions);
        let migrated = [golden_plan(true), Arc::clone(&child)];
        assert_eq!(
            stopped(golden, flags, &migrated),
            expected,
            "{flags} {column} {actions:?}"
        );
        let alone = stopped(golden, flags, &[child]);
        assert_eq!(
            alone,
            &expected[..expected.len().min(1)],
            "{flags} {column} {actions:?}"
        );
    };
    for action in [Cascade, SetNull] {
        check(&MYSQL_DELETE, UNMARKED, "id", [action, NoAction], both);
        check(&MYSQL_UPDATE, UNMARKED, "ID", [NoAction, action], both);
        // The update leaves `b` as it is.
        check(&MYSQL_UPDATE, UNMARKED, "b", [NoAction, action], none);
        check(&MYSQL_UPDATE, UNMARKED, "id", [action, NoAction], none);
        check(&MYSQL_DELETE, UNMARKED, "id", [NoAction, action], none);
        for flags in [MARKED, UNCHECKED, MARKED | UNCHECKED] {
            check(&MYSQL_DELETE, flags, "id", [action, action], none);
            check(&MYSQL_UPDATE, flags, "id", [action, action], none);
        }
        check(&MYSQL_INSERT, UNMARKED, "id", [action, action], none);
    }
    for action in [NoAction, SetDefault] {
        check(&MYSQL_DELETE, UNMARKED, "id", [action, action], none);
        check(&MYSQL_UPDATE, UNMARKED, "id", [action, action], none);
    }
    check(&MYSQL_DELETE, UNMARKED, "id", [SetDefault, Cascade], none);
    check(&MYSQL_UPDATE, UNMARKED, "id", [Cascade, SetDefault], none);
}

/// A parent is found however its name is spelled where the source ignores letter case: an update
/// that leaves the referenced column as it is stops nothing.
#[test]
fn the_name_of_a_parent_is_compared_as_the_source_does() {
    let stops = |column, names| {
        let mut child = (*child(1, "c", ("G", "T", column), [NoAction, Cascade])).clone();
        Arc::make_mut(&mut child.source).names = names;
        stopped(&MYSQL_UPDATE, UNMARKED, &[golden_plan(true), Arc::new(child)])
    };
    assert_eq!(stops("b", NameCase::Insensitive), [""; 0]);
    assert_eq!(stops("id", NameCase::Insensitive), ["c", "t"]);
    // Another table, which is not migrated: what stands above it is not known.
    assert_eq!(stops("b", NameCase::Sensitive), ["c", "t"]);
}

/// A parent of another schema with the same name is another table.
#[test]
fn a_change_reaches_tables_below_the_child() {
    let plans = |below: [ForeignKeyAction; 2]| {
        [
            golden_plan(true),
            child(1, "c", PARENT, [Cascade, SetNull]),
            child(2, "below", ("g", "c", "id"), below),
            child(3, "by_other_column", ("g", "c", "p"), [NoAction, Cascade]),
        ]
    };
    assert_eq!(
        stopped(&MYSQL_DELETE, UNMARKED, &plans([SetNull, NoAction])),
        ["c", "below", "t"]
    );
    assert_eq!(
        stopped(&MYSQL_DELETE, UNMARKED, &plans([NoAction, Cascade])),
        ["c", "t"]
    );
    assert_eq!(
        stopped(&MYSQL_UPDATE, UNMARKED, &plans([SetNull, Cascade])),
        ["c", "by_other_column", "t"]
    );
}

/// What stands above a parent that is not migrated is not known: any table may.
#[test]
fn a_parent_that_is_not_migrated_may_stand_below_any_table() {
    let plans = |actions| [golden_plan(true), child(1, "c", ("other", "t", "id"), actions)];
    assert_eq!(
        stopped(&MYSQL_DELETE, UNMARKED, &plans([Cascade, NoAction])),
        ["c", "t"]
    );
    assert_eq!(
        stopped(&MYSQL_UPDATE, UNMARKED, &plans([NoAction, Cascade])),
        ["c", "t"]
    );
    // A delete may change rows elsewhere, by SET NULL.
    assert_eq!(
        stopped(&MYSQL_DELETE, UNMARKED, &plans([NoAction, Cascade])),
        ["c", "t"]
    );
    let none: &[&str] = &[];
    // No update deletes rows elsewhere.
    assert_eq!(
        stopped(&MYSQL_UPDATE, UNMARKED, &plans([Cascade, NoAction])),
        none
    );
    assert_eq!(stopped(&MYSQL_DELETE, MARKED, &plans([Cascade, Cascade])), none);
    // All parents are migrated: nothing else can stand between.
    let known = [
        golden_plan(true),
        child(1, "a", ("g", "b", "id"), [Cascade, Cascade]),
        child(2, "b", ("g", "b", "id"), [NoAction; 2]),
    ];
    assert_eq!(stopped(&MYSQL_DELETE, UNMARKED, &known), none);
}

/// Images that lack columns do not show what has changed.
#[test]
fn an_update_that_cannot_be_read_stops() {
    let mut lacking = piece(&MYSQL_UPDATE);
    let rows = [0x6f, 0, 0, 0, 0, 0, 0x11, 0];
    let at = lacking.body.windows(8).position(|window| window == rows).unwrap();
    lacking.body[at + 6] = 0x01;
    // Behind the extra data and the number of columns: the columns of the image before.
    lacking.body[at + 11] = 0xfe;
    let mut sink = Sink::default();
    let plan = child(1, "c", ("g", "t", "b"), [NoAction, Cascade]);
    BinlogDecoder::new("g", &[plan])
        .decode(&lacking, &mut sink)
        .unwrap();
    assert_eq!(sink.stops.len(), 1);
    assert_eq!(sink.stops[0].code, code::CASCADE_HIDDEN);
}
