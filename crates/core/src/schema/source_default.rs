//! The default of a source column: a value, or an expression.

use crate::value::owned::OwnedScalar;

/// The default that a source column declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceDefault {
    /// The catalog's text of it, for people. The text of a value may be less than the value: the
    /// MySQL family shows no character outside the BMP in it, and a FLOAT in six digits.
    pub text: String,
    /// What it gives.
    pub kind: DefaultKind,
}

/// What a default gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultKind {
    /// This value in every row.
    Value(OwnedScalar),
    /// What the expression gives when a row is written; the text is the expression.
    Expression,
    /// A value that the source did not show.
    Hidden,
}

impl SourceDefault {
    /// The default by an expression.
    pub fn expression(text: impl Into<String>) -> SourceDefault {
        SourceDefault {
            text: text.into(),
            kind: DefaultKind::Expression,
        }
    }

    /// The default by a value.
    pub fn value(text: impl Into<String>, value: OwnedScalar) -> SourceDefault {
        SourceDefault {
            text: text.into(),
            kind: DefaultKind::Value(value),
        }
    }
}
