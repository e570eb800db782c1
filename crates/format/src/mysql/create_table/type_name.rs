//! The name of a column's type: the names that people write, as the server's own.

use super::tree::TypeName;
use super::words::{Read, Words};

/// The character set of NCHAR and NATIONAL.
const NATIONAL: &str = "utf8mb3";
/// Digits of a FLOAT(n) up to which it is a FLOAT.
const FLOAT_DIGITS_MAX: u32 = 24;

/// Reads the type that comes next, with UNSIGNED and ZEROFILL.
pub(super) fn type_name(words: &mut Words<'_>) -> Read<TypeName> {
    let (name, charset) = base(words)?;
    let arguments = if words.is_symbol('(') {
        Some(format!("({})", words.group()?))
    } else {
        None
    };
    let mut unsigned = false;
    while words.accept_any(&["UNSIGNED", "ZEROFILL"]) {
        unsigned = true;
    }
    words.accept("SIGNED");
    let mut ty = TypeName {
        name,
        arguments,
        unsigned,
        charset,
    };
    normalise(&mut ty);
    Ok(ty)
}

/// The server's own name, and the character set that the written one implies.
fn base(words: &mut Words<'_>) -> Read<(String, Option<&'static str>)> {
    let national = words.accept("NATIONAL");
    let word = words.identifier()?.to_ascii_lowercase();
    let mut charset = national.then_some(NATIONAL);
    let name = match word.as_str() {
        "integer" | "int4" => "int",
        "int1" => "tinyint",
        "int2" => "smallint",
        "int3" | "middleint" => "mediumint",
        "int8" => "bigint",
        "bool" | "boolean" => "boolean",
        "dec" | "numeric" | "fixed" => "decimal",
        "real" | "float8" => "double",
        "float4" => "float",
        "double" => {
            words.accept("PRECISION");
            "double"
        }
        "character" | "char" | "nchar" => {
            if word == "nchar" {
                charset = Some(NATIONAL);
            }
            if words.accept("VARYING") || words.accept("VARCHAR") {
                "varchar"
            } else {
                "char"
            }
        }
        "nvarchar" => {
            charset = Some(NATIONAL);
            "varchar"
        }
        "varcharacter" => "varchar",
        "long" => {
            if words.accept("VARBINARY") {
                "mediumblob"
            } else {
                words.accept_any(&["VARCHAR", "VARCHARACTER"]);
                "mediumtext"
            }
        }
        other => return Ok((other.to_owned(), charset)),
    };
    Ok((name.to_owned(), charset))
}

/// Fills in what the server fills in.
fn normalise(ty: &mut TypeName) {
    let digits = |ty: &TypeName| -> Option<u32> {
        let inside = ty.arguments.as_deref()?.trim_matches(['(', ')']);
        inside.trim().parse().ok()
    };
    match ty.name.as_str() {
        "boolean" => {
            "tinyint".clone_into(&mut ty.name);
            ty.arguments = Some("(1)".to_owned());
        }
        "decimal" => match (&ty.arguments, digits(ty)) {
            (None, _) => ty.arguments = Some("(10,0)".to_owned()),
            (Some(_), Some(precision)) => ty.arguments = Some(format!("({precision},0)")),
            (Some(_), None) => {}
        },
        "char" | "binary" | "bit" if ty.arguments.is_none() => ty.arguments = Some("(1)".to_owned()),
        "float" if digits(ty).is_some_and(|digits| digits > FLOAT_DIGITS_MAX) => {
            "double".clone_into(&mut ty.name);
            ty.arguments = None;
        }
        _ => {}
    }
}
