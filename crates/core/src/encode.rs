//! The one conversion of values: a source scalar into Spanner's wire form, exactly, or a refusal.
//!
//! Each value has one spelling, whichever road it took: integers without leading zeros; NUMERIC without trailing zeros and
//! negative zero; a decimal in text with the digits of its scale, as the server prints it, but without ZEROFILL; timestamps
//! in UTC with `Z`, whose fraction has no trailing zeros; TIME as [`Encoding::String`] says; UUIDs in lower case; JSON
//! without spaces, otherwise as the source spells it.

use std::fmt;

use crate::json::{self, Flavor, Form};
use crate::scalar::{Date, DateTime, Scalar, Time};
use crate::wire;

/// How one column is converted; computed once per table and schema version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnPlan {
    /// Index into the source table's columns.
    pub source_index: usize,
    /// Which form the target takes.
    pub encoding: Encoding,
    /// Whether the target column is NOT NULL.
    pub not_null: bool,
}

/// The form a target column takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// INT64 or bigint.
    Int64,
    /// FLOAT32 or real.
    Float32,
    /// FLOAT64 or double precision.
    Float64,
    /// GoogleSQL NUMERIC: 29 digits before and 9 behind the point.
    Numeric,
    /// PostgreSQL numeric: 131,072 digits before and 16,383 behind the point.
    PgNumeric,
    /// STRING or varchar; the limit counts characters. Takes TIME as `[-]HH:MM:SS[.ffffff]`: three digits of hours from 100
    /// on, no fraction or all six digits of it, whatever the column declares.
    String {
        /// Most characters.
        characters_max: u32,
    },
    /// BYTES or bytea; the limit counts bytes.
    Bytes {
        /// Most bytes.
        bytes_max: u32,
    },
    /// DATE.
    Date,
    /// TIMESTAMP or timestamptz, read as UTC.
    Timestamp,
    /// JSON or jsonb.
    Json {
        /// GoogleSQL JSON holds numbers as 64-bit integers or doubles; PostgreSQL jsonb holds any numeric.
        arbitrary_numbers: bool,
    },
    /// ARRAY<FLOAT32> or real[].
    Float32Array {
        /// How many elements the target demands, if it does.
        dimensions: Option<u32>,
    },
    /// UUID, or text of 36 characters where the target has no such type: lower case.
    Uuid,
}

/// Why a value has no exact form at the target. Holds no row value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// NULL in a NOT NULL column.
    Null,
    /// An integer beyond a signed 64-bit one.
    IntegerRange,
    /// More digits than the target's numeric holds.
    NumericRange,
    /// Longer than the column allows.
    TooLong {
        /// The limit, in characters or bytes.
        limit: u64,
    },
    /// 0000-00-00 or a date with a zero part.
    ZeroDate,
    /// A year, month or day outside the target's calendar.
    DateRange,
    /// Bytes that are no text in the column's charset.
    Undecodable {
        /// The charset.
        charset: &'static str,
        /// Offset of the first such byte.
        offset: usize,
    },
    /// JSON that the target would change in more than key order and spelling.
    Json {
        /// What it would change.
        reason: &'static str,
    },
    /// A form that this type cannot have; the source sent something unexpected.
    Form {
        /// What was expected.
        expected: &'static str,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Null => f.write_str("NULL in a NOT NULL column"),
            Refusal::IntegerRange => f.write_str("an integer above 9223372036854775807"),
            Refusal::NumericRange => f.write_str("a decimal with more digits than the target holds"),
            Refusal::TooLong { limit } => write!(f, "a value longer than {limit}"),
            Refusal::ZeroDate => f.write_str("a zero or partial date"),
            Refusal::DateRange => {
                f.write_str("a date that the calendar of 0001-01-01 to 9999-12-31 does not have")
            }
            Refusal::Undecodable { charset, offset } => {
                write!(f, "bytes that are no {charset} text, at offset {offset}")
            }
            Refusal::Json { reason } => write!(f, "JSON that the target would change: {reason}"),
            Refusal::Form { expected } => write!(f, "a value that is no {expected}"),
        }
    }
}

impl ColumnPlan {
    /// Appends the value as one element of a `ListValue`. On a refusal `out` is as before.
    pub fn encode(&self, scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        if matches!(scalar, Scalar::Null) {
            if self.not_null {
                return Err(Refusal::Null);
            }
            wire::put_null(out);
            return Ok(());
        }
        let start = out.len();
        let result = encode_value(self.encoding, scalar, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }
}

/// Longest STRING: 2,621,440 characters and 10 MiB (Spanner documentation, "Quotas & limits").
pub const STRING_CHARACTERS_MAX: u32 = 2_621_440;
/// Longest cell of any type.
pub const CELL_BYTES_MAX: u32 = 10 << 20;
/// Digits of GoogleSQL NUMERIC before and behind the point.
const NUMERIC_DIGITS: (usize, usize) = (29, 9);
/// Digits of PostgreSQL numeric in Spanner before and behind the point.
const PG_NUMERIC_DIGITS: (usize, usize) = (131_072, 16_383);

fn encode_value(encoding: Encoding, scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    match encoding {
        Encoding::Int64 => int64(scalar, out),
        Encoding::Float32 => float32(scalar, out),
        Encoding::Float64 => float64(scalar, out),
        Encoding::Numeric => numeric(scalar, NUMERIC_DIGITS, out),
        Encoding::PgNumeric => numeric(scalar, PG_NUMERIC_DIGITS, out),
        Encoding::String { characters_max } => string(scalar, characters_max, out),
        Encoding::Bytes { bytes_max } => bytes(scalar, bytes_max, out),
        Encoding::Date => date(scalar, out),
        Encoding::Timestamp => timestamp(scalar, out),
        Encoding::Json { arbitrary_numbers } => json(scalar, json_flavor(arbitrary_numbers), out),
        Encoding::Float32Array { dimensions } => float32_array(scalar, dimensions, out),
        Encoding::Uuid => uuid(scalar, out),
    }
}

fn form<T>(expected: &'static str) -> Result<T, Refusal> {
    Err(Refusal::Form { expected })
}

/// Digits of an integer, at most 20 with its sign.
struct Digits {
    buffer: [u8; 20],
    start: usize,
}

impl Digits {
    fn of(negative: bool, mut magnitude: u64) -> Digits {
        let mut digits = Digits {
            buffer: [0; 20],
            start: 20,
        };
        loop {
            digits.push((magnitude % 10) as u8 + b'0');
            magnitude /= 10;
            if magnitude == 0 {
                break;
            }
        }
        if negative {
            digits.push(b'-');
        }
        digits
    }

    fn push(&mut self, byte: u8) {
        self.start -= 1;
        self.buffer[self.start] = byte;
    }

    fn as_bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

fn int64(scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    match scalar {
        Scalar::Signed(value) => {
            wire::put_string(out, Digits::of(value < 0, value.unsigned_abs()).as_bytes());
        }
        Scalar::Unsigned(value) if i64::try_from(value).is_ok() => {
            wire::put_string(out, Digits::of(false, value).as_bytes());
        }
        Scalar::Unsigned(_) => return Err(Refusal::IntegerRange),
        Scalar::Digits(text) => {
            if !is_integer(text) {
                return form("integer");
            }
            // Up to 18 digits fit whatever they are; beyond that they are reckoned.
            if text.len() > 18
                && std::str::from_utf8(text)
                    .ok()
                    .and_then(|text| text.parse::<i64>().ok())
                    .is_none()
            {
                return Err(Refusal::IntegerRange);
            }
            wire::put_string(out, text);
        }
        _ => return form("integer"),
    }
    Ok(())
}

/// Whether it is an integer in its one spelling.
fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) && (digits[0] != b'0' || text.len() == 1)
}

fn float32(scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let Scalar::Float32(value) = scalar else {
        return form("4-byte float");
    };
    put_float(out, f64::from(value));
    Ok(())
}

fn float64(scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    match scalar {
        Scalar::Float64(value) => put_float(out, value),
        Scalar::Float32(value) => put_float(out, f64::from(value)),
        _ => return form("8-byte float"),
    }
    Ok(())
}

/// Numbers travel as such, what JSON's numbers cannot hold as a word (Spanner documentation, `TypeCode.FLOAT64`).
fn put_float(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        wire::put_number(out, value);
    } else if value.is_nan() {
        wire::put_string(out, b"NaN");
    } else if value > 0.0 {
        wire::put_string(out, b"Infinity");
    } else {
        wire::put_string(out, b"-Infinity");
    }
}

fn numeric(scalar: Scalar<'_>, limits: (usize, usize), out: &mut Vec<u8>) -> Result<(), Refusal> {
    let digits;
    let text = match scalar {
        Scalar::Decimal(text) | Scalar::Digits(text) => text,
        Scalar::Signed(value) => {
            digits = Digits::of(value < 0, value.unsigned_abs());
            digits.as_bytes()
        }
        Scalar::Unsigned(value) => {
            digits = Digits::of(false, value);
            digits.as_bytes()
        }
        _ => return form("decimal"),
    };
    let decimal = PlainDecimal::read(text).ok_or(Refusal::Form { expected: "decimal" })?;
    if decimal.whole.len() > limits.0 || decimal.fraction.len() > limits.1 {
        return Err(Refusal::NumericRange);
    }
    let length = decimal.length();
    wire::put_string_head(out, length);
    decimal.write(out);
    Ok(())
}

/// A decimal without leading zeros and negative zero.
pub(crate) struct PlainDecimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
}

impl<'a> PlainDecimal<'a> {
    /// Reads `[-]digits[.digits]` and forgets trailing zeros behind the point.
    pub(crate) fn read(text: &'a [u8]) -> Option<PlainDecimal<'a>> {
        let mut decimal = PlainDecimal::read_scaled(text)?;
        let zeros = decimal
            .fraction
            .iter()
            .rev()
            .take_while(|digit| **digit == b'0')
            .count();
        decimal.fraction = &decimal.fraction[..decimal.fraction.len() - zeros];
        Some(decimal)
    }

    /// Reads `[-]digits[.digits]` and keeps all digits behind the point.
    fn read_scaled(text: &'a [u8]) -> Option<PlainDecimal<'a>> {
        let unsigned = text.strip_prefix(b"-").unwrap_or(text);
        let (whole, fraction) = match unsigned.iter().position(|byte| *byte == b'.') {
            Some(point) => (&unsigned[..point], &unsigned[point + 1..]),
            None => (unsigned, &[][..]),
        };
        if whole.is_empty() && fraction.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
            return None;
        }
        let zeros = whole.iter().take_while(|digit| **digit == b'0').count();
        let whole = &whole[zeros..];
        let is_zero = whole.is_empty() && fraction.iter().all(|digit| *digit == b'0');
        let negative = unsigned.len() < text.len() && !is_zero;
        Some(PlainDecimal {
            negative,
            whole,
            fraction,
        })
    }

    /// Bytes that `write` appends.
    pub(crate) fn length(&self) -> usize {
        let point = if self.fraction.is_empty() {
            0
        } else {
            1 + self.fraction.len()
        };
        usize::from(self.negative) + self.whole.len().max(1) + point
    }

    /// Appends the canonical text.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        out.extend_from_slice(if self.whole.is_empty() { b"0" } else { self.whole });
        if !self.fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(self.fraction);
        }
    }
}

fn string(scalar: Scalar<'_>, characters_max: u32, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let limit = u64::from(characters_max);
    match scalar {
        Scalar::Text(text) | Scalar::Json(text) => {
            // A text of so few bytes cannot have too many characters.
            if text.len() as u64 > limit && text.chars().count() as u64 > limit {
                return Err(Refusal::TooLong { limit });
            }
            check_bytes(text.len(), CELL_BYTES_MAX)?;
            wire::put_string(out, text.as_bytes());
            Ok(())
        }
        Scalar::Decimal(text) => {
            let decimal = PlainDecimal::read_scaled(text).ok_or(Refusal::Form { expected: "decimal" })?;
            let length = decimal.length();
            check_bytes(length, characters_max)?;
            wire::put_string_head(out, length);
            decimal.write(out);
            Ok(())
        }
        Scalar::Digits(text) if is_integer(text) => put_short(text, characters_max, out),
        Scalar::Signed(value) => put_short(
            Digits::of(value < 0, value.unsigned_abs()).as_bytes(),
            characters_max,
            out,
        ),
        Scalar::Unsigned(value) => put_short(Digits::of(false, value).as_bytes(), characters_max, out),
        Scalar::Time(value) => put_short(time(value)?.as_bytes(), characters_max, out),
        _ => form("text"),
    }
}

fn put_short(text: &[u8], characters_max: u32, out: &mut Vec<u8>) -> Result<(), Refusal> {
    check_bytes(text.len(), characters_max)?;
    wire::put_string(out, text);
    Ok(())
}

fn check_bytes(length: usize, limit: u32) -> Result<(), Refusal> {
    if length > limit as usize {
        Err(Refusal::TooLong {
            limit: u64::from(limit),
        })
    } else {
        Ok(())
    }
}

/// `[-]HH:MM:SS`, three digits for hours from 100 on, and all six digits of a fraction that is not zero: a form that does
/// not depend on the column's declared digits, so that text and binary values agree.
fn time(value: Time) -> Result<Short, Refusal> {
    if value.hours > 999 || value.minutes > 59 || value.seconds > 59 || value.microseconds > 999_999 {
        return form("time");
    }
    let mut text = Short::default();
    let is_zero = (value.hours, value.minutes, value.seconds, value.microseconds) == (0, 0, 0, 0);
    if value.negative && !is_zero {
        text.push(b'-');
    }
    text.digits(u32::from(value.hours), if value.hours >= 100 { 3 } else { 2 });
    text.push(b':');
    text.digits(u32::from(value.minutes), 2);
    text.push(b':');
    text.digits(u32::from(value.seconds), 2);
    if value.microseconds != 0 {
        text.push(b'.');
        text.digits(value.microseconds, 6);
    }
    Ok(text)
}

/// A short text put together on the stack.
#[derive(Default)]
struct Short {
    buffer: [u8; 32],
    length: usize,
}

impl Short {
    fn push(&mut self, byte: u8) {
        self.buffer[self.length] = byte;
        self.length += 1;
    }

    fn digits(&mut self, mut value: u32, width: usize) {
        for at in (self.length..self.length + width).rev() {
            self.buffer[at] = (value % 10) as u8 + b'0';
            value /= 10;
        }
        self.length += width;
    }

    fn as_bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn bytes(scalar: Scalar<'_>, bytes_max: u32, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let Scalar::Bytes(bytes) = scalar else {
        return form("bytes");
    };
    check_bytes(bytes.len(), bytes_max.min(CELL_BYTES_MAX))?;
    wire::put_string_head(out, bytes.len().div_ceil(3) * 4);
    let mut groups = bytes.chunks_exact(3);
    for group in &mut groups {
        let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        out.extend_from_slice(&[
            sextet(bits, 18),
            sextet(bits, 12),
            sextet(bits, 6),
            sextet(bits, 0),
        ]);
    }
    match *groups.remainder() {
        [a] => {
            let bits = u32::from(a) << 16;
            out.extend_from_slice(&[sextet(bits, 18), sextet(bits, 12), b'=', b'=']);
        }
        [a, b] => {
            let bits = u32::from(a) << 16 | u32::from(b) << 8;
            out.extend_from_slice(&[sextet(bits, 18), sextet(bits, 12), sextet(bits, 6), b'=']);
        }
        _ => {}
    }
    Ok(())
}

fn sextet(bits: u32, shift: u32) -> u8 {
    BASE64[(bits >> shift & 63) as usize]
}

fn date(scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let Scalar::Date(value) = scalar else {
        return form("date");
    };
    let mut text = Short::default();
    write_date(value, &mut text)?;
    wire::put_string(out, text.as_bytes());
    Ok(())
}

fn write_date(value: Date, text: &mut Short) -> Result<(), Refusal> {
    if value.month == 0 || value.day == 0 {
        return Err(Refusal::ZeroDate);
    }
    if !(1..=9999).contains(&value.year) || value.month > 12 || value.day > days_in(value.year, value.month) {
        return Err(Refusal::DateRange);
    }
    text.digits(u32::from(value.year), 4);
    text.push(b'-');
    text.digits(u32::from(value.month), 2);
    text.push(b'-');
    text.digits(u32::from(value.day), 2);
    Ok(())
}

/// Days of a month in the calendar that both sides use for all years.
fn days_in(year: u16, month: u8) -> u8 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// RFC 3339 in UTC; the fraction without trailing zeros, none if it is zero.
fn timestamp(scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let Scalar::DateTime(DateTime {
        date,
        hour,
        minute,
        second,
        microsecond,
    }) = scalar
    else {
        return form("date with time");
    };
    let mut text = Short::default();
    write_date(date, &mut text)?;
    if hour > 23 || minute > 59 || second > 59 || microsecond > 999_999 {
        return form("time of day");
    }
    text.push(b'T');
    text.digits(u32::from(hour), 2);
    text.push(b':');
    text.digits(u32::from(minute), 2);
    text.push(b':');
    text.digits(u32::from(second), 2);
    if microsecond != 0 {
        let (mut fraction, mut width) = (microsecond, 6);
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            width -= 1;
        }
        text.push(b'.');
        text.digits(fraction, width);
    }
    text.push(b'Z');
    wire::put_string(out, text.as_bytes());
    Ok(())
}

pub(crate) fn json_flavor(arbitrary_numbers: bool) -> Flavor {
    if arbitrary_numbers {
        Flavor::Jsonb
    } else {
        Flavor::Json
    }
}

fn json(scalar: Scalar<'_>, flavor: Flavor, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let (Scalar::Json(text) | Scalar::Text(text)) = scalar else {
        return form("JSON");
    };
    let limit = CELL_BYTES_MAX as usize;
    let opened = wire::open_string(out);
    let start = out.len();
    let result = json::write(text, flavor, Form::Stored, out);
    if out.len() - start > limit {
        return Err(Refusal::TooLong {
            limit: u64::from(CELL_BYTES_MAX),
        });
    }
    result.map_err(|reason| Refusal::Json { reason })?;
    wire::close_list(out, opened);
    Ok(())
}

fn float32_array(scalar: Scalar<'_>, dimensions: Option<u32>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let Scalar::Bytes(bytes) = scalar else {
        return form("vector");
    };
    check_bytes(bytes.len(), CELL_BYTES_MAX)?;
    let (floats, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return form("vector of 4-byte floats");
    }
    if dimensions.is_some_and(|dimensions| floats.len() != dimensions as usize) {
        return form("vector of all its declared elements");
    }
    let list = wire::open_list(out);
    for float in floats {
        put_float(out, f64::from(f32::from_le_bytes(*float)));
    }
    wire::close_list(out, list);
    Ok(())
}

fn uuid(scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let Scalar::Text(text) = scalar else {
        return form("UUID");
    };
    let is_dash = |index: usize| matches!(index, 8 | 13 | 18 | 23);
    let fits = |(index, byte): (usize, u8)| {
        if is_dash(index) {
            byte == b'-'
        } else {
            byte.is_ascii_hexdigit()
        }
    };
    if text.len() != 36 || !text.bytes().enumerate().all(fits) {
        return form("UUID");
    }
    wire::put_string_head(out, 36);
    out.extend(text.bytes().map(|byte| byte.to_ascii_lowercase()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{WireReader, WireValue};
    use proptest::prelude::*;

    fn encoded(encoding: Encoding, scalar: Scalar<'_>) -> Result<String, Refusal> {
        let mut out = Vec::new();
        ColumnPlan {
            source_index: 0,
            encoding,
            not_null: true,
        }
        .encode(scalar, &mut out)?;
        let values: Vec<_> = WireReader::new(&out).map(Result::unwrap).collect();
        let [WireValue::String(text)] = values[..] else {
            panic!("expected one string, found {values:?}")
        };
        Ok(String::from_utf8(text.to_vec()).unwrap())
    }

    fn check(encoding: Encoding, scalar: Scalar<'_>, expected: Result<&str, Refusal>) {
        assert_eq!(
            encoded(encoding, scalar),
            expected.map(str::to_owned),
            "{scalar:?}"
        );
    }

    #[test]
    fn integers() {
        check(
            Encoding::Int64,
            Scalar::Signed(i64::MIN),
            Ok("-9223372036854775808"),
        );
        check(
            Encoding::Int64,
            Scalar::Unsigned(u64::MAX),
            Err(Refusal::IntegerRange),
        );
        check(Encoding::Int64, Scalar::Unsigned(0), Ok("0"));
        check(
            Encoding::Int64,
            Scalar::Digits(b"9223372036854775807"),
            Ok("9223372036854775807"),
        );
        check(
            Encoding::Int64,
            Scalar::Digits(b"9223372036854775808"),
            Err(Refusal::IntegerRange),
        );
        check(
            Encoding::Int64,
            Scalar::Digits(b"-9223372036854775808"),
            Ok("-9223372036854775808"),
        );
        check(Encoding::Int64, Scalar::Digits(b"1x"), form("integer"));
        for bad in [&b"007"[..], b"-0", b"-", b"", b"+1", b"12345678901234567890x"] {
            check(Encoding::Int64, Scalar::Digits(bad), form("integer"));
            check(
                Encoding::String { characters_max: 30 },
                Scalar::Digits(bad),
                form("text"),
            );
        }
    }

    #[test]
    fn decimals() {
        check(Encoding::Numeric, Scalar::Decimal(b"-0.00"), Ok("0"));
        check(Encoding::Numeric, Scalar::Decimal(b"0012.3400"), Ok("12.34"));
        check(Encoding::Numeric, Scalar::Decimal(b"-.5"), Ok("-0.5"));
        check(
            Encoding::Numeric,
            Scalar::Decimal(b"0.1234567890"),
            Ok("0.123456789"),
        );
        check(
            Encoding::Numeric,
            Scalar::Decimal(b"0.1234567891"),
            Err(Refusal::NumericRange),
        );
        check(
            Encoding::Numeric,
            Scalar::Decimal(b"100000000000000000000000000000"),
            Err(Refusal::NumericRange),
        );
        check(
            Encoding::PgNumeric,
            Scalar::Decimal(b"0.1234567891"),
            Ok("0.1234567891"),
        );
        check(
            Encoding::Numeric,
            Scalar::Unsigned(u64::MAX),
            Ok("18446744073709551615"),
        );
        check(
            Encoding::String { characters_max: 70 },
            Scalar::Decimal(b"1.50"),
            Ok("1.50"),
        );
        check(
            Encoding::String { characters_max: 70 },
            Scalar::Decimal(b"-0001.50"),
            Ok("-1.50"),
        );
        check(
            Encoding::String { characters_max: 70 },
            Scalar::Decimal(b"-0.00"),
            Ok("0.00"),
        );
        check(
            Encoding::String { characters_max: 3 },
            Scalar::Decimal(b"-1.5"),
            Err(Refusal::TooLong { limit: 3 }),
        );
        for bad in [&b""[..], b"-", b".", b"1e5", b"1.2.3"] {
            check(Encoding::Numeric, Scalar::Decimal(bad), form("decimal"));
        }
    }

    #[test]
    fn dates_and_times() {
        let date = |year, month, day| Date { year, month, day };
        check(Encoding::Date, Scalar::Date(date(1, 1, 1)), Ok("0001-01-01"));
        check(
            Encoding::Date,
            Scalar::Date(date(0, 0, 0)),
            Err(Refusal::ZeroDate),
        );
        check(
            Encoding::Date,
            Scalar::Date(date(2024, 5, 0)),
            Err(Refusal::ZeroDate),
        );
        check(
            Encoding::Date,
            Scalar::Date(date(0, 1, 1)),
            Err(Refusal::DateRange),
        );
        check(
            Encoding::Date,
            Scalar::Date(date(2023, 2, 29)),
            Err(Refusal::DateRange),
        );
        check(Encoding::Date, Scalar::Date(date(2024, 2, 29)), Ok("2024-02-29"));
        let at = |microsecond| DateTime {
            date: date(2038, 1, 19),
            hour: 3,
            minute: 14,
            second: 8,
            microsecond,
        };
        check(
            Encoding::Timestamp,
            Scalar::DateTime(at(0)),
            Ok("2038-01-19T03:14:08Z"),
        );
        check(
            Encoding::Timestamp,
            Scalar::DateTime(at(5)),
            Ok("2038-01-19T03:14:08.000005Z"),
        );
        check(
            Encoding::Timestamp,
            Scalar::DateTime(at(120_000)),
            Ok("2038-01-19T03:14:08.12Z"),
        );
        let time = |negative, hours, microseconds| Time {
            negative,
            hours,
            minutes: 5,
            seconds: 9,
            microseconds,
        };
        let text = Encoding::String { characters_max: 18 };
        check(text, Scalar::Time(time(true, 838, 0)), Ok("-838:05:09"));
        check(text, Scalar::Time(time(false, 0, 5)), Ok("00:05:09.000005"));
        check(
            text,
            Scalar::Time(time(true, 99, 500_000)),
            Ok("-99:05:09.500000"),
        );
        check(
            text,
            Scalar::Time(Time {
                minutes: 0,
                seconds: 0,
                ..time(true, 0, 0)
            }),
            Ok("00:00:00"),
        );
        check(text, Scalar::Time(time(false, 1000, 0)), form("time"));
        check(text, Scalar::Time(time(false, 0, 1_000_000)), form("time"));
        check(
            Encoding::Timestamp,
            Scalar::DateTime(at(1_000_000)),
            form("time of day"),
        );
    }

    #[test]
    fn text_and_bytes_have_limits() {
        let three = Encoding::String { characters_max: 3 };
        check(three, Scalar::Text("äöü"), Ok("äöü"));
        check(three, Scalar::Text("abcd"), Err(Refusal::TooLong { limit: 3 }));
        check(three, Scalar::Text("a\0b"), Ok("a\0b"));
        let bytes = Encoding::Bytes { bytes_max: 4 };
        check(bytes, Scalar::Bytes(b"\0\x01\xff"), Ok("AAH/"));
        check(bytes, Scalar::Bytes(b"\xfb\xff\0\0"), Ok("+/8AAA=="));
        check(bytes, Scalar::Bytes(b"12345"), Err(Refusal::TooLong { limit: 4 }));
        check(
            Encoding::Json {
                arbitrary_numbers: false,
            },
            Scalar::Json("{\"b\": 1, \"a\": 2}"),
            Ok("{\"b\":1,\"a\":2}"),
        );
    }

    #[test]
    fn uuids_and_vectors() {
        let text = "6CCD780c-baba-1026-9564-5b8c656024db";
        check(
            Encoding::Uuid,
            Scalar::Text(text),
            Ok("6ccd780c-baba-1026-9564-5b8c656024db"),
        );
        for bad in [
            "",
            &text[1..],
            "6ccd780cxbaba-1026-9564-5b8c656024db",
            "gccd780c-baba-1026-9564-5b8c656024db",
        ] {
            check(Encoding::Uuid, Scalar::Text(bad), form("UUID"));
        }
        let vector = Encoding::Float32Array { dimensions: Some(2) };
        check(
            vector,
            Scalar::Bytes(&[0; 4]),
            form("vector of all its declared elements"),
        );
        check(vector, Scalar::Bytes(&[0; 7]), form("vector of 4-byte floats"));
    }

    proptest! {
        #[test]
        fn integers_equal_the_plain_way(value: i64, unsigned: u64) {
            let text = value.to_string();
            prop_assert_eq!(encoded(Encoding::Int64, Scalar::Signed(value)), Ok(text.clone()));
            prop_assert_eq!(encoded(Encoding::Int64, Scalar::Digits(text.as_bytes())), Ok(text));
            prop_assert_eq!(encoded(Encoding::Numeric, Scalar::Unsigned(unsigned)), Ok(unsigned.to_string()));
        }

        #[test]
        fn a_refusal_leaves_no_trace(text in ".{0,8}", start in prop::collection::vec(any::<u8>(), 0..9)) {
            let mut out = start.clone();
            let plan = ColumnPlan { source_index: 0, encoding: Encoding::Json { arbitrary_numbers: false }, not_null: false };
            if plan.encode(Scalar::Json(&text), &mut out).is_err() {
                prop_assert_eq!(out, start);
            }
        }
    }
}
