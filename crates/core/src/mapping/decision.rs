//! What is decided about tables and columns: values, from which plans, DDL and findings are made.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::mapping::options::MappingOptions;
use crate::port::epoch::Epoch;
use crate::report::finding::Severity;
use crate::schema::names::Names;
use crate::schema::source::SourceTable;
use crate::schema::target::{ByTarget, TargetType};
use crate::value::encode::{Encoding, Input, Refusal};

/// Who has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChosenBy {
    /// A rule of the mapping.
    Rule,
    /// A person, by an override.
    Person,
}

/// Why an object has its name at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameReason {
    /// It is the name at the source.
    Own,
    /// The name at the source is not legal at the target, or taken there.
    Changed,
    /// It had this name before.
    Former,
    /// A person has asked for it.
    Asked,
}

impl NameReason {
    /// Who has chosen the name.
    pub fn chosen_by(self) -> ChosenBy {
        match self {
            NameReason::Own | NameReason::Changed | NameReason::Former => ChosenBy::Rule,
            NameReason::Asked => ChosenBy::Person,
        }
    }
}

/// A name at the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameDecision {
    /// The name.
    pub name: String,
    /// Why.
    pub reason: NameReason,
}

impl NameDecision {
    /// A name that a person has asked for.
    pub fn asked(name: impl Into<String>) -> NameDecision {
        NameDecision {
            name: name.into(),
            reason: NameReason::Asked,
        }
    }
}

/// Why a table has its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyReason {
    /// It is the primary key of the source.
    Primary,
    /// There is no primary key; this unique index over NOT NULL columns serves as one.
    UniqueIndex(String),
    /// A person has asked for it.
    Asked,
    /// There is none.
    Missing,
}

impl KeyReason {
    /// Who has chosen the key.
    pub fn chosen_by(&self) -> ChosenBy {
        match self {
            KeyReason::Primary | KeyReason::UniqueIndex(_) | KeyReason::Missing => ChosenBy::Rule,
            KeyReason::Asked => ChosenBy::Person,
        }
    }
}

/// The key of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDecision {
    /// Places in the source's columns; empty if there is no key.
    pub source: Vec<usize>,
    /// Places in the decided columns.
    pub target: Vec<usize>,
    /// Why.
    pub reason: KeyReason,
}

/// What fills a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filling {
    /// It is written.
    Written(Input),
    /// The target fills it.
    ByTarget(ByTarget),
}

/// What an operator should know about a column's form at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remark {
    /// A decimal is carried as text.
    DecimalAsText,
    /// An unsigned 64-bit integer is carried as a signed one.
    UnsignedAsInteger,
    /// An unsigned 64-bit integer is carried as a numeric.
    UnsignedAsNumeric,
    /// TIME is carried as text.
    TimeAsText,
    /// SET is carried as text.
    SetAsText,
    /// A geometry is carried as bytes.
    GeometryAsBytes,
    /// A vector must have all its elements.
    WholeVector,
    /// A UUID is carried as text.
    UuidAsText,
}

impl Remark {
    /// How much it weighs, and its words.
    pub(crate) fn words(self) -> (Severity, &'static str) {
        match self {
            Remark::DecimalAsText => (
                Severity::Warning,
                "a decimal that the target's numeric cannot take here is carried as text, and sorts as text",
            ),
            Remark::UnsignedAsInteger => (
                Severity::Notice,
                "BIGINT UNSIGNED is carried as a signed integer; a value above 9223372036854775807 is refused",
            ),
            Remark::UnsignedAsNumeric => (
                Severity::Notice,
                "BIGINT UNSIGNED is carried as a numeric, which holds all of its values",
            ),
            Remark::TimeAsText => (
                Severity::Notice,
                "TIME is carried as text, `[-]HH:MM:SS[.ffffff]`",
            ),
            Remark::SetAsText => (
                Severity::Notice,
                "SET is carried as text, its labels joined by commas",
            ),
            Remark::GeometryAsBytes => (
                Severity::Notice,
                "geometry is carried as bytes: 4 of SRID, then WKB",
            ),
            Remark::WholeVector => (
                Severity::Notice,
                "a vector with fewer elements than declared is refused",
            ),
            Remark::UuidAsText => (
                Severity::Notice,
                "UUID is carried as text, because this target has no such type",
            ),
        }
    }
}

/// The default of one column, or its numbering by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultDecision {
    /// What becomes of it.
    pub outcome: DefaultOutcome,
    /// Who has chosen so.
    pub chosen_by: ChosenBy,
}

/// What becomes of a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultOutcome {
    /// The target has it: a row without the column gets what the source would give it.
    Created(ByTarget),
    /// The target does not have it.
    LeftOut(DefaultReason),
}

/// Why a default is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultReason {
    /// Its value is one that is refused in a row too.
    Refused(Refusal),
    /// The target's DDL has no literal that gives exactly its value.
    NoLiteral,
    /// The source did not show its value.
    Hidden,
    /// It is the local time of a session whose zone is not UTC, or is not known.
    LocalTime,
    /// It is an expression that is not translated, or not in this dialect.
    Expression,
    /// It is a numbering, and the column is no whole number at the target.
    NotWhole,
}

impl fmt::Display for DefaultReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DefaultReason::Refused(refusal) => write!(f, "it is {refusal}"),
            DefaultReason::NoLiteral => f.write_str("the target has no literal for exactly this value"),
            DefaultReason::Hidden => f.write_str("the source does not show its value"),
            DefaultReason::LocalTime => f.write_str(
                "it is the local time of the session, in a time zone that is not UTC; DATETIME is read as UTC",
            ),
            DefaultReason::NotWhole => f.write_str("the column is not a whole number there"),
            DefaultReason::Expression => f.write_str("this expression is not one that is translated"),
        }
    }
}

impl DefaultDecision {
    /// What the target has, if it has it.
    pub fn created(&self) -> Option<&ByTarget> {
        match &self.outcome {
            DefaultOutcome::Created(by_target) => Some(by_target),
            DefaultOutcome::LeftOut(_) => None,
        }
    }
}

/// One column of a table at the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDecision {
    /// Its name.
    pub name: NameDecision,
    /// What fills it.
    pub filling: Filling,
    /// Its type.
    pub ty: TargetType,
    /// The form of its values.
    pub encoding: Encoding,
    /// NOT NULL.
    pub not_null: bool,
    /// What becomes of the default of the source column, or of its numbering; none if it has
    /// neither.
    pub default: Option<DefaultDecision>,
    /// What is worth knowing about its form.
    pub remark: Option<Remark>,
    /// Who has chosen its type.
    pub chosen_by: ChosenBy,
}

impl ColumnDecision {
    /// The place of the source column that it comes from, if it comes from one.
    pub fn source(&self) -> Option<usize> {
        match self.filling {
            Filling::Written(Input::Source(source)) => Some(source),
            Filling::Written(Input::Constant(_) | Input::Function(_)) | Filling::ByTarget(_) => None,
        }
    }
}

/// What a person has chosen about an index or a foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartChoice {
    /// The target does not get it.
    Exclude,
    /// It has this name at the target.
    Name(String),
}

impl PartChoice {
    /// The name that a person has asked for.
    pub(crate) fn asked_name(&self) -> Option<&str> {
        match self {
            PartChoice::Exclude => None,
            PartChoice::Name(name) => Some(name),
        }
    }
}

/// What a person has chosen about the indexes and foreign keys of one table. The rules decide about
/// the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartChoices {
    /// About indexes, by their places in the source's list.
    pub indexes: BTreeMap<usize, PartChoice>,
    /// About foreign keys, by their places in the source's list.
    pub foreign_keys: BTreeMap<usize, PartChoice>,
}

/// One table.
#[derive(Debug, Clone)]
pub struct TableDecision {
    /// The table at the source.
    pub source: Arc<SourceTable>,
    /// Its name at the target.
    pub name: NameDecision,
    /// Its key.
    pub key: KeyDecision,
    /// The target's columns in their order.
    pub columns: Vec<ColumnDecision>,
    /// Source columns that a person has left out.
    pub excluded: Vec<usize>,
    /// Source columns that a foreign key joins, on either side: both sides have one type. A foreign
    /// key that a person has left out joins none.
    pub joined: Vec<usize>,
    /// What a person has chosen about its indexes and foreign keys.
    pub parts: PartChoices,
    /// The epoch in which the table was taken into the migration.
    pub counted_from: Epoch,
}

/// What is decided about all tables.
#[derive(Debug, Clone)]
pub struct Decisions {
    /// The tables, by name at the source.
    pub tables: Vec<TableDecision>,
    /// What was decided for.
    pub options: MappingOptions,
    /// The names that no index and no foreign key gets by rule: what is at the target already, the
    /// tables' names, and what a person has asked for.
    pub(crate) names: Names,
}
