//! What of a migration is not complete at the target, for `end`.

use serde_json::{Value, json};
use spanferry_core::port::target::{ControlState, Lane, TablePhase};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::schema::source::QualifiedName;

/// Most tables that are named in a text; the others are counted. JSON has all of them.
const NAMED_MAX: usize = 20;

/// What of a migration is not complete at the target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Incomplete {
    /// Tables that do not have all rows and constraints, by name, with their phase and, in
    /// brackets, why they stopped.
    tables: Vec<(QualifiedName, TablePhase, Option<code::Code>)>,
    /// How many tables the migration has.
    of: usize,
    /// Whether the first changes of a transaction are applied, and the others are not.
    has_partial_transaction: bool,
}

impl Incomplete {
    /// What is not complete of a recorded migration.
    pub(crate) fn of(control: &ControlState) -> Incomplete {
        let rows = control.tables.values();
        let incomplete = rows.filter(|row| row.phase != TablePhase::Constrained);
        let tables = incomplete.map(|row| {
            let reason = row.stopped.as_ref().map(|reason| reason.code);
            (row.table.clone(), row.phase, reason)
        });
        let (stream, lane) = Lane::MAIN.parts();
        let main = control.fences.get(&(stream.to_owned(), lane));
        let reached = main.and_then(|fence| fence.reached.as_ref());
        Incomplete {
            tables: tables.collect(),
            of: control.tables.len(),
            has_partial_transaction: reached.is_some_and(|reached| reached.partial.is_some()),
        }
    }

    /// Whether everything is complete.
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.is_empty() && !self.has_partial_transaction
    }

    /// What is missing, as a sentence without a full stop.
    pub(crate) fn text(&self) -> String {
        let named = self.tables.iter().take(NAMED_MAX).map(|(table, phase, reason)| {
            let why = reason.map_or_else(String::new, |code| format!(" ({code})"));
            format!("`{}` is {}{why}", table.table, phase.word())
        });
        let mut parts: Vec<String> = named.collect();
        let more = self.tables.len().saturating_sub(NAMED_MAX);
        if more > 0 {
            parts.push(format!("and {more} more"));
        }
        let mut text = String::new();
        if !parts.is_empty() {
            let (count, of) = (self.tables.len(), self.of);
            text = format!("{count} of its {of} tables not complete: {}", parts.join(", "));
        }
        if self.has_partial_transaction {
            let part = "the last transaction is applied only in part";
            text = if text.is_empty() {
                part.to_owned()
            } else {
                format!("{text}; {part}")
            };
        }
        text
    }

    /// The same for a program.
    pub(crate) fn json(&self) -> Value {
        let table = |(table, phase, reason): &(QualifiedName, TablePhase, Option<code::Code>)| json!({"schema": table.schema, "name": table.table, "phase": phase.word(), "code": reason.map(|code| code.to_string())});
        self.tables.iter().map(table).collect()
    }

    /// The refusal to end such a migration.
    pub(crate) fn refusal(&self, target: String) -> Failure {
        Failure::new(code::TABLES_INCOMPLETE, Class::StopMigration, target, self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incomplete(tables: usize, has_partial_transaction: bool) -> Incomplete {
        let table = |number: usize| {
            let stopped = (number == 1).then_some(code::DDL_SEEN);
            let phase = stopped.map_or(TablePhase::Loading, |_| TablePhase::Stopped);
            (QualifiedName::new("shop", format!("t{number}")), phase, stopped)
        };
        Incomplete {
            tables: (0..tables).map(table).collect(),
            of: 30,
            has_partial_transaction,
        }
    }

    #[test]
    fn a_text_names_tables_their_phase_and_why_they_stopped() {
        let check = |tables: usize, partial: bool, expected: &str| {
            assert_eq!(incomplete(tables, partial).text(), expected);
        };
        check(0, false, "");
        check(0, true, "the last transaction is applied only in part");
        check(
            2,
            false,
            "2 of its 30 tables not complete: `t0` is loading, `t1` is stopped (SF-5001)",
        );
        check(
            1,
            true,
            "1 of its 30 tables not complete: `t0` is loading; the last transaction is applied only in part",
        );
        let many = incomplete(23, false);
        assert!(
            many.text().ends_with("`t19` is loading, and 3 more"),
            "{}",
            many.text()
        );
        assert_eq!(many.json().as_array().unwrap().len(), 23);
        assert!(incomplete(0, false).is_empty() && !incomplete(0, true).is_empty());
    }
}
