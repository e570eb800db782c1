//! Findings: what the operator must know about a schema, its data or the servers.

use std::cmp::Ordering;
use std::fmt;

use crate::report::code::Code;
use crate::report::remedy::{Remedy, RemedyKind, WITH_STATEMENTS};
use crate::schema::source::QualifiedName;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; the migration continues.
    Notice,
    /// Something is left out or carried in another form; the migration continues, and the final
    /// report repeats it.
    Warning,
    /// The migration does not start unless it is fixed or, where the text says so, accepted by
    /// name.
    Blocking,
}

impl Severity {
    /// Its word, for people and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Notice => "notice",
            Severity::Warning => "warning",
            Severity::Blocking => "blocking",
        }
    }
}

/// The object of a finding. A table of the source is known by its schema and its name: two schemas
/// may each hold a table of the same name. In a sorted list the parts of a table follow their table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Subject {
    /// The server or migration as a whole.
    #[default]
    Whole,
    /// A table of the source.
    Table(QualifiedName),
    /// A column, index, constraint or trigger of a table of the source.
    Part {
        /// The table.
        table: QualifiedName,
        /// The part.
        part: String,
    },
    /// A table of the target, which need not belong to any table of the source.
    TargetTable(String),
}

impl Subject {
    /// The server or migration as a whole.
    pub fn whole() -> Subject {
        Subject::Whole
    }

    /// A table of the source.
    pub fn table(table: &QualifiedName) -> Subject {
        Subject::Table(table.clone())
    }

    /// A column or other part of a table of the source.
    pub fn part(table: &QualifiedName, part: impl Into<String>) -> Subject {
        Subject::Part {
            table: table.clone(),
            part: part.into(),
        }
    }

    /// The table of the source that it concerns. What decides about a table compares this.
    pub fn source_table(&self) -> Option<&QualifiedName> {
        match self {
            Subject::Table(table) | Subject::Part { table, .. } => Some(table),
            Subject::Whole | Subject::TargetTable(_) => None,
        }
    }

    /// The name of its table without a schema, for people and programs that read a report.
    pub fn table_name(&self) -> Option<&str> {
        match self {
            Subject::Table(table) | Subject::Part { table, .. } => Some(&table.table),
            Subject::TargetTable(table) => Some(table),
            Subject::Whole => None,
        }
    }

    /// The part of the table that it concerns.
    pub fn part_name(&self) -> Option<&str> {
        match self {
            Subject::Part { part, .. } => Some(part),
            Subject::Whole | Subject::Table(_) | Subject::TargetTable(_) => None,
        }
    }
}

impl Ord for Subject {
    fn cmp(&self, other: &Subject) -> Ordering {
        fn place(subject: &Subject) -> (u8, Option<&QualifiedName>, Option<&str>) {
            match subject {
                Subject::Whole => (0, None, None),
                Subject::Table(table) => (1, Some(table), None),
                Subject::Part { table, part } => (1, Some(table), Some(part)),
                Subject::TargetTable(name) => (2, None, Some(name)),
            }
        }
        place(self).cmp(&place(other))
    }
}

impl PartialOrd for Subject {
    fn partial_cmp(&self, other: &Subject) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Whole => Ok(()),
            Subject::Table(table) => f.write_str(&table.table),
            Subject::Part { table, part } => write!(f, "{}.{part}", table.table),
            Subject::TargetTable(table) => f.write_str(table),
        }
    }
}

/// One thing the operator must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Register entry.
    pub code: Code,
    /// Weight.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// What was found, as a sentence fragment.
    pub text: String,
    /// Its remedy.
    pub remedy: Option<Remedy>,
}

impl Finding {
    /// A finding without a remedy.
    pub fn new(code: Code, severity: Severity, subject: Subject, text: impl Into<String>) -> Finding {
        Finding {
            code,
            severity,
            subject,
            text: text.into(),
            remedy: None,
        }
    }

    /// The same finding with its remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<Remedy>) -> Finding {
        let remedy = remedy.into();
        debug_assert!(
            remedy.kind() != RemedyKind::Statements || WITH_STATEMENTS.contains(&self.code),
            "{} has statements that no test runs",
            self.code
        );
        self.remedy = Some(remedy);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_table_follow_their_table() {
        let shop = |table: &str| QualifiedName::new("shop", table);
        let sorted = [
            Subject::Whole,
            Subject::table(&shop("child")),
            Subject::part(&shop("child"), "fk"),
            Subject::part(&shop("child"), "id"),
            Subject::table(&shop("plain")),
            Subject::table(&QualifiedName::new("store", "child")),
            Subject::TargetTable("child".to_owned()),
        ];
        for (left, left_subject) in sorted.iter().enumerate() {
            for (right, right_subject) in sorted.iter().enumerate() {
                assert_eq!(left_subject.cmp(right_subject), left.cmp(&right));
            }
        }
    }
}
