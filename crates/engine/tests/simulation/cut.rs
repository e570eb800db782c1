//! A table that is loaded while the main stream stands inside a cut transaction must join behind
//! that transaction.

use spanferry_core::port::target::{ControlState, Lane, TablePhase};

use crate::history::{BEFORE, NOTE, plans};
use crate::interrupt::interrupted;
use crate::live;
use crate::target::{expected_rows, lane_key, main_key};
use crate::world::World;

/// Whether the main stream stands inside a transaction while a table waits to join it.
fn waits_inside(control: &ControlState) -> bool {
    let main = control.fences.get(&lane_key(Lane::MAIN));
    let mut tables = control.tables.values();
    main.is_some_and(|row| row.key.piece > 0) && tables.any(|row| row.phase == TablePhase::Loaded)
}

/// Lets the process die soon where a table waits inside a transaction: it happens seldom by itself.
pub(crate) fn crash(world: &mut World) {
    let waits = world.target.control.as_ref().is_some_and(waits_inside);
    if waits && world.crashes_inside_cuts > 0 && world.random.chance(60) {
        world.crashes_inside_cuts -= 1;
        world.crash_in = Some(world.random.below(3));
        world.count("crash inside a cut transaction");
    }
}

/// A wrong variant: what waits inside a transaction has joined.
pub(crate) fn join(control: &mut ControlState) {
    if waits_inside(control) {
        let loaded = control
            .tables
            .values_mut()
            .filter(|row| row.phase == TablePhase::Loaded);
        loaded.for_each(|row| row.phase = TablePhase::Joined);
    }
}

/// The first changes of the transaction were counted while the table was loading, and not applied
/// to it.
#[test]
fn a_table_that_is_loaded_inside_a_cut_transaction_gets_its_first_changes() {
    let shared = interrupted();
    {
        let world = &mut *shared.lock();
        let high = world.bookmark(BEFORE);
        let control = world.target.control.as_mut().unwrap();
        let row = control.tables.get_mut(plans()[NOTE].name()).unwrap();
        row.phase = TablePhase::Loaded;
        (row.low, row.high) = (Some(high.position.clone()), Some(high));
        world.target.rows[NOTE] = world.history.states[BEFORE][NOTE].clone();
        assert!(main_key(world).unwrap().piece > 0);
    }
    live(&shared, None).unwrap().unwrap();
    let world = shared.lock();
    assert_eq!(main_key(&world).unwrap().piece, 0);
    assert_eq!(world.target.rows, expected_rows(&world));
}
