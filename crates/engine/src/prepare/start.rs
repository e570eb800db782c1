//! One start, new or known, from the look at the target to a migration that is ready to run.

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::{ChangeSource, HistorySource, PositionSource};
use spanferry_core::port::target::{Committer, ControlStore, SchemaTarget};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};

use super::assemble::assemble;
use super::begin::begin_new;
use super::log::LogStore;
use super::prepared::{PrepareOptions, Prepared};
use super::record::{record_new, record_returns, record_stops};
use super::tables::{create_tables, missing_tables};
use super::take_over::take_over;
use crate::constraint;
use crate::plan::Planned;
use crate::progress::Progress;

/// Sets a new migration up, or takes a known one over. `progress` shows what it is doing, and then
/// counts for the migration.
///
/// `planned` was decided from the record that is found here; if the record has changed since,
/// another process is at work.
pub async fn prepare<S, B, T>(
    source: &S,
    target: Arc<T>,
    logs: &B,
    planned: &Planned,
    options: &PrepareOptions,
    progress: &Arc<Progress>,
) -> Result<Prepared<B::Log, T>, Failure>
where
    S: PositionSource + HistorySource + ChangeSource,
    B: LogStore,
    T: Committer + ControlStore + SchemaTarget,
{
    expect_built(&planned.plans)?;
    progress.step("looking at the target");
    let dialect = target.describe().await?.dialect;
    let control = target.read_control().await?;
    // Nothing is taken over if the record has changed already; `take_over` looks again once no
    // other process can change it.
    planned.expect_record(control.as_ref())?;
    let start = match control {
        None => begin_new(source, target.as_ref(), logs, options, dialect, progress).await?,
        Some(state) => {
            progress.step("taking the migration over");
            take_over(source, target.as_ref(), logs, planned, options, state).await?
        }
    };
    let left = start.definitions.clone();
    let prepared = assemble(start, target, planned, options, dialect, progress).await?;
    if planned.record.is_none() {
        record_new(&prepared.registry, &prepared.control, &left).await?;
    } else {
        record_stops(&prepared.registry, &prepared.control, &planned.stops).await?;
        record_returns(&prepared.registry, &prepared.control, &planned.stops).await?;
    }
    create_tables(&prepared).await?;
    let objects = prepared.shared.target.schema_objects().await?;
    if !planned.is_to_change() {
        let missing = missing_tables(&prepared.registry, &objects);
        record_stops(&prepared.registry, &prepared.control, &missing).await?;
    }
    constraint::compare_with_target(&prepared.registry, &prepared.control, dialect, &objects).await?;
    Ok(prepared)
}

/// Every plan must be one that this release can run.
fn expect_built(plans: &[Arc<TablePlan>]) -> Result<(), Failure> {
    let refused = plans
        .iter()
        .find_map(|plan| Some((plan.name(), plan.not_built()?)));
    refused.map_or(Ok(()), |(table, what)| {
        let class = Class::StopMigration;
        let text = format!("its plan has {what}");
        Err(Failure::new(code::PLAN_NOT_BUILT, class, table.to_string(), text))
    })
}

#[cfg(test)]
mod tests {
    use spanferry_core::plan::TargetKey;

    use super::*;
    use crate::fixture;

    #[test]
    fn a_plan_that_cannot_run_is_refused_with_its_table() {
        let plain = fixture::table("plain");
        expect_built(std::slice::from_ref(&plain)).unwrap();
        let mut keyless = TablePlan::clone(&fixture::table("keyless"));
        keyless.target_key = TargetKey::Multiset([0, 1]);
        let failure = expect_built(&[plain, Arc::new(keyless)]).unwrap_err();
        assert_eq!(failure.code, code::PLAN_NOT_BUILT);
        assert!(failure.object.ends_with("keyless"), "{}", failure.object);
    }
}
