//! Verify against the oracle: it sees equality, differences and refused rows, and only what
//! concerns its tables is in its way.

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::position::Bookmark;
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_core::value::encode::Encoding;
use spanferry_engine::verify::{ContradictedKey, Counters, Lack, NamedRefusal, TableVerdict, verify};

use crate::history::{AUTHOR, BEFORE, Change, History, ITEM, NOTE, Transaction, plans};
use crate::source::SimSource;
use crate::target::SimTarget;
use crate::world::{Mutant, Shared, SourceFault, World};
use crate::{live, new_world};

/// How often the oracle is compared with verify, so that some sessions are lost.
const VERIFICATIONS: u64 = 50;
/// Transactions on other tables that come while verify reads.
const ELSEWHERE: i64 = 300;

/// A world whose target holds the first `BEFORE` transactions, after which nothing has happened at
/// the source.
pub(crate) fn migrated(prepare: impl FnOnce(&mut History)) -> Shared {
    migrated_in(|world| prepare(&mut world.history))
}

/// The same of a world that is changed before.
pub(crate) fn migrated_in(prepare: impl FnOnce(&mut World)) -> Shared {
    let shared = new_world(3, None);
    {
        let mut world = shared.lock();
        world.history.truncate(BEFORE);
        (world.fails_over, world.rewinds) = (false, false);
        prepare(&mut world);
        world.committed = world.history.transactions.len();
        world.received = world.committed;
    }
    let Some(Ok(Some(outcome))) = live(&shared, None) else {
        panic!("the run ends")
    };
    let end = shared.lock().history.transactions.len();
    assert_eq!(outcome.position, shared.lock().position(end).to_string());
    shared
}

/// Verifies these tables of a target that holds the first `applied` transactions.
pub(crate) fn verified(
    shared: &Shared,
    plans: &[Arc<TablePlan>],
    applied: usize,
) -> Result<Vec<TableVerdict>, Failure> {
    let applied = shared.lock().bookmark(applied);
    verified_at(shared, plans, &applied)
}

/// Verifies these tables of a target that holds what a bookmark says.
fn verified_at(
    shared: &Shared,
    plans: &[Arc<TablePlan>],
    applied: &Bookmark,
) -> Result<Vec<TableVerdict>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (source, target) = (SimSource(shared.clone()), SimTarget(shared.clone()));
    let counters = Counters::default();
    let found = runtime.block_on(verify(
        &source,
        &source,
        &target,
        plans,
        applied,
        &counters,
        |_| {},
    ));
    found.map(|found| found.tables)
}

pub(crate) fn insert(table: usize, row: [i64; 3]) -> Transaction {
    Transaction::Changes(vec![Change {
        table,
        old: None,
        new: Some(row),
    }])
}

/// Verify sees the equality that the oracle sees, and a single row that was changed behind its
/// back.
#[test]
fn verify_agrees_with_the_oracle() {
    let shared = migrated(|_| {});
    let check = |expected: bool| {
        shared.lock().counts.clear();
        for _ in 0..VERIFICATIONS {
            // A session may be lost here as anywhere: the table is compared again.
            let verdicts = verified(&shared, &plans(), BEFORE).unwrap();
            let equal = verdicts.iter().all(TableVerdict::is_equal);
            assert_eq!(equal, expected, "{verdicts:?}");
        }
        let counts = shared.lock().counts.clone();
        let (opened, lost) = (
            counts["sessions at one position"],
            counts["session lost in a range"],
        );
        assert_eq!(
            opened,
            VERIFICATIONS + lost,
            "a snapshot is shared until it is lost"
        );
    };
    check(true);
    let table = (0..4)
        .find(|table| !shared.lock().target.rows[*table].is_empty())
        .unwrap();
    shared.lock().target.rows[table].first_entry().unwrap().get_mut()[2] += 1;
    check(false);

    // A source that lies elsewhere than the target is never compared.
    let elsewhere = |applied: usize| verified(&shared, &plans(), applied).unwrap_err().code;
    assert_eq!(elsewhere(BEFORE - 1), code::SOURCE_AHEAD);
    assert_eq!(elsewhere(BEFORE + 1), code::HISTORY_CHANGED);
}

/// A source that was rewound and has come to the same number again is another one, also where its
/// rows are the same.
#[test]
fn a_source_with_another_history_is_never_compared() {
    let shared = migrated(|_| {});
    let applied = shared.lock().bookmark(BEFORE);
    {
        let history = &mut shared.lock().history;
        let last = history.transactions[BEFORE - 1].clone();
        history.truncate(BEFORE - 1);
        history.push(last);
    }
    let failure = verified_at(&shared, &plans(), &applied).unwrap_err();
    assert_eq!(failure.code, code::HISTORY_CHANGED, "{failure}");
}

/// A world whose load and verify read the source in the same wrong way, and how verify judges it.
fn judged_under(fault: SourceFault) -> Vec<TableVerdict> {
    let shared = new_world(3, Some(Mutant::Source(fault)));
    {
        let mut world = shared.lock();
        world.history.transactions.truncate(BEFORE);
        world.history.states.truncate(BEFORE + 1);
        // A range that is read twice would be cut in another place than the one that verify reads.
        (world.bare, world.fails_over) = (true, false);
        for step in 0..10 {
            world.history.push(insert(NOTE, [100 + step, 0, step]));
        }
        world.committed = world.history.transactions.len();
        world.received = world.committed;
    }
    let Some(Ok(Some(_))) = live(&shared, None) else {
        panic!("the run ends")
    };
    let applied = shared.lock().committed;
    verified(&shared, &[Arc::clone(&plans()[NOTE])], applied).unwrap()
}

/// Issue 7, points 1 and 7: what the load and verify have in common cannot hide from the witness.
#[test]
fn a_fault_on_both_sides_is_seen_by_the_witness_alone() {
    let agree = |verdict: &TableVerdict| {
        (verdict.missing, verdict.extra, verdict.different, verdict.refused) == (0, 0, 0, 0)
            && verdict.rows_source == verdict.rows_target
    };
    let cut = &judged_under(SourceFault::RowsCut)[0];
    assert!(agree(cut) && !cut.is_equal(), "{cut:?}");
    assert!(cut.testimony.rows_source > cut.rows_source, "{cut:?}");
    assert_eq!(cut.testimony.contradicted, []);

    let misread = &judged_under(SourceFault::Misread)[0];
    assert!(agree(misread) && !misread.is_equal(), "{misread:?}");
    let said = &misread.testimony;
    assert_eq!(said.rows_asked, misread.rows_source);
    assert_eq!(said.contradicted.len() as u64, misread.rows_source);
    let named = ContradictedKey {
        key: "[\"105\"]".into(),
        columns: vec!["plain".into()],
    };
    assert!(said.contradicted.contains(&named), "{said:?}");

    let off = &judged_under(SourceFault::WitnessCountsOff)[0];
    assert!(agree(off) && !off.is_equal(), "{off:?}");
}

/// A column that the target lacks is seen though no plan knows of it.
#[test]
fn a_column_that_was_lost_is_seen_by_the_catalogs() {
    let shared = migrated(|_| {});
    shared.lock().administration.hidden_at_target = Some(("note", "plain"));
    let verdicts = verified(&shared, &plans(), BEFORE).unwrap();
    for verdict in &verdicts {
        let missing = &verdict.testimony.columns_missing;
        assert_eq!(verdict.is_equal(), verdict.name.table != "note", "{verdict:?}");
        assert_eq!(!missing.is_empty(), verdict.name.table == "note", "{missing:?}");
    }
}

/// A table or a column that was dropped at the target is a difference of that table; the others are
/// compared.
#[test]
fn what_the_target_lacks_is_a_difference_of_its_table() {
    let check = |hidden: (&'static str, &'static str), lack: Lack| {
        let shared = migrated(|_| {});
        shared.lock().administration.hidden_at_target = Some(hidden);
        let verdicts = verified(&shared, &plans(), BEFORE).unwrap();
        assert_eq!(verdicts.len(), plans().len());
        for verdict in &verdicts {
            let is_lacking = verdict.name.table == hidden.0;
            assert_eq!(verdict.lack, is_lacking.then_some(lack), "{verdict:?}");
            assert_eq!(verdict.is_equal(), !is_lacking, "{verdict:?}");
        }
    };
    check(("book", ""), Lack::Table);
    check(("book", "plain"), Lack::Columns);
}

/// Issue 7, point 21: other tables may change before, while and after the compared ones are read,
/// and the stream may break.
#[test]
fn transactions_on_other_tables_are_not_in_the_way() {
    let shared = migrated(|_| {});
    for step in 0..ELSEWHERE {
        let table = [AUTHOR, ITEM][step.unsigned_abs() as usize % 2];
        let mut world = shared.lock();
        world.history.push(insert(table, [1_000 + step, 2_000 + step, 0]));
    }
    let compared = [Arc::clone(&plans()[NOTE])];
    let mut committed = Vec::new();
    for _ in 0..VERIFICATIONS {
        let verdicts = verified(&shared, &compared, BEFORE).unwrap();
        assert!(verdicts.iter().all(TableVerdict::is_equal), "{verdicts:?}");
        committed.push(shared.lock().committed);
    }
    let moved = |world: &World| world.counts.contains_key("sessions at several positions");
    let is_cut = shared.lock().counts.contains_key("stream cut");
    assert!(moved(&shared.lock()) || committed.windows(2).any(|pair| pair[0] < pair[1]));
    assert!(is_cut, "no stream was cut: {:?}", shared.lock().counts);

    // The first change of a compared table is, and a statement on it.
    for touching in [insert(NOTE, [5_000, 0, 0]), Transaction::Truncate(NOTE)] {
        shared.lock().history.push(touching);
        let end = shared.lock().history.transactions.len();
        shared.lock().committed = end;
        let failure = verified(&shared, &compared, BEFORE).unwrap_err();
        assert_eq!(failure.code, code::SOURCE_AHEAD);
        let transaction = shared
            .lock()
            .transaction(BEFORE + ELSEWHERE.unsigned_abs() as usize + 1);
        let text = failure.to_string();
        assert!(text.contains(&transaction) && text.contains("`note`"), "{text}");
        let mut world = shared.lock();
        let rest = world.history.transactions.len() - 1;
        world.history.truncate(rest);
        world.committed -= 1;
    }
    // A statement that changes no row is not.
    shared.lock().history.push(Transaction::Index(NOTE));
    let end = shared.lock().history.transactions.len();
    shared.lock().committed = end;
    verified(&shared, &compared, BEFORE).unwrap();
}

/// What was prepared before the target's position and is committed behind it is unknown to verify:
/// it is in no way unless a difference is found, and that is not known then.
#[test]
fn a_commit_of_what_was_prepared_before_is_no_verdict() {
    let shared = migrated(|_| {});
    let compared = [Arc::clone(&plans()[NOTE])];
    let change = |key| Change {
        table: NOTE,
        old: None,
        new: Some([key, 0, 0]),
    };
    let commit = |transactions: &[Transaction]| {
        let mut world = shared.lock();
        for transaction in transactions {
            world.history.push(transaction.clone());
        }
        world.committed = world.history.transactions.len();
    };
    {
        let mut world = shared.lock();
        world.history.replace(BEFORE - 2, Transaction::Prepare(1, None));
        let touching = Transaction::Prepare(2, Some(change(5_000)));
        world.history.replace(BEFORE - 3, touching);
    }
    commit(&[
        Transaction::Commit(1),
        Transaction::Prepare(3, None),
        Transaction::Commit(3),
    ]);
    let verdicts = verified(&shared, &compared, BEFORE).unwrap();
    assert!(verdicts.iter().all(TableVerdict::is_equal), "{verdicts:?}");
    commit(&[Transaction::Commit(2)]);
    let failure = verified(&shared, &compared, BEFORE).unwrap_err();
    assert_eq!(failure.code, code::SOURCE_AHEAD, "{failure}");
    assert!(failure.to_string().contains("was prepared before"), "{failure}");
}

/// A write to a compared table that comes while it is read: neither equal nor different, whenever
/// it comes.
#[test]
fn a_write_in_the_middle_is_never_a_verdict() {
    let shared = migrated(|_| {});
    for step in 0..ELSEWHERE {
        shared
            .lock()
            .history
            .push(insert(AUTHOR, [1_000 + step, 2_000 + step, 0]));
    }
    let touching = shared.lock().history.transactions.len() - 280;
    shared
        .lock()
        .history
        .replace(touching, insert(NOTE, [5_000, 0, 0]));
    for state in &mut shared.lock().history.states[touching + 1..] {
        state[NOTE].insert(5_000, [5_000, 0, 0]);
    }
    let compared = [Arc::clone(&plans()[NOTE])];
    let (mut equal, mut ahead) = (0, 0);
    for first in BEFORE..touching + 2 {
        for _ in 0..20 {
            shared.lock().committed = first;
            match verified(&shared, &compared, BEFORE) {
                Ok(verdicts) => {
                    assert!(verdicts.iter().all(TableVerdict::is_equal), "{verdicts:?}");
                    equal += 1;
                }
                Err(failure) => {
                    assert_eq!(failure.code, code::SOURCE_AHEAD, "{failure}");
                    assert!(shared.lock().committed > touching, "{failure}");
                    ahead += 1;
                }
            }
        }
    }
    assert!(equal > 0 && ahead > 0, "{equal} equal, {ahead} ahead");
}

/// Rows without an exact form are all counted, the first hundred are named, and the others of the
/// table are compared.
#[test]
fn refused_rows_do_not_end_a_comparison() {
    const REFUSED: i64 = 130;
    let shared = migrated(|history| {
        for step in 0..REFUSED + 20 {
            let plain = if step < REFUSED { 5_000 } else { 7 };
            history.push(insert(NOTE, [1_000 + step, 0, plain]));
        }
    });
    // Nothing breaks here: the table is too large for that.
    shared.lock().bare = true;
    let applied = shared.lock().committed;
    let mut narrow = plans()[NOTE].as_ref().clone();
    narrow.columns[2].encoding = Encoding::String { characters_max: 3 };
    let compared = [Arc::new(narrow), Arc::clone(&plans()[ITEM])];
    let check = |(missing, extra, different): (u64, u64, u64)| {
        let verdicts = verified(&shared, &compared, applied).unwrap();
        let note = &verdicts[0];
        assert!(!note.is_equal() && verdicts[1].is_equal());
        assert_eq!(note.refused, REFUSED.unsigned_abs());
        assert_eq!(
            (note.missing, note.extra, note.different),
            (missing, extra, different)
        );
        assert!(note.rows_source >= 150, "{note:?}");
        assert_eq!(note.refused_rows.len(), 100);
        let named = NamedRefusal {
            key: "[\"1000\"]".into(),
            column: "plain".into(),
            reason: "a value longer than 3".into(),
        };
        assert_eq!(note.refused_rows[0], named);
    };
    check((0, 0, 0));
    // Beside them a row is changed, one is added, one is missing, and the target holds something
    // for a refused one.
    {
        let rows = &mut shared.lock().target.rows[NOTE];
        rows.get_mut(&1_140).unwrap()[2] = 8;
        rows.remove(&1_141);
        rows.insert(9_000, [9_000, 0, 1]);
        rows.remove(&1_005);
        rows.get_mut(&1_006).unwrap()[2] = 1;
    }
    check((1, 1, 1));
}
