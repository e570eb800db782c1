//! Types of columns and forms of values as they are stored.

use serde::{Deserialize, Serialize};

use super::text::RecordError;
use crate::schema::charset::Charset;
use crate::schema::source::SourceType;
use crate::schema::target::TargetType;
use crate::value::encode::Encoding;

/// A type of the source.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum StoredSourceType {
    Integer {
        bits: u8,
        unsigned: bool,
    },
    Decimal {
        precision: u8,
        scale: u8,
    },
    Float,
    Double,
    Bit {
        bits: u8,
    },
    Varchar {
        characters: u32,
        charset: String,
        collation: String,
    },
    Text {
        charset: String,
        collation: String,
    },
    Binary {
        bytes: u32,
    },
    Varbinary {
        bytes: u32,
    },
    Blob {
        bytes_max: u32,
    },
    Enum {
        labels: Vec<String>,
        charset: String,
    },
    Set {
        labels: Vec<String>,
        charset: String,
    },
    Json,
    JsonText {
        charset: String,
    },
    Date,
    DateTime {
        fraction: u8,
    },
    Timestamp {
        fraction: u8,
    },
    Time {
        fraction: u8,
    },
    Year,
    Geometry,
    Vector {
        dimensions: u32,
    },
    Uuid,
    Inet4,
    Inet6,
    Unknown {
        text: String,
    },
}

impl From<&SourceType> for StoredSourceType {
    fn from(ty: &SourceType) -> StoredSourceType {
        let name = |charset: &Charset| charset.name().to_owned();
        match ty {
            SourceType::Integer { bits, unsigned } => StoredSourceType::Integer {
                bits: *bits,
                unsigned: *unsigned,
            },
            SourceType::Decimal { precision, scale } => StoredSourceType::Decimal {
                precision: *precision,
                scale: *scale,
            },
            SourceType::Float => StoredSourceType::Float,
            SourceType::Double => StoredSourceType::Double,
            SourceType::Bit { bits } => StoredSourceType::Bit { bits: *bits },
            SourceType::Varchar {
                characters,
                charset,
                collation,
            } => StoredSourceType::Varchar {
                characters: *characters,
                charset: name(charset),
                collation: collation.clone(),
            },
            SourceType::Text { charset, collation } => StoredSourceType::Text {
                charset: name(charset),
                collation: collation.clone(),
            },
            SourceType::Binary { bytes } => StoredSourceType::Binary { bytes: *bytes },
            SourceType::Varbinary { bytes } => StoredSourceType::Varbinary { bytes: *bytes },
            SourceType::Blob { bytes_max } => StoredSourceType::Blob {
                bytes_max: *bytes_max,
            },
            SourceType::Enum { labels, charset } => StoredSourceType::Enum {
                labels: labels.clone(),
                charset: name(charset),
            },
            SourceType::Set { labels, charset } => StoredSourceType::Set {
                labels: labels.clone(),
                charset: name(charset),
            },
            SourceType::Json => StoredSourceType::Json,
            SourceType::JsonText { charset } => StoredSourceType::JsonText {
                charset: name(charset),
            },
            SourceType::Date => StoredSourceType::Date,
            SourceType::DateTime { fraction } => StoredSourceType::DateTime { fraction: *fraction },
            SourceType::Timestamp { fraction } => StoredSourceType::Timestamp { fraction: *fraction },
            SourceType::Time { fraction } => StoredSourceType::Time { fraction: *fraction },
            SourceType::Year => StoredSourceType::Year,
            SourceType::Geometry => StoredSourceType::Geometry,
            SourceType::Vector { dimensions } => StoredSourceType::Vector {
                dimensions: *dimensions,
            },
            SourceType::Uuid => StoredSourceType::Uuid,
            SourceType::Inet4 => StoredSourceType::Inet4,
            SourceType::Inet6 => StoredSourceType::Inet6,
            SourceType::Unknown { text } => StoredSourceType::Unknown { text: text.clone() },
        }
    }
}

impl StoredSourceType {
    /// The type that is stored so; a character set that is not known is an error.
    pub(super) fn load(self, what: &'static str) -> Result<SourceType, RecordError> {
        let known = |name: String| {
            Charset::from_name(&name)
                .ok_or_else(|| RecordError::unreadable(what, format!("`{name}` is no character set")))
        };
        Ok(match self {
            StoredSourceType::Integer { bits, unsigned } => SourceType::Integer { bits, unsigned },
            StoredSourceType::Decimal { precision, scale } => SourceType::Decimal { precision, scale },
            StoredSourceType::Float => SourceType::Float,
            StoredSourceType::Double => SourceType::Double,
            StoredSourceType::Bit { bits } => SourceType::Bit { bits },
            StoredSourceType::Varchar {
                characters,
                charset,
                collation,
            } => SourceType::Varchar {
                characters,
                charset: known(charset)?,
                collation,
            },
            StoredSourceType::Text { charset, collation } => SourceType::Text {
                charset: known(charset)?,
                collation,
            },
            StoredSourceType::Binary { bytes } => SourceType::Binary { bytes },
            StoredSourceType::Varbinary { bytes } => SourceType::Varbinary { bytes },
            StoredSourceType::Blob { bytes_max } => SourceType::Blob { bytes_max },
            StoredSourceType::Enum { labels, charset } => SourceType::Enum {
                labels,
                charset: known(charset)?,
            },
            StoredSourceType::Set { labels, charset } => SourceType::Set {
                labels,
                charset: known(charset)?,
            },
            StoredSourceType::Json => SourceType::Json,
            StoredSourceType::JsonText { charset } => SourceType::JsonText {
                charset: known(charset)?,
            },
            StoredSourceType::Date => SourceType::Date,
            StoredSourceType::DateTime { fraction } => SourceType::DateTime { fraction },
            StoredSourceType::Timestamp { fraction } => SourceType::Timestamp { fraction },
            StoredSourceType::Time { fraction } => SourceType::Time { fraction },
            StoredSourceType::Year => SourceType::Year,
            StoredSourceType::Geometry => SourceType::Geometry,
            StoredSourceType::Vector { dimensions } => SourceType::Vector { dimensions },
            StoredSourceType::Uuid => SourceType::Uuid,
            StoredSourceType::Inet4 => SourceType::Inet4,
            StoredSourceType::Inet6 => SourceType::Inet6,
            StoredSourceType::Unknown { text } => SourceType::Unknown { text },
        })
    }
}

/// A type of the target.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum StoredTargetType {
    Int64,
    Float32,
    Float64,
    Numeric,
    String { characters_max: Option<u32> },
    Bytes { bytes_max: Option<u32> },
    Date,
    Timestamp,
    Json,
    Float32Array { dimensions: Option<u32> },
    Uuid,
}

impl From<TargetType> for StoredTargetType {
    fn from(ty: TargetType) -> StoredTargetType {
        match ty {
            TargetType::Int64 => StoredTargetType::Int64,
            TargetType::Float32 => StoredTargetType::Float32,
            TargetType::Float64 => StoredTargetType::Float64,
            TargetType::Numeric => StoredTargetType::Numeric,
            TargetType::String(characters_max) => StoredTargetType::String { characters_max },
            TargetType::Bytes(bytes_max) => StoredTargetType::Bytes { bytes_max },
            TargetType::Date => StoredTargetType::Date,
            TargetType::Timestamp => StoredTargetType::Timestamp,
            TargetType::Json => StoredTargetType::Json,
            TargetType::Float32Array(dimensions) => StoredTargetType::Float32Array { dimensions },
            TargetType::Uuid => StoredTargetType::Uuid,
        }
    }
}

impl StoredTargetType {
    /// The type that is stored so.
    pub(super) fn load(self) -> TargetType {
        match self {
            StoredTargetType::Int64 => TargetType::Int64,
            StoredTargetType::Float32 => TargetType::Float32,
            StoredTargetType::Float64 => TargetType::Float64,
            StoredTargetType::Numeric => TargetType::Numeric,
            StoredTargetType::String { characters_max } => TargetType::String(characters_max),
            StoredTargetType::Bytes { bytes_max } => TargetType::Bytes(bytes_max),
            StoredTargetType::Date => TargetType::Date,
            StoredTargetType::Timestamp => TargetType::Timestamp,
            StoredTargetType::Json => TargetType::Json,
            StoredTargetType::Float32Array { dimensions } => TargetType::Float32Array(dimensions),
            StoredTargetType::Uuid => TargetType::Uuid,
        }
    }
}

/// The form that the values of a column take at the target.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum StoredEncoding {
    Int64,
    Float32,
    Float64,
    Numeric,
    PgNumeric,
    String { characters_max: u32 },
    Bytes { bytes_max: u32 },
    Date,
    Timestamp,
    Json { arbitrary_numbers: bool },
    Float32Array { dimensions: Option<u32> },
    Uuid,
}

impl From<Encoding> for StoredEncoding {
    fn from(encoding: Encoding) -> StoredEncoding {
        match encoding {
            Encoding::Int64 => StoredEncoding::Int64,
            Encoding::Float32 => StoredEncoding::Float32,
            Encoding::Float64 => StoredEncoding::Float64,
            Encoding::Numeric => StoredEncoding::Numeric,
            Encoding::PgNumeric => StoredEncoding::PgNumeric,
            Encoding::String { characters_max } => StoredEncoding::String { characters_max },
            Encoding::Bytes { bytes_max } => StoredEncoding::Bytes { bytes_max },
            Encoding::Date => StoredEncoding::Date,
            Encoding::Timestamp => StoredEncoding::Timestamp,
            Encoding::Json { arbitrary_numbers } => StoredEncoding::Json { arbitrary_numbers },
            Encoding::Float32Array { dimensions } => StoredEncoding::Float32Array { dimensions },
            Encoding::Uuid => StoredEncoding::Uuid,
        }
    }
}

impl StoredEncoding {
    /// The form that is stored so.
    pub(super) fn load(self) -> Encoding {
        match self {
            StoredEncoding::Int64 => Encoding::Int64,
            StoredEncoding::Float32 => Encoding::Float32,
            StoredEncoding::Float64 => Encoding::Float64,
            StoredEncoding::Numeric => Encoding::Numeric,
            StoredEncoding::PgNumeric => Encoding::PgNumeric,
            StoredEncoding::String { characters_max } => Encoding::String { characters_max },
            StoredEncoding::Bytes { bytes_max } => Encoding::Bytes { bytes_max },
            StoredEncoding::Date => Encoding::Date,
            StoredEncoding::Timestamp => Encoding::Timestamp,
            StoredEncoding::Json { arbitrary_numbers } => Encoding::Json { arbitrary_numbers },
            StoredEncoding::Float32Array { dimensions } => Encoding::Float32Array { dimensions },
            StoredEncoding::Uuid => Encoding::Uuid,
        }
    }
}
