//! The default of a column as the catalog of its server gives it.

use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::schema::source_default::{DefaultKind, SourceDefault};

use super::surroundings::Surroundings;
use super::tree::{DefaultValue, TypeName};
use crate::mysql::expression::without_introducers;
use crate::mysql::shown_default::Shown;

/// The default; none if it is NULL.
///
/// What is printed can be less than the value, or depend on the session that prints it: then the
/// value is hidden, as it is in the catalog.
pub(super) fn resolved_default(
    default: &DefaultValue,
    name: &TypeName,
    ty: &MysqlType,
    around: &Surroundings<'_>,
) -> Option<SourceDefault> {
    let mariadb = around.mariadb;
    let (text, is_expression) = if mariadb {
        // The text tells which of both it is.
        (default.text.clone(), false)
    } else {
        mysql_text(default)
    };
    if is_expression && text == "NULL" {
        return None;
    }
    if !mariadb && text.starts_with("0x") {
        // Bytes that the server cannot print as text.
        return Some(SourceDefault {
            text,
            kind: DefaultKind::Hidden,
        });
    }
    let shown = Shown {
        ty,
        column_type: &format!("{}{}", name.name, name.arguments.as_deref().unwrap_or_default()),
        is_mariadb: mariadb,
        is_expression,
        clock: around.clock,
    };
    Some(shown.default(text))
}

/// MySQL: the value of a literal, or an expression without its parentheses; and which of both.
fn mysql_text(default: &DefaultValue) -> (String, bool) {
    if let Some(literal) = &default.literal {
        return (literal.clone(), false);
    }
    let text = &default.text;
    let inside = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    if let Some(inside) = inside {
        return (without_introducers(inside), true);
    }
    let is_value = text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '-' | '+' | '.'))
        || text.starts_with("b'");
    (text.clone(), !is_value)
}
