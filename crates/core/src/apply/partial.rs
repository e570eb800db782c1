//! Counts the changes of a transaction, so that one that was cut continues behind the changes that
//! are applied (docs/design/fence.md, steps 8 to 11).

use crate::plan::TablePlan;
use crate::port::epoch::Epoch;
use crate::position::checkpoint::PartialTransaction;
use crate::position::{PositionError, Witness};

/// The count of the open transaction's changes.
#[derive(Debug)]
pub(super) struct ChangeCount {
    /// As its first piece shows it.
    pub(super) witness: Witness,
    /// Changes that an earlier commit holds.
    skip: u64,
    /// Changes of abandoned transactions that its fence keys include.
    abandoned: u64,
    /// The epoch in which its changes were counted first.
    counted_in: Epoch,
    /// Changes so far of the tables that were recorded in that epoch.
    seen: u64,
}

/// A transaction that begins.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) count: ChangeCount,
    /// Whether it is the one that was cut: its first changes are applied.
    pub(super) resumes: bool,
}

impl ChangeCount {
    /// The count of a transaction that begins in `epoch`; `partial` is the one that was cut.
    ///
    /// One that has the identity of the cut transaction and is another one is an error.
    pub(super) fn begin(
        witness: Witness,
        partial: Option<&PartialTransaction>,
        epoch: Epoch,
    ) -> Result<Begun, PositionError> {
        let mut begun = Begun {
            count: ChangeCount {
                witness,
                skip: 0,
                abandoned: 0,
                counted_in: epoch,
                seen: 0,
            },
            resumes: false,
        };
        let Some(partial) = partial else {
            return Ok(begun);
        };
        let count = &mut begun.count;
        if partial.transaction.id != count.witness.id {
            // Should this one be cut too, the other is abandoned: it comes later, whole, and is
            // applied from its first change.
            count.abandoned = partial.abandoned + partial.changes;
            return Ok(begun);
        }
        partial.transaction.expect_same(&count.witness)?;
        count.skip = partial.changes;
        count.abandoned = partial.abandoned;
        count.counted_in = partial.counted_in;
        begun.resumes = true;
        Ok(begun)
    }

    /// Whether the table's changes are counted. One that was recorded later was not counted, and
    /// none of its changes is in an earlier commit.
    fn counts(&self, plan: &TablePlan) -> bool {
        plan.counted_from <= self.counted_in
    }

    /// Counts a change; whether it is new, and in no earlier commit.
    pub(super) fn change(&mut self, plan: &TablePlan) -> bool {
        let is_counted = self.counts(plan);
        self.seen += u64::from(is_counted);
        !is_counted || self.seen > self.skip
    }

    /// Counts changes that are not handed on.
    pub(super) fn pass(&mut self, plan: &TablePlan, changes: u64) {
        if self.counts(plan) {
            self.seen += changes;
        }
    }

    /// The transaction, cut before the change of `plan` that was counted last.
    pub(super) fn cut_before(&self, plan: &TablePlan) -> PartialTransaction {
        let changes = self.seen - u64::from(self.counts(plan));
        assert!(
            changes > self.skip,
            "each cut lies behind the one before: the fence key rises"
        );
        PartialTransaction {
            transaction: self.witness.clone(),
            changes,
            abandoned: self.abandoned,
            counted_in: self.counted_in,
        }
    }
}
