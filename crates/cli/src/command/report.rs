//! What a start found and how a run ended: for a person, for a program, in `report.json` and in the
//! last status.

use serde_json::{Value, json};
use spanferry_core::record::StopReason;
use spanferry_core::report::code::{self, Exit};
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::Finding;
use spanferry_core::report::remedy::Remedy;
use spanferry_core::schema::source::QualifiedName;
use spanferry_engine::migrate::Outcome;
use spanferry_engine::plan::Survey;
use spanferry_engine::progress::{Progress, Snapshot};

use crate::args::Output;
use crate::command::check;
use crate::selection::select_again;
use crate::settings::Settings;
use crate::state_dir::{REPORT, STATUS, StateDir};
use crate::{findings, json, render};

/// Tables of one reason that are named in a line.
const TABLES_NAMED_MAX: usize = 10;

/// Shows what was found before the start.
pub(super) fn show_findings(plan: &Survey, settings: &Settings) {
    match settings.output {
        Output::Text => check::report(plan, settings),
        Output::Json => {
            let mut event = check::to_json(plan, settings);
            event["event"] = json!("check");
            render::print_json(&event);
        }
    }
}

/// A finding that stands in the way, as the failure that ends the run.
pub(super) fn refusal(finding: &Finding, options: &str) -> Failure {
    let object = finding.subject.to_string();
    let mut failure = Failure::new(finding.code, Class::StopMigration, object, &finding.text);
    failure.hint = finding.remedy.as_ref().map(|remedy| remedy.printed(options));
    failure
}

/// Where the end of a run is reported.
pub(super) struct Report<'a> {
    pub(super) settings: &'a Settings,
    pub(super) state: &'a StateDir,
}

impl Report<'_> {
    /// Ends a run that a finding stands in the way of; nothing was written but the run's log and
    /// report.
    pub(super) fn refuse(&self, finding: &Finding) -> Result<u8, Failure> {
        let failure = refusal(finding, &self.settings.printed_options());
        ends(&failure);
        let status = Exit::Refused.status();
        let event = json::end_of_failed(&failure, status, None);
        self.state.write(REPORT, event.to_string().as_bytes())?;
        match self.settings.output {
            Output::Text => {
                render::print_progress(
                    "migrate: refused because of what is marked as blocking; nothing was changed",
                );
            }
            Output::Json => render::print_json(&event),
        }
        Ok(status)
    }

    /// Leaves the report of a run that failed before it had begun; `main` prints the reason.
    pub(super) fn not_begun(&self, failure: &Failure) {
        ends(failure);
        let event = json::end_of_failed(failure, failure.code.exit().status(), None);
        if let Err(unwritten) = self.state.write(REPORT, event.to_string().as_bytes()) {
            tracing::error!(failure = %unwritten.for_log(), "the report cannot be written");
        }
    }

    /// Ends a run that had begun, with its report; `main` prints the reason.
    pub(super) fn fail(&self, failure: Failure, progress: &Progress, status: Value) -> Result<u8, Failure> {
        ends(&failure);
        let exit_status = failure.code.exit().status();
        let options = self.settings.printed_options();
        let event = json::end_of_failed(&failure, exit_status, Some((&progress.snapshot(), &options)));
        self.write_end(&event, status)?;
        match self.settings.output {
            Output::Text => Err(failure),
            Output::Json => {
                render::print_json(&event);
                Ok(exit_status)
            }
        }
    }

    /// Says how a run ended that did not fail.
    pub(super) fn conclude(
        &self,
        outcome: &Outcome,
        progress: &Progress,
        status: Value,
    ) -> Result<(), Failure> {
        let snapshot = progress.snapshot();
        let options = self.settings.printed_options();
        let ended = json::end(outcome, &snapshot, &options);
        self.write_end(&ended, status)?;
        match self.settings.output {
            Output::Json => render::print_json(&ended),
            Output::Text => {
                let report = self.state.path().join(REPORT);
                let report = report.display().to_string();
                let lost = findings::lost(&ended["lost"], &report);
                let lines = [lost, stopped(outcome, &options), not_carried(outcome)].concat();
                for line in lines {
                    render::print(&line);
                }
                render::print(&last_line(outcome, &snapshot, &report));
            }
        }
        Ok(())
    }

    /// Leaves the report, and in the last status why and when it ended.
    fn write_end(&self, event: &Value, mut status: Value) -> Result<(), Failure> {
        self.state.write(REPORT, event.to_string().as_bytes())?;
        status["end"] = json!({"at_us": event["at_us"], "exit_status": event["exit_status"],
            "interrupted": event["interrupted"], "caught_up": event["caught_up"], "error": event["error"]});
        self.state.write(STATUS, status.to_string().as_bytes())
    }
}

/// The tables that have stopped; those with one reason, which are a group, together.
fn stopped(outcome: &Outcome, options: &str) -> Vec<String> {
    let groups = outcome.stopped.chunk_by(|left, right| left.1 == right.1);
    let line = |group: &[(QualifiedName, StopReason)]| {
        let (_, reason) = &group[0];
        let tables: Vec<&str> = group.iter().map(|(table, _)| table.table.as_str()).collect();
        format!(
            "stopped: {}: {reason}{}",
            listed(&tables),
            fix(reason, &group[0].0, options)
        )
    };
    groups.map(line).collect()
}

/// How the tables of a stop flow again. What is repaired at the source must be loaded again
/// afterwards.
fn fix(reason: &StopReason, table: &QualifiedName, options: &str) -> String {
    let resync = Remedy::resync(table).printed(options);
    match &reason.remedy {
        None => String::new(),
        Some(Remedy::Resync { .. }) => format!("\n  fix: {resync}"),
        Some(forget @ Remedy::Forget { .. }) if reason.code == code::TABLE_UNSELECTED => {
            let again = select_again(table, options).join("\n       then: ");
            let forget = forget.printed(options);
            format!(
                "\n  fix: {forget}\n  or, to take it in again (with `--exclude` for each table that stays out): {again}"
            )
        }
        Some(forget @ Remedy::Forget { .. }) => format!("\n  fix: {}", forget.printed(options)),
        Some(remedy @ (Remedy::Source { .. } | Remedy::Words(_))) => {
            let first = remedy.printed(options).replace('\n', "\n       ");
            format!("\n  fix: {first}\n       then: {resync}")
        }
    }
}

fn listed(tables: &[&str]) -> String {
    let named: Vec<String> = tables
        .iter()
        .take(TABLES_NAMED_MAX)
        .map(|table| format!("`{table}`"))
        .collect();
    match tables.len().saturating_sub(TABLES_NAMED_MAX) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn not_carried(outcome: &Outcome) -> Vec<String> {
    let created = outcome.not_carried.iter().map(|table| {
        format!(
            "not migrated: `{}` is not part of the migration: it was created since, or left out before (`spanferry explain {}`)",
            table.table,
            code::TABLE_CREATED
        )
    });
    let more = outcome.not_carried_more.then(|| {
        "not migrated: more tables that were created at the source; `spanferry verify` names those that still exist"
            .to_owned()
    });
    created.chain(more).collect()
}

fn last_line(outcome: &Outcome, snapshot: &Snapshot, report: &str) -> String {
    let rows: u64 = snapshot.tables.iter().map(|table| table.rows_loaded).sum();
    let how = if outcome.interrupted {
        "interrupted; the same command resumes"
    } else {
        "ended"
    };
    format!(
        "migrate: {how}; {} loaded, {} applied by this process; {} in `{report}`",
        render::rows(rows),
        render::counted(
            usize::try_from(snapshot.applied_transactions).unwrap_or(usize::MAX),
            "transaction"
        ),
        render::counted(snapshot.findings.len(), "finding"),
    )
}

/// Writes to the run's log why the migration ends.
fn ends(failure: &Failure) {
    tracing::error!(code = %failure.code, failure = %failure.for_log(), "the migration ends");
}
