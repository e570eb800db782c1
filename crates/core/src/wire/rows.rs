//! Encoded rows and keys: what flows from a source to the target without another copy of its
//! values.

use crate::wire::list_value;

/// `Write.values = 3` of mutation.proto, length-delimited.
const TAG_WRITE_VALUES: u8 = 0x1a;
const HEAD: usize = 1 + list_value::PADDED_LENGTH;

/// A run of rows (or keys) of one table, each already in the form of `Write.values`, so that a
/// commit takes them as one piece of bytes.
#[derive(Debug, Clone, Default)]
pub struct RowBatch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    open: bool,
}

impl RowBatch {
    /// An empty batch.
    pub fn new() -> RowBatch {
        RowBatch::default()
    }

    /// An empty batch with room for rows whose payloads have these bytes together: filling it up to
    /// there never moves it.
    pub fn with_capacity(rows: usize, payload_bytes: usize) -> RowBatch {
        RowBatch {
            bytes: Vec::with_capacity(payload_bytes + rows * HEAD),
            ends: Vec::with_capacity(rows),
            open: false,
        }
    }

    /// Rows in it.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it has no finished row.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of the finished rows, their `Write.values` heads included.
    pub fn byte_len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The finished rows as a run of `Write.values` fields.
    pub fn as_write_values(&self) -> &[u8] {
        &self.bytes[..self.byte_len()]
    }

    /// Forgets all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.open = false;
    }

    /// Begins a row; its `ListValue` payload is written to the returned buffer, then `end_row` or
    /// `abandon_row` follows.
    pub fn begin_row(&mut self) -> &mut Vec<u8> {
        self.abandon_row();
        self.bytes.push(TAG_WRITE_VALUES);
        list_value::open_length(&mut self.bytes);
        self.open = true;
        &mut self.bytes
    }

    /// The buffer of the row that `begin_row` opened.
    pub fn row(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.open, "begin_row comes first");
        &mut self.bytes
    }

    /// Ends the open row.
    pub fn end_row(&mut self) {
        debug_assert!(self.open, "begin_row comes first");
        let start = self.byte_len() + HEAD;
        list_value::close_length(&mut self.bytes, start);
        self.ends.push(self.bytes.len());
        self.open = false;
    }

    /// Drops the open row, if there is one: it was refused.
    pub fn abandon_row(&mut self) {
        self.bytes.truncate(self.byte_len());
        self.open = false;
    }

    /// Appends a whole row, given as `ListValue` payload.
    pub fn push(&mut self, payload: &[u8]) {
        self.begin_row().extend_from_slice(payload);
        self.end_row();
    }

    /// The rows' `ListValue` payloads, in order.
    pub fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.bytes[start + HEAD..*end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_was_made_is_enough() {
        let mut batch = RowBatch::with_capacity(2, 9);
        let room = (batch.bytes.capacity(), batch.ends.capacity());
        batch.push(b"four");
        batch.push(b"fives");
        assert_eq!((batch.bytes.capacity(), batch.ends.capacity()), room);
    }

    #[test]
    fn abandoned_rows_leave_no_trace() {
        let mut batch = RowBatch::new();
        batch.push(b"one");
        batch.begin_row().extend_from_slice(b"refused");
        batch.abandon_row();
        batch.begin_row().extend_from_slice(b"half");
        batch.begin_row().extend_from_slice(b"two");
        batch.end_row();
        assert_eq!(batch.payloads().collect::<Vec<_>>(), [b"one".as_slice(), b"two"]);
        let (tag, rest) = (batch.as_write_values()[0], &batch.as_write_values()[1..]);
        assert_eq!(
            (tag, list_value::take_delimited(rest).unwrap().0),
            (TAG_WRITE_VALUES, b"one".as_slice())
        );
    }
}
