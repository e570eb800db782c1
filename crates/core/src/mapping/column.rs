//! The type of one column at the target, and what types cannot do there.

use crate::mapping::decision::Remark;
use crate::mapping::type_reason::{Folding, KeyRefusal, TypeRefusal};
use crate::schema::logical::{BytesForm, Equality, LogicalText, LogicalType, TextForm};
use crate::schema::target::{Dialect, TargetType};
use crate::value::encode::{CELL_BYTES_MAX, Encoding, STRING_CHARACTERS_MAX};

/// GoogleSQL NUMERIC: digits before and behind the point.
const NUMERIC_DIGITS: (u16, u16) = (29, 9);

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
pub(crate) fn convert_type(ty: &LogicalType, place: Place) -> (TargetType, Encoding) {
    let postgres = place.dialect == Dialect::PostgreSql;
    match ty {
        LogicalType::Integer {
            bits: 64,
            unsigned: true,
        } if !place.counts => numeric(place.dialect),
        LogicalType::Integer { .. } => (TargetType::Int64, Encoding::Int64),
        LogicalType::Decimal { precision, scale } if is_numeric(*precision, *scale, place) => {
            numeric(place.dialect)
        }
        // Sign, point, and a zero before the point.
        LogicalType::Decimal { precision, .. } => text(Some(u32::from(*precision) + 3)),
        LogicalType::AnyDecimal if postgres && !place.needs_index => numeric(place.dialect),
        LogicalType::AnyDecimal | LogicalType::Unknown { .. } => text(None),
        LogicalType::Float32 => (TargetType::Float32, Encoding::Float32),
        LogicalType::Float64 => (TargetType::Float64, Encoding::Float64),
        LogicalType::Text(known) => text(known.characters_max),
        LogicalType::Bytes { bytes_max, .. } => bytes(bytes_max.unwrap_or(u32::MAX), place.dialect),
        LogicalType::Json => json(postgres),
        LogicalType::Date => (TargetType::Date, Encoding::Date),
        LogicalType::LocalDateTime | LogicalType::Timestamp => (TargetType::Timestamp, Encoding::Timestamp),
        LogicalType::Vector { dimensions } => {
            let dimensions = Some(*dimensions);
            (TargetType::vector(dimensions), Encoding::vector(dimensions))
        }
        LogicalType::Uuid if place.uuid_supported => (TargetType::Uuid, Encoding::Uuid),
        LogicalType::Uuid => (TargetType::String(Some(36)), Encoding::Uuid),
        LogicalType::Boolean => (TargetType::Bool, Encoding::Bool),
        LogicalType::Array(element) => array(element, place).unwrap_or_else(|| text(None)),
    }
}

/// An array of what its elements become; none if those are arrays themselves, which `refusal`
/// refuses.
fn array(element: &LogicalType, place: Place) -> Option<(TargetType, Encoding)> {
    let alone = Place {
        needs_index: false,
        ..place
    };
    let (ty, encoding) = convert_type(element, alone);
    let dimensions = None;
    let ty = TargetType::Array {
        element: ty.element()?,
        dimensions,
    };
    let element = encoding.element()?;
    Some((ty, Encoding::Array { element, dimensions }))
}

fn numeric(dialect: Dialect) -> (TargetType, Encoding) {
    let encoding = match dialect {
        Dialect::GoogleSql => Encoding::Numeric,
        Dialect::PostgreSql => Encoding::PgNumeric,
    };
    (TargetType::Numeric, encoding)
}

fn json(arbitrary_numbers: bool) -> (TargetType, Encoding) {
    (TargetType::Json, Encoding::Json { arbitrary_numbers })
}

/// PostgreSQL's numeric can be neither a key nor indexed, and a foreign key needs an index.
fn is_numeric(precision: u16, scale: u16, place: Place) -> bool {
    match place.dialect {
        Dialect::GoogleSql => {
            scale <= NUMERIC_DIGITS.1 && precision.saturating_sub(scale) <= NUMERIC_DIGITS.0
        }
        Dialect::PostgreSql => !place.needs_index,
    }
}

fn text(characters: Option<u32>) -> (TargetType, Encoding) {
    let characters = characters.unwrap_or(u32::MAX);
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

/// Why values of a type cannot be carried at all.
pub(crate) fn refusal(ty: &LogicalType) -> Option<TypeRefusal> {
    match ty {
        LogicalType::Unknown { text } => Some(TypeRefusal::Unknown(text.clone())),
        LogicalType::Array(element) => match &**element {
            LogicalType::Array(_) | LogicalType::Vector { .. } => Some(TypeRefusal::NestedArray),
            element => refusal(element),
        },
        LogicalType::Boolean
        | LogicalType::Integer { .. }
        | LogicalType::Decimal { .. }
        | LogicalType::AnyDecimal
        | LogicalType::Float32
        | LogicalType::Float64
        | LogicalType::Text(_)
        | LogicalType::Bytes { .. }
        | LogicalType::Date
        | LogicalType::LocalDateTime
        | LogicalType::Timestamp
        | LogicalType::Json
        | LogicalType::Vector { .. }
        | LogicalType::Uuid => None,
    }
}

/// Why a type cannot be a key: two source keys could become one, or the target takes no such key.
pub(crate) fn key_refusal(ty: &LogicalType) -> Option<KeyRefusal> {
    match ty {
        LogicalType::Float32 | LogicalType::Float64 => Some(KeyRefusal::FloatingPoint),
        LogicalType::Json
        | LogicalType::Bytes {
            form: BytesForm::Geometry,
            ..
        }
        | LogicalType::Vector { .. }
        | LogicalType::Array(_) => Some(KeyRefusal::NoKeyAtTarget),
        LogicalType::Text(LogicalText {
            form: TextForm::Label { has_empty: true } | TextForm::Labels { has_empty: true },
            ..
        }) => Some(KeyRefusal::EmptyLabel),
        LogicalType::Text(LogicalText {
            is_injective: false, ..
        }) => Some(KeyRefusal::TwoCodes),
        LogicalType::Text(_)
        | LogicalType::Boolean
        | LogicalType::Integer { .. }
        | LogicalType::Decimal { .. }
        | LogicalType::AnyDecimal
        | LogicalType::Bytes {
            form: BytesForm::Plain,
            ..
        }
        | LogicalType::Date
        | LogicalType::LocalDateTime
        | LogicalType::Timestamp
        | LogicalType::Uuid
        | LogicalType::Unknown { .. } => None,
    }
}

/// What decides at the source which values are equal, where it takes values of different bytes for
/// equal.
pub(crate) fn folding(ty: &LogicalType) -> Option<Folding> {
    match ty {
        LogicalType::Text(LogicalText {
            equality: Equality::Collation(collation),
            ..
        }) => Some(Folding::Collation(collation.clone())),
        LogicalType::Text(LogicalText {
            equality: Equality::Value,
            ..
        })
        | LogicalType::AnyDecimal => Some(Folding::Type),
        LogicalType::Text(LogicalText {
            equality: Equality::Bytes,
            ..
        })
        | LogicalType::Boolean
        | LogicalType::Integer { .. }
        | LogicalType::Decimal { .. }
        | LogicalType::Float32
        | LogicalType::Float64
        | LogicalType::Bytes { .. }
        | LogicalType::Date
        | LogicalType::LocalDateTime
        | LogicalType::Timestamp
        | LogicalType::Json
        | LogicalType::Vector { .. }
        | LogicalType::Uuid
        | LogicalType::Array(_)
        | LogicalType::Unknown { .. } => None,
    }
}

/// What an operator should know about a column's new form.
pub(crate) fn remark(ty: &LogicalType, target: TargetType) -> Option<Remark> {
    match ty {
        LogicalType::Decimal { .. } | LogicalType::AnyDecimal if target != TargetType::Numeric => {
            Some(Remark::DecimalAsText)
        }
        LogicalType::Integer {
            bits: 64,
            unsigned: true,
        } if target == TargetType::Int64 => Some(Remark::UnsignedAsInteger),
        LogicalType::Integer {
            bits: 64,
            unsigned: true,
        } => Some(Remark::UnsignedAsNumeric),
        LogicalType::Text(text) => text_remark(text.form),
        LogicalType::Bytes {
            form: BytesForm::Geometry,
            ..
        } => Some(Remark::GeometryAsBytes),
        LogicalType::Vector { .. } => Some(Remark::WholeVector),
        LogicalType::Uuid if target != TargetType::Uuid => Some(Remark::UuidAsText),
        LogicalType::Boolean
        | LogicalType::Integer { .. }
        | LogicalType::Decimal { .. }
        | LogicalType::AnyDecimal
        | LogicalType::Float32
        | LogicalType::Float64
        | LogicalType::Bytes {
            form: BytesForm::Plain,
            ..
        }
        | LogicalType::Json
        | LogicalType::Date
        | LogicalType::LocalDateTime
        | LogicalType::Timestamp
        | LogicalType::Uuid
        | LogicalType::Array(_)
        | LogicalType::Unknown { .. } => None,
    }
}

fn text_remark(form: TextForm) -> Option<Remark> {
    match form {
        TextForm::Duration => Some(Remark::TimeAsText),
        TextForm::Labels { .. } => Some(Remark::SetAsText),
        TextForm::Plain | TextForm::Label { .. } | TextForm::Printed => None,
    }
}
