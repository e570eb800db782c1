//! The tables' phases as apply sees them, in sets: what a step costs grows with the tables that it
//! concerns.

use std::collections::BTreeSet;

use crate::plan::TableId;
use crate::port::target::TablePhase;
use crate::position::Position;

/// The state of one table, as far as apply needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableState {
    /// Its phase.
    pub phase: TablePhase,
    /// The position behind which it needs every change; none before its load.
    pub low: Option<Position>,
}

/// The states of all tables of the migration.
#[derive(Debug)]
pub(super) struct TableStates {
    states: Vec<TableState>,
    /// The tables that wait to catch up.
    loaded: BTreeSet<TableId>,
    /// The tables whose state has changed since `take_changed`.
    changed: BTreeSet<TableId>,
}

/// Whether the main stream applies the changes of a table. It may be under constraints a moment
/// after it has joined: another task sees to that.
fn flows(phase: TablePhase) -> bool {
    match phase {
        TablePhase::Joined | TablePhase::Constrained => true,
        TablePhase::Pending | TablePhase::Loading | TablePhase::Loaded | TablePhase::Stopped => false,
    }
}

impl TableStates {
    pub(super) fn new(states: Vec<TableState>) -> TableStates {
        let mut known = TableStates {
            states: Vec::new(),
            loaded: BTreeSet::new(),
            changed: BTreeSet::new(),
        };
        for (id, state) in (0..).map(TableId).zip(states) {
            if state.phase == TablePhase::Loaded {
                known.loaded.insert(id);
            }
            known.states.push(state);
        }
        known
    }

    pub(super) fn set(&mut self, table: TableId, state: TableState) {
        if state.phase == TablePhase::Loaded {
            self.loaded.insert(table);
        } else {
            self.loaded.remove(&table);
        }
        self.states[table.0 as usize] = state;
        self.changed.insert(table);
    }

    pub(super) fn set_phase(&mut self, table: TableId, phase: TablePhase) {
        let low = self.low(table).cloned();
        self.set(table, TableState { phase, low });
    }

    /// A table that the migration has given up has no state and never takes part.
    pub(super) fn phase(&self, table: TableId) -> Option<TablePhase> {
        self.states.get(table.0 as usize).map(|state| state.phase)
    }

    pub(super) fn is_stopped(&self, table: TableId) -> bool {
        self.phase(table) == Some(TablePhase::Stopped)
    }

    /// Whether the main stream applies its changes.
    pub(super) fn flows(&self, table: TableId) -> bool {
        self.phase(table).is_some_and(flows)
    }

    pub(super) fn low(&self, table: TableId) -> Option<&Position> {
        self.states
            .get(table.0 as usize)
            .and_then(|state| state.low.as_ref())
    }

    /// The tables that wait to catch up.
    pub(super) fn loaded(&self) -> &BTreeSet<TableId> {
        &self.loaded
    }

    /// All tables that the main stream applies.
    pub(super) fn flowing(&self) -> impl Iterator<Item = TableId> {
        let tables = (0..).map(TableId).zip(&self.states);
        tables
            .filter(|(_, state)| flows(state.phase))
            .map(|(table, _)| table)
    }

    /// The tables whose state has changed since the last call.
    pub(super) fn take_changed(&mut self) -> BTreeSet<TableId> {
        std::mem::take(&mut self.changed)
    }
}
