//! `spanferry verify`: all rows and columns of both sides compared, at rest.

use spanferry_core::code::{self, Exit};
use spanferry_core::failure::{Class, Failure};
use spanferry_core::position::Position;
use spanferry_core::reached::Reached;
use spanferry_core::target::{ControlState, Lane, TablePhase};
use spanferry_engine::verify::{Kind, TableVerdict, verify};

use crate::args::Output;
use crate::session::Session;
use crate::settings::Settings;
use crate::{json, render};

/// Keys printed for a person; JSON has up to 1,000.
const KEYS_SHOWN_MAX: usize = 20;

/// Compares; exit status 0 equal, 4 not, 5 if the source has moved on.
pub(crate) async fn run(settings: &Settings) -> Result<u8, Failure> {
    let session = Session::open(settings)?;
    let plan = session.plan(settings).await?;
    let control = plan.control.ok_or_else(|| {
        let text = "it holds no migration to verify";
        Failure::new(
            code::STATE_FOREIGN,
            Class::StopMigration,
            settings.target_text(),
            text,
        )
    })?;
    let applied = applied(&control)?;
    let known = |table: &str| control.tables.contains_key(table);
    let plans: Vec<_> = plan
        .plans
        .into_iter()
        .filter(|plan| known(&plan.name().table))
        .collect();
    let text_output = settings.output == Output::Text;
    let told = |verdict: &TableVerdict| {
        if text_output {
            show(verdict);
        }
    };
    let verdicts = verify(
        session.source.as_ref(),
        session.target.as_ref(),
        &plans,
        &applied,
        told,
    )
    .await?;
    let equal = verdicts.iter().all(TableVerdict::is_equal);
    let not_compared: Vec<&String> = control
        .tables
        .keys()
        .filter(|table| verdicts.iter().all(|verdict| verdict.name != **table))
        .collect();
    for table in &not_compared {
        render::tell(&format!(
            "not compared: `{table}` is not at the source, or not selected"
        ));
    }
    let equal = equal && not_compared.is_empty();
    let unfinished: Vec<&String> = control
        .tables
        .values()
        .filter(|row| row.phase != TablePhase::Constrained)
        .map(|row| &row.table)
        .collect();
    if settings.output == Output::Json {
        render::say(&json::verdict(&verdicts).to_string());
    } else {
        for table in &unfinished {
            render::say(&format!(
                "note: `{table}` is not complete at the target; see `spanferry status`"
            ));
        }
        render::say(if equal {
            "verify: equal"
        } else {
            "verify: different"
        });
    }
    Ok(if equal { 0 } else { Exit::SetAside.status() })
}

/// The position that the main stream has applied.
fn applied(control: &ControlState) -> Result<Position, Failure> {
    let (stream, lane) = Lane::Apply.parts();
    let row = control.fences.get(&(stream.to_owned(), lane));
    row.and_then(|row| Reached::parse(&row.position, row.key.piece).ok())
        .map(|reached| reached.position)
        .ok_or_else(|| {
            let text = "the fence row of the main stream is missing or unreadable";
            Failure::new(code::STATE_FOREIGN, Class::StopMigration, "control tables", text)
        })
}

fn show(verdict: &TableVerdict) {
    let state = if verdict.is_equal() { "equal" } else { "DIFFERENT" };
    render::say(&format!(
        "  {:<32} {state}: {} rows at the source, {} at the target{}",
        verdict.name,
        render::count(verdict.rows_source),
        render::count(verdict.rows_target),
        if verdict.is_equal() {
            String::new()
        } else {
            format!(
                "; {} missing, {} extra, {} different",
                verdict.missing, verdict.extra, verdict.different
            )
        }
    ));
    for key in verdict.keys.iter().take(KEYS_SHOWN_MAX) {
        let kind = match key.kind {
            Kind::Missing => "missing",
            Kind::Extra => "extra",
            Kind::Different => "different",
        };
        render::say(&format!("    {kind} {}", key.key));
    }
}
