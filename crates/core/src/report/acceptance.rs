//! Blocking findings that a person accepts by name.

use crate::report::code::Code;
use crate::report::finding::{Finding, Subject};
use crate::schema::source::{NameCase, QualifiedName};
use crate::schema::typed_name::{Meant, meant};

/// What a person has typed: `SF-1234[:[schema.]table[.column]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// The accepted code.
    pub code: Code,
    /// Restricts it to one table or one part of a table.
    pub object: Option<String>,
}

/// What it means at a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    code: Code,
    /// Every finding of the code if it is the whole.
    subject: Subject,
}

impl Acceptance {
    /// Reads what was typed. Which table it names is known once the source is read.
    pub fn parse(text: &str) -> Option<Acceptance> {
        let (code, object) = text
            .split_once(':')
            .map_or((text, None), |(code, object)| (code, Some(object)));
        Some(Acceptance {
            code: Code::parse(code)?,
            object: object.map(str::to_owned),
        })
    }

    /// What it accepts, given the tables that are known; nothing if it does not name one of them.
    /// A text that can be read in two ways is a table and its part, then a table.
    pub fn resolve(&self, known: &[&QualifiedName], names: NameCase) -> Option<Accepted> {
        let table = |text: &str| match meant(text, known.iter().copied(), names) {
            Meant::One(table) => Some(table),
            Meant::None | Meant::Several(_) => None,
        };
        let subject = match self.object.as_deref() {
            None => Some(Subject::Whole),
            Some(object) => {
                let splits = object
                    .match_indices('.')
                    .map(|(at, _)| (&object[..at], &object[at + 1..]));
                let mut parts = splits.filter_map(|(name, part)| Some(Subject::part(table(name)?, part)));
                parts.next().or_else(|| table(object).map(Subject::table))
            }
        };
        Some(Accepted {
            code: self.code,
            subject: subject?,
        })
    }
}

impl Accepted {
    /// Whether it covers a finding. Letter case does not count in the names of parts.
    pub fn covers(&self, finding: &Finding) -> bool {
        let is_part = |wanted: &str| {
            let found = finding.subject.part_name();
            found.is_some_and(|found| NameCase::Insensitive.same(found, wanted))
        };
        let is_meant = match &self.subject {
            Subject::Whole => true,
            Subject::Table(table) => finding.subject.source_table() == Some(table),
            Subject::Part { table, part } => finding.subject.source_table() == Some(table) && is_part(part),
            Subject::TargetTable(_) => false,
        };
        self.code == finding.code && is_meant
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::code;
    use crate::report::finding::Severity;

    /// Which of `a.t`, `b.t`, `b.only` and their column `C` an acceptance covers; none if it names
    /// no table.
    fn covered(text: &str, names: NameCase) -> Option<Vec<String>> {
        let tables = [("a", "t"), ("b", "t"), ("b", "only")];
        let tables = tables.map(|(schema, table)| QualifiedName::new(schema, table));
        let known: Vec<&QualifiedName> = tables.iter().collect();
        let text = format!("{}{text}", code::SOURCE_RETENTION);
        let accepted = Acceptance::parse(&text).unwrap().resolve(&known, names)?;
        let subjects = tables
            .iter()
            .flat_map(|table| [(table, None), (table, Some("C"))]);
        let finding = |code, subject| Finding::new(code, Severity::Blocking, subject, "found");
        let covered = subjects.filter(|(table, part)| {
            let subject = part.map_or_else(|| Subject::table(table), |part| Subject::part(table, part));
            assert!(!accepted.covers(&finding(code::SOURCE_SETTING, subject.clone())));
            accepted.covers(&finding(code::SOURCE_RETENTION, subject))
        });
        let told = |(table, part): (&QualifiedName, Option<&str>)| match part {
            None => table.to_string(),
            Some(part) => format!("{table}:{part}"),
        };
        Some(covered.map(told).collect())
    }

    #[test]
    fn an_acceptance_covers_the_table_that_it_names() {
        let check = |text: &str, names, expected: Option<&[&str]>| {
            let expected = expected.map(|all| all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
            assert_eq!(covered(text, names), expected, "{text}");
        };
        use NameCase::{Insensitive, Sensitive};
        let all = ["a.t", "a.t:C", "b.t", "b.t:C", "b.only", "b.only:C"];
        check("", Sensitive, Some(&all));
        check(":only", Sensitive, Some(&["b.only", "b.only:C"]));
        check(":b.only", Sensitive, Some(&["b.only", "b.only:C"]));
        check(":a.t", Sensitive, Some(&["a.t", "a.t:C"]));
        check(":b.t.c", Sensitive, Some(&["b.t:C"]));
        check(":only.c", Sensitive, Some(&["b.only:C"]));
        check(":B.T", Insensitive, Some(&["b.t", "b.t:C"]));
        check(":B.T", Sensitive, None);
        // It does not say which.
        check(":t", Sensitive, None);
        check(":t.c", Sensitive, None);
        check(":absent", Sensitive, None);
        assert_eq!(Acceptance::parse("SF-0000:t"), None);
    }
}
