//! The parts of a dump between its rows: comments, client commands and the ends of statements.

use super::cursor::{Cursor, Found};

/// Steps over a group in parentheses.
pub(super) fn skip_group(cursor: &mut Cursor<'_>) -> Found<()> {
    let mut depth = 0_usize;
    loop {
        cursor.blank()?;
        match cursor.byte()? {
            b'\'' | b'"' | b'`' => {
                cursor.quoted()?;
                continue;
            }
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        cursor.at += 1;
        if depth == 0 {
            return Ok(());
        }
    }
}

/// Steps to the delimiter that ends a statement. As in the server's own client, it counts within
/// comments whose content counts.
pub(super) fn skip_statement(cursor: &mut Cursor<'_>, delimiter: &[u8]) -> Found<()> {
    loop {
        if cursor.is(delimiter)? {
            return Ok(());
        }
        match cursor.byte()? {
            b'\'' | b'"' | b'`' => cursor.quoted()?,
            b'#' | b'-' if cursor.is_line_comment()? => cursor.line()?,
            b'/' if cursor.is(b"/*!")? || cursor.is(b"/*M!")? => cursor.at += 3,
            b'/' if cursor.is(b"/*")? => cursor.block()?,
            _ => cursor.at += 1,
        }
    }
}

/// The length of the comment that begins here, if one does whose content does not count.
pub(super) fn comment(cursor: &mut Cursor<'_>) -> Found<Option<usize>> {
    /// MariaDB's client reads a command in it: from here on it runs nothing on its own machine.
    const SANDBOX: &[u8] = b"/*M!999999\\-";
    if cursor.is_line_comment()? {
        cursor.line()?;
    } else if cursor.is(SANDBOX)? || (cursor.is(b"/*")? && !cursor.is(b"/*!")? && !cursor.is(b"/*M!")?) {
        cursor.block()?;
    } else {
        return Ok(None);
    }
    Ok(Some(cursor.at))
}

pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
pub(super) const DELIMITER: &[u8] = b"DELIMITER";

/// The length of the line of a DELIMITER command, if one begins here.
pub(super) fn delimiter_command(cursor: &mut Cursor<'_>) -> Found<Option<usize>> {
    if !cursor.word()?.eq_ignore_ascii_case(DELIMITER) {
        return Ok(None);
    }
    cursor.line()?;
    Ok(Some(cursor.at))
}

/// What a comment between statements says of the dump.
pub(super) enum Note {
    /// `-- MySQL dump`: a dump begins, perhaps behind another one.
    Begun,
    /// `-- Dump completed`: nothing is missing.
    Completed,
    /// `-- Server version`: whether the server is a MariaDB.
    Mariadb(bool),
    /// `-- Host: …    Database: …`: the schema of tables that name none.
    Schema(String),
}

pub(super) fn note(comment: &[u8]) -> Option<Note> {
    if comment.starts_with(b"-- MySQL dump ") || comment.starts_with(b"-- MariaDB dump ") {
        return Some(Note::Begun);
    }
    if comment.starts_with(b"-- Dump completed") {
        return Some(Note::Completed);
    }
    if comment.starts_with(b"-- Host: ") {
        return schema(comment);
    }
    let version = comment.strip_prefix(b"-- Server version")?;
    Some(Note::Mariadb(memchr::memmem::find(version, b"MariaDB").is_some()))
}

/// Whether the first word of a statement is SET or USE.
pub(super) fn sets(statement: &[u8]) -> bool {
    let mut rest = statement;
    if let [b'/', b'*', b'!', code @ ..] | [b'/', b'*', b'M', b'!', code @ ..] = statement {
        rest = code;
    }
    let start = rest
        .iter()
        .position(u8::is_ascii_alphabetic)
        .unwrap_or(rest.len());
    let word = rest[start..].split(|byte| !byte.is_ascii_alphabetic()).next();
    word.is_some_and(|word| word.eq_ignore_ascii_case(b"SET") || word.eq_ignore_ascii_case(b"USE"))
}

/// The schema that a header names. With `--databases` none stands there, or the first one; a USE
/// follows then.
fn schema(header: &[u8]) -> Option<Note> {
    const NAME: &[u8] = b"Database: ";
    let at = memchr::memmem::find(header, NAME)?;
    let name = std::str::from_utf8(&header[at + NAME.len()..])
        .ok()?
        .trim_end_matches(['\r', '\n']);
    (!name.is_empty()).then(|| Note::Schema(name.to_owned()))
}
