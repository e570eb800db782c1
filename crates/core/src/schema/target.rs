//! The target's schema as we create and check it, for both Spanner dialects.

use std::fmt;

/// Spanner's SQL dialect of a database, fixed at its creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// GoogleSQL.
    GoogleSql,
    /// PostgreSQL.
    PostgreSql,
}

impl Dialect {
    /// The dialect that `Display` writes so.
    pub fn parse(text: &str) -> Option<Dialect> {
        [Dialect::GoogleSql, Dialect::PostgreSql]
            .into_iter()
            .find(|dialect| dialect.to_string() == text)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dialect::GoogleSql => "googlesql",
            Dialect::PostgreSql => "postgresql",
        })
    }
}

/// A column type of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetType {
    /// BOOL, boolean.
    Bool,
    /// INT64, bigint.
    Int64,
    /// FLOAT32, real.
    Float32,
    /// FLOAT64, double precision.
    Float64,
    /// NUMERIC, numeric.
    Numeric,
    /// STRING(n) or STRING(MAX); varchar(n) or text.
    String(Option<u32>),
    /// BYTES(n) or BYTES(MAX); bytea (whose limit is not declared).
    Bytes(Option<u32>),
    /// DATE.
    Date,
    /// TIMESTAMP, timestamptz.
    Timestamp,
    /// JSON, jsonb.
    Json,
    /// ARRAY<…>, …[].
    Array {
        /// The type of each element.
        element: ElementType,
        /// How many elements each value must have: `vector_length`, which only arrays of floats can
        /// have.
        dimensions: Option<u32>,
    },
    /// UUID.
    Uuid,
}

/// The type of an array's elements: any but an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    /// As [`TargetType::Bool`].
    Bool,
    /// As [`TargetType::Int64`].
    Int64,
    /// As [`TargetType::Float32`].
    Float32,
    /// As [`TargetType::Float64`].
    Float64,
    /// As [`TargetType::Numeric`].
    Numeric,
    /// As [`TargetType::String`].
    String(Option<u32>),
    /// As [`TargetType::Bytes`].
    Bytes(Option<u32>),
    /// As [`TargetType::Date`].
    Date,
    /// As [`TargetType::Timestamp`].
    Timestamp,
    /// As [`TargetType::Json`].
    Json,
    /// As [`TargetType::Uuid`].
    Uuid,
}

impl ElementType {
    /// The type of a column of such values.
    pub fn ty(self) -> TargetType {
        match self {
            ElementType::Bool => TargetType::Bool,
            ElementType::Int64 => TargetType::Int64,
            ElementType::Float32 => TargetType::Float32,
            ElementType::Float64 => TargetType::Float64,
            ElementType::Numeric => TargetType::Numeric,
            ElementType::String(characters_max) => TargetType::String(characters_max),
            ElementType::Bytes(bytes_max) => TargetType::Bytes(bytes_max),
            ElementType::Date => TargetType::Date,
            ElementType::Timestamp => TargetType::Timestamp,
            ElementType::Json => TargetType::Json,
            ElementType::Uuid => TargetType::Uuid,
        }
    }
}

impl TargetType {
    /// The type of an array's elements that are of this type; none for an array.
    pub fn element(self) -> Option<ElementType> {
        Some(match self {
            TargetType::Bool => ElementType::Bool,
            TargetType::Int64 => ElementType::Int64,
            TargetType::Float32 => ElementType::Float32,
            TargetType::Float64 => ElementType::Float64,
            TargetType::Numeric => ElementType::Numeric,
            TargetType::String(characters_max) => ElementType::String(characters_max),
            TargetType::Bytes(bytes_max) => ElementType::Bytes(bytes_max),
            TargetType::Date => ElementType::Date,
            TargetType::Timestamp => ElementType::Timestamp,
            TargetType::Json => ElementType::Json,
            TargetType::Uuid => ElementType::Uuid,
            TargetType::Array { .. } => return None,
        })
    }

    /// An array of 4-byte floats, which may have a fixed number of elements.
    pub const fn vector(dimensions: Option<u32>) -> TargetType {
        TargetType::Array {
            element: ElementType::Float32,
            dimensions,
        }
    }
}

/// One column of a target table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetColumn {
    /// Name.
    pub name: String,
    /// Type.
    pub ty: TargetType,
    /// NOT NULL.
    pub not_null: bool,
    /// How the target fills it where nothing is written to it.
    pub by_target: Option<ByTarget>,
}

/// How the target fills a column by itself; an expression is in the target's own dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ByTarget {
    /// By its default.
    Default(String),
    /// By a new number above 0 that it gives no other row and that is in no order (bit-reversed
    /// positive). A value that is written is kept.
    Identity {
        /// Numbers up to this one are not given: the rows of the source may have them.
        skipped_to: i64,
    },
    /// It is generated from other columns, and stored. Nothing can be written to it.
    Generated(String),
}

/// One table of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetTable {
    /// Name.
    pub name: String,
    /// Columns in order.
    pub columns: Vec<TargetColumn>,
    /// Primary key, as indexes into `columns`, in key order.
    pub primary_key: Vec<usize>,
    /// Secondary indexes, created after the data.
    pub indexes: Vec<TargetIndex>,
    /// Foreign keys, created after the data, NO ACTION.
    pub foreign_keys: Vec<TargetForeignKey>,
}

/// One secondary index of the target; names are unique within the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetIndex {
    /// Name.
    pub name: String,
    /// UNIQUE.
    pub unique: bool,
    /// NULL_FILTERED, or `WHERE … IS NOT NULL` in the PostgreSQL dialect.
    pub null_filtered: bool,
    /// Column index and whether descending.
    pub columns: Vec<(usize, bool)>,
    /// Name of the source index that it was made from; empty for one that was found at the target.
    pub origin: String,
}

/// One foreign key of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetForeignKey {
    /// Name, unique within the database.
    pub name: String,
    /// Child columns, as indexes into the table's columns.
    pub columns: Vec<usize>,
    /// Referenced table.
    pub parent: String,
    /// Referenced columns' names.
    pub parent_columns: Vec<String>,
    /// Name of the source foreign key that it was made from; empty for one that was found at the
    /// target.
    pub origin: String,
}
