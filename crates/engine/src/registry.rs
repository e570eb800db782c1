//! The tables' states, shared by load, apply and constraints; the durable copy is at the target.

use std::sync::{Arc, Mutex};

use spanferry_core::finding::Finding;
use spanferry_core::plan::{GroupId, TableId, TablePlan};
use spanferry_core::record::StopReason;
use spanferry_core::schema::QualifiedName;
use spanferry_core::target::{ControlChange, TablePhase, TableRow};
use tokio::sync::{MutexGuard, watch};

use crate::progress::Progress;

/// All tables of the migration.
#[derive(Debug)]
pub struct Registry {
    plans: Vec<Arc<TablePlan>>,
    rows: Mutex<Vec<TableRow>>,
    /// Held by whoever changes a table's recorded state, see `Transition`.
    transition: tokio::sync::Mutex<()>,
    changed: watch::Sender<u64>,
    progress: Arc<Progress>,
}

impl Registry {
    /// A registry of the plans with their recorded states, in the same order.
    pub fn new(plans: Vec<Arc<TablePlan>>, rows: Vec<TableRow>, progress: Arc<Progress>) -> Registry {
        assert_eq!(plans.len(), rows.len(), "every plan has a state");
        rows.iter().for_each(expect_reason);
        Registry {
            plans,
            rows: Mutex::new(rows),
            transition: tokio::sync::Mutex::new(()),
            changed: watch::Sender::new(0),
            progress,
        }
    }

    /// Wakes whoever waits for changes.
    pub fn touch(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    /// The plans, by table id.
    pub fn plans(&self) -> &[Arc<TablePlan>] {
        &self.plans
    }

    /// Told about every change.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn rows(&self) -> std::sync::MutexGuard<'_, Vec<TableRow>> {
        let rows = self.rows.lock();
        rows.expect("no task panics while it holds the registry")
    }

    /// A copy of one table's state, as recorded at the target.
    pub fn row(&self, table: TableId) -> TableRow {
        self.rows()[table.0 as usize].clone()
    }

    /// A table's phase.
    pub fn phase(&self, table: TableId) -> TablePhase {
        self.rows()[table.0 as usize].phase
    }

    /// The tables in a phase.
    pub fn in_phase(&self, phase: TablePhase) -> Vec<TableId> {
        let rows = self.rows();
        let with_ids = self.plans.iter().map(|plan| plan.id).zip(rows.iter());
        with_ids
            .filter(|(_, row)| row.phase == phase)
            .map(|(id, _)| id)
            .collect()
    }

    /// Whether any table is in a phase.
    pub fn has_phase(&self, phase: TablePhase) -> bool {
        self.rows().iter().any(|row| row.phase == phase)
    }

    /// The names of tables that are still going to read the change log from their own `low` on.
    pub fn holding_log(&self) -> impl Iterator<Item = &str> {
        let holding = self.plans.iter().filter(|plan| holds_log(self.phase(plan.id)));
        holding.map(|plan| plan.name().table.as_str())
    }

    /// The tables of a group.
    pub fn group(&self, group: GroupId) -> impl Iterator<Item = &Arc<TablePlan>> {
        self.plans.iter().filter(move |plan| plan.group == group)
    }

    /// Begins a change of recorded states; waits while another one is under way.
    ///
    /// Cancellation: safe.
    pub async fn transition(&self) -> Transition<'_> {
        Transition {
            registry: self,
            _held: self.transition.lock().await,
        }
    }

    /// The plan of a table by its source name.
    pub fn named(&self, table: &QualifiedName) -> Option<&Arc<TablePlan>> {
        self.plans.iter().find(|plan| plan.name() == table)
    }

    /// Whether every table has stopped.
    pub fn all_stopped(&self) -> bool {
        self.plans
            .iter()
            .all(|plan| self.phase(plan.id) == TablePhase::Stopped)
    }

    /// Whether every table that has not stopped is under constraints: nothing more is to be built.
    pub fn all_constrained(&self) -> bool {
        self.plans
            .iter()
            .all(|plan| matches!(self.phase(plan.id), TablePhase::Stopped | TablePhase::Constrained))
    }
}

/// The right to change recorded states, from the look at the present ones until the new ones are durable and adopted.
///
/// Load, apply and constraints commit table rows on lanes of their own. Without this a row made from an older look could
/// overwrite a stop that another lane has just recorded, and the changes after the stop would never be applied.
#[derive(Debug)]
pub struct Transition<'a> {
    registry: &'a Registry,
    _held: MutexGuard<'a, ()>,
}

impl Transition<'_> {
    /// The row of a table with changes, for a commit; `adopt` follows once it is durable.
    pub fn row_with(&self, table: TableId, change: impl FnOnce(&mut TableRow)) -> TableRow {
        let mut row = self.registry.row(table);
        change(&mut row);
        row
    }

    /// The rows that record a stop of a whole group. What has stopped before keeps its reason.
    pub fn stop_rows(&self, group: GroupId, finding: &Finding) -> Vec<ControlChange> {
        let reason = StopReason::from(finding);
        self.registry
            .group(group)
            .filter(|plan| self.registry.phase(plan.id) != TablePhase::Stopped)
            .map(|plan| {
                ControlChange::Table(self.row_with(plan.id, |row| {
                    row.phase = TablePhase::Stopped;
                    row.stopped = Some(reason.clone());
                }))
            })
            .collect()
    }

    /// Takes over rows that have become durable.
    pub fn adopt(&self, rows: &[ControlChange]) {
        let registry = self.registry;
        {
            let mut rows_now = registry.rows();
            for change in rows {
                if let ControlChange::Table(row) = change
                    && let Some(plan) = registry.named(&row.table)
                {
                    expect_reason(row);
                    rows_now[plan.id.0 as usize] = row.clone();
                    registry.progress.update_table(plan.id, |table| {
                        table.phase = row.phase;
                        table.stopped = row.stopped.as_ref().map(StopReason::to_string);
                    });
                }
            }
        }
        registry.touch();
    }
}

/// A stop without a reason would be missing in the exit status; a reason without a stop would be shown for a table that flows.
fn expect_reason(row: &TableRow) {
    let is_stopped = row.phase == TablePhase::Stopped;
    assert_eq!(is_stopped, row.stopped.is_some(), "a stop has a reason: {row:?}");
}

/// Whether a table in a phase is going to read the log from its own `low` on.
pub(crate) fn holds_log(phase: TablePhase) -> bool {
    match phase {
        TablePhase::Pending | TablePhase::Loading | TablePhase::Loaded => true,
        // A stopped table gets a new `low` before it reads a change again (`resync`).
        TablePhase::Joined | TablePhase::Constrained | TablePhase::Stopped => false,
    }
}
