//! The conversion of a schema: source tables to target tables, column plans and groups, with a finding for all that changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::mapping::column::{Place, convert_type, folding, key_trouble, refusal, remark};
use crate::mapping::groups::group_tables;
use crate::mapping::index::{
    check_index_count, convert_foreign_keys, convert_indexes, count_backing_indexes,
};
use crate::mapping::key_limits::{KEY_BYTES_MAX, KEY_PARTS_MAX, key_part_bytes};
use crate::mapping::session_expression::{Dependence, dependences};
use crate::plan::{GroupId, SchemaVersion, TableId, TablePlan, TargetKey};
use crate::port::target::Epoch;
use crate::report::code;
use crate::report::finding::{Finding, Severity, Subject};
use crate::report::remedy::Remedy;
use crate::schema::definition::{Estimates, TableDefinition, plans_of};
use crate::schema::legal_name::NameKind;
use crate::schema::logical::LogicalType;
use crate::schema::mysql::MysqlColumn;
use crate::schema::names::{Names, Wish};
use crate::schema::source::{IndexPart, QualifiedName, SourceColumn, SourceTable};
use crate::schema::target::{Dialect, TargetColumn, TargetTable, TargetType};
use crate::value::encode::{ColumnPlan, Encoding};

/// Most columns of a table.
const COLUMNS_MAX: usize = 1_024;
/// How names of the control tables begin.
const RESERVED_PREFIX: &str = "spanferry_";

/// What the conversion depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappingOptions {
    /// The target's dialect.
    pub dialect: Dialect,
    /// Whether the target has the type UUID (the emulator of release 1.5.28 has not).
    pub uuid_supported: bool,
}

/// What is decided already when tables are converted.
#[derive(Debug, Clone, Default)]
pub struct Known<'a> {
    /// Tables that stay as they are recorded: their names are taken, and foreign keys may refer to them.
    pub fixed: Vec<&'a TableDefinition>,
    /// Recorded definitions of tables that are converted again: table, indexes and foreign keys keep their names.
    pub former: Vec<&'a TableDefinition>,
    /// More names that are taken at the target.
    pub taken: Vec<&'a str>,
    /// The epoch in which tables without a former definition are taken in.
    pub epoch: Epoch,
    /// The first number of a group that no recorded table has.
    pub free_group: u32,
}

impl<'a> Known<'a> {
    pub(crate) fn former(&self, table: &QualifiedName) -> Option<&'a TableDefinition> {
        self.former.iter().copied().find(|known| known.name() == table)
    }
}

/// The result of the conversion.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// One plan a table, by name, the fixed ones among them; `TableId`s are places in this list.
    pub plans: Vec<TablePlan>,
    /// Everything that is left out, carried in another form, or cannot be carried.
    pub findings: Vec<Finding>,
}

/// Converts the tables of a new migration.
pub fn map(tables: Vec<SourceTable>, options: &MappingOptions) -> Mapping {
    map_known(tables, &Known::default(), options)
}

/// Converts tables. Those that cannot be carried have a blocking finding and, where they lack a key, no plan.
pub fn map_known(mut tables: Vec<SourceTable>, known: &Known<'_>, options: &MappingOptions) -> Mapping {
    tables.sort_by(|left, right| left.name.cmp(&right.name));
    let mut findings = Vec::new();
    tell_time_zone(&tables, &mut findings);
    let joined = joined_columns(&tables);
    let mut names = names_taken(known, options.dialect);
    let table_names = table_names(&tables, known, &mut names);
    let mut plans = Vec::new();
    for (table, name) in tables.into_iter().zip(table_names) {
        let Some(key) = key_of(&table, &mut findings) else {
            continue;
        };
        let mut converter = Converter {
            table: &table,
            key: &key,
            joined: &joined,
            options,
            findings: &mut findings,
        };
        let target = converter.table(name);
        let columns = converter.columns();
        let former = known.former(&table.name);
        plans.push(TablePlan {
            id: TableId(0),
            group: GroupId(0),
            source: Arc::new(table),
            target,
            columns,
            source_key: key.clone(),
            target_key: TargetKey::Columns(key),
            version: SchemaVersion::FIRST,
            backing_indexes: 0,
            counted_from: former.map_or(known.epoch, |former| former.counted_from),
        });
    }
    convert_indexes(&mut plans, known, options.dialect, &mut names, &mut findings);
    let fixed = plans_of(known.fixed.iter().copied(), &Estimates::new());
    convert_foreign_keys(&mut plans, &fixed, known, &mut names, &mut findings);
    plans.extend(fixed.into_iter().map(Arc::unwrap_or_clone));
    plans.sort_by(|left, right| left.name().cmp(right.name()));
    for (id, plan) in (0..).zip(&mut plans) {
        plan.id = TableId(id);
    }
    count_backing_indexes(&mut plans);
    check_index_count(&plans, &mut findings);
    group_tables(&mut plans, known);
    Mapping { plans, findings }
}

/// The names that are taken before any table is converted.
fn names_taken(known: &Known<'_>, dialect: Dialect) -> Names {
    let mut names = Names::new(dialect);
    for definition in &known.fixed {
        let target = &definition.target;
        names.reserve(&target.name);
        target.indexes.iter().for_each(|index| names.reserve(&index.name));
        target
            .foreign_keys
            .iter()
            .for_each(|key| names.reserve(&key.name));
    }
    known.taken.iter().for_each(|name| names.reserve(name));
    names
}

/// The tables' names at the target.
fn table_names(tables: &[SourceTable], known: &Known<'_>, names: &mut Names) -> Vec<String> {
    let wish = |table: &SourceTable| {
        known
            .former(&table.name)
            .map(|former| former.target.name.as_str())
    };
    let wishes: Vec<Wish<'_>> = tables
        .iter()
        .map(|table| Wish {
            wanted: &table.name.table,
            former: wish(table),
        })
        .collect();
    names.give_all(NameKind::Table, &wishes)
}

fn tell_time_zone(tables: &[SourceTable], findings: &mut Vec<Finding>) {
    let is_local = |column: &SourceColumn| column.ty.logical() == LogicalType::LocalDateTime;
    if tables.iter().flat_map(|table| &table.columns).any(is_local) {
        let text = "DATETIME values have no time zone at the source; they are read as UTC";
        findings.push(Finding::new(
            code::CONVERTED,
            Severity::Notice,
            Subject::whole(),
            text,
        ));
    }
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
    let has_trouble = |columns: &[usize]| {
        columns
            .iter()
            .any(|column| key_trouble(&table.columns[*column].ty.logical()).is_some())
    };
    let subject = Subject::table(table.name.table.clone());
    if let Some((name, columns)) = found.min_by_key(|(_, columns)| (has_trouble(columns), columns.len())) {
        let text = format!("there is no primary key; the unique index `{name}` serves as one");
        findings.push(Finding::new(code::CONVERTED, Severity::Warning, subject, text));
        return Some(columns);
    }
    let text = "there is no primary key and no unique index over NOT NULL columns: give it one, or leave it out with `--exclude`";
    let finding = Finding::new(code::SOURCE_TABLE_UNSUPPORTED, Severity::Blocking, subject, text);
    findings.push(finding.remedy(add_key(table)));
    None
}

/// The statement that gives a table a key: over the column that counts by itself, else over a new one, which the
/// application's `SELECT *` and `INSERT … VALUES` do not meet.
fn add_key(table: &SourceTable) -> Remedy {
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    let table_name = format!("{}.{}", quoted(&table.name.schema), quoted(&table.name.table));
    let statement = match table.columns.iter().find(|column| column.facts.is_numbered()) {
        Some(column) => format!(
            "ALTER TABLE {table_name} ADD PRIMARY KEY ({})",
            quoted(&column.name)
        ),
        None => format!(
            "ALTER TABLE {table_name} ADD COLUMN `spanferry_id` BIGINT UNSIGNED NOT NULL INVISIBLE AUTO_INCREMENT PRIMARY KEY"
        ),
    };
    Remedy::source(statement).note("this rebuilds the table, which takes long for a large one")
}

/// Tells that a default is left out; both servers write an empty text as a default in a form of their own.
fn the_default(default: &str) -> String {
    let shown = match default {
        "" | "''" => "(an empty string)".to_owned(),
        other => format!("`{other}`"),
    };
    format!("the default {shown} is not created at the target")
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
    fn table(&mut self, name: String) -> TargetTable {
        let source = &self.table.name.table;
        if &name != source {
            self.find(
                code::CONVERTED,
                Severity::Warning,
                None,
                format!("it is named `{name}` at the target"),
            );
        }
        if [source, &name]
            .iter()
            .any(|name| name.to_lowercase().starts_with(RESERVED_PREFIX))
        {
            let text = format!("names that begin with `{RESERVED_PREFIX}` are taken by the control tables");
            self.find(code::SOURCE_TABLE_UNSUPPORTED, Severity::Blocking, None, text);
        }
        self.check_limits();
        self.tell_left_out();
        let wish = |column| Wish {
            wanted: column,
            former: None,
        };
        let wishes: Vec<Wish<'_>> = self
            .table
            .columns
            .iter()
            .map(|column| wish(&column.name))
            .collect();
        let column_names = Names::new(self.options.dialect).give_all(NameKind::Column, &wishes);
        let columns = (0..)
            .zip(column_names)
            .map(|(index, name)| self.column(index, name))
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
            .map(|(at, column)| {
                let not_null = !column.nullable || self.key.contains(&at);
                ColumnPlan::of_source(at, at, self.convert(at).1, not_null)
            })
            .collect()
    }

    fn column(&mut self, index: usize, name: String) -> TargetColumn {
        let column = &self.table.columns[index];
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
            by_target: None,
        }
    }

    /// Type and encoding of a column.
    fn convert(&self, index: usize) -> (TargetType, Encoding) {
        let place = Place {
            dialect: self.options.dialect,
            uuid_supported: self.options.uuid_supported,
            needs_index: self.key.contains(&index) || self.is_joined(index),
            counts: self.counts(index),
        };
        convert_type(&self.table.columns[index].ty.logical(), place)
    }

    fn is_joined(&self, index: usize) -> bool {
        self.joined.contains(&(
            self.table.name.clone(),
            self.table.columns[index].name.to_lowercase(),
        ))
    }

    /// Whether an unsigned 64-bit integer counts things: a key, joined by a foreign key, numbered by the server or indexed.
    fn counts(&self, index: usize) -> bool {
        let indexed = |part: &IndexPart| matches!(part, IndexPart::Column { column, .. } if *column == index);
        let is_indexed = || {
            self.table
                .indexes
                .iter()
                .any(|known| known.parts.iter().any(indexed))
        };
        self.key.contains(&index)
            || self.table.columns[index].facts.is_numbered()
            || self.is_joined(index)
            || (self.options.dialect == Dialect::PostgreSql && is_indexed())
    }

    fn find(&mut self, code: code::Code, severity: Severity, part: Option<&str>, text: String) {
        let subject = Subject {
            table: Some(self.table.name.table.clone()),
            part: part.map(str::to_owned),
        };
        self.findings.push(Finding::new(code, severity, subject, text));
    }

    /// A column for which the whole table must be left out.
    fn refuse(&mut self, code: code::Code, column: &str, text: String) {
        let table = &self.table.name.table;
        let finding = Finding::new(code, Severity::Blocking, Subject::part(table, column), text);
        self.findings.push(finding.remedy(Remedy::exclude(table)));
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
        let bytes: u64 = self
            .key
            .iter()
            .map(|index| {
                key_part_bytes(
                    Some(&self.table.columns[*index].ty.logical()),
                    self.convert(*index).1,
                )
            })
            .sum();
        if bytes > KEY_BYTES_MAX {
            let text = format!(
                "its key may take up to {bytes} bytes; the target rejects rows with more than {KEY_BYTES_MAX}"
            );
            self.find(code::TARGET_LIMIT, Severity::Warning, None, text);
        }
    }

    fn check_type(&mut self, index: usize, column: &SourceColumn) {
        let ty = column.ty.logical();
        if let Some(text) = refusal(&ty) {
            self.refuse(code::TYPE_REFUSED, &column.name, text);
        }
        if self.key.contains(&index)
            && let Some(reason) = key_trouble(&ty)
        {
            self.refuse(code::KEY_NOT_INJECTIVE, &column.name, reason.to_owned());
        }
        if self.key.contains(&index)
            && let Some(folding) = folding(&ty)
        {
            let text = format!(
                "the {folding} decides at the source which keys are equal; the target compares their bytes"
            );
            self.find(code::CONVERTED, Severity::Notice, Some(&column.name), text);
        }
        if let Some((severity, text)) = remark(&ty, self.convert(index).0) {
            self.find(code::CONVERTED, severity, Some(&column.name), text.to_owned());
        }
    }

    fn tell_column(&mut self, column: &SourceColumn) {
        let name = Some(column.name.as_str());
        if let Some(expression) = &column.generated {
            let text = format!(
                "it is generated as `{expression}`; at the target it is a plain column with its values"
            );
            self.find(code::CONVERTED, Severity::Warning, name, text);
            self.tell_dependences(column);
        } else if let Some(default) = &column.default {
            self.find(code::LEFT_OUT, Severity::Warning, name, the_default(default));
        }
        if matches!(column.facts.mysql(), Some(MysqlColumn { on_update: true, .. })) {
            self.find(
                code::LEFT_OUT,
                Severity::Warning,
                name,
                "ON UPDATE CURRENT_TIMESTAMP is not created at the target".to_owned(),
            );
        }
        if column.facts.is_numbered() {
            let text = "AUTO_INCREMENT is not created at the target; the values are migrated".to_owned();
            self.find(code::LEFT_OUT, Severity::Warning, name, text);
        }
    }

    /// A VIRTUAL column has no value of its own where it depends on more than its row.
    fn tell_dependences(&mut self, column: &SourceColumn) {
        for dependence in dependences(self.table, column) {
            match dependence {
                Dependence::Setting(setting) => {
                    let text = format!(
                        "its values depend on `{setting}` of the session that reads or writes them: they are migrated as our sessions read them, and later changes as their own session computes them"
                    );
                    let name = Some(column.name.as_str());
                    self.find(code::VALUE_UNSTABLE, Severity::Warning, name, text);
                }
                Dependence::Moment => {
                    let text = "its values change by themselves: two reads of one row may differ".to_owned();
                    self.refuse(code::VALUE_UNSTABLE, &column.name, text);
                }
            }
        }
    }

    fn tell_left_out(&mut self) {
        for (name, text) in &self.table.checks {
            self.find(
                code::LEFT_OUT,
                Severity::Warning,
                Some(name),
                format!("the check `{text}` is not created at the target"),
            );
        }
        for (name, timing) in &self.table.triggers {
            let text = format!(
                "the trigger ({timing}) is not created at the target; the changes that it makes at the source are migrated"
            );
            self.find(code::LEFT_OUT, Severity::Warning, Some(name), text);
        }
    }
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
