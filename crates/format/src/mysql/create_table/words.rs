//! A cursor over the tokens of a definition, with their texts and values.

use super::error::NotRead;
use crate::mysql::escape;
use crate::mysql::token::{Dialect, Placed, Token};

pub(super) type Read<T> = Result<T, NotRead>;

/// Longest text that an error repeats, in characters.
const NEAR_MAX: usize = 40;

/// Reads tokens from the left to the right.
pub(super) struct Words<'a> {
    text: &'a str,
    dialect: Dialect,
    tokens: Vec<Placed>,
    at: usize,
}

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a str, dialect: Dialect) -> Words<'a> {
        Words {
            text,
            dialect,
            tokens: dialect.tokens(text).newest(),
            at: 0,
        }
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|placed| &placed.token)
    }

    pub(super) fn is_end(&self) -> bool {
        self.at == self.tokens.len()
    }

    pub(super) fn place(&self) -> usize {
        self.at
    }

    pub(super) fn step(&mut self) -> Read<()> {
        if self.is_end() {
            return Err(NotRead::End);
        }
        self.at += 1;
        Ok(())
    }

    /// The text of the tokens from a place up to here.
    pub(super) fn text_from(&self, place: usize) -> &'a str {
        match (self.tokens.get(place), self.at.checked_sub(1)) {
            (Some(first), Some(last)) if last >= place => {
                &self.text[first.span.start..self.tokens[last].span.end]
            }
            _ => "",
        }
    }

    /// Whether the next token stands directly behind the last one.
    pub(super) fn is_adjacent(&self) -> bool {
        match (
            self.at.checked_sub(1).map(|last| &self.tokens[last]),
            self.tokens.get(self.at),
        ) {
            (Some(last), Some(next)) => last.span.end == next.span.start,
            _ => false,
        }
    }

    /// The failure that nothing reads what comes next.
    pub(super) fn not_read(&self) -> NotRead {
        match self.tokens.get(self.at) {
            None => NotRead::End,
            Some(placed) => NotRead::Word {
                near: self.text[placed.span.start..].chars().take(NEAR_MAX).collect(),
            },
        }
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| token.is_word(word))
    }

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
        let found = words
            .iter()
            .enumerate()
            .all(|(ahead, word)| self.peek_at(ahead).is_some_and(|token| token.is_word(word)));
        if found {
            self.at += words.len();
        }
        found
    }

    pub(super) fn expect(&mut self, word: &str) -> Read<()> {
        if self.accept(word) {
            Ok(())
        } else {
            Err(self.not_read())
        }
    }

    pub(super) fn is_symbol(&self, symbol: char) -> bool {
        self.peek() == Some(&Token::Symbol(symbol))
    }

    pub(super) fn symbol(&mut self, symbol: char) -> bool {
        let found = self.is_symbol(symbol);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect_symbol(&mut self, symbol: char) -> Read<()> {
        if self.symbol(symbol) {
            Ok(())
        } else {
            Err(self.not_read())
        }
    }

    pub(super) fn identifier(&mut self) -> Read<String> {
        match self.peek().and_then(Token::identifier) {
            Some(name) => {
                let name = name.to_owned();
                self.at += 1;
                Ok(name)
            }
            None => Err(self.not_read()),
        }
    }

    /// A name or a text in quotes.
    pub(super) fn name_or_text(&mut self) -> Read<String> {
        if self.peek() == Some(&Token::Literal) {
            return self.literal();
        }
        self.identifier()
    }

    pub(super) fn number(&mut self) -> Read<u32> {
        let number = match self.peek() {
            Some(Token::Word(word)) => word.parse().ok(),
            Some(Token::Quoted(_) | Token::Literal | Token::Symbol(_) | Token::Unreadable) | None => None,
        };
        let number = number.ok_or_else(|| self.not_read())?;
        self.at += 1;
        Ok(number)
    }

    /// The value of a text in quotes.
    pub(super) fn literal(&mut self) -> Read<String> {
        match self.tokens.get(self.at) {
            Some(placed) if placed.token == Token::Literal => {
                let text = &self.text[placed.span.clone()];
                self.at += 1;
                Ok(escape::literal(text, self.dialect.no_backslash))
            }
            _ => Err(self.not_read()),
        }
    }

    /// Steps over a group in parentheses and gives what stands inside.
    pub(super) fn group(&mut self) -> Read<&'a str> {
        self.expect_symbol('(')?;
        let start = self.tokens[self.at - 1].span.end;
        let mut depth = 1_usize;
        loop {
            match self.peek() {
                None => return Err(NotRead::End),
                Some(Token::Unreadable) => return Err(self.not_read()),
                Some(Token::Symbol('(')) => depth += 1,
                Some(Token::Symbol(')')) => depth -= 1,
                Some(Token::Word(_) | Token::Quoted(_) | Token::Literal | Token::Symbol(_)) => {}
            }
            self.at += 1;
            if depth == 0 {
                let end = self.tokens[self.at - 1].span.start;
                return Ok(self.text[start..end].trim());
            }
        }
    }

    /// Names in parentheses.
    pub(super) fn names(&mut self) -> Read<Vec<String>> {
        self.expect_symbol('(')?;
        let mut names = vec![self.identifier()?];
        while self.symbol(',') {
            names.push(self.identifier()?);
        }
        self.expect_symbol(')')?;
        Ok(names)
    }
}
