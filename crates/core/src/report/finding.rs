//! Findings: what the operator must know about a schema, its data or the servers.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use crate::report::code::{self, Code};
use crate::report::remedy::{Remedy, RemedyKind, WITH_STATEMENTS};
use crate::schema::source::QualifiedName;

/// Codes of which a warning says that the target lacks something that the source has.
pub const LOSSES: [Code; 4] = [
    code::LEFT_OUT,
    code::CONSTRAINT_LEFT_OUT,
    code::UNIQUE_LEFT_OUT,
    code::DEFAULT_NEEDED,
];

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
/// may each hold a table of the same name. In a sorted list the parts of a table follow their
/// table.
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
    /// The same without what belongs to this object alone. None where the text is so already.
    pub general: Option<Cow<'static, str>>,
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
            general: None,
            remedy: None,
        }
    }

    /// The same finding with its meaning: the text without names, numbers and definitions that
    /// belong to its object alone. Findings of one code and meaning are shown together.
    #[must_use]
    pub fn meaning_of(mut self, general: impl Into<Cow<'static, str>>) -> Finding {
        self.general = Some(general.into());
        self
    }

    /// What it means, whichever object it is about.
    pub fn meaning(&self) -> &str {
        self.general.as_deref().unwrap_or(&self.text)
    }

    /// Whether the target lacks something that the source has.
    pub fn is_loss(&self) -> bool {
        self.severity == Severity::Warning && LOSSES.contains(&self.code)
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
    fn a_finding_means_its_text_or_what_is_general_of_it() {
        let check = |code, severity, is_loss: bool| {
            let finding = Finding::new(code, severity, Subject::whole(), "the check `a > 0` is left out");
            assert_eq!(finding.meaning(), finding.text);
            assert_eq!(finding.is_loss(), is_loss);
            assert_eq!(
                finding.meaning_of("a check is left out").meaning(),
                "a check is left out"
            );
        };
        check(code::LEFT_OUT, Severity::Warning, true);
        check(code::DEFAULT_NEEDED, Severity::Warning, true);
        // Nothing is lost by it: something else at the target does the same.
        check(code::LEFT_OUT, Severity::Notice, false);
        check(code::CONVERTED, Severity::Warning, false);
    }

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
