//! The findings of a large schema, on two screens and at the end of a run.

use serde_json::Value;
use spanferry_core::fixture;
use spanferry_core::mapping::convert::map_decided;
use spanferry_core::mapping::decide::decide;
use spanferry_core::mapping::known::Known;
use spanferry_core::mapping::options::MappingOptions;
use spanferry_core::report::code;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::schema::target::Dialect;
use spanferry_engine::migrate::Outcome;
use spanferry_engine::progress::Snapshot;

use super::{OPTIONS, check};
use crate::findings::{self, REST_OF_CHECK, Room};
use crate::json;
use crate::wrap::folded;

/// A schema of 150 tables in which nearly everything is worth a finding.
fn large_schema() -> Vec<Finding> {
    let table = |number: usize| {
        let columns = ["id", "parent", "total"].map(|name| fixture::column(name, fixture::BIGINT));
        let mut table = fixture::table(&format!("table_{number:03}"), columns.into());
        table.columns[2].generated = Some(format!("parent * {number}"));
        table.checks = vec![(format!("check_{number}"), format!("total > {number}"))];
        table.triggers = ["BEFORE INSERT", "AFTER UPDATE"]
            .map(|timing| (format!("log_{number}"), timing.to_owned()))
            .into();
        let mut words = fixture::index("words", false, &[1]);
        words.kind = "FULLTEXT".to_owned();
        table.indexes = vec![words];
        table.foreign_keys = ["to_audit", "to_parent"]
            .map(|name| fixture::foreign_key(name, &[1], &format!("other_{number}"), &["id"]))
            .into();
        if number.is_multiple_of(15) {
            table.primary_key.clear();
        }
        table
    };
    let options = MappingOptions {
        dialect: Dialect::GoogleSql,
        uuid_supported: true,
    };
    let known = Known::default();
    let decisions = decide((0..150).map(table).collect(), &known, &options);
    let mut found = map_decided(decisions, &known).findings;
    found.extend((0..40).map(|number| {
        let text = format!("the setting {number} of the source is worth knowing");
        Finding::new(code::SOURCE_NOTICE, Severity::Notice, Subject::whole(), text)
    }));
    found
}

/// However many findings there are, a person sees a screenful, with all that blocks by name.
#[test]
fn findings_of_a_large_schema() {
    let found = large_schema();
    let found: Vec<Value> = found
        .iter()
        .map(|finding| json::finding(finding, OPTIONS))
        .collect();
    for (page, columns, rows) in [
        ("findings-of-many-tables-80x24", 80, 24),
        ("findings-of-many-tables-110x40", 110, 40),
    ] {
        let room = Room::Screen { columns, rows };
        let lines = findings::lines(&found, 0, room, REST_OF_CHECK);
        let text = folded(&lines.join("\n"), columns);
        assert!(text.lines().count() < rows, "{text}");
        check(page, &text);
    }
    let every = findings::lines(&found, 0, Room::Whole, REST_OF_CHECK);
    assert_eq!(every.len(), found.len());
    let lost = json::end(&Outcome::default(), &snapshot_with(large_schema()), OPTIONS);
    let lost = findings::lost(&lost["lost"], "/data/shop/report.json");
    check("losses-of-many-tables", &lost.join("\n"));
}

fn snapshot_with(findings: Vec<Finding>) -> Snapshot {
    Snapshot {
        findings,
        ..Snapshot::default()
    }
}
