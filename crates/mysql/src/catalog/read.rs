//! Reads tables, columns, keys and everything else in a fixed number of queries, whatever the
//! number of tables.

use std::collections::BTreeMap;

use spanferry_core::schema::mysql::{MysqlColumn, MysqlTable, MysqlType};
use spanferry_core::schema::source::{
    Catalog, IndexPart, NameCase, OtherObject, QualifiedName, SourceColumn, SourceForeignKey, SourceIndex,
    SourceTable,
};
use spanferry_core::schema::source_default::{Clock, SourceDefault};
use spanferry_format::mysql::column_type::{self, TypeText};
use spanferry_format::mysql::expression;
use spanferry_format::mysql::shown_default::Shown;

use super::actions::{ActionReader, Actions};
use super::cascade;
use crate::connection::{Connection, ResultRow};
use crate::error::MysqlError;
use crate::own_type::own_type;
use crate::sql;

/// Reads the catalog of one schema.
pub(crate) async fn read(connection: &mut Connection, schema: &str) -> Result<Catalog, MysqlError> {
    let names = name_case(connection).await?;
    let mut reader = Reader {
        schema: names.normalise(schema).into_owned(),
        names,
        clock: clock(connection).await?,
        connection,
        tables: BTreeMap::new(),
        other_objects: Vec::new(),
    };
    reader.tables().await?;
    let checks = reader.checks().await?;
    reader.columns(&checks).await?;
    reader.indexes().await?;
    reader.foreign_keys().await?;
    reader.triggers().await?;
    reader.routines_and_events().await?;
    for (table, name, clause) in checks {
        if let Some(table) = reader.tables.get_mut(&table) {
            table.checks.push((name, clause));
        }
    }
    let cascades = cascade::read(reader.connection, names, &reader.tables).await?;
    Ok(Catalog {
        schema: reader.schema,
        cascades,
        names,
        tables: reader.tables.into_values().collect(),
        other_objects: reader.other_objects,
    })
}

struct Reader<'a> {
    connection: &'a mut Connection,
    /// The schema as the server spells it.
    schema: String,
    names: NameCase,
    /// The clock of a session that chooses no time zone.
    clock: Clock,
    tables: BTreeMap<String, SourceTable>,
    other_objects: Vec<OtherObject>,
}

/// How the server compares names. What it does with letter case is fixed when it is installed; 2,
/// which `check` refuses, compares like 1.
async fn name_case(connection: &mut Connection) -> Result<NameCase, MysqlError> {
    let found = connection.query("SELECT @@GLOBAL.lower_case_table_names").await?;
    Ok(match found.first_text().as_deref() {
        Some("0") => NameCase::Sensitive,
        Some(_) | None => NameCase::Insensitive,
    })
}

/// The clock of a session that chooses no time zone. The letters of the system's zone are no proof
/// of UTC but `UTC` itself: London has `GMT` in winter only.
async fn clock(connection: &mut Connection) -> Result<Clock, MysqlError> {
    let sql = "SELECT IF(@@GLOBAL.time_zone = 'SYSTEM', @@GLOBAL.system_time_zone, @@GLOBAL.time_zone)";
    let zone = connection.query(sql).await?.first_text();
    Ok(match zone.as_deref() {
        Some("UTC" | "Etc/UTC" | "+00:00" | "-00:00") => Clock::Utc,
        Some(_) | None => Clock::Local,
    })
}

impl Reader<'_> {
    /// The rows of a query, in which `$in(column)` stands for the condition that a column names the
    /// schema.
    async fn rows(&mut self, sql: &str) -> Result<Vec<ResultRow>, MysqlError> {
        let sql = sql::in_schema(sql, &self.schema);
        Ok(self.connection.query(&sql).await?.rows)
    }

    async fn tables(&mut self) -> Result<(), MysqlError> {
        let sql = "SELECT table_name, table_type, engine, table_rows, data_length FROM information_schema.tables \
                   WHERE $in(table_schema)";
        for row in self.rows(sql).await? {
            let (name, kind) = (row.text_or_empty(0), row.text_or_empty(1));
            match kind.as_str() {
                "BASE TABLE" | "SYSTEM VERSIONED" => {
                    self.tables
                        .insert(name.clone(), new_table(&self.schema, self.names, name, &row));
                }
                "TEMPORARY" | "TEMPORARY TABLE" => {}
                other => self.other_objects.push(OtherObject {
                    kind: other.to_ascii_lowercase(),
                    name,
                }),
            }
        }
        Ok(())
    }

    /// CHECK constraints as (table, name, clause).
    async fn checks(&mut self) -> Result<Vec<(String, String, String)>, MysqlError> {
        let rows = self.rows(self.connection.server().facts().checks).await?;
        let mut checks = Vec::with_capacity(rows.len());
        for row in &rows {
            let clause = self.expression(row.text_or_empty(2));
            checks.push((row.text_or_empty(0), row.text_or_empty(1), clause));
        }
        Ok(checks)
    }

    /// An expression as it was written.
    fn expression(&self, stored: String) -> String {
        if self.connection.server().facts().rewrites_expressions {
            expression::as_written(&stored)
        } else {
            stored
        }
    }

    /// The default that a row of `information_schema.columns` shows.
    fn default(&self, row: &ResultRow, ty: &MysqlType) -> Option<SourceDefault> {
        let is_expression = row.text_or_empty(9).contains("DEFAULT_GENERATED");
        let mut text = row.text(8)?;
        if is_expression {
            text = self.expression(text);
        }
        let shown = Shown {
            ty,
            column_type: &row.text_or_empty(3),
            is_mariadb: self.connection.server().is_mariadb(),
            is_expression,
            clock: self.clock,
        };
        (!is_expression || text != "NULL").then(|| shown.default(text))
    }

    async fn columns(&mut self, checks: &[(String, String, String)]) -> Result<(), MysqlError> {
        let facts = self.connection.server().facts();
        let default = facts.column_default;
        let sql = format!(
            "SELECT table_name, column_name, data_type, column_type, character_set_name, collation_name, \
             character_maximum_length, is_nullable, {default}, extra, generation_expression \
             FROM information_schema.columns WHERE $in(table_schema) ORDER BY table_name, ordinal_position"
        );
        for row in self.rows(&sql).await? {
            let (table, name) = (row.text_or_empty(0), row.text_or_empty(1));
            let clause = format!("json_valid({})", sql::identifier(&name));
            let json_checked = facts.json_is_checked_text
                && checks
                    .iter()
                    .any(|(of, _, text)| *of == table && text.eq_ignore_ascii_case(&clause));
            let mut column = column(name, &row, json_checked);
            column.generated = column.generated.map(|text| self.expression(text));
            column.default = self.default(&row, own_type(&column));
            if let Some(table) = self.tables.get_mut(&table) {
                table.columns.push(column);
            }
        }
        Ok(())
    }

    async fn indexes(&mut self) -> Result<(), MysqlError> {
        let expression = self.connection.server().facts().index_expression;
        let sql = format!(
            "SELECT table_name, index_name, non_unique, column_name, collation, sub_part, index_type, {expression} \
             FROM information_schema.statistics WHERE $in(table_schema) ORDER BY table_name, index_name, seq_in_index"
        );
        for row in self.rows(&sql).await? {
            let text = self.expression(row.text_or_empty(7));
            if let Some(table) = self.tables.get_mut(&row.text_or_empty(0)) {
                index_part(table, &row, text)?;
            }
        }
        Ok(())
    }

    async fn foreign_keys(&mut self) -> Result<(), MysqlError> {
        let sql = "SELECT k.table_name, k.constraint_name, k.column_name, k.referenced_table_schema, \
                   k.referenced_table_name, k.referenced_column_name, r.delete_rule, r.update_rule \
                   FROM information_schema.key_column_usage k LEFT JOIN information_schema.referential_constraints r \
                   ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name \
                   AND r.table_name = k.table_name \
                   WHERE $in(k.table_schema) AND k.referenced_table_name IS NOT NULL \
                   ORDER BY k.table_name, k.constraint_name, k.ordinal_position";
        let mut reader = ActionReader::default();
        for row in self.rows(sql).await? {
            if let Some(table) = self.tables.get_mut(&row.text_or_empty(0)) {
                let name = row.text_or_empty(1);
                if table.foreign_keys.last().is_none_or(|key| key.name != name) {
                    let actions = reader.actions(self.connection, &table.name, &name, (&row, 6));
                    let actions = actions.await?;
                    table.foreign_keys.push(foreign_key(name, &row, actions));
                }
                foreign_key_part(table, &row)?;
            }
        }
        Ok(())
    }

    async fn triggers(&mut self) -> Result<(), MysqlError> {
        let sql = "SELECT event_object_table, trigger_name, action_timing, event_manipulation \
                   FROM information_schema.triggers WHERE $in(event_object_schema) ORDER BY trigger_name";
        for row in self.rows(sql).await? {
            if let Some(table) = self.tables.get_mut(&row.text_or_empty(0)) {
                table.triggers.push((
                    row.text_or_empty(1),
                    format!("{} {}", row.text_or_empty(2), row.text_or_empty(3)),
                ));
            }
        }
        Ok(())
    }

    async fn routines_and_events(&mut self) -> Result<(), MysqlError> {
        let sql = "SELECT LOWER(routine_type), routine_name FROM information_schema.routines WHERE $in(routine_schema) \
                   UNION ALL SELECT 'event', event_name FROM information_schema.events WHERE $in(event_schema)";
        for row in self.rows(sql).await? {
            self.other_objects.push(OtherObject {
                kind: row.text_or_empty(0),
                name: row.text_or_empty(1),
            });
        }
        self.other_objects
            .sort_by(|left, right| (&left.kind, &left.name).cmp(&(&right.kind, &right.name)));
        Ok(())
    }
}

fn new_table(schema: &str, names: NameCase, name: String, row: &ResultRow) -> SourceTable {
    SourceTable {
        names,
        name: QualifiedName {
            schema: schema.to_owned(),
            table: name,
        },
        facts: MysqlTable {
            engine: row.text_or_empty(2),
            system_versioned: row.bytes(1) == Some(b"SYSTEM VERSIONED"),
        }
        .into(),
        columns: Vec::new(),
        primary_key: Vec::new(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        triggers: Vec::new(),
        rows_estimate: row.number(3).unwrap_or(0),
        bytes_estimate: row.number(4).unwrap_or(0),
    }
}

fn column(name: String, row: &ResultRow, json_checked: bool) -> SourceColumn {
    let (data_type, column_type) = (row.text_or_empty(2), row.text_or_empty(3));
    let (charset, collation) = (row.text(4), row.text(5));
    let ty = column_type::parse(TypeText {
        data_type: &data_type,
        column_type: &column_type,
        charset: charset.as_deref(),
        collation: collation.as_deref(),
        characters: row.number(6),
        json_checked,
    });
    let extra = row.text_or_empty(9).to_ascii_lowercase();
    SourceColumn {
        name,
        ty: ty.into(),
        nullable: row.bytes(7) == Some(b"YES"),
        default: None,
        generated: row.text(10).filter(|text| !text.is_empty()),
        generated_stored: extra.contains("stored generated") || extra.contains("persistent"),
        facts: MysqlColumn {
            on_update: extra.contains("on update"),
            auto_increment: extra.contains("auto_increment"),
            is_old_temporal: column_type::is_old_temporal(&column_type),
        }
        .into(),
    }
}

/// The account may see the index and not the column, or a DDL came between two looks.
fn hidden_column(table: &SourceTable) -> MysqlError {
    MysqlError::HiddenColumn {
        table: format!(
            "{}.{}",
            sql::identifier(&table.name.schema),
            sql::identifier(&table.name.table)
        ),
    }
}

/// One part of an index; `text` is its expression where it is not a column.
fn index_part(table: &mut SourceTable, row: &ResultRow, text: String) -> Result<(), MysqlError> {
    let name = row.text_or_empty(1);
    let part = match row.text(3) {
        Some(column) => IndexPart::Column {
            column: table.column_index(&column).ok_or_else(|| hidden_column(table))?,
            descending: row.bytes(4) == Some(b"D"),
            prefix: row.number(5).and_then(|prefix| u32::try_from(prefix).ok()),
        },
        None => IndexPart::Expression { text },
    };
    if name == "PRIMARY" {
        if let IndexPart::Column { column, .. } = part {
            table.primary_key.push(column);
        }
        return Ok(());
    }
    match table.indexes.last_mut() {
        Some(index) if index.name == name => index.parts.push(part),
        _ => table.indexes.push(SourceIndex {
            name,
            unique: row.number(2) == Some(0),
            kind: row.text_or_empty(6),
            parts: vec![part],
        }),
    }
    Ok(())
}

/// A foreign key without its columns.
fn foreign_key(name: String, row: &ResultRow, (on_delete, on_update): Actions) -> SourceForeignKey {
    SourceForeignKey {
        name,
        columns: Vec::new(),
        parent: QualifiedName {
            schema: row.text_or_empty(3),
            table: row.text_or_empty(4),
        },
        parent_columns: Vec::new(),
        on_delete,
        on_update,
    }
}

/// One column of the foreign key that was begun last.
fn foreign_key_part(table: &mut SourceTable, row: &ResultRow) -> Result<(), MysqlError> {
    let column = row.text_or_empty(2);
    let column = table.column_index(&column).ok_or_else(|| hidden_column(table))?;
    let key = table.foreign_keys.last_mut().expect("it was begun");
    key.columns.push(column);
    key.parent_columns.push(row.text_or_empty(5));
    Ok(())
}
