//! The head of an INSERT or REPLACE statement: everything before its first row.

use super::cursor::{Cursor, Found, Stop};
use super::mark_text::{Fields, Written};

/// What all rows of one statement have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insert {
    /// The schema, if the statement names one.
    pub schema: Option<Vec<u8>>,
    /// The table, in the dump's character set.
    pub table: Vec<u8>,
    /// The columns that the statement lists.
    pub columns: Option<Vec<Vec<u8>>>,
    /// REPLACE: a row takes the place of those with its keys.
    pub replace: bool,
    /// IGNORE: a row that does not fit is left out by the server.
    pub ignore: bool,
    /// Where the statement begins, in bytes of the dump.
    pub offset: u64,
    /// The line where it begins, from 1.
    pub line: u64,
}

impl Insert {
    pub(super) fn write(&self, text: &mut Written) {
        text.flags(&[self.replace, self.ignore]);
        text.number(self.offset);
        text.number(self.line);
        text.option(self.schema.as_deref());
        text.bytes(&self.table);
        text.flags(&[self.columns.is_some()]);
        let columns = self.columns.as_deref().unwrap_or_default();
        text.number(u64::try_from(columns.len()).expect("a length fits 64 bits"));
        for column in columns {
            text.bytes(column);
        }
    }

    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Insert> {
        let [replace, ignore] = fields.flags()?;
        let (offset, line) = (fields.number()?, fields.number()?);
        let (schema, table) = (fields.option()?, fields.bytes()?);
        let [has_columns] = fields.flags()?;
        let count = usize::try_from(fields.number()?).ok()?;
        if count > COLUMNS_MAX || (count > 0 && !has_columns) {
            return None;
        }
        let columns = (0..count).map(|_| fields.bytes()).collect::<Option<Vec<_>>>()?;
        Some(Insert {
            schema,
            table,
            columns: has_columns.then_some(columns),
            replace,
            ignore,
            offset,
            line,
        })
    }
}

/// Most columns that a table of a server can have.
const COLUMNS_MAX: usize = 4096;

/// Reads the head of a statement and stops before the parenthesis of its first row. None if it is
/// no statement with rows, or not in the form that is known.
pub(super) fn head(cursor: &mut Cursor<'_>) -> Found<Option<Insert>> {
    let replace = match cursor.word()? {
        word if word.eq_ignore_ascii_case(b"INSERT") => false,
        word if word.eq_ignore_ascii_case(b"REPLACE") => true,
        _ => return Ok(None),
    };
    let mut insert = Insert {
        schema: None,
        table: Vec::new(),
        columns: None,
        replace,
        ignore: false,
        offset: 0,
        line: 0,
    };
    if !options(cursor, &mut insert)? || !table(cursor, &mut insert)? {
        return Ok(None);
    }
    if cursor.byte()? == b'(' {
        match columns(cursor)? {
            Some(columns) => insert.columns = Some(columns),
            None => return Ok(None),
        }
        cursor.blank()?;
    }
    let values = cursor.word()?;
    if !(values.eq_ignore_ascii_case(b"VALUES") || values.eq_ignore_ascii_case(b"VALUE")) {
        return Ok(None);
    }
    cursor.blank()?;
    Ok((cursor.byte()? == b'(' && !cursor.inside).then_some(insert))
}

/// Steps over what stands before the table's name.
fn options(cursor: &mut Cursor<'_>, insert: &mut Insert) -> Found<bool> {
    const IDLE: [&[u8]; 3] = [b"LOW_PRIORITY", b"HIGH_PRIORITY", b"DELAYED"];
    loop {
        cursor.blank()?;
        let before = cursor.at;
        let word = cursor.word()?;
        if word.eq_ignore_ascii_case(b"IGNORE") {
            insert.ignore = true;
        } else if word.eq_ignore_ascii_case(b"INTO") {
            cursor.blank()?;
            return Ok(true);
        } else if !IDLE.iter().any(|idle| word.eq_ignore_ascii_case(idle)) {
            cursor.at = before;
            return Ok(true);
        }
    }
}

fn table(cursor: &mut Cursor<'_>, insert: &mut Insert) -> Found<bool> {
    let Some(name) = identifier(cursor)? else {
        return Ok(false);
    };
    insert.table = name;
    cursor.blank()?;
    if cursor.accept(b'.')? {
        cursor.blank()?;
        let Some(name) = identifier(cursor)? else {
            return Ok(false);
        };
        insert.schema = Some(std::mem::replace(&mut insert.table, name));
        cursor.blank()?;
    }
    Ok(true)
}

fn columns(cursor: &mut Cursor<'_>) -> Found<Option<Vec<Vec<u8>>>> {
    cursor.at += 1;
    let mut columns = Vec::new();
    cursor.blank()?;
    if cursor.accept(b')')? {
        return Ok(Some(columns));
    }
    loop {
        cursor.blank()?;
        match identifier(cursor)? {
            Some(name) if columns.len() < COLUMNS_MAX => columns.push(name),
            Some(_) | None => return Ok(None),
        }
        cursor.blank()?;
        if cursor.accept(b')')? {
            return Ok(Some(columns));
        }
        if !cursor.accept(b',')? {
            return Ok(None);
        }
    }
}

/// A name, quoted or not.
fn identifier(cursor: &mut Cursor<'_>) -> Found<Option<Vec<u8>>> {
    let quote = match cursor.byte()? {
        b'`' => b'`',
        b'"' if cursor.reading.ansi_quotes => b'"',
        _ => {
            let word = cursor.word()?;
            return Ok((!word.is_empty()).then(|| word.to_vec()));
        }
    };
    let start = cursor.at + 1;
    cursor.quoted()?;
    let inside = cursor.bytes.get(start..cursor.at - 1).ok_or(Stop::More)?;
    let mut name = Vec::with_capacity(inside.len());
    let mut rest = inside.iter();
    while let Some(byte) = rest.next() {
        name.push(*byte);
        if *byte == quote {
            // It stands there twice.
            rest.next();
        }
    }
    Ok(Some(name))
}
