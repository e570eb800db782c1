//! Cases of what a start and a resync decide, over a record of five tables in four groups.

use std::collections::BTreeMap;

use spanferry_core::fixture::{BIGINT, column, foreign_key, index, qualified, table};
use spanferry_core::mapping::convert;
use spanferry_core::mapping::options::MappingOptions;
use spanferry_core::port::target::{
    ControlState, Epoch, LeftOut, MigrationRow, StreamRow, TablePhase, TargetDescription,
};
use spanferry_core::position::Position;
use spanferry_core::report::code::{self, Code};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::schema::definition::TableDefinition;
use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::schema::source::{QualifiedName, SourceCascades, SourceColumn, SourceTable};
use spanferry_core::schema::source_default::SourceDefault;
use spanferry_core::schema::target::Dialect;
use spanferry_core::value::owned::OwnedScalar;

use super::{Planned, Refusal, Resync, ResyncRequest, Today, decide, decide_forget, decide_resync};
use crate::fixture::row;

const MAPPING: MappingOptions = MappingOptions {
    dialect: Dialect::GoogleSql,
    uuid_supported: true,
};

/// `parent` and `child` are one group; `note` has a unique index in place of a primary key; `other`
/// and `alone` stand alone.
fn tables() -> Vec<SourceTable> {
    let number = |name: &str| SourceColumn {
        nullable: false,
        ..column(name, BIGINT)
    };
    let columns = || ["id", "v", "w"].map(number).into();
    let mut tables = ["alone", "child", "note", "other", "parent"].map(|name| table(name, columns()));
    tables[1]
        .foreign_keys
        .push(foreign_key("fk", &[1], "parent", &["id"]));
    tables[2].primary_key.clear();
    tables[2].indexes.push(index("pair", true, &[0, 1]));
    tables[4].indexes.push(index("one", true, &[1]));
    tables.into()
}

/// The record of these tables, of which some have stopped.
fn record(stopped: &[&str]) -> ControlState {
    let definitions = convert::map(tables(), &MAPPING).plans;
    let definitions = definitions.iter().map(TableDefinition::of);
    let definitions: BTreeMap<_, _> = definitions.map(|known| (known.name().clone(), known)).collect();
    let rows = definitions.keys().map(|name| {
        let is_stopped = stopped.contains(&name.table.as_str());
        let phase = if is_stopped {
            TablePhase::Stopped
        } else {
            TablePhase::Constrained
        };
        (name.clone(), row(&name.table, phase, Some("mariadb:0-1-5")))
    });
    ControlState {
        migration: MigrationRow {
            id: "m".to_owned(),
            epoch: Epoch(4),
            stream: Some(StreamRow {
                log_id: "l".to_owned(),
                start_position: Position::parse("mariadb:0-1-5").unwrap(),
            }),
            source: "db/shop".to_owned(),
            schema: "shop".to_owned(),
            dialect: Dialect::GoogleSql,
        },
        tables: rows.collect(),
        definitions,
        ranges: BTreeMap::new(),
        left_out: LeftOut::new(),
        fences: BTreeMap::new(),
    }
}

/// What the source has after a change of its tables, with some of them not selected.
fn today(change: impl FnOnce(&mut Vec<SourceTable>), unselected: &[&str]) -> Today {
    let mut all = tables();
    change(&mut all);
    let is_selected = |table: &SourceTable| !unselected.contains(&table.name.table.as_str());
    let (selected, unselected): (Vec<_>, Vec<_>) = all.into_iter().partition(is_selected);
    Today {
        selected,
        unselected: unselected.into_iter().map(|table| table.name).collect(),
        mapping: MAPPING,
        cascades: SourceCascades::default(),
    }
}

fn named<'a>(tables: &'a mut [SourceTable], name: &str) -> &'a mut SourceTable {
    tables.iter_mut().find(|table| table.name.table == name).unwrap()
}

fn narrow(tables: &mut [SourceTable], name: &str) {
    named(tables, name).columns[2].ty = MysqlType::Integer {
        bits: 32,
        unsigned: false,
    }
    .into();
}

/// A blocking finding about a table.
fn cascade(table: &str) -> Finding {
    let subject = Subject::table(&qualified(table));
    Finding::new(
        code::SOURCE_TABLE_UNSUPPORTED,
        Severity::Blocking,
        subject,
        "a cascade",
    )
}

fn stops(planned: &Planned) -> Vec<(&str, Code)> {
    let stops = planned.stops.iter();
    stops
        .map(|stop| (stop.table.table.as_str(), stop.finding.code))
        .collect()
}

#[test]
fn a_start_without_recorded_tables_decides_as_the_first() {
    let mut empty = record(&[]);
    empty.tables.clear();
    for control in [None, Some(&empty)] {
        let planned = decide(&today(|_| {}, &["other"]), control);
        assert!(!planned.is_recorded() && planned.stops.is_empty());
        assert_eq!(planned.plans.len(), 4);
        assert!(planned.plans.iter().all(|plan| plan.counted_from == Epoch(1)));
    }
}

/// Which tables stop, and which findings there are besides those of the conversion; a finding is
/// written `code subject`.
#[test]
fn a_later_start_works_on_the_record() {
    let check =
        |change: fn(&mut Vec<SourceTable>), unselected: &[&str], stopped: &[(&str, Code)], told: &[&str]| {
            let control = record(&[]);
            let planned = decide(&today(change, unselected), Some(&control));
            assert_eq!(stops(&planned), stopped);
            let is_told =
                |finding: &&Finding| [code::CONSTRAINT_CHANGED, code::TABLE_CREATED].contains(&finding.code);
            let found = planned.findings.iter().filter(is_told);
            let found: Vec<String> = found
                .map(|finding| format!("{} {}", finding.code, finding.subject))
                .collect();
            assert_eq!(found, told);
            // The plans are those of the record, whatever the source has.
            let plans = planned.plans.iter().map(|plan| TableDefinition::of(plan));
            assert!(plans.eq(control.definitions.values().cloned()));
            let reason = stopped
                .first()
                .map(|(table, _)| planned.why_stopped(&qualified(table)));
            assert!(reason.is_none_or(|reason| reason.is_some_and(|reason| reason.remedy.is_some())));
        };
    check(|_| {}, &[], &[], &[]);
    check(
        |tables| narrow(tables, "child"),
        &[],
        &[("child", code::SCHEMA_MISMATCH)],
        &[],
    );
    check(
        |tables| named(tables, "note").indexes.clear(),
        &[],
        &[("note", code::SCHEMA_MISMATCH)],
        &["SF-5026 note.pair"],
    );
    check(
        |tables| named(tables, "parent").indexes.clear(),
        &[],
        &[],
        &["SF-5026 parent.one"],
    );
    check(
        |tables| named(tables, "child").foreign_keys.clear(),
        &[],
        &[],
        &["SF-5026 child.fk"],
    );
    // A shorter key, which a new migration would choose.
    check(
        |tables| named(tables, "note").indexes.insert(0, index("a", true, &[2])),
        &[],
        &[],
        &["SF-5026 note.a"],
    );
    check(
        |tables| drop(tables.remove(3)),
        &[],
        &[("other", code::TABLE_GONE)],
        &[],
    );
    check(|_| {}, &["other"], &[("other", code::TABLE_UNSELECTED)], &[]);
    // A name that the target takes for a recorded one, and that comes first.
    check(
        |tables| tables.insert(0, table("ALONE", vec![column("id", BIGINT)])),
        &[],
        &[],
        &["SF-5005 ALONE"],
    );
    check(
        |tables| tables.insert(0, table("ALONE", vec![column("id", BIGINT)])),
        &["ALONE"],
        &[],
        &[],
    );
}

#[test]
fn a_blocking_finding_is_the_first_reason() {
    let mut planned = decide(&today(|tables| narrow(tables, "child"), &[]), Some(&record(&[])));
    let cascade = cascade("child");
    planned.stop_blocked(&[cascade.clone(), self::cascade("unknown")]);
    assert_eq!(planned.why_stopped(&qualified("child")), Some(&cascade));
}

#[test]
fn a_finding_stops_no_table_of_another_schema() {
    let mut elsewhere = cascade("child");
    elsewhere.subject = Subject::Table(QualifiedName::new("elsewhere", "child"));
    let mut planned = decide(&today(|_| {}, &[]), Some(&record(&[])));
    planned.stop_blocked(std::slice::from_ref(&elsewhere));
    assert_eq!(stops(&planned), []);
    // Nor does it stand in the way of its resync.
    let decided = resynced("child", &today(|_| {}, &[]), &record(&["child"]), &[elsewhere]);
    assert!(decided.is_ok(), "{decided:?}");
}

#[test]
fn a_record_that_has_changed_is_refused() {
    let (today, control) = (today(|tables| narrow(tables, "child"), &[]), record(&[]));
    let planned = decide(&today, Some(&control));
    let check = |planned: &Planned, found: Option<&ControlState>, is_same: bool| {
        let expected = planned.expect_record(found).map_err(|failure| failure.code);
        assert_eq!(expected, if is_same { Ok(()) } else { Err(code::TARGET_FENCED) });
    };
    let stopped = record(&["alone"]);
    check(&planned, Some(&control), true);
    check(&planned, None, false);
    // Tables may move on while a migration is taken over, but not while it is decided what a resync
    // does.
    check(&planned, Some(&stopped), true);
    let changes = planned.clone().to_change(&control);
    assert!(changes.stops.is_empty());
    check(&changes, Some(&control), true);
    check(&changes, Some(&stopped), false);
    let mut other = record(&[]);
    other.definitions.get_mut(&qualified("note")).unwrap().source_key = vec![0];
    check(&planned, Some(&other), false);
    let new = decide(&today, None);
    check(&new, None, true);
    check(&new, Some(&control), false);
}

/// What a resync decides, as names: reloaded, left, changed; or the codes that stand in the way.
fn resynced(
    table: &str,
    today: &Today,
    control: &ControlState,
    checked: &[Finding],
) -> Result<[String; 3], String> {
    let request = ResyncRequest {
        table: &qualified(table),
        today,
        control,
        description: &TargetDescription {
            dialect: Dialect::GoogleSql,
            tables: BTreeMap::new(),
            indexes: vec!["by_hand".to_owned()],
            foreign_keys: Vec::new(),
        },
        checked,
    };
    let decided = decide_resync(request, |finding| finding.severity == Severity::Blocking);
    decided.map(|resync| names(&resync)).map_err(refused)
}

fn names(resync: &Resync) -> [String; 3] {
    let of = |definitions: &[TableDefinition]| {
        let names = definitions.iter().map(|known| known.target.name.as_str());
        names.collect::<Vec<_>>().join(" ")
    };
    let left = resync.left.iter().map(|stop| stop.table.table.as_str());
    [
        of(&resync.reload),
        left.collect::<Vec<_>>().join(" "),
        of(&resync.changed),
    ]
}

fn refused(refusal: Refusal) -> String {
    match refusal {
        Refusal::Unknown => "unknown".to_owned(),
        Refusal::Findings(findings) => {
            let codes = findings.iter().map(|finding| finding.code.to_string());
            codes.collect::<Vec<_>>().join(" ")
        }
    }
}

#[test]
fn a_resync_loads_a_group_and_what_it_needs() {
    let all = || today(|_| {}, &[]);
    let check = |table: &str, today: &Today, stopped: &[&str], expected: Result<[&str; 3], &str>| {
        let found = resynced(table, today, &record(stopped), &[]);
        let expected = expected
            .map(|parts| parts.map(str::to_owned))
            .map_err(str::to_owned);
        assert_eq!(found, expected, "{table}");
    };
    check("alone", &all(), &["alone"], Ok(["alone", "", ""]));
    check(
        "child",
        &all(),
        &["child", "parent"],
        Ok(["child parent", "", ""]),
    );
    check("unheard", &all(), &[], Err("unknown"));
    // Not there, or not selected.
    check("other", &today(|_| {}, &["other"]), &["other"], Err("SF-5028"));
    let without = today(|tables| drop(tables.remove(3)), &[]);
    check("other", &without, &["other"], Err("SF-5027"));
    let unheard = |tables: &mut Vec<SourceTable>| tables.push(table("unheard", vec![column("id", BIGINT)]));
    check("unheard", &today(unheard, &["unheard"]), &[], Err("unknown"));
    // A member of the group that is away stays stopped, the others load.
    let without = today(|tables| drop(tables.remove(4)), &[]);
    check(
        "child",
        &without,
        &["child", "parent"],
        Ok(["child", "parent", ""]),
    );
    // A table that is new, under a name that is free.
    let new = today(
        |tables| tables.push(table("ALONE", vec![column("id", BIGINT)])),
        &[],
    );
    check("ALONE", &new, &[], Ok(["ALONE_2", "", ""]));
    // Today's foreign key leads to a group that has stopped, which is loaded too, or to one that
    // flows, which is joined.
    let joined = today(
        |tables| {
            let key = foreign_key("to", &[2], "other", &["id"]);
            named(tables, "alone").foreign_keys.push(key);
        },
        &[],
    );
    check("alone", &joined, &["alone", "other"], Ok(["alone other", "", ""]));
    check("alone", &joined, &["alone"], Ok(["alone", "", ""]));
    // Two groups that flow become one: those of one of them change their group, and nothing of them
    // is loaded.
    let both = today(
        |tables| {
            let keys = [
                foreign_key("to", &[2], "other", &["id"]),
                foreign_key("up", &[1], "parent", &["id"]),
            ];
            named(tables, "alone").foreign_keys.extend(keys);
        },
        &[],
    );
    check("alone", &both, &["alone"], Ok(["alone", "", "other"]));
}

#[test]
fn a_resync_is_refused_by_what_blocks_its_tables() {
    let check = |found: &str, stopped: &[&str], expected: Result<(), &str>| {
        let decided = resynced("child", &today(|_| {}, &[]), &record(stopped), &[cascade(found)]);
        assert_eq!(decided.map(drop), expected.map_err(str::to_owned), "{found}");
    };
    check("child", &["child", "parent"], Err("SF-2007"));
    check("parent", &["child", "parent"], Err("SF-2007"));
    check("alone", &["child", "parent"], Ok(()));
    // Today's definition has no key at all.
    let keyless = today(|tables| named(tables, "note").indexes.clear(), &[]);
    assert_eq!(
        resynced("note", &keyless, &record(&["note"]), &[]),
        Err("SF-2007".to_owned())
    );
}

#[test]
fn what_is_loaded_again_keeps_its_names_and_the_epoch_it_counts_from() {
    let control = record(&["parent", "child"]);
    let today = today(
        |tables| {
            let parent = named(tables, "parent");
            parent.indexes.push(index("by_hand", false, &[2]));
            tables.push(table("new", vec![column("id", BIGINT)]));
        },
        &[],
    );
    let request = |name: &str| {
        let description = TargetDescription {
            dialect: Dialect::GoogleSql,
            tables: BTreeMap::new(),
            indexes: vec!["parent_by_hand".to_owned(), "by_hand".to_owned()],
            foreign_keys: Vec::new(),
        };
        let request = ResyncRequest {
            table: &qualified(name),
            today: &today,
            control: &control,
            description: &description,
            checked: &[],
        };
        decide_resync(request, |finding| finding.severity == Severity::Blocking).unwrap()
    };
    let resync = request("child");
    let [child, parent] = &resync.reload[..] else {
        panic!("{:?}", names(&resync))
    };
    // Only the group's number is another.
    let recorded = TableDefinition {
        group: child.group,
        ..control.definitions[&qualified("child")].clone()
    };
    assert_eq!(*child, recorded);
    assert_eq!(child.group, parent.group);
    let (before, after) = (&control.definitions[&qualified("parent")].target, &parent.target);
    assert_eq!(
        (&after.name, after.indexes.len(), &after.indexes[0]),
        (&before.name, 2, &before.indexes[0])
    );
    // The name of an index that was made by hand is not given again.
    assert!(!["parent_by_hand", "by_hand"].contains(&after.indexes[1].name.as_str()));
    // A new table counts from the next epoch on, and is a group of its own.
    let new = &request("new").reload[0];
    assert_eq!(new.counted_from, Epoch(5));
    assert!(control.definitions.values().all(|known| known.group != new.group));
}

#[test]
fn a_table_that_is_given_up_takes_the_foreign_keys_to_it_with_it() {
    let control = record(&["parent"]);
    let resync = decide_forget(&control, &qualified("parent")).unwrap();
    assert!(resync.emptied().eq([&qualified("parent")]));
    assert_eq!(names(&resync), ["", "", "child"].map(str::to_owned));
    assert!(resync.changed[0].target.foreign_keys.is_empty());
    let unknown = decide_forget(&control, &qualified("unheard")).unwrap_err();
    assert_eq!(refused(unknown), "unknown");
}

/// A default that has changed stops nothing: the rows are the same.
#[test]
fn a_changed_default_is_told_and_stops_nothing() {
    let with_default = |tables: &mut Vec<SourceTable>| {
        let seven = OwnedScalar::Signed(7);
        named(tables, "other").columns[1].default = Some(SourceDefault::value("7", seven));
    };
    let told = |planned: &Planned| -> Vec<String> {
        let findings = planned.findings.iter();
        let about = findings.filter(|finding| finding.text.contains("default"));
        about
            .map(|finding| format!("{} {}", finding.code, finding.subject))
            .collect()
    };
    let planned = decide(&today(|_| {}, &[]), Some(&record(&[])));
    assert_eq!(told(&planned), Vec::<String>::new());
    let planned = decide(&today(with_default, &[]), Some(&record(&[])));
    assert_eq!(told(&planned), ["SF-4004 other.v"]);
    assert_eq!(stops(&planned), []);
    let other = planned
        .plans
        .iter()
        .find(|plan| plan.name().table == "other")
        .unwrap();
    assert_eq!(
        other.target.columns[1].by_target, None,
        "the target is as recorded"
    );
}
