//! Shows a running migration: a bar per table on a terminal, plain lines otherwise, JSON lines if
//! asked, and status.json.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spanferry_engine::progress::{Progress, Snapshot};
use spanferry_engine::stop::{CancellationToken, Pause};

use crate::args::Output;
use crate::clock::now_us;
use crate::findings::{self, REST_OF_STATUS, Room};
use crate::rates::Meter;
use crate::screen::Screen;
use crate::state_dir::{STATUS, StateDir};
use crate::wrap::{cut, folded};
use crate::{change, json, render, status_lines, table_lines};

/// How often status.json and the bars are renewed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Longest silence towards a program, in which nothing changes.
const SIGN_OF_LIFE_INTERVAL: Duration = Duration::from_secs(10);
/// Rows of a terminal below what is drawn: the cursor's.
const ROWS_LEFT: usize = 1;
/// How often a plain line is printed while nothing else changes.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shows progress until `stop`; then writes the last status and returns it. The findings at the
/// places `said` were printed already.
pub(crate) async fn watch(
    progress: Arc<Progress>,
    state: Arc<StateDir>,
    how: Printing,
    screen: Arc<Screen>,
    said: Range<usize>,
    stop: CancellationToken,
) -> Value {
    let mut monitor = Monitor::new(how, screen, said);
    monitor.look(&progress, &state, true);
    while stop.pause(LOOK_INTERVAL).await {
        monitor.look(&progress, &state, true);
    }
    let last = monitor.look(&progress, &state, false);
    // What it showed last stays readable above the closing lines.
    monitor.screen.close();
    last
}

/// How it is shown.
pub(crate) struct Printing {
    pub(crate) output: Output,
    /// What a printed command needs.
    pub(crate) options: String,
    /// Whether every finding is printed by itself.
    pub(crate) verbose: bool,
}

struct Monitor {
    how: Printing,
    meter: Meter,
    /// The bars of all tables and the summary above them, redrawn as one.
    screen: Arc<Screen>,
    said_at: Instant,
    phases_said: String,
    /// The status that a program knows; null before the first.
    told: Value,
    findings: usize,
    findings_said: Range<usize>,
    /// Whether the status could not be written at the last look.
    unwritten: bool,
}

impl Monitor {
    fn new(how: Printing, screen: Arc<Screen>, findings_said: Range<usize>) -> Monitor {
        Monitor {
            how,
            meter: Meter::default(),
            screen,
            said_at: Instant::now(),
            phases_said: String::new(),
            told: Value::Null,
            findings: 0,
            findings_said,
            unwritten: false,
        }
    }

    fn look(&mut self, progress: &Progress, state: &StateDir, running: bool) -> Value {
        let snapshot = progress.snapshot();
        let rates = self.meter.look(&snapshot);
        let mut status = json::status(&snapshot, &rates, now_us(), &self.how.options);
        if !running {
            status["running"] = json!(false);
            status["state"] = json!("ended");
        }
        if let Err(failure) = state.write(STATUS, status.to_string().as_bytes()) {
            tracing::error!(failure = %failure.for_log(), "the status cannot be written");
            if !std::mem::replace(&mut self.unwritten, true) {
                let text = "`spanferry status` shows old figures until this works again";
                self.screen
                    .print(&format!("{}\n  {text}", render::failure(&failure)));
            }
        } else {
            self.unwritten = false;
        }
        self.show_findings(&snapshot);
        match self.how.output {
            Output::Json => self.print_change(&status, running),
            Output::Text if self.screen.is_drawn() => {
                self.screen.draw(screen_text(&status, render::terminal_size()));
            }
            Output::Text => self.show_line(&status, running),
        }
        status
    }

    fn show_findings(&mut self, snapshot: &Snapshot) {
        let new = snapshot.findings.iter().enumerate().skip(self.findings);
        let new = new.filter(|(place, _)| !self.findings_said.contains(place));
        let new: Vec<Value> = new
            .map(|(_, finding)| json::finding(finding, &self.how.options))
            .collect();
        self.findings = snapshot.findings.len();
        if self.how.output == Output::Json {
            for finding in &new {
                render::print_json(&json!({"event": "finding", "finding": finding}));
            }
            return;
        }
        for line in findings::lines(&new, 0, Room::of(self.how.verbose), REST_OF_STATUS) {
            self.screen.print(&line);
        }
    }

    /// The whole status first and last, in between what has changed.
    fn print_change(&mut self, status: &Value, running: bool) {
        let known = std::mem::replace(&mut self.told, status.clone());
        if known.is_null() || !running {
            render::print_json(&json!({"event": "status", "status": status}));
            return;
        }
        let is_silent = self.said_at.elapsed() >= SIGN_OF_LIFE_INTERVAL;
        let changed = change::changed(&known, status);
        if let Some(changed) = changed.or_else(|| is_silent.then(|| change::time(status))) {
            render::print_json(&json!({"event": "progress", "changed": changed}));
            self.said_at = Instant::now();
        }
    }

    fn show_line(&mut self, status: &Value, running: bool) {
        let phases = status_lines::phases(status);
        if phases == self.phases_said && self.said_at.elapsed() < LINE_INTERVAL && running {
            return;
        }
        render::print_progress(&status_lines::line(status));
        self.phases_said = phases;
        self.said_at = Instant::now();
    }
}

/// Summary and tables, as a screen of (columns, rows) has room for them.
pub(crate) fn screen_text(status: &Value, (columns, rows): (usize, usize)) -> String {
    // A line of a summary can be longer than a terminal is wide: why something waits must be read
    // to its end.
    let summary = folded(&status_lines::summary(status).join("\n"), columns);
    let mut lines: Vec<String> = summary
        .lines()
        .map(|line| cut(line, columns))
        .take(rows.saturating_sub(ROWS_LEFT + 1))
        .collect();
    let room = rows.saturating_sub(lines.len() + ROWS_LEFT);
    lines.extend(table_lines::lines(status, columns, Some(room)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_is_never_left() {
        let tables: Vec<Value> = (0..40)
            .map(|number| json!({"name": format!("table_{number}"), "group": 0, "phase": "loading"}))
            .collect();
        let status = json!({"tables": tables, "groups": [{"group": 0, "phase": "loading"}]});
        for (columns, rows) in [(40, 10), (80, 24), (200, 60)] {
            let text = screen_text(&status, (columns, rows));
            assert!(text.lines().count() < rows, "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
        }
        assert!(screen_text(&status, (80, 24)).ends_with(" loading"));
    }
}
