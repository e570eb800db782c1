//! Rows put together from `PartialResultSet`s: values as raw bytes, chunked ones merged.
//!
//! Facts: google/spanner/v1/result_set.proto, `PartialResultSet.chunked_value`;
//! google/protobuf/struct.proto.

use bytes::Bytes;
use spanferry_core::wire::list_value;

const TAG_STRING: u8 = 0x1a; // Value.string_value = 3
const TAG_LIST: u8 = 0x32; // Value.list_value = 6
const TAG_LIST_VALUES: u8 = 0x0a; // ListValue.values = 1

/// Values do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Collects values into rows of a fixed number of columns; a row is a `ListValue` payload.
#[derive(Debug)]
pub(crate) struct RowAssembler {
    columns: usize,
    row: Vec<u8>,
    filled: usize,
    pending: Option<Vec<u8>>,
}

impl RowAssembler {
    /// For rows of `columns` values, at least one.
    pub(crate) fn new(columns: usize) -> RowAssembler {
        RowAssembler {
            columns,
            row: Vec::new(),
            filled: 0,
            pending: None,
        }
    }

    /// Takes the values of one `PartialResultSet`; calls `row` with each whole row.
    pub(crate) fn push(
        &mut self,
        values: &[Bytes],
        chunked: bool,
        mut row: impl FnMut(&[u8]),
    ) -> Result<(), Malformed> {
        let Some((last, whole)) = values.split_last() else {
            return if chunked { Err(Malformed) } else { Ok(()) };
        };
        for value in whole {
            self.value(value, &mut row)?;
        }
        if chunked {
            self.pending = Some(self.merged(last)?);
            return Ok(());
        }
        self.value(last, &mut row)
    }

    /// Whether everything taken has come out: what must hold at the end of a result.
    pub(crate) fn is_at_row_end(&self) -> bool {
        self.filled == 0 && self.pending.is_none()
    }

    fn merged(&mut self, value: &[u8]) -> Result<Vec<u8>, Malformed> {
        match self.pending.take() {
            Some(head) => merge(&head, value),
            None => Ok(value.to_vec()),
        }
    }

    fn value(&mut self, value: &[u8], row: &mut impl FnMut(&[u8])) -> Result<(), Malformed> {
        match self.pending.take() {
            Some(head) => put_element(&mut self.row, &merge(&head, value)?),
            None => put_element(&mut self.row, value),
        }
        self.filled += 1;
        if self.filled == self.columns {
            row(&self.row);
            self.row.clear();
            self.filled = 0;
        }
        Ok(())
    }
}

fn put_element(out: &mut Vec<u8>, value: &[u8]) {
    out.push(TAG_LIST_VALUES);
    list_value::put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Merges two chunks of one `Value`: strings and lists are joined; what cannot be chunked is an
/// error.
fn merge(head: &[u8], tail: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (kind, head) = body(head)?;
    let (tail_kind, tail) = body(tail)?;
    if kind != tail_kind {
        return Err(Malformed);
    }
    let joined = match kind {
        TAG_STRING => [head, tail].concat(),
        TAG_LIST => merge_lists(head, tail)?,
        _ => return Err(Malformed),
    };
    let mut out = Vec::with_capacity(joined.len() + 6);
    out.push(kind);
    list_value::put_varint(&mut out, joined.len() as u64);
    out.extend_from_slice(&joined);
    Ok(out)
}

/// Joins two `ListValue` payloads; the last element of the first and the first of the second are
/// one if they are strings or lists.
fn merge_lists(head: &[u8], tail: &[u8]) -> Result<Vec<u8>, Malformed> {
    let Some(start) = last_element(head)? else {
        return Ok(tail.to_vec());
    };
    if tail.is_empty() {
        return Ok(head.to_vec());
    }
    let (last, _) = element(&head[start..])?;
    let (first, rest) = element(tail)?;
    let mut out = head[..start].to_vec();
    if matches!(last.first(), Some(&TAG_STRING | &TAG_LIST)) {
        put_element(&mut out, &merge(last, first)?);
    } else {
        put_element(&mut out, last);
        put_element(&mut out, first);
    }
    out.extend_from_slice(rest);
    Ok(out)
}

/// Where the last element of a `ListValue` payload begins.
fn last_element(list: &[u8]) -> Result<Option<usize>, Malformed> {
    let (mut rest, mut start) = (list, None);
    while !rest.is_empty() {
        start = Some(list.len() - rest.len());
        rest = element(rest)?.1;
    }
    Ok(start)
}

fn element(list: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let rest = list.strip_prefix(&[TAG_LIST_VALUES]).ok_or(Malformed)?;
    list_value::take_delimited(rest).map_err(|_| Malformed)
}

/// Kind and payload of a `Value` that is a string or a list.
fn body(value: &[u8]) -> Result<(u8, &[u8]), Malformed> {
    let (&kind, rest) = value.split_first().ok_or(Malformed)?;
    if !matches!(kind, TAG_STRING | TAG_LIST) {
        return Err(Malformed);
    }
    let (payload, rest) = list_value::take_delimited(rest).map_err(|_| Malformed)?;
    if rest.is_empty() {
        Ok((kind, payload))
    } else {
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::value::Kind;
    use prost_types::{ListValue, Value};

    use super::*;

    fn text(text: &str) -> Value {
        Value {
            kind: Some(Kind::StringValue(text.to_owned())),
        }
    }

    fn number(number: f64) -> Value {
        Value {
            kind: Some(Kind::NumberValue(number)),
        }
    }

    fn list<const N: usize>(values: [Value; N]) -> Value {
        Value {
            kind: Some(Kind::ListValue(ListValue {
                values: values.into(),
            })),
        }
    }

    /// Feeds partial results (values, chunked) and returns the rows.
    fn assemble(columns: usize, parts: &[(&[Value], bool)]) -> Result<Vec<Vec<Value>>, Malformed> {
        let (mut rows, mut assembler) = (Vec::new(), RowAssembler::new(columns));
        for (values, chunked) in parts {
            let values: Vec<Bytes> = values.iter().map(|value| value.encode_to_vec().into()).collect();
            assembler.push(&values, *chunked, |row| {
                rows.push(ListValue::decode(row).unwrap().values);
            })?;
        }
        if assembler.is_at_row_end() {
            Ok(rows)
        } else {
            Err(Malformed)
        }
    }

    /// The examples of result_set.proto.
    #[test]
    fn documented_examples() {
        let check = |head: Value, tail: Value, expected: Value| {
            assert_eq!(
                assemble(1, &[(&[head], true), (&[tail], false)]),
                Ok(vec![vec![expected]])
            );
        };
        check(text("foo"), text("bar"), text("foobar"));
        check(
            list([number(2.0), number(3.0)]),
            list([number(4.0)]),
            list([number(2.0), number(3.0), number(4.0)]),
        );
        check(
            list([text("a"), text("b")]),
            list([text("c"), text("d")]),
            list([text("a"), text("bc"), text("d")]),
        );
        check(
            list([text("a"), list([text("b"), text("c")])]),
            list([list([text("d")]), text("e")]),
            list([text("a"), list([text("b"), text("cd")]), text("e")]),
        );
        check(list([]), list([text("x")]), list([text("x")]));
        check(list([text("x")]), list([]), list([text("x")]));
        let parts: [(&[Value], bool); 3] = [
            (&[text("Hello"), text("W")], true),
            (&[text("orl")], true),
            (&[text("d")], false),
        ];
        assert_eq!(
            assemble(1, &parts),
            Ok(vec![vec![text("Hello")], vec![text("World")]])
        );
    }

    #[test]
    fn rows_across_parts() {
        let parts: [(&[Value], bool); 4] = [
            (&[text("a"), number(1.0), text("b")], true),
            (&[text("c")], false),
            (&[], false),
            (&[number(2.0)], false),
        ];
        let expected = vec![vec![text("a"), number(1.0)], vec![text("bc"), number(2.0)]];
        assert_eq!(assemble(2, &parts), Ok(expected));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(
            assemble(1, &[(&[number(1.0)], true), (&[number(2.0)], false)]),
            Err(Malformed)
        );
        assert_eq!(
            assemble(1, &[(&[text("a")], true), (&[number(2.0)], false)]),
            Err(Malformed)
        );
        assert_eq!(assemble(2, &[(&[text("a")], false)]), Err(Malformed));
        assert_eq!(assemble(1, &[(&[text("a")], true)]), Err(Malformed));
        assert_eq!(assemble(1, &[(&[], true)]), Err(Malformed));
    }
}
