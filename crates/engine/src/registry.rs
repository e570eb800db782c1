//! The tables' states, shared by load, apply and constraints; the durable copy is at the target.

use std::sync::{Arc, Mutex};

use spanferry_core::finding::Finding;
use spanferry_core::plan::{GroupId, TableId, TablePlan};
use spanferry_core::position::Position;
use spanferry_core::target::{ControlChange, TablePhase, TableRow};
use tokio::sync::watch;

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

/// All tables of the migration.
#[derive(Debug)]
pub struct Registry {
    plans: Vec<Arc<TablePlan>>,
    states: Mutex<Vec<TableState>>,
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

    /// A copy of one table's state.
    pub fn state(&self, table: TableId) -> TableState {
        self.states
            .lock()
            .expect("no task panics while it holds the registry")[table.0 as usize]
            .clone()
    }

    /// A table's phase.
    pub fn phase(&self, table: TableId) -> TablePhase {
        self.state(table).row.phase
    }

    /// The tables in a phase.
    pub fn in_phase(&self, phase: TablePhase) -> Vec<TableId> {
        self.plans
            .iter()
            .map(|plan| plan.id)
            .filter(|id| self.phase(*id) == phase)
            .collect()
    }

    /// Whether any table is in a phase.
    pub fn has_phase(&self, phase: TablePhase) -> bool {
        let states = self
            .states
            .lock()
            .expect("no task panics while it holds the registry");
        states.iter().any(|state| state.row.phase == phase)
    }

    /// The tables of a group.
    pub fn group(&self, group: GroupId) -> impl Iterator<Item = &Arc<TablePlan>> {
        self.plans.iter().filter(move |plan| plan.group == group)
    }

    /// The row of a table with changes, for a commit; `adopt` follows once it is durable.
    pub fn row_with(&self, table: TableId, change: impl FnOnce(&mut TableRow)) -> TableRow {
        let mut row = self.state(table).row;
        change(&mut row);
        row
    }

    /// Takes over rows that have become durable.
    pub fn adopt(&self, rows: &[ControlChange]) {
        {
            let mut states = self
                .states
                .lock()
                .expect("no task panics while it holds the registry");
            for change in rows {
                if let ControlChange::Table(row) = change
                    && let Some(at) = self.plans.iter().position(|plan| plan.name().table == row.table)
                {
                    states[at] = TableState {
                        low: Position::parse(&row.low).ok(),
                        high: Position::parse(&row.high).ok(),
                        row: row.clone(),
                    };
                    self.progress.update_table(self.plans[at].id, |table| {
                        table.phase = row.phase;
                        table.stopped = (!row.reason.is_empty()).then(|| row.reason.clone());
                    });
                }
            }
        }
        self.touch();
    }

    /// The rows that record a stop of a whole group.
    pub fn stop_rows(&self, group: GroupId, finding: &Finding) -> Vec<ControlChange> {
        let reason = format!("{}: {}: {}", finding.code, finding.subject, finding.text);
        self.group(group)
            .map(|plan| {
                ControlChange::Table(self.row_with(plan.id, |row| {
                    row.phase = TablePhase::Stopped;
                    row.reason.clone_from(&reason);
                }))
            })
            .collect()
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
