//! A table map held against a plan: how each column of an image is laid out and what it means, or why it cannot be told.

use std::sync::Arc;

use spanferry_core::charset::Charset;
use spanferry_core::plan::TablePlan;
use spanferry_core::schema::{SourceColumn, SourceType};

use super::event::Malformed;
use super::table_map::{Definition, MappedColumn, column_type as t};
use super::value::{Layout, Meaning};

/// One column of an image.
#[derive(Debug)]
pub(crate) struct ImageColumn {
    pub(crate) layout: Layout,
    pub(crate) meaning: Meaning,
    /// Index into the plan's columns, if the column is migrated.
    pub(crate) target: Option<usize>,
    /// Whether it is part of the key.
    pub(crate) in_key: bool,
}

/// A decode plan: a plan and a table map that agree.
#[derive(Debug)]
pub(crate) struct ImagePlan {
    pub(crate) plan: Arc<TablePlan>,
    pub(crate) columns: Vec<ImageColumn>,
}

/// Compiles a table map's definition for a plan. The error says what does not agree.
pub(crate) fn compile(plan: &Arc<TablePlan>, definition: &[u8]) -> Result<ImagePlan, String> {
    let definition = Definition::parse(definition)
        .map_err(|Malformed(what)| format!("its table map cannot be read: {what}"))?;
    let source = &plan.source.columns;
    if definition.columns.len() != source.len() {
        let (found, known) = (definition.columns.len(), source.len());
        return Err(format!(
            "the binary log writes {found} columns, the schema has {known}"
        ));
    }
    let mut columns = Vec::with_capacity(source.len());
    for (index, (mapped, column)) in definition.columns.iter().zip(source).enumerate() {
        check_name(mapped, column)?;
        let meaning = meaning(&column.ty, mapped).ok_or_else(|| {
            format!(
                "the binary log writes column `{}` with another type than the schema has",
                column.name
            )
        })?;
        let layout = Layout::of(mapped).map_err(|what| format!("column `{}`: {what}", column.name))?;
        let target = plan.columns.iter().position(|known| known.source_index == index);
        let in_key = target.is_some_and(|target| plan.key.contains(&target));
        columns.push(ImageColumn {
            layout,
            meaning,
            target,
            in_key,
        });
    }
    Ok(ImagePlan {
        plan: Arc::clone(plan),
        columns,
    })
}

fn check_name(mapped: &MappedColumn, column: &SourceColumn) -> Result<(), String> {
    match &mapped.name {
        None => Err(
            "the binary log names no columns: binlog_row_metadata was not FULL in that session".to_owned(),
        ),
        Some(name) if name.to_lowercase() == column.name.to_lowercase() => Ok(()),
        Some(name) => Err(format!(
            "the binary log writes column `{name}` where the schema has `{}`",
            column.name
        )),
    }
}

/// What a column's values mean, if table map and schema agree on its type.
fn meaning(ty: &SourceType, mapped: &MappedColumn) -> Option<Meaning> {
    let meta = usize::from(mapped.meta);
    let blob = matches!(mapped.ty, t::TINY_BLOB | t::MEDIUM_BLOB | t::LONG_BLOB | t::BLOB);
    let string = matches!(mapped.ty, t::VARCHAR | t::VAR_STRING | t::STRING);
    let fixed = matches!(mapped.ty, t::STRING);
    let fraction_is = |fraction: u8| meta == usize::from(fraction);
    match ty {
        SourceType::Integer { bits, unsigned } => {
            let wanted = match bits {
                8 => t::TINY,
                16 => t::SHORT,
                24 => t::INT24,
                32 => t::LONG,
                _ => t::LONGLONG,
            };
            let agrees = mapped.ty == wanted && mapped.unsigned == Some(*unsigned);
            agrees.then_some(Meaning::Integer { unsigned: *unsigned })
        }
        SourceType::Decimal { precision, scale } => {
            let (precision, scale) = (usize::from(*precision), usize::from(*scale));
            let agrees = mapped.ty == t::NEWDECIMAL && meta & 0xff == precision && meta >> 8 == scale;
            agrees.then_some(Meaning::Decimal { precision, scale })
        }
        SourceType::Float => (mapped.ty == t::FLOAT).then_some(Meaning::Float32),
        SourceType::Double => (mapped.ty == t::DOUBLE).then_some(Meaning::Float64),
        SourceType::Bit { bits } => {
            (mapped.ty == t::BIT && meta == usize::from(*bits)).then_some(Meaning::Bits)
        }
        SourceType::Varchar { charset, .. } if string => {
            same_charset(mapped, *charset).then_some(Meaning::Text(*charset))
        }
        SourceType::Varchar { charset, .. } if mapped.ty == t::MARIADB_VARCHAR_COMPRESSED => {
            same_charset(mapped, *charset).then_some(Meaning::CompressedText(*charset))
        }
        SourceType::Text { charset, .. } if blob => {
            same_charset(mapped, *charset).then_some(Meaning::Text(*charset))
        }
        SourceType::Text { charset, .. } if mapped.ty == t::MARIADB_BLOB_COMPRESSED => {
            same_charset(mapped, *charset).then_some(Meaning::CompressedText(*charset))
        }
        SourceType::Varchar { .. } | SourceType::Text { .. } => None,
        SourceType::JsonText => blob.then_some(Meaning::JsonText(Charset::Utf8mb4)),
        SourceType::Binary { bytes } => {
            (fixed && meta == *bytes as usize).then_some(Meaning::Bytes { width: meta })
        }
        SourceType::Varbinary { .. } if mapped.ty == t::MARIADB_VARCHAR_COMPRESSED => {
            Some(Meaning::CompressedBytes)
        }
        SourceType::Varbinary { .. } => string.then_some(Meaning::Bytes { width: 0 }),
        SourceType::Blob { .. } if mapped.ty == t::MARIADB_BLOB_COMPRESSED => Some(Meaning::CompressedBytes),
        SourceType::Blob { .. } => blob.then_some(Meaning::Bytes { width: 0 }),
        SourceType::Enum { labels, charset } => (mapped.ty == t::ENUM
            && same_labels(mapped, labels, *charset))
        .then(|| Meaning::Enum(labels.clone())),
        SourceType::Set { labels, charset } => (mapped.ty == t::SET && same_labels(mapped, labels, *charset))
            .then(|| Meaning::Set(labels.clone())),
        SourceType::Json => (mapped.ty == t::JSON).then_some(Meaning::Json),
        SourceType::Date => matches!(mapped.ty, t::DATE | t::NEWDATE).then_some(Meaning::Date),
        SourceType::DateTime { fraction } => (mapped.ty == t::DATETIME2 && fraction_is(*fraction))
            .then_some(Meaning::DateTime { fraction: meta }),
        SourceType::Timestamp { fraction } => (mapped.ty == t::TIMESTAMP2 && fraction_is(*fraction))
            .then_some(Meaning::Timestamp { fraction: meta }),
        SourceType::Time { fraction } => {
            (mapped.ty == t::TIME2 && fraction_is(*fraction)).then_some(Meaning::Time { fraction: meta })
        }
        SourceType::Year => (mapped.ty == t::YEAR).then_some(Meaning::Year),
        SourceType::Geometry => (mapped.ty == t::GEOMETRY || blob).then_some(Meaning::Bytes { width: 0 }),
        SourceType::Vector { .. } => {
            (mapped.ty == t::VECTOR || string).then_some(Meaning::Bytes { width: 0 })
        }
        SourceType::Uuid => fixed.then_some(Meaning::Uuid),
        SourceType::Inet4 => fixed.then_some(Meaning::Inet4),
        SourceType::Inet6 => fixed.then_some(Meaning::Inet6),
        SourceType::Unknown { .. } => None,
    }
}

fn same_charset(mapped: &MappedColumn, charset: Charset) -> bool {
    mapped.collation.and_then(Charset::from_collation_id) == Some(charset)
}

fn same_labels(mapped: &MappedColumn, labels: &[String], charset: Charset) -> bool {
    let Some(raw) = &mapped.labels else { return false };
    // The charset of ENUM and SET labels is told apart from that of text columns, and not by every server.
    let charset = mapped
        .collation
        .and_then(Charset::from_collation_id)
        .unwrap_or(charset);
    let mut scratch = Vec::new();
    raw.len() == labels.len()
        && raw
            .iter()
            .zip(labels)
            .all(|(raw, label)| charset.decode(raw, &mut scratch).is_ok_and(|text| text == label))
}
