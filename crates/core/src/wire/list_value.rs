//! Spanner's wire form of rows: `google.protobuf.Value` and `ListValue` bytes, written in one pass.
//!
//! Facts: google/protobuf/struct.proto (field numbers of `Value` and `ListValue`) and
//! google/spanner/v1/mutation.proto (`Write.values = 3`, `KeySet.keys = 1`). Lengths that are not
//! known beforehand are written as padded varints, which both protobuf's C++ parser and prost
//! accept.

#![expect(
    clippy::cast_possible_truncation,
    reason = "each byte takes the bits that its shift or mask leaves"
)]

/// Bytes of a padded length varint: enough for 2^28 - 1, beyond every cell, row and commit limit of
/// Spanner.
pub(crate) const PADDED_LENGTH: usize = 4;

const TAG_LIST_VALUES: u8 = 0x0a; // ListValue.values = 1, length-delimited
const TAG_NULL: u8 = 0x08; // Value.null_value = 1, varint
const TAG_NUMBER: u8 = 0x11; // Value.number_value = 2, 64-bit
const TAG_STRING: u8 = 0x1a; // Value.string_value = 3, length-delimited
const TAG_BOOL: u8 = 0x20; // Value.bool_value = 4, varint
const TAG_LIST: u8 = 0x32; // Value.list_value = 6, length-delimited

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that `put_varint` writes.
pub(crate) fn varint_length(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Leaves room for a length; `close_length` fills it in.
pub fn open_length(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0x80, 0x80, 0x80, 0x00]);
    out.len()
}

/// Fills in the length opened at `start` (the value that `open_length` returned) with the bytes
/// written since.
pub fn close_length(out: &mut [u8], start: usize) {
    let length = out.len() - start;
    assert!(
        length < 1 << 28,
        "a length of {length} bytes exceeds every limit checked before"
    );
    let at = start - PADDED_LENGTH;
    out[at] = (length & 0x7f) as u8 | 0x80;
    out[at + 1] = ((length >> 7) & 0x7f) as u8 | 0x80;
    out[at + 2] = ((length >> 14) & 0x7f) as u8 | 0x80;
    out[at + 3] = (length >> 21) as u8;
}

/// Appends NULL as an element of a list.
pub fn put_null(out: &mut Vec<u8>) {
    out.extend_from_slice(&[TAG_LIST_VALUES, 2, TAG_NULL, 0]);
}

/// Appends a boolean as an element of a list.
pub fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(&[TAG_LIST_VALUES, 2, TAG_BOOL, u8::from(value)]);
}

/// Appends a finite number as an element of a list; NaN and infinities travel as strings.
pub fn put_number(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&[TAG_LIST_VALUES, 9, TAG_NUMBER]);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a string as an element of a list: INT64, NUMERIC, STRING, BYTES (base64), DATE,
/// TIMESTAMP, JSON, UUID.
pub fn put_string(out: &mut Vec<u8>, value: &[u8]) {
    put_string_head(out, value.len());
    out.extend_from_slice(value);
}

/// Appends the head of a string element whose `length` bytes the caller writes next.
pub(crate) fn put_string_head(out: &mut Vec<u8>, length: usize) {
    out.push(TAG_LIST_VALUES);
    let inner = 1 + varint_length(length as u64) + length;
    put_varint(out, inner as u64);
    out.push(TAG_STRING);
    put_varint(out, length as u64);
}

/// Opens a string element whose length is not known yet; returns what `close_list` takes.
pub(crate) fn open_string(out: &mut Vec<u8>) -> (usize, usize) {
    out.push(TAG_LIST_VALUES);
    let outer = open_length(out);
    out.push(TAG_STRING);
    (outer, open_length(out))
}

/// Opens a list (ARRAY) element; returns what `close_list` takes.
pub fn open_list(out: &mut Vec<u8>) -> (usize, usize) {
    out.push(TAG_LIST_VALUES);
    let outer = open_length(out);
    out.push(TAG_LIST);
    (outer, open_length(out))
}

/// Closes what `open_list` or `open_string` opened.
pub fn close_list(out: &mut [u8], (outer, inner): (usize, usize)) {
    close_length(out, inner);
    close_length(out, outer);
}

/// One element of a list as read from the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WireValue<'a> {
    /// NULL.
    Null,
    /// A number (FLOAT32, FLOAT64).
    Number(f64),
    /// Anything that travels as text.
    String(&'a [u8]),
    /// BOOL.
    Bool(bool),
    /// ARRAY: the payload of the inner `ListValue`.
    List(&'a [u8]),
}

/// The bytes are no list of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a protobuf list of values")]
pub struct MalformedWire;

/// Reads the elements of a `ListValue` payload one by one. Ends after the first error.
#[derive(Debug, Clone)]
pub struct WireReader<'a> {
    rest: &'a [u8],
}

impl<'a> WireReader<'a> {
    /// A reader over a `ListValue` payload.
    pub fn new(payload: &'a [u8]) -> WireReader<'a> {
        WireReader { rest: payload }
    }

    /// Bytes of the payload that are not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn element(&mut self) -> Result<WireValue<'a>, MalformedWire> {
        let (tag, rest) = take_varint(self.rest)?;
        if tag != u64::from(TAG_LIST_VALUES) {
            return Err(MalformedWire);
        }
        let (value, rest) = take_delimited(rest)?;
        self.rest = rest;
        read_value(value)
    }
}

impl<'a> Iterator for WireReader<'a> {
    type Item = Result<WireValue<'a>, MalformedWire>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let element = self.element();
        if element.is_err() {
            self.rest = &[];
        }
        Some(element)
    }
}

/// The elements of a `ListValue` payload that we have written, each with its tag and length.
pub(crate) fn elements(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = WireReader::new(payload);
    std::iter::from_fn(move || {
        let before = reader.rest;
        reader.next()?.expect("a row that was encoded here can be read");
        Some(&before[..before.len() - reader.remaining()])
    })
}

fn read_value(bytes: &[u8]) -> Result<WireValue<'_>, MalformedWire> {
    let (&tag, rest) = bytes.split_first().ok_or(MalformedWire)?;
    match tag {
        TAG_NULL => take_varint(rest).map(|_| WireValue::Null),
        TAG_BOOL => take_varint(rest).map(|(value, _)| WireValue::Bool(value != 0)),
        TAG_NUMBER => {
            let bytes: [u8; 8] = rest
                .get(..8)
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or(MalformedWire)?;
            Ok(WireValue::Number(f64::from_le_bytes(bytes)))
        }
        TAG_STRING => take_delimited(rest).map(|(text, _)| WireValue::String(text)),
        TAG_LIST => take_delimited(rest).map(|(list, _)| WireValue::List(list)),
        _ => Err(MalformedWire),
    }
}

/// Reads a varint, padded ones included; returns the rest.
pub fn take_varint(bytes: &[u8]) -> Result<(u64, &[u8]), MalformedWire> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[index + 1..]));
        }
    }
    Err(MalformedWire)
}

/// Reads a length and that many bytes; returns them and the rest.
pub fn take_delimited(bytes: &[u8]) -> Result<(&[u8], &[u8]), MalformedWire> {
    let (length, rest) = take_varint(bytes)?;
    let length = usize::try_from(length).map_err(|_| MalformedWire)?;
    rest.split_at_checked(length).ok_or(MalformedWire)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        let start = open_length(&mut out);
        put_null(&mut out);
        put_bool(&mut out, true);
        put_number(&mut out, -1.5);
        put_string(&mut out, &[b'x'; 200]);
        let list = open_list(&mut out);
        put_number(&mut out, 2.0);
        close_list(&mut out, list);
        close_length(&mut out, start);
        let (payload, rest) = take_delimited(&out).unwrap();
        assert!(rest.is_empty());
        let values: Vec<_> = WireReader::new(payload).map(Result::unwrap).collect();
        assert_eq!(
            values[..3],
            [WireValue::Null, WireValue::Bool(true), WireValue::Number(-1.5)]
        );
        assert_eq!(values[3], WireValue::String(&[b'x'; 200]));
        let WireValue::List(inner) = values[4] else {
            panic!("expected a list")
        };
        assert_eq!(
            WireReader::new(inner).collect::<Vec<_>>(),
            [Ok(WireValue::Number(2.0))]
        );
    }

    #[test]
    fn broken_bytes_end_with_an_error() {
        for bytes in [&[0x0a][..], &[0x0a, 5, 1], &[0x0b, 0], &[0x0a, 0], &[0xff; 12]] {
            assert_eq!(
                WireReader::new(bytes).last(),
                Some(Err(MalformedWire)),
                "{bytes:?}"
            );
        }
    }
}
