//! What every `ChangeSource` and its streams must do: each transaction behind a position once,
//! whole and in order.

use std::time::Duration;

use spanferry_core::port::change_log::Piece;
use spanferry_core::port::source::{ChangeSource, ChangeStream, HistorySource, PositionSource};
use spanferry_core::position::{Bookmark, Position};
use spanferry_core::report::code::{self, Code};
use spanferry_core::report::failure::Class;

use super::model::{Assembly, Captured, Recorded, capture, decode, recorded_since};
use super::schema::strangers;
use super::{
    A, B, Bench, C, Change, GIVEN_UP_AFTER_MS, Row, Subject, Writer, delete, in_time, insert, update,
};

/// Longest that a call of `next` is waited for before it is dropped; the first is dropped after a
/// millisecond.
const DROPPED_AFTER_MAX: Duration = Duration::from_secs(8);

pub(super) async fn check<S: Subject>(subject: &S) {
    check_stream(subject).await;
    check_resume(subject).await;
    check_pieces(subject).await;
    check_dropped_calls(subject).await;
    check_dropped_openings(subject).await;
    check_idle(subject).await;
    check_lost(subject).await;
    check_history(subject).await;
    check_reservation(subject).await;
}

/// Transactions of all forms, and the changes that they bring.
fn transactions() -> Vec<(Vec<Change>, Vec<Recorded>)> {
    let (one, two, three): (Row, Row, Row) = ([1, 10, 0], [2, 20, 0], [3, 30, 0]);
    vec![
        (vec![insert(A, one)], vec![Recorded::Upsert(0, one)]),
        (
            vec![insert(B, one), insert(A, two), insert(C, three)],
            vec![
                Recorded::Upsert(1, one),
                Recorded::Upsert(0, two),
                Recorded::Upsert(2, three),
            ],
        ),
        (
            vec![update(A, 1, [1, 11, 1]), update(A, 2, [7, 20, 0])],
            vec![
                Recorded::Upsert(0, [1, 11, 1]),
                Recorded::Relocate(0, 2, [7, 20, 0]),
            ],
        ),
        // A key that is left, taken by another row, and left again.
        (
            vec![
                update(A, 7, [8, 1, 1]),
                update(A, 1, [7, 1, 1]),
                delete(A, 7),
                insert(A, two),
            ],
            vec![
                Recorded::Relocate(0, 7, [8, 1, 1]),
                Recorded::Relocate(0, 1, [7, 1, 1]),
                Recorded::Delete(0, 7),
                Recorded::Upsert(0, two),
            ],
        ),
        (
            vec![delete(B, 1), insert(B, one), delete(C, 3)],
            vec![
                Recorded::Delete(1, 1),
                Recorded::Upsert(1, one),
                Recorded::Delete(2, 3),
            ],
        ),
    ]
}

/// The stream brings every transaction that was committed, in order, and nothing of one that was
/// not.
async fn check_stream<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let mut expected = Vec::new();
    for (changes, told) in transactions() {
        bench
            .writer
            .roll_back(&[insert(A, [99, 0, 0]), insert(B, [99, 0, 0])])
            .await;
        bench.writer.commit(&changes).await;
        expected.extend(told);
    }
    assert_eq!(
        recorded_since(&bench.source, &bench.plans, &bench.start).await,
        expected
    );
    assert_eq!(
        capture(&bench.source, &bench.start).await.len(),
        transactions().len()
    );
}

/// Every whole transaction is a place to continue from: what follows is the same, nothing is
/// missing and nothing comes twice.
async fn check_resume<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    for (changes, _) in transactions() {
        bench.writer.commit(&changes).await;
    }
    let whole = capture(&bench.source, &bench.start).await;
    let mut reached = bench.start.clone();
    for (number, transaction) in whole.iter().enumerate() {
        reached.advance(&transaction.id).unwrap();
        let rest = capture(&subject.source(), &reached).await;
        assert_eq!(rest, whole[number + 1..], "after {reached}");
    }
    assert_eq!(reached, bench.source.position().await.unwrap());
}

/// What is reserved is there until it is acknowledged; what is acknowledged is not asked for again.
/// Every call may be repeated.
async fn check_reservation<S: Subject>(subject: &S) {
    const MIGRATION: &str = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
    let mut bench = Bench::new(subject).await;
    for _ in 0..2 {
        bench.source.reserve(MIGRATION).await.unwrap();
    }
    let beginning = bench.source.position().await.unwrap();
    bench.insert(A, &[[1, 1, 1]]).await;
    bench.insert(A, &[[2, 2, 2]]).await;
    let whole = capture(&bench.source, &beginning).await;
    assert_eq!(whole.len(), 2, "everything behind the reservation is there");
    let mut durable = beginning.clone();
    let mut stream = bench
        .source
        .open_stream(&Bookmark::unproved(beginning))
        .await
        .unwrap();
    for transaction in &whole {
        durable.advance(&transaction.id).unwrap();
        for _ in 0..2 {
            stream.acknowledge(&durable).await.unwrap();
        }
    }
    drop(stream);
    bench.insert(A, &[[3, 3, 3]]).await;
    let rest = capture(&bench.source, &durable).await;
    assert_eq!(rest.len(), 1, "what is not acknowledged comes");
    let other = subject.source();
    for _ in 0..2 {
        other.release(MIGRATION).await.unwrap();
    }
    // Another migration may begin.
    other.reserve(MIGRATION).await.unwrap();
    assert_eq!(capture(&other, &durable).await, rest);
}

/// A huge transaction comes in pieces, as many at a time as are asked for; abandoned in the middle,
/// it comes again as a whole.
async fn check_pieces<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let rows: Vec<Row> = (0..subject.rows_of_many_pieces())
        .map(|id| [id, id, id])
        .collect();
    bench.insert(B, &[[1, 1, 1]]).await;
    bench.insert(A, &rows).await;
    bench.insert(B, &[[2, 2, 2]]).await;
    let mut assembly = Assembly::new(&bench.start);
    let mut stream = ChangeSource::open_stream(&bench.source, &bench.beginning())
        .await
        .unwrap();
    in_time("a huge transaction", async {
        while assembly.open.len() < 2 {
            assert!(
                assembly.whole.len() < 2,
                "the huge transaction comes in less than three pieces"
            );
            assembly.take(next_within(&mut stream, 1).await);
        }
    })
    .await;
    drop(stream);
    let whole = capture(&bench.source, &bench.start).await;
    assert_eq!(assembly.whole, whole[..1]);
    assert_eq!(assembly.open, whole[1].pieces[..assembly.open.len()]);
    assert_eq!(capture(&bench.source, &assembly.reached).await, whole[1..]);

    let mut expected = vec![Recorded::Upsert(1, [1, 1, 1])];
    expected.extend(rows.into_iter().map(|row| Recorded::Upsert(0, row)));
    expected.push(Recorded::Upsert(1, [2, 2, 2]));
    let told = decode(&mut bench.source.decoder(&bench.plans), &whole);
    // Not by `assert_eq`: its message would have all the rows.
    assert!(
        told == expected,
        "{} changes instead of {}",
        told.len(),
        expected.len()
    );
}

/// One call, which may pass the bound by its last piece only.
async fn next_within<S: ChangeStream>(stream: &mut S, bytes_max: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    stream.next(&mut pieces, bytes_max).await.unwrap();
    let but_last = pieces.iter().rev().skip(1).map(|piece| piece.body.len());
    assert!(but_last.sum::<usize>() < bytes_max, "{} pieces", pieces.len());
    pieces
}

/// Calls that are dropped lose nothing, wherever they are dropped.
async fn check_dropped_calls<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let mut stream = ChangeSource::open_stream(&bench.source, &bench.beginning())
        .await
        .unwrap();
    let write = async {
        for (changes, _) in transactions() {
            bench.writer.commit(&changes).await;
        }
    };
    let expected = transactions().len();
    let mut assembly = Assembly::new(&bench.start);
    let follow = async {
        let mut patience = Duration::from_millis(1);
        while assembly.whole.len() < expected {
            let mut pieces = Vec::new();
            let outcome = tokio::time::timeout(patience, stream.next(&mut pieces, 1)).await;
            patience = (patience * 2).min(DROPPED_AFTER_MAX);
            if let Ok(outcome) = outcome {
                outcome.unwrap();
                patience = Duration::from_millis(1);
            }
            assembly.take(pieces);
        }
    };
    in_time("a stream whose calls are dropped", async {
        tokio::join!(write, follow)
    })
    .await;
    assert_eq!(assembly.whole, capture(&bench.source, &bench.start).await);
}

/// An opening that is dropped takes nothing away from the next.
async fn check_dropped_openings<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    for (changes, told) in transactions() {
        let before = bench.source.position().await.unwrap();
        let known = bench.source.bookmark(&before).await.unwrap();
        bench.writer.commit(&changes).await;
        for patience in GIVEN_UP_AFTER_MS.map(Duration::from_millis) {
            let opening = ChangeSource::open_stream(&bench.source, &known);
            drop(tokio::time::timeout(patience, opening).await);
        }
        assert_eq!(recorded_since(&bench.source, &bench.plans, &before).await, told);
    }
}

/// A source that has nothing new reports that, and the stream continues.
async fn check_idle<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let mut stream = ChangeSource::open_stream(&bench.source, &bench.beginning())
        .await
        .unwrap();
    let pieces = in_time("an idle stream", next_within(&mut stream, 1)).await;
    assert_eq!(pieces, []);
    bench.insert(A, &[[1, 1, 1]]).await;
    let mut assembly = Assembly::new(&bench.start);
    in_time("a stream after its idleness", async {
        while assembly.whole.is_empty() {
            assembly.take(next_within(&mut stream, 1).await);
        }
    })
    .await;
}

/// A stream whose connection is cut fails, to be opened again behind the last whole transaction.
async fn check_lost<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let mut stream = ChangeSource::open_stream(&bench.source, &bench.beginning())
        .await
        .unwrap();
    bench.insert(A, &[[1, 1, 1]]).await;
    subject.disconnect().await;
    subject.writer().await.commit(&[insert(A, [2, 2, 2])]).await;
    let mut assembly = Assembly::new(&bench.start);
    let failure = in_time("a stream that was cut", async {
        loop {
            let mut pieces = Vec::new();
            let outcome = stream.next(&mut pieces, 1).await;
            assembly.take(pieces);
            if let Err(failure) = outcome {
                return failure;
            }
        }
    })
    .await;
    assert!(matches!(failure.class, Class::Retry { .. }), "{failure:?}");
    let mut whole: Vec<Captured> = assembly.whole;
    whole.extend(capture(&bench.source, &assembly.reached).await);
    assert_eq!(whole, capture(&bench.source, &bench.start).await);
}

/// Opens a stream that must be refused, at once and for good.
async fn refused<S: ChangeSource>(source: &S, after: &Position, expected: Code) {
    let opened = ChangeSource::open_stream(source, &Bookmark::unproved(after.clone())).await;
    let failure = opened.map(|_| after).unwrap_err();
    assert_eq!(
        (failure.code, failure.class),
        (expected, Class::StopMigration),
        "{after}"
    );
}

/// A position that the source does not hold is another history.
async fn check_history<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    bench.insert(A, &[[1, 1, 1]]).await;
    for after in strangers(&bench).await {
        refused(&bench.source, &after, code::HISTORY_CHANGED).await;
    }
}

/// A position that the source has forgotten is reported; one behind it is not affected.
pub(super) async fn check_purged<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    bench.insert(A, &[[1, 1, 1]]).await;
    let reached = bench.source.position().await.unwrap();
    subject.purge().await;
    bench.insert(A, &[[2, 2, 2]]).await;
    refused(&bench.source, &bench.start, code::POSITION_PURGED).await;
    assert!(
        bench.source.holds(&bench.start).await.unwrap(),
        "it is part of the history all the same"
    );
    let told = recorded_since(&bench.source, &bench.plans, &reached).await;
    assert_eq!(told, [Recorded::Upsert(0, [2, 2, 2])]);
}
