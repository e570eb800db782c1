//! The boundary to what takes the changes of a stream: what happened to which row, and to which
//! table.

use crate::plan::TableId;
use crate::report::finding::Finding;
use crate::wire::partial_rows::PartialRow;

/// One change of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// A row that was not there.
    Insert {
        /// Its key as `ListValue` payload.
        key: &'a [u8],
        /// The whole row as `ListValue` payload.
        row: &'a [u8],
    },
    /// A row that was there has other values, perhaps another key.
    Update {
        /// The row before.
        old: OldRow<'a>,
        /// The key as `ListValue` payload. If it is not the one of `old`, the row has moved.
        key: &'a [u8],
        /// The row after.
        row: NewRow<'a>,
    },
    /// A row is gone.
    Delete {
        /// The row before.
        old: OldRow<'a>,
    },
}

/// What is known of a row before a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldRow<'a> {
    /// Its key as `ListValue` payload.
    pub key: &'a [u8],
    /// The whole row as `ListValue` payload. None where the sink does not want it, the source's
    /// event lacks it, or a value that is not part of the key has no form at the target.
    pub row: Option<&'a [u8]>,
}

/// What is known of a row after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewRow<'a> {
    /// The whole row as `ListValue` payload.
    Whole(&'a [u8]),
    /// Some columns: the source did not send the others, because they have not changed.
    Partial(PartialRow<'a>),
}

/// What a statement did to a whole table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaChange {
    /// What it was.
    pub kind: SchemaChangeKind,
    /// What to report if the change cannot be carried out at the target.
    pub finding: Finding,
}

/// Which change of a whole table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaChangeKind {
    /// All of its rows went; its columns stay.
    Truncated,
    /// Its columns may be others, or the table may be gone.
    Altered,
}

/// What a decoder hands on, in the order of the source. One change of a row is a point at which a
/// huge transaction may be cut.
///
/// The changes of each table are handed on or passed, all of them, so that their number depends on
/// the source's events alone: a transaction that was cut is continued after so many changes,
/// perhaps by a process that can no longer decode one of its tables.
pub trait ChangeSink {
    /// Whether the sink reads `OldRow::row` of a table. It costs the decoder a second row for each
    /// change.
    fn wants_old_rows(&self, table: TableId) -> bool;

    /// One change of one row.
    fn change(&mut self, table: TableId, change: Change<'_>);

    /// So many changes of the table follow that are not handed on: the table has stopped in this
    /// transaction, or they cannot be decoded. Where the source's events do not even show their
    /// number, an event counts as one change.
    fn pass(&mut self, table: TableId, changes: u64);

    /// A statement changed a whole table. A sink that cannot carry that out stops the table's group
    /// with the finding. No change of the table follows in this transaction: they are passed.
    fn schema_change(&mut self, table: TableId, change: SchemaChange);

    /// The table's group must stop at this transaction: a statement that is not understood, an
    /// event that does not carry the whole change, a refused value.
    fn stop(&mut self, table: TableId, finding: Finding);

    /// Something worth reporting that changes no row: a harmless DDL, a table created.
    fn notice(&mut self, finding: Finding);
}
