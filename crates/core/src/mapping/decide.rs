//! The rules: names, keys and types of tables and columns at the target.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::mapping::column::{Place, convert_type, key_refusal, remark};
use crate::mapping::decision::{
    ChosenBy, ColumnDecision, Decisions, Filling, KeyDecision, KeyReason, NameDecision, PartChoice,
    PartChoices, TableDecision,
};
use crate::mapping::default_rule::decide_default;
use crate::mapping::known::Known;
use crate::mapping::naming::{names_by_rule, names_taken};
use crate::mapping::options::MappingOptions;
use crate::schema::legal_name::NameKind;
use crate::schema::names::{Names, Wish};
use crate::schema::source::{IndexPart, QualifiedName, SourceIndex, SourceTable};
use crate::schema::target::{Dialect, TargetType};
use crate::value::encode::{Encoding, Input};

/// Decides by rule about tables: their names, keys and columns.
pub fn decide(mut tables: Vec<SourceTable>, known: &Known<'_>, options: &MappingOptions) -> Decisions {
    tables.sort_by(|left, right| left.name.cmp(&right.name));
    let mut names = names_taken(known, options.dialect);
    let given = table_names(&tables, known, &mut names);
    let decided = tables.into_iter().zip(given).map(|(table, name)| {
        let former = known.former(&table.name);
        TableDecision {
            name,
            key: key_of(&table),
            columns: columns_of(&table, options.dialect),
            excluded: Vec::new(),
            joined: Vec::new(),
            parts: PartChoices::default(),
            counted_from: former.map_or(known.epoch, |former| former.counted_from),
            source: Arc::new(table),
        }
    });
    let mut tables: Vec<TableDecision> = decided.collect();
    decide_types(&mut tables, *options);
    Decisions {
        tables,
        options: *options,
        names,
    }
}

/// The tables' names at the target.
fn table_names(tables: &[SourceTable], known: &Known<'_>, names: &mut Names) -> Vec<NameDecision> {
    let wish = |table: &SourceTable| {
        known
            .former(&table.name)
            .map(|former| former.target.name.as_str())
    };
    let wishes: Vec<Wish<'_>> = tables
        .iter()
        .map(|table| Wish {
            wanted: &table.name.table,
            former: wish(table),
        })
        .collect();
    names_by_rule(NameKind::Table, &wishes, names)
}

/// Columns of foreign keys, on either side: they must have one type. A foreign key that a person
/// has left out joins none.
fn joined_columns(tables: &[TableDecision]) -> BTreeSet<(QualifiedName, usize)> {
    let mut joined = BTreeSet::new();
    for TableDecision { source, parts, .. } in tables {
        for key in not_excluded(&source.foreign_keys, &parts.foreign_keys) {
            joined.extend(key.columns.iter().map(|column| (source.name.clone(), *column)));
            let mut parents = tables.iter().map(|table| &table.source);
            let parent = parents.find(|parent| parent.name == key.parent);
            let columns = parent.into_iter().flat_map(|parent| {
                let places = key.parent_columns.iter();
                places.filter_map(|column| Some((parent.name.clone(), parent.column_index(column)?)))
            });
            joined.extend(columns);
        }
    }
    joined
}

/// The columns of an index, if it is over whole NOT NULL columns: no two rows have the same values
/// of them.
pub(super) fn unique_columns(table: &SourceTable, index: &SourceIndex) -> Option<Vec<usize>> {
    let whole_not_null = |part: &IndexPart| match part {
        IndexPart::Column {
            column, prefix: None, ..
        } if !table.columns[*column].nullable => Some(*column),
        IndexPart::Column { .. } | IndexPart::Expression { .. } => None,
    };
    if !index.unique {
        return None;
    }
    index.parts.iter().map(whole_not_null).collect()
}

/// The key: the primary key, or a unique index over whole NOT NULL columns.
fn key_of(table: &SourceTable) -> KeyDecision {
    let decision = |columns: Vec<usize>, reason| KeyDecision {
        target: columns.clone(),
        source: columns,
        reason,
    };
    if !table.primary_key.is_empty() {
        return decision(table.primary_key.clone(), KeyReason::Primary);
    }
    let found = table
        .indexes
        .iter()
        .filter_map(|index| Some((index.name.clone(), unique_columns(table, index)?)));
    let has_trouble = |columns: &[usize]| {
        columns
            .iter()
            .any(|column| key_refusal(&table.columns[*column].ty.logical()).is_some())
    };
    match found.min_by_key(|(_, columns)| (has_trouble(columns), columns.len())) {
        Some((name, columns)) => decision(columns, KeyReason::UniqueIndex(name)),
        None => decision(Vec::new(), KeyReason::Missing),
    }
}

/// The columns as they are at the source, without a type yet.
fn columns_of(table: &SourceTable, dialect: Dialect) -> Vec<ColumnDecision> {
    let wishes: Vec<Wish<'_>> = table
        .columns
        .iter()
        .map(|column| Wish {
            wanted: &column.name,
            former: None,
        })
        .collect();
    let names = names_by_rule(NameKind::Column, &wishes, &mut Names::new(dialect));
    let columns = table.columns.iter().zip(names).enumerate();
    columns
        .map(|(at, (column, name))| ColumnDecision {
            name,
            filling: Filling::Written(Input::Source(at)),
            ty: TargetType::Int64,
            encoding: Encoding::Int64,
            not_null: !column.nullable,
            default: None,
            remark: None,
            chosen_by: ChosenBy::Rule,
        })
        .collect()
}

/// The parts of a table that no person has left out.
fn not_excluded<'a, T>(
    parts: &'a [T],
    choices: &'a BTreeMap<usize, PartChoice>,
) -> impl Iterator<Item = &'a T> {
    let all = parts.iter().enumerate();
    let others = all.filter(|(at, _)| choices.get(at) != Some(&PartChoice::Exclude));
    others.map(|(_, part)| part)
}

/// Decides the types of columns that no person has chosen, what must not be NULL, and the defaults.
/// All of these depend on keys, indexes and foreign keys.
pub(super) fn decide_types(tables: &mut [TableDecision], options: MappingOptions) {
    let joined = joined_columns(tables);
    for table in tables {
        let own = joined.iter().filter(|(name, _)| *name == table.source.name);
        table.joined = own.map(|(_, column)| *column).collect();
        decide_types_of(table, options);
    }
}

fn decide_types_of(table: &mut TableDecision, options: MappingOptions) {
    for at in 0..table.columns.len() {
        let is_key = table.key.target.contains(&at);
        let Some(source) = table.columns[at].source() else {
            table.columns[at].not_null |= is_key;
            continue;
        };
        let column = &table.source.columns[source];
        let (logical, not_null) = (column.ty.logical(), !column.nullable || is_key);
        let is_joined = table.joined.contains(&source);
        let place = Place {
            dialect: options.dialect,
            uuid_supported: options.uuid_supported,
            needs_index: is_key || is_joined,
            counts: counts(table, source, is_key || is_joined, options.dialect),
        };
        let decided = &mut table.columns[at];
        if decided.chosen_by == ChosenBy::Rule {
            (decided.ty, decided.encoding) = convert_type(&logical, place);
        }
        decided.remark = remark(&logical, decided.ty);
        decided.not_null = not_null;
        decided.default = decide_default(column, decided.ty, decided.encoding, options.dialect);
    }
}

/// Whether an unsigned 64-bit integer counts things: a key, joined by a foreign key, numbered by
/// the server or indexed.
fn counts(table: &TableDecision, source: usize, needs_index: bool, dialect: Dialect) -> bool {
    let indexed = |part: &IndexPart| matches!(part, IndexPart::Column { column, .. } if *column == source);
    let mut indexes = not_excluded(&table.source.indexes, &table.parts.indexes);
    needs_index
        || table.source.columns[source].facts.is_numbered()
        || (dialect == Dialect::PostgreSql && indexes.any(|index| index.parts.iter().any(indexed)))
}
