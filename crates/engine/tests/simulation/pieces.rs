//! Verify of a table that takes longer to read than the target keeps its versions.

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::plan::TablePlan;
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_engine::verify::TableVerdict;

use crate::history::{NOTE, plans};
use crate::random::Random;
use crate::verification::{insert, migrated_in, verified};
use crate::world::{Mutant, Shared};

/// Rows of the table beside what the history brings.
const ROWS: i64 = 12;
/// Keys of these rows: every second number, so that there is room between them.
const FIRST: i64 = 1_000;
/// Draws of sizes and times.
const SEEDS: u64 = 100;
const MINUTE: Duration = Duration::from_secs(60);

/// A world whose target takes 20 s for a row and keeps its versions for two minutes: three rows are
/// a piece.
fn slow() -> Shared {
    let shared = migrated_in(|world| {
        for step in 0..ROWS {
            world.history.push(insert(NOTE, [FIRST + 2 * step, 0, step]));
        }
    });
    let versions = &mut shared.lock().target.versions;
    (versions.told, versions.kept) = (2 * MINUTE, 2 * MINUTE);
    (versions.batch_takes, versions.batch_rows) = (MINUTE / 3, 1);
    shared.clone()
}

fn note_of(shared: &Shared) -> Result<TableVerdict, Failure> {
    let applied = shared.lock().committed;
    let note: [Arc<TablePlan>; 1] = [Arc::clone(&plans()[NOTE])];
    Ok(verified(shared, &note, applied)?.remove(0))
}

fn count(shared: &Shared, what: &str) -> u64 {
    shared.lock().counts.get(what).copied().unwrap_or_default()
}

/// The table is read through many versions, none of which expires.
#[test]
fn a_slow_table_is_read_in_pieces() {
    let shared = slow();
    let verdict = note_of(&shared).unwrap();
    assert!(verdict.is_equal() && verdict.rows_target >= 12, "{verdict:?}");
    let pieces = count(&shared, "scan behind a key");
    assert!(pieces >= verdict.rows_target / 4, "{pieces} pieces: {verdict:?}");
    assert_eq!(count(&shared, "version expired"), 0);
}

/// Whatever the sizes and times are, each row is compared once: equal rows are equal, and one that
/// is missing is seen.
#[test]
fn pieces_of_any_size_are_the_whole_table() {
    let shared = slow();
    let before = shared.lock().target.rows.clone();
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let mut seconds = |low, high| Duration::from_secs(random.between(low, high));
        let (told, takes) = (seconds(1, 200), seconds(0, 60));
        // A batch comes in time.
        let kept = takes + seconds(0, 200);
        {
            let versions = &mut shared.lock().target.versions;
            (versions.told, versions.kept, versions.batch_takes) = (told, kept, takes);
            versions.batch_rows = usize::try_from(random.between(1, 5)).unwrap();
        }
        let verdict = note_of(&shared).unwrap();
        assert!(verdict.is_equal(), "seed {seed}: {verdict:?}");
        let key = FIRST + 2 * i64::try_from(random.below(ROWS.unsigned_abs())).unwrap();
        shared.lock().target.rows[NOTE].remove(&key);
        let verdict = note_of(&shared).unwrap();
        assert_eq!(verdict.missing, 1, "seed {seed}: {verdict:?}");
        shared.lock().target.rows = before.clone();
    }
    assert!(count(&shared, "version expired") > 0);
}

/// The target keeps its versions for shorter than it said.
#[test]
fn a_version_that_expires_is_read_on_at_another() {
    let shared = slow();
    shared.lock().target.versions.told = 60 * MINUTE;
    let verdict = note_of(&shared).unwrap();
    assert!(verdict.is_equal(), "{verdict:?}");
    assert!(count(&shared, "version expired") > 0);
}

/// Not one batch comes in time: verify ends by name, and does not try for ever.
#[test]
fn a_version_that_expires_at_once_is_a_failure() {
    let shared = slow();
    shared.lock().target.versions.kept = MINUTE / 6;
    let failure = note_of(&shared).unwrap_err();
    assert_eq!(failure.code, code::VERSION_EXPIRED, "{failure}");
}

/// One planted difference, at each place of the table and so at each end of a piece, is found as
/// what it is.
#[test]
fn a_difference_at_the_end_of_a_piece_is_found() {
    let shared = slow();
    let before = shared.lock().target.rows.clone();
    let found = |verdict: &TableVerdict| (verdict.missing, verdict.extra, verdict.different);
    for step in 0..ROWS {
        let key = FIRST + 2 * step;
        shared.lock().target.rows[NOTE].remove(&key);
        assert_eq!(found(&note_of(&shared).unwrap()), (1, 0, 0), "missing at {key}");
        shared.lock().target.rows = before.clone();
        shared.lock().target.rows[NOTE].insert(key + 1, [key + 1, 0, 0]);
        assert_eq!(found(&note_of(&shared).unwrap()), (0, 1, 0), "extra at {key}");
        shared.lock().target.rows = before.clone();
        shared.lock().target.rows[NOTE].get_mut(&key).unwrap()[2] += 1;
        assert_eq!(found(&note_of(&shared).unwrap()), (0, 0, 1), "changed at {key}");
        shared.lock().target.rows = before.clone();
    }
    assert!(note_of(&shared).unwrap().is_equal());
}

/// Pieces that overlap by a row, or leave one out, are no equality.
#[test]
fn wrong_pieces_are_never_equal() {
    for mutant in [Mutant::ScanBeginsAtKey, Mutant::ScanSkipsRow] {
        let shared = slow();
        shared.lock().mutant = Some(mutant);
        let verdict = note_of(&shared).unwrap();
        assert!(!verdict.is_equal(), "{mutant:?}: {verdict:?}");
    }
}

/// What the target cannot count in one statement is counted between the ends of the pieces.
#[test]
fn a_count_that_takes_too_long_is_made_by_parts() {
    let shared = slow();
    shared.lock().target.versions.counted_max = 6;
    let verdict = note_of(&shared).unwrap();
    assert!(verdict.is_equal(), "{verdict:?}");
    assert_eq!(verdict.testimony.rows_target, verdict.rows_target);
    assert!(count(&shared, "count too long") > 0);

    // Not even a part can be counted, or there is only one.
    shared.lock().target.versions.counted_max = 0;
    assert_eq!(note_of(&shared).unwrap_err().code, code::COUNT_TOO_LONG);
    shared.lock().target.versions.counted_max = 6;
    shared.lock().target.versions.batch_takes = Duration::ZERO;
    assert_eq!(note_of(&shared).unwrap_err().code, code::COUNT_TOO_LONG);
}

/// What another process applies between two pieces concerns a compared table only if the source has
/// moved on: no verdict.
#[test]
fn a_change_between_two_pieces_is_no_verdict() {
    let shared = slow();
    shared.lock().history.push(insert(NOTE, [FIRST + 5, 0, 0]));
    let applied = shared.lock().committed;
    shared.lock().committed += 1;
    shared.lock().target.rows[NOTE].insert(FIRST + 5, [FIRST + 5, 0, 0]);
    let note: [Arc<TablePlan>; 1] = [Arc::clone(&plans()[NOTE])];
    let failure = verified(&shared, &note, applied).unwrap_err();
    assert_eq!(failure.code, code::SOURCE_AHEAD, "{failure}");
}
