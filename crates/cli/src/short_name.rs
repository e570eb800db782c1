//! How tables are named in lists: by their names alone, and with the schema where the list has two
//! tables of one name.

use std::collections::BTreeMap;

use serde_json::Value;
use spanferry_core::schema::source::QualifiedName;

/// The names of these tables, in their order; no two are the same.
pub(crate) fn short_names<'a>(tables: impl IntoIterator<Item = &'a QualifiedName>) -> Vec<String> {
    let tables: Vec<&QualifiedName> = tables.into_iter().collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for table in &tables {
        *counts.entry(&table.table).or_default() += 1;
    }
    let short = |table: &&QualifiedName| match counts.get(table.table.as_str()) {
        Some(1) | None => table.table.clone(),
        Some(_) => table.to_string(),
    };
    tables.iter().map(short).collect()
}

/// The table that an item of a status is about; none for an item that no release has written. An
/// item of an earlier release has no schema: the schema is empty then.
pub(crate) fn table_of(item: &Value, name: &str) -> Option<QualifiedName> {
    let schema = item["schema"].as_str().unwrap_or_default();
    Some(QualifiedName::new(schema, item[name].as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_two_tables_have_is_told_with_its_schema() {
        let [one, other, last] =
            [("a", "t"), ("b", "t"), ("b", "u.v")].map(|(schema, table)| QualifiedName::new(schema, table));
        assert_eq!(short_names([&one, &last]), ["t", "u.v"]);
        assert_eq!(short_names([&one, &other, &last]), ["a.t", "b.t", "u.v"]);
    }
}
