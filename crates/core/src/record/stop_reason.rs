//! Why a group of tables has stopped, as it is recorded with each of its tables.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::text::{RecordError, VERSION, decode, encode};
use crate::report::code::Code;
use crate::report::finding::{Finding, Subject};
use crate::report::remedy::Remedy;
use crate::schema::source::QualifiedName;

/// What the text is, for errors.
const WHAT: &str = "the reason of a stop";

/// Why a group of tables has stopped. Decisions read the code; the text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReason {
    /// Register entry.
    pub code: Code,
    /// What it is about.
    pub subject: Subject,
    /// What happened, as a sentence fragment.
    pub text: String,
    /// The statement or command that helps.
    pub remedy: Option<Remedy>,
}

impl From<&Finding> for StopReason {
    fn from(finding: &Finding) -> StopReason {
        StopReason {
            code: finding.code,
            subject: finding.subject.clone(),
            text: finding.text.clone(),
            remedy: finding.remedy.clone(),
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.code, self.subject, self.text)
    }
}

/// The stored form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredStopReason {
    version: u32,
    code: String,
    subject: StoredSubject,
    text: String,
    remedy: Option<StoredRemedy>,
}

/// The tables of the source in it are stored as the texts of their qualified names.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum StoredSubject {
    Whole {},
    Table { table: String },
    Part { table: String, part: String },
    TargetTable { table: String },
}

impl From<&Subject> for StoredSubject {
    fn from(subject: &Subject) -> StoredSubject {
        match subject {
            Subject::Whole => StoredSubject::Whole {},
            Subject::Table(table) => StoredSubject::Table {
                table: table.to_string(),
            },
            Subject::Part { table, part } => StoredSubject::Part {
                table: table.to_string(),
                part: part.clone(),
            },
            Subject::TargetTable(table) => StoredSubject::TargetTable { table: table.clone() },
        }
    }
}

impl StoredSubject {
    fn load(self) -> Result<Subject, RecordError> {
        Ok(match self {
            StoredSubject::Whole {} => Subject::Whole,
            StoredSubject::Table { table } => Subject::Table(name(&table)?),
            StoredSubject::Part { table, part } => Subject::Part {
                table: name(&table)?,
                part,
            },
            StoredSubject::TargetTable { table } => Subject::TargetTable(table),
        })
    }
}

fn name(text: &str) -> Result<QualifiedName, RecordError> {
    QualifiedName::parse(text)
        .ok_or_else(|| RecordError::unreadable(WHAT, format!("`{text}` is not the name of a table")))
}

/// The tables in it are stored as the texts of their qualified names.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum StoredRemedy {
    Source {
        statements: Vec<String>,
        note: Option<String>,
    },
    Resync {
        table: String,
    },
    Forget {
        table: String,
    },
    Words {
        text: String,
    },
}

impl From<&Remedy> for StoredRemedy {
    fn from(remedy: &Remedy) -> StoredRemedy {
        match remedy {
            Remedy::Source { statements, note } => StoredRemedy::Source {
                statements: statements.clone(),
                note: note.clone(),
            },
            Remedy::Resync { table } => StoredRemedy::Resync {
                table: table.to_string(),
            },
            Remedy::Forget { table } => StoredRemedy::Forget {
                table: table.to_string(),
            },
            Remedy::Words(text) => StoredRemedy::Words { text: text.clone() },
        }
    }
}

impl StoredRemedy {
    fn load(self) -> Result<Remedy, RecordError> {
        Ok(match self {
            StoredRemedy::Source { statements, note } => Remedy::Source { statements, note },
            StoredRemedy::Resync { table } => Remedy::Resync { table: name(&table)? },
            StoredRemedy::Forget { table } => Remedy::Forget { table: name(&table)? },
            StoredRemedy::Words { text } => Remedy::Words(text),
        })
    }
}

impl StopReason {
    /// The text that is stored.
    pub fn to_record(&self) -> String {
        encode(&StoredStopReason {
            version: VERSION,
            code: self.code.to_string(),
            subject: StoredSubject::from(&self.subject),
            text: self.text.clone(),
            remedy: self.remedy.as_ref().map(StoredRemedy::from),
        })
    }

    /// Reads a stored text.
    pub fn from_record(text: &str) -> Result<StopReason, RecordError> {
        let stored: StoredStopReason = decode(text, WHAT)?;
        let code = Code::parse(&stored.code)
            .ok_or_else(|| RecordError::unreadable(WHAT, format!("`{}` is not a code", stored.code)))?;
        Ok(StopReason {
            code,
            subject: stored.subject.load()?,
            text: stored.text,
            remedy: stored.remedy.map(StoredRemedy::load).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::code;

    const GOLDEN: &str = include_str!("golden/stop-reasons-3.jsonl");

    #[test]
    fn golden_reasons_are_read_and_written_again() {
        let reason = |remedy| StopReason {
            code: code::DDL_SEEN,
            subject: Subject::part(&QualifiedName::new("shop", "orders"), "state"),
            text: "ALTER TABLE at the source (transaction 0-1-7) é\"".to_owned(),
            remedy,
        };
        let source = Remedy::source("ALTER TABLE `orders` ENGINE = InnoDB");
        let table = QualifiedName::new("shop", "order.lines");
        let remedies = [
            Some(Remedy::resync(&table)),
            Some(Remedy::forget(&table)),
            Some(source.clone()),
            Some(source.note("it is rebuilt")),
            Some(Remedy::Words("Wait.".to_owned())),
            None,
        ];
        assert_eq!(GOLDEN.lines().count(), remedies.len());
        for (line, remedy) in GOLDEN.lines().zip(remedies) {
            assert_eq!(reason(remedy.clone()).to_record(), line);
            assert_eq!(StopReason::from_record(line), Ok(reason(remedy)));
        }
    }

    #[test]
    fn what_this_release_does_not_write_is_an_error() {
        let golden = GOLDEN.lines().next().unwrap();
        for (from, to) in [
            ("\"version\":3", "\"version\":2"),
            ("\"version\":3,", ""),
            ("SF-5001", "SF-0000"),
            ("\"part\"", "\"column\""),
            ("shop.orders", "orders"),
            ("shop.order%2Elines", "order lines"),
            ("\"text\"", "\"words\""),
            ("}", ""),
        ] {
            let text = golden.replacen(from, to, 1);
            assert_ne!(text, golden, "{from}");
            StopReason::from_record(&text).unwrap_err();
        }
        StopReason::from_record("SF-5001: orders: ALTER TABLE").unwrap_err();
    }
}
