//! Names of tables as people type them: `table` or `schema.table`, compared as the source does.

use std::collections::BTreeSet;

use super::source::{NameCase, QualifiedName};

/// What a typed name means among the tables that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant<'a> {
    /// No table.
    None,
    /// This table.
    One(&'a QualifiedName),
    /// One of these: the name does not say which.
    Several(Vec<&'a QualifiedName>),
}

/// Whether a typed text is the name of a table, or its text with the schema.
pub fn is_name_of(typed: &str, table: &QualifiedName, names: NameCase) -> bool {
    names.same(typed, &table.table) || names.same(typed, &table.to_string())
}

/// The table that a typed text means. A table may be known twice.
pub fn meant<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a QualifiedName>,
    names: NameCase,
) -> Meant<'a> {
    let known = known.into_iter();
    let found: BTreeSet<&QualifiedName> = known.filter(|table| is_name_of(typed, table, names)).collect();
    let found: Vec<&QualifiedName> = found.into_iter().collect();
    match found[..] {
        [] => Meant::None,
        [table] => Meant::One(table),
        _ => Meant::Several(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_name_means_one_table_or_is_refused() {
        let tables = [("a", "t"), ("b", "t"), ("b", "Ü"), ("b", "a.t"), ("b", "only")];
        let tables = tables.map(|(schema, table)| QualifiedName::new(schema, table));
        let [one, other, umlaut, dotted, only] = &tables;
        let check = |typed: &str, names, expected: Meant<'_>| {
            let known = tables.iter().chain([only]);
            assert_eq!(meant(typed, known, names), expected, "{typed}");
        };
        use NameCase::{Insensitive, Sensitive};
        check("only", Sensitive, Meant::One(only));
        check("b.only", Sensitive, Meant::One(only));
        check("a.only", Sensitive, Meant::None);
        check("b.t", Sensitive, Meant::One(other));
        check("t", Sensitive, Meant::Several(vec![one, other]));
        check("a.t", Sensitive, Meant::Several(vec![one, dotted]));
        check("b.a%2Et", Sensitive, Meant::One(dotted));
        check("b.A%2eT", Insensitive, Meant::One(dotted));
        check("B.ü", Insensitive, Meant::One(umlaut));
        check("ü", Sensitive, Meant::None);
        check("b.", Sensitive, Meant::None);
        check("", Insensitive, Meant::None);
    }
}
