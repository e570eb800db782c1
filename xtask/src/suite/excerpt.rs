//! The part of a long output that a recap shows: its first lines, its panic message and its last
//! lines.

use std::collections::VecDeque;

/// Lines kept from the start.
const HEAD_LINES_MAX: usize = 6;
/// Lines kept of the first panic message, with its own line.
const PANIC_LINES_MAX: usize = 6;
/// Lines kept from the end.
const TAIL_LINES_MAX: usize = 40;
/// Bytes kept of a line.
const LINE_BYTES_MAX: usize = 400;

/// The kept lines of one output, which may be of any length.
#[derive(Debug, Default)]
pub(super) struct Excerpt {
    head: Vec<String>,
    panic: Vec<String>,
    tail: VecDeque<String>,
    /// Lines that left the tail.
    dropped: usize,
}

impl Excerpt {
    /// Adds the next line.
    pub(super) fn push(&mut self, line: &str) {
        let line = cut(line, LINE_BYTES_MAX);
        if self.head.len() < HEAD_LINES_MAX {
            self.head.push(line);
            return;
        }
        let begins = self.panic.is_empty() && line.contains(" panicked at ");
        if begins || (1..PANIC_LINES_MAX).contains(&self.panic.len()) {
            self.panic.push(line.clone());
        }
        self.tail.push_back(line);
        if self.tail.len() > TAIL_LINES_MAX {
            self.tail.pop_front();
            self.dropped += 1;
        }
    }

    /// The kept text, in at most about `bytes_max` bytes.
    pub(super) fn text(&self, bytes_max: usize) -> String {
        let mut lines: Vec<&str> = self.head.iter().map(String::as_str).collect();
        let gap = format!("[… {} lines …]", self.dropped);
        if self.dropped > 0 {
            // The panic message is shown apart only when the tail does not hold its first line.
            let shown = self.panic.first().is_some_and(|line| !self.tail.contains(line));
            lines.extend(
                shown
                    .then_some(&self.panic)
                    .into_iter()
                    .flatten()
                    .map(String::as_str),
            );
            lines.push(&gap);
        }
        lines.extend(self.tail.iter().map(String::as_str));
        cut(lines.join("\n").trim_matches('\n'), bytes_max)
    }
}

/// `text` in at most about `bytes_max` bytes: a third from its start, two thirds from its end.
pub(super) fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let boundary = |at: &usize| text.is_char_boundary(*at);
    let head = (0..=bytes_max / 3).rev().find(boundary).unwrap_or(0);
    let tail = text.len() - (bytes_max - bytes_max / 3);
    let tail = (tail..text.len()).find(boundary).unwrap_or(text.len());
    format!("{} [… {} bytes …] {}", &text[..head], tail - head, &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::{Excerpt, cut};

    #[test]
    fn short_outputs_are_whole() {
        let mut excerpt = Excerpt::default();
        for number in 0..46 {
            excerpt.push(&format!("line {number}"));
        }
        let text = excerpt.text(8192);
        assert_eq!(text.lines().count(), 46);
        assert!(!text.contains('…'), "{text}");
    }

    #[test]
    fn long_outputs_keep_head_panic_and_tail() {
        let mut excerpt = Excerpt::default();
        for number in 0..100 {
            excerpt.push(&format!("before {number}"));
        }
        excerpt.push("thread 'x' (7) panicked at src/lib.rs:1:2:");
        excerpt.push("left is not right");
        for number in 0..100 {
            excerpt.push(&format!("after {number}"));
        }
        let text = excerpt.text(8192);
        for kept in [
            "before 0\n",
            "panicked at src",
            "left is not right",
            "[… 156 lines …]",
            "after 99",
        ] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
        assert!(
            !text.contains("before 50") && !text.contains("after 50\n"),
            "{text}"
        );
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let text = "é".repeat(100);
        let short = cut(&text, 51);
        assert!(
            short.starts_with('é') && short.ends_with('é') && short.len() < 90,
            "{short}"
        );
        assert_eq!(cut("short", 51), "short");
    }
}
