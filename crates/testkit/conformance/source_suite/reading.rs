//! What every `SnapshotSession` must do: boundaries that cut a table without gap or overlap, and
//! ranges read to their end.

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::{Boundary, ReadRows, ReadStatus, RefusedRow, SnapshotSession};
use spanferry_core::value::encode::Encoding;
use spanferry_core::wire::list_value;

use super::model::{append, range, read};
use super::{A, B, Bench, Row, Subject, open};

/// Keys with gaps, at both ends of their type, and in a dense run.
const KEYS: [i64; 15] = [
    i64::MIN,
    i64::MIN + 1,
    -4_294_967_296,
    -10,
    -9,
    -1,
    0,
    1,
    2,
    3,
    4,
    100,
    65_536,
    i64::MAX - 1,
    i64::MAX,
];
/// Digits that a value may have in a table that refuses longer ones.
const DIGITS_MAX: u32 = 3;

pub(super) async fn check<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let rows = KEYS.map(|key| [key, key / 3, 7]);
    bench.insert(A, &rows).await;
    let mut snapshot = open(&bench.source, &bench.plans, 2, true).await.unwrap();
    // Boundaries are stored: a session of another snapshot takes them just as well.
    let mut later = open(&bench.source, &bench.plans, 1, false).await.unwrap();
    let (plan, session) = (&bench.plans[A], &mut snapshot.sessions[0]);
    for step in [1, 2, 3, 5, rows.len() - 1, rows.len(), rows.len() + 1] {
        check_chain(session, &mut later.sessions[0], plan, step, &rows).await;
    }
    check_limits(&mut snapshot.sessions[1], plan, &rows).await;
    check_empty(&mut snapshot.sessions[1], &bench.plans[B]).await;
    check_refused(subject).await;
}

/// A chain of boundaries of `step` rows each cuts the table into ranges that have each row once, in
/// the order of the keys.
async fn check_chain<S: SnapshotSession>(
    session: &mut S,
    other: &mut S,
    plan: &Arc<TablePlan>,
    step: usize,
    rows: &[Row],
) {
    let (mut after, mut found): (Option<Boundary>, Vec<Row>) = (None, Vec::new());
    loop {
        let rows_wanted = step.try_into().unwrap();
        let up_to = session.boundary(plan, after.as_ref(), rows_wanted).await.unwrap();
        let left = rows.len() - found.len();
        assert_eq!(
            up_to.is_some(),
            left >= step,
            "{left} rows follow, {step} are asked for"
        );
        let cut = range(plan, after.as_ref(), up_to.as_ref());
        let part = read(session, plan, &cut).await;
        assert_eq!(part.len(), left.min(step));
        assert_eq!(
            read(other, plan, &cut).await,
            part,
            "to another session the boundary means the same"
        );
        found.extend(part);
        let Some(up_to) = up_to else { break };
        // Stored and handed back.
        after = Some(Boundary(up_to.0));
    }
    assert_eq!(found, rows);
}

/// Rows and bytes that a call may bring are kept to, and what the last call left is cleared.
async fn check_limits<S: SnapshotSession>(session: &mut S, plan: &Arc<TablePlan>, rows: &[Row]) {
    for rows_max in [1, 2, 7, rows.len(), 1_000] {
        for bytes_max in [1, 50, 1 << 20] {
            let mut into = ReadRows::default();
            into.rows.push(b"what an earlier call left");
            session.begin(plan, &range(plan, None, None)).await.unwrap();
            let (mut found, mut status) = (Vec::new(), ReadStatus::More);
            while status == ReadStatus::More {
                status = session.read(&mut into, rows_max, bytes_max).await.unwrap();
                let bytes: Vec<usize> = into.rows.payloads().map(<[u8]>::len).collect();
                let but_last: usize = bytes.iter().rev().skip(1).sum();
                assert!(bytes.len() <= rows_max && but_last < bytes_max, "{bytes:?}");
                if status == ReadStatus::More {
                    let is_full = bytes.len() == rows_max || into.rows.byte_len() >= bytes_max;
                    assert!(is_full, "{bytes:?} of {rows_max} rows, {bytes_max} bytes");
                }
                append(&mut found, &into.rows);
            }
            assert_eq!(found, rows, "{rows_max} rows, {bytes_max} bytes");
        }
    }
}

/// A table without a row has no boundary, and its range ends at once.
async fn check_empty<S: SnapshotSession>(session: &mut S, plan: &Arc<TablePlan>) {
    assert_eq!(session.boundary(plan, None, 1).await.unwrap(), None);
    session.begin(plan, &range(plan, None, None)).await.unwrap();
    let mut into = ReadRows::default();
    into.rows.push(b"what an earlier call left");
    assert_eq!(session.read(&mut into, 1, 1).await.unwrap(), ReadStatus::End);
    assert!(into.rows.is_empty() && into.refused.is_empty());
}

/// The same table, but its last column takes short values only.
pub(super) fn narrow(plan: &TablePlan) -> Arc<TablePlan> {
    let mut plan = plan.clone();
    plan.columns[2].encoding = Encoding::String {
        characters_max: DIGITS_MAX,
    };
    Arc::new(plan)
}

/// A refused row is reported with its key and column, counts as a row, and does not end the range.
async fn check_refused<S: Subject>(subject: &S) {
    let mut bench = Bench::new(subject).await;
    let rows: Vec<Row> = (0..20)
        .map(|id| [id, 0, if id % 3 == 1 { 1_000 } else { 999 }])
        .collect();
    bench.insert(A, &rows).await;
    let (good, bad): (Vec<Row>, Vec<Row>) = rows.iter().partition(|row| row[2] < 1_000);
    let plan = &narrow(&bench.plans[A]);
    let mut snapshot = open(&bench.source, &bench.plans, 1, true).await.unwrap();
    let session = &mut snapshot.sessions[0];
    for rows_max in [1, 4, 100] {
        let (mut found, mut refused): (Vec<Row>, Vec<RefusedRow>) = (Vec::new(), Vec::new());
        let (mut into, mut status) = (ReadRows::default(), ReadStatus::More);
        session.begin(plan, &range(plan, None, None)).await.unwrap();
        while status == ReadStatus::More {
            status = session.read(&mut into, rows_max, 1 << 20).await.unwrap();
            let brought = into.rows.len() + into.refused.len();
            assert!(brought <= rows_max && (brought > 0 || status == ReadStatus::End));
            append(&mut found, &into.rows);
            refused.append(&mut into.refused.clone());
        }
        assert_eq!(found, good);
        let keys: Vec<String> = refused.iter().map(|row| row.key.clone()).collect();
        assert_eq!(keys, bad.iter().map(|row| row[0].to_string()).collect::<Vec<_>>());
        assert!(refused.iter().all(|row| row.cell.column == 2), "{refused:?}");
        for row in &refused {
            let mut encoded = Vec::new();
            list_value::put_string(&mut encoded, row.key.as_bytes());
            assert_eq!(row.encoded_key, encoded, "the key's own column is not refused");
        }
    }
}
