//! `spanferry migrate`: from an empty target to one that follows the source; the same command line
//! resumes.

use std::ops::Range;
use std::sync::Arc;

use rustix::process::Signal;
use spanferry_core::port::target::{ControlStore as _, SchemaTarget as _};
use spanferry_core::report::code::{self, Exit};
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::Finding;
use spanferry_engine::migrate::{Migration, StopWhen};
use spanferry_engine::plan::Survey;
use spanferry_engine::prepare::{ClaimOptions, PrepareOptions, Prepared, prepare};
use spanferry_engine::progress::Progress;
use spanferry_engine::retention::RetentionOptions;
use spanferry_engine::stop::CancellationToken;
use spanferry_kill_point::kill_point;
use spanferry_log::DiskLog;
use spanferry_spanner::SpannerTarget;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use crate::args::{Output, StopWhenName};
use crate::binding::{self, source_name};
use crate::command::dry_run;
use crate::command::report::{self, Report};
use crate::interrupt::{or_interrupted, stop_on_signal, unless_stopped};
use crate::preparation::Preparation;
use crate::run_file;
use crate::screen::Screen;
use crate::session::Session;
use crate::settings::Settings;
use crate::source::CliSource;
use crate::state_dir::{MIGRATE, StateDir};
use crate::task::Task;
use crate::{monitor, render, run_log};

/// Runs or resumes a migration; the exit status says how it ended.
pub(crate) async fn run<S: CliSource>(source: S, settings: &Settings) -> Result<u8, Failure> {
    let session = Session::open(source, settings)?;
    if settings.dry_run {
        return or_interrupted(MIGRATE, dry_run::run(&session, settings)).await;
    }
    let state = Arc::new(StateDir::lock(&settings.state_dir, MIGRATE)?);
    binding::expect_unbound_or_same(settings)?;
    run_log::start(&state)?;
    outlive_full_files();
    let interrupt = CancellationToken::new();
    let screen = Arc::new(Screen::open(settings.output));
    let listening = stop_on_signal(interrupt.clone(), Arc::clone(&screen));
    let listener = Task::spawn("signals", interrupt.clone(), listening);
    let result = migrate(&session, settings, &state, &screen, interrupt).await;
    let listened = listener.end().await;
    screen.close();
    result.and_then(|status| listened.map(|()| status))
}

async fn migrate<S: CliSource>(
    session: &Session<S>,
    settings: &Settings,
    state: &Arc<StateDir>,
    screen: &Arc<Screen>,
    interrupt: CancellationToken,
) -> Result<u8, Failure> {
    let preparation = Preparation {
        progress: &session.progress,
        screen,
        output: settings.output,
        state: Some(state),
    };
    let reporter = Report { settings, state };
    let planned = preparation.show(unless_stopped(MIGRATE, &interrupt, session.survey(settings)));
    let mut plan = planned.await.inspect_err(|failure| reporter.not_begun(failure))?;
    let (resumes, names) = (plan.planned.is_recorded(), plan.names);
    let refusal = plan.judge();
    let reported = !resumes || refusal.is_some();
    if reported {
        screen.above(|| report::show_findings(&plan, settings));
    }
    if let Some(finding) = refusal {
        return reporter.refuse(&finding);
    }
    let prepared = preparation
        .show(start(session, settings, state, &plan, &interrupt))
        .await
        .inspect_err(|failure| reporter.not_begun(failure))?;
    let progress = Arc::clone(&session.progress);
    let sees_all_tables = plan.sees_all_tables();
    let (said, unsaid) = plan
        .findings
        .into_iter()
        .partition(|finding| reported || is_known_on_resume(finding, settings));
    let said = found(&progress, said);
    found(&progress, unsaid);
    if !reported {
        print_resumed(said.len(), settings);
    }
    let shown = CancellationToken::new();
    let watching = monitor::watch(
        Arc::clone(&progress),
        Arc::clone(state),
        monitor::Printing {
            output: settings.output,
            options: settings.printed_options(),
            verbose: settings.verbose,
        },
        Arc::clone(screen),
        said,
        shown.clone(),
    );
    let watched = Task::spawn("progress", interrupt.clone(), watching);
    let ended = migration(session, settings, prepared, &progress, interrupt, sees_all_tables)
        .run()
        .await;
    shown.cancel();
    let last = watched.join().await?;
    let mut outcome = match ended {
        Ok(outcome) => outcome,
        Err(failure) => return reporter.fail(failure, &progress, last),
    };
    outcome.not_carried.retain(|table| settings.selects(table, names));
    reporter.conclude(&outcome, &progress, last)?;
    Ok(outcome.exit_status())
}

/// Adds findings to the counters; the places that they take there.
fn found(progress: &Progress, findings: Vec<Finding>) -> Range<usize> {
    let places = || progress.snapshot().findings.len();
    let first = places();
    for finding in findings {
        progress.report(finding);
    }
    first..places()
}

/// Whether a person has read it when the migration began: it is about the schema, or about a
/// setting worth knowing. A program sees all of every run.
fn is_known_on_resume(finding: &Finding, settings: &Settings) -> bool {
    settings.output == Output::Text && finding.code.exit() == Exit::Recorded
}

fn print_resumed(known: usize, settings: &Settings) {
    if settings.output == Output::Text {
        let findings = render::counted(known, "finding");
        render::print_error(&format!(
            "resumes; {findings} about schema and settings, which `spanferry check` lists"
        ));
    }
}

fn migration<S: CliSource>(
    session: &Session<S>,
    settings: &Settings,
    prepared: Prepared<DiskLog, SpannerTarget>,
    progress: &Arc<Progress>,
    interrupt: CancellationToken,
    sees_all_tables: bool,
) -> Migration<S, DiskLog, SpannerTarget> {
    Migration {
        source: Arc::clone(&session.source),
        prepared,
        interrupt,
        progress: Arc::clone(progress),
        stop_when: match settings.stop_when {
            Some(StopWhenName::CaughtUp) => StopWhen::CaughtUp,
            None => StopWhen::Interrupted,
        },
        sees_all_tables,
        lock: settings.lock,
        source_rate: settings.source_rate,
        retention: RetentionOptions::keeping(settings.log_retention),
    }
}

/// Sets the migration up at the target and binds the state directory to it. What the directory
/// remembers changes only once the start is accepted: a refused one leaves it as it was, and an
/// unbound directory to any other command line.
async fn start<S: CliSource>(
    session: &Session<S>,
    settings: &Settings,
    state: &Arc<StateDir>,
    plan: &Survey,
    interrupt: &CancellationToken,
) -> Result<Prepared<DiskLog, SpannerTarget>, Failure> {
    let (known, run) = (
        binding::expect_unbound_or_same(settings)?,
        binding::run_of(settings)?,
    );
    let is_unbound = known.is_none();
    if is_unbound {
        // Bound before anything is written: a crash must not leave the change log to a start for
        // another target.
        run.write(state.directory())?;
    }
    let started = unless_stopped(MIGRATE, interrupt, set_up(session, settings, state, plan)).await;
    match &started {
        Ok(_) if known.as_ref() != Some(&run) => run.write(state.directory())?,
        Err(_) if is_unbound && is_left_unbound(plan, state, &session.target).await => {
            state.remove(run_file::NAME)?;
        }
        Ok(_) | Err(_) => {}
    }
    started
}

/// Whether a failed start has left nothing that the directory must be bound to. The target held a
/// migration before, and the start did not come as far as a change log for it; or the target holds
/// none.
async fn is_left_unbound(plan: &Survey, state: &StateDir, target: &SpannerTarget) -> bool {
    if plan.control.is_some() {
        !state.has_log()
    } else {
        holds_no_migration(target).await
    }
}

/// Whether the target surely holds no migration; one that cannot be asked may hold it.
async fn holds_no_migration(target: &SpannerTarget) -> bool {
    match target.read_control().await {
        Ok(control) => control.is_none(),
        Err(failure) => failure.code == code::TARGET_MISSING,
    }
}

async fn set_up<S: CliSource>(
    session: &Session<S>,
    settings: &Settings,
    state: &Arc<StateDir>,
    plan: &Survey,
) -> Result<Prepared<DiskLog, SpannerTarget>, Failure> {
    if plan.database_missing {
        session.progress.step("creating the database");
        kill_point("before database", "");
        session.target.create_database(plan.description.dialect).await?;
        kill_point("after database", "");
    }
    let options = PrepareOptions {
        claim: ClaimOptions {
            new_migration_id: Uuid::new_v4().to_string(),
            source_name: source_name(settings)?,
            schema: plan.schema.clone(),
            workers: plan.sessions,
        },
        unproved: settings.unproved(),
    };
    let logs = state.logs(settings.log_budget)?;
    let target = Arc::clone(&session.target);
    let source = session.source.as_ref();
    prepare(source, target, &logs, &plan.planned, &options, &session.progress).await
}

/// A file that may not grow further is an error of that write, for which capture waits, not the end
/// of the process.
fn outlive_full_files() {
    if let Err(error) = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())) {
        tracing::warn!(%error, "a file at its size limit will end the process");
    }
}
