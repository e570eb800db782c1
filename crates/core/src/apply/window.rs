//! Windows: consecutive source transactions folded into one commit, one final mutation a key.
//!
//! ```text
//!   change ─► staged (this transaction, in order) ──end──► folded (whole transactions) ──full or log's end──► Window
//!                      └─ too large for one commit: cut between changes, in order ──────────────────────────► Window (partial)
//! ```
//!
//! A transaction is staged as it is decoded and joins the fold only at its end, so that a window never holds half of one,
//! unless the transaction alone exceeds what one commit may hold.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

use crate::plan::{GroupId, TableId, TablePlan};
use crate::port::change_log::Sequence;
use crate::port::source::ChangeSink;
use crate::port::target::{Epoch, MutationKind, TableMutations};
use crate::position::checkpoint::{Checkpoint, PartialTransaction};
use crate::position::{Position, PositionError, Witness, Witnesses};
use crate::report::finding::Finding;
use crate::wire::rows::RowBatch;

/// How large a window may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimits {
    /// A window of several transactions is closed at this many bytes: commits of a few megabytes are what Spanner takes best.
    pub bytes_best: usize,
    /// One transaction may take this many bytes before it is cut: bounded by our memory, below Spanner's 100 MiB.
    pub bytes_max: usize,
    /// Spanner's limit of mutations in a commit, less the control rows that travel along.
    pub mutations_max: usize,
}

impl WindowLimits {
    /// The limits for the emulator, whose commits take time by the square of their rows when an index is unique.
    pub const EMULATOR: WindowLimits = WindowLimits {
        bytes_best: 512 << 10,
        bytes_max: 20 << 20,
        mutations_max: 8_000,
    };
    /// The limits for the real service.
    pub const SPANNER: WindowLimits = WindowLimits {
        bytes_best: 2 << 20,
        bytes_max: 20 << 20,
        mutations_max: 79_000,
    };
}

/// A group that must stop at a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The group.
    pub group: GroupId,
    /// The transaction at which it stops: nothing of it or after it is applied to the group.
    pub sequence: Sequence,
    /// That transaction's identity.
    pub transaction: String,
    /// Why.
    pub finding: Finding,
}

/// A folded window, ready to be committed.
#[derive(Debug)]
pub struct Window {
    /// The last transaction that is wholly in it or before it.
    pub sequence: Sequence,
    /// The source position at `sequence`, and the transaction behind it of which changes are in it or before it.
    pub reached: Checkpoint,
    /// Transactions that ended in it.
    pub transactions: u64,
    /// Changes before folding.
    pub changes: u64,
    /// Mutations: deletes first.
    pub data: Vec<TableMutations>,
    /// Groups that stop within it.
    pub stops: Vec<Stop>,
    /// When the source committed its last transaction, microseconds since 1970; 0 if unknown.
    pub committed_at_us: u64,
}

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
}

/// Folds the changes of a stream into windows.
#[derive(Debug)]
pub struct WindowBuilder {
    tables: Vec<Arc<TablePlan>>,
    filters: Vec<TableFilter>,
    limits: WindowLimits,
    hasher: DefaultHashBuilder,

    arena: Vec<u8>,
    index: HashTable<usize>,
    folded: Vec<Operation>,
    folded_mutations: usize,

    staged: Vec<Operation>,
    staged_from: usize,
    staged_mutations: usize,

    position: Position,
    /// The last transactions of `position`.
    witnesses: Witnesses,
    sequence: Sequence,
    /// The epoch of the process: transactions that it cuts are counted with all tables that are recorded now.
    epoch: Epoch,
    /// The transaction that is cut, or that an earlier process has cut and that is still to come.
    partial: Option<PartialTransaction>,
    transactions: u64,
    changes: u64,
    committed_at_us: u64,
    stops: Vec<Stop>,
    notices: Vec<Finding>,

    current: Option<Current>,
    /// Memory of the last `Current::applies`, for the next.
    applies_spare: Vec<bool>,
    ready: VecDeque<Window>,
}

#[derive(Debug)]
struct Current {
    sequence: Sequence,
    /// As its first piece shows it.
    witness: Witness,
    /// Changes still to be passed over, because an earlier commit holds them.
    skip: u64,
    /// What its pieces count on top of its own changes in fence keys.
    given_up: u64,
    /// The epoch in which its changes were counted first.
    counted_in: Epoch,
    /// Changes of the tables that were recorded in that epoch.
    seen: u64,
    /// Whether it was contained in the stream's own position.
    known: bool,
    /// Per table: whether its changes count in this transaction.
    applies: Vec<bool>,
}

/// What earlier commits hold of a transaction that begins.
#[derive(Debug, Clone, Copy)]
struct Earlier {
    changes: u64,
    given_up: u64,
    counted_in: Epoch,
}

impl WindowBuilder {
    /// A builder for a stream that has `reached` a place in the history, which is `sequence` in the log that is read. `tables` are
    /// all that the migration has recorded by `epoch`.
    pub fn new(
        tables: &[Arc<TablePlan>],
        limits: WindowLimits,
        reached: Checkpoint,
        sequence: Sequence,
        epoch: Epoch,
    ) -> WindowBuilder {
        let Checkpoint {
            position,
            witnesses,
            partial,
        } = reached;
        WindowBuilder {
            tables: tables.to_vec(),
            filters: vec![TableFilter::Ignore; tables.len()],
            limits,
            hasher: DefaultHashBuilder::default(),
            arena: Vec::new(),
            index: HashTable::new(),
            folded: Vec::new(),
            folded_mutations: 0,
            staged: Vec::new(),
            staged_from: 0,
            staged_mutations: 0,
            position,
            witnesses,
            sequence,
            epoch,
            partial,
            transactions: 0,
            changes: 0,
            committed_at_us: 0,
            stops: Vec::new(),
            notices: Vec::new(),
            current: None,
            applies_spare: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// Says how a table takes part from the next transaction on.
    pub fn set_filter(&mut self, table: TableId, filter: TableFilter) {
        self.filters[table.0 as usize] = filter;
    }

    /// All tables of the migration, also those that take no part.
    pub fn tables(&self) -> impl Iterator<Item = TableId> {
        self.tables.iter().map(|plan| plan.id)
    }

    /// A table's name at the source, without its schema.
    pub fn name(&self, table: TableId) -> &str {
        &self.tables[table.0 as usize].name().table
    }

    /// The position of the last whole transaction that was taken in.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The last whole transaction that was taken in.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Begins a transaction. Its changes follow through `ChangeSink`, then `end`.
    ///
    /// One that has the identity of the partly applied transaction and is another one is an error.
    pub fn begin(&mut self, sequence: Sequence, witness: Witness) -> Result<(), PositionError> {
        debug_assert!(self.current.is_none(), "the last transaction has ended");
        let id = &witness.id;
        let known = self.position.contains(id)?;
        let mut applies = std::mem::take(&mut self.applies_spare);
        applies.clear();
        for filter in &self.filters {
            applies.push(match filter {
                TableFilter::Ignore => false,
                TableFilter::Apply { after: None } => !known,
                TableFilter::Apply { after: Some(low) } => !known && !low.contains(id)?,
            });
        }
        let earlier = self.take_up(&witness)?;
        self.current = Some(Current {
            sequence,
            witness,
            skip: earlier.changes,
            given_up: earlier.given_up,
            counted_in: earlier.counted_in,
            seen: 0,
            known,
            applies,
        });
        Ok(())
    }

    /// For a transaction that begins: how many of its changes are committed already, and how many changes of abandoned
    /// transactions the fence key includes.
    fn take_up(&mut self, witness: &Witness) -> Result<Earlier, PositionError> {
        let none = Earlier {
            changes: 0,
            given_up: 0,
            counted_in: self.epoch,
        };
        let Some(partial) = &self.partial else {
            return Ok(none);
        };
        let earlier = Earlier {
            changes: partial.changes,
            given_up: partial.given_up,
            counted_in: partial.counted_in,
        };
        if partial.transaction.id != witness.id {
            // Should this one be cut too, the other is given up: it comes later, whole, and is applied anew from its first change.
            return Ok(Earlier {
                given_up: earlier.given_up + earlier.changes,
                ..none
            });
        }
        partial.transaction.expect_same(witness)?;
        if self.transactions > 0 {
            // What came before it is committed beside the present count of its changes.
            self.close();
        }
        self.partial = None;
        Ok(earlier)
    }

    /// Whether the open transaction can bring any change: its body need not be decoded otherwise.
    pub fn wants_changes(&self) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| current.applies.iter().any(|applies| *applies))
    }

    /// Ends the transaction that `begin` opened; `witness` is what its last piece shows of it.
    ///
    /// One that is applied already, and is not the one that was applied under its identity, is an error.
    pub fn end(&mut self, committed_at_us: u64, witness: Witness) -> Result<(), PositionError> {
        let current = self.current.take().expect("begin comes before end");
        if self.must_close_before_staged() {
            self.close();
        }
        self.fold_staged();
        assert_eq!(
            current.witness.id, witness.id,
            "all pieces are of one transaction"
        );
        if current.known {
            if let Some(applied) = self.witnesses.with_id(&witness.id) {
                applied.expect_same(&witness)?;
            }
        } else {
            self.position.advance(&witness.id)?;
            self.witnesses.push(witness);
        }
        self.sequence = current.sequence;
        self.applies_spare = current.applies;
        self.transactions += 1;
        self.committed_at_us = committed_at_us.max(self.committed_at_us);
        self.drop_passed_filters()?;
        if self.arena.len() >= self.limits.bytes_best || self.folded_mutations >= self.limits.mutations_max {
            self.close();
        }
        Ok(())
    }

    /// Takes the next finished window, if there is one.
    pub fn take_ready(&mut self) -> Option<Window> {
        self.ready.pop_front()
    }

    /// Closes the window with what it holds, if it holds any whole transaction, and takes it.
    pub fn take_now(&mut self) -> Option<Window> {
        debug_assert!(self.current.is_none(), "only between transactions");
        if self.ready.is_empty() && self.transactions > 0 {
            self.close();
        }
        self.ready.pop_front()
    }

    /// Whether the open window holds data or a stop, or only moves the position on.
    pub fn has_data(&self) -> bool {
        !self.folded.is_empty() || !self.stops.is_empty()
    }

    /// Whether it holds any whole transaction, data or not.
    pub fn is_pending(&self) -> bool {
        self.transactions > 0 || !self.ready.is_empty()
    }

    /// Takes what was told by `ChangeSink::notice`.
    pub fn take_notices(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.notices)
    }

    fn must_close_before_staged(&self) -> bool {
        let bytes = self.arena.len();
        self.transactions > 0
            && (bytes > self.limits.bytes_best
                || self.folded_mutations + self.staged_mutations > self.limits.mutations_max)
    }

    fn drop_passed_filters(&mut self) -> Result<(), PositionError> {
        for filter in &mut self.filters {
            if let TableFilter::Apply { after } = filter
                && let Some(low) = after
                && self.position.contains_all(low)?
            {
                *after = None;
            }
        }
        Ok(())
    }

    /// Counts a change; whether it is to be applied.
    fn counts(&mut self, table: TableId) -> bool {
        let plan = &self.tables[table.0 as usize];
        let current = self.current.as_mut().expect("changes come between begin and end");
        // A table that was recorded later was not counted, and none of its changes is in an earlier commit.
        let was_counted = plan.counted_from <= current.counted_in;
        current.seen += u64::from(was_counted);
        let is_new = !was_counted || current.seen > current.skip;
        is_new && current.applies[table.0 as usize]
    }

    fn stage(&mut self, table: TableId, key: &[u8], row: Option<&[u8]>, starts_change: bool) {
        let plan = &self.tables[table.0 as usize];
        let key_start = self.arena.len();
        self.arena.extend_from_slice(key);
        let row_start = self.arena.len();
        self.arena.extend_from_slice(row.unwrap_or_default());
        self.staged_mutations += if row.is_some() {
            plan.mutations_per_upsert()
        } else {
            plan.mutations_per_delete()
        };
        self.staged.push(Operation {
            table,
            hash: self.hasher.hash_one((table.0, key)),
            key: (key_start, row_start),
            row: (row_start, self.arena.len()),
            delete: row.is_none(),
            starts_change,
        });
    }

    /// Before a change is staged: makes room when the transaction alone outgrows one commit.
    fn make_room(&mut self, table: TableId, bytes: usize, mutations: usize) {
        let staged_bytes = self.arena.len() - self.staged_from;
        if self.staged.is_empty()
            || (staged_bytes + bytes <= self.limits.bytes_max
                && self.staged_mutations + mutations <= self.limits.mutations_max)
        {
            return;
        }
        if self.transactions > 0 || !self.folded.is_empty() {
            self.close();
        }
        self.fold_staged();
        let current = self.current.as_ref().expect("within a transaction");
        let is_counted = self.tables[table.0 as usize].counted_from <= current.counted_in;
        self.partial = Some(PartialTransaction {
            transaction: current.witness.clone(),
            changes: current.seen - u64::from(is_counted),
            given_up: current.given_up,
            counted_in: current.counted_in,
        });
        self.close();
        self.partial = None;
    }

    fn fold_staged(&mut self) {
        for at in 0..self.staged.len() {
            let operation = self.staged[at];
            self.changes += u64::from(operation.starts_change);
            let (arena, folded) = (&self.arena, &mut self.folded);
            let key = &arena[operation.key.0..operation.key.1];
            let same = |slot: &usize| {
                let known: &Operation = &folded[*slot];
                known.hash == operation.hash
                    && known.table == operation.table
                    && &arena[known.key.0..known.key.1] == key
            };
            if let Some(slot) = self.index.find(operation.hash, same).copied() {
                self.folded_mutations -= cost(&self.tables, &folded[slot]);
                folded[slot] = operation;
            } else {
                self.index
                    .insert_unique(operation.hash, folded.len(), |slot| folded[*slot].hash);
                folded.push(operation);
            }
            self.folded_mutations += cost(&self.tables, &operation);
        }
        self.staged.clear();
        self.staged_mutations = 0;
        self.staged_from = self.arena.len();
    }

    /// Moves the folded part into a finished window; staged operations stay.
    fn close(&mut self) {
        let window = Window {
            sequence: self.sequence,
            reached: Checkpoint {
                position: self.position.clone(),
                witnesses: self.witnesses.clone(),
                partial: self.partial.clone(),
            },
            transactions: std::mem::take(&mut self.transactions),
            changes: std::mem::take(&mut self.changes),
            data: self.collect(),
            stops: std::mem::take(&mut self.stops),
            committed_at_us: self.committed_at_us,
        };
        self.ready.push_back(window);
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

fn cost(tables: &[Arc<TablePlan>], operation: &Operation) -> usize {
    let plan = &tables[operation.table.0 as usize];
    if operation.delete {
        plan.mutations_per_delete()
    } else {
        plan.mutations_per_upsert()
    }
}

impl ChangeSink for WindowBuilder {
    fn upsert(&mut self, table: TableId, key: &[u8], row: &[u8]) {
        if self.counts(table) {
            self.make_room(
                table,
                key.len() + row.len(),
                self.tables[table.0 as usize].mutations_per_upsert(),
            );
            self.stage(table, key, Some(row), true);
        }
    }

    fn relocate(&mut self, table: TableId, old_key: &[u8], key: &[u8], row: &[u8]) {
        if self.counts(table) {
            let plan = &self.tables[table.0 as usize];
            let mutations = plan.mutations_per_upsert() + plan.mutations_per_delete();
            self.make_room(table, old_key.len() + key.len() + row.len(), mutations);
            self.stage(table, old_key, None, true);
            self.stage(table, key, Some(row), false);
        }
    }

    fn delete(&mut self, table: TableId, key: &[u8]) {
        if self.counts(table) {
            let mutations = self.tables[table.0 as usize].mutations_per_delete();
            self.make_room(table, key.len(), mutations);
            self.stage(table, key, None, true);
        }
    }

    fn pass(&mut self, table: TableId, changes: u64) {
        let plan = &self.tables[table.0 as usize];
        let current = self.current.as_mut().expect("changes come between begin and end");
        if plan.counted_from <= current.counted_in {
            current.seen += changes;
        }
    }

    fn stop(&mut self, table: TableId, finding: Finding) {
        let current = self.current.as_mut().expect("stops come between begin and end");
        if !current.applies[table.0 as usize] {
            return;
        }
        let group = self.tables[table.0 as usize].group;
        for plan in self.tables.iter().filter(|plan| plan.group == group) {
            current.applies[plan.id.0 as usize] = false;
            self.filters[plan.id.0 as usize] = TableFilter::Ignore;
        }
        let (sequence, transaction) = (current.sequence, current.witness.id.to_string());
        let tables = &self.tables;
        let removed: usize = self
            .staged
            .iter()
            .filter(|operation| tables[operation.table.0 as usize].group == group)
            .map(|operation| cost(tables, operation))
            .sum();
        self.staged
            .retain(|operation| tables[operation.table.0 as usize].group != group);
        self.staged_mutations -= removed;
        self.stops.push(Stop {
            group,
            sequence,
            transaction,
            finding,
        });
    }

    fn notice(&mut self, finding: Finding) {
        self.notices.push(finding);
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
