//! The change log of a start: created or found again before the epoch is taken, and compared with
//! what was applied.

use spanferry_core::port::change_log::{ChangeLog, Sequence};
use spanferry_core::port::source::{ChangeSource, HistorySource, PositionSource};
use spanferry_core::port::target::{
    ControlState, Epoch, FenceRow, Lane, LaneStart, StreamRow, TablePhase, TableRow,
};
use spanferry_core::position::checkpoint::Checkpoint;
use spanferry_core::position::{Bookmark, Position};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_kill_point::kill_point;

use super::claim::{expect_stream, next_epoch};
use super::epoch::fence_row;
use super::log::{LogStore, compare_log, log_id, own_log};
use super::prepared::PrepareOptions;
use crate::history::{Unproved, expect_history, expect_witness, open_proved, prove};
use crate::order::incomparable;

/// The change log of a start that has not taken its epoch yet.
pub(super) struct OpenLog<L> {
    pub(super) log: L,
    /// What the migration's row is to hold of it.
    pub(super) row: StreamRow,
    /// How the main stream's lane begins the epoch.
    pub(super) main: LaneStart,
    /// What was applied when the log was compared with it.
    reached: Checkpoint,
    findings: Vec<Finding>,
}

/// The change log and the main stream of a start that owns the fence.
pub(super) struct OwnLog<L> {
    pub(super) log: L,
    pub(super) main: FenceRow,
    pub(super) reached: Checkpoint,
    pub(super) findings: Vec<Finding>,
}

/// Creates the log of a new migration. It begins here: from before this moment on, the source keeps
/// what the log does not hold yet.
pub(super) async fn create_log<S: PositionSource + HistorySource + ChangeSource, B: LogStore>(
    source: &S,
    logs: &B,
    options: &PrepareOptions,
) -> Result<OpenLog<B::Log>, Failure> {
    source.reserve(&options.claim.new_migration_id).await?;
    let start = source.bookmark(&source.position().await?).await?;
    let unproved = expect_witness(&start, options.unproved)?;
    let id = log_id(&options.claim.new_migration_id, Epoch(1));
    let log = logs.create(&id, &start, &options.claim.source_name).await?;
    kill_point("after log creation", "");
    let row = StreamRow {
        log_id: log.id().0,
        start_position: start.position.clone(),
    };
    let reached = Checkpoint::whole(start);
    Ok(OpenLog {
        log,
        row,
        main: fence_row(Epoch(1), Sequence::ZERO, &reached).into(),
        reached,
        findings: Vec::from_iter(unproved),
    })
}

/// Opens the log of a known migration, or creates another in the place of one that is lost. Source
/// and log must be those that the target knows: a wrong pair is refused while nothing has changed.
pub(super) async fn open_log<S: PositionSource + HistorySource + ChangeSource, B: LogStore>(
    source: &S,
    logs: &B,
    options: &PrepareOptions,
    state: &ControlState,
) -> Result<OpenLog<B::Log>, Failure> {
    let known = expect_stream(&state.migration)?;
    source.reserve(&state.migration.id).await?;
    let (old, reached) = main_fence(state)?;
    let epoch = next_epoch(Some(&state.migration));
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
            let (log, accepted) = replace_log(source, logs, options, state, known, &reached, epoch).await?;
            findings.extend(accepted);
            (log, LaneStart::KeptInNewLog)
        }
    };
    let row = StreamRow {
        log_id: log.id().0,
        ..known.clone()
    };
    Ok(OpenLog {
        log,
        row,
        main,
        reached,
        findings,
    })
}

impl<L: ChangeLog> OpenLog<L> {
    /// The log under the epoch that was taken with it. Where the main stream has moved since the
    /// log was compared, log and source must have that part of the history too.
    pub(super) async fn owned<S: PositionSource + HistorySource>(
        self,
        source: &S,
        state: &ControlState,
        unproved: Unproved,
    ) -> Result<OwnLog<L>, Failure> {
        let (main, reached) = main_fence(state)?;
        let mut findings = self.findings;
        if reached != self.reached {
            expect_history(source, &reached.position).await?;
            match self.main {
                // The log's end was proved; the watermark lies before it, and is of the same
                // history.
                LaneStart::Kept => compare_log(&self.log, &main, &reached.bookmark()).await?,
                LaneStart::KeptInNewLog | LaneStart::At(_) => {
                    findings.extend(prove(source, &reached.bookmark(), unproved).await?);
                }
            }
        }
        Ok(OwnLog {
            log: self.log,
            main,
            reached,
            findings,
        })
    }
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
async fn replace_log<S: PositionSource + HistorySource + ChangeSource, B: LogStore>(
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
    let log = logs.create(&id, &start, &options.claim.source_name).await?;
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
