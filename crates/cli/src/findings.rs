//! The findings of a status in lines for a person: the worst first, those with one text together.

use serde_json::Value;

use crate::render;

/// Texts that are shown; JSON has all findings.
const TEXTS_MAX: usize = 20;
/// Objects that are named for one text.
const OBJECTS_MAX: usize = 5;

/// Findings of one severity, code, text and remedy.
struct Same<'a> {
    first: &'a Value,
    objects: Vec<String>,
}

/// The findings that ask for something, and the number of the others.
pub(crate) fn lines(status: &Value) -> Vec<String> {
    let all = status["findings"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut asking: Vec<&Value> = all
        .iter()
        .filter(|finding| finding["severity"] != "notice")
        .collect();
    asking.sort_by_key(|finding| {
        (
            finding["severity"] != "blocking",
            object(finding),
            text(&finding["code"]),
        )
    });
    let texts = together(&asking);
    let shown = &texts[..texts.len().min(TEXTS_MAX)];
    let mut lines: Vec<String> = shown.iter().map(line).collect();
    let told: usize = shown.iter().map(|same| same.objects.len()).sum();
    let more = (all.len() - told) as u64 + status["findings_more"].as_u64().unwrap_or(0);
    if more > 0 {
        let more = render::counted(usize::try_from(more).unwrap_or(usize::MAX), "more finding");
        lines.push(format!("{more}: `spanferry status --output json`"));
    }
    lines
}

fn together<'a>(findings: &[&'a Value]) -> Vec<Same<'a>> {
    const SAME: [&str; 4] = ["severity", "code", "text", "remedy"];
    let mut texts: Vec<Same<'a>> = Vec::new();
    for finding in findings {
        let is_same = |known: &&mut Same<'_>| SAME.iter().all(|name| known.first[*name] == finding[*name]);
        match texts.iter_mut().find(is_same) {
            Some(known) => known.objects.push(object(finding)),
            None => texts.push(Same {
                first: finding,
                objects: vec![object(finding)],
            }),
        }
    }
    texts
}

fn line(same: &Same<'_>) -> String {
    let finding = same.first;
    let head = render::finding_head(text(&finding["severity"]), text(&finding["code"]));
    let named: Vec<String> = same
        .objects
        .iter()
        .filter(|object| !object.is_empty())
        .take(OBJECTS_MAX)
        .map(|object| format!("`{object}`"))
        .collect();
    let more = match same.objects.len().saturating_sub(OBJECTS_MAX) {
        0 => String::new(),
        more => format!(" and {} more", render::count(more as u64)),
    };
    let place = if named.is_empty() {
        String::new()
    } else {
        format!("{}{more}: ", named.join(", "))
    };
    let remedy = finding["remedy"].as_str();
    let fix = remedy.map_or_else(String::new, |remedy| {
        render::fix(text(&finding["remedy_kind"]), remedy)
    });
    format!("{head}{place}{}{fix}", text(&finding["text"]))
}

/// The table, and the part of it.
fn object(finding: &Value) -> String {
    let parts = [&finding["table"], &finding["part"]];
    let known: Vec<&str> = parts.iter().filter_map(|part| part.as_str()).collect();
    known.join(".")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use serde_json::json;
    use spanferry_core::report::code;
    use spanferry_core::report::finding::{Finding, Severity, Subject};
    use spanferry_core::report::remedy::Remedy;
    use spanferry_core::schema::source::QualifiedName;

    fn check(findings: &[Finding], more: u64, expected: &[String]) {
        let findings: Vec<Value> = findings
            .iter()
            .map(|finding| json::finding(finding, ""))
            .collect();
        let found = lines(&json!({"findings": findings, "findings_more": more}));
        assert_eq!(found, expected);
    }

    #[test]
    fn findings_are_told_as_check_tells_them() {
        let finding = |severity, table, part| {
            Finding::new(
                code::SOURCE_TABLE_UNSUPPORTED,
                severity,
                Subject::part(&QualifiedName::new("shop", table), part),
                "the text",
            )
        };
        let statement = finding(Severity::Warning, "t", "b").remedy(Remedy::source("ALTER TABLE t"));
        let blocking =
            finding(Severity::Blocking, "u", "a").remedy(Remedy::resync(&QualifiedName::new("shop", "u")));
        let all = [
            finding(Severity::Notice, "t", "a"),
            statement.clone(),
            blocking.clone(),
        ];
        let told = [
            render::finding(&blocking, ""),
            render::finding(&statement, ""),
            "3 more findings: `spanferry status --output json`".to_owned(),
        ];
        check(&all, 2, &told);
        assert!(
            told[0].ends_with("\n  when `migrate` has stopped, fix: spanferry resync u"),
            "{}",
            told[0]
        );
        assert!(told[1].ends_with("\n  fix: ALTER TABLE t;"), "{}", told[1]);
    }

    #[test]
    fn findings_with_one_text_stand_together() {
        let left_out = |table: usize, text: &str| {
            let subject = Subject::part(&QualifiedName::new("shop", format!("t{table}")), "c");
            Finding::new(code::LEFT_OUT, Severity::Warning, subject, text)
        };
        let mut all: Vec<Finding> = (1..=9)
            .map(|table| left_out(table, "the default is not created"))
            .collect();
        all.push(left_out(1, "AUTO_INCREMENT is not created"));
        all.push(Finding::new(
            code::LOG_BUDGET,
            Severity::Warning,
            Subject::whole(),
            "it is nearly full",
        ));
        let head = "\u{1b}[33mwarning[SF-4004]\u{1b}[0m: ";
        check(
            &all,
            0,
            &[
                "\u{1b}[33mwarning[SF-6002]\u{1b}[0m: it is nearly full".to_owned(),
                format!(
                    "{head}`t1.c`, `t2.c`, `t3.c`, `t4.c`, `t5.c` and 4 more: the default is not created"
                ),
                format!("{head}`t1.c`: AUTO_INCREMENT is not created"),
            ],
        );
    }
}
