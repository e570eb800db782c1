//! Scans: every row as it was written.

use std::collections::BTreeSet;
use std::sync::Arc;

use spanferry_core::apply::window::WindowLimits;
use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::{
    Committer, ControlStore, Lane, MutationKind, SchemaTarget, TableMutations,
};
use spanferry_core::schema::ddl;
use spanferry_core::wire::list_value;
use spanferry_core::wire::rows::RowBatch;

use super::bench::{begin, commit, created, emptied, fence, payloads, scanned, upsert};
use super::{Row, Subject};

/// Bytes of the longest texts: as many as a STRING may have characters.
const TEXT_BYTES_MAX: usize = 2_621_440;

/// Every row comes once, in batches of about the size asked for.
pub(super) async fn check_scan<S: Subject>(subject: &S) {
    const ROWS: i64 = 1_000;
    let target = subject.connect();
    let table = created(subject, &target).await;
    begin(&target, &[(Lane::MAIN, fence(1, 0))]).await;
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
    let expected: BTreeSet<Vec<u8>> = rows.payloads().map(<[u8]>::to_vec).collect();
    let data = TableMutations {
        table: Arc::clone(table),
        kind: MutationKind::Upsert,
        rows,
    };
    target.commit(&commit(0, vec![data])).await.unwrap();
    for bytes_max in [1, 1 << 20] {
        let found = payloads(&target, table, bytes_max).await;
        // Not by `assert_eq`: its message would have all the text.
        assert!(found == expected, "{} rows of {}", found.len(), expected.len());
    }
    let drop_table = ddl::drop_table(&table.target, dialect);
    target.run_ddl(&[drop_table]).await.unwrap();
    assert!(target.drop_control().await.unwrap());
}
