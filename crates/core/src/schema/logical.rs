//! What the values of a column are, in terms that no family owns: the mapping decides on these.

use super::mysql::MysqlType;
use super::postgres::{PostgresCollation, PostgresType, PrintedType};
use crate::schema::charset::Charset;

/// What the values of a column are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogicalType {
    /// True or false.
    Boolean,
    /// A whole number.
    Integer {
        /// 8 to 64.
        bits: u8,
        /// Without a sign.
        unsigned: bool,
    },
    /// A decimal of so many digits, exact.
    Decimal {
        /// Digits in all.
        precision: u16,
        /// Digits behind the point.
        scale: u16,
    },
    /// A decimal of any number of digits, exact; NaN is a value.
    AnyDecimal,
    /// A 4-byte float.
    Float32,
    /// An 8-byte float.
    Float64,
    /// Text.
    Text(LogicalText),
    /// Bytes.
    Bytes {
        /// Most bytes of a value; none if only the source's own limit holds.
        bytes_max: Option<u32>,
        /// What they stand for.
        form: BytesForm,
    },
    /// A day.
    Date,
    /// A day and a time of day without a zone.
    LocalDateTime,
    /// A moment.
    Timestamp,
    /// JSON.
    Json,
    /// A vector of 4-byte floats.
    Vector {
        /// Number of elements.
        dimensions: u32,
    },
    /// A UUID.
    Uuid,
    /// A list of values of one type.
    Array(Box<LogicalType>),
    /// A type that is not known, with the text the server gives.
    Unknown {
        /// The server's text.
        text: String,
    },
}

/// What text a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalText {
    /// Most characters of a value; none if only the source's own limit holds.
    pub characters_max: Option<u32>,
    /// Most bytes of a character in UTF-8.
    pub character_bytes_max: u8,
    /// Which texts are equal at the source.
    pub equality: Equality,
    /// Whether two texts that differ at the source can become one text in UTF-8.
    pub is_injective: bool,
    /// What the text is made from.
    pub form: TextForm,
}

/// Which texts are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Equality {
    /// Those of the same bytes.
    Bytes,
    /// Those that the collation of this name takes for equal: by case, accent, or trailing spaces.
    Collation(String),
    /// Those that stand for equal values of the type: `1 day` and `24:00:00` are one interval.
    Value,
}

/// What text is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextForm {
    /// Text as it is.
    Plain,
    /// One label of a list.
    Label {
        /// Whether an empty label is in the list: it reads like the value of no label.
        has_empty: bool,
    },
    /// Several labels of a list, joined by commas.
    Labels {
        /// Whether an empty label is in the list.
        has_empty: bool,
    },
    /// MySQL's TIME: `[-]HH:MM:SS[.ffffff]`.
    Duration,
    /// What the server prints of a type that the target has not.
    Printed,
}

/// What bytes stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BytesForm {
    /// Bytes as they are.
    Plain,
    /// 4 bytes of SRID, then WKB.
    Geometry,
}

/// Characters of `[-]HHH:MM:SS.ffffff`, and some room.
const DURATION_CHARACTERS: u32 = 18;
/// Most bytes of a character in UTF-8.
const UTF8_BYTES_MAX: u8 = 4;
/// Bytes of a name of PostgreSQL.
const NAME_BYTES: u32 = 63;

impl LogicalText {
    /// Text that compares by bytes.
    fn plain(characters_max: Option<u32>, form: TextForm) -> LogicalText {
        LogicalText {
            characters_max,
            character_bytes_max: UTF8_BYTES_MAX,
            equality: Equality::Bytes,
            is_injective: true,
            form,
        }
    }

    /// Text that the server prints, of so many characters at most; each value has one text.
    fn printed(characters_max: Option<u32>) -> LogicalType {
        LogicalType::Text(LogicalText::plain(characters_max, TextForm::Printed))
    }
}

/// The logical type of a MySQL-family type.
pub(super) fn of_mysql(ty: &MysqlType) -> LogicalType {
    match ty {
        MysqlType::Integer { bits, unsigned } => LogicalType::Integer {
            bits: *bits,
            unsigned: *unsigned,
        },
        MysqlType::Year => LogicalType::Integer {
            bits: 16,
            unsigned: false,
        },
        MysqlType::Decimal { precision, scale } => LogicalType::Decimal {
            precision: u16::from(*precision),
            scale: u16::from(*scale),
        },
        MysqlType::Float => LogicalType::Float32,
        MysqlType::Double => LogicalType::Float64,
        MysqlType::Bit { bits } => plain_bytes(u32::from(bits.div_ceil(8))),
        MysqlType::Varchar {
            characters,
            charset,
            collation,
        } => LogicalType::Text(mysql_text(Some(*characters), *charset, collation)),
        MysqlType::Text { charset, collation } => LogicalType::Text(mysql_text(None, *charset, collation)),
        MysqlType::Binary { bytes }
        | MysqlType::Varbinary { bytes }
        | MysqlType::Blob { bytes_max: bytes } => plain_bytes(*bytes),
        MysqlType::Enum { labels, charset } => mysql_label(labels, *charset),
        MysqlType::Set { labels, charset } => mysql_labels(labels, *charset),
        MysqlType::Json | MysqlType::JsonText { .. } => LogicalType::Json,
        MysqlType::Date => LogicalType::Date,
        MysqlType::DateTime { .. } => LogicalType::LocalDateTime,
        MysqlType::Timestamp { .. } => LogicalType::Timestamp,
        MysqlType::Time { .. } => {
            LogicalType::Text(LogicalText::plain(Some(DURATION_CHARACTERS), TextForm::Duration))
        }
        MysqlType::Geometry => LogicalType::Bytes {
            bytes_max: None,
            form: BytesForm::Geometry,
        },
        MysqlType::Vector { dimensions } => LogicalType::Vector {
            dimensions: *dimensions,
        },
        MysqlType::Uuid => LogicalType::Uuid,
        MysqlType::Inet4 => LogicalText::printed(Some(15)),
        MysqlType::Inet6 => LogicalText::printed(Some(45)),
        MysqlType::Unknown { text } => LogicalType::Unknown { text: text.clone() },
    }
}

fn plain_bytes(bytes_max: u32) -> LogicalType {
    LogicalType::Bytes {
        bytes_max: Some(bytes_max),
        form: BytesForm::Plain,
    }
}

fn mysql_text(characters_max: Option<u32>, charset: Charset, collation: &str) -> LogicalText {
    let by_bytes =
        collation == "binary" || collation == "utf8mb4_0900_bin" || collation.ends_with("_nopad_bin");
    LogicalText {
        characters_max,
        character_bytes_max: charset.utf8_bytes_per_character_max(),
        equality: if by_bytes {
            Equality::Bytes
        } else {
            Equality::Collation(collation.to_owned())
        },
        is_injective: charset.is_injective(),
        form: TextForm::Plain,
    }
}

fn mysql_label(labels: &[String], charset: Charset) -> LogicalType {
    let longest = labels.iter().map(|label| characters(label)).max();
    let has_empty = labels.iter().any(String::is_empty);
    LogicalType::Text(LogicalText {
        is_injective: charset.is_injective(),
        ..LogicalText::plain(Some(longest.unwrap_or(1)), TextForm::Label { has_empty })
    })
}

fn mysql_labels(labels: &[String], charset: Charset) -> LogicalType {
    let all = labels.iter().map(|label| characters(label) + 1).sum();
    let has_empty = labels.iter().any(String::is_empty);
    LogicalType::Text(LogicalText {
        is_injective: charset.is_injective(),
        ..LogicalText::plain(Some(all), TextForm::Labels { has_empty })
    })
}

fn characters(label: &str) -> u32 {
    u32::try_from(label.chars().count()).unwrap_or(u32::MAX / 64)
}

/// The logical type of a PostgreSQL type.
pub(super) fn of_postgres(ty: &PostgresType) -> LogicalType {
    match ty {
        PostgresType::Boolean => LogicalType::Boolean,
        PostgresType::Integer { bits } => LogicalType::Integer {
            bits: *bits,
            unsigned: false,
        },
        PostgresType::Real => LogicalType::Float32,
        PostgresType::Double => LogicalType::Float64,
        PostgresType::Numeric { precision, scale } => postgres_numeric(*precision, *scale),
        PostgresType::AnyNumeric => LogicalType::AnyDecimal,
        PostgresType::Char { characters } => LogicalType::Text(LogicalText {
            equality: Equality::Value,
            ..LogicalText::plain(Some(*characters), TextForm::Plain)
        }),
        PostgresType::Text {
            characters,
            collation,
        } => LogicalType::Text(LogicalText {
            equality: postgres_equality(collation),
            ..LogicalText::plain(*characters, TextForm::Plain)
        }),
        PostgresType::CiText => LogicalType::Text(LogicalText {
            equality: Equality::Value,
            ..LogicalText::plain(None, TextForm::Plain)
        }),
        PostgresType::Name => LogicalType::Text(LogicalText::plain(Some(NAME_BYTES), TextForm::Plain)),
        PostgresType::Bytea => LogicalType::Bytes {
            bytes_max: None,
            form: BytesForm::Plain,
        },
        PostgresType::Date => LogicalType::Date,
        PostgresType::Timestamp => LogicalType::LocalDateTime,
        PostgresType::TimestampTz => LogicalType::Timestamp,
        PostgresType::Printed(printed) => postgres_printed(*printed),
        PostgresType::Uuid => LogicalType::Uuid,
        PostgresType::Json | PostgresType::Jsonb => LogicalType::Json,
        PostgresType::Enum { labels } => {
            let longest = labels.iter().map(|label| characters(label)).max();
            let form = TextForm::Label { has_empty: false };
            LogicalType::Text(LogicalText::plain(Some(longest.unwrap_or(1)), form))
        }
        PostgresType::Array { element } => LogicalType::Array(Box::new(of_postgres(element))),
        PostgresType::Unknown { text } => LogicalType::Unknown { text: text.clone() },
    }
}

/// A negative scale counts zeros before the point: `numeric(2, -3)` has up to 5 digits.
fn postgres_numeric(precision: u16, scale: i16) -> LogicalType {
    let behind = u16::try_from(scale).unwrap_or(0);
    let zeros = u16::try_from(-i32::from(scale)).unwrap_or(0);
    LogicalType::Decimal {
        precision: (precision + zeros).max(behind),
        scale: behind,
    }
}

fn postgres_equality(collation: &PostgresCollation) -> Equality {
    if collation.is_deterministic {
        Equality::Bytes
    } else {
        Equality::Collation(collation.name.clone())
    }
}

/// Types of which two values may be equal and print differently.
fn postgres_printed(ty: PrintedType) -> LogicalType {
    let (characters_max, equality) = match ty {
        // `24:00:00` is the last of a day.
        PrintedType::Time => (Some(15), Equality::Bytes),
        PrintedType::TimeTz => (Some(24), Equality::Bytes),
        PrintedType::Money => (Some(40), Equality::Bytes),
        PrintedType::Inet | PrintedType::Cidr => (Some(43), Equality::Bytes),
        PrintedType::MacAddress => (Some(17), Equality::Bytes),
        PrintedType::MacAddress8 => (Some(23), Equality::Bytes),
        PrintedType::Bit { bits } => (Some(bits), Equality::Bytes),
        PrintedType::VarBit { bits_max } => (bits_max, Equality::Bytes),
        PrintedType::Interval | PrintedType::Range | PrintedType::Geometric | PrintedType::Composite => {
            (None, Equality::Value)
        }
        PrintedType::TextSearch | PrintedType::Xml => (None, Equality::Bytes),
    };
    LogicalType::Text(LogicalText {
        equality,
        ..LogicalText::plain(characters_max, TextForm::Printed)
    })
}
