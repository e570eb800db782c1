//! A window that the target rejects: its transactions one at a time. A constraint that stands in the way of one is dropped; where
//! none does, the groups stop whose change is rejected.

use std::collections::BTreeSet;
use std::sync::Arc;

use spanferry_core::apply::window::WindowLimits;
use spanferry_core::plan::{GroupId, TableId, TablePlan};
use spanferry_core::port::change_log::{ChangeLog, ChangeLogReader};
use spanferry_core::port::source::ChangeSource;
use spanferry_core::port::target::{Committer, FencedCommit, Rejection, SchemaTarget};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Failure, ServerWords};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::report::remedy::Remedy;

use super::task::Apply;
use crate::constraint::{Constraint, Way, drop_recorded, find_way};
use crate::lane::LaneError;
use crate::registry::Registry;

/// Transactions applied one at a time after a rejected window, before windows are folded again.
const SINGLE_TRANSACTIONS: u64 = 10_000;

impl<S: ChangeSource, L: ChangeLog, T: Committer + SchemaTarget> Apply<S, L, T> {
    /// A window was rejected: goes on one transaction at a time, until one is rejected again and that is resolved.
    pub(super) async fn resolve_rejection(&mut self, rejection: &Rejection) -> Result<(), Failure> {
        tracing::warn!(
            status = rejection.status,
            "a window is rejected; going on one transaction at a time"
        );
        let limits = self.limits;
        let divide = if rejection.too_large { 8 } else { 1 };
        self.limits = WindowLimits {
            bytes_best: 1,
            bytes_max: (limits.bytes_max / divide).max(1),
            mutations_max: (limits.mutations_max / divide).max(1),
        };
        let result = self.one_by_one().await;
        self.limits = limits;
        result
    }

    async fn one_by_one(&mut self) -> Result<(), Failure> {
        let mut stream = self.open_main().await?;
        let began = self.main.key().sequence;
        loop {
            if self.shared.stop.is_cancelled() || self.main.key().sequence.0 >= began.0 + SINGLE_TRANSACTIONS
            {
                return Ok(());
            }
            let Some(piece) = stream.reader.try_next().await? else {
                return Ok(());
            };
            stream.take(&piece).await?;
            self.tell(&mut stream.builder);
            while !self.shared.stop.is_cancelled()
                && let Some(window) = stream.builder.take_ready()
            {
                match self.commit(window).await {
                    Ok(()) => {}
                    Err(LaneError::Failed(failure)) => return Err(failure),
                    Err(LaneError::Rejected(rejection, commit)) => {
                        return self.resolve_alone(&rejection, &commit).await;
                    }
                }
            }
        }
    }

    /// A transaction was rejected alone: a constraint that is in its way goes, else its groups stop. The main stream has not moved, and
    /// reads the same transaction again.
    async fn resolve_alone(&mut self, rejection: &Rejection, commit: &FencedCommit) -> Result<(), Failure> {
        let written: BTreeSet<TableId> = commit.data.iter().map(|data| data.table.id).collect();
        let groups: BTreeSet<GroupId> = commit.data.iter().map(|data| data.table.group).collect();
        let registry = Arc::clone(&self.registry);
        let plans = registry.plans().iter();
        let of_groups: Vec<_> = plans.filter(|plan| groups.contains(&plan.group)).collect();
        match find_way(&self.shared, &of_groups, self.dialect, rejection, &written).await? {
            Way::Changed => return Ok(()),
            Way::Through(constraints) if self.let_through(rejection, &constraints).await? => return Ok(()),
            Way::Through(_) | Way::Blocked => {}
        }
        let groups: Vec<GroupId> = groups.into_iter().collect();
        let transaction = format!("at sequence {}", commit.next.key.sequence);
        self.stop_groups(&groups, rejection, &transaction).await
    }

    /// Records that constraints are left out, then drops them (docs/design/constraints.md, step 4). False if they cannot be dropped.
    async fn let_through(
        &mut self,
        rejection: &Rejection,
        constraints: &[Constraint],
    ) -> Result<bool, Failure> {
        let reason = format!(
            "it stood in the way of a change of the source: {}: {}",
            rejection.status, rejection.message
        );
        let rows = constraints
            .iter()
            .map(|constraint| constraint.leave_out(&reason))
            .collect();
        let registry = Arc::clone(&self.registry);
        let transition = registry.transition().await;
        self.record(&transition, rows).await?;
        drop(transition);
        let is_dropped = drop_recorded(&self.shared, constraints).await?;
        for constraint in constraints {
            let finding = constraint.left_out(&reason);
            tracing::warn!(code = %finding.code, subject = %finding.subject, status = rejection.status,
                "a constraint gives way to a change");
            self.shared.progress.report(finding);
        }
        Ok(is_dropped)
    }

    /// Stops groups on the catch-up lane, without moving the main stream: it then reads the same transaction without them.
    pub(super) async fn stop_groups(
        &mut self,
        groups: &[GroupId],
        rejection: &Rejection,
        at: &str,
    ) -> Result<(), Failure> {
        if groups.is_empty() {
            let text = format!("the target rejects a commit without data: {}", rejection.status);
            return Err(Failure::bug("fence", text).caused_by(ServerWords::from(rejection.clone())));
        }
        for group in groups {
            let table = first_of(&self.registry, *group).name().table.clone();
            let text = format!(
                "the target rejects a change {at}: {}: {}",
                rejection.status, rejection.message
            );
            let finding = Finding::new(
                code::CHANGE_REJECTED,
                Severity::Blocking,
                Subject::table(table.clone()),
                text,
            )
            .remedy(Remedy::resync(table));
            let registry = Arc::clone(&self.registry);
            let transition = registry.transition().await;
            let rows = transition.stop_rows(*group, &finding);
            self.record(&transition, rows).await?;
            drop(transition);
            tracing::error!(code = %finding.code, subject = %finding.subject, "a group stops");
            self.shared.progress.report(finding);
        }
        Ok(())
    }
}

fn first_of(registry: &Registry, group: GroupId) -> Arc<TablePlan> {
    let first = registry.group(group).next();
    Arc::clone(first.expect("a group has at least one table"))
}
