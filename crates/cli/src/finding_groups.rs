//! Findings of one code and one meaning together: a pure function over their documented JSON. It
//! leaves nothing out and prints nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// What a finding asks of its reader; the first are read first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// The migration does not start.
    Blocking,
    /// The target lacks something that the source has.
    Loss,
    /// Something else is to be known or done.
    Warning,
    /// Nothing is to be done.
    Notice,
}

/// Findings of one rank, code and meaning, by their objects.
#[derive(Debug, Clone)]
pub(crate) struct Group<'a> {
    pub(crate) rank: Rank,
    pub(crate) code: &'a str,
    pub(crate) meaning: &'a str,
    pub(crate) members: Vec<&'a Value>,
}

/// All findings in groups: by rank and code, the largest group of a code first, then in the order
/// in which they were found.
pub(crate) fn groups(findings: &[Value]) -> Vec<Group<'_>> {
    let mut places: BTreeMap<(Rank, &str, &str), usize> = BTreeMap::new();
    let mut groups: Vec<Group<'_>> = Vec::new();
    for finding in findings {
        let (rank, code, meaning) = (rank(finding), text(&finding["code"]), meaning(finding));
        let place = places.entry((rank, code, meaning)).or_insert_with(|| {
            groups.push(Group {
                rank,
                code,
                meaning,
                members: Vec::new(),
            });
            groups.len() - 1
        });
        groups[*place].members.push(finding);
    }
    for group in &mut groups {
        group.members.sort_by_key(|finding| object(finding));
    }
    groups.sort_by_key(|group| (group.rank, group.code, Reverse(group.members.len())));
    groups
}

/// What the target lacks, by kind and how often, for programs.
pub(crate) fn lost(findings: &[Value]) -> Value {
    let groups = groups(findings).into_iter();
    groups
        .filter(|group| group.rank == Rank::Loss)
        .map(|group| json!({"code": group.code, "meaning": group.meaning, "count": group.members.len()}))
        .collect()
}

impl Group<'_> {
    /// The text that all members have, if it is one.
    pub(crate) fn common_text(&self) -> Option<&str> {
        let first = self.members.first().map(|finding| text(&finding["text"]))?;
        let mut texts = self.members.iter().map(|finding| text(&finding["text"]));
        texts.all(|text| text == first).then_some(first)
    }

    /// Names of the members' objects; a member about no object has none.
    pub(crate) fn objects(&self) -> Vec<String> {
        let names = self.members.iter().map(|finding| object(finding));
        names.filter(|name| !name.is_empty()).collect()
    }

    /// How many tables the members are about.
    pub(crate) fn tables(&self) -> usize {
        let tables = self.members.iter().map(|finding| {
            let (schema, table) = (finding["schema"].as_str(), finding["table"].as_str());
            table.map(|table| (schema, table))
        });
        tables.flatten().collect::<BTreeSet<_>>().len()
    }

    /// The remedies, each once, with the word for their kind.
    pub(crate) fn remedies(&self) -> Vec<(&str, &str)> {
        let remedies = self.members.iter().filter_map(|finding| remedy(finding));
        let mut seen = BTreeSet::new();
        remedies.filter(|remedy| seen.insert(*remedy)).collect()
    }
}

/// The kind of a finding's remedy and its text.
pub(crate) fn remedy(finding: &Value) -> Option<(&str, &str)> {
    let remedy = finding["remedy"].as_str()?;
    Some((text(&finding["remedy_kind"]), remedy))
}

/// The table, and the part of it.
pub(crate) fn object(finding: &Value) -> String {
    let parts = [&finding["table"], &finding["part"]];
    let known: Vec<&str> = parts.iter().filter_map(|part| part.as_str()).collect();
    known.join(".")
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A finding that an earlier release wrote has no meaning but its text.
fn meaning(finding: &Value) -> &str {
    finding["meaning"].as_str().unwrap_or(text(&finding["text"]))
}

fn rank(finding: &Value) -> Rank {
    match finding["severity"].as_str() {
        Some("notice") => Rank::Notice,
        Some("warning") if finding["loss"] == true => Rank::Loss,
        Some("warning") => Rank::Warning,
        Some(_) | None => Rank::Blocking,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A finding of few codes, meanings and tables, so that many are alike.
    pub(crate) fn finding() -> impl Strategy<Value = Value> {
        let severity = prop::sample::select(vec!["notice", "warning", "blocking"]);
        let of_object = (0..4_u8, prop::option::of(0..6_u8), prop::option::of(0..3_u8));
        (severity, any::<bool>(), 0..3_u8, of_object).prop_map(
            |(severity, loss, code, (text, table, part))| {
                let table = table.map(|table| format!("t{table}"));
                let part = part.filter(|_| table.is_some()).map(|part| format!("c{part}"));
                let meaning = format!("meaning {}", text / 2);
                json!({"severity": severity, "loss": loss, "code": format!("SF-400{code}"), "text": format!("text {text}"),
                    "meaning": meaning, "schema": table.as_ref().map(|_| "shop"), "table": table, "part": part,
                    "remedy": part, "remedy_kind": part.as_ref().map(|_| "words")})
            },
        )
    }

    proptest! {
        #[test]
        fn no_finding_is_lost_by_grouping(all in prop::collection::vec(finding(), 0..60)) {
            let groups = groups(&all);
            let mut members: Vec<String> = Vec::new();
            for group in &groups {
                prop_assert!(!group.members.is_empty());
                for member in &group.members {
                    prop_assert_eq!(rank(member), group.rank);
                    prop_assert_eq!(text(&member["code"]), group.code);
                    prop_assert_eq!(meaning(member), group.meaning);
                    members.push(member.to_string());
                }
            }
            let mut expected: Vec<String> = all.iter().map(ToString::to_string).collect();
            members.sort();
            expected.sort();
            prop_assert_eq!(members, expected);
            prop_assert!(groups.is_sorted_by_key(|group| (group.rank, group.code)));
            let counted = lost(&all);
            let counted = counted.as_array().into_iter().flatten();
            let counted: u64 = counted.filter_map(|kind| kind["count"].as_u64()).sum();
            let losses = all.iter().filter(|finding| rank(finding) == Rank::Loss).count();
            prop_assert_eq!(counted, losses as u64);
        }
    }
}
