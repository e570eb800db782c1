//! What every `RowSet` must do, whatever it reads: written against the traits alone.
//!
//! A test of an implementation includes this file by `#[path]`, gives it a `Subject`, and calls
//! [`check_all`].

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::row_source::{Boundary, Range, ReadRows, ReadStatus, RowSet, RowSource};
use spanferry_core::wire::rows::RowBatch;

/// Fewest rows of the table that is read.
pub const ROWS_MIN: usize = 20;

/// Most rows of the table: a reader that brings more does not end.
pub const ROWS_MAX: usize = 10_000;

/// What is checked.
pub trait Subject {
    /// The implementation.
    type Rows: RowSet;

    /// The rows, of which nothing changes meanwhile.
    fn rows(&self) -> Self::Rows;

    /// One of their tables, with `ROWS_MIN` to `ROWS_MAX` rows, none of which is refused.
    fn table(&self) -> Arc<TablePlan>;
}

/// Runs every check.
pub async fn check_all<S: Subject>(subject: &S) {
    check_ranges_cover_the_table(subject).await;
    check_a_range_is_read_again_in_the_same_order(subject).await;
    check_batches_keep_to_their_bounds(subject).await;
}

async fn open<S: Subject>(subject: &S) -> <S::Rows as RowSet>::Reader {
    subject.rows().open(&[subject.table()]).await.unwrap()
}

/// The rows of a range, read in batches of at most so many rows.
async fn read<R: RowSource>(
    reader: &mut R,
    plan: &Arc<TablePlan>,
    range: &Range,
    rows_max: usize,
) -> Vec<Vec<u8>> {
    reader.begin(plan, range).await.unwrap();
    let (mut rows, mut batch) = (Vec::new(), ReadRows::default());
    loop {
        let status = reader.read(&mut batch, rows_max, usize::MAX).await.unwrap();
        assert!(batch.refused.is_empty(), "{:?}", batch.refused);
        rows.extend(batch.rows.payloads().map(<[u8]>::to_vec));
        assert!(rows.len() <= ROWS_MAX, "a range ends");
        if status == ReadStatus::End {
            return rows;
        }
        assert!(!batch.rows.is_empty(), "a range continues with a row at least");
    }
}

fn range(plan: &TablePlan, after: Option<Boundary>, up_to: Option<Boundary>) -> Range {
    Range {
        table: plan.id,
        after,
        up_to,
    }
}

/// The ranges that a table is divided into, each of about so many rows.
async fn divided<R: RowSource>(reader: &mut R, plan: &Arc<TablePlan>, rows: u64) -> Vec<Range> {
    let (mut ranges, mut after) = (Vec::new(), None);
    loop {
        let up_to = reader.divide(plan, after.as_ref(), rows).await.unwrap();
        assert!(
            up_to.is_none() || up_to != after,
            "a range ends behind its beginning"
        );
        ranges.push(range(plan, after, up_to.clone()));
        if up_to.is_none() {
            return ranges;
        }
        after = up_to;
    }
}

/// Whatever a table is divided into, its ranges hold each row once, in the table's order.
async fn check_ranges_cover_the_table<S: Subject>(subject: &S) {
    let (plan, mut reader) = (subject.table(), open(subject).await);
    let all = read(&mut reader, &plan, &range(&plan, None, None), 7).await;
    assert!(all.len() >= ROWS_MIN, "{} rows", all.len());
    for rows in [1, 6, 1_000_000] {
        let mut found = Vec::new();
        for range in divided(&mut reader, &plan, rows).await {
            found.extend(read(&mut reader, &plan, &range, 7).await);
        }
        assert_eq!(found, all, "ranges of {rows} rows");
    }
    let most = divided(&mut reader, &plan, 1).await.len();
    assert!(most > 1, "a table of {} rows can be divided", all.len());
}

/// A range that is read again, by the same reader or by another one, brings the same rows in the
/// same order, however large the batches are: a load continues behind a number of rows.
async fn check_a_range_is_read_again_in_the_same_order<S: Subject>(subject: &S) {
    let (plan, mut reader) = (subject.table(), open(subject).await);
    let ranges = divided(&mut reader, &plan, 6).await;
    for range in &ranges {
        let first = read(&mut reader, &plan, range, 2).await;
        assert_eq!(read(&mut reader, &plan, range, 5).await, first);
        let mut other = open(subject).await;
        assert_eq!(other.write_mode(), reader.write_mode());
        assert_eq!(read(&mut other, &plan, range, 1).await, first);
    }
}

/// A batch has no row of the batch before, no more rows than asked for, and passes the bound of its
/// bytes by its last row only.
async fn check_batches_keep_to_their_bounds<S: Subject>(subject: &S) {
    let (plan, mut reader) = (subject.table(), open(subject).await);
    let whole = range(&plan, None, None);
    let all = read(&mut reader, &plan, &whole, usize::MAX).await;
    for (rows_max, bytes_max) in [(3, usize::MAX), (usize::MAX, 1), (usize::MAX, 100), (1, 1)] {
        reader.begin(&plan, &whole).await.unwrap();
        let (mut found, mut batch) = (Vec::new(), ReadRows::default());
        loop {
            let status = reader.read(&mut batch, rows_max, bytes_max).await.unwrap();
            assert!(batch.rows.len() <= rows_max, "{} rows", batch.rows.len());
            let before = without_last(&batch.rows);
            assert!(
                before.is_empty() || before.byte_len() < bytes_max,
                "{} bytes",
                before.byte_len()
            );
            found.extend(batch.rows.payloads().map(<[u8]>::to_vec));
            assert!(found.len() <= ROWS_MAX, "a range ends");
            if status == ReadStatus::End {
                break;
            }
        }
        assert_eq!(found, all, "{rows_max} rows, {bytes_max} bytes");
    }
}

fn without_last(rows: &RowBatch) -> RowBatch {
    let mut before = RowBatch::new();
    for payload in rows.payloads().take(rows.len().saturating_sub(1)) {
        before.push(payload);
    }
    before
}
