//! What every `SnapshotSource` must do: sessions that each see one state between `low` and `high`,
//! and hold no statement up.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::{
    ChangeSource, HistorySource, PositionSource, ReadRows, ReadStatus, Snapshot, SnapshotMethod,
    SnapshotSession, SnapshotSource,
};
use spanferry_core::position::{Bookmark, Position, TransactionId};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};

use super::model::{Recorded, State, capture, decode, range, read, seen};
use super::{
    A, B, Bench, C, End, GIVEN_UP_AFTER_MS, Row, Statement, Subject, Writer, delete, in_time, insert, open,
};

/// Sessions of each snapshot.
const SESSIONS: usize = 3;
/// Snapshots opened under writers, with and without a lock.
const ROUNDS: usize = 5;
/// Longest that the opening of a snapshot may hold writers up.
const LOCKED_MAX: Duration = Duration::from_secs(1);
/// Every so many transactions of a writer are taken back.
const TAKEN_BACK: i64 = 4;
/// Rows of a table whose range is left open: more than one call brings.
const ROWS: i64 = 50;

pub(super) async fn check<S: Subject>(subject: &S) {
    check_opening(subject).await;
    check_mismatch(subject).await;
    check_lost(subject).await;
    check_ddl(subject).await;
    check_dropped(subject).await;
}

/// How snapshots open: this depends on what the account may do.
pub async fn check_opening<S: Subject>(subject: &S) {
    check_consistency(subject).await;
    check_standstill(subject).await;
    check_open_transaction(subject).await;
}

fn rows() -> Vec<Row> {
    (0..ROWS).map(|id| [id, -id, id % 7]).collect()
}

/// What the sessions of one snapshot saw.
struct Seen {
    low: Position,
    /// As the source shows it while the sessions are open.
    high: Bookmark,
    states: Vec<State>,
}

/// A lock is held only where it was asked for, and never long. Beside writers it may be refused.
fn expect_method(method: SnapshotMethod, may_lock: bool) {
    match method {
        SnapshotMethod::Unlocked | SnapshotMethod::Exported => {}
        SnapshotMethod::Locked { held } => assert!(may_lock && held < LOCKED_MAX, "{method:?}"),
    }
}

async fn look<S: Subject>(subject: &S, bench: &Bench<S>, lock: bool) -> Seen {
    let opening = open(&bench.source, &bench.plans, SESSIONS, lock);
    let mut snapshot = in_time("a snapshot", opening).await.unwrap();
    assert_eq!(snapshot.sessions.len(), SESSIONS);
    expect_method(snapshot.method, lock && subject.locks());
    let high = bench.source.bookmark(&snapshot.high).await.unwrap();
    let mut states = Vec::new();
    for session in &mut snapshot.sessions {
        states.push(seen(session, &bench.plans).await);
    }
    if snapshot.method != SnapshotMethod::Unlocked {
        let is_one = states.iter().all(|state| *state == states[0]);
        assert!(
            is_one,
            "no session writes under a lock, and an exported state is one"
        );
    }
    if snapshot.method == SnapshotMethod::Exported {
        assert_eq!(snapshot.low, snapshot.high, "an exported state has one position");
    }
    Seen {
        low: snapshot.low,
        high,
        states,
    }
}

/// Writes one key a transaction into two tables, every `of`-th from `first` on, until it is
/// stopped.
async fn write<W: Writer>(writer: &mut W, first: usize, of: usize, stopped: &Cell<bool>) {
    for key in (i64::try_from(first).unwrap()..).step_by(of) {
        if stopped.get() {
            return;
        }
        let changes = [insert(A, [key, 0, 0]), insert(B, [key, 0, 0])];
        if key % TAKEN_BACK == 0 {
            writer.roll_back(&changes).await;
        } else {
            writer.commit(&changes).await;
        }
    }
}

/// Under writers each session sees whole transactions: at least those of `low`, at most those of
/// `high`.
async fn check_consistency<S: Subject>(subject: &S) {
    let bench = Bench::new(subject).await;
    let stopped = Cell::new(false);
    let one = &mut subject.writer().await;
    let two = &mut subject.writer().await;
    let three = &mut subject.writer().await;
    let open = async {
        let mut found = Vec::new();
        for _ in 0..ROUNDS {
            found.push(look(subject, &bench, true).await);
            found.push(look(subject, &bench, false).await);
        }
        stopped.set(true);
        found
    };
    let (found, (), (), ()) = in_time("snapshots under writers", async {
        tokio::join!(
            open,
            write(one, 1, 3, &stopped),
            write(two, 2, 3, &stopped),
            write(three, 3, 3, &stopped),
        )
    })
    .await;
    let written = written(&bench).await;
    assert!(written.len() > found.len(), "there was hardly anything to see");
    for Seen { low, high, states } in &found {
        assert!(!high.witnesses.is_empty(), "{high}");
        bench.source.prove(high).await.unwrap();
        let high = &high.position;
        let [least, most] = [low, high].map(|position| {
            let contained = written.iter().filter(|(id, _)| position.contains(id).unwrap());
            contained.map(|(_, key)| *key).collect::<BTreeSet<i64>>()
        });
        for state in states {
            let [in_a, in_b] = [A, B].map(|table| keys(state, table));
            assert_eq!(in_a, in_b, "half a transaction");
            assert!(least.is_subset(&in_a), "{low}: {least:?} in {in_a:?}");
            assert!(in_a.is_subset(&most), "{high}: {in_a:?} in {most:?}");
        }
    }
}

/// Each transaction of the writers with its key, as the stream brings them.
async fn written<S: Subject>(bench: &Bench<S>) -> Vec<(TransactionId, i64)> {
    let mut decoder = bench.source.decoder(&bench.plans);
    let transactions = capture(&bench.source, &bench.start).await;
    let written = transactions.into_iter().map(|transaction| {
        let told = decode(&mut decoder, std::slice::from_ref(&transaction));
        let [Recorded::Upsert(0, row), Recorded::Upsert(1, _)] = told[..] else {
            panic!("expected a row for each table, found {told:?}")
        };
        (transaction.id, row[0])
    });
    written.collect()
}

fn keys(state: &State, table: usize) -> BTreeSet<i64> {
    let keys = state.keys().filter(|(of, _)| *of as usize == table);
    keys.map(|(_, key)| *key).collect()
}

/// While there are no writes, all sessions stand at the one position; what is written later they do
/// not see.
async fn check_standstill<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    bench.insert(A, &rows()).await;
    let (plan, later) = (&bench.plans[A].clone(), [ROWS, 0, 0]);
    for lock in [true, false] {
        let position = bench.source.position().await.unwrap();
        let opening = open(&bench.source, &bench.plans, SESSIONS, lock);
        let mut snapshot = opening.await.unwrap();
        assert_eq!((&snapshot.low, &snapshot.high), (&position, &position));
        let is_locked = matches!(snapshot.method, SnapshotMethod::Locked { .. });
        assert_eq!(is_locked, lock && subject.locks(), "{:?}", snapshot.method);
        bench.insert(A, &[later]).await;
        for session in &mut snapshot.sessions {
            for _ in 0..2 {
                assert_eq!(read(session, plan, &range(plan, None, None)).await, rows());
            }
        }
        bench.writer.commit(&[delete(A, ROWS)]).await;
    }
}

/// Transactions that are open while the sessions open are in none of them: one that is committed
/// then is in the stream behind `high`.
async fn check_open_transaction<S: Subject>(subject: &S) {
    let bench = Bench::new(subject).await;
    let mut writers = [subject.writer().await, subject.writer().await];
    for (key, writer) in (0..).zip(&mut writers) {
        writer
            .begin(&[insert(A, [key, 0, 0]), insert(B, [key, 0, 0])])
            .await;
    }
    let opening = open(&bench.source, &bench.plans, SESSIONS, true);
    let opened = in_time("a snapshot beside open transactions", opening).await;
    let mut snapshot = opened.unwrap();
    let [committed, taken_back] = &mut writers;
    committed.end(End::Commit).await;
    taken_back.end(End::RollBack).await;
    for session in &mut snapshot.sessions {
        assert_eq!(seen(session, &bench.plans).await, State::new());
    }
    let behind = capture(&bench.source, &snapshot.high).await;
    let told = decode(&mut bench.source.decoder(&bench.plans), &behind);
    assert_eq!(
        told,
        [Recorded::Upsert(0, [0, 0, 0]), Recorded::Upsert(1, [0, 0, 0])]
    );
}

/// A table that is not what its plan says is named, and stops nothing but itself.
async fn check_mismatch<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    bench.insert(A, &rows()).await;
    subject.run(Statement::ChangeColumn(B)).await;
    for lock in [true, false] {
        let opened = open(&bench.source, &bench.plans, 1, lock).await;
        let failure = opened.map(|snapshot| snapshot.low).unwrap_err();
        assert_eq!(
            (failure.code, failure.class),
            (code::SCHEMA_MISMATCH, Class::StopTable)
        );
        assert_eq!(failure.object, subject.tables()[B]);
        // The others are none the worse.
        let others = &bench.plans[A..=A];
        let mut snapshot = open(&bench.source, others, 1, lock).await.unwrap();
        let whole = range(&others[0], None, None);
        assert_eq!(read(&mut snapshot.sessions[0], &others[0], &whole).await, rows());
    }
}

fn is_lost(failure: &Failure) -> bool {
    failure.code == code::SNAPSHOT_LOST && matches!(failure.class, Class::Retry { .. })
}

/// Reads on until the session fails.
async fn read_to_failure<S: SnapshotSession>(session: &mut S) -> Failure {
    let mut rows = ReadRows::default();
    let reading = async {
        loop {
            match session.read(&mut rows, 1, 1 << 20).await {
                Ok(ReadStatus::More) => assert_eq!(rows.rows.len(), 1),
                Ok(ReadStatus::End) => panic!("the range ended as if it were whole"),
                Err(failure) => return failure,
            }
        }
    };
    in_time("a range that was lost", reading).await
}

/// Begins a range that must not be read to its end.
async fn begin_to_failure<S: SnapshotSession>(session: &mut S, plan: &Arc<TablePlan>) -> Failure {
    match session.begin(plan, &range(plan, None, None)).await {
        Ok(()) => read_to_failure(session).await,
        Err(failure) => failure,
    }
}

/// A snapshot whose first session has begun to read table A.
async fn begun<S: Subject>(bench: &Bench<S>) -> Snapshot<<S::Source as SnapshotSource>::Session> {
    let opening = open(&bench.source, &bench.plans, SESSIONS, true);
    let mut snapshot = opening.await.unwrap();
    let (plan, mut rows) = (&bench.plans[A], ReadRows::default());
    let session = &mut snapshot.sessions[0];
    session.begin(plan, &range(plan, None, None)).await.unwrap();
    let status = session.read(&mut rows, 1, 1 << 20).await.unwrap();
    assert_eq!((status, rows.rows.len()), (ReadStatus::More, 1));
    snapshot
}

/// A lost connection is a lost snapshot in whatever a session does, and never the end of a range.
async fn check_lost<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    bench.insert(A, &rows()).await;
    let mut snapshot = begun(&bench).await;
    subject.disconnect().await;
    let [reading, idle, bounding] = &mut snapshot.sessions[..] else {
        panic!("expected {SESSIONS} sessions")
    };
    let failure = read_to_failure(reading).await;
    assert!(is_lost(&failure), "{failure:?}");
    let plan = &bench.plans[A];
    let failure = bounding.boundary(plan, None, 1).await.unwrap_err();
    assert!(is_lost(&failure), "{failure:?}");
    let failure = begin_to_failure(idle, plan).await;
    assert!(is_lost(&failure), "{failure:?}");
    // A later call of the source opens a new connection.
    let mut again = open(&bench.source, &bench.plans, 1, true).await.unwrap();
    assert_eq!(
        read(&mut again.sessions[0], plan, &range(plan, None, None)).await,
        rows()
    );
}

/// A DDL never waits for a session: an open range is abandoned for it, one that has ended holds
/// nothing any more.
async fn check_ddl<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    bench.insert(A, &rows()).await;
    bench.insert(B, &rows()).await;
    let mut snapshot = begun(&bench).await;
    let (a, b, c) = (&bench.plans[A], &bench.plans[B], &bench.plans[C]);
    let whole = |plan: &TablePlan| range(plan, None, None);
    let [reading, ended, idle] = &mut snapshot.sessions[..] else {
        panic!("expected {SESSIONS} sessions")
    };
    assert_eq!(read(ended, b, &whole(b)).await, rows());
    in_time("a DDL on a read table", subject.run(Statement::AddIndex(B))).await;
    assert_eq!(read(ended, a, &whole(a)).await, rows(), "no DDL interrupted it");

    in_time("a DDL on an open range", subject.run(Statement::ChangeColumn(A))).await;
    assert_eq!(
        read(idle, c, &whole(c)).await,
        [] as [Row; 0],
        "no DDL interrupted it"
    );
    let failures = [
        read_to_failure(reading).await,
        begin_to_failure(ended, a).await,
        begin_to_failure(idle, a).await,
    ];
    for failure in failures {
        let is_told =
            is_lost(&failure) || (failure.code == code::SCHEMA_MISMATCH && failure.class == Class::StopTable);
        assert!(is_told, "{failure:?}");
    }
}

/// A snapshot that is dropped, or abandoned while it opens, leaves no lock behind.
async fn check_dropped<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    for (round, millis) in GIVEN_UP_AFTER_MS.into_iter().enumerate() {
        let opening = open(&bench.source, &bench.plans, SESSIONS, true);
        drop(tokio::time::timeout(Duration::from_millis(millis), opening).await);
        let key = i64::try_from(round).unwrap();
        in_time("a write behind a snapshot", bench.insert(A, &[[key, 0, 0]])).await;
    }
    drop(begun(&bench).await);
    in_time("a write behind a snapshot", bench.insert(A, &[[ROWS, 0, 0]])).await;
    in_time("a DDL behind a snapshot", subject.run(Statement::AddIndex(A))).await;
}
