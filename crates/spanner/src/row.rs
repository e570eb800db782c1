//! Small rows by hand: control rows and INFORMATION_SCHEMA results as text, integers and NULL.

use spanferry_core::wire::list_value::{self, WireReader, WireValue};
use spanferry_core::wire::rows::RowBatch;

/// A row that is not as its table's definition says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub(crate) struct MalformedRow(&'static str);

impl MalformedRow {
    /// A cell that is not what its table's definition says: what was expected.
    pub(crate) fn new(expected: &'static str) -> MalformedRow {
        MalformedRow(expected)
    }
}

/// Reads the cells of a row one by one.
#[derive(Debug)]
pub(crate) struct Cells<'a> {
    reader: WireReader<'a>,
}

impl<'a> Cells<'a> {
    /// Over a `ListValue` payload.
    pub(crate) fn new(row: &'a [u8]) -> Cells<'a> {
        Cells {
            reader: WireReader::new(row),
        }
    }

    /// The next cell as text, if it is not NULL.
    pub(crate) fn optional_text(&mut self) -> Result<Option<&'a str>, MalformedRow> {
        match self.reader.next() {
            Some(Ok(WireValue::Null)) => Ok(None),
            Some(Ok(WireValue::String(bytes))) => std::str::from_utf8(bytes)
                .map(Some)
                .map_err(|_| MalformedRow("UTF-8 text")),
            Some(Ok(WireValue::Bool(_) | WireValue::Number(_) | WireValue::List(_)) | Err(_)) | None => {
                Err(MalformedRow("a text or NULL"))
            }
        }
    }

    /// The next cell as text.
    pub(crate) fn text(&mut self) -> Result<&'a str, MalformedRow> {
        self.optional_text()?.ok_or(MalformedRow("a text"))
    }

    /// The next cell as text of one's own.
    pub(crate) fn string(&mut self) -> Result<String, MalformedRow> {
        self.text().map(str::to_owned)
    }

    /// The next cell as a number that is not negative.
    pub(crate) fn number(&mut self) -> Result<u64, MalformedRow> {
        self.text()?
            .parse()
            .map_err(|_| MalformedRow("a number that is not negative"))
    }

    /// The next cell as a number that is not negative and fits.
    pub(crate) fn small_number(&mut self) -> Result<u32, MalformedRow> {
        self.text()?
            .parse()
            .map_err(|_| MalformedRow("a number below 2^32"))
    }

    /// The next cell as truth: BOOL, or `YES` and `NO` as INFORMATION_SCHEMA writes in the
    /// PostgreSQL dialect.
    pub(crate) fn truth(&mut self) -> Result<bool, MalformedRow> {
        match self.reader.next() {
            Some(Ok(WireValue::Bool(truth))) => Ok(truth),
            Some(Ok(WireValue::String(b"YES"))) => Ok(true),
            Some(Ok(WireValue::String(b"NO"))) => Ok(false),
            Some(
                Ok(WireValue::Null | WireValue::String(_) | WireValue::Number(_) | WireValue::List(_))
                | Err(_),
            )
            | None => Err(MalformedRow("a BOOL or YES or NO")),
        }
    }
}

/// One cell to write.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell<'a> {
    /// Text, or NULL.
    Optional(Option<&'a str>),
    /// Text.
    Text(&'a str),
    /// INT64, which the caller keeps below 2^63.
    Number(u64),
}

/// A batch of one row.
pub(crate) fn single(cells: &[Cell<'_>]) -> RowBatch {
    let mut batch = RowBatch::new();
    batch.push(&payload(cells));
    batch
}

/// A row or key as `ListValue` payload.
pub(crate) fn payload(cells: &[Cell<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for cell in cells {
        match cell {
            Cell::Optional(None) => list_value::put_null(&mut out),
            Cell::Text(text) | Cell::Optional(Some(text)) => {
                list_value::put_string(&mut out, text.as_bytes());
            }
            Cell::Number(number) => list_value::put_string(&mut out, number.to_string().as_bytes()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_cells_are_read() {
        let row = payload(&[
            Cell::Text("é"),
            Cell::Number(u64::MAX >> 1),
            Cell::Optional(None),
            Cell::Number(7),
        ]);
        let mut cells = Cells::new(&row);
        assert_eq!(cells.text(), Ok("é"));
        assert_eq!(cells.number(), Ok(u64::MAX >> 1));
        assert_eq!(cells.optional_text(), Ok(None));
        assert_eq!(cells.small_number(), Ok(7));
        assert_eq!(cells.text(), Err(MalformedRow("a text or NULL")));
        assert_eq!(
            Cells::new(&payload(&[Cell::Text("-1")])).number(),
            Err(MalformedRow("a number that is not negative"))
        );
    }
}
