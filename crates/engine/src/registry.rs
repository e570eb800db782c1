//! The tables' states, shared by load, apply and constraints; the durable copy is at the target.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use spanferry_core::apply::table_states::TableState;
use spanferry_core::plan::{GroupId, TableId, TablePlan};
use spanferry_core::port::target::{ControlChange, LeftOut, TablePhase, TableRow};
use spanferry_core::position::Bookmark;
use spanferry_core::record::StopReason;
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::Finding;
use spanferry_core::schema::definition::{Estimates, TableDefinition, plans_of};
use spanferry_core::schema::source::QualifiedName;
use tokio::sync::{MutexGuard, watch};

use crate::progress::Progress;
use crate::table_rows::TableRows;

/// The phases of tables that are going to read the log from their own `low` on. A stopped table
/// gets a new `low` before it reads a change again (`resync`).
const HOLDING_LOG: [TablePhase; 3] = [TablePhase::Pending, TablePhase::Loading, TablePhase::Loaded];

/// All tables of the migration.
#[derive(Debug)]
pub struct Registry {
    /// All tables whose changes are counted: those of the migration, then those that it has given
    /// up.
    counted: Vec<Arc<TablePlan>>,
    /// How many of them the migration has.
    tables: usize,
    /// The migration's tables by their names at the source.
    by_name: HashMap<QualifiedName, TableId>,
    /// The migration's tables by their groups.
    by_group: BTreeMap<GroupId, Vec<TableId>>,
    /// Whether a stream of changes follows the load.
    has_stream: bool,
    rows: Mutex<TableRows>,
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
        let mut by_group: BTreeMap<GroupId, Vec<TableId>> = BTreeMap::new();
        for (id, plan) in (0..).map(TableId).zip(&plans) {
            by_group.entry(plan.group).or_default().push(id);
        }
        let names = plans.iter().map(|plan| plan.name().clone());
        Registry {
            tables: plans.len(),
            by_name: names.zip((0..).map(TableId)).collect(),
            by_group,
            has_stream: true,
            counted: plans,
            rows: Mutex::new(TableRows::new(rows)),
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

    fn rows(&self) -> std::sync::MutexGuard<'_, TableRows> {
        let rows = self.rows.lock();
        rows.expect("no task panics while it holds the registry")
    }

    fn adopt_row(&self, rows: &mut TableRows, row: &TableRow) {
        let Some(plan) = self.named(&row.table) else {
            return;
        };
        expect_reason(row);
        let known = rows.row(plan.id);
        assert!(
            may_follow(known.phase, row.phase, self.loaded_phase()),
            "a table goes its way in order: {:?} after {:?} of {}",
            row.phase,
            known.phase,
            row.table
        );
        rows.replace(plan.id, row.clone());
        self.changed_tables().insert(plan.id);
        self.progress.update_table(plan.id, |table| {
            table.phase = row.phase;
            table.stopped = row.stopped.as_ref().map(StopReason::to_string);
        });
    }

    /// A copy of one table's state, as recorded at the target.
    pub fn row(&self, table: TableId) -> TableRow {
        self.rows().row(table).clone()
    }

    /// What the snapshots of tables that have not stopped have seen, each `high` once.
    pub(crate) fn highs(&self) -> Vec<Bookmark> {
        let rows = self.rows();
        let mut highs: Vec<Bookmark> = Vec::new();
        for row in rows.all() {
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
        self.rows().row(table).phase
    }

    fn changed_tables(&self) -> std::sync::MutexGuard<'_, BTreeSet<TableId>> {
        let tables = self.changed_tables.lock();
        tables.expect("no task panics while it holds the registry")
    }

    /// The states of the migration's tables, by id, as far as apply needs them.
    pub(crate) fn states(&self) -> Vec<TableState> {
        self.rows().all().iter().map(state).collect()
    }

    /// The tables whose state has changed since the last call, with their states. For the apply
    /// task alone.
    pub(crate) fn take_changed(&self) -> Vec<(TableId, TableState)> {
        let changed = std::mem::take(&mut *self.changed_tables());
        if changed.is_empty() {
            return Vec::new();
        }
        let rows = self.rows();
        let states = changed.into_iter().map(|table| (table, state(rows.row(table))));
        states.collect()
    }

    /// The names of tables that are still going to read the change log from their own `low` on.
    pub fn holding_log(&self) -> impl Iterator<Item = &str> {
        let rows = self.rows();
        let phases = HOLDING_LOG.iter().flat_map(|phase| rows.in_phase(*phase));
        let holding: BTreeSet<TableId> = phases.collect();
        drop(rows);
        let plans = holding.into_iter().map(|id| &self.counted[id.0 as usize]);
        plans.map(|plan| plan.name().table.as_str())
    }

    /// How many tables are still going to read the change log from their own `low` on.
    pub(crate) fn holding_log_count(&self) -> usize {
        self.rows().count(&HOLDING_LOG)
    }

    /// The tables of a group.
    pub fn group(&self, group: GroupId) -> impl Iterator<Item = &Arc<TablePlan>> {
        let tables = self.by_group.get(&group).into_iter().flatten();
        tables.map(|id| &self.counted[id.0 as usize])
    }

    /// The groups of which all tables are joined or constrained, at least one of them joined, and
    /// every joined one is exact; by group, at most `most`. Looks at the rows of joined tables, and
    /// only at those.
    pub(crate) fn exact_groups(
        &self,
        most: usize,
        is_exact: impl Fn(&TableRow) -> Result<bool, Failure>,
    ) -> Result<BTreeSet<GroupId>, Failure> {
        let rows = self.rows();
        let (mut exact, mut waiting) = (BTreeSet::new(), BTreeSet::new());
        for id in rows.in_phase(TablePhase::Joined) {
            let group = self.counted[id.0 as usize].group;
            let groups = if is_exact(rows.row(id))? {
                &mut exact
            } else {
                &mut waiting
            };
            groups.insert(group);
        }
        let is_whole = |group: &GroupId| {
            let mut phases = self.by_group[group].iter().map(|id| rows.row(*id).phase);
            phases.all(|phase| matches!(phase, TablePhase::Joined | TablePhase::Constrained))
        };
        let groups = exact.difference(&waiting).copied();
        Ok(groups.filter(is_whole).take(most).collect())
    }

    /// The migration's joined tables.
    pub(crate) fn joined(&self) -> Vec<Arc<TablePlan>> {
        let rows = self.rows();
        let joined = rows.in_phase(TablePhase::Joined);
        joined
            .map(|id| Arc::clone(&self.counted[id.0 as usize]))
            .collect()
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
        self.by_name.get(table).map(|id| &self.counted[id.0 as usize])
    }

    /// The tables that have stopped, with the reason.
    pub(crate) fn stopped(&self) -> Vec<(QualifiedName, StopReason)> {
        let rows = self.rows();
        let stopped = rows.in_phase(TablePhase::Stopped).map(|id| rows.row(id));
        stopped
            .filter_map(|row| Some((row.table.clone(), row.stopped.clone()?)))
            .collect()
    }

    /// Whether every table has stopped.
    pub fn all_stopped(&self) -> bool {
        self.rows().count(&[TablePhase::Stopped]) == self.tables
    }

    /// Whether every table that has not stopped is under constraints: nothing more is to be built.
    pub fn all_constrained(&self) -> bool {
        self.rows().count(&[TablePhase::Stopped, TablePhase::Constrained]) == self.tables
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::fixture;

    /// A migration whose tables are in these groups and phases.
    fn registry(tables: &[(u32, TablePhase)]) -> Registry {
        let (mut plans, mut rows) = (Vec::new(), Vec::new());
        for (id, (group, phase)) in (0..).zip(tables) {
            let name = format!("t{id}");
            let plan = TablePlan {
                id: TableId(id),
                group: GroupId(*group),
                ..TablePlan::clone(&fixture::table(&name))
            };
            plans.push(Arc::new(plan));
            rows.push(fixture::row(&name, *phase, None));
        }
        let progress = Arc::new(Progress::new(Vec::new()));
        Registry::new(plans, rows, progress)
    }

    #[test]
    fn groups_are_exact_when_all_of_their_tables_are() {
        use TablePhase::{Constrained, Joined, Loaded, Pending, Stopped};
        let check = |tables: &[(u32, TablePhase)], not_exact: &[&str], expected: &[u32]| {
            let is_exact = |row: &TableRow| Ok(!not_exact.contains(&row.table.table.as_str()));
            let groups = registry(tables).exact_groups(2, is_exact).unwrap();
            let groups: Vec<u32> = groups.into_iter().map(|group| group.0).collect();
            assert_eq!(groups, expected, "{tables:?}");
        };
        check(&[(0, Joined), (0, Joined)], &[], &[0]);
        check(&[(0, Joined), (0, Joined)], &["t1"], &[]);
        check(&[(0, Joined), (0, Constrained)], &[], &[0]);
        check(&[(0, Constrained), (0, Constrained)], &[], &[]);
        for other in [Pending, Loaded, Stopped] {
            check(&[(0, other), (0, Joined), (1, Joined)], &[], &[1]);
        }
        // Not more than asked for.
        check(&[(0, Joined), (1, Joined), (2, Joined)], &[], &[0, 1]);
    }

    #[test]
    fn the_search_for_exact_groups_looks_at_joined_tables_only() {
        let mut tables: Vec<_> = (0..5_000).map(|group| (group, TablePhase::Constrained)).collect();
        tables[17].1 = TablePhase::Loading;
        tables[4_000].1 = TablePhase::Joined;
        let looks = Cell::new(0);
        let count = |_: &TableRow| {
            looks.set(looks.get() + 1);
            Ok(true)
        };
        let registry = registry(&tables);
        let groups = registry.exact_groups(500, count).unwrap();
        assert_eq!((groups, looks.get()), (BTreeSet::from([GroupId(4_000)]), 1));
        assert_eq!(registry.joined().len(), 1);
        assert_eq!(registry.holding_log().collect::<Vec<_>>(), ["t17"]);
        assert_eq!(registry.holding_log_count(), 1);
        assert!(!registry.all_constrained() && !registry.all_stopped());
    }
}
