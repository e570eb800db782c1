//! Why a value is refused.

use std::fmt;

/// Why a value has no exact form at the target. Holds no row value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// NULL in a NOT NULL column.
    Null,
    /// An integer beyond a signed 64-bit one.
    IntegerRange,
    /// More digits than the target's numeric holds.
    NumericRange,
    /// NaN, which this numeric does not hold.
    NotANumber,
    /// A number that stands for no boolean.
    BooleanRange,
    /// Longer than the column allows.
    TooLong {
        /// The limit, in characters or bytes.
        limit: u64,
    },
    /// 0000-00-00 or a date with a zero part.
    ZeroDate,
    /// A year, month or day outside the target's calendar.
    DateRange,
    /// Bytes that are no text in the column's charset.
    Undecodable {
        /// The charset.
        charset: &'static str,
        /// Offset of the first such byte.
        offset: usize,
    },
    /// JSON that the target would change in more than key order and spelling.
    Json {
        /// What it would change.
        reason: &'static str,
    },
    /// A form that this type cannot have; the source sent something unexpected.
    Form {
        /// What was expected.
        expected: &'static str,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Null => f.write_str("NULL in a NOT NULL column"),
            Refusal::IntegerRange => f.write_str("an integer above 9223372036854775807"),
            Refusal::NumericRange => f.write_str("a decimal with more digits than the target holds"),
            Refusal::NotANumber => f.write_str("a decimal that is `NaN`, which the target does not hold"),
            Refusal::BooleanRange => f.write_str("a number that is neither 0 nor 1, expected a boolean"),
            Refusal::TooLong { limit } => write!(f, "a value longer than {limit}"),
            Refusal::ZeroDate => f.write_str("a zero or partial date"),
            Refusal::DateRange => {
                f.write_str("a date that the calendar of 0001-01-01 to 9999-12-31 does not have")
            }
            Refusal::Undecodable { charset, offset } => {
                write!(f, "bytes that are no {charset} text, at offset {offset}")
            }
            Refusal::Json { reason } => write!(f, "JSON that the target would change: {reason}"),
            Refusal::Form { expected } => write!(f, "a value that is no {expected}"),
        }
    }
}

/// The refusal of a form that the type cannot have.
pub(super) fn form<T>(expected: &'static str) -> Result<T, Refusal> {
    Err(Refusal::Form { expected })
}
