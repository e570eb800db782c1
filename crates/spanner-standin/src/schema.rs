//! What the stand-in knows of a database's schema: tables, columns, indexes, foreign keys.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use spanferry_spanner_api::spanner::{Type, TypeAnnotationCode, TypeCode};

/// A column's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ColumnType {
    Bool,
    Int64,
    Float32,
    Float64,
    Numeric,
    PgNumeric,
    /// Characters at most, `None` for MAX.
    String(Option<u64>),
    /// Bytes at most, `None` for MAX.
    Bytes(Option<u64>),
    Date,
    Timestamp,
    Json,
    PgJson,
    Uuid,
    /// With its fixed length, if it has one.
    Array(Box<ColumnType>, Option<u64>),
    /// One that is not checked.
    Other,
}

impl ColumnType {
    /// As results describe it.
    pub(crate) fn wire(&self) -> Type {
        let (code, annotation) = match self {
            ColumnType::Bool => (TypeCode::Bool, TypeAnnotationCode::Unspecified),
            ColumnType::Int64 => (TypeCode::Int64, TypeAnnotationCode::Unspecified),
            ColumnType::Float32 => (TypeCode::Float32, TypeAnnotationCode::Unspecified),
            ColumnType::Float64 => (TypeCode::Float64, TypeAnnotationCode::Unspecified),
            ColumnType::Numeric => (TypeCode::Numeric, TypeAnnotationCode::Unspecified),
            ColumnType::PgNumeric => (TypeCode::Numeric, TypeAnnotationCode::PgNumeric),
            ColumnType::String(_) => (TypeCode::String, TypeAnnotationCode::Unspecified),
            ColumnType::Bytes(_) => (TypeCode::Bytes, TypeAnnotationCode::Unspecified),
            ColumnType::Date => (TypeCode::Date, TypeAnnotationCode::Unspecified),
            ColumnType::Timestamp => (TypeCode::Timestamp, TypeAnnotationCode::Unspecified),
            ColumnType::Json => (TypeCode::Json, TypeAnnotationCode::Unspecified),
            ColumnType::PgJson => (TypeCode::Json, TypeAnnotationCode::PgJsonb),
            ColumnType::Uuid => (TypeCode::Uuid, TypeAnnotationCode::Unspecified),
            ColumnType::Array(_, _) => (TypeCode::Array, TypeAnnotationCode::Unspecified),
            ColumnType::Other => (TypeCode::Unspecified, TypeAnnotationCode::Unspecified),
        };
        let element = match self {
            ColumnType::Array(element, _) => Some(Box::new(element.wire())),
            ColumnType::Bool
            | ColumnType::Int64
            | ColumnType::Float32
            | ColumnType::Float64
            | ColumnType::Numeric
            | ColumnType::PgNumeric
            | ColumnType::String(_)
            | ColumnType::Bytes(_)
            | ColumnType::Date
            | ColumnType::Timestamp
            | ColumnType::Json
            | ColumnType::PgJson
            | ColumnType::Uuid
            | ColumnType::Other => None,
        };
        Type {
            code: code.into(),
            type_annotation: annotation.into(),
            array_element_type: element,
            ..Type::default()
        }
    }

    /// As INFORMATION_SCHEMA's `spanner_type` writes it.
    pub(crate) fn text(&self, postgres: bool) -> String {
        let sized = |name: &str, length: &Option<u64>| match length {
            Some(length) => format!("{name}({length})"),
            None => format!("{name}(MAX)"),
        };
        match (self, postgres) {
            (ColumnType::Bool, false) => "BOOL".to_owned(),
            (ColumnType::Bool, true) => "boolean".to_owned(),
            (ColumnType::Int64, false) => "INT64".to_owned(),
            (ColumnType::Int64, true) => "bigint".to_owned(),
            (ColumnType::Float32, false) => "FLOAT32".to_owned(),
            (ColumnType::Float32, true) => "real".to_owned(),
            (ColumnType::Float64, false) => "FLOAT64".to_owned(),
            (ColumnType::Float64, true) => "double precision".to_owned(),
            (ColumnType::Numeric | ColumnType::PgNumeric, false) => "NUMERIC".to_owned(),
            (ColumnType::Numeric | ColumnType::PgNumeric, true) => "numeric".to_owned(),
            (ColumnType::String(length), false) => sized("STRING", length),
            (ColumnType::String(None), true) => "character varying".to_owned(),
            (ColumnType::String(Some(length)), true) => format!("character varying({length})"),
            (ColumnType::Bytes(length), false) => sized("BYTES", length),
            (ColumnType::Bytes(_), true) => "bytea".to_owned(),
            (ColumnType::Date, false) => "DATE".to_owned(),
            (ColumnType::Date, true) => "date".to_owned(),
            (ColumnType::Timestamp, false) => "TIMESTAMP".to_owned(),
            (ColumnType::Timestamp, true) => "timestamp with time zone".to_owned(),
            (ColumnType::Json | ColumnType::PgJson, false) => "JSON".to_owned(),
            (ColumnType::Json | ColumnType::PgJson, true) => "jsonb".to_owned(),
            (ColumnType::Uuid, false) => "UUID".to_owned(),
            (ColumnType::Uuid, true) => "uuid".to_owned(),
            (ColumnType::Array(element, None), false) => format!("ARRAY<{}>", element.text(false)),
            (ColumnType::Array(element, Some(length)), false) => {
                format!("ARRAY<{}>(vector_length=>{length})", element.text(false))
            }
            (ColumnType::Array(element, None), true) => format!("{}[]", element.text(true)),
            (ColumnType::Array(element, Some(length)), true) => {
                format!("{}[] vector length {length}", element.text(true))
            }
            (ColumnType::Other, _) => "UNKNOWN".to_owned(),
        }
    }
}

/// One column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) ty: ColumnType,
    pub(crate) not_null: bool,
    /// It may be left out of an insert although it is NOT NULL.
    pub(crate) has_default: bool,
}

/// One secondary index.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) unique: bool,
    pub(crate) null_filtered: bool,
    /// Column and whether descending.
    pub(crate) columns: Vec<(String, bool)>,
    /// Columns stored beside the key.
    pub(crate) stored: Vec<String>,
    /// Whether it is still being built.
    pub(crate) unfinished: bool,
}

/// One foreign key.
#[derive(Debug, Clone)]
pub(crate) struct ForeignKey {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    pub(crate) parent: String,
    pub(crate) parent_columns: Vec<String>,
    /// Whether it is still being built.
    pub(crate) unfinished: bool,
}

/// One table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
    /// By name in lower case: names differ in more than their case.
    positions: HashMap<String, usize>,
    /// Indexes into `columns`.
    pub(crate) key: Vec<usize>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) foreign_keys: Vec<ForeignKey>,
    /// Names of CHECK constraints.
    pub(crate) checks: Vec<String>,
    pub(crate) parent: Option<String>,
    /// Indexes that Spanner keeps for foreign keys: the columns of each.
    pub(crate) backing: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(name: String) -> Table {
        Table {
            name,
            columns: Vec::new(),
            positions: HashMap::new(),
            key: Vec::new(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            parent: None,
            backing: Vec::new(),
        }
    }

    pub(crate) fn position(&self, column: &str) -> Option<usize> {
        if let Some(position) = self.positions.get(column) {
            return Some(*position);
        }
        self.positions.get(&column.to_ascii_lowercase()).copied()
    }

    /// To be called after every change of the columns.
    pub(crate) fn index_columns(&mut self) {
        let names = self.columns.iter().enumerate();
        self.positions = names
            .map(|(index, column)| (column.name.to_ascii_lowercase(), index))
            .collect();
    }

    /// The key's column names.
    pub(crate) fn key_names(&self) -> Vec<String> {
        self.key
            .iter()
            .map(|index| self.columns[*index].name.clone())
            .collect()
    }

    /// Secondary indexes, those behind foreign keys included.
    pub(crate) fn index_count(&self) -> u64 {
        (self.indexes.len() + self.backing.len()) as u64
    }

    /// Index entries that an update of these columns may touch: the old one goes, a new one comes.
    pub(crate) fn entries_updated(&self, written: &[usize]) -> u64 {
        let hits = |column: &String| {
            self.position(column)
                .is_some_and(|position| written.contains(&position) && !self.key.contains(&position))
        };
        let own = self.indexes.iter().filter(|index| {
            index
                .columns
                .iter()
                .map(|(column, _)| column)
                .chain(&index.stored)
                .any(hits)
        });
        let backing = self.backing.iter().filter(|columns| columns.iter().any(hits));
        2 * (own.count() + backing.count()) as u64
    }
}

/// All tables of a database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schema {
    pub(crate) tables: BTreeMap<String, Arc<Table>>,
}

impl Schema {
    /// The table as named, or by a name that differs in case.
    pub(crate) fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(name).or_else(|| {
            self.tables
                .values()
                .find(|table| table.name.eq_ignore_ascii_case(name))
        })
    }

    /// For changes.
    pub(crate) fn table_mut(&mut self, name: &str) -> Option<&mut Table> {
        let name = self.table(name)?.name.clone();
        self.tables.get_mut(&name).map(Arc::make_mut)
    }

    /// The table that holds an index of this name.
    pub(crate) fn index_owner(&self, index: &str) -> Option<String> {
        let owns = |table: &&Arc<Table>| {
            table
                .indexes
                .iter()
                .any(|found| found.name.eq_ignore_ascii_case(index))
        };
        self.tables.values().find(owns).map(|table| table.name.clone())
    }

    /// Whether a table, index or constraint has this name.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.table(name).is_some()
            || self.index_owner(name).is_some()
            || self.tables.values().any(|table| {
                table
                    .foreign_keys
                    .iter()
                    .any(|key| key.name.eq_ignore_ascii_case(name))
                    || table.checks.iter().any(|check| check.eq_ignore_ascii_case(name))
            })
    }

    /// Marks an index or foreign key as being built, or as ready.
    pub(crate) fn set_unfinished(&mut self, name: &str, unfinished: bool) {
        for table in self.tables.values_mut().map(Arc::make_mut) {
            let indexes = table.indexes.iter_mut().filter(|index| index.name == name);
            indexes.for_each(|index| index.unfinished = unfinished);
            let keys = table.foreign_keys.iter_mut().filter(|key| key.name == name);
            keys.for_each(|key| key.unfinished = unfinished);
        }
    }

    /// Removes an index or foreign key that could not be built.
    pub(crate) fn forget(&mut self, name: &str) {
        for table in self.tables.values_mut().map(Arc::make_mut) {
            table.indexes.retain(|index| index.name != name);
            table.foreign_keys.retain(|key| key.name != name);
        }
        self.refresh_backing();
    }

    /// Computes again which tables carry indexes behind foreign keys: one over the child's columns,
    /// and a unique one over the parent's unless these are its primary key.
    pub(crate) fn refresh_backing(&mut self) {
        let mut backing: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
        for table in self.tables.values() {
            for key in &table.foreign_keys {
                let mut sides = vec![(Some(table), &key.columns)];
                sides.push((self.table(&key.parent), &key.parent_columns));
                for (side, columns) in sides {
                    if let Some(side) = side
                        && side.key_names() != *columns
                    {
                        let known = backing.entry(side.name.clone()).or_default();
                        if !known.contains(columns) {
                            known.push(columns.clone());
                        }
                    }
                }
            }
        }
        for (name, table) in &mut self.tables {
            let columns = backing.remove(name).unwrap_or_default();
            if table.backing != columns {
                Arc::make_mut(table).backing = columns;
            }
        }
    }
}
