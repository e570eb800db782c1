//! `spanferry resync`: the group of a table is emptied at the target, so that the next `migrate`
//! loads it; or a table is given up.

use std::sync::Arc;

use serde_json::json;
use spanferry_core::port::target::ControlState;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity};
use spanferry_core::schema::definition::TableDefinition;
use spanferry_core::schema::source::QualifiedName;
use spanferry_core::schema::typed_name::{Meant, meant};
use spanferry_engine::plan::{
    Refusal, Resync, ResyncRequest, Survey, decide_forget, decide_resync, is_blocking,
};
use spanferry_engine::prepare::{ClaimOptions, PrepareOptions, Unproved, prepare};
use spanferry_engine::progress::Progress;
use spanferry_engine::resync::resync;

use crate::args::{Output, ResyncArgs};
use crate::binding::source_name;
use crate::command::report::refusal;
use crate::interrupt::or_interrupted;
use crate::selection::{nearest_table, select_again, several};
use crate::session::{Session, need_control};
use crate::settings::Settings;
use crate::short_name::short_names;
use crate::source::CliSource;
use crate::state_dir::{STATUS, StateDir};
use crate::usage_failure::usage;
use crate::{document, json, render};

/// Empties a group, or gives a table up, after asking. `migrate` must not be running.
pub(crate) async fn run<S: CliSource>(
    source: S,
    settings: &Settings,
    args: &ResyncArgs,
) -> Result<u8, Failure> {
    let session = Session::open(source, settings)?;
    let state = StateDir::lock(&settings.state_dir, "resync")?;
    let plan = session.survey(settings).await?;
    let control = need_control(&plan, settings)?;
    if control.tables.is_empty() {
        return Err(nothing_recorded(settings));
    }
    let decided = decided(settings, args, &plan, control)?;
    if !args.yes && !render::confirm(&question(&decided), "resync") {
        return Err(render::not_confirmed("resync"));
    }
    let options = PrepareOptions {
        claim: ClaimOptions {
            new_migration_id: String::new(),
            source_name: source_name(settings)?,
            schema: plan.schema.clone(),
            workers: settings.source_connections,
        },
        // Nothing is captured here: the next `migrate` proves it.
        unproved: Unproved::Accepted,
    };
    let logs = state.logs(settings.log_budget)?;
    // Tables that are not named here are the business of the next `migrate`.
    let planned = plan.planned.clone().to_change(control);
    let empty = async {
        let (source, target) = (session.source.as_ref(), Arc::clone(&session.target));
        let progress = Arc::new(Progress::default());
        let prepared = prepare(source, target, &logs, &planned, &options, &progress).await?;
        resync(&prepared, &decided).await
    };
    or_interrupted("resync", empty).await?;
    correct_status(&state, &decided)?;
    print_decided(&decided, settings);
    Ok(0)
}

/// What is to be done, or why it is not.
fn decided(
    settings: &Settings,
    args: &ResyncArgs,
    plan: &Survey,
    control: &ControlState,
) -> Result<Resync, Failure> {
    let selected = plan.today.selected.iter().map(|table| &table.name);
    let known = control.tables.keys().chain(selected);
    let table = match meant(&args.table, known, plan.names) {
        Meant::One(table) => table,
        Meant::Several(tables) => return Err(several(&args.table, &tables)),
        Meant::None => return Err(unknown_table(&args.table, plan, control)),
    };
    let decided = if args.forget {
        decide_forget(control, table)
    } else {
        let request = ResyncRequest {
            table,
            today: &plan.today,
            control,
            description: &plan.description,
            checked: &plan.checked,
        };
        let is_blocking = |finding: &Finding| is_blocking(finding, &plan.accepted);
        decide_resync(request, is_blocking)
    };
    decided.map_err(|refused| match refused {
        Refusal::Unknown => unknown_table(&args.table, plan, control),
        Refusal::Findings(findings) => refused_by(&findings, settings),
    })
}

/// The failure of a resync that findings stand in the way of. A person reads them all.
fn refused_by(findings: &[Finding], settings: &Settings) -> Failure {
    if settings.output == Output::Text {
        let others = findings.iter().skip(1);
        others
            .for_each(|finding| render::print_error(&render::finding(finding, &settings.printed_options())));
    }
    let options = settings.printed_options();
    let Some(first) = findings.first() else {
        return Failure::bug("resync", "it is refused without a finding");
    };
    let mut failure = refusal(first, &options);
    if first.code == code::TABLE_UNSELECTED
        && let (Some(forget), Some(table)) = (&failure.hint, first.subject.source_table())
    {
        let again = select_again(table, &options).join("`, then `");
        failure.hint = Some(format!(
            "To drop it at the target and take it out of the migration: `{forget}`. To take it in again: `{again}`; the first of these needs `--exclude` for each table that stays out."
        ));
    }
    failure
}

fn question(decided: &Resync) -> String {
    let names = short_names(decided.emptied()).join(", ");
    if decided.forget.is_empty() {
        return format!("This empties at the target: {names}.");
    }
    format!("This drops at the target, and takes out of the migration: {names}.")
}

/// Says what was done, and what was not.
fn print_decided(decided: &Resync, settings: &Settings) {
    let names = |tables: &[TableDefinition]| short_names(tables.iter().map(TableDefinition::name));
    let (emptied, forgotten) = (names(&decided.reload), names(&decided.forget));
    let left = short_names(decided.left.iter().map(|stop| &stop.table));
    if settings.output == Output::Json {
        render::print_json(&json!({"emptied": emptied, "forgotten": forgotten, "left": left}));
        return;
    }
    if !emptied.is_empty() {
        let them = if emptied.len() == 1 { "it" } else { "them" };
        let emptied = emptied.join(", ");
        render::print(&format!(
            "resync: {emptied} emptied; `spanferry migrate` loads {them}"
        ));
    }
    if !forgotten.is_empty() {
        let forgotten = forgotten.join(", ");
        render::print(&format!(
            "resync: {forgotten} dropped at the target; the migration continues without it"
        ));
    }
    for stop in &decided.left {
        render::print(&render::finding(&stop.finding, &settings.printed_options()));
    }
    let told = decided
        .findings
        .iter()
        .filter(|finding| finding.severity != Severity::Notice);
    told.for_each(|finding| render::print(&render::finding(finding, &settings.printed_options())));
}

/// What an earlier run has written for `status` holds no more.
fn correct_status(state: &StateDir, decided: &Resync) -> Result<(), Failure> {
    let written = state.directory().read(STATUS)?;
    let Some(mut status) = written.and_then(|text| document::read(&text, STATUS).ok()) else {
        // No run has written one here, or none that can be read, which `status` reports.
        return Ok(());
    };
    let names = |tables: &[TableDefinition]| -> Vec<QualifiedName> {
        tables.iter().map(|known| known.name().clone()).collect()
    };
    json::empty_group(&mut status, &names(&decided.reload));
    json::forget_tables(&mut status, &names(&decided.forget));
    state.write(STATUS, status.to_string().as_bytes())
}

fn unknown_table(table: &str, plan: &Survey, control: &ControlState) -> Failure {
    let selected = plan.today.selected.iter().map(|table| &table.name);
    let known = control.tables.keys().chain(selected).cloned();
    let known: Vec<QualifiedName> = known.collect();
    let meant =
        nearest_table(table, &known).map_or_else(String::new, |name| format!("Did you mean `{name}`? "));
    usage(
        table,
        "neither the migration nor the selected schema has a table of this name",
    )
    .hint(format!("{meant}`spanferry status` lists the migrated tables."))
}

/// The first start has died before it had decided which tables are migrated.
fn nothing_recorded(settings: &Settings) -> Failure {
    let text = "the migration has no table yet";
    Failure::new(
        code::STATE_FOREIGN,
        Class::StopMigration,
        settings.target_text(),
        text,
    )
    .hint("Run `spanferry migrate`.")
}
