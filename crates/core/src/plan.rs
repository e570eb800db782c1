//! Table plans: per table and schema version, how the rows of the source become rows of the target.

use std::sync::Arc;

use crate::plan::cascade::TableCascades;
use crate::port::epoch::Epoch;
use crate::schema::source::{IndexPart, QualifiedName, SourceIndex, SourceTable};
use crate::schema::target::TargetTable;
use crate::value::encode::{ColumnPlan, Input, RowFunction};
use crate::wire::partial_rows::ColumnSet;

pub(crate) mod backing;
pub mod cascade;
mod row;

pub use row::{RefusedCell, RowEncoder, RowLayout};

/// A migrated table, by its place in the migration's list of tables (ordered by name, fixed for the
/// whole migration).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

/// A group of tables tied by foreign keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// The version of a table's schema. It begins with 1, and rises with every change of the schema
/// that is carried to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaVersion(pub u32);

impl SchemaVersion {
    /// The schema that a table is taken into the migration with.
    pub const FIRST: SchemaVersion = SchemaVersion(1);
}

/// What makes a row of the target one: changes are folded by it, rows are compared by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetKey {
    /// These columns, in key order, as indexes into the plan's columns. No two rows of the source
    /// have the same values of them.
    Columns(Vec<usize>),
    /// For rows that may be equal: a digest of the row, and the row's number among equal ones, as
    /// indexes into the plan's columns.
    Multiset([usize; 2]),
}

impl TargetKey {
    /// The key columns in key order, as indexes into the plan's columns.
    pub fn columns(&self) -> &[usize] {
        match self {
            TargetKey::Columns(columns) => columns,
            TargetKey::Multiset(columns) => columns,
        }
    }
}

/// Everything needed to read, convert and write one table.
#[derive(Debug, Clone)]
pub struct TablePlan {
    /// Its identity within the migration.
    pub id: TableId,
    /// Its group.
    pub group: GroupId,
    /// The source table it was made from: the schema that every range and every table map must
    /// still have.
    pub source: Arc<SourceTable>,
    /// The target table it writes to. Columns that none of `columns` fills are left to the target.
    pub target: TargetTable,
    /// The columns that are written, in the order of the encoded row.
    pub columns: Vec<ColumnPlan>,
    /// The key by which the source's rows are read in ranges, in key order, as places in the
    /// source's columns.
    pub source_key: Vec<usize>,
    /// The key at the target.
    pub target_key: TargetKey,
    /// The version of the schema that the plan is for.
    pub version: SchemaVersion,
    /// Indexes that Spanner keeps unasked behind foreign keys, on the child's and on the parent's
    /// side.
    pub backing_indexes: usize,
    /// The epoch in which the table was taken into the migration (`TableDefinition::counted_from`).
    pub counted_from: Epoch,
    /// What becomes of changes that foreign-key actions make to its rows.
    pub cascades: TableCascades,
}

impl TablePlan {
    /// Name at the source.
    pub fn name(&self) -> &QualifiedName {
        &self.source.name
    }

    /// The key columns of the target in key order, as indexes into `columns`.
    pub fn key(&self) -> &[usize] {
        self.target_key.columns()
    }

    /// The unique index that makes the source's key one, where it is not the primary key: over the
    /// whole key columns, in key order.
    pub fn key_index(&self) -> Option<&SourceIndex> {
        let key = &self.source_key;
        if *key == self.source.primary_key {
            return None;
        }
        let is_part = |(part, key): (&IndexPart, &usize)| match part {
            IndexPart::Column { column, prefix, .. } => column == key && prefix.is_none(),
            IndexPart::Expression { .. } => false,
        };
        let is_key = |index: &&SourceIndex| {
            index.unique && index.parts.len() == key.len() && index.parts.iter().zip(key).all(is_part)
        };
        self.source.indexes.iter().find(is_key)
    }

    /// What one upserted row counts against Spanner's limit of mutations per commit: a column is
    /// one, also one that the target fills; an index entry that may be removed and written again is
    /// two.
    pub fn mutations_per_upsert(&self) -> usize {
        self.columns.len().max(self.target.columns.len()) + 2 * self.index_count()
    }

    /// What one row counts of which only these columns are written.
    pub(crate) fn mutations_per_update(&self, columns: &ColumnSet) -> usize {
        columns.len() + 2 * self.index_count()
    }

    /// What one deleted row counts: itself and its index entries.
    pub fn mutations_per_delete(&self) -> usize {
        1 + self.index_count()
    }

    /// Secondary indexes at the target once its constraints stand.
    fn index_count(&self) -> usize {
        self.target.indexes.len() + self.backing_indexes
    }

    /// The column, by its place in `columns`, that comes from this column of the source; the first,
    /// if there are several.
    pub(crate) fn column_of(&self, source: usize) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| column.source() == Some(source))
    }

    /// The names of the target's columns that are written, in the order of the encoded row.
    pub fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns
            .iter()
            .map(|column| self.target.columns[column.target].name.as_str())
    }

    /// The name of a written column for people: that of the source's column, or the target's where
    /// it comes from none.
    pub fn column_title(&self, index: usize) -> &str {
        let column = &self.columns[index];
        match column.source() {
            Some(source) => &self.source.columns[source].name,
            None => &self.target.columns[column.target].name,
        }
    }

    /// Why this release cannot run the plan, if it cannot.
    pub fn not_built(&self) -> Option<&'static str> {
        let function = |column: &ColumnPlan| match column.input {
            Input::Function(function) => Some(function),
            Input::Source(_) | Input::Constant(_) => None,
        };
        if let TargetKey::Multiset(_) = self.target_key {
            return Some("a key for rows that may be equal");
        }
        if self
            .columns
            .iter()
            .any(|column| function(column) == Some(RowFunction::Ordinal))
        {
            return Some("a column with the number of a row among equal ones");
        }
        if self
            .key()
            .iter()
            .any(|key| function(&self.columns[*key]).is_some())
        {
            return Some("a key that is computed from the row");
        }
        None
    }
}

#[cfg(test)]
#[path = "plan/plan_tests.rs"]
mod tests;
