//! From the syntax tree to the table that a catalog gives: everything that is not written is filled
//! in as the server fills it in.

use spanferry_core::schema::charset::Charset;
use spanferry_core::schema::mysql::{MysqlColumn, MysqlTable, MysqlType};
use spanferry_core::schema::source::{
    IndexPart, QualifiedName, SourceColumn, SourceForeignKey, SourceIndex, SourceTable,
};

use super::default::resolved_default;
use super::error::NotRead;
use super::surroundings::Surroundings;
use super::text_form::TextForm;
use super::tree::{ColumnDefinition, CreateTable, ForeignKey, Key, KeyPart, TableName};
use crate::mysql::column_type::{self, TypeText};
use crate::mysql::expression::without_introducers;

/// The engine of a table that names none.
const SERVER_ENGINE: &str = "InnoDB";

impl CreateTable {
    /// The table as a catalog gives it. How many rows and bytes it has is not known: 0.
    ///
    /// # Errors
    ///
    /// A key or constraint names a column that is not there, or columns share a name.
    pub fn resolve(&self, around: &Surroundings<'_>) -> Result<SourceTable, NotRead> {
        let mut table = SourceTable {
            name: self.name.resolve(around),
            names: around.names,
            facts: MysqlTable {
                engine: self.engine.clone().unwrap_or_else(|| SERVER_ENGINE.to_owned()),
                system_versioned: self.system_versioned,
            }
            .into(),
            columns: Vec::new(),
            primary_key: Vec::new(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            checks: self.named_checks(around.mariadb),
            triggers: Vec::new(),
            rows_estimate: 0,
            bytes_estimate: 0,
        };
        for column in &self.columns {
            if table.column_index(&column.name).is_some() {
                let column = column.name.clone();
                return Err(NotRead::ColumnTwice { column });
            }
            let column = self.column(column, around, &mut table.checks);
            table.columns.push(column);
        }
        if table.columns.is_empty() {
            return Err(NotRead::NoColumns);
        }
        self.keys(&mut table, around.mariadb)?;
        self.foreign_keys(&mut table, around)?;
        table.checks.sort_by_key(|(name, _)| in_order(name));
        Ok(table)
    }

    fn column(
        &self,
        column: &ColumnDefinition,
        around: &Surroundings<'_>,
        checks: &mut Vec<(String, String)>,
    ) -> SourceColumn {
        let json_check = format!("json_valid(`{}`)", column.name.replace('`', "``"));
        let is_json_alias = around.mariadb && column.ty.name == "json";
        if is_json_alias {
            checks.push((column.name.clone(), json_check.clone()));
        }
        let json_checked = around.mariadb
            && checks
                .iter()
                .any(|(_, clause)| is_json_check(clause, &column.name));
        let ty = self.ty(column, around, is_json_alias, json_checked);
        let default = column.default.as_ref();
        SourceColumn {
            name: column.name.clone(),
            default: default.and_then(|default| resolved_default(default, &column.ty, &ty, around)),
            ty: ty.into(),
            nullable: column.nullable.unwrap_or(true),
            generated: column
                .generated
                .as_ref()
                .map(|generated| expression(&generated.expression, around.mariadb)),
            generated_stored: column
                .generated
                .as_ref()
                .is_some_and(|generated| generated.stored),
            facts: MysqlColumn {
                on_update: column.on_update,
                auto_increment: column.auto_increment,
                // A dump prints all values in one form.
                is_old_temporal: false,
            }
            .into(),
        }
    }

    fn ty(
        &self,
        column: &ColumnDefinition,
        around: &Surroundings<'_>,
        is_json_alias: bool,
        json_checked: bool,
    ) -> MysqlType {
        let form = if is_json_alias {
            TextForm {
                charset: Some(Charset::Utf8mb4),
                collation: "utf8mb4_bin".to_owned(),
            }
        } else {
            self.text_form(column, around)
        };
        let name = match column.ty.name.as_str() {
            "json" if is_json_alias => "longtext",
            name if form.charset == Some(Charset::Binary) => as_bytes(name),
            name => name,
        };
        let arguments = column.ty.arguments.as_deref().unwrap_or_default();
        let unsigned = if column.ty.unsigned { " unsigned" } else { "" };
        let inside = arguments.trim_start_matches('(').trim_end_matches(')');
        column_type::parse(TypeText {
            data_type: name,
            column_type: &format!("{name}{arguments}{unsigned}"),
            charset: form.charset.map(Charset::name),
            collation: Some(&form.collation),
            characters: inside.trim().parse().ok(),
            json_checked,
        })
    }

    fn named_checks(&self, mariadb: bool) -> Vec<(String, String)> {
        let mut number = 0;
        let mut named = Vec::new();
        for check in &self.checks {
            let name = match (&check.name, &check.column) {
                (Some(name), _) => name.clone(),
                (None, Some(column)) if mariadb => column.clone(),
                (None, _) => {
                    number += 1;
                    if mariadb {
                        format!("CONSTRAINT_{number}")
                    } else {
                        format!("{}_chk_{number}", self.name.table)
                    }
                }
            };
            named.push((name, expression(&check.expression, mariadb)));
        }
        named
    }

    fn keys(&self, table: &mut SourceTable, mariadb: bool) -> Result<(), NotRead> {
        for key in &self.keys {
            let name = match &key.name {
                _ if key.primary => "PRIMARY".to_owned(),
                Some(name) => name.clone(),
                None => free_name(key, &table.indexes),
            };
            let parts = key
                .parts
                .iter()
                .map(|part| index_part(key, part, &name, table, mariadb));
            let parts = parts.collect::<Result<Vec<IndexPart>, NotRead>>()?;
            if key.primary {
                for part in &parts {
                    if let IndexPart::Column { column, .. } = part {
                        table.primary_key.push(*column);
                        table.columns[*column].nullable = false;
                    }
                }
                continue;
            }
            table.indexes.push(SourceIndex {
                name,
                unique: key.unique,
                kind: self.kind(key, mariadb),
                parts,
            });
        }
        table.indexes.sort_by_key(|index| in_order(&index.name));
        Ok(())
    }

    fn kind(&self, key: &Key, mariadb: bool) -> String {
        if let Some(class) = &key.class {
            return class.clone();
        }
        let engine = self.engine.as_deref().unwrap_or(SERVER_ENGINE);
        let keeps_order =
            !(engine.eq_ignore_ascii_case("MEMORY") || engine.eq_ignore_ascii_case("ndbcluster"));
        match key.method.as_deref().map(str::to_ascii_uppercase) {
            // MySQL's InnoDB has no other kind, whatever was asked for.
            Some(method) if mariadb || !keeps_order => method,
            Some(_) => "BTREE".to_owned(),
            None if keeps_order => "BTREE".to_owned(),
            None => "HASH".to_owned(),
        }
    }

    fn foreign_keys(&self, table: &mut SourceTable, around: &Surroundings<'_>) -> Result<(), NotRead> {
        let mut number = 0;
        for key in &self.foreign_keys {
            let name = key.name.clone().unwrap_or_else(|| {
                number += 1;
                format!("{}_ibfk_{number}", self.name.table)
            });
            let resolved = foreign_key(key, name, table, around)?;
            table.foreign_keys.push(resolved);
        }
        table.foreign_keys.sort_by_key(|key| in_order(&key.name));
        Ok(())
    }
}

impl TableName {
    /// The name with its schema.
    pub fn resolve(&self, around: &Surroundings<'_>) -> QualifiedName {
        QualifiedName::new(self.schema.as_deref().unwrap_or(around.schema), &self.table)
    }
}

fn index_part(
    key: &Key,
    part: &KeyPart,
    of: &str,
    table: &SourceTable,
    mariadb: bool,
) -> Result<IndexPart, NotRead> {
    /// What the catalogs give for a spatial index: the bytes of a rectangle.
    const RECTANGLE: u32 = 32;
    let is_spatial = key.class.as_deref() == Some("SPATIAL");
    Ok(match part {
        KeyPart::Column {
            name,
            prefix,
            descending,
        } => IndexPart::Column {
            column: column_of(table, of, name)?,
            descending: *descending,
            prefix: prefix.or(is_spatial.then_some(RECTANGLE)),
        },
        KeyPart::Expression { text } => IndexPart::Expression {
            text: expression(text, mariadb),
        },
    })
}

fn foreign_key(
    key: &ForeignKey,
    name: String,
    table: &SourceTable,
    around: &Surroundings<'_>,
) -> Result<SourceForeignKey, NotRead> {
    let columns = key.columns.iter().map(|column| column_of(table, &name, column));
    let columns = columns.collect::<Result<Vec<usize>, NotRead>>()?;
    Ok(SourceForeignKey {
        columns,
        parent: key.parent.resolve(around),
        parent_columns: key.parent_columns.clone(),
        on_delete: key.on_delete,
        on_update: key.on_update,
        name,
    })
}

fn column_of(table: &SourceTable, of: &str, column: &str) -> Result<usize, NotRead> {
    table.column_index(column).ok_or_else(|| NotRead::Column {
        of: of.to_owned(),
        column: column.to_owned(),
    })
}

/// Whether a check says that a column holds JSON. A dump may quote names in three ways.
fn is_json_check(clause: &str, column: &str) -> bool {
    let quoted = [
        format!("`{}`", column.replace('`', "``")),
        format!("\"{}\"", column.replace('"', "\"\"")),
    ];
    let mut spellings = quoted.iter().map(String::as_str).chain([column]);
    spellings.any(|name| clause.eq_ignore_ascii_case(&format!("json_valid({name})")))
}

/// Names in the order in which a catalog gives them.
fn in_order(name: &str) -> (String, String) {
    (name.to_lowercase(), name.to_owned())
}

/// The name of a key without one: that of its first column, with a number if it is taken.
fn free_name(key: &Key, indexes: &[SourceIndex]) -> String {
    let first = match key.parts.first() {
        Some(KeyPart::Column { name, .. }) => name.as_str(),
        Some(KeyPart::Expression { .. }) | None => "functional_index",
    };
    let is_free = |name: &String| indexes.iter().all(|index| !index.name.eq_ignore_ascii_case(name));
    let numbered = (2..).map(|number| format!("{first}_{number}"));
    let mut names = std::iter::once(first.to_owned()).chain(numbered);
    names.find(is_free).expect("there are more numbers than keys")
}

fn expression(text: &str, mariadb: bool) -> String {
    if mariadb {
        text.to_owned()
    } else {
        without_introducers(text)
    }
}

/// The type that a text type is in the character set `binary`.
fn as_bytes(name: &str) -> &str {
    match name {
        "char" => "binary",
        "varchar" => "varbinary",
        "tinytext" => "tinyblob",
        "text" => "blob",
        "mediumtext" => "mediumblob",
        "longtext" => "longblob",
        other => other,
    }
}
