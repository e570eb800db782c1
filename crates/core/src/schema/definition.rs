//! What one table of the target was built from: decided once, recorded with the migration, and used
//! at every start.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::plan::backing::count_backing_indexes;
use crate::plan::cascade::TableCascades;
use crate::plan::{GroupId, SchemaVersion, TableId, TablePlan, TargetKey};
use crate::port::epoch::Epoch;
use crate::schema::source::{QualifiedName, SourceColumn, SourceTable};
use crate::schema::target::TargetTable;
use crate::value::encode::ColumnPlan;

/// What one table of the target was built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDefinition {
    /// The source table as it was when this was decided. It holds what rows, keys, indexes and
    /// foreign keys depend on; the rest (defaults, checks, triggers, estimates) is empty.
    pub source: SourceTable,
    /// The target table with its indexes and foreign keys.
    pub target: TargetTable,
    /// The columns that are written.
    pub columns: Vec<ColumnPlan>,
    /// Key columns at the source, in key order, as places in its columns.
    pub source_key: Vec<usize>,
    /// The key at the target.
    pub target_key: TargetKey,
    /// The version of the schema that this is made from.
    pub version: SchemaVersion,
    /// Its group. The number means nothing but that tables with the same one stop and load
    /// together.
    pub group: GroupId,
    /// The epoch in which the table was taken into the migration: changes of a transaction that was
    /// cut in an earlier epoch were counted without it.
    pub counted_from: Epoch,
    /// What becomes of changes that foreign-key actions make to its rows: how the source was when
    /// this was decided.
    pub cascades: TableCascades,
    /// Whether the migration has given the table up. It is kept only because a transaction that is
    /// applied in part was counted with it.
    pub is_forgotten: bool,
}

impl TableDefinition {
    /// The definition of a table as it was planned.
    pub fn of(plan: &TablePlan) -> TableDefinition {
        let source = &plan.source;
        TableDefinition {
            source: SourceTable {
                columns: source.columns.iter().map(of_column).collect(),
                checks: Vec::new(),
                triggers: Vec::new(),
                rows_estimate: 0,
                bytes_estimate: 0,
                ..SourceTable::clone(source)
            },
            target: plan.target.clone(),
            columns: plan.columns.clone(),
            source_key: plan.source_key.clone(),
            target_key: plan.target_key.clone(),
            version: plan.version,
            group: plan.group,
            counted_from: plan.counted_from,
            cascades: plan.cascades.clone(),
            is_forgotten: false,
        }
    }

    /// Name at the source.
    pub fn name(&self) -> &QualifiedName {
        &self.source.name
    }
}

/// What of a column the values depend on.
fn of_column(column: &SourceColumn) -> SourceColumn {
    SourceColumn {
        name: column.name.clone(),
        ty: column.ty.clone(),
        nullable: column.nullable,
        default: None,
        generated: None,
        generated_stored: false,
        facts: column.ty.plain_facts(),
    }
}

/// Rows and bytes of tables, by the source's own estimate.
pub type Estimates = BTreeMap<QualifiedName, (u64, u64)>;

/// The plans of recorded definitions, by name; a table without an estimate has none.
pub fn plans_of<'a>(
    definitions: impl IntoIterator<Item = &'a TableDefinition>,
    estimates: &Estimates,
) -> Vec<Arc<TablePlan>> {
    let mut definitions: Vec<&TableDefinition> = definitions.into_iter().collect();
    definitions.sort_by(|left, right| left.name().cmp(right.name()));
    let plan = |(id, definition): (u32, &TableDefinition)| {
        let (rows_estimate, bytes_estimate) = estimates.get(definition.name()).copied().unwrap_or_default();
        TablePlan {
            id: TableId(id),
            group: definition.group,
            source: Arc::new(SourceTable {
                rows_estimate,
                bytes_estimate,
                ..definition.source.clone()
            }),
            target: definition.target.clone(),
            columns: definition.columns.clone(),
            source_key: definition.source_key.clone(),
            target_key: definition.target_key.clone(),
            version: definition.version,
            backing_indexes: 0,
            counted_from: definition.counted_from,
            cascades: definition.cascades.clone(),
        }
    };
    let mut plans: Vec<TablePlan> = (0..).zip(definitions).map(plan).collect();
    count_backing_indexes(&mut plans);
    plans.into_iter().map(Arc::new).collect()
}
