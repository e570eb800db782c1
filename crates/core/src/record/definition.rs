//! A table's definition as it is stored: structs of the stored form, and the way there and back.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::column_type::{StoredEncoding, StoredSourceType, StoredTargetType};
use super::text::{RecordError, VERSION, decode, encode};
use crate::plan::cascade::{CascadeEdge, ComponentKind, ComponentPart, TableCascades};
use crate::plan::{GroupId, SchemaVersion, TargetKey};
use crate::port::epoch::Epoch;
use crate::schema::definition::TableDefinition;
use crate::schema::mysql::MysqlTable;
use crate::schema::postgres::{PostgresTable, ReplicaIdentity};
use crate::schema::source::{
    ForeignKeyAction, IndexPart, NameCase, QualifiedName, SourceColumn, SourceForeignKey, SourceIndex,
    SourceTable, SourceType, TableFacts,
};
use crate::schema::target::{ByTarget, TargetColumn, TargetForeignKey, TargetIndex, TargetTable};
use crate::value::encode::{ColumnPlan, Constant, Input, RowFunction};

/// What the text is, for errors.
const WHAT: &str = "the definition of a table";

/// A table's definition. Columns are named by their place in the list of columns of their own side.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredDefinition {
    version: u32,
    source: StoredSource,
    target: StoredTarget,
    /// The columns that are written.
    columns: Vec<StoredColumn>,
    /// Places in the source's columns.
    source_key: Vec<usize>,
    key: StoredKey,
    schema_version: u32,
    group: u32,
    counted_from: u64,
    /// Left out where the source logs what foreign keys change, as in every record before this
    /// field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unlogged_cascades: Option<StoredCascades>,
    forgotten: bool,
}

/// What the source does to rows of the table by foreign keys, without logging it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCascades {
    component: Option<StoredComponent>,
    edges: Vec<StoredCascadeEdge>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredComponent {
    /// Unique within the group.
    number: u32,
    kind: StoredComponentKind,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredComponentKind {
    OneLevel,
    Exact,
    Refused,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCascadeEdge {
    /// Place in the source's foreign keys.
    foreign_key: usize,
    /// Places in the parent's columns at the source.
    parent_columns: Vec<usize>,
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

/// A column that is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredColumn {
    /// Place in the target's columns.
    target: usize,
    input: StoredInput,
    encoding: StoredEncoding,
}

/// Places in the columns that are written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum StoredKey {
    Columns { columns: Vec<usize> },
    Multiset { digest: usize, ordinal: usize },
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
    by_target: Option<StoredByTarget>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum StoredByTarget {
    Default { expression: String },
    Identity { skipped_to: i64 },
    Generated { expression: String },
}

/// Where the values of a column come from.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum StoredInput {
    /// Place in the source's columns.
    Source(usize),
    Null,
    Integer(i64),
    Text(String),
    RowDigest,
    RowOrdinal,
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
            target: store_target(&self.target),
            columns: self.columns.iter().map(store_column).collect(),
            source_key: self.source_key.clone(),
            key: match &self.target_key {
                TargetKey::Columns(columns) => StoredKey::Columns {
                    columns: columns.clone(),
                },
                TargetKey::Multiset([digest, ordinal]) => StoredKey::Multiset {
                    digest: *digest,
                    ordinal: *ordinal,
                },
            },
            schema_version: self.version.0,
            group: self.group.0,
            counted_from: self.counted_from.0,
            unlogged_cascades: store_cascades(&self.cascades),
            forgotten: self.is_forgotten,
        })
    }

    /// Reads a stored text. Places of columns that are not there are an error.
    pub fn from_record(text: &str) -> Result<TableDefinition, RecordError> {
        let stored: StoredDefinition = decode(text, WHAT)?;
        let source = load_source(stored.source)?;
        let target = load_target(stored.target)?;
        let load = |column| load_column(column, &target);
        let columns: Result<Vec<ColumnPlan>, RecordError> = stored.columns.into_iter().map(load).collect();
        let definition = TableDefinition {
            source,
            target,
            columns: columns?,
            source_key: stored.source_key,
            target_key: match stored.key {
                StoredKey::Columns { columns } => TargetKey::Columns(columns),
                StoredKey::Multiset { digest, ordinal } => TargetKey::Multiset([digest, ordinal]),
            },
            version: SchemaVersion(stored.schema_version),
            group: GroupId(stored.group),
            counted_from: Epoch(stored.counted_from),
            cascades: load_cascades(stored.unlogged_cascades),
            is_forgotten: stored.forgotten,
        };
        if has_all_columns(&definition) {
            Ok(definition)
        } else {
            Err(foreign())
        }
    }
}

/// Whether every place of a column is one, and no column of the target is written twice.
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
        .filter_map(ColumnPlan::source)
        .chain(definition.source_key.iter().copied())
        .chain(source.primary_key.iter().copied())
        .chain(source_indexes)
        .chain(source_keys);
    let target_indexes = target.indexes.iter().flat_map(|index| &index.columns);
    let target_keys = target.foreign_keys.iter().flat_map(|key| &key.columns);
    let mut at_target = target
        .primary_key
        .iter()
        .chain(target_indexes.map(|(column, _)| column))
        .chain(target_keys);
    let edges = match &definition.cascades {
        TableCascades::Logged => &[][..],
        TableCascades::Unlogged { edges, .. } => edges,
    };
    let has_key = |edge: &CascadeEdge| {
        let key = source.foreign_keys.get(edge.foreign_key);
        key.is_some_and(|key| key.columns.len() == edge.parent_columns.len())
    };
    let written: BTreeSet<usize> = definition.columns.iter().map(|column| column.target).collect();
    at_source.all(|column| column < source.columns.len())
        && at_target.all(|column| *column < target.columns.len())
        && definition
            .target_key
            .columns()
            .iter()
            .all(|column| *column < definition.columns.len())
        && written.len() == definition.columns.len()
        && edges.iter().all(has_key)
}

fn store_cascades(cascades: &TableCascades) -> Option<StoredCascades> {
    let TableCascades::Unlogged { component, edges } = cascades else {
        return None;
    };
    let edge = |edge: &CascadeEdge| StoredCascadeEdge {
        foreign_key: edge.foreign_key,
        parent_columns: edge.parent_columns.clone(),
    };
    Some(StoredCascades {
        component: component.map(|part| StoredComponent {
            number: part.number,
            kind: match part.kind {
                ComponentKind::OneLevel => StoredComponentKind::OneLevel,
                ComponentKind::Exact => StoredComponentKind::Exact,
                ComponentKind::Refused => StoredComponentKind::Refused,
            },
        }),
        edges: edges.iter().map(edge).collect(),
    })
}

fn load_cascades(stored: Option<StoredCascades>) -> TableCascades {
    let Some(StoredCascades { component, edges }) = stored else {
        return TableCascades::Logged;
    };
    let edge = |edge: StoredCascadeEdge| CascadeEdge {
        foreign_key: edge.foreign_key,
        parent_columns: edge.parent_columns,
    };
    TableCascades::Unlogged {
        component: component.map(|stored| ComponentPart {
            number: stored.number,
            kind: match stored.kind {
                StoredComponentKind::OneLevel => ComponentKind::OneLevel,
                StoredComponentKind::Exact => ComponentKind::Exact,
                StoredComponentKind::Refused => ComponentKind::Refused,
            },
        }),
        edges: edges.into_iter().map(edge).collect(),
    }
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

fn store_column(column: &ColumnPlan) -> StoredColumn {
    StoredColumn {
        target: column.target,
        input: match &column.input {
            Input::Source(source) => StoredInput::Source(*source),
            Input::Constant(Constant::Null) => StoredInput::Null,
            Input::Constant(Constant::Integer(number)) => StoredInput::Integer(*number),
            Input::Constant(Constant::Text(text)) => StoredInput::Text(text.clone()),
            Input::Function(RowFunction::Digest) => StoredInput::RowDigest,
            Input::Function(RowFunction::Ordinal) => StoredInput::RowOrdinal,
        },
        encoding: StoredEncoding::from(column.encoding),
    }
}

/// The error of a definition with a column that is not there.
fn foreign() -> RecordError {
    RecordError::unreadable(WHAT, "it names a column that it does not have")
}

fn load_column(stored: StoredColumn, target: &TargetTable) -> Result<ColumnPlan, RecordError> {
    let filled = target.columns.get(stored.target).ok_or_else(foreign)?;
    Ok(ColumnPlan {
        input: match stored.input {
            StoredInput::Source(source) => Input::Source(source),
            StoredInput::Null => Input::Constant(Constant::Null),
            StoredInput::Integer(number) => Input::Constant(Constant::Integer(number)),
            StoredInput::Text(text) => Input::Constant(Constant::Text(text)),
            StoredInput::RowDigest => Input::Function(RowFunction::Digest),
            StoredInput::RowOrdinal => Input::Function(RowFunction::Ordinal),
        },
        target: stored.target,
        encoding: stored.encoding.load(WHAT)?,
        not_null: filled.not_null,
    })
}

fn store_by_target(by_target: &ByTarget) -> StoredByTarget {
    match by_target {
        ByTarget::Default(expression) => StoredByTarget::Default {
            expression: expression.clone(),
        },
        ByTarget::Identity { skipped_to } => StoredByTarget::Identity {
            skipped_to: *skipped_to,
        },
        ByTarget::Generated(expression) => StoredByTarget::Generated {
            expression: expression.clone(),
        },
    }
}

fn load_by_target(stored: StoredByTarget) -> ByTarget {
    match stored {
        StoredByTarget::Default { expression } => ByTarget::Default(expression),
        StoredByTarget::Identity { skipped_to } => ByTarget::Identity { skipped_to },
        StoredByTarget::Generated { expression } => ByTarget::Generated(expression),
    }
}

fn store_target(target: &TargetTable) -> StoredTarget {
    let column = |column: &TargetColumn| StoredTargetColumn {
        name: column.name.clone(),
        ty: StoredTargetType::from(column.ty),
        not_null: column.not_null,
        by_target: column.by_target.as_ref().map(store_by_target),
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
        columns: target.columns.iter().map(column).collect(),
        primary_key: target.primary_key.clone(),
        indexes: target.indexes.iter().map(index).collect(),
        foreign_keys: target.foreign_keys.iter().map(foreign_key).collect(),
    }
}

fn load_target(stored: StoredTarget) -> Result<TargetTable, RecordError> {
    let column = |stored: StoredTargetColumn| {
        Ok(TargetColumn {
            name: stored.name,
            ty: stored.ty.load(WHAT)?,
            not_null: stored.not_null,
            by_target: stored.by_target.map(load_by_target),
        })
    };
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
    Ok(TargetTable {
        name: stored.name,
        columns: stored.columns.into_iter().map(column).collect::<Result<_, _>>()?,
        primary_key: stored.primary_key,
        indexes: stored.indexes.into_iter().map(index).collect(),
        foreign_keys: stored.foreign_keys.into_iter().map(foreign_key).collect(),
    })
}
