//! One start, new or known, from the look at the target to a migration that is ready to run.

use std::sync::Arc;

use spanferry_core::failure::Failure;
use spanferry_core::plan::TablePlan;
use spanferry_core::source::{ChangeSource, HistorySource, SchemaSource};
use spanferry_core::target::Target;

use super::assemble::assemble;
use super::begin::begin_new;
use super::log::LogStore;
use super::prepared::{PrepareOptions, Prepared};
use super::take_over::take_over;
use crate::constraint;
use crate::progress::Progress;

/// Sets a new migration up, or takes a known one over. `progress` shows what it is doing, and then counts for the migration.
pub async fn prepare<S, B, T>(
    source: &S,
    target: Arc<T>,
    logs: &B,
    plans: Vec<Arc<TablePlan>>,
    options: &PrepareOptions,
    progress: &Arc<Progress>,
) -> Result<Prepared<B::Log, T>, Failure>
where
    S: SchemaSource + HistorySource + ChangeSource,
    B: LogStore,
    T: Target,
{
    progress.step("looking at the target");
    let dialect = target.describe().await?.dialect;
    let start = match target.read_control().await? {
        None => begin_new(source, target.as_ref(), logs, &plans, options, dialect, progress).await?,
        Some(state) => {
            progress.step("taking the migration over");
            take_over(source, target.as_ref(), logs, &plans, options, state).await?
        }
    };
    let prepared = assemble(start, target, plans, options, dialect, progress).await?;
    let objects = prepared.shared.target.schema_objects().await?;
    constraint::compare_with_target(&prepared.registry, &prepared.control, dialect, &objects).await?;
    Ok(prepared)
}
