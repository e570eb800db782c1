//! The form in which equal rows are equal bytes, whether converted from the source or read back
//! from the target.

use crate::plan::TablePlan;
use crate::value::encode::{Encoding, PlainDecimal, base64_bytes, json_flavor};
use crate::value::json::{self, Form};
use crate::wire::list_value::{self, MalformedWire, WireReader, WireValue};

/// Brings rows of one table into canonical form.
#[derive(Debug, Clone)]
pub struct Canonicalizer {
    encodings: Vec<Encoding>,
    key: Vec<usize>,
}

impl Canonicalizer {
    /// A canonicalizer for rows in the plan's column order.
    pub fn new(plan: &TablePlan) -> Canonicalizer {
        Canonicalizer {
            encodings: plan.columns.iter().map(|column| column.encoding).collect(),
            key: plan.key().to_vec(),
        }
    }

    /// Appends the canonical form of a row, given as `ListValue` payload.
    pub fn row(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), MalformedWire> {
        let mut values = WireReader::new(payload);
        for encoding in &self.encodings {
            put_canonical(*encoding, values.next().ok_or(MalformedWire)??, out)?;
        }
        if values.next().is_some() {
            Err(MalformedWire)
        } else {
            Ok(())
        }
    }

    /// Appends the key of a canonical row.
    pub fn key(&self, row: &[u8], out: &mut Vec<u8>) -> Result<(), MalformedWire> {
        for column in &self.key {
            let value = WireReader::new(row).nth(*column).ok_or(MalformedWire)??;
            put(value, out);
        }
        Ok(())
    }

    /// Appends the canonical form of a key that came without its row, given as `ListValue` payload.
    pub fn key_alone(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), MalformedWire> {
        let mut values = WireReader::new(payload);
        for column in &self.key {
            let value = values.next().ok_or(MalformedWire)??;
            put_canonical(self.encodings[*column], value, out)?;
        }
        Ok(())
    }
}

/// A value that cannot be read as its type, which no source value becomes, stays as it is: rows
/// that differ then differ.
fn put_canonical(encoding: Encoding, value: WireValue<'_>, out: &mut Vec<u8>) -> Result<(), MalformedWire> {
    match (encoding, value) {
        (Encoding::Float32, WireValue::Number(number)) => list_value::put_number(out, single(number)),
        (Encoding::Array { element, .. }, WireValue::List(elements)) => {
            let list = list_value::open_list(out);
            for value in WireReader::new(elements) {
                put_canonical(element.encoding(), value?, out)?;
            }
            list_value::close_list(out, list);
        }
        (Encoding::Numeric | Encoding::PgNumeric, WireValue::String(text)) => {
            match PlainDecimal::read(text) {
                Some(decimal) => {
                    list_value::put_string_head(out, decimal.length());
                    decimal.write(out);
                }
                None => list_value::put_string(out, text),
            }
        }
        (Encoding::Timestamp, WireValue::String(text)) => put_trimmed(text, out),
        (Encoding::Json { arbitrary_numbers }, WireValue::String(text)) => {
            let start = out.len();
            let opened = list_value::open_string(out);
            let readable = std::str::from_utf8(text).map_err(|_| MalformedWire)?;
            if json::write(readable, json_flavor(arbitrary_numbers), Form::Compared, out).is_ok() {
                list_value::close_list(out, opened);
            } else {
                out.truncate(start);
                list_value::put_string(out, text);
            }
        }
        (
            Encoding::Bool
            | Encoding::Int64
            | Encoding::Float32
            | Encoding::Float64
            | Encoding::Numeric
            | Encoding::PgNumeric
            | Encoding::String { .. }
            | Encoding::Bytes { .. }
            | Encoding::Date
            | Encoding::Timestamp
            | Encoding::Json { .. }
            | Encoding::Array { .. }
            | Encoding::Uuid,
            other,
        ) => put(other, out),
    }
    Ok(())
}

/// The double of the 4-byte float that was meant, should the target have printed it shorter than
/// the double is.
#[expect(
    clippy::cast_possible_truncation,
    reason = "every 4-byte float comes back from its double, and from its shortest text"
)]
fn single(number: f64) -> f64 {
    f64::from(number as f32)
}

/// `…:08.120000Z` and `…:08.12Z` are one time.
fn put_trimmed(text: &[u8], out: &mut Vec<u8>) {
    let (body, zone) = text
        .split_last()
        .map_or((text, &[][..]), |(_, body)| text.split_at(body.len()));
    let kept = if zone == b"Z" && body.contains(&b'.') {
        let body = &body[..body.len() - body.iter().rev().take_while(|digit| **digit == b'0').count()];
        body.strip_suffix(b".").unwrap_or(body)
    } else {
        body
    };
    list_value::put_string_head(out, kept.len() + zone.len());
    out.extend_from_slice(kept);
    out.extend_from_slice(zone);
}

fn put(value: WireValue<'_>, out: &mut Vec<u8>) {
    match value {
        WireValue::Null => list_value::put_null(out),
        WireValue::Number(number) => list_value::put_number(out, number),
        WireValue::String(text) => list_value::put_string(out, text),
        WireValue::Bool(value) => list_value::put_bool(out, value),
        WireValue::List(inner) => {
            let list = list_value::open_list(out);
            out.extend_from_slice(inner);
            list_value::close_list(out, list);
        }
    }
}

/// A strong digest of canonical bytes, to be added modulo 2^128. Values are length-prefixed by the
/// wire form, so that no separator can be forged, and addition does not cancel equal rows as XOR
/// would.
pub fn digest(bytes: &[u8]) -> u128 {
    let hash = blake3::hash(bytes);
    let mut half = [0; 16];
    half.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_le_bytes(half)
}

/// A short digest of each column of a canonical row: enough to name the columns in which two rows
/// differ whose strong digests do.
pub fn column_digests(row: &[u8]) -> Box<[u32]> {
    let mut values = WireReader::new(row);
    let mut rest = row;
    let mut digests = Vec::new();
    while values.next().is_some() {
        let (column, after) = rest.split_at(rest.len() - values.remaining());
        let hash = blake3::hash(column);
        let mut start = [0; 4];
        start.copy_from_slice(&hash.as_bytes()[..4]);
        digests.push(u32::from_le_bytes(start));
        rest = after;
    }
    digests.into()
}

/// A key of the plan's table as a JSON list, for people: bytes in hexadecimal, such as `"0x00FF"`.
pub fn render(plan: &TablePlan, key: &[u8]) -> String {
    let encodings = plan.key().iter().map(|column| plan.columns[*column].encoding);
    let values: Vec<serde_json::Value> = encodings
        .zip(WireReader::new(key))
        .map(|(encoding, value)| match value {
            Ok(WireValue::Number(number)) => serde_json::json!(number),
            Ok(WireValue::String(text)) => serde_json::Value::String(readable(encoding, text)),
            Ok(WireValue::Bool(value)) => serde_json::Value::Bool(value),
            Ok(WireValue::Null | WireValue::List(_)) | Err(MalformedWire) => serde_json::Value::Null,
        })
        .collect();
    serde_json::Value::Array(values).to_string()
}

fn readable(encoding: Encoding, text: &[u8]) -> String {
    let bytes = if matches!(encoding, Encoding::Bytes { .. }) {
        base64_bytes(text)
    } else {
        None
    };
    match bytes {
        Some(bytes) => bytes.iter().fold("0x".to_owned(), |mut text, byte| {
            text.extend(
                [byte >> 4, byte & 15].map(|half| char::from(b"0123456789ABCDEF"[usize::from(half)])),
            );
            text
        }),
        None => String::from_utf8_lossy(text).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::value::encode::ElementEncoding;

    fn canonical(encoding: Encoding, text: &str) -> Vec<u8> {
        let (mut payload, mut out) = (Vec::new(), Vec::new());
        list_value::put_string(&mut payload, text.as_bytes());
        Canonicalizer {
            encodings: vec![encoding],
            key: vec![0],
        }
        .row(&payload, &mut out)
        .unwrap();
        out
    }

    #[test]
    fn spellings_of_one_value_agree() {
        let check = |encoding, left, right| {
            assert_eq!(
                canonical(encoding, left),
                canonical(encoding, right),
                "{left} {right}"
            );
        };
        check(
            Encoding::Timestamp,
            "2024-01-01T00:00:00Z",
            "2024-01-01T00:00:00.000000000Z",
        );
        check(
            Encoding::Timestamp,
            "2024-01-01T00:00:00.1Z",
            "2024-01-01T00:00:00.100Z",
        );
        check(
            Encoding::Timestamp,
            "2024-01-01T00:00:10Z",
            "2024-01-01T00:00:10Z",
        );
        check(Encoding::Numeric, "1.5", "1.500");
        check(
            Encoding::Json {
                arbitrary_numbers: false,
            },
            "{\"a\":1.0}",
            "{ \"a\": 1 }",
        );
        check(Encoding::PgNumeric, "NaN", "NaN");
        check(
            Encoding::Timestamp,
            "2024-01-01T00:00:00.000000010Z",
            "2024-01-01T00:00:00.00000001Z",
        );
        assert_ne!(
            canonical(Encoding::Timestamp, "2024-01-01T00:00:10Z"),
            canonical(Encoding::Timestamp, "2024-01-01T00:00:01Z")
        );
        assert_ne!(
            canonical(Encoding::String { characters_max: 9 }, "1.5"),
            canonical(Encoding::String { characters_max: 9 }, "1.50")
        );
    }

    #[test]
    fn elements_are_compared_as_they_would_be_alone() {
        let list = |texts: [&str; 2]| {
            let (mut payload, mut out) = (Vec::new(), Vec::new());
            let opened = list_value::open_list(&mut payload);
            list_value::put_null(&mut payload);
            for text in texts {
                list_value::put_string(&mut payload, text.as_bytes());
            }
            list_value::close_list(&mut payload, opened);
            let element = ElementEncoding::Numeric;
            let encodings = vec![Encoding::Array {
                element,
                dimensions: None,
            }];
            let key = Vec::new();
            Canonicalizer { encodings, key }.row(&payload, &mut out).unwrap();
            out
        };
        assert_eq!(list(["1.50", "-0"]), list(["1.5", "0"]));
        assert_ne!(list(["1.5", "0"]), list(["0", "1.5"]));
    }

    /// A refused row has only its key: it must find the row that the other side has under that key.
    #[test]
    fn a_key_alone_is_the_key_of_its_row() {
        let text = Encoding::String { characters_max: 9 };
        let canonicalizer = Canonicalizer {
            encodings: vec![text, Encoding::Numeric, Encoding::Timestamp],
            key: vec![2, 0, 1],
        };
        let list = |values: [&str; 3]| {
            let mut list = Vec::new();
            for value in values {
                list_value::put_string(&mut list, value.as_bytes());
            }
            list
        };
        let (mut row, mut of_row, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        let full = list(["1.50", "1.50", "2024-01-01T00:00:00.100Z"]);
        canonicalizer.row(&full, &mut row).unwrap();
        canonicalizer.key(&row, &mut of_row).unwrap();
        let key = list(["2024-01-01T00:00:00.10Z", "1.50", "1.500"]);
        canonicalizer.key_alone(&key, &mut alone).unwrap();
        assert_eq!(of_row, alone);
    }

    #[test]
    fn keys_are_readable() {
        let columns = ["id", "hash"].map(|name| fixture::column(name, fixture::BIGINT));
        let text = Encoding::String { characters_max: 9 };
        let mut plan = fixture::plan(
            fixture::table("t", columns.into()),
            [text, Encoding::Bytes { bytes_max: 9 }],
        );
        plan.target_key = crate::plan::TargetKey::Columns(vec![1, 0]);
        let mut key = Vec::new();
        list_value::put_string(&mut key, b"AP8B");
        list_value::put_string(&mut key, b"AP8B");
        assert_eq!(render(&plan, &key), r#"["0x00FF01","AP8B"]"#);
    }

    #[test]
    fn columns_are_told_apart() {
        let row = |values: [&str; 3]| {
            let mut row = Vec::new();
            for value in values {
                list_value::put_string(&mut row, value.as_bytes());
            }
            column_digests(&row)
        };
        let (left, right) = (row(["a", "", "c"]), row(["a", "b", "c"]));
        let same: Vec<bool> = left
            .iter()
            .zip(&right)
            .map(|(left, right)| left == right)
            .collect();
        assert_eq!(same, [true, false, true]);
    }

    #[test]
    fn sums_of_digests_do_not_cancel() {
        let (a, b) = (digest(b"a"), digest(b"b"));
        assert_ne!(a.wrapping_add(a), b.wrapping_add(b));
        assert_ne!(a.wrapping_add(a), 0);
    }
}
