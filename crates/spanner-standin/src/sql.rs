//! DDL text cut into tokens, and a cursor over them.

use crate::refusal::Refusal;

/// One token. Words are kept as written and compared without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A keyword, a bare name or a number.
    Word(String),
    /// A name in back-quotes or double quotes, without them.
    Quoted(String),
    /// A text in single quotes, without them.
    Text(String),
    /// Any other character.
    Symbol(char),
}

/// Walks over the tokens of one statement.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    statement: &'a str,
    tokens: Vec<Token>,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Cuts a statement; fails on an open quote.
    pub(crate) fn new(statement: &'a str) -> Result<Cursor<'a>, Refusal> {
        let tokens = tokens(statement).ok_or_else(|| Refusal::ddl_syntax(statement))?;
        Ok(Cursor {
            statement,
            tokens,
            at: 0,
        })
    }

    /// The error of a statement that is not understood.
    pub(crate) fn syntax(&self) -> Refusal {
        Refusal::ddl_syntax(self.statement)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    /// Whether the next token is this keyword.
    pub(crate) fn sees(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    /// Whether the next tokens are these keywords.
    pub(crate) fn sees_all(&mut self, words: &[&str]) -> bool {
        let start = self.at;
        let found = self.take(words);
        self.at = start;
        found
    }

    /// Whether the token just taken was written in upper case, as GoogleSQL's own DDL is.
    pub(crate) fn is_upper_before(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        matches!(before, Some(Token::Word(word)) if !word.chars().any(char::is_lowercase))
    }

    /// Takes these keywords if all of them come next.
    pub(crate) fn take(&mut self, words: &[&str]) -> bool {
        let start = self.at;
        for word in words {
            if !self.sees(word) {
                self.at = start;
                return false;
            }
            self.at += 1;
        }
        true
    }

    /// Takes a symbol if it comes next.
    pub(crate) fn take_symbol(&mut self, symbol: char) -> bool {
        let found = self.peek() == Some(&Token::Symbol(symbol));
        self.at += usize::from(found);
        found
    }

    /// Takes a symbol that must come next.
    pub(crate) fn symbol(&mut self, symbol: char) -> Result<(), Refusal> {
        if self.take_symbol(symbol) {
            Ok(())
        } else {
            Err(self.syntax())
        }
    }

    /// Takes a name, quoted or not; `schema.name` is one name.
    pub(crate) fn name(&mut self) -> Result<String, Refusal> {
        let mut name = self.part()?;
        while self.take_symbol('.') {
            name.push('.');
            name.push_str(&self.part()?);
        }
        Ok(name)
    }

    fn part(&mut self) -> Result<String, Refusal> {
        let Some(Token::Word(name) | Token::Quoted(name)) = self.peek() else {
            return Err(self.syntax());
        };
        let name = name.clone();
        self.at += 1;
        Ok(name)
    }

    /// Takes a bare word in upper case.
    pub(crate) fn word(&mut self) -> Result<String, Refusal> {
        let Some(Token::Word(word)) = self.peek() else {
            return Err(self.syntax());
        };
        let word = word.to_ascii_uppercase();
        self.at += 1;
        Ok(word)
    }

    /// Takes a list of names in parentheses, each with whether `DESC` follows.
    pub(crate) fn names(&mut self) -> Result<Vec<(String, bool)>, Refusal> {
        self.symbol('(')?;
        let mut names = Vec::new();
        while !self.take_symbol(')') {
            let name = self.name()?;
            let descending = self.take(&["DESC"]);
            let _ = descending || self.take(&["ASC"]);
            let _ = self.take(&["NULLS", "FIRST"]) || self.take(&["NULLS", "LAST"]);
            names.push((name, descending));
            if !self.take_symbol(',') {
                self.symbol(')')?;
                break;
            }
        }
        Ok(names)
    }

    /// Skips to the next `,` or `)` of this level, or to the end; calls `visit` before each token
    /// it skips.
    pub(crate) fn skip_item(&mut self, mut visit: impl FnMut(&mut Cursor<'a>)) {
        let mut depth = 0_usize;
        while let Some(token) = self.peek() {
            match token {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')' | ',') if depth == 0 => return,
                Token::Symbol(')') => depth -= 1,
                Token::Symbol(_) | Token::Word(_) | Token::Quoted(_) | Token::Text(_) => {}
            }
            if depth == 0 {
                visit(self);
            }
            self.at += 1;
        }
    }
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(&character) = rest.peek() {
        if character.is_whitespace() {
            rest.next();
        } else if matches!(character, '`' | '"' | '\'') {
            rest.next();
            let content = quoted(&mut rest, character)?;
            tokens.push(if character == '\'' {
                Token::Text(content)
            } else {
                Token::Quoted(content)
            });
        } else if is_word(character) {
            let mut word = String::new();
            while let Some(character) = rest.next_if(|character| is_word(*character)) {
                word.push(character);
            }
            tokens.push(Token::Word(word));
        } else {
            rest.next();
            tokens.push(Token::Symbol(character));
        }
    }
    Some(tokens)
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Both dialects' escapes: a doubled quote, or a backslash inside back-quotes and single quotes.
fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, quote: char) -> Option<String> {
    let mut content = String::new();
    loop {
        let character = rest.next()?;
        if character == '\\' && quote != '"' {
            content.push(rest.next()?);
        } else if character == quote {
            if quote == '`' || rest.next_if_eq(&quote).is_none() {
                return Some(content);
            }
            content.push(quote);
        } else {
            content.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keywords_and_lists() {
        let mut cursor = Cursor::new("create TABLE `a\\`b` (\"x\"\"y\" DESC, z)").unwrap();
        assert!(!cursor.take(&["CREATE", "INDEX"]));
        assert!(cursor.take(&["CREATE", "TABLE"]));
        assert_eq!(cursor.name().unwrap(), "a`b");
        assert_eq!(
            cursor.names().unwrap(),
            [("x\"y".to_owned(), true), ("z".to_owned(), false)]
        );
        assert!(Cursor::new("DROP TABLE `x").is_err());
    }
}
