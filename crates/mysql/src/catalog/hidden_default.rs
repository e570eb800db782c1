//! Values of defaults that the catalog does not show: the server is asked for them.
//!
//! `DEFAULT(column)` gives a value exactly as a row holds it, but only beside a row: of an empty
//! table both servers give it for nullable columns only. MySQL's `SHOW CREATE TABLE` is exact for
//! all but floating point: it writes bytes and texts that it cannot print in hexadecimal digits,
//! and a TIMESTAMP in the zone of the session.

use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::schema::source::{Catalog, SourceColumn, SourceTable};
use spanferry_core::schema::source_default::DefaultKind;
use spanferry_format::mysql::literal::{bytes_of_hex, unquoted};
use spanferry_format::mysql::shown_default::value;

use crate::connection::{Connection, ResultRow};
use crate::error::MysqlError;
use crate::own_type::own_type;
use crate::sql;

/// Asks for the hidden values of defaults: one or two queries for a table that has any. What the
/// server refuses to show stays hidden.
pub(crate) async fn ask_hidden(connection: &mut Connection, catalog: &mut Catalog) -> Result<(), MysqlError> {
    let is_mariadb = connection.server().is_mariadb();
    for table in &mut catalog.tables {
        let Some(question) = question(table) else { continue };
        if let Some(row) = answer(connection, &question).await? {
            take(table, &row);
        }
        if is_mariadb || hidden(table).next().is_none() {
            continue;
        }
        let question = format!("SHOW CREATE TABLE {}", name(table));
        if let Some(row) = answer(connection, &question).await? {
            take_written(table, &row.text_or_empty(1));
        }
    }
    Ok(())
}

/// The first row of an answer, if the server gives one.
async fn answer(connection: &mut Connection, question: &str) -> Result<Option<ResultRow>, MysqlError> {
    match connection.query(question).await {
        Ok(answer) => Ok(answer.rows.into_iter().next()),
        Err(MysqlError::Server { code, .. }) => {
            tracing::warn!(code, "the source does not show the defaults of a table");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn name(table: &SourceTable) -> String {
    let (schema, table) = (&table.name.schema, &table.name.table);
    format!("{}.{}", sql::identifier(schema), sql::identifier(table))
}

fn hidden(table: &mut SourceTable) -> impl Iterator<Item = &mut SourceColumn> {
    let is_hidden = |column: &&mut SourceColumn| matches!(&column.default, Some(default) if default.kind == DefaultKind::Hidden);
    table.columns.iter_mut().filter(is_hidden)
}

/// The query for the hidden values of a table, if it has any.
fn question(table: &mut SourceTable) -> Option<String> {
    let wanted: Vec<String> = hidden(table).map(|column| wanted(column)).collect();
    let (columns, name) = (wanted.join(", "), name(table));
    (!wanted.is_empty())
        .then(|| format!("SELECT {columns} FROM (SELECT 1) AS one LEFT JOIN {name} ON TRUE LIMIT 1"))
}

/// Floating point as a snapshot reads it (`snapshot::session::selection`).
fn wanted(column: &SourceColumn) -> String {
    let default = format!("DEFAULT({})", sql::identifier(&column.name));
    if matches!(own_type(column), MysqlType::Float | MysqlType::Double) {
        format!("{default} * 1e0")
    } else {
        default
    }
}

fn take(table: &mut SourceTable, row: &ResultRow) {
    for (at, column) in hidden(table).enumerate() {
        if let Some(cell) = row.bytes(at) {
            show(column, cell);
        }
    }
}

/// Takes the values that `SHOW CREATE TABLE` of MySQL writes exactly.
fn take_written(table: &mut SourceTable, create: &str) {
    for column in hidden(table) {
        if matches!(own_type(column), MysqlType::Float | MysqlType::Double) {
            continue;
        }
        let literal = written(create, &column.name).and_then(|text| match text.strip_prefix("0x") {
            Some(digits) => bytes_of_hex(digits),
            None => unquoted(text).map(String::into_bytes),
        });
        if let Some(literal) = literal {
            show(column, &literal);
        }
    }
}

/// The literal behind DEFAULT in the line of a column.
fn written<'a>(create: &'a str, column: &str) -> Option<&'a str> {
    const KEYWORD: &str = " DEFAULT ";
    let start = format!("  {} ", sql::identifier(column));
    let line = create.lines().find_map(|line| line.strip_prefix(&start))?;
    let literal = outside_quotes(line).find_map(|at| line[at..].strip_prefix(KEYWORD))?;
    let end = outside_quotes(literal).find(|at| literal[*at..].starts_with([' ', ',']));
    Some(&literal[..end.unwrap_or(literal.len())])
}

/// The places of a line that are in no quoted text. A doubled quote closes a text and opens the
/// next.
fn outside_quotes(line: &str) -> impl Iterator<Item = usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    line.char_indices().filter_map(move |(at, character)| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match character {
            '\'' if !was_escaped => is_quoted = !is_quoted,
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            _ => {}
        }
        (!is_quoted).then_some(at)
    })
}

fn show(column: &mut SourceColumn, cell: &[u8]) {
    let found = value(own_type(column), cell);
    if let (Some(default), Some(found)) = (&mut column.default, found) {
        default.kind = DefaultKind::Value(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_found_in_their_lines() {
        let create = concat!(
            "CREATE TABLE `t` (\n",
            "  `id` int NOT NULL,\n",
            "  `v` varbinary(5) NOT NULL DEFAULT 0x00FF27,\n",
            "  `ts` timestamp NOT NULL DEFAULT '2020-01-02 06:04:05' COMMENT ' DEFAULT 7',\n",
            "  `e` enum(' DEFAULT 1','it''s \\\\') DEFAULT 0xF09F9880,\n",
            "  `s` varchar(9) DEFAULT 'a, ''b\\\\'' c' COMMENT 'x',\n",
            "  `n``n` int COMMENT ' DEFAULT 9',\n",
            "  PRIMARY KEY (`id`)\n",
            ") DEFAULT CHARSET=utf8mb4",
        );
        let check = |column: &str, expected: Option<&str>| {
            assert_eq!(written(create, column), expected, "{column}");
        };
        check("id", None);
        check("v", Some("0x00FF27"));
        check("ts", Some("'2020-01-02 06:04:05'"));
        check("e", Some("0xF09F9880"));
        check("s", Some("'a, ''b\\\\'' c'"));
        check("n`n", None);
        check("missing", None);
    }
}
