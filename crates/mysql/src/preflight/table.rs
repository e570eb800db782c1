//! Tables whose engine or history keeps them from being read exactly. The mapping reports keys,
//! types and what is left out.

use spanferry_core::report::code;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::report::remedy::Remedy;
use spanferry_core::schema::source::{IndexPart, SourceColumn, SourceTable};

use super::Check;
use crate::sql;

/// What a column in an old format means, whichever it is.
const OLD_TEMPORAL: &str = "a column of it has the date and time format of before MySQL 5.6: the binary log does not show how long its values are";

/// Engines whose rows are in the table itself, so that it can take another engine.
const OWN_ROWS: [&str; 5] = ["MyISAM", "Aria", "MEMORY", "CSV", "ARCHIVE"];

impl Check<'_> {
    pub(super) fn tables(&mut self) {
        let selected = self
            .catalog
            .tables
            .iter()
            .filter(|table| self.request.tables.contains(&table.name));
        let found: Vec<Finding> = selected.flat_map(examine).collect();
        self.findings.extend(found);
    }
}

fn examine(table: &SourceTable) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut refuse = |text: String, meaning: Option<&'static str>, remedy: Remedy| {
        let subject = Subject::table(&table.name);
        let mut finding = Finding::new(code::SOURCE_TABLE_UNSUPPORTED, Severity::Blocking, subject, text);
        if let Some(meaning) = meaning {
            finding = finding.meaning_of(meaning);
        }
        found.push(finding.remedy(remedy));
    };
    let Some(facts) = table.facts.mysql() else {
        refuse(
            "it is a table of another kind of server".to_owned(),
            None,
            Remedy::exclude(&table.name),
        );
        return found;
    };
    let engine = &facts.engine;
    if !engine.eq_ignore_ascii_case("InnoDB") {
        let text =
            format!("its engine is {engine}, which has no transactions: a snapshot of it is not consistent");
        refuse(text, None, to_innodb(table, engine));
    }
    let is_old = |column: &&SourceColumn| column.facts.mysql().is_some_and(|facts| facts.is_old_temporal);
    if let Some(column) = table.columns.iter().find(is_old) {
        refuse(
            format!(
                "its column `{}` has the date and time format of before MySQL 5.6: the binary log does not show how long its values are",
                column.name
            ),
            Some(OLD_TEMPORAL),
            to_new_temporal(table),
        );
    }
    if facts.system_versioned {
        refuse(
            "it has system versioning, whose hidden columns and history rows are not carried".to_owned(),
            None,
            Remedy::exclude(&table.name),
        );
    }
    found
}

/// Rebuilds a table with dates and times in the present format.
fn to_new_temporal(table: &SourceTable) -> Remedy {
    let rebuild = format!(
        "ALTER TABLE {}.{} FORCE",
        sql::identifier(&table.name.schema),
        sql::identifier(&table.name.table)
    );
    let remedy = Remedy::Source {
        statements: vec!["SET GLOBAL mysql56_temporal_format = ON".to_owned(), rebuild],
        note: None,
    };
    remedy.note("this rebuilds the table, which takes long for a large one")
}

/// Gives a table the engine InnoDB. A row format of its old engine, and a counting column that no
/// index begins with, are options that InnoDB does not take.
fn to_innodb(table: &SourceTable, engine: &str) -> Remedy {
    if !OWN_ROWS.iter().any(|known| known.eq_ignore_ascii_case(engine)) {
        return Remedy::exclude(&table.name);
    }
    let mut statement = format!(
        "ALTER TABLE {}.{} ENGINE = InnoDB, ROW_FORMAT = DEFAULT",
        sql::identifier(&table.name.schema),
        sql::identifier(&table.name.table)
    );
    let counting = table.columns.iter().position(|column| column.facts.is_numbered());
    if let Some(column) = counting.filter(|column| !begins_an_index(table, *column)) {
        let name = sql::identifier(&table.columns[column].name);
        statement.push_str(&format!(", ADD KEY ({name})"));
    }
    Remedy::source(statement).note("this rebuilds the table, which takes long for a large one")
}

/// Whether a column is the first of the primary key or of an index.
fn begins_an_index(table: &SourceTable, column: usize) -> bool {
    let first = |parts: &[IndexPart]| match parts.first() {
        Some(IndexPart::Column { column: first, .. }) => *first == column,
        Some(IndexPart::Expression { .. }) | None => false,
    };
    table.primary_key.first() == Some(&column) || table.indexes.iter().any(|index| first(&index.parts))
}
