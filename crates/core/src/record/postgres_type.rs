//! Types of PostgreSQL as they are stored.

use serde::{Deserialize, Serialize};

use crate::schema::postgres::{PostgresCollation, PostgresType, PrintedType};

/// A type of PostgreSQL.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum StoredPostgresType {
    Boolean,
    Integer {
        bits: u8,
    },
    Real,
    Double,
    Numeric {
        precision: u16,
        scale: i16,
    },
    AnyNumeric,
    Char {
        characters: u32,
    },
    Text {
        characters: Option<u32>,
        collation: String,
        deterministic: bool,
    },
    #[serde(rename = "citext")]
    CiText,
    Name,
    Bytea,
    Date,
    Timestamp,
    #[serde(rename = "timestamptz")]
    TimestampTz,
    Printed(StoredPrinted),
    Uuid,
    Json,
    Jsonb,
    Enum {
        labels: Vec<String>,
    },
    Array {
        element: Box<StoredPostgresType>,
    },
    Unknown {
        text: String,
    },
}

/// A type that is carried as text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum StoredPrinted {
    Time,
    #[serde(rename = "timetz")]
    TimeTz,
    Interval,
    Money,
    Inet,
    Cidr,
    #[serde(rename = "macaddr")]
    MacAddress,
    #[serde(rename = "macaddr8")]
    MacAddress8,
    Bit {
        bits: u32,
    },
    #[serde(rename = "varbit")]
    VarBit {
        bits_max: Option<u32>,
    },
    Range,
    Geometric,
    TextSearch,
    Xml,
    Composite,
}

impl From<&PostgresType> for StoredPostgresType {
    fn from(ty: &PostgresType) -> StoredPostgresType {
        match ty {
            PostgresType::Boolean => StoredPostgresType::Boolean,
            PostgresType::Integer { bits } => StoredPostgresType::Integer { bits: *bits },
            PostgresType::Real => StoredPostgresType::Real,
            PostgresType::Double => StoredPostgresType::Double,
            PostgresType::Numeric { precision, scale } => StoredPostgresType::Numeric {
                precision: *precision,
                scale: *scale,
            },
            PostgresType::AnyNumeric => StoredPostgresType::AnyNumeric,
            PostgresType::Char { characters } => StoredPostgresType::Char {
                characters: *characters,
            },
            PostgresType::Text {
                characters,
                collation,
            } => StoredPostgresType::Text {
                characters: *characters,
                collation: collation.name.clone(),
                deterministic: collation.is_deterministic,
            },
            PostgresType::CiText => StoredPostgresType::CiText,
            PostgresType::Name => StoredPostgresType::Name,
            PostgresType::Bytea => StoredPostgresType::Bytea,
            PostgresType::Date => StoredPostgresType::Date,
            PostgresType::Timestamp => StoredPostgresType::Timestamp,
            PostgresType::TimestampTz => StoredPostgresType::TimestampTz,
            PostgresType::Printed(printed) => StoredPostgresType::Printed(store_printed(*printed)),
            PostgresType::Uuid => StoredPostgresType::Uuid,
            PostgresType::Json => StoredPostgresType::Json,
            PostgresType::Jsonb => StoredPostgresType::Jsonb,
            PostgresType::Enum { labels } => StoredPostgresType::Enum {
                labels: labels.clone(),
            },
            PostgresType::Array { element } => StoredPostgresType::Array {
                element: Box::new(element.as_ref().into()),
            },
            PostgresType::Unknown { text } => StoredPostgresType::Unknown { text: text.clone() },
        }
    }
}

impl StoredPostgresType {
    /// The type that is stored so.
    pub(super) fn load(self) -> PostgresType {
        match self {
            StoredPostgresType::Boolean => PostgresType::Boolean,
            StoredPostgresType::Integer { bits } => PostgresType::Integer { bits },
            StoredPostgresType::Real => PostgresType::Real,
            StoredPostgresType::Double => PostgresType::Double,
            StoredPostgresType::Numeric { precision, scale } => PostgresType::Numeric { precision, scale },
            StoredPostgresType::AnyNumeric => PostgresType::AnyNumeric,
            StoredPostgresType::Char { characters } => PostgresType::Char { characters },
            StoredPostgresType::Text {
                characters,
                collation,
                deterministic,
            } => PostgresType::Text {
                characters,
                collation: PostgresCollation {
                    name: collation,
                    is_deterministic: deterministic,
                },
            },
            StoredPostgresType::CiText => PostgresType::CiText,
            StoredPostgresType::Name => PostgresType::Name,
            StoredPostgresType::Bytea => PostgresType::Bytea,
            StoredPostgresType::Date => PostgresType::Date,
            StoredPostgresType::Timestamp => PostgresType::Timestamp,
            StoredPostgresType::TimestampTz => PostgresType::TimestampTz,
            StoredPostgresType::Printed(printed) => PostgresType::Printed(load_printed(&printed)),
            StoredPostgresType::Uuid => PostgresType::Uuid,
            StoredPostgresType::Json => PostgresType::Json,
            StoredPostgresType::Jsonb => PostgresType::Jsonb,
            StoredPostgresType::Enum { labels } => PostgresType::Enum { labels },
            StoredPostgresType::Array { element } => PostgresType::Array {
                element: Box::new(element.load()),
            },
            StoredPostgresType::Unknown { text } => PostgresType::Unknown { text },
        }
    }
}

fn store_printed(ty: PrintedType) -> StoredPrinted {
    match ty {
        PrintedType::Time => StoredPrinted::Time,
        PrintedType::TimeTz => StoredPrinted::TimeTz,
        PrintedType::Interval => StoredPrinted::Interval,
        PrintedType::Money => StoredPrinted::Money,
        PrintedType::Inet => StoredPrinted::Inet,
        PrintedType::Cidr => StoredPrinted::Cidr,
        PrintedType::MacAddress => StoredPrinted::MacAddress,
        PrintedType::MacAddress8 => StoredPrinted::MacAddress8,
        PrintedType::Bit { bits } => StoredPrinted::Bit { bits },
        PrintedType::VarBit { bits_max } => StoredPrinted::VarBit { bits_max },
        PrintedType::Range => StoredPrinted::Range,
        PrintedType::Geometric => StoredPrinted::Geometric,
        PrintedType::TextSearch => StoredPrinted::TextSearch,
        PrintedType::Xml => StoredPrinted::Xml,
        PrintedType::Composite => StoredPrinted::Composite,
    }
}

fn load_printed(stored: &StoredPrinted) -> PrintedType {
    match stored {
        StoredPrinted::Time => PrintedType::Time,
        StoredPrinted::TimeTz => PrintedType::TimeTz,
        StoredPrinted::Interval => PrintedType::Interval,
        StoredPrinted::Money => PrintedType::Money,
        StoredPrinted::Inet => PrintedType::Inet,
        StoredPrinted::Cidr => PrintedType::Cidr,
        StoredPrinted::MacAddress => PrintedType::MacAddress,
        StoredPrinted::MacAddress8 => PrintedType::MacAddress8,
        StoredPrinted::Bit { bits } => PrintedType::Bit { bits: *bits },
        StoredPrinted::VarBit { bits_max } => PrintedType::VarBit { bits_max: *bits_max },
        StoredPrinted::Range => PrintedType::Range,
        StoredPrinted::Geometric => PrintedType::Geometric,
        StoredPrinted::TextSearch => PrintedType::TextSearch,
        StoredPrinted::Xml => PrintedType::Xml,
        StoredPrinted::Composite => PrintedType::Composite,
    }
}
