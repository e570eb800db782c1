//! A whole CREATE TABLE statement.

use super::column::column;
use super::error::NotRead;
use super::key::{key, table_name};
use super::tree::CreateTable;
use super::words::{Read, Words};
use crate::mysql::token::{Dialect, Token};

/// Reads a CREATE TABLE statement; none if it is another statement.
///
/// # Errors
///
/// The statement creates a table and has something that is not understood.
pub fn parse(text: &str, dialect: Dialect) -> Result<Option<CreateTable>, NotRead> {
    let mut words = Words::new(text, dialect);
    if !words.accept("CREATE") {
        return Ok(None);
    }
    words.accept_all(&["OR", "REPLACE"]);
    if words.is("TEMPORARY") && words.peek_at(1).is_some_and(|next| next.is_word("TABLE")) {
        return Err(words.not_read());
    }
    if !words.accept("TABLE") {
        return Ok(None);
    }
    words.accept_all(&["IF", "NOT", "EXISTS"]);
    let mut table = CreateTable {
        name: table_name(&mut words)?,
        columns: Vec::new(),
        keys: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        engine: None,
        charset: None,
        collation: None,
        system_versioned: false,
    };
    definitions(&mut words, &mut table)?;
    while !words.is_end() {
        words.symbol(',');
        option(&mut words, &mut table)?;
    }
    Ok(Some(table))
}

/// Columns, keys and constraints in parentheses.
fn definitions(words: &mut Words<'_>, table: &mut CreateTable) -> Read<()> {
    indirect(words)?;
    words.expect_symbol('(')?;
    indirect(words)?;
    loop {
        if !key(words, table)? {
            column(words, table)?;
        }
        if words.symbol(')') {
            return Ok(());
        }
        words.expect_symbol(',')?;
    }
}

/// Refuses LIKE and queries.
fn indirect(words: &Words<'_>) -> Read<()> {
    let how = [
        "LIKE", "AS", "SELECT", "VALUES", "TABLE", "WITH", "IGNORE", "REPLACE",
    ];
    match how.into_iter().find(|how| words.is(how)) {
        Some(how) => Err(NotRead::Indirect { how: how.to_owned() }),
        None => Ok(()),
    }
}

/// An option of the table.
fn option(words: &mut Words<'_>, table: &mut CreateTable) -> Read<()> {
    if words.accept_all(&["PARTITION", "BY"]) {
        return partitions(words);
    }
    if words.accept_all(&["WITH", "SYSTEM", "VERSIONING"]) {
        table.system_versioned = true;
        return Ok(());
    }
    indirect(words)?;
    words.accept("DEFAULT");
    if words.accept_all(&["CHARACTER", "SET"]) || words.accept("CHARSET") {
        words.symbol('=');
        table.charset = Some(words.name_or_text()?);
    } else if words.accept("COLLATE") {
        words.symbol('=');
        table.collation = Some(words.name_or_text()?);
    } else if words.accept_any(&["ENGINE", "TYPE"]) {
        words.symbol('=');
        table.engine = Some(words.name_or_text()?);
    } else {
        other_option(words)?;
    }
    Ok(())
}

/// An option that says how the server keeps the table: `NAME [=] value`.
fn other_option(words: &mut Words<'_>) -> Read<()> {
    if words.accept_any(&["DATA", "INDEX"]) {
        words.expect("DIRECTORY")?;
    } else {
        words.name_or_text()?;
    }
    words.symbol('=');
    if words.is_symbol('(') {
        words.group()?;
        return Ok(());
    }
    words.name_or_text()?;
    Ok(())
}

/// How the table is divided, which changes none of its rows: it is read to the end of the
/// statement.
fn partitions(words: &mut Words<'_>) -> Read<()> {
    let mut depth = 0_usize;
    while let Some(token) = words.peek() {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') if depth > 0 => depth -= 1,
            Token::Symbol(')') | Token::Unreadable => return Err(words.not_read()),
            token if depth == 0 && (token.is_word("SELECT") || token.is_word("AS")) => {
                return Err(words.not_read());
            }
            Token::Word(_) | Token::Quoted(_) | Token::Literal | Token::Symbol(_) => {}
        }
        words.step()?;
    }
    if depth == 0 { Ok(()) } else { Err(NotRead::End) }
}
