//! Which tables are selected: globs on their names, and the message for one that matches none.

use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::report::remedy::Remedy;
use spanferry_core::schema::source::{Catalog, NameCase, QualifiedName};

use crate::settings::Settings;
use crate::suggestion::nearest;

impl Settings {
    /// Whether a table is selected at a source that compares names in this way.
    pub(crate) fn selects(&self, table: &str, names: NameCase) -> bool {
        let matches = |globs: &[String]| globs.iter().any(|glob| glob_matches(glob, table, names));
        (self.include.is_empty() || matches(&self.include)) && !matches(&self.exclude)
    }

    /// The globs that match no table of the source: a table may be mistyped and so be carried, or
    /// not carried, unnoticed.
    pub(crate) fn globs_without_table(&self, tables: &[&str], names: NameCase) -> Vec<Finding> {
        let options = [("--include", &self.include), ("--exclude", &self.exclude)];
        let globs = options
            .iter()
            .flat_map(|(option, globs)| globs.iter().map(move |glob| (option, glob)));
        globs
            .filter(|(_, glob)| !tables.iter().any(|table| glob_matches(glob, table, names)))
            .map(|(option, glob)| without_table(option, glob, tables))
            .collect()
    }
}

fn without_table(option: &str, glob: &str, tables: &[&str]) -> Finding {
    // A pattern may stand there for what is to come; a plain name is meant to be there.
    let severity = if glob.contains(['*', '?']) {
        Severity::Notice
    } else {
        Severity::Warning
    };
    let meant = nearest(glob, tables.iter().copied());
    let meant = meant.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
    let text = format!("`{option} {glob}` matches no table of the source{meant}");
    Finding::new(code::SELECTION_UNMATCHED, severity, Subject::whole(), text)
}

/// The commands, in their order, that take a table into a running migration again which the
/// selection had left out. A selection is remembered, so leaving `--exclude` out of a command
/// changes nothing. The first one needs `--exclude` for the tables that stay out.
pub(crate) fn select_again(table: &QualifiedName, options: &str) -> [String; 3] {
    [
        format!("spanferry migrate{options} --include '*' --stop-when caught-up"),
        Remedy::resync(table).printed(options),
        format!("spanferry migrate{options}"),
    ]
}

/// The failure of a selection that leaves no table of the schema, which has the catalog's.
pub(crate) fn nothing_selected(settings: &Settings, catalog: &Catalog) -> Failure {
    let tables: Vec<&str> = catalog
        .tables
        .iter()
        .map(|table| table.name.table.as_str())
        .collect();
    let schema = &catalog.schema;
    let failed = |text: &str| Failure::new(code::SOURCE_SCHEMA, Class::StopMigration, schema, text);
    if tables.is_empty() {
        return failed("it has no table that this account may see");
    }
    let unmatched = settings.globs_without_table(&tables, catalog.names);
    let told: Vec<&str> = unmatched.iter().map(|finding| finding.text.as_str()).collect();
    failed("no table of the schema is selected").hint(if told.is_empty() {
        "`--exclude` takes away all that is there or that `--include` selects.".to_owned()
    } else {
        told.join("; ")
    })
}

/// `*` stands for any run of characters, `?` for one; letter case counts as it does at the source.
fn glob_matches(glob: &str, name: &str, names: NameCase) -> bool {
    let characters = |text: &str| -> Vec<char> { names.normalise(text).chars().collect() };
    let (glob, name) = (characters(glob), characters(name));
    let (mut at, mut from, mut star) = (0, 0, None);
    while from < name.len() {
        if at < glob.len() && glob[at] == '*' {
            star = Some((at, from));
            at += 1;
        } else if at < glob.len() && (glob[at] == '?' || glob[at] == name[from]) {
            at += 1;
            from += 1;
        } else if let Some((star_at, star_from)) = star {
            star = Some((star_at, star_from + 1));
            at = star_at + 1;
            from = star_from + 1;
        } else {
            return false;
        }
    }
    glob[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names() {
        let check = |glob, name, expected| {
            let found = glob_matches(glob, name, NameCase::Sensitive);
            assert_eq!(found, expected, "{glob} {name}");
        };
        assert!(!glob_matches("Ord*", "orders", NameCase::Sensitive));
        assert!(glob_matches("Ord*", "orders", NameCase::Insensitive));
        check("orders", "orders", true);
        check("orders", "orders_old", false);
        check("*_old", "orders_old", true);
        check("*a*b?", "xxaxxbab1", true);
        check("*a*b?", "xxaxxbab", false);
        check("", "", true);
        check("?", "", false);
        check("**", "anything", true);
    }
}
