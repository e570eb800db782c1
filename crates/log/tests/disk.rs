//! What is particular to the log on local disk: modes, lock, budget, erasure, large pieces, damage
//! on real files.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use spanferry_core::port::change_log::{
    ChangeLog, ChangeLogReader, ChangeLogWriter, LogId, Piece, PieceKind, Sequence,
};
use spanferry_core::position::{Bookmark, Position};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_log::{DiskLog, LogError, LogOptions};
use spanferry_private_dir::Fault;

use support::Scratch;

fn piece(number: u64, body: Vec<u8>) -> Piece {
    let (kind, transaction) = (PieceKind::Transaction, format!("0-1-{number}@{number}"));
    Piece {
        sequence: Sequence::ZERO,
        number: 0,
        last: true,
        kind,
        transaction,
        committed_at_us: 0,
        body,
    }
}

async fn create(directory: &Path, options: LogOptions) -> Result<DiskLog, LogError> {
    DiskLog::create(
        directory,
        &LogId("00000000-0000-0000-0000-000000000001".to_owned()),
        "source",
        &Bookmark::parse("mariadb:").unwrap(),
        options,
    )
    .await
}

fn segments_of(segment_bytes: u64) -> LogOptions {
    LogOptions {
        segment_bytes,
        ..LogOptions::default()
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn files_are_private() {
    let scratch = Scratch::new();
    let log = create(scratch.path(), LogOptions::default()).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(scratch.path()), 0o700);
    for name in names(scratch.path()) {
        assert_eq!(mode(&scratch.path().join(name)), 0o600);
    }
    drop(log);
}

/// A directory that others can reach, and a link in the place of the directory, the lock or a
/// segment.
#[tokio::test]
async fn what_is_not_private_is_refused() {
    let scratch = Scratch::new();
    drop(create(scratch.path(), LogOptions::default()).await.unwrap());
    let fault = |opened: Result<DiskLog, LogError>| match opened.map(drop).unwrap_err() {
        LogError::Unsafe { fault, .. } => fault,
        other => panic!("{other}"),
    };
    let set_mode = |mode| fs::set_permissions(scratch.path(), fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o777);
    let open = || DiskLog::open(scratch.path(), LogOptions::default());
    assert!(matches!(fault(open().await), Fault::Mode { mode: 0o777, .. }));
    set_mode(0o700);
    let victim = Scratch::new();
    fs::write(victim.path(), "kept").unwrap();
    for name in names(scratch.path()) {
        let (path, moved) = (scratch.path().join(&name), scratch.path().join("moved"));
        fs::rename(&path, &moved).unwrap();
        symlink(victim.path(), &path).unwrap();
        assert!(matches!(fault(open().await), Fault::Link { .. }), "{name}");
        fs::rename(&moved, &path).unwrap();
    }
    // What a crash has left under construction is removed, and a link in its place is too.
    symlink(
        victim.path(),
        scratch.path().join("segment-00000000000000000001.log.new"),
    )
    .unwrap();
    drop(open().await.unwrap());
    let link = Scratch::new();
    symlink(scratch.path(), link.path()).unwrap();
    let through_link = DiskLog::open(link.path(), LogOptions::default()).await;
    assert!(matches!(fault(through_link), Fault::Link { .. }));
    assert_eq!(fs::read_to_string(victim.path()).unwrap(), "kept");
    fs::remove_file(link.path()).unwrap();
    fs::remove_file(victim.path()).unwrap();
}

/// One transaction larger than what a segment should hold fills the last segment, which is never
/// trimmed: it is sealed.
#[tokio::test]
async fn a_log_that_is_full_and_applied_takes_more_after_a_trim() {
    let scratch = Scratch::new();
    let options = LogOptions {
        segment_bytes: 10_000,
        budget_bytes: 100_000,
    };
    let log = create(scratch.path(), options).await.unwrap();
    let mut writer = log.writer().await.unwrap();
    for number in 1..=20 {
        let mut pieces = vec![piece(number, vec![1; 70_000])];
        if number > 1 {
            let refused = writer.append(&mut pieces).await.unwrap_err();
            assert_eq!(refused.code, code::LOG_BUDGET, "{number}");
            log.trim(Sequence(number)).await.unwrap();
        }
        writer.append(&mut pieces).await.unwrap();
        assert_eq!(writer.sync().await.unwrap(), Sequence(number));
    }
    let refused = writer.append(&mut [piece(21, vec![1; 70_000])]).await;
    assert!(refused.is_err());
    log.trim(Sequence(21)).await.unwrap();
    drop(writer);
    drop(log);
    // Nothing is left but where it ended.
    let log = DiskLog::open(scratch.path(), options).await.unwrap();
    let reached = Bookmark::parse("mariadb:0-1-20 last 0-1-20@20").unwrap();
    assert_eq!(log.end().await.unwrap(), (Sequence(20), reached.clone()));
    assert_eq!(log.bookmark_before(Sequence(21)).await.unwrap(), reached);
    assert_eq!(log.usage().oldest, Sequence(21));
    let mut writer = log.writer().await.unwrap();
    writer.append(&mut [piece(21, vec![1; 70_000])]).await.unwrap();
    assert_eq!(writer.sync().await.unwrap(), Sequence(21));
}

#[tokio::test]
async fn a_second_opening_a_second_creation_and_a_missing_log_are_refused() {
    let scratch = Scratch::new();
    assert!(matches!(
        DiskLog::open(scratch.path(), LogOptions::default()).await,
        Err(LogError::NotFound { .. })
    ));
    let log = create(scratch.path(), LogOptions::default()).await.unwrap();
    assert!(matches!(
        DiskLog::open(scratch.path(), LogOptions::default()).await,
        Err(LogError::Locked { .. })
    ));
    drop(log);
    assert!(matches!(
        create(scratch.path(), LogOptions::default()).await,
        Err(LogError::AlreadyExists { .. })
    ));
    let log = DiskLog::open(scratch.path(), LogOptions::default())
        .await
        .unwrap();
    assert_eq!(log.source(), "source");
}

#[tokio::test]
async fn the_budget_is_a_failure_to_be_repeated() {
    let scratch = Scratch::new();
    let options = LogOptions {
        segment_bytes: 1000,
        budget_bytes: 3000,
    };
    let log = create(scratch.path(), options).await.unwrap();
    let mut writer = log.writer().await.unwrap();
    let mut number = 1;
    let failure: Failure = loop {
        match writer.append(&mut [piece(number, vec![0; 900])]).await {
            Ok(()) => number += 1,
            Err(failure) => break failure,
        }
        writer.sync().await.unwrap();
    };
    assert_eq!(failure.code.number(), code::LOG_BUDGET.number());
    assert_eq!(failure.class, Class::Retry { after: None });
    log.trim(Sequence(number)).await.unwrap();
    writer.append(&mut [piece(number, vec![0; 900])]).await.unwrap();
    assert_eq!(writer.sync().await.unwrap(), Sequence(number));
}

#[tokio::test]
async fn a_start_for_a_late_position_is_late() {
    let scratch = Scratch::new();
    let log = create(scratch.path(), segments_of(1000)).await.unwrap();
    let mut writer = log.writer().await.unwrap();
    for number in 1..=40 {
        writer.append(&mut [piece(number, vec![0; 300])]).await.unwrap();
        writer.sync().await.unwrap();
    }
    for number in 10..=40 {
        let position = Position::parse(&format!("mariadb:0-1-{number}")).unwrap();
        let (Sequence(first), _) = log.start_for(&position).await.unwrap();
        assert!(
            number + 1 - first <= 4,
            "{first} for {number}: a segment takes 3 or 4"
        );
    }
}

#[tokio::test]
async fn erasing_leaves_an_empty_directory() {
    let scratch = Scratch::new();
    let log = create(scratch.path(), segments_of(100)).await.unwrap();
    let mut writer = log.writer().await.unwrap();
    for number in 1..=5 {
        writer.append(&mut [piece(number, vec![0; 100])]).await.unwrap();
    }
    writer.sync().await.unwrap();
    let mut reader = log.reader(Sequence(6)).await.unwrap();
    log.erase().await.unwrap();
    assert_eq!(names(scratch.path()), Vec::<String>::new());
    reader.readable().await.unwrap_err();
    writer.append(&mut [piece(6, Vec::new())]).await.unwrap_err();
}

#[tokio::test]
async fn pieces_larger_than_any_buffer_go_through() {
    let scratch = Scratch::new();
    let log = create(scratch.path(), segments_of(8 << 20)).await.unwrap();
    let mut writer = log.writer().await.unwrap();
    let sizes = [0, 1, (1 << 20) - 100, 1 << 20, 20 << 20, 3, (3 << 20) + 7];
    for (number, size) in (1_u64..).zip(sizes) {
        writer
            .append(&mut [piece(number, vec![u8::try_from(number).unwrap(); size])])
            .await
            .unwrap();
    }
    writer.sync().await.unwrap();
    drop((writer, log));
    let log = DiskLog::open(scratch.path(), LogOptions::default())
        .await
        .unwrap();
    let mut reader = log.reader(Sequence(1)).await.unwrap();
    let mut found = Vec::new();
    while found.len() < sizes.len() {
        for view in reader.next_chunk().await.unwrap() {
            assert!(view.body.iter().all(|byte| u64::from(*byte) == view.sequence));
            found.push(view.body.len());
        }
    }
    assert_eq!(found, sizes);
}

#[tokio::test]
async fn dropping_the_log_ends_waiting_readers() {
    let scratch = Scratch::new();
    let log = create(scratch.path(), LogOptions::default()).await.unwrap();
    let mut reader = log.reader(Sequence(1)).await.unwrap();
    let waiting = tokio::spawn(async move { reader.readable().await.map_err(|failure| failure.to_string()) });
    tokio::task::yield_now().await;
    drop(log);
    assert_eq!(
        waiting.await.unwrap(),
        Err("the change log was closed".to_owned())
    );
}

#[tokio::test]
async fn damage_is_reported_with_file_offset_and_hint() {
    let scratch = Scratch::new();
    let log = create(scratch.path(), segments_of(100)).await.unwrap();
    let mut writer = log.writer().await.unwrap();
    for number in 1..=3 {
        writer.append(&mut [piece(number, vec![0; 100])]).await.unwrap();
        writer.sync().await.unwrap();
    }
    drop((writer, log));
    let name = names(scratch.path())[1].clone();
    let path = scratch.path().join(&name);
    let mut content = fs::read(&path).unwrap();
    let header_bytes = u32::from_le_bytes(content[12..16].try_into().unwrap());
    *content.last_mut().unwrap() ^= 1;
    fs::write(&path, content).unwrap();
    let log = DiskLog::open(scratch.path(), LogOptions::default())
        .await
        .unwrap();
    let mut reader = log.reader(Sequence(1)).await.unwrap();
    for _ in 0..2 {
        let failure = loop {
            match reader.try_next().await {
                Ok(piece) => assert_eq!(piece.unwrap().sequence, Sequence(1)),
                Err(failure) => break failure,
            }
        };
        assert_eq!(failure.code.number(), code::LOG_CORRUPT.number());
        let text = failure.to_string();
        assert!(
            text.contains(&name) && text.contains(&format!("at byte {header_bytes}:")),
            "{text}"
        );
        assert!(
            failure.next_step().contains("Move the folder"),
            "{}",
            failure.next_step()
        );
    }
}
