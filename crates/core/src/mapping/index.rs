//! The conversion of indexes and foreign keys, for tables whose columns are converted.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::mapping::column::{folding, key_trouble};
use crate::mapping::key_limits::index_excess;
use crate::mapping::known::Known;
use crate::plan::TablePlan;
use crate::plan::backing::column_names;
use crate::report::code;
use crate::report::finding::{Finding, Severity, Subject};
use crate::schema::legal_name::NameKind;
use crate::schema::names::{Names, Wish};
use crate::schema::source::{
    ForeignKeyAction, IndexPart, SourceForeignKey, SourceIndex, SourceTable, SourceType,
};
use crate::schema::target::{Dialect, TargetForeignKey, TargetIndex, TargetType};

/// What becomes of an index over the first characters of a column whose whole values fit into a
/// key.
const PREFIX_NOTE: &str = "an index over a prefix becomes one over the whole column";
/// Most secondary indexes of a table.
const INDEXES_MAX: usize = 128;

/// Converts the indexes of all plans.
pub(crate) fn convert_indexes(
    plans: &mut [TablePlan],
    known: &Known<'_>,
    dialect: Dialect,
    names: &mut Names,
    findings: &mut Vec<Finding>,
) {
    for plan in &mut *plans {
        let source = Arc::clone(&plan.source);
        for index in &source.indexes {
            match convert_index(plan, index, dialect) {
                Ok((converted, notes)) => {
                    let note = |note| finding(&source, &index.name, code::CONVERTED, Severity::Warning, note);
                    findings.extend(notes.into_iter().map(note));
                    plan.target.indexes.push(converted);
                }
                Err(left_out) => findings.push(index_left_out(&source, index, left_out)),
            }
        }
    }
    name_indexes(plans, known, names, findings);
}

/// Index names are unique within a table at the source, and within the database at the target.
fn name_indexes(plans: &mut [TablePlan], known: &Known<'_>, names: &mut Names, findings: &mut Vec<Finding>) {
    let (mut wanted, mut former) = (Vec::new(), Vec::new());
    for plan in &*plans {
        let before = known.former(plan.name());
        let before = before.map_or(&[][..], |definition| &definition.target.indexes);
        for index in &plan.target.indexes {
            wanted.push(format!("{}_{}", plan.target.name, index.origin));
            let same = before.iter().find(|known| known.origin == index.origin);
            former.push(same.map(|index| index.name.as_str()));
        }
    }
    let mut given = names
        .give_all(NameKind::Index, &wishes(&wanted, &former))
        .into_iter();
    let mut wanted = wanted.iter();
    for plan in plans {
        let source = Arc::clone(&plan.source);
        for index in &mut plan.target.indexes {
            index.name = given.next().expect("every index was given a name");
            let wanted = wanted.next().expect("every index has wanted a name");
            findings.extend(renamed(&source, &index.origin, wanted, &index.name));
        }
    }
}

fn wishes<'a>(wanted: &'a [String], former: &[Option<&'a str>]) -> Vec<Wish<'a>> {
    let wishes = wanted.iter().zip(former);
    wishes
        .map(|(wanted, former)| Wish {
            wanted,
            former: *former,
        })
        .collect()
}

/// The message where a name cannot be as it was wanted.
fn renamed(table: &SourceTable, part: &str, wanted: &str, given: &str) -> Option<Finding> {
    let text = format!("it is named `{given}` at the target");
    (wanted != given).then(|| finding(table, part, code::CONVERTED, Severity::Notice, text))
}

/// The message about an index that is not carried. A missing unique index has other effects than
/// the others.
fn index_left_out(table: &SourceTable, index: &SourceIndex, (severity, reason): LeftOut) -> Finding {
    if index.unique && severity > Severity::Notice {
        let text = format!(
            "the unique index is not created at the target, where nothing keeps its values unique: {reason}"
        );
        return finding(table, &index.name, code::UNIQUE_LEFT_OUT, severity, text);
    }
    let text = format!("the index is not created at the target: {reason}");
    finding(table, &index.name, code::LEFT_OUT, severity, text)
}

fn finding(table: &SourceTable, part: &str, code: code::Code, severity: Severity, text: String) -> Finding {
    Finding::new(
        code,
        severity,
        Subject::part(table.name.table.clone(), part),
        text,
    )
}

type LeftOut = (Severity, String);

fn convert_index(
    plan: &TablePlan,
    index: &SourceIndex,
    dialect: Dialect,
) -> Result<(TargetIndex, Vec<String>), LeftOut> {
    if matches!(
        index.kind.to_ascii_uppercase().as_str(),
        "FULLTEXT" | "SPATIAL" | "RTREE" | "VECTOR"
    ) {
        return Err((Severity::Warning, format!("a {} index", index.kind)));
    }
    // The same columns by their places in the target and in the plan.
    let (mut columns, mut own) = (Vec::new(), Vec::new());
    let mut folded = Vec::new();
    let mut notes = BTreeSet::new();
    for part in &index.parts {
        match part {
            IndexPart::Expression { text } => {
                return Err((Severity::Warning, format!("it is over the expression `{text}`")));
            }
            IndexPart::Column { prefix: Some(_), .. } if index.unique => {
                return Err((Severity::Warning, "unique over a prefix".to_owned()));
            }
            IndexPart::Column {
                column,
                descending,
                prefix,
            } => {
                if prefix.is_some() {
                    notes.insert(PREFIX_NOTE.to_owned());
                }
                let Some(at) = plan.column_of(*column) else {
                    return Err((Severity::Warning, "a column of it is left out".to_owned()));
                };
                let trouble =
                    key_trouble(&plan.source.columns[*column].ty.logical()).filter(|_| index.unique);
                if let Some(reason) = trouble {
                    return Err((Severity::Warning, format!("unique over {reason}")));
                }
                let target = plan.columns[at].target;
                check_indexable(plan.target.columns[target].ty, dialect)?;
                own.push(at);
                folded.extend(folding(&plan.source.columns[*column].ty.logical()));
                columns.push((target, *descending));
            }
        }
    }
    if own == plan.key() && columns.iter().all(|(_, descending)| !descending) {
        return Err((Severity::Notice, "the primary key does the same".to_owned()));
    }
    if let Some(reason) = index_excess(plan, &own) {
        return Err((Severity::Warning, reason));
    }
    let nullable = columns
        .iter()
        .any(|(column, _)| !plan.target.columns[*column].not_null);
    let null_filtered = index.unique && nullable;
    if let Some(folding) = folded.first().filter(|_| index.unique) {
        notes.insert(format!(
            "at the source the {folding} decides which values are equal; the target compares their bytes, so its index accepts values that the source refuses as equal"
        ));
    }
    if null_filtered {
        notes.insert(
            "the unique index has nullable columns: rows with a NULL are not in the index at the target"
                .to_owned(),
        );
    }
    Ok((
        TargetIndex {
            name: String::new(),
            unique: index.unique,
            null_filtered,
            columns,
            origin: index.name.clone(),
        },
        notes.into_iter().collect(),
    ))
}

fn check_indexable(ty: TargetType, dialect: Dialect) -> Result<(), LeftOut> {
    match ty {
        TargetType::Json | TargetType::Array { .. } => {
            Err((Severity::Warning, "a type that cannot be indexed".to_owned()))
        }
        TargetType::Numeric if dialect == Dialect::PostgreSql => Err((
            Severity::Warning,
            "numeric cannot be indexed in this dialect".to_owned(),
        )),
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

/// Converts the foreign keys of all plans; they may refer to one another and to the `fixed` ones.
pub(crate) fn convert_foreign_keys(
    plans: &mut [TablePlan],
    fixed: &[Arc<TablePlan>],
    known: &Known<'_>,
    names: &mut Names,
    findings: &mut Vec<Finding>,
) {
    for at in 0..plans.len() {
        let source = Arc::clone(&plans[at].source);
        for key in &source.foreign_keys {
            match convert_foreign_key(plans, fixed, at, key) {
                Ok(converted) => {
                    tell_actions(&source, key, findings);
                    plans[at].target.foreign_keys.push(converted);
                }
                Err(reason) => {
                    let text = format!("the foreign key is not created at the target: {reason}");
                    findings.push(finding(
                        &source,
                        &key.name,
                        code::LEFT_OUT,
                        Severity::Warning,
                        text,
                    ));
                }
            }
        }
    }
    name_foreign_keys(plans, known, names, findings);
}

fn name_foreign_keys(
    plans: &mut [TablePlan],
    known: &Known<'_>,
    names: &mut Names,
    findings: &mut Vec<Finding>,
) {
    let (mut wanted, mut former) = (Vec::new(), Vec::new());
    for plan in &*plans {
        let before = known.former(plan.name());
        let before = before.map_or(&[][..], |definition| &definition.target.foreign_keys);
        for key in &plan.target.foreign_keys {
            wanted.push(key.origin.clone());
            let same = before.iter().find(|known| known.origin == key.origin);
            former.push(same.map(|key| key.name.as_str()));
        }
    }
    let given = names.give_all(NameKind::ForeignKey, &wishes(&wanted, &former));
    let mut given = given.into_iter();
    for plan in plans {
        let source = Arc::clone(&plan.source);
        for key in &mut plan.target.foreign_keys {
            key.name = given.next().expect("every foreign key was given a name");
            findings.extend(renamed(&source, &key.origin, &key.origin, &key.name));
        }
    }
}

fn tell_actions(source: &SourceTable, key: &SourceForeignKey, findings: &mut Vec<Finding>) {
    for (event, action) in [("DELETE", key.on_delete), ("UPDATE", key.on_update)] {
        if action != ForeignKeyAction::NoAction {
            let words = action.words();
            let text = format!(
                "ON {event} {words} is not created at the target: there the foreign key has no action"
            );
            findings.push(finding(
                source,
                &key.name,
                code::LEFT_OUT,
                Severity::Warning,
                text,
            ));
        }
    }
}

fn convert_foreign_key(
    plans: &[TablePlan],
    fixed: &[Arc<TablePlan>],
    at: usize,
    key: &SourceForeignKey,
) -> Result<TargetForeignKey, String> {
    let child = &plans[at];
    let parent = plans
        .iter()
        .chain(fixed.iter().map(Arc::as_ref))
        .find(|plan| plan.source.name == key.parent)
        .ok_or_else(|| format!("the table `{}` is not migrated", key.parent))?;
    let mut parent_columns = Vec::new();
    for name in &key.parent_columns {
        let column = parent
            .source
            .column_index(name)
            .ok_or_else(|| format!("there is no column `{name}`"))?;
        parent_columns.push(column);
    }
    for (own, other) in key.columns.iter().zip(&parent_columns) {
        check_joined(&child.source.columns[*own].ty)?;
        check_joined(&parent.source.columns[*other].ty)?;
    }
    if !is_unique(parent, &parent_columns) {
        return Err("the columns it refers to are not unique".to_owned());
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
            return Err("its two sides have different types at the target".to_owned());
        }
    }
    // Spanner keeps an index over either side, unless the columns are the table's own key.
    for (plan, columns) in [(child, &own), (parent, &others)] {
        if columns.as_slice() != plan.key()
            && let Some(reason) = index_excess(plan, columns)
        {
            let table = &plan.name().table;
            return Err(format!(
                "the index behind it at `{table}` is above a limit: {reason}"
            ));
        }
    }
    Ok(TargetForeignKey {
        name: String::new(),
        columns,
        parent: parent.target.name.clone(),
        parent_columns: column_names(&parent.target, &parent_columns),
        origin: key.name.clone(),
    })
}

/// The plan's columns that come from these columns of the source.
fn places(plan: &TablePlan, columns: &[usize]) -> Result<Vec<usize>, String> {
    let place = |column: &usize| {
        let left_out = || format!("the column `{}` is left out", plan.source.columns[*column].name);
        plan.column_of(*column).ok_or_else(left_out)
    };
    columns.iter().map(place).collect()
}

/// Text whose collation takes different bytes for equal would fail a foreign key that compares
/// bytes.
fn check_joined(ty: &SourceType) -> Result<(), String> {
    match folding(&ty.logical()) {
        Some(folding) => Err(format!("text of the {folding} may be equal in other bytes")),
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

/// Tells which tables would have more indexes than Spanner takes.
pub(crate) fn check_index_count(plans: &[TablePlan], findings: &mut Vec<Finding>) {
    for plan in plans {
        let (own, behind) = (plan.target.indexes.len(), plan.backing_indexes);
        if own + behind > INDEXES_MAX {
            let text = format!(
                "{own} indexes, and {behind} behind foreign keys, Spanner takes {INDEXES_MAX} of a table"
            );
            let subject = Subject::table(plan.name().table.clone());
            let finding = Finding::new(code::TARGET_LIMIT, Severity::Blocking, subject, text);
            findings.push(finding);
        }
    }
}
