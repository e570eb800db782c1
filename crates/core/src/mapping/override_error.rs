//! Why what a person has decided cannot be applied, and the finding about it.

use crate::report::code;
use crate::report::finding::{Finding, Severity, Subject};
use crate::schema::source::QualifiedName;

/// Why an override cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverrideError {
    /// There is no such table.
    NoTable(QualifiedName),
    /// The table has no such column.
    NoColumn(QualifiedName, String),
    /// The table has no such index.
    NoIndex(QualifiedName, String),
    /// The table has no such foreign key.
    NoForeignKey(QualifiedName, String),
    /// The target does not take the name, or something else there has it.
    Name(QualifiedName, String),
    /// Two choices about this part of the table exclude each other.
    Contradiction(QualifiedName, String),
    /// A name is asked for this index or foreign key, which the rules leave out.
    NotCreated(QualifiedName, String),
    /// The values of the column do not fit into the type.
    Type(QualifiedName, String),
    /// Two rows of the source could have the same key, or the key holds what no row brings.
    Key(QualifiedName),
}

impl OverrideError {
    /// The finding that a person reads: about which object, why, and what to do.
    pub fn finding(&self) -> Finding {
        let whole = |name: &QualifiedName| Subject::table(name);
        let part = |name: &QualifiedName, part: &str| Subject::part(name, part);
        let (subject, text, remedy) = match self {
            OverrideError::NoTable(name) => (
                whole(name),
                format!("no table `{name}` is selected at the source"),
                "Correct the name of the table, or select it.",
            ),
            OverrideError::NoColumn(name, column) => (
                part(name, column),
                "the table has no such column".to_owned(),
                "Correct the name of the column. A part of a key is named as at the target.",
            ),
            OverrideError::NoIndex(name, index) => (
                part(name, index),
                "the table has no such index".to_owned(),
                "Correct the name of the index.",
            ),
            OverrideError::NoForeignKey(name, key) => (
                part(name, key),
                "the table has no such foreign key".to_owned(),
                "Correct the name of the foreign key.",
            ),
            OverrideError::Contradiction(name, object) => (
                part(name, object),
                "two choices about it exclude each other".to_owned(),
                "Keep one entry for it. What is left out has no name and no type.",
            ),
            OverrideError::NotCreated(name, object) => (
                part(name, object),
                "a name is chosen for it, but it is not created at the target".to_owned(),
                "Remove the name. Another finding says why it is not created.",
            ),
            OverrideError::Name(name, asked) => (
                part(name, asked),
                format!("the target cannot have the name `{asked}` here"),
                "Choose another name: letters, digits and `_`, a letter first, and none that is taken.",
            ),
            OverrideError::Type(name, column) => (
                part(name, column),
                "the values of the column do not fit into the type".to_owned(),
                "Choose a type that holds every value of the column exactly, or remove the choice.",
            ),
            OverrideError::Key(name) => (
                whole(name),
                "the key does not distinguish every row from every other, or holds what no row brings"
                    .to_owned(),
                "Choose a key that holds all columns of a key of the source.",
            ),
        };
        Finding::new(code::OVERRIDE_REFUSED, Severity::Blocking, subject, text).remedy(remedy)
    }
}
