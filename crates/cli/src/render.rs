//! What a person reads: failures, findings, verdicts, rates and times.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

use serde_json::Value;
pub(crate) use spanferry_core::report::amount::{bytes, count, counted, rows, span};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Subject};
use spanferry_core::report::remedy::RemedyKind;

use crate::clock::{now_us, utc};
use crate::document;
use crate::wrap::{FIX, FIX_STOPPED, fitted};

/// Writes lines for a person to standard output, fitted to it; a reader that has gone away is no
/// error.
pub(crate) fn print(text: &str) {
    print_unfitted(&fitted(text, std::io::stdout()));
}

/// Writes an object for a program to standard output, in one line.
pub(crate) fn print_json(object: &Value) {
    print_unfitted(&document::text(object));
}

/// Writes a line to standard output as it is: it will be copied or read by a program.
pub(crate) fn print_unfitted(line: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe (`spanferry status | head`) must not end a migration.
    let _closed = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Writes lines for a person to standard error, fitted to it.
pub(crate) fn print_error(text: &str) {
    let text = fitted(text, std::io::stderr());
    let mut out = std::io::stderr().lock();
    let _closed = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Writes a line of progress to standard error, with the time unless a person watches it come.
pub(crate) fn print_progress(text: &str) {
    print_error(&timed(text));
}

/// A text with the time before it, where standard error is a pipe or a file.
fn timed(text: &str) -> String {
    if std::io::stderr().is_terminal() {
        return text.to_owned();
    }
    format!("{} {text}", utc(now_us()))
}

/// A text in a colour, which [`print`] and [`print_error`] take away where it is not wanted.
fn paint(text: &str, code: &str) -> String {
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// A failure as `error[SF-1234]: what`, its causes, and what to do.
pub(crate) fn failure(failure: &Failure) -> String {
    let mut text = format!(
        "{}: {failure}",
        paint(&format!("error[{}]", failure.code), "1;31")
    );
    let mut cause = std::error::Error::source(failure);
    while let Some(known) = cause {
        let lines = known.to_string();
        if !lines.is_empty() {
            // A parser points at the place, over several lines.
            let lines = lines.trim_end().replace('\n', "\n    ");
            let _written = write!(text, "\n  caused by: {lines}");
        }
        cause = known.source();
    }
    let _written = write!(text, "\n  {}: {}", paint("hint", "1;36"), failure.next_step());
    text
}

/// A finding with its remedy. `options` stand in a command behind its verb.
pub(crate) fn finding(finding: &Finding, options: &str) -> String {
    let remedy = finding.remedy.as_ref();
    let fix = remedy.map(|remedy| fix(remedy.kind().word(), &remedy.printed(options)));
    format!(
        "{}{}{}{}",
        finding_head(finding.severity.word(), &finding.code.to_string()),
        place(&finding.subject),
        finding.text,
        fix.unwrap_or_default()
    )
}

/// How a finding begins, from the words for its severity and code.
pub(crate) fn finding_head(severity: &str, code: &str) -> String {
    let colour = match severity {
        "notice" => "36",
        "warning" => "33",
        _ => "1;31",
    };
    format!("{}: ", paint(&format!("{severity}[{code}]"), colour))
}

/// What a finding is about, before its text.
fn place(subject: &Subject) -> String {
    let subject = subject.to_string();
    if subject.is_empty() {
        return subject;
    }
    format!("`{subject}`: ")
}

/// The remedy of a finding, on lines of its own: SQL and commands as they can be pasted. `kind` is
/// the remedy's word in JSON.
pub(crate) fn fix(kind: &str, text: &str) -> String {
    let label = if kind == RemedyKind::Statements.word() {
        FIX.to_owned()
    } else if kind == RemedyKind::Command.word() {
        format!("{FIX_STOPPED}{FIX}")
    } else {
        "hint: ".to_owned()
    };
    let rest = format!("\n  {}", " ".repeat(FIX.len()));
    format!("\n  {label}{}", text.replace('\n', &rest))
}

/// Columns and rows of the terminal on standard error; a common size where there is none.
pub(crate) fn terminal_size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (110, 40),
    }
}

/// Asks for a word on the terminal; false without one.
pub(crate) fn confirm(question: &str, word: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    print_error(&format!("{question} Type `{word}` to continue:"));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).is_ok() && line.trim() == word
}

/// The failure of a command that asks first and was not confirmed.
pub(crate) fn not_confirmed(verb: &str) -> Failure {
    let hint = format!(
        "Type `{verb}` when asked; without a terminal, or to continue without a question, give `--yes`."
    );
    Failure::new(code::USAGE, Class::StopMigration, verb, "not confirmed").hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_next() {
        let cause = std::io::Error::other("connection refused");
        let text = failure(
            &Failure::new(
                code::SOURCE_UNREACHABLE,
                Class::StopMigration,
                "db:3306",
                "cannot be reached",
            )
            .caused_by(cause),
        );
        assert_eq!(
            text,
            "\x1b[1;31merror[SF-2001]\x1b[0m: db:3306: cannot be reached\n  caused by: connection refused\n  \
             \x1b[1;36mhint\x1b[0m: Check host, port, firewall and that the server listens there."
        );
    }
}
