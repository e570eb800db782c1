//! Keys, foreign keys and checks of a definition.

use spanferry_core::schema::source::ForeignKeyAction;

use super::tree::{Check, CreateTable, ForeignKey, Key, KeyPart, TableName};
use super::words::{Read, Words};
use crate::mysql::token::Token;

/// Reads a key or constraint into the table, if one comes next; a column begins with another word.
pub(super) fn key(words: &mut Words<'_>, table: &mut CreateTable) -> Read<bool> {
    let name = if words.accept("CONSTRAINT") {
        let unnamed = ["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"];
        let is_named = !unnamed.iter().any(|word| words.is(word));
        is_named.then(|| words.identifier()).transpose()?
    } else {
        None
    };
    if words.accept_all(&["PRIMARY", "KEY"]) {
        let mut key = key_behind(words, name, None)?;
        (key.primary, key.unique) = (true, true);
        table.keys.push(key);
    } else if words.accept("UNIQUE") {
        words.accept_any(&["KEY", "INDEX"]);
        let mut key = key_behind(words, name, None)?;
        key.unique = true;
        table.keys.push(key);
    } else if words.accept_all(&["FOREIGN", "KEY"]) {
        table.foreign_keys.push(foreign_key(words, name)?);
    } else if words.accept("CHECK") {
        let expression = check_behind(words)?;
        table.checks.push(Check {
            name,
            column: None,
            expression,
        });
    } else if words.accept_all(&["PERIOD", "FOR", "SYSTEM_TIME"]) {
        words.names()?;
    } else {
        return plain_key(words, table);
    }
    Ok(true)
}

/// KEY and INDEX, also FULLTEXT, SPATIAL and VECTOR.
fn plain_key(words: &mut Words<'_>, table: &mut CreateTable) -> Read<bool> {
    for class in ["FULLTEXT", "SPATIAL", "VECTOR"] {
        let is_key = |words: &Words<'_>| {
            let next = words.peek_at(1);
            next.is_some_and(|next| {
                next.is_word("KEY") || next.is_word("INDEX") || *next == Token::Symbol('(')
            })
        };
        if words.is(class) && is_key(words) {
            words.step()?;
            words.accept_any(&["KEY", "INDEX"]);
            table.keys.push(key_behind(words, None, Some(class))?);
            return Ok(true);
        }
    }
    if words.accept_any(&["KEY", "INDEX"]) {
        table.keys.push(key_behind(words, None, None)?);
        return Ok(true);
    }
    Ok(false)
}

/// `[name] [USING method] (parts) [options]`.
fn key_behind(words: &mut Words<'_>, constraint: Option<String>, class: Option<&str>) -> Read<Key> {
    let mut key = Key {
        name: constraint,
        primary: false,
        unique: false,
        class: class.map(str::to_owned),
        method: None,
        parts: Vec::new(),
    };
    if !(words.is_symbol('(') || words.is("USING")) {
        key.name = Some(words.identifier()?);
    }
    if words.accept_any(&["USING", "TYPE"]) {
        key.method = Some(words.identifier()?);
    }
    words.expect_symbol('(')?;
    key.parts.push(part(words)?);
    while words.symbol(',') {
        key.parts.push(part(words)?);
    }
    words.expect_symbol(')')?;
    options(words, &mut key)?;
    Ok(key)
}

fn part(words: &mut Words<'_>) -> Read<KeyPart> {
    if words.is_symbol('(') {
        let text = words.group()?.to_owned();
        words.accept_any(&["ASC", "DESC"]);
        return Ok(KeyPart::Expression { text });
    }
    let name = words.identifier()?;
    let prefix = if words.symbol('(') {
        let prefix = words.number()?;
        words.expect_symbol(')')?;
        Some(prefix)
    } else {
        None
    };
    let descending = words.accept("DESC");
    words.accept("ASC");
    Ok(KeyPart::Column {
        name,
        prefix,
        descending,
    })
}

/// What stands behind the parts. Only USING matters here.
fn options(words: &mut Words<'_>, key: &mut Key) -> Read<()> {
    while !(words.is_end() || words.is_symbol(',') || words.is_symbol(')')) {
        if words.accept("USING") {
            key.method = Some(words.identifier()?);
        } else if words.accept_all(&["WITH", "PARSER"]) {
            words.identifier()?;
        } else if !(words.accept_any(&["VISIBLE", "INVISIBLE", "IGNORED"])
            || words.accept_all(&["NOT", "IGNORED"]))
        {
            words.identifier()?;
            words.symbol('=');
            words.name_or_text()?;
        }
    }
    Ok(())
}

fn foreign_key(words: &mut Words<'_>, constraint: Option<String>) -> Read<ForeignKey> {
    let name = if words.is_symbol('(') {
        constraint
    } else {
        let index = words.identifier()?;
        Some(constraint.unwrap_or(index))
    };
    let columns = words.names()?;
    let parent = references(words)?;
    foreign_key_behind(words, name, columns, parent)
}

/// `REFERENCES table`.
pub(super) fn references(words: &mut Words<'_>) -> Read<TableName> {
    words.expect("REFERENCES")?;
    table_name(words)
}

/// What stands behind the name of the table that a foreign key refers to.
pub(super) fn foreign_key_behind(
    words: &mut Words<'_>,
    name: Option<String>,
    columns: Vec<String>,
    parent: TableName,
) -> Read<ForeignKey> {
    let mut key = ForeignKey {
        name,
        columns,
        parent,
        parent_columns: words.names()?,
        on_delete: ForeignKeyAction::NoAction,
        on_update: ForeignKeyAction::NoAction,
    };
    loop {
        if words.accept_all(&["ON", "DELETE"]) {
            key.on_delete = action(words)?;
        } else if words.accept_all(&["ON", "UPDATE"]) {
            key.on_update = action(words)?;
        } else if words.accept("MATCH") {
            words.identifier()?;
        } else {
            return Ok(key);
        }
    }
}

fn action(words: &mut Words<'_>) -> Read<ForeignKeyAction> {
    Ok(if words.accept("CASCADE") {
        ForeignKeyAction::Cascade
    } else if words.accept_all(&["SET", "NULL"]) {
        ForeignKeyAction::SetNull
    } else if words.accept_all(&["SET", "DEFAULT"]) {
        ForeignKeyAction::SetDefault
    } else if words.accept("RESTRICT") || words.accept_all(&["NO", "ACTION"]) {
        ForeignKeyAction::NoAction
    } else {
        return Err(words.not_read());
    })
}

/// Behind CHECK.
pub(super) fn check_behind(words: &mut Words<'_>) -> Read<String> {
    let expression = words.group()?.to_owned();
    if !words.accept("ENFORCED") {
        words.accept_all(&["NOT", "ENFORCED"]);
    }
    Ok(expression)
}

/// `table` or `schema.table`.
pub(super) fn table_name(words: &mut Words<'_>) -> Read<TableName> {
    let first = words.identifier()?;
    Ok(if words.symbol('.') {
        TableName {
            schema: Some(first),
            table: words.identifier()?,
        }
    } else {
        TableName {
            schema: None,
            table: first,
        }
    })
}
