//! The tables at the target of which nothing is loaded yet: they are created as they are recorded, where they are missing.

use std::sync::Arc;

use spanferry_core::ddl;
use spanferry_core::failure::Failure;
use spanferry_core::finding::{Finding, Severity, Subject};
use spanferry_core::plan::TablePlan;
use spanferry_core::remedy::Remedy;
use spanferry_core::target::{TablePhase, Target};
use spanferry_kill_point::kill_point;

use super::prepared::Prepared;
use super::record::record_stops;
use crate::plan::TableStop;
use crate::schema_change::{Object, Wanted, create_missing};

/// Tables that are created before the next are begun: so often the progress is shown.
const TABLES_AT_ONCE: usize = 50;

/// Creates the tables that are still to be loaded from their beginning. The group of a table that the target refuses stops for
/// that reason; the others go on.
pub(super) async fn create_tables<L, T: Target>(prepared: &Prepared<L, T>) -> Result<(), Failure> {
    let (registry, progress) = (&prepared.registry, &prepared.shared.progress);
    let is_new = |plan: &&Arc<TablePlan>| {
        let row = registry.row(plan.id);
        row.phase == TablePhase::Pending && row.low.is_none()
    };
    let plans: Vec<&Arc<TablePlan>> = registry.plans().iter().filter(is_new).collect();
    let mut refused = Vec::new();
    kill_point("before tables", "");
    for (number, batch) in plans.chunks(TABLES_AT_ONCE).enumerate() {
        progress.step_of("creating tables", number * TABLES_AT_ONCE, plans.len());
        let wanted: Vec<Wanted> = batch
            .iter()
            .map(|plan| Wanted {
                object: Object::Table(plan.target.name.clone()),
                statement: ddl::create_table(&plan.target, prepared.dialect),
            })
            .collect();
        let failures = create_missing(prepared.shared.target.as_ref(), &wanted)
            .await?
            .refused;
        refused.extend(
            failures
                .iter()
                .map(|(place, failure)| stop(batch[*place], failure)),
        );
    }
    kill_point("after tables", "");
    record_stops(registry, &prepared.control, &refused).await
}

fn stop(plan: &TablePlan, failure: &Failure) -> TableStop {
    let table = &plan.name().table;
    let subject = Subject::table(table.clone());
    let text = format!("the target refuses to create it: {}", failure.reason());
    let finding = Finding::new(failure.code, Severity::Blocking, subject, text);
    TableStop {
        table: plan.name().clone(),
        finding: finding.remedy(Remedy::resync(table)),
    }
}
