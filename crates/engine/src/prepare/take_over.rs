//! A known migration: its state is read, its log and its source are recognised, and the next epoch is taken.

use spanferry_core::change_log::{ChangeLog, Sequence};
use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::finding::{Finding, Severity, Subject};
use spanferry_core::position::{Bookmark, Position};
use spanferry_core::reached::Reached;
use spanferry_core::source::{ChangeSource, HistorySource, SchemaSource};
use spanferry_core::target::{
    ControlState, Epoch, FenceRow, Lane, MigrationRow, TablePhase, TableRow, Target,
};
use spanferry_kill_point::kill_point;

use super::epoch::{fence_row, fences};
use super::log::{LogStore, compare_log, log_id, own_log};
use super::prepared::{PrepareOptions, Start};
use crate::history::{Unproved, expect_history, open_proved, prove};
use crate::order::incomparable;

pub(super) async fn take_over<S: SchemaSource + HistorySource + ChangeSource, B: LogStore, T: Target>(
    source: &S,
    target: &T,
    logs: &B,
    options: &PrepareOptions,
    state: ControlState,
) -> Result<Start<B::Log>, Failure> {
    refuse_foreign(&state, options)?;
    let (old, reached) = main_fence(&state)?;
    let epoch = Epoch(state.migration.epoch.0 + 1);
    let mut findings = Vec::new();
    let (log, sequence) = match own_log(logs, &state, epoch).await? {
        Some(log) => {
            compare_log(&log, &old, &reached.bookmark()).await?;
            // What was captured goes on where what was applied ends: its proof is the proof of both.
            let (_, captured) = log.end().await?;
            let accepted = expect_source(source, &captured, &reached.position, options.unproved).await?;
            findings.extend(accepted);
            (log, old.key.sequence)
        }
        None => {
            findings.push(log_lost());
            let (log, accepted) = log_anew(source, logs, options, &state, &reached, epoch).await?;
            findings.extend(accepted);
            (log, Sequence::ZERO)
        }
    };
    let migration = MigrationRow {
        epoch,
        log_id: log.id().0,
        ..state.migration.clone()
    };
    let main = fence_row(epoch, sequence, &reached);
    kill_point("before next epoch", "");
    target
        .begin_epoch(
            Some(&state.migration),
            &migration,
            &fences(epoch, &main, options.workers),
        )
        .await?;
    kill_point("after next epoch", "");
    Ok(Start {
        log,
        epoch,
        main,
        reached,
        tables: state.tables,
        definitions: state.definitions,
        ranges: state.ranges,
        left_out: state.left_out,
        findings,
    })
}

fn refuse_foreign(state: &ControlState, options: &PrepareOptions) -> Result<(), Failure> {
    let refuse = |text: String| {
        Err(Failure::new(
            code::STATE_FOREIGN,
            Class::StopMigration,
            "target",
            text,
        ))
    };
    if state.migration.schema != options.schema {
        return refuse(format!(
            "it holds the migration of another schema, `{}`",
            state.migration.source
        ));
    }
    Ok(())
}

/// The main stream's fence row, with the checkpoint that it must have.
fn main_fence(state: &ControlState) -> Result<(FenceRow, Reached), Failure> {
    let (stream, lane) = Lane::Apply.parts();
    let row = state.fences.get(&(stream.to_owned(), lane));
    row.and_then(|row| Some((row.clone(), row.reached.clone()?)))
        .ok_or_else(|| damaged("fence row of the main stream"))
}

fn damaged(what: &str) -> Failure {
    let text = format!("the {what} is missing or unreadable in the control tables");
    Failure::new(code::STATE_FOREIGN, Class::StopMigration, "target", text)
}

/// A log in the place of one that is lost.
async fn log_anew<S: SchemaSource + HistorySource + ChangeSource, B: LogStore>(
    source: &S,
    logs: &B,
    options: &PrepareOptions,
    state: &ControlState,
    reached: &Reached,
    epoch: Epoch,
) -> Result<(B::Log, Vec<Finding>), Failure> {
    let start = new_log_start(source, state, reached).await?;
    // The source must also hold the transaction of which the target has the first changes.
    let mut applied = reached.position.clone();
    if let Some(torn) = &reached.torn {
        applied
            .advance(&torn.transaction.id)
            .map_err(|cause| damaged("torn transaction of the main stream").caused_by(cause))?;
    }
    let mut accepted = Vec::from_iter(expect_source(source, &start, &applied, options.unproved).await?);
    if start.position != reached.position {
        accepted.extend(prove(source, &reached.bookmark(), options.unproved).await?);
    }
    kill_point("before log creation", "");
    let id = log_id(&state.migration.id, epoch);
    let log = logs.create(&id, &start, &options.source_name).await?;
    kill_point("after log creation", "");
    Ok((log, accepted))
}

fn log_lost() -> Finding {
    let text = "the change log is not in the state directory: changes are fetched again from the source";
    Finding::new(code::STATE_LOST, Severity::Warning, Subject::whole(), text)
}

/// Where a new log for a known migration begins: at the watermark, or at the `low` of a table that is still to catch up, whichever
/// is lower. The source may have forgotten what lies before.
///
/// A `low` that the source has lost in a failover is no place in its history. Its table's group will stop for that; the log then
/// begins where the migration began.
async fn new_log_start<S: SchemaSource>(
    source: &S,
    state: &ControlState,
    reached: &Reached,
) -> Result<Bookmark, Failure> {
    let mut start = reached.position.clone();
    for low in state.tables.values().filter_map(low_to_catch_up_from) {
        start = start
            .meet(low)
            .map_err(|cause| incomparable("control tables", cause))?;
    }
    if start == reached.position {
        return Ok(reached.bookmark());
    }
    if !source.holds(&start).await? {
        start = state.migration.start_position.clone();
    }
    // What was applied is proved by itself. The transaction before the beginning may be forgotten, though all behind it is there.
    Ok(Bookmark::unproved(start))
}

/// The position behind which a table still needs every change, apart from the main stream.
fn low_to_catch_up_from(row: &TableRow) -> Option<&Position> {
    match row.phase {
        TablePhase::Pending | TablePhase::Loading | TablePhase::Loaded => row.low.as_ref(),
        TablePhase::Joined | TablePhase::Constrained | TablePhase::Stopped => None,
    }
}

/// The source must be the one that was captured and applied, and still send what follows, before anything is written. A finding
/// if the operator has accepted one that cannot show it.
async fn expect_source<S: SchemaSource + ChangeSource>(
    source: &S,
    captured: &Bookmark,
    applied: &Position,
    unproved: Unproved,
) -> Result<Option<Finding>, Failure> {
    // Opening waits for a commit under way, so the position is asked afterwards.
    let (stream, accepted) = open_proved(source, captured, unproved).await?;
    drop(stream);
    expect_history(source, applied).await?;
    Ok(accepted)
}
