//! Names at the target: what is there already and what a person has asked for comes first, then the
//! rules name the rest. Tables, indexes and foreign keys share one space of names, in which letter
//! case does not count.

use std::collections::BTreeMap;

use crate::mapping::decision::{NameDecision, NameReason, TableDecision};
use crate::mapping::index_decision::{ForeignKeyDecision, ForeignKeyOutcome, IndexDecision, IndexOutcome};
use crate::mapping::known::Known;
use crate::mapping::override_error::OverrideError;
use crate::plan::TablePlan;
use crate::schema::definition::TableDefinition;
use crate::schema::legal_name::{NameKind, legal_name};
use crate::schema::names::{Names, Wish};
use crate::schema::source::QualifiedName;
use crate::schema::target::{Dialect, TargetTable};

/// The names that are taken before any table is decided about: of recorded tables with their
/// indexes and foreign keys, and of what else is at the target. An object that is recorded may keep
/// its own.
pub(super) fn names_taken(known: &Known<'_>, dialect: Dialect) -> Names {
    let mut names = Names::new(dialect);
    for definition in known.fixed.iter().chain(&known.former) {
        let target = &definition.target;
        names.reserve(&target.name);
        target.indexes.iter().for_each(|index| names.reserve(&index.name));
        target
            .foreign_keys
            .iter()
            .for_each(|key| names.reserve(&key.name));
    }
    known.taken.iter().for_each(|name| names.reserve(name));
    names
}

/// Names by rule for objects of one kind, in their order.
pub(super) fn names_by_rule(kind: NameKind, wishes: &[Wish<'_>], names: &mut Names) -> Vec<NameDecision> {
    let given = names.give_all(kind, wishes);
    let decided = wishes.iter().zip(given).map(|(wish, name)| NameDecision {
        reason: if name == wish.wanted {
            NameReason::Own
        } else if wish.former.is_some() {
            NameReason::Former
        } else {
            NameReason::Changed
        },
        name,
    });
    decided.collect()
}

/// Names the tables again after a person has named some. A name that a person has asked for must be
/// legal and free, and no rule gives it to another object; tables that have the name of their own
/// keep it. Returns the names that are taken then.
pub(super) fn rename_tables(
    tables: &mut [TableDecision],
    known: &Known<'_>,
    dialect: Dialect,
    errors: &mut Vec<OverrideError>,
) -> Names {
    let mut names = names_taken(known, dialect);
    keep_names(tables.iter().map(|table| &table.name), &mut names);
    let mut asked = AskedNames {
        dialect,
        names: &mut names,
        errors,
    };
    for table in &*tables {
        let former = known.former(&table.source.name).map(|former| &former.target);
        if table.name.reason == NameReason::Asked {
            let former = former.map(|target| target.name.as_str());
            asked.reserve(&table.source.name, NameKind::Table, &table.name.name, former);
        }
        asked.reserve_parts(table, former);
    }
    let (objects, wishes): (Vec<_>, Vec<_>) = tables
        .iter_mut()
        .map(|table| (&mut table.name, table.source.name.table.as_str()))
        .filter(|(name, _)| name.reason == NameReason::Changed)
        .map(|(name, wanted)| (name, Wish { wanted, former: None }))
        .unzip();
    let given = names_by_rule(NameKind::Table, &wishes, &mut names);
    objects
        .into_iter()
        .zip(given)
        .for_each(|(name, given)| *name = given);
    names
}

/// Names the columns of a table again after a person has named or left out some, as
/// [`rename_tables`] does with tables.
pub(super) fn rename_columns(table: &mut TableDecision, dialect: Dialect, errors: &mut Vec<OverrideError>) {
    let mut names = Names::new(dialect);
    keep_names(table.columns.iter().map(|column| &column.name), &mut names);
    let mut asked = AskedNames {
        dialect,
        names: &mut names,
        errors,
    };
    let by_person = |name: &&NameDecision| name.reason == NameReason::Asked;
    for name in table.columns.iter().map(|column| &column.name).filter(by_person) {
        asked.reserve(&table.source.name, NameKind::Column, &name.name, None);
    }
    let source = &table.source.columns;
    let (objects, wishes): (Vec<_>, Vec<_>) = table
        .columns
        .iter_mut()
        .filter(|column| column.name.reason == NameReason::Changed)
        .filter_map(|column| {
            let wanted = source[column.source()?].name.as_str();
            Some((&mut column.name, Wish { wanted, former: None }))
        })
        .unzip();
    let given = names_by_rule(NameKind::Column, &wishes, &mut names);
    objects
        .into_iter()
        .zip(given)
        .for_each(|(name, given)| *name = given);
}

/// Reserves the names that stay when others are given again.
fn keep_names<'a>(given: impl Iterator<Item = &'a NameDecision>, names: &mut Names) {
    given
        .filter(|name| match name.reason {
            NameReason::Own | NameReason::Former => true,
            NameReason::Changed | NameReason::Asked => false,
        })
        .for_each(|name| names.reserve(&name.name));
}

/// Reserves names that a person has asked for, and refuses those that cannot be.
struct AskedNames<'a> {
    dialect: Dialect,
    names: &'a mut Names,
    errors: &'a mut Vec<OverrideError>,
}

impl AskedNames<'_> {
    /// Reserves a name of an object of this table. It is taken already if the object has had it
    /// before.
    fn reserve(&mut self, table: &QualifiedName, kind: NameKind, asked: &str, former: Option<&str>) {
        let is_legal = legal_name(asked, kind, self.dialect) == asked;
        if is_legal && (former == Some(asked) || self.names.is_free(asked)) {
            self.names.reserve(asked);
        } else {
            let error = OverrideError::Name(table.clone(), asked.to_owned());
            self.errors.push(error);
        }
    }

    /// Reserves the names of a table's indexes and foreign keys; `former` is the table as it is
    /// recorded.
    fn reserve_parts(&mut self, table: &TableDecision, former: Option<&TargetTable>) {
        let (source, choices) = (&table.source, &table.parts);
        for (at, choice) in &choices.indexes {
            let former = former.and_then(|target| index_name(target, &source.indexes[*at].name));
            if let Some(asked) = choice.asked_name() {
                self.reserve(&source.name, NameKind::Index, asked, former);
            }
        }
        for (at, choice) in &choices.foreign_keys {
            let former = former.and_then(|target| foreign_key_name(target, &source.foreign_keys[*at].name));
            if let Some(asked) = choice.asked_name() {
                self.reserve(&source.name, NameKind::ForeignKey, asked, former);
            }
        }
    }
}

/// The name of the index that was made from this one of the source.
fn index_name<'a>(target: &'a TargetTable, origin: &str) -> Option<&'a str> {
    let same = target.indexes.iter().find(|index| index.origin == origin);
    same.map(|index| index.name.as_str())
}

/// The name of the foreign key that was made from this one of the source.
fn foreign_key_name<'a>(target: &'a TargetTable, origin: &str) -> Option<&'a str> {
    let same = target.foreign_keys.iter().find(|key| key.origin == origin);
    same.map(|key| key.name.as_str())
}

/// Gives names to the indexes that are kept and have none. Index names are unique within a table at
/// the source, and within the database at the target.
pub(super) fn name_indexes(
    decisions: &mut [IndexDecision],
    plans: &[TablePlan],
    known: &Known<'_>,
    names: &mut Names,
) {
    let plans = by_name(plans);
    let mut unnamed = Vec::new();
    for decision in decisions {
        let is_kept = matches!(decision.outcome, IndexOutcome::Kept(_));
        if is_kept && decision.name.is_none() {
            let plan = plans[&decision.table];
            let origin = &plan.source.indexes[decision.source].name;
            let former = former(known, &decision.table, |target| index_name(target, origin));
            let wanted = format!("{}_{origin}", plan.target.name);
            unnamed.push((&mut decision.name, wanted, former));
        }
    }
    fill_names(NameKind::Index, unnamed, names);
}

/// Gives names to the foreign keys that are kept and have none.
pub(super) fn name_foreign_keys(
    decisions: &mut [ForeignKeyDecision],
    plans: &[TablePlan],
    known: &Known<'_>,
    names: &mut Names,
) {
    let plans = by_name(plans);
    let mut unnamed = Vec::new();
    for decision in decisions {
        let is_kept = matches!(decision.outcome, ForeignKeyOutcome::Kept(_));
        if is_kept && decision.name.is_none() {
            let origin = &plans[&decision.table].source.foreign_keys[decision.source].name;
            let former = former(known, &decision.table, |target| foreign_key_name(target, origin));
            unnamed.push((&mut decision.name, origin.clone(), former));
        }
    }
    fill_names(NameKind::ForeignKey, unnamed, names);
}

/// The name that an object of a table is recorded with.
fn former<'a>(
    known: &Known<'a>,
    table: &QualifiedName,
    name: impl Fn(&'a TargetTable) -> Option<&'a str>,
) -> Option<&'a str> {
    let definition: &'a TableDefinition = known.former(table)?;
    name(&definition.target)
}

/// The plans by the names of their tables at the source.
fn by_name(plans: &[TablePlan]) -> BTreeMap<&QualifiedName, &TablePlan> {
    plans.iter().map(|plan| (plan.name(), plan)).collect()
}

/// Fills in names by rule, each with the name that is wanted and the one that is recorded.
fn fill_names(
    kind: NameKind,
    unnamed: Vec<(&mut Option<NameDecision>, String, Option<&str>)>,
    names: &mut Names,
) {
    let wishes: Vec<Wish<'_>> = unnamed
        .iter()
        .map(|(_, wanted, former)| Wish {
            wanted,
            former: *former,
        })
        .collect();
    let given = names_by_rule(kind, &wishes, names);
    for ((name, _, _), given) in unnamed.into_iter().zip(given) {
        *name = Some(given);
    }
}
