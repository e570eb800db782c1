//! Results of the text protocol: column definitions, borrowed rows, small owned sets.

#![expect(
    clippy::cast_possible_truncation,
    reason = "the number of bytes read or written bounds the value"
)]

use std::ops::Range;

use super::wire::Cursor;
use crate::error::MysqlError;

/// Most memory for the rows of a control query: their bytes, and the places where they end.
pub(crate) const RESULT_BYTES_MAX: usize = 512 << 20;

/// Most columns of a result, as of a table on every server.
pub(super) const RESULT_COLUMNS_MAX: usize = 4_096;

/// Most bytes of the definitions of a result's columns: five names each of at most 256 bytes, and
/// some room.
pub(super) const DEFINITION_BYTES_MAX: usize = 8 << 20;

/// One column of a result as the server describes it (Protocol::ColumnDefinition41).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// Schema of the table it comes from.
    pub schema: String,
    /// The table's own name.
    pub org_table: String,
    /// Name or alias in the result.
    pub name: String,
    /// The column's own name, empty for an expression.
    pub org_name: String,
    /// Collation number of its bytes; 63 is binary.
    pub charset: u16,
    /// Display length in bytes.
    pub length: u32,
    /// Field type number, such as 3 for INT.
    pub kind: u8,
    /// Flags: 1 NOT NULL, 2 primary key, 32 unsigned, 128 binary, 256 ENUM, 2048 SET.
    pub flags: u16,
    /// Digits behind the point.
    pub decimals: u8,
}

impl ColumnDefinition {
    pub(super) fn parse(packet: &[u8]) -> Result<ColumnDefinition, MysqlError> {
        let mut cursor = Cursor::new(packet);
        cursor.string()?; // catalog, always "def"
        let schema = cursor.text()?;
        cursor.string()?; // table alias
        let (org_table, name, org_name) = (cursor.text()?, cursor.text()?, cursor.text()?);
        cursor.length()?;
        Ok(ColumnDefinition {
            schema,
            org_table,
            name,
            org_name,
            charset: cursor.integer(2)? as u16,
            length: cursor.integer(4)? as u32,
            kind: cursor.integer(1)? as u8,
            flags: cursor.integer(2)? as u16,
            decimals: cursor.integer(1)? as u8,
        })
    }
}

/// A row in the connection's buffer. Nothing is copied.
#[derive(Debug, Clone, Copy)]
pub struct RowView<'a> {
    packet: &'a [u8],
    columns: usize,
}

impl<'a> RowView<'a> {
    pub(super) fn new(packet: &'a [u8], columns: usize) -> RowView<'a> {
        RowView { packet, columns }
    }

    /// The packet as it came.
    pub fn bytes(&self) -> &'a [u8] {
        self.packet
    }

    /// Its cells in order, `None` for NULL. Ends with an error if the packet does not hold exactly
    /// the announced columns.
    pub fn cells(&self) -> Cells<'a> {
        Cells {
            cursor: Cursor::new(self.packet),
            left: self.columns,
            failed: false,
        }
    }
}

/// The cells of a row.
#[derive(Debug, Clone)]
pub struct Cells<'a> {
    cursor: Cursor<'a>,
    left: usize,
    failed: bool,
}

impl<'a> Iterator for Cells<'a> {
    type Item = Result<Option<&'a [u8]>, MysqlError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.left == 0 {
            self.failed = true;
            let rest = self.cursor.rest().is_empty();
            return (!rest).then_some(Err(MysqlError::Protocol {
                expected: "the end of a row",
            }));
        }
        self.left -= 1;
        let cell = self.cursor.string();
        self.failed = cell.is_err();
        Some(cell)
    }
}

/// A row that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultRow {
    bytes: Vec<u8>,
    cells: Vec<Option<Range<usize>>>,
}

impl ResultRow {
    pub(super) fn new(row: RowView<'_>) -> Result<ResultRow, MysqlError> {
        let mut bytes = Vec::with_capacity(row.bytes().len());
        let mut cells = Vec::with_capacity(row.columns);
        for cell in row.cells() {
            cells.push(cell?.map(|cell| {
                let start = bytes.len();
                bytes.extend_from_slice(cell);
                start..bytes.len()
            }));
        }
        Ok(ResultRow { bytes, cells })
    }

    /// The memory that it takes.
    pub(super) fn memory(row: RowView<'_>) -> usize {
        size_of::<ResultRow>() + row.bytes().len() + row.columns * size_of::<Option<Range<usize>>>()
    }

    /// A cell's bytes; `None` for NULL or beyond the last column.
    pub fn bytes(&self, index: usize) -> Option<&[u8]> {
        self.cells.get(index)?.clone().map(|range| &self.bytes[range])
    }

    /// A cell as text; bytes that are no UTF-8 become U+FFFD.
    pub fn text(&self, index: usize) -> Option<String> {
        self.bytes(index)
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// A cell as text, empty for NULL.
    pub fn text_or_empty(&self, index: usize) -> String {
        self.text(index).unwrap_or_default()
    }

    /// A cell as an unsigned integer, if it is one.
    pub fn number(&self, index: usize) -> Option<u64> {
        std::str::from_utf8(self.bytes(index)?).ok()?.parse().ok()
    }
}

/// The whole result of a control query.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResultSet {
    /// Column definitions; empty for a statement without rows.
    pub columns: Vec<ColumnDefinition>,
    /// Rows in order.
    pub rows: Vec<ResultRow>,
}

impl ResultSet {
    /// The first cell of the first row as text.
    pub fn first_text(&self) -> Option<String> {
        self.rows.first()?.text(0)
    }

    /// The index of a column by its name, in any case.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| column.name.eq_ignore_ascii_case(name))
    }
}
