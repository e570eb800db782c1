//! The lane of control state, shared by load, constraints and resync.

use std::sync::Arc;

use spanferry_core::apply::verdict::rejects_control;
use spanferry_core::port::target::{Committer, ControlChange, TablePhase};
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::report::remedy::Remedy;
use tokio::sync::Mutex;

use crate::lane::{FencedLane, LaneError};
use crate::progress::Progress;
use crate::registry::{Registry, Transition};

/// The control lane: one commit at a time, for all tasks.
#[derive(Debug)]
pub struct ControlLane<T> {
    lane: Mutex<FencedLane<T>>,
    progress: Arc<Progress>,
}

impl<T: Committer> ControlLane<T> {
    /// A control lane.
    pub fn new(lane: FencedLane<T>, progress: Arc<Progress>) -> ControlLane<T> {
        ControlLane {
            lane: Mutex::new(lane),
            progress,
        }
    }

    /// Makes the rows that `rows` chooses durable, then known to the registry; no other task
    /// changes recorded states meanwhile. No rows, no commit.
    pub async fn record(
        &self,
        registry: &Registry,
        rows: impl FnOnce(&Transition<'_>) -> Vec<ControlChange>,
    ) -> Result<(), Failure> {
        let transition = registry.transition().await;
        let rows = rows(&transition);
        if rows.is_empty() {
            return Ok(());
        }
        let mut lane = self.lane.lock().await;
        match lane.commit_counted(Vec::new(), rows.clone()).await {
            Ok(_) => {
                transition.adopt(&rows);
                Ok(())
            }
            Err(LaneError::Failed(failure)) => Err(failure),
            Err(LaneError::Rejected(refused)) => Err(rejects_control(refused.rejection)),
        }
    }

    /// The migration must still be ours.
    pub(crate) async fn expect_owned(&self) -> Result<(), Failure> {
        self.lane.lock().await.expect_owned().await
    }

    /// Stops the group of the table that a failure names, unless it has stopped already.
    pub(crate) async fn stop_table(&self, registry: &Registry, failure: &Failure) -> Result<(), Failure> {
        let Some(plan) = failure.table.as_ref().and_then(|table| registry.named(table)) else {
            let text = "a failure that stops a table names none that is migrated";
            return Err(Failure::bug(failure.object.clone(), text));
        };
        if registry.phase(plan.id) == TablePhase::Stopped {
            return Ok(());
        }
        let finding = Finding::new(
            failure.code,
            Severity::Blocking,
            Subject::table(plan.name()),
            failure.reason(),
        )
        .remedy(Remedy::resync(plan.name()));
        tracing::error!(table = plan.name().table, code = %failure.code, "the group of this table stops");
        self.record(registry, |transition| transition.stop_rows(plan.group, &finding))
            .await?;
        self.progress.report(finding);
        Ok(())
    }

    /// The migration's counters.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
