//! What the decoder knows within one transaction.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use super::definitions::Mapped;
use super::table_map::TRANSACTION_TABLES_MAX;

/// Most bytes of table maps that one transaction keeps for the search for hidden cascades. Ten
/// thousand tables of a hundred columns each stay below it.
pub(super) const TRANSACTION_MAP_BYTES_MAX: usize = 64 << 20;

/// What the transaction's events have shown so far.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// By table id of the binlog.
    tables: HashMap<u64, Mapped>,
    /// Whole table maps of all tables, by the same id; kept only where a foreign key has an action.
    maps: HashMap<u64, Vec<u8>>,
    /// Bytes of the values of `maps`.
    maps_bytes: usize,
    /// Tables whose rows were seen, by index.
    pub(super) changed: BTreeSet<usize>,
    /// Tables that were stopped, by index.
    pub(super) stopped: BTreeSet<usize>,
    /// Its rows count only if a later XA COMMIT says so.
    pub(super) xa: bool,
}

impl Transaction {
    /// Nothing is known; memory stays.
    pub(super) fn clear(&mut self) {
        self.tables.clear();
        self.maps.clear();
        self.maps_bytes = 0;
        self.changed.clear();
        self.stopped.clear();
        self.xa = false;
    }

    /// Whether no further table map can be taken.
    pub(super) fn is_full(&self) -> bool {
        self.tables.len() >= TRANSACTION_TABLES_MAX
    }

    /// A table map gives a table this number.
    pub(super) fn map(&mut self, number: u64, mapped: Mapped) {
        self.tables.insert(number, mapped);
    }

    /// What the table map of this number means, if there was one.
    pub(super) fn mapped(&self, number: u64) -> Option<&Mapped> {
        self.tables.get(&number)
    }

    /// Keeps the whole table map of this number. False if there is no room for it.
    #[must_use]
    pub(super) fn keep_map(&mut self, number: u64, body: &[u8]) -> bool {
        let known = self.maps.get(&number);
        if known.is_some_and(|known| known == body) {
            return true;
        }
        let others = self.maps_bytes - known.map_or(0, Vec::len);
        if others + body.len() > TRANSACTION_MAP_BYTES_MAX {
            return false;
        }
        self.maps_bytes = others + body.len();
        self.maps.insert(number, body.to_vec());
        true
    }

    /// The whole table map of this number, if it was kept.
    pub(super) fn kept_map(&self, number: u64) -> Option<&[u8]> {
        self.maps.get(&number).map(Vec::as_slice)
    }
}
