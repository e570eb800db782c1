//! One start, new or known, from the look at the target to a migration that is ready to run.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::{ChangeSource, HistorySource, PositionSource};
use spanferry_core::port::target::{Committer, ControlState, ControlStore, SchemaTarget};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::schema::definition::TableDefinition;
use spanferry_core::schema::source::QualifiedName;
use spanferry_core::schema::target::Dialect;
use spanferry_kill_point::kill_point;

use super::assemble::{Parts, with_stream};
use super::claim::{Claim, expect_no_stream, next_epoch, refuse_foreign};
use super::epoch::{load_lanes, stream_lanes};
use super::log::LogStore;
use super::open_log::{create_log, open_log};
use super::prepared::{ClaimOptions, PrepareOptions, Prepared, PreparedLoad};
use super::record::{record_new, record_returns, record_stops};
use super::tables::{create_tables, missing_tables};
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
    let (dialect, found) = look(target.as_ref(), planned, &options.claim, progress).await?;
    let log = match &found {
        None => {
            progress.step("creating the change log");
            create_log(source, logs, options).await?
        }
        Some(state) => open_log(source, logs, options, state).await?,
    };
    let epoch = next_epoch(found.as_ref().map(|state| &state.migration));
    let mut lanes = stream_lanes(epoch, log.main.clone());
    lanes.extend(load_lanes(epoch, options.claim.workers));
    let claim = Claim {
        planned,
        options: &options.claim,
        dialect,
        found: found.as_ref().map(|state| &state.migration),
        stream: Some(log.row.clone()),
        lanes,
    };
    let state = claim.take(target.as_ref()).await?;
    let log = log.owned(source, &state, options.unproved).await?;
    let left = state.definitions.clone();
    let parts = Parts {
        state,
        target,
        planned,
        workers: options.claim.workers,
        dialect,
        progress,
        reached: Some(&log.reached),
    };
    let load = parts.assemble().await?;
    let prepared = with_stream(load, log, options.unproved);
    set_up(&prepared.load, planned, &left).await?;
    Ok(prepared)
}

/// Sets a new load without a stream up, or takes a known one over. `planned` and `progress` are as
/// for [`prepare`].
pub async fn prepare_load<T>(
    target: Arc<T>,
    planned: &Planned,
    options: &ClaimOptions,
    progress: &Arc<Progress>,
) -> Result<PreparedLoad<T>, Failure>
where
    T: Committer + ControlStore + SchemaTarget,
{
    let (dialect, found) = look(target.as_ref(), planned, options, progress).await?;
    let found = found.map(|state| state.migration);
    found.as_ref().map_or(Ok(()), expect_no_stream)?;
    let claim = Claim {
        planned,
        options,
        dialect,
        found: found.as_ref(),
        stream: None,
        lanes: load_lanes(next_epoch(found.as_ref()), options.workers),
    };
    let state = claim.take(target.as_ref()).await?;
    let left = state.definitions.clone();
    let parts = Parts {
        state,
        target,
        planned,
        workers: options.workers,
        dialect,
        progress,
        reached: None,
    };
    let load = parts.assemble().await?;
    set_up(&load, planned, &left).await?;
    Ok(load)
}

/// Looks at the target before anything is changed: its dialect, and the control state of a known
/// migration. A new one gets its control tables.
async fn look<T: ControlStore + SchemaTarget>(
    target: &T,
    planned: &Planned,
    options: &ClaimOptions,
    progress: &Progress,
) -> Result<(Dialect, Option<ControlState>), Failure> {
    expect_built(&planned.plans)?;
    progress.step("looking at the target");
    let dialect = target.describe().await?.dialect;
    let found = target.read_control().await?;
    // Nothing is taken over if the record has changed already; the claim looks again once no other
    // process can change it.
    planned.expect_record(found.as_ref())?;
    match &found {
        Some(state) => {
            progress.step("taking the migration over");
            refuse_foreign(&state.migration, options)?;
        }
        None => {
            progress.step("creating the control tables");
            target.create_control().await?;
            kill_point("after control tables", "");
        }
    }
    Ok((dialect, found))
}

/// Records what a new migration is built from, or what has changed since a known one was recorded,
/// and makes the target's tables agree with it. `left` are the definitions that were found.
async fn set_up<T: Committer + SchemaTarget>(
    load: &PreparedLoad<T>,
    planned: &Planned,
    left: &BTreeMap<QualifiedName, TableDefinition>,
) -> Result<(), Failure> {
    let (registry, control) = (&load.registry, &load.control);
    if planned.record.is_none() {
        record_new(registry, control, left).await?;
    } else {
        record_stops(registry, control, &planned.stops).await?;
        record_returns(registry, control, &planned.stops).await?;
    }
    create_tables(load).await?;
    let objects = load.shared.target.schema_objects().await?;
    if !planned.is_to_change() {
        let missing = missing_tables(registry, &objects);
        record_stops(registry, control, &missing).await?;
    }
    constraint::compare_with_target(registry, control, load.dialect, &objects).await
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
