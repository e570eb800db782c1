//! The grammar of statements, of MySQL and of MariaDB: which statement it is, and whether all of it
//! is understood.
//!
//! A production returns `None` for a text that it does not know to its end. Sources:
//! `sql/sql_yacc.yy` of MySQL 8.0 to 9.7 and of MariaDB 10.5 to 11.8;
//! `crates/mysql/tests/statements.rs` compares it with real servers.

mod alter;
mod index;
mod object;
mod parser;
mod table;
#[cfg(test)]
mod tests;

pub(super) use parser::Parser;

use super::effect::Kind;
use super::token::Token;

/// Verbs of statements that change no row and no definition of a table, whatever follows.
const INERT: &[&str] = &[
    "GRANT",
    "REVOKE",
    "FLUSH",
    "INSTALL",
    "UNINSTALL",
    "LOCK",
    "UNLOCK",
];

/// Verbs of statements that change rows, or run code that may.
const ROWS: &[&str] = &[
    "INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "CALL", "DO", "WITH", "SELECT", "VALUES",
];

/// Verbs of statements that change only what they name.
const DEFINES: &[&str] = &[
    "CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE", "ANALYZE", "OPTIMIZE", "CHECK", "REPAIR",
];

impl Parser<'_> {
    /// What the statement does, and its title.
    pub(in super::super) fn statement(mut self) -> (Kind, String) {
        while self.symbol('(') {}
        if self.is_end() {
            return (Kind::Nothing, "an empty statement".to_owned());
        }
        let kind = self.skip_settings().and_then(|()| {
            let start = self.place();
            let Some(verb) = self.word() else {
                return Some(Kind::Unknown);
            };
            self.named_from(start);
            let defines = DEFINES.contains(&verb.as_str());
            self.verb(&verb).or(defines.then_some(Kind::UnknownDefinition))
        });
        (kind.unwrap_or(Kind::Unknown), self.title())
    }

    fn verb(&mut self, verb: &str) -> Option<Kind> {
        match verb {
            "CREATE" => self.create(),
            "ALTER" => self.alter(),
            "DROP" => self.drop_object(),
            "RENAME" => self.rename(),
            "TRUNCATE" => self.truncate(),
            "ANALYZE" => self.analyze(),
            "OPTIMIZE" => self.optimize(),
            "CHECK" | "REPAIR" => self.repair(),
            "XA" => self.xa(),
            "SET" => self.set(),
            verb if INERT.contains(&verb) => Some(Kind::Definition(Vec::new())),
            verb if ROWS.contains(&verb) => Some(Kind::Rows),
            verb => self.transaction_control(verb),
        }
    }

    /// MariaDB: `SET STATEMENT variable = value, … FOR statement`, any number of times. What counts
    /// is the statement.
    fn skip_settings(&mut self) -> Option<()> {
        while self.is_mariadb() && self.accept_all(&["SET", "STATEMENT"]) {
            let mut depth = 0_usize;
            loop {
                let token = self.next()?;
                match token {
                    Token::Symbol('(') => depth += 1,
                    Token::Symbol(')') => depth = depth.checked_sub(1)?,
                    token if depth == 0 && token.is_word("FOR") => break,
                    // How the text was read is then not what the event says.
                    Token::Word(name) | Token::Quoted(name) => {
                        if let Some(setting) = reading_setting(name) {
                            self.cannot_read_under(setting);
                            return None;
                        }
                    }
                    Token::Literal | Token::Symbol(_) => {}
                    Token::Unreadable => return None,
                }
            }
        }
        Some(())
    }

    fn transaction_control(&mut self, verb: &str) -> Option<Kind> {
        let kind = match verb {
            "BEGIN" => {
                self.accept("WORK");
                Kind::Begin
            }
            "START" => {
                self.expect("TRANSACTION")?;
                return Some(Kind::Begin);
            }
            "COMMIT" => {
                self.accept("WORK");
                Kind::Commit
            }
            "ROLLBACK" => {
                self.accept("WORK");
                if self.accept("TO") {
                    self.accept("SAVEPOINT");
                    self.identifier()?;
                    Kind::RollbackToSavepoint
                } else {
                    Kind::Rollback
                }
            }
            "SAVEPOINT" => {
                self.identifier()?;
                Kind::Nothing
            }
            "RELEASE" => {
                self.expect("SAVEPOINT")?;
                self.identifier()?;
                Kind::Nothing
            }
            _ => return None,
        };
        self.end()?;
        Some(kind)
    }

    /// The identity of the transaction that follows does not matter.
    fn xa(&mut self) -> Option<Kind> {
        match self.word()?.as_str() {
            "START" | "BEGIN" => Some(Kind::XaStart),
            "END" | "PREPARE" => Some(Kind::XaPrepare),
            "COMMIT" | "ROLLBACK" => Some(Kind::XaEnd),
            _ => None,
        }
    }

    /// Of all that SET sets, servers log passwords and roles.
    fn set(&mut self) -> Option<Kind> {
        self.accept("DEFAULT");
        (self.accept("PASSWORD") || self.accept("ROLE")).then(|| Kind::Definition(Vec::new()))
    }
}

/// The setting that decides how a text is read, if a variable of this name is one.
fn reading_setting(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    ["sql_mode", "character_set", "collation"]
        .into_iter()
        .find(|part| name.contains(part))
}
