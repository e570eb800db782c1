//! What every `TargetWitness` must do: count and list as the target is now.

use spanferry_core::port::target::{Committer, KeyInterval, Lane};
use spanferry_core::verify::witness::{Counted, TargetWitness};

use super::bench::{begin, commit, created, emptied, fence, upsert};
use super::{Row, Subject};

/// Rows by the target's own count, and the columns of its own catalog.
pub(super) async fn check<S: Subject>(subject: &S) {
    const ROWS: i64 = 300;
    let target = subject.connect();
    let table = created(subject, &target).await;
    begin(&target, &[(Lane::MAIN, fence(1, 0))]).await;
    let all = KeyInterval::default();
    assert_eq!(target.count(&table, all).await.unwrap(), Counted::Rows(0));
    let rows: Vec<Row> = (0..ROWS).map(|id| [id, -id, 1]).collect();
    target
        .commit(&commit(0, vec![upsert(&table, &rows)]))
        .await
        .unwrap();
    let counted = subject.connect().count(&table, all).await.unwrap();
    assert_eq!(counted, Counted::Rows(rows.len() as u64));
    let columns = table.target.columns.iter().map(|column| column.name.clone());
    let listed = target.columns().await.unwrap();
    assert_eq!(
        listed.get(&table.target.name),
        Some(&columns.collect()),
        "{listed:?}"
    );
    emptied(subject, &target, &table).await;
}
