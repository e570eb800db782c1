//! A new migration: its control tables, its change log, its first epoch.

use std::collections::BTreeMap;

use spanferry_core::port::change_log::{ChangeLog, Sequence};
use spanferry_core::port::source::{ChangeSource, HistorySource, PositionSource};
use spanferry_core::port::target::{ControlStore, Epoch, LeftOut, MigrationRow, StreamRow};
use spanferry_core::position::checkpoint::Checkpoint;
use spanferry_core::report::failure::Failure;
use spanferry_core::schema::target::Dialect;
use spanferry_kill_point::kill_point;

use super::epoch::{fence_row, lanes};
use super::log::{LogStore, log_id};
use super::prepared::{PrepareOptions, Start};
use crate::history::expect_witness;
use crate::progress::Progress;

pub(super) async fn begin_new<
    S: PositionSource + HistorySource + ChangeSource,
    B: LogStore,
    T: ControlStore,
>(
    source: &S,
    target: &T,
    logs: &B,
    options: &PrepareOptions,
    dialect: Dialect,
    progress: &Progress,
) -> Result<Start<B::Log>, Failure> {
    progress.step("creating the control tables");
    target.create_control().await?;
    kill_point("after control tables", "");
    progress.step("creating the change log");
    // The log begins here: from before this moment on, the source keeps what the log does not hold
    // yet.
    source.reserve(&options.new_migration_id).await?;
    let start = source.bookmark(&source.position().await?).await?;
    let unproved = expect_witness(&start, options.unproved)?;
    let id = log_id(&options.new_migration_id, Epoch(1));
    let log = logs.create(&id, &start, &options.source_name).await?;
    kill_point("after log creation", "");
    let migration = MigrationRow {
        id: options.new_migration_id.clone(),
        epoch: Epoch(1),
        stream: Some(StreamRow {
            log_id: log.id().0,
            start_position: start.position.clone(),
        }),
        source: options.source_name.clone(),
        schema: options.schema.clone(),
        dialect,
    };
    let reached = Checkpoint::whole(start);
    let main = fence_row(Epoch(1), Sequence::ZERO, &reached);
    target
        .begin_epoch(
            None,
            &migration,
            &lanes(Epoch(1), main.clone().into(), options.workers),
        )
        .await?;
    kill_point("after first epoch", "");
    Ok(Start {
        log,
        epoch: Epoch(1),
        main,
        reached,
        tables: BTreeMap::new(),
        definitions: BTreeMap::new(),
        ranges: BTreeMap::new(),
        left_out: LeftOut::new(),
        findings: Vec::from_iter(unproved),
    })
}
