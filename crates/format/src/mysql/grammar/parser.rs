//! The cursor over a statement's tokens, and what every production is made of.

use super::super::effect::Named;
use super::super::token::Token;

/// Reads tokens from the left to the right.
pub(in super::super) struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    mariadb: bool,
    /// Where the words of the title begin.
    titled_from: usize,
    /// What is defined, such as TABLE.
    object: Option<String>,
    /// A setting before the statement that decides how the statement is read.
    unread_setting: Option<&'static str>,
}

/// Most words of a title.
const TITLE_WORDS: usize = 2;

impl<'a> Parser<'a> {
    pub(in super::super) fn new(tokens: &'a [Token], mariadb: bool) -> Parser<'a> {
        // What a client sends behind its statement.
        let end = tokens.iter().rposition(|token| *token != Token::Symbol(';'));
        Parser {
            tokens: &tokens[..end.map_or(0, |last| last + 1)],
            at: 0,
            mariadb,
            titled_from: 0,
            object: None,
            unread_setting: None,
        }
    }

    /// A parser for a part of the statement.
    pub(super) fn part(&self, tokens: &'a [Token]) -> Parser<'a> {
        Parser::new(tokens, self.mariadb)
    }

    pub(super) fn is_mariadb(&self) -> bool {
        self.mariadb
    }

    pub(super) fn place(&self) -> usize {
        self.at
    }

    pub(super) fn named_from(&mut self, place: usize) {
        self.titled_from = place;
    }

    pub(super) fn defines(&mut self, object: &str) {
        self.object = Some(object.to_owned());
    }

    /// The verb with what it defines, or the statement's first words. Numbers are values and are
    /// left out.
    pub(super) fn title(&self) -> String {
        if let Some(setting) = self.unread_setting {
            return format!("SET STATEMENT with `{setting}`, which decides how the rest is read");
        }
        let words = self.tokens[self.titled_from..]
            .iter()
            .map_while(|token| match token {
                Token::Word(word) if !word.starts_with(|first: char| first.is_ascii_digit()) => {
                    Some(word.to_ascii_uppercase())
                }
                Token::Word(_) | Token::Quoted(_) | Token::Literal | Token::Symbol(_) | Token::Unreadable => {
                    None
                }
            });
        let title: Vec<String> = match &self.object {
            Some(object) => words.take(1).chain([object.clone()]).collect(),
            None => words.take(TITLE_WORDS).collect(),
        };
        if title.is_empty() {
            return "a statement".to_owned();
        }
        title.join(" ")
    }

    /// Notes that the rest of the statement cannot be read, because a setting before it decides
    /// how.
    pub(super) fn cannot_read_under(&mut self, setting: &'static str) {
        self.unread_setting = Some(setting);
    }

    pub(super) fn rest(&self) -> &'a [Token] {
        &self.tokens[self.at..]
    }

    pub(super) fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    pub(super) fn next(&mut self) -> Option<&'a Token> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    /// Whether everything was read.
    pub(super) fn is_end(&self) -> bool {
        self.at == self.tokens.len()
    }

    /// The statement must end here.
    pub(super) fn end(&self) -> Option<()> {
        self.is_end().then_some(())
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| token.is_word(word))
    }

    /// Steps over a word if it comes next.
    pub(super) fn accept(&mut self, word: &str) -> bool {
        let found = self.is(word);
        self.at += usize::from(found);
        found
    }

    pub(super) fn accept_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.accept(word))
    }

    /// Steps over all of these words, or over none.
    pub(super) fn accept_all(&mut self, words: &[&str]) -> bool {
        let next = self.rest();
        let found =
            next.len() >= words.len() && next.iter().zip(words).all(|(token, word)| token.is_word(word));
        if found {
            self.at += words.len();
        }
        found
    }

    pub(super) fn expect(&mut self, word: &str) -> Option<()> {
        self.accept(word).then_some(())
    }

    pub(super) fn symbol(&mut self, symbol: char) -> bool {
        let found = self.peek() == Some(&Token::Symbol(symbol));
        self.at += usize::from(found);
        found
    }

    /// The next word, in capitals.
    pub(super) fn word(&mut self) -> Option<String> {
        let Some(Token::Word(word)) = self.peek() else {
            return None;
        };
        self.at += 1;
        Some(word.to_ascii_uppercase())
    }

    pub(super) fn number(&mut self) -> Option<()> {
        let is_number = |word: &String| word.bytes().all(|byte| byte.is_ascii_digit());
        matches!(self.next()?, Token::Word(word) if is_number(word)).then_some(())
    }

    pub(super) fn literal(&mut self) -> Option<()> {
        (self.next()? == &Token::Literal).then_some(())
    }

    pub(super) fn identifier(&mut self) -> Option<String> {
        let name = self.peek()?.identifier()?.to_owned();
        self.at += 1;
        Some(name)
    }

    /// `table`, `schema.table` or `.table`.
    pub(super) fn table(&mut self) -> Option<Named> {
        self.symbol('.');
        let first = self.identifier()?;
        if self.symbol('.') {
            return Some(Named {
                schema: Some(first),
                table: self.identifier()?,
            });
        }
        Some(Named {
            schema: None,
            table: first,
        })
    }

    pub(super) fn tables(&mut self) -> Option<Vec<Named>> {
        let mut tables = vec![self.table()?];
        while self.symbol(',') {
            tables.push(self.table()?);
        }
        Some(tables)
    }

    pub(super) fn if_exists(&mut self) -> bool {
        self.accept_all(&["IF", "EXISTS"])
    }

    pub(super) fn if_not_exists(&mut self) -> bool {
        self.accept_all(&["IF", "NOT", "EXISTS"])
    }

    /// MariaDB: `WAIT seconds` or `NOWAIT`, if it comes next.
    pub(super) fn wait(&mut self) -> Option<()> {
        if self.mariadb && !self.accept("NOWAIT") && self.accept("WAIT") {
            self.number()?;
        }
        Some(())
    }

    /// Steps over a group in parentheses.
    pub(super) fn group(&mut self) -> Option<()> {
        if !self.symbol('(') {
            return None;
        }
        let mut depth = 1_usize;
        while depth > 0 {
            match self.next()? {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => depth -= 1,
                Token::Unreadable => return None,
                Token::Word(_) | Token::Quoted(_) | Token::Literal | Token::Symbol(_) => {}
            }
        }
        Some(())
    }
}
