//! Attempts at rows without a snapshot: opens readers for what is missing, runs the workers, and
//! opens others while anything is left (docs/design/load.md).

use std::future::pending;
use std::num::NonZeroU64;
use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::row_source::RowSet;
use spanferry_core::port::target::Committer;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity, Subject};

use super::loads::{Loads, SOURCE_PATIENCE};
use crate::lane::interrupted;
use crate::prepare::PreparedLoad;

/// Loads every table that is pending or loading, attempt by attempt, until none is left.
pub(crate) async fn load_rows<R: RowSet, T: Committer>(
    rows: Arc<R>,
    load: PreparedLoad<T>,
    rate: Option<NonZeroU64>,
) -> Result<(), Failure> {
    let PreparedLoad {
        registry,
        shared,
        control,
        lanes,
        ranges,
        dialect: _,
    } = load;
    let mut loads = Loads::new(registry, control, shared, lanes, ranges, rate);
    loop {
        let tables = loads.next_tables().await?;
        if tables.is_empty() {
            return Ok(());
        }
        let lost = match open(rows.as_ref(), &loads, &tables).await {
            Ok(readers) => {
                loads.shared.progress.update(|state| state.snapshot_lost = None);
                let attempt = loads.begin(&tables, |_| {}).await?;
                loads.run(&attempt, readers, pending()).await?
            }
            Err(failure) => Some(failure),
        };
        if let Some(failure) = lost {
            resolve(&mut loads, failure).await?;
        }
    }
}

/// One reader for each lane.
async fn open<R: RowSet, T: Committer>(
    rows: &R,
    loads: &Loads<T>,
    tables: &[Arc<TablePlan>],
) -> Result<Vec<R::Reader>, Failure> {
    let mut readers = Vec::new();
    for _ in &loads.lanes {
        let reader = tokio::select! {
            biased;
            () = loads.shared.stop.cancelled() => return Err(interrupted()),
            opened = rows.open(tables) => opened?,
        };
        readers.push(reader);
    }
    Ok(readers)
}

/// What becomes of a failed attempt: its table stops, or another attempt follows after a while, or
/// it is passed on.
async fn resolve<T: Committer>(loads: &mut Loads<T>, failure: Failure) -> Result<(), Failure> {
    let Some(failure) = loads.stop_or_pass(failure).await? else {
        return Ok(());
    };
    if loads.is_out_of_patience() {
        let class = Class::StopMigration;
        return Err(Failure { class, ..failure });
    }
    tracing::warn!(failure = %failure.for_log(), "a reader is lost; others are opened for the rest");
    let (object, reason) = (&failure.object, failure.reason());
    let text = format!("{object}: {reason}; what is left is read again");
    let finding = Finding::new(failure.code, Severity::Notice, Subject::whole(), text);
    loads.shared.progress.report(finding);
    loads.shared.progress.update(|state| {
        let minutes = SOURCE_PATIENCE.as_secs() / 60;
        let text = format!("what is left is read again, for {minutes} minutes: {object}: {reason}");
        state.snapshot_lost = Some(text);
    });
    loads.wait().await
}
