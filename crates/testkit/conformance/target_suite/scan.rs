//! Scans: every row as it was written, in key order, by intervals of keys and timestamps.

use std::sync::Arc;
use std::time::Duration;

use spanferry_core::apply::window::WindowLimits;
use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::{
    Committer, ControlStore, KeyInterval, Lane, MutationKind, ScanAt, ScanKey, ScanKeyColumns, ScanRequest,
    SchemaTarget, TableMutations, TableReader, Target,
};
use spanferry_core::schema::ddl;
use spanferry_core::verify::witness::{Counted, TargetWitness};
use spanferry_core::wire::list_value;
use spanferry_core::wire::rows::RowBatch;

use super::bench::{begin, commit, created, delete, emptied, fence, payloads, scanned, scanned_by, upsert};
use super::{Row, Subject};

/// Bytes of the longest texts: as many as a STRING may have characters.
const TEXT_BYTES_MAX: usize = 2_621_440;

/// Every row comes once, in key order, in batches of about the size asked for.
pub(super) async fn check_scan<S: Subject>(subject: &S) {
    const ROWS: i64 = 1_000;
    let target = subject.connect();
    let table = created(subject, &target).await;
    begin(&target, &[(Lane::MAIN, fence(1, 0))]).await;
    assert_eq!(scanned(&target, &table, 1).await, Vec::<Row>::new());
    let rows: Vec<Row> = (0..ROWS).map(|id| [id - ROWS / 2, -id, id % 7]).collect();
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
    assert!(target.version_retention().await.unwrap() > Duration::ZERO);
    emptied(subject, &target, &table).await;
}

/// A scan, and a count, of an interval has exactly the rows in it, also where no row has the key at
/// its end. A scan at a timestamp has the rows of that time.
pub(super) async fn check_intervals<S: Subject>(subject: &S) {
    let target = subject.connect();
    let table = created(subject, &target).await;
    begin(&target, &[(Lane::MAIN, fence(1, 0))]).await;
    let rows: Vec<Row> = (-6..6).map(|id| [id * 10, -id, 1]).collect();
    let data = vec![upsert(&table, &rows)];
    let before = target.commit(&commit(0, data)).await.unwrap();
    let columns = ScanKeyColumns::of(&table).expect("the rows have their keys");
    let whole = ScanRequest::whole(&table);
    let payloads = payloads(&target, &whole, 1).await;
    let keys: Vec<ScanKey> = payloads.iter().map(|row| columns.key(row).unwrap()).collect();
    check_interval_of(&target, &table, &rows, &keys).await;

    // Every second row is deleted: its key still divides the others.
    let deleted: Vec<i64> = rows.iter().step_by(2).map(|row| row[0]).collect();
    let data = vec![delete(&table, &deleted)];
    let after = target.commit(&commit(1, data)).await.unwrap();
    let left: Vec<Row> = rows.iter().skip(1).step_by(2).copied().collect();
    check_interval_of(&target, &table, &left, &keys).await;

    for (at, expected) in [(before, &rows), (after, &left)] {
        let at = ScanAt::Exactly(at);
        assert_eq!(
            &scanned_by(&target, &ScanRequest { at, ..whole }, 1).await,
            expected
        );
    }
    let keys = KeyInterval {
        after: Some(&keys[3]),
        up_to: None,
    };
    let at = ScanAt::Exactly(before);
    let request = ScanRequest { at, keys, ..whole };
    assert_eq!(scanned_by(&target, &request, 1 << 20).await, rows[4..]);
    emptied(subject, &target, &table).await;
}

/// All intervals between the keys, each with the rows in it. The keys are those of the multiples of
/// 10 from -60 on.
async fn check_interval_of<T>(target: &T, table: &Arc<TablePlan>, rows: &[Row], keys: &[ScanKey])
where
    T: Target + TargetWitness,
{
    let ends = || std::iter::once(None).chain(keys.iter().enumerate().map(Some));
    let value = |place: usize| (i64::try_from(place).unwrap() - 6) * 10;
    for (after, up_to) in ends().flat_map(|after| ends().map(move |up_to| (after, up_to))) {
        let is_in = |row: &&Row| {
            after.is_none_or(|(place, _)| row[0] > value(place))
                && up_to.is_none_or(|(place, _)| row[0] <= value(place))
        };
        let expected: Vec<Row> = rows.iter().filter(is_in).copied().collect();
        let keys = KeyInterval {
            after: after.map(|(_, key)| key),
            up_to: up_to.map(|(_, key)| key),
        };
        let request = ScanRequest {
            keys,
            ..ScanRequest::whole(table)
        };
        assert_eq!(
            scanned_by(target, &request, 30).await,
            expected,
            "{after:?} {up_to:?}"
        );
        let counted = target.count(table, keys).await.unwrap();
        assert_eq!(
            counted,
            Counted::Rows(expected.len() as u64),
            "{after:?} {up_to:?}"
        );
    }
}

/// Texts that a scan must bring as they were written: none, empty, of all kinds of characters, and
/// longer than its messages.
fn texts() -> Vec<Option<String>> {
    let mut texts = vec![None, Some(String::new())];
    texts.extend(
        ["NULL", "1.50", "é ß 日本 😀", "\"quoted\" \\ 'and'\r\n\t"].map(|text| Some(text.to_owned())),
    );
    texts.extend([1 << 16, 1 << 20, TEXT_BYTES_MAX].map(|bytes| Some("ü".repeat(bytes / 2))));
    texts
}

/// Texts come back as they were written, also from a commit that is as large as any of the
/// engine's.
pub(super) async fn check_texts<S: Subject>(subject: &S, table: &Arc<TablePlan>) {
    let (target, dialect) = (subject.connect(), subject.dialect());
    let create = ddl::create_table(&table.target, dialect);
    target.run_ddl(&[create]).await.unwrap();
    begin(&target, &[(Lane::MAIN, fence(1, 0))]).await;
    let mut texts = texts();
    let left = WindowLimits::SPANNER.bytes_max - texts.iter().flatten().map(String::len).sum::<usize>();
    let long = Some("x".repeat(TEXT_BYTES_MAX));
    texts.extend(std::iter::repeat_n(long, left / TEXT_BYTES_MAX));
    let mut rows = RowBatch::new();
    for (id, text) in texts.iter().enumerate() {
        let row = rows.begin_row();
        list_value::put_string(row, id.to_string().as_bytes());
        match text {
            Some(text) => list_value::put_string(row, text.as_bytes()),
            None => list_value::put_null(row),
        }
        rows.end_row();
    }
    let expected: Vec<Vec<u8>> = rows.payloads().map(<[u8]>::to_vec).collect();
    let data = TableMutations {
        table: Arc::clone(table),
        kind: MutationKind::Upsert,
        rows,
    };
    target.commit(&commit(0, vec![data])).await.unwrap();
    for bytes_max in [1, 1 << 20] {
        let found = payloads(&target, &ScanRequest::whole(table), bytes_max).await;
        // Not by `assert_eq`: its message would have all the text.
        assert!(found == expected, "{} rows of {}", found.len(), expected.len());
    }
    let drop_table = ddl::drop_table(&table.target, dialect);
    target.run_ddl(&[drop_table]).await.unwrap();
    assert!(target.drop_control().await.unwrap());
}
