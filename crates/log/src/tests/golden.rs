//! Files of every released format version stay readable, byte for byte: `tests/golden/v1`.
//!
//! `SPANFERRY_BLESS=1 cargo test -p spanferry-log golden` writes them again, which is right only
//! before a release.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::sim::SimDisk;
use super::{ID, SMALL, append, read_all};
use crate::blocking::BlockingLog;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

/// Two segments: a transaction in two blocks, one that is abandoned, one in the second segment.
fn written() -> SimDisk {
    let disk = SimDisk::default();
    let log = BlockingLog::create(disk.files(), ID, "mariadb 0-1", b"mariadb:0-1-0".to_vec(), SMALL).unwrap();
    append(&log, &[0xa1; 250], false).unwrap();
    append(&log, b"the end of transaction 1", true).unwrap();
    log.sync().unwrap();
    append(&log, &[0xa2; 300], false).unwrap();
    log.abandon().unwrap();
    append(&log, b"in the next segment", true).unwrap();
    log.sync().unwrap();
    disk
}

#[test]
fn version_1_is_written_as_ever() {
    let disk = written();
    assert_eq!(disk.names().len(), 2);
    if std::env::var_os("SPANFERRY_BLESS").is_some() {
        fs::create_dir_all(directory()).unwrap();
        for name in disk.names() {
            fs::write(directory().join(&name), disk.content(&name)).unwrap();
        }
    }
    for name in disk.names() {
        let golden = fs::read(directory().join(&name)).unwrap();
        assert_eq!(
            disk.content(&name),
            golden,
            "{name}: the format changed without a new version"
        );
    }
}

#[test]
fn version_1_is_read() {
    let disk = SimDisk::default();
    for entry in fs::read_dir(directory()).unwrap() {
        let entry = entry.unwrap();
        disk.insert(
            entry.file_name().to_str().unwrap(),
            fs::read(entry.path()).unwrap(),
        );
    }
    let log = Arc::new(BlockingLog::open(disk.files(), SMALL).unwrap());
    assert_eq!((log.log_id(), log.source()), (ID, "mariadb 0-1"));
    assert_eq!(log.context(1).unwrap().context, b"mariadb:0-1-0");
    assert_eq!(log.context(3).unwrap().context, b"mariadb:");
    let pieces = read_all(&log).unwrap();
    let found: Vec<_> = pieces
        .iter()
        .map(|p| (p.sequence, p.number, p.last, p.committed_at_us, p.body.len()))
        .collect();
    assert_eq!(
        found,
        [(1, 0, false, 5, 250), (1, 1, true, 5, 24), (3, 0, true, 5, 19)]
    );
    assert_eq!(pieces[0].transaction.as_str(), "0-1-1");
}
