//! Rows that hold only some columns of their table.

use std::fmt;

use super::list_value::elements;

/// Most columns that a table of Spanner has.
const COLUMNS_MAX: usize = 1_024;
/// Columns of one word of a set.
const WORD_COLUMNS: usize = 64;

/// Some columns of a plan, by their places in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnSet([u64; COLUMNS_MAX / WORD_COLUMNS]);

impl ColumnSet {
    /// No column.
    pub const NONE: ColumnSet = ColumnSet([0; COLUMNS_MAX / WORD_COLUMNS]);

    /// These columns.
    pub fn of(columns: impl IntoIterator<Item = usize>) -> ColumnSet {
        let mut set = ColumnSet::NONE;
        columns.into_iter().for_each(|column| set.insert(column));
        set
    }

    /// Adds a column.
    pub fn insert(&mut self, column: usize) {
        assert!(
            column < COLUMNS_MAX,
            "a table of Spanner has {COLUMNS_MAX} columns at most"
        );
        self.0[column / WORD_COLUMNS] |= 1 << (column % WORD_COLUMNS);
    }

    /// Whether a column is in it.
    pub fn contains(&self, column: usize) -> bool {
        let word = self.0.get(column / WORD_COLUMNS);
        word.is_some_and(|word| word & (1 << (column % WORD_COLUMNS)) != 0)
    }

    /// The columns of both.
    #[must_use]
    pub fn union(&self, other: &ColumnSet) -> ColumnSet {
        let mut all = *self;
        for (word, more) in all.0.iter_mut().zip(other.0) {
            *word |= more;
        }
        all
    }

    /// How many columns it has.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether it has no column.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Its columns in the plan's order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..COLUMNS_MAX).filter(|column| self.contains(*column))
    }
}

impl fmt::Debug for ColumnSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The values of some columns of a row. A column that it lacks was not sent and is unchanged; that
/// is never NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialRow<'a> {
    /// The columns that it holds, those of the key among them.
    pub columns: &'a ColumnSet,
    /// Their values in the plan's order, as `ListValue` payload.
    pub cells: &'a [u8],
}

impl PartialRow<'_> {
    /// Appends the whole row that this one makes of `whole`.
    pub(crate) fn over_whole(&self, whole: &[u8], out: &mut Vec<u8>) {
        let mut new = elements(self.cells);
        for (column, cell) in elements(whole).enumerate() {
            let cell = if self.columns.contains(column) {
                new.next()
                    .expect("a partial row has a value for each of its columns")
            } else {
                cell
            };
            out.extend_from_slice(cell);
        }
        assert!(
            new.next().is_none(),
            "a partial row has no column that its table lacks"
        );
    }

    /// Appends the values of the columns of both, this one's where both have one. Returns those
    /// columns.
    pub(crate) fn over_partial(&self, earlier: PartialRow<'_>, out: &mut Vec<u8>) -> ColumnSet {
        let both = earlier.columns.union(self.columns);
        let (mut old, mut new) = (elements(earlier.cells), elements(self.cells));
        for column in both.iter() {
            let replaced = if earlier.columns.contains(column) {
                old.next()
            } else {
                None
            };
            let cell = if self.columns.contains(column) {
                new.next()
            } else {
                replaced
            };
            out.extend_from_slice(cell.expect("a partial row has a value for each of its columns"));
        }
        assert!(
            old.next().is_none() && new.next().is_none(),
            "a partial row has one value for each of its columns"
        );
        both
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::list_value::{put_null, put_string};

    fn cells(values: &[Option<&str>]) -> Vec<u8> {
        let mut cells = Vec::new();
        for value in values {
            match value {
                Some(text) => put_string(&mut cells, text.as_bytes()),
                None => put_null(&mut cells),
            }
        }
        cells
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set = ColumnSet::of([3, 1_023, 64, 3]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [3, 64, 1_023]);
        assert_eq!(
            (set.len(), set.is_empty(), ColumnSet::NONE.is_empty()),
            (3, false, true)
        );
        assert!(!set.contains(2) && !set.contains(5_000));
        assert_eq!(set.union(&ColumnSet::of([0])).len(), 4);
        assert_eq!(format!("{:?}", ColumnSet::of([0, 2])), "{0, 2}");
    }

    #[test]
    fn what_was_not_sent_stays_and_null_is_a_value() {
        let whole = cells(&[Some("k"), Some("a"), None, Some("c")]);
        let check = |columns: &[usize], values: &[Option<&str>], expected: &[Option<&str>]| {
            let (columns, values) = (ColumnSet::of(columns.iter().copied()), cells(values));
            let row = PartialRow {
                columns: &columns,
                cells: &values,
            };
            let mut out = Vec::new();
            row.over_whole(&whole, &mut out);
            assert_eq!(out, cells(expected));
        };
        check(
            &[0, 2],
            &[Some("k"), Some("B")],
            &[Some("k"), Some("a"), Some("B"), Some("c")],
        );
        check(&[0, 3], &[Some("k"), None], &[Some("k"), Some("a"), None, None]);
        check(&[0], &[Some("k")], &[Some("k"), Some("a"), None, Some("c")]);
    }

    #[test]
    fn the_later_of_two_partial_rows_counts() {
        let (first, second) = (ColumnSet::of([0, 1, 2]), ColumnSet::of([0, 2, 3]));
        let (earlier, later) = (
            cells(&[Some("k"), Some("a"), Some("b")]),
            cells(&[Some("k"), None, Some("d")]),
        );
        let row = |columns, cells| PartialRow { columns, cells };
        let mut out = Vec::new();
        let columns = row(&second, &later).over_partial(row(&first, &earlier), &mut out);
        assert_eq!(columns, ColumnSet::of(0..4));
        assert_eq!(out, cells(&[Some("k"), Some("a"), None, Some("d")]));
    }
}
