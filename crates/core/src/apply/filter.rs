//! Which tables take part in a stream, and which of them an open transaction concerns.
//!
//! A table that has its `low` before it is compared with each transaction; the others cost nothing.
//! So the work for a transaction grows with the tables that are behind, not with all tables.

use std::collections::BTreeMap;

use crate::plan::TableId;
use crate::position::{Position, PositionError, TransactionId};

/// Whether a stream applies a table's changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableFilter {
    /// Not at all: it is not part of the stream, or its group has stopped.
    Ignore,
    /// All changes of transactions that are not contained in `after`.
    Apply {
        /// The table's `low`; `None` once the stream has passed it.
        after: Option<Position>,
    },
}

/// The filters of all tables.
#[derive(Debug)]
pub(super) struct Filters {
    /// By table: whether it takes part.
    takes_part: Vec<bool>,
    /// How many of them do.
    count: usize,
    /// Of the tables that take part, those whose `low` the stream has not passed.
    lows: BTreeMap<TableId, Position>,
    /// Of these, the tables to which the open transaction is no news: their `low` contains it.
    has_it: Vec<TableId>,
    /// Whether the stream's own position contains the open transaction: then no table takes its
    /// changes.
    is_known: bool,
}

impl Filters {
    /// Filters of so many tables, none of which takes part.
    pub(super) fn new(tables: usize) -> Filters {
        Filters {
            takes_part: vec![false; tables],
            count: 0,
            lows: BTreeMap::new(),
            has_it: Vec::new(),
            is_known: false,
        }
    }

    pub(super) fn set(&mut self, table: TableId, filter: TableFilter) {
        let takes_part = &mut self.takes_part[table.0 as usize];
        self.count -= usize::from(*takes_part);
        self.lows.remove(&table);
        self.has_it.retain(|other| *other != table);
        *takes_part = match filter {
            TableFilter::Ignore => false,
            TableFilter::Apply { after } => {
                self.lows.extend(after.map(|low| (table, low)));
                true
            }
        };
        self.count += usize::from(*takes_part);
    }

    /// A transaction begins; `is_known` says whether the stream's own position contains it.
    pub(super) fn begin(&mut self, id: &TransactionId, is_known: bool) -> Result<(), PositionError> {
        self.is_known = is_known;
        self.has_it.clear();
        for (table, low) in &self.lows {
            if low.contains(id)? {
                self.has_it.push(*table);
            }
        }
        Ok(())
    }

    /// Whether the open transaction's changes of a table are applied.
    pub(super) fn applies(&self, table: TableId) -> bool {
        self.takes_part[table.0 as usize] && !self.is_known && !self.has_it.contains(&table)
    }

    /// Whether the open transaction's changes of any table are applied.
    pub(super) fn applies_any(&self) -> bool {
        !self.is_known && self.count > self.has_it.len()
    }

    /// Forgets each `low` that the stream has passed.
    pub(super) fn pass(&mut self, position: &Position) -> Result<(), PositionError> {
        let mut passed = Vec::new();
        for (table, low) in &self.lows {
            if position.contains_all(low)? {
                passed.push(*table);
            }
        }
        for table in passed {
            self.lows.remove(&table);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [TableId; 3] = [TableId(0), TableId(1), TableId(2)];

    fn position(text: &str) -> Position {
        Position::parse(text).unwrap()
    }

    fn begin(filters: &mut Filters, id: &str, is_known: bool) -> [bool; 3] {
        filters
            .begin(&TransactionId::parse(id).unwrap(), is_known)
            .unwrap();
        let applies = ALL.map(|table| filters.applies(table));
        assert_eq!(filters.applies_any(), applies.contains(&true));
        applies
    }

    #[test]
    fn a_transaction_concerns_the_tables_that_do_not_have_it() {
        let mut filters = Filters::new(3);
        assert_eq!(begin(&mut filters, "0-1-5", false), [false; 3]);
        filters.set(TableId(0), TableFilter::Apply { after: None });
        let after = Some(position("mariadb:0-1-7"));
        filters.set(TableId(1), TableFilter::Apply { after });
        assert_eq!(begin(&mut filters, "0-1-6", false), [true, false, false]);
        assert_eq!(begin(&mut filters, "0-1-8", false), [true, true, false]);
        assert_eq!(begin(&mut filters, "0-1-8", true), [false; 3]);
    }

    #[test]
    fn a_stop_counts_in_the_open_transaction_too() {
        let mut filters = Filters::new(3);
        for table in ALL {
            let after = (table.0 == 1).then(|| position("mariadb:0-1-7"));
            filters.set(table, TableFilter::Apply { after });
        }
        assert_eq!(begin(&mut filters, "0-1-6", false), [true, false, true]);
        filters.set(TableId(1), TableFilter::Ignore);
        filters.set(TableId(2), TableFilter::Ignore);
        assert_eq!(ALL.map(|table| filters.applies(table)), [true, false, false]);
        assert!(filters.applies_any());
        filters.set(TableId(0), TableFilter::Ignore);
        assert!(!filters.applies_any());
    }

    #[test]
    fn a_low_that_is_passed_is_compared_no_more() {
        let mut filters = Filters::new(3);
        let after = Some(position("mariadb:0-1-7"));
        filters.set(TableId(0), TableFilter::Apply { after });
        filters.pass(&position("mariadb:0-1-6")).unwrap();
        assert_eq!(filters.lows.len(), 1);
        filters.pass(&position("mariadb:0-1-7")).unwrap();
        assert!(filters.lows.is_empty());
        assert_eq!(begin(&mut filters, "0-1-7", false), [true, false, false]);
    }
}
