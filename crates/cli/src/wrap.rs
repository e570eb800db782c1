//! What is printed for a person, fitted to where it goes: colours only where they are wanted, no
//! word broken by a terminal's edge.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use textwrap::{WordSeparator, WordSplitter, WrapAlgorithm};
use unicode_width::UnicodeWidthChar;

/// Before what can be pasted; further lines stand below it.
pub(crate) const FIX: &str = "fix: ";
/// Before a command that `migrate` must not be running for.
pub(crate) const FIX_STOPPED: &str = "when `migrate` has stopped, ";

/// Columns by which the rest of a folded line is moved in.
const HANGING_COLUMNS: usize = 2;
/// Narrower than this nothing is readable, however it is folded.
const COLUMNS_MIN: usize = 20;
/// What stands for the rest of a text that is cut.
const ELLIPSIS: &str = "…";

/// The text as `stream` takes it.
pub(crate) fn fitted(text: &str, stream: impl AsFd + IsTerminal) -> String {
    let columns = columns(&stream);
    let text = columns.map_or_else(|| text.to_owned(), |columns| folded(text, columns));
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    if columns.is_none() || is_plain {
        plain(&text)
    } else {
        text
    }
}

/// Columns of a terminal; none if the stream is none.
fn columns(stream: &(impl AsFd + IsTerminal)) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    // A terminal that does not know its width wraps by itself.
    Some(if size.ws_col == 0 {
        usize::MAX
    } else {
        size.ws_col.into()
    })
}

/// The text with its lines broken between words where they are wider than a terminal.
pub(crate) fn folded(text: &str, columns: usize) -> String {
    let columns = columns.max(COLUMNS_MIN);
    let mut copied = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        if is_copied(line.trim_start()) {
            copied = Some(indent);
        } else if copied.is_some_and(|label| indent <= label) {
            copied = None;
        }
        lines.push(match copied {
            Some(_) => line.to_owned(),
            None => folded_line(line, columns),
        });
    }
    lines.join("\n")
}

/// Whether a line begins something that is there to be copied: it is never folded, nor are the
/// lines that stand further in below it.
fn is_copied(words: &str) -> bool {
    words.strip_prefix(FIX_STOPPED).unwrap_or(words).starts_with(FIX)
}

/// Breaks a line between words; a word that is wider than the terminal stays whole.
fn folded_line(line: &str, columns: usize) -> String {
    let words = line.trim_start();
    if width(line) <= columns {
        return line.to_owned();
    }
    let indent = line.len() - words.len();
    let (first, hanging) = (" ".repeat(indent), " ".repeat(indent + HANGING_COLUMNS));
    let options = textwrap::Options::new(columns)
        .initial_indent(&first)
        .subsequent_indent(&hanging)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    textwrap::fill(words, options)
}

/// Columns that a text takes on a terminal: colours take none, a character of Chinese, Japanese or
/// Korean two.
pub(crate) fn width(text: &str) -> usize {
    textwrap::core::display_width(text)
}

/// A text no wider than `columns`; an ellipsis says that there was more.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut at = width(ELLIPSIS);
    for character in text.chars() {
        at += character.width().unwrap_or(0);
        if at > columns {
            break;
        }
        kept.push(character);
    }
    kept + ELLIPSIS
}

/// A text with spaces behind it up to `columns`.
pub(crate) fn padded(text: &str, columns: usize) -> String {
    let spaces = columns.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(spaces))
}

/// The text without its colours.
pub(crate) fn plain(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_colour, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_between_words() {
        let check = |text: &str, expected: &str| assert_eq!(folded(text, 24), expected, "{text}");
        check("short enough as it is ok", "short enough as it is ok");
        check(
            "  caused by: the server at the other end has gone\n  hint: wait",
            "  caused by: the server\n    at the other end has\n    gone\n  hint: wait",
        );
        check(
            "a_single_word_that_is_wider_than_all",
            "a_single_word_that_is_wider_than_all",
        );
        check(
            "  fix: SET PERSIST binlog_row_metadata = FULL",
            "  fix: SET PERSIST binlog_row_metadata = FULL",
        );
        let statements =
            "  fix: ALTER TABLE t DROP KEY k, ADD KEY k (v);\n       -- a note that is longer than a line";
        check(statements, statements);
        let command = "  when `migrate` has stopped, fix: spanferry resync t";
        check(command, command);
        check(
            "  fix: SELECT 1;\n  hint: what is there to be read",
            "  fix: SELECT 1;\n  hint: what is there to\n    be read",
        );
        // Colours take no room.
        check(
            "\x1b[1;31merror[SF-1001]\x1b[0m: no name",
            "\x1b[1;31merror[SF-1001]\x1b[0m: no name",
        );
        check("", "");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        for (text, columns, expected) in [
            ("客户订单", 8, "客户订单"),
            ("客户订单", 7, "客户订…"),
            ("客户订单", 6, "客户…"),
            ("a客户", 4, "a客…"),
            ("orders", 4, "ord…"),
            ("orders", 0, "…"),
        ] {
            assert_eq!(cut(text, columns), expected, "{text} {columns}");
        }
        assert_eq!(padded("客户", 6), "客户  ");
        assert_eq!(padded("orders", 4), "orders");
        // Of names and of words in a line the columns count, not the characters.
        assert_eq!(
            folded("  客户订单 客户订单 客户订单", 20),
            "  客户订单 客户订单\n    客户订单"
        );
    }

    #[test]
    fn colours_can_be_taken_away() {
        assert_eq!(plain("\x1b[1;31merror\x1b[0m: a\x1b[36mb\x1b[0m"), "error: ab");
        assert_eq!(plain("no colour, [0m and all"), "no colour, [0m and all");
    }
}
