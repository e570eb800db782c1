//! Which tables `verify` compares, and why it does not compare the others.

use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::{ControlState, TablePhase};
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_core::schema::source::QualifiedName;

use super::survey::Survey;

/// Why a table is not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotCompared {
    /// The migration has it, the source has not.
    Gone,
    /// The selection leaves it out.
    Unselected,
    /// It is selected, and the migration has not recorded it: it was created later, or the first
    /// start ended before it recorded any table.
    NotCarried,
    /// The source's own catalog has it, and no plan was made for it.
    Unseen,
    /// The source has another definition of it than the record.
    Redefined,
    /// Every table of the migration is stopped, and the source has changed since.
    Stopped,
}

/// The tables of a comparison.
#[derive(Debug, Clone)]
pub struct Comparable {
    /// Those that are compared.
    pub plans: Vec<Arc<TablePlan>>,
    /// Those that are not, each with its reason.
    pub others: Vec<(QualifiedName, NotCompared)>,
}

impl Comparable {
    /// The tables that the target holds as they are at the source.
    pub fn of(survey: &Survey, control: &ControlState) -> Comparable {
        let selected = survey.today.selected.iter().map(|table| &table.name);
        let new = selected.filter(|name| !control.tables.contains_key(name));
        let mut others: Vec<_> = new.map(|name| (name.clone(), NotCompared::NotCarried)).collect();
        let mut plans = survey.planned.plans.clone();
        plans.retain(|plan| control.tables.contains_key(plan.name()));
        plans.retain(|plan| {
            let stop = survey.planned.why_stopped(plan.name());
            let why = stop.map(|finding| match finding.code {
                code if code == code::TABLE_GONE => NotCompared::Gone,
                code if code == code::TABLE_UNSELECTED => NotCompared::Unselected,
                _other => NotCompared::Redefined,
            });
            others.extend(why.map(|why| (plan.name().clone(), why)));
            why.is_none()
        });
        Comparable { plans, others }
    }

    /// None of the tables can be compared, because all are stopped. The plans that were to be
    /// compared.
    pub fn stop_all(&mut self) -> Vec<Arc<TablePlan>> {
        let plans = std::mem::take(&mut self.plans);
        let stopped = plans
            .iter()
            .map(|plan| (plan.name().clone(), NotCompared::Stopped));
        self.others.extend(stopped);
        plans
    }

    /// Adds the tables that the migration carries, or that the source's own catalog shows, and that
    /// are neither compared nor named yet.
    pub fn add_others(
        &mut self,
        shown: &[QualifiedName],
        control: &ControlState,
        selects: impl Fn(&QualifiedName) -> bool,
    ) {
        let carried = control.tables.keys().map(|name| {
            let why = if selects(name) {
                NotCompared::Gone
            } else {
                NotCompared::Unselected
            };
            (name, why)
        });
        let shown = shown.iter().filter(|name| selects(name));
        let shown = shown.map(|name| (name, NotCompared::Unseen));
        for (name, why) in carried.chain(shown) {
            let is_known = self.plans.iter().any(|plan| plan.name() == name)
                || self.others.iter().any(|(known, _)| known == name);
            if !is_known {
                self.others.push((name.clone(), why));
            }
        }
    }
}

/// Whether the source is ahead and no drain changes that: once every table has stopped, `migrate`
/// applies nothing.
pub fn no_drain_helps(failure: &Failure, control: &ControlState) -> bool {
    let mut tables = control.tables.values();
    failure.code == code::SOURCE_AHEAD && tables.all(|row| row.phase == TablePhase::Stopped)
}
