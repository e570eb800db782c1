//! The tables' states, shared by load, apply and constraints; the durable copy is at the target.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use spanferry_core::apply::table_states::TableState;
use spanferry_core::plan::{GroupId, TableId, TablePlan};
use spanferry_core::port::target::{ControlChange, LeftOut, TablePhase, TableRow};
use spanferry_core::position::Bookmark;
use spanferry_core::record::StopReason;
use spanferry_core::report::finding::Finding;
use spanferry_core::schema::definition::{Estimates, TableDefinition, plans_of};
use spanferry_core::schema::source::QualifiedName;
use tokio::sync::{MutexGuard, watch};

use crate::progress::Progress;

/// All tables of the migration.
#[derive(Debug)]
pub struct Registry {
    /// All tables whose changes are counted: those of the migration, then those that it has given
    /// up.
    counted: Vec<Arc<TablePlan>>,
    /// How many of them the migration has.
    tables: usize,
    /// Whether a stream of changes follows the load.
    has_stream: bool,
    rows: Mutex<Vec<TableRow>>,
    left_out: Mutex<LeftOut>,
    /// Held by the task that changes a table's recorded state, see `Transition`.
    transition: tokio::sync::Mutex<()>,
    changed: watch::Sender<u64>,
    /// The tables whose state has changed since apply has last asked.
    changed_tables: Mutex<BTreeSet<TableId>>,
    progress: Arc<Progress>,
}

impl Registry {
    /// A registry of the plans with their recorded states, in the same order.
    pub fn new(plans: Vec<Arc<TablePlan>>, rows: Vec<TableRow>, progress: Arc<Progress>) -> Registry {
        assert_eq!(plans.len(), rows.len(), "every plan has a state");
        rows.iter().for_each(expect_reason);
        Registry {
            tables: plans.len(),
            has_stream: true,
            counted: plans,
            rows: Mutex::new(rows),
            left_out: Mutex::default(),
            transition: tokio::sync::Mutex::new(()),
            changed: watch::Sender::new(0),
            changed_tables: Mutex::default(),
            progress,
        }
    }

    /// The same registry with the constraints that are recorded as left out.
    #[must_use]
    pub fn with_left_out(self, left_out: LeftOut) -> Registry {
        Registry {
            left_out: Mutex::new(left_out),
            ..self
        }
    }

    /// The same registry for a load that no stream of changes follows.
    #[must_use]
    pub fn without_stream(self) -> Registry {
        Registry {
            has_stream: false,
            ..self
        }
    }

    /// What a table is once all of its rows are loaded: without a stream, no change is still to
    /// come.
    pub(crate) fn loaded_phase(&self) -> TablePhase {
        if self.has_stream {
            TablePhase::Loaded
        } else {
            TablePhase::Joined
        }
    }

    fn all_left_out(&self) -> std::sync::MutexGuard<'_, LeftOut> {
        let left_out = self.left_out.lock();
        left_out.expect("no task panics while it holds the registry")
    }

    /// Why a constraint of a table is left out; none if it is not.
    pub fn left_out(&self, table: &QualifiedName, constraint: &str) -> Option<String> {
        let key = (table.clone(), constraint.to_owned());
        self.all_left_out().get(&key).map(|row| row.reason.clone())
    }

    /// The names of the constraints of a table that are left out.
    pub fn left_out_of(&self, table: &QualifiedName) -> Vec<String> {
        let all = self.all_left_out();
        let of_table = all.keys().filter(|(known, _)| known == table);
        of_table.map(|(_, constraint)| constraint.clone()).collect()
    }

    /// The same, with tables that the migration has given up and that a transaction still has to be
    /// counted with.
    #[must_use]
    pub fn with_forgotten(mut self, forgotten: &[TableDefinition]) -> Registry {
        for (id, plan) in (self.tables..).zip(plans_of(forgotten, &Estimates::new())) {
            let id = TableId(u32::try_from(id).expect("fewer tables than 2^32"));
            let plan = TablePlan::clone(&plan);
            self.counted.push(Arc::new(TablePlan { id, ..plan }));
        }
        self
    }

    /// Wakes the tasks that wait for changes.
    pub fn touch(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    /// The plans of the migration's tables, by table id.
    pub fn plans(&self) -> &[Arc<TablePlan>] {
        &self.counted[..self.tables]
    }

    /// The plans of all tables whose changes are counted, by table id: what a stream decodes.
    pub fn counted(&self) -> &[Arc<TablePlan>] {
        &self.counted
    }

    /// A receiver that is notified of every change.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn rows(&self) -> std::sync::MutexGuard<'_, Vec<TableRow>> {
        let rows = self.rows.lock();
        rows.expect("no task panics while it holds the registry")
    }

    fn adopt_row(&self, rows: &mut [TableRow], row: &TableRow) {
        let Some(plan) = self.named(&row.table) else {
            return;
        };
        expect_reason(row);
        let known = &mut rows[plan.id.0 as usize];
        assert!(
            may_follow(known.phase, row.phase, self.loaded_phase()),
            "a table goes its way in order: {:?} after {:?} of {}",
            row.phase,
            known.phase,
            row.table
        );
        *known = row.clone();
        self.changed_tables().insert(plan.id);
        self.progress.update_table(plan.id, |table| {
            table.phase = row.phase;
            table.stopped = row.stopped.as_ref().map(StopReason::to_string);
        });
    }

    /// A copy of one table's state, as recorded at the target.
    pub fn row(&self, table: TableId) -> TableRow {
        self.rows()[table.0 as usize].clone()
    }

    /// What the snapshots of tables that have not stopped have seen, each `high` once.
    pub(crate) fn highs(&self) -> Vec<Bookmark> {
        let rows = self.rows();
        let mut highs: Vec<Bookmark> = Vec::new();
        for row in rows.iter().take(self.tables) {
            if let Some(high) = &row.high
                && row.phase != TablePhase::Stopped
                && !highs.contains(high)
            {
                highs.push(high.clone());
            }
        }
        highs
    }

    /// A table's phase.
    pub fn phase(&self, table: TableId) -> TablePhase {
        self.rows()[table.0 as usize].phase
    }

    fn changed_tables(&self) -> std::sync::MutexGuard<'_, BTreeSet<TableId>> {
        let tables = self.changed_tables.lock();
        tables.expect("no task panics while it holds the registry")
    }

    /// The states of the migration's tables, by id, as far as apply needs them.
    pub(crate) fn states(&self) -> Vec<TableState> {
        self.rows().iter().map(state).collect()
    }

    /// The tables whose state has changed since the last call, with their states. For the apply
    /// task alone.
    pub(crate) fn take_changed(&self) -> Vec<(TableId, TableState)> {
        let changed = std::mem::take(&mut *self.changed_tables());
        if changed.is_empty() {
            return Vec::new();
        }
        let rows = self.rows();
        let states = changed
            .into_iter()
            .map(|table| (table, state(&rows[table.0 as usize])));
        states.collect()
    }

    /// The names of tables that are still going to read the change log from their own `low` on.
    pub fn holding_log(&self) -> impl Iterator<Item = &str> {
        let holding = self.plans().iter().filter(|plan| holds_log(self.phase(plan.id)));
        holding.map(|plan| plan.name().table.as_str())
    }

    /// The tables of a group.
    pub fn group(&self, group: GroupId) -> impl Iterator<Item = &Arc<TablePlan>> {
        self.plans().iter().filter(move |plan| plan.group == group)
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
        self.plans().iter().find(|plan| plan.name() == table)
    }

    /// The tables that have stopped, with the reason.
    pub(crate) fn stopped(&self) -> Vec<(QualifiedName, StopReason)> {
        let rows = self.plans().iter().map(|plan| self.row(plan.id));
        rows.filter_map(|row| Some((row.table, row.stopped?))).collect()
    }

    /// Whether every table has stopped.
    pub fn all_stopped(&self) -> bool {
        self.plans()
            .iter()
            .all(|plan| self.phase(plan.id) == TablePhase::Stopped)
    }

    /// Whether every table that has not stopped is under constraints: nothing more is to be built.
    pub fn all_constrained(&self) -> bool {
        self.plans()
            .iter()
            .all(|plan| matches!(self.phase(plan.id), TablePhase::Stopped | TablePhase::Constrained))
    }
}

/// The right to change recorded states, from the look at the present ones until the new ones are
/// durable and adopted.
///
/// Load, apply and constraints commit table rows on lanes of their own. Without this a row made
/// from an older look could overwrite a stop that another lane has just recorded, and the changes
/// after the stop would never be applied.
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
                match change {
                    ControlChange::Table(row) => registry.adopt_row(&mut rows_now, row),
                    ControlChange::LeaveOut(row) => {
                        let key = (row.table.clone(), row.constraint.clone());
                        registry.all_left_out().insert(key, row.clone());
                    }
                    ControlChange::ForgetLeftOut(table, constraint) => {
                        let key = (table.clone(), constraint.clone());
                        registry.all_left_out().remove(&key);
                    }
                    ControlChange::Range(_)
                    | ControlChange::ForgetRanges(_)
                    | ControlChange::Definition(_)
                    | ControlChange::ForgetDefinition(_)
                    | ControlChange::ForgetTable(_) => {}
                }
            }
        }
        registry.touch();
    }
}

/// Whether a table may go from one phase to another; `loaded` is what it is once it is loaded. A
/// stop comes from everywhere.
fn may_follow(from: TablePhase, to: TablePhase, loaded: TablePhase) -> bool {
    match from {
        TablePhase::Pending => matches!(
            to,
            TablePhase::Pending | TablePhase::Loading | TablePhase::Stopped
        ),
        TablePhase::Loading => to == loaded || matches!(to, TablePhase::Loading | TablePhase::Stopped),
        TablePhase::Loaded => matches!(to, TablePhase::Loaded | TablePhase::Joined | TablePhase::Stopped),
        // Constraints that turn out to be missing are built again; rows that are ahead of the main
        // stream are waited for.
        TablePhase::Joined | TablePhase::Constrained => matches!(
            to,
            TablePhase::Joined | TablePhase::Constrained | TablePhase::Stopped
        ),
        // `resync` begins again.
        TablePhase::Stopped => matches!(to, TablePhase::Stopped | TablePhase::Pending),
    }
}

fn state(row: &TableRow) -> TableState {
    TableState {
        phase: row.phase,
        low: row.low.clone(),
    }
}

/// A stop without a reason would be missing in the exit status; a reason without a stop would be
/// shown for a table that flows.
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
