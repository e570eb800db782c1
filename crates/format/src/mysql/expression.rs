//! Expressions of a catalog or a definition in the form in which a person wrote them.

use std::str::Chars;

/// The introducer that MySQL puts before every text of an expression that was given in the
/// connection's own character set.
const INTRODUCER: &str = "_utf8mb4";

/// An expression of a check, a generated column, a default or an index as MySQL's information
/// schema gives it: escaped once more than SQL is, and every text with its character set before it.
/// MariaDB gives them as they are.
pub fn as_written(stored: &str) -> String {
    without_introducers(&unescaped(stored))
}

/// An expression as MySQL's SHOW CREATE TABLE prints it, without the character set before each
/// text.
pub fn without_introducers(sql: &str) -> String {
    let mut written = String::with_capacity(sql.len());
    let mut rest = sql.chars();
    while let Some(first) = rest.next() {
        written.push(first);
        if matches!(first, '\'' | '"' | '`') {
            if first == '\'' {
                drop_introducer(&mut written);
            }
            copy_quoted(first, &mut rest, &mut written);
        }
    }
    written
}

/// A backslash stands for itself and makes what follows it mean itself.
fn unescaped(stored: &str) -> String {
    let mut sql = String::with_capacity(stored.len());
    let mut rest = stored.chars();
    while let Some(next) = rest.next() {
        sql.push(if next == '\\' {
            rest.next().unwrap_or(next)
        } else {
            next
        });
    }
    sql
}

/// Takes the introducer away that stands before the quote at the end of `written`.
fn drop_introducer(written: &mut String) {
    let before = &written[..written.len() - 1];
    let Some(kept) = before.strip_suffix(INTRODUCER) else {
        return;
    };
    // The end of a longer name is none.
    if !kept.ends_with(|last: char| last.is_alphanumeric() || matches!(last, '_' | '$')) {
        written.truncate(kept.len());
        written.push('\'');
    }
}

/// Copies a quoted text or name with its closing quote; a doubled quote ends it and begins the
/// next.
fn copy_quoted(quote: char, rest: &mut Chars<'_>, written: &mut String) {
    while let Some(next) = rest.next() {
        written.push(next);
        if next == quote {
            return;
        }
        if next == '\\' && quote != '`' {
            written.extend(rest.next());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_read_as_they_were_written() {
        // On the left what MySQL 9.7 gives in information_schema, on the right its SHOW CREATE
        // TABLE without introducers.
        let check = |stored: &str, written: &str| assert_eq!(as_written(stored), written, "{stored}");
        check(r"(`v` > 0)", "(`v` > 0)");
        check(
            r"regexp_like(`s`,_utf8mb4\'^[a-z]+$\')",
            "regexp_like(`s`,'^[a-z]+$')",
        );
        check(r"(`s` <> _utf8mb4\'it\\\'s\')", r"(`s` <> 'it\'s')");
        check(r"(`s` like _utf8mb4\'50\\\\%\')", r"(`s` like '50\\%')");
        check(
            r"concat(`s`,_utf8mb4\'\\n\',_utf8mb4\'x\')",
            r"concat(`s`,'\n','x')",
        );
        check(
            r"concat(_utf8mb4\'_utf8mb4\\\'\',_latin1\'é\')",
            r"concat('_utf8mb4\'',_latin1'é')",
        );
        check(r"(`a_utf8mb4` = `b``_utf8mb4`)", "(`a_utf8mb4` = `b``_utf8mb4`)");
        check("", "");
        check(r"\", r"\");
    }
}
