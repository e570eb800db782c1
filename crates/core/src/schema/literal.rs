//! A value as a literal of the target's DDL, in both dialects.
//!
//! Each form was tried on the emulator; a value for which it has no exact literal has none here.

use crate::schema::target::{Dialect, TargetType};
use crate::value::encode::base64_bytes;
use crate::wire::list_value::WireValue;

/// The literal of a converted value of this type, if there is one that gives exactly this value.
/// There is none of NULL.
pub(crate) fn literal(value: WireValue<'_>, ty: TargetType, dialect: Dialect) -> Option<String> {
    match value {
        WireValue::Null | WireValue::List(_) => None,
        WireValue::Bool(value) => Some(if value { "TRUE" } else { "FALSE" }.to_owned()),
        WireValue::Number(number) => float(number, ty, dialect),
        WireValue::String(text) => typed(std::str::from_utf8(text).ok()?, ty, dialect),
    }
}

/// A finite number. The emulator drops the sign of -0, and the PostgreSQL dialect takes a number
/// with a point for a numeric.
fn float(number: f64, ty: TargetType, dialect: Dialect) -> Option<String> {
    let is_float = matches!(ty, TargetType::Float32 | TargetType::Float64);
    let is_exact = number.is_finite() && !(number == 0.0 && number.is_sign_negative());
    (is_float && is_exact).then(|| match dialect {
        Dialect::GoogleSql => format!("{number:e}"),
        Dialect::PostgreSql => format!("'{number:e}'::float8"),
    })
}

/// A value that travels as text.
fn typed(text: &str, ty: TargetType, dialect: Dialect) -> Option<String> {
    let google = dialect == Dialect::GoogleSql;
    let of_type = |google_type: &str, pg_type: &str| {
        let quoted = quoted(text, dialect)?;
        Some(if google {
            format!("{google_type} {quoted}")
        } else {
            format!("{quoted}::{pg_type}")
        })
    };
    match ty {
        TargetType::Int64 => Some(text.to_owned()),
        TargetType::Numeric => of_type("NUMERIC", "numeric"),
        TargetType::String(_) => quoted(text, dialect),
        TargetType::Bytes(_) => bytes(text, google),
        TargetType::Date => of_type("DATE", "date"),
        TargetType::Timestamp => of_type("TIMESTAMP", "timestamptz"),
        // The PostgreSQL dialect of the emulator takes no text for jsonb here.
        TargetType::Json if google => of_type("JSON", "jsonb"),
        // A float as text is NaN or an infinity. Of UUID the emulator has no type to try it with.
        TargetType::Json
        | TargetType::Bool
        | TargetType::Float32
        | TargetType::Float64
        | TargetType::Uuid
        | TargetType::Array { .. } => None,
    }
}

/// A text in quotes. PostgreSQL texts cannot hold the character 0, and a backslash means itself
/// only where escapes are asked for and it is doubled, whatever `standard_conforming_strings` is.
fn quoted(text: &str, dialect: Dialect) -> Option<String> {
    if dialect == Dialect::PostgreSql {
        let doubled = text.replace('\'', "''");
        return match (text.contains('\0'), text.contains('\\')) {
            (true, _) => None,
            (false, true) => Some(format!("E'{}'", doubled.replace('\\', "\\\\"))),
            (false, false) => Some(format!("'{doubled}'")),
        };
    }
    let mut quoted = String::from("'");
    for character in text.chars() {
        match character {
            '\'' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => quoted.push(character),
        }
    }
    quoted.push('\'');
    Some(quoted)
}

/// Bytes, which travel in base 64.
fn bytes(text: &str, google: bool) -> Option<String> {
    let decoded = base64_bytes(text.as_bytes())?;
    let hex = |before: &str| {
        let digits = decoded.iter().map(|byte| format!("{before}{byte:02x}"));
        digits.collect::<String>()
    };
    Some(if google {
        format!("b'{}'", hex("\\x"))
    } else {
        format!("'\\x{}'::bytea", hex(""))
    })
}
