//! The fold: changes of rows become one final mutation a key.
//!
//! Changes are staged in their order. `fold_staged` takes them into the fold, where a change of a
//! key meets what earlier changes of the window have made of it; `meet` is the rule for each pair.
//! `take` collects what the fold holds; staged changes stay.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::plan::{TableId, TablePlan};
use crate::port::target::{MutationKind, TableMutations};
use crate::wire::partial_rows::{ColumnSet, PartialRow};
use crate::wire::rows::RowBatch;

/// What a change makes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// There is no row.
    Gone,
    /// There is this row.
    Whole(&'a [u8]),
    /// There is a row, and these columns of it have these values.
    Partial(PartialRow<'a>),
}

/// What the fold holds of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// A deletion.
    Gone,
    /// A whole row.
    Whole,
    /// Some columns of a row.
    Partial,
}

/// What a change does to what the fold holds of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meeting {
    /// The change alone counts.
    Replaces,
    /// Its columns replace those that are held: a whole row stays whole, some columns become those
    /// of both.
    LiesOver,
    /// It changes a row that is gone.
    IsUnfit,
}

/// The rule for each pair of kinds. Every change of a key stands in this table:
///
/// | held so far | then gone | then a whole row | then some columns |
/// |---|---|---|---|
/// | nothing | gone | the row | the columns |
/// | gone | gone | the row | unfit: the source changes no row that is not there |
/// | a whole row | gone | the later row | a whole row, with these columns |
/// | some columns | gone | the row | the columns of both, the later values |
fn meet(held: Option<Held>, change: Held) -> Meeting {
    match (held, change) {
        (None | Some(Held::Gone | Held::Whole | Held::Partial), Held::Gone | Held::Whole)
        | (None, Held::Partial) => Meeting::Replaces,
        (Some(Held::Whole | Held::Partial), Held::Partial) => Meeting::LiesOver,
        (Some(Held::Gone), Held::Partial) => Meeting::IsUnfit,
    }
}

/// The same, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    Gone,
    Whole,
    /// The place of its columns in `Fold::column_sets`: a small number, because a run of changes
    /// holds many of these.
    Partial(u32),
}

impl Stored {
    fn held(self) -> Held {
        match self {
            Stored::Gone => Held::Gone,
            Stored::Whole => Held::Whole,
            Stored::Partial(_) => Held::Partial,
        }
    }

    /// Deletions come first, then whole rows, then partial ones by their columns.
    fn place(self) -> u32 {
        match self {
            Stored::Gone => 0,
            Stored::Whole => 1,
            Stored::Partial(columns) => 2 + columns,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Operation {
    table: TableId,
    hash: u64,
    key: (usize, usize),
    /// Empty for a deletion.
    row: (usize, usize),
    stored: Stored,
    /// The first operation of a change: a cut may lie before it.
    starts_change: bool,
}

impl Operation {
    /// Where in the arena lies what the target gets: the key of a deletion, the whole row
    /// otherwise.
    fn payload(&self) -> Range<usize> {
        let (start, end) = match self.stored {
            Stored::Gone => self.key,
            Stored::Whole | Stored::Partial(_) => self.row,
        };
        start..end
    }

    /// What it counts against the limit of mutations.
    fn mutations(&self, tables: &[Arc<TablePlan>], column_sets: &[ColumnSet]) -> usize {
        let plan = &tables[self.table.0 as usize];
        match self.stored {
            Stored::Gone => plan.mutations_per_delete(),
            Stored::Whole => plan.mutations_per_upsert(),
            Stored::Partial(columns) => plan.mutations_per_update(&column_sets[columns as usize]),
        }
    }
}

/// How many of the last sets of columns are compared with a new one: a run of changes has few.
const SETS_COMPARED: usize = 16;

/// The changes of a window.
#[derive(Debug)]
pub(super) struct Fold {
    tables: Arc<[Arc<TablePlan>]>,
    hasher: DefaultHashBuilder,
    /// Keys and rows of all operations: those of the fold, then those that are staged.
    arena: Vec<u8>,
    index: HashTable<usize>,
    folded: Vec<Operation>,
    folded_mutations: usize,
    staged: Vec<Operation>,
    staged_from: usize,
    staged_mutations: usize,
    /// The columns of partial rows, few of them twice.
    column_sets: Vec<ColumnSet>,
    /// Memory for a row that is put together.
    scratch: Vec<u8>,
}

impl Fold {
    pub(super) fn new(tables: Arc<[Arc<TablePlan>]>) -> Fold {
        Fold {
            tables,
            hasher: DefaultHashBuilder::default(),
            arena: Vec::new(),
            index: HashTable::new(),
            folded: Vec::new(),
            folded_mutations: 0,
            staged: Vec::new(),
            staged_from: 0,
            staged_mutations: 0,
            column_sets: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Whether no change is staged.
    pub(super) fn has_nothing_staged(&self) -> bool {
        self.staged.is_empty()
    }

    /// Whether `take` would collect nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.folded.is_empty()
    }

    /// Bytes of everything, staged or folded, also of what later changes have replaced.
    pub(super) fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// Bytes of what is staged.
    pub(super) fn staged_bytes(&self) -> usize {
        self.arena.len() - self.staged_from
    }

    /// Mutations of what is staged.
    pub(super) fn staged_mutations(&self) -> usize {
        self.staged_mutations
    }

    /// How many changes are staged.
    pub(super) fn staged_changes(&self) -> usize {
        self.staged
            .iter()
            .filter(|operation| operation.starts_change)
            .count()
    }

    /// Mutations that `take` would collect.
    pub(super) fn mutations(&self) -> usize {
        self.folded_mutations
    }

    /// Stages what a change makes of a key.
    pub(super) fn stage(&mut self, table: TableId, key: &[u8], content: Content<'_>, starts_change: bool) {
        let (row, stored) = match content {
            Content::Gone => (&[][..], Stored::Gone),
            Content::Whole(row) => (row, Stored::Whole),
            Content::Partial(row) => (row.cells, Stored::Partial(self.place_of(*row.columns))),
        };
        let key_start = self.arena.len();
        self.arena.extend_from_slice(key);
        let row_start = self.arena.len();
        self.arena.extend_from_slice(row);
        let operation = Operation {
            table,
            hash: self.hasher.hash_one((table.0, key)),
            key: (key_start, row_start),
            row: (row_start, self.arena.len()),
            stored,
            starts_change,
        };
        self.staged_mutations += operation.mutations(&self.tables, &self.column_sets);
        self.staged.push(operation);
    }

    /// The place of these columns in `column_sets`.
    fn place_of(&mut self, columns: ColumnSet) -> u32 {
        let first = self.column_sets.len().saturating_sub(SETS_COMPARED);
        let known = self.column_sets[first..]
            .iter()
            .position(|known| *known == columns);
        let place = known.map_or_else(
            || {
                self.column_sets.push(columns);
                self.column_sets.len() - 1
            },
            |place| first + place,
        );
        u32::try_from(place).expect("a window is bounded by the limit of mutations")
    }

    /// The tables with a staged change of some columns of a row that is gone. They must be stopped
    /// before `fold_staged`.
    pub(super) fn unfit(&self) -> BTreeSet<TableId> {
        let mut unfit = BTreeSet::new();
        // Rows are whole where the source sends whole rows: then there is nothing to look for.
        if self.column_sets.is_empty() {
            return unfit;
        }
        let mut staged: BTreeMap<(TableId, &[u8]), Held> = BTreeMap::new();
        for operation in &self.staged {
            let key = (operation.table, &self.arena[operation.key.0..operation.key.1]);
            let held = staged.get(&key).copied();
            let held = held.or_else(|| self.find(operation).map(|slot| self.folded[slot].stored.held()));
            let change = operation.stored.held();
            match meet(held, change) {
                Meeting::Replaces => drop(staged.insert(key, change)),
                Meeting::LiesOver => drop(staged.insert(key, held.unwrap_or(change))),
                Meeting::IsUnfit => drop(unfit.insert(operation.table)),
            }
        }
        unfit
    }

    /// Where the fold holds the key of an operation.
    fn find(&self, operation: &Operation) -> Option<usize> {
        let key = &self.arena[operation.key.0..operation.key.1];
        let same = |slot: &usize| {
            let known: &Operation = &self.folded[*slot];
            known.hash == operation.hash
                && known.table == operation.table
                && &self.arena[known.key.0..known.key.1] == key
        };
        self.index.find(operation.hash, same).copied()
    }

    /// Drops what is staged of some tables. Its bytes stay until the next `take`.
    pub(super) fn drop_staged(&mut self, is_dropped: impl Fn(&TablePlan) -> bool) {
        let (tables, column_sets) = (&self.tables, &self.column_sets);
        let dropped = |operation: &Operation| is_dropped(&tables[operation.table.0 as usize]);
        let removed: usize = self
            .staged
            .iter()
            .filter(|operation| dropped(operation))
            .map(|operation| operation.mutations(tables, column_sets))
            .sum();
        self.staged.retain(|operation| !dropped(operation));
        self.staged_mutations -= removed;
    }

    /// Takes what is staged into the fold. Returns how many changes that were.
    pub(super) fn fold_staged(&mut self) -> u64 {
        let mut changes = 0;
        for at in 0..self.staged.len() {
            let operation = self.staged[at];
            changes += u64::from(operation.starts_change);
            let result = if let Some(slot) = self.find(&operation) {
                let held = self.folded[slot];
                self.folded_mutations -= held.mutations(&self.tables, &self.column_sets);
                let result = match meet(Some(held.stored.held()), operation.stored.held()) {
                    Meeting::Replaces => operation,
                    Meeting::LiesOver => self.lay_over(&held, &operation),
                    Meeting::IsUnfit => panic!("a table with an unfit change was stopped"),
                };
                self.folded[slot] = result;
                result
            } else {
                let folded = &mut self.folded;
                self.index
                    .insert_unique(operation.hash, folded.len(), |slot| folded[*slot].hash);
                folded.push(operation);
                operation
            };
            self.folded_mutations += result.mutations(&self.tables, &self.column_sets);
        }
        self.staged.clear();
        self.staged_mutations = 0;
        self.staged_from = self.arena.len();
        changes
    }

    /// What is held with the columns of a later change over it.
    fn lay_over(&mut self, held: &Operation, change: &Operation) -> Operation {
        let Stored::Partial(columns) = change.stored else {
            panic!("only some columns lie over others")
        };
        let row = |operation: &Operation| &self.arena[operation.row.0..operation.row.1];
        let new = PartialRow {
            columns: &self.column_sets[columns as usize],
            cells: row(change),
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let stored = match held.stored {
            Stored::Whole => {
                new.over_whole(row(held), &mut scratch);
                Stored::Whole
            }
            Stored::Partial(columns) => {
                let earlier = PartialRow {
                    columns: &self.column_sets[columns as usize],
                    cells: row(held),
                };
                let both = new.over_partial(earlier, &mut scratch);
                Stored::Partial(self.place_of(both))
            }
            Stored::Gone => panic!("nothing lies over a row that is gone"),
        };
        let start = self.arena.len();
        self.arena.extend_from_slice(&scratch);
        self.scratch = scratch;
        Operation {
            row: (start, self.arena.len()),
            stored,
            ..*change
        }
    }

    /// Collects the fold: deletes first, one entry for each table and kind. What is staged stays.
    pub(super) fn take(&mut self) -> Vec<TableMutations> {
        assert_eq!(
            self.index.len(),
            self.folded.len(),
            "the fold has one mutation for each key"
        );
        let data = self.collect();
        self.folded.clear();
        self.index.clear();
        self.folded_mutations = 0;
        let removed = self.staged_from;
        self.arena.drain(..removed);
        self.staged_from = 0;
        for operation in &mut self.staged {
            operation.key = (operation.key.0 - removed, operation.key.1 - removed);
            operation.row = (operation.row.0 - removed, operation.row.1 - removed);
        }
        self.keep_staged_columns();
        data
    }

    /// Forgets the sets of columns that only the fold had.
    fn keep_staged_columns(&mut self) {
        if self.column_sets.is_empty() {
            return;
        }
        let earlier = std::mem::take(&mut self.column_sets);
        for at in 0..self.staged.len() {
            if let Stored::Partial(columns) = self.staged[at].stored {
                self.staged[at].stored = Stored::Partial(self.place_of(earlier[columns as usize]));
            }
        }
    }

    fn collect(&self) -> Vec<TableMutations> {
        // Sized before they are filled: growing by doubling would hold up to three times the window
        // for a moment.
        let mut sizes: BTreeMap<(u32, TableId), (usize, usize)> = BTreeMap::new();
        for operation in &self.folded {
            let size = sizes
                .entry((operation.stored.place(), operation.table))
                .or_default();
            size.0 += 1;
            size.1 += operation.payload().len();
        }
        let with_room = |(run, (rows, bytes))| (run, RowBatch::with_capacity(rows, bytes));
        let mut runs: BTreeMap<_, _> = sizes.into_iter().map(with_room).collect();
        for operation in &self.folded {
            let run = runs.get_mut(&(operation.stored.place(), operation.table));
            run.expect("it was counted")
                .push(&self.arena[operation.payload()]);
        }
        runs.into_iter()
            .map(|((place, table), rows)| TableMutations {
                table: Arc::clone(&self.tables[table.0 as usize]),
                kind: match place {
                    0 => MutationKind::Delete,
                    1 => MutationKind::Upsert,
                    partial => MutationKind::Update(self.column_sets[partial as usize - 2]),
                },
                rows,
            })
            .collect()
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
