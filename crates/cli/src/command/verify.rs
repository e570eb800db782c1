//! `spanferry verify`: all rows and columns of both sides compared, at rest.

use std::pin::pin;

use spanferry_core::code::{self, Exit};
use spanferry_core::failure::{Class, Failure};
use spanferry_core::position::Position;
use spanferry_core::target::{ControlState, Lane, TablePhase};
use spanferry_engine::prepare::definition_of;
use spanferry_engine::verify::{Counters, Kind, TableVerdict, verify};
use tokio::time::interval;

use crate::args::Output;
use crate::comparison::{Comparison, LOOK_INTERVAL};
use crate::session::{Plan, Session};
use crate::settings::Settings;
use crate::{json, render};

/// Keys printed for a person; JSON has up to 1,000.
const KEYS_SHOWN_MAX: usize = 20;

/// Compares; exit status 0 equal, 4 not, 5 if the source has moved on.
pub(crate) async fn run(settings: &Settings) -> Result<u8, Failure> {
    let session = Session::open(settings)?;
    let mut plan = session.plan(settings).await?;
    let control = plan.need_control(settings)?.clone();
    let mut not_compared = keep_to_comparable_tables(&mut plan, &control);
    let verdicts = compare(&session, &plan, &applied(&control)?, settings.output).await?;
    let is_told = |table: &String| {
        verdicts.iter().any(|verdict| verdict.name == *table)
            || not_compared.iter().any(|(known, _)| known == table)
    };
    let gone: Vec<String> = control
        .tables
        .keys()
        .map(|name| name.table.clone())
        .filter(|table| !is_told(table))
        .collect();
    not_compared.extend(gone.into_iter().map(|table| {
        let why = if settings.selects(&table) {
            GONE
        } else {
            UNSELECTED
        };
        (table, why)
    }));
    for (table, why) in &not_compared {
        render::tell(&format!("not compared: `{table}` {why}"));
    }
    // A table that was not compared is never called equal.
    let compared_equal = verdicts.iter().all(TableVerdict::is_equal);
    let equal = compared_equal && not_compared.is_empty();
    if settings.output == Output::Json {
        render::say_json(&json::verdict(&verdicts, equal));
    } else {
        conclude(&control, compared_equal, not_compared.len());
    }
    Ok(if equal { 0 } else { Exit::SetAside.status() })
}

/// Why a table is not compared.
const GONE: &str = "is not at the source";
const UNSELECTED: &str = "is not selected";
const NOT_CARRIED: &str = "is at the source and selected, but the migration does not carry it";
const REDEFINED: &str = "has another definition at the source than the migration began with; `spanferry resync` it, and `migrate`";

/// Leaves the plan the tables that the target holds as they are at the source; the names of the others, with the reason. Those that
/// the migration has not recorded were created later, or the first start has died before it recorded any.
fn keep_to_comparable_tables(plan: &mut Plan, control: &ControlState) -> Vec<(String, &'static str)> {
    let mut others = Vec::new();
    plan.plans.retain(|plan| {
        let name = &plan.name().table;
        let why = match control.tables.get(plan.name()) {
            None => Some(NOT_CARRIED),
            Some(row) => (row.definition != definition_of(plan)).then_some(REDEFINED),
        };
        others.extend(why.map(|why| (name.clone(), why)));
        why.is_none()
    });
    others
}

/// Compares the plan's tables and shows how far it is.
async fn compare(
    session: &Session,
    plan: &Plan,
    applied: &Position,
    output: Output,
) -> Result<Vec<TableVerdict>, Failure> {
    let counters = Counters::default();
    let shown = Comparison::new(output);
    let told = |verdict: &TableVerdict| shown.say(&lines(verdict));
    let (source, target) = (session.source.as_ref(), session.target.as_ref());
    // A `migrate` that runs beside must keep its stream.
    let changes = source.observer();
    let mut comparing = pin!(verify(
        source,
        &changes,
        target,
        &plan.plans,
        applied,
        &counters,
        told
    ));
    let mut looks = interval(LOOK_INTERVAL);
    let verdicts = loop {
        tokio::select! {
            biased;
            verdicts = &mut comparing => break verdicts,
            _ = looks.tick() => shown.look(&counters.reading()),
        }
    };
    shown.finish();
    verdicts
}

fn conclude(control: &ControlState, compared_equal: bool, not_compared: usize) {
    let unfinished = control
        .tables
        .values()
        .filter(|row| row.phase != TablePhase::Constrained);
    for row in unfinished {
        render::say(&format!(
            "note: `{}` is not complete at the target; see `spanferry status`",
            row.table.table
        ));
    }
    match (compared_equal, not_compared) {
        (true, 0) => render::say("verify: equal"),
        (true, others) => {
            let others = render::counted(others, "table");
            render::say(&format!("verify: no difference found, but {others} not compared"));
        }
        (false, _) => render::say("verify: different"),
    }
}

/// The position that the main stream has applied.
fn applied(control: &ControlState) -> Result<Position, Failure> {
    let (stream, lane) = Lane::Apply.parts();
    let row = control.fences.get(&(stream.to_owned(), lane));
    row.and_then(|row| row.reached.as_ref())
        .map(|reached| reached.position.clone())
        .ok_or_else(|| {
            let text = "the fence row of the main stream is missing or unreadable";
            Failure::new(code::STATE_FOREIGN, Class::StopMigration, "control tables", text)
        })
}

/// A table's verdict for a person.
fn lines(verdict: &TableVerdict) -> Vec<String> {
    let state = if verdict.is_equal() { "equal" } else { "DIFFERENT" };
    let mut first = format!(
        "  {:<32} {state}: {} rows at the source, {} at the target",
        verdict.name,
        render::count(verdict.rows_source),
        render::count(verdict.rows_target)
    );
    if !verdict.is_equal() {
        first += &format!(
            "; {}{} missing, {} extra, {} different",
            if verdict.at_least { "at least " } else { "" },
            render::count(verdict.missing),
            render::count(verdict.extra),
            render::count(verdict.different)
        );
    }
    if verdict.refused > 0 {
        first += &format!(
            "; {} without an exact form at the target",
            render::counted(usize::try_from(verdict.refused).unwrap_or(usize::MAX), "row")
        );
    }
    let mut lines = vec![first];
    for key in verdict.keys.iter().take(KEYS_SHOWN_MAX) {
        let columns = match key.kind {
            Kind::Different if !key.columns.is_empty() => format!(" in {}", key.columns.join(", ")),
            Kind::Different | Kind::Missing | Kind::Extra => String::new(),
        };
        lines.push(format!("    {} {}{columns}", key.kind.word(), key.key));
    }
    let counted = verdict.missing + verdict.extra + verdict.different;
    let shown = verdict.keys.len().min(KEYS_SHOWN_MAX) as u64;
    if counted > shown {
        lines.push(format!("    and {} more", render::count(counted - shown)));
    }
    lines.extend(refused_lines(verdict));
    lines
}

/// The rows without an exact form.
fn refused_lines(verdict: &TableVerdict) -> Vec<String> {
    let shown = verdict.refused_rows.iter().take(KEYS_SHOWN_MAX);
    let mut lines: Vec<String> = shown
        .map(|row| format!("    no exact form {} in {}: {}", row.key, row.column, row.reason))
        .collect();
    let more = verdict.refused.saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!(
            "    and {} more without an exact form",
            render::count(more)
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use spanferry_engine::verify::{DifferentKey, NamedRefusal};

    #[test]
    fn a_difference_names_rows_and_columns() {
        let key = |kind, key: &str, columns: &[&str]| DifferentKey {
            kind,
            key: key.to_owned(),
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        };
        let mut verdict = TableVerdict {
            name: "orders".to_owned(),
            rows_source: 1_500,
            rows_target: 1_499,
            missing: 2,
            extra: 1,
            different: 2_000,
            at_least: false,
            keys: vec![
                key(Kind::Missing, "[\"7\"]", &[]),
                key(Kind::Different, "[\"8\"]", &["state", "total"]),
            ],
            ..TableVerdict::default()
        };
        assert_eq!(
            lines(&verdict),
            [
                "  orders                           DIFFERENT: 1,500 rows at the source, 1,499 at the target; \
                 2 missing, 1 extra, 2,000 different",
                "    missing [\"7\"]",
                "    different [\"8\"] in state, total",
                "    and 2,001 more",
            ]
        );
        verdict.at_least = true;
        assert!(lines(&verdict)[0].ends_with("; at least 2 missing, 1 extra, 2,000 different"));
        let refused = TableVerdict {
            name: "t".to_owned(),
            rows_source: 3,
            rows_target: 2,
            refused: 2,
            refused_rows: vec![NamedRefusal {
                key: "[\"7\"]".to_owned(),
                column: "d".to_owned(),
                reason: "a zero or partial date".to_owned(),
            }],
            ..TableVerdict::default()
        };
        assert_eq!(
            lines(&refused),
            [
                "  t                                DIFFERENT: 3 rows at the source, 2 at the target; \
                 0 missing, 0 extra, 0 different; 2 rows without an exact form at the target",
                "    no exact form [\"7\"] in d: a zero or partial date",
                "    and 1 more without an exact form",
            ]
        );
        let equal = TableVerdict {
            name: "t".to_owned(),
            ..TableVerdict::default()
        };
        assert_eq!(
            lines(&equal),
            ["  t                                equal: 0 rows at the source, 0 at the target"]
        );
    }
}
