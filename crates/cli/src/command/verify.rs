//! `spanferry verify`: all rows and columns of both sides compared, at rest.

use std::collections::BTreeSet;
use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::{ControlState, TablePhase};
use spanferry_core::position::Bookmark;
use spanferry_core::report::code::Exit;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::Finding;
use spanferry_core::report::remedy::Remedy;
use spanferry_engine::plan::{Comparable, NotCompared, no_drain_helps};
use spanferry_engine::verify::{Counters, TableVerdict, Verification, applied, verify};
use spanferry_spanner::control::PREFIX;
use tokio::time::interval;

use crate::args::Output;
use crate::comparison::{Comparison, LOOK_INTERVAL};
use crate::session::{Session, need_control};
use crate::settings::Settings;
use crate::source::CliSource;
use crate::verdict::{ExtraObject, confirmed, lines};
use crate::{json, render};

/// Compares; exit status 0 equal, 4 not, 5 if the source has moved on.
pub(crate) async fn run<S: CliSource>(source: S, settings: &Settings) -> Result<u8, Failure> {
    let session = Session::open(source, settings)?;
    let plan = session.survey(settings).await?;
    let control = need_control(&plan, settings)?;
    let applied = applied(control)?;
    if let Some(finding) = session.source.allot_verification().await? {
        return Err(too_few_sessions(settings, &finding)?);
    }
    let mut comparable = Comparable::of(&plan, control);
    let compared = compare(&session, &comparable, &applied, settings).await;
    let (found, fixes) = match compared {
        Err(failure) if no_drain_helps(&failure, control) => {
            let stopped = comparable.stop_all();
            (
                Verification::default(),
                fixes(&stopped, &settings.printed_options()),
            )
        }
        compared => (compared?, Vec::new()),
    };
    comparable.add_others(&found.source_tables, control, |name| {
        settings.selects(name, plan.names)
    });
    let others = comparable.others.iter();
    let not_compared: Vec<_> = others.map(|(name, why)| (name.clone(), reason(*why))).collect();
    for (table, why) in &not_compared {
        render::print_error(&format!("not compared: `{}` {why}", table.table));
    }
    let extra = extra_at_target(&found, control);
    for object in &extra {
        render::print_error(&object.note());
    }
    for fix in &fixes {
        render::print_error(fix);
    }
    // A table that was not compared is never called equal.
    let compared_equal = found.tables.iter().all(TableVerdict::is_equal);
    let equal = compared_equal && not_compared.is_empty();
    if settings.output == Output::Json {
        render::print_json(&json::verdict(&found.tables, &not_compared, &extra, equal));
    } else {
        conclude(control, &found.tables, compared_equal, not_compared.len());
    }
    Ok(if equal { 0 } else { Exit::SetAside.status() })
}

/// The failure of a verification whose sessions the source does not allow.
fn too_few_sessions(settings: &Settings, finding: &Finding) -> Result<Failure, Failure> {
    let address = settings.need_source()?.address();
    let failure = Failure::new(finding.code, Class::StopMigration, address, finding.text.clone());
    Ok(match &finding.remedy {
        Some(remedy) => failure.hint(remedy.to_string()),
        None => failure,
    })
}

/// What only the target has. It makes no table different: it was added there by hand.
fn extra_at_target(found: &Verification, control: &ControlState) -> Vec<ExtraObject> {
    let known = |name: &&String| {
        let mut definitions = control.definitions.values();
        name.starts_with(PREFIX) || definitions.any(|definition| definition.target.name == **name)
    };
    let tables = found.target_tables.iter().filter(|name| !known(name));
    let tables = tables.map(|table| (table.clone(), None));
    let columns = found.columns_extra.iter().cloned();
    let columns = columns.map(|(table, column)| (table, Some(column)));
    tables
        .chain(columns)
        .map(|(table, column)| ExtraObject { table, column })
        .collect()
}

/// How a table that the target lacks comes back.
fn fix(verdict: &TableVerdict, options: &str) -> Option<String> {
    verdict.lack?;
    let resync = Remedy::resync(&verdict.name).printed(options);
    Some(format!(
        "    fix: stop `migrate`, run `{resync}`, and start `migrate` again"
    ))
}

/// Why a table is not compared.
fn reason(why: NotCompared) -> &'static str {
    match why {
        NotCompared::Gone => "is not at the source",
        NotCompared::Unselected => "is not selected",
        NotCompared::NotCarried => "is at the source and selected, but the migration does not carry it",
        NotCompared::Unseen => {
            "is at the source and selected, but was left out before the comparison; see `spanferry check`"
        }
        NotCompared::Redefined => {
            "has another definition at the source than the migration began with; `spanferry resync` it, and `migrate`"
        }
        NotCompared::Stopped => {
            "is stopped, as every table of the migration is, and the source has changed since"
        }
    }
}

/// The commands by which stopped tables are loaded again: one for each group.
fn fixes(plans: &[Arc<TablePlan>], options: &str) -> Vec<String> {
    let mut groups = BTreeSet::new();
    let first = plans.iter().filter(|plan| groups.insert(plan.group));
    let commands = first.map(|plan| Remedy::resync(plan.name()).printed(options));
    commands.map(|command| format!("  fix: {command}")).collect()
}

/// Compares the plan's tables and shows how far it is.
async fn compare<S: CliSource>(
    session: &Session<S>,
    comparable: &Comparable,
    applied: &Bookmark,
    settings: &Settings,
) -> Result<Verification, Failure> {
    let counters = Counters::default();
    let shown = Comparison::new(settings.output);
    let options = settings.printed_options();
    let told = |verdict: &TableVerdict| {
        let mut text = lines(verdict);
        text.extend(fix(verdict, &options));
        shown.print(&text);
    };
    let (source, target) = (session.source.as_ref(), session.target.as_ref());
    // A `migrate` that runs beside must keep its stream.
    let changes = source.observer();
    let mut comparing = Box::pin(verify(
        source,
        &changes,
        target,
        &comparable.plans,
        applied,
        &counters,
        told,
    ));
    let mut looks = interval(LOOK_INTERVAL);
    let found = loop {
        tokio::select! {
            biased;
            found = &mut comparing => break found,
            _ = looks.tick() => shown.look(&counters.reading()),
        }
    };
    shown.finish();
    found
}

fn conclude(control: &ControlState, verdicts: &[TableVerdict], compared_equal: bool, not_compared: usize) {
    let unfinished = control
        .tables
        .values()
        .filter(|row| row.phase != TablePhase::Constrained);
    for row in unfinished {
        render::print(&format!(
            "note: `{}` is not complete at the target; see `spanferry status`",
            row.table.table
        ));
    }
    if let Some(text) = confirmed(verdicts) {
        render::print(&text);
    }
    match (compared_equal, not_compared) {
        (true, 0) => render::print("verify: equal"),
        (true, others) => {
            let others = render::counted(others, "table");
            render::print(&format!("verify: no difference found, but {others} not compared"));
        }
        (false, _) => render::print("verify: different"),
    }
}
