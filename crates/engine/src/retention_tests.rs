//! What trimming leaves of a log on disk: everything that a restart needs, and room again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use spanferry_core::port::change_log::{ChangeLogWriter, LogId, Piece, PieceKind};
use spanferry_core::port::target::TablePhase;
use spanferry_core::position::Bookmark;
use spanferry_log::{DiskLog, LogOptions};

use super::*;
use crate::fixture::{row, table};

const HOUR: Duration = Duration::from_secs(3600);
/// Bytes of a transaction's body; a segment takes about three.
const BODY_BYTES: usize = 400;
const SEGMENT_BYTES: u64 = 1000;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("spanferry-retention-{}-{number}", std::process::id());
        Scratch(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn options(budget_bytes: u64) -> LogOptions {
    LogOptions {
        segment_bytes: SEGMENT_BYTES,
        budget_bytes,
    }
}

/// The transaction with a number, committed that many hours after 1970.
fn piece(number: u64) -> Piece {
    Piece {
        sequence: Sequence::ZERO,
        number: 0,
        last: true,
        kind: PieceKind::Transaction,
        transaction: format!("0-1-{number}"),
        committed_at_us: hours_us(number),
        body: vec![7; BODY_BYTES],
    }
}

fn hours_us(hours: u64) -> u64 {
    hours * 3600 * 1_000_000
}

async fn create(scratch: &Scratch, budget_bytes: u64) -> DiskLog {
    let start = Bookmark::parse("mariadb:").unwrap();
    DiskLog::create(
        &scratch.0,
        &LogId("5f0c9a6e-0000-4000-8000-000000000001".to_owned()),
        "source",
        &start,
        options(budget_bytes),
    )
    .await
    .unwrap()
}

async fn append(log: &DiskLog, numbers: std::ops::RangeInclusive<u64>) -> Result<(), Failure> {
    let mut writer = log.writer().await?;
    for number in numbers {
        writer.append(&mut [piece(number)]).await?;
        writer.sync().await?;
    }
    Ok(())
}

/// A retention of one table in a phase, and the end by which its watermark moves.
fn retention(
    log: &Arc<DiskLog>,
    phase: TablePhase,
    keep: Duration,
) -> (Retention<DiskLog>, watch::Sender<Watermark>, Arc<Progress>) {
    let progress = Arc::new(Progress::default());
    let rows = vec![row("t", phase, None)];
    let registry = Registry::new(vec![table("t")], rows, Arc::clone(&progress));
    let (moves, watermark) = watch::channel(Watermark::default());
    let retention = Retention::new(
        Arc::clone(log),
        Arc::new(registry),
        watermark,
        RetentionOptions::keeping(keep),
        Arc::clone(&progress),
    );
    (retention, moves, progress)
}

fn applied(number: u64) -> Watermark {
    Watermark {
        sequence: Sequence(number),
        committed_at_us: hours_us(number),
    }
}

/// Everything from a sequence on is there, after a restart, and the position before it is known.
async fn check_complete(scratch: &Scratch, from: u64, up_to: u64) {
    let log = DiskLog::open(&scratch.0, options(u64::MAX)).await.unwrap();
    let before = log
        .bookmark_before(Sequence(from))
        .await
        .unwrap()
        .position
        .to_string();
    assert_eq!(before, format!("mariadb:0-1-{}", from - 1));
    let mut reader = log.reader(Sequence(from)).await.unwrap();
    for number in from..=up_to {
        let found = reader.try_next().await.unwrap().unwrap();
        assert_eq!(
            (found.sequence, found.transaction),
            (Sequence(number), format!("0-1-{number}"))
        );
    }
    assert_eq!(reader.try_next().await.unwrap(), None);
}

#[tokio::test]
async fn a_restart_finds_what_it_needs_wherever_the_watermark_stood() {
    for keep in [0, 1, 7, 1000] {
        let scratch = Scratch::new();
        let log = Arc::new(create(&scratch, u64::MAX).await);
        append(&log, 1..=40).await.unwrap();
        let (mut retention, moves, _) = retention(&log, TablePhase::Constrained, HOUR * keep);
        let mut log = Some(log);
        for number in 1..=40 {
            moves.send_replace(applied(number));
            retention.look().await.unwrap();
            let oldest = retention.log.usage().oldest.0;
            let kept_from = number.saturating_sub(u64::from(keep)).max(1);
            assert!(
                oldest <= kept_from + 1,
                "{oldest}, {number} is applied, {keep} h are kept"
            );
            // Whole segments of about three go, so what is kept beyond need is less than one of
            // them.
            assert!(
                oldest + 3 >= kept_from,
                "{oldest}, {number} is applied, {keep} h are kept"
            );
        }
        drop((log.take(), retention));
        check_complete(&scratch, 41_u64.saturating_sub(u64::from(keep)).max(2), 40).await;
    }
}

#[tokio::test]
async fn what_is_still_to_be_loaded_holds_the_log_and_what_has_stopped_does_not() {
    let check = async |phase: TablePhase, holds: bool| {
        let scratch = Scratch::new();
        let log = Arc::new(create(&scratch, u64::MAX).await);
        append(&log, 1..=20).await.unwrap();
        let (mut retention, moves, _) = retention(&log, phase, Duration::ZERO);
        moves.send_replace(applied(20));
        retention.look().await.unwrap();
        assert_eq!(log.usage().oldest == Sequence(1), holds, "{phase:?}");
    };
    check(TablePhase::Pending, true).await;
    check(TablePhase::Loading, true).await;
    check(TablePhase::Loaded, true).await;
    check(TablePhase::Joined, false).await;
    check(TablePhase::Constrained, false).await;
    check(TablePhase::Stopped, false).await;
}

#[tokio::test]
async fn nothing_is_trimmed_before_this_process_has_applied_anything() {
    let scratch = Scratch::new();
    let log = Arc::new(create(&scratch, u64::MAX).await);
    append(&log, 1..=20).await.unwrap();
    let (mut retention, moves, _) = retention(&log, TablePhase::Joined, HOUR);
    moves.send_replace(Watermark {
        sequence: Sequence(20),
        committed_at_us: 0,
    });
    retention.look().await.unwrap();
    assert_eq!(log.usage().oldest, Sequence(1));
}

#[tokio::test(start_paused = true)]
async fn a_full_log_has_room_again_once_its_content_is_applied() {
    let scratch = Scratch::new();
    let log = Arc::new(create(&scratch, 10_000).await);
    let (retention, moves, progress) = retention(&log, TablePhase::Joined, HOUR * 1000);
    let full = append(&log, 1..=100).await.unwrap_err();
    assert_eq!(full.code, code::LOG_BUDGET);
    let last = log.usage().durable.0;
    moves.send_replace(applied(last));
    let stop = CancellationToken::new();
    let running = tokio::spawn(retention.run(stop.clone()));
    while log.usage().oldest == Sequence(1) {
        tokio::time::sleep(RetentionOptions::LOOK_INTERVAL).await;
    }
    append(&log, last + 1..=last + 3).await.unwrap();
    stop.cancel();
    running.await.unwrap().unwrap();
    let findings = progress.snapshot().findings;
    let told: Vec<_> = findings.iter().map(|finding| finding.code).collect();
    assert_eq!(told, [code::LOG_BUDGET], "told once: {findings:?}");
    drop(log);
    check_complete(&scratch, last + 1, last + 3).await;
}

#[tokio::test]
async fn a_budget_too_small_for_an_append_keeps_no_history() {
    let scratch = Scratch::new();
    let log = Arc::new(create(&scratch, ROOM_BYTES_MIN).await);
    append(&log, 1..=20).await.unwrap();
    let (mut retention, moves, progress) = retention(&log, TablePhase::Joined, HOUR * 1000);
    moves.send_replace(applied(20));
    retention.look().await.unwrap();
    assert!(log.usage().oldest > Sequence(15), "{:?}", log.usage());
    assert_eq!(progress.snapshot().findings, [], "it is far from full");
}

#[tokio::test(start_paused = true)]
async fn an_alarm_says_why_and_how_long() {
    let scratch = Scratch::new();
    let log = Arc::new(create(&scratch, 100_000).await);
    append(&log, 1..=10).await.unwrap();
    let (mut retention, moves, progress) = retention(&log, TablePhase::Loading, HOUR);
    moves.send_replace(applied(10));
    retention.look().await.unwrap();
    assert_eq!(progress.snapshot().findings, []);
    append(&log, 11..=140).await.unwrap();
    tokio::time::advance(HOUR).await;
    retention.look().await.unwrap();
    retention.look().await.unwrap();
    let findings = progress.snapshot().findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    let text = &findings[0].text;
    for part in [
        "of its 97.6 KiB (7",
        "full in about ",
        "while these tables are loading: t",
    ] {
        assert!(text.contains(part), "{part} in: {text}");
    }
}
