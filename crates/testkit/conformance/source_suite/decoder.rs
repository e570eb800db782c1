//! What every `ChangeDecoder` must do: the same pieces give the same changes, wherever it begins,
//! and a stop stops one table.

use std::sync::Arc;

use spanferry_core::port::source::{ChangeDecoder, ChangeSource, PositionSource};
use spanferry_core::report::code;
use spanferry_core::report::failure::Class;

use super::model::{Captured, Recorded, Recorder, capture, decode, recorded_since};
use super::reading::narrow;
use super::{A, B, Bench, C, Statement, Subject, Writer, delete, insert, update};

pub(super) async fn check<S: Subject>(subject: &S) {
    check_purity(subject).await;
    check_tables(subject).await;
    check_pieces(subject).await;
    check_refused(subject).await;
    check_statements(subject).await;
}

/// Transactions on two tables; every row of them is handed on.
async fn written<S: Subject>(bench: &mut Bench<S>) -> Vec<Captured> {
    for key in 0..5 {
        bench
            .writer
            .commit(&[insert(A, [key, 1, 1]), insert(B, [key, 1, 1])])
            .await;
        bench.writer.commit(&[update(A, key, [key + 100, 2, 2])]).await;
        bench
            .writer
            .commit(&[delete(B, key), update(A, key + 100, [key, 3, 3])])
            .await;
    }
    capture(&bench.source, &bench.start).await
}

/// One transaction after another or each by a decoder of its own: the changes are the same.
async fn check_purity<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let transactions = written(&mut bench).await;
    let mut warm = bench.source.decoder(&bench.plans);
    let told: Vec<Vec<Recorded>> = transactions
        .iter()
        .map(|one| decode(&mut warm, std::slice::from_ref(one)))
        .collect();
    assert!(told.iter().all(|told| !told.is_empty()));
    for first in 0..transactions.len() {
        let mut fresh = bench.source.decoder(&bench.plans);
        assert_eq!(decode(&mut fresh, &transactions[first..]), told[first..].concat());
    }
    // Backwards too: nothing is kept of what came before.
    for (transaction, told) in transactions.iter().zip(&told).rev() {
        assert_eq!(&decode(&mut warm, std::slice::from_ref(transaction)), told);
    }
}

/// What is no table of the decoder's is passed over.
async fn check_tables<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let transactions = written(&mut bench).await;
    let mut all = decode(&mut bench.source.decoder(&bench.plans), &transactions);
    let some = decode(&mut bench.source.decoder(&bench.plans[..B]), &transactions);
    all.retain(|told| {
        matches!(
            told,
            Recorded::Upsert(0, _) | Recorded::Relocate(0, ..) | Recorded::Delete(0, _)
        )
    });
    assert_eq!(some, all);
    assert_eq!(decode(&mut bench.source.decoder(&[]), &transactions), []);
}

/// A piece names its transaction. One that names none, or whose bytes are none, ends everything,
/// and a half one leaves no trace.
async fn check_pieces<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let rows: Vec<_> = (0..subject.rows_of_many_pieces()).map(|id| [id, 0, 0]).collect();
    bench.insert(C, &rows).await;
    let transactions = written(&mut bench).await;
    let mut decoder = bench.source.decoder(&bench.plans);
    for transaction in &transactions {
        for piece in &transaction.pieces {
            assert_eq!(decoder.transaction(piece).unwrap().id, transaction.id);
        }
    }
    let told = decode(&mut bench.source.decoder(&bench.plans), &transactions);
    let half = &transactions[0].pieces[..1];
    assert!(half.len() < transactions[0].pieces.len());
    let half = Captured {
        id: transactions[0].id.clone(),
        pieces: half.to_vec(),
    };
    drop(decode(&mut decoder, &[half]));
    assert!(
        decode(&mut decoder, &transactions) == told,
        "a half transaction leaves something"
    );

    let mut nameless = transactions[1].pieces[0].clone();
    nameless.transaction = "none".to_owned();
    let failure = decoder.transaction(&nameless).unwrap_err();
    assert_eq!(failure.class, Class::StopMigration);
    let mut damaged = transactions[1].pieces[0].clone();
    damaged.body = b"\xff".to_vec();
    let failure = decoder.decode(&damaged, &mut Recorder::default()).unwrap_err();
    assert_eq!(failure.class, Class::StopMigration);
}

/// A refused value stops its table: its changes are passed from there on, each counted. The other's
/// changes in the same transaction are handed on all the same.
async fn check_refused<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let mut plans = bench.plans.clone();
    plans[A] = narrow(&plans[A]);
    for changes in [
        vec![insert(A, [1, 0, 999]), insert(B, [1, 0, 1_000])],
        vec![
            insert(A, [2, 0, 1_000]),
            insert(A, [3, 0, 1]),
            insert(B, [2, 0, 1_000]),
        ],
    ] {
        bench.writer.commit(&changes).await;
    }
    let expected = [
        Recorded::Upsert(0, [1, 0, 999]),
        Recorded::Upsert(1, [1, 0, 1_000]),
        Recorded::Stop(0, code::VALUE_REFUSED),
        Recorded::Pass(0, 2),
        Recorded::Upsert(1, [2, 0, 1_000]),
    ];
    assert_eq!(
        recorded_since(&bench.source, &plans, &bench.start).await,
        expected
    );
}

/// A statement that changes rows or their form stops its table at its transaction; one that does
/// not is worth a notice.
async fn check_statements<S: Subject>(subject: &S) {
    let stop = Recorded::Stop(0, code::DDL_SEEN);
    for (statement, expected) in [
        (Statement::AddIndex(A), Recorded::Notice(code::DDL_SEEN)),
        (Statement::CreateTable, Recorded::Notice(code::TABLE_CREATED)),
        (Statement::Truncate(A), stop.clone()),
        (Statement::ChangeColumn(A), stop),
    ] {
        let mut bench = Bench::new(subject).await;
        bench.insert(A, &[[1, 1, 1]]).await;
        subject.run(statement).await;
        bench.insert(B, &[[2, 2, 2]]).await;
        let told = recorded_since(&bench.source, &bench.plans, &bench.start).await;
        let expected = [
            Recorded::Upsert(0, [1, 1, 1]),
            expected,
            Recorded::Upsert(1, [2, 2, 2]),
        ];
        assert_eq!(told, expected, "{statement:?}");
        let transactions = capture(&bench.source, &bench.start).await;
        let mut decoder = bench.source.decoder(&[Arc::clone(&bench.plans[A])]);
        let told = decode(&mut decoder, &transactions[1..2]);
        assert_eq!(told, expected[1..2], "the statement is a transaction of its own");
        assert!(bench.source.holds(&bench.start).await.unwrap());
    }
}
