//! Verify looks once more before it speaks: a transaction that comes between any of its questions
//! and its verdict is seen.

use std::sync::Arc;

use spanferry_core::report::code;
use spanferry_engine::verify::TableVerdict;

use crate::history::{BEFORE, ITEM, NOTE, plans};
use crate::verification::{insert, migrated, verified};
use crate::world::Look;

/// The first table is compared, and equal, before the second one is read.
#[test]
fn a_write_behind_any_question_is_seen() {
    let compared = [ITEM, NOTE].map(|table| Arc::clone(&plans()[table]));
    let questions = [
        Look::Columns,
        Look::Position,
        Look::Count(ITEM),
        Look::Compare(ITEM),
        Look::Count(NOTE),
        Look::Compare(NOTE),
    ];
    for written in [ITEM, NOTE] {
        for question in questions {
            let shared = migrated(|_| {});
            {
                let world = &mut *shared.lock();
                (world.bare, world.administration.locks) = (true, 1);
                world.history.push(insert(written, [5_000, 5_000, 0]));
                world.commits_behind = Some(question);
            }
            let failure = verified(&shared, &compared, BEFORE).unwrap_err();
            assert_eq!(failure.code, code::SOURCE_AHEAD, "{question:?}: {failure}");
            assert_eq!(shared.lock().commits_behind, None, "{question:?} was not asked");
        }
    }
}

/// One on a table that is not compared is not in the way, also then.
#[test]
fn a_write_elsewhere_behind_the_last_question_is_none() {
    let compared = [Arc::clone(&plans()[ITEM])];
    for question in [Look::Position, Look::Compare(ITEM)] {
        let shared = migrated(|_| {});
        {
            let world = &mut *shared.lock();
            (world.bare, world.administration.locks) = (true, 1);
            world.history.push(insert(NOTE, [5_000, 5_000, 0]));
            world.commits_behind = Some(question);
        }
        let verdicts = verified(&shared, &compared, BEFORE).unwrap();
        assert!(verdicts.iter().all(TableVerdict::is_equal), "{verdicts:?}");
        assert_eq!(shared.lock().committed, BEFORE + 1);
    }
}
