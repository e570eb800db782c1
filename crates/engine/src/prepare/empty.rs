//! What must not be at the target of a new migration.

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::{ExistingTable, TargetDescription};
use spanferry_core::report::code;
use spanferry_core::report::finding::{Finding, Severity, Subject};

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
            findings.push(Finding::new(
                code::TARGET_NOT_EMPTY,
                Severity::Blocking,
                subject,
                text,
            ));
        }
    }
    findings
}

fn fits(plan: &TablePlan, existing: &ExistingTable) -> bool {
    existing.table.columns == plan.target.columns && existing.table.primary_key == plan.target.primary_key
}
