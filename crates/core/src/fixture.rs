//! Small tables and their plans, for the tests of this crate and, by the feature `fixture`, of
//! others.

use std::sync::Arc;

use crate::plan::cascade::TableCascades;
use crate::plan::{GroupId, SchemaVersion, TableId, TablePlan, TargetKey};
use crate::port::epoch::Epoch;
use crate::schema::mysql::{MysqlTable, MysqlType};
use crate::schema::source::{
    ForeignKeyAction, IndexPart, NameCase, QualifiedName, SourceColumn, SourceForeignKey, SourceIndex,
    SourceTable, SourceType, TableFacts,
};
use crate::schema::target::{TargetColumn, TargetTable, TargetType};
use crate::value::encode::{ColumnPlan, Encoding};

/// BIGINT.
pub const BIGINT: MysqlType = MysqlType::Integer {
    bits: 64,
    unsigned: false,
};

/// A table's name, in the schema `shop`.
pub fn qualified(table: &str) -> QualifiedName {
    QualifiedName {
        schema: "shop".to_owned(),
        table: table.to_owned(),
    }
}

/// A column that may hold NULL.
pub fn column(name: &str, ty: impl Into<SourceType>) -> SourceColumn {
    let ty = ty.into();
    SourceColumn {
        name: name.to_owned(),
        facts: ty.plain_facts(),
        ty,
        nullable: true,
        default: None,
        generated: None,
        generated_stored: false,
    }
}

/// The facts of an InnoDB table.
pub fn innodb() -> TableFacts {
    let engine = "InnoDB".to_owned();
    MysqlTable {
        engine,
        system_versioned: false,
    }
    .into()
}

/// A table whose first column, if it has any, is its key.
pub fn table(name: &str, mut columns: Vec<SourceColumn>) -> SourceTable {
    let first = columns.first_mut();
    let key = first.map(|column| {
        column.nullable = false;
        0
    });
    SourceTable {
        name: qualified(name),
        names: NameCase::Sensitive,
        facts: innodb(),
        columns,
        primary_key: key.into_iter().collect(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        triggers: Vec::new(),
        rows_estimate: 0,
        bytes_estimate: 0,
    }
}

/// A secondary index over whole columns, by their place in the table.
pub fn index(name: &str, unique: bool, columns: &[usize]) -> SourceIndex {
    let part = |column: &usize| IndexPart::Column {
        column: *column,
        descending: false,
        prefix: None,
    };
    SourceIndex {
        name: name.to_owned(),
        unique,
        kind: "BTREE".to_owned(),
        parts: columns.iter().map(part).collect(),
    }
}

/// A foreign key without actions to a table of the same schema.
pub fn foreign_key(name: &str, columns: &[usize], parent: &str, parent_columns: &[&str]) -> SourceForeignKey {
    SourceForeignKey {
        name: name.to_owned(),
        columns: columns.to_vec(),
        parent: qualified(parent),
        parent_columns: parent_columns.iter().map(|name| (*name).to_owned()).collect(),
        on_delete: ForeignKeyAction::NoAction,
        on_update: ForeignKeyAction::NoAction,
    }
}

/// A nullable INT64 column of the target.
pub fn target_column(name: &str) -> TargetColumn {
    TargetColumn {
        name: name.to_owned(),
        ty: TargetType::Int64,
        not_null: false,
        by_target: None,
    }
}

/// The plan of a table as the first of a migration: a nullable column for each encoding, the
/// source's key. Its target has a name and a key, but no columns: what needs them says which.
pub fn plan(source: SourceTable, encodings: impl IntoIterator<Item = Encoding>) -> TablePlan {
    let columns = encodings.into_iter().enumerate();
    let columns = columns.map(|(at, encoding)| ColumnPlan::of_source(at, at, encoding, false));
    TablePlan {
        id: TableId(0),
        group: GroupId(0),
        target: TargetTable {
            name: source.name.table.clone(),
            columns: Vec::new(),
            primary_key: source.primary_key.clone(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
        },
        columns: columns.collect(),
        source_key: source.primary_key.clone(),
        target_key: TargetKey::Columns(source.primary_key.clone()),
        version: SchemaVersion::FIRST,
        source: Arc::new(source),
        backing_indexes: 0,
        counted_from: Epoch(0),
        cascades: TableCascades::default(),
    }
}
