//! `spanferry status`: where a migration stands, from its state directory, while it runs and after
//! it stopped.

use std::time::Duration;

use serde_json::{Value, json};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_engine::progress::Snapshot;
use spanferry_private_dir::PrivateDir;

use crate::args::Output;
use crate::clock::{now_us, utc};
use crate::findings::{self, REST_OF_STATUS, Room};
use crate::rates::Rates;
use crate::settings::Settings;
use crate::state_dir::{MIGRATE, Owner, REPORT, STATUS, StateDir};
use crate::{document, json, render, run_file::RunFile, status_lines, table_lines};

/// A running process renews its figures every second; older ones than this are shown as old.
const STALE: Duration = Duration::from_secs(5);

/// `end` leaves the directory, the report and the run's log.
const NOTHING: &str =
    "there is no migration in this state directory: none has begun, or `spanferry end` has ended it";

/// Prints the last status; exit status 0 if there is one.
pub(crate) fn run(settings: &Settings) -> Result<u8, Failure> {
    let Some(directory) = PrivateDir::open(&settings.state_dir)? else {
        return Err(no_migration(settings, NOTHING));
    };
    let owner = StateDir::owner(&directory)?;
    let mut status = match (directory.read(STATUS)?, &owner) {
        (Some(text), _) => document::read(&text, &place(&directory, STATUS))?,
        (None, Some(owner)) => without_figures(owner),
        (None, None) => return Err(never_begun(&directory, settings)),
    };
    bring_up_to_date(&mut status, owner.as_ref(), now_us());
    if settings.output == Output::Json {
        render::print_json(&status);
        return Ok(0);
    }
    let run = RunFile::read_in(&directory)?;
    let verb = owner.as_ref().map(|owner| owner.verb.as_str());
    let (columns, _) = render::terminal_size();
    for line in lines(&status, run.as_ref(), verb, columns, Room::of(settings.verbose)) {
        render::print(&line);
    }
    Ok(0)
}

/// Where a file of the state directory is, for a person.
fn place(directory: &PrivateDir, name: &str) -> String {
    directory.path().join(name).display().to_string()
}

/// The status of a process that has not written one yet.
fn without_figures(owner: &Owner) -> Value {
    let mut status = json::status(&Snapshot::default(), &Rates::default(), now_us(), "");
    status["process_id"] = json!(owner.process_id);
    // As an earlier one would have left it.
    status["state"] = json!("ended");
    status
}

fn no_migration(settings: &Settings, text: &str) -> Failure {
    let object = settings.state_dir.display().to_string();
    Failure::new(code::USAGE, Class::StopMigration, object, text)
        .hint("Name the migration's own directory with `--state-dir`.")
}

/// No migration has begun here; what the last start ended with is said if there was one.
fn never_begun(directory: &PrivateDir, settings: &Settings) -> Failure {
    let nothing = || no_migration(settings, NOTHING);
    let read = || match directory.read(REPORT)? {
        Some(text) => document::read(&text, &place(directory, REPORT)).map(Some),
        None => Ok(None),
    };
    let event = match read() {
        Ok(event) => event,
        Err(failure) => return failure,
    };
    let Some(event) = event.filter(|event| !event["error"].is_null()) else {
        return nothing();
    };
    let text = format!(
        "there is no migration in this state directory; the last start ended at {} {}",
        utc(event["at_us"].as_u64().unwrap_or(0)),
        why(&event)
    );
    no_migration(settings, &text).hint("Correct that, and run `spanferry migrate` again.")
}

/// Why a run ended, from its end as it was recorded.
fn why(end: &Value) -> String {
    let error = &end["error"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if end["interrupted"] == true {
        return "by an interrupt".to_owned();
    }
    if error.is_null() && end["caught_up"] == true {
        return "because it had caught up, as asked for".to_owned();
    }
    if error.is_null() {
        return "because every group of tables had stopped".to_owned();
    }
    let object = text(&error["object"]);
    let at = if object.is_empty() {
        object
    } else {
        format!("{object}: ")
    };
    let causes = error["causes"].as_array().into_iter().flatten().map(text);
    let reason: Vec<String> = std::iter::once(text(&error["message"])).chain(causes).collect();
    format!("with {}: {at}{}", text(&error["code"]), reason.join(": "))
}

/// Brings what a process wrote up to now: whether that process still lives, and how old its figures
/// are. Rates of a process that is gone are no rates, and what had been caught up then may not be
/// now.
pub(crate) fn bring_up_to_date(status: &mut Value, owner: Option<&Owner>, now_us: u64) {
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
    if let Some(owner) = owner.filter(|_| state != "running") {
        // What was done by the process that wrote the figures is not what this one does.
        status["phase"] = json!(owner.step);
    }
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
    // What a process that is gone waited for is not waited for any more.
    status["throttled"] = Value::Null;
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

pub(crate) fn lines(
    status: &Value,
    run: Option<&RunFile>,
    verb: Option<&str>,
    columns: usize,
    room: Room,
) -> Vec<String> {
    let age = Duration::from_secs(status["age_seconds"].as_u64().unwrap_or(0));
    let old = match status["tables"].as_array() {
        Some(tables) if tables.is_empty() => "there are no figures yet".to_owned(),
        Some(_) | None => format!("the figures are {} old", render::span(age)),
    };
    let step = |before: &str| match status["phase"].as_str() {
        Some(step) if !step.is_empty() => format!("{before}{step}"),
        Some(_) | None => String::new(),
    };
    let what = match status["state"].as_str() {
        Some("running") if age < STALE => "running".to_owned(),
        Some("running") => format!("running, but silent: {old}"),
        Some("starting") => format!("a new `migrate` is starting{}; {old}", step(": ")),
        Some("busy") => format!(
            "not migrating: `{}` is using the state directory; {old}",
            verb.unwrap_or_default()
        ),
        Some("killed") => {
            format!("not running: the process was killed or crashed; {old}; the same command resumes")
        }
        _ if status["end"].is_null() => format!("not running; {old}"),
        _ => ended(status, age),
    };
    let mut lines: Vec<String> = run.map(RunFile::title).into_iter().collect();
    lines.push(what);
    if status["tables"].as_array().is_some_and(Vec::is_empty) {
        return lines;
    }
    lines.extend(status_lines::summary(status));
    lines.extend(table_lines::lines(status, columns, None));
    let findings = status["findings"].as_array().map(Vec::as_slice);
    let more = status["findings_more"].as_u64().unwrap_or(0);
    let room = room.below(lines.len());
    lines.extend(findings::lines(
        findings.unwrap_or_default(),
        more,
        room,
        REST_OF_STATUS,
    ));
    lines
}

/// When and why a run ended.
fn ended(status: &Value, age: Duration) -> String {
    let end = &status["end"];
    let at = utc(end["at_us"].as_u64().unwrap_or(0));
    let exit_status = end["exit_status"].as_u64().unwrap_or(0);
    let ago = render::span(age);
    format!(
        "not running: it ended at {at} ({ago} ago) {}; exit status {exit_status}",
        why(end)
    )
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;
    use crate::args::Common;

    fn check(written: &str, owner: Option<(u32, &str)>, expected: &str, first_line: &str) {
        let mut status = json!({"state": written, "process_id": 7, "at_us": 1_000_000, "rows_per_second": 5.0,
            "capture": {}, "apply": {}, "lag": {}, "log": {}, "tables": [{"rows_per_second": 5.0}]});
        let owner = owner.map(|(process_id, verb)| Owner {
            process_id,
            verb: verb.to_owned(),
            step: if verb == MIGRATE {
                "checking the source".to_owned()
            } else {
                String::new()
            },
        });
        bring_up_to_date(&mut status, owner.as_ref(), 13_000_000);
        assert_eq!(
            (status["state"].as_str(), status["age_seconds"].as_u64()),
            (Some(expected), Some(12))
        );
        assert_eq!(status["rows_per_second"] == 5.0, expected == "running");
        let verb = owner.as_ref().map(|owner| owner.verb.as_str());
        assert_eq!(lines(&status, None, verb, 80, Room::Whole)[0], first_line);
    }

    #[test]
    fn a_run_that_has_ended_tells_when_and_why() {
        let check = |interrupted: bool, error: Value, caught_up: bool, expected: &str| {
            let status = json!({"state": "ended", "tables": [],
                "end": {"at_us": 1_785_414_896_000_000_u64, "exit_status": 4, "interrupted": interrupted, "caught_up": caught_up, "error": error},
                "age_seconds": 75});
            let told = format!(
                "not running: it ended at 2026-07-30T12:34:56Z (1m15s ago) {expected}; exit status 4"
            );
            assert_eq!(lines(&status, None, None, 80, Room::Whole), [told]);
        };
        check(true, Value::Null, false, "by an interrupt");
        check(false, Value::Null, true, "because it had caught up, as asked for");
        check(
            false,
            Value::Null,
            false,
            "because every group of tables had stopped",
        );
        let failure = Failure::new(code::SOURCE_FAILED, Class::StopMigration, "source", "it is gone");
        check(
            false,
            json::failure(&failure),
            true,
            "with SF-5008: source: it is gone",
        );
        let caused = failure.caused_by(Failure::bug("h:1", "a login was refused"));
        check(
            false,
            json::failure(&caused),
            true,
            "with SF-5008: source: it is gone: h:1: a login was refused",
        );
    }

    #[test]
    fn a_start_shows_its_step_before_there_are_figures() {
        let owner = Owner {
            process_id: 7,
            verb: MIGRATE.to_owned(),
            step: "creating tables, 50 of 900".to_owned(),
        };
        let mut status = without_figures(&owner);
        bring_up_to_date(&mut status, Some(&owner), now_us());
        assert_eq!(
            (&status["state"], &status["running"]),
            (&json!("starting"), &json!(true))
        );
        let told = "a new `migrate` is starting: creating tables, 50 of 900; there are no figures yet";
        assert_eq!(lines(&status, None, Some(MIGRATE), 80, Room::Whole), [told]);
    }

    /// How often a directory is looked at until no other process holds its lock: a minute and more.
    const LOOKS_MAX: usize = 1_000_000;

    /// Figures, and the report of a start that did not begin.
    #[test]
    fn files_of_another_format_are_refused_by_name() {
        let path = std::env::temp_dir().join(format!("sf-status-{}", std::process::id()));
        let state = StateDir::lock(&path, MIGRATE).unwrap();
        let line = Common::augment_args(clap::Command::new("spanferry"));
        let matches = line.get_matches_from(["spanferry", "--state-dir", path.to_str().unwrap()]);
        let settings = Settings::load(&Common::from_arg_matches(&matches).unwrap()).unwrap();
        state.write(REPORT, br#"{"version": 2, "error": {}}"#).unwrap();
        drop(state);
        let refused = |name: &str| {
            // A child that another test starts holds the lock of the directory until its `exec`.
            let unlocked = || run(&settings).inspect(|_| std::thread::yield_now()).err();
            let failure = (0..LOOKS_MAX).find_map(|_| unlocked()).unwrap();
            let expected = "has format 2; this release reads format 1";
            assert_eq!(failure.code, code::STATE_FOREIGN, "{failure}");
            assert!(
                failure.object.ends_with(name) && failure.message == expected,
                "{failure}"
            );
        };
        refused(REPORT);
        let state = StateDir::lock(&path, MIGRATE).unwrap();
        state
            .write(STATUS, br#"{"version": 2, "state": "ended"}"#)
            .unwrap();
        refused(STATUS);
        drop(state);
        std::fs::remove_dir_all(&path).unwrap();
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
        let starting = "a new `migrate` is starting: checking the source; the figures are 12s old";
        check("running", Some((8, "migrate")), "starting", starting);
        check("ended", Some((7, "migrate")), "starting", starting);
        let busy = "not migrating: `resync` is using the state directory; the figures are 12s old";
        check("ended", Some((8, "resync")), "busy", busy);
        check("running", Some((8, "resync")), "busy", busy);
    }
}
