//! The tables at the target of which nothing is loaded yet: they are created as they are recorded,
//! where they are missing.

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::{Committer, SchemaObjects, SchemaTarget, TablePhase};
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::report::remedy::Remedy;
use spanferry_core::schema::ddl;
use spanferry_kill_point::kill_point;

use super::prepared::PreparedLoad;
use super::record::record_stops;
use crate::plan::TableStop;
use crate::registry::Registry;
use crate::schema_change::{Object, Wanted, create_missing};

/// Creates the tables that are still to be loaded from their beginning. The group of a table that
/// the target refuses stops for that reason; the others continue.
pub(super) async fn create_tables<T: Committer + SchemaTarget>(
    load: &PreparedLoad<T>,
) -> Result<(), Failure> {
    let (registry, progress) = (&load.registry, &load.shared.progress);
    let is_new = |plan: &&Arc<TablePlan>| {
        let row = registry.row(plan.id);
        row.phase == TablePhase::Pending && row.low.is_none()
    };
    let plans: Vec<&Arc<TablePlan>> = registry.plans().iter().filter(is_new).collect();
    let wanted = plans.iter().map(|plan| Wanted {
        object: Object::Table(plan.target.name.clone()),
        statement: ddl::create_table(&plan.target, load.dialect),
    });
    let wanted: Vec<Wanted> = wanted.collect();
    kill_point("before tables", "");
    let target = load.shared.target.as_ref();
    let created = create_missing(target, "tables", &wanted, |step| progress.step(step)).await?;
    let refused = created.refused.iter();
    let refused: Vec<TableStop> = refused
        .map(|(place, failure)| stop(plans[*place], failure))
        .collect();
    kill_point("after tables", "");
    record_stops(registry, &load.control, &refused).await
}

/// Stops for the tables that were created before and that the target does not have: they were
/// dropped there. A change would be refused only when it arrives, and until then the table would
/// count as complete. `objects` is read after `create_tables`.
pub(super) fn missing_tables(registry: &Registry, objects: &SchemaObjects) -> Vec<TableStop> {
    let is_missing = |plan: &&Arc<TablePlan>| {
        registry.phase(plan.id) != TablePhase::Stopped && !objects.tables.contains(&plan.target.name)
    };
    let missing = registry.plans().iter().filter(is_missing);
    missing.map(|plan| missing_table(plan)).collect()
}

fn missing_table(plan: &TablePlan) -> TableStop {
    let (table, target) = (plan.name(), &plan.target.name);
    let subject = Subject::table(table);
    let text = format!("its table `{target}` is not at the target any more");
    let finding = Finding::new(code::TARGET_TABLE_MISSING, Severity::Blocking, subject, text)
        .meaning_of("its table is not at the target any more");
    TableStop {
        table: plan.name().clone(),
        finding: finding.remedy(Remedy::resync(table)),
    }
}

fn stop(plan: &TablePlan, failure: &Failure) -> TableStop {
    let table = plan.name();
    let subject = Subject::table(table);
    let text = format!("the target refuses to create it: {}", failure.reason());
    let finding = Finding::new(failure.code, Severity::Blocking, subject, text);
    TableStop {
        table: plan.name().clone(),
        finding: finding.remedy(Remedy::resync(table)),
    }
}

#[cfg(test)]
mod tests {
    use spanferry_core::report::code::Code;

    use super::*;
    use crate::fixture;
    use crate::progress::Progress;

    #[test]
    fn a_table_that_was_dropped_at_the_target_stops() {
        let check = |phase: TablePhase, tables: &[&str], expected: &[Code]| {
            let rows = vec![fixture::row("t", phase, None)];
            let registry = Registry::new(vec![fixture::table("t")], rows, Arc::new(Progress::default()));
            let objects = SchemaObjects {
                tables: tables.iter().map(|name| (*name).to_owned()).collect(),
                ..SchemaObjects::default()
            };
            let stops = missing_tables(&registry, &objects);
            let codes: Vec<Code> = stops.iter().map(|stop| stop.finding.code).collect();
            assert_eq!(codes, expected, "{phase:?}");
        };
        let missing = [code::TARGET_TABLE_MISSING];
        check(TablePhase::Constrained, &["t"], &[]);
        check(TablePhase::Constrained, &["other"], &missing);
        check(TablePhase::Joined, &[], &missing);
        check(TablePhase::Loading, &[], &missing);
        // It has stopped for its own reason.
        check(TablePhase::Stopped, &[], &[]);
    }
}
