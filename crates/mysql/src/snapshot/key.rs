//! Keys as SQL: boundaries are made, compared and ordered by the server only.

use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::Boundary;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::schema::source::SourceColumn;

use crate::connection::ResultRow;
use crate::own_type::own_type;
use crate::sql;

/// The key columns of a plan, in key order.
pub(super) fn columns(plan: &TablePlan) -> impl Iterator<Item = &SourceColumn> {
    plan.source_key.iter().map(|column| &plan.source.columns[*column])
}

/// `FROM table FORCE INDEX (key)`, so that ranges are walked in the key's own index.
pub(super) fn from(plan: &TablePlan) -> String {
    let name = plan.name();
    let mut text = format!(
        "FROM {}.{}",
        sql::identifier(&name.schema),
        sql::identifier(&name.table)
    );
    if let Some(index) = plan.key_index() {
        text.push_str(&format!(" FORCE INDEX ({})", sql::identifier(&index.name)));
    } else if !plan.source.primary_key.is_empty() {
        text.push_str(" FORCE INDEX (PRIMARY)");
    }
    text
}

/// `ORDER BY` of the key.
pub(super) fn order(plan: &TablePlan) -> String {
    let columns: Vec<_> = columns(plan)
        .map(|column| sql::identifier(&column.name))
        .collect();
    format!("ORDER BY {}", columns.join(", "))
}

/// What a boundary query selects: ENUM, SET and BIT by number, everything else as it is.
pub(super) fn selection(plan: &TablePlan) -> String {
    let expressions: Vec<_> = columns(plan)
        .map(|column| {
            let name = sql::identifier(&column.name);
            if is_numbered(own_type(column)) {
                format!("{name} + 0")
            } else {
                name
            }
        })
        .collect();
    expressions.join(", ")
}

fn is_numbered(ty: &MysqlType) -> bool {
    matches!(
        ty,
        MysqlType::Enum { .. } | MysqlType::Set { .. } | MysqlType::Bit { .. }
    )
}

/// A boundary from a row of a boundary query: each key cell in hexadecimal.
pub(super) fn boundary(plan: &TablePlan, row: &ResultRow) -> Result<Boundary, Failure> {
    let mut cells = Vec::with_capacity(plan.source_key.len());
    for index in 0..plan.source_key.len() {
        let cell = row
            .bytes(index)
            .ok_or_else(|| Failure::bug(plan.name().to_string(), "a key column is NULL"))?;
        cells.push(sql::hex(cell));
    }
    Ok(Boundary(cells.join(",")))
}

/// `WHERE` with what lies above `after` and up to `up_to`; empty for an open range.
pub(super) fn condition(
    plan: &TablePlan,
    after: Option<&Boundary>,
    up_to: Option<&Boundary>,
) -> Result<String, Failure> {
    let mut parts = Vec::new();
    if let Some(after) = after {
        parts.push(compare(plan, after, ">", ">")?);
    }
    if let Some(up_to) = up_to {
        parts.push(compare(plan, up_to, "<", "<=")?);
    }
    Ok(if parts.is_empty() {
        String::new()
    } else {
        format!("WHERE {}", parts.join(" AND "))
    })
}

/// `(a > x OR (a = x AND (b > y OR (b = y AND c > z))))`: the form of which both servers'
/// optimizers make index ranges.
fn compare(plan: &TablePlan, boundary: &Boundary, operator: &str, last: &str) -> Result<String, Failure> {
    let cells: Vec<&str> = boundary.0.split(',').collect();
    if cells.len() != plan.source_key.len() {
        return Err(wrong(plan));
    }
    let mut text = String::new();
    for (column, cell) in columns(plan).zip(cells).collect::<Vec<_>>().into_iter().rev() {
        let (name, value) = (sql::identifier(&column.name), literal(plan, column, cell)?);
        text = if text.is_empty() {
            format!("({name} {last} {value})")
        } else {
            format!("({name} {operator} {value} OR ({name} = {value} AND {text}))")
        };
    }
    Ok(text)
}

fn wrong(plan: &TablePlan) -> Failure {
    Failure::new(
        code::STATE_FOREIGN,
        Class::StopMigration,
        plan.name().to_string(),
        "a stored range boundary is not one of this table",
    )
}

/// A key cell as a literal that compares with its column exactly as the column's own values do.
fn literal(plan: &TablePlan, column: &SourceColumn, cell: &str) -> Result<String, Failure> {
    if !cell.len().is_multiple_of(2) || !cell.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong(plan));
    }
    let plain = |allowed: &str| {
        let bytes = cell.as_bytes().chunks(2).map(|pair| {
            let digit = |byte: u8| {
                char::from(byte)
                    .to_digit(16)
                    .and_then(|digit| u8::try_from(digit).ok())
            };
            Some(char::from(digit(pair[0])? << 4 | digit(pair[1])?))
        });
        let text: Option<String> = bytes.collect();
        text.filter(|text| {
            !text.is_empty()
                && text
                    .chars()
                    .all(|letter| letter.is_ascii_digit() || allowed.contains(letter))
        })
        .ok_or_else(|| wrong(plan))
    };
    match own_type(column) {
        MysqlType::Integer { .. } | MysqlType::Year => plain("-"),
        MysqlType::Enum { .. } | MysqlType::Set { .. } | MysqlType::Bit { .. } => plain(""),
        MysqlType::Decimal { .. } => plain("-."),
        MysqlType::Date
        | MysqlType::DateTime { .. }
        | MysqlType::Timestamp { .. }
        | MysqlType::Time { .. } => Ok(format!("'{}'", plain("-:. ")?)),
        MysqlType::Uuid | MysqlType::Inet4 | MysqlType::Inet6 => {
            Ok(format!("'{}'", plain("-:.abcdefABCDEF")?))
        }
        MysqlType::Varchar {
            charset, collation, ..
        }
        | MysqlType::Text { charset, collation } => {
            Ok(format!("_{} X'{cell}' COLLATE {collation}", charset.name()))
        }
        MysqlType::Binary { .. } | MysqlType::Varbinary { .. } | MysqlType::Blob { .. } => {
            Ok(format!("X'{cell}'"))
        }
        MysqlType::Float
        | MysqlType::Double
        | MysqlType::Json
        | MysqlType::JsonText { .. }
        | MysqlType::Geometry
        | MysqlType::Vector { .. }
        | MysqlType::Unknown { .. } => Err(Failure::of_table(
            code::KEY_NOT_INJECTIVE,
            plan.name(),
            format!(
                "the type of its key column `{}` cannot be read in ranges",
                column.name
            ),
        )),
    }
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
