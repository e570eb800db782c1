//! Expressions of defaults that are understood: the time, a UUID, a text or a list in parentheses.
//!
//! An expression is known by its whole text, as the servers write it. Both were measured: MySQL 9.7
//! writes `CURRENT_TIMESTAMP(3)`, `now(3)`, `curdate()`, MariaDB 10.11 `current_timestamp(3)`,
//! `curdate()`.

use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::schema::source_default::{Clock, DefaultKind, UuidForm};
use spanferry_core::value::owned::OwnedScalar;

use super::literal::unquoted;

/// What an expression gives in a column of this type. `local` is the clock of a session that
/// chooses no time zone.
pub(super) fn kind(text: &str, ty: &MysqlType, local: Clock) -> DefaultKind {
    let text = without_parentheses(text);
    let lower = text.to_ascii_lowercase();
    let known = match lower.as_str() {
        "curdate()" | "current_date" | "current_date()" => today(ty, local),
        "utc_date()" => today(ty, Clock::Utc),
        "uuid()" => Some(DefaultKind::Uuid(UuidForm::Text)),
        "replace(uuid(),'-','')" => Some(DefaultKind::Uuid(UuidForm::Digits)),
        "uuid_to_bin(uuid())" => Some(DefaultKind::Uuid(UuidForm::Bytes)),
        "json_array()" => json(ty, "[]"),
        "json_object()" => json(ty, "{}"),
        _ => now(&lower, ty, local).or_else(|| literal(text, ty)),
    };
    known.unwrap_or(DefaultKind::Expression)
}

/// MySQL writes some expressions in parentheses.
fn without_parentheses(text: &str) -> &str {
    let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    inner.filter(|inner| !inner.contains(['(', ')'])).unwrap_or(text)
}

fn today(ty: &MysqlType, clock: Clock) -> Option<DefaultKind> {
    (*ty == MysqlType::Date).then_some(DefaultKind::Today { clock })
}

/// The time. Where the column has fewer digits than the function, the servers round or cut; where
/// it has more, MySQL fills them with zeros and MariaDB with the time.
fn now(lower: &str, ty: &MysqlType, local: Clock) -> Option<DefaultKind> {
    let (name, digits) = match lower.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')')?),
        None => (lower, ""),
    };
    let fraction = if digits.is_empty() {
        0
    } else {
        digits.parse().ok()?
    };
    let (room, is_moment) = match ty {
        MysqlType::DateTime { fraction } => (*fraction, false),
        MysqlType::Timestamp { fraction } => (*fraction, true),
        _ => return None,
    };
    let clock = match name {
        "current_timestamp" | "now" | "localtimestamp" | "localtime" => local,
        "utc_timestamp" if !is_moment => Clock::Utc,
        _ => return None,
    };
    (fraction == room).then_some(DefaultKind::Now { fraction, clock })
}

/// A text that MySQL takes as an expression, because its column could have no plain default. What
/// the catalog shows of characters beyond ASCII is not what they are, and CHAR keeps no spaces at
/// its end.
fn literal(text: &str, ty: &MysqlType) -> Option<DefaultKind> {
    let content = unquoted(text).filter(|content| content.is_ascii() && !content.ends_with(' '))?;
    match ty {
        MysqlType::Varchar { .. } | MysqlType::Text { .. } => {
            Some(DefaultKind::Value(OwnedScalar::Text(content)))
        }
        _ => json(ty, &content),
    }
}

fn json(ty: &MysqlType, text: &str) -> Option<DefaultKind> {
    let is_json = matches!(ty, MysqlType::Json | MysqlType::JsonText { .. });
    is_json.then(|| DefaultKind::Value(OwnedScalar::Json(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use spanferry_core::schema::charset::Charset;

    #[track_caller]
    fn check(text: &str, ty: &MysqlType, expected: DefaultKind) {
        assert_eq!(kind(text, ty, Clock::Local), expected, "{text}");
    }

    #[test]
    fn times() {
        let now = |fraction, clock| DefaultKind::Now { fraction, clock };
        let local = |fraction| MysqlType::DateTime { fraction };
        let moment = |fraction| MysqlType::Timestamp { fraction };
        check("CURRENT_TIMESTAMP", &local(0), now(0, Clock::Local));
        check("CURRENT_TIMESTAMP(6)", &local(6), now(6, Clock::Local));
        check("current_timestamp()", &moment(0), now(0, Clock::Local));
        check("now(3)", &moment(3), now(3, Clock::Local));
        check("now()", &moment(3), DefaultKind::Expression);
        check("utc_timestamp()", &local(0), now(0, Clock::Utc));
        // The session's zone is applied to it.
        check("utc_timestamp()", &moment(0), DefaultKind::Expression);
        // It is rounded, or cut.
        check("now(6)", &local(3), DefaultKind::Expression);
        check("now(x)", &local(3), DefaultKind::Expression);
        check("now() + 1", &local(3), DefaultKind::Expression);
        check("(now() + interval 1 day)", &local(0), DefaultKind::Expression);
        check("now()", &MysqlType::Date, DefaultKind::Expression);
        let today = |clock| DefaultKind::Today { clock };
        check("curdate()", &MysqlType::Date, today(Clock::Local));
        check("utc_date()", &MysqlType::Date, today(Clock::Utc));
        check("curdate()", &local(0), DefaultKind::Expression);
        check(
            "curtime()",
            &MysqlType::Time { fraction: 0 },
            DefaultKind::Expression,
        );
    }

    #[test]
    fn identifiers_and_texts() {
        let text = MysqlType::Text {
            charset: Charset::Utf8mb4,
            collation: String::new(),
        };
        let is_text = |content: &str| DefaultKind::Value(OwnedScalar::Text(content.to_owned()));
        let is_json = |content: &str| DefaultKind::Value(OwnedScalar::Json(content.to_owned()));
        check("uuid()", &text, DefaultKind::Uuid(UuidForm::Text));
        check(
            "replace(uuid(),'-','')",
            &text,
            DefaultKind::Uuid(UuidForm::Digits),
        );
        check("uuid_to_bin(uuid())", &text, DefaultKind::Uuid(UuidForm::Bytes));
        check("uuid_to_bin(uuid(),true)", &text, DefaultKind::Expression);
        check("''", &text, is_text(""));
        check("('it''s')", &text, is_text("it's"));
        check("'ends '", &text, DefaultKind::Expression);
        check("'Ã©'", &text, DefaultKind::Expression);
        check("concat('a','b')", &text, DefaultKind::Expression);
        check("'a' + 'b'", &text, DefaultKind::Expression);
        check("5", &text, DefaultKind::Expression);
        check("'[1]'", &MysqlType::Json, is_json("[1]"));
        check("json_array()", &MysqlType::Json, is_json("[]"));
        check("json_object()", &MysqlType::Json, is_json("{}"));
        check("json_object('a',1)", &MysqlType::Json, DefaultKind::Expression);
        check("json_array()", &text, DefaultKind::Expression);
    }
}
