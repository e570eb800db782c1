//! CREATE, ALTER and DROP: of what kind of object, and what stands before its name.

use super::super::effect::{Effect, Kind};
use super::super::token::Token;
use super::Parser;
use super::index::IndexKind;

/// Objects that hold no rows and whose definitions run no code: bodies of routines, triggers,
/// events and views run later, and what they change is logged then.
const WITHOUT_ROWS: &[&str] = &[
    "VIEW",
    "TRIGGER",
    "PROCEDURE",
    "FUNCTION",
    "EVENT",
    "PACKAGE",
    "LIBRARY",
    "USER",
    "ROLE",
    "SERVER",
    "TABLESPACE",
    "LOGFILE",
    "RESOURCE",
    "REFERENCE",
    "INSTANCE",
];

/// What stands between the verb and the kind of object.
#[derive(Debug)]
struct Prefix {
    replace: bool,
    temporary: bool,
    ignore: bool,
    index: IndexKind,
}

impl Parser<'_> {
    pub(super) fn create(&mut self) -> Option<Kind> {
        let prefix = self.prefix()?;
        match self.object()?.as_str() {
            "TABLE" => self.create_table(prefix.temporary, prefix.replace),
            "INDEX" => self.create_index(prefix.index, prefix.replace),
            // MariaDB: OR REPLACE drops what has the name, also a table.
            "SEQUENCE" if prefix.replace => {
                let table = self.table()?;
                Some(Kind::Definition(vec![Effect::Changes(table)]))
            }
            "DATABASE" if prefix.replace => self.changes_schema(),
            _ => Some(Kind::Definition(Vec::new())),
        }
    }

    pub(super) fn alter(&mut self) -> Option<Kind> {
        let prefix = self.prefix()?;
        match self.object()?.as_str() {
            "TABLE" => self.alter_table(prefix.ignore),
            "DATABASE" => self.alter_schema(),
            "SEQUENCE" => {
                self.if_exists();
                let table = self.table()?;
                Some(Kind::Definition(vec![Effect::Changes(table)]))
            }
            "INDEX" => None,
            _ => Some(Kind::Definition(Vec::new())),
        }
    }

    pub(super) fn drop_object(&mut self) -> Option<Kind> {
        let prefix = self.prefix()?;
        match self.object()?.as_str() {
            "TABLE" => self.drop_table(prefix.temporary),
            "INDEX" => self.drop_index(),
            "SEQUENCE" => self.drop_sequence(),
            "DATABASE" => {
                self.if_exists();
                self.changes_schema()
            }
            _ => Some(Kind::Definition(Vec::new())),
        }
    }

    fn prefix(&mut self) -> Option<Prefix> {
        let replace = self.accept_all(&["OR", "REPLACE"]);
        let (mut temporary, mut ignore, mut index) = (false, false, IndexKind::Plain);
        loop {
            if self.accept("TEMPORARY") {
                temporary = true;
            } else if self.accept("IGNORE") {
                ignore = true;
            } else if self.accept_any(&["ONLINE", "OFFLINE", "AGGREGATE", "UNDO"])
                || self.accept_any(&["JSON", "RELATIONAL", "DUALITY", "MATERIALIZED"])
            {
            } else if self.accept_all(&["SQL", "SECURITY"]) {
                self.word()?;
            } else if self.accept("ALGORITHM") {
                self.symbol('=').then_some(())?;
                self.word()?;
            } else if self.accept("DEFINER") {
                self.symbol('=').then_some(())?;
                self.user()?;
            } else if self.is("UNIQUE") || self.is("FULLTEXT") || self.is("SPATIAL") {
                index = self.index_kind();
            } else {
                return Some(Prefix {
                    replace,
                    temporary,
                    ignore,
                    index,
                });
            }
        }
    }

    /// The kind of object.
    fn object(&mut self) -> Option<String> {
        let word = self.word()?;
        let object = match word.as_str() {
            "TABLE" | "TABLES" => "TABLE",
            "DATABASE" | "SCHEMA" => "DATABASE",
            "INDEX" | "SEQUENCE" => word.as_str(),
            other if WITHOUT_ROWS.contains(&other) => other,
            _ => return None,
        };
        self.defines(object);
        Some(object.to_owned())
    }

    /// `name`, `name@host`, `CURRENT_USER` or `CURRENT_USER()`.
    fn user(&mut self) -> Option<()> {
        self.user_part()?;
        if self.symbol('@') {
            self.user_part()?;
            // A host's name may hold points, also when it is not quoted.
            while self.symbol('.') {
                self.user_part()?;
            }
        } else if self.symbol('(') {
            self.symbol(')').then_some(())?;
        }
        Some(())
    }

    fn user_part(&mut self) -> Option<()> {
        match self.next()? {
            Token::Word(_) | Token::Quoted(_) | Token::Literal => Some(()),
            Token::Symbol(_) | Token::Unreadable => None,
        }
    }

    fn changes_schema(&mut self) -> Option<Kind> {
        let schema = self.identifier()?;
        Some(Kind::Definition(vec![Effect::ChangesSchema(Some(schema))]))
    }

    /// Behind ALTER DATABASE: `[name] setting …`. A default character set is for tables to come.
    fn alter_schema(&mut self) -> Option<Kind> {
        let start = self.rest();
        if self.schema_settings().is_some() {
            return Some(Kind::Definition(Vec::new()));
        }
        let mut named = self.part(start);
        let name = named.identifier();
        if name.is_some() && named.schema_settings().is_some() {
            return Some(Kind::Definition(Vec::new()));
        }
        // Whether the name was left out is not clear: both schemas may change.
        let named = Effect::ChangesSchema(name);
        Some(Kind::Definition(vec![named, Effect::ChangesSchema(None)]))
    }

    /// Settings that change no table, to the end of the statement.
    fn schema_settings(&mut self) -> Option<()> {
        loop {
            self.accept("DEFAULT");
            let is_charset =
                self.accept_all(&["CHARACTER", "SET"]) || self.accept_any(&["CHARSET", "COLLATE"]);
            if !is_charset {
                self.expect("COMMENT")?;
            }
            self.symbol('=');
            match self.next()? {
                Token::Word(_) | Token::Quoted(_) | Token::Literal => {}
                Token::Symbol(_) | Token::Unreadable => return None,
            }
            if self.is_end() {
                return Some(());
            }
        }
    }
}
