//! The rules for indexes and foreign keys, for tables whose columns are decided.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::mapping::column::{folding, key_refusal};
use crate::mapping::decision::{NameDecision, PartChoice, PartChoices};
use crate::mapping::index_decision::{
    ForeignKeyChange, ForeignKeyDecision, ForeignKeyOutcome, ForeignKeyReason, IndexChange, IndexCountExcess,
    IndexDecision, IndexOutcome, IndexReason, KeptForeignKey, KeptIndex,
};
use crate::mapping::key_limits::index_excess;
use crate::plan::TablePlan;
use crate::plan::backing::column_names;
use crate::schema::source::{ForeignKeyAction, IndexPart, SourceForeignKey, SourceIndex, SourceType};
use crate::schema::target::{Dialect, TargetForeignKey, TargetIndex, TargetType};

/// Most secondary indexes of a table.
pub(super) const INDEXES_MAX: usize = 128;

/// Decides about the indexes of a table. They have the names that a person has asked for, and no
/// others yet.
pub(crate) fn decide_indexes(
    plan: &TablePlan,
    choices: &PartChoices,
    dialect: Dialect,
) -> Vec<IndexDecision> {
    let decide = |(at, index): (usize, &SourceIndex)| {
        let choice = choices.indexes.get(&at);
        let outcome = match (choice, decide_index(plan, index, dialect)) {
            (Some(PartChoice::Exclude), by_rule) => IndexOutcome::Excluded(by_rule.err()),
            (Some(PartChoice::Name(_)) | None, Ok(kept)) => IndexOutcome::Kept(kept),
            (Some(PartChoice::Name(_)) | None, Err(reason)) => IndexOutcome::LeftOut(reason),
        };
        IndexDecision {
            table: plan.name().clone(),
            source: at,
            name: choice.and_then(PartChoice::asked_name).map(NameDecision::asked),
            outcome,
        }
    };
    plan.source.indexes.iter().enumerate().map(decide).collect()
}

fn decide_index(plan: &TablePlan, index: &SourceIndex, dialect: Dialect) -> Result<KeptIndex, IndexReason> {
    if !finds_whole_values(&index.kind) {
        return Err(IndexReason::Kind(index.kind.clone()));
    }
    // The same columns by their places in the target and in the plan.
    let (mut columns, mut own) = (Vec::new(), Vec::new());
    let mut folded = Vec::new();
    let mut changes = BTreeSet::new();
    for part in &index.parts {
        match part {
            IndexPart::Expression { text } => return Err(IndexReason::Expression(text.clone())),
            IndexPart::Column { prefix: Some(_), .. } if index.unique => {
                return Err(IndexReason::UniqueOverPrefix);
            }
            IndexPart::Column {
                column,
                descending,
                prefix,
            } => {
                if prefix.is_some() {
                    changes.insert(IndexChange::WholeColumn);
                }
                let at = plan.column_of(*column).ok_or(IndexReason::ColumnLeftOut)?;
                let ty = plan.source.columns[*column].ty.logical();
                if let Some(why) = key_refusal(&ty).filter(|_| index.unique) {
                    return Err(IndexReason::UniqueOver(why));
                }
                let target = plan.columns[at].target;
                check_indexable(plan.target.columns[target].ty, dialect)?;
                own.push(at);
                folded.extend(folding(&ty));
                columns.push((target, *descending));
            }
        }
    }
    if own == plan.key() && columns.iter().all(|(_, descending)| !descending) {
        return Err(IndexReason::SameAsPrimaryKey);
    }
    if let Some(excess) = index_excess(plan, &own) {
        return Err(IndexReason::Excess(excess));
    }
    let is_nullable = |(column, _): &(usize, bool)| !plan.target.columns[*column].not_null;
    if index.unique {
        changes.extend(folded.into_iter().next().map(IndexChange::Folding));
        let nullable = columns.iter().any(is_nullable);
        changes.extend(nullable.then_some(IndexChange::NullFiltered));
    }
    Ok(KeptIndex {
        columns,
        changes: changes.into_iter().collect(),
    })
}

/// Whether an index of this kind finds rows by whole values. An index of any other kind, also of
/// one that is not known, does something that no index of the target does.
fn finds_whole_values(kind: &str) -> bool {
    ["BTREE", "HASH"]
        .iter()
        .any(|known| kind.eq_ignore_ascii_case(known))
}

fn check_indexable(ty: TargetType, dialect: Dialect) -> Result<(), IndexReason> {
    match ty {
        TargetType::Json | TargetType::Array { .. } => Err(IndexReason::TypeNotIndexable),
        TargetType::Numeric if dialect == Dialect::PostgreSql => Err(IndexReason::NumericInDialect),
        TargetType::Numeric
        | TargetType::Bool
        | TargetType::Int64
        | TargetType::Float32
        | TargetType::Float64
        | TargetType::String(_)
        | TargetType::Bytes(_)
        | TargetType::Date
        | TargetType::Timestamp
        | TargetType::Uuid => Ok(()),
    }
}

/// The index at the target, if the decision keeps it.
pub(crate) fn target_index(plan: &TablePlan, decision: &IndexDecision) -> Option<TargetIndex> {
    let (IndexOutcome::Kept(kept), Some(name)) = (&decision.outcome, &decision.name) else {
        return None;
    };
    let index = &plan.source.indexes[decision.source];
    Some(TargetIndex {
        name: name.name.clone(),
        unique: index.unique,
        null_filtered: kept.changes.contains(&IndexChange::NullFiltered),
        columns: kept.columns.clone(),
        origin: index.name.clone(),
    })
}

/// The foreign key at the target, if the decision keeps it.
pub(crate) fn target_foreign_key(
    plan: &TablePlan,
    decision: &ForeignKeyDecision,
) -> Option<TargetForeignKey> {
    let (ForeignKeyOutcome::Kept(kept), Some(name)) = (&decision.outcome, &decision.name) else {
        return None;
    };
    Some(TargetForeignKey {
        name: name.name.clone(),
        columns: kept.columns.clone(),
        parent: kept.parent.clone(),
        parent_columns: kept.parent_columns.clone(),
        origin: plan.source.foreign_keys[decision.source].name.clone(),
    })
}

/// Decides about the foreign keys of a table, which may refer to all plans and to the `fixed` ones.
/// They have the names that a person has asked for, and no others yet.
pub(crate) fn decide_foreign_keys(
    child: &TablePlan,
    choices: &PartChoices,
    plans: &[TablePlan],
    fixed: &[Arc<TablePlan>],
) -> Vec<ForeignKeyDecision> {
    let decide = |(at, key): (usize, &SourceForeignKey)| {
        let choice = choices.foreign_keys.get(&at);
        let outcome = match choice {
            Some(PartChoice::Exclude) => ForeignKeyOutcome::Excluded,
            Some(PartChoice::Name(_)) | None => decide_foreign_key(child, plans, fixed, key)
                .map_or_else(ForeignKeyOutcome::LeftOut, ForeignKeyOutcome::Kept),
        };
        ForeignKeyDecision {
            table: child.name().clone(),
            source: at,
            name: choice.and_then(PartChoice::asked_name).map(NameDecision::asked),
            outcome,
        }
    };
    child.source.foreign_keys.iter().enumerate().map(decide).collect()
}

fn dropped_actions(key: &SourceForeignKey) -> Vec<ForeignKeyChange> {
    let mut changes = Vec::new();
    if key.on_delete != ForeignKeyAction::NoAction {
        changes.push(ForeignKeyChange::DeleteActionDropped(key.on_delete));
    }
    if key.on_update != ForeignKeyAction::NoAction {
        changes.push(ForeignKeyChange::UpdateActionDropped(key.on_update));
    }
    changes
}

fn decide_foreign_key(
    child: &TablePlan,
    plans: &[TablePlan],
    fixed: &[Arc<TablePlan>],
    key: &SourceForeignKey,
) -> Result<KeptForeignKey, ForeignKeyReason> {
    let parent = plans
        .iter()
        .chain(fixed.iter().map(Arc::as_ref))
        .find(|plan| plan.source.name == key.parent)
        .ok_or_else(|| ForeignKeyReason::ParentNotMigrated(key.parent.clone()))?;
    let mut parent_columns = Vec::new();
    for name in &key.parent_columns {
        let column = parent
            .source
            .column_index(name)
            .ok_or_else(|| ForeignKeyReason::NoColumn(name.clone()))?;
        parent_columns.push(column);
    }
    for (own, other) in key.columns.iter().zip(&parent_columns) {
        check_joined(&child.source.columns[*own].ty)?;
        check_joined(&parent.source.columns[*other].ty)?;
    }
    if !is_unique(parent, &parent_columns) {
        return Err(ForeignKeyReason::ParentNotUnique);
    }
    let (own, others) = (places(child, &key.columns)?, places(parent, &parent_columns)?);
    let target = |plan: &TablePlan, columns: &[usize]| -> Vec<usize> {
        columns
            .iter()
            .map(|column| plan.columns[*column].target)
            .collect()
    };
    let (columns, parent_columns) = (target(child, &own), target(parent, &others));
    for (own, other) in columns.iter().zip(&parent_columns) {
        let (left, right) = (child.target.columns[*own].ty, parent.target.columns[*other].ty);
        if std::mem::discriminant(&left) != std::mem::discriminant(&right) {
            return Err(ForeignKeyReason::TypesDiffer);
        }
    }
    // Spanner keeps an index over either side, unless the columns are the table's own key.
    for (plan, columns) in [(child, &own), (parent, &others)] {
        if columns.as_slice() != plan.key()
            && let Some(excess) = index_excess(plan, columns)
        {
            let table = plan.name().table.clone();
            return Err(ForeignKeyReason::IndexExcess { table, excess });
        }
    }
    Ok(KeptForeignKey {
        columns,
        parent: parent.target.name.clone(),
        parent_columns: column_names(&parent.target, &parent_columns),
        changes: dropped_actions(key),
    })
}

/// The plan's columns that come from these columns of the source.
fn places(plan: &TablePlan, columns: &[usize]) -> Result<Vec<usize>, ForeignKeyReason> {
    let place = |column: &usize| {
        let left_out = || ForeignKeyReason::ColumnLeftOut(plan.source.columns[*column].name.clone());
        plan.column_of(*column).ok_or_else(left_out)
    };
    columns.iter().map(place).collect()
}

/// Text whose collation takes different bytes for equal would fail a foreign key that compares
/// bytes.
fn check_joined(ty: &SourceType) -> Result<(), ForeignKeyReason> {
    match folding(&ty.logical()) {
        Some(folding) => Err(ForeignKeyReason::Folding(folding)),
        None => Ok(()),
    }
}

fn is_unique(parent: &TablePlan, columns: &[usize]) -> bool {
    let same =
        |known: &[usize]| known.len() == columns.len() && known.iter().all(|column| columns.contains(column));
    let whole = |index: &SourceIndex| -> Option<Vec<usize>> {
        index
            .parts
            .iter()
            .map(|part| match part {
                IndexPart::Column {
                    column, prefix: None, ..
                } => Some(*column),
                IndexPart::Column { .. } | IndexPart::Expression { .. } => None,
            })
            .collect()
    };
    same(&parent.source_key)
        || parent
            .source
            .indexes
            .iter()
            .filter(|index| index.unique)
            .filter_map(whole)
            .any(|known| same(&known))
}

/// By what a table would have more indexes than Spanner takes; none if it takes them.
pub(crate) fn index_count_excess(plan: &TablePlan) -> Option<IndexCountExcess> {
    let (own, behind) = (plan.target.indexes.len(), plan.backing_indexes);
    (own + behind > INDEXES_MAX).then(|| IndexCountExcess {
        table: plan.name().clone(),
        own,
        behind,
    })
}
