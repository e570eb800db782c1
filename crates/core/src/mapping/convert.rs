//! The conversion of a schema: what is decided about tables becomes plans and groups, with a
//! finding for all that changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::mapping::cascade::record_cascades;
use crate::mapping::check::check;
use crate::mapping::decide::decide;
use crate::mapping::decision::{
    ColumnDecision, Decisions, DefaultDecision, Filling, KeyReason, PartChoices, TableDecision,
};
use crate::mapping::findings::{report_schema, report_table};
use crate::mapping::groups::group_tables;
use crate::mapping::index::{
    decide_foreign_keys, decide_indexes, index_count_excess, target_foreign_key, target_index,
};
use crate::mapping::index_decision::{ForeignKeyDecision, IndexDecision};
use crate::mapping::index_findings::{report_foreign_key, report_index, report_index_count, report_name};
use crate::mapping::known::Known;
use crate::mapping::naming::{name_foreign_keys, name_indexes};
use crate::mapping::options::MappingOptions;
use crate::plan::backing::count_backing_indexes;
use crate::plan::cascade::TableCascades;
use crate::plan::{GroupId, SchemaVersion, TableId, TablePlan, TargetKey};
use crate::report::finding::Finding;
use crate::schema::definition::{Estimates, plans_of};
use crate::schema::source::{QualifiedName, SourceTable};
use crate::schema::target::{TargetColumn, TargetTable};
use crate::value::encode::ColumnPlan;

/// The result of the conversion.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// One plan a table, by name, the fixed ones among them; `TableId`s are places in this list.
    pub plans: Vec<TablePlan>,
    /// Everything that is left out, carried in another form, or cannot be carried.
    pub findings: Vec<Finding>,
    /// What is decided about the indexes of the tables that were converted.
    pub indexes: Vec<IndexDecision>,
    /// What is decided about their foreign keys.
    pub foreign_keys: Vec<ForeignKeyDecision>,
}

/// Converts the tables of a new migration.
pub fn map(tables: Vec<SourceTable>, options: &MappingOptions) -> Mapping {
    map_known(tables, &Known::default(), options)
}

/// Converts tables by rule. Those that cannot be carried have a blocking finding and, where they
/// lack a key, no plan.
pub fn map_known(tables: Vec<SourceTable>, known: &Known<'_>, options: &MappingOptions) -> Mapping {
    map_decided(decide(tables, known, options), known)
}

/// The plans of what is decided, and what is worth knowing about it. `known` is what was known when
/// it was decided.
pub fn map_decided(decisions: Decisions, known: &Known<'_>) -> Mapping {
    let mut findings = Vec::new();
    report_schema(&decisions, &mut findings);
    for table in &decisions.tables {
        report_table(table, &check(table), &mut findings);
    }
    let decided = decisions.tables.iter();
    let keyed = decided.filter(|table| table.key.reason != KeyReason::Missing);
    let mut plans: Vec<TablePlan> = keyed.map(plan).collect();
    let fixed = plans_of(known.fixed.iter().copied(), &Estimates::new());
    let (indexes, foreign_keys) = decide_parts(&decisions, &plans, &fixed, known);
    report_parts(&plans, &indexes, &foreign_keys, &mut findings);
    add_parts(&mut plans, &indexes, &foreign_keys);
    plans.extend(fixed.into_iter().map(Arc::unwrap_or_clone));
    plans.sort_by(|left, right| left.name().cmp(right.name()));
    for (id, plan) in (0..).zip(&mut plans) {
        plan.id = TableId(id);
    }
    count_backing_indexes(&mut plans);
    for excess in plans.iter().filter_map(index_count_excess) {
        report_index_count(&excess, &mut findings);
    }
    group_tables(&mut plans, known);
    record_cascades(&mut plans, known);
    Mapping {
        plans,
        findings,
        indexes,
        foreign_keys,
    }
}

/// Decides about the indexes and foreign keys of tables that have plans without them.
fn decide_parts(
    decisions: &Decisions,
    plans: &[TablePlan],
    fixed: &[Arc<TablePlan>],
    known: &Known<'_>,
) -> (Vec<IndexDecision>, Vec<ForeignKeyDecision>) {
    let tables = decisions.tables.iter();
    let choices: BTreeMap<&QualifiedName, &PartChoices> =
        tables.map(|table| (&table.source.name, &table.parts)).collect();
    let (mut indexes, mut foreign_keys) = (Vec::new(), Vec::new());
    for plan in plans {
        let choices = choices[plan.name()];
        indexes.extend(decide_indexes(plan, choices, decisions.options.dialect));
        foreign_keys.extend(decide_foreign_keys(plan, choices, plans, fixed));
    }
    let mut names = decisions.names.clone();
    name_indexes(&mut indexes, plans, known, &mut names);
    name_foreign_keys(&mut foreign_keys, plans, known, &mut names);
    (indexes, foreign_keys)
}

/// Gives the plans the indexes and foreign keys that the decisions keep.
fn add_parts(plans: &mut [TablePlan], indexes: &[IndexDecision], foreign_keys: &[ForeignKeyDecision]) {
    let names = plans.iter().map(|plan| plan.name().clone());
    let places: BTreeMap<QualifiedName, usize> = names.zip(0..).collect();
    for decision in indexes {
        let plan = &mut plans[places[&decision.table]];
        let made = target_index(plan, decision);
        plan.target.indexes.extend(made);
    }
    for decision in foreign_keys {
        let plan = &mut plans[places[&decision.table]];
        let made = target_foreign_key(plan, decision);
        plan.target.foreign_keys.extend(made);
    }
}

/// Prints what was decided about indexes, then about foreign keys; names come behind the outcomes.
fn report_parts(
    plans: &[TablePlan],
    indexes: &[IndexDecision],
    foreign_keys: &[ForeignKeyDecision],
    findings: &mut Vec<Finding>,
) {
    let tables: BTreeMap<&QualifiedName, &SourceTable> = plans
        .iter()
        .map(|plan| (plan.name(), plan.source.as_ref()))
        .collect();
    for index in indexes {
        report_index(tables[&index.table], index, findings);
    }
    for index in indexes {
        if let Some(name) = index.target_name() {
            let table = tables[&index.table];
            report_name(table, &table.indexes[index.source].name, name, findings);
        }
    }
    for key in foreign_keys {
        report_foreign_key(tables[&key.table], key, findings);
    }
    for key in foreign_keys {
        if let Some(name) = key.target_name() {
            let table = tables[&key.table];
            report_name(table, &table.foreign_keys[key.source].name, name, findings);
        }
    }
}

/// The plan of a decided table, without indexes and foreign keys.
fn plan(table: &TableDecision) -> TablePlan {
    let mut columns = Vec::new();
    // The place of each column of the target among those that are written.
    let mut written = Vec::new();
    for (target, column) in table.columns.iter().enumerate() {
        written.push(columns.len());
        if let Filling::Written(input) = &column.filling {
            columns.push(ColumnPlan {
                input: input.clone(),
                target,
                encoding: column.encoding,
                not_null: column.not_null,
            });
        }
    }
    TablePlan {
        id: TableId(0),
        group: GroupId(0),
        source: Arc::clone(&table.source),
        target: TargetTable {
            name: table.name.name.clone(),
            columns: table.columns.iter().map(target_column).collect(),
            primary_key: table.key.target.clone(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
        },
        columns,
        source_key: table.key.source.clone(),
        target_key: TargetKey::Columns(table.key.target.iter().map(|at| written[*at]).collect()),
        version: SchemaVersion::FIRST,
        backing_indexes: 0,
        counted_from: table.counted_from,
        cascades: TableCascades::default(),
    }
}

fn target_column(column: &ColumnDecision) -> TargetColumn {
    TargetColumn {
        name: column.name.name.clone(),
        ty: column.ty,
        not_null: column.not_null,
        by_target: match &column.filling {
            Filling::Written(_) => column
                .default
                .as_ref()
                .and_then(DefaultDecision::created)
                .cloned(),
            Filling::ByTarget(by_target) => Some(by_target.clone()),
        },
    }
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "index_tests.rs"]
mod index_tests;

#[cfg(test)]
#[path = "index_decision_tests.rs"]
mod index_decision_tests;
