//! Plans for the tables of a test's schema, made without the mapping, and ranges read by them.

use std::sync::Arc;

use spanferry_core::encode::{ColumnPlan, Encoding};
use spanferry_core::plan::{GroupId, TableId, TablePlan};
use spanferry_core::schema::{SourceTable, SourceType};
use spanferry_core::source::{Range, ReadStatus, SchemaSource, SnapshotRows, SnapshotSession};
use spanferry_core::target_schema::TargetTable;
use spanferry_mysql::{MysqlSession, MysqlSource};

fn encoding(ty: &SourceType) -> Encoding {
    match ty {
        SourceType::Integer {
            bits: 64,
            unsigned: true,
        }
        | SourceType::Decimal { .. } => Encoding::PgNumeric,
        SourceType::Integer { .. } | SourceType::Year => Encoding::Int64,
        SourceType::Float => Encoding::Float32,
        SourceType::Double => Encoding::Float64,
        SourceType::Bit { .. }
        | SourceType::Binary { .. }
        | SourceType::Varbinary { .. }
        | SourceType::Blob { .. }
        | SourceType::Geometry => Encoding::Bytes { bytes_max: 1 << 20 },
        SourceType::Date => Encoding::Date,
        SourceType::DateTime { .. } | SourceType::Timestamp { .. } => Encoding::Timestamp,
        SourceType::Json | SourceType::JsonText => Encoding::Json {
            arbitrary_numbers: true,
        },
        _ => Encoding::String {
            characters_max: 1 << 20,
        },
    }
}

fn plan(table: &SourceTable, id: u32) -> Arc<TablePlan> {
    let columns = table.columns.iter().enumerate();
    let columns = columns
        .map(|(source_index, column)| ColumnPlan {
            source_index,
            encoding: encoding(&column.ty),
            not_null: false,
        })
        .collect();
    let key = if table.primary_key.is_empty() {
        vec![1]
    } else {
        table.primary_key.clone()
    };
    let target = TargetTable {
        name: table.name.table.clone(),
        columns: Vec::new(),
        primary_key: key.clone(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
    };
    Arc::new(TablePlan {
        id: TableId(id),
        group: GroupId(0),
        source: Arc::new(table.clone()),
        target,
        columns,
        key,
    })
}

/// A plan for every table of the schema, by the shortest mapping that carries it.
pub(crate) async fn plans(source: &MysqlSource) -> Vec<Arc<TablePlan>> {
    let catalog = source.catalog().await.expect("a catalog");
    catalog
        .tables
        .iter()
        .zip(0..)
        .map(|(table, id)| plan(table, id))
        .collect()
}

/// All rows of a range as payloads.
pub(crate) async fn read(session: &mut MysqlSession, plan: &Arc<TablePlan>, range: &Range) -> Vec<Vec<u8>> {
    session.begin(plan, range).await.expect("a range");
    let (mut rows, mut all) = (SnapshotRows::default(), Vec::new());
    loop {
        let status = session.read(&mut rows, 2, 1 << 20).await.expect("rows");
        assert!(rows.refused.is_empty(), "{:?}", rows.refused);
        all.extend(rows.rows.payloads().map(<[u8]>::to_vec));
        if status == ReadStatus::End {
            return all;
        }
    }
}

/// The whole table as one range.
pub(crate) fn whole(plan: &TablePlan) -> Range {
    Range {
        table: plan.id,
        after: None,
        up_to: None,
    }
}
