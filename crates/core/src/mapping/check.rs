//! What of the decisions the target cannot hold: its limits, types and keys.

use crate::mapping::column::{key_refusal, refusal};
use crate::mapping::decision::{KeyReason, TableDecision};
use crate::mapping::key_limits::{KEY_BYTES_MAX, KEY_PARTS_MAX, key_part_bytes};
use crate::mapping::type_reason::{KeyRefusal, TypeRefusal};
use crate::schema::legal_name::CONTROL_PREFIX;

/// Most columns of a table.
const COLUMNS_MAX: usize = 1_024;

/// What is wrong with a decided table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It has no key.
    NoKey,
    /// Its name is kept for the control tables.
    Reserved,
    /// It has more columns than the target takes.
    Columns {
        /// How many.
        columns: usize,
        /// How many may be.
        most: usize,
    },
    /// Its key has more columns than the target takes.
    KeyParts {
        /// How many.
        parts: usize,
        /// How many may be.
        most: usize,
    },
    /// Its key may be longer than the target takes: single rows may be rejected.
    KeyBytes {
        /// How long it may be.
        bytes: u64,
        /// How long it may be at the target.
        most: u64,
    },
    /// The values of a column cannot be carried.
    Type {
        /// Place of the decided column.
        column: usize,
        /// Why.
        why: TypeRefusal,
    },
    /// A column cannot be a part of the key.
    KeyType {
        /// Place of the decided column.
        column: usize,
        /// Why.
        why: KeyRefusal,
    },
}

/// Everything that is wrong with a decided table. Nothing else is looked at where the key is
/// missing.
pub fn check(table: &TableDecision) -> Vec<Trouble> {
    if table.key.reason == KeyReason::Missing {
        return vec![Trouble::NoKey];
    }
    let mut troubles = Vec::new();
    let names = [&table.source.name.table, &table.name.name];
    if names
        .iter()
        .any(|name| name.to_lowercase().starts_with(CONTROL_PREFIX))
    {
        troubles.push(Trouble::Reserved);
    }
    check_size(table, &mut troubles);
    for (at, column) in table.columns.iter().enumerate() {
        let Some(source) = column.source() else { continue };
        let ty = table.source.columns[source].ty.logical();
        if let Some(why) = refusal(&ty) {
            troubles.push(Trouble::Type { column: at, why });
        }
        if let Some(why) = key_refusal(&ty).filter(|_| table.key.target.contains(&at)) {
            troubles.push(Trouble::KeyType { column: at, why });
        }
    }
    troubles
}

fn check_size(table: &TableDecision, troubles: &mut Vec<Trouble>) {
    let (columns, parts) = (table.columns.len(), table.key.target.len());
    if columns > COLUMNS_MAX {
        let most = COLUMNS_MAX;
        troubles.push(Trouble::Columns { columns, most });
    }
    if parts > KEY_PARTS_MAX {
        let most = KEY_PARTS_MAX;
        troubles.push(Trouble::KeyParts { parts, most });
    }
    let part = |at: &usize| {
        let column = &table.columns[*at];
        let ty = column
            .source()
            .map(|source| table.source.columns[source].ty.logical());
        key_part_bytes(ty.as_ref(), column.encoding)
    };
    let bytes: u64 = table.key.target.iter().map(part).sum();
    if bytes > KEY_BYTES_MAX {
        let most = KEY_BYTES_MAX;
        troubles.push(Trouble::KeyBytes { bytes, most });
    }
}
