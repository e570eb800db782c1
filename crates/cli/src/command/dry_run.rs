//! `spanferry migrate --dry-run`: the check, the DDL and the plan, nothing written.

use serde_json::{Value, json};
use spanferry_core::report::code::Exit;
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::Finding;
use spanferry_core::schema::ddl;
use spanferry_core::schema::target::Dialect;
use spanferry_engine::migrate::Outcome;
use spanferry_engine::plan::Survey;
use spanferry_engine::progress::Snapshot;

use crate::args::Output;
use crate::command::report::{self, refusal};
use crate::session::Session;
use crate::settings::Settings;
use crate::source::CliSource;
use crate::{json, render};

/// Checks, shows what would be done, writes nothing.
pub(crate) async fn run<S: CliSource>(session: &Session<S>, settings: &Settings) -> Result<u8, Failure> {
    let plan = session.survey(settings).await?;
    report::show_findings(&plan, settings);
    let dialect = plan.description.dialect;
    let blocks = plan.blocking();
    match settings.output {
        Output::Text => print_plan(&plan, dialect, settings),
        Output::Json => {
            render::print_json(&plan_event(&plan, dialect));
            render::print_json(&dry_end(&blocks, &settings.printed_options()));
        }
    }
    Ok(if blocks.is_empty() {
        0
    } else {
        Exit::Refused.status()
    })
}

/// How a dry run ends: as the migration would begin.
fn dry_end(blocks: &[&Finding], options: &str) -> Value {
    match blocks.first() {
        Some(finding) => json::end_of_failed(&refusal(finding, options), Exit::Refused.status(), None),
        None => json::end(&Outcome::default(), &Snapshot::default(), ""),
    }
}

fn print_plan(plan: &Survey, dialect: Dialect, settings: &Settings) {
    if plan.database_missing {
        render::print(&format!(
            "-- the database `{}` is created, dialect {dialect}",
            settings.target_text()
        ));
    }
    for statement in statements(plan, dialect) {
        render::print_unfitted(&format!("{statement};"));
    }
    for table in &plan.planned.plans {
        render::print(&format!(
            "-- group {}: `{}`, about {}, {}",
            table.group.0,
            table.name().table,
            render::rows(table.source.rows_estimate),
            render::bytes(table.source.bytes_estimate)
        ));
    }
    render::print("dry run: nothing was written");
}

fn plan_event(plan: &Survey, dialect: Dialect) -> Value {
    let tables: Vec<Value> = plan
        .planned
        .plans
        .iter()
        .map(|table| {
            json!({"schema": table.name().schema, "name": table.name().table, "group": table.group.0, "rows_estimate": table.source.rows_estimate,
                "bytes_estimate": table.source.bytes_estimate})
        })
        .collect();
    json!({"event": "plan", "creates_database": plan.database_missing, "dialect": dialect.to_string(),
        "statements": statements(plan, dialect), "tables": tables})
}

fn statements(plan: &Survey, dialect: Dialect) -> Vec<String> {
    let tables = || plan.planned.plans.iter().map(|plan| &plan.target);
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
