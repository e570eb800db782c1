//! Batches that catch up: tables with different `low` in one batch, and a window that the target
//! rejects.

use spanferry_core::port::target::{Lane, TablePhase};
use spanferry_core::report::code;

use crate::history::{BEFORE, Change, ITEM, NOTE, Transaction, plans};
use crate::refused::run;
use crate::target::{expected_rows, lane_key};
use crate::unfit::{REFUSED, REJECTED};
use crate::verification::insert;
use crate::world::{Shared, World};
use crate::{live, new_world};

/// Keys that no drawn row has.
const KEY: i64 = 5_000;

fn added(table: usize, plain: i64) -> Change {
    Change {
        table,
        old: None,
        new: Some([KEY, KEY, plain]),
    }
}

/// A world without faults that is migrated, whose history ends with these transactions.
fn world(last: Vec<Transaction>) -> Shared {
    let shared = new_world(3, None);
    {
        let world = &mut *shared.lock();
        (world.bare, world.administration.locks) = (true, 1);
        (world.fails_over, world.rewinds) = (false, false);
        world.history.truncate(BEFORE);
        for transaction in last {
            world.history.push(transaction);
        }
        world.committed = world.history.transactions.len();
        world.received = world.committed;
    }
    live(&shared, None).unwrap().unwrap();
    // The next log begins at the lowest `low`.
    shared.lock().log = None;
    shared
}

/// Makes of a table one that was loaded after so many transactions, and has not joined.
fn loaded(world: &mut World, table: usize, after: usize) {
    let (low, high) = (world.position(after), world.bookmark(after));
    let control = world.target.control.as_mut().unwrap();
    let row = control.tables.get_mut(plans()[table].name()).unwrap();
    (row.phase, row.stopped) = (TablePhase::Loaded, None);
    (row.low, row.high) = (Some(low), Some(high));
    world.target.in_force[table] = false;
    world.target.rows[table] = world.history.states[after][table].clone();
}

/// Why each of two tables has stopped.
fn reasons(shared: &Shared) -> [Option<code::Code>; 2] {
    let world = shared.lock();
    let control = world.target.control.as_ref().unwrap();
    [ITEM, NOTE].map(|table| {
        let row = &control.tables[plans()[table].name()];
        row.stopped.as_ref().map(|reason| reason.code)
    })
}

/// The log is read from the lowest `low` of a batch, whichever table has it.
#[test]
fn each_table_of_a_batch_gets_every_change_behind_its_own_low() {
    for (early, late) in [(ITEM, NOTE), (NOTE, ITEM)] {
        let last = [early, late, early, late].into_iter().enumerate();
        let last = last.map(|(step, table)| insert(table, [KEY + step as i64, KEY + step as i64, 7]));
        let shared = world(last.collect());
        loaded(&mut shared.lock(), early, BEFORE);
        loaded(&mut shared.lock(), late, BEFORE + 2);
        live(&shared, None).unwrap().unwrap();
        assert_eq!(reasons(&shared), [None, None]);
        let world = shared.lock();
        assert_eq!(world.target.rows, expected_rows(&world), "{early} is early");
    }
}

/// The rows of the other group are in the window that the target did not take: they are sent again
/// without the unfit one.
#[test]
fn a_rejected_window_stops_only_the_group_whose_row_is_rejected() {
    for (unfit, fit) in [(ITEM, NOTE), (NOTE, ITEM)] {
        let both = vec![added(unfit, REJECTED), added(fit, 7)];
        let shared = world(vec![Transaction::Changes(both)]);
        loaded(&mut shared.lock(), unfit, BEFORE);
        loaded(&mut shared.lock(), fit, BEFORE);
        live(&shared, None).unwrap().unwrap();
        expect_only(&shared, unfit, fit, "catching up");
    }
}

/// One of two tables has stopped for its row; the other has all of its rows.
fn expect_only(shared: &Shared, unfit: usize, fit: usize, context: &str) {
    let stopped = [ITEM, NOTE].map(|table| (table == unfit).then_some(code::CHANGE_REJECTED));
    assert_eq!(reasons(shared), stopped, "{unfit} is unfit, {context}");
    let world = shared.lock();
    let expected = expected_rows(&world);
    assert_eq!(
        world.target.rows[fit], expected[fit],
        "{unfit} is unfit, {context}"
    );
    assert!(world.violations.is_empty(), "{context}: {:?}", world.violations);
}

/// In the main stream, a transaction of two groups is applied to the one whose rows fit, wherever
/// the process dies.
#[test]
fn a_rejected_transaction_stops_only_the_group_whose_row_is_rejected() {
    for (unfit, fit) in [(ITEM, NOTE), (NOTE, ITEM)] {
        for step in 0.. {
            let shared = world(Vec::new());
            let both = vec![added(fit, 7), added(unfit, REJECTED)];
            {
                let world = &mut *shared.lock();
                world.history.push(Transaction::Changes(both));
                world.history.push(insert(fit, [KEY + 1, KEY + 1, 7]));
                world.committed = world.history.transactions.len();
                world.crash_in = Some(step);
            }
            let died = run(&shared);
            expect_only(&shared, unfit, fit, &format!("step {step}"));
            if !died {
                assert!(step > 20, "a run has more steps than {step}");
                break;
            }
        }
    }
}

/// A window can stop one group by itself and be rejected because of another: both stop.
#[test]
fn a_rejected_window_still_stops_what_it_stops_by_itself() {
    let both = vec![added(NOTE, REFUSED), added(ITEM, REJECTED)];
    let shared = world(vec![Transaction::Changes(both)]);
    loaded(&mut shared.lock(), NOTE, BEFORE);
    loaded(&mut shared.lock(), ITEM, BEFORE);
    live(&shared, None).unwrap().unwrap();
    let expected = [Some(code::CHANGE_REJECTED), Some(code::VALUE_REFUSED)];
    assert_eq!(reasons(&shared), expected);
}

/// The checkpoint of one lane says nothing where a later release has used several
/// (docs/design/lanes.md).
#[test]
fn lanes_of_a_later_release_are_refused() {
    let shared = world(Vec::new());
    let fences = || shared.lock().target.control.as_ref().unwrap().fences.clone();
    {
        let mut world = shared.lock();
        let fences = &mut world.target.control.as_mut().unwrap().fences;
        let main = fences[&lane_key(Lane::MAIN)].clone();
        fences.insert(lane_key(Lane::Apply(1)), main);
    }
    let before = fences();
    let failure = live(&shared, None).unwrap().unwrap_err();
    assert_eq!(failure.code, code::LANES_UNKNOWN);
    assert_eq!(fences(), before, "nothing is taken over");
}
