//! The plan of a column, which picks the conversion of its values.

use super::{Input, Refusal, array, binary, boolean, calendar, decimal, float, integer, json, text, uuid};
use crate::value::scalar::Scalar;
use crate::wire::list_value;

/// How one column is converted; computed once per table and schema version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnPlan {
    /// Where its values come from.
    pub input: Input,
    /// The column of the target that it fills: its place in the target table's columns.
    pub target: usize,
    /// Which form the target takes.
    pub encoding: Encoding,
    /// Whether the target column is NOT NULL.
    pub not_null: bool,
}

/// The form a target column takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// BOOL or boolean. Takes the numbers 0 and 1 too.
    Bool,
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
    /// STRING or varchar; the limit counts characters. Takes TIME as `[-]HH:MM:SS[.ffffff]`: three
    /// digits of hours from 100 on, no fraction or all six digits of it, whatever the column
    /// declares. Takes an interval as PostgreSQL prints it under its default `intervalstyle`, and a
    /// UUID as [`Encoding::Uuid`] does.
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
        /// GoogleSQL JSON holds numbers as 64-bit integers or doubles; PostgreSQL jsonb holds any
        /// numeric.
        arbitrary_numbers: bool,
    },
    /// ARRAY<…> or …[]. One of 4-byte floats takes the bytes of a vector too.
    Array {
        /// The form of each element that is not NULL.
        element: ElementEncoding,
        /// How many elements the target demands, if it does. None of them is NULL then.
        dimensions: Option<u32>,
    },
    /// UUID, or text of 36 characters where the target has no such type: lower case.
    Uuid,
}

/// The form of an array's elements: any but an array's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementEncoding {
    /// As [`Encoding::Bool`].
    Bool,
    /// As [`Encoding::Int64`].
    Int64,
    /// As [`Encoding::Float32`].
    Float32,
    /// As [`Encoding::Float64`].
    Float64,
    /// As [`Encoding::Numeric`].
    Numeric,
    /// As [`Encoding::PgNumeric`].
    PgNumeric,
    /// As [`Encoding::String`].
    String {
        /// Most characters.
        characters_max: u32,
    },
    /// As [`Encoding::Bytes`].
    Bytes {
        /// Most bytes.
        bytes_max: u32,
    },
    /// As [`Encoding::Date`].
    Date,
    /// As [`Encoding::Timestamp`].
    Timestamp,
    /// As [`Encoding::Json`].
    Json {
        /// Whether numbers are any numeric.
        arbitrary_numbers: bool,
    },
    /// As [`Encoding::Uuid`].
    Uuid,
}

impl ElementEncoding {
    /// The form that a column of such values takes.
    pub fn encoding(self) -> Encoding {
        match self {
            ElementEncoding::Bool => Encoding::Bool,
            ElementEncoding::Int64 => Encoding::Int64,
            ElementEncoding::Float32 => Encoding::Float32,
            ElementEncoding::Float64 => Encoding::Float64,
            ElementEncoding::Numeric => Encoding::Numeric,
            ElementEncoding::PgNumeric => Encoding::PgNumeric,
            ElementEncoding::String { characters_max } => Encoding::String { characters_max },
            ElementEncoding::Bytes { bytes_max } => Encoding::Bytes { bytes_max },
            ElementEncoding::Date => Encoding::Date,
            ElementEncoding::Timestamp => Encoding::Timestamp,
            ElementEncoding::Json { arbitrary_numbers } => Encoding::Json { arbitrary_numbers },
            ElementEncoding::Uuid => Encoding::Uuid,
        }
    }
}

impl Encoding {
    /// The form of an array's elements that are of this form; none for an array.
    pub fn element(self) -> Option<ElementEncoding> {
        Some(match self {
            Encoding::Bool => ElementEncoding::Bool,
            Encoding::Int64 => ElementEncoding::Int64,
            Encoding::Float32 => ElementEncoding::Float32,
            Encoding::Float64 => ElementEncoding::Float64,
            Encoding::Numeric => ElementEncoding::Numeric,
            Encoding::PgNumeric => ElementEncoding::PgNumeric,
            Encoding::String { characters_max } => ElementEncoding::String { characters_max },
            Encoding::Bytes { bytes_max } => ElementEncoding::Bytes { bytes_max },
            Encoding::Date => ElementEncoding::Date,
            Encoding::Timestamp => ElementEncoding::Timestamp,
            Encoding::Json { arbitrary_numbers } => ElementEncoding::Json { arbitrary_numbers },
            Encoding::Uuid => ElementEncoding::Uuid,
            Encoding::Array { .. } => return None,
        })
    }

    /// The form of a vector of 4-byte floats, which may have a fixed number of elements.
    pub const fn vector(dimensions: Option<u32>) -> Encoding {
        Encoding::Array {
            element: ElementEncoding::Float32,
            dimensions,
        }
    }
}

impl ColumnPlan {
    /// The plan of a column that comes from the source.
    pub fn of_source(source: usize, target: usize, encoding: Encoding, not_null: bool) -> ColumnPlan {
        ColumnPlan {
            input: Input::Source(source),
            target,
            encoding,
            not_null,
        }
    }

    /// The source column that it comes from, if it comes from one.
    pub fn source(&self) -> Option<usize> {
        match self.input {
            Input::Source(column) => Some(column),
            Input::Constant(_) | Input::Function(_) => None,
        }
    }

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

/// Appends a value that is not NULL. On a refusal `out` holds a part of it.
pub(super) fn encode_value(encoding: Encoding, scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    match encoding {
        Encoding::Bool => boolean::boolean(scalar, out),
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
        Encoding::Array { element, dimensions } => array::array(scalar, element, dimensions, out),
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
            let plan = ColumnPlan::of_source(0, 0, Encoding::Json { arbitrary_numbers: false }, false);
            if plan.encode(Scalar::Json(&text), &mut out).is_err() {
                prop_assert_eq!(out, start);
            }
        }
    }
}
