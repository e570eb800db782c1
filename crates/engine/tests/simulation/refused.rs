//! A row of the snapshot that cannot be converted stops its table, in whichever range it lies and
//! wherever the process dies.

use spanferry_core::port::target::TablePhase;
use spanferry_core::report::code;

use crate::history::{BEFORE, Change, NOTE, Transaction, plans};
use crate::unfit::REFUSED;
use crate::world::Shared;
use crate::{live, new_world};

/// Rows of `note`: several ranges of a few rows each.
const ROWS: i64 = 30;
/// Keys that no drawn row has begin behind this one.
const KEY: i64 = 1_000;
/// Worlds whose ranges and delays differ.
const WORLDS: u64 = 5;
/// Processes until one is through: one dies, and its late commits can end the next.
const LIVES_MAX: usize = 5;

/// A source that has stood still since it got rows of `note`, of which one cannot be converted.
fn world(seed: u64, refused: i64) -> Shared {
    let shared = new_world(4 * seed + 3, None);
    let world = &mut *shared.lock();
    (world.fails_over, world.rewinds, world.lags) = (false, false, 0);
    world.administration.locks = 1;
    world.history.truncate(BEFORE);
    let row = |number| Change {
        table: NOTE,
        old: None,
        new: Some([KEY + number, 0, if number == refused { REFUSED } else { 0 }]),
    };
    let rows = (0..ROWS).map(row).collect();
    world.history.push(Transaction::Changes(rows));
    world.committed = world.history.transactions.len();
    world.received = world.committed;
    shared.clone()
}

/// Runs processes until one is through; whether one died.
pub(crate) fn run(shared: &Shared) -> bool {
    let mut died = false;
    for _ in 0..LIVES_MAX {
        match live(shared, None) {
            None => died = true,
            Some(Ok(_)) => return died,
            Some(Err(failure)) => assert_eq!(failure.code, code::TARGET_FENCED, "{failure}"),
        }
        shared.lock().crash_in = None;
    }
    panic!("it does not get on");
}

fn expect_stopped(shared: &Shared, context: &str) {
    let world = shared.lock();
    let row = &world.target.control.as_ref().unwrap().tables[plans()[NOTE].name()];
    let reason = row.stopped.as_ref().map(|reason| reason.code);
    let found = (row.phase, reason);
    assert_eq!(
        found,
        (TablePhase::Stopped, Some(code::VALUE_REFUSED)),
        "{context}"
    );
    assert!(world.violations.is_empty(), "{context}: {:?}", world.violations);
}

#[test]
fn a_refused_row_stops_its_table_in_whichever_range_it_lies() {
    for seed in 0..WORLDS {
        for refused in [0, ROWS / 2, ROWS - 1] {
            let shared = world(seed, refused);
            run(&shared);
            expect_stopped(&shared, &format!("world {seed}, row {refused}"));
        }
    }
}

/// A range with a refused row is not recorded as read: the next process would not see the row.
#[test]
fn a_refused_row_stops_its_table_wherever_the_process_dies() {
    for step in 0.. {
        let shared = world(0, 0);
        shared.lock().crash_in = Some(step);
        let died = run(&shared);
        expect_stopped(&shared, &format!("step {step}"));
        if !died {
            assert!(step > 50, "a run has more steps than {step}");
            return;
        }
    }
}
