//! A tokenizer for the server's SQL: just enough to tell statements and the names in them.

/// One token. Values of literals are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A keyword or unquoted identifier, as written; numbers too.
    Word(String),
    /// A quoted identifier, without its quotes.
    Quoted(String),
    /// A string literal.
    Literal,
    /// Any other character.
    Symbol(char),
}

impl Token {
    /// Whether it is this keyword, in any letter case.
    pub(crate) fn is_word(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// Its name, if it may be one.
    pub(crate) fn identifier(&self) -> Option<&str> {
        match self {
            Token::Word(name) | Token::Quoted(name) => Some(name),
            Token::Literal | Token::Symbol(_) => None,
        }
    }
}

/// The tokens of a statement. Comments are left out; what stands in executable comments (`/*!NNNNN … */`, `/*M!… */`)
/// is taken as code, whatever its version.
pub(crate) fn tokens(text: &str, ansi_quotes: bool, no_backslash: bool) -> Vec<Token> {
    let mut scanner = Scanner {
        rest: text,
        ansi_quotes,
        no_backslash,
        tokens: Vec::new(),
    };
    while scanner.step() {}
    scanner.tokens
}

struct Scanner<'a> {
    rest: &'a str,
    ansi_quotes: bool,
    no_backslash: bool,
    tokens: Vec<Token>,
}

impl Scanner<'_> {
    /// Takes one token, comment or run of spaces; false at the end.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else {
            return false;
        };
        match first {
            _ if first.is_whitespace() || first == '\0' => self.rest = &self.rest[first.len_utf8()..],
            '#' => self.skip_line(),
            '-' if self.is_dash_comment() => self.skip_line(),
            '/' if self.rest.starts_with("/*") => self.comment(),
            '*' if self.rest.starts_with("*/") => self.rest = &self.rest[2..],
            '`' => self.quoted('`'),
            '"' | '\'' => self.quoted(first),
            _ if is_word(first) => self.word(),
            _ => {
                self.tokens.push(Token::Symbol(first));
                self.rest = &self.rest[first.len_utf8()..];
            }
        }
        true
    }

    fn is_dash_comment(&self) -> bool {
        self.rest.strip_prefix("--").is_some_and(|tail| {
            tail.chars()
                .next()
                .is_none_or(|next| next.is_whitespace() || next.is_control())
        })
    }

    fn skip_line(&mut self) {
        self.rest = self.rest.split_once('\n').map_or("", |(_, tail)| tail);
    }

    fn comment(&mut self) {
        for opening in ["/*!", "/*M!", "/*m!"] {
            if let Some(code) = self.rest.strip_prefix(opening) {
                self.rest = code.trim_start_matches(|digit: char| digit.is_ascii_digit());
                return;
            }
        }
        self.rest = self.rest[2..].split_once("*/").map_or("", |(_, tail)| tail);
    }

    fn word(&mut self) {
        let end = self
            .rest
            .find(|character| !is_word(character))
            .unwrap_or(self.rest.len());
        self.tokens.push(Token::Word(self.rest[..end].to_owned()));
        self.rest = &self.rest[end..];
    }

    fn quoted(&mut self, quote: char) {
        let is_name = quote == '`' || (quote == '"' && self.ansi_quotes);
        let mut name = String::new();
        let mut characters = self.rest[1..].char_indices();
        let mut end = self.rest.len();
        while let Some((index, character)) = characters.next() {
            if character == '\\' && !is_name && !self.no_backslash {
                characters.next();
            } else if character == quote {
                if characters.as_str().starts_with(quote) {
                    characters.next();
                    name.push(quote);
                } else {
                    end = index + 2;
                    break;
                }
            } else {
                name.push(character);
            }
        }
        self.tokens.push(if is_name {
            Token::Quoted(name)
        } else {
            Token::Literal
        });
        self.rest = &self.rest[end..];
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == '$' || !character.is_ascii()
}
