//! The fold: changes of rows become one final mutation a key.
//!
//! Changes are staged in their order. `fold_staged` takes them into the fold, where the last change of a key replaces those
//! before it. `take` collects what the fold holds; staged changes stay.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::plan::{TableId, TablePlan};
use crate::port::target::{MutationKind, TableMutations};
use crate::wire::rows::RowBatch;

#[derive(Debug, Clone, Copy)]
struct Operation {
    table: TableId,
    hash: u64,
    key: (usize, usize),
    /// Empty and `delete` for a deletion.
    row: (usize, usize),
    delete: bool,
    /// The first operation of a change: a cut may lie before it.
    starts_change: bool,
}

impl Operation {
    /// Where in the arena lies what the target gets: the key of a deletion, the whole row otherwise.
    fn payload(&self) -> Range<usize> {
        let (start, end) = if self.delete { self.key } else { self.row };
        start..end
    }

    /// What it counts against the limit of mutations.
    fn mutations(&self, tables: &[Arc<TablePlan>]) -> usize {
        let plan = &tables[self.table.0 as usize];
        if self.delete {
            plan.mutations_per_delete()
        } else {
            plan.mutations_per_upsert()
        }
    }
}

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

    /// Stages the deletion of a key, or a row.
    pub(super) fn stage(&mut self, table: TableId, key: &[u8], row: Option<&[u8]>, starts_change: bool) {
        let key_start = self.arena.len();
        self.arena.extend_from_slice(key);
        let row_start = self.arena.len();
        self.arena.extend_from_slice(row.unwrap_or_default());
        let operation = Operation {
            table,
            hash: self.hasher.hash_one((table.0, key)),
            key: (key_start, row_start),
            row: (row_start, self.arena.len()),
            delete: row.is_none(),
            starts_change,
        };
        self.staged_mutations += operation.mutations(&self.tables);
        self.staged.push(operation);
    }

    /// Drops what is staged of some tables. Its bytes stay until the next `take`.
    pub(super) fn drop_staged(&mut self, is_dropped: impl Fn(&TablePlan) -> bool) {
        let tables = &self.tables;
        let dropped = |operation: &Operation| is_dropped(&tables[operation.table.0 as usize]);
        let removed: usize = self
            .staged
            .iter()
            .filter(|operation| dropped(operation))
            .map(|operation| operation.mutations(tables))
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
            let (arena, folded) = (&self.arena, &mut self.folded);
            let key = &arena[operation.key.0..operation.key.1];
            let same = |slot: &usize| {
                let known: &Operation = &folded[*slot];
                known.hash == operation.hash
                    && known.table == operation.table
                    && &arena[known.key.0..known.key.1] == key
            };
            if let Some(slot) = self.index.find(operation.hash, same).copied() {
                self.folded_mutations -= folded[slot].mutations(&self.tables);
                folded[slot] = operation;
            } else {
                self.index
                    .insert_unique(operation.hash, folded.len(), |slot| folded[*slot].hash);
                folded.push(operation);
            }
            self.folded_mutations += operation.mutations(&self.tables);
        }
        self.staged.clear();
        self.staged_mutations = 0;
        self.staged_from = self.arena.len();
        changes
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
        data
    }

    fn collect(&self) -> Vec<TableMutations> {
        // Sized before they are filled: growing by doubling would hold up to three times the window for a moment.
        let mut sizes: BTreeMap<(bool, TableId), (usize, usize)> = BTreeMap::new();
        for operation in &self.folded {
            let size = sizes.entry((!operation.delete, operation.table)).or_default();
            size.0 += 1;
            size.1 += operation.payload().len();
        }
        let with_room = |(run, (rows, bytes))| (run, RowBatch::with_capacity(rows, bytes));
        let mut runs: BTreeMap<_, _> = sizes.into_iter().map(with_room).collect();
        for operation in &self.folded {
            let run = runs.get_mut(&(!operation.delete, operation.table));
            run.expect("it was counted")
                .push(&self.arena[operation.payload()]);
        }
        runs.into_iter()
            .map(|((upsert, table), rows)| TableMutations {
                table: Arc::clone(&self.tables[table.0 as usize]),
                kind: if upsert {
                    MutationKind::Upsert
                } else {
                    MutationKind::Delete
                },
                rows,
            })
            .collect()
    }
}
