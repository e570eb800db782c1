//! Damaged segment files: never a panic, never wrong pieces, always an error for what was durable.

use std::sync::Arc;

use super::sim::SimDisk;
use super::{ID, SMALL, append, read_all};
use crate::blocking::BlockingLog;
use crate::error::LogError;
use crate::piece::PieceView;
use crate::segment::segment_name;

/// Three segments, the last with several synced blocks and an abandoned sequence.
fn written() -> (SimDisk, Vec<PieceView>) {
    let disk = SimDisk::default();
    let log = Arc::new(BlockingLog::create(disk.files(), ID, "source", b"mariadb:".to_vec(), SMALL).unwrap());
    for number in 0..12_u8 {
        append(&log, &[number; 90], false).unwrap();
        if number == 10 {
            log.abandon().unwrap();
        } else {
            append(&log, &[number], true).unwrap();
        }
        log.sync().unwrap();
    }
    assert_eq!(log.usage().bytes, log.durable_bytes());
    assert_eq!(disk.names().len(), 4, "{:?}", disk.names());
    (disk.clone(), read_all(&log).unwrap())
}

/// Opens and reads; what was read before the error, and the error.
fn open_and_read(disk: &SimDisk) -> Result<Vec<PieceView>, LogError> {
    read_all(&Arc::new(BlockingLog::open(disk.files(), SMALL)?))
}

fn copy(disk: &SimDisk) -> SimDisk {
    let copy = SimDisk::default();
    for name in disk.names() {
        copy.insert(&name, disk.content(&name));
    }
    copy
}

/// Damage of a segment that is not the last is always found; of the last one, a cut tail is the
/// only other outcome.
fn check(disk: &SimDisk, name: &str, expected: &[PieceView], change: impl FnOnce(&mut Vec<u8>)) -> bool {
    let damaged = copy(disk);
    let before = damaged.content(name);
    damaged.damage(name, change);
    let changed = damaged.content(name) != before;
    match open_and_read(&damaged) {
        Ok(pieces) => {
            assert!(
                expected.starts_with(&pieces),
                "{name}: pieces that were never written"
            );
            let last = *name == segment_name(3);
            assert!(
                last || !changed || pieces == expected,
                "{name}: damage was not noticed"
            );
            pieces == expected
        }
        Err(error) => {
            assert!(error.to_string().contains(name), "{error}");
            assert!(
                matches!(
                    error,
                    LogError::Corrupt { .. }
                        | LogError::OutOfOrder { .. }
                        | LogError::UnsupportedVersion { .. }
                ),
                "{error:?}"
            );
            false
        }
    }
}

#[test]
fn every_flipped_byte_is_reported_or_cut() {
    let (disk, expected) = written();
    for name in disk.names() {
        for at in 0..disk.content(&name).len() {
            let unnoticed = check(&disk, &name, &expected, |content| content[at] ^= 1 << (at % 8));
            assert!(!unnoticed, "{name}: byte {at} does not matter");
        }
    }
}

#[test]
fn every_length_is_reported_or_cut() {
    let (disk, expected) = written();
    for name in disk.names() {
        for length in 0..disk.content(&name).len() {
            check(&disk, &name, &expected, |content| content.truncate(length));
        }
    }
}

#[test]
fn random_bytes_do_no_harm() {
    let (disk, expected) = written();
    let mut random = 7_u64;
    let mut next = move |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % below
    };
    for _ in 0..3000 {
        let names = disk.names();
        let name = &names[next(names.len())];
        let length = disk.content(name).len();
        let (from, bytes) = (next(length), 1 + next(length));
        let noise: Vec<u8> = (0..bytes).map(|_| u8::try_from(next(256)).unwrap()).collect();
        check(&disk, name, &expected, |content| {
            let end = (from + bytes).min(content.len());
            content[from..end].copy_from_slice(&noise[..end - from]);
        });
    }
}

#[test]
fn a_damaged_block_in_the_middle_of_the_last_segment_is_named() {
    let (disk, _) = written();
    let name = segment_name(3);
    let header_bytes = u32::from_le_bytes(disk.content(&name)[12..16].try_into().unwrap());
    disk.damage(&name, |content| content[header_bytes as usize + 70] ^= 1);
    match open_and_read(&disk) {
        Err(LogError::Corrupt { segment, offset, .. }) => {
            assert_eq!(
                (segment.ends_with(&name), offset),
                (true, u64::from(header_bytes))
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_valid_block_out_of_order_is_an_error() {
    let (disk, _) = written();
    let name = segment_name(3);
    let content = disk.content(&name);
    let start = u32::from_le_bytes(content[12..16].try_into().unwrap()) as usize;
    let block = 56 + u32::from_le_bytes(content[start + 8..start + 12].try_into().unwrap()) as usize;
    // The first block once more, at the end of the file, and in place of the second.
    let repeated = copy(&disk);
    repeated.damage(&name, |content| content.extend_from_within(start..start + block));
    assert!(matches!(
        open_and_read(&repeated),
        Err(LogError::OutOfOrder { .. })
    ));
    disk.damage(&name, |content| {
        content.copy_within(start..start + block, start + block);
    });
    assert!(matches!(open_and_read(&disk), Err(LogError::OutOfOrder { .. })));
}

#[test]
fn a_missing_segment_is_named() {
    let (disk, _) = written();
    disk.files().remove(&segment_name(1)).unwrap();
    match open_and_read(&disk) {
        Err(LogError::SegmentMissing { segment }) => assert!(segment.ends_with(segment_name(1))),
        other => panic!("{other:?}"),
    }
}
