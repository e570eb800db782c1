//! Names of schemas and tables at the source, and how a source compares them.

use std::borrow::Cow;
use std::fmt;

/// Schema and table name of the source, as the server writes them.
///
/// Its text is `schema.table`. A `.` or `%` that belongs to a name is written `%2E` or `%25`, so
/// two names never have the same text. Control tables use that text as the table's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QualifiedName {
    /// Schema (MySQL: database).
    pub schema: String,
    /// Table.
    pub table: String,
}

impl QualifiedName {
    /// A name from its two parts.
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> QualifiedName {
        QualifiedName {
            schema: schema.into(),
            table: table.into(),
        }
    }

    /// Reads the text that `Display` writes; `None` for any other text.
    pub fn parse(text: &str) -> Option<QualifiedName> {
        let (schema, table) = text.split_once('.')?;
        let name = QualifiedName::new(unescaped(schema)?, unescaped(table)?);
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", escaped(&self.schema), escaped(&self.table))
    }
}

fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace('.', "%2E")
}

fn unescaped(text: &str) -> Option<String> {
    let is_escaped = text
        .split('%')
        .skip(1)
        .all(|rest| rest.starts_with("25") || rest.starts_with("2E"));
    is_escaped.then(|| text.replace("%2E", ".").replace("%25", "%"))
}

/// How a source compares names of schemas and tables: the one rule for every comparison with a name
/// that was not taken from its catalog, such as one that a person typed or a statement holds.
///
/// `lower_case_table_names` of MySQL-family servers. How names of columns are compared is a matter
/// of the family: [`TableFacts::part_names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameCase {
    /// As written: `Orders` and `orders` are two tables.
    #[default]
    Sensitive,
    /// Letter case does not count; the catalog spells names in lower case.
    Insensitive,
}

impl NameCase {
    /// Whether both are names of the same schema or table.
    pub fn same(self, left: &str, right: &str) -> bool {
        left == right || self.normalise(left) == self.normalise(right)
    }

    /// The name as the source's catalog spells it.
    pub fn normalise(self, name: &str) -> Cow<'_, str> {
        match self {
            NameCase::Sensitive => Cow::Borrowed(name),
            NameCase::Insensitive => Cow::Owned(name.chars().map(lower_case).collect()),
        }
    }
}

/// One character for one, as the servers do it: they have no letter whose lower case depends on its
/// place.
fn lower_case(character: char) -> char {
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        // A capital I with a dot, which alone of all becomes two characters.
        (first, _) => first.unwrap_or(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn letter_case_counts_as_the_server_counts_it() {
        let check = |left: &str, right: &str, insensitive: bool| {
            assert!(!NameCase::Sensitive.same(left, right), "{left} {right}");
            assert_eq!(
                NameCase::Insensitive.same(left, right),
                insensitive,
                "{left} {right}"
            );
        };
        check("Shop2", "shop2", true);
        check("ÄÖÜ", "äöü", true);
        check("ΣΑΣ", "σας", false);
        check("ΣΑΣ", "σασ", true);
        check("İ", "i", true);
        check("straße", "STRASSE", false);
        check("a", "b", false);
        assert!(NameCase::Sensitive.same("A", "A"));
        assert_eq!(NameCase::Sensitive.normalise("Shop2"), "Shop2");
        assert_eq!(NameCase::Insensitive.normalise("Shop2"), "shop2");
    }

    #[test]
    fn names_have_one_text() {
        let check = |schema: &str, table: &str, text: &str| {
            let name = QualifiedName::new(schema, table);
            assert_eq!(name.to_string(), text);
            assert_eq!(QualifiedName::parse(text), Some(name));
        };
        check("shop", "orders", "shop.orders");
        check("a.b", "c", "a%2Eb.c");
        check("a", "b.c", "a.b%2Ec");
        check("50%", "%2E", "50%25.%252E");
        for text in ["", "orders", "a.b.c", "a%.b", "a%2e.b", "a%20.b"] {
            assert_eq!(QualifiedName::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_name_parses_back(schema in "[a%.2E5é]{0,6}", table in "[a%.2E5é]{0,6}") {
            let name = QualifiedName::new(schema, table);
            prop_assert_eq!(QualifiedName::parse(&name.to_string()), Some(name));
        }
    }
}
