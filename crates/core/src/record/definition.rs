//! A table's definition as it is stored: structs of the stored form, and the way there and back.

use serde::{Deserialize, Serialize};

use super::column_type::{StoredEncoding, StoredSourceType, StoredTargetType};
use super::text::{RecordError, VERSION, decode, encode};
use crate::plan::GroupId;
use crate::port::target::Epoch;
use crate::schema::definition::TableDefinition;
use crate::schema::mysql::MysqlTable;
use crate::schema::postgres::{PostgresTable, ReplicaIdentity};
use crate::schema::source::{
    ForeignKeyAction, IndexPart, NameCase, QualifiedName, SourceColumn, SourceForeignKey, SourceIndex,
    SourceTable, SourceType, TableFacts,
};
use crate::schema::target::{TargetColumn, TargetForeignKey, TargetIndex, TargetTable};
use crate::value::encode::ColumnPlan;

/// What the text is, for errors.
const WHAT: &str = "the definition of a table";

/// A table's definition. Columns are named by their place in the list of columns of their own side.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredDefinition {
    version: u32,
    source: StoredSource,
    target: StoredTarget,
    /// Places in the target's columns.
    key: Vec<usize>,
    group: u32,
    counted_from: u64,
    forgotten: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSource {
    schema: String,
    table: String,
    /// Whether the source takes names that differ only in case for different.
    case_sensitive: bool,
    facts: StoredFacts,
    columns: Vec<StoredSourceColumn>,
    primary_key: Vec<usize>,
    indexes: Vec<StoredSourceIndex>,
    foreign_keys: Vec<StoredSourceForeignKey>,
}

/// What only the family of the source has.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum StoredFacts {
    Mysql { engine: String, system_versioned: bool },
    Postgres { replica_identity: StoredReplicaIdentity },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum StoredReplicaIdentity {
    PrimaryKey,
    Index { name: String },
    Full,
    Nothing,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSourceColumn {
    name: String,
    #[serde(rename = "type")]
    ty: StoredSourceType,
    nullable: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSourceIndex {
    name: String,
    unique: bool,
    kind: String,
    parts: Vec<StoredIndexPart>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum StoredIndexPart {
    Column {
        column: usize,
        descending: bool,
        prefix: Option<u32>,
    },
    Expression {
        text: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSourceForeignKey {
    name: String,
    columns: Vec<usize>,
    parent_schema: String,
    parent_table: String,
    parent_columns: Vec<String>,
    on_delete: StoredAction,
    on_update: StoredAction,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredAction {
    NoAction,
    Cascade,
    SetNull,
    SetDefault,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTarget {
    name: String,
    columns: Vec<StoredTargetColumn>,
    primary_key: Vec<usize>,
    indexes: Vec<StoredTargetIndex>,
    foreign_keys: Vec<StoredTargetForeignKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTargetColumn {
    name: String,
    #[serde(rename = "type")]
    ty: StoredTargetType,
    not_null: bool,
    /// The source column that it comes from.
    from: usize,
    encoding: StoredEncoding,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTargetIndex {
    name: String,
    unique: bool,
    null_filtered: bool,
    columns: Vec<StoredKeyPart>,
    /// Name of the source index.
    origin: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKeyPart {
    column: usize,
    descending: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTargetForeignKey {
    name: String,
    columns: Vec<usize>,
    parent: String,
    parent_columns: Vec<String>,
    /// Name of the source foreign key.
    origin: String,
}

impl TableDefinition {
    /// The text that is stored.
    pub fn to_record(&self) -> String {
        encode(&StoredDefinition {
            version: VERSION,
            source: store_source(&self.source),
            target: store_target(&self.target, &self.columns),
            key: self.key.clone(),
            group: self.group.0,
            counted_from: self.counted_from.0,
            forgotten: self.is_forgotten,
        })
    }

    /// Reads a stored text. Places of columns that are not there are an error.
    pub fn from_record(text: &str) -> Result<TableDefinition, RecordError> {
        let stored: StoredDefinition = decode(text, WHAT)?;
        let source = load_source(stored.source)?;
        let (target, columns) = load_target(stored.target)?;
        let definition = TableDefinition {
            source,
            target,
            columns,
            key: stored.key,
            group: GroupId(stored.group),
            counted_from: Epoch(stored.counted_from),
            is_forgotten: stored.forgotten,
        };
        if has_all_columns(&definition) {
            Ok(definition)
        } else {
            Err(RecordError::unreadable(
                WHAT,
                "it names a column that it does not have",
            ))
        }
    }
}

/// Whether every place of a column is one.
fn has_all_columns(definition: &TableDefinition) -> bool {
    let (source, target) = (&definition.source, &definition.target);
    let part = |part: &IndexPart| match part {
        IndexPart::Column { column, .. } => Some(*column),
        IndexPart::Expression { .. } => None,
    };
    let source_indexes = source
        .indexes
        .iter()
        .flat_map(|index| &index.parts)
        .filter_map(part);
    let source_keys = source.foreign_keys.iter().flat_map(|key| &key.columns).copied();
    let mut at_source = definition
        .columns
        .iter()
        .map(|column| column.source_index)
        .chain(source.primary_key.iter().copied())
        .chain(source_indexes)
        .chain(source_keys);
    let target_indexes = target.indexes.iter().flat_map(|index| &index.columns);
    let target_keys = target.foreign_keys.iter().flat_map(|key| &key.columns);
    let mut at_target = definition
        .key
        .iter()
        .chain(&target.primary_key)
        .chain(target_indexes.map(|(column, _)| column))
        .chain(target_keys);
    at_source.all(|column| column < source.columns.len())
        && at_target.all(|column| *column < target.columns.len())
}

fn store_source(source: &SourceTable) -> StoredSource {
    let column = |column: &SourceColumn| StoredSourceColumn {
        name: column.name.clone(),
        ty: StoredSourceType::from(&column.ty),
        nullable: column.nullable,
    };
    StoredSource {
        schema: source.name.schema.clone(),
        table: source.name.table.clone(),
        case_sensitive: match source.names {
            NameCase::Sensitive => true,
            NameCase::Insensitive => false,
        },
        facts: store_facts(&source.facts),
        columns: source.columns.iter().map(column).collect(),
        primary_key: source.primary_key.clone(),
        indexes: source.indexes.iter().map(store_source_index).collect(),
        foreign_keys: source.foreign_keys.iter().map(store_source_foreign_key).collect(),
    }
}

fn load_source(stored: StoredSource) -> Result<SourceTable, RecordError> {
    let mut columns = Vec::with_capacity(stored.columns.len());
    for column in stored.columns {
        let ty: SourceType = column.ty.load(WHAT)?;
        columns.push(SourceColumn {
            name: column.name,
            facts: ty.plain_facts(),
            ty,
            nullable: column.nullable,
            default: None,
            generated: None,
            generated_stored: false,
        });
    }
    Ok(SourceTable {
        name: QualifiedName::new(stored.schema, stored.table),
        names: if stored.case_sensitive {
            NameCase::Sensitive
        } else {
            NameCase::Insensitive
        },
        facts: load_facts(stored.facts),
        columns,
        primary_key: stored.primary_key,
        indexes: stored.indexes.into_iter().map(load_source_index).collect(),
        foreign_keys: stored
            .foreign_keys
            .into_iter()
            .map(load_source_foreign_key)
            .collect(),
        checks: Vec::new(),
        triggers: Vec::new(),
        rows_estimate: 0,
        bytes_estimate: 0,
    })
}

fn store_facts(facts: &TableFacts) -> StoredFacts {
    match facts {
        TableFacts::Mysql(table) => StoredFacts::Mysql {
            engine: table.engine.clone(),
            system_versioned: table.system_versioned,
        },
        TableFacts::Postgres(table) => StoredFacts::Postgres {
            replica_identity: match &table.replica_identity {
                ReplicaIdentity::PrimaryKey => StoredReplicaIdentity::PrimaryKey,
                ReplicaIdentity::Index(name) => StoredReplicaIdentity::Index { name: name.clone() },
                ReplicaIdentity::Full => StoredReplicaIdentity::Full,
                ReplicaIdentity::Nothing => StoredReplicaIdentity::Nothing,
            },
        },
    }
}

fn load_facts(stored: StoredFacts) -> TableFacts {
    match stored {
        StoredFacts::Mysql {
            engine,
            system_versioned,
        } => MysqlTable {
            engine,
            system_versioned,
        }
        .into(),
        StoredFacts::Postgres { replica_identity } => PostgresTable {
            replica_identity: match replica_identity {
                StoredReplicaIdentity::PrimaryKey => ReplicaIdentity::PrimaryKey,
                StoredReplicaIdentity::Index { name } => ReplicaIdentity::Index(name),
                StoredReplicaIdentity::Full => ReplicaIdentity::Full,
                StoredReplicaIdentity::Nothing => ReplicaIdentity::Nothing,
            },
        }
        .into(),
    }
}

fn store_source_index(index: &SourceIndex) -> StoredSourceIndex {
    let part = |part: &IndexPart| match part {
        IndexPart::Column {
            column,
            descending,
            prefix,
        } => StoredIndexPart::Column {
            column: *column,
            descending: *descending,
            prefix: *prefix,
        },
        IndexPart::Expression { text } => StoredIndexPart::Expression { text: text.clone() },
    };
    StoredSourceIndex {
        name: index.name.clone(),
        unique: index.unique,
        kind: index.kind.clone(),
        parts: index.parts.iter().map(part).collect(),
    }
}

fn load_source_index(stored: StoredSourceIndex) -> SourceIndex {
    let part = |part| match part {
        StoredIndexPart::Column {
            column,
            descending,
            prefix,
        } => IndexPart::Column {
            column,
            descending,
            prefix,
        },
        StoredIndexPart::Expression { text } => IndexPart::Expression { text },
    };
    SourceIndex {
        name: stored.name,
        unique: stored.unique,
        kind: stored.kind,
        parts: stored.parts.into_iter().map(part).collect(),
    }
}

fn store_source_foreign_key(key: &SourceForeignKey) -> StoredSourceForeignKey {
    StoredSourceForeignKey {
        name: key.name.clone(),
        columns: key.columns.clone(),
        parent_schema: key.parent.schema.clone(),
        parent_table: key.parent.table.clone(),
        parent_columns: key.parent_columns.clone(),
        on_delete: store_action(key.on_delete),
        on_update: store_action(key.on_update),
    }
}

fn load_source_foreign_key(stored: StoredSourceForeignKey) -> SourceForeignKey {
    SourceForeignKey {
        name: stored.name,
        columns: stored.columns,
        parent: QualifiedName::new(stored.parent_schema, stored.parent_table),
        parent_columns: stored.parent_columns,
        on_delete: load_action(&stored.on_delete),
        on_update: load_action(&stored.on_update),
    }
}

fn store_action(action: ForeignKeyAction) -> StoredAction {
    match action {
        ForeignKeyAction::NoAction => StoredAction::NoAction,
        ForeignKeyAction::Cascade => StoredAction::Cascade,
        ForeignKeyAction::SetNull => StoredAction::SetNull,
        ForeignKeyAction::SetDefault => StoredAction::SetDefault,
    }
}

fn load_action(stored: &StoredAction) -> ForeignKeyAction {
    match stored {
        StoredAction::NoAction => ForeignKeyAction::NoAction,
        StoredAction::Cascade => ForeignKeyAction::Cascade,
        StoredAction::SetNull => ForeignKeyAction::SetNull,
        StoredAction::SetDefault => ForeignKeyAction::SetDefault,
    }
}

fn store_target(target: &TargetTable, columns: &[ColumnPlan]) -> StoredTarget {
    let column = |(column, plan): (&TargetColumn, &ColumnPlan)| StoredTargetColumn {
        name: column.name.clone(),
        ty: StoredTargetType::from(column.ty),
        not_null: column.not_null,
        from: plan.source_index,
        encoding: StoredEncoding::from(plan.encoding),
    };
    let index = |index: &TargetIndex| StoredTargetIndex {
        name: index.name.clone(),
        unique: index.unique,
        null_filtered: index.null_filtered,
        columns: index
            .columns
            .iter()
            .map(|(column, descending)| StoredKeyPart {
                column: *column,
                descending: *descending,
            })
            .collect(),
        origin: index.origin.clone(),
    };
    let foreign_key = |key: &TargetForeignKey| StoredTargetForeignKey {
        name: key.name.clone(),
        columns: key.columns.clone(),
        parent: key.parent.clone(),
        parent_columns: key.parent_columns.clone(),
        origin: key.origin.clone(),
    };
    StoredTarget {
        name: target.name.clone(),
        columns: target.columns.iter().zip(columns).map(column).collect(),
        primary_key: target.primary_key.clone(),
        indexes: target.indexes.iter().map(index).collect(),
        foreign_keys: target.foreign_keys.iter().map(foreign_key).collect(),
    }
}

fn load_target(stored: StoredTarget) -> Result<(TargetTable, Vec<ColumnPlan>), RecordError> {
    let (mut columns, mut plans) = (Vec::new(), Vec::new());
    for column in stored.columns {
        plans.push(ColumnPlan {
            source_index: column.from,
            encoding: column.encoding.load(WHAT)?,
            not_null: column.not_null,
        });
        columns.push(TargetColumn {
            name: column.name,
            ty: column.ty.load(WHAT)?,
            not_null: column.not_null,
        });
    }
    let index = |stored: StoredTargetIndex| TargetIndex {
        name: stored.name,
        unique: stored.unique,
        null_filtered: stored.null_filtered,
        columns: stored
            .columns
            .iter()
            .map(|part| (part.column, part.descending))
            .collect(),
        origin: stored.origin,
    };
    let foreign_key = |stored: StoredTargetForeignKey| TargetForeignKey {
        name: stored.name,
        columns: stored.columns,
        parent: stored.parent,
        parent_columns: stored.parent_columns,
        origin: stored.origin,
    };
    let target = TargetTable {
        name: stored.name,
        columns,
        primary_key: stored.primary_key,
        indexes: stored.indexes.into_iter().map(index).collect(),
        foreign_keys: stored.foreign_keys.into_iter().map(foreign_key).collect(),
    };
    Ok((target, plans))
}
