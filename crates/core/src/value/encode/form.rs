//! The forms that a column of the target, and an element of a list in it, can have.

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
