//! A known migration: its state is read, its log and its source are recognised, and the next epoch
//! is taken.

use spanferry_core::port::change_log::ChangeLog;
use spanferry_core::port::source::{ChangeSource, HistorySource, PositionSource};
use spanferry_core::port::target::{
    ControlState, ControlStore, Epoch, FenceRow, Lane, LaneStart, MigrationRow, StreamRow, TablePhase,
    TableRow,
};
use spanferry_core::position::checkpoint::Checkpoint;
use spanferry_core::position::{Bookmark, Position};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_kill_point::kill_point;

use super::epoch::lanes;
use super::log::{LogStore, compare_log, log_id, own_log};
use super::prepared::{PrepareOptions, Start};
use crate::history::{Unproved, expect_history, open_proved, prove};
use crate::order::incomparable;
use crate::plan::Planned;

/// What is looked at before the epoch is taken refuses a wrong pair while nothing has changed. All
/// that the new process continues with is read afterwards: until then a process that still runs, or
/// a late commit of a dead one, may move everything (fence.md, step 7).
pub(super) async fn take_over<
    S: PositionSource + HistorySource + ChangeSource,
    B: LogStore,
    T: ControlStore,
>(
    source: &S,
    target: &T,
    logs: &B,
    planned: &Planned,
    options: &PrepareOptions,
    state: ControlState,
) -> Result<Start<B::Log>, Failure> {
    refuse_foreign(&state, options)?;
    let known = expect_stream(&state.migration)?;
    source.reserve(&state.migration.id).await?;
    let (old, reached) = main_fence(&state)?;
    let epoch = Epoch(state.migration.epoch.0 + 1);
    let mut findings = Vec::new();
    let (log, main) = match own_log(logs, &state.migration.id, known, epoch).await? {
        Some(log) => {
            compare_log(&log, &old, &reached.bookmark()).await?;
            // What was captured continues where what was applied ends: its proof is the proof of
            // both.
            let (_, captured) = log.end().await?;
            let accepted = expect_source(source, &captured, &reached.position, options.unproved).await?;
            findings.extend(accepted);
            (log, LaneStart::Kept)
        }
        None => {
            findings.push(log_lost());
            let (log, accepted) = log_anew(source, logs, options, &state, known, &reached, epoch).await?;
            findings.extend(accepted);
            (log, LaneStart::KeptInNewLog)
        }
    };
    let migration = MigrationRow {
        epoch,
        stream: Some(StreamRow {
            log_id: log.id().0,
            ..known.clone()
        }),
        ..state.migration.clone()
    };
    kill_point("before next epoch", "");
    let lanes = lanes(epoch, main.clone(), options.workers);
    target
        .begin_epoch(Some(&state.migration), &migration, &lanes)
        .await?;
    kill_point("after next epoch", "");
    let state = owned(target, &migration, planned).await?;
    let (main_row, now) = main_fence(&state)?;
    if now != reached {
        findings.extend(expect_moved(source, &log, &main, &main_row, &now, options).await?);
    }
    Ok(Start {
        log,
        epoch,
        main: main_row,
        reached: now,
        tables: state.tables,
        definitions: state.definitions,
        ranges: state.ranges,
        left_out: state.left_out,
        findings,
    })
}

/// The control state under the epoch that was just taken, which only this process can change.
async fn owned<T: ControlStore>(
    target: &T,
    migration: &MigrationRow,
    planned: &Planned,
) -> Result<ControlState, Failure> {
    let found = target.read_control().await?;
    let Some(state) = found.filter(|state| state.migration == *migration) else {
        let text = "another process has taken the migration over in this moment";
        let class = Class::StopMigration;
        return Err(Failure::new(code::TARGET_FENCED, class, "target", text));
    };
    planned.expect_record(Some(&state))?;
    Ok(state)
}

/// The main stream has moved on since the first look: log and source must have that part of the
/// history too.
async fn expect_moved<S: PositionSource + HistorySource, L: ChangeLog>(
    source: &S,
    log: &L,
    start: &LaneStart,
    main: &FenceRow,
    reached: &Checkpoint,
    options: &PrepareOptions,
) -> Result<Option<Finding>, Failure> {
    expect_history(source, &reached.position).await?;
    match start {
        // The log's end was proved; the watermark lies before it, and is of the same history.
        LaneStart::Kept => {
            compare_log(log, main, &reached.bookmark()).await?;
            Ok(None)
        }
        LaneStart::KeptInNewLog | LaneStart::At(_) => {
            prove(source, &reached.bookmark(), options.unproved).await
        }
    }
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

/// What the record holds of the stream. A load without one is another road.
fn expect_stream(migration: &MigrationRow) -> Result<&StreamRow, Failure> {
    migration.stream.as_ref().ok_or_else(|| {
        let text = "it holds a load without a stream of changes, and this is a migration with one";
        Failure::new(code::ROAD_CHANGED, Class::StopMigration, "target", text)
    })
}

/// The main stream's fence row, with the checkpoint that it must have. It is the checkpoint only
/// while there is no other lane of the main stream (docs/design/lanes.md).
fn main_fence(state: &ControlState) -> Result<(FenceRow, Checkpoint), Failure> {
    let (stream, lane) = Lane::MAIN.parts();
    let others = state.fences.keys();
    let others = others.filter(|(other, number)| other == stream && *number != lane);
    let others: Vec<String> = others.map(|(_, number)| number.to_string()).collect();
    if !others.is_empty() {
        let text = format!(
            "a later release has applied changes with more lanes: {}",
            others.join(", ")
        );
        return Err(Failure::new(
            code::LANES_UNKNOWN,
            Class::StopMigration,
            "control tables",
            text,
        ));
    }
    let row = state.fences.get(&(stream.to_owned(), lane));
    row.and_then(|row| Some((row.clone(), row.reached.clone()?)))
        .ok_or_else(|| damaged("fence row of the main stream"))
}

fn damaged(what: &str) -> Failure {
    let text = format!("the {what} is missing or unreadable in the control tables");
    Failure::new(code::STATE_FOREIGN, Class::StopMigration, "target", text)
}

/// A log in the place of one that is lost.
async fn log_anew<S: PositionSource + HistorySource + ChangeSource, B: LogStore>(
    source: &S,
    logs: &B,
    options: &PrepareOptions,
    state: &ControlState,
    known: &StreamRow,
    reached: &Checkpoint,
    epoch: Epoch,
) -> Result<(B::Log, Vec<Finding>), Failure> {
    let start = new_log_start(source, state, known, reached).await?;
    // The source must also hold the transaction of which the target has the first changes.
    let mut applied = reached.position.clone();
    if let Some(partial) = &reached.partial {
        applied
            .advance(&partial.transaction.id)
            .map_err(|cause| damaged("partial transaction of the main stream").caused_by(cause))?;
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

/// Where a new log for a known migration begins: at the watermark, or at the `low` of a table that
/// is still to catch up, whichever is lower. The source may have forgotten what lies before.
///
/// A `low` that the source has lost in a failover is no place in its history. Its table's group
/// will stop for that; the log then begins where the migration began.
async fn new_log_start<S: PositionSource>(
    source: &S,
    state: &ControlState,
    known: &StreamRow,
    reached: &Checkpoint,
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
        start = known.start_position.clone();
    }
    // What was applied is proved by itself. The transaction before the beginning may be forgotten,
    // though all behind it is there.
    Ok(Bookmark::unproved(start))
}

/// The position behind which a table still needs every change, apart from the main stream.
fn low_to_catch_up_from(row: &TableRow) -> Option<&Position> {
    match row.phase {
        TablePhase::Pending | TablePhase::Loading | TablePhase::Loaded => row.low.as_ref(),
        TablePhase::Joined | TablePhase::Constrained | TablePhase::Stopped => None,
    }
}

/// The source must be the one that was captured and applied, and still send what follows, before
/// anything is written. A finding if the operator has accepted one that cannot show it.
async fn expect_source<S: PositionSource + ChangeSource>(
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
