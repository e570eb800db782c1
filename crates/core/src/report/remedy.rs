//! The remedy of a finding: statements and commands that can be run as they are printed, or words.

use std::fmt;

use crate::report::code::{self, Code};
use crate::report::shell::quoted;
use crate::schema::source::QualifiedName;

/// Codes whose findings may carry statements for the source. Each is pasted into real servers as it
/// is printed (`mysql/tests/remedies.rs`), so a new one needs its case there.
pub const WITH_STATEMENTS: [Code; 9] = [
    code::SOURCE_PRIVILEGE,
    code::SOURCE_SETTING,
    code::SOURCE_SCHEMA,
    code::SOURCE_TABLE_UNSUPPORTED,
    code::SOURCE_RETENTION,
    code::SOURCE_NOTICE,
    code::SOURCE_PARTLY_VISIBLE,
    code::SOURCE_SESSIONS,
    code::SOURCE_SESSIONS_TAKEN,
];

/// The remedy of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Statements to be run at the source, in this order.
    Source {
        /// Each without its final semicolon.
        statements: Vec<String>,
        /// What the one who runs them must know, as a sentence fragment.
        note: Option<String>,
    },
    /// `spanferry resync TABLE`, which needs `migrate` to be stopped.
    Resync {
        /// A table of the group.
        table: QualifiedName,
    },
    /// `spanferry resync TABLE --forget`, which needs `migrate` to be stopped.
    Forget {
        /// The table.
        table: QualifiedName,
    },
    /// Something else that a person does, in sentences.
    Words(String),
}

/// What kind of text a remedy is, for the code that shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemedyKind {
    /// SQL for the source.
    Statements,
    /// A shell command, to be run when `migrate` has stopped.
    Command,
    /// Words.
    Words,
}

impl RemedyKind {
    /// The word for it in JSON.
    pub fn word(self) -> &'static str {
        match self {
            RemedyKind::Statements => "statements",
            RemedyKind::Command => "command",
            RemedyKind::Words => "words",
        }
    }
}

impl Remedy {
    /// One statement for the source.
    pub fn source(statement: impl Into<String>) -> Remedy {
        Remedy::Source {
            statements: vec![statement.into()],
            note: None,
        }
    }

    /// The command that empties the group of a table for a new load.
    pub fn resync(table: &QualifiedName) -> Remedy {
        Remedy::Resync { table: table.clone() }
    }

    /// The command that drops a table at the target and takes it out of the migration.
    pub fn forget(table: &QualifiedName) -> Remedy {
        Remedy::Forget { table: table.clone() }
    }

    /// Leaves a table out of the migration.
    pub fn exclude(table: &QualifiedName) -> Remedy {
        let name = quoted(&table.table);
        Remedy::Words(format!("Leave the table out: add `--exclude {name}`."))
    }

    /// The same remedy with something that the one who runs it must know. Words are as they are.
    #[must_use]
    pub fn note(self, text: impl Into<String>) -> Remedy {
        match self {
            Remedy::Source { statements, .. } => Remedy::Source {
                statements,
                note: Some(text.into()),
            },
            Remedy::Resync { .. } | Remedy::Forget { .. } | Remedy::Words(_) => self,
        }
    }

    /// The kind of its text.
    pub fn kind(&self) -> RemedyKind {
        match self {
            Remedy::Source { .. } => RemedyKind::Statements,
            Remedy::Resync { .. } | Remedy::Forget { .. } => RemedyKind::Command,
            Remedy::Words(_) => RemedyKind::Words,
        }
    }

    /// The text as it can be pasted: statements one a line, each with its semicolon, a note as
    /// their comment; a command with `options` behind its verb.
    pub fn printed(&self, options: &str) -> String {
        match self {
            Remedy::Source { statements, note } => {
                let lines = statements.iter().map(|statement| format!("{statement};"));
                let note = note.iter().map(|note| format!("-- {note}"));
                lines.chain(note).collect::<Vec<_>>().join("\n")
            }
            Remedy::Resync { table } => resync(options, table),
            Remedy::Forget { table } => resync(&format!("{options} --forget"), table),
            Remedy::Words(text) => text.clone(),
        }
    }
}

/// A migration has the tables of one schema, so the name alone is enough.
fn resync(options: &str, table: &QualifiedName) -> String {
    let table = table.table.as_str();
    // A name that begins with a hyphen would be an option.
    let end_of_options = if table.starts_with('-') { " --" } else { "" };
    format!("spanferry resync{options}{end_of_options} {}", quoted(table))
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.printed(""))
    }
}

impl From<String> for Remedy {
    fn from(words: String) -> Remedy {
        Remedy::Words(words)
    }
}

impl From<&str> for Remedy {
    fn from(words: &str) -> Remedy {
        Remedy::Words(words.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_can_be_pasted() {
        let resync = |table: &str| Remedy::resync(&QualifiedName::new("shop", table));
        assert_eq!(resync("orders").to_string(), "spanferry resync orders");
        let options = " --state-dir '/data/my state'";
        let expected = "spanferry resync --state-dir '/data/my state' 'a b'";
        assert_eq!(resync("a b").printed(options), expected);
        assert_eq!(resync("-x").to_string(), "spanferry resync -- '-x'");
        let two = Remedy::Source {
            statements: vec![
                "ALTER TABLE t DROP KEY k".to_owned(),
                "ALTER TABLE t ADD KEY k (v)".to_owned(),
            ],
            note: None,
        };
        let expected = "ALTER TABLE t DROP KEY k;\nALTER TABLE t ADD KEY k (v);\n-- it rebuilds the table";
        assert_eq!(two.note("it rebuilds the table").to_string(), expected);
        assert_eq!(
            Remedy::source("SET GLOBAL x = 1").to_string(),
            "SET GLOBAL x = 1;"
        );
    }
}
