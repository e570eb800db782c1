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
    /// The time at which a row is written.
    Now {
        /// How many digits its seconds have behind the point; what follows is cut off.
        fraction: u8,
        /// What clock it is read from.
        clock: Clock,
    },
    /// The day on which a row is written.
    Today {
        /// What clock it is read from.
        clock: Clock,
    },
    /// A new UUID.
    Uuid(UuidForm),
    /// What another expression gives when a row is written; the text is the expression.
    Expression,
    /// A value that the source did not show.
    Hidden,
}

/// What clock the source reads a time from. For a moment (a TIMESTAMP) it makes no difference, for
/// a date and time without a zone it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// UTC, or a session that has the zone UTC unless it chooses another one.
    Utc,
    /// The session's, whose zone is another one, or is not known.
    Local,
}

/// How a UUID is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UuidForm {
    /// 36 characters, in lower case.
    Text,
    /// 32 characters: without the dashes.
    Digits,
    /// 16 bytes.
    Bytes,
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
