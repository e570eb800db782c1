//! The decode plan of one table under one definition: the table map checked against the migration's
//! schema, column by column.

use spanferry_core::plan::{RefusedCell, RowEncoder, RowLayout, TablePlan};
use spanferry_core::port::source::RefusedRow;
use spanferry_core::schema::charset::Charset;
use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::schema::source::{NameCase, SourceColumn};
use spanferry_core::value::encode::{Input, Refusal};
use spanferry_core::value::scalar::Scalar;
use spanferry_core::verify::canonical;
use spanferry_format::charset::{decode, of_collation};

use super::event::{Cursor, Malformed};
use super::rows::bit;
use super::table_map::{Definition, MappedColumn, column_type as t};
use super::value::{Layout, Meaning, Scratch, ValueError};
use crate::own_type::own_type;

/// The collation id of bytes.
const BINARY: u16 = 63;

/// How one column of the image is read.
#[derive(Debug)]
struct Reader {
    layout: Layout,
    /// A column of the plan that takes its value, and what it means; `None` for a column that is
    /// not migrated.
    migrated: Option<(usize, Meaning)>,
    /// Where its value stands in the key: places in the key, and the plan's columns there. Mostly
    /// one, or none.
    key_parts: Vec<(usize, usize)>,
}

/// Reads the images of one table.
#[derive(Debug)]
pub(crate) struct ImageReader {
    readers: Vec<Reader>,
    null_bytes: usize,
    key_columns: usize,
    /// Places in the key whose value the image does not hold, and the plan's columns there.
    key_constants: Vec<(usize, usize)>,
    row_layout: RowLayout,
}

/// Why an image could not be turned into a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ImageError {
    /// Its bytes are not what the table map says.
    Malformed(Malformed),
    /// A cell is refused. The row's key is empty if it is the key that is refused.
    Refused(RefusedRow),
}

impl From<Malformed> for ImageError {
    fn from(error: Malformed) -> Self {
        ImageError::Malformed(error)
    }
}

/// Memory for the encoded key of an image before.
#[derive(Debug, Default)]
pub(crate) struct KeyEncoder {
    cells: Vec<u8>,
    places: Vec<(usize, usize)>,
}

impl KeyEncoder {
    /// Encodes one part of the key.
    fn put(
        &mut self,
        plan: &TablePlan,
        place: usize,
        column: usize,
        scalar: Scalar<'_>,
    ) -> Result<(), Refusal> {
        let start = self.cells.len();
        plan.columns[column].encode(scalar, &mut self.cells)?;
        self.places[place] = (start, self.cells.len());
        Ok(())
    }
}

/// The places in the key of the plan's columns that come from this column of the source, or from
/// none.
fn key_parts(plan: &TablePlan, source: Option<usize>) -> Vec<(usize, usize)> {
    let parts = plan.key().iter().copied().enumerate();
    parts
        .filter(|(_, column)| plan.columns[*column].source() == source)
        .collect()
}

impl ImageReader {
    /// Checks the definition against the plan's source schema; the error says what differs.
    pub(crate) fn compile(plan: &TablePlan, definition: &Definition) -> Result<ImageReader, String> {
        let source = &plan.source;
        if definition.columns.iter().any(|column| column.name.is_none()) {
            return Err(
                "the table map names no columns: the source needs `SET GLOBAL binlog_row_metadata = FULL`"
                    .into(),
            );
        }
        let hidden = hidden_columns(definition, source.columns.len());
        if definition.columns.len() - hidden != source.columns.len() {
            let (now, then) = (definition.columns.len() - hidden, source.columns.len());
            return Err(format!(
                "it has {now} columns in the binary log, {then} in the schema the migration began with"
            ));
        }
        check_primary_key(plan, definition)?;
        let row_layout = RowLayout::of(plan);
        let mut readers = Vec::with_capacity(source.columns.len());
        for (index, (mapped, column)) in definition.columns.iter().zip(&source.columns).enumerate() {
            let name = &column.name;
            check_name(mapped, column)?;
            let layout = Layout::of(mapped).map_err(|reason| format!("column `{name}`: {reason}"))?;
            let meaning = meaning(mapped, own_type(column)).ok_or_else(|| {
                let (ty, meta) = (mapped.ty, mapped.meta);
                format!("column `{name}` has another type in the binary log (type {ty}, {meta}) than when the migration began")
            })?;
            let feed = row_layout.feed_of(index).map(|feed| &row_layout.feeds()[feed]);
            readers.push(Reader {
                layout,
                migrated: feed.map(|feed| (feed.columns[0], meaning)),
                key_parts: key_parts(plan, Some(index)),
            });
        }
        for mapped in &definition.columns[source.columns.len()..] {
            readers.push(Reader {
                layout: Layout::of(mapped).map_err(|reason| format!("a hidden column: {reason}"))?,
                migrated: None,
                key_parts: Vec::new(),
            });
        }
        Ok(ImageReader {
            null_bytes: readers.len().div_ceil(8),
            readers,
            key_columns: plan.key().len(),
            key_constants: key_parts(plan, None),
            row_layout,
        })
    }

    /// How many columns an image has, hidden ones included.
    pub(crate) fn columns(&self) -> usize {
        self.readers.len()
    }

    /// Encodes the next full image as a row.
    pub(crate) fn row(
        &self,
        plan: &TablePlan,
        images: &mut Cursor<'_>,
        scratch: &mut Scratch,
        encoder: &mut RowEncoder,
    ) -> Result<(), ImageError> {
        let image = *images;
        let nulls = images.take(self.null_bytes)?;
        encoder.begin(plan, &self.row_layout);
        let mut refused = None;
        for (index, reader) in self.readers.iter().enumerate() {
            let value = if bit(nulls, index) {
                None
            } else {
                Some(reader.layout.take(images)?)
            };
            let Some((column, meaning)) = &reader.migrated else {
                continue;
            };
            if refused.is_some() {
                continue;
            }
            let scalar = match value {
                None => Ok(Scalar::Null),
                Some(bytes) => meaning.scalar(bytes, scratch),
            };
            refused = match scalar {
                Ok(scalar) => encoder.cell(plan, &self.row_layout, scalar).err(),
                Err(ValueError::Refused(refusal)) => Some(RefusedCell {
                    column: *column,
                    refusal,
                }),
                Err(ValueError::Malformed(error)) => return Err(error.into()),
            };
        }
        // The image was read to its end, so that the next one can be.
        let ended = match refused {
            Some(cell) => Err(cell),
            None => encoder.end(plan, &self.row_layout),
        };
        let Err(cell) = ended else { return Ok(()) };
        let encoded_key = self.key_alone(plan, image, scratch).unwrap_or_default();
        let key = if encoded_key.is_empty() {
            String::new()
        } else {
            canonical::render(plan, &encoded_key)
        };
        Err(ImageError::Refused(RefusedRow {
            key,
            encoded_key,
            cell,
        }))
    }

    /// The encoded key of an image; nothing if it cannot be converted either.
    fn key_alone(&self, plan: &TablePlan, mut image: Cursor<'_>, scratch: &mut Scratch) -> Option<Vec<u8>> {
        let (mut encoder, mut key) = (KeyEncoder::default(), Vec::new());
        self.key(plan, &mut image, scratch, &mut encoder, &mut key).ok()?;
        Some(key)
    }

    /// Encodes the key of the next full image into `key`; the other columns are stepped over.
    pub(crate) fn key(
        &self,
        plan: &TablePlan,
        images: &mut Cursor<'_>,
        scratch: &mut Scratch,
        encoder: &mut KeyEncoder,
        key: &mut Vec<u8>,
    ) -> Result<(), ImageError> {
        let nulls = images.take(self.null_bytes)?;
        encoder.cells.clear();
        encoder.places.clear();
        encoder.places.resize(self.key_columns, (0, 0));
        let mut refused = None;
        for (index, reader) in self.readers.iter().enumerate() {
            let value = if bit(nulls, index) {
                None
            } else {
                Some(reader.layout.take(images)?)
            };
            let Some((_, meaning)) = &reader.migrated else {
                continue;
            };
            for (place, column) in &reader.key_parts {
                let scalar = match value {
                    None => Ok(Scalar::Null),
                    Some(bytes) => meaning.scalar(bytes, scratch),
                };
                let result: Result<(), Refusal> = match scalar {
                    Ok(scalar) => encoder.put(plan, *place, *column, scalar),
                    Err(ValueError::Refused(refusal)) => Err(refusal),
                    Err(ValueError::Malformed(error)) => return Err(error.into()),
                };
                if let Err(refusal) = result {
                    let column = *column;
                    refused.get_or_insert(RefusedCell { column, refusal });
                }
            }
        }
        for (place, column) in &self.key_constants {
            if let Input::Constant(constant) = &plan.columns[*column].input
                && let Err(refusal) = encoder.put(plan, *place, *column, constant.scalar())
            {
                let column = *column;
                refused.get_or_insert(RefusedCell { column, refusal });
            }
        }
        key.clear();
        for (start, end) in &encoder.places {
            key.extend_from_slice(&encoder.cells[*start..*end]);
        }
        let refuse = |cell| {
            Err(ImageError::Refused(RefusedRow {
                key: String::new(),
                encoded_key: Vec::new(),
                cell,
            }))
        };
        refused.map_or(Ok(()), refuse)
    }
}

fn check_name(mapped: &MappedColumn, column: &SourceColumn) -> Result<(), String> {
    let (now, then) = (mapped.name.as_deref().unwrap_or(""), &column.name);
    if !NameCase::Insensitive.same(now, then) {
        return Err(format!("column `{then}` is `{now}` in the binary log"));
    }
    if mapped.nullable != column.nullable {
        let word = if mapped.nullable { "allows" } else { "forbids" };
        return Err(format!(
            "column `{then}` {word} NULL in the binary log, unlike when the migration began"
        ));
    }
    Ok(())
}

/// Where a table has no primary key, both servers name the first unique index over NOT NULL columns
/// as one. Which of them is the first is no matter: the plan's key is one of them, and a statement
/// that takes that one away stops the table.
fn check_primary_key(plan: &TablePlan, definition: &Definition) -> Result<(), String> {
    let now = definition.primary_key.iter().map(|(column, _)| *column);
    let then = &plan.source.primary_key;
    if then.is_empty() || now.eq(then.iter().copied()) {
        return Ok(());
    }
    Err("its primary key in the binary log is not the one the migration began with".into())
}

/// The number of columns behind the declared ones in which MariaDB keeps the hashes of unique
/// indexes over long texts.
fn hidden_columns(definition: &Definition, declared: usize) -> usize {
    let is_hash = |column: &MappedColumn| {
        let name = column.name.as_deref().unwrap_or_default();
        name.starts_with("DB_ROW_HASH_") && column.ty == t::LONGLONG
    };
    let behind = definition.columns.get(declared..).unwrap_or_default();
    if behind.iter().all(is_hash) {
        behind.len()
    } else {
        0
    }
}

/// Types of TEXT and BLOB columns.
const BLOBS: &[u8] = &[
    t::BLOB,
    t::TINY_BLOB,
    t::MEDIUM_BLOB,
    t::LONG_BLOB,
    t::MARIADB_BLOB_COMPRESSED,
];

/// What a column's values mean, if the table map's type is the one the schema says.
#[expect(clippy::too_many_lines, reason = "one arm for each type, side by side")]
fn meaning(mapped: &MappedColumn, ty: &MysqlType) -> Option<Meaning> {
    let meta = usize::from(mapped.meta);
    let is = |types: &[u8]| types.contains(&mapped.ty).then_some(());
    let when = |condition: bool| condition.then_some(());
    let fraction_is = |fraction: u8| when(meta == usize::from(fraction));
    let compressed = matches!(
        mapped.ty,
        t::MARIADB_BLOB_COMPRESSED | t::MARIADB_VARCHAR_COMPRESSED
    );
    let same_charset = |charset: Charset| when(mapped.collation.and_then(of_collation) == Some(charset));
    let text = |charset: Charset| {
        same_charset(charset)?;
        Some(if compressed {
            Meaning::CompressedText(charset)
        } else {
            Meaning::Text(charset)
        })
    };
    let bytes = |width: usize| {
        when(mapped.collation.is_none_or(|collation| collation == BINARY))?;
        Some(if compressed {
            Meaning::CompressedBytes
        } else {
            Meaning::Bytes { width }
        })
    };
    match ty {
        MysqlType::Integer { bits, unsigned } => {
            let wanted = match bits {
                8 => t::TINY,
                16 => t::SHORT,
                24 => t::INT24,
                32 => t::LONG,
                _ => t::LONGLONG,
            };
            when(
                mapped.ty == wanted
                    && (mapped.unsigned == Some(*unsigned) || mapped.unsigned_beside_year == Some(*unsigned)),
            )?;
            Some(Meaning::Integer { unsigned: *unsigned })
        }
        MysqlType::Decimal { precision, scale } => {
            is(&[t::NEWDECIMAL])?;
            let (precision, scale) = (usize::from(*precision), usize::from(*scale));
            when(meta == precision | scale << 8)?;
            Some(Meaning::Decimal { precision, scale })
        }
        MysqlType::Float => is(&[t::FLOAT]).map(|()| Meaning::Float32),
        MysqlType::Double => is(&[t::DOUBLE]).map(|()| Meaning::Float64),
        MysqlType::Bit { bits } => {
            when(mapped.ty == t::BIT && meta == usize::from(*bits))?;
            Some(Meaning::Bits)
        }
        MysqlType::Varchar {
            characters, charset, ..
        } => {
            is(&[
                t::VARCHAR,
                t::VAR_STRING,
                t::STRING,
                t::MARIADB_VARCHAR_COMPRESSED,
            ])?;
            let width = usize::try_from(*characters)
                .ok()?
                .checked_mul(charset.bytes_per_character_max())?;
            when(compressed || width == meta)?;
            text(*charset)
        }
        MysqlType::Text { charset, .. } => is(BLOBS).and_then(|()| text(*charset)),
        MysqlType::Binary { bytes: width } => {
            let width = usize::try_from(*width).ok()?;
            when(mapped.ty == t::STRING && width == meta)?;
            bytes(width)
        }
        MysqlType::Varbinary { bytes: width } => {
            is(&[t::VARCHAR, t::VAR_STRING, t::MARIADB_VARCHAR_COMPRESSED])?;
            when(compressed || usize::try_from(*width) == Ok(meta))?;
            bytes(0)
        }
        MysqlType::Blob { .. } => is(BLOBS).and_then(|()| bytes(0)),
        MysqlType::Enum { labels, charset } => {
            is(&[t::ENUM])?;
            Some(Meaning::Enum(labels_of(mapped, labels, *charset)?))
        }
        MysqlType::Set { labels, charset } => {
            is(&[t::SET])?;
            Some(Meaning::Set(labels_of(mapped, labels, *charset)?))
        }
        MysqlType::Json => is(&[t::JSON]).map(|()| Meaning::Json),
        MysqlType::JsonText { charset } => {
            is(BLOBS)?;
            same_charset(*charset)?;
            Some(if compressed {
                Meaning::CompressedJsonText(*charset)
            } else {
                Meaning::JsonText(*charset)
            })
        }
        MysqlType::Date => is(&[t::DATE, t::NEWDATE]).map(|()| Meaning::Date),
        MysqlType::DateTime { fraction } => {
            is(&[t::DATETIME2])?;
            fraction_is(*fraction).map(|()| Meaning::DateTime { fraction: meta })
        }
        MysqlType::Timestamp { fraction } => {
            is(&[t::TIMESTAMP2])?;
            fraction_is(*fraction).map(|()| Meaning::Timestamp { fraction: meta })
        }
        MysqlType::Time { fraction } => {
            is(&[t::TIME2])?;
            fraction_is(*fraction).map(|()| Meaning::Time { fraction: meta })
        }
        MysqlType::Year => is(&[t::YEAR]).map(|()| Meaning::Year),
        MysqlType::Geometry => is(&[t::GEOMETRY]).map(|()| Meaning::Bytes { width: 0 }),
        MysqlType::Vector { dimensions } => {
            let width = usize::try_from(*dimensions).ok()?.checked_mul(4)?;
            let same = match mapped.ty {
                t::VECTOR => mapped.dimensions.is_none_or(|found| found == *dimensions),
                t::VARCHAR => width == meta,
                _ => false,
            };
            when(same).map(|()| Meaning::Bytes { width: 0 })
        }
        MysqlType::Uuid => fixed(mapped, 16).map(|()| Meaning::Uuid),
        MysqlType::Inet4 => fixed(mapped, 4).map(|()| Meaning::Inet4),
        MysqlType::Inet6 => fixed(mapped, 16).map(|()| Meaning::Inet6),
        // Not migrated: only its width matters.
        MysqlType::Unknown { .. } => Some(Meaning::Bytes { width: 0 }),
    }
}

fn fixed(mapped: &MappedColumn, width: u16) -> Option<()> {
    (mapped.ty == t::STRING && mapped.meta == width).then_some(())
}

/// The labels of an ENUM or SET, if they are the ones of the catalog.
fn labels_of(mapped: &MappedColumn, shown: &[String], charset: Charset) -> Option<Vec<String>> {
    let found = mapped.labels.as_ref()?;
    let mut scratch = Vec::new();
    let charset = mapped.collation.and_then(of_collation).unwrap_or(charset);
    let labels: Option<Vec<String>> = found
        .iter()
        .map(|bytes| decode(charset, bytes, &mut scratch).ok().map(str::to_owned))
        .collect();
    let same = |labels: &Vec<String>| {
        labels.len() == shown.len()
            && labels
                .iter()
                .zip(shown)
                .all(|(label, shown)| is_shown_as(label, shown))
    };
    labels.filter(same)
}

/// Whether the catalog shows a label like this. Both servers show `?` there, and in SHOW CREATE
/// TABLE, for each character outside of the Basic Multilingual Plane; the binary log has the label
/// itself.
fn is_shown_as(label: &str, shown: &str) -> bool {
    let is = |(label, shown): (char, char)| label == shown || (shown == '?' && label > '\u{ffff}');
    label.chars().count() == shown.chars().count() && label.chars().zip(shown.chars()).all(is)
}
