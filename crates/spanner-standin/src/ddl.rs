//! DDL statements of both dialects, applied to a schema.

use std::sync::Arc;

use tonic::Code;

use crate::refusal::Refusal;
use crate::schema::{Column, ColumnType, ForeignKey, Index, Schema, Table};
use crate::sql::Cursor;

/// Most columns of a key, those of the table's own key included for an index.
const KEY_PARTS_MAX: usize = 16;

/// Applies one statement. Statements that concern neither tables nor indexes nor constraints are
/// accepted without effect.
pub(crate) fn apply(schema: &mut Schema, statement: &str) -> Result<(), Refusal> {
    let mut cursor = Cursor::new(statement)?;
    let sql = &mut cursor;
    if sql.take(&["CREATE", "TABLE"]) {
        create_table(schema, sql)
    } else if sql.take(&["CREATE", "UNIQUE", "NULL_FILTERED", "INDEX"]) {
        create_index(schema, sql, true, true)
    } else if sql.take(&["CREATE", "UNIQUE", "INDEX"]) {
        create_index(schema, sql, true, false)
    } else if sql.take(&["CREATE", "NULL_FILTERED", "INDEX"]) {
        create_index(schema, sql, false, true)
    } else if sql.take(&["CREATE", "INDEX"]) {
        create_index(schema, sql, false, false)
    } else if sql.take(&["DROP", "INDEX"]) {
        drop_index(schema, sql)
    } else if sql.take(&["DROP", "TABLE"]) {
        drop_table(schema, sql)
    } else if sql.take(&["ALTER", "TABLE"]) {
        alter_table(schema, sql)
    } else {
        Ok(())
    }?;
    schema.refresh_backing();
    Ok(())
}

fn duplicate(name: &str) -> Refusal {
    Refusal::answer(
        Code::FailedPrecondition,
        format!("Duplicate name in schema: {name}."),
    )
}

fn create_table(schema: &mut Schema, sql: &mut Cursor<'_>) -> Result<(), Refusal> {
    let lenient = sql.take(&["IF", "NOT", "EXISTS"]);
    let mut table = Table::new(sql.name()?);
    if schema.has_name(&table.name) {
        return if lenient {
            Ok(())
        } else {
            Err(duplicate(&table.name))
        };
    }
    let mut key = Vec::new();
    sql.symbol('(')?;
    while !sql.take_symbol(')') {
        if sql.take(&["PRIMARY", "KEY"]) {
            key = sql.names()?;
        } else if sql.take(&["CONSTRAINT"]) {
            let name = sql.name()?;
            constraint(&mut table, sql, name, &mut key)?;
        } else if sql.sees("FOREIGN") || sql.sees("CHECK") {
            let number = table.foreign_keys.len() + table.checks.len() + 1;
            let name = format!("FK_{}_{number}", table.name);
            constraint(&mut table, sql, name, &mut key)?;
        } else {
            let (column, is_key) = column(sql)?;
            if is_key {
                key.push((column.name.clone(), false));
            }
            table.columns.push(column);
        }
        if !sql.take_symbol(',') {
            sql.symbol(')')?;
            break;
        }
    }
    if sql.take(&["PRIMARY", "KEY"]) {
        key = sql.names()?;
    }
    while sql.take_symbol(',') {
        if sql.take(&["INTERLEAVE", "IN", "PARENT"]) || sql.take(&["INTERLEAVE", "IN"]) {
            table.parent = Some(sql.name()?);
        }
        sql.skip_item(|_| ());
    }
    table.index_columns();
    for (name, _) in key {
        let position = table
            .position(&name)
            .ok_or_else(|| Refusal::unknown_column(&table.name, &name))?;
        table.key.push(position);
    }
    schema.tables.insert(table.name.clone(), Arc::new(table));
    Ok(())
}

fn constraint(
    table: &mut Table,
    sql: &mut Cursor<'_>,
    name: String,
    key: &mut Vec<(String, bool)>,
) -> Result<(), Refusal> {
    if sql.take(&["PRIMARY", "KEY"]) {
        *key = sql.names()?;
    } else if sql.take(&["CHECK"]) {
        table.checks.push(name);
    } else if sql.take(&["FOREIGN", "KEY"]) {
        table.foreign_keys.push(foreign_key(sql, name)?);
    } else {
        return Err(sql.syntax());
    }
    sql.skip_item(|_| ());
    Ok(())
}

fn foreign_key(sql: &mut Cursor<'_>, name: String) -> Result<ForeignKey, Refusal> {
    let bare = |names: Vec<(String, bool)>| names.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let columns = bare(sql.names()?);
    if !sql.take(&["REFERENCES"]) {
        return Err(sql.syntax());
    }
    let parent = sql.name()?;
    let parent_columns = bare(sql.names()?);
    Ok(ForeignKey {
        name,
        columns,
        parent,
        parent_columns,
        unfinished: false,
    })
}

/// A column's definition, and whether it is the primary key by itself.
fn column(sql: &mut Cursor<'_>) -> Result<(Column, bool), Refusal> {
    let name = sql.name()?;
    let ty = column_type(sql)?;
    let (mut not_null, mut has_default, mut is_key) = (false, false, false);
    sql.skip_item(|sql| {
        not_null |= sql.sees_all(&["NOT", "NULL"]);
        is_key |= sql.sees_all(&["PRIMARY", "KEY"]);
        has_default |= sql.sees("DEFAULT") || sql.sees("AS") || sql.sees("GENERATED");
    });
    Ok((
        Column {
            name,
            ty,
            not_null: not_null || is_key,
            has_default,
        },
        is_key,
    ))
}

fn column_type(sql: &mut Cursor<'_>) -> Result<ColumnType, Refusal> {
    let word = sql.word()?;
    let mut ty = match word.as_str() {
        "BOOL" | "BOOLEAN" => ColumnType::Bool,
        "INT64" | "BIGINT" | "INT8" => ColumnType::Int64,
        "FLOAT32" | "REAL" | "FLOAT4" => ColumnType::Float32,
        "FLOAT64" | "FLOAT8" => ColumnType::Float64,
        "DOUBLE" => {
            let _ = sql.take(&["PRECISION"]);
            ColumnType::Float64
        }
        "NUMERIC" if sql.is_upper_before() => ColumnType::Numeric,
        "NUMERIC" | "DECIMAL" => ColumnType::PgNumeric,
        "STRING" | "VARCHAR" | "TEXT" => ColumnType::String(length(sql)?),
        "CHARACTER" => {
            let _ = sql.take(&["VARYING"]);
            ColumnType::String(length(sql)?)
        }
        "BYTES" => ColumnType::Bytes(length(sql)?),
        "BYTEA" => ColumnType::Bytes(None),
        "DATE" => ColumnType::Date,
        "TIMESTAMP" | "TIMESTAMPTZ" => {
            let _ = sql.take(&["WITH", "TIME", "ZONE"]);
            ColumnType::Timestamp
        }
        "JSON" => ColumnType::Json,
        "JSONB" => ColumnType::PgJson,
        "UUID" => ColumnType::Uuid,
        "ARRAY" => {
            sql.symbol('<')?;
            let element = column_type(sql)?;
            sql.symbol('>')?;
            ColumnType::Array(Box::new(element), vector_length(sql)?)
        }
        _ => ColumnType::Other,
    };
    if sql.take_symbol('[') {
        sql.symbol(']')?;
        let length = if sql.take(&["VECTOR", "LENGTH"]) {
            sql.word()?.parse().ok()
        } else {
            None
        };
        ty = ColumnType::Array(Box::new(ty), length);
    }
    Ok(ty)
}

fn length(sql: &mut Cursor<'_>) -> Result<Option<u64>, Refusal> {
    if !sql.take_symbol('(') {
        return Ok(None);
    }
    let length = sql.word()?.parse().ok();
    sql.symbol(')')?;
    Ok(length)
}

fn vector_length(sql: &mut Cursor<'_>) -> Result<Option<u64>, Refusal> {
    if !sql.take_symbol('(') {
        return Ok(None);
    }
    sql.word()?;
    sql.symbol('=')?;
    sql.symbol('>')?;
    let length = sql.word()?.parse().ok();
    sql.symbol(')')?;
    Ok(length)
}

fn create_index(
    schema: &mut Schema,
    sql: &mut Cursor<'_>,
    unique: bool,
    null_filtered: bool,
) -> Result<(), Refusal> {
    let lenient = sql.take(&["IF", "NOT", "EXISTS"]);
    let name = sql.name()?;
    if !sql.take(&["ON"]) {
        return Err(sql.syntax());
    }
    let table = sql.name()?;
    let columns = sql.names()?;
    let stored = if sql.take(&["STORING"]) || sql.take(&["INCLUDE"]) {
        sql.names()?
    } else {
        Vec::new()
    };
    let null_filtered = null_filtered || sql.sees("WHERE");
    if schema.has_name(&name) {
        return if lenient { Ok(()) } else { Err(duplicate(&name)) };
    }
    let owner = schema
        .table_mut(&table)
        .ok_or_else(|| Refusal::unknown_table(&table))?;
    for (column, _) in columns.iter().chain(&stored) {
        owner
            .position(column)
            .ok_or_else(|| Refusal::unknown_column(&table, column))?;
    }
    check_key_parts(owner, &name, &columns)?;
    let stored = stored.into_iter().map(|(column, _)| column).collect();
    owner.indexes.push(Index {
        name,
        unique,
        null_filtered,
        columns,
        stored,
        unfinished: false,
    });
    Ok(())
}

/// A key over these columns holds the table's own key too, each column once.
fn check_key_parts(table: &Table, name: &str, columns: &[(String, bool)]) -> Result<(), Refusal> {
    let own = table.key_names();
    let is_new = |(column, _): &&(String, bool)| !own.iter().any(|known| known.eq_ignore_ascii_case(column));
    let parts = own.len() + columns.iter().filter(is_new).count();
    if parts <= KEY_PARTS_MAX {
        return Ok(());
    }
    Err(Refusal::answer(
        Code::InvalidArgument,
        format!("Index {name} has too many keys ({parts}); the limit is {KEY_PARTS_MAX}."),
    ))
}

fn drop_index(schema: &mut Schema, sql: &mut Cursor<'_>) -> Result<(), Refusal> {
    let lenient = sql.take(&["IF", "EXISTS"]);
    let name = sql.name()?;
    match schema.index_owner(&name) {
        Some(owner) => {
            let table = schema
                .table_mut(&owner)
                .ok_or_else(|| Refusal::unknown_table(&owner))?;
            table
                .indexes
                .retain(|index| !index.name.eq_ignore_ascii_case(&name));
            Ok(())
        }
        None if lenient => Ok(()),
        None => Err(Refusal::answer(
            Code::NotFound,
            format!("Index not found: {name}"),
        )),
    }
}

fn drop_table(schema: &mut Schema, sql: &mut Cursor<'_>) -> Result<(), Refusal> {
    let lenient = sql.take(&["IF", "EXISTS"]);
    let name = sql.name()?;
    let Some(table) = schema.table(&name).cloned() else {
        return if lenient {
            Ok(())
        } else {
            Err(Refusal::unknown_table(&name))
        };
    };
    let refuse = |what: &str| {
        let message = format!("Cannot drop table {name} with {what}.");
        Err(Refusal::answer(Code::FailedPrecondition, message))
    };
    if !table.indexes.is_empty() {
        return refuse("indices");
    }
    let referenced = |other: &Arc<Table>| {
        other.name != table.name && other.foreign_keys.iter().any(|key| key.parent == table.name)
    };
    if schema.tables.values().any(referenced) {
        return refuse("a foreign key that references it");
    }
    schema.tables.remove(&table.name);
    Ok(())
}

fn alter_table(schema: &mut Schema, sql: &mut Cursor<'_>) -> Result<(), Refusal> {
    let name = sql.name()?;
    if schema.table(&name).is_none() {
        return Err(Refusal::unknown_table(&name));
    }
    if sql.take(&["ADD", "CONSTRAINT"]) {
        let constraint_name = sql.name()?;
        if schema.has_name(&constraint_name) {
            return Err(duplicate(&constraint_name));
        }
        let mut probe = Table::new(name.clone());
        constraint(&mut probe, sql, constraint_name, &mut Vec::new())?;
        for key in &probe.foreign_keys {
            check_foreign_key(schema, &name, key)?;
        }
        let table = schema.table_mut(&name).expect("it was just found");
        table.foreign_keys.append(&mut probe.foreign_keys);
        table.checks.append(&mut probe.checks);
        return Ok(());
    }
    let table = schema.table_mut(&name).expect("it was just found");
    if sql.take(&["DROP", "CONSTRAINT"]) {
        let constraint = sql.name()?;
        let before = table.foreign_keys.len() + table.checks.len();
        table
            .foreign_keys
            .retain(|key| !key.name.eq_ignore_ascii_case(&constraint));
        table
            .checks
            .retain(|check| !check.eq_ignore_ascii_case(&constraint));
        if table.foreign_keys.len() + table.checks.len() == before {
            let message = format!("{constraint} is not a constraint in {name}");
            return Err(Refusal::answer(Code::NotFound, message));
        }
    } else if sql.take(&["ADD", "COLUMN"]) || sql.take(&["ADD"]) {
        let (column, _) = column(sql)?;
        table.columns.push(column);
        table.index_columns();
    }
    Ok(())
}

fn check_foreign_key(schema: &Schema, table: &str, key: &ForeignKey) -> Result<(), Refusal> {
    for (table, columns) in [(table, &key.columns), (&key.parent, &key.parent_columns)] {
        let found = schema.table(table).ok_or_else(|| Refusal::unknown_table(table))?;
        for column in columns {
            found
                .position(column)
                .ok_or_else(|| Refusal::unknown_column(table, column))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A column that the target can fill may be left out, whatever its default looks like.
    #[test]
    fn defaults_and_identities() {
        for statement in [
            r"CREATE TABLE `t` (`id` INT64 NOT NULL GENERATED BY DEFAULT AS IDENTITY (BIT_REVERSED_POSITIVE SKIP RANGE 1, 127), `s` STRING(9) NOT NULL DEFAULT (') , (it\'s'), `v` INT64 NOT NULL) PRIMARY KEY (`id`)",
            r#"CREATE TABLE "t" ("id" bigint NOT NULL GENERATED BY DEFAULT AS IDENTITY (BIT_REVERSED_POSITIVE SKIP RANGE 1 127), "s" varchar(9) NOT NULL DEFAULT (E') , (it''s \\'), "v" bigint NOT NULL, PRIMARY KEY ("id"))"#,
        ] {
            let mut schema = Schema::default();
            apply(&mut schema, statement).unwrap();
            let columns = &schema.table("t").unwrap().columns;
            let found: Vec<(&str, bool, bool)> = columns
                .iter()
                .map(|column| (column.name.as_str(), column.not_null, column.has_default))
                .collect();
            let expected = [("id", true, true), ("s", true, true), ("v", true, false)];
            assert_eq!(found, expected, "{statement}");
        }
    }

    #[test]
    fn both_dialects() {
        let mut schema = Schema::default();
        for statement in [
            "CREATE TABLE `a` (\n `id` INT64 NOT NULL,\n `t` STRING(20),\n `v` ARRAY<FLOAT32>(vector_length=>3)\n) PRIMARY KEY (`id`)",
            "CREATE TABLE \"b\" (\"id\" bigint NOT NULL, \"t\" varchar(7), \"v\" real[] VECTOR LENGTH 3, PRIMARY KEY (\"id\"))",
            "CREATE UNIQUE NULL_FILTERED INDEX `i` ON `a` (`t` DESC)",
            "ALTER TABLE `a` ADD CONSTRAINT `fk` FOREIGN KEY (`t`) REFERENCES `b` (`t`)",
        ] {
            apply(&mut schema, statement).unwrap();
        }
        let (a, b) = (schema.table("A").unwrap(), schema.table("b").unwrap());
        assert_eq!(
            (a.columns[1].ty.clone(), a.key.clone()),
            (ColumnType::String(Some(20)), vec![0])
        );
        assert_eq!(
            b.columns[2].ty,
            ColumnType::Array(Box::new(ColumnType::Float32), Some(3))
        );
        assert_eq!((a.index_count(), b.index_count()), (2, 1));
        assert!(apply(&mut schema, "DROP TABLE `a`").is_err());
        apply(&mut schema, "DROP INDEX `i`").unwrap();
        apply(&mut schema, "ALTER TABLE `a` DROP CONSTRAINT `fk`").unwrap();
        apply(&mut schema, "DROP TABLE `a`").unwrap();
        assert!(schema.table("a").is_none());
    }
}
