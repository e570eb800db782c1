//! A table's verdict in lines for a person.

use spanferry_engine::verify::{Kind, Lack, TableVerdict};

use crate::render;
use crate::wrap::padded;

/// Keys printed for a person; JSON has up to 1,000.
const KEYS_SHOWN_MAX: usize = 20;

/// Columns that a table's name takes.
const NAME_COLUMNS: usize = 32;

/// A table's verdict: what was counted, and what differs.
pub(crate) fn lines(verdict: &TableVerdict) -> Vec<String> {
    if let Some(lack) = verdict.lack {
        return vec![lacking(verdict, lack)];
    }
    let state = if verdict.is_equal() { "equal" } else { "DIFFERENT" };
    let mut first = format!(
        "  {} {state}: {} at the source, {} at the target",
        padded(&verdict.name.table, NAME_COLUMNS),
        render::rows(verdict.rows_source),
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
            render::rows(verdict.refused)
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
    lines.extend(testimony_lines(verdict));
    lines
}

/// The line of a table that the target lacks, or lacks columns of.
fn lacking(verdict: &TableVerdict, lack: Lack) -> String {
    let what = match lack {
        Lack::Table => "the target does not have the table".to_owned(),
        Lack::Columns => {
            let columns = verdict.testimony.columns_missing.join(", ");
            format!("the target does not have these columns: {columns}")
        }
    };
    format!(
        "  {} DIFFERENT: {what}; no row was compared, {} at the source, {} at the target",
        padded(&verdict.name.table, NAME_COLUMNS),
        render::rows(verdict.rows_source),
        render::count(verdict.rows_target)
    )
}

/// What the servers themselves confirm of the equal tables; none if no table is equal. Of a table
/// that differs it says nothing.
pub(crate) fn confirmed(verdicts: &[TableVerdict]) -> Option<String> {
    let equal: Vec<&TableVerdict> = verdicts.iter().filter(|verdict| verdict.is_equal()).collect();
    if equal.is_empty() {
        return None;
    }
    let tables = render::counted(equal.len(), "equal table");
    let mut text = format!("witnesses: in {tables}, both servers count the same rows");
    let asked = equal.iter().map(|verdict| verdict.testimony.rows_asked).sum();
    if asked > 0 {
        let (rows, verb) = (render::rows(asked), if asked == 1 { "has" } else { "have" });
        text += &format!("; {rows} of the target, looked up at the source, {verb} the same values there");
    }
    Some(text)
}

/// What the servers themselves say against what was read.
fn testimony_lines(verdict: &TableVerdict) -> Vec<String> {
    let said = &verdict.testimony;
    let mut lines = Vec::new();
    for (end, counted, read) in [
        ("source", said.rows_source, verdict.rows_source),
        ("target", said.rows_target, verdict.rows_target),
    ] {
        if counted != read {
            lines.push(format!(
                "    witness: the {end} itself counts {}, and {} came from reading it",
                render::rows(counted),
                render::count(read)
            ));
        }
    }
    let columns = said.columns_missing.iter();
    lines.extend(
        columns.map(|column| format!("    witness: column {column} of the source is not at the target")),
    );
    let rows = said.contradicted.iter().take(KEYS_SHOWN_MAX);
    lines.extend(rows.map(|row| {
        if row.columns.is_empty() {
            format!("    witness: the source has no row {}", row.key)
        } else {
            let columns = row.columns.join(", ");
            format!(
                "    witness: the source prints {} otherwise in {columns}",
                row.key
            )
        }
    }));
    let more = said.contradicted.len().saturating_sub(KEYS_SHOWN_MAX) as u64;
    if more > 0 {
        lines.push(format!("    witness: and {} more", render::rows(more)));
    }
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

/// A table of the target, or a column of a compared table, that is not of the migration.
#[derive(Debug)]
pub(crate) struct ExtraObject {
    /// The target's name of the table.
    pub(crate) table: String,
    /// The column; none if the whole table is meant.
    pub(crate) column: Option<String>,
}

impl ExtraObject {
    /// What a person reads of it.
    pub(crate) fn note(&self) -> String {
        let table = &self.table;
        match &self.column {
            Some(column) => {
                format!("note: `{table}` has a column `{column}` at the target that is not of the migration")
            }
            None => format!("note: the target has a table `{table}` that is not of the migration"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spanferry_core::schema::source::QualifiedName;
    use spanferry_engine::verify::{ContradictedKey, DifferentKey, NamedRefusal, Testimony};

    /// Servers that count what was read.
    fn witnessed(rows_source: u64, rows_target: u64) -> Testimony {
        Testimony {
            rows_source,
            rows_target,
            ..Testimony::default()
        }
    }

    #[test]
    fn what_the_servers_say_is_told() {
        let verdict = TableVerdict {
            rows_source: 1_000,
            rows_target: 1_000,
            testimony: Testimony {
                rows_source: 5_000,
                rows_target: 1_001,
                rows_asked: 3,
                columns_missing: vec!["extra".to_owned()],
                contradicted: vec![
                    ContradictedKey {
                        key: "[\"7\"]".to_owned(),
                        columns: vec!["a".to_owned(), "b".to_owned()],
                    },
                    ContradictedKey {
                        key: "[\"8\"]".to_owned(),
                        columns: Vec::new(),
                    },
                ],
            },
            ..TableVerdict::new(&QualifiedName::new("shop", "t"))
        };
        assert_eq!(
            lines(&verdict),
            [
                "  t                                DIFFERENT: 1,000 rows at the source, 1,000 at the target; \
                 0 missing, 0 extra, 0 different",
                "    witness: the source itself counts 5,000 rows, and 1,000 came from reading it",
                "    witness: the target itself counts 1,001 rows, and 1,000 came from reading it",
                "    witness: column extra of the source is not at the target",
                "    witness: the source prints [\"7\"] otherwise in a, b",
                "    witness: the source has no row [\"8\"]",
            ]
        );
    }

    #[test]
    fn what_the_target_lacks_is_named() {
        let mut verdict = TableVerdict {
            rows_source: 1,
            lack: Some(Lack::Table),
            ..TableVerdict::new(&QualifiedName::new("shop", "t"))
        };
        assert_eq!(
            lines(&verdict),
            [
                "  t                                DIFFERENT: the target does not have the table; no row was compared, \
              1 row at the source, 0 at the target"
            ]
        );
        verdict.lack = Some(Lack::Columns);
        verdict.testimony.columns_missing = vec!["a".to_owned(), "b".to_owned()];
        assert!(
            lines(&verdict)[0].contains("DIFFERENT: the target does not have these columns: a, b; "),
            "{:?}",
            lines(&verdict)
        );
        assert!(!verdict.is_equal());
    }

    /// Of tables that differ nothing is confirmed, also where both servers count what was read.
    #[test]
    fn only_equal_tables_are_confirmed() {
        let table = |rows: (u64, u64), missing, asked| TableVerdict {
            rows_source: rows.0,
            rows_target: rows.1,
            missing,
            testimony: Testimony {
                rows_asked: asked,
                ..witnessed(rows.0, rows.1)
            },
            ..TableVerdict::new(&QualifiedName::new("shop", "t"))
        };
        let check = |verdicts: &[TableVerdict], expected: Option<&str>| {
            assert_eq!(confirmed(verdicts).as_deref(), expected);
        };
        let different = || table((6, 5), 1, 5);
        check(&[], None);
        check(&[different()], None);
        check(
            &[table((0, 0), 0, 0)],
            Some("witnesses: in 1 equal table, both servers count the same rows"),
        );
        check(
            &[table((1, 1), 0, 1), different()],
            Some(
                "witnesses: in 1 equal table, both servers count the same rows; \
                 1 row of the target, looked up at the source, has the same values there",
            ),
        );
        check(
            &[table((9, 9), 0, 9), table((3_000, 3_000), 0, 1_000)],
            Some(
                "witnesses: in 2 equal tables, both servers count the same rows; \
                 1,009 rows of the target, looked up at the source, have the same values there",
            ),
        );
        let one = lines(&table((1, 1), 0, 1));
        assert!(
            one[0].ends_with("equal: 1 row at the source, 1 at the target"),
            "{one:?}"
        );
    }

    #[test]
    fn a_difference_names_rows_and_columns() {
        let key = |kind, key: &str, columns: &[&str]| DifferentKey {
            kind,
            key: key.to_owned(),
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        };
        let mut verdict = TableVerdict {
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
            testimony: witnessed(1_500, 1_499),
            ..TableVerdict::new(&QualifiedName::new("shop", "t"))
        };
        assert_eq!(
            lines(&verdict),
            [
                "  t                                DIFFERENT: 1,500 rows at the source, 1,499 at the target; \
                 2 missing, 1 extra, 2,000 different",
                "    missing [\"7\"]",
                "    different [\"8\"] in state, total",
                "    and 2,001 more",
            ]
        );
        verdict.at_least = true;
        assert!(lines(&verdict)[0].ends_with("; at least 2 missing, 1 extra, 2,000 different"));
        let refused = TableVerdict {
            rows_source: 3,
            rows_target: 2,
            refused: 2,
            testimony: witnessed(3, 2),
            refused_rows: vec![NamedRefusal {
                key: "[\"7\"]".to_owned(),
                column: "d".to_owned(),
                reason: "a zero or partial date".to_owned(),
            }],
            ..TableVerdict::new(&QualifiedName::new("shop", "t"))
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
            ..TableVerdict::new(&QualifiedName::new("shop", "t"))
        };
        assert_eq!(
            lines(&equal),
            ["  t                                equal: 0 rows at the source, 0 at the target"]
        );
    }
}
