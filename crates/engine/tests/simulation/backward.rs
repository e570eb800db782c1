//! What goes back in time without a new history: an older copy of the state directory is put back,
//! or a replica takes the source's place that lags behind it. Both must be noticed.

use spanferry_core::port::change_log::Sequence;
use spanferry_core::port::target::TablePhase;
use spanferry_core::position::Bookmark;

use crate::log::LogState;
use crate::target::{main_key, reached};
use crate::world::{Mutant, World, number_of};

/// The most times at which a lagging replica takes the source's place in one run.
pub(crate) const LAGS_MAX: u64 = 3;

/// Whether such things happen beside this variant: the other wrong ones are found sooner without
/// them.
pub(crate) fn goes_back(mutant: Option<Mutant>) -> bool {
    matches!(mutant, None | Some(Mutant::OldLogIsTaken))
}

/// Now and then the state directory is copied.
pub(crate) fn copy_log(world: &mut World) {
    // A run whose source is rewound has no copies: each of the two is judged alone.
    let is_rewinding = world.rewinds || world.rewinds_unseen || world.rewound.is_some();
    if goes_back(world.mutant) && !is_rewinding && world.fails(2) {
        world.log_copy.clone_from(&world.log);
    }
}

/// The process has died: now and then the copy is put in the place of its log.
pub(crate) fn put_back_log(world: &mut World) {
    let is_same = |copy: &LogState| world.log.as_ref().is_some_and(|log| log.is_copied_by(copy));
    let Some(mut copy) = world.log_copy.clone().filter(is_same) else {
        return;
    };
    if world.random.chance(40) {
        copy.crash(|_| 0);
        world.log = Some(copy);
        world.count("older copy of the log put back");
    }
}

/// Whether the log ends before what the target has applied, and is rightly refused. The operator
/// moves it away.
pub(crate) fn is_old_log(world: &mut World) -> bool {
    let applied = main_key(world).map(|key| key.sequence);
    let is_old = world.log.as_ref().is_some_and(|log| Some(log.last()) < applied);
    if is_old {
        world.log = None;
        world.count("older copy of the log refused");
    }
    is_old
}

/// Where the log ends, as the engine hears it: a wrong variant says what the target wants to hear.
pub(crate) fn end_told(world: &World, end: Sequence) -> Sequence {
    let applied = main_key(world).map_or(Sequence::ZERO, |key| key.sequence);
    match world.mutant {
        Some(Mutant::OldLogIsTaken) => end.max(applied),
        _ => end,
    }
}

/// What the log holds at a place behind its end: only a wrong variant is asked for that.
pub(crate) fn bookmark_told(world: &World, at: Sequence) -> Option<Bookmark> {
    let end = world.log.as_ref()?.last();
    let control = world.target.control.as_ref()?;
    let is_told = world.mutant == Some(Mutant::OldLogIsTaken) && at > end.next();
    is_told.then(|| reached(control).bookmark())
}

/// A replica takes the source's place that has everything the stream has brought, and not yet
/// everything that was visible.
pub(crate) fn lag(world: &mut World) {
    let is_possible = world.lags > 0 && !world.bare && world.committed > world.received;
    if !is_possible || !world.random.chance(4) {
        return;
    }
    let behind = u64::try_from(world.committed - world.received).expect("the world is small");
    let behind = usize::try_from(world.random.between(1, behind)).expect("the world is small");
    world.lags -= 1;
    world.committed -= behind;
    world.administration.cuts += 1;
    world.count("source lags behind");
}

/// Counts snapshots that lie before an earlier one of a table: `promises` (target.rs) says that
/// nothing is loaded from them.
pub(crate) fn count_lagging(world: &mut World, low: usize) {
    let tables = world
        .target
        .control
        .iter()
        .flat_map(|control| control.tables.values());
    let loading = tables.filter(|row| row.phase == TablePhase::Loading || row.phase == TablePhase::Pending);
    let mut lows = loading.filter_map(|row| row.low.as_ref());
    if lows.any(|earlier| low < number_of(&earlier.to_string())) {
        world.count("snapshot of a source that lags");
    }
}
