//! A new migration: its tables, its control tables, its change log, its first epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanferry_core::change_log::{ChangeLog, Sequence};
use spanferry_core::ddl;
use spanferry_core::failure::Failure;
use spanferry_core::plan::TablePlan;
use spanferry_core::reached::Reached;
use spanferry_core::source::SchemaSource;
use spanferry_core::target::{Epoch, MigrationRow, Target, TargetDescription};
use spanferry_kill_point::kill_point;

use super::epoch::{fence_row, fences};
use super::log::{LogStore, log_id};
use super::prepared::{PrepareOptions, Start};

pub(super) async fn begin_new<S: SchemaSource, B: LogStore, T: Target>(
    source: &S,
    target: &T,
    logs: &B,
    plans: &[Arc<TablePlan>],
    options: &PrepareOptions,
    description: &TargetDescription,
) -> Result<Start<B::Log>, Failure> {
    let missing = plans
        .iter()
        .filter(|plan| !description.tables.contains_key(&plan.target.name));
    let statements: Vec<String> = missing
        .map(|plan| ddl::create_table(&plan.target, description.dialect))
        .collect();
    kill_point("before tables", "");
    if !statements.is_empty() {
        target.run_ddl(&statements).await?;
    }
    kill_point("after tables", "");
    target.create_control().await?;
    kill_point("after control tables", "");
    let position = source.position().await?;
    let id = log_id(&options.new_migration_id, Epoch(1));
    let log = logs.create(&id, &position, &options.source_name).await?;
    kill_point("after log creation", "");
    let migration = MigrationRow {
        id: options.new_migration_id.clone(),
        epoch: Epoch(1),
        log_id: log.id().0,
        source: options.source_name.clone(),
        start_position: position.clone(),
        schema: options.schema.clone(),
        dialect: description.dialect,
    };
    let reached = Reached { position, torn: None };
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
        findings: Vec::new(),
    })
}
