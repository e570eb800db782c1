//! Windows: consecutive source transactions folded into one commit, one final mutation a key.
//!
//! ```text
//!   change ─► staged (this transaction, in order) ──end──► folded (whole transactions) ──full or log's end──► Window
//!                      └─ too large for one commit: cut between changes, in order ──────────────────────────► Window (partial)
//! ```
//!
//! A transaction is staged as it is decoded and joins the fold only at its end, so that a window
//! never holds half of one, unless the transaction alone exceeds what one commit may hold.
//!
//! `filter` says which changes count, `partial` counts those of a cut transaction, `fold` holds the
//! rows. Here is decided where a window ends.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::plan::{GroupId, TableId, TablePlan};
use crate::port::change::{Change, ChangeSink, NewRow, SchemaChange};
use crate::port::change_log::Sequence;
use crate::port::epoch::Epoch;
use crate::port::target::TableMutations;
use crate::position::checkpoint::{Checkpoint, PartialTransaction};
use crate::position::{Position, PositionError, Witness, Witnesses};
use crate::report::code;
use crate::report::finding::{Finding, Severity, Subject};
use crate::report::remedy::Remedy;
use crate::schema::source::QualifiedName;
use crate::wire::partial_rows::PartialRow;

use super::filter::Filters;
use super::fold::{Content, Fold};
use super::partial::ChangeCount;

pub use super::filter::TableFilter;
pub use super::limits::WindowLimits;

/// A group that must stop at a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The group.
    pub group: GroupId,
    /// The transaction at which it stops: nothing of it or after it is applied to the group.
    pub sequence: Sequence,
    /// That transaction's identity; none if the target rejected a window of several.
    pub transaction: Option<String>,
    /// Why.
    pub finding: Finding,
}

/// A folded window, ready to be committed.
#[derive(Debug)]
pub struct Window {
    /// The last transaction that is wholly in it or before it.
    pub sequence: Sequence,
    /// The source position at `sequence`, and the transaction behind it of which changes are in it
    /// or before it.
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

/// What the open window holds apart from its rows.
#[derive(Debug, Default)]
struct Contents {
    transactions: u64,
    changes: u64,
    stops: Vec<Stop>,
}

/// A transaction that has begun and not ended.
#[derive(Debug)]
struct Current {
    sequence: Sequence,
    count: ChangeCount,
    /// Whether the stream's own position contains it.
    is_known: bool,
}

/// Folds the changes of a stream into windows.
#[derive(Debug)]
pub struct WindowBuilder {
    tables: Arc<[Arc<TablePlan>]>,
    limits: WindowLimits,
    /// The epoch of the process: transactions that it cuts are counted with all tables that are
    /// recorded now.
    epoch: Epoch,
    filters: Filters,
    fold: Fold,

    position: Position,
    /// The last transactions of `position`.
    witnesses: Witnesses,
    sequence: Sequence,
    committed_at_us: u64,
    /// The transaction that is cut, or that an earlier process has cut and that is still to come.
    partial: Option<PartialTransaction>,
    current: Option<Current>,

    contents: Contents,
    ready: VecDeque<Window>,
    notices: Vec<Finding>,
}

impl WindowBuilder {
    /// A builder for a stream that has `reached` a place in the history, which is `sequence` in the
    /// log that is read. `tables` are all that the migration has recorded by `epoch`.
    pub fn new(
        tables: &[Arc<TablePlan>],
        limits: WindowLimits,
        reached: Checkpoint,
        sequence: Sequence,
        epoch: Epoch,
    ) -> WindowBuilder {
        let tables: Arc<[Arc<TablePlan>]> = tables.into();
        let Checkpoint {
            position,
            witnesses,
            partial,
        } = reached;
        WindowBuilder {
            filters: Filters::new(tables.len()),
            fold: Fold::new(Arc::clone(&tables)),
            tables,
            limits,
            epoch,
            position,
            witnesses,
            sequence,
            committed_at_us: 0,
            partial,
            current: None,
            contents: Contents::default(),
            ready: VecDeque::new(),
            notices: Vec::new(),
        }
    }

    /// Says how a table takes part. Only between transactions.
    pub(crate) fn set_filter(&mut self, table: TableId, filter: TableFilter) {
        assert!(
            self.current.is_none(),
            "a table takes part, or not, in whole transactions"
        );
        self.filters.set(table, filter);
    }

    /// Folds by other limits from now on. Only between transactions.
    pub(crate) fn set_limits(&mut self, limits: WindowLimits) {
        assert!(self.current.is_none(), "a transaction keeps its limits");
        self.limits = limits;
    }

    /// All tables of the migration, also those that take no part.
    pub fn tables(&self) -> impl Iterator<Item = TableId> {
        self.tables.iter().map(|plan| plan.id)
    }

    /// A table's name at the source.
    pub fn name(&self, table: TableId) -> &QualifiedName {
        self.tables[table.0 as usize].name()
    }

    /// The position of the last whole transaction that was taken in.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The last whole transaction that was taken in.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Whether a transaction has begun and not ended.
    pub fn is_open(&self) -> bool {
        self.current.is_some()
    }

    /// Begins a transaction. Its changes follow through `ChangeSink`, then `end`.
    ///
    /// One that has the identity of the partly applied transaction and is another one is an error.
    pub fn begin(&mut self, sequence: Sequence, witness: Witness) -> Result<(), PositionError> {
        assert!(self.current.is_none(), "the last transaction has ended");
        assert!(sequence > self.sequence, "transactions come in their order");
        let is_known = self.position.contains(&witness.id)?;
        self.filters.begin(&witness.id, is_known)?;
        let begun = ChangeCount::begin(witness, self.partial.as_ref(), self.epoch)?;
        if begun.resumes {
            if self.contents.transactions > 0 {
                // What came before it is committed beside the present count of its changes.
                self.close();
            }
            self.partial = None;
        }
        self.current = Some(Current {
            sequence,
            count: begun.count,
            is_known,
        });
        Ok(())
    }

    /// Whether the open transaction can bring any change: its body need not be decoded otherwise.
    pub fn wants_changes(&self) -> bool {
        self.current.is_some() && self.filters.applies_any()
    }

    /// Ends the transaction that `begin` opened; `witness` is what its last piece shows of it.
    ///
    /// One that is applied already, and is not the one that was applied under its identity, is an
    /// error.
    pub fn end(&mut self, committed_at_us: u64, witness: Witness) -> Result<(), PositionError> {
        self.stop_unfit();
        let current = self.current.take().expect("begin comes before end");
        if self.must_close_before_staged() {
            self.close();
        }
        self.fold_staged();
        assert_eq!(
            current.count.witness.id, witness.id,
            "all pieces are of one transaction"
        );
        if current.is_known {
            if let Some(applied) = self.witnesses.with_id(&witness.id) {
                applied.expect_same(&witness)?;
            }
        } else {
            self.position.advance(&witness.id)?;
            self.witnesses.push(witness);
        }
        self.sequence = current.sequence;
        self.contents.transactions += 1;
        self.committed_at_us = committed_at_us.max(self.committed_at_us);
        self.filters.pass(&self.position)?;
        if self.fold.bytes() >= self.limits.bytes_best || self.fold.mutations() >= self.limits.mutations_max {
            self.close();
        }
        Ok(())
    }

    /// Takes the next finished window, if there is one.
    pub(crate) fn take_ready(&mut self) -> Option<Window> {
        self.ready.pop_front()
    }

    /// Closes the window with what it holds, if it holds any whole transaction, and takes it.
    pub(crate) fn take_now(&mut self) -> Option<Window> {
        assert!(self.current.is_none(), "only between transactions");
        if self.ready.is_empty() && self.contents.transactions > 0 {
            self.close();
        }
        self.ready.pop_front()
    }

    /// Whether the open window holds data or a stop, or only moves the position on.
    pub(crate) fn has_data(&self) -> bool {
        !self.fold.is_empty() || !self.contents.stops.is_empty()
    }

    /// Whether it holds any whole transaction, data or not.
    pub fn is_pending(&self) -> bool {
        self.contents.transactions > 0 || !self.ready.is_empty()
    }

    /// Takes what was reported by `ChangeSink::notice`.
    pub fn take_notices(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.notices)
    }

    fn must_close_before_staged(&self) -> bool {
        let mutations = self.fold.mutations() + self.fold.staged_mutations();
        self.contents.transactions > 0
            && (self.fold.bytes() > self.limits.bytes_best || mutations > self.limits.mutations_max)
    }

    /// Counts a change; whether it is to be applied.
    fn counts(&mut self, table: TableId) -> bool {
        let plan = &self.tables[table.0 as usize];
        let current = self.current.as_mut().expect("changes come between begin and end");
        let is_new = current.count.change(plan);
        is_new && self.filters.applies(table)
    }

    /// Before a change is staged: makes room when the transaction alone outgrows one commit. False
    /// if that has stopped the table.
    fn make_room(&mut self, table: TableId, bytes: usize, mutations: usize) -> bool {
        if self.fold.has_nothing_staged()
            || (self.fold.staged_bytes() + bytes <= self.limits.bytes_max
                && self.fold.staged_mutations() + mutations <= self.limits.mutations_max)
        {
            return true;
        }
        self.stop_unfit();
        if !self.filters.applies(table) {
            return false;
        }
        if self.contents.transactions > 0 {
            self.close();
        }
        self.fold_staged();
        let current = self.current.as_ref().expect("within a transaction");
        self.partial = Some(current.count.cut_before(&self.tables[table.0 as usize]));
        self.close();
        self.partial = None;
        true
    }

    fn fold_staged(&mut self) {
        let fits = self.fold.staged_mutations() <= self.limits.mutations_max
            && self.fold.staged_bytes() <= self.limits.bytes_max;
        assert!(
            fits || self.fold.staged_changes() == 1,
            "what is staged fits in one commit, unless it is one change"
        );
        self.contents.changes += self.fold.fold_staged();
    }

    /// Moves the folded part into a finished window; staged operations stay.
    fn close(&mut self) {
        assert!(
            self.fold.mutations() <= self.limits.mutations_max || self.contents.changes == 1,
            "a window keeps to the limit, unless it is one change"
        );
        let Contents {
            transactions,
            changes,
            stops,
        } = std::mem::take(&mut self.contents);
        self.ready.push_back(Window {
            sequence: self.sequence,
            reached: Checkpoint {
                position: self.position.clone(),
                witnesses: self.witnesses.clone(),
                partial: self.partial.clone(),
            },
            transactions,
            changes,
            data: self.fold.take(),
            stops,
            committed_at_us: self.committed_at_us,
        });
    }
}

/// The changes of rows, once they are known to count.
impl WindowBuilder {
    fn write(&mut self, table: TableId, key: &[u8], row: &[u8]) {
        let mutations = self.tables[table.0 as usize].mutations_per_upsert();
        if self.make_room(table, key.len() + row.len(), mutations) {
            self.fold.stage(table, key, Content::Whole(row), true);
        }
    }

    fn write_partial(&mut self, table: TableId, key: &[u8], row: PartialRow<'_>) {
        let mutations = self.tables[table.0 as usize].mutations_per_update(row.columns);
        if self.make_room(table, key.len() + row.cells.len(), mutations) {
            self.fold.stage(table, key, Content::Partial(row), true);
        }
    }

    fn write_moved(&mut self, table: TableId, old_key: &[u8], key: &[u8], row: &[u8]) {
        let plan = &self.tables[table.0 as usize];
        let mutations = plan.mutations_per_upsert() + plan.mutations_per_delete();
        if self.make_room(table, old_key.len() + key.len() + row.len(), mutations) {
            self.fold.stage(table, old_key, Content::Gone, true);
            self.fold.stage(table, key, Content::Whole(row), false);
        }
    }

    fn delete(&mut self, table: TableId, key: &[u8]) {
        let mutations = self.tables[table.0 as usize].mutations_per_delete();
        if self.make_room(table, key.len(), mutations) {
            self.fold.stage(table, key, Content::Gone, true);
        }
    }

    /// Stops the tables with a staged change of a row that an earlier change of the window has
    /// deleted.
    fn stop_unfit(&mut self) {
        for table in self.fold.unfit() {
            let text = "some columns of a row changed, and the row was deleted before";
            self.stop_incomplete(table, text);
        }
    }

    fn stop_incomplete(&mut self, table: TableId, text: &str) {
        let name = self.name(table);
        let (subject, remedy) = (Subject::table(name), Remedy::resync(name));
        let finding = Finding::new(code::CHANGE_INCOMPLETE, Severity::Blocking, subject, text);
        self.stop(table, finding.remedy(remedy));
    }
}

impl ChangeSink for WindowBuilder {
    /// The fold needs keys only: constraints hold at the end of a window.
    fn wants_old_rows(&self, _table: TableId) -> bool {
        false
    }

    fn change(&mut self, table: TableId, change: Change<'_>) {
        if !self.counts(table) {
            return;
        }
        match change {
            // The row may be there: a snapshot may have seen it.
            Change::Insert { key, row } => self.write(table, key, row),
            Change::Update {
                old,
                key,
                row: NewRow::Whole(row),
            } if old.key == key => self.write(table, key, row),
            Change::Update {
                old,
                key,
                row: NewRow::Whole(row),
            } => self.write_moved(table, old.key, key, row),
            Change::Update {
                old,
                key,
                row: NewRow::Partial(row),
            } if old.key == key => self.write_partial(table, key, row),
            Change::Update {
                row: NewRow::Partial(_),
                ..
            } => {
                let text = "a row moved to another key, and the source did not send all of its values";
                self.stop_incomplete(table, text);
            }
            Change::Delete { old } => self.delete(table, old.key),
        }
    }

    fn pass(&mut self, table: TableId, changes: u64) {
        let current = self.current.as_mut().expect("changes come between begin and end");
        current.count.pass(&self.tables[table.0 as usize], changes);
    }

    fn schema_change(&mut self, table: TableId, change: SchemaChange) {
        self.stop(table, change.finding);
    }

    fn stop(&mut self, table: TableId, finding: Finding) {
        let current = self.current.as_ref().expect("stops come between begin and end");
        if !self.filters.applies(table) {
            return;
        }
        let group = self.tables[table.0 as usize].group;
        for plan in self.tables.iter().filter(|plan| plan.group == group) {
            self.filters.set(plan.id, TableFilter::Ignore);
        }
        self.fold.drop_staged(|plan| plan.group == group);
        self.contents.stops.push(Stop {
            group,
            sequence: current.sequence,
            transaction: Some(current.count.witness.id.to_string()),
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
