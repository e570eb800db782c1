//! Shows a running migration: a bar per table on a terminal, plain lines otherwise, JSON lines if asked, and status.json.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use spanferry_core::target::TablePhase;
use spanferry_engine::progress::{Progress, Snapshot};
use spanferry_engine::stop::StopSignal;

use crate::args::Output;
use crate::rates::{Meter, Rates};
use crate::state_dir::StateDir;
use crate::{json, render};

/// How often status.json and the bars are renewed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often a plain line is printed while nothing else changes.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Most tables that get a bar of their own: the largest that are loading.
const BARS_MAX: usize = 20;

/// Shows progress until `stop`; then writes the last status.
pub(crate) async fn watch(progress: Arc<Progress>, state: Arc<StateDir>, output: Output, stop: StopSignal) {
    let mut monitor = Monitor::new(output);
    while stop.pause(LOOK_INTERVAL).await {
        monitor.look(&progress, &state, true);
    }
    monitor.look(&progress, &state, false);
    monitor.finish();
}

struct Monitor {
    output: Output,
    meter: Meter,
    bars: Option<Bars>,
    said_at: Instant,
    said: String,
    findings: usize,
}

impl Monitor {
    fn new(output: Output) -> Monitor {
        let terminal = output == Output::Text && std::io::stderr().is_terminal();
        Monitor {
            output,
            meter: Meter::default(),
            bars: terminal.then(Bars::new),
            said_at: Instant::now(),
            said: String::new(),
            findings: 0,
        }
    }

    fn look(&mut self, progress: &Progress, state: &StateDir, running: bool) {
        let snapshot = progress.snapshot();
        let rates = self.meter.look(&snapshot);
        let status = json::status(&snapshot, &rates, running);
        if let Err(failure) = state.write("status.json", status.to_string().as_bytes()) {
            tracing::error!(%failure, "the status cannot be written");
        }
        self.show_findings(&snapshot);
        match (&mut self.bars, self.output) {
            (_, Output::Json) => {
                render::say(&serde_json::json!({"event": "progress", "status": status}).to_string());
            }
            (Some(bars), Output::Text) => bars.show(&snapshot, &rates),
            (None, Output::Text) => self.show_line(&snapshot, &rates, running),
        }
    }

    fn show_findings(&mut self, snapshot: &Snapshot) {
        let new = snapshot.findings.iter().skip(self.findings);
        for finding in new {
            if self.output == Output::Json {
                let event = serde_json::json!({"event": "finding", "finding": json::finding(finding)});
                render::say(&event.to_string());
            } else {
                let text = render::finding(finding);
                match &self.bars {
                    Some(bars) => bars.print(&text),
                    None => render::tell(&text),
                }
            }
        }
        self.findings = snapshot.findings.len();
    }

    fn show_line(&mut self, snapshot: &Snapshot, rates: &Rates, running: bool) {
        let phases = phases(snapshot);
        if phases == self.said && self.said_at.elapsed() < LINE_INTERVAL && running {
            return;
        }
        render::tell(&line(snapshot, rates));
        self.said = phases;
        self.said_at = Instant::now();
    }

    fn finish(&self) {
        if let Some(bars) = &self.bars {
            bars.all.clear().unwrap_or_default();
        }
    }
}

fn phases(snapshot: &Snapshot) -> String {
    let count = |phase| {
        snapshot
            .tables
            .iter()
            .filter(|table| table.phase == phase)
            .count()
    };
    let all = [
        TablePhase::Pending,
        TablePhase::Loading,
        TablePhase::Loaded,
        TablePhase::Joined,
        TablePhase::Constrained,
        TablePhase::Stopped,
    ];
    let parts: Vec<String> = all
        .into_iter()
        .filter(|phase| count(*phase) > 0)
        .map(|phase| format!("{} {}", count(phase), phase.word()))
        .collect();
    parts.join(", ")
}

/// One line that says where everything stands.
pub(crate) fn line(snapshot: &Snapshot, rates: &Rates) -> String {
    let loaded: u64 = snapshot.tables.iter().map(|table| table.rows_loaded).sum();
    let mut text = format!(
        "tables: {} | load {} rows",
        phases(snapshot),
        render::count(loaded)
    );
    if rates.rows >= 1.0 {
        text += &format!(", {:.0} rows/s, {:.1} MB/s", rates.rows, rates.bytes / 1e6);
    }
    if let Some(eta) = rates.eta_seconds {
        text += &format!(", about {} left", render::span(Duration::from_secs(eta)));
    }
    text += &format!(
        " | capture {:.0}/s, apply {:.0}/s, lag {}",
        rates.captured,
        rates.applied,
        render::count(rates.lag_transactions)
    );
    if let Some(seconds) = rates.lag_seconds {
        text += &format!(" ({})", render::span(Duration::from_secs(seconds)));
    }
    match rates.catch_up_seconds {
        Some(0) => {}
        Some(seconds) => text += &format!(", caught up in {}", render::span(Duration::from_secs(seconds))),
        None => text += ", not catching up at this rate",
    }
    text += &format!(" | log {}", render::bytes(snapshot.log_bytes));
    if snapshot.caught_up {
        text += " | caught up";
    }
    if let Some(reason) = snapshot.why_throttled() {
        text += &format!(" | {reason}");
    }
    text
}

/// Bars on a terminal: one for the stream, one per loading table.
struct Bars {
    all: MultiProgress,
    stream: ProgressBar,
    tables: Vec<(usize, ProgressBar)>,
}

impl Bars {
    fn new() -> Bars {
        let all = MultiProgress::new();
        let stream = all.add(ProgressBar::no_length().with_style(style("{msg}")));
        Bars {
            all,
            stream,
            tables: Vec::new(),
        }
    }

    fn print(&self, text: &str) {
        self.all.suspend(|| render::tell(text));
    }

    fn show(&mut self, snapshot: &Snapshot, rates: &Rates) {
        self.stream.set_message(line(snapshot, rates));
        let loading = |index: &usize| snapshot.tables[*index].phase == TablePhase::Loading;
        self.tables.retain(|(index, bar)| {
            if !loading(index) {
                bar.finish_and_clear();
            }
            loading(index)
        });
        for index in (0..snapshot.tables.len()).filter(loading) {
            if self.tables.len() < BARS_MAX && self.tables.iter().all(|(known, _)| *known != index) {
                let bar = ProgressBar::new(1).with_style(style("{prefix:>24} {wide_bar} {pos}/{len} {msg}"));
                let bar = self.all.add(bar);
                bar.set_prefix(snapshot.tables[index].name.clone());
                self.tables.push((index, bar));
            }
        }
        for (index, bar) in &self.tables {
            let table = &snapshot.tables[*index];
            bar.set_length(table.rows_estimate.max(table.rows_loaded));
            bar.set_position(table.rows_loaded);
            let eta = rates
                .table_eta(*index)
                .map(|eta| render::span(Duration::from_secs(eta)))
                .unwrap_or_default();
            bar.set_message(format!("{:.0} rows/s {eta}", rates.table_rows(*index)));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
