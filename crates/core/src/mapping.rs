//! The conversion of a schema: source tables to target tables, column plans and groups, with a finding for all that changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::code;
use crate::encode::{CELL_BYTES_MAX, ColumnPlan, Encoding, STRING_CHARACTERS_MAX};
use crate::finding::{Finding, Severity, Subject};
use crate::groups::group_tables;
use crate::mapping_index::{convert_foreign_keys, convert_indexes};
use crate::names::Names;
use crate::plan::{TableId, TablePlan};
use crate::schema::{IndexPart, QualifiedName, SourceColumn, SourceTable, SourceType};
use crate::target_schema::{Dialect, TargetColumn, TargetTable, TargetType};

/// Most tables of a Spanner database.
const TABLES_MAX: usize = 5_000;
/// Most columns of a table.
const COLUMNS_MAX: usize = 1_024;
/// Most parts of a key.
const KEY_PARTS_MAX: usize = 16;
/// Characters of `[-]HHH:MM:SS.ffffff`, and some room.
const TIME_CHARACTERS: u32 = 18;
/// GoogleSQL NUMERIC: digits before and behind the point.
const NUMERIC_DIGITS: (u8, u8) = (29, 9);

/// What the conversion depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappingOptions {
    /// The target's dialect.
    pub dialect: Dialect,
    /// Whether the target has the type UUID (the emulator of release 1.5.28 has not).
    pub uuid_supported: bool,
}

/// The result of the conversion.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// One plan a table, by name; `TableId`s are places in this list.
    pub plans: Vec<TablePlan>,
    /// Everything that is left out, carried in another form, or cannot be carried.
    pub findings: Vec<Finding>,
}

/// Converts the selected tables. Tables that cannot be carried have a blocking finding and, where they lack a key, no plan.
pub fn map(mut tables: Vec<SourceTable>, options: &MappingOptions) -> Mapping {
    tables.sort_by(|left, right| left.name.cmp(&right.name));
    let mut findings = Vec::new();
    if tables.len() > TABLES_MAX {
        let text = format!(
            "{} tables, Spanner takes {TABLES_MAX} in a database",
            tables.len()
        );
        findings.push(Finding::new(
            code::TARGET_LIMIT,
            Severity::Blocking,
            Subject::whole(),
            text,
        ));
    }
    let joined = joined_columns(&tables);
    let mut names = Names::default();
    let mut plans = Vec::new();
    for table in tables {
        let Some(key) = key_of(&table, &mut findings) else {
            continue;
        };
        let id = TableId(u32::try_from(plans.len()).expect("fewer tables than 2^32"));
        let mut converter = Converter {
            table: &table,
            key: &key,
            joined: &joined,
            options,
            findings: &mut findings,
        };
        let target = converter.table(&mut names);
        let columns = converter.columns();
        plans.push(TablePlan {
            id,
            group: crate::plan::GroupId(0),
            source: Arc::new(table),
            target,
            columns,
            key,
        });
    }
    convert_indexes(&mut plans, options.dialect, &mut names, &mut findings);
    convert_foreign_keys(&mut plans, &mut names, &mut findings);
    group_tables(&mut plans);
    Mapping { plans, findings }
}

/// Columns of foreign keys, on either side: they must have one type.
fn joined_columns(tables: &[SourceTable]) -> BTreeSet<(QualifiedName, String)> {
    let mut joined = BTreeSet::new();
    for table in tables {
        for key in &table.foreign_keys {
            let own = key
                .columns
                .iter()
                .map(|column| (table.name.clone(), table.columns[*column].name.to_lowercase()));
            let parents = key
                .parent_columns
                .iter()
                .map(|column| (key.parent.clone(), column.to_lowercase()));
            joined.extend(own.chain(parents));
        }
    }
    joined
}

/// The key: the primary key, or a unique index over whole NOT NULL columns.
fn key_of(table: &SourceTable, findings: &mut Vec<Finding>) -> Option<Vec<usize>> {
    if !table.primary_key.is_empty() {
        return Some(table.primary_key.clone());
    }
    let whole_not_null = |part: &IndexPart| match part {
        IndexPart::Column {
            column, prefix: None, ..
        } if !table.columns[*column].nullable => Some(*column),
        IndexPart::Column { .. } | IndexPart::Expression { .. } => None,
    };
    let unique = table.indexes.iter().filter(|index| index.unique);
    let found = unique.filter_map(|index| {
        let columns: Option<Vec<usize>> = index.parts.iter().map(whole_not_null).collect();
        columns.map(|columns| (index.name.clone(), columns))
    });
    let subject = Subject::table(table.name.table.clone());
    match found.min_by_key(|(_, columns)| columns.len()) {
        Some((name, columns)) => {
            let text = format!("there is no primary key; the unique index `{name}` serves as one");
            findings.push(Finding::new(code::CONVERTED, Severity::Warning, subject, text));
            Some(columns)
        }
        None => {
            let text = "there is no primary key and no unique index over NOT NULL columns";
            let remedy = format!(
                "--exclude {}, or ALTER TABLE {} ADD PRIMARY KEY (…)",
                table.name.table, table.name.table
            );
            findings.push(
                Finding::new(code::SOURCE_TABLE_UNSUPPORTED, Severity::Blocking, subject, text)
                    .remedy(remedy),
            );
            None
        }
    }
}

/// Converts one table.
struct Converter<'a> {
    table: &'a SourceTable,
    key: &'a [usize],
    joined: &'a BTreeSet<(QualifiedName, String)>,
    options: &'a MappingOptions,
    findings: &'a mut Vec<Finding>,
}

impl Converter<'_> {
    fn table(&mut self, names: &mut Names) -> TargetTable {
        let source = &self.table.name.table;
        let name = names.give(source);
        if &name != source {
            self.find(
                code::CONVERTED,
                Severity::Warning,
                None,
                format!("it is named `{name}` at the target"),
            );
        }
        if source.to_lowercase().starts_with("spanferry_") {
            let text = "names that begin with `spanferry_` are taken by the control tables".to_owned();
            self.find(code::SOURCE_TABLE_UNSUPPORTED, Severity::Blocking, None, text);
        }
        self.check_limits();
        self.tell_left_out();
        let mut column_names = Names::default();
        let columns = (0..self.table.columns.len())
            .map(|index| self.column(index, &mut column_names))
            .collect();
        TargetTable {
            name,
            columns,
            primary_key: self.key.to_vec(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
        }
    }

    fn columns(&self) -> Vec<ColumnPlan> {
        let columns = self.table.columns.iter().enumerate();
        columns
            .map(|(source_index, column)| ColumnPlan {
                source_index,
                encoding: self.convert(source_index).1,
                not_null: !column.nullable || self.key.contains(&source_index),
            })
            .collect()
    }

    fn column(&mut self, index: usize, names: &mut Names) -> TargetColumn {
        let column = &self.table.columns[index];
        let name = names.give(&column.name);
        if name != column.name {
            self.find(
                code::CONVERTED,
                Severity::Warning,
                Some(&column.name),
                format!("it is named `{name}` at the target"),
            );
        }
        self.check_type(index, column);
        self.tell_column(column);
        let not_null = !column.nullable || self.key.contains(&index);
        TargetColumn {
            name,
            ty: self.convert(index).0,
            not_null,
        }
    }

    /// Type and encoding of a column.
    fn convert(&self, index: usize) -> (TargetType, Encoding) {
        let column = &self.table.columns[index];
        let postgres = self.options.dialect == Dialect::PostgreSql;
        let is_key = self.key.contains(&index);
        let text = |characters: u32| {
            let characters = characters.max(1);
            if characters <= STRING_CHARACTERS_MAX {
                (
                    TargetType::String(Some(characters)),
                    Encoding::String {
                        characters_max: characters,
                    },
                )
            } else {
                (
                    TargetType::String(None),
                    Encoding::String {
                        characters_max: STRING_CHARACTERS_MAX,
                    },
                )
            }
        };
        let bytes = |most: u32| {
            if most < CELL_BYTES_MAX {
                (
                    TargetType::Bytes(Some(most.max(1))),
                    Encoding::Bytes {
                        bytes_max: most.max(1),
                    },
                )
            } else {
                (
                    TargetType::Bytes(None),
                    Encoding::Bytes {
                        bytes_max: CELL_BYTES_MAX,
                    },
                )
            }
        };
        let unbounded = (
            TargetType::String(None),
            Encoding::String {
                characters_max: STRING_CHARACTERS_MAX,
            },
        );
        let numeric = if postgres {
            Encoding::PgNumeric
        } else {
            Encoding::Numeric
        };
        match &column.ty {
            SourceType::Integer {
                bits: 64,
                unsigned: true,
            } if !self.counts(index, column) => (TargetType::Numeric, numeric),
            SourceType::Integer { .. } | SourceType::Year => (TargetType::Int64, Encoding::Int64),
            SourceType::Decimal { precision, scale } => {
                let fits = postgres || (*scale <= NUMERIC_DIGITS.1 && precision - scale <= NUMERIC_DIGITS.0);
                if fits && !(postgres && is_key) {
                    (TargetType::Numeric, numeric)
                } else {
                    text(u32::from(*precision) + 3)
                }
            }
            SourceType::Float => (TargetType::Float32, Encoding::Float32),
            SourceType::Double => (TargetType::Float64, Encoding::Float64),
            SourceType::Bit { bits } => bytes(u32::from(bits.div_ceil(8))),
            SourceType::Varchar { characters, .. } => text(*characters),
            SourceType::Text { .. } | SourceType::Unknown { .. } => unbounded,
            SourceType::Binary { bytes: most } | SourceType::Varbinary { bytes: most } => bytes(*most),
            SourceType::Blob { bytes_max } => bytes(*bytes_max),
            SourceType::Enum { labels, .. } => {
                text(labels.iter().map(|label| characters(label)).max().unwrap_or(1))
            }
            SourceType::Set { labels, .. } => text(labels.iter().map(|label| characters(label) + 1).sum()),
            SourceType::Json | SourceType::JsonText => (
                TargetType::Json,
                Encoding::Json {
                    arbitrary_numbers: postgres,
                },
            ),
            SourceType::Date => (TargetType::Date, Encoding::Date),
            SourceType::DateTime { .. } | SourceType::Timestamp { .. } => {
                (TargetType::Timestamp, Encoding::Timestamp)
            }
            SourceType::Time { .. } => text(TIME_CHARACTERS),
            SourceType::Geometry => bytes(u32::MAX),
            SourceType::Vector { dimensions } => (
                TargetType::Float32Array(Some(*dimensions)),
                Encoding::Float32Array {
                    dimensions: Some(*dimensions),
                },
            ),
            SourceType::Uuid if self.options.uuid_supported => (TargetType::Uuid, Encoding::Uuid),
            SourceType::Uuid => (TargetType::String(Some(36)), Encoding::Uuid),
            SourceType::Inet4 => text(15),
            SourceType::Inet6 => text(45),
        }
    }

    /// Whether an unsigned 64-bit integer counts things: a key, joined by a foreign key, numbered by the server or indexed.
    fn counts(&self, index: usize, column: &SourceColumn) -> bool {
        let indexed = |part: &IndexPart| matches!(part, IndexPart::Column { column, .. } if *column == index);
        let is_indexed = || {
            self.table
                .indexes
                .iter()
                .any(|known| known.parts.iter().any(indexed))
        };
        self.key.contains(&index)
            || column.auto_increment
            || self
                .joined
                .contains(&(self.table.name.clone(), column.name.to_lowercase()))
            || (self.options.dialect == Dialect::PostgreSql && is_indexed())
    }

    fn find(&mut self, code: code::Code, severity: Severity, part: Option<&str>, text: String) {
        let subject = Subject {
            table: Some(self.table.name.table.clone()),
            part: part.map(str::to_owned),
        };
        self.findings.push(Finding::new(code, severity, subject, text));
    }

    fn check_limits(&mut self) {
        let (columns, parts) = (self.table.columns.len(), self.key.len());
        if columns > COLUMNS_MAX {
            let text = format!("{columns} columns, Spanner takes {COLUMNS_MAX}");
            self.find(code::TARGET_LIMIT, Severity::Blocking, None, text);
        }
        if parts > KEY_PARTS_MAX {
            let text = format!("a key of {parts} columns, Spanner takes {KEY_PARTS_MAX}");
            self.find(code::TARGET_LIMIT, Severity::Blocking, None, text);
        }
    }

    fn check_type(&mut self, index: usize, column: &SourceColumn) {
        if let SourceType::Unknown { text } = &column.ty {
            let text = format!("the type `{text}` is not known");
            self.find(code::TYPE_REFUSED, Severity::Blocking, Some(&column.name), text);
        }
        if self.key.contains(&index)
            && let Some(reason) = key_trouble(&column.ty)
        {
            self.find(
                code::KEY_NOT_INJECTIVE,
                Severity::Blocking,
                Some(&column.name),
                reason.to_owned(),
            );
        }
        if column.ty == SourceType::Uuid && !self.options.uuid_supported {
            let text = "UUID is carried as text, because this target has no such type".to_owned();
            self.find(code::CONVERTED, Severity::Notice, Some(&column.name), text);
        }
    }

    fn tell_column(&mut self, column: &SourceColumn) {
        let name = Some(column.name.as_str());
        if let Some(expression) = &column.generated {
            let text = format!("generated as `{expression}`; carried as a plain column with its values");
            self.find(code::CONVERTED, Severity::Warning, name, text);
        } else if let Some(default) = &column.default {
            self.find(
                code::LEFT_OUT,
                Severity::Warning,
                name,
                format!("the default `{default}` is not carried"),
            );
        }
        if column.on_update {
            self.find(
                code::LEFT_OUT,
                Severity::Warning,
                name,
                "ON UPDATE CURRENT_TIMESTAMP is not carried".to_owned(),
            );
        }
        if column.auto_increment {
            let text = "AUTO_INCREMENT is not carried; values are".to_owned();
            self.find(code::LEFT_OUT, Severity::Warning, name, text);
        }
    }

    fn tell_left_out(&mut self) {
        for (name, text) in &self.table.checks {
            self.find(
                code::LEFT_OUT,
                Severity::Warning,
                Some(name),
                format!("the check `{text}` is not carried"),
            );
        }
        for (name, timing) in &self.table.triggers {
            let text =
                format!("the trigger ({timing}) is not carried; the changes it makes at the source are");
            self.find(code::LEFT_OUT, Severity::Warning, Some(name), text);
        }
    }
}

fn characters(label: &str) -> u32 {
    u32::try_from(label.chars().count()).unwrap_or(u32::MAX / 64)
}

/// Why a type cannot be a key: two source keys could become one, or the target takes no such key.
fn key_trouble(ty: &SourceType) -> Option<&'static str> {
    match ty {
        SourceType::Float | SourceType::Double => Some("a floating-point key: zero has two forms"),
        SourceType::Json | SourceType::JsonText | SourceType::Geometry | SourceType::Vector { .. } => {
            Some("a type that cannot be a key at the target")
        }
        SourceType::Varchar { charset, .. }
        | SourceType::Text { charset, .. }
        | SourceType::Enum { charset, .. }
        | SourceType::Set { charset, .. }
            if !charset.is_injective() =>
        {
            Some("a charset in which two codes stand for one character")
        }
        SourceType::Varchar { .. }
        | SourceType::Text { .. }
        | SourceType::Enum { .. }
        | SourceType::Set { .. }
        | SourceType::Integer { .. }
        | SourceType::Decimal { .. }
        | SourceType::Bit { .. }
        | SourceType::Binary { .. }
        | SourceType::Varbinary { .. }
        | SourceType::Blob { .. }
        | SourceType::Date
        | SourceType::DateTime { .. }
        | SourceType::Timestamp { .. }
        | SourceType::Time { .. }
        | SourceType::Year
        | SourceType::Uuid
        | SourceType::Inet4
        | SourceType::Inet6
        | SourceType::Unknown { .. } => None,
    }
}
