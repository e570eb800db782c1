//! What a person has decided otherwise: names, types, keys, columns that are left out, and columns
//! that the source has not.

use std::collections::BTreeMap;

use crate::mapping::decide::{decide_types, unique_columns};
use crate::mapping::decision::{
    ChosenBy, ColumnDecision, Decisions, Filling, KeyReason, NameDecision, NameReason, TableDecision,
};
use crate::report::code;
use crate::report::finding::{Finding, Severity, Subject};
use crate::schema::legal_name::{NameKind, legal_name};
use crate::schema::logical::LogicalType;
use crate::schema::source::QualifiedName;
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

/// Why an override cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverrideError {
    /// There is no such table.
    NoTable(QualifiedName),
    /// The table has no such column.
    NoColumn(QualifiedName, String),
    /// The target does not take the name, or something else there has it.
    Name(QualifiedName, String),
    /// The values of the column do not fit into the type.
    Type(QualifiedName, String),
    /// Two rows of the source could have the same key, or the key holds what no row brings.
    Key(QualifiedName),
}

impl OverrideError {
    /// The finding that a person reads: about which object, why, and what to do.
    pub fn finding(&self) -> Finding {
        let whole = |name: &QualifiedName| Subject::table(name);
        let part = |name: &QualifiedName, part: &str| Subject::part(name, part);
        let (subject, text, remedy) = match self {
            OverrideError::NoTable(name) => (
                whole(name),
                format!("no table `{name}` is selected at the source"),
                "Correct the name of the table, or select it.",
            ),
            OverrideError::NoColumn(name, column) => (
                part(name, column),
                "the table has no such column".to_owned(),
                "Correct the name of the column. A part of a key is named as at the target.",
            ),
            OverrideError::Name(name, asked) => (
                part(name, asked),
                format!("the target cannot have the name `{asked}` here"),
                "Choose another name: letters, digits and `_`, a letter first, and none that is taken.",
            ),
            OverrideError::Type(name, column) => (
                part(name, column),
                "the values of the column do not fit into the type".to_owned(),
                "Choose a type that holds every value of the column exactly, or remove the choice.",
            ),
            OverrideError::Key(name) => (
                whole(name),
                "the key does not tell every row from every other, or holds what no row brings".to_owned(),
                "Choose a key that holds all columns of a key of the source.",
            ),
        };
        Finding::new(code::OVERRIDE_REFUSED, Severity::Blocking, subject, text).remedy(remedy)
    }
}

/// Applies what a person has decided. Types that no person has chosen follow the new key. All
/// errors come together.
pub fn apply(mut decisions: Decisions, overrides: &Overrides) -> Result<Decisions, Vec<OverrideError>> {
    let mut errors = Vec::new();
    for (name, wanted) in overrides {
        let Some(at) = decisions
            .tables
            .iter()
            .position(|table| table.source.name == *name)
        else {
            errors.push(OverrideError::NoTable(name.clone()));
            continue;
        };
        if let Some(asked) = &wanted.name {
            rename_table(&mut decisions, at, asked, &mut errors);
        }
        let options = decisions.options;
        let table = &mut decisions.tables[at];
        for (column, wanted) in &wanted.columns {
            change_column(table, column, wanted, options.dialect, &mut errors);
        }
        for added in &wanted.added {
            add_column(table, added, &mut errors);
        }
        expect_distinct(table, options.dialect, &mut errors);
        match &wanted.key {
            Some(key) => change_key(table, key, &mut errors),
            None => {
                let carried = |source: &usize| {
                    table
                        .columns
                        .iter()
                        .any(|column| column.source() == Some(*source))
                };
                if !table.key.source.iter().all(carried) {
                    errors.push(OverrideError::Key(name.clone()));
                }
            }
        }
        decide_types(table, options);
    }
    if errors.is_empty() {
        Ok(decisions)
    } else {
        Err(errors)
    }
}

fn rename_table(decisions: &mut Decisions, at: usize, asked: &str, errors: &mut Vec<OverrideError>) {
    let is_legal = legal_name(asked, NameKind::Table, decisions.options.dialect) == asked;
    let table = &mut decisions.tables[at];
    if table.name.name == asked {
        table.name.reason = NameReason::Asked;
    } else if is_legal && decisions.names.is_free(asked) {
        decisions.names.reserve(asked);
        table.name = NameDecision {
            name: asked.to_owned(),
            reason: NameReason::Asked,
        };
    } else {
        errors.push(OverrideError::Name(table.source.name.clone(), asked.to_owned()));
    }
}

fn change_column(
    table: &mut TableDecision,
    name: &str,
    wanted: &ColumnOverride,
    dialect: Dialect,
    errors: &mut Vec<OverrideError>,
) {
    let of = table.source.name.clone();
    let source = table.source.column_index(name);
    let at = source.and_then(|source| {
        table
            .columns
            .iter()
            .position(|column| column.source() == Some(source))
    });
    let (Some(source), Some(at)) = (source, at) else {
        errors.push(OverrideError::NoColumn(of, name.to_owned()));
        return;
    };
    if wanted.exclude {
        exclude_column(table, source, at);
        return;
    }
    let column = &mut table.columns[at];
    if let Some(name) = &wanted.name {
        column.name = NameDecision {
            name: name.clone(),
            reason: NameReason::Asked,
        };
    }
    if let Some(ty) = wanted.ty {
        match encoding_of(
            &table.source.columns[source].ty.logical(),
            ty,
            (column.ty, column.encoding),
            dialect,
        ) {
            Some(encoding) => {
                (column.ty, column.encoding) = (ty, encoding);
                column.chosen_by = ChosenBy::Person;
            }
            None => errors.push(OverrideError::Type(of, name.to_owned())),
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
        name: NameDecision {
            name: added.name.clone(),
            reason: NameReason::Asked,
        },
        filling: added.filling.clone(),
        ty: added.ty,
        encoding,
        not_null: added.not_null,
        remark: None,
        chosen_by: ChosenBy::Person,
    });
}

/// Names that a person has asked for must be legal, and no two columns may have one name.
fn expect_distinct(table: &TableDecision, dialect: Dialect, errors: &mut Vec<OverrideError>) {
    let mut taken = std::collections::BTreeSet::new();
    for column in &table.columns {
        let name = &column.name.name;
        let is_legal =
            column.name.reason != NameReason::Asked || legal_name(name, NameKind::Column, dialect) == *name;
        if !taken.insert(name.to_lowercase()) || !is_legal {
            errors.push(OverrideError::Name(table.source.name.clone(), name.clone()));
        }
    }
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
