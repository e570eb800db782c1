//! `spanferry migrate`: from an empty target to one that follows the source; the same command line resumes.

use std::sync::Arc;

use rustix::process::Signal;
use spanferry_core::code::{self, Exit};
use spanferry_core::ddl;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::finding::{Finding, Severity, Subject};
use spanferry_core::target::Target as _;
use spanferry_core::target_schema::Dialect;
use spanferry_core::window::WindowLimits;
use spanferry_engine::migrate::{Migration, Outcome, StopWhen};
use spanferry_engine::prepare::{PrepareOptions, prepare};
use spanferry_engine::progress::Progress;
use spanferry_engine::stop::StopSignal;
use spanferry_kill_point::kill_point;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Output, StopWhenName};
use crate::command::check;
use crate::run_file::{RunFile, source_name};
use crate::session::{Plan, Session, blocking};
use crate::settings::Settings;
use crate::state_dir::{MIGRATE, StateDir};
use crate::{json, monitor, render, run_log, usage};

/// Runs or resumes a migration; the exit status says how it ended.
pub(crate) async fn run(settings: &Settings) -> Result<u8, Failure> {
    let session = Session::open(settings)?;
    if settings.dry_run {
        return dry_run(&session, settings).await;
    }
    let state = Arc::new(StateDir::lock(&settings.state_dir, MIGRATE)?);
    RunFile::of(settings)?.bind(&state)?;
    run_log::start(&state)?;
    outlive_full_files();
    let interrupt = StopSignal::new();
    let listener = tokio::spawn(listen(interrupt.clone()));
    let result = migrate(&session, settings, &state, interrupt).await;
    listener.abort();
    if let Err(failure) = &result {
        tracing::error!(code = %failure.code, %failure, "the migration ends");
    }
    result
}

async fn migrate(
    session: &Session,
    settings: &Settings,
    state: &Arc<StateDir>,
    interrupt: StopSignal,
) -> Result<u8, Failure> {
    let mut plan = session.plan(settings).await?;
    keep_to_known_tables(&mut plan);
    let gone = gone_tables(&plan);
    let resumes = plan.control.is_some();
    // On a resume only what concerns the servers as a whole stands in the way: a table's own trouble stops its group.
    let stops = blocking(&plan.findings, settings)
        .iter()
        .any(|finding| !resumes || finding.subject.table.is_none());
    if !resumes || stops {
        check::report(&plan, settings);
    }
    if stops {
        return Ok(Exit::Refused.status());
    }
    if plan.database_missing {
        kill_point("before database", "");
        session.target.create_database(plan.description.dialect).await?;
        kill_point("after database", "");
    }
    let options = PrepareOptions {
        new_migration_id: random_id()?,
        source_name: source_name(settings)?,
        mapping: format!("{}/{}", settings.need_source()?.schema, plan.description.dialect),
        workers: settings.source_connections,
        whole: true,
    };
    let logs = state.logs(settings.log_budget);
    let target = Arc::clone(&session.target);
    let (prepared, progress) = prepare(session.source.as_ref(), target, &logs, plan.plans, &options).await?;
    for finding in plan.findings {
        // They were printed by the report above; here they go into status and report.
        progress.find(finding);
    }
    let shown = StopSignal::new();
    let watcher = tokio::spawn(monitor::watch(
        Arc::clone(&progress),
        Arc::clone(state),
        settings.output,
        shown.clone(),
    ));
    let migration = Migration {
        source: Arc::clone(&session.source),
        prepared,
        interrupt,
        progress: Arc::clone(&progress),
        stop_when: match settings.stop_when {
            Some(StopWhenName::CaughtUp) => StopWhen::CaughtUp,
            None => StopWhen::Interrupted,
        },
        lock: settings.lock,
        source_rate: settings.source_rate,
        limits: if session.target.client().is_emulator() {
            WindowLimits::EMULATOR
        } else {
            WindowLimits::SPANNER
        },
        log_retention: settings.log_retention,
    };
    let ended = migration.run().await;
    shown.request();
    watcher
        .await
        .map_err(|cause| Failure::bug("progress", "its task ended by itself").caused_by(cause))?;
    let mut outcome = ended?;
    outcome.stopped.extend(gone);
    conclude(&outcome, &progress, settings, state)?;
    Ok(outcome.exit_status())
}

/// On a resume the plan keeps to the tables that the migration knows; others are told, not taken.
fn keep_to_known_tables(plan: &mut Plan) {
    let Some(control) = &plan.control else { return };
    if control.tables.is_empty() {
        return;
    }
    let (known, new): (Vec<_>, Vec<_>) = plan
        .plans
        .drain(..)
        .partition(|table| control.tables.contains_key(&table.name().table));
    for table in new {
        let name = table.name().table.clone();
        let text =
            "it was created after the migration began and is not carried; leave it out with `--exclude`";
        plan.findings.push(Finding::new(
            code::TABLE_CREATED,
            Severity::Warning,
            Subject::table(name),
            text,
        ));
    }
    plan.plans = known;
    renumber(&mut plan.plans);
}

/// Tables of the migration that the source no longer has, or that are not selected any more: they do not flow.
fn gone_tables(plan: &Plan) -> Vec<(String, String)> {
    let known = plan.control.iter().flat_map(|control| control.tables.keys());
    known
        .filter(|table| plan.plans.iter().all(|plan| plan.name().table != **table))
        .map(|table| {
            (
                table.clone(),
                "it is not at the source any more, or not selected".to_owned(),
            )
        })
        .collect()
}

/// Table ids are places in the list.
pub(crate) fn renumber(plans: &mut [Arc<spanferry_core::plan::TablePlan>]) {
    for (index, plan) in plans.iter_mut().enumerate() {
        let id = spanferry_core::plan::TableId(u32::try_from(index).expect("fewer tables than 2^32"));
        if plan.id != id {
            Arc::make_mut(plan).id = id;
        }
    }
}

async fn dry_run(session: &Session, settings: &Settings) -> Result<u8, Failure> {
    let plan = session.plan(settings).await?;
    check::report(&plan, settings);
    if settings.output == Output::Text {
        if plan.database_missing {
            let dialect = plan.description.dialect;
            render::say(&format!(
                "-- the database `{}` is created, dialect {dialect}",
                settings.target_text()
            ));
        }
        for statement in statements(&plan, plan.description.dialect) {
            render::say(&format!("{statement};"));
        }
        for table in &plan.plans {
            render::say(&format!(
                "-- group {}: `{}`, about {} rows, {}",
                table.group.0,
                table.name().table,
                render::count(table.source.rows_estimate),
                render::bytes(table.source.bytes_estimate)
            ));
        }
        render::say("dry run: nothing was written");
    }
    Ok(if blocking(&plan.findings, settings).is_empty() {
        0
    } else {
        Exit::Refused.status()
    })
}

fn statements(plan: &Plan, dialect: Dialect) -> Vec<String> {
    let tables = || plan.plans.iter().map(|plan| &plan.target);
    let mut statements: Vec<String> = tables().map(|table| ddl::create_table(table, dialect)).collect();
    for table in tables() {
        statements.extend(
            table
                .indexes
                .iter()
                .map(|index| ddl::create_index(table, index, dialect)),
        );
    }
    for table in tables() {
        statements.extend(
            table
                .foreign_keys
                .iter()
                .map(|key| ddl::add_foreign_key(table, key, dialect)),
        );
    }
    statements
}

/// Says how it ended, and writes the report.
fn conclude(
    outcome: &Outcome,
    progress: &Progress,
    settings: &Settings,
    state: &StateDir,
) -> Result<(), Failure> {
    let snapshot = progress.snapshot();
    let findings: Vec<_> = snapshot.findings.iter().map(json::finding).collect();
    let stopped: Vec<_> = outcome
        .stopped
        .iter()
        .map(|(table, reason)| serde_json::json!({"table": table, "reason": reason}))
        .collect();
    let ended = serde_json::json!({"event": "end", "exit_status": outcome.exit_status(), "interrupted": outcome.interrupted,
        "position": outcome.position, "stopped": stopped, "findings": findings, "process": usage::report()});
    state.write("report.json", ended.to_string().as_bytes())?;
    if settings.output == Output::Json {
        render::say(&ended.to_string());
        return Ok(());
    }
    for (table, reason) in &outcome.stopped {
        render::say(&format!(
            "stopped: `{table}`: {reason}\n  fix: spanferry resync {table}"
        ));
    }
    let rows: u64 = snapshot.tables.iter().map(|table| table.rows_loaded).sum();
    let how = if outcome.interrupted {
        "interrupted; the same command resumes"
    } else {
        "ended"
    };
    render::say(&format!(
        "migrate: {how}; {} rows loaded, {} transactions applied by this process; left out or changed: {} findings in `{}`",
        render::count(rows),
        render::count(snapshot.applied_transactions),
        snapshot.findings.len(),
        state.path().join("report.json").display()
    ));
    Ok(())
}

/// SIGINT and SIGTERM ask for a clean stop; a second one ends the process at once, which is as safe as any crash.
async fn listen(interrupt: StopSignal) {
    let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::error!("signals cannot be listened to; SIGINT ends the process at once");
        return;
    };
    for again in [false, true] {
        tokio::select! {
            _got = int.recv() => {}
            _got = term.recv() => {}
        }
        if again {
            std::process::exit(i32::from(Exit::Interrupted.status()));
        }
        render::tell("stopping at the next clean point; once more to end at once");
        interrupt.request();
    }
}

/// A file that may not grow further is an error of that write, for which capture waits, not the end of the process.
fn outlive_full_files() {
    if let Err(error) = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())) {
        tracing::warn!(%error, "a file at its size limit will end the process");
    }
}

fn random_id() -> Result<String, Failure> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid").map_err(|cause| {
        Failure::new(
            code::DISK_FAILED,
            Class::StopMigration,
            "/proc/sys/kernel/random/uuid",
            "cannot be read",
        )
        .caused_by(cause)
    })?;
    Ok(id.trim().to_owned())
}
