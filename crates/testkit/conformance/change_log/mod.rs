//! What every `ChangeLog` must do. A log's tests include this file, implement `Provider` and run
//! each check.

use std::future::Future;

use spanferry_core::port::change_log::{
    ChangeLog, ChangeLogReader, ChangeLogWriter, Piece, PieceKind, Sequence,
};
use spanferry_core::position::{Bookmark, Position};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};

/// Makes logs of one kind.
pub trait Provider {
    /// The kind.
    type Log: ChangeLog;
    /// A new, empty log that begins at a bookmark.
    fn create(&self, start: &Bookmark) -> impl Future<Output = Self::Log> + Send;
    /// The same log after its process ended without a word.
    fn reopen(&self, log: Self::Log) -> impl Future<Output = Self::Log> + Send;
}

/// The transaction with a number, as its last piece carries it.
fn witness(number: u64) -> String {
    format!("0-1-{number}@{}#{number:016x}", 1_000_000 + number)
}

/// What is reached behind the transaction with a number.
fn behind(number: u64) -> Bookmark {
    Bookmark::parse(&format!("mariadb:0-1-{number} last {}", witness(number))).unwrap()
}

fn start() -> Bookmark {
    behind(100)
}

/// One piece of the transaction with a number behind `start`.
pub fn piece(transaction: u64, body: &[u8], last: bool) -> Piece {
    Piece {
        sequence: Sequence::ZERO,
        number: 0,
        last,
        kind: PieceKind::Transaction,
        transaction: if last {
            witness(100 + transaction)
        } else {
            format!("0-1-{}", 100 + transaction)
        },
        committed_at_us: 1_000_000 + transaction,
        body: body.to_vec(),
    }
}

/// Everything a new reader sees now, as (sequence, number, last, body).
pub async fn visible<L: ChangeLog>(log: &L, from: u64) -> Vec<(u64, u32, bool, Vec<u8>)> {
    let mut reader = log.reader(Sequence(from)).await.unwrap();
    let mut pieces = Vec::new();
    while let Some(piece) = reader.try_next().await.unwrap() {
        pieces.push((piece.sequence.0, piece.number, piece.last, piece.body));
    }
    pieces
}

/// Whether a future is ready without waiting for anything outside of the log.
async fn is_pending<T>(future: impl Future<Output = T>) -> bool {
    tokio::select! {
        biased;
        _ = future => false,
        () = tokio::task::yield_now() => true,
    }
}

fn same_kind<T>(result: Result<T, Failure>, number: u16, class: Class) -> Failure {
    let Err(failure) = result else {
        panic!("a failure was expected")
    };
    assert_eq!(
        (failure.code.number(), failure.class),
        (number, class),
        "{failure}"
    );
    failure
}

/// Pieces get dense sequences from 1, and numbers from 0 within each; they are read as they were
/// written.
pub async fn check_order<P: Provider>(provider: &P) {
    let log = provider.create(&start()).await;
    let mut writer = log.writer().await.unwrap();
    let mut pieces = [
        piece(1, b"a", false),
        piece(1, b"b", true),
        piece(2, b"", true),
        piece(3, b"c", false),
    ];
    writer.append(&mut pieces).await.unwrap();
    let numbers: Vec<_> = pieces
        .iter()
        .map(|piece| (piece.sequence.0, piece.number))
        .collect();
    assert_eq!(numbers, [(1, 0), (1, 1), (2, 0), (3, 0)]);
    let mut rest = [piece(3, b"d", true)];
    writer.append(&mut rest).await.unwrap();
    assert_eq!((rest[0].sequence.0, rest[0].number), (3, 1));
    assert_eq!(writer.sync().await.unwrap(), Sequence(3));
    let mut reader = log.reader(Sequence(1)).await.unwrap();
    for expected in pieces.iter().chain(&rest) {
        assert_eq!(reader.try_next().await.unwrap().as_ref(), Some(expected));
    }
    assert_eq!(reader.try_next().await.unwrap(), None);
    assert_eq!(visible(&log, 3).await.len(), 2);
    assert_eq!(visible(&log, 0).await.len(), 5, "0 is before the first");
}

/// Nothing is readable before its transaction is complete and durable.
pub async fn check_visibility<P: Provider>(provider: &P) {
    let log = provider.create(&start()).await;
    let mut writer = log.writer().await.unwrap();
    let mut reader = log.reader(Sequence(1)).await.unwrap();
    writer
        .append(&mut [piece(1, b"a", true), piece(2, b"b", false)])
        .await
        .unwrap();
    assert_eq!(reader.try_next().await.unwrap(), None);
    assert_eq!(log.usage().durable, Sequence::ZERO);
    assert!(is_pending(reader.readable()).await);
    assert_eq!(writer.sync().await.unwrap(), Sequence(1));
    reader.readable().await.unwrap();
    assert_eq!(reader.try_next().await.unwrap().unwrap().sequence, Sequence(1));
    assert_eq!(
        reader.try_next().await.unwrap(),
        None,
        "2 is durable in part, not complete"
    );
    writer.append(&mut [piece(2, b"c", true)]).await.unwrap();
    writer.sync().await.unwrap();
    let mut bodies = Vec::new();
    while let Some(piece) = reader.try_next().await.unwrap() {
        bodies.push(piece.body);
    }
    assert_eq!(bodies, [b"b", b"c"]);
    assert_eq!(log.usage().durable, Sequence(2));
}

/// An abandoned transaction keeps its sequence, is not read, and does not count for the position.
pub async fn check_abandon<P: Provider>(provider: &P) {
    let log = provider.create(&start()).await;
    let mut writer = log.writer().await.unwrap();
    writer.abandon().await.unwrap();
    writer
        .append(&mut [piece(1, b"a", true), piece(2, b"cut", false)])
        .await
        .unwrap();
    writer.abandon().await.unwrap();
    assert_eq!(writer.sync().await.unwrap(), Sequence(1), "the last complete one");
    assert_eq!(log.end().await.unwrap(), (Sequence(1), behind(101)));
    writer.append(&mut [piece(2, b"again", true)]).await.unwrap();
    assert_eq!(writer.sync().await.unwrap(), Sequence(3));
    let bodies: Vec<_> = visible(&log, 2)
        .await
        .into_iter()
        .map(|(sequence, .., body)| (sequence, body))
        .collect();
    assert_eq!(bodies, [(3, b"again".to_vec())]);
}

/// Bookmarks are counted from the beginning, at every sequence, also after a new opening.
pub async fn check_positions<P: Provider>(provider: &P) {
    let log = provider.create(&start()).await;
    assert_eq!(log.end().await.unwrap(), (Sequence::ZERO, start()));
    let mut writer = log.writer().await.unwrap();
    for number in 1..=20 {
        writer
            .append(&mut [piece(number, &[0; 500], true)])
            .await
            .unwrap();
        writer.sync().await.unwrap();
    }
    drop(writer);
    let id = log.id();
    let log = provider.reopen(log).await;
    assert_eq!(log.id(), id);
    for sequence in 1..=21 {
        let found = log.bookmark_before(Sequence(sequence)).await.unwrap();
        assert_eq!(found, behind(99 + sequence));
    }
    assert_eq!(log.end().await.unwrap(), (Sequence(20), behind(120)));
}

/// After a crash: what was synced is there, the incomplete transaction is abandoned, no sequence is
/// used twice.
pub async fn check_reopen<P: Provider>(provider: &P) {
    let log = provider.create(&start()).await;
    let mut writer = log.writer().await.unwrap();
    writer
        .append(&mut [piece(1, b"a", true), piece(2, b"part", false)])
        .await
        .unwrap();
    writer.sync().await.unwrap();
    writer.append(&mut [piece(2, b"lost", true)]).await.unwrap();
    drop(writer);
    let log = provider.reopen(log).await;
    assert_eq!(log.end().await.unwrap(), (Sequence(1), behind(101)));
    let mut writer = log.writer().await.unwrap();
    let mut again = [piece(2, b"whole", true)];
    writer.append(&mut again).await.unwrap();
    assert_eq!(again[0].sequence, Sequence(3));
    writer.sync().await.unwrap();
    let sequences: Vec<_> = visible(&log, 1)
        .await
        .into_iter()
        .map(|(sequence, .., body)| (sequence, body))
        .collect();
    assert_eq!(sequences, [(1, b"a".to_vec()), (3, b"whole".to_vec())]);
}

/// One writer at a time; the next one starts at what is durable.
pub async fn check_single_writer<P: Provider>(provider: &P) {
    let log = provider.create(&start()).await;
    let mut writer = log.writer().await.unwrap();
    same_kind(log.writer().await, code::BUG.number(), Class::Bug);
    writer.append(&mut [piece(1, b"a", true)]).await.unwrap();
    writer.sync().await.unwrap();
    writer
        .append(&mut [piece(2, b"never synced", true)])
        .await
        .unwrap();
    drop(writer);
    let mut writer = log.writer().await.unwrap();
    assert_eq!(log.end().await.unwrap().0, Sequence(1));
    let mut pieces = [piece(2, b"b", true)];
    writer.append(&mut pieces).await.unwrap();
    assert_eq!(pieces[0].sequence, Sequence(2));
    writer.sync().await.unwrap();
    assert_eq!(visible(&log, 2).await[0].3, b"b");
}

/// A failure that is not for space comes again until the writer is taken again; nothing of it is
/// taken.
pub async fn check_failed_writer<P: Provider>(provider: &P) {
    let log = provider.create(&start()).await;
    let mut writer = log.writer().await.unwrap();
    let mut wrong = [
        piece(1, b"a", true),
        Piece {
            transaction: "nonsense".to_owned(),
            ..piece(2, b"b", true)
        },
    ];
    same_kind(writer.append(&mut wrong).await, code::BUG.number(), Class::Bug);
    same_kind(
        writer.append(&mut [piece(1, b"a", true)]).await,
        code::BUG.number(),
        Class::Bug,
    );
    same_kind(writer.sync().await, code::BUG.number(), Class::Bug);
    drop(writer);
    let mut writer = log.writer().await.unwrap();
    assert_eq!(writer.sync().await.unwrap(), Sequence::ZERO);
    same_kind(
        writer.append(&mut [piece(0, b"a repeat", true)]).await,
        code::BUG.number(),
        Class::Bug,
    );
}

/// What is trimmed is refused by name, and nothing else is lost.
pub async fn check_trim<P: Provider>(provider: &P) {
    let log = provider.create(&start()).await;
    let mut writer = log.writer().await.unwrap();
    for number in 1..=50 {
        writer
            .append(&mut [piece(number, &[1; 400], true)])
            .await
            .unwrap();
        writer.sync().await.unwrap();
    }
    let before = log.usage();
    log.trim(Sequence(30)).await.unwrap();
    let after = log.usage();
    assert!(after.oldest <= Sequence(30) && after.bytes <= before.bytes && after.durable == Sequence(50));
    assert_eq!(
        visible(&log, after.oldest.0).await.len() as u64,
        51 - after.oldest.0
    );
    if after.oldest > Sequence(1) {
        let failure = log.reader(Sequence(after.oldest.0 - 1)).await.map(drop);
        let failure = same_kind(failure, code::LOG_CORRUPT.number(), Class::StopMigration);
        assert!(
            failure.to_string().contains(&after.oldest.to_string()),
            "{failure}"
        );
    }
}

/// Readers beside a writer see everything once and in order, although their calls are dropped all
/// the time.
pub async fn check_concurrent_readers<P: Provider>(provider: &P) {
    const TRANSACTIONS: u64 = 400;
    let log = provider.create(&start()).await;
    let mut writer = log.writer().await.unwrap();
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut reader = log.reader(Sequence(1)).await.unwrap();
        readers.push(tokio::spawn(async move {
            let mut next = (1, 0);
            while next.0 <= TRANSACTIONS {
                let piece = tokio::select! {
                    biased;
                    piece = reader.try_next() => piece.unwrap(),
                    () = tokio::task::yield_now() => continue,
                };
                let Some(piece) = piece else {
                    if is_pending(reader.readable()).await {
                        reader.readable().await.unwrap();
                    }
                    continue;
                };
                assert_eq!((piece.sequence.0, piece.number), next);
                next = if piece.last {
                    (next.0 + 1, 0)
                } else {
                    (next.0, next.1 + 1)
                };
            }
        }));
    }
    for number in 1..=TRANSACTIONS {
        let body = vec![7; usize::try_from(number % 90).unwrap() * 10];
        writer
            .append(&mut [piece(number, &body, false), piece(number, b"end", true)])
            .await
            .unwrap();
        if number % 7 == 0 || number == TRANSACTIONS {
            writer.sync().await.unwrap();
        }
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

/// A start for a position leaves nothing out that the position lacks, is not later than its own
/// position says, and rises with it.
pub async fn check_start_for<P: Provider>(provider: &P) {
    const TRANSACTIONS: u64 = 60;
    let log = provider.create(&start()).await;
    let mut writer = log.writer().await.unwrap();
    for number in 1..=TRANSACTIONS {
        writer
            .append(&mut [piece(number, &[7; 300], true)])
            .await
            .unwrap();
        writer.sync().await.unwrap();
    }
    let mut last = Sequence::ZERO;
    for number in 0..=TRANSACTIONS {
        let position = Position::parse(&format!("mariadb:0-1-{}", 100 + number)).unwrap();
        let (first, before) = log.start_for(&position).await.unwrap();
        assert!(
            first <= Sequence(number + 1),
            "{first} leaves out what {position} lacks"
        );
        assert_eq!(before, log.bookmark_before(first).await.unwrap());
        assert!(position.contains_all(&before.position).unwrap());
        assert!(first >= last, "{first} after {last}");
        last = first;
    }
    // One that is before the beginning gets all there is; one of another kind of source is no
    // position of this history.
    let early = Position::parse("mariadb:0-1-5").unwrap();
    assert_eq!(log.start_for(&early).await.unwrap(), (Sequence(1), start()));
    let foreign = Position::parse("mysql:3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5").unwrap();
    let refused = log.start_for(&foreign).await;
    same_kind(refused, code::HISTORY_CHANGED.number(), Class::StopMigration);
}

/// A dropped `sync` loses or repeats nothing if capture continues where a new writer finds the end.
pub async fn check_cancelled_sync<P: Provider>(provider: &P) {
    let log = provider.create(&start()).await;
    for _ in 0..60 {
        let mut writer = log.writer().await.unwrap();
        let (Sequence(reached), bookmark) = log.end().await.unwrap();
        assert_eq!(bookmark, behind(100 + reached));
        let body = (reached + 1).to_le_bytes();
        writer
            .append(&mut [piece(reached + 1, &body, true)])
            .await
            .unwrap();
        let dropped = is_pending(writer.sync()).await;
        assert!(dropped || log.usage().durable == Sequence(reached + 1));
    }
    drop(log.writer().await.unwrap());
    let reached = log.end().await.unwrap().0;
    let bodies: Vec<_> = visible(&log, 1)
        .await
        .into_iter()
        .map(|(sequence, .., body)| (sequence, body))
        .collect();
    let expected: Vec<_> = (1..=reached.0)
        .map(|sequence| (sequence, sequence.to_le_bytes().to_vec()))
        .collect();
    assert_eq!(bodies, expected);
}
