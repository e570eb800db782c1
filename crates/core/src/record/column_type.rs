//! Types of columns and forms of values as they are stored.

use serde::{Deserialize, Serialize};

use super::postgres_type::StoredPostgresType;
use super::text::RecordError;
use crate::schema::charset::Charset;
use crate::schema::mysql::MysqlType;
use crate::schema::source::SourceType;
use crate::schema::target::{ElementType, TargetType};
use crate::value::encode::{ElementEncoding, Encoding};

/// What is wrong with an array of arrays.
const NESTED: &str = "an array of arrays";

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
    Bool,
    Int64,
    Float32,
    Float64,
    Numeric,
    String {
        characters_max: Option<u32>,
    },
    Bytes {
        bytes_max: Option<u32>,
    },
    Date,
    Timestamp,
    Json,
    /// An array of 4-byte floats.
    Float32Array {
        dimensions: Option<u32>,
    },
    /// Any other array.
    Array {
        element: Box<StoredTargetType>,
        dimensions: Option<u32>,
    },
    Uuid,
}

impl From<TargetType> for StoredTargetType {
    fn from(ty: TargetType) -> StoredTargetType {
        match ty {
            TargetType::Bool => StoredTargetType::Bool,
            TargetType::Int64 => StoredTargetType::Int64,
            TargetType::Float32 => StoredTargetType::Float32,
            TargetType::Float64 => StoredTargetType::Float64,
            TargetType::Numeric => StoredTargetType::Numeric,
            TargetType::String(characters_max) => StoredTargetType::String { characters_max },
            TargetType::Bytes(bytes_max) => StoredTargetType::Bytes { bytes_max },
            TargetType::Date => StoredTargetType::Date,
            TargetType::Timestamp => StoredTargetType::Timestamp,
            TargetType::Json => StoredTargetType::Json,
            TargetType::Array {
                element: ElementType::Float32,
                dimensions,
            } => StoredTargetType::Float32Array { dimensions },
            TargetType::Array { element, dimensions } => StoredTargetType::Array {
                element: Box::new(element.ty().into()),
                dimensions,
            },
            TargetType::Uuid => StoredTargetType::Uuid,
        }
    }
}

impl StoredTargetType {
    /// The type that is stored so; an array of arrays is an error.
    pub(super) fn load(self, what: &'static str) -> Result<TargetType, RecordError> {
        Ok(match self {
            StoredTargetType::Bool => TargetType::Bool,
            StoredTargetType::Int64 => TargetType::Int64,
            StoredTargetType::Float32 => TargetType::Float32,
            StoredTargetType::Float64 => TargetType::Float64,
            StoredTargetType::Numeric => TargetType::Numeric,
            StoredTargetType::String { characters_max } => TargetType::String(characters_max),
            StoredTargetType::Bytes { bytes_max } => TargetType::Bytes(bytes_max),
            StoredTargetType::Date => TargetType::Date,
            StoredTargetType::Timestamp => TargetType::Timestamp,
            StoredTargetType::Json => TargetType::Json,
            StoredTargetType::Float32Array { dimensions } => TargetType::vector(dimensions),
            StoredTargetType::Array { element, dimensions } => {
                let element = element.load(what)?.element();
                let element = element.ok_or_else(|| RecordError::unreadable(what, NESTED))?;
                TargetType::Array { element, dimensions }
            }
            StoredTargetType::Uuid => TargetType::Uuid,
        })
    }
}

/// The form that the values of a column take at the target.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum StoredEncoding {
    Bool,
    Int64,
    Float32,
    Float64,
    Numeric,
    PgNumeric,
    String {
        characters_max: u32,
    },
    Bytes {
        bytes_max: u32,
    },
    Date,
    Timestamp,
    Json {
        arbitrary_numbers: bool,
    },
    /// An array of 4-byte floats.
    Float32Array {
        dimensions: Option<u32>,
    },
    /// Any other array.
    Array {
        element: Box<StoredEncoding>,
        dimensions: Option<u32>,
    },
    Uuid,
}

impl From<Encoding> for StoredEncoding {
    fn from(encoding: Encoding) -> StoredEncoding {
        match encoding {
            Encoding::Bool => StoredEncoding::Bool,
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
            Encoding::Array {
                element: ElementEncoding::Float32,
                dimensions,
            } => StoredEncoding::Float32Array { dimensions },
            Encoding::Array { element, dimensions } => StoredEncoding::Array {
                element: Box::new(element.encoding().into()),
                dimensions,
            },
            Encoding::Uuid => StoredEncoding::Uuid,
        }
    }
}

impl StoredEncoding {
    /// The form that is stored so; an array of arrays is an error.
    pub(super) fn load(self, what: &'static str) -> Result<Encoding, RecordError> {
        Ok(match self {
            StoredEncoding::Bool => Encoding::Bool,
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
            StoredEncoding::Float32Array { dimensions } => Encoding::vector(dimensions),
            StoredEncoding::Array { element, dimensions } => {
                let element = element.load(what)?.element();
                let element = element.ok_or_else(|| RecordError::unreadable(what, NESTED))?;
                Encoding::Array { element, dimensions }
            }
            StoredEncoding::Uuid => Encoding::Uuid,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(element: ElementType, dimensions: Option<u32>) -> TargetType {
        TargetType::Array { element, dimensions }
    }

    /// Golden texts; those of the other types stand in `golden/`.
    #[test]
    fn types_and_forms_beyond_mysql_have_one_text() {
        let check_type = |ty: TargetType, text: &str| {
            let stored = serde_json::to_string(&StoredTargetType::from(ty)).unwrap();
            assert_eq!(stored, text);
            let read: StoredTargetType = serde_json::from_str(text).unwrap();
            assert_eq!(read.load("a type").unwrap(), ty);
        };
        check_type(TargetType::Bool, r#""bool""#);
        check_type(
            array(ElementType::Float32, None),
            r#"{"float32_array":{"dimensions":null}}"#,
        );
        check_type(
            array(ElementType::Float64, Some(3)),
            r#"{"array":{"element":"float64","dimensions":3}}"#,
        );
        check_type(
            array(ElementType::String(Some(7)), None),
            r#"{"array":{"element":{"string":{"characters_max":7}},"dimensions":null}}"#,
        );
        let check_form = |encoding: Encoding, text: &str| {
            let stored = serde_json::to_string(&StoredEncoding::from(encoding)).unwrap();
            assert_eq!(stored, text);
            let read: StoredEncoding = serde_json::from_str(text).unwrap();
            assert_eq!(read.load("a form").unwrap(), encoding);
        };
        check_form(Encoding::Bool, r#""bool""#);
        let element = ElementEncoding::Json {
            arbitrary_numbers: true,
        };
        let dimensions = None;
        check_form(
            Encoding::Array { element, dimensions },
            r#"{"array":{"element":{"json":{"arbitrary_numbers":true}},"dimensions":null}}"#,
        );
    }

    #[test]
    fn an_array_of_arrays_is_an_error() {
        for inner in [
            r#"{"float32_array":{"dimensions":null}}"#,
            r#"{"array":{"element":"bool","dimensions":null}}"#,
        ] {
            let text = format!(r#"{{"array":{{"element":{inner},"dimensions":null}}}}"#);
            let ty: StoredTargetType = serde_json::from_str(&text).unwrap();
            ty.load("a type").unwrap_err();
            let encoding: StoredEncoding = serde_json::from_str(&text).unwrap();
            encoding.load("a form").unwrap_err();
        }
    }
}
