//! A new migration: its tables, its control tables, its change log, its first epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanferry_core::change_log::{ChangeLog, Sequence};
use spanferry_core::ddl;
use spanferry_core::failure::Failure;
use spanferry_core::plan::TablePlan;
use spanferry_core::reached::Reached;
use spanferry_core::source::{HistorySource, SchemaSource};
use spanferry_core::target::{Epoch, LeftOut, MigrationRow, Target};
use spanferry_core::target_schema::Dialect;
use spanferry_kill_point::kill_point;

use super::epoch::{fence_row, fences};
use super::log::{LogStore, log_id};
use super::prepared::{PrepareOptions, Start};
use crate::history::expect_witness;
use crate::progress::Progress;
use crate::schema_change::{Object, Wanted, create_missing};

/// Tables that are created before the next are begun: so often the progress is shown.
const TABLES_AT_ONCE: usize = 50;

pub(super) async fn begin_new<S: SchemaSource + HistorySource, B: LogStore, T: Target>(
    source: &S,
    target: &T,
    logs: &B,
    plans: &[Arc<TablePlan>],
    options: &PrepareOptions,
    dialect: Dialect,
    progress: &Progress,
) -> Result<Start<B::Log>, Failure> {
    let wanted: Vec<Wanted> = plans
        .iter()
        .map(|plan| Wanted {
            object: Object::Table(plan.target.name.clone()),
            statement: ddl::create_table(&plan.target, dialect),
        })
        .collect();
    kill_point("before tables", "");
    for (number, batch) in wanted.chunks(TABLES_AT_ONCE).enumerate() {
        progress.step_of("creating tables", number * TABLES_AT_ONCE, wanted.len());
        // A migration does not begin without a table that it was asked for.
        if let Some((_, failure)) = create_missing(target, batch).await?.refused.into_iter().next() {
            return Err(failure);
        }
    }
    kill_point("after tables", "");
    progress.step("creating the control tables");
    target.create_control().await?;
    kill_point("after control tables", "");
    progress.step("creating the change log");
    let start = source.bookmark(&source.position().await?).await?;
    let unproved = expect_witness(&start, options.unproved)?;
    let id = log_id(&options.new_migration_id, Epoch(1));
    let log = logs.create(&id, &start, &options.source_name).await?;
    kill_point("after log creation", "");
    let migration = MigrationRow {
        id: options.new_migration_id.clone(),
        epoch: Epoch(1),
        log_id: log.id().0,
        source: options.source_name.clone(),
        start_position: start.position.clone(),
        schema: options.schema.clone(),
        dialect,
    };
    let reached = Reached::whole(start);
    let main = fence_row(Epoch(1), Sequence::ZERO, &reached);
    target
        .begin_epoch(None, &migration, &fences(Epoch(1), &main, options.workers))
        .await?;
    kill_point("after first epoch", "");
    Ok(Start {
        log,
        epoch: Epoch(1),
        main,
        reached,
        tables: BTreeMap::new(),
        ranges: BTreeMap::new(),
        left_out: LeftOut::new(),
        findings: Vec::from_iter(unproved),
    })
}
