//! What every `HistorySource` must do, and every stream: a history is recognised by its last
//! transactions, not by its numbers.

use spanferry_core::port::source::{ChangeSource, ChangeStream, HistorySource, PositionSource};
use spanferry_core::position::{Bookmark, ContentDigest, Witness};
use spanferry_core::report::code::{self, Code};
use spanferry_core::report::failure::Class;

use super::model::{Assembly, Captured, capture};
use super::{A, B, Bench, C, Subject, in_time};

pub(super) async fn check<S: Subject>(subject: &S) {
    check_bookmarks(subject).await;
    check_other_history(subject).await;
    check_beside_a_stream(subject).await;
}

/// The transaction as its last piece carries it.
fn witness(transaction: &Captured) -> Witness {
    let last = transaction.pieces.last().expect("a transaction has a piece");
    Witness::parse(&last.transaction).unwrap()
}

/// Transactions behind the beginning, each of which touches another table.
async fn written<S: Subject>(bench: &mut Bench<S>) -> Vec<Captured> {
    for (key, table) in [(1, A), (2, B), (3, C)] {
        bench.insert(table, &[[key, key, key]]).await;
    }
    capture(&bench.source, &bench.start).await
}

/// A bookmark has what the stream brought last, also while the history grows; and the stream that
/// is opened behind it brings what follows, without what proved it.
async fn check_bookmarks<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let whole = written(&mut bench).await;
    let mut reached = bench.beginning();
    for (number, transaction) in whole.iter().enumerate() {
        reached.advance(witness(transaction)).unwrap();
        let found = bench.source.bookmark(&reached.position).await.unwrap();
        assert_eq!(found.position, reached.position);
        assert_eq!(found.witnesses.newest(), reached.witnesses.newest(), "{reached}");
        bench.source.prove(&reached).await.unwrap();
        let rest = follow(&bench.source, &reached, whole.len() - number - 1).await;
        assert_eq!(rest, whole[number + 1..], "after {reached}");
    }
    assert_eq!(Bookmark::parse(&reached.to_string()).as_ref(), Ok(&reached));
}

/// So many transactions behind a bookmark.
async fn follow<S: ChangeSource>(source: &S, after: &Bookmark, count: usize) -> Vec<Captured> {
    let mut stream = ChangeSource::open_stream(source, after).await.unwrap();
    let mut assembly = Assembly::new(&after.position);
    in_time("a stream that was proved", async {
        while assembly.whole.len() < count {
            let mut pieces = Vec::new();
            stream.next(&mut pieces, 1 << 20).await.unwrap();
            assembly.take(pieces);
        }
    })
    .await;
    assembly.whole
}

/// Neither a stream nor a proof is to be had.
async fn refused<S: HistorySource + ChangeSource>(source: &S, known: &Bookmark, expected: Code) {
    let opened = ChangeSource::open_stream(source, known).await.map(|_| ());
    for failure in [opened.unwrap_err(), source.prove(known).await.unwrap_err()] {
        assert_eq!(
            (failure.code, failure.class),
            (expected, Class::StopMigration),
            "{known}: {failure}"
        );
    }
}

/// The same numbers with another last transaction are another history.
async fn check_other_history<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let whole = written(&mut bench).await;
    let mut own = bench.beginning();
    for transaction in &whole[..2] {
        own.advance(witness(transaction)).unwrap();
    }
    let changes: [fn(&mut Witness); 2] = [
        |witness| witness.committed_at_us += 1_000_000,
        |witness| {
            if let Some(ContentDigest(content)) = &mut witness.content {
                *content ^= 1;
            } else {
                witness.committed_at_us += 1;
            }
        },
    ];
    for change in changes {
        let mut other = Bookmark::unproved(own.position.clone());
        let mut last = own.witnesses.newest().unwrap().clone();
        change(&mut last);
        other.witnesses.push(last);
        refused(&bench.source, &other, code::HISTORY_CHANGED).await;
    }
    bench.source.prove(&own).await.unwrap();
}

/// A proof and a bookmark leave an open stream alone.
async fn check_beside_a_stream<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    bench.insert(A, &[[1, 1, 1]]).await;
    let position = bench.source.position().await.unwrap();
    let mut stream = ChangeSource::open_stream(&bench.source, &bench.beginning())
        .await
        .unwrap();
    let mut assembly = Assembly::new(&bench.start);
    for key in 2..5 {
        let known = bench.source.bookmark(&position).await.unwrap();
        bench.source.prove(&known).await.unwrap();
        bench.insert(A, &[[key, 1, 1]]).await;
        let end = bench.source.position().await.unwrap();
        in_time("a stream beside a proof", async {
            while !assembly.has_reached(&end) {
                let mut pieces = Vec::new();
                stream.next(&mut pieces, 1).await.unwrap();
                assembly.take(pieces);
            }
        })
        .await;
    }
    assert_eq!(assembly.whole, capture(&bench.source, &bench.start).await);
}

/// What the source has forgotten proves nothing any more, though the stream could continue behind
/// it.
pub(super) async fn check_purged<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let whole = written(&mut bench).await;
    let mut reached = bench.beginning();
    for transaction in &whole {
        reached.advance(witness(transaction)).unwrap();
    }
    subject.purge().await;
    let found = bench.source.bookmark(&reached.position).await.unwrap();
    assert_eq!(found, Bookmark::unproved(reached.position.clone()));
    refused(&bench.source, &reached, code::HISTORY_UNPROVED).await;
    bench.insert(A, &[[9, 9, 9]]).await;
    refused(&bench.source, &reached, code::HISTORY_UNPROVED).await;
    let rest = capture(&bench.source, &reached.position).await;
    assert_eq!(rest.len(), 1);
    reached.advance(witness(&rest[0])).unwrap();
    bench.source.prove(&reached).await.unwrap();
}
