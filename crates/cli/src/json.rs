//! JSON that programs read: documented in docs/reference/json.md.

use serde_json::{Value, json};
use spanferry_core::failure::Failure;
use spanferry_core::finding::{Finding, Severity};
use spanferry_engine::progress::Snapshot;
use spanferry_engine::verify::{Kind, TableVerdict};

use crate::rates::Rates;

/// A failure.
pub(crate) fn failure(failure: &Failure) -> Value {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(failure);
    while let Some(known) = cause {
        causes.push(known.to_string());
        cause = known.source();
    }
    json!({"error": {"code": failure.code.to_string(), "object": failure.object, "message": failure.message,
        "causes": causes, "hint": failure.next_step()}})
}

/// A finding.
pub(crate) fn finding(finding: &Finding) -> Value {
    let severity = match finding.severity {
        Severity::Notice => "notice",
        Severity::Warning => "warning",
        Severity::Blocking => "blocking",
    };
    json!({"code": finding.code.to_string(), "severity": severity, "table": finding.subject.table,
        "part": finding.subject.part, "text": finding.text, "remedy": finding.remedy})
}

/// Where a migration stands.
pub(crate) fn status(snapshot: &Snapshot, rates: &Rates, running: bool) -> Value {
    let tables: Vec<Value> = snapshot
        .tables
        .iter()
        .enumerate()
        .map(|(index, table)| {
            json!({"name": table.name, "group": table.group, "phase": table.phase.word(), "rows_estimate": table.rows_estimate,
                "rows_loaded": table.rows_loaded, "bytes_loaded": table.bytes_loaded,
                "rows_per_second": rates.table_rows(index), "eta_seconds": rates.table_eta(index), "stopped": table.stopped})
        })
        .collect();
    let findings: Vec<Value> = snapshot.findings.iter().map(finding).collect();
    json!({
        "running": running,
        "phase": snapshot.phase,
        "caught_up": snapshot.caught_up,
        "rows_loaded": snapshot.tables.iter().map(|table| table.rows_loaded).sum::<u64>(),
        "rows_per_second": rates.rows,
        "bytes_per_second": rates.bytes,
        "eta_seconds": rates.eta_seconds,
        "capture": {"transactions": snapshot.captured_transactions, "bytes": snapshot.captured_bytes,
            "sequence": snapshot.captured_sequence, "transactions_per_second": rates.captured},
        "apply": {"transactions": snapshot.applied_transactions, "changes": snapshot.applied_changes,
            "sequence": snapshot.applied_sequence, "transactions_per_second": rates.applied,
            "capture_ratio": rates.ratio(), "position": snapshot.position, "aborted_commits": snapshot.aborted},
        "lag": {"transactions": rates.lag_transactions, "seconds": rates.lag_seconds,
            "seconds_to_catch_up": rates.catch_up_seconds},
        "log": {"bytes": snapshot.log_bytes, "budget_bytes": snapshot.log_budget_bytes},
        "throttled": snapshot.why_throttled(),
        "hand_off": snapshot.hand_off,
        "tables": tables,
        "findings": findings,
        "findings_more": snapshot.findings_more,
    })
}

/// The verdict on all tables.
pub(crate) fn verdict(verdicts: &[TableVerdict]) -> Value {
    let tables: Vec<Value> = verdicts
        .iter()
        .map(|table| {
            let keys: Vec<Value> = table
                .keys
                .iter()
                .map(|key| {
                    let kind = match key.kind {
                        Kind::Missing => "missing",
                        Kind::Extra => "extra",
                        Kind::Different => "different",
                    };
                    json!({"kind": kind, "key": key.key})
                })
                .collect();
            json!({"name": table.name, "rows_source": table.rows_source, "rows_target": table.rows_target,
                "missing": table.missing, "extra": table.extra, "different": table.different, "keys": keys})
        })
        .collect();
    json!({"equal": verdicts.iter().all(TableVerdict::is_equal), "tables": tables})
}
