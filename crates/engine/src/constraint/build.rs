//! The task that builds the constraints of groups as they become exact.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use spanferry_core::plan::{GroupId, TablePlan};
use spanferry_core::port::source::PositionSource;
use spanferry_core::port::target::{Committer, ControlChange, SchemaTarget, TablePhase, TableRow};
use spanferry_core::position::Position;
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::schema::target::Dialect;
use spanferry_kill_point::kill_point;
use tokio::sync::watch;
use tokio::time::Instant;

use super::wanted::{Constraint, constraints};
use crate::control::ControlLane;
use crate::history::{ASK_INTERVAL, Lacking, SeenHistory, waits_for_source};
use crate::lane::{LaneShared, interrupted};
use crate::order::contains_all;
use crate::progress::Progress;
use crate::registry::{Registry, Transition};
use crate::schema_change::{Created, Wanted, create_missing};
use crate::stop::Pause;

/// Most groups whose constraints are built together: their control rows share one commit.
const GROUPS_MAX: usize = 500;

/// Most tables that are named while their constraints are built.
const NAMED_MAX: usize = 3;

/// How often it is asked whether the source still holds what tables wait for.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Builds the constraints of groups that a stream follows as they become exact, until told to stop.
/// A group that is complete may count as joined again for a while, when a transaction of it is
/// rejected (docs/design/fence.md, step 14).
pub async fn build<S: PositionSource, T: Committer + SchemaTarget>(
    source: Arc<S>,
    registry: Arc<Registry>,
    control: Arc<ControlLane<T>>,
    shared: LaneShared<T>,
    dialect: Dialect,
    mut reached: watch::Receiver<Position>,
) -> Result<(), Failure> {
    let mut changed = registry.subscribe();
    let mut seen = SeenHistory::default();
    let mut looked_at = Instant::now();
    while !shared.stop.is_cancelled() {
        if registry.all_constrained() {
            tokio::select! {
                biased;
                () = shared.stop.cancelled() => return Ok(()),
                _changed = changed.changed() => {}
            }
            continue;
        }
        let position = reached.borrow_and_update().clone();
        let mut groups = exact_groups(&registry, &position)?;
        let is_due = looked_at.elapsed() >= LOOK_INTERVAL;
        if !groups.is_empty() || is_due {
            let tables = joined(&registry, |plan| is_due || groups.contains(&plan.group));
            let waiting = still_to_come(
                source.as_ref(),
                &registry,
                &control,
                &tables,
                &position,
                &mut seen,
            )
            .await?;
            looked_at = Instant::now();
            groups.retain(|group| !waiting.contains(group));
            let is_built =
                !groups.is_empty() && build_groups(&registry, &control, &shared, dialect, &groups).await?;
            if is_built {
                continue;
            }
            if !groups.is_empty() || !waiting.is_empty() {
                if !shared.stop.pause(ASK_INTERVAL).await {
                    return Ok(());
                }
                continue;
            }
        }
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return Ok(()),
            _changed = changed.changed() => {}
            moved = reached.changed() => if moved.is_err() { return Ok(()) },
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
    Ok(())
}

fn joined(registry: &Registry, wanted: impl Fn(&TablePlan) -> bool) -> Vec<Arc<TablePlan>> {
    let mut joined = registry.joined();
    joined.retain(|plan| wanted(plan));
    joined
}

/// Groups whose tables saw what the source does not hold: no stream will ever bring it. Those for
/// which that is so for good stop.
async fn still_to_come<S: PositionSource, T: Committer>(
    source: &S,
    registry: &Registry,
    control: &ControlLane<T>,
    tables: &[Arc<TablePlan>],
    reached: &Position,
    seen: &mut SeenHistory,
) -> Result<BTreeSet<GroupId>, Failure> {
    let lacking = match seen.lacking(source, registry, tables, Some(reached)).await {
        Ok(lacking) => lacking,
        Err(failure) if failure.is_retry() => {
            tracing::warn!(failure = %failure.for_log(), "the source does not say what it holds");
            return Ok(tables.iter().map(|plan| plan.group).collect());
        }
        Err(failure) => return Err(failure),
    };
    let mut groups = BTreeSet::new();
    for table in lacking {
        match table {
            Lacking::Yet(plan) => {
                control.progress().report(waits_for_source(&plan));
                groups.insert(plan.group);
            }
            Lacking::Lost(failure) => {
                let table = failure.table.as_ref().and_then(|table| registry.named(table));
                groups.extend(table.map(|plan| plan.group));
                control.stop_table(registry, &failure).await?;
            }
        }
    }
    Ok(groups)
}

/// Builds the constraints of groups that no stream follows: a group is exact once all of its tables
/// are loaded. Ends when nothing more is to be built, or when told to stop.
pub async fn build_loaded<T: Committer + SchemaTarget>(
    registry: Arc<Registry>,
    control: Arc<ControlLane<T>>,
    shared: LaneShared<T>,
    dialect: Dialect,
) -> Result<(), Failure> {
    let mut changed = registry.subscribe();
    while !shared.stop.is_cancelled() && !registry.all_constrained() {
        let groups = registry.exact_groups(GROUPS_MAX, |_| Ok(true))?;
        if !groups.is_empty() {
            let is_built = build_groups(&registry, &control, &shared, dialect, &groups).await?;
            if !is_built && !shared.stop.pause(ASK_INTERVAL).await {
                return Ok(());
            }
            continue;
        }
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return Ok(()),
            _changed = changed.changed() => {}
        }
    }
    Ok(())
}

/// Groups whose tables have all joined and whose every `high` the main stream has passed, unless
/// they are constrained.
fn exact_groups(registry: &Registry, position: &Position) -> Result<BTreeSet<GroupId>, Failure> {
    let has_passed = |row: &TableRow| match &row.high {
        Some(high) => contains_all("main stream", position, &high.position),
        None => Ok(false),
    };
    registry.exact_groups(GROUPS_MAX, has_passed)
}

/// Builds the constraints of all groups in one batch, which the service works on together. False if
/// another operation is still at work on some of them: then their groups wait.
async fn build_groups<T: Committer + SchemaTarget>(
    registry: &Registry,
    control: &ControlLane<T>,
    shared: &LaneShared<T>,
    dialect: Dialect,
    groups: &BTreeSet<GroupId>,
) -> Result<bool, Failure> {
    let mut plans: Vec<&Arc<TablePlan>> = groups.iter().flat_map(|group| registry.group(*group)).collect();
    plans.sort_by_key(|plan| plan.id);
    let (wanted, created) = create(registry, shared, &plans, dialect).await?;
    let refused: Vec<(&Constraint, String)> = created
        .refused
        .iter()
        .map(|(place, failure)| (&wanted[*place], leave_out(&wanted[*place], failure)))
        .collect();
    let waiting: BTreeSet<GroupId> = created
        .unfinished
        .iter()
        .map(|place| wanted[*place].plan.group)
        .collect();
    let changes = |transition: &Transition<'_>| {
        let refused = refused
            .iter()
            .map(|(constraint, reason)| constraint.leave_out(reason));
        // A group may have stopped meanwhile: then it stays so.
        let is_complete = |plan: &&&Arc<TablePlan>| {
            registry.phase(plan.id) == TablePhase::Joined && !waiting.contains(&plan.group)
        };
        let constrained = plans.iter().filter(is_complete).map(|plan| {
            ControlChange::Table(transition.row_with(plan.id, |row| row.phase = TablePhase::Constrained))
        });
        refused.chain(constrained).collect()
    };
    control.record(registry, changes).await?;
    for (constraint, reason) in refused {
        shared.progress.report(constraint.left_out(&reason));
    }
    for place in &created.unfinished {
        shared.progress.report(still_being_built(&wanted[*place]));
    }
    Ok(created.unfinished.is_empty())
}

/// Creates what the target lacks of the constraints that are not recorded as left out; they come
/// back with what became of them.
async fn create<T: Committer + SchemaTarget>(
    registry: &Registry,
    shared: &LaneShared<T>,
    plans: &[&Arc<TablePlan>],
    dialect: Dialect,
) -> Result<(Vec<Constraint>, Created), Failure> {
    let _alone = shared.ddl.lock().await;
    // A constraint may have given way until now: what is recorded of it is read behind the lock.
    let mut constraints = constraints(plans, dialect);
    constraints.retain(|constraint| constraint.recorded_reason(registry).is_none());
    if constraints.is_empty() {
        return Ok((constraints, Created::default()));
    }
    let _quiet = shared.quiet().await;
    let wanted: Vec<Wanted> = constraints.iter().map(Constraint::to_create).collect();
    let shown = Building::show(&shared.progress, &constraints);
    let show = |step| shown.step(step);
    kill_point("before constraints", "");
    // An index over many rows takes long: after a request to stop, the target continues
    // alone.
    let created = tokio::select! {
        biased;
        () = shared.stop.cancelled() => return Err(interrupted()),
        created = create_missing(shared.target.as_ref(), "indexes and foreign keys", &wanted, show) => created?,
    };
    kill_point("after constraints", "");
    Ok((constraints, created))
}

/// Shows whose constraints are being built until it is dropped: an index over many rows takes long,
/// and a table counts as joined meanwhile.
struct Building<'a>(&'a Progress);

impl<'a> Building<'a> {
    fn show(progress: &'a Progress, constraints: &[Constraint]) -> Building<'a> {
        let names = constraints.iter().map(|one| one.plan.name().table.as_str());
        let names: BTreeSet<&str> = names.collect();
        let named: Vec<String> = names
            .iter()
            .take(NAMED_MAX)
            .map(|name| format!("`{name}`"))
            .collect();
        let more = match names.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let text = format!(
            "the indexes and foreign keys of {}{more} are being built at the target",
            named.join(", ")
        );
        progress.update(|state| state.building = Some(text));
        Building(progress)
    }
}

impl Building<'_> {
    /// Shows how far it is instead.
    fn step(&self, step: String) {
        self.0.update(|state| state.building = Some(step));
    }
}

impl Drop for Building<'_> {
    fn drop(&mut self) {
        self.0.update(|state| state.building = None);
    }
}

/// The reason that is recorded.
fn leave_out(constraint: &Constraint, failure: &Failure) -> String {
    let (table, name) = (&constraint.plan.name().table, constraint.name());
    tracing::warn!(table, constraint = name, failure = %failure.for_log(), "a constraint is left out");
    format!("the target refuses it: {}", failure.reason())
}

fn still_being_built(constraint: &Constraint) -> Finding {
    let subject = Subject::part(constraint.plan.name(), constraint.name());
    let text =
        "the target is still at work on it, for an earlier run; the table is complete when that has ended";
    Finding::new(code::CONSTRAINT_UNFINISHED, Severity::Notice, subject, text)
}

#[cfg(test)]
mod tests {
    use spanferry_core::fixture::{self, BIGINT, column, index};
    use spanferry_core::mapping::convert::map;
    use spanferry_core::mapping::options::MappingOptions;

    use super::*;

    #[test]
    fn what_is_being_built_is_shown_while_it_is_built() {
        let table = |name: &str| {
            let mut table = fixture::table(name, ["id", "x"].map(|name| column(name, BIGINT)).to_vec());
            table.indexes = vec![index("one", true, &[1]), index("two", false, &[1])];
            table
        };
        let options = MappingOptions {
            dialect: Dialect::GoogleSql,
            uuid_supported: true,
        };
        let mapped = map(["a", "b", "c", "d"].map(table).to_vec(), &options);
        let plans: Vec<Arc<TablePlan>> = mapped.plans.into_iter().map(Arc::new).collect();
        let wanted = constraints(&plans.iter().collect::<Vec<_>>(), Dialect::GoogleSql);
        let progress = Progress::default();
        let why = || progress.snapshot().why_throttled();
        let check = |wanted: &[Constraint], named: &str| {
            let shown = Building::show(&progress, wanted);
            let text = format!("the indexes and foreign keys of {named} are being built at the target");
            assert_eq!(why(), Some(text));
            drop(shown);
            assert_eq!(why(), None);
        };
        check(&wanted[..2], "`a`");
        check(&wanted, "`a`, `b`, `c` and 1 more");
    }
}
