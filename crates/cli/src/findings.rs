//! Findings in lines for a person: the worst first, those with one meaning together, at most a
//! screenful unless all are wanted. `check`, the start of `migrate` and `status` print them so.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::finding_groups::{Group, Rank, groups, object, remedy, text};
use crate::render;
use crate::wrap::{folded, plain};

/// Objects that are named for one meaning; of what blocks all are named.
const OBJECTS_MAX: usize = 5;
/// Findings of one meaning that still stand by themselves, where their texts differ: a text may have
/// more than the meaning, such as the name at the target.
const SINGLE_MAX: usize = 3;
/// Remedies that are shown for one meaning, where they differ.
const REMEDIES_MAX: usize = 3;
/// Lines for findings on the smallest screen.
const ROWS_MIN: usize = 12;
/// Lines of a screen that are left to others: the closing line, and the shell's.
const ROWS_LEFT: usize = 3;
/// Lists every finding that `check` has.
pub(crate) const REST_OF_CHECK: &str = "spanferry check --verbose";
/// Lists every finding that `status` has.
pub(crate) const REST_OF_STATUS: &str = "spanferry status --verbose";
/// Kinds of losses that are counted for a person; the report has all.
const LOST_MAX: usize = 15;

/// How much may be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Every finding by itself.
    Whole,
    /// Groups, in so many columns and lines. What blocks is printed all the same.
    Screen {
        /// Columns.
        columns: usize,
        /// Lines.
        rows: usize,
    },
}

impl Room {
    /// A screenful, or everything.
    pub(crate) fn of(verbose: bool) -> Room {
        let (columns, rows) = render::terminal_size();
        if verbose {
            Room::Whole
        } else {
            Room::Screen { columns, rows }
        }
    }

    /// The same where so many lines were printed before.
    pub(crate) fn below(self, lines: usize) -> Room {
        match self {
            Room::Whole => self,
            Room::Screen { columns, rows } => Room::Screen {
                columns,
                rows: rows.saturating_sub(lines),
            },
        }
    }
}

/// The findings, and the number of those that are not among them. `more` were only counted; `rest`
/// is the command that lists all.
pub(crate) fn lines(findings: &[Value], more: u64, room: Room, rest: &str) -> Vec<String> {
    let groups = groups(findings);
    let (mut lines, hidden) = match room {
        Room::Whole => {
            let all = groups.iter().flat_map(|group| &group.members);
            (all.map(|finding| single(finding)).collect(), Vec::new())
        }
        Room::Screen { columns, rows } => {
            let rows = rows.saturating_sub(ROWS_LEFT).max(ROWS_MIN);
            fitting(&groups, columns, rows, rest)
        }
    };
    lines.extend(not_shown(&hidden, more, rest));
    lines
}

/// The texts of the groups that fit, and the groups that do not. The first that does not fit hides
/// all behind it, except what blocks, which is never hidden.
fn fitting<'a>(
    groups: &'a [Group<'a>],
    columns: usize,
    rows: usize,
    rest: &str,
) -> (Vec<String>, Vec<&'a Group<'a>>) {
    let (mut shown, mut used) = (Vec::new(), 0);
    for (place, group) in groups.iter().enumerate() {
        let text = together(group, rest);
        used += rows_of(&text, columns);
        if used > rows && group.rank != Rank::Blocking {
            return (shown, groups[place..].iter().collect());
        }
        shown.push(text);
    }
    (shown, Vec::new())
}

/// Lines that a terminal takes for a text. What can be pasted is not folded, so the terminal
/// breaks it.
fn rows_of(text: &str, columns: usize) -> usize {
    let text = folded(text, columns);
    let rows = text
        .lines()
        .map(|line| plain(line).chars().count().div_ceil(columns.max(1)));
    rows.map(|rows| rows.max(1)).sum()
}

/// How many findings are not shown, by their severity.
fn not_shown(hidden: &[&Group<'_>], more: u64, rest: &str) -> Option<String> {
    let mut counts: BTreeMap<Rank, usize> = BTreeMap::new();
    for group in hidden {
        *counts.entry(group.rank).or_default() += group.members.len();
    }
    let kind = |(rank, count): (&Rank, &usize)| match rank {
        Rank::Blocking => render::counted(*count, "blocking finding"),
        Rank::Loss if *count > 1 => format!("{} losses", render::count(*count as u64)),
        Rank::Loss => "1 loss".to_owned(),
        Rank::Warning => render::counted(*count, "other warning"),
        Rank::Notice => render::counted(*count, "notice"),
    };
    let mut parts = Vec::new();
    if !counts.is_empty() {
        let kinds: Vec<String> = counts.iter().map(kind).collect();
        parts.push(format!("not shown: {}; `{rest}` lists all", kinds.join(", ")));
    }
    if more > 0 {
        let more = render::counted(usize::try_from(more).unwrap_or(usize::MAX), "finding");
        parts.push(format!("{more} beyond these were only counted"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// A finding by itself.
fn single(finding: &Value) -> String {
    let head = render::finding_head(text(&finding["severity"]), text(&finding["code"]));
    let place = match object(finding) {
        object if object.is_empty() => object,
        object => format!("`{object}`: "),
    };
    let fix = remedy(finding).map_or_else(String::new, |(kind, text)| render::fix(kind, text));
    format!("{head}{place}{}{fix}", text(&finding["text"]))
}

/// The findings of a group as one, or a few with texts of their own one by one.
fn together(group: &Group<'_>, rest: &str) -> String {
    let common = group.common_text();
    let are_few = group.members.len() == 1 || (common.is_none() && group.members.len() <= SINGLE_MAX);
    if are_few {
        let members: Vec<String> = group.members.iter().map(|finding| single(finding)).collect();
        return members.join("\n");
    }
    let severity = group.members.first().map(|finding| text(&finding["severity"]));
    let head = render::finding_head(severity.unwrap_or_default(), group.code);
    let what = common.unwrap_or(group.meaning);
    format!("{head}{what} ({}){}", places(group), fixes(group, rest))
}

/// How often, in how many tables, and the names of some.
fn places(group: &Group<'_>) -> String {
    let (times, tables) = (group.members.len(), group.tables());
    let in_tables = render::counted(tables, "table");
    let how_often = match tables {
        0 => format!("{} times", render::count(times as u64)),
        tables if tables == times => in_tables,
        _ => format!("{} times in {in_tables}", render::count(times as u64)),
    };
    let objects = group.objects();
    let most = match group.rank {
        Rank::Blocking => usize::MAX,
        Rank::Loss | Rank::Warning | Rank::Notice => OBJECTS_MAX,
    };
    let named: Vec<String> = objects
        .iter()
        .take(most)
        .map(|object| format!("`{object}`"))
        .collect();
    let more = if objects.len() > most { ", …" } else { "" };
    if named.is_empty() {
        return how_often;
    }
    format!("{how_often}: {}{more}", named.join(", "))
}

/// The remedies, each once; of many some.
fn fixes(group: &Group<'_>, rest: &str) -> String {
    let remedies = group.remedies();
    let shown = remedies.iter().take(REMEDIES_MAX);
    let mut text: String = shown.map(|(kind, text)| render::fix(kind, text)).collect();
    let more = remedies.len().saturating_sub(REMEDIES_MAX);
    if more > 0 {
        text += &format!("\n  {} more such lines: `{rest}`", render::count(more as u64));
    }
    text
}

/// What the target lacks, counted by kind, for the end of a run.
pub(crate) fn lost(kinds: &Value, report: &str) -> Vec<String> {
    let kinds = kinds.as_array().map(Vec::as_slice).unwrap_or_default();
    let count = |kind: &Value| kind["count"].as_u64().unwrap_or(0);
    if kinds.is_empty() {
        return Vec::new();
    }
    let all: u64 = kinds.iter().map(count).sum();
    let mut lines = vec![format!(
        "what the target lacks ({}, each in `{report}`):",
        render::counted(usize::try_from(all).unwrap_or(usize::MAX), "finding")
    )];
    let line = |kind: &Value| {
        let (count, code, meaning) = (
            render::count(count(kind)),
            text(&kind["code"]),
            text(&kind["meaning"]),
        );
        format!("  {count:>7}  {code}  {meaning}")
    };
    lines.extend(kinds.iter().take(LOST_MAX).map(line));
    let more = kinds.len().saturating_sub(LOST_MAX);
    if more > 0 {
        let rest: u64 = kinds.iter().skip(LOST_MAX).map(count).sum();
        lines.push(format!(
            "  {:>7}  of {}",
            render::count(rest),
            render::counted(more, "further kind")
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use spanferry_core::report::code;
    use spanferry_core::report::finding::{Finding, Severity, Subject};
    use spanferry_core::report::remedy::Remedy;
    use spanferry_core::schema::source::QualifiedName;

    use super::*;
    use crate::finding_groups::tests::finding as any_finding;
    use crate::json;

    const REST: &str = REST_OF_CHECK;
    const SCREEN: Room = Room::Screen {
        columns: 110,
        rows: 40,
    };

    fn as_json(findings: &[Finding]) -> Vec<Value> {
        findings
            .iter()
            .map(|finding| json::finding(finding, ""))
            .collect()
    }

    fn check(findings: &[Finding], more: u64, expected: &[String]) {
        assert_eq!(lines(&as_json(findings), more, SCREEN, REST), expected);
    }

    fn part(table: &str, part: &str) -> Subject {
        Subject::part(&QualifiedName::new("shop", table), part)
    }

    #[test]
    fn a_finding_by_itself_is_told_in_one_way() {
        let finding = |severity, table, name| {
            Finding::new(
                code::SOURCE_TABLE_UNSUPPORTED,
                severity,
                part(table, name),
                "the text",
            )
        };
        let statement = finding(Severity::Warning, "t", "b").remedy(Remedy::source("ALTER TABLE t"));
        let blocking =
            finding(Severity::Blocking, "u", "a").remedy(Remedy::resync(&QualifiedName::new("shop", "u")));
        let notice = finding(Severity::Notice, "t", "a");
        let all = [notice.clone(), statement.clone(), blocking.clone()];
        let mut told = [&blocking, &statement, &notice]
            .map(|finding| render::finding(finding, ""))
            .to_vec();
        assert_eq!(lines(&as_json(&all), 0, Room::Whole, REST), told);
        assert!(
            told[0].ends_with("\n  when `migrate` has stopped, fix: spanferry resync u"),
            "{}",
            told[0]
        );
        assert!(told[1].ends_with("\n  fix: ALTER TABLE t;"), "{}", told[1]);
        told.push("2 findings beyond these were only counted".to_owned());
        check(&all, 2, &told);
    }

    #[test]
    fn a_few_with_texts_of_their_own_stand_by_themselves() {
        let renamed = |table: &str| {
            let subject = Subject::table(&QualifiedName::new("shop", table));
            let text = format!("it is named `x_{table}` at the target");
            let finding = Finding::new(code::CONVERTED, Severity::Warning, subject, text);
            finding.meaning_of("it has another name at the target")
        };
        let few = ["a", "b", "c"].map(renamed);
        check(
            &few,
            0,
            &[few.each_ref().map(|one| render::finding(one, "")).join("\n")],
        );
        let many = ["a", "b", "c", "d"].map(renamed);
        let head = render::finding_head("warning", "SF-4005");
        let text = "it has another name at the target (4 tables: `a`, `b`, `c`, `d`)";
        check(&many, 0, &[format!("{head}{text}")]);
    }

    #[test]
    fn findings_with_one_meaning_stand_together() {
        let left_out = |subject, text: &str| Finding::new(code::LEFT_OUT, Severity::Warning, subject, text);
        let table = |number: usize| format!("t{number}");
        let mut all: Vec<Finding> = (1..=9)
            .map(|number| left_out(part(&table(number), "id"), "AUTO_INCREMENT is not created"))
            .collect();
        all.extend((1..=4).map(|number| {
            let text = format!("the check `c > {number}` is not created");
            left_out(part("t1", &format!("c{number}")), &text).meaning_of("a check is not created")
        }));
        all.push(left_out(part("t1", "d"), "the trigger is not created"));
        all.push(Finding::new(
            code::LOG_BUDGET,
            Severity::Warning,
            Subject::whole(),
            "it is nearly full",
        ));
        let no_key = |number: usize| {
            let subject = Subject::table(&QualifiedName::new("shop", table(number)));
            let finding = Finding::new(
                code::SOURCE_TABLE_UNSUPPORTED,
                Severity::Blocking,
                subject,
                "there is no key",
            );
            finding.remedy(Remedy::source(format!("ALTER TABLE t{number}")))
        };
        all.extend((1..=7).map(no_key));
        let warning = "\u{1b}[33mwarning[SF-4004]\u{1b}[0m: ";
        let fixes = "\n  fix: ALTER TABLE t1;\n  fix: ALTER TABLE t2;\n  fix: ALTER TABLE t3;";
        check(
            &all,
            0,
            &[
                format!(
                    "\u{1b}[1;31mblocking[SF-2007]\u{1b}[0m: there is no key (7 tables: `t1`, `t2`, `t3`, `t4`, `t5`, `t6`, `t7`){fixes}\n  \
                     4 more such lines: `{REST}`"
                ),
                format!(
                    "{warning}AUTO_INCREMENT is not created (9 tables: `t1.id`, `t2.id`, `t3.id`, `t4.id`, `t5.id`, …)"
                ),
                format!(
                    "{warning}a check is not created (4 times in 1 table: `t1.c1`, `t1.c2`, `t1.c3`, `t1.c4`)"
                ),
                format!("{warning}`t1.d`: the trigger is not created"),
                "\u{1b}[33mwarning[SF-6002]\u{1b}[0m: it is nearly full".to_owned(),
            ],
        );
    }

    #[test]
    fn what_is_lost_is_counted_by_kind() {
        let kinds: Vec<Value> = (0..LOST_MAX + 2)
            .map(|number| json!({"code": "SF-4004", "meaning": format!("kind {number}"), "count": 1_000}))
            .collect();
        let told = lost(&json!(kinds), "report.json");
        assert_eq!(told.len(), LOST_MAX + 2);
        assert_eq!(
            told[0],
            "what the target lacks (17,000 findings, each in `report.json`):"
        );
        assert_eq!(told[1], "    1,000  SF-4004  kind 0");
        assert_eq!(told[LOST_MAX + 1], "    2,000  of 2 further kinds");
        assert!(lost(&json!([]), "report.json").is_empty());
    }

    proptest! {
        #[test]
        fn a_screenful_hides_nothing_that_blocks_and_counts_the_rest(
            all in prop::collection::vec(any_finding(), 0..200),
            columns in 40_usize..120,
            rows in 1_usize..40,
        ) {
            let groups = groups(&all);
            let (shown, hidden) = fitting(&groups, columns, rows, REST);
            let (kept, dropped) = groups.split_at(shown.len());
            prop_assert_eq!(dropped.len(), hidden.len());
            let told = |groups: &[Group<'_>]| groups.iter().map(|group| group.members.len()).sum::<usize>();
            prop_assert_eq!(told(kept) + told(dropped), all.len());
            prop_assert!(hidden.iter().all(|group| group.rank != Rank::Blocking));
            let text = shown.join("\n");
            for group in groups.iter().filter(|group| group.rank == Rank::Blocking) {
                for object in group.objects() {
                    let quoted = format!("`{object}`");
                    prop_assert!(text.contains(&quoted));
                }
            }
            let others: Vec<&str> = shown.iter().zip(&groups)
                .filter(|(_, group)| group.rank != Rank::Blocking)
                .map(|(text, _)| text.as_str())
                .collect();
            prop_assert!(folded(&others.join("\n"), columns).lines().count() <= rows);
        }
    }
}
