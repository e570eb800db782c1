//! Which names the target takes, by dialect and kind of object: measured on the emulator
//! (`crates/spanner/tests/names.rs`).

use crate::schema::target::Dialect;

/// What is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A table.
    Table,
    /// A column.
    Column,
    /// A secondary index.
    Index,
    /// A foreign key.
    ForeignKey,
}

/// What a name begins with that may not be as it is.
const ESCAPE: &str = "x_";
/// How names of the control tables begin, in lower case. A table of the source with such a name is
/// refused; an index or a foreign key gets another name.
pub(crate) const CONTROL_PREFIX: &str = "spanferry_";
/// Names of schemas that the server keeps by itself: a table of the same name would be read as one
/// of these.
const SCHEMAS: [&str; 2] = ["information_schema", "spanner_sys"];

/// Longest name, in bytes. The PostgreSQL dialect cuts what is longer, and says nothing.
pub(crate) fn bytes_max(dialect: Dialect) -> usize {
    match dialect {
        Dialect::GoogleSql => 128,
        Dialect::PostgreSql => 63,
    }
}

/// The legal name that is nearest to a wanted one: letters, digits and underscores, a letter first,
/// nothing that is reserved, and no longer than the dialect takes. All of it is ASCII, so
/// characters are bytes.
pub(crate) fn legal_name(wanted: &str, kind: NameKind, dialect: Dialect) -> String {
    let letter = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '_'
        }
    };
    let mut name: String = wanted.chars().map(letter).collect();
    let begins_with_letter = name.starts_with(|first: char| first.is_ascii_alphabetic());
    if !begins_with_letter || is_reserved(&name.to_ascii_lowercase(), kind, dialect) {
        name.insert_str(0, ESCAPE);
    }
    name.truncate(bytes_max(dialect));
    name
}

/// Whether a name, in lower case, is kept for the target itself or for the control tables.
fn is_reserved(name: &str, kind: NameKind, dialect: Dialect) -> bool {
    match kind {
        NameKind::Table => {
            SCHEMAS.contains(&name) || (dialect == Dialect::PostgreSql && name.starts_with("pg_"))
        }
        NameKind::Column => false,
        NameKind::Index => name == "primary_key" || name.starts_with(CONTROL_PREFIX),
        NameKind::ForeignKey => ["pk_", "ck_is_not_null_", CONTROL_PREFIX]
            .iter()
            .any(|prefix| name.starts_with(prefix)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_by_dialect_and_kind() {
        use Dialect::{GoogleSql, PostgreSql};
        use NameKind::{Column, ForeignKey, Index, Table};
        let check = |wanted: &str, kind, dialect, expected: &str| {
            assert_eq!(
                legal_name(wanted, kind, dialect),
                expected,
                "{wanted} {kind:?} {dialect}"
            );
        };
        check("order", Table, GoogleSql, "order");
        check("order-line", Table, PostgreSql, "order_line");
        check("2fast", Column, GoogleSql, "x_2fast");
        check("_id", Column, PostgreSql, "x__id");
        check("größe", Column, GoogleSql, "gr__e");
        check("", Table, GoogleSql, "x_");
        check("pg_stat", Table, PostgreSql, "x_pg_stat");
        check("PG_stat", Table, PostgreSql, "x_PG_stat");
        check("pg_stat", Table, GoogleSql, "pg_stat");
        check("pg_stat", Column, PostgreSql, "pg_stat");
        check("pg-stat", Table, PostgreSql, "x_pg_stat");
        check("Information_Schema", Table, GoogleSql, "x_Information_Schema");
        check("primary_key", Index, GoogleSql, "x_primary_key");
        check("primary_key", Table, GoogleSql, "primary_key");
        check("PK_order", ForeignKey, PostgreSql, "x_PK_order");
        check("Spanferry_x", Index, GoogleSql, "x_Spanferry_x");
        check("spanferry_x", ForeignKey, PostgreSql, "x_spanferry_x");
        check("spanferry_x", Table, GoogleSql, "spanferry_x");
        check("pk_order", Index, PostgreSql, "pk_order");
        check(&"a".repeat(64), Table, PostgreSql, &"a".repeat(63));
        check(&"a".repeat(64), Table, GoogleSql, &"a".repeat(64));
        check(&"a".repeat(200), Index, GoogleSql, &"a".repeat(128));
        check(
            &format!("pg_{}", "a".repeat(61)),
            Table,
            PostgreSql,
            &format!("x_pg_{}", "a".repeat(58)),
        );
    }
}
