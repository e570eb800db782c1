//! Plans for the tables of a test's schema, made without the mapping, and ranges read by them.

use std::collections::BTreeSet;
use std::sync::Arc;

use spanferry_core::fixture;
use spanferry_core::plan::{TableId, TablePlan, TargetKey};
use spanferry_core::port::source::{
    CatalogSource, PreparedWait, Range, ReadRows, ReadStatus, Snapshot, SnapshotRequest, SnapshotSession,
    SnapshotSource,
};
use spanferry_core::report::failure::Failure;
use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::schema::source::{IndexPart, SourceTable};
use spanferry_core::value::encode::Encoding;
use spanferry_mysql::{MysqlSession, MysqlSource};

const BYTES: Encoding = Encoding::Bytes { bytes_max: 1 << 20 };
const TEXT: Encoding = Encoding::String {
    characters_max: 1 << 20,
};

fn encoding(ty: &MysqlType) -> Encoding {
    match ty {
        MysqlType::Integer {
            bits: 64,
            unsigned: true,
        }
        | MysqlType::Decimal { .. } => Encoding::PgNumeric,
        MysqlType::Integer { .. } | MysqlType::Year => Encoding::Int64,
        MysqlType::Float => Encoding::Float32,
        MysqlType::Double => Encoding::Float64,
        MysqlType::Bit { .. }
        | MysqlType::Binary { .. }
        | MysqlType::Varbinary { .. }
        | MysqlType::Blob { .. }
        | MysqlType::Geometry => BYTES,
        MysqlType::Date => Encoding::Date,
        MysqlType::DateTime { .. } | MysqlType::Timestamp { .. } => Encoding::Timestamp,
        MysqlType::Json | MysqlType::JsonText { .. } => Encoding::Json {
            arbitrary_numbers: true,
        },
        MysqlType::Vector { .. } => Encoding::vector(None),
        _ => TEXT,
    }
}

/// The same, but what the server spells otherwise than it is stored as its own spelling, to be met
/// to the letter.
fn spelled(ty: &MysqlType) -> Encoding {
    match ty {
        MysqlType::Vector { .. } => BYTES,
        MysqlType::Json | MysqlType::JsonText { .. } => TEXT,
        _ => encoding(ty),
    }
}

/// A plan for every table of the schema, by the shortest mapping that carries it.
pub(crate) async fn plans(source: &MysqlSource) -> Vec<Arc<TablePlan>> {
    plans_by(source, encoding).await
}

/// The same for a comparison with what a SELECT shows.
pub(crate) async fn spelled_plans(source: &MysqlSource) -> Vec<Arc<TablePlan>> {
    plans_by(source, spelled).await
}

async fn plans_by(source: &MysqlSource, encoding: fn(&MysqlType) -> Encoding) -> Vec<Arc<TablePlan>> {
    let catalog = source.catalog().await.expect("a catalog");
    let plan = |(table, id): (SourceTable, u32)| {
        let encodings: Vec<_> = table
            .columns
            .iter()
            .map(|column| encoding(column.ty.mysql().expect("a type of MySQL")))
            .collect();
        let mut plan = fixture::plan(table, encodings);
        plan.id = TableId(id);
        if plan.source_key.is_empty() {
            plan.source_key = unique_key(&plan.source).unwrap_or_else(|| vec![1]);
            plan.target_key = TargetKey::Columns(plan.source_key.clone());
        }
        Arc::new(plan)
    };
    catalog.tables.into_iter().zip(0..).map(plan).collect()
}

/// The columns of a unique index that may serve as key.
fn unique_key(table: &SourceTable) -> Option<Vec<usize>> {
    let column = |part: &IndexPart| match part {
        IndexPart::Column {
            column, prefix: None, ..
        } if !table.columns[*column].nullable => Some(*column),
        IndexPart::Column { .. } | IndexPart::Expression { .. } => None,
    };
    let mut unique = table.indexes.iter().filter(|index| index.unique);
    unique.find_map(|index| index.parts.iter().map(column).collect())
}

/// Opens a snapshot, without a lock.
pub(crate) async fn open(
    source: &MysqlSource,
    tables: &[Arc<TablePlan>],
    sessions: usize,
) -> Result<Snapshot<MysqlSession>, Failure> {
    open_by(source, tables, sessions, false).await
}

/// Opens a snapshot, under a lock if that is asked for.
pub(crate) async fn open_by(
    source: &MysqlSource,
    tables: &[Arc<TablePlan>],
    sessions: usize,
    lock: bool,
) -> Result<Snapshot<MysqlSession>, Failure> {
    let none = BTreeSet::new();
    let request = SnapshotRequest {
        tables,
        sessions,
        lock,
        prepared: PreparedWait::AllBut(&none),
    };
    source.open_snapshot(&request).await
}

/// All rows of a range as payloads.
pub(crate) async fn read(session: &mut MysqlSession, plan: &Arc<TablePlan>, range: &Range) -> Vec<Vec<u8>> {
    session.begin(plan, range).await.expect("a range");
    let (mut rows, mut all) = (ReadRows::default(), Vec::new());
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
