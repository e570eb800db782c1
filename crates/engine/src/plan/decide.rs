//! The tables of a start: newly decided, or as recorded, and which of them must stop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use spanferry_core::mapping::convert;
use spanferry_core::mapping::known::Known;
use spanferry_core::plan::TablePlan;
use spanferry_core::port::target::{ControlState, Epoch, TablePhase};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::report::remedy::Remedy;
use spanferry_core::schema::definition::{TableDefinition, plans_of};
use spanferry_core::schema::difference::{Change, ConstraintChange, constraint_changes, difference};
use spanferry_core::schema::source::{QualifiedName, SourceTable};
use spanferry_core::schema::target::TargetColumn;

use super::today::{Place, Today};

/// A table of the migration whose group must stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStop {
    /// The table.
    pub table: QualifiedName,
    /// Why.
    pub finding: Finding,
}

/// The tables of a start.
#[derive(Debug, Clone)]
pub struct Planned {
    /// All tables of the migration, by name: newly decided, or exactly as recorded.
    pub plans: Vec<Arc<TablePlan>>,
    /// What the conversion of today's schema has to say, and what has changed since the record.
    pub findings: Vec<Finding>,
    /// Tables that cannot continue as recorded, each with one reason.
    pub stops: Vec<TableStop>,
    /// The record that this is made from; none if the tables are newly decided.
    pub(crate) record: Option<Vec<TableDefinition>>,
    /// The states of the tables that a change of the record was decided from; none if nothing was.
    phases: Option<BTreeMap<QualifiedName, TablePhase>>,
}

fn phases(control: &ControlState) -> BTreeMap<QualifiedName, TablePhase> {
    let rows = control.tables.iter();
    rows.map(|(table, row)| (table.clone(), row.phase)).collect()
}

/// Decides about the tables of a start. A migration whose first start died before it recorded its
/// tables is decided as if it were the first.
pub fn decide(today: &Today, control: Option<&ControlState>) -> Planned {
    match control.filter(|control| !control.tables.is_empty()) {
        None => decide_new(today),
        Some(control) => decide_known(today, control),
    }
}

fn decide_new(today: &Today) -> Planned {
    let known = Known {
        epoch: Epoch(1),
        cascades: Some(&today.cascades),
        ..Known::default()
    };
    let mapped = convert::map_known(today.selected.clone(), &known, &today.mapping);
    Planned {
        plans: mapped.plans.into_iter().map(Arc::new).collect(),
        findings: mapped.findings,
        stops: Vec::new(),
        record: None,
        phases: None,
    }
}

/// The recorded tables stay what they are; today's schema is only compared with them.
fn decide_known(today: &Today, control: &ControlState) -> Planned {
    let definitions: Vec<&TableDefinition> = recorded(control).collect();
    let known = Known {
        former: definitions.clone(),
        ..Known::default()
    };
    let mapped = convert::map_known(today.selected.clone(), &known, &today.mapping);
    let mut findings = mapped.findings;
    let mut stops = Vec::new();
    for definition in &definitions {
        let table = definition.name();
        match today.place(table) {
            Place::Selected(now) => {
                stops.extend(difference(definition, now).map(|difference| redefined(table, &difference)));
                let changes = constraint_changes(&definition.source, now);
                findings.extend(changes.iter().map(|change| constraint_changed(table, change)));
                let decided = mapped.plans.iter().find(|plan| plan.name() == table);
                findings.extend(
                    decided
                        .into_iter()
                        .flat_map(|plan| defaults_changed(definition, plan)),
                );
            }
            Place::Unselected => stops.push(unselected(table)),
            Place::Gone => stops.push(gone(table)),
        }
    }
    let names: BTreeSet<&QualifiedName> = definitions.iter().map(|known| known.name()).collect();
    let new = today.selected.iter().filter(|table| !names.contains(&table.name));
    findings.extend(new.map(created));
    Planned {
        plans: plans_of(definitions.iter().copied(), &today.estimates()),
        findings,
        stops,
        record: Some(control.definitions.values().cloned().collect()),
        phases: None,
    }
}

/// The definitions of the tables that the migration has.
pub(super) fn recorded(control: &ControlState) -> impl Iterator<Item = &TableDefinition> {
    let definitions = control.definitions.values();
    definitions.filter(|definition| control.tables.contains_key(definition.name()))
}

impl Planned {
    /// Whether the tables are those of a record, rather than newly decided.
    pub fn is_recorded(&self) -> bool {
        self.record.is_some()
    }

    /// The same tables for a process that changes the record of some and runs none: nothing stops.
    /// `control` is what that process has decided from: the states of the tables must still be
    /// these once it owns the migration.
    #[must_use]
    pub fn to_change(mut self, control: &ControlState) -> Planned {
        self.stops.clear();
        self.phases = Some(phases(control));
        self
    }

    /// Whether the process that these tables are for changes the record of some and runs none.
    pub(crate) fn is_to_change(&self) -> bool {
        self.phases.is_some()
    }

    /// The record must be the one that the plans were made from.
    pub(crate) fn expect_record(&self, found: Option<&ControlState>) -> Result<(), Failure> {
        let found = found.filter(|control| !control.tables.is_empty());
        let is_same = match (&self.record, found) {
            (None, None) => true,
            (Some(record), Some(control)) => {
                let in_phase = self.phases.as_ref().is_none_or(|known| *known == phases(control));
                in_phase && record.iter().eq(control.definitions.values())
            }
            (Some(_), None) | (None, Some(_)) => false,
        };
        if is_same {
            return Ok(());
        }
        let text = "another process has changed the record of its tables in this moment";
        let class = Class::StopMigration;
        Err(Failure::new(code::TARGET_FENCED, class, "target", text))
    }

    /// The definition of a table at the source differs from the record, or it is not there, or not
    /// selected: why.
    pub fn why_stopped(&self, table: &QualifiedName) -> Option<&Finding> {
        let stop = self.stops.iter().find(|stop| stop.table == *table);
        stop.map(|stop| &stop.finding)
    }

    /// Blocking findings about single tables stop those tables; they say more than the difference
    /// from the record that they make.
    pub fn stop_blocked(&mut self, blocking: &[Finding]) {
        let stop = |finding: &Finding| {
            let mut plans = self.plans.iter();
            let plan = plans.find(|plan| finding.subject.source_table() == Some(plan.name()))?;
            Some(TableStop {
                table: plan.name().clone(),
                finding: finding.clone(),
            })
        };
        let stops: Vec<TableStop> = blocking.iter().filter_map(stop).collect();
        self.stops.splice(0..0, stops);
    }
}

fn stop(table: &QualifiedName, code: code::Code, text: String) -> TableStop {
    let subject = Subject::table(table);
    TableStop {
        table: table.clone(),
        finding: Finding::new(code, Severity::Blocking, subject, text),
    }
}

fn redefined(table: &QualifiedName, difference: &str) -> TableStop {
    let text = format!("its definition at the source is no longer the one that is recorded: {difference}");
    let mut stop = stop(table, code::SCHEMA_MISMATCH, text);
    stop.finding = stop
        .finding
        .meaning_of("its definition at the source is no longer the one that is recorded");
    stop.finding.remedy = Some(Remedy::resync(table));
    stop
}

/// The stop of a table that the source does not show any more.
pub(super) fn gone(table: &QualifiedName) -> TableStop {
    let text = "it is not at the source any more, or the account may not see it".to_owned();
    let mut stop = stop(table, code::TABLE_GONE, text);
    stop.finding.remedy = Some(Remedy::forget(table));
    stop
}

/// The stop of a table that the selection leaves out.
pub(super) fn unselected(table: &QualifiedName) -> TableStop {
    let text = "it belongs to the migration and is not selected any more".to_owned();
    let mut stop = stop(table, code::TABLE_UNSELECTED, text);
    stop.finding.remedy = Some(Remedy::forget(table));
    stop
}

fn created(table: &SourceTable) -> Finding {
    let text =
        "it is not part of the migration: it was created since, or left out before, and is not carried";
    let subject = Subject::table(&table.name);
    let finding = Finding::new(code::TABLE_CREATED, Severity::Warning, subject, text);
    finding.remedy(Remedy::resync(&table.name))
}

/// The columns of which the source would have another default than their table was created with.
/// It is no default of a migrated row: nothing stops.
fn defaults_changed(definition: &TableDefinition, plan: &TablePlan) -> Vec<Finding> {
    let table = definition.name();
    let today = &plan.target.columns;
    let is_changed = |column: &&TargetColumn| {
        let mut same = today.iter().filter(|today| today.name == column.name);
        same.any(|today| today.by_target != column.by_target)
    };
    let changed = definition.target.columns.iter().filter(is_changed);
    let finding = |column: &TargetColumn| {
        let text = "its default at the source is another one than when the table was created; the target keeps what it was created with";
        let subject = Subject::part(table, &column.name);
        let finding = Finding::new(code::LEFT_OUT, Severity::Warning, subject, text);
        finding.remedy(Remedy::resync(table))
    };
    changed.map(finding).collect()
}

fn constraint_changed(table: &QualifiedName, change: &ConstraintChange) -> Finding {
    let word = match change.change {
        Change::Added => "was added at the source after the migration began; the target does not have it",
        Change::Dropped => "was dropped at the source after the migration began; the target keeps it",
    };
    let subject = Subject::part(table, change.name.clone());
    let text = format!("the {} {word}", change.kind);
    let finding = Finding::new(code::CONSTRAINT_CHANGED, Severity::Warning, subject, text);
    finding.remedy(Remedy::resync(table))
}
