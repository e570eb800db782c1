//! `spanferry status`: where a migration stands, from its state directory, while it runs and after it stopped.

use std::time::Duration;

use serde_json::{Value, json};
use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::finding::Subject;
use spanferry_private_dir::PrivateDir;

use crate::args::Output;
use crate::clock::now_us;
use crate::settings::Settings;
use crate::state_dir::{MIGRATE, Owner, STATUS, StateDir};
use crate::{render, run_file::RunFile, standing};

/// A running process renews its figures every second; older ones than this are told as old.
const STALE: Duration = Duration::from_secs(5);
/// Findings printed for a person; JSON has them all.
const FINDINGS_SHOWN_MAX: usize = 20;

/// Prints the last status; exit status 0 if there is one.
pub(crate) fn run(settings: &Settings) -> Result<u8, Failure> {
    let object = settings.state_dir.display().to_string();
    let none = || {
        let text = "no migration has run with this state directory";
        Failure::new(code::USAGE, Class::StopMigration, object.clone(), text)
            .hint("Name the migration's own directory with `--state-dir`.")
    };
    let directory = PrivateDir::open(&settings.state_dir)?.ok_or_else(none)?;
    let text = directory.read(STATUS)?.ok_or_else(none)?;
    let mut status: Value = serde_json::from_slice(&text).map_err(|cause| {
        let text = "its status is not of this release";
        Failure::new(code::STATE_FOREIGN, Class::StopMigration, object.clone(), text).caused_by(cause)
    })?;
    let owner = StateDir::owner(&directory)?;
    settle(&mut status, owner.as_ref(), now_us());
    if settings.output == Output::Json {
        render::say_json(&status);
        return Ok(0);
    }
    let run = RunFile::read_in(&directory)?;
    let verb = owner.as_ref().map(|owner| owner.verb.as_str());
    for line in lines(&status, run.as_ref(), verb, render::terminal_size().0) {
        render::say(&line);
    }
    Ok(0)
}

/// Brings what a process wrote up to now: whether that process still lives, and how old its figures are. Rates of a process
/// that is gone are no rates, and what had been caught up then may not be now.
fn settle(status: &mut Value, owner: Option<&Owner>, now_us: u64) {
    let writer = status["process_id"].as_u64();
    let wrote_last = status["state"] == "ended";
    let state = match owner {
        Some(owner) if Some(u64::from(owner.process_id)) == writer && !wrote_last => "running",
        Some(owner) if owner.verb == MIGRATE => "starting",
        Some(_) => "busy",
        None if wrote_last => "ended",
        None => "killed",
    };
    status["age_seconds"] =
        json!(now_us.saturating_sub(status["at_us"].as_u64().unwrap_or(now_us)) / 1_000_000);
    status["state"] = json!(state);
    status["running"] = json!(matches!(state, "running" | "starting"));
    if state == "running" {
        return;
    }
    if matches!(state, "starting" | "busy") {
        status["caught_up"] = json!(false);
    }
    for name in ["rows_per_second", "bytes_per_second"] {
        status[name] = json!(0.0);
    }
    status["eta_seconds"] = Value::Null;
    status["lag"]["seconds_to_catch_up"] = Value::Null;
    status["log"]["seconds_to_budget"] = Value::Null;
    status["capture"]["transactions_per_second"] = json!(0.0);
    status["capture"]["bytes_per_second"] = json!(0.0);
    status["apply"]["transactions_per_second"] = json!(0.0);
    status["apply"]["capture_ratio"] = Value::Null;
    for table in status["tables"].as_array_mut().into_iter().flatten() {
        table["rows_per_second"] = json!(0.0);
        table["bytes_per_second"] = json!(0.0);
        table["eta_seconds"] = Value::Null;
    }
}

fn lines(status: &Value, run: Option<&RunFile>, verb: Option<&str>, columns: usize) -> Vec<String> {
    let age = Duration::from_secs(status["age_seconds"].as_u64().unwrap_or(0));
    let old = format!("the figures are {} old", render::span(age));
    let what = match status["state"].as_str() {
        Some("running") if age < STALE => "running".to_owned(),
        Some("running") => format!("running, but silent: {old}"),
        Some("starting") => format!("a new `migrate` is starting; {old}"),
        Some("busy") => format!(
            "not migrating; `{}` is at work in the state directory; {old}",
            verb.unwrap_or_default()
        ),
        Some("killed") => {
            format!("not running: the process was killed or crashed; {old}; the same command resumes")
        }
        _ => format!("not running; {old}"),
    };
    let mut lines: Vec<String> = run.map(RunFile::title).into_iter().collect();
    lines.push(what);
    lines.extend(standing::summary(status));
    lines.extend(standing::tables(status, columns));
    lines.extend(findings(status));
    lines
}

/// The findings that ask for something, the worst first, and the number of the others.
fn findings(status: &Value) -> Vec<String> {
    let all = status["findings"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let word = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let subject = |finding: &Value| Subject {
        table: word(&finding["table"]),
        part: word(&finding["part"]),
    };
    let mut asking: Vec<&Value> = all
        .iter()
        .filter(|finding| finding["severity"] != "notice")
        .collect();
    asking.sort_by_key(|finding| {
        (
            finding["severity"] != "blocking",
            subject(finding),
            word(&finding["code"]),
        )
    });
    asking.truncate(FINDINGS_SHOWN_MAX);
    let text = |value: &Value| word(value).unwrap_or_default();
    let shown = asking.iter().map(|finding| {
        let (severity, code) = (text(&finding["severity"]), text(&finding["code"]));
        let remedy = finding["remedy"].as_str();
        render::finding_of(
            &severity,
            &code,
            &subject(finding),
            &text(&finding["text"]),
            remedy,
        )
    });
    let mut lines: Vec<String> = shown.collect();
    let more = (all.len() - lines.len()) as u64 + status["findings_more"].as_u64().unwrap_or(0);
    if more > 0 {
        lines.push(format!("findings: {more} more (see `--output json`)"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use spanferry_core::finding::{Finding, Severity};

    fn check(written: &str, owner: Option<(u32, &str)>, expected: &str, first_line: &str) {
        let mut status = json!({"state": written, "process_id": 7, "at_us": 1_000_000, "rows_per_second": 5.0,
            "capture": {}, "apply": {}, "lag": {}, "log": {}, "tables": [{"rows_per_second": 5.0}]});
        let owner = owner.map(|(process_id, verb)| Owner {
            process_id,
            verb: verb.to_owned(),
        });
        settle(&mut status, owner.as_ref(), 13_000_000);
        assert_eq!(
            (status["state"].as_str(), status["age_seconds"].as_u64()),
            (Some(expected), Some(12))
        );
        assert_eq!(status["rows_per_second"] == 5.0, expected == "running");
        let verb = owner.as_ref().map(|owner| owner.verb.as_str());
        assert_eq!(lines(&status, None, verb, 80)[0], first_line);
    }

    #[test]
    fn findings_are_told_as_check_tells_them() {
        let finding = |severity, table, part| {
            Finding::new(
                code::LEFT_OUT,
                severity,
                Subject::part(table, part),
                "is not carried",
            )
        };
        let warning = finding(Severity::Warning, "t", "b").remedy("ALTER TABLE");
        let all = [
            finding(Severity::Notice, "t", "a"),
            finding(Severity::Warning, "u", "a"),
            warning.clone(),
        ];
        let status =
            json!({"findings": all.iter().map(crate::json::finding).collect::<Vec<_>>(), "findings_more": 2});
        let told = [
            render::finding(&warning),
            render::finding(&all[1]),
            "findings: 3 more (see `--output json`)".to_owned(),
        ];
        assert_eq!(findings(&status), told);
    }

    #[test]
    fn a_process_that_is_gone_is_never_shown_as_running() {
        check(
            "running",
            Some((7, "migrate")),
            "running",
            "running, but silent: the figures are 12s old",
        );
        check(
            "running",
            None,
            "killed",
            "not running: the process was killed or crashed; the figures are 12s old; the same command resumes",
        );
        check("ended", None, "ended", "not running; the figures are 12s old");
        let starting = "a new `migrate` is starting; the figures are 12s old";
        check("running", Some((8, "migrate")), "starting", starting);
        check("ended", Some((7, "migrate")), "starting", starting);
        let busy = "not migrating; `resync` is at work in the state directory; the figures are 12s old";
        check("ended", Some((8, "resync")), "busy", busy);
        check("running", Some((8, "resync")), "busy", busy);
    }
}
