//! The type of one column at the target, and what types cannot do there.

use crate::report::finding::Severity;
use crate::schema::source::SourceType;
use crate::schema::target::{Dialect, TargetType};
use crate::value::encode::{CELL_BYTES_MAX, Encoding, STRING_CHARACTERS_MAX};

/// Characters of `[-]HHH:MM:SS.ffffff`, and some room.
const TIME_CHARACTERS: u32 = 18;
/// GoogleSQL NUMERIC: digits before and behind the point.
const NUMERIC_DIGITS: (u8, u8) = (29, 9);

/// What decides a column's type at the target, besides its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The target's dialect.
    pub(crate) dialect: Dialect,
    /// Whether the target has the type UUID.
    pub(crate) uuid_supported: bool,
    /// Whether it is part of the key or joined by a foreign key, from either side.
    pub(crate) needs_index: bool,
    /// Whether an unsigned 64-bit integer there counts things, so that INT64 is its type.
    pub(crate) counts: bool,
}

/// Type and encoding of a column.
pub(crate) fn convert_type(ty: &SourceType, place: Place) -> (TargetType, Encoding) {
    let postgres = place.dialect == Dialect::PostgreSql;
    let numeric = if postgres {
        Encoding::PgNumeric
    } else {
        Encoding::Numeric
    };
    match ty {
        SourceType::Integer {
            bits: 64,
            unsigned: true,
        } if !place.counts => (TargetType::Numeric, numeric),
        SourceType::Integer { .. } | SourceType::Year => (TargetType::Int64, Encoding::Int64),
        SourceType::Decimal { precision, scale } if is_numeric(*precision, *scale, place) => {
            (TargetType::Numeric, numeric)
        }
        // Sign, point, and a zero before the point.
        SourceType::Decimal { precision, .. } => text(u32::from(*precision) + 3),
        SourceType::Float => (TargetType::Float32, Encoding::Float32),
        SourceType::Double => (TargetType::Float64, Encoding::Float64),
        SourceType::Bit { bits } => bytes(u32::from(bits.div_ceil(8)), place.dialect),
        SourceType::Varchar { characters, .. } => text(*characters),
        SourceType::Text { .. } | SourceType::Unknown { .. } => text(u32::MAX),
        SourceType::Binary { bytes: most } | SourceType::Varbinary { bytes: most } => {
            bytes(*most, place.dialect)
        }
        SourceType::Blob { bytes_max } => bytes(*bytes_max, place.dialect),
        SourceType::Enum { labels, .. } => {
            text(labels.iter().map(|label| characters(label)).max().unwrap_or(1))
        }
        SourceType::Set { labels, .. } => text(labels.iter().map(|label| characters(label) + 1).sum()),
        SourceType::Json | SourceType::JsonText { .. } => (
            TargetType::Json,
            Encoding::Json {
                arbitrary_numbers: postgres,
            },
        ),
        SourceType::Date => (TargetType::Date, Encoding::Date),
        SourceType::DateTime { .. } | SourceType::Timestamp { .. } => {
            (TargetType::Timestamp, Encoding::Timestamp)
        }
        SourceType::Time { .. } => text(TIME_CHARACTERS),
        SourceType::Geometry => bytes(u32::MAX, place.dialect),
        SourceType::Vector { dimensions } => {
            let dimensions = Some(*dimensions);
            (
                TargetType::Float32Array(dimensions),
                Encoding::Float32Array { dimensions },
            )
        }
        SourceType::Uuid if place.uuid_supported => (TargetType::Uuid, Encoding::Uuid),
        SourceType::Uuid => (TargetType::String(Some(36)), Encoding::Uuid),
        SourceType::Inet4 => text(15),
        SourceType::Inet6 => text(45),
    }
}

/// PostgreSQL's numeric can be neither a key nor indexed, and a foreign key needs an index.
fn is_numeric(precision: u8, scale: u8, place: Place) -> bool {
    match place.dialect {
        Dialect::GoogleSql => {
            scale <= NUMERIC_DIGITS.1 && precision.saturating_sub(scale) <= NUMERIC_DIGITS.0
        }
        Dialect::PostgreSql => !place.needs_index,
    }
}

fn text(characters: u32) -> (TargetType, Encoding) {
    let characters_max = characters.clamp(1, STRING_CHARACTERS_MAX);
    let declared = (characters <= STRING_CHARACTERS_MAX).then_some(characters_max);
    (TargetType::String(declared), Encoding::String { characters_max })
}

/// bytea has no declared limit; the conversion keeps to it.
fn bytes(most: u32, dialect: Dialect) -> (TargetType, Encoding) {
    let bytes_max = most.clamp(1, CELL_BYTES_MAX);
    let declared = (most < CELL_BYTES_MAX && dialect == Dialect::GoogleSql).then_some(bytes_max);
    (TargetType::Bytes(declared), Encoding::Bytes { bytes_max })
}

fn characters(label: &str) -> u32 {
    u32::try_from(label.chars().count()).unwrap_or(u32::MAX / 64)
}

/// Why a type cannot be a key: two source keys could become one, or the target takes no such key.
pub(crate) fn key_trouble(ty: &SourceType) -> Option<&'static str> {
    match ty {
        SourceType::Float | SourceType::Double => {
            Some("a floating-point number as key: 0 and -0 are equal, and are stored differently")
        }
        SourceType::Json | SourceType::JsonText { .. } | SourceType::Geometry | SourceType::Vector { .. } => {
            Some("a type that cannot be a key at the target")
        }
        SourceType::Enum { labels, .. } | SourceType::Set { labels, .. }
            if labels.iter().any(String::is_empty) =>
        {
            Some("an empty label, which reads like the value of no label")
        }
        SourceType::Varchar { charset, .. }
        | SourceType::Text { charset, .. }
        | SourceType::Enum { charset, .. }
        | SourceType::Set { charset, .. }
            if !charset.is_injective() =>
        {
            Some("a charset in which two codes stand for one character")
        }
        SourceType::Varchar { .. }
        | SourceType::Text { .. }
        | SourceType::Enum { .. }
        | SourceType::Set { .. }
        | SourceType::Integer { .. }
        | SourceType::Decimal { .. }
        | SourceType::Bit { .. }
        | SourceType::Binary { .. }
        | SourceType::Varbinary { .. }
        | SourceType::Blob { .. }
        | SourceType::Date
        | SourceType::DateTime { .. }
        | SourceType::Timestamp { .. }
        | SourceType::Time { .. }
        | SourceType::Year
        | SourceType::Uuid
        | SourceType::Inet4
        | SourceType::Inet6
        | SourceType::Unknown { .. } => None,
    }
}

/// The collation, if it takes texts of different bytes for equal: by case, accent, or trailing spaces.
pub(crate) fn folding_collation(ty: &SourceType) -> Option<&str> {
    if let SourceType::Varchar { collation, .. } | SourceType::Text { collation, .. } = ty {
        let by_bytes =
            collation == "binary" || collation == "utf8mb4_0900_bin" || collation.ends_with("_nopad_bin");
        return (!by_bytes).then_some(collation.as_str());
    }
    None
}

/// What an operator should know about a column's new form.
pub(crate) fn remark(ty: &SourceType, target: TargetType) -> Option<(Severity, &'static str)> {
    match ty {
        SourceType::Decimal { .. } if target != TargetType::Numeric => Some((
            Severity::Warning,
            "a decimal that the target's numeric cannot take here is carried as text, and sorts as text",
        )),
        SourceType::Integer {
            bits: 64,
            unsigned: true,
        } if target == TargetType::Int64 => Some((
            Severity::Notice,
            "BIGINT UNSIGNED is carried as a signed integer; a value above 9223372036854775807 is refused",
        )),
        SourceType::Integer {
            bits: 64,
            unsigned: true,
        } => Some((
            Severity::Notice,
            "BIGINT UNSIGNED is carried as a numeric, which holds all of its values",
        )),
        SourceType::Time { .. } => Some((
            Severity::Notice,
            "TIME is carried as text, `[-]HH:MM:SS[.ffffff]`",
        )),
        SourceType::Geometry => Some((
            Severity::Notice,
            "geometry is carried as bytes: 4 of SRID, then WKB",
        )),
        SourceType::Set { .. } => Some((
            Severity::Notice,
            "SET is carried as text, its labels joined by commas",
        )),
        SourceType::Vector { .. } => Some((
            Severity::Notice,
            "a vector with fewer elements than declared is refused",
        )),
        SourceType::Uuid if target != TargetType::Uuid => Some((
            Severity::Notice,
            "UUID is carried as text, because this target has no such type",
        )),
        SourceType::Integer { .. }
        | SourceType::Decimal { .. }
        | SourceType::Float
        | SourceType::Double
        | SourceType::Bit { .. }
        | SourceType::Varchar { .. }
        | SourceType::Text { .. }
        | SourceType::Binary { .. }
        | SourceType::Varbinary { .. }
        | SourceType::Blob { .. }
        | SourceType::Enum { .. }
        | SourceType::Json
        | SourceType::JsonText { .. }
        | SourceType::Date
        | SourceType::DateTime { .. }
        | SourceType::Timestamp { .. }
        | SourceType::Year
        | SourceType::Uuid
        | SourceType::Inet4
        | SourceType::Inet6
        | SourceType::Unknown { .. } => None,
    }
}
