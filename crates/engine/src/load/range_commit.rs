//! The commits of one range: how its rows are written, and what of it is recorded with them
//! (docs/design/load.md).

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::row_source::{Boundary, Range, WriteMode};
use spanferry_core::port::target::{
    Committer, ControlChange, FencedCommit, MutationKind, RangeRow, TableMutations,
};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Failure, ServerWords};
use spanferry_core::wire::rows::RowBatch;

use super::work::Attempt;
use crate::lane::{FencedLane, Halving, LaneError, Part, Refused};
use crate::verify::readable_key;

/// A range whose rows are being committed, in order.
pub(super) struct RangeCommit<'a> {
    plan: &'a Arc<TablePlan>,
    mode: WriteMode,
    /// The range's record as the last commit has left it.
    row: RangeRow,
    /// Rows at the beginning of the range that are at the target and are still to be read past.
    known: u64,
}

impl<'a> RangeCommit<'a> {
    /// A range of which the first `rows_in` rows are at the target.
    pub(super) fn new(
        plan: &'a Arc<TablePlan>,
        range: &Range,
        number: u64,
        rows_in: u64,
        mode: WriteMode,
    ) -> RangeCommit<'a> {
        let text = |boundary: &Option<Boundary>| boundary.as_ref().map(|boundary| boundary.0.clone());
        // Rows that take another one's place are all written again.
        let known = match mode {
            WriteMode::Upsert => 0,
            WriteMode::Insert => rows_in,
        };
        RangeCommit {
            plan,
            mode,
            row: RangeRow {
                table: plan.name().clone(),
                number,
                after: text(&range.after),
                up_to: text(&range.up_to),
                rows: known,
                is_finished: false,
            },
            known,
        }
    }

    /// The rows that another attempt need not write again.
    pub(super) fn rows_in(&self) -> u64 {
        match self.mode {
            WriteMode::Upsert => 0,
            WriteMode::Insert => self.row.rows,
        }
    }

    /// The kind of mutation that writes its rows.
    pub(super) fn kind(&self) -> MutationKind {
        match self.mode {
            WriteMode::Upsert => MutationKind::Upsert,
            WriteMode::Insert => MutationKind::Insert,
        }
    }

    /// The rows of a batch that are not at the target yet.
    pub(super) fn without_known(&mut self, batch: RowBatch) -> RowBatch {
        if self.known == 0 {
            return batch;
        }
        let known = usize::try_from(self.known).unwrap_or(usize::MAX).min(batch.len());
        self.known -= known as u64;
        let mut rest = RowBatch::new();
        for payload in batch.payloads().skip(known) {
            rest.push(payload);
        }
        rest
    }

    /// Commits rows that are not the last of the range. Returns them for reuse of their memory.
    pub(super) async fn send<T: Committer>(
        &mut self,
        lane: &mut FencedLane<T>,
        data: Vec<TableMutations>,
        attempt: &Attempt<T>,
    ) -> Result<Vec<TableMutations>, Failure> {
        self.commit(lane, data, false, attempt).await
    }

    /// Commits the last rows of the range, and that it is finished, if it is.
    pub(super) async fn send_last<T: Committer>(
        &mut self,
        lane: &mut FencedLane<T>,
        data: Vec<TableMutations>,
        is_finished: bool,
        attempt: &Attempt<T>,
    ) -> Result<Vec<TableMutations>, Failure> {
        if self.known > 0 {
            return Err(self.shorter());
        }
        self.commit(lane, data, is_finished, attempt).await
    }

    async fn commit<T: Committer>(
        &mut self,
        lane: &mut FencedLane<T>,
        data: Vec<TableMutations>,
        finishes: bool,
        attempt: &Attempt<T>,
    ) -> Result<Vec<TableMutations>, Failure> {
        let halving = match self.mode {
            WriteMode::Upsert => Halving::TooLarge,
            WriteMode::Insert => Halving::TooLargeOrThere,
        };
        let rows = data.iter().map(|mutations| mutations.rows.len() as u64).sum();
        let all = Part { rows, is_last: true };
        let recorded = |part: Part| self.recorded(part, finishes);
        let travelling = |part: Part| recorded(part).map(ControlChange::Range).into_iter().collect();
        let committed = lane.commit_in_parts(data, halving, travelling).await;
        let data = committed.map_err(|error| self.rejected(error))?;
        let recorded = recorded(all);
        self.row.rows += rows;
        attempt.record(recorded);
        Ok(data)
    }

    /// What travels with the commit that brings the first `part.rows` rows of the data.
    ///
    /// Rows that are inserted are counted by the commit that brings them, whatever becomes of the
    /// next one: so they are never inserted twice. Rows that are upserted count when all are in.
    fn recorded(&self, part: Part, finishes: bool) -> Option<RangeRow> {
        let is_finished = finishes && part.is_last;
        let counts = match self.mode {
            WriteMode::Upsert => is_finished,
            WriteMode::Insert => is_finished || part.rows > 0,
        };
        counts.then(|| RangeRow {
            rows: self.row.rows + part.rows,
            is_finished,
            ..self.row.clone()
        })
    }

    /// A range that had more rows when it was begun.
    fn shorter(&self) -> Failure {
        let text = format!(
            "a part of it had {} rows or more when its load began, and has fewer now",
            self.row.rows
        );
        Failure::of_table(code::ROWS_CHANGED, self.plan.name(), text)
    }

    fn rejected(&self, error: LaneError) -> Failure {
        let refused = match error {
            LaneError::Failed(failure) => return failure,
            LaneError::Rejected(refused) => refused,
        };
        let failure = match (self.mode, row_that_is_there(&refused)) {
            (WriteMode::Insert, Some(row)) => {
                let key = readable_key(self.plan, row);
                let text = format!("the target already has a row with the key {key}");
                Failure::of_table(code::KEY_TWICE, self.plan.name(), text)
            }
            (WriteMode::Insert, None) | (WriteMode::Upsert, _) => {
                let status = &refused.rejection.status;
                let text = format!("the target rejects rows of the load: {status}");
                Failure::of_table(code::CHANGE_REJECTED, self.plan.name(), text)
            }
        };
        failure.caused_by(ServerWords::from(refused.rejection))
    }
}

/// The one row of a commit that was rejected because the row is there.
fn row_that_is_there(refused: &Refused) -> Option<&[u8]> {
    let is_alone = |commit: &FencedCommit| commit.data.iter().map(|data| data.rows.len()).sum::<usize>() == 1;
    if !refused.rejection.is_there() || !is_alone(&refused.commit) {
        return None;
    }
    let mut rows = refused.commit.data.iter().flat_map(|data| data.rows.payloads());
    rows.next()
}
