//! The tables' states, shared by load, apply and constraints; the durable copy is at the target.

use std::sync::{Arc, Mutex};

use spanferry_core::finding::Finding;
use spanferry_core::plan::{GroupId, TableId, TablePlan};
use spanferry_core::position::Position;
use spanferry_core::target::{ControlChange, TablePhase, TableRow};
use tokio::sync::{MutexGuard, watch};

use crate::progress::Progress;

/// One table's state.
#[derive(Debug, Clone)]
pub struct TableState {
    /// As recorded at the target.
    pub row: TableRow,
    /// Parsed `row.low`.
    pub low: Option<Position>,
    /// Parsed `row.high`.
    pub high: Option<Position>,
}

impl TableState {
    /// The state that a recorded row stands for.
    pub fn new(row: TableRow) -> TableState {
        TableState {
            low: Position::parse(&row.low).ok(),
            high: Position::parse(&row.high).ok(),
            row,
        }
    }
}

/// All tables of the migration.
#[derive(Debug)]
pub struct Registry {
    plans: Vec<Arc<TablePlan>>,
    states: Mutex<Vec<TableState>>,
    /// Held by whoever changes a table's recorded state, see `Transition`.
    transition: tokio::sync::Mutex<()>,
    changed: watch::Sender<u64>,
    progress: Arc<Progress>,
}

impl Registry {
    /// A registry of the plans with their recorded states, in the same order.
    pub fn new(plans: Vec<Arc<TablePlan>>, states: Vec<TableState>, progress: Arc<Progress>) -> Registry {
        assert_eq!(plans.len(), states.len(), "every plan has a state");
        Registry {
            plans,
            states: Mutex::new(states),
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

    fn states(&self) -> std::sync::MutexGuard<'_, Vec<TableState>> {
        let states = self.states.lock();
        states.expect("no task panics while it holds the registry")
    }

    /// A copy of one table's state.
    pub fn state(&self, table: TableId) -> TableState {
        self.states()[table.0 as usize].clone()
    }

    /// A table's phase.
    pub fn phase(&self, table: TableId) -> TablePhase {
        self.states()[table.0 as usize].row.phase
    }

    /// The tables in a phase.
    pub fn in_phase(&self, phase: TablePhase) -> Vec<TableId> {
        let states = self.states();
        let with_ids = self.plans.iter().map(|plan| plan.id).zip(states.iter());
        with_ids
            .filter(|(_, state)| state.row.phase == phase)
            .map(|(id, _)| id)
            .collect()
    }

    /// Whether any table is in a phase.
    pub fn has_phase(&self, phase: TablePhase) -> bool {
        self.states().iter().any(|state| state.row.phase == phase)
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
    pub fn named(&self, table: &str) -> Option<&Arc<TablePlan>> {
        self.plans.iter().find(|plan| plan.name().table == table)
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
        let mut row = self.registry.state(table).row;
        change(&mut row);
        row
    }

    /// The rows that record a stop of a whole group. What has stopped before keeps its reason.
    pub fn stop_rows(&self, group: GroupId, finding: &Finding) -> Vec<ControlChange> {
        let reason = format!("{}: {}: {}", finding.code, finding.subject, finding.text);
        self.registry
            .group(group)
            .filter(|plan| self.registry.phase(plan.id) != TablePhase::Stopped)
            .map(|plan| {
                ControlChange::Table(self.row_with(plan.id, |row| {
                    row.phase = TablePhase::Stopped;
                    row.reason.clone_from(&reason);
                }))
            })
            .collect()
    }

    /// Takes over rows that have become durable.
    pub fn adopt(&self, rows: &[ControlChange]) {
        let registry = self.registry;
        {
            let mut states = registry.states();
            for change in rows {
                if let ControlChange::Table(row) = change
                    && let Some(plan) = registry.named(&row.table)
                {
                    states[plan.id.0 as usize] = TableState::new(row.clone());
                    registry.progress.update_table(plan.id, |table| {
                        table.phase = row.phase;
                        table.stopped = (!row.reason.is_empty()).then(|| row.reason.clone());
                    });
                }
            }
        }
        registry.touch();
    }
}

/// Whether a table in a phase is going to read the log from its own `low` on.
pub(crate) fn holds_log(phase: TablePhase) -> bool {
    match phase {
        TablePhase::Pending | TablePhase::Loading | TablePhase::Loaded => true,
        // A stopped table gets a new `low` before it reads a change again (`resync`).
        TablePhase::Joined | TablePhase::Constrained | TablePhase::Stopped => false,
    }
}
