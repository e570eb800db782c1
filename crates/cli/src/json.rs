//! JSON that programs read: documented in docs/reference/json.md.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use spanferry_core::port::target::{CommitTimestamp, TablePhase};
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::Finding;
use spanferry_core::schema::source::QualifiedName;
use spanferry_engine::migrate::Outcome;
use spanferry_engine::progress::{Snapshot, TableProgress};
use spanferry_engine::verify::{TableVerdict, Testimony};

use crate::clock::now_us;
use crate::document::VERSION;
use crate::finding_groups::lost;
use crate::rates::Rates;
use crate::short_name::{short_names, table_of};
use crate::usage;
use crate::verdict::ExtraObject;

/// A failure: what happened to which object, why, and what to do.
pub(crate) fn failure(failure: &Failure) -> Value {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(failure);
    while let Some(known) = cause {
        causes.push(known.to_string());
        cause = known.source();
    }
    json!({"code": failure.code.to_string(), "object": failure.object, "message": failure.message,
        "causes": causes, "hint": failure.next_step()})
}

/// The last event of a migration, which is also its report. `outcome` and `snapshot` are those of a
/// run that came so far.
pub(crate) fn end(outcome: &Outcome, snapshot: &Snapshot, options: &str) -> Value {
    let stopped: Vec<Value> = outcome
        .stopped
        .iter()
        .map(|(table, reason)| json!({"schema": table.schema, "table": table.table, "reason": reason.to_string()}))
        .collect();
    let findings = findings(snapshot, options);
    json!({"version": VERSION, "event": "end", "at_us": now_us(), "exit_status": outcome.exit_status(), "error": null, "interrupted": outcome.interrupted,
        "caught_up": outcome.caught_up, "position": outcome.position, "stopped": stopped, "lost": lost(&findings),
        "findings": findings, "process": usage::report()})
}

/// The last event of a migration that was refused or failed; `begun` is what is known of one that
/// had begun, and the options of its commands.
pub(crate) fn end_of_failed(error: &Failure, exit_status: u8, begun: Option<(&Snapshot, &str)>) -> Value {
    let findings = begun.map_or_else(Vec::new, |(snapshot, options)| findings(snapshot, options));
    let position = begun.map(|(snapshot, _)| &snapshot.position);
    json!({"version": VERSION, "event": "end", "at_us": now_us(), "exit_status": exit_status, "error": failure(error), "interrupted": error.code == code::INTERRUPTED,
        "caught_up": false, "position": position, "stopped": [], "lost": lost(&findings), "findings": findings, "process": usage::report()})
}

/// A finding. `options` stand in a command behind its verb.
pub(crate) fn finding(finding: &Finding, options: &str) -> Value {
    let remedy = finding.remedy.as_ref();
    let schema = finding.subject.source_table().map(|table| &table.schema);
    json!({"code": finding.code.to_string(), "severity": finding.severity.word(), "loss": finding.is_loss(),
        "schema": schema, "table": finding.subject.table_name(),
        "part": finding.subject.part_name(), "text": finding.text, "meaning": finding.meaning(), "remedy": remedy.map(|remedy| remedy.printed(options)),
        "remedy_kind": remedy.map(|remedy| remedy.kind().word())})
}

fn findings(snapshot: &Snapshot, options: &str) -> Vec<Value> {
    snapshot
        .findings
        .iter()
        .map(|known| finding(known, options))
        .collect()
}

/// Where a migration stands, as one process saw it at `at_us` (microseconds since 1970).
pub(crate) fn status(snapshot: &Snapshot, rates: &Rates, at_us: u64, options: &str) -> Value {
    let sum = |of: fn(&TableProgress) -> u64| snapshot.tables.iter().map(of).sum::<u64>();
    let findings = findings(snapshot, options);
    json!({
        "version": VERSION,
        "state": "running",
        "running": true,
        "process_id": std::process::id(),
        "at_us": at_us,
        "age_seconds": 0,
        "end": null,
        "phase": snapshot.phase,
        "caught_up": snapshot.is_caught_up(),
        "rows_estimate": sum(rows_expected),
        "rows_loaded": sum(|table| table.rows_loaded),
        "rows_per_second": rounded(rates.rows),
        "bytes_loaded": sum(|table| table.bytes_loaded),
        "bytes_per_second": rounded(rates.bytes),
        "eta_seconds": rates.eta_seconds,
        "capture": {"transactions": snapshot.captured_transactions, "bytes": snapshot.captured_bytes,
            "sequence": snapshot.captured_sequence, "last_transaction": snapshot.captured_transaction,
            "transactions_per_second": rounded(rates.captured), "bytes_per_second": rounded(rates.captured_bytes)},
        "apply": {"transactions": snapshot.applied_transactions, "changes": snapshot.applied_changes, "changes_in_part": snapshot.applied_in_part,
            "sequence": snapshot.applied_sequence, "position": snapshot.position,
            "transactions_per_second": rounded(rates.applied), "capture_ratio": rates.ratio().map(rounded), "aborted_commits": snapshot.aborted},
        "lag": {"transactions": rates.lag_transactions, "seconds": rates.lag_seconds, "bytes": rates.lag_bytes,
            "seconds_to_catch_up": rates.catch_up_seconds},
        "log": {"bytes": snapshot.log_bytes, "budget_bytes": snapshot.log_budget_bytes,
            "seconds_to_budget": rates.budget_seconds},
        "source": {"undo_transactions": snapshot.health.versions_kept,
            "replica_lag_seconds": snapshot.health.replica_lag.map(|lag| lag.as_secs())},
        "target": {"committed_at_us": snapshot.committed_at.map(CommitTimestamp::microseconds)},
        "throttled": snapshot.why_throttled(),
        "hand_off": snapshot.hand_off,
        "groups": groups(&snapshot.tables),
        "tables": tables(&snapshot.tables, rates),
        "findings": findings,
        "findings_more": snapshot.findings_more,
    })
}

/// A rate as it is printed: further digits would change at every look.
fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

/// Takes the tables of a group back to the start in a status that was written before they were
/// emptied. By name: another run may have numbered its groups otherwise.
pub(crate) fn empty_group(status: &mut Value, tables: &[QualifiedName]) {
    for table in status["tables"].as_array_mut().into_iter().flatten() {
        if is_one_of(table, "name", tables) {
            table["phase"] = json!(TablePhase::Pending.word());
            table["rows_loaded"] = json!(0);
            table["bytes_loaded"] = json!(0);
            table["stopped"] = Value::Null;
        }
    }
    let written = items(&status["tables"]);
    for known in status["groups"].as_array_mut().into_iter().flatten() {
        let mut members = written.iter().filter(|table| table["group"] == known["group"]);
        let is_stopped = |table: &Value| table["phase"] == TablePhase::Stopped.word();
        // What could not be emptied with the others stays stopped.
        if members.clone().any(|table| is_one_of(table, "name", tables)) && !members.any(is_stopped) {
            known["phase"] = json!(TablePhase::Pending.word());
        }
    }
    for name in ["rows_loaded", "rows_estimate"] {
        let sum: u64 = written.iter().filter_map(|table| table[name].as_u64()).sum();
        status[name] = json!(sum);
    }
    // What stopped them is no more; what is left out of them still is.
    if let Some(findings) = status["findings"].as_array_mut() {
        findings.retain(|finding| finding["severity"] != "blocking" || !is_one_of(finding, "table", tables));
    }
    status["caught_up"] = json!(false);
}

/// Whether an item of a status is about one of these tables. Its member `name` has the name of its
/// table. An item that an earlier release wrote has no schema: that release migrated one schema
/// only, so the name is enough.
fn is_one_of(item: &Value, name: &str, tables: &[QualifiedName]) -> bool {
    let is_meant = |found: QualifiedName| {
        let mut tables = tables.iter();
        tables.any(|table| found.table == table.table && (found.schema.is_empty() || found == *table))
    };
    table_of(item, name).is_some_and(is_meant)
}

fn items(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

/// Takes tables that the migration has given up out of a status that was written before.
pub(crate) fn forget_tables(status: &mut Value, tables: &[QualifiedName]) {
    for (list, name) in [("tables", "name"), ("findings", "table")] {
        if let Some(list) = status[list].as_array_mut() {
            list.retain(|known| !is_one_of(known, name, tables));
        }
    }
    let left = items(&status["tables"]);
    let names: Vec<QualifiedName> = left.iter().filter_map(|table| table_of(table, "name")).collect();
    let names = short_names(&names);
    for group in status["groups"].as_array_mut().into_iter().flatten() {
        let members = left.iter().zip(&names);
        let members = members.filter(|(table, _)| table["group"] == group["group"]);
        group["tables"] = members.map(|(_, name)| name.as_str()).collect();
    }
    if let Some(groups) = status["groups"].as_array_mut() {
        groups.retain(|group| group["tables"].as_array().is_some_and(|names| !names.is_empty()));
    }
}

/// Rows that the load of a table makes: the source's estimate, until the table is loaded and the
/// number known.
fn rows_expected(table: &TableProgress) -> u64 {
    match table.phase {
        TablePhase::Stopped | TablePhase::Pending | TablePhase::Loading => {
            table.rows_estimate.max(table.rows_loaded)
        }
        TablePhase::Loaded | TablePhase::Joined | TablePhase::Constrained => table.rows_loaded,
    }
}

fn tables(tables: &[TableProgress], rates: &Rates) -> Vec<Value> {
    let one = |(index, table): (usize, &TableProgress)| {
        json!({"schema": table.name.schema, "name": table.name.table, "group": table.group, "phase": table.phase.word(), "rows_estimate": rows_expected(table),
            "rows_loaded": table.rows_loaded, "rows_per_second": rounded(rates.table_rows(index)), "bytes_loaded": table.bytes_loaded,
            "bytes_per_second": rounded(rates.table_bytes(index)), "eta_seconds": rates.table_eta(index), "stopped": table.stopped})
    };
    tables.iter().enumerate().map(one).collect()
}

/// A group is as far as the least of its tables; a stop of one is a stop of all.
fn groups(tables: &[TableProgress]) -> Vec<Value> {
    let mut groups: BTreeMap<u32, Vec<(String, &TableProgress)>> = BTreeMap::new();
    let names = short_names(tables.iter().map(|table| &table.name));
    for (name, table) in names.into_iter().zip(tables) {
        groups.entry(table.group).or_default().push((name, table));
    }
    let one = |(group, tables): (u32, Vec<(String, &TableProgress)>)| {
        let least = tables
            .iter()
            .map(|(_, table)| table.phase)
            .min_by_key(|phase| rank(*phase));
        let names: Vec<&String> = tables.iter().map(|(name, _)| name).collect();
        json!({"group": group, "phase": least.map(TablePhase::word), "tables": names})
    };
    groups.into_iter().map(one).collect()
}

fn rank(phase: TablePhase) -> u8 {
    match phase {
        TablePhase::Stopped => 0,
        TablePhase::Pending => 1,
        TablePhase::Loading => 2,
        TablePhase::Loaded => 3,
        TablePhase::Joined => 4,
        TablePhase::Constrained => 5,
    }
}

/// The verdict on all tables; `equal` is false also when a table is not among them, which then has
/// its reason.
pub(crate) fn verdict(
    verdicts: &[TableVerdict],
    not_compared: &[(QualifiedName, &str)],
    extra: &[ExtraObject],
    equal: bool,
) -> Value {
    let tables: Vec<Value> = verdicts.iter().map(table_verdict).collect();
    let others = not_compared.iter();
    let others: Vec<Value> = others
        .map(|(name, reason)| json!({"schema": name.schema, "name": name.table, "reason": reason}))
        .collect();
    let mut object = json!({"equal": equal, "tables": tables, "not_compared": others});
    if !extra.is_empty() {
        let extra = extra.iter();
        object["extra_at_target"] = extra
            .map(|found| json!({"table": found.table, "column": found.column}))
            .collect();
    }
    object
}

fn table_verdict(table: &TableVerdict) -> Value {
    let keys = table.keys.iter();
    let keys: Vec<Value> = keys
        .map(|key| json!({"kind": key.kind.word(), "key": key.key, "columns": key.columns}))
        .collect();
    let mut object = json!({"schema": table.name.schema, "name": table.name.table, "rows_source": table.rows_source, "rows_target": table.rows_target,
        "missing": table.missing, "extra": table.extra, "different": table.different, "keys": keys,
        "refused": table.refused, "refused_rows": refused_rows(table), "witness": testimony(&table.testimony)});
    if table.at_least {
        object["at_least"] = json!(true);
    }
    if let Some(lack) = table.lack {
        object["target_lacks"] = json!(lack.word());
    }
    object
}

fn testimony(said: &Testimony) -> Value {
    let rows = said.contradicted.iter();
    let rows: Vec<Value> = rows
        .map(|row| json!({"key": row.key, "columns": row.columns}))
        .collect();
    json!({"rows_source": said.rows_source, "rows_target": said.rows_target, "rows_asked": said.rows_asked,
        "columns_missing": said.columns_missing, "contradicted": rows})
}

fn refused_rows(table: &TableVerdict) -> Vec<Value> {
    let rows = table.refused_rows.iter();
    rows.map(|row| json!({"key": row.key, "column": row.column, "reason": row.reason}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use spanferry_core::report::finding::{Severity, Subject};
    use spanferry_engine::verify::{ContradictedKey, DifferentKey, Kind, Lack, NamedRefusal};

    /// The words in backticks of the page, and those between quotation marks in its shapes.
    fn is_documented(name: &str) -> bool {
        let page = include_str!("../../../docs/reference/json.md");
        page.contains(&format!("`{name}`")) || page.contains(&format!("\"{name}\""))
    }

    fn expect_documented(value: &Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    assert!(is_documented(name), "docs/reference/json.md lacks `{name}`");
                    expect_documented(value);
                }
            }
            Value::Array(items) => items.iter().for_each(expect_documented),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn progress(name: &QualifiedName, phase: TablePhase, group: u32) -> TableProgress {
        TableProgress {
            name: name.clone(),
            phase,
            rows_estimate: 7,
            rows_loaded: 5,
            bytes_loaded: 1,
            group,
            stopped: None,
        }
    }

    /// The tables `a.t` and `b.t` in groups of their own, each with two findings.
    fn two_schemas() -> (QualifiedName, QualifiedName, Value) {
        let [one, other] = ["a", "b"].map(|schema| QualifiedName::new(schema, "t"));
        let found = |table: &QualifiedName| {
            let finding = |code, severity, text| Finding::new(code, severity, Subject::table(table), text);
            [
                finding(code::DDL_SEEN, Severity::Blocking, "ALTER TABLE"),
                finding(code::LEFT_OUT, Severity::Warning, "the view"),
            ]
        };
        let snapshot = Snapshot {
            tables: vec![
                progress(&one, TablePhase::Constrained, 0),
                progress(&other, TablePhase::Constrained, 1),
            ],
            source_reached: true,
            findings: [found(&one), found(&other)].concat(),
            ..Snapshot::default()
        };
        let status = status(&snapshot, &Rates::default(), 1, "");
        (one, other, status)
    }

    /// Takes the schemas out, as an earlier release wrote it.
    fn without_schemas(status: &mut Value) {
        for list in ["tables", "findings"] {
            for item in status[list].as_array_mut().unwrap() {
                item.as_object_mut().unwrap().remove("schema");
            }
        }
    }

    #[test]
    fn an_emptied_group_is_told_as_pending() {
        let (_, other, mut status) = two_schemas();
        empty_group(&mut status, std::slice::from_ref(&other));
        let of = |list: &str, member: &str| {
            status[list]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item[member].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (&status["caught_up"], &status["rows_loaded"]),
            (&json!(false), &json!(5))
        );
        assert_eq!(of("groups", "phase"), ["constrained", "pending"]);
        assert_eq!(of("groups", "tables"), [json!(["a.t"]), json!(["b.t"])]);
        assert_eq!(of("tables", "phase"), ["constrained", "pending"]);
        assert_eq!(of("tables", "rows_loaded"), [5, 0]);
        assert_eq!(of("findings", "schema"), ["a", "a", "b"]);
        assert_eq!(of("findings", "severity"), ["blocking", "warning", "warning"]);
    }

    #[test]
    fn a_forgotten_table_leaves_one_of_its_name_in_another_schema() {
        let (one, other, mut status) = two_schemas();
        forget_tables(&mut status, std::slice::from_ref(&other));
        let left = |status: &Value, list: &str| status[list].as_array().unwrap().len();
        assert_eq!(
            (
                left(&status, "tables"),
                left(&status, "groups"),
                left(&status, "findings")
            ),
            (1, 1, 2)
        );
        assert_eq!(status["tables"][0]["schema"], "a");
        assert_eq!(status["groups"][0]["tables"], json!(["t"]));
        forget_tables(&mut status, &[other]);
        assert_eq!(left(&status, "tables"), 1);
        without_schemas(&mut status);
        forget_tables(&mut status, &[one]);
        assert_eq!(
            (
                left(&status, "tables"),
                left(&status, "groups"),
                left(&status, "findings")
            ),
            (0, 0, 0)
        );
    }

    /// A `progress` event may have each member of a status, except the findings, what never changes
    /// in one run, and what only `spanferry status` sets.
    #[test]
    fn a_change_of_every_member_is_documented() {
        let fixed = [
            "version",
            "state",
            "running",
            "process_id",
            "age_seconds",
            "end",
            "findings",
        ];
        let page: Value =
            serde_json::from_str(include_str!("../../../docs/reference/output.schema.json")).unwrap();
        let documented = &page["$defs"]["changed"]["properties"];
        let status = status(&Snapshot::default(), &Rates::default(), 1, "");
        let members = status.as_object().unwrap().keys().map(String::as_str);
        let missing = members.filter(|name| !fixed.contains(name) && documented[name].is_null());
        assert_eq!(missing.collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn every_field_is_documented() {
        let name = QualifiedName::new("shop", "t");
        let snapshot = Snapshot {
            tables: vec![
                progress(&name, TablePhase::Constrained, 3),
                progress(&name, TablePhase::Loading, 3),
            ],
            ..Snapshot::default()
        };
        let status = status(&snapshot, &Rates::default(), 1, "");
        expect_documented(&status);
        assert_eq!(status["groups"][0]["phase"], "loading");
        let failure = Failure::bug("object", "message");
        expect_documented(&end_of_failed(&failure, 1, Some((&snapshot, ""))));
        expect_documented(&end(&Outcome::default(), &snapshot, ""));
        let table = TableVerdict {
            at_least: true,
            lack: Some(Lack::Columns),
            keys: vec![DifferentKey {
                kind: Kind::Extra,
                key: "[]".into(),
                columns: Vec::new(),
            }],
            refused: 1,
            refused_rows: vec![NamedRefusal {
                key: "[]".into(),
                column: "d".into(),
                reason: "a zero or partial date".into(),
            }],
            testimony: Testimony {
                contradicted: vec![ContradictedKey {
                    key: "[]".into(),
                    columns: Vec::new(),
                }],
                ..Testimony::default()
            },
            ..TableVerdict::new(&name)
        };
        let others = [(name, "is not selected")];
        let extra = [ExtraObject {
            table: "t".to_owned(),
            column: None,
        }];
        expect_documented(&verdict(&[table], &others, &extra, false));
        assert!(!is_documented("rows_by_magic"));
    }
}
