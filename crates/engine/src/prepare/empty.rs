//! What must not be at the target of a new migration.

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::{ExistingTable, TargetDescription};
use spanferry_core::report::code;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::schema::target::TargetColumn;

/// Blocking findings, one per table that is in the way.
pub fn check_empty(plans: &[Arc<TablePlan>], description: &TargetDescription) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, existing) in &description.tables {
        let subject = Subject::TargetTable(name.clone());
        let reason = match plans.iter().find(|plan| &plan.target.name == name) {
            None => Some("it is not one of the migrated tables".to_owned()),
            Some(_) if existing.has_rows => Some("it has rows".to_owned()),
            Some(plan) if existing.misfit.is_none() && fits(plan, existing) => None,
            Some(_) => Some(
                existing
                    .misfit
                    .clone()
                    .unwrap_or_else(|| "its columns or key differ".to_owned()),
            ),
        };
        if let Some(reason) = reason {
            let text = format!("the target has a table `{name}` already: {reason}");
            let finding = Finding::new(code::TARGET_NOT_EMPTY, Severity::Blocking, subject, text);
            findings.push(finding.meaning_of(format!("the target has this table already: {reason}")));
        }
    }
    findings
}

/// Whether rows of the plan can be written to a table that was found. Defaults do not matter,
/// unless the plan leaves a column to them: how the table found fills it is not known.
fn fits(plan: &TablePlan, existing: &ExistingTable) -> bool {
    let found = existing.table.columns.iter();
    let planned = plan.target.columns.iter().map(|column| TargetColumn {
        by_target: None,
        ..column.clone()
    });
    plan.columns.len() == plan.target.columns.len()
        && existing.table.primary_key == plan.target.primary_key
        && found.eq(planned.collect::<Vec<_>>().iter())
}

#[cfg(test)]
mod tests {
    use spanferry_core::fixture::target_column;
    use spanferry_core::schema::target::ByTarget;
    use spanferry_core::value::encode::{ColumnPlan, Encoding};

    use super::*;
    use crate::fixture;

    #[test]
    fn an_empty_table_fits_whatever_its_defaults_are() {
        let filled = |by_target| TargetColumn {
            by_target,
            ..target_column("v")
        };
        let default = || Some(ByTarget::Default("7".to_owned()));
        let check = |planned: TargetColumn, written: usize, expected: bool| {
            let mut plan = TablePlan::clone(&fixture::table("t"));
            let column = |at| ColumnPlan::of_source(at, at, Encoding::Int64, false);
            plan.columns = (0..written).map(column).collect();
            plan.target.columns = vec![target_column("id"), planned];
            let mut found = plan.target.clone();
            found.columns[1].by_target = None;
            let existing = ExistingTable {
                table: found,
                has_rows: false,
                misfit: None,
            };
            assert_eq!(fits(&plan, &existing), expected);
        };
        check(filled(None), 2, true);
        check(filled(default()), 2, true);
        check(filled(default()), 1, false);
    }
}
