//! Values that the target cannot hold: the source's conversion refuses some, the target rejects
//! others.

use std::collections::BTreeSet;

use spanferry_core::plan::{GroupId, RefusedCell, TablePlan};
use spanferry_core::port::source::Boundary;
use spanferry_core::port::target::{
    ControlChange, ControlState, FencedCommit, Lane, RangeRow, TablePhase, TableRow,
};
use spanferry_core::report::code::{self, Code};
use spanferry_core::value::encode::Refusal;

use crate::history::{Change, Row, State, plans};
use crate::random::Random;
use crate::world::World;

/// Values of the plain column from here on are refused when a row is converted.
pub(crate) const REFUSED: i64 = 1_000_000;
/// From here on they can be converted, and are rejected by the target.
pub(crate) const REJECTED: i64 = 2_000_000;
/// Plain values that fit.
const FIT: u64 = 1_000;

/// Draws a value of the plain column, of which `percent` do not fit.
pub(crate) fn draw(random: &mut Random, percent: u64) -> i64 {
    let value = random.below(FIT).cast_signed();
    if percent == 0 || !random.chance(percent) {
        return value;
    }
    value + if random.chance(60) { REFUSED } else { REJECTED }
}

/// Why a row cannot be converted.
pub(crate) fn refusal(row: &Row) -> Option<RefusedCell> {
    let is_refused = (REFUSED..REJECTED).contains(&row[2]);
    is_refused.then_some(RefusedCell {
        column: 2,
        refusal: Refusal::NumericRange,
    })
}

/// Whether the target rejects a row.
pub(crate) fn is_rejected(values: &[i64]) -> bool {
    values.get(2).is_some_and(|value| *value >= REJECTED)
}

/// The changes after which every row fits.
pub(crate) fn mend(state: &State) -> Vec<Change> {
    let tables = state.iter().enumerate();
    let rows = tables.flat_map(|(table, rows)| rows.values().map(move |row| (table, row)));
    let unfit = rows.filter(|(_, row)| row[2] >= REFUSED);
    unfit
        .map(|(table, row)| Change {
            table,
            old: Some(row[0]),
            new: Some([row[0], row[1], 7]),
        })
        .collect()
}

/// Whether the source ever had a reason to stop a group in this way.
pub(crate) fn explains(world: &World, group: GroupId, reason: Code) -> bool {
    let plans = plans();
    let has = |is_unfit: &dyn Fn(&Row) -> bool| {
        world
            .history
            .changes_ever()
            .any(|change| plans[change.table].group == group && change.new.as_ref().is_some_and(is_unfit))
    };
    if reason == code::VALUE_REFUSED {
        return has(&|row| refusal(row).is_some());
    }
    reason == code::CHANGE_REJECTED && has(&|row| is_rejected(row))
}

/// Counts the groups that a commit stops because of a value, by where the value was met.
pub(crate) fn count_stops(world: &mut World, commit: &FencedCommit) {
    let mut groups = BTreeSet::new();
    for (row, reason) in stops(commit) {
        let is_refused = reason == code::VALUE_REFUSED;
        if !is_refused && reason != code::CHANGE_REJECTED {
            continue;
        }
        let what = match (commit.lane, is_refused) {
            (Lane::Control, true) => "value refused in the load",
            (Lane::CatchUp, true) => "value refused in the catch-up",
            (Lane::Apply(_), true) => "value refused in the stream",
            (Lane::Control, false) => "value rejected in the load",
            (Lane::CatchUp, false) => "value rejected in a stream",
            (Lane::Load(_) | Lane::Apply(_), false) | (Lane::Load(_), true) => {
                world
                    .violations
                    .push(format!("a lane that stops nothing stops {}", row.table));
                continue;
            }
        };
        groups.insert(group_of(row));
        world.count(what);
    }
    if groups.len() > 1 {
        world.count("values refused in two groups at once");
    }
}

/// The tables that a commit stops, with the reason's code.
fn stops(commit: &FencedCommit) -> impl Iterator<Item = (&TableRow, Code)> {
    commit.control.iter().filter_map(|change| match change {
        ControlChange::Table(row) => row.stopped.as_ref().map(|reason| (row, reason.code)),
        ControlChange::Range(_)
        | ControlChange::ForgetRanges(_)
        | ControlChange::LeaveOut(_)
        | ControlChange::ForgetLeftOut(..)
        | ControlChange::Definition(_)
        | ControlChange::ForgetDefinition(_)
        | ControlChange::ForgetTable(_) => None,
    })
}

fn group_of(row: &TableRow) -> Option<GroupId> {
    let plans = plans();
    let plan = plans.iter().find(|plan| *plan.name() == row.table);
    plan.map(|plan| plan.group)
}

/// Notes that a range was read to its end and has refused rows.
pub(crate) fn note_refused_range(
    world: &mut World,
    plan: &TablePlan,
    range: &(Option<Boundary>, Option<Boundary>),
) {
    let key = |boundary: &Option<Boundary>| boundary.as_ref().map(|boundary| boundary.0.clone());
    world.target.refused_ranges.push(RangeRow {
        table: plan.name().clone(),
        number: 0,
        after: key(&range.0),
        up_to: key(&range.1),
        rows: 0,
        is_finished: true,
    });
}

/// A wrong variant: ranges with refused rows are recorded too, as long as their tables load.
pub(crate) fn record_refused_ranges(control: &mut ControlState, refused: &[RangeRow]) {
    for range in refused {
        let is_loading = control.tables.get(&range.table).map(|row| row.phase) == Some(TablePhase::Loading);
        let own = |row: &&RangeRow| row.table == range.table;
        let before = control
            .ranges
            .values()
            .filter(own)
            .find(|row| row.up_to == range.after);
        let number = match (&range.after, before) {
            (None, _) => 0,
            (Some(_), Some(before)) => before.number + 1,
            (Some(_), None) => continue,
        };
        if is_loading {
            let row = RangeRow {
                number,
                ..range.clone()
            };
            control.ranges.entry((row.table.clone(), number)).or_insert(row);
        }
    }
}

/// A wrong variant: a commit that stops several groups records only the first.
pub(crate) fn without_later_stops(commit: &FencedCommit) -> FencedCommit {
    let mut commit = commit.clone();
    let first = stops(&commit).next().and_then(|(row, _)| group_of(row));
    commit.control.retain(|change| match change {
        ControlChange::Table(row) if row.stopped.is_some() => group_of(row) == first,
        _ => true,
    });
    commit
}
