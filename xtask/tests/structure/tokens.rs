//! Cuts Rust source into tokens, as far as the structure test needs them.

/// One word, `::` or sign of the source. A string or a number is one token with an empty text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    /// Its line, from 1.
    pub(crate) line: usize,
}

impl Token<'_> {
    /// Whether this is a name or a keyword.
    pub(crate) fn is_word(&self) -> bool {
        self.text
            .starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

/// The tokens of `source` without comments.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let (length, is_token) = next(rest, first);
        let (piece, after) = rest.split_at(length);
        if is_token {
            let is_literal =
                first == '"' || first.is_ascii_digit() || piece.ends_with(['"', '#', '\'']) && length > 1;
            let text = if is_literal { "" } else { piece };
            found.push(Token { text, line });
        }
        line += piece.matches('\n').count();
        rest = after;
    }
    found
}

/// The length of the piece with which `rest` begins, and whether it is a token.
fn next(rest: &str, first: char) -> (usize, bool) {
    if first.is_whitespace() {
        return (first.len_utf8(), false);
    }
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), false);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), false);
    }
    if rest.starts_with("::") {
        return (2, true);
    }
    if let Some(length) = literal(rest) {
        return (length, true);
    }
    if first == '\'' {
        return quote(rest);
    }
    if is_word_char(first) {
        return (word(rest), true);
    }
    (first.len_utf8(), true)
}

fn is_word_char(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn word(rest: &str) -> usize {
    rest.find(|char| !is_word_char(char)).unwrap_or(rest.len())
}

/// The length of a comment that may hold others.
fn block_comment(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the string, plain or raw, with which `rest` begins.
fn literal(rest: &str) -> Option<usize> {
    let prefix = ["\"", "b\"", "c\""]
        .into_iter()
        .find(|prefix| rest.starts_with(prefix));
    if let Some(prefix) = prefix {
        return Some(prefix.len() + closing_quote(&rest[prefix.len()..], '"'));
    }
    let after = ["r", "br", "cr"]
        .into_iter()
        .find_map(|prefix| rest.strip_prefix(prefix))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let text = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = text.find(&end).map_or(text.len(), |at| at + end.len());
    Some(rest.len() - text.len() + length)
}

/// The length up to and with the `quote` that ends a text in which `\` hides the next character.
fn closing_quote(text: &str, quote: char) -> usize {
    let mut hidden = false;
    for (at, char) in text.char_indices() {
        if hidden {
            hidden = false;
        } else if char == '\\' {
            hidden = true;
        } else if char == quote {
            return at + char.len_utf8();
        }
    }
    text.len()
}

/// A character such as `'a'`, which is a token, or a lifetime such as `'a`, which is passed over.
fn quote(rest: &str) -> (usize, bool) {
    let mut chars = rest.chars().skip(1);
    let is_char = match (chars.next(), chars.next()) {
        (Some('\\'), _) => true,
        (Some(_), second) => second == Some('\''),
        (None, _) => false,
    };
    if is_char {
        (1 + closing_quote(&rest[1..], '\''), true)
    } else {
        (1 + word(&rest[1..]), false)
    }
}

#[test]
fn strings_comments_and_lifetimes_are_no_words() {
    let source = "fn a<'x>(b: &'x str) -> char { /* c /* d */ e */ \"f \\\" g\"; r#\"h \" i\"#; '\\''; 'j' } // k\nl::m";
    let texts: Vec<&str> = tokens(source)
        .into_iter()
        .filter(Token::is_word)
        .map(|token| token.text)
        .collect();
    assert_eq!(texts, ["fn", "a", "b", "str", "char", "l", "m"]);
    assert_eq!(tokens(source).last().map(|token| token.line), Some(2));
}
