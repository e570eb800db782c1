//! The one conversion of values: a source scalar into Spanner's wire form, exactly, or a refusal.

use std::fmt;

use crate::scalar::Scalar;
use crate::wire;

/// How one column is converted; computed once per table and schema version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnPlan {
    /// Index into the source table's columns.
    pub source_index: usize,
    /// Which form the target takes.
    pub encoding: Encoding,
    /// Whether the target column is NOT NULL.
    pub not_null: bool,
}

/// The form a target column takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// INT64 or bigint.
    Int64,
    /// FLOAT32 or real.
    Float32,
    /// FLOAT64 or double precision.
    Float64,
    /// GoogleSQL NUMERIC: 29 digits before and 9 behind the point.
    Numeric,
    /// PostgreSQL numeric: 131,072 digits before and 16,383 behind the point.
    PgNumeric,
    /// STRING or varchar; the limit counts characters.
    String {
        /// Most characters.
        characters_max: u32,
    },
    /// BYTES or bytea; the limit counts bytes.
    Bytes {
        /// Most bytes.
        bytes_max: u32,
    },
    /// DATE.
    Date,
    /// TIMESTAMP or timestamptz, read as UTC.
    Timestamp,
    /// JSON or jsonb.
    Json {
        /// GoogleSQL JSON holds numbers as 64-bit integers or doubles; PostgreSQL jsonb holds any numeric.
        arbitrary_numbers: bool,
    },
    /// ARRAY<FLOAT32> or real[].
    Float32Array,
}

/// Why a value has no exact form at the target. Holds no row value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// NULL in a NOT NULL column.
    Null,
    /// An integer beyond a signed 64-bit one.
    IntegerRange,
    /// More digits than the target's numeric holds.
    NumericRange,
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
            Refusal::TooLong { limit } => write!(f, "a value longer than {limit}"),
            Refusal::ZeroDate => f.write_str("a zero or partial date"),
            Refusal::DateRange => f.write_str("a date outside 0001-01-01 to 9999-12-31"),
            Refusal::Undecodable { charset, offset } => write!(f, "bytes that are no {charset} text, at offset {offset}"),
            Refusal::Json { reason } => write!(f, "JSON that the target would change: {reason}"),
            Refusal::Form { expected } => write!(f, "a value that is no {expected}"),
        }
    }
}

impl ColumnPlan {
    /// Appends the value as one element of a `ListValue`. On a refusal `out` is as before.
    pub fn encode(&self, scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        if scalar == Scalar::Null {
            if self.not_null {
                return Err(Refusal::Null);
            }
            wire::put_null(out);
            return Ok(());
        }
        let start = out.len();
        let result = encode_value(self.encoding, scalar, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }
}

fn encode_value(encoding: Encoding, scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let _ = (encoding, scalar, out);
    Err(Refusal::Form { expected: "value" })
}
