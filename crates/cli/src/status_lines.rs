//! Where a migration stands, in lines for a person: from the documented status, so that `migrate`
//! and `status` say the same.

use std::time::Duration;

use serde_json::Value;

use crate::render;

/// Undo at the source from which on it is shown: any busy server has less.
const UNDO_SHOWN: u64 = 100_000;
/// What is further off than a year is not worth a word.
const FAR_SECONDS: u64 = 365 * 86_400;

/// Load, changes and log, a line each, and why something waits.
pub(crate) fn summary(status: &Value) -> Vec<String> {
    let mut lines = vec![load(status), changes(status), log(status)];
    lines.extend(source(status));
    if let Some(reason) = status["throttled"].as_str() {
        lines.push(format!("waiting  {reason}"));
    }
    lines
}

fn load(status: &Value) -> String {
    let is_open = |table: &Value| matches!(text(&table["phase"]), "pending" | "loading" | "stopped");
    let mut tables = items(&status["tables"]).peekable();
    if tables.peek().is_some() && !tables.any(is_open) {
        return format!("load     {}, complete", rows(&status["rows_loaded"]));
    }
    let mut text = format!(
        "load     {} of about {}",
        count(&status["rows_loaded"]),
        rows(&status["rows_estimate"])
    );
    if rate(&status["rows_per_second"]) >= 1.0 {
        text += &format!(
            ", {} rows/s, {}/s",
            whole(&status["rows_per_second"]),
            bytes(&status["bytes_per_second"])
        );
    }
    text + &time(&status["eta_seconds"], ", about ", " left")
}

/// The load on the source, where it is high.
fn source(status: &Value) -> Option<String> {
    let (undo, lag) = (
        &status["source"]["undo_transactions"],
        &status["source"]["replica_lag_seconds"],
    );
    let mut parts = Vec::new();
    if undo.as_u64() >= Some(UNDO_SHOWN) {
        parts.push(format!("keeps old row versions of {} transactions", count(undo)));
    }
    if lag.as_u64() >= Some(1) {
        parts.push(format!("is a replica{}", time(lag, ", ", " behind")));
    }
    (!parts.is_empty()).then(|| format!("source   {}", parts.join(", ")))
}

fn changes(status: &Value) -> String {
    let (capture, apply, lag) = (&status["capture"], &status["apply"], &status["lag"]);
    let mut text = format!(
        "changes  capture {}/s, apply {}/s",
        whole(&capture["transactions_per_second"]),
        whole(&apply["transactions_per_second"])
    );
    if let Some(ratio) = apply["capture_ratio"].as_f64() {
        text += &format!(" ({ratio:.1}x)");
    }
    if lag["transactions"].as_u64().unwrap_or(0) == 0 {
        return text
            + if status["caught_up"] == true {
                ", caught up"
            } else if lag["seconds"].is_null() {
                ", everything captured is applied"
            } else {
                ", no lag"
            };
    }
    if apply["changes_in_part"].as_u64() > Some(0) {
        text += &format!(
            ", {} changes of a large transaction applied",
            count(&apply["changes_in_part"])
        );
    }
    text += &format!(", lag {} transactions", count(&lag["transactions"]));
    text += &time(&lag["seconds"], ", ", "");
    text += &format!(", {}", bytes(&lag["bytes"]));
    match lag["seconds_to_catch_up"].as_u64() {
        Some(seconds) => text + &format!(", caught up in about {}", span(seconds)),
        None => text + ", not catching up now",
    }
}

fn log(status: &Value) -> String {
    let log = &status["log"];
    let budget = &log["budget_bytes"];
    let mut text = format!("log      {}", bytes(&log["bytes"]));
    if budget.as_u64().unwrap_or(0) > 0 {
        text += &format!(" of {}", bytes(budget));
    }
    // What is applied is trimmed in time: without lag the log does not fill.
    let is_told = status["caught_up"] != true;
    if log["seconds_to_budget"]
        .as_u64()
        .is_some_and(|seconds| is_told && seconds <= FAR_SECONDS)
    {
        text += &time(&log["seconds_to_budget"], ", full in about ", " at this rate");
    }
    text
}

/// One line: for logs and pipes.
pub(crate) fn line(status: &Value) -> String {
    let short = |line: String| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut parts = vec![phases(status)];
    parts.extend(summary(status).into_iter().map(short));
    parts.join(" | ")
}

/// How many tables are in which phase.
pub(crate) fn phases(status: &Value) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for table in items(&status["tables"]) {
        let phase = text(&table["phase"]);
        match counts.iter_mut().find(|(known, _)| *known == phase) {
            Some((_, count)) => *count += 1,
            None => counts.push((phase, 1)),
        }
    }
    let parts: Vec<String> = counts
        .iter()
        .map(|(phase, count)| format!("{count} {phase}"))
        .collect();
    parts.join(", ")
}

pub(crate) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

pub(crate) fn count(value: &Value) -> String {
    render::count(value.as_u64().unwrap_or(0))
}

/// A number of rows, with the word.
pub(crate) fn rows(value: &Value) -> String {
    render::rows(value.as_u64().unwrap_or(0))
}

pub(crate) fn rate(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

/// A rate without decimals.
pub(crate) fn whole(value: &Value) -> String {
    render::count(rounded(value))
}

fn bytes(value: &Value) -> String {
    render::bytes(rounded(value))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is never negative, and `as` keeps to the largest number"
)]
fn rounded(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| rate(value).round() as u64)
}

fn span(seconds: u64) -> String {
    render::span(Duration::from_secs(seconds))
}

pub(crate) fn time(value: &Value, before: &str, after: &str) -> String {
    value
        .as_u64()
        .map(|seconds| format!("{before}{}{after}", span(seconds)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status() -> Value {
        json!({
            "caught_up": false, "rows_loaded": 123_456, "rows_estimate": 300_000, "rows_per_second": 12_345.6,
            "bytes_per_second": 3_000_000.0, "eta_seconds": 15, "throttled": null,
            "capture": {"transactions_per_second": 120.0},
            "apply": {"transactions_per_second": 252.0, "capture_ratio": 2.1},
            "lag": {"transactions": 3_200, "seconds": 27, "bytes": 1_300_000, "seconds_to_catch_up": 25},
            "log": {"bytes": 5_000_000, "budget_bytes": 8_000_000_000_u64, "seconds_to_budget": 90_000},
            "groups": [{"group": 0, "phase": "loading"}, {"group": 1, "phase": "stopped"}],
            "tables": [
                {"name": "customers", "group": 0, "phase": "joined", "rows_loaded": 100_000, "rows_estimate": 99_000},
                {"name": "a_table_with_a_very_long_name_indeed", "group": 0, "phase": "loading", "rows_loaded": 23_456,
                    "rows_estimate": 46_912, "rows_per_second": 12_345.6, "eta_seconds": 2},
                {"name": "logs", "group": 1, "phase": "stopped", "rows_loaded": 0, "rows_estimate": 10,
                    "stopped": "SF-5001 `ALTER TABLE`"},
            ],
        })
    }

    #[test]
    fn the_summary_tells_load_changes_and_log() {
        assert_eq!(
            summary(&status()),
            [
                "load     123,456 of about 300,000 rows, 12,346 rows/s, 2.8 MiB/s, about 15s left",
                "changes  capture 120/s, apply 252/s (2.1x), lag 3,200 transactions, 27s, 1.2 MiB, caught up in about 25s",
                "log      4.7 MiB of 7.4 GiB, full in about 1d01h at this rate",
            ]
        );
        assert_eq!(phases(&status()), "1 joined, 1 loading, 1 stopped");
    }

    #[test]
    fn a_transaction_of_many_commits_shows_its_progress() {
        let mut status = status();
        status["apply"] = json!({"transactions_per_second": 0.0, "changes_in_part": 12_000});
        let line = &summary(&status)[1];
        assert!(
            line.contains("apply 0/s, 12,000 changes of a large transaction applied, lag 3,200 transactions"),
            "{line}"
        );
    }

    #[test]
    fn what_is_known_is_not_estimated_and_what_is_far_is_not_said() {
        let mut status = status();
        status["log"]["seconds_to_budget"] = json!(830_000_000_u64);
        status["tables"].as_array_mut().unwrap().truncate(1);
        let lines = summary(&status);
        assert_eq!(lines[0], "load     123,456 rows, complete");
        assert_eq!(lines[2], "log      4.7 MiB of 7.4 GiB");
    }

    #[test]
    fn what_the_source_bears_is_said_where_it_is_much() {
        let mut status = status();
        let mut expect = |undo: u64, lag: Option<u64>, expected: Option<&str>| {
            status["source"] = json!({"undo_transactions": undo, "replica_lag_seconds": lag});
            assert_eq!(source(&status).as_deref(), expected);
        };
        expect(99_999, None, None);
        expect(99_999, Some(0), None);
        expect(
            100_000,
            Some(0),
            Some("source   keeps old row versions of 100,000 transactions"),
        );
        expect(0, Some(75), Some("source   is a replica, 1m15s behind"));
    }

    #[test]
    fn what_waits_and_what_has_ended_is_said() {
        let mut status = status();
        status["throttled"] = json!("capture waits: the change log is at its budget");
        status["lag"] = json!({"transactions": 0});
        status["caught_up"] = json!(true);
        let lines = summary(&status);
        assert_eq!(lines[1], "changes  capture 120/s, apply 252/s (2.1x), caught up");
        assert_eq!(
            lines[3],
            "waiting  capture waits: the change log is at its budget"
        );
    }
}
