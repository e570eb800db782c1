//! What every `Target` must do (`core/src/target.rs`, docs/design/fence.md).
//!
//! Included by `#[path]` in the tests of each implementation, the engine's simulated one among them: that one may depend
//! on no connector, so the suite depends on `core` alone.

use std::sync::Arc;

use spanferry_core::change_log::Sequence;
use spanferry_core::code;
use spanferry_core::ddl;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::plan::TablePlan;
use spanferry_core::rows::RowBatch;
use spanferry_core::target::{
    CommitError, ControlChange, Epoch, FenceKey, FenceRow, FencedCommit, Lane, MigrationRow, MutationKind,
    RangeRow, TableMutations, TablePhase, TableRow, Target, TargetScan,
};
use spanferry_core::target_schema::Dialect;
use spanferry_core::wire::{self, WireReader, WireValue};

/// A row of a subject's tables: the key, a value that the unique index is on, and a plain one.
type Row = [i64; 3];

/// How often a commit that the target gave up is sent again.
const ABORTS_MAX: usize = 100;

/// An empty database of the kind under test.
pub trait Subject {
    /// The implementation.
    type Target: Target;
    /// Another process's connection to the same database.
    fn connect(&self) -> Self::Target;
    /// Its dialect.
    fn dialect(&self) -> Dialect;
    /// A table, not yet created, of three `INT64` columns that are not null, keyed by the first, with one unique index on the second.
    fn table(&self) -> Arc<TablePlan>;
    /// Two more tables, not yet created.
    fn others(&self) -> [Arc<TablePlan>; 2];
}

/// All checks, each of which leaves the database as empty as it found it.
pub async fn check_all<S: Subject>(subject: &S) {
    check_control_state(subject).await;
    check_ddl(subject).await;
    check_takeover(subject).await;
    check_commits(subject).await;
    check_lanes(subject).await;
    check_race(subject).await;
    check_scan(subject).await;
}

/// Control rows are read as they were committed, by another process too.
pub async fn check_control_state<S: Subject>(subject: &S) {
    let target = subject.connect();
    assert_eq!(target.read_control().await.unwrap(), None);
    target.create_control().await.unwrap();
    target.create_control().await.unwrap();
    assert_eq!(target.read_control().await.unwrap(), None);
    let starts = [(Lane::Control, fence(1, 0)), (Lane::Apply, fence(1, 4))];
    target.begin_epoch(None, &migration(1), &starts).await.unwrap();
    let write = [
        ControlChange::Table(table_row("é", TablePhase::Pending)),
        ControlChange::Table(table_row("é", TablePhase::Loading)),
        ControlChange::Range(range_row("é", 1, None)),
        ControlChange::Range(range_row("é", 2, Some("k"))),
        ControlChange::Range(range_row("b", 1, None)),
    ];
    target.commit(&control_commit(0, &write)).await.unwrap();
    let forget = [
        ControlChange::ForgetRanges("é".to_owned()),
        ControlChange::Range(range_row("é", 3, Some("z"))),
    ];
    target.commit(&control_commit(1, &forget)).await.unwrap();

    let state = subject.connect().read_control().await.unwrap().unwrap();
    assert_eq!(state.migration, migration(1));
    let tables: Vec<_> = state.tables.into_iter().collect();
    assert_eq!(tables, [("é".to_owned(), table_row("é", TablePhase::Loading))]);
    let ranges: Vec<_> = state.ranges.into_values().collect();
    assert_eq!(ranges, [range_row("b", 1, None), range_row("é", 3, Some("z"))]);
    let fences: Vec<_> = state.fences.into_iter().collect();
    let lane = |lane: Lane| (lane.parts().0.to_owned(), lane.parts().1);
    let expected = [
        (lane(Lane::Apply), fence(1, 4)),
        (lane(Lane::Control), fence(1, 2)),
    ];
    assert_eq!(fences, expected);
    assert!(target.drop_control().await.unwrap());
    assert!(!target.drop_control().await.unwrap(), "nothing was left");
    assert_eq!(target.read_control().await.unwrap(), None);
}

/// DDL runs in order up to the first refused statement, which the failure names; what is there is described.
pub async fn check_ddl<S: Subject>(subject: &S) {
    let (target, dialect, table) = (subject.connect(), subject.dialect(), subject.table());
    let [before, behind] = subject.others();
    let index = &table.target.indexes[0];
    let create_index = ddl::create_index(&table.target, index, dialect);
    assert!(target.describe().await.unwrap().tables.is_empty());
    target
        .run_ddl(&[ddl::create_table(&table.target, dialect)])
        .await
        .unwrap();
    begin(&target, &[(Lane::Apply, fence(1, 0))]).await;
    let twins = upsert(&table, &[[1, 5, 0], [2, 5, 0]]);
    target.commit(&commit(0, vec![twins])).await.unwrap();

    let statements = [
        ddl::create_table(&before.target, dialect),
        create_index.clone(),
        ddl::create_table(&behind.target, dialect),
    ];
    let refused = target.run_ddl(&statements).await;
    let refused = same_kind(refused, code::TARGET_DDL, Class::StopTable);
    assert_eq!(refused.object, create_index);
    let found = target.describe().await.unwrap();
    let mut expected = [table.target.name.clone(), before.target.name.clone()];
    expected.sort();
    assert_eq!(found.tables.keys().cloned().collect::<Vec<_>>(), expected);
    assert!(found.tables[&table.target.name].has_rows);
    assert!(!found.tables[&before.target.name].has_rows);
    assert!(found.indexes.is_empty());

    target
        .commit(&commit(1, vec![delete(&table, &[2])]))
        .await
        .unwrap();
    target.run_ddl(&[create_index]).await.unwrap();
    assert_eq!(
        target.describe().await.unwrap().indexes,
        std::slice::from_ref(&index.name)
    );
    let drops = [
        ddl::drop_index(index, dialect),
        ddl::drop_table(&table.target, dialect),
        ddl::drop_table(&before.target, dialect),
    ];
    target.run_ddl(&drops).await.unwrap();
    assert!(target.describe().await.unwrap().tables.is_empty());
    assert!(target.drop_control().await.unwrap());
}

/// A new owner replaces all fence rows; the old one can neither commit nor come back (fence.md, steps 2 and 7).
pub async fn check_takeover<S: Subject>(subject: &S) {
    let (old, new) = (subject.connect(), subject.connect());
    let table = created(subject, &old).await;
    let starts = [(Lane::Apply, fence(1, 0)), (Lane::Load(3), fence(1, 0))];
    begin(&old, &starts).await;
    same_kind(
        new.begin_epoch(None, &migration(2), &[]).await,
        code::TARGET_FENCED,
        Class::StopMigration,
    );
    assert_eq!(
        old.read_fence(Lane::Load(3)).await.unwrap(),
        Some(fence(1, 0)),
        "a refused takeover changes nothing"
    );
    let takeover = [(Lane::Apply, fence(2, 0))];
    new.begin_epoch(Some(&migration(1)), &migration(2), &takeover)
        .await
        .unwrap();
    assert_eq!(new.read_fence(Lane::Load(3)).await.unwrap(), None);
    assert_eq!(new.read_fence(Lane::Apply).await.unwrap(), Some(fence(2, 0)));

    let late = commit(0, vec![upsert(&table, &[[8, 8, 8]])]);
    refused_by_fence(&old, &late).await;
    same_kind(
        old.begin_epoch(Some(&migration(1)), &migration(3), &[]).await,
        code::TARGET_FENCED,
        Class::StopMigration,
    );
    // The same call by the owner itself is the repeat of one whose outcome was unknown.
    new.begin_epoch(Some(&migration(1)), &migration(2), &takeover)
        .await
        .unwrap();
    assert_eq!(new.read_fence(Lane::Apply).await.unwrap(), Some(fence(2, 0)));
    assert_eq!(new.read_control().await.unwrap().unwrap().migration, migration(2));
    assert_eq!(scanned(&new, &table, 1).await, Vec::<Row>::new());
    emptied(subject, &new, &table).await;
}

/// Data, control rows and the fence row change together and once, or not at all.
pub async fn check_commits<S: Subject>(subject: &S) {
    let target = subject.connect();
    let table = created(subject, &target).await;
    begin(
        &target,
        &[(Lane::Apply, fence(1, 0)), (Lane::Control, fence(1, 0))],
    )
    .await;
    let first = commit(0, vec![upsert(&table, &[[1, 10, 0], [-2, 20, 0], [3, 30, 0]])]);
    target.commit(&first).await.unwrap();
    // A repeat after a lost reply: refused, and the fence says that it happened.
    refused_by_fence(&target, &first).await;
    assert_eq!(target.read_fence(Lane::Apply).await.unwrap(), Some(fence(1, 1)));
    assert_eq!(
        target.read_fence(Lane::Control).await.unwrap(),
        Some(fence(1, 0)),
        "lanes are independent"
    );
    assert_eq!(target.read_fence(Lane::Load(3)).await.unwrap(), None);

    // Two keys swap their unique values, and a key deleted takes another row: deletes come before upserts.
    let swap = vec![
        delete(&table, &[-2, 99]),
        upsert(&table, &[[1, 30, 1], [3, 10, 1], [4, 20, 1]]),
    ];
    target.commit(&commit(1, swap)).await.unwrap();
    let rows = [[1, 30, 1], [3, 10, 1], [4, 20, 1]];
    assert_eq!(scanned(&target, &table, 1).await, rows);

    // Refused for its data: neither its other rows, nor its control row, nor its fence row remain.
    let mut twin = commit(2, vec![delete(&table, &[1]), upsert(&table, &[[7, 10, 2]])]);
    twin.control = vec![ControlChange::Table(table_row("a", TablePhase::Joined))];
    rejected(&target, &twin).await;
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
    assert_eq!(target.read_fence(Lane::Apply).await.unwrap(), Some(apply));
}

/// In every lane a commit happens once, and moves no other lane's fence row.
pub async fn check_lanes<S: Subject>(subject: &S) {
    let target = subject.connect();
    let table = created(subject, &target).await;
    let lanes = [
        Lane::Control,
        Lane::Load(0),
        Lane::Load(1),
        Lane::Apply,
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

/// Of two commits from one fence key sent at once, exactly one happens (fence.md, step 3).
pub async fn check_race<S: Subject>(subject: &S) {
    let (one, two) = (subject.connect(), subject.connect());
    let table = created(subject, &one).await;
    begin(&one, &[(Lane::Apply, fence(1, 0))]).await;
    // As after a start that finds a migration: what a connection must know for a commit, it reads.
    drop(two.read_control().await.unwrap());
    let of = |key: i64| commit(0, vec![upsert(&table, &[[key, key, key]])]);
    let (left, right) = (of(1), of(2));
    let (left, right) = tokio::join!(until_clear(&one, &left), until_clear(&two, &right));
    let winner = match (left, right) {
        (Ok(()), Err(CommitError::Rejected(_))) => [1, 1, 1],
        (Err(CommitError::Rejected(_)), Ok(())) => [2, 2, 2],
        other => panic!("{other:?}"),
    };
    assert_eq!(scanned(&one, &table, 1).await, [winner]);
    emptied(subject, &one, &table).await;
}

/// Every row comes once, in batches of about the size asked for.
pub async fn check_scan<S: Subject>(subject: &S) {
    const ROWS: i64 = 1_000;
    let target = subject.connect();
    let table = created(subject, &target).await;
    begin(&target, &[(Lane::Apply, fence(1, 0))]).await;
    assert_eq!(scanned(&target, &table, 1).await, Vec::<Row>::new());
    let rows: Vec<Row> = (0..ROWS).map(|id| [id, -id, id % 7]).collect();
    target
        .commit(&commit(0, vec![upsert(&table, &rows)]))
        .await
        .unwrap();
    for bytes_max in [1, 4_000, 1 << 20] {
        assert_eq!(
            scanned(&target, &table, bytes_max).await,
            rows,
            "{bytes_max} bytes"
        );
    }
    emptied(subject, &target, &table).await;
}

fn same_kind(result: Result<(), Failure>, code: code::Code, class: Class) -> Failure {
    let failure = result.unwrap_err();
    assert_eq!((failure.code, failure.class), (code, class), "{failure:?}");
    failure
}

async fn rejected<T: Target>(target: &T, commit: &FencedCommit) -> String {
    match until_clear(target, commit).await {
        Err(CommitError::Rejected(found)) => {
            assert!(!found.too_large && !found.transient, "{found:?}");
            found.status
        }
        other => panic!("a rejection was expected, found {other:?}"),
    }
}

async fn refused_by_fence<T: Target>(target: &T, commit: &FencedCommit) {
    assert_eq!(rejected(target, commit).await, "NOT_FOUND");
}

/// Sends a commit, again for as long as it did not happen because the target gave it up.
async fn until_clear<T: Target>(target: &T, commit: &FencedCommit) -> Result<(), CommitError> {
    for _ in 0..ABORTS_MAX {
        match target.commit(commit).await {
            Err(CommitError::Aborted { retry_after }) => {
                tokio::time::sleep(retry_after.unwrap_or_default()).await;
            }
            clear => return clear,
        }
    }
    panic!("aborted {ABORTS_MAX} times");
}

async fn created<S: Subject>(subject: &S, target: &S::Target) -> Arc<TablePlan> {
    let (table, dialect) = (subject.table(), subject.dialect());
    let statements = [
        ddl::create_table(&table.target, dialect),
        ddl::create_index(&table.target, &table.target.indexes[0], dialect),
    ];
    target.run_ddl(&statements).await.unwrap();
    table
}

async fn emptied<S: Subject>(subject: &S, target: &S::Target, table: &TablePlan) {
    let dialect = subject.dialect();
    let statements = [
        ddl::drop_index(&table.target.indexes[0], dialect),
        ddl::drop_table(&table.target, dialect),
    ];
    target.run_ddl(&statements).await.unwrap();
    assert!(target.drop_control().await.unwrap());
}

async fn begin<T: Target>(target: &T, fences: &[(Lane, FenceRow)]) {
    target.create_control().await.unwrap();
    target.begin_epoch(None, &migration(1), fences).await.unwrap();
}

/// All rows in the order of their keys; a scan promises none.
async fn scanned<T: Target>(target: &T, table: &Arc<TablePlan>, bytes_max: usize) -> Vec<Row> {
    let (mut scan, mut batch, mut found) = (target.scan(table).await.unwrap(), RowBatch::new(), Vec::new());
    batch.push(b"what an earlier batch left");
    while scan.next(&mut batch, bytes_max).await.unwrap() {
        assert!(!batch.is_empty());
        found.extend(batch.payloads().map(numbers));
    }
    found.sort_unstable();
    found
}

fn numbers(payload: &[u8]) -> Row {
    let cells = WireReader::new(payload).map(|cell| match cell.unwrap() {
        WireValue::String(text) => std::str::from_utf8(text).unwrap().parse().unwrap(),
        other => panic!("{other:?}"),
    });
    cells.collect::<Vec<_>>().try_into().unwrap()
}

fn mutations(table: &Arc<TablePlan>, kind: MutationKind, rows: &[&[i64]]) -> TableMutations {
    let mut batch = RowBatch::new();
    for row in rows {
        let payload = batch.begin_row();
        for value in *row {
            wire::put_string(payload, value.to_string().as_bytes());
        }
        batch.end_row();
    }
    TableMutations {
        table: Arc::clone(table),
        kind,
        rows: batch,
    }
}

fn upsert(table: &Arc<TablePlan>, rows: &[Row]) -> TableMutations {
    let rows: Vec<&[i64]> = rows.iter().map(Row::as_slice).collect();
    mutations(table, MutationKind::Upsert, &rows)
}

fn delete(table: &Arc<TablePlan>, keys: &[i64]) -> TableMutations {
    let keys: Vec<&[i64]> = keys.iter().map(std::slice::from_ref).collect();
    mutations(table, MutationKind::Delete, &keys)
}

/// The commit of epoch 1 that moves the main stream from `sequence` to the next.
fn commit(sequence: u64, data: Vec<TableMutations>) -> FencedCommit {
    FencedCommit {
        lane: Lane::Apply,
        previous: fence(1, sequence).key,
        next: fence(1, sequence + 1),
        data,
        control: Vec::new(),
    }
}

fn control_commit(counter: u64, changes: &[ControlChange]) -> FencedCommit {
    FencedCommit {
        lane: Lane::Control,
        control: changes.to_vec(),
        ..commit(counter, Vec::new())
    }
}

fn fence(epoch: u64, sequence: u64) -> FenceRow {
    let key = FenceKey {
        epoch: Epoch(epoch),
        sequence: Sequence(sequence),
        piece: 0,
    };
    FenceRow {
        key,
        position: format!("position é {sequence}"),
    }
}

fn migration(epoch: u64) -> MigrationRow {
    MigrationRow {
        id: "6ba7b810".to_owned(),
        epoch: Epoch(epoch),
        log_id: "log".to_owned(),
        source: "mysql://example/shop".to_owned(),
        start_position: "3e11fa47:1-5".to_owned(),
        mapping: "mapping".to_owned(),
        version: 1,
    }
}

fn table_row(table: &str, phase: TablePhase) -> TableRow {
    TableRow {
        table: table.to_owned(),
        phase,
        low: "l".to_owned(),
        high: format!("h {}", phase.word()),
        rows_loaded: u64::from(u32::MAX) + 1,
        definition: "d".to_owned(),
        reason: String::new(),
    }
}

fn range_row(table: &str, number: u64, after: Option<&str>) -> RangeRow {
    RangeRow {
        table: table.to_owned(),
        number,
        after: after.map(str::to_owned),
        up_to: None,
        rows: 9,
    }
}
