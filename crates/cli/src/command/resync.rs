//! `spanferry resync`: the group of a table is emptied at the target, so that the next `migrate` loads it anew.

use std::sync::Arc;

use serde_json::{Value, json};
use spanferry_core::failure::Failure;
use spanferry_core::plan::TablePlan;
use spanferry_engine::prepare::{PrepareOptions, Unproved, prepare};
use spanferry_engine::progress::Progress;
use spanferry_engine::resync::resync;

use crate::args::{Output, ResyncArgs};
use crate::command::migrate::renumber;
use crate::interrupt::or_interrupted;
use crate::nearest::nearest;
use crate::run_file::source_name;
use crate::session::{Plan, Session};
use crate::settings::{Settings, usage};
use crate::state_dir::{STATUS, StateDir};
use crate::{json, render};

/// Empties a group after asking. `migrate` must not be running.
pub(crate) async fn run(settings: &Settings, args: &ResyncArgs) -> Result<u8, Failure> {
    let session = Session::open(settings)?;
    let state = StateDir::lock(&settings.state_dir, "resync")?;
    let plan = session.plan(settings).await?;
    let control = plan.need_control(settings)?;
    let Some(table) = plan
        .plans
        .iter()
        .find(|known| plan.names.same(&known.name().table, &args.table))
    else {
        return Err(unknown_table(&args.table, &plan));
    };
    let group: Vec<_> = plan
        .plans
        .iter()
        .filter(|plan| plan.group == table.group)
        .cloned()
        .collect();
    let names: Vec<&str> = group.iter().map(|plan| plan.name().table.as_str()).collect();
    let question = format!("This empties at the target: {}.", names.join(", "));
    if !args.yes && !render::confirm(&question, "resync") {
        return Err(render::not_confirmed("resync"));
    }
    let options = PrepareOptions {
        new_migration_id: String::new(),
        source_name: source_name(settings)?,
        schema: plan.schema.clone(),
        workers: settings.source_connections,
        whole: false,
        // Nothing is captured here: the next `migrate` proves it.
        unproved: Unproved::Accepted,
    };
    let logs = state.logs(settings.log_budget)?;
    let wanted =
        |plan: &&Arc<TablePlan>| plan.group == table.group || control.tables.contains_key(plan.name());
    let mut all: Vec<_> = plan.plans.iter().filter(wanted).cloned().collect();
    renumber(&mut all);
    let empty = async {
        let (source, target) = (session.source.as_ref(), Arc::clone(&session.target));
        let progress = Arc::new(Progress::default());
        let prepared = prepare(source, target, &logs, all, &options, &progress).await?;
        resync(&prepared, table.group).await
    };
    or_interrupted("resync", empty).await?;
    correct_status(&state, &names)?;
    match settings.output {
        Output::Text => render::say(&format!(
            "resync: {} emptied; `spanferry migrate` loads them anew",
            names.join(", ")
        )),
        Output::Json => render::say_json(&json!({"emptied": names, "group": table.group.0})),
    }
    Ok(0)
}

/// What an earlier run has written for `status` holds no more.
fn correct_status(state: &StateDir, emptied: &[&str]) -> Result<(), Failure> {
    let written = state.directory().read(STATUS)?;
    let Some(mut status) = written.and_then(|text| serde_json::from_slice::<Value>(&text).ok()) else {
        // No run has written one here, or none that can be read, which `status` tells.
        return Ok(());
    };
    json::empty_group(&mut status, emptied);
    state.write(STATUS, status.to_string().as_bytes())
}

fn unknown_table(table: &str, plan: &Plan) -> Failure {
    let known = plan.plans.iter().map(|plan| plan.name().table.as_str());
    let meant = nearest(table, known).map_or_else(String::new, |name| format!("Did you mean `{name}`? "));
    usage(table, "no migrated table has this name")
        .hint(format!("{meant}`spanferry status` lists the migrated tables."))
}
