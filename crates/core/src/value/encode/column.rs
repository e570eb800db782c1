//! The plan of a column, which picks the conversion of its values.

use super::{Refusal, binary, calendar, decimal, float, integer, json, text, uuid};
use crate::value::scalar::Scalar;
use crate::wire::list_value;

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
    /// STRING or varchar; the limit counts characters. Takes TIME as `[-]HH:MM:SS[.ffffff]`: three digits of hours from 100
    /// on, no fraction or all six digits of it, whatever the column declares.
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
    Float32Array {
        /// How many elements the target demands, if it does.
        dimensions: Option<u32>,
    },
    /// UUID, or text of 36 characters where the target has no such type: lower case.
    Uuid,
}

impl ColumnPlan {
    /// Appends the value as one element of a `ListValue`. On a refusal `out` is as before.
    pub fn encode(&self, scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        if matches!(scalar, Scalar::Null) {
            if self.not_null {
                return Err(Refusal::Null);
            }
            list_value::put_null(out);
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
    match encoding {
        Encoding::Int64 => integer::int64(scalar, out),
        Encoding::Float32 => float::float32(scalar, out),
        Encoding::Float64 => float::float64(scalar, out),
        Encoding::Numeric => decimal::numeric(scalar, decimal::NUMERIC_DIGITS, out),
        Encoding::PgNumeric => decimal::numeric(scalar, decimal::PG_NUMERIC_DIGITS, out),
        Encoding::String { characters_max } => text::string(scalar, characters_max, out),
        Encoding::Bytes { bytes_max } => binary::bytes(scalar, bytes_max, out),
        Encoding::Date => calendar::date(scalar, out),
        Encoding::Timestamp => calendar::timestamp(scalar, out),
        Encoding::Json { arbitrary_numbers } => json::json(scalar, json::flavor(arbitrary_numbers), out),
        Encoding::Float32Array { dimensions } => float::float32_array(scalar, dimensions, out),
        Encoding::Uuid => uuid::uuid(scalar, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_refusal_leaves_no_trace(text in ".{0,8}", start in prop::collection::vec(any::<u8>(), 0..9)) {
            let mut out = start.clone();
            let plan = ColumnPlan { source_index: 0, encoding: Encoding::Json { arbitrary_numbers: false }, not_null: false };
            if plan.encode(Scalar::Json(&text), &mut out).is_err() {
                prop_assert_eq!(out, start);
            }
        }
    }
}
