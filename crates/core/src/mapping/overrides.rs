//! What a person decides otherwise than the rules: names, types, keys, added columns, and what is
//! left out of a table.

use std::collections::{BTreeMap, BTreeSet};

use crate::mapping::decide::{decide_types, unique_columns};
use crate::mapping::decision::{
    ChosenBy, ColumnDecision, Decisions, Filling, KeyReason, NameDecision, PartChoice, PartChoices,
    TableDecision,
};
use crate::mapping::known::Known;
use crate::mapping::naming::{rename_columns, rename_tables};
use crate::mapping::override_error::OverrideError;
use crate::schema::logical::LogicalType;
use crate::schema::source::{QualifiedName, SourceTable};
use crate::schema::target::{Dialect, TargetType};
use crate::value::encode::{CELL_BYTES_MAX, Constant, Encoding, Input, RowFunction, STRING_CHARACTERS_MAX};

/// What a person has decided, by table.
pub type Overrides = BTreeMap<QualifiedName, TableOverride>;

/// What a person has decided about one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableOverride {
    /// Its name at the target.
    pub name: Option<String>,
    /// Its columns, by their name at the source.
    pub columns: BTreeMap<String, ColumnOverride>,
    /// Columns that come from no column of the source; they stand behind the others.
    pub added: Vec<AddedColumn>,
    /// The target's key, by names of the target's columns.
    pub key: Option<Vec<String>>,
    /// Its indexes, by their name at the source.
    pub indexes: BTreeMap<String, PartChoice>,
    /// Its foreign keys, by their name at the source.
    pub foreign_keys: BTreeMap<String, PartChoice>,
}

/// What a person has decided about one column of the source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnOverride {
    /// Its name at the target.
    pub name: Option<String>,
    /// Its type at the target.
    pub ty: Option<TargetType>,
    /// Whether it is left out.
    pub exclude: bool,
}

/// A column that comes from no column of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedColumn {
    /// Its name at the target.
    pub name: String,
    /// Its type.
    pub ty: TargetType,
    /// NOT NULL.
    pub not_null: bool,
    /// What fills it.
    pub filling: Filling,
}

/// Applies what a person has decided. The rules decide the rest again, since names and types depend
/// on it; what a person has chosen they do not change. All errors come together.
pub fn apply(
    mut decisions: Decisions,
    overrides: &Overrides,
    known: &Known<'_>,
) -> Result<Decisions, Vec<OverrideError>> {
    let options = decisions.options;
    let mut errors = Vec::new();
    for (name, wanted) in overrides {
        let mut tables = decisions.tables.iter_mut();
        match tables.find(|table| table.source.name == *name) {
            Some(table) => change_table(table, wanted, options.dialect, &mut errors),
            None => errors.push(OverrideError::NoTable(name.clone())),
        }
    }
    decisions.names = rename_tables(&mut decisions.tables, known, options.dialect, &mut errors);
    decide_types(&mut decisions.tables, options);
    if errors.is_empty() {
        Ok(decisions)
    } else {
        Err(errors)
    }
}

fn change_table(
    table: &mut TableDecision,
    wanted: &TableOverride,
    dialect: Dialect,
    errors: &mut Vec<OverrideError>,
) {
    if let Some(asked) = &wanted.name {
        table.name = NameDecision::asked(asked);
    }
    change_columns(table, &wanted.columns, dialect, errors);
    for added in &wanted.added {
        add_column(table, added, errors);
    }
    rename_columns(table, dialect, errors);
    choose_parts(table, wanted, errors);
    match &wanted.key {
        Some(key) => change_key(table, key, errors),
        None => {
            let carried: Vec<usize> = table.columns.iter().filter_map(ColumnDecision::source).collect();
            if !table.key.source.iter().all(|column| carried.contains(column)) {
                errors.push(OverrideError::Key(table.source.name.clone()));
            }
        }
    }
}

/// Notes what is chosen about indexes and foreign keys. The names are looked at when those of all
/// tables are known.
fn choose_parts(table: &mut TableDecision, wanted: &TableOverride, errors: &mut Vec<OverrideError>) {
    let source = &table.source;
    let indexes: Vec<&str> = source.indexes.iter().map(|index| index.name.as_str()).collect();
    let keys: Vec<&str> = source.foreign_keys.iter().map(|key| key.name.as_str()).collect();
    let indexes = choices_by_place(source, &indexes, &wanted.indexes, OverrideError::NoIndex, errors);
    let foreign_keys = choices_by_place(
        source,
        &keys,
        &wanted.foreign_keys,
        OverrideError::NoForeignKey,
        errors,
    );
    table.parts = PartChoices {
        indexes,
        foreign_keys,
    };
}

/// What is chosen about parts of a table, by their places in this list of names.
fn choices_by_place(
    table: &SourceTable,
    names: &[&str],
    wanted: &BTreeMap<String, PartChoice>,
    unknown: fn(QualifiedName, String) -> OverrideError,
    errors: &mut Vec<OverrideError>,
) -> BTreeMap<usize, PartChoice> {
    let case = table.facts.part_names();
    let mut choices = BTreeMap::new();
    for (name, choice) in wanted {
        let of = table.name.clone();
        match names.iter().position(|part| case.same(part, name)) {
            None => errors.push(unknown(of, name.clone())),
            Some(place) if choices.contains_key(&place) => {
                errors.push(OverrideError::Contradiction(of, name.clone()));
            }
            Some(place) => {
                choices.insert(place, choice.clone());
            }
        }
    }
    choices
}

fn change_columns(
    table: &mut TableDecision,
    wanted: &BTreeMap<String, ColumnOverride>,
    dialect: Dialect,
    errors: &mut Vec<OverrideError>,
) {
    let mut changed = BTreeSet::new();
    for (name, wanted) in wanted {
        let of = || table.source.name.clone();
        let contradicts = wanted.exclude && (wanted.name.is_some() || wanted.ty.is_some());
        match table.source.column_index(name) {
            None => errors.push(OverrideError::NoColumn(of(), name.clone())),
            Some(source) if contradicts || !changed.insert(source) => {
                errors.push(OverrideError::Contradiction(of(), name.clone()));
            }
            Some(source) => change_column(table, source, wanted, dialect, errors),
        }
    }
}

fn change_column(
    table: &mut TableDecision,
    source: usize,
    wanted: &ColumnOverride,
    dialect: Dialect,
    errors: &mut Vec<OverrideError>,
) {
    let mut columns = table.columns.iter();
    let at = columns.position(|column| column.source() == Some(source));
    let at = at.expect("the rules decide about each column of the source, and none is changed twice");
    if wanted.exclude {
        exclude_column(table, source, at);
        return;
    }
    let (column, of_source) = (&mut table.columns[at], &table.source.columns[source]);
    if let Some(name) = &wanted.name {
        column.name = NameDecision::asked(name);
    }
    if let Some(ty) = wanted.ty {
        let by_rule = (column.ty, column.encoding);
        match encoding_of(&of_source.ty.logical(), ty, by_rule, dialect) {
            Some(encoding) => {
                (column.ty, column.encoding) = (ty, encoding);
                column.chosen_by = ChosenBy::Person;
            }
            None => {
                let of = table.source.name.clone();
                errors.push(OverrideError::Type(of, of_source.name.clone()));
            }
        }
    }
}

/// Leaves a column out; places behind it move.
fn exclude_column(table: &mut TableDecision, source: usize, at: usize) {
    table.columns.remove(at);
    table.excluded.push(source);
    table.key.target.retain(|column| *column != at);
    for column in table.key.target.iter_mut().filter(|column| **column > at) {
        *column -= 1;
    }
}

/// The form of values of a source type in a column of this type, where it holds each of them
/// exactly or refuses it.
fn encoding_of(
    logical: &LogicalType,
    ty: TargetType,
    by_rule: (TargetType, Encoding),
    dialect: Dialect,
) -> Option<Encoding> {
    match (logical, ty) {
        (LogicalType::Integer { .. }, TargetType::Int64) => Some(Encoding::Int64),
        (
            LogicalType::Integer { .. } | LogicalType::Decimal { .. } | LogicalType::AnyDecimal,
            TargetType::Numeric,
        ) => Some(match dialect {
            Dialect::GoogleSql => Encoding::Numeric,
            Dialect::PostgreSql => Encoding::PgNumeric,
        }),
        (
            LogicalType::Text(_) | LogicalType::Decimal { .. } | LogicalType::AnyDecimal,
            TargetType::String(characters),
        ) => Some(text_encoding(characters)),
        (LogicalType::Bytes { .. }, TargetType::Bytes(bytes)) => Some(Encoding::Bytes {
            bytes_max: bytes.unwrap_or(CELL_BYTES_MAX),
        }),
        (LogicalType::Uuid, TargetType::Uuid | TargetType::String(Some(36) | None)) => Some(Encoding::Uuid),
        (_, ty) if ty == by_rule.0 => Some(by_rule.1),
        _ => None,
    }
}

fn text_encoding(characters: Option<u32>) -> Encoding {
    Encoding::String {
        characters_max: characters.unwrap_or(STRING_CHARACTERS_MAX),
    }
}

fn add_column(table: &mut TableDecision, added: &AddedColumn, errors: &mut Vec<OverrideError>) {
    let encoding = match (&added.filling, added.ty) {
        (Filling::ByTarget(_), _) => Some(Encoding::Int64),
        (Filling::Written(Input::Constant(Constant::Null)), _) if added.not_null => None,
        (
            Filling::Written(
                Input::Constant(Constant::Integer(_) | Constant::Null)
                | Input::Function(RowFunction::Ordinal),
            ),
            TargetType::Int64,
        ) => Some(Encoding::Int64),
        (
            Filling::Written(Input::Constant(Constant::Text(_) | Constant::Null)),
            TargetType::String(characters),
        ) => Some(text_encoding(characters)),
        (Filling::Written(Input::Function(RowFunction::Digest)), TargetType::Bytes(bytes)) => {
            Some(Encoding::Bytes {
                bytes_max: bytes.unwrap_or(CELL_BYTES_MAX),
            })
        }
        (Filling::Written(_), _) => None,
    };
    let Some(encoding) = encoding else {
        errors.push(OverrideError::Type(table.source.name.clone(), added.name.clone()));
        return;
    };
    table.columns.push(ColumnDecision {
        name: NameDecision::asked(&added.name),
        filling: added.filling.clone(),
        ty: added.ty,
        encoding,
        not_null: added.not_null,
        default: None,
        remark: None,
        chosen_by: ChosenBy::Person,
    });
}

/// The key must hold a key of the source: then no two rows have the same. What else it holds must
/// be a constant or come from the source.
fn change_key(table: &mut TableDecision, asked: &[String], errors: &mut Vec<OverrideError>) {
    let place = |name: &String| table.columns.iter().position(|column| column.name.name == *name);
    let places: Option<Vec<usize>> = asked.iter().map(place).collect();
    let is_shown = |at: &usize| {
        matches!(
            table.columns[*at].filling,
            Filling::Written(Input::Source(_) | Input::Constant(_))
        )
    };
    let decided = places
        .filter(|places| places.iter().all(is_shown))
        .and_then(|places| {
            let sources: Vec<usize> = places
                .iter()
                .filter_map(|at| table.columns[*at].source())
                .collect();
            let source_key =
                source_keys(table).find(|key| key.iter().all(|column| sources.contains(column)))?;
            Some((places, source_key))
        });
    match decided {
        Some((target, source)) => {
            (table.key.target, table.key.source) = (target, source);
            table.key.reason = KeyReason::Asked;
        }
        None => errors.push(OverrideError::Key(table.source.name.clone())),
    }
}

/// Columns of which no two rows of the source have the same values; the key that the rules have
/// chosen comes first.
fn source_keys(table: &TableDecision) -> impl Iterator<Item = Vec<usize>> {
    let chosen = (!table.key.source.is_empty()).then(|| table.key.source.clone());
    let indexes = table.source.indexes.iter();
    let unique = indexes.filter_map(|index| unique_columns(&table.source, index));
    chosen.into_iter().chain(unique)
}

#[cfg(test)]
#[path = "overrides_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "part_choices_tests.rs"]
mod part_choices_tests;

#[cfg(test)]
#[path = "overrides_property_tests.rs"]
mod property_tests;
