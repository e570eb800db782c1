//! What a statement does, and to which tables.
//!
//! A statement is harmless only if all of it was read by the grammar of its server (`grammar`).
//! What is not read to its end counts as a change.

pub use super::effect::{Effect, IndexChange, Kind, Named};
use super::grammar::Parser;
use super::token::{Dialect, Token};

/// Longest text that is taken apart, in bytes. A definition is shorter by far; of a longer text
/// nothing is known.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// A statement that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it does.
    pub kind: Kind,
    /// Every identifier of the text, for statements that are not understood.
    pub mentioned: Vec<String>,
    /// Its first words, for findings; never values.
    pub title: String,
}

impl Statement {
    /// A statement of which nothing is known but its kind.
    pub fn new(kind: Kind) -> Statement {
        Statement {
            kind,
            mentioned: Vec::new(),
            title: "a statement".to_owned(),
        }
    }

    /// Reads a statement's text. Where servers of different versions read different statements in
    /// it, the result has the effects of all of them.
    pub fn read(text: &str, dialect: Dialect) -> Statement {
        if text.len() > TEXT_BYTES_MAX {
            return Statement::new(Kind::Unknown);
        }
        let Some(mut readings) = dialect.tokens(text).readings() else {
            return Statement::new(Kind::Unknown);
        };
        // A server logs nothing that it reads as empty, so another reading is the right one.
        if readings.iter().any(|tokens| !tokens.is_empty()) {
            readings.retain(|tokens| !tokens.is_empty());
        }
        let statements = readings
            .iter()
            .map(|tokens| Statement::of(tokens, dialect.mariadb));
        statements
            .reduce(Statement::or)
            .unwrap_or_else(|| Statement::new(Kind::Unknown))
    }

    fn of(tokens: &[Token], mariadb: bool) -> Statement {
        let (kind, title) = Parser::new(tokens, mariadb).statement();
        let mentioned = tokens.iter().filter_map(Token::identifier).map(str::to_owned);
        Statement {
            kind,
            mentioned: mentioned.collect(),
            title,
        }
    }

    /// The statement that does what either of the two does.
    fn or(self, other: Statement) -> Statement {
        let kind = match (self.kind, other.kind) {
            (left, right) if left == right => left,
            (Kind::Definition(mut effects), Kind::Definition(more)) => {
                effects.extend(more);
                Kind::Definition(effects)
            }
            (Kind::Definition(effects), Kind::Nothing) | (Kind::Nothing, Kind::Definition(effects)) => {
                Kind::Definition(effects)
            }
            (_, _) => Kind::Unknown,
        };
        let mut mentioned = self.mentioned;
        mentioned.extend(other.mentioned);
        Statement {
            kind,
            mentioned,
            title: other.title,
        }
    }
}
