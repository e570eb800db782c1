//! A column of a definition, and the keys and constraints that stand at it.

use super::key::{check_behind, foreign_key_behind, references};
use super::tree::{Check, ColumnDefinition, CreateTable, DefaultValue, Generated, Key, KeyPart, TypeName};
use super::type_name::type_name;
use super::words::{Read, Words};
use crate::mysql::token::Token;

/// Reads a column into the table.
pub(super) fn column(words: &mut Words<'_>, table: &mut CreateTable) -> Read<()> {
    let name = words.identifier()?;
    let serial = words.accept("SERIAL");
    let ty = if serial {
        TypeName {
            name: "bigint".to_owned(),
            arguments: None,
            unsigned: true,
            charset: None,
        }
    } else {
        type_name(words)?
    };
    let mut column = ColumnDefinition {
        name,
        ty,
        charset: None,
        collation: None,
        is_binary: false,
        nullable: serial.then_some(false),
        default: None,
        on_update: false,
        auto_increment: serial,
        generated: None,
        invisible: false,
    };
    if serial {
        table.keys.push(own_key(&column.name, false));
    }
    while !(words.is_end() || words.is_symbol(',') || words.is_symbol(')')) {
        let read = of_text(words, &mut column)?
            || of_value(words, &mut column)?
            || of_constraint(words, &mut column, table)?
            || of_storage(words, &mut column)?;
        if !read {
            return Err(words.not_read());
        }
    }
    table.columns.push(column);
    Ok(())
}

/// Character set and collation.
fn of_text(words: &mut Words<'_>, column: &mut ColumnDefinition) -> Read<bool> {
    if words.accept_all(&["CHARACTER", "SET"])
        || words.accept_all(&["CHAR", "SET"])
        || words.accept("CHARSET")
    {
        column.charset = Some(words.name_or_text()?);
    } else if words.accept("COLLATE") {
        column.collation = Some(words.name_or_text()?);
    } else if words.accept("BINARY") {
        column.is_binary = true;
    } else if words.accept("ASCII") {
        column.charset = Some("latin1".to_owned());
    } else if words.accept("UNICODE") {
        column.charset = Some("ucs2".to_owned());
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// What decides about values: NULL, DEFAULT, AUTO_INCREMENT, and how they are computed.
fn of_value(words: &mut Words<'_>, column: &mut ColumnDefinition) -> Read<bool> {
    if words.accept_all(&["NOT", "NULL"]) {
        column.nullable = Some(false);
    } else if words.accept("NULL") {
        column.nullable = Some(true);
    } else if words.accept("DEFAULT") {
        column.default = default(words)?;
    } else if words.accept_all(&["ON", "UPDATE"]) {
        words.identifier()?;
        if words.is_symbol('(') {
            words.group()?;
        }
        column.on_update = true;
    } else if words.accept("AUTO_INCREMENT") {
        column.auto_increment = true;
    } else if words.accept_all(&["GENERATED", "ALWAYS", "AS"]) || words.accept("AS") {
        column.generated = Some(generated(words)?);
    } else if words.accept("INVISIBLE") {
        column.invisible = true;
    } else {
        return Ok(words.accept("VISIBLE"));
    }
    Ok(true)
}

/// Behind AS: the expression, and whether its values are stored.
fn generated(words: &mut Words<'_>) -> Read<Generated> {
    if words.accept("ROW") {
        // MariaDB: the columns of a system-versioned table.
        let end = words.identifier()?;
        return Ok(Generated {
            expression: format!("ROW {}", end.to_ascii_uppercase()),
            stored: true,
        });
    }
    let expression = words.group()?.to_owned();
    let stored = words.accept_any(&["STORED", "PERSISTENT"]);
    if !stored {
        words.accept("VIRTUAL");
    }
    Ok(Generated { expression, stored })
}

/// Behind DEFAULT: a literal, a number, a word, a call, or an expression in parentheses.
fn default(words: &mut Words<'_>) -> Read<Option<DefaultValue>> {
    if words.accept("NULL") {
        return Ok(None);
    }
    let start = words.place();
    if words.is_symbol('(') {
        words.group()?;
    } else if words.peek() == Some(&Token::Literal) {
        let literal = words.literal()?;
        let text = words.text_from(start).to_owned();
        return Ok(Some(DefaultValue {
            text,
            literal: Some(literal),
        }));
    } else {
        number_or_call(words)?;
    }
    Ok(Some(DefaultValue {
        text: words.text_from(start).to_owned(),
        literal: None,
    }))
}

fn number_or_call(words: &mut Words<'_>) -> Read<()> {
    if !words.symbol('-') {
        words.symbol('+');
    }
    match words.peek() {
        Some(Token::Word(_) | Token::Quoted(_) | Token::Symbol('.')) => words.step()?,
        Some(Token::Literal | Token::Symbol(_) | Token::Unreadable) | None => return Err(words.not_read()),
    }
    loop {
        let goes_on = match words.peek() {
            Some(Token::Symbol('(')) => {
                words.group()?;
                continue;
            }
            Some(Token::Symbol('.' | '-' | '+') | Token::Word(_) | Token::Quoted(_) | Token::Literal) => {
                words.is_adjacent()
            }
            Some(Token::Symbol(_) | Token::Unreadable) | None => false,
        };
        if !goes_on {
            return Ok(());
        }
        words.step()?;
    }
}

/// Keys, checks and references that stand at a column.
fn of_constraint(
    words: &mut Words<'_>,
    column: &mut ColumnDefinition,
    table: &mut CreateTable,
) -> Read<bool> {
    let name = if words.accept("CONSTRAINT") {
        let is_named = !(words.is("CHECK") || words.is("REFERENCES"));
        is_named.then(|| words.identifier()).transpose()?
    } else {
        None
    };
    if words.accept_all(&["PRIMARY", "KEY"]) || words.accept("PRIMARY") || words.accept("KEY") {
        table.keys.push(own_key(&column.name, true));
    } else if words.accept_all(&["SERIAL", "DEFAULT", "VALUE"]) {
        (column.nullable, column.auto_increment) = (Some(false), true);
        table.keys.push(own_key(&column.name, false));
    } else if words.accept("UNIQUE") {
        words.accept("KEY");
        table.keys.push(own_key(&column.name, false));
    } else if words.accept("CHECK") {
        table.checks.push(Check {
            name,
            column: Some(column.name.clone()),
            expression: check_behind(words)?,
        });
    } else if words.is("REFERENCES") {
        let parent = references(words)?;
        let key = foreign_key_behind(words, name, vec![column.name.clone()], parent)?;
        table.foreign_keys.push(key);
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn own_key(column: &str, primary: bool) -> Key {
    Key {
        name: None,
        primary,
        unique: true,
        class: None,
        method: None,
        parts: vec![KeyPart::Column {
            name: column.to_owned(),
            prefix: None,
            descending: false,
        }],
    }
}

/// What says how the server keeps the values, and changes none.
fn of_storage(words: &mut Words<'_>, column: &mut ColumnDefinition) -> Read<bool> {
    const NAMED: [&str; 2] = ["COLUMN_FORMAT", "STORAGE"];
    const GIVEN: [&str; 5] = [
        "COMMENT",
        "ENGINE_ATTRIBUTE",
        "SECONDARY_ENGINE_ATTRIBUTE",
        "SRID",
        "REF_SYSTEM_ID",
    ];
    if words.accept_any(&NAMED) {
        words.identifier()?;
    } else if words.accept_any(&GIVEN) {
        words.symbol('=');
        words.name_or_text()?;
    } else if words.accept("COMPRESSED") {
        if words.symbol('=') {
            words.name_or_text()?;
        }
    } else if words.accept_any(&["UNSIGNED", "ZEROFILL"]) {
        column.ty.unsigned = true;
    } else {
        return Ok(words.accept_all(&["NOT", "SECONDARY"])
            || words.accept_all(&["WITHOUT", "SYSTEM", "VERSIONING"])
            || words.accept_all(&["WITH", "SYSTEM", "VERSIONING"]));
    }
    Ok(true)
}
