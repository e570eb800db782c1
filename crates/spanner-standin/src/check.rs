//! Checks every mutation of a commit against the schema and Spanner's limits.

use std::sync::Arc;

use spanferry_core::wire::list_value::{WireReader, WireValue};
use tonic::Code;

use crate::message::{Change, Field, Fields, WriteKind, cells, changes, rows};
use crate::refusal::{Refusal, Rule};
use crate::schema::{Column, ColumnType, Schema, Table};

/// Spanner's limits (cloud.google.com/spanner/quotas).
const MUTATIONS_MAX: u64 = 80_000;
const COMMIT_BYTES_MAX: usize = 100 << 20;
const CELL_BYTES_MAX: usize = 10 << 20;
const STRING_CHARACTERS_MAX: usize = 2_621_440;
const KEY_BYTES_MAX: usize = 8 << 10;

/// How much of a commit is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Check {
    /// Every value's form too.
    #[default]
    Full,
    /// Field counts and sizes only: what a null sink of benchmarks can afford.
    Fast,
}

/// What a commit holds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    pub(crate) mutations: u64,
}

/// Checks all mutations of an encoded `CommitRequest`.
pub(crate) fn commit(schema: &Schema, message: &[u8], check: Check) -> Result<Tally, Refusal> {
    if message.len() > COMMIT_BYTES_MAX {
        let message = format!(
            "Commit size of {} bytes exceeds the maximum of 104857600 bytes.",
            message.len()
        );
        return Err(Refusal::broken(Rule::CommitBytes, Code::InvalidArgument, message));
    }
    let mut tally = Tally::default();
    for change in changes(message) {
        match change? {
            Change::Write {
                kind,
                table,
                columns,
                body,
            } => {
                let table = schema.table(table).ok_or_else(|| Refusal::unknown_table(table))?;
                let write = Write::new(table, kind, &columns)?;
                for row in rows(body) {
                    write.row(row?, check)?;
                    tally.rows += 1;
                    tally.mutations += write.cost;
                }
            }
            Change::Delete { table, keys } => {
                let table = schema.table(table).ok_or_else(|| Refusal::unknown_table(table))?;
                delete(table, keys, check, &mut tally)?;
            }
        }
    }
    if tally.mutations > MUTATIONS_MAX {
        let message = format!(
            "The transaction contains too many mutations. Insert and update operations count with the multiplicity of \
             the number of columns they affect. The total mutation count includes any changes to indexes that the \
             transaction generates. (Maximum number: {MUTATIONS_MAX}, found: {})",
            tally.mutations
        );
        return Err(Refusal::broken(
            Rule::MutationCount,
            Code::InvalidArgument,
            message,
        ));
    }
    Ok(tally)
}

fn delete(table: &Table, keys: &[u8], check: Check, tally: &mut Tally) -> Result<(), Refusal> {
    for field in Fields(keys) {
        tally.mutations += 1;
        tally.rows += 1;
        if let (1, Field::Bytes(key)) = field? {
            tally.mutations += table.index_count();
            let columns: Vec<_> = table.key.iter().map(|index| &table.columns[*index]).collect();
            count(table, key, columns.len())?;
            if check == Check::Full {
                for (cell, column) in cells(key).zip(columns) {
                    cell_form(table, column, cell?)?;
                }
            }
            if key.len() > KEY_BYTES_MAX {
                key_size(table, key.len())?;
            }
        }
    }
    Ok(())
}

fn key_size(table: &Table, length: usize) -> Result<(), Refusal> {
    let message = format!(
        "Key for table {} is too large: size {length}, limit {KEY_BYTES_MAX}.",
        table.name
    );
    Err(Refusal::broken(Rule::KeySize, Code::InvalidArgument, message))
}

fn count(table: &Table, row: &[u8], expected: usize) -> Result<(), Refusal> {
    let mut found = 0_usize;
    for cell in cells(row) {
        cell?;
        found += 1;
    }
    if found == expected {
        return Ok(());
    }
    let message = format!(
        "Mutation has mismatched number of columns and values: table {}, {expected} columns, {found} values.",
        table.name
    );
    Err(Refusal::broken(Rule::ValueCount, Code::InvalidArgument, message))
}

/// The columns of one write, resolved once for all its rows.
struct Write<'a> {
    table: &'a Arc<Table>,
    positions: Vec<usize>,
    cost: u64,
}

impl<'a> Write<'a> {
    fn new(table: &'a Arc<Table>, kind: WriteKind, columns: &[&str]) -> Result<Write<'a>, Refusal> {
        let mut positions = Vec::with_capacity(columns.len());
        for column in columns {
            let position = table
                .position(column)
                .ok_or_else(|| Refusal::unknown_column(&table.name, column))?;
            if positions.contains(&position) {
                let message = format!("Multiple values for column {column}.");
                return Err(Refusal::broken(Rule::ValueCount, Code::InvalidArgument, message));
            }
            positions.push(position);
        }
        if let Some(missing) = table.key.iter().find(|key| !positions.contains(key)) {
            let column = &table.columns[*missing].name;
            let message = format!(
                "Key column {column} of table {} is not in the mutation.",
                table.name
            );
            return Err(Refusal::broken(Rule::ValueCount, Code::InvalidArgument, message));
        }
        let whole_row = match kind {
            WriteKind::Insert | WriteKind::Upsert | WriteKind::Replace => true,
            WriteKind::Update => false,
        };
        let left_out = table
            .columns
            .iter()
            .enumerate()
            .find(|(index, column)| column.not_null && !column.has_default && !positions.contains(index));
        if let (true, Some((_, column))) = (whole_row, left_out) {
            let message = format!(
                "A new row in table {} does not specify a non-null value for NOT NULL column: {}",
                table.name, column.name
            );
            return Err(Refusal::broken(Rule::NotNull, Code::FailedPrecondition, message));
        }
        let entries = match kind {
            WriteKind::Insert => table.index_count(),
            WriteKind::Update | WriteKind::Upsert => table.entries_updated(&positions),
            WriteKind::Replace => 2 * table.index_count(),
        };
        let cost = positions.len() as u64 + entries;
        Ok(Write {
            table,
            positions,
            cost,
        })
    }

    fn row(&self, row: &[u8], check: Check) -> Result<(), Refusal> {
        match check {
            Check::Fast if row.len() <= KEY_BYTES_MAX => count(self.table, row, self.positions.len()),
            Check::Fast | Check::Full => self.row_in_full(row, check),
        }
    }

    fn row_in_full(&self, row: &[u8], check: Check) -> Result<(), Refusal> {
        count(self.table, row, self.positions.len())?;
        let mut key_bytes = 0;
        for (cell, position) in cells(row).zip(&self.positions) {
            let (cell, column) = (cell?, &self.table.columns[*position]);
            if self.table.key.contains(position) {
                key_bytes += cell.len();
            }
            if check == Check::Full || cell.len() > STRING_CHARACTERS_MAX {
                cell_form(self.table, column, cell)?;
            }
        }
        if key_bytes > KEY_BYTES_MAX {
            key_size(self.table, key_bytes)
        } else {
            Ok(())
        }
    }
}

/// Reads an encoded `Value`.
pub(crate) fn value(cell: &[u8]) -> Result<WireValue<'_>, Refusal> {
    let value = match Fields(cell).next().transpose()? {
        Some((1, _)) => Some(WireValue::Null),
        Some((3, Field::Bytes(text))) => Some(WireValue::String(text)),
        Some((4, Field::Varint(truth))) => Some(WireValue::Bool(truth != 0)),
        Some((6, Field::Bytes(inner))) => Some(WireValue::List(inner)),
        Some((2, Field::Fixed)) => {
            let number: Option<[u8; 8]> = cell.get(1..9).and_then(|bytes| bytes.try_into().ok());
            number.map(|bytes| WireValue::Number(f64::from_le_bytes(bytes)))
        }
        Some(_) | None => None,
    };
    value.ok_or_else(Refusal::malformed)
}

fn cell_form(table: &Table, column: &Column, cell: &[u8]) -> Result<(), Refusal> {
    let value = value(cell)?;
    if value == WireValue::Null {
        if !column.not_null {
            return Ok(());
        }
        let message = format!("{}.{} must not be NULL", table.name, column.name);
        return Err(Refusal::broken(Rule::NotNull, Code::FailedPrecondition, message));
    }
    if let Some(limit) = size_limit(&column.ty, value)? {
        let message = format!(
            "New value exceeds the maximum size limit for this column: {}.{}, limit: {limit}.",
            table.name, column.name
        );
        return Err(Refusal::broken(Rule::CellSize, Code::FailedPrecondition, message));
    }
    if has_form(&column.ty, value) {
        return Ok(());
    }
    let expected = column.ty.text(false);
    let message = format!(
        "Invalid value for column {} in table {}: Expected {expected}.",
        column.name, table.name
    );
    Err(Refusal::broken(
        Rule::ValueForm,
        Code::FailedPrecondition,
        message,
    ))
}

/// The limit that the value exceeds.
fn size_limit(ty: &ColumnType, value: WireValue<'_>) -> Result<Option<usize>, Refusal> {
    let WireValue::String(bytes) = value else {
        return Ok(None);
    };
    let declared = |length: &Option<u64>, most: usize| {
        length
            .and_then(|length| usize::try_from(length).ok())
            .unwrap_or(most)
            .min(most)
    };
    Ok(match ty {
        ColumnType::String(length) => {
            let limit = declared(length, STRING_CHARACTERS_MAX);
            let text = std::str::from_utf8(bytes).map_err(|_| Refusal::malformed())?;
            let over = bytes.len() > CELL_BYTES_MAX || (bytes.len() > limit && text.chars().count() > limit);
            over.then_some(limit)
        }
        ColumnType::Bytes(length) => {
            let limit = declared(length, CELL_BYTES_MAX);
            let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
            (bytes.len() / 4 * 3 - padding.min(2) > limit).then_some(limit)
        }
        _ => (bytes.len() > CELL_BYTES_MAX).then_some(CELL_BYTES_MAX),
    })
}

fn has_form(ty: &ColumnType, value: WireValue<'_>) -> bool {
    match (ty, value) {
        (ColumnType::Other, _)
        | (ColumnType::Bool, WireValue::Bool(_))
        | (ColumnType::Float32 | ColumnType::Float64, WireValue::Number(_)) => true,
        (ColumnType::Float32 | ColumnType::Float64, WireValue::String(text)) => {
            matches!(text, b"NaN" | b"Infinity" | b"-Infinity")
        }
        (ColumnType::Array(element, length), WireValue::List(list)) => {
            let mut found = 0;
            let all = WireReader::new(list).all(|value| {
                found += 1;
                value.is_ok_and(|value| value == WireValue::Null || has_form(element, value))
            });
            all && length.is_none_or(|length| length == found)
        }
        (_, WireValue::String(bytes)) => std::str::from_utf8(bytes).is_ok_and(|text| has_text_form(ty, text)),
        _ => false,
    }
}

fn has_text_form(ty: &ColumnType, text: &str) -> bool {
    match ty {
        ColumnType::Int64 => !text.starts_with('+') && text.parse::<i64>().is_ok(),
        ColumnType::Numeric => is_decimal(text, 29, 9),
        ColumnType::PgNumeric => text == "NaN" || is_decimal(text, 131_072, 16_383),
        ColumnType::String(_) | ColumnType::Other => true,
        ColumnType::Bytes(_) => is_base64(text.as_bytes()),
        ColumnType::Date => is_date(text),
        ColumnType::Timestamp => text == "spanner.commit_timestamp()" || is_timestamp(text),
        ColumnType::Json | ColumnType::PgJson => !text.trim().is_empty(),
        ColumnType::Uuid => {
            text.len() == 36
                && text.char_indices().all(|(at, character)| match at {
                    8 | 13 | 18 | 23 => character == '-',
                    _ => character.is_ascii_hexdigit(),
                })
        }
        ColumnType::Bool | ColumnType::Float32 | ColumnType::Float64 | ColumnType::Array(_, _) => false,
    }
}

fn is_decimal(text: &str, whole_max: usize, fraction_max: usize) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !(whole.is_empty() && fraction.is_empty())
        && all_digits(whole)
        && all_digits(fraction)
        && whole.trim_start_matches('0').len() <= whole_max
        && fraction.trim_end_matches('0').len() <= fraction_max
}

fn is_base64(bytes: &[u8]) -> bool {
    let content = bytes
        .iter()
        .rposition(|byte| *byte != b'=')
        .map_or(0, |at| at + 1);
    bytes.len().is_multiple_of(4)
        && bytes.len() - content <= 2
        && bytes[..content]
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let &[year, month, day] = parts.as_slice() else {
        return false;
    };
    if (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return false;
    }
    let (Ok(year), Ok(month), Ok(day)) = (year.parse::<u32>(), month.parse::<u32>(), day.parse::<u32>())
    else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    year >= 1 && (1..=12).contains(&month) && (1..=days).contains(&day)
}

fn is_timestamp(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else {
        return false;
    };
    let Some(time) = time.strip_suffix('Z') else {
        return false;
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let parts: Vec<Option<u32>> = clock.split(':').map(|part| part.parse().ok()).collect();
    let &[Some(hour), Some(minute), Some(second)] = parts.as_slice() else {
        return false;
    };
    is_date(date)
        && clock.len() == 8
        && hour < 24
        && minute < 60
        && second < 60
        && (1..=9).contains(&fraction.len())
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (ty, good, bad) in [
            (ColumnType::Int64, "-9223372036854775808", "9223372036854775808"),
            (ColumnType::Numeric, "-0.123456789", "0.1234567891"),
            (ColumnType::Bytes(None), "AQI=", "AQI"),
            (ColumnType::Date, "2024-02-29", "2023-02-29"),
            (
                ColumnType::Timestamp,
                "2024-01-01T00:00:00.5Z",
                "2024-01-01 00:00:00",
            ),
            (ColumnType::Uuid, "00000000-0000-0000-0000-00000000000a", "0"),
        ] {
            assert!(has_text_form(&ty, good), "{good}");
            assert!(!has_text_form(&ty, bad), "{bad}");
        }
    }
}
