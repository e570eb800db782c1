//! Findings about decided tables and columns: printed from the decisions, nothing is decided here.

use std::borrow::Cow;

use crate::mapping::check::Trouble;
use crate::mapping::column::folding;
use crate::mapping::decision::{ChosenBy, ColumnDecision, Decisions, KeyReason, NameDecision, TableDecision};
use crate::mapping::default_findings::report_default;
use crate::mapping::session_expression::{Dependence, dependences};
use crate::report::code::{self, Code};
use crate::report::finding::{Finding, Severity, Subject};
use crate::report::remedy::Remedy;
use crate::schema::legal_name::CONTROL_PREFIX;
use crate::schema::logical::LogicalType;
use crate::schema::mysql::MysqlColumn;
use crate::schema::source::{SourceColumn, SourceTable};

/// What is worth knowing about all tables together.
pub(super) fn report_schema(decisions: &Decisions, findings: &mut Vec<Finding>) {
    let is_local = |column: &SourceColumn| column.ty.logical() == LogicalType::LocalDateTime;
    let mut columns = decisions.tables.iter().flat_map(|table| &table.source.columns);
    if columns.any(is_local) {
        let text = "DATETIME values have no time zone at the source; they are read as UTC";
        findings.push(Finding::new(
            code::CONVERTED,
            Severity::Notice,
            Subject::whole(),
            text,
        ));
    }
}

/// Prints what was decided about a table, and what is wrong with it.
pub(super) fn report_table(table: &TableDecision, troubles: &[Trouble], findings: &mut Vec<Finding>) {
    let mut of_table = TableFindings { table, findings };
    of_table.key();
    if table.key.reason == KeyReason::Missing {
        return;
    }
    if table.name.name != table.source.name.table {
        of_table.find(
            code::CONVERTED,
            Severity::Warning,
            None,
            named(&table.name),
            NAMED,
        );
    }
    for trouble in troubles {
        of_table.trouble(trouble, None);
    }
    of_table.left_out();
    for (at, column) in table.columns.iter().enumerate() {
        of_table.column(at, column, troubles);
    }
    for source in &table.excluded {
        let column = &table.source.columns[*source].name;
        let text = "the column is left out, as a person has chosen";
        of_table.find(code::LEFT_OUT, Severity::Warning, Some(column), text, text);
    }
}

/// What [`named`] means, whichever the name is.
pub(super) const NAMED: &str = "it has another name at the target";

/// Which name an object has at the target, and whether a person has chosen it.
pub(super) fn named(name: &NameDecision) -> String {
    let who = match name.reason.chosen_by() {
        ChosenBy::Rule => "",
        ChosenBy::Person => ", as a person has chosen",
    };
    format!("it is named `{}` at the target{who}", name.name)
}

/// Prints findings about one table.
struct TableFindings<'a> {
    table: &'a TableDecision,
    findings: &'a mut Vec<Finding>,
}

impl TableFindings<'_> {
    /// `meaning` is the text without what belongs to its object alone.
    fn find(
        &mut self,
        code: Code,
        severity: Severity,
        part: Option<&str>,
        text: impl Into<String>,
        meaning: impl Into<Cow<'static, str>>,
    ) {
        let table = &self.table.source.name;
        let subject = part.map_or_else(|| Subject::table(table), |part| Subject::part(table, part));
        self.findings
            .push(Finding::new(code, severity, subject, text).meaning_of(meaning));
    }

    /// A column for which the whole table must be left out.
    fn refuse(&mut self, code: Code, column: &str, text: String) {
        let table = &self.table.source.name;
        let finding = Finding::new(code, Severity::Blocking, Subject::part(table, column), text);
        self.findings.push(finding.remedy(Remedy::exclude(table)));
    }

    fn key(&mut self) {
        match &self.table.key.reason {
            KeyReason::Primary | KeyReason::Asked => {}
            KeyReason::UniqueIndex(name) => {
                let text = format!("there is no primary key; the unique index `{name}` serves as one");
                let meaning = "there is no primary key; a unique index serves as one";
                self.find(code::CONVERTED, Severity::Warning, None, text, meaning);
            }
            KeyReason::Missing => {
                let text = "there is no primary key and no unique index over NOT NULL columns: give it one, or leave it out with `--exclude`";
                let subject = Subject::table(&self.table.source.name);
                let finding = Finding::new(code::SOURCE_TABLE_UNSUPPORTED, Severity::Blocking, subject, text);
                self.findings.push(finding.remedy(add_key(&self.table.source)));
            }
        }
    }

    /// Prints a trouble if it is about this column, or about the table as a whole.
    fn trouble(&mut self, trouble: &Trouble, of: Option<usize>) {
        match trouble {
            Trouble::NoKey => {}
            Trouble::Reserved if of.is_none() => {
                let text =
                    format!("names that begin with `{CONTROL_PREFIX}` are taken by the control tables");
                let code = code::SOURCE_TABLE_UNSUPPORTED;
                self.find(code, Severity::Blocking, None, text.clone(), text);
            }
            Trouble::Columns { columns, most } if of.is_none() => {
                let text = format!("{columns} columns, Spanner takes {most}");
                let meaning = format!("more columns than the {most} that Spanner takes");
                self.find(code::TARGET_LIMIT, Severity::Blocking, None, text, meaning);
            }
            Trouble::KeyParts { parts, most } if of.is_none() => {
                let text = format!("a key of {parts} columns, Spanner takes {most}");
                let meaning = format!("a key of more columns than the {most} that Spanner takes");
                self.find(code::TARGET_LIMIT, Severity::Blocking, None, text, meaning);
            }
            Trouble::KeyBytes { bytes, most } if of.is_none() => {
                let text = format!(
                    "its key may take up to {bytes} bytes; the target rejects rows with more than {most}"
                );
                let meaning =
                    format!("its key may be too long; the target rejects rows with more than {most} bytes");
                self.find(code::TARGET_LIMIT, Severity::Warning, None, text, meaning);
            }
            Trouble::Type { column, why } if of == Some(*column) => {
                let name = self.title(*column);
                self.refuse(code::TYPE_REFUSED, &name, why.words());
            }
            Trouble::KeyType { column, why } if of == Some(*column) => {
                let name = self.title(*column);
                self.refuse(code::KEY_NOT_INJECTIVE, &name, why.words().to_owned());
            }
            Trouble::Reserved
            | Trouble::Columns { .. }
            | Trouble::KeyParts { .. }
            | Trouble::KeyBytes { .. }
            | Trouble::Type { .. }
            | Trouble::KeyType { .. } => {}
        }
    }

    /// The name of a decided column for people.
    fn title(&self, at: usize) -> String {
        let column = &self.table.columns[at];
        match column.source() {
            Some(source) => self.table.source.columns[source].name.clone(),
            None => column.name.name.clone(),
        }
    }

    fn column(&mut self, at: usize, column: &ColumnDecision, troubles: &[Trouble]) {
        let Some(source) = column.source().map(|source| &self.table.source.columns[source]) else {
            return;
        };
        if column.name.name != source.name {
            let text = named(&column.name);
            self.find(
                code::CONVERTED,
                Severity::Warning,
                Some(&source.name),
                text,
                NAMED,
            );
        }
        for trouble in troubles {
            self.trouble(trouble, Some(at));
        }
        if self.table.key.target.contains(&at)
            && let Some(folding) = folding(&source.ty.logical())
        {
            let text = format!(
                "the {} decides at the source which keys are equal; the target compares their bytes",
                folding.words()
            );
            let meaning =
                "a collation decides at the source which keys are equal; the target compares their bytes";
            self.find(
                code::CONVERTED,
                Severity::Notice,
                Some(&source.name),
                text,
                meaning,
            );
        }
        if let Some(remark) = column.remark {
            let (severity, text) = remark.words();
            self.find(code::CONVERTED, severity, Some(&source.name), text, text);
        }
        self.dropped(source, column);
    }

    /// What of a column's definition is not at the target.
    fn dropped(&mut self, column: &SourceColumn, decided: &ColumnDecision) {
        let name = Some(column.name.as_str());
        if let Some(expression) = &column.generated {
            let text = format!(
                "it is generated as `{expression}`; at the target it is a plain column with its values"
            );
            let meaning = "it is generated at the source; at the target it is a plain column with its values";
            self.find(code::CONVERTED, Severity::Warning, name, text, meaning);
            self.dependences(column);
        }
        self.findings
            .extend(report_default(&self.table.source.name, column, decided));
        if matches!(column.facts.mysql(), Some(MysqlColumn { on_update: true, .. })) {
            let text = "ON UPDATE CURRENT_TIMESTAMP is not created at the target";
            self.find(code::LEFT_OUT, Severity::Warning, name, text, text);
        }
    }

    /// A VIRTUAL column has no value of its own where it depends on more than its row.
    fn dependences(&mut self, column: &SourceColumn) {
        for dependence in dependences(&self.table.source, column) {
            match dependence {
                Dependence::Setting(setting) => {
                    let text = format!(
                        "its values depend on `{setting}` of the session that reads or writes them: they are migrated as our sessions read them, and later changes as their own session computes them"
                    );
                    let name = Some(column.name.as_str());
                    self.find(code::VALUE_UNSTABLE, Severity::Warning, name, text.clone(), text);
                }
                Dependence::Moment => {
                    let text = "its values change by themselves: two reads of one row may differ".to_owned();
                    self.refuse(code::VALUE_UNSTABLE, &column.name, text);
                }
            }
        }
    }

    fn left_out(&mut self) {
        for (name, text) in &self.table.source.checks {
            let text = format!("the check `{text}` is not created at the target");
            let meaning = "a check is not created at the target";
            self.find(code::LEFT_OUT, Severity::Warning, Some(name), text, meaning);
        }
        for (name, timing) in &self.table.source.triggers {
            let text = format!(
                "the trigger ({timing}) is not created at the target; the changes that it makes at the source are migrated"
            );
            let meaning = "a trigger is not created at the target; the changes that it makes at the source are migrated";
            self.find(code::LEFT_OUT, Severity::Warning, Some(name), text, meaning);
        }
    }
}

/// The statement that gives a table a key: over the column that counts by itself, else over a new
/// one, which the application's `SELECT *` and `INSERT … VALUES` do not meet.
fn add_key(table: &SourceTable) -> Remedy {
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    let table_name = format!("{}.{}", quoted(&table.name.schema), quoted(&table.name.table));
    let statement = match table.columns.iter().find(|column| column.facts.is_numbered()) {
        Some(column) => format!(
            "ALTER TABLE {table_name} ADD PRIMARY KEY ({})",
            quoted(&column.name)
        ),
        None => format!(
            "ALTER TABLE {table_name} ADD COLUMN `spanferry_id` BIGINT UNSIGNED NOT NULL INVISIBLE AUTO_INCREMENT PRIMARY KEY"
        ),
    };
    Remedy::source(statement).note("this rebuilds the table, which takes long for a large one")
}
