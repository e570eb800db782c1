//! How much a key of the target may hold: parts and bytes, as far as definitions show it.

use std::collections::BTreeSet;

use crate::mapping::index_decision::KeyExcess;
use crate::plan::TablePlan;
use crate::schema::logical::{LogicalText, LogicalType};
use crate::value::encode::Encoding;

/// Most parts of a key; an index's key ends with the table's own key.
pub(crate) const KEY_PARTS_MAX: usize = 16;
/// Most bytes of a key.
pub(crate) const KEY_BYTES_MAX: u64 = 8_192;
/// Bytes of a key part that is no text and no bytes; NUMERIC is the longest.
const SHORT_PART_BYTES: u64 = 24;
/// Most bytes of a character in UTF-8.
const CHARACTER_BYTES_MAX: u64 = 4;

/// Most bytes that a value takes in a key of the target; `ty` is the type at the source, if it
/// comes from there.
pub(crate) fn key_part_bytes(ty: Option<&LogicalType>, encoding: Encoding) -> u64 {
    match encoding {
        Encoding::String { characters_max } => character_bytes(ty) * u64::from(characters_max),
        Encoding::Bytes { bytes_max } => u64::from(bytes_max),
        Encoding::Uuid => 36,
        Encoding::Bool
        | Encoding::Int64
        | Encoding::Float32
        | Encoding::Float64
        | Encoding::Numeric
        | Encoding::PgNumeric
        | Encoding::Date
        | Encoding::Timestamp
        | Encoding::Json { .. }
        | Encoding::Array { .. } => SHORT_PART_BYTES,
    }
}

/// Most bytes of a character in UTF-8, by the character set that it comes from.
fn character_bytes(ty: Option<&LogicalType>) -> u64 {
    match ty {
        Some(LogicalType::Text(LogicalText {
            character_bytes_max, ..
        })) => u64::from(*character_bytes_max),
        _ => CHARACTER_BYTES_MAX,
    }
}

/// By what the key of an index over these columns would be above the limits; none if it always
/// fits.
pub(crate) fn index_excess(plan: &TablePlan, columns: &[usize]) -> Option<KeyExcess> {
    let parts: BTreeSet<usize> = columns.iter().chain(plan.key()).copied().collect();
    if plan.key().len() > KEY_PARTS_MAX {
        // The table itself is refused for that.
        return None;
    }
    if parts.len() > KEY_PARTS_MAX {
        return Some(KeyExcess::Parts(parts.len()));
    }
    let part = |column: &usize| {
        let column = &plan.columns[*column];
        let ty = column
            .source()
            .map(|source| plan.source.columns[source].ty.logical());
        key_part_bytes(ty.as_ref(), column.encoding)
    };
    let bytes: u64 = parts.iter().map(part).sum();
    (bytes > KEY_BYTES_MAX).then_some(KeyExcess::Bytes(bytes))
}
