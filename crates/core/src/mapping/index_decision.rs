//! What is decided about indexes and foreign keys: values, from which DDL and findings are made.

use crate::mapping::decision::{ChosenBy, NameDecision};
use crate::mapping::type_reason::{Folding, KeyRefusal};
use crate::schema::source::{ForeignKeyAction, QualifiedName};

/// One index of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDecision {
    /// Its table at the source.
    pub table: QualifiedName,
    /// Its place in the table's list of indexes.
    pub source: usize,
    /// Its name at the target. One that the target does not get has none, unless a person has asked
    /// for the name: a finding then refuses that.
    pub name: Option<NameDecision>,
    /// What becomes of it.
    pub outcome: IndexOutcome,
}

impl IndexDecision {
    /// Its name, if the target gets it.
    pub fn target_name(&self) -> Option<&NameDecision> {
        let is_kept = matches!(self.outcome, IndexOutcome::Kept(_));
        self.name.as_ref().filter(|_| is_kept)
    }

    /// Who has chosen what becomes of it. The name has a reason of its own.
    pub fn chosen_by(&self) -> ChosenBy {
        match self.outcome {
            IndexOutcome::Kept(_) | IndexOutcome::LeftOut(_) => ChosenBy::Rule,
            IndexOutcome::Excluded(_) => ChosenBy::Person,
        }
    }
}

/// What becomes of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexOutcome {
    /// The target has it.
    Kept(KeptIndex),
    /// The rules leave it out.
    LeftOut(IndexReason),
    /// A person has left it out; with the reason why the rules would leave it out too, if they
    /// would.
    Excluded(Option<IndexReason>),
}

/// An index that the target has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptIndex {
    /// Places in the target's columns, each with whether it is descending.
    pub columns: Vec<(usize, bool)>,
    /// How it differs from the index of the source.
    pub changes: Vec<IndexChange>,
}

/// How an index of the target differs from that of the source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum IndexChange {
    /// It is over a whole column instead of a prefix.
    WholeColumn,
    /// It is unique, and this decides at the source which values are equal.
    Folding(Folding),
    /// It is unique, and has no entry for rows with a NULL.
    NullFiltered,
}

/// Why an index is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexReason {
    /// The target has no index of this kind.
    Kind(String),
    /// It is over this expression.
    Expression(String),
    /// It is unique over the first characters of a column.
    UniqueOverPrefix,
    /// A column of it is left out.
    ColumnLeftOut,
    /// It is unique over values that cannot be a key at the target, for this reason.
    UniqueOver(KeyRefusal),
    /// The target has no index over this type.
    TypeNotIndexable,
    /// The target's dialect has no index over numeric.
    NumericInDialect,
    /// The primary key does the same.
    SameAsPrimaryKey,
    /// Its key would be above a limit of the target.
    Excess(KeyExcess),
}

impl IndexReason {
    /// Whether something else at the target does all that the index would do.
    pub(crate) fn loses_nothing(&self) -> bool {
        match self {
            IndexReason::SameAsPrimaryKey => true,
            IndexReason::Kind(_)
            | IndexReason::Expression(_)
            | IndexReason::UniqueOverPrefix
            | IndexReason::ColumnLeftOut
            | IndexReason::UniqueOver(_)
            | IndexReason::TypeNotIndexable
            | IndexReason::NumericInDialect
            | IndexReason::Excess(_) => false,
        }
    }
}

/// By what a key is above the target's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyExcess {
    /// It has so many parts.
    Parts(usize),
    /// It may have so many bytes.
    Bytes(u64),
}

/// One foreign key of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKeyDecision {
    /// The child's table at the source.
    pub table: QualifiedName,
    /// Its place in the table's list of foreign keys.
    pub source: usize,
    /// Its name at the target. One that the target does not get has none, unless a person has asked
    /// for the name: a finding then refuses that.
    pub name: Option<NameDecision>,
    /// What becomes of it.
    pub outcome: ForeignKeyOutcome,
}

impl ForeignKeyDecision {
    /// Its name, if the target gets it.
    pub fn target_name(&self) -> Option<&NameDecision> {
        let is_kept = matches!(self.outcome, ForeignKeyOutcome::Kept(_));
        self.name.as_ref().filter(|_| is_kept)
    }

    /// Who has chosen what becomes of it. The name has a reason of its own.
    pub fn chosen_by(&self) -> ChosenBy {
        match self.outcome {
            ForeignKeyOutcome::Kept(_) | ForeignKeyOutcome::LeftOut(_) => ChosenBy::Rule,
            ForeignKeyOutcome::Excluded => ChosenBy::Person,
        }
    }
}

/// What becomes of a foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForeignKeyOutcome {
    /// The target has it.
    Kept(KeptForeignKey),
    /// The rules leave it out.
    LeftOut(ForeignKeyReason),
    /// A person has left it out.
    Excluded,
}

/// A foreign key that the target has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptForeignKey {
    /// Places in the child's columns at the target.
    pub columns: Vec<usize>,
    /// The parent's name at the target.
    pub parent: String,
    /// Names of the parent's columns at the target, in the same order.
    pub parent_columns: Vec<String>,
    /// How it differs from the foreign key of the source.
    pub changes: Vec<ForeignKeyChange>,
}

/// How a foreign key of the target differs from that of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignKeyChange {
    /// It has no action ON DELETE.
    DeleteActionDropped(ForeignKeyAction),
    /// It has no action ON UPDATE.
    UpdateActionDropped(ForeignKeyAction),
}

/// Why a foreign key is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForeignKeyReason {
    /// This table is not migrated.
    ParentNotMigrated(QualifiedName),
    /// The parent has no column of this name.
    NoColumn(String),
    /// This decides at the source which texts are equal, and the target compares bytes.
    Folding(Folding),
    /// The columns it refers to are not unique.
    ParentNotUnique,
    /// This column is left out.
    ColumnLeftOut(String),
    /// Its two sides have different types at the target.
    TypesDiffer,
    /// The index that the target makes behind it would be above a limit.
    IndexExcess {
        /// The table of that index.
        table: String,
        /// By what.
        excess: KeyExcess,
    },
}

/// A table that would have more indexes than the target takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexCountExcess {
    /// The table at the source.
    pub table: QualifiedName,
    /// Its own indexes at the target.
    pub own: usize,
    /// The indexes that the target makes behind foreign keys.
    pub behind: usize,
}
