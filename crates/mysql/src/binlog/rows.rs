//! Rows events, versions 1 (MariaDB) and 2 (MySQL): their head, the columns they carry, and their
//! images.
//!
//! Source: `Rows_event` in `libs/mysql/binlog/event/rows_event.h` of MySQL, `Rows_log_event` of
//! MariaDB.

use super::event::{Cursor, Malformed, kind};

/// What a rows event does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Insert,
    Update,
    Delete,
}

/// The kind of change and whether the event is of version 2; `None` if it is no rows event that can
/// be read.
pub(crate) fn change(kind_number: u8) -> Option<(Change, bool)> {
    match kind_number {
        kind::WRITE_ROWS_V1 => Some((Change::Insert, false)),
        kind::UPDATE_ROWS_V1 => Some((Change::Update, false)),
        kind::DELETE_ROWS_V1 => Some((Change::Delete, false)),
        kind::WRITE_ROWS => Some((Change::Insert, true)),
        kind::UPDATE_ROWS => Some((Change::Update, true)),
        kind::DELETE_ROWS => Some((Change::Delete, true)),
        _ => None,
    }
}

/// The session had `foreign_key_checks = 0`: the server carried out no action of a foreign key
/// (`NO_FOREIGN_KEY_CHECKS_F`, both servers).
const FLAG_NO_FOREIGN_KEYS: u16 = 0x2;

/// MySQL 9.7 and later: the server that first wrote the event logs cascades as rows of their own.
/// It is on each of its rows events, whatever the table (`USE_SQL_FOREIGN_KEY_F`, shown by
/// `mysqlbinlog`; measured in docs/design/cascades.md). MySQL before 9.7 never sets it, and MariaDB
/// has no such flag. A replica writes the flag as its source wrote it.
const FLAG_CASCADES_LOGGED: u16 = 0x10;

/// The two bytes of flags of a rows event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowsFlags(pub(crate) u16);

impl RowsFlags {
    /// Whether foreign keys may have changed rows that the log does not show.
    pub(crate) fn may_hide_cascades(self, mariadb: bool) -> bool {
        let are_logged = !mariadb && self.0 & FLAG_CASCADES_LOGGED != 0;
        !are_logged && self.0 & FLAG_NO_FOREIGN_KEYS == 0
    }
}

/// A parsed rows event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowsEvent<'a> {
    pub(crate) table_id: u64,
    pub(crate) flags: RowsFlags,
    pub(crate) change: Change,
    pub(crate) columns: usize,
    /// Which columns the image before (of an insert: after) carries.
    pub(crate) first_columns: &'a [u8],
    /// Which columns the image after carries; updates only.
    pub(crate) second_columns: &'a [u8],
    /// The images.
    pub(crate) images: &'a [u8],
}

impl<'a> RowsEvent<'a> {
    /// Parses the body of a rows event.
    pub(crate) fn parse(body: &'a [u8], change: Change, version_2: bool) -> Result<RowsEvent<'a>, Malformed> {
        let mut cursor = Cursor::new(body);
        let table_id = cursor.uint(6)?;
        let flags = RowsFlags(cursor.u16()?);
        if version_2 {
            // The extra data (NDB, partition ids) counts its own two length bytes.
            let length = usize::from(cursor.u16()?);
            cursor.take(
                length
                    .checked_sub(2)
                    .ok_or(Malformed("extra row data shorter than its length"))?,
            )?;
        }
        let columns = cursor.packed_length()?;
        let width = columns.div_ceil(8);
        let first_columns = cursor.take(width)?;
        let second_columns = if change == Change::Update {
            cursor.take(width)?
        } else {
            &[]
        };
        Ok(RowsEvent {
            table_id,
            flags,
            change,
            columns,
            first_columns,
            second_columns,
            images: cursor.rest(),
        })
    }

    /// Whether every image carries every column.
    pub(crate) fn is_full(&self) -> bool {
        all_set(self.first_columns, self.columns)
            && (self.change != Change::Update || all_set(self.second_columns, self.columns))
    }
}

fn all_set(bits: &[u8], count: usize) -> bool {
    (0..count).all(|index| bit(bits, index))
}

/// Bit `index`, the lowest of each byte first.
pub(crate) fn bit(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8)
        .is_some_and(|byte| byte & (1 << (index % 8)) != 0)
}
