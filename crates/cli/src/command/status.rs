//! `spanferry status`: where a migration stands, from its state directory, while it runs and after it stopped.

use serde_json::Value;
use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};

use crate::args::Output;
use crate::settings::Settings;
use crate::state_dir::StateDir;
use crate::{render, run_file::RunFile};

/// Prints the last status; exit status 0 if there is one.
pub(crate) fn run(settings: &Settings) -> Result<u8, Failure> {
    let directory = &settings.state_dir;
    let object = directory.display().to_string();
    let text = std::fs::read_to_string(directory.join("status.json")).map_err(|cause| {
        let text = "no migration has run with this state directory";
        Failure::new(code::USAGE, Class::StopMigration, object.clone(), text).caused_by(cause)
    })?;
    let mut status: Value = serde_json::from_str(&text).map_err(|cause| {
        Failure::new(
            code::STATE_FOREIGN,
            Class::StopMigration,
            object,
            "its status is not of this release",
        )
        .caused_by(cause)
    })?;
    status["running"] = Value::Bool(StateDir::is_locked(directory));
    if settings.output == Output::Json {
        render::say(&status.to_string());
    } else {
        print(&status, RunFile::read(directory)?.as_ref());
    }
    Ok(0)
}

fn print(status: &Value, run: Option<&RunFile>) {
    if let Some(run) = run {
        render::say(&format!("{} -> {}", run.source, run.target));
    }
    let running = if status["running"] == true {
        "running"
    } else {
        "not running"
    };
    let caught_up = if status["caught_up"] == true {
        ", caught up"
    } else {
        ""
    };
    render::say(&format!("{running}, {}{caught_up}", text(&status["phase"])));
    if let Some(reason) = status["throttled"].as_str() {
        render::say(&format!("throttled: {reason}"));
    }
    render::say(&format!(
        "load: {} rows, {} rows/s{}",
        number(&status["rows_loaded"]),
        whole(&status["rows_per_second"]),
        eta(&status["eta_seconds"], ", left about ")
    ));
    let (capture, apply, lag) = (&status["capture"], &status["apply"], &status["lag"]);
    render::say(&format!(
        "changes: capture {}/s, apply {}/s; lag {} transactions{}{}",
        whole(&capture["transactions_per_second"]),
        whole(&apply["transactions_per_second"]),
        number(&lag["transactions"]),
        eta(&lag["seconds"], ", "),
        eta(&lag["seconds_to_catch_up"], ", caught up in about ")
    ));
    render::say(&format!(
        "log: {} of {}",
        render::bytes(status["log"]["bytes"].as_u64().unwrap_or(0)),
        render::bytes(status["log"]["budget_bytes"].as_u64().unwrap_or(0))
    ));
    for table in status["tables"].as_array().into_iter().flatten() {
        let stopped = table["stopped"]
            .as_str()
            .map(|reason| format!("  {reason}"))
            .unwrap_or_default();
        render::say(&format!(
            "  {:<32} {:<12} {:>14} rows of about {}{}{stopped}",
            text(&table["name"]),
            text(&table["phase"]),
            number(&table["rows_loaded"]),
            number(&table["rows_estimate"]),
            eta(&table["eta_seconds"], ", left about ")
        ));
    }
    let findings = status["findings"].as_array().map_or(0, Vec::len);
    render::say(&format!("findings: {findings} (see `--output json`)"));
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn number(value: &Value) -> String {
    render::count(value.as_u64().unwrap_or(0))
}

fn whole(value: &Value) -> String {
    format!("{:.0}", value.as_f64().unwrap_or(0.0))
}

fn eta(value: &Value, before: &str) -> String {
    let seconds = value.as_u64();
    seconds
        .map(|seconds| {
            format!(
                "{before}{}",
                render::span(std::time::Duration::from_secs(seconds))
            )
        })
        .unwrap_or_default()
}
