//! What a dump has set so far, as far as it decides how the rest is read.

use std::collections::BTreeMap;

use spanferry_core::schema::charset::Charset;

use super::assignment::{Variable, assignments, is_utc, variable};
use super::error::Fault;
use super::mark_text::{Fields, Written};
use crate::mysql::token::{Dialect, Placed, Token};

/// Most variables of the dump's own that are remembered. A dump has about ten.
const VARIABLES_MAX: usize = 64;
/// Longest delimiter.
const DELIMITER_BYTES_MAX: usize = 16;

/// How bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The dump is one of MariaDB.
    pub mariadb: bool,
    /// `ANSI_QUOTES`: `"x"` is an identifier.
    pub ansi_quotes: bool,
    /// `NO_BACKSLASH_ESCAPES`.
    pub no_backslash: bool,
    /// The character set of the dump's text (`character_set_client`). After `SET NAMES binary`,
    /// each text is in the character set of its own column.
    pub charset: Charset,
}

impl Reading {
    /// How the tools write a dump unless something in it, or its user, says otherwise: in utf8mb4,
    /// with no sql_mode that matters.
    pub fn plain(mariadb: bool) -> Reading {
        Reading {
            mariadb,
            ansi_quotes: false,
            no_backslash: false,
            charset: Charset::Utf8mb4,
        }
    }

    /// Whether the second byte of a character may be a backslash.
    pub(super) fn has_hidden_backslashes(self) -> bool {
        matches!(
            self.charset,
            Charset::Sjis | Charset::Cp932 | Charset::Gbk | Charset::Gb18030 | Charset::Big5
        )
    }

    /// The same for the tokenizer.
    pub fn dialect(self) -> Dialect {
        Dialect {
            mariadb: self.mariadb,
            ansi_quotes: self.ansi_quotes,
            no_backslash: self.no_backslash,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mode {
    ansi_quotes: bool,
    no_backslash: bool,
}

/// What a variable of the dump's own keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Mode(Mode),
    Charset(Charset),
}

/// What the dump has set so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    reading: Reading,
    has_charset: bool,
    schema: Option<String>,
    /// The time zone of the session is UTC: TIMESTAMP values stand there as they are.
    is_utc: bool,
    delimiter: Vec<u8>,
    variables: BTreeMap<String, Kept>,
}

impl Session {
    /// The state before the first statement.
    pub(super) fn new(reading: Reading) -> Session {
        Session {
            reading,
            has_charset: false,
            schema: None,
            is_utc: false,
            delimiter: b";".to_vec(),
            variables: BTreeMap::new(),
        }
    }

    pub(super) fn write(&self, text: &mut Written) {
        let reading = self.reading;
        text.flags(&[reading.mariadb, reading.ansi_quotes, reading.no_backslash]);
        text.word(reading.charset.name());
        text.flags(&[self.has_charset, self.is_utc]);
        text.option(self.schema.as_deref().map(str::as_bytes));
        text.bytes(&self.delimiter);
        text.number(u64::try_from(self.variables.len()).expect("a length fits 64 bits"));
        for (name, kept) in &self.variables {
            text.bytes(name.as_bytes());
            match kept {
                Kept::Mode(mode) => {
                    text.word("mode");
                    text.flags(&[mode.ansi_quotes, mode.no_backslash]);
                }
                Kept::Charset(charset) => {
                    text.word("charset");
                    text.word(charset.name());
                }
            }
        }
    }

    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Session> {
        let [mariadb, ansi_quotes, no_backslash] = fields.flags()?;
        let charset = Charset::from_name(fields.word()?)?;
        let [has_charset, is_utc] = fields.flags()?;
        let schema = match fields.option()? {
            Some(schema) => Some(String::from_utf8(schema).ok()?),
            None => None,
        };
        let delimiter = fields.bytes()?;
        let count = usize::try_from(fields.number()?).ok()?;
        if count > VARIABLES_MAX || delimiter.is_empty() {
            return None;
        }
        let variables = (0..count).map(|_| variable_of(fields)).collect::<Option<_>>()?;
        Some(Session {
            reading: Reading {
                mariadb,
                ansi_quotes,
                no_backslash,
                charset,
            },
            has_charset,
            schema,
            is_utc,
            delimiter,
            variables,
        })
    }

    /// How bytes are read now.
    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// Whether the dump itself has set its character set. With `--compatible` the tools leave that
    /// out, and mariadb-dump then writes latin1: nothing in the dump shows it.
    pub fn has_charset(&self) -> bool {
        self.has_charset
    }

    /// Whether the dump has set the time zone UTC, in which the tools write TIMESTAMP values unless
    /// they are asked not to.
    pub fn is_utc(&self) -> bool {
        self.is_utc
    }

    /// The schema of tables that name none: the one of the last USE, else of the dump's header.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// What ends a statement.
    pub(super) fn delimiter(&self) -> &[u8] {
        &self.delimiter
    }

    /// DELIMITER, a command of the client. It takes the first word of the line.
    pub(super) fn set_delimiter(&mut self, line: &[u8]) {
        let word = line.split(u8::is_ascii_whitespace).find(|word| !word.is_empty());
        if let Some(word) = word.filter(|word| word.len() <= DELIMITER_BYTES_MAX) {
            self.delimiter = word.to_vec();
        }
    }

    pub(super) fn set_schema(&mut self, schema: String) {
        self.schema = Some(schema);
    }

    pub(super) fn set_mariadb(&mut self, mariadb: bool) {
        self.reading.mariadb = mariadb;
    }

    /// Follows a statement that begins with SET or USE.
    pub(super) fn follow(&mut self, text: &str) -> Result<(), Fault> {
        let tokens = self.reading.dialect().tokens(text).newest();
        match tokens.as_slice() {
            [verb, name, ..] if verb.token.is_word("USE") => {
                self.schema = name.token.identifier().map(str::to_owned);
                Ok(())
            }
            [verb, rest @ ..] if verb.token.is_word("SET") => self.set(text, rest),
            _ => Ok(()),
        }
    }

    fn set(&mut self, text: &str, tokens: &[Placed]) -> Result<(), Fault> {
        for assignment in assignments(tokens) {
            match assignment {
                [names, value, ..] if names.token.is_word("NAMES") => {
                    let value = std::slice::from_ref(value);
                    self.set_charset(text, value)?;
                }
                [word, set, value @ ..] if word.token.is_word("CHARACTER") && set.token.is_word("SET") => {
                    self.set_charset(text, value)?;
                }
                [word, value @ ..] if word.token.is_word("CHARSET") => {
                    self.set_charset(text, value)?;
                }
                other => self.assign(text, other)?,
            }
        }
        Ok(())
    }

    fn assign(&mut self, text: &str, tokens: &[Placed]) -> Result<(), Fault> {
        let Some(equals) = tokens.iter().position(|token| token.token == Token::Symbol('=')) else {
            return Ok(());
        };
        let value = &tokens[equals + 1..];
        let name = match &tokens[..equals] {
            [name @ .., colon] if colon.token == Token::Symbol(':') => name,
            name => name,
        };
        match variable(name) {
            Some(Variable::Own(name)) => self.keep(name, value),
            Some(Variable::Server(name)) if name.eq_ignore_ascii_case("sql_mode") => {
                let mode = self.mode(text, value)?;
                self.reading.ansi_quotes = mode.ansi_quotes;
                self.reading.no_backslash = mode.no_backslash;
            }
            Some(Variable::Server(name)) if name.eq_ignore_ascii_case("character_set_client") => {
                self.set_charset(text, value)?;
            }
            Some(Variable::Server(name)) if name.eq_ignore_ascii_case("time_zone") => {
                self.is_utc = is_utc(text, value);
            }
            Some(Variable::Server(_)) | None => {}
        }
        Ok(())
    }

    /// `@x = @@sql_mode` and the like. What else a variable holds does not matter here.
    fn keep(&mut self, name: &str, value: &[Placed]) {
        let kept = match variable(value) {
            Some(Variable::Server(name)) if name.eq_ignore_ascii_case("sql_mode") => Kept::Mode(Mode {
                ansi_quotes: self.reading.ansi_quotes,
                no_backslash: self.reading.no_backslash,
            }),
            Some(Variable::Server(name)) if name.eq_ignore_ascii_case("character_set_client") => {
                Kept::Charset(self.reading.charset)
            }
            Some(Variable::Server(_) | Variable::Own(_)) | None => {
                self.variables.remove(&name.to_ascii_lowercase());
                return;
            }
        };
        if self.variables.len() < VARIABLES_MAX {
            self.variables.insert(name.to_ascii_lowercase(), kept);
        }
    }

    fn mode(&self, text: &str, value: &[Placed]) -> Result<Mode, Fault> {
        const UNKNOWN: Fault = Fault::Setting { variable: "sql_mode" };
        if let Some(Variable::Own(name)) = variable(value).filter(|_| value.len() > 1) {
            return match self.variables.get(&name.to_ascii_lowercase()) {
                Some(Kept::Mode(mode)) => Ok(*mode),
                Some(Kept::Charset(_)) | None => Err(UNKNOWN),
            };
        }
        let [value] = value else {
            return Err(UNKNOWN);
        };
        let words = match &value.token {
            Token::Literal => text[value.span.clone()].trim_matches(['\'', '"']),
            Token::Word(word) if word.eq_ignore_ascii_case("DEFAULT") => "",
            Token::Word(word) if word.starts_with(|first: char| first.is_ascii_digit()) => {
                return Err(UNKNOWN);
            }
            Token::Word(word) | Token::Quoted(word) => word,
            Token::Symbol(_) | Token::Unreadable => return Err(UNKNOWN),
        };
        let has = |mode: &str| {
            words
                .split(',')
                .any(|word| word.trim().eq_ignore_ascii_case(mode))
        };
        // The other modes that stand for several, DB2, ORACLE and so on, hold ANSI_QUOTES too.
        let several = ["ANSI", "DB2", "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL"];
        Ok(Mode {
            ansi_quotes: has("ANSI_QUOTES") || several.into_iter().any(has),
            no_backslash: has("NO_BACKSLASH_ESCAPES"),
        })
    }

    fn set_charset(&mut self, text: &str, value: &[Placed]) -> Result<(), Fault> {
        self.reading.charset = self.charset(text, value)?;
        self.has_charset = true;
        Ok(())
    }

    fn charset(&self, text: &str, value: &[Placed]) -> Result<Charset, Fault> {
        let unknown = Fault::Setting {
            variable: "character_set_client",
        };
        let name = match value {
            [value] => match &value.token {
                Token::Literal => text[value.span.clone()].trim_matches(['\'', '"']),
                Token::Word(word) | Token::Quoted(word) => word,
                Token::Symbol(_) | Token::Unreadable => return Err(unknown),
            },
            value => {
                let kept = match variable(value) {
                    Some(Variable::Own(name)) => self.variables.get(&name.to_ascii_lowercase()),
                    Some(Variable::Server(_)) | None => None,
                };
                return match kept {
                    Some(Kept::Charset(charset)) => Ok(*charset),
                    Some(Kept::Mode(_)) | None => Err(unknown),
                };
            }
        };
        if name.eq_ignore_ascii_case("DEFAULT") {
            return Ok(Charset::Utf8mb4);
        }
        Charset::from_name(name).ok_or_else(|| Fault::UnknownCharset {
            name: name.to_owned(),
        })
    }
}

/// A variable of a mark, with what it keeps.
fn variable_of(fields: &mut Fields<'_>) -> Option<(String, Kept)> {
    let name = fields.text()?;
    let kept = match fields.word()? {
        "mode" => {
            let [ansi_quotes, no_backslash] = fields.flags()?;
            Kept::Mode(Mode {
                ansi_quotes,
                no_backslash,
            })
        }
        "charset" => Kept::Charset(Charset::from_name(fields.word()?)?),
        _ => return None,
    };
    Some((name, kept))
}
