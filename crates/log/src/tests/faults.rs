//! Single faults, one by one: a full disk, the budget, a failed fsync, a torn transaction.

use std::sync::Arc;

use super::sim::SimDisk;
use super::{ID, SMALL, append, parts, read_all};
use crate::core::{Core, Limits, State};
use crate::cursor::LogCursor;
use crate::encoder::MAX_UNSYNCED_BYTES;
use crate::error::LogError;
use crate::segment::{segment_name, temporary_name};

fn created(limits: Limits) -> (SimDisk, Arc<Core>) {
    let disk = SimDisk::default();
    let core = Core::create(disk.files(), ID, "source", b"mariadb:".to_vec(), limits).unwrap();
    (disk, Arc::new(core))
}

fn sequences(core: &Arc<Core>) -> Vec<u64> {
    read_all(core)
        .unwrap()
        .iter()
        .filter(|piece| piece.last)
        .map(|piece| piece.sequence)
        .collect()
}

#[test]
fn a_full_disk_leaves_nothing_behind_and_a_sync_can_be_repeated() {
    let (disk, core) = created(SMALL);
    append(&core, &[1; 100], true).unwrap();
    core.sync().unwrap();
    let durable = disk.content(&segment_name(0)).len();
    disk.leave_room(Some(250));
    for number in 2..6 {
        append(&core, &[number; 100], true).unwrap();
    }
    assert!(matches!(core.sync(), Err(LogError::DiskFull { .. })));
    assert_eq!(disk.content(&segment_name(0)).len(), durable);
    assert_eq!(sequences(&core), [1]);
    disk.leave_room(None);
    core.sync().unwrap();
    assert_eq!(sequences(&core), [1, 2, 3, 4, 5]);
    assert_eq!(read_all(&core).unwrap()[4].body[..], [5; 100]);
}

/// Whatever part of the failed sync reached the device: all of it is written once more.
#[test]
fn a_disk_that_is_full_only_at_the_fsync_can_be_repeated() {
    for seed in 0..20 {
        let (disk, core) = created(SMALL);
        append(&core, &[1; 100], true).unwrap();
        core.sync().unwrap();
        append(&core, &[2; 100], true).unwrap();
        append(&core, &[3; 100], true).unwrap();
        disk.fill_sync();
        assert!(matches!(core.sync(), Err(LogError::DiskFull { .. })));
        assert_eq!(sequences(&core), [1]);
        core.sync().unwrap();
        assert_eq!(sequences(&core), [1, 2, 3]);
        disk.crash(seed);
        let core = Arc::new(Core::open(disk.files(), SMALL).unwrap());
        assert_eq!(sequences(&core), [1, 2, 3]);
    }
}

#[test]
fn a_full_disk_at_a_new_segment_can_be_repeated() {
    let (disk, core) = created(SMALL);
    append(&core, &[1; 800], true).unwrap();
    core.sync().unwrap();
    append(&core, &[2; 10], true).unwrap();
    disk.leave_room(Some(20));
    assert!(matches!(core.sync(), Err(LogError::DiskFull { .. })));
    assert_eq!(disk.names(), [segment_name(0)]);
    disk.leave_room(None);
    core.sync().unwrap();
    assert_eq!(sequences(&core), [1, 2]);
}

#[test]
fn the_budget_takes_all_pieces_or_none() {
    let (_disk, core) = created(Limits {
        budget_bytes: 1700,
        ..SMALL
    });
    for number in 1..=2 {
        append(&core, &[number; 650], true).unwrap();
        core.sync().unwrap();
    }
    let (used, body) = (core.usage().bytes, [3; 100]);
    let refused = core.append(&[parts(&body, true), parts(&[4; 600], true)], |_| {
        b"mariadb:".to_vec()
    });
    match refused {
        Err(LogError::BudgetReached {
            budget_bytes,
            used_bytes,
            needed_bytes,
        }) => {
            assert_eq!((budget_bytes, used_bytes), (1700, used));
            assert!(used_bytes + needed_bytes > budget_bytes);
        }
        other => panic!("{other:?}"),
    }
    core.sync().unwrap();
    assert_eq!((sequences(&core), core.usage().bytes), (vec![1, 2], used));
    assert!(core.trim(2).unwrap() > 0);
    assert_eq!(append(&core, &body, true).unwrap(), 3);
    core.sync().unwrap();
    assert_eq!(sequences(&core), [2, 3]);
}

/// A transaction that is larger than the budget is distinguished from one that has to wait for
/// others to be trimmed.
#[test]
fn a_transaction_that_can_never_fit_is_told() {
    let (_disk, core) = created(Limits {
        budget_bytes: 3000,
        segment_bytes: 500,
        block_bytes: 5000,
    });
    append(&core, &[1; 1500], true).unwrap();
    core.sync().unwrap();
    let refused = |bytes: usize, last| append(&core, &vec![2; bytes], last).unwrap_err();
    assert!(matches!(refused(2000, true), LogError::BudgetReached { .. }));
    let never = |error: LogError, at_least: u64| match error {
        LogError::BudgetTooSmall {
            budget_bytes,
            transaction_bytes,
        } => assert!(
            budget_bytes == 3000 && transaction_bytes >= at_least,
            "{transaction_bytes}"
        ),
        other => panic!("{other:?}"),
    };
    never(refused(3001, true), 3001);
    // It has begun, and the others are trimmed: what is there already counts.
    append(&core, &[2; 1000], false).unwrap();
    core.sync().unwrap();
    core.trim(2).unwrap();
    assert!(append(&core, &[2; 500], false).is_ok());
    never(refused(1800, false), 3300);
}

#[test]
fn a_refused_append_restores_a_half_filled_block() {
    let (disk, core) = created(Limits {
        budget_bytes: 1000,
        segment_bytes: 10_000,
        block_bytes: 5000,
    });
    append(&core, &[1; 100], true).unwrap();
    let refused = core.append(&[parts(&[2; 100], false), parts(&[3; 900], true)], |_| Vec::new());
    assert!(matches!(refused, Err(LogError::BudgetTooSmall { .. })));
    append(&core, &[4; 100], true).unwrap();
    core.sync().unwrap();
    disk.crash(3);
    let core = Arc::new(Core::open(disk.files(), SMALL).unwrap());
    let pieces = read_all(&core).unwrap();
    assert_eq!(
        pieces
            .iter()
            .map(|piece| (piece.sequence, piece.body[0]))
            .collect::<Vec<_>>(),
        [(1, 1), (2, 4)]
    );
}

#[test]
fn a_failed_fsync_poisons_until_the_log_is_opened_again() {
    let (disk, core) = created(SMALL);
    append(&core, b"one", true).unwrap();
    disk.fail_syncs(1);
    assert!(matches!(core.sync(), Err(LogError::Poisoned { .. })));
    assert!(matches!(
        append(&core, b"two", true),
        Err(LogError::Poisoned { .. })
    ));
    assert!(matches!(core.sync(), Err(LogError::Poisoned { .. })));
    assert_eq!(core.mark().state, State::Poisoned);
    assert_eq!(sequences(&core), Vec::<u64>::new(), "nothing is durable");
    let core = Arc::new(Core::open(disk.files(), SMALL).unwrap());
    assert_eq!(sequences(&core), [1], "read again and written again");
    disk.crash(11);
    assert_eq!(
        sequences(&Arc::new(Core::open(disk.files(), SMALL).unwrap())),
        [1]
    );
}

#[test]
fn a_torn_transaction_is_abandoned_and_its_sequence_is_not_used_again() {
    let (disk, core) = created(SMALL);
    append(&core, b"one", true).unwrap();
    append(&core, b"two, first part", false).unwrap();
    core.sync().unwrap();
    disk.crash(5);
    let core = Arc::new(Core::open(disk.files(), SMALL).unwrap());
    assert_eq!(
        core.usage().durable.0,
        1,
        "an abandoned sequence is no transaction"
    );
    assert_eq!(append(&core, b"two again", true).unwrap(), 3);
    core.sync().unwrap();
    assert_eq!(sequences(&core), [1, 3]);
}

#[test]
fn an_interrupted_creation_of_a_segment_is_cleaned_up() {
    let (disk, core) = created(SMALL);
    append(&core, b"one", true).unwrap();
    core.sync().unwrap();
    disk.insert(&temporary_name(1), b"SPAN".to_vec());
    let core = Arc::new(Core::open(disk.files(), SMALL).unwrap());
    assert_eq!((sequences(&core), disk.names()), (vec![1], vec![segment_name(0)]));
}

#[test]
fn what_waits_for_a_sync_is_bounded() {
    let (_disk, core) = created(Limits {
        segment_bytes: u64::MAX,
        ..SMALL
    });
    let body = vec![1; 1 << 20];
    for _ in 0..40 {
        append(&core, &body, true).unwrap();
        assert!(core.usage().bytes - core.durable_bytes() <= MAX_UNSYNCED_BYTES);
    }
}

#[test]
fn readers_refuse_what_is_trimmed_and_what_is_not_there_yet() {
    let (_disk, core) = created(SMALL);
    for number in 1..=3 {
        append(&core, &[number; 800], true).unwrap();
        core.sync().unwrap();
    }
    let mut early = LogCursor::new(Arc::clone(&core), 1).unwrap();
    core.trim(3).unwrap();
    assert!(matches!(
        early.read(core.mark()),
        Err(LogError::Trimmed {
            sequence: 1,
            oldest: 3
        })
    ));
    let refused = |from| LogCursor::new(Arc::clone(&core), from).err();
    assert!(matches!(
        refused(2),
        Some(LogError::Trimmed {
            sequence: 2,
            oldest: 3
        })
    ));
    assert!(matches!(
        refused(5),
        Some(LogError::NotYet { sequence: 5, next: 4 })
    ));
    assert!(refused(4).is_none());
}
