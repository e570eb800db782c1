//! Types of columns and forms of values as they are stored.

use serde::{Deserialize, Serialize};

use super::postgres_type::StoredPostgresType;
use super::text::RecordError;
use crate::schema::charset::Charset;
use crate::schema::mysql::MysqlType;
use crate::schema::source::SourceType;
use crate::schema::target::TargetType;
use crate::value::encode::Encoding;

/// A type of the source, by its family.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StoredSourceType {
    Mysql(StoredMysqlType),
    Postgres(StoredPostgresType),
}

impl From<&SourceType> for StoredSourceType {
    fn from(ty: &SourceType) -> StoredSourceType {
        match ty {
            SourceType::Mysql(ty) => StoredSourceType::Mysql(ty.into()),
            SourceType::Postgres(ty) => StoredSourceType::Postgres(ty.into()),
        }
    }
}

impl StoredSourceType {
    /// The type that is stored so; a character set that is not known is an error.
    pub(super) fn load(self, what: &'static str) -> Result<SourceType, RecordError> {
        Ok(match self {
            StoredSourceType::Mysql(ty) => ty.load(what)?.into(),
            StoredSourceType::Postgres(ty) => ty.load().into(),
        })
    }
}

/// A type of a MySQL-family server.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum StoredMysqlType {
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

impl From<&MysqlType> for StoredMysqlType {
    fn from(ty: &MysqlType) -> StoredMysqlType {
        let name = |charset: &Charset| charset.name().to_owned();
        match ty {
            MysqlType::Integer { bits, unsigned } => StoredMysqlType::Integer {
                bits: *bits,
                unsigned: *unsigned,
            },
            MysqlType::Decimal { precision, scale } => StoredMysqlType::Decimal {
                precision: *precision,
                scale: *scale,
            },
            MysqlType::Float => StoredMysqlType::Float,
            MysqlType::Double => StoredMysqlType::Double,
            MysqlType::Bit { bits } => StoredMysqlType::Bit { bits: *bits },
            MysqlType::Varchar {
                characters,
                charset,
                collation,
            } => StoredMysqlType::Varchar {
                characters: *characters,
                charset: name(charset),
                collation: collation.clone(),
            },
            MysqlType::Text { charset, collation } => StoredMysqlType::Text {
                charset: name(charset),
                collation: collation.clone(),
            },
            MysqlType::Binary { bytes } => StoredMysqlType::Binary { bytes: *bytes },
            MysqlType::Varbinary { bytes } => StoredMysqlType::Varbinary { bytes: *bytes },
            MysqlType::Blob { bytes_max } => StoredMysqlType::Blob {
                bytes_max: *bytes_max,
            },
            MysqlType::Enum { labels, charset } => StoredMysqlType::Enum {
                labels: labels.clone(),
                charset: name(charset),
            },
            MysqlType::Set { labels, charset } => StoredMysqlType::Set {
                labels: labels.clone(),
                charset: name(charset),
            },
            MysqlType::Json => StoredMysqlType::Json,
            MysqlType::JsonText { charset } => StoredMysqlType::JsonText {
                charset: name(charset),
            },
            MysqlType::Date => StoredMysqlType::Date,
            MysqlType::DateTime { fraction } => StoredMysqlType::DateTime { fraction: *fraction },
            MysqlType::Timestamp { fraction } => StoredMysqlType::Timestamp { fraction: *fraction },
            MysqlType::Time { fraction } => StoredMysqlType::Time { fraction: *fraction },
            MysqlType::Year => StoredMysqlType::Year,
            MysqlType::Geometry => StoredMysqlType::Geometry,
            MysqlType::Vector { dimensions } => StoredMysqlType::Vector {
                dimensions: *dimensions,
            },
            MysqlType::Uuid => StoredMysqlType::Uuid,
            MysqlType::Inet4 => StoredMysqlType::Inet4,
            MysqlType::Inet6 => StoredMysqlType::Inet6,
            MysqlType::Unknown { text } => StoredMysqlType::Unknown { text: text.clone() },
        }
    }
}

impl StoredMysqlType {
    /// The type that is stored so; a character set that is not known is an error.
    fn load(self, what: &'static str) -> Result<MysqlType, RecordError> {
        let known = |name: String| {
            Charset::from_name(&name)
                .ok_or_else(|| RecordError::unreadable(what, format!("`{name}` is no character set")))
        };
        Ok(match self {
            StoredMysqlType::Integer { bits, unsigned } => MysqlType::Integer { bits, unsigned },
            StoredMysqlType::Decimal { precision, scale } => MysqlType::Decimal { precision, scale },
            StoredMysqlType::Float => MysqlType::Float,
            StoredMysqlType::Double => MysqlType::Double,
            StoredMysqlType::Bit { bits } => MysqlType::Bit { bits },
            StoredMysqlType::Varchar {
                characters,
                charset,
                collation,
            } => MysqlType::Varchar {
                characters,
                charset: known(charset)?,
                collation,
            },
            StoredMysqlType::Text { charset, collation } => MysqlType::Text {
                charset: known(charset)?,
                collation,
            },
            StoredMysqlType::Binary { bytes } => MysqlType::Binary { bytes },
            StoredMysqlType::Varbinary { bytes } => MysqlType::Varbinary { bytes },
            StoredMysqlType::Blob { bytes_max } => MysqlType::Blob { bytes_max },
            StoredMysqlType::Enum { labels, charset } => MysqlType::Enum {
                labels,
                charset: known(charset)?,
            },
            StoredMysqlType::Set { labels, charset } => MysqlType::Set {
                labels,
                charset: known(charset)?,
            },
            StoredMysqlType::Json => MysqlType::Json,
            StoredMysqlType::JsonText { charset } => MysqlType::JsonText {
                charset: known(charset)?,
            },
            StoredMysqlType::Date => MysqlType::Date,
            StoredMysqlType::DateTime { fraction } => MysqlType::DateTime { fraction },
            StoredMysqlType::Timestamp { fraction } => MysqlType::Timestamp { fraction },
            StoredMysqlType::Time { fraction } => MysqlType::Time { fraction },
            StoredMysqlType::Year => MysqlType::Year,
            StoredMysqlType::Geometry => MysqlType::Geometry,
            StoredMysqlType::Vector { dimensions } => MysqlType::Vector { dimensions },
            StoredMysqlType::Uuid => MysqlType::Uuid,
            StoredMysqlType::Inet4 => MysqlType::Inet4,
            StoredMysqlType::Inet6 => MysqlType::Inet6,
            StoredMysqlType::Unknown { text } => MysqlType::Unknown { text },
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
