//! A tokenizer for the server's SQL: just enough to recognise statements and the names in them.

use std::collections::BTreeSet;
use std::ops::Range;

/// One token. Values of literals are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A keyword or unquoted identifier, as written; numbers too.
    Word(String),
    /// A quoted identifier, without its quotes.
    Quoted(String),
    /// A string literal.
    Literal,
    /// Any other character.
    Symbol(char),
    /// Something that a server may read in another way than we do. No grammar has it.
    Unreadable,
}

impl Token {
    /// Whether it is this keyword, in any letter case.
    pub fn is_word(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// Its name, if it may be one.
    pub fn identifier(&self) -> Option<&str> {
        match self {
            Token::Word(name) | Token::Quoted(name) => Some(name),
            Token::Literal | Token::Symbol(_) | Token::Unreadable => None,
        }
    }
}

/// How a statement's text is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// MariaDB; else MySQL.
    pub mariadb: bool,
    /// `ANSI_QUOTES`: `"x"` is an identifier.
    pub ansi_quotes: bool,
    /// `NO_BACKSLASH_ESCAPES`.
    pub no_backslash: bool,
}

/// The tokens of a text, with those that only some servers read.
#[derive(Debug)]
pub struct Lexed {
    tokens: Vec<Found>,
}

#[derive(Debug)]
struct Found {
    token: Token,
    /// The least version of a server that reads it; 0: every server does.
    version: u32,
    span: Range<usize>,
}

/// A token with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The token.
    pub token: Token,
    /// Where it stands in the text, in bytes.
    pub span: Range<usize>,
}

/// Most versions that a text may name. Each of them gives one reading more.
const VERSIONS_MAX: usize = 8;

impl Lexed {
    /// The token lists that servers of different versions read in this text. None if there are too
    /// many of them.
    pub fn readings(self) -> Option<Vec<Vec<Token>>> {
        let mut versions: BTreeSet<u32> = self.tokens.iter().map(|found| found.version).collect();
        versions.insert(0);
        if versions.len() > VERSIONS_MAX {
            return None;
        }
        let reading = |server: &u32| {
            let read = self.tokens.iter().filter(|found| found.version <= *server);
            read.map(|found| found.token.clone()).collect()
        };
        Some(versions.iter().map(reading).collect())
    }

    /// The tokens that the newest server reads: all that servers of any version read.
    pub fn newest(self) -> Vec<Placed> {
        let placed = self.tokens.into_iter().map(|found| Placed {
            token: found.token,
            span: found.span,
        });
        placed.collect()
    }
}

/// What a server does with an executable comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// It executes what stands inside.
    Always,
    /// It passes over it.
    Never,
    /// It executes it from this version on.
    From(u32),
}

/// The oldest versions that are supported: every server reads what is meant for these.
const OLDEST_MYSQL: u32 = 8_00_00;
const OLDEST_MARIADB: u32 = 10_05_00;
/// MariaDB passes over `/*!` comments of these versions: they are meant for MySQL.
const MYSQL_ONLY: std::ops::RangeInclusive<u32> = 5_07_00..=9_99_99;

impl Dialect {
    /// The tokens of a statement, its comments left out.
    ///
    /// An executable comment that the server passed over is an ordinary one in its binary log: the
    /// server writes a space over the `!` (measured on all). What is still executable has been
    /// executed, but perhaps by another server in front of this one, so where the version leaves
    /// doubt both readings are given.
    pub fn tokens(self, text: &str) -> Lexed {
        let mut scanner = Scanner {
            length: text.len(),
            rest: text,
            dialect: self,
            inside: None,
            tokens: Vec::new(),
        };
        while scanner.step() {}
        if scanner.inside.is_some() {
            scanner.give_up();
        }
        Lexed {
            tokens: scanner.tokens,
        }
    }

    /// Whether some server of this family executes the content of such a comment.
    pub(super) fn executes(self, for_mariadb: bool, version: Option<u32>) -> bool {
        self.reads(for_mariadb, version) != Reads::Never
    }

    /// What servers do with a `/*!` comment, or with a `/*M!` one.
    fn reads(self, for_mariadb: bool, version: Option<u32>) -> Reads {
        if for_mariadb && !self.mariadb {
            return Reads::Never;
        }
        let oldest = if self.mariadb {
            OLDEST_MARIADB
        } else {
            OLDEST_MYSQL
        };
        match version {
            Some(version) if self.mariadb && !for_mariadb && MYSQL_ONLY.contains(&version) => Reads::Never,
            Some(version) if version > oldest => Reads::From(version),
            Some(_) | None => Reads::Always,
        }
    }
}

struct Scanner<'a> {
    length: usize,
    rest: &'a str,
    dialect: Dialect,
    /// Inside of an executable comment: from which version on it is read, 0 for always.
    inside: Option<u32>,
    tokens: Vec<Found>,
}

impl Scanner<'_> {
    /// Takes one token, comment or space; false at the end.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else {
            return false;
        };
        match first {
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' => self.rest = &self.rest[1..],
            // Which of these are spaces depends on the client's character set.
            _ if first.is_whitespace() || first.is_control() => self.unreadable(first.len_utf8()),
            '#' => self.skip_line(),
            '-' if self.is_dash_comment() => self.skip_line(),
            '/' if self.rest.starts_with("/*") => self.comment(),
            '*' if self.inside.is_some() && self.rest.starts_with("*/") => {
                self.inside = None;
                self.rest = &self.rest[2..];
            }
            '`' | '"' | '\'' => self.quoted(first),
            _ if is_word(first) => self.word(),
            _ => {
                self.push(Token::Symbol(first), first.len_utf8());
            }
        }
        true
    }

    /// Takes a token of so many bytes.
    fn push(&mut self, token: Token, bytes: usize) {
        self.push_of(token, self.inside.unwrap_or(0), bytes);
    }

    fn push_of(&mut self, token: Token, version: u32, bytes: usize) {
        let start = self.length - self.rest.len();
        self.tokens.push(Found {
            token,
            version,
            span: start..start + bytes,
        });
        self.rest = &self.rest[bytes..];
    }

    /// What no server of any version can be trusted to read as we would.
    fn unreadable(&mut self, bytes: usize) {
        self.push_of(Token::Unreadable, 0, bytes);
    }

    /// The rest of the text cannot be read.
    fn give_up(&mut self) {
        self.inside = None;
        self.unreadable(self.rest.len());
    }

    /// Whether what is scanned is code for some servers only: its end must be found in the same way
    /// by those that pass over it.
    fn is_doubtful(&self) -> bool {
        self.inside.is_some_and(|version| version > 0)
    }

    fn is_dash_comment(&self) -> bool {
        self.rest.strip_prefix("--").is_some_and(|tail| {
            let next = tail.chars().next();
            next.is_none_or(|next| next.is_whitespace() || next.is_control())
        })
    }

    fn skip_line(&mut self) {
        let (line, tail) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        if self.is_doubtful() && line.contains("*/") {
            return self.give_up();
        }
        self.rest = tail;
    }

    fn comment(&mut self) {
        let (code, for_mariadb) = match self.rest.get(2..4) {
            Some("M!" | "m!") => (&self.rest[4..], true),
            _ if self.rest[2..].starts_with('!') => (&self.rest[3..], false),
            _ => return self.skip_comment(0),
        };
        let (digits, version) = version(code);
        let reads = self.dialect.reads(for_mariadb, version);
        match (reads, self.inside) {
            // MySQL knows no `/*M!`: an ordinary comment.
            (Reads::Never, _) if for_mariadb => self.skip_comment(0),
            (Reads::Never, None) => self.skip_comment(1),
            (Reads::Never | Reads::Always | Reads::From(_), Some(_)) => self.give_up(),
            (Reads::Always, None) => {
                self.inside = Some(0);
                self.rest = &code[digits..];
            }
            (Reads::From(version), None) => {
                self.inside = Some(version);
                self.rest = &code[digits..];
            }
        }
    }

    /// Passes over a comment with at most `nested` levels of comments inside.
    fn skip_comment(&mut self, nested: u32) {
        match comment_end(self.rest, nested) {
            Some(end) => self.rest = &self.rest[end..],
            None => self.give_up(),
        }
    }

    fn word(&mut self) {
        let end = self.rest.find(|character| !is_word(character));
        let end = end.unwrap_or(self.rest.len());
        self.push(Token::Word(self.rest[..end].to_owned()), end);
    }

    fn quoted(&mut self, quote: char) {
        let is_name = quote == '`' || (quote == '"' && self.dialect.ansi_quotes);
        let Some((name, end)) = quoted_text(self.rest, quote, !is_name && !self.dialect.no_backslash) else {
            return self.give_up();
        };
        let text = &self.rest[..end];
        if self.is_doubtful() && (text.contains("*/") || text.contains("/*")) {
            return self.give_up();
        }
        let token = if is_name {
            Token::Quoted(name)
        } else {
            Token::Literal
        };
        self.push(token, end);
    }
}

/// The version behind `/*!`, five or six digits, and how many bytes it takes.
fn version(code: &str) -> (usize, Option<u32>) {
    let digits = code.bytes().take(6).take_while(u8::is_ascii_digit).count();
    match digits {
        5 | 6 => (digits, code[..digits].parse().ok()),
        _ => (0, None),
    }
}

/// Where a comment that begins `text` ends; `nested` levels of comments inside of it are comments
/// of their own.
fn comment_end(text: &str, nested: u32) -> Option<usize> {
    let mut at = 2;
    loop {
        let rest = text.get(at..)?;
        let end = rest.find("*/")?;
        match rest.find("/*").filter(|inner| nested > 0 && *inner < end) {
            Some(inner) => at += inner + comment_end(&rest[inner..], nested - 1)?,
            None => return Some(at + end + 2),
        }
    }
}

/// What stands in the quotes that begin `text`, and where they end.
fn quoted_text(text: &str, quote: char, escapes: bool) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut characters = text[1..].char_indices();
    while let Some((index, character)) = characters.next() {
        if character == '\\' && escapes {
            characters.next();
        } else if character != quote {
            name.push(character);
        } else if characters.as_str().starts_with(quote) {
            characters.next();
            name.push(quote);
        } else {
            return Some((name, index + 2));
        }
    }
    None
}

fn is_word(character: char) -> bool {
    let plain = character.is_ascii_alphanumeric() || matches!(character, '_' | '$');
    plain || !(character.is_ascii() || character.is_whitespace() || character.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MYSQL: Dialect = Dialect {
        mariadb: false,
        ansi_quotes: false,
        no_backslash: false,
    };
    const MARIADB: Dialect = Dialect {
        mariadb: true,
        ..MYSQL
    };

    /// A reading as text; `?` stands for what cannot be read.
    fn shown(tokens: &[Token]) -> String {
        let show = |token: &Token| match token {
            Token::Word(word) => word.clone(),
            Token::Quoted(name) => format!("`{name}`"),
            Token::Literal => "''".to_owned(),
            Token::Symbol(symbol) => symbol.to_string(),
            Token::Unreadable => "?".to_owned(),
        };
        tokens.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_are_read_as_each_server_reads_them() {
        let check = |text: &str, mysql: &[&str], mariadb: &[&str]| {
            for (dialect, expected) in [(MYSQL, mysql), (MARIADB, mariadb)] {
                let readings = dialect.tokens(text).readings().unwrap();
                let found: Vec<String> = readings.iter().map(|reading| shown(reading)).collect();
                assert_eq!(found, expected, "{text}");
            }
        };
        let same = |text: &str, expected: &[&str]| check(text, expected, expected);
        same("a /* b */ c -- d\n e # f\n g --h", &["a c e g - - h"]);
        same("a --", &["a"]);
        same("a /*! b */ c", &["a b c"]);
        same("a /*!40005b*/c", &["a b c"]);
        same("a /*!4000 b */ c", &["a 4000 b c"]);
        check("a /*!80000 b */ c", &["a b c"], &["a c"]);
        check("a /*!080000 b */ c", &["a b c"], &["a c"]);
        check("a /*!80400 b */ c", &["a c", "a b c"], &["a c"]);
        check("a /*!99999 b */ c", &["a c", "a b c"], &["a c"]);
        check("a /*!100500 b */ c", &["a c", "a b c"], &["a b c"]);
        check("a /*!100501 b */ c", &["a c", "a b c"], &["a c", "a b c"]);
        check("a /*M! b */ c", &["a c"], &["a b c"]);
        check("a /*m!100400 b */ c", &["a c"], &["a b c"]);
        check("a /*M!110000 b */ c", &["a c"], &["a c", "a b c"]);
        check("a /*M!80000 b */ c", &["a c"], &["a b c"]);
        // Two versions: a server of the lower one reads only that.
        let three = &["a c e", "a b c e", "a b c d e"];
        check("a /*!90000 b */ c /*!90100 d */ e", three, &["a c e"]);
        // Comments inside of comments.
        same("a /*! b /* c */ d */ e", &["a b d e"]);
        same("a /* b /* c */ d */ e", &["a d * / e"]);
        check("a /*!50800 b /* c */ d */ e", &["a b d e"], &["a e"]);
        same("a /*! b /*! c */ d */ e", &["a b ?"]);
        same("a /*! b", &["a b ?"]);
        same("a /* b", &["a ?"]);
        // What hides the end of a comment from a server that passes over it.
        same("/*!90500 '*/' a */ b", &["?"]);
        check("/*!90500 a -- */ b", &["?", "a ?"], &["b"]);
    }

    #[test]
    fn quotes_and_spaces() {
        let check = |dialect: Dialect, text: &str, expected: &str| {
            let readings = dialect.tokens(text).readings().unwrap();
            assert_eq!(
                (readings.len(), shown(&readings[0]).as_str()),
                (1, expected),
                "{text}"
            );
        };
        check(MYSQL, "'a''b\\'c' `d``e` \"f\"", "'' `d`e` ''");
        let ansi = Dialect {
            ansi_quotes: true,
            ..MYSQL
        };
        check(ansi, "\"a\"\"\\\" 'b'", "`a\"\\` ''");
        let plain = Dialect {
            no_backslash: true,
            ..MYSQL
        };
        check(plain, "'a\\' b", "'' b");
        check(MYSQL, "'a\\' b", "?");
        check(MYSQL, "`a", "?");
        check(MYSQL, "a\u{a0}b", "a ? b");
        check(MYSQL, "a\0", "a ?");
        check(MYSQL, "x'41' _utf8'x' 1.5 @a", "x '' _utf8 '' 1 . 5 @ a");
    }

    #[test]
    fn a_text_with_too_many_versions_has_no_readings() {
        let comments: Vec<String> = (0..9).map(|version| format!("/*!9000{version} a */")).collect();
        assert!(MYSQL.tokens(&comments.concat()).readings().is_none());
    }
}
