//! Single faults, one by one: a full disk, the budget, a failed fsync, a partial transaction.

use std::sync::Arc;

use super::sim::SimDisk;
use super::{ID, SMALL, append, parts, read_all};
use crate::blocking::{BlockingLog, State};
use crate::cursor::LogCursor;
use crate::encoder::MAX_UNSYNCED_BYTES;
use crate::error::LogError;
use crate::limits::Limits;
use crate::segment::{segment_name, temporary_name};

fn created(limits: Limits) -> (SimDisk, Arc<BlockingLog>) {
    let disk = SimDisk::default();
    let log = BlockingLog::create(disk.files(), ID, "source", b"mariadb:".to_vec(), limits).unwrap();
    (disk, Arc::new(log))
}

fn sequences(log: &Arc<BlockingLog>) -> Vec<u64> {
    read_all(log)
        .unwrap()
        .iter()
        .filter(|piece| piece.last)
        .map(|piece| piece.sequence)
        .collect()
}

#[test]
fn a_full_disk_leaves_nothing_behind_and_a_sync_can_be_repeated() {
    let (disk, log) = created(SMALL);
    append(&log, &[1; 100], true).unwrap();
    log.sync().unwrap();
    let durable = disk.content(&segment_name(0)).len();
    disk.leave_room(Some(250));
    for number in 2..6 {
        append(&log, &[number; 100], true).unwrap();
    }
    assert!(matches!(log.sync(), Err(LogError::DiskFull { .. })));
    assert_eq!(disk.content(&segment_name(0)).len(), durable);
    assert_eq!(sequences(&log), [1]);
    disk.leave_room(None);
    log.sync().unwrap();
    assert_eq!(sequences(&log), [1, 2, 3, 4, 5]);
    assert_eq!(read_all(&log).unwrap()[4].body[..], [5; 100]);
}

/// Whatever part of the failed sync reached the device: all of it is written once more.
#[test]
fn a_disk_that_is_full_only_at_the_fsync_can_be_repeated() {
    for seed in 0..20 {
        let (disk, log) = created(SMALL);
        append(&log, &[1; 100], true).unwrap();
        log.sync().unwrap();
        append(&log, &[2; 100], true).unwrap();
        append(&log, &[3; 100], true).unwrap();
        disk.fill_sync();
        assert!(matches!(log.sync(), Err(LogError::DiskFull { .. })));
        assert_eq!(sequences(&log), [1]);
        log.sync().unwrap();
        assert_eq!(sequences(&log), [1, 2, 3]);
        disk.crash(seed);
        let log = Arc::new(BlockingLog::open(disk.files(), SMALL).unwrap());
        assert_eq!(sequences(&log), [1, 2, 3]);
    }
}

#[test]
fn a_full_disk_at_a_new_segment_can_be_repeated() {
    let (disk, log) = created(SMALL);
    append(&log, &[1; 800], true).unwrap();
    log.sync().unwrap();
    append(&log, &[2; 10], true).unwrap();
    disk.leave_room(Some(20));
    assert!(matches!(log.sync(), Err(LogError::DiskFull { .. })));
    assert_eq!(disk.names(), [segment_name(0)]);
    disk.leave_room(None);
    log.sync().unwrap();
    assert_eq!(sequences(&log), [1, 2]);
}

#[test]
fn the_budget_takes_all_pieces_or_none() {
    let (_disk, log) = created(Limits {
        budget_bytes: 1700,
        ..SMALL
    });
    for number in 1..=2 {
        append(&log, &[number; 650], true).unwrap();
        log.sync().unwrap();
    }
    let (used, body) = (log.usage().bytes, [3; 100]);
    let refused = log.append(&[parts(&body, true), parts(&[4; 600], true)], |_| {
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
    log.sync().unwrap();
    assert_eq!((sequences(&log), log.usage().bytes), (vec![1, 2], used));
    assert!(log.trim(2).unwrap() > 0);
    assert_eq!(append(&log, &body, true).unwrap(), 3);
    log.sync().unwrap();
    assert_eq!(sequences(&log), [2, 3]);
}

/// A transaction that is larger than the budget is distinguished from one that has to wait for
/// others to be trimmed.
#[test]
fn a_transaction_that_can_never_fit_is_told() {
    let (_disk, log) = created(Limits {
        budget_bytes: 3000,
        segment_bytes: 500,
        block_bytes: 5000,
    });
    append(&log, &[1; 1500], true).unwrap();
    log.sync().unwrap();
    let refused = |bytes: usize, last| append(&log, &vec![2; bytes], last).unwrap_err();
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
    append(&log, &[2; 1000], false).unwrap();
    log.sync().unwrap();
    log.trim(2).unwrap();
    assert!(append(&log, &[2; 500], false).is_ok());
    never(refused(1800, false), 3300);
}

#[test]
fn a_refused_append_restores_a_half_filled_block() {
    let (disk, log) = created(Limits {
        budget_bytes: 1000,
        segment_bytes: 10_000,
        block_bytes: 5000,
    });
    append(&log, &[1; 100], true).unwrap();
    let refused = log.append(&[parts(&[2; 100], false), parts(&[3; 900], true)], |_| Vec::new());
    assert!(matches!(refused, Err(LogError::BudgetTooSmall { .. })));
    append(&log, &[4; 100], true).unwrap();
    log.sync().unwrap();
    disk.crash(3);
    let log = Arc::new(BlockingLog::open(disk.files(), SMALL).unwrap());
    let pieces = read_all(&log).unwrap();
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
    let (disk, log) = created(SMALL);
    append(&log, b"one", true).unwrap();
    disk.fail_syncs(1);
    assert!(matches!(log.sync(), Err(LogError::Poisoned { .. })));
    assert!(matches!(
        append(&log, b"two", true),
        Err(LogError::Poisoned { .. })
    ));
    assert!(matches!(log.sync(), Err(LogError::Poisoned { .. })));
    assert_eq!(log.mark().state, State::Poisoned);
    assert_eq!(sequences(&log), Vec::<u64>::new(), "nothing is durable");
    let log = Arc::new(BlockingLog::open(disk.files(), SMALL).unwrap());
    assert_eq!(sequences(&log), [1], "read again and written again");
    disk.crash(11);
    assert_eq!(
        sequences(&Arc::new(BlockingLog::open(disk.files(), SMALL).unwrap())),
        [1]
    );
}

#[test]
fn a_torn_transaction_is_abandoned_and_its_sequence_is_not_used_again() {
    let (disk, log) = created(SMALL);
    append(&log, b"one", true).unwrap();
    append(&log, b"two, first part", false).unwrap();
    log.sync().unwrap();
    disk.crash(5);
    let log = Arc::new(BlockingLog::open(disk.files(), SMALL).unwrap());
    assert_eq!(
        log.usage().durable.0,
        1,
        "an abandoned sequence is no transaction"
    );
    assert_eq!(append(&log, b"two again", true).unwrap(), 3);
    log.sync().unwrap();
    assert_eq!(sequences(&log), [1, 3]);
}

#[test]
fn an_interrupted_creation_of_a_segment_is_cleaned_up() {
    let (disk, log) = created(SMALL);
    append(&log, b"one", true).unwrap();
    log.sync().unwrap();
    disk.insert(&temporary_name(1), b"SPAN".to_vec());
    let log = Arc::new(BlockingLog::open(disk.files(), SMALL).unwrap());
    assert_eq!((sequences(&log), disk.names()), (vec![1], vec![segment_name(0)]));
}

#[test]
fn what_waits_for_a_sync_is_bounded() {
    let (_disk, log) = created(Limits {
        segment_bytes: u64::MAX,
        ..SMALL
    });
    let body = vec![1; 1 << 20];
    for _ in 0..40 {
        append(&log, &body, true).unwrap();
        assert!(log.usage().bytes - log.durable_bytes() <= MAX_UNSYNCED_BYTES);
    }
}

#[test]
fn readers_refuse_what_is_trimmed_and_what_is_not_there_yet() {
    let (_disk, log) = created(SMALL);
    for number in 1..=3 {
        append(&log, &[number; 800], true).unwrap();
        log.sync().unwrap();
    }
    let mut early = LogCursor::new(Arc::clone(&log), 1).unwrap();
    log.trim(3).unwrap();
    assert!(matches!(
        early.read(log.mark()),
        Err(LogError::Trimmed {
            sequence: 1,
            oldest: 3
        })
    ));
    let refused = |from| LogCursor::new(Arc::clone(&log), from).err();
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
