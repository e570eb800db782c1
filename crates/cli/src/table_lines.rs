//! The tables of a migration in lines for a person: what needs a look first, what is finished as a
//! count.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::render;
use crate::status_lines::{count, items, rate, text, time, whole};
use crate::wrap::{cut, folded, padded};

/// Columns that a table's name takes, on a wide and on a narrow terminal.
const NAME_COLUMNS: (usize, usize) = (28, 16);
/// Columns of a table's bar.
const BAR_COLUMNS: usize = 12;
/// From this width on there is room for bars and rates.
const WIDE_COLUMNS: usize = 90;
/// Tables beside the stopped and the loading ones that have a line each; more are counted.
const OTHERS_MAX: usize = 10;
/// Tables of a stopped group that are named.
const GROUP_NAMED_MAX: usize = 4;
/// Lines that the reason of a stop takes where room is short.
const REASON_LINES_MAX: usize = 3;
/// The phases in the order in which they are printed.
const PHASES: [&str; 6] = ["stopped", "loading", "pending", "loaded", "joined", "constrained"];

/// Tables of one kind: they are listed together, or only counted where there is no room.
struct Entry {
    lines: Vec<String>,
    phase: &'static str,
    tables: usize,
}

/// The tables, no line wider than `columns`, and no more lines than `room` if there is a bound:
/// stopped groups, then tables that are loading, then the others. What has no line of its own is
/// counted by its phase in the last line.
pub(crate) fn lines(status: &Value, columns: usize, room: Option<usize>) -> Vec<String> {
    let mut entries = stopped(status, columns, room.is_some());
    entries.extend(of_phase(status, "loading", columns));
    let others: Vec<Entry> = PHASES[2..]
        .iter()
        .flat_map(|phase| of_phase(status, phase, columns))
        .collect();
    let mut counted: BTreeMap<usize, usize> = BTreeMap::new();
    let mut count_in = |entry: &Entry| {
        let place = PHASES.iter().position(|phase| *phase == entry.phase);
        *counted.entry(place.unwrap_or(PHASES.len())).or_default() += entry.tables;
    };
    if others.len() <= OTHERS_MAX {
        entries.extend(others);
    } else {
        others.iter().for_each(&mut count_in);
    }
    let needed: usize = entries.iter().map(|entry| entry.lines.len()).sum();
    let last = usize::from(others_are_counted(&entries, status));
    let room = room.unwrap_or(usize::MAX);
    // The last line is needed as soon as one entry has no room.
    let room = if needed + last <= room {
        room - last
    } else {
        room.saturating_sub(1)
    };
    let mut lines = Vec::new();
    for entry in &entries {
        if lines.len() + entry.lines.len() <= room {
            lines.extend(entry.lines.iter().cloned());
        } else {
            count_in(entry);
        }
    }
    if !counted.is_empty() {
        let word = if lines.is_empty() { "tables:" } else { "and" };
        let parts: Vec<String> = counted
            .iter()
            .map(|(place, tables)| format!("{} {}", render::count(*tables as u64), PHASES[*place]))
            .collect();
        lines.push(cut(&format!("  {word} {}", parts.join(", ")), columns));
    }
    lines
}

/// Whether some tables have no entry.
fn others_are_counted(entries: &[Entry], status: &Value) -> bool {
    let told: usize = entries.iter().map(|entry| entry.tables).sum();
    told < items(&status["tables"]).count()
}

/// Each stopped group: its tables and why.
fn stopped(status: &Value, columns: usize, is_short: bool) -> Vec<Entry> {
    let mut groups: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for table in items(&status["tables"]).filter(|table| table["phase"] == "stopped") {
        groups
            .entry(table["group"].as_u64().unwrap_or(0))
            .or_default()
            .push(table);
    }
    groups
        .into_values()
        .map(|tables| {
            let names: Vec<&str> = tables.iter().map(|table| text(&table["name"])).collect();
            let more = match names.len().saturating_sub(GROUP_NAMED_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let named = names[..names.len().min(GROUP_NAMED_MAX)].join(", ");
            let mut lines = vec![cut(&format!("  stopped: {named}{more}"), columns)];
            let reason = tables.iter().find_map(|table| table["stopped"].as_str());
            lines.extend(
                reason
                    .into_iter()
                    .flat_map(|reason| why(reason, columns, is_short)),
            );
            Entry {
                lines,
                phase: PHASES[0],
                tables: names.len(),
            }
        })
        .collect()
}

/// The reason of a stop. Where there is room it is whole, so that the caller can fold it.
fn why(reason: &str, columns: usize, is_short: bool) -> Vec<String> {
    let line = format!("    {reason}");
    if !is_short {
        return vec![line];
    }
    let lines = folded(&line, columns);
    lines
        .lines()
        .take(REASON_LINES_MAX)
        .map(|line| cut(line, columns))
        .collect()
}

/// A line for each table of a phase.
fn of_phase(status: &Value, phase: &'static str, columns: usize) -> Vec<Entry> {
    let tables = items(&status["tables"]).filter(|table| table["phase"] == phase);
    let entry = |table: &Value| Entry {
        lines: vec![cut(&table_line(table, columns), columns)],
        phase,
        tables: 1,
    };
    tables.map(entry).collect()
}

fn table_line(table: &Value, columns: usize) -> String {
    let is_wide = columns >= WIDE_COLUMNS;
    let width = if is_wide { NAME_COLUMNS.0 } else { NAME_COLUMNS.1 };
    let name = padded(&cut(text(&table["name"]), width), width);
    let mut line = format!("  {name} {:<11}", text(&table["phase"]));
    if is_wide {
        line += &format!(" {}", bar(table));
    }
    line += &format!(" {:>13} rows", count(&table["rows_loaded"]));
    // A process that is gone has no rate.
    if table["phase"] == "loading" && rate(&table["rows_per_second"]) > 0.0 {
        line += &format!(
            ", {}/s{}",
            whole(&table["rows_per_second"]),
            time(&table["eta_seconds"], ", about ", " left")
        );
    }
    line
}

/// A table's share that is loaded, in `BAR_COLUMNS` characters.
fn bar(table: &Value) -> String {
    let rows = table["rows_loaded"].as_u64().unwrap_or(0);
    let share = match text(&table["phase"]) {
        "pending" | "loading" | "stopped" => {
            let all = table["rows_estimate"].as_u64().unwrap_or(0).max(rows).max(1);
            usize::try_from(u128::from(rows) * BAR_COLUMNS as u128 / u128::from(all)).unwrap_or(0)
        }
        _ => BAR_COLUMNS,
    };
    format!("{}{}", "█".repeat(share), "░".repeat(BAR_COLUMNS - share))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn few() -> Value {
        json!({"tables": [
            {"name": "customers", "group": 0, "phase": "joined", "rows_loaded": 100_000, "rows_estimate": 99_000},
            {"name": "a_table_with_a_very_long_name_indeed", "group": 0, "phase": "loading", "rows_loaded": 23_456,
                "rows_estimate": 46_912, "rows_per_second": 12_345.6, "eta_seconds": 2},
            {"name": "logs", "group": 1, "phase": "stopped", "rows_loaded": 0, "rows_estimate": 10,
                "stopped": "SF-5001: logs: `ALTER TABLE` at 0-1-5"},
            {"name": "log_lines", "group": 1, "phase": "stopped", "rows_loaded": 0, "rows_estimate": 10,
                "stopped": "SF-5001: logs: `ALTER TABLE` at 0-1-5"},
        ]})
    }

    /// Tables of a large schema: so many stopped, loading, and complete.
    fn many(stopped: usize, loading: usize, complete: usize) -> Value {
        let table = |number: usize, phase: &str| {
            let reason = (phase == "stopped")
                .then_some("SF-5002: a reason of a length that no narrow terminal has room for in a line");
            json!({"name": format!("table_{number}"), "group": number, "phase": phase, "rows_loaded": 5, "rows_estimate": 10,
                "stopped": reason})
        };
        // In the order of their names, as a run has them.
        let phases = [
            (complete, "constrained"),
            (loading, "loading"),
            (stopped, "stopped"),
        ];
        let phases = phases
            .iter()
            .flat_map(|(tables, phase)| std::iter::repeat_n(*phase, *tables));
        let tables: Vec<Value> = phases
            .enumerate()
            .map(|(number, phase)| table(number, phase))
            .collect();
        json!({"tables": tables})
    }

    #[test]
    fn what_needs_a_look_comes_first() {
        assert_eq!(
            lines(&few(), 110, None),
            [
                "  stopped: logs, log_lines",
                "    SF-5001: logs: `ALTER TABLE` at 0-1-5",
                "  a_table_with_a_very_long_na… loading     ██████░░░░░░        23,456 rows, 12,346/s, about 2s left",
                "  customers                    joined      ████████████       100,000 rows",
            ]
        );
        let narrow = lines(&few(), 50, Some(10));
        assert!(
            narrow.iter().all(|line| line.chars().count() <= 50),
            "{narrow:#?}"
        );
        assert_eq!(narrow[3], "  customers        joined            100,000 rows");
    }

    #[test]
    fn names_of_any_script_align() {
        let table = |name: &str| json!({"name": name, "group": 0, "phase": "loaded", "rows_loaded": 5, "rows_estimate": 5});
        let names = [
            "orders",
            "客户",
            "주문_항목",
            "ありえないほど長い名前のテーブル",
            "caf\u{e9}",
            "cafe\u{301}",
        ];
        let tables: Vec<Value> = names.iter().map(|name| table(name)).collect();
        for columns in [50, 110] {
            let lines = lines(&json!({"tables": tables}), columns, None);
            let phase_at = |line: &str| crate::wrap::width(&line[..line.find("loaded").expect("its phase")]);
            let places: Vec<usize> = lines.iter().map(|line| phase_at(line)).collect();
            assert!(places.iter().all(|at| *at == places[0]), "{places:?} {lines:#?}");
            assert!(
                lines.iter().all(|line| crate::wrap::width(line) <= columns),
                "{lines:#?}"
            );
        }
    }

    #[test]
    fn what_is_finished_is_a_count() {
        let found = lines(&many(1, 2, 1_000), 80, Some(18));
        assert_eq!(
            found,
            [
                "  stopped: table_1002",
                "    SF-5002: a reason of a length that no narrow terminal has room for in a line",
                "  table_1000       loading                 5 rows",
                "  table_1001       loading                 5 rows",
                "  and 1,000 constrained",
            ]
        );
        assert_eq!(lines(&many(0, 0, 11), 80, None), ["  tables: 11 constrained"]);
        assert_eq!(lines(&many(0, 0, 10), 80, None).len(), 10);
    }

    #[test]
    fn what_has_no_room_is_counted_by_its_phase() {
        let found = lines(&many(6, 40, 5), 80, Some(10));
        assert_eq!(found.len(), 10);
        assert_eq!(
            found
                .iter()
                .filter(|line| line.starts_with("  stopped: "))
                .count(),
            4
        );
        let counted = "  and 2 stopped, 39 loading, 5 constrained";
        assert_eq!(found.last().unwrap(), counted);
        for room in 1..60 {
            let found = lines(&many(6, 40, 5), 80, Some(room));
            assert!(found.len() <= room, "{room}: {found:#?}");
            assert!(
                room < 57 || !found.last().unwrap().starts_with("  and"),
                "{found:#?}"
            );
        }
    }
}
