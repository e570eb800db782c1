//! Binary row values: how each column of an image is laid out, and what it means as a `Scalar`.
//!
//! Source: `Field_*::pack` and `my_*_to_binary` of the servers; the layouts are the same in MySQL and MariaDB but for
//! MariaDB's compressed columns, UUID and INET types.

use std::fmt::Write as _;

use spanferry_core::charset::Charset;
use spanferry_core::encode::Refusal;
use spanferry_core::scalar::{Date, DateTime, Scalar, Time};

use super::compressed::inflate;
use super::event::{Cursor, Malformed, big_endian, little_endian};
use super::json;
use super::table_map::{MappedColumn, column_type};

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

/// Why a value cannot be told.
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
            Meaning::Uuid | Meaning::Inet4 | Meaning::Inet6 => {
                scratch.text.clear();
                self.network_text(bytes, &mut scratch.text)?;
                Scalar::Text(&scratch.text)
            }
        })
    }

    /// MariaDB's UUID and INET types, as the server prints them. Trailing zeros may have been stripped.
    fn network_text(&self, bytes: &[u8], text: &mut String) -> Result<(), Malformed> {
        let mut full = [0_u8; 16];
        full.get_mut(..bytes.len())
            .ok_or(Malformed("a fixed value above 16 bytes"))?
            .copy_from_slice(bytes);
        match self {
            Meaning::Uuid => uuid_text(&full, text),
            Meaning::Inet4 => push(
                text,
                format_args!("{}.{}.{}.{}", full[0], full[1], full[2], full[3]),
            ),
            _ => inet6_text(&full, text),
        }
        Ok(())
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("writing to a String does not fail");
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Malformed> {
    bytes
        .try_into()
        .map_err(|_| Malformed("a value of unexpected width"))
}

fn decoded<'a>(charset: Charset, bytes: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a str, ValueError> {
    charset.decode(bytes, scratch).map_err(|error| {
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

/// Digits in the high and low groups of a decimal take this many bytes.
const DIGIT_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// Bytes of DECIMAL(precision, scale) in a row image (`decimal_bin_size`).
pub(crate) fn decimal_bytes(precision: usize, scale: usize) -> Option<usize> {
    if precision > 65 || precision == 0 {
        return None;
    }
    let whole = precision.checked_sub(scale)?;
    Some(whole / 9 * 4 + DIGIT_BYTES[whole % 9] + scale / 9 * 4 + DIGIT_BYTES[scale % 9])
}

/// The text of a binary decimal (`bin2decimal`): no leading zeros but one before the point, all digits of the scale.
pub(crate) fn decimal_text(
    bytes: &[u8],
    precision: usize,
    scale: usize,
    text: &mut Vec<u8>,
) -> Result<(), Malformed> {
    if decimal_bytes(precision, scale) != Some(bytes.len()) {
        return Err(Malformed("a decimal of unexpected width"));
    }
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 == 0);
    let mut digits = Vec::with_capacity(72);
    let whole = precision - scale;
    let mut at = 0;
    let groups = [whole % 9]
        .into_iter()
        .chain(std::iter::repeat_n(9, whole / 9 + scale / 9))
        .chain([scale % 9]);
    for group in groups {
        let width = DIGIT_BYTES[group];
        let mut value = 0_u64;
        for (index, byte) in bytes.iter().enumerate().skip(at).take(width) {
            let byte = byte ^ if index == 0 { 0x80 } else { 0 };
            value = value << 8 | u64::from(if negative { !byte } else { byte });
        }
        at += width;
        let start = digits.len();
        digits.resize(start + group, b'0');
        for digit in digits[start..].iter_mut().rev() {
            *digit = b'0' + u8::try_from(value % 10).expect("a digit");
            value /= 10;
        }
        if value != 0 {
            return Err(Malformed("a decimal group with too many digits"));
        }
    }
    if negative && digits.iter().any(|digit| *digit != b'0') {
        text.push(b'-');
    }
    let (whole_digits, fraction) = digits.split_at(whole);
    let leading = whole_digits.iter().take_while(|digit| **digit == b'0').count();
    text.extend_from_slice(if leading == whole {
        b"0"
    } else {
        &whole_digits[leading..]
    });
    if scale > 0 {
        text.push(b'.');
        text.extend_from_slice(fraction);
    }
    Ok(())
}

fn small<T: TryFrom<u64>>(value: u64) -> Result<T, Malformed> {
    T::try_from(value).map_err(|_| Malformed("a temporal part out of range"))
}

/// Three bytes: day in 5 bits, month in 4, year in the rest.
fn date(packed: u64) -> Result<Date, Malformed> {
    let year: u16 = small(packed >> 9)?;
    let date = Date {
        year,
        month: small(packed >> 5 & 15)?,
        day: small(packed & 31)?,
    };
    if year > 9999 || date.month > 12 {
        return Err(Malformed("a date out of range"));
    }
    Ok(date)
}

/// The fraction's bytes, big-endian in units of 1/100, 1/10,000 or 1/1,000,000, as microseconds.
fn microseconds(bytes: &[u8], fraction: usize) -> Result<u32, Malformed> {
    let value: u32 = small(big_endian(bytes))?;
    let scaled = match fraction.div_ceil(2) {
        0 => Some(0),
        1 => value.checked_mul(10_000),
        2 => value.checked_mul(100),
        _ => Some(value),
    };
    scaled
        .filter(|micros| *micros < 1_000_000)
        .ok_or(Malformed("a fraction of a second out of range"))
}

/// Five bytes, big-endian, offset by 2^39: year * 13 + month, day, hour, minute, second; then the fraction.
fn datetime2(bytes: &[u8], fraction: usize) -> Result<DateTime, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let packed = cursor
        .uint_be(5)?
        .checked_sub(1 << 39)
        .ok_or(Malformed("a negative DATETIME"))?;
    let microsecond = microseconds(cursor.rest(), fraction)?;
    datetime_parts(packed, microsecond)
}

/// The integer part of a packed DATETIME.
pub(crate) fn datetime_parts(packed: u64, microsecond: u32) -> Result<DateTime, Malformed> {
    let (year_month, day) = (packed >> 22, packed >> 17 & 31);
    let (hour, minute, second) = (packed >> 12 & 31, packed >> 6 & 63, packed & 63);
    let date = Date {
        year: small(year_month / 13)?,
        month: small(year_month % 13)?,
        day: small(day)?,
    };
    if date.year > 9999 || hour > 23 || minute > 59 || second > 59 {
        return Err(Malformed("a DATETIME out of range"));
    }
    Ok(DateTime {
        date,
        hour: small(hour)?,
        minute: small(minute)?,
        second: small(second)?,
        microsecond,
    })
}

/// Four bytes of seconds since 1970, big-endian, then the fraction. Zero is the zero date.
/// MariaDB 11.5 and later use all 32 bits (until 2106); MySQL's values stay below 2^31.
fn timestamp2(bytes: &[u8], fraction: usize) -> Result<DateTime, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let seconds = cursor.uint_be(4)?;
    let microsecond = microseconds(cursor.rest(), fraction)?;
    if seconds == 0 && microsecond == 0 {
        let date = Date {
            year: 0,
            month: 0,
            day: 0,
        };
        return Ok(DateTime {
            date,
            hour: 0,
            minute: 0,
            second: 0,
            microsecond: 0,
        });
    }
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    Ok(DateTime {
        date: civil(days)?,
        hour: small(of_day / 3600)?,
        minute: small(of_day / 60 % 60)?,
        second: small(of_day % 60)?,
        microsecond,
    })
}

/// The date that lies `days` behind 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn civil(days: u64) -> Result<Date, Malformed> {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    Ok(Date {
        year: small(year)?,
        month: small(month)?,
        day: small(day)?,
    })
}

/// Three bytes and the fraction, big-endian, as one number offset by its half: the sign reaches into the fraction.
fn time2(bytes: &[u8], fraction: usize) -> Result<Time, Malformed> {
    let fraction_bytes = fraction.div_ceil(2);
    if bytes.len() != 3 + fraction_bytes {
        return Err(Malformed("a TIME of unexpected width"));
    }
    let zero = 1_u64 << (8 * bytes.len() - 1);
    let packed = big_endian(bytes);
    let (negative, size) = (packed < zero, packed.abs_diff(zero));
    let part = size & ((1 << (8 * fraction_bytes)) - 1);
    let microseconds = microseconds(&part.to_be_bytes(), fraction)?;
    time_parts(negative, size >> (8 * fraction_bytes), microseconds)
}

/// The integer part of a packed TIME.
pub(crate) fn time_parts(negative: bool, packed: u64, microseconds: u32) -> Result<Time, Malformed> {
    let (hours, minutes, seconds) = (packed >> 12 & 1023, packed >> 6 & 63, packed & 63);
    if packed >> 22 != 0 || hours > 838 || minutes > 59 || seconds > 59 {
        return Err(Malformed("a TIME out of range"));
    }
    let negative = negative && (packed != 0 || microseconds != 0);
    Ok(Time {
        negative,
        hours: small(hours)?,
        minutes: small(minutes)?,
        seconds: small(seconds)?,
        microseconds,
    })
}

fn uuid_text(bytes: &[u8; 16], text: &mut String) {
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        push(text, format_args!("{byte:02x}"));
    }
}

/// An IPv6 address as MariaDB's `Inet6::to_string` prints it: the first longest run of zero groups, even of one, becomes
/// `::`; the last four bytes are dotted behind a run of six, or of five and `ffff`.
fn inet6_text(bytes: &[u8; 16], text: &mut String) {
    let groups: Vec<u64> = bytes.chunks(2).map(big_endian).collect();
    let (mut start, mut length) = (groups.len(), 0);
    for first in 0..groups.len() {
        let run = groups[first..].iter().take_while(|group| **group == 0).count();
        if run > length {
            (start, length) = (first, run);
        }
    }
    let dotted = start == 0 && (length == 6 || (length == 5 && groups[5] == 0xffff));
    let mut index = 0;
    while index < groups.len() {
        if index == start {
            text.push_str(if index == 0 { "::" } else { ":" });
            index += length;
            continue;
        }
        if index == 6 && dotted {
            push(
                text,
                format_args!("{}.{}.{}.{}", bytes[12], bytes[13], bytes[14], bytes[15]),
            );
            return;
        }
        push(text, format_args!("{:x}", groups[index]));
        index += 1;
        if index < groups.len() {
            text.push(':');
        }
    }
}
