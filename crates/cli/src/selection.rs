//! Which tables are selected: globs on their names, and the message for one that matches none.

use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::report::remedy::Remedy;
use spanferry_core::schema::source::{Catalog, NameCase, QualifiedName};
use spanferry_core::schema::typed_name::{Meant, meant};
use spanferry_engine::plan::Survey;

use crate::settings::Settings;
use crate::suggestion::nearest;
use crate::usage_failure::usage;

impl Settings {
    /// Whether a table is selected at a source that compares names in this way.
    pub(crate) fn selects(&self, table: &QualifiedName, names: NameCase) -> bool {
        let matches = |globs: &[String]| globs.iter().any(|glob| selects(glob, table, names));
        (self.include.is_empty() || matches(&self.include)) && !matches(&self.exclude)
    }

    /// The globs that match no table of the source: a table may be mistyped and so be carried, or
    /// not carried, unnoticed.
    pub(crate) fn globs_without_table(&self, tables: &[QualifiedName], names: NameCase) -> Vec<Finding> {
        self.globs()
            .filter(|(_, glob)| !tables.iter().any(|table| selects(glob, table, names)))
            .map(|(option, glob)| without_table(option, glob, tables))
            .collect()
    }

    /// A text such as `a.b` may be the name of a table and, of another, the name with its schema.
    pub(crate) fn expect_one_meaning(
        &self,
        tables: &[QualifiedName],
        names: NameCase,
    ) -> Result<(), Failure> {
        let mut typed = self
            .globs()
            .filter(|(_, glob)| !is_pattern(glob) && glob.contains('.'));
        let unclear = typed.find_map(|(option, name)| match meant(name, tables, names) {
            Meant::Several(found) => Some(several(&format!("{option} {name}"), &found)),
            Meant::None | Meant::One(_) => None,
        });
        unclear.map_or(Ok(()), Err)
    }

    /// The globs, each with its option.
    fn globs(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let include = self.include.iter().map(|glob| ("--include", glob));
        include.chain(self.exclude.iter().map(|glob| ("--exclude", glob)))
    }
}

/// The failure of a typed name that means one of several tables.
pub(crate) fn several(typed: &str, tables: &[&QualifiedName]) -> Failure {
    let texts: Vec<String> = tables.iter().map(|table| format!("`{table}`")).collect();
    usage(typed, format!("it can mean {}", texts.join(" or ")))
        .hint("Give the table's name alone or, if that means several tables too, one of these texts.")
}

/// The findings that are accepted of tables that are not there.
pub(crate) fn accepted_nothing(survey: &Survey) -> Vec<Finding> {
    let unmatched = survey.accepted_nothing.iter();
    let found = unmatched.map(|acceptance| {
        let object = acceptance.object.as_deref().unwrap_or_default();
        let text = format!(
            "`--accept {}:{object}` names no single table of the source{}",
            acceptance.code,
            did_you_mean(object, &survey.tables)
        );
        Finding::new(
            code::SELECTION_UNMATCHED,
            Severity::Warning,
            Subject::whole(),
            text,
        )
    });
    found.collect()
}

fn is_pattern(glob: &str) -> bool {
    glob.contains(['*', '?'])
}

/// The nearest name, with its schema if one was typed.
pub(crate) fn nearest_table(typed: &str, tables: &[QualifiedName]) -> Option<String> {
    let texts = tables.iter().map(ToString::to_string);
    let texts: Vec<String> = texts.filter(|_| typed.contains('.')).collect();
    let names = tables.iter().map(|table| table.table.as_str());
    nearest(typed, names.chain(texts.iter().map(String::as_str))).map(str::to_owned)
}

fn did_you_mean(typed: &str, tables: &[QualifiedName]) -> String {
    let meant = nearest_table(typed, tables);
    meant.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

fn without_table(option: &str, glob: &str, tables: &[QualifiedName]) -> Finding {
    // A pattern may stand there for what is to come; a plain name is meant to be there.
    let severity = if is_pattern(glob) {
        Severity::Notice
    } else {
        Severity::Warning
    };
    let meant = did_you_mean(glob, tables);
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
    let tables = catalog.tables.iter().map(|table| table.name.clone());
    let tables: Vec<QualifiedName> = tables.collect();
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

/// Whether a glob selects a table: it matches the name, or it is the text `schema.glob` with the
/// table's schema and matches the name as that text spells it. The schema is no glob.
fn selects(glob: &str, table: &QualifiedName, names: NameCase) -> bool {
    let text = table.to_string();
    let with_schema = glob.split_once('.').zip(text.split_once('.'));
    let is_whole = |((schema, glob), (own, name)): ((&str, &str), (&str, &str))| {
        names.same(schema, own) && glob_matches(glob, name, names)
    };
    glob_matches(glob, &table.table, names) || with_schema.is_some_and(is_whole)
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
    use clap::{Args as _, FromArgMatches as _};

    use super::*;
    use crate::args::Common;

    #[test]
    fn a_glob_may_begin_with_the_schema() {
        let check = |glob, schema, table, names, expected| {
            let table = QualifiedName::new(schema, table);
            assert_eq!(selects(glob, &table, names), expected, "{glob} {table}");
        };
        use NameCase::{Insensitive, Sensitive};
        check("t", "a", "t", Sensitive, true);
        check("a.t", "a", "t", Sensitive, true);
        check("a.t", "b", "t", Sensitive, false);
        check("a.*", "a", "t", Sensitive, true);
        check("a.*", "b", "t", Sensitive, false);
        check("A.T*", "a", "tt", Insensitive, true);
        check("A.T*", "a", "tt", Sensitive, false);
        check("a*", "a", "t", Sensitive, false);
        check("*.t", "a", "t", Sensitive, false);
        check("a.t", "b", "a.t", Sensitive, true);
        check("a%2Eb.t", "a.b", "t", Sensitive, true);
    }

    fn settings(arguments: &[&str]) -> Settings {
        let line = Common::augment_args(clap::Command::new("spanferry"));
        let matches = line.get_matches_from(["spanferry"].iter().chain(arguments));
        Settings::load(&Common::from_arg_matches(&matches).unwrap()).unwrap()
    }

    #[test]
    fn a_name_that_means_two_tables_is_refused() {
        let tables = ["orders", "shop.orders", "lines"].map(|table| QualifiedName::new("shop", table));
        let check = |glob: &str, expected: Option<&str>| {
            let settings = settings(&["--exclude", glob]);
            let found = settings.expect_one_meaning(&tables, NameCase::Insensitive).err();
            assert_eq!(
                found.map(|failure| failure.message).as_deref(),
                expected,
                "{glob}"
            );
        };
        check("orders", None);
        check("shop.lines", None);
        check("shop.*", None);
        check("shop.shop%2Eorders", None);
        let expected = "it can mean `shop.orders` or `shop.shop%2Eorders`";
        check("Shop.Orders", Some(expected));
    }

    #[test]
    fn a_name_without_a_table_is_told_with_the_nearest_one() {
        let tables = ["orders", "lines"].map(|table| QualifiedName::new("shop", table));
        let settings = settings(&[
            "--include",
            "shop.order",
            "--exclude",
            "shop.lines",
            "--exclude",
            "lynes",
        ]);
        let found = settings.globs_without_table(&tables, NameCase::Sensitive);
        let texts: Vec<&str> = found.iter().map(|finding| finding.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "`--include shop.order` matches no table of the source; did you mean `shop.orders`?",
                "`--exclude lynes` matches no table of the source; did you mean `lines`?",
            ]
        );
    }

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
