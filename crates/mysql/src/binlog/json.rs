//! MySQL's binary JSON, as rows events and tables hold it, into the text that the server prints.
//!
//! Source: `sql-common/json_binary.cc` (layout) and `json_dom.cc` (`wrapper_to_string`) of MySQL.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::decimal::decimal_text;
use super::event::{Cursor, Malformed};
use super::temporal::{datetime_parts, time_parts};

/// The server refuses documents deeper than this.
const DEPTH_MAX: usize = 100;

const SMALL_OBJECT: u8 = 0;
const LARGE_OBJECT: u8 = 1;
const SMALL_ARRAY: u8 = 2;
const LARGE_ARRAY: u8 = 3;
const LITERAL: u8 = 4;
const INT16: u8 = 5;
const UINT16: u8 = 6;
const INT32: u8 = 7;
const UINT32: u8 = 8;
const INT64: u8 = 9;
const UINT64: u8 = 10;
const DOUBLE: u8 = 11;
const STRING: u8 = 12;
const OPAQUE: u8 = 15;

/// Appends the text of a binary document. An empty one is the JSON literal null, as the server
/// reads it.
pub(crate) fn to_text(bytes: &[u8], text: &mut String) -> Result<(), Malformed> {
    match bytes.split_first() {
        None => {
            text.push_str("null");
            Ok(())
        }
        // Parts of a document do not overlap; a malformed one that shares them would grow without
        // end.
        Some((ty, rest)) => value(*ty, rest, 0, &mut Budget(bytes.len()), text),
    }
}

/// Bytes of the document that have not been printed yet.
struct Budget(usize);

impl Budget {
    fn spend(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.0 = self
            .0
            .checked_sub(bytes)
            .ok_or(Malformed("JSON whose parts overlap"))?;
        Ok(())
    }
}

fn value(
    ty: u8,
    bytes: &[u8],
    depth: usize,
    budget: &mut Budget,
    text: &mut String,
) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(bytes);
    match ty {
        SMALL_OBJECT => container(bytes, 2, true, depth, budget, text),
        LARGE_OBJECT => container(bytes, 4, true, depth, budget, text),
        SMALL_ARRAY => container(bytes, 2, false, depth, budget, text),
        LARGE_ARRAY => container(bytes, 4, false, depth, budget, text),
        LITERAL => literal(cursor.u8()?, text),
        INT16 | UINT16 | INT32 | UINT32 | INT64 | UINT64 | DOUBLE => number(ty, cursor, text),
        STRING => {
            let length = data_length(&mut cursor)?;
            budget.spend(length)?;
            quoted(cursor.take(length)?, text)
        }
        OPAQUE => opaque(cursor, text),
        _ => Err(Malformed("a JSON value of unknown type")),
    }
}

fn number(ty: u8, mut cursor: Cursor<'_>, text: &mut String) -> Result<(), Malformed> {
    match ty {
        INT16 => push(text, format_args!("{}", cursor.u16()?.cast_signed())),
        UINT16 => push(text, format_args!("{}", cursor.u16()?)),
        INT32 => push(text, format_args!("{}", cursor.u32()?.cast_signed())),
        UINT32 => push(text, format_args!("{}", cursor.u32()?)),
        INT64 => push(text, format_args!("{}", cursor.u64()?.cast_signed())),
        UINT64 => push(text, format_args!("{}", cursor.u64()?)),
        _ => double(f64::from_bits(cursor.u64()?), text),
    }
    Ok(())
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("writing to a String does not fail");
}

fn literal(value: u8, text: &mut String) -> Result<(), Malformed> {
    text.push_str(match value {
        0 => "null",
        1 => "true",
        2 => "false",
        _ => return Err(Malformed("a JSON literal of unknown value")),
    });
    Ok(())
}

/// A length in groups of seven bits, the lowest first, at most five bytes.
fn data_length(cursor: &mut Cursor<'_>) -> Result<usize, Malformed> {
    let mut length = 0_u64;
    for place in 0..5 {
        let byte = cursor.u8()?;
        length |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return usize::try_from(length).map_err(|_| Malformed("a JSON length beyond this machine"));
        }
    }
    Err(Malformed("a JSON length of more than five bytes"))
}

/// Object or array: count, size, key entries (object only), value entries, keys, values. Offsets
/// count from here.
fn container(
    bytes: &[u8],
    width: usize,
    object: bool,
    depth: usize,
    budget: &mut Budget,
    text: &mut String,
) -> Result<(), Malformed> {
    if depth >= DEPTH_MAX {
        return Err(Malformed("JSON deeper than the server allows"));
    }
    let mut cursor = Cursor::new(bytes);
    let count = cursor.length(width)?;
    let size = cursor.length(width)?;
    let bytes = bytes
        .get(..size)
        .ok_or(Malformed("a JSON container longer than its document"))?;
    let mut cursor = Cursor::new(bytes);
    cursor.take(2 * width)?;
    let key_entry = if object { width + 2 } else { 0 };
    let mut keys = Cursor::new(cursor.take(count.checked_mul(key_entry).ok_or(Malformed("a JSON count"))?)?);
    let mut values =
        Cursor::new(cursor.take(count.checked_mul(width + 1).ok_or(Malformed("a JSON count"))?)?);
    text.push(if object { '{' } else { '[' });
    for index in 0..count {
        if index > 0 {
            text.push_str(", ");
        }
        if object {
            let (offset, length) = (keys.length(width)?, keys.length(2)?);
            budget.spend(length)?;
            let key = bytes.get(offset..).and_then(|tail| tail.get(..length));
            quoted(key.ok_or(Malformed("a JSON key outside its object"))?, text)?;
            text.push_str(": ");
        }
        entry(bytes, &mut values, width, depth, budget, text)?;
    }
    text.push(if object { '}' } else { ']' });
    Ok(())
}

/// A value entry: type, then the value itself if it fits, else its offset.
fn entry(
    bytes: &[u8],
    values: &mut Cursor<'_>,
    width: usize,
    depth: usize,
    budget: &mut Budget,
    text: &mut String,
) -> Result<(), Malformed> {
    let ty = values.u8()?;
    let inlined = matches!(ty, LITERAL | INT16 | UINT16) || (width == 4 && matches!(ty, INT32 | UINT32));
    let field = values.take(width)?;
    budget.spend(width + 1)?;
    if inlined {
        return value(ty, field, depth + 1, budget, text);
    }
    let offset = Cursor::new(field).length(width)?;
    value(
        ty,
        bytes
            .get(offset..)
            .ok_or(Malformed("a JSON value outside its container"))?,
        depth + 1,
        budget,
        text,
    )
}

/// A string in quotes, escaped as `double_quote` does it.
fn quoted(bytes: &[u8], text: &mut String) -> Result<(), Malformed> {
    let string = std::str::from_utf8(bytes).map_err(|_| Malformed("a JSON string that is no UTF-8"))?;
    text.push('"');
    let mut start = 0;
    for (index, byte) in string.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x08 => "\\b",
            b'\t' => "\\t",
            b'\n' => "\\n",
            0x0c => "\\f",
            b'\r' => "\\r",
            0..=0x1f => "",
            _ => continue,
        };
        text.push_str(&string[start..index]);
        start = index + 1;
        if escape.is_empty() {
            push(text, format_args!("\\u{byte:04x}"));
        } else {
            text.push_str(escape);
        }
    }
    text.push_str(&string[start..]);
    text.push('"');
    Ok(())
}

/// A double as `my_gcvt` prints it: the shortest digits that read back, in positional form while
/// the point lies within 15 places, `.0` behind whole numbers (`wrapper_to_string`).
pub(crate) fn double(value: f64, text: &mut String) {
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (sign, mantissa) = mantissa
        .strip_prefix('-')
        .map_or(("", mantissa), |rest| ("-", rest));
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    text.push_str(sign);
    if !(-14..=15).contains(&point) {
        let (first, rest) = digits.split_at(1);
        text.push_str(first);
        if !rest.is_empty() {
            push(text, format_args!(".{rest}"));
        }
        push(text, format_args!("e{}", point - 1));
    } else if value == 0.0 {
        text.push_str("0.0");
    } else if point <= 0 {
        push(
            text,
            format_args!("0.{:0<width$}{digits}", "", width = point.unsigned_abs() as usize),
        );
    } else {
        let whole = point.unsigned_abs() as usize;
        if digits.len() <= whole {
            push(text, format_args!("{digits:0<whole$}.0"));
        } else {
            push(text, format_args!("{}.{}", &digits[..whole], &digits[whole..]));
        }
    }
}

/// A value of another SQL type: type number, length, bytes. Decimals are numbers, the rest is text.
fn opaque(mut cursor: Cursor<'_>, text: &mut String) -> Result<(), Malformed> {
    use super::table_map::column_type as t;
    /// `enum_field_types` of TIMESTAMP and DATETIME before their binlog forms.
    const TIMESTAMP: u8 = t::TIMESTAMP_OLD;
    const DATETIME: u8 = t::DATETIME_OLD;
    const TIME: u8 = t::TIME_OLD;
    let ty = cursor.u8()?;
    let length = data_length(&mut cursor)?;
    let bytes = cursor.take(length)?;
    match ty {
        t::NEWDECIMAL => {
            let (head, digits) = bytes
                .split_at_checked(2)
                .ok_or(Malformed("a JSON decimal without its width"))?;
            let mut out = Vec::new();
            decimal_text(digits, usize::from(head[0]), usize::from(head[1]), &mut out)?;
            text.extend(out.iter().map(|byte| char::from(*byte)));
            Ok(())
        }
        t::DATE | DATETIME | TIMESTAMP => {
            let packed = Cursor::new(bytes).u64()?;
            let micros = u32::try_from(packed & 0xff_ffff).unwrap_or(0);
            let parts = datetime_parts(packed >> 24, micros)?;
            let date = parts.date;
            push(
                text,
                format_args!("\"{:04}-{:02}-{:02}", date.year, date.month, date.day),
            );
            if ty != t::DATE {
                let (hour, minute, second) = (parts.hour, parts.minute, parts.second);
                push(
                    text,
                    format_args!(" {hour:02}:{minute:02}:{second:02}.{micros:06}"),
                );
            }
            text.push('"');
            Ok(())
        }
        TIME => {
            let packed = Cursor::new(bytes).u64()?.cast_signed();
            let size = packed.unsigned_abs();
            let micros = u32::try_from(size & 0xff_ffff).unwrap_or(0);
            let time = time_parts(packed < 0, size >> 24, micros)?;
            let sign = if time.negative { "-" } else { "" };
            let (hours, minutes, seconds) = (time.hours, time.minutes, time.seconds);
            push(
                text,
                format_args!("\"{sign}{hours:02}:{minutes:02}:{seconds:02}.{micros:06}\""),
            );
            Ok(())
        }
        _ => {
            let mut encoded = format!("base64:type{ty}:");
            base64(bytes, &mut encoded);
            quoted(encoded.as_bytes(), text)
        }
    }
}

/// Base64 with a line feed after every 76 characters that more follow, as `base64_encode` of the
/// server writes it.
fn base64(bytes: &[u8], text: &mut String) {
    /// Bytes behind the 76 characters of a line.
    const LINE_BYTES: usize = 57;
    for (number, line) in bytes.chunks(LINE_BYTES).enumerate() {
        if number > 0 {
            text.push('\n');
        }
        STANDARD.encode_string(line, text);
    }
}
