//! Table plans: per table and schema version, how each source column becomes a target column.

use std::sync::Arc;

use crate::port::target::Epoch;
use crate::schema::source::{IndexPart, QualifiedName, SourceIndex, SourceTable};
use crate::schema::target::TargetTable;
use crate::value::encode::{ColumnPlan, Refusal};
use crate::value::scalar::Scalar;

/// A migrated table, by its place in the migration's list of tables (ordered by name, fixed for the whole migration).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

/// A group of tables tied by foreign keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// Everything needed to read, convert and write one table.
#[derive(Debug, Clone)]
pub struct TablePlan {
    /// Its identity within the migration.
    pub id: TableId,
    /// Its group.
    pub group: GroupId,
    /// The source table it was made from: the schema that every range and every table map must still have.
    pub source: Arc<SourceTable>,
    /// The target table it writes to; `target.columns[i]` receives `columns[i]`.
    pub target: TargetTable,
    /// The migrated columns, in source order.
    pub columns: Vec<ColumnPlan>,
    /// Key columns in key order, as indexes into `columns`.
    pub key: Vec<usize>,
    /// Indexes that Spanner keeps unasked behind foreign keys, on the child's and on the parent's side.
    pub backing_indexes: usize,
    /// The epoch in which the table was taken into the migration (`TableDefinition::counted_from`).
    pub counted_from: Epoch,
}

impl TablePlan {
    /// Name at the source.
    pub fn name(&self) -> &QualifiedName {
        &self.source.name
    }

    /// The unique index that makes the key one, where it is not the primary key: over the whole key columns, in key order.
    pub fn key_index(&self) -> Option<&SourceIndex> {
        let key: Vec<usize> = self.key.iter().map(|column| self.source_index(*column)).collect();
        if key == self.source.primary_key {
            return None;
        }
        let is_part = |(part, key): (&IndexPart, &usize)| match part {
            IndexPart::Column { column, prefix, .. } => column == key && prefix.is_none(),
            IndexPart::Expression { .. } => false,
        };
        let is_key = |index: &&SourceIndex| {
            index.unique && index.parts.len() == key.len() && index.parts.iter().zip(&key).all(is_part)
        };
        self.source.indexes.iter().find(is_key)
    }

    /// What one upserted row counts against Spanner's limit of mutations per commit: a written column is one, an index entry
    /// that may be removed and written anew is two.
    pub fn mutations_per_upsert(&self) -> usize {
        self.columns.len() + 2 * self.index_count()
    }

    /// What one deleted row counts: itself and its index entries.
    pub fn mutations_per_delete(&self) -> usize {
        1 + self.index_count()
    }

    /// Secondary indexes at the target once its constraints stand.
    fn index_count(&self) -> usize {
        self.target.indexes.len() + self.backing_indexes
    }

    /// Index into `source.columns` of the migrated column `index`.
    pub fn source_index(&self, index: usize) -> usize {
        self.columns[index].source_index
    }
}

/// A cell that was refused: which column, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedCell {
    /// Index into the plan's columns.
    pub column: usize,
    /// Why.
    pub refusal: Refusal,
}

/// Encodes one row at a time and remembers where each cell lies, so that its key can be taken from it.
#[derive(Debug, Default)]
pub struct RowEncoder {
    row: Vec<u8>,
    ends: Vec<usize>,
}

impl RowEncoder {
    /// An encoder with no row.
    pub fn new() -> RowEncoder {
        RowEncoder::default()
    }

    /// Begins a new row.
    pub fn begin(&mut self) {
        self.row.clear();
        self.ends.clear();
    }

    /// Encodes the next column of the plan.
    pub fn cell(&mut self, plan: &TablePlan, scalar: Scalar<'_>) -> Result<(), RefusedCell> {
        let column = self.ends.len();
        plan.columns[column]
            .encode(scalar, &mut self.row)
            .map_err(|refusal| RefusedCell { column, refusal })?;
        self.ends.push(self.row.len());
        Ok(())
    }

    /// The whole row as `ListValue` payload, once every column is encoded.
    pub fn row(&self) -> &[u8] {
        &self.row
    }

    /// Writes the row's key as `ListValue` payload into `key`.
    pub fn key_into(&self, plan: &TablePlan, key: &mut Vec<u8>) {
        key.clear();
        for column in &plan.key {
            let start = if *column == 0 { 0 } else { self.ends[column - 1] };
            key.extend_from_slice(&self.row[start..self.ends[*column]]);
        }
    }
}
