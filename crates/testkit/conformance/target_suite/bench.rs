//! What the checks have in common: tables, commits and rows that are made, and outcomes that are
//! expected.

use std::sync::Arc;

use spanferry_core::plan::{GroupId, TablePlan};
use spanferry_core::port::change_log::Sequence;
use spanferry_core::port::target::{
    CommitError, CommitTimestamp, ControlChange, ControlStore, Epoch, FenceKey, FenceRow, FencedCommit, Lane,
    LeftOutRow, MigrationRow, MutationKind, RangeRow, Rejection, ScanRequest, Scanned, SchemaTarget,
    StreamRow, TableMutations, TablePhase, TableRow, Target, TargetScan,
};
use spanferry_core::position::checkpoint::Checkpoint;
use spanferry_core::position::{Bookmark, Position, Witness};
use spanferry_core::record::StopReason;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding;
use spanferry_core::schema::ddl;
use spanferry_core::schema::definition::TableDefinition;
use spanferry_core::schema::source::QualifiedName;
use spanferry_core::schema::target::Dialect;
use spanferry_core::wire::list_value::{self, WireReader, WireValue};
use spanferry_core::wire::rows::RowBatch;

use super::{Row, Subject};

/// How often a commit that the target gave up is sent again.
const ABORTS_MAX: usize = 100;

pub(super) fn same_kind(result: Result<(), Failure>, code: code::Code, class: Class) -> Failure {
    let failure = result.unwrap_err();
    assert_eq!((failure.code, failure.class), (code, class), "{failure:?}");
    failure
}

pub(super) async fn rejected<T: Target>(target: &T, commit: &FencedCommit) -> Rejection {
    match until_clear(target, commit).await {
        Err(CommitError::Rejected(found)) => {
            assert!(!found.transient, "{found:?}");
            found
        }
        other => panic!("a rejection was expected, found {other:?}"),
    }
}

pub(super) async fn refused_by_fence<T: Target>(target: &T, commit: &FencedCommit) {
    let found = rejected(target, commit).await;
    assert_eq!(
        (found.status.as_str(), found.too_large),
        ("NOT_FOUND", false),
        "{found:?}"
    );
}

/// Sends a commit, again for as long as it did not happen because the target gave it up.
pub(super) async fn until_clear<T: Target>(
    target: &T,
    commit: &FencedCommit,
) -> Result<CommitTimestamp, CommitError> {
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

pub(super) async fn created<S: Subject>(subject: &S, target: &S::Target) -> Arc<TablePlan> {
    let (table, dialect) = (subject.table(), subject.dialect());
    let statements = [
        ddl::create_table(&table.target, dialect),
        ddl::create_index(&table.target, &table.target.indexes[0], dialect),
    ];
    target.run_ddl(&statements).await.unwrap();
    table
}

pub(super) async fn emptied<S: Subject>(subject: &S, target: &S::Target, table: &TablePlan) {
    let dialect = subject.dialect();
    let statements = [
        ddl::drop_index(&table.target.indexes[0], dialect),
        ddl::drop_table(&table.target, dialect),
    ];
    target.run_ddl(&statements).await.unwrap();
    assert!(target.drop_control().await.unwrap());
}

pub(super) async fn begin<T: Target>(target: &T, fences: &[(Lane, FenceRow)]) {
    target.create_control().await.unwrap();
    let lanes: Vec<_> = fences
        .iter()
        .map(|(lane, row)| (*lane, row.clone().into()))
        .collect();
    target.begin_epoch(None, &migration(1), &lanes).await.unwrap();
}

/// All rows of a table, in the order of a scan.
pub(super) async fn scanned<T: Target>(target: &T, table: &Arc<TablePlan>, bytes_max: usize) -> Vec<Row> {
    scanned_by(target, &ScanRequest::whole(table), bytes_max).await
}

/// The rows that a scan brings, in its order.
pub(super) async fn scanned_by<T: Target>(
    target: &T,
    request: &ScanRequest<'_>,
    bytes_max: usize,
) -> Vec<Row> {
    let payloads = payloads(target, request, bytes_max).await;
    payloads.iter().map(|payload| numbers(payload)).collect()
}

/// The same as the target spells them, each once, in batches that pass the bound by their last row
/// at most.
pub(super) async fn payloads<T: Target>(
    target: &T,
    request: &ScanRequest<'_>,
    bytes_max: usize,
) -> Vec<Vec<u8>> {
    let (mut scan, mut batch) = (target.scan(request).await.unwrap(), RowBatch::new());
    let mut found = Vec::new();
    let mut at = None;
    loop {
        batch.push(b"what an earlier batch left");
        match scan.next(&mut batch, bytes_max).await.unwrap() {
            Scanned::Rows => assert!(!batch.is_empty()),
            Scanned::End => break,
            Scanned::Expired => panic!("a version that was just made is not kept"),
        }
        assert!(scan.at().is_some());
        assert!(at.is_none() || at == scan.at(), "a scan reads at two timestamps");
        at = scan.at();
        let but_last = batch.payloads().take(batch.len() - 1);
        let bytes: usize = but_last.map(<[u8]>::len).sum();
        assert!(bytes < bytes_max, "{bytes} bytes before the last row");
        for payload in batch.payloads() {
            assert!(
                found.last().map(Vec::as_slice) != Some(payload),
                "a row comes twice"
            );
            found.push(payload.to_vec());
        }
    }
    assert!(batch.is_empty(), "rows behind the end");
    found
}

fn numbers(payload: &[u8]) -> Row {
    let cells = WireReader::new(payload).map(|cell| match cell.unwrap() {
        WireValue::String(text) => std::str::from_utf8(text).unwrap().parse().unwrap(),
        other => panic!("{other:?}"),
    });
    cells.collect::<Vec<_>>().try_into().unwrap()
}

pub(super) fn mutations(table: &Arc<TablePlan>, kind: MutationKind, rows: &[&[i64]]) -> TableMutations {
    let mut batch = RowBatch::new();
    for row in rows {
        let payload = batch.begin_row();
        for value in *row {
            list_value::put_string(payload, value.to_string().as_bytes());
        }
        batch.end_row();
    }
    TableMutations {
        table: Arc::clone(table),
        kind,
        rows: batch,
    }
}

pub(super) fn upsert(table: &Arc<TablePlan>, rows: &[Row]) -> TableMutations {
    let rows: Vec<&[i64]> = rows.iter().map(Row::as_slice).collect();
    mutations(table, MutationKind::Upsert, &rows)
}

pub(super) fn delete(table: &Arc<TablePlan>, keys: &[i64]) -> TableMutations {
    let keys: Vec<&[i64]> = keys.iter().map(std::slice::from_ref).collect();
    mutations(table, MutationKind::Delete, &keys)
}

/// The commit of epoch 1 that moves the main stream from `sequence` to the next.
pub(super) fn commit(sequence: u64, data: Vec<TableMutations>) -> FencedCommit {
    FencedCommit {
        lane: Lane::MAIN,
        previous: fence(1, sequence).key,
        next: fence(1, sequence + 1),
        data,
        control: Vec::new(),
    }
}

pub(super) fn control_commit(counter: u64, changes: &[ControlChange]) -> FencedCommit {
    FencedCommit {
        lane: Lane::Control,
        control: changes.to_vec(),
        ..commit(counter, Vec::new())
    }
}

pub(super) fn fence(epoch: u64, sequence: u64) -> FenceRow {
    let key = FenceKey {
        epoch: Epoch(epoch),
        sequence: Sequence(sequence),
        piece: 0,
    };
    let last = format!("0-1-{}@{}#00000000000000ff", sequence + 1, sequence + 7);
    let last = Vec::from([Witness::parse(&last).unwrap()]);
    let bookmark = Bookmark::of(position(sequence), last).unwrap();
    FenceRow {
        key,
        reached: Some(Checkpoint::whole(bookmark)),
    }
}

fn position(number: u64) -> Position {
    Position::parse(&format!("mariadb:0-1-{}", number + 1)).unwrap()
}

pub(super) fn name(table: &str) -> QualifiedName {
    QualifiedName::new("shöp.é", table)
}

pub(super) fn migration(epoch: u64) -> MigrationRow {
    MigrationRow {
        id: "6ba7b810".to_owned(),
        epoch: Epoch(epoch),
        stream: Some(StreamRow {
            log_id: "log".to_owned(),
            start_position: position(0),
        }),
        source: "mysql://example/shop".to_owned(),
        schema: "shöp.é".to_owned(),
        dialect: Dialect::GoogleSql,
    }
}

pub(super) fn table_row(table: &str, phase: TablePhase) -> TableRow {
    let reason = || StopReason {
        code: code::DDL_SEEN,
        subject: finding::Subject::part(&name("é"), "a part"),
        text: "ALTER TABLE".to_owned(),
        remedy: None,
    };
    TableRow {
        table: name(table),
        phase,
        low: Some(position(1)),
        high: (phase != TablePhase::Stopped).then(|| high(phase)),
        rows_loaded: u64::from(u32::MAX) + 1,
        stopped: (phase == TablePhase::Stopped).then(reason),
    }
}

/// A position of a phase's own, with a witness or without one.
fn high(phase: TablePhase) -> Bookmark {
    let number = phase.word().bytes().map(u64::from).sum();
    let witness = Witness::parse(&format!("0-1-{}@7#0123456789abcdef", number + 1)).unwrap();
    let list = if phase == TablePhase::Pending {
        vec![]
    } else {
        vec![witness]
    };
    Bookmark::of(position(number), list).unwrap()
}

pub(super) fn left_out_row(table: &str, constraint: &str, reason: &str) -> LeftOutRow {
    LeftOutRow {
        table: name(table),
        constraint: constraint.to_owned(),
        reason: reason.to_owned(),
    }
}

/// The definition of a table, with a group that distinguishes one from another.
pub(super) fn definition(table: &str, plan: &TablePlan, group: u32) -> TableDefinition {
    let mut definition = TableDefinition::of(plan);
    definition.source.name = name(table);
    definition.group = GroupId(group);
    // As in every plan that is made from a schema: a column takes NULL at both ends or at none.
    for (column, target) in definition.columns.iter_mut().zip(&definition.target.columns) {
        column.not_null = target.not_null;
    }
    definition
}

pub(super) fn range_row(table: &str, number: u64, after: Option<&str>) -> RangeRow {
    RangeRow {
        table: name(table),
        number,
        after: after.map(str::to_owned),
        up_to: None,
        rows: 9,
        is_finished: after.is_some(),
    }
}
