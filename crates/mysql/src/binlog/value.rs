//! Binary row values: how each column of an image is laid out, and what it means as a `Scalar`.
//!
//! Source: `Field_*::pack` and `my_*_to_binary` of the servers; the layouts are the same in MySQL
//! and MariaDB but for MariaDB's compressed columns, UUID and INET types.

use spanferry_core::schema::charset::Charset;
use spanferry_core::value::encode::Refusal;
use spanferry_core::value::scalar::Scalar;
use spanferry_format::charset::decode;

use super::compressed::inflate;
use super::decimal::{decimal_bytes, decimal_text};
use super::event::{Cursor, Malformed, little_endian};
use super::json;
use super::network::{inet4_text, inet6_text, padded, uuid_text};
use super::table_map::{MappedColumn, column_type};
use super::temporal::{date, datetime2, time2, timestamp2};

/// Where a value ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// This many bytes.
    Fixed(usize),
    /// This many bytes of length, little-endian, then so many bytes.
    Prefixed(usize),
}

impl Layout {
    /// The layout of a column, or what about it is not readable.
    pub(crate) fn of(column: &MappedColumn) -> Result<Layout, &'static str> {
        use column_type as t;
        let meta = usize::from(column.meta);
        Ok(match column.ty {
            t::TINY | t::YEAR => Layout::Fixed(1),
            t::SHORT => Layout::Fixed(2),
            t::INT24 | t::DATE | t::NEWDATE => Layout::Fixed(3),
            t::LONG | t::FLOAT => Layout::Fixed(4),
            t::LONGLONG | t::DOUBLE => Layout::Fixed(8),
            t::NEWDECIMAL => {
                Layout::Fixed(decimal_bytes(meta & 0xff, meta >> 8).ok_or("a decimal of unknown width")?)
            }
            t::BIT => Layout::Fixed(meta.div_ceil(8)),
            t::TIMESTAMP2 if meta <= 6 => Layout::Fixed(4 + meta.div_ceil(2)),
            t::DATETIME2 if meta <= 6 => Layout::Fixed(5 + meta.div_ceil(2)),
            t::TIME2 if meta <= 6 => Layout::Fixed(3 + meta.div_ceil(2)),
            t::ENUM | t::SET if (1..=8).contains(&meta) => Layout::Fixed(meta),
            t::VARCHAR | t::VAR_STRING | t::STRING | t::MARIADB_VARCHAR_COMPRESSED => {
                Layout::Prefixed(if meta > 255 { 2 } else { 1 })
            }
            t::TINY_BLOB
            | t::MEDIUM_BLOB
            | t::LONG_BLOB
            | t::BLOB
            | t::GEOMETRY
            | t::JSON
            | t::VECTOR
            | t::MARIADB_BLOB_COMPRESSED
                if (1..=4).contains(&meta) =>
            {
                Layout::Prefixed(meta)
            }
            t::TIMESTAMP_OLD | t::DATETIME_OLD | t::TIME_OLD => {
                return Err(
                    "a temporal column in the format of before MySQL 5.6; rebuild the table with `ALTER TABLE … FORCE`",
                );
            }
            _ => return Err("a column type that is not known"),
        })
    }

    /// Takes the value's bytes.
    pub(crate) fn take<'a>(self, cursor: &mut Cursor<'a>) -> Result<&'a [u8], Malformed> {
        match self {
            Layout::Fixed(count) => cursor.take(count),
            Layout::Prefixed(count) => {
                let length = cursor.length(count)?;
                cursor.take(length)
            }
        }
    }
}

/// What a value's bytes mean.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Meaning {
    Integer {
        unsigned: bool,
    },
    Year,
    Float32,
    Float64,
    Decimal {
        precision: usize,
        scale: usize,
    },
    /// BIT, big-endian.
    Bits,
    Text(Charset),
    /// MariaDB COMPRESSED text.
    CompressedText(Charset),
    /// Bytes; padded with zeros to a fixed width, where there is one.
    Bytes {
        width: usize,
    },
    /// MariaDB COMPRESSED bytes.
    CompressedBytes,
    Enum(Vec<String>),
    Set(Vec<String>),
    Json,
    /// MariaDB's JSON is text.
    JsonText(Charset),
    /// The same in a COMPRESSED column.
    CompressedJsonText(Charset),
    Date,
    DateTime {
        fraction: usize,
    },
    Timestamp {
        fraction: usize,
    },
    Time {
        fraction: usize,
    },
    Uuid,
    Inet4,
    Inet6,
}

/// Memory that decoded values borrow from.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
    inflated: Vec<u8>,
    text: String,
}

/// Why a value cannot be read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ValueError {
    /// Its bytes are not what its type says.
    Malformed(Malformed),
    /// It is refused like a value the target cannot hold.
    Refused(Refusal),
}

impl From<Malformed> for ValueError {
    fn from(error: Malformed) -> Self {
        ValueError::Malformed(error)
    }
}

impl Meaning {
    /// The value as a scalar, borrowing from `bytes` or `scratch`.
    pub(crate) fn scalar<'a>(
        &'a self,
        bytes: &'a [u8],
        scratch: &'a mut Scratch,
    ) -> Result<Scalar<'a>, ValueError> {
        Ok(match self {
            Meaning::Integer { unsigned: true } => Scalar::Unsigned(little_endian(bytes)),
            Meaning::Integer { unsigned: false } => Scalar::Signed(sign_extended(bytes)),
            Meaning::Year => Scalar::Signed(match little_endian(bytes) {
                0 => 0,
                year => {
                    1900 + i64::from(
                        u8::try_from(year).map_err(|_| Malformed("a YEAR of more than one byte"))?,
                    )
                }
            }),
            Meaning::Float32 => Scalar::Float32(f32::from_le_bytes(array(bytes)?)),
            Meaning::Float64 => Scalar::Float64(f64::from_le_bytes(array(bytes)?)),
            Meaning::Decimal { precision, scale } => {
                scratch.bytes.clear();
                decimal_text(bytes, *precision, *scale, &mut scratch.bytes)?;
                Scalar::Decimal(&scratch.bytes)
            }
            Meaning::Text(charset) => Scalar::Text(decoded(*charset, bytes, &mut scratch.bytes)?),
            Meaning::JsonText(charset) => Scalar::Json(decoded(*charset, bytes, &mut scratch.bytes)?),
            Meaning::CompressedText(charset) => {
                inflate(bytes, &mut scratch.inflated)?;
                Scalar::Text(decoded(*charset, &scratch.inflated, &mut scratch.bytes)?)
            }
            Meaning::CompressedJsonText(charset) => {
                inflate(bytes, &mut scratch.inflated)?;
                Scalar::Json(decoded(*charset, &scratch.inflated, &mut scratch.bytes)?)
            }
            Meaning::Bytes { width } if bytes.len() < *width => {
                scratch.bytes.clear();
                scratch.bytes.extend_from_slice(bytes);
                scratch.bytes.resize(*width, 0);
                Scalar::Bytes(&scratch.bytes)
            }
            Meaning::Bits | Meaning::Bytes { .. } => Scalar::Bytes(bytes),
            Meaning::CompressedBytes => {
                inflate(bytes, &mut scratch.inflated)?;
                Scalar::Bytes(&scratch.inflated)
            }
            Meaning::Enum(labels) => Scalar::Text(enum_label(little_endian(bytes), labels)?),
            Meaning::Set(labels) => {
                scratch.text.clear();
                set_text(little_endian(bytes), labels, &mut scratch.text)?;
                Scalar::Text(&scratch.text)
            }
            Meaning::Json => {
                scratch.text.clear();
                json::to_text(bytes, &mut scratch.text)?;
                Scalar::Json(&scratch.text)
            }
            Meaning::Date => Scalar::Date(date(little_endian(bytes))?),
            Meaning::DateTime { fraction } => Scalar::DateTime(datetime2(bytes, *fraction)?),
            Meaning::Timestamp { fraction } => Scalar::DateTime(timestamp2(bytes, *fraction)?),
            Meaning::Time { fraction } => Scalar::Time(time2(bytes, *fraction)?),
            Meaning::Uuid => Scalar::Text(network(bytes, uuid_text, &mut scratch.text)?),
            Meaning::Inet4 => Scalar::Text(network(bytes, inet4_text, &mut scratch.text)?),
            Meaning::Inet6 => Scalar::Text(network(bytes, inet6_text, &mut scratch.text)?),
        })
    }
}

fn network<'a>(
    bytes: &[u8],
    print: fn(&[u8; 16], &mut String),
    text: &'a mut String,
) -> Result<&'a str, Malformed> {
    text.clear();
    print(&padded(bytes)?, text);
    Ok(text)
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Malformed> {
    bytes
        .try_into()
        .map_err(|_| Malformed("a value of unexpected width"))
}

fn decoded<'a>(charset: Charset, bytes: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a str, ValueError> {
    decode(charset, bytes, scratch).map_err(|error| {
        ValueError::Refused(Refusal::Undecodable {
            charset: charset.name(),
            offset: error.offset,
        })
    })
}

fn sign_extended(bytes: &[u8]) -> i64 {
    let unused = 64 - 8 * bytes.len().min(8);
    if unused == 64 {
        return 0;
    }
    (little_endian(bytes) << unused).cast_signed() >> unused
}

fn enum_label(index: u64, labels: &[String]) -> Result<&str, Malformed> {
    let Some(below) = index.checked_sub(1) else {
        return Ok("");
    };
    let label = usize::try_from(below).ok().and_then(|below| labels.get(below));
    label
        .map(String::as_str)
        .ok_or(Malformed("an ENUM index without a label"))
}

fn set_text(bits: u64, labels: &[String], text: &mut String) -> Result<(), Malformed> {
    if labels.len() < 64 && bits >> labels.len() != 0 {
        return Err(Malformed("a SET bit without a label"));
    }
    let chosen = labels
        .iter()
        .enumerate()
        .filter(|(index, _)| bits >> index & 1 == 1);
    for (place, (_, label)) in chosen.enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(label);
    }
    Ok(())
}
