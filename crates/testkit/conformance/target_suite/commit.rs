//! Commits: together and once, or not at all.

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::change_log::Sequence;
use spanferry_core::port::target::{
    CommitError, Committer, ControlChange, ControlStore, Epoch, FenceKey, FenceRow, Lane, MutationKind,
    TableMutations, TablePhase, Target,
};
use spanferry_core::wire::partial_rows::ColumnSet;
use spanferry_core::wire::rows::RowBatch;

use super::bench::{
    begin, commit, created, delete, emptied, fence, mutations, refused_by_fence, rejected, scanned,
    table_row, until_clear, upsert,
};
use super::{Row, Subject};

/// Data, control rows and the fence row change together and once, or not at all.
pub(super) async fn check_commits<S: Subject>(subject: &S) {
    let target = subject.connect();
    let table = created(subject, &target).await;
    begin(
        &target,
        &[(Lane::MAIN, fence(1, 0)), (Lane::Control, fence(1, 0))],
    )
    .await;
    let first = commit(0, vec![upsert(&table, &[[1, 10, 0], [-2, 20, 0], [3, 30, 0]])]);
    let first_at = target.commit(&first).await.unwrap();
    // A repeat after a lost reply: refused, and the fence says that it happened.
    refused_by_fence(&target, &first).await;
    assert_eq!(target.read_fence(Lane::MAIN).await.unwrap(), Some(fence(1, 1)));
    assert_eq!(
        target.read_fence(Lane::Control).await.unwrap(),
        Some(fence(1, 0)),
        "lanes are independent"
    );
    assert_eq!(target.read_fence(Lane::Load(3)).await.unwrap(), None);

    // Two keys swap their unique values, and a key deleted takes another row: deletes come before
    // upserts.
    let swap = vec![
        delete(&table, &[-2, 99]),
        upsert(&table, &[[1, 30, 1], [3, 10, 1], [4, 20, 1]]),
    ];
    let swapped_at = target.commit(&commit(1, swap)).await.unwrap();
    assert!(swapped_at > first_at, "{swapped_at:?} after {first_at:?}");
    let rows = [[1, 30, 1], [3, 10, 1], [4, 20, 1]];
    assert_eq!(scanned(&target, &table, 1).await, rows);

    // Refused for its data: neither its other rows, nor its control row, nor its fence row remain.
    let mut twin = commit(2, vec![delete(&table, &[1]), upsert(&table, &[[7, 10, 2]])]);
    twin.control = vec![ControlChange::Table(table_row("a", TablePhase::Joined))];
    let found = rejected(&target, &twin).await;
    assert!(!found.too_large, "{found:?}");
    check_unchanged(&target, &table, &rows, fence(1, 2)).await;
    // Refused for its fence key, of which every part counts.
    let other_keys: [fn(&mut FenceKey); 3] = [
        |key| key.epoch = Epoch(2),
        |key| key.sequence = Sequence(1),
        |key| key.piece = 1,
    ];
    for change in other_keys {
        let mut stale = twin.clone();
        stale.data = vec![upsert(&table, &[[9, 90, 9]])];
        change(&mut stale.previous);
        refused_by_fence(&target, &stale).await;
        check_unchanged(&target, &table, &rows, fence(1, 2)).await;
    }
    emptied(subject, &target, &table).await;
}

async fn check_unchanged<T: Target>(target: &T, table: &Arc<TablePlan>, rows: &[Row], apply: FenceRow) {
    assert_eq!(scanned(target, table, 1).await, rows);
    let control = target.read_control().await.unwrap().unwrap();
    assert!(control.tables.is_empty());
    assert_eq!(target.read_fence(Lane::MAIN).await.unwrap(), Some(apply));
}

/// In every lane a commit happens once, and moves no other lane's fence row.
pub(super) async fn check_lanes<S: Subject>(subject: &S) {
    let target = subject.connect();
    let table = created(subject, &target).await;
    let lanes = [
        Lane::Control,
        Lane::Load(0),
        Lane::Load(1),
        Lane::MAIN,
        Lane::CatchUp,
    ];
    begin(&target, &lanes.map(|lane| (lane, fence(1, 0)))).await;
    for (done, lane) in lanes.into_iter().enumerate() {
        let mut commit = commit(0, vec![upsert(&table, &[[1, 1, 1]])]);
        commit.lane = lane;
        target.commit(&commit).await.unwrap();
        refused_by_fence(&target, &commit).await;
        for (number, other) in lanes.into_iter().enumerate() {
            let expected = fence(1, u64::from(number <= done));
            assert_eq!(target.read_fence(other).await.unwrap(), Some(expected));
        }
    }
    emptied(subject, &target, &table).await;
}

/// An insert refuses a row that is there, an update one that is not. An update leaves the columns
/// that it does not name.
pub(super) async fn check_kinds<S: Subject>(subject: &S) {
    let target = subject.connect();
    let table = created(subject, &target).await;
    begin(&target, &[(Lane::MAIN, fence(1, 0))]).await;
    let insert = |rows: &[&[i64]]| mutations(&table, MutationKind::Insert, rows);
    let update = |columns: &[usize], row: &[i64]| {
        let columns = ColumnSet::of(columns.iter().copied());
        mutations(&table, MutationKind::Update(columns), &[row])
    };
    let first = commit(0, vec![insert(&[&[1, 10, 100], &[2, 20, 200]])]);
    target.commit(&first).await.unwrap();
    let rows = [[1, 10, 100], [2, 20, 200]];
    check_unchanged(&target, &table, &rows, fence(1, 1)).await;
    rejected(&target, &commit(1, vec![insert(&[&[3, 30, 300], &[2, 21, 201]])])).await;
    check_unchanged(&target, &table, &rows, fence(1, 1)).await;
    rejected(&target, &commit(1, vec![update(&[0, 2], &[9, 900])])).await;
    check_unchanged(&target, &table, &rows, fence(1, 1)).await;
    let several = vec![
        delete(&table, &[2]),
        insert(&[&[4, 20, 400]]),
        update(&[0, 2], &[1, 101]),
    ];
    target.commit(&commit(1, several)).await.unwrap();
    check_unchanged(&target, &table, &[[1, 10, 101], [4, 20, 400]], fence(1, 2)).await;
    let unique = commit(2, vec![update(&[0, 1], &[4, 10])]);
    rejected(&target, &unique).await;
    target
        .commit(&commit(2, vec![update(&[0, 1], &[4, 40])]))
        .await
        .unwrap();
    check_unchanged(&target, &table, &[[1, 10, 101], [4, 40, 400]], fence(1, 3)).await;
    emptied(subject, &target, &table).await;
}

/// Of two commits from one fence key sent at once, exactly one happens (fence.md, step 3).
pub(super) async fn check_race<S: Subject>(subject: &S) {
    let (one, two) = (subject.connect(), subject.connect());
    let table = created(subject, &one).await;
    begin(&one, &[(Lane::MAIN, fence(1, 0))]).await;
    // As after a start that finds a migration: what a connection must know for a commit, it reads.
    drop(two.read_control().await.unwrap());
    let of = |key: i64| commit(0, vec![upsert(&table, &[[key, key, key]])]);
    let (left, right) = (of(1), of(2));
    let (left, right) = tokio::join!(until_clear(&one, &left), until_clear(&two, &right));
    let winner = match (left, right) {
        (Ok(_), Err(CommitError::Rejected(_))) => [1, 1, 1],
        (Err(CommitError::Rejected(_)), Ok(_)) => [2, 2, 2],
        other => panic!("{other:?}"),
    };
    assert_eq!(scanned(&one, &table, 1).await, [winner]);
    emptied(subject, &one, &table).await;
}

/// A commit above the target's limit is rejected for that, and nothing of it happens; one below
/// goes through.
pub(super) async fn check_too_large<S: Subject>(subject: &S) {
    let target = subject.connect();
    let table = created(subject, &target).await;
    begin(&target, &[(Lane::MAIN, fence(1, 0))]).await;
    // The same row again and again: it is only about its bytes.
    let payload = upsert(&table, &[[1, 1, 1]]).rows;
    let payload = payload.payloads().next().unwrap();
    let mut rows = RowBatch::new();
    while rows.byte_len() <= subject.commit_bytes_max() {
        rows.push(payload);
    }
    let data = TableMutations {
        table: Arc::clone(&table),
        kind: MutationKind::Upsert,
        rows,
    };
    let mut large = commit(0, vec![data]);
    let found = rejected(&target, &large).await;
    assert!(found.too_large, "{found:?}");
    check_unchanged(&target, &table, &[], fence(1, 0)).await;
    large.data = vec![upsert(&table, &[[1, 1, 1]])];
    target.commit(&large).await.unwrap();
    check_unchanged(&target, &table, &[[1, 1, 1]], fence(1, 1)).await;
    emptied(subject, &target, &table).await;
}
