//! Index definitions, in ALTER TABLE and in CREATE INDEX and DROP INDEX.

use super::super::effect::{Effect, IndexChange, Kind};
use super::Parser;

/// What stands in front of INDEX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IndexKind {
    Plain,
    Unique,
    Fulltext,
    Spatial,
}

impl Parser<'_> {
    /// `UNIQUE`, `FULLTEXT` or `SPATIAL`, if it comes next.
    pub(super) fn index_kind(&mut self) -> IndexKind {
        if self.accept("UNIQUE") {
            IndexKind::Unique
        } else if self.accept("FULLTEXT") {
            IndexKind::Fulltext
        } else if self.accept("SPATIAL") {
            IndexKind::Spatial
        } else {
            IndexKind::Plain
        }
    }

    /// `[name] [USING …] (parts) option …`, as it stands in ALTER TABLE behind ADD … INDEX.
    pub(super) fn added_index(&mut self, kind: IndexKind) -> Option<IndexChange> {
        if self.is_mariadb() {
            self.if_not_exists();
        }
        if !self.is("USING") && self.peek()?.identifier().is_some() && self.is_no_primary()? {
            self.identifier()?;
        }
        self.using()?;
        self.key_parts()?;
        while !self.is_end() {
            self.index_option()?;
        }
        let unique = kind == IndexKind::Unique;
        Some(IndexChange::Adds { unique })
    }

    /// The name of an index. That of the primary key is none.
    pub(super) fn index_name(&mut self) -> Option<String> {
        self.identifier().filter(|name| !is_primary(name))
    }

    /// Whether the next identifier is not `PRIMARY`: an index cannot have this name.
    fn is_no_primary(&self) -> Option<bool> {
        (!is_primary(self.peek()?.identifier()?)).then_some(true)
    }

    fn using(&mut self) -> Option<()> {
        if self.accept("USING") && !self.accept_any(&["BTREE", "HASH", "RTREE"]) {
            return None;
        }
        Some(())
    }

    /// `(column [(length)] [ASC|DESC], (expression) [ASC|DESC], …)`.
    fn key_parts(&mut self) -> Option<()> {
        if !self.symbol('(') {
            return None;
        }
        loop {
            if self.peek()?.identifier().is_some() {
                self.identifier()?;
                if self.symbol('(') {
                    self.number()?;
                    self.symbol(')').then_some(())?;
                }
            } else {
                self.group()?;
            }
            self.accept_any(&["ASC", "DESC"]);
            if self.symbol(')') {
                return Some(());
            }
            self.symbol(',').then_some(())?;
        }
    }

    fn index_option(&mut self) -> Option<()> {
        let mariadb = self.is_mariadb();
        match self.word()?.as_str() {
            "KEY_BLOCK_SIZE" => {
                self.symbol('=');
                self.number()
            }
            "USING" => self.accept_any(&["BTREE", "HASH", "RTREE"]).then_some(()),
            "WITH" => {
                self.expect("PARSER")?;
                self.identifier().map(drop)
            }
            "COMMENT" => {
                self.symbol('=');
                self.literal()
            }
            "VISIBLE" | "INVISIBLE" if !mariadb => Some(()),
            "ENGINE_ATTRIBUTE" | "SECONDARY_ENGINE_ATTRIBUTE" if !mariadb => {
                self.symbol('=');
                self.literal()
            }
            "IGNORED" if mariadb => Some(()),
            "NOT" if mariadb => self.expect("IGNORED"),
            _ => None,
        }
    }

    /// `ALGORITHM = word` or `LOCK = word`, if it comes next.
    pub(super) fn algorithm_or_lock(&mut self) -> Option<bool> {
        if !self.accept_any(&["ALGORITHM", "LOCK"]) {
            return Some(false);
        }
        self.symbol('=');
        self.word()?;
        Some(true)
    }

    /// Behind CREATE … INDEX: `[IF NOT EXISTS] name [USING …] ON table (parts) [WAIT …] option …`.
    pub(super) fn create_index(&mut self, kind: IndexKind, replace: bool) -> Option<Kind> {
        if self.is_mariadb() {
            self.if_not_exists();
        }
        let name = self.index_name()?;
        self.using()?;
        self.expect("ON")?;
        let table = self.table()?;
        let mut changes = Vec::new();
        if replace {
            changes.push(IndexChange::Drops(name));
        }
        changes.push(IndexChange::Adds {
            unique: kind == IndexKind::Unique,
        });
        let read = self.index_tail();
        Some(Kind::Definition(match read {
            Some(()) => vec![Effect::Keeps(table, changes)],
            None => vec![Effect::Changes(table), Effect::ChangesMentioned],
        }))
    }

    fn index_tail(&mut self) -> Option<()> {
        self.key_parts()?;
        self.wait()?;
        while !self.is_end() {
            if !self.algorithm_or_lock()? {
                self.index_option()?;
            }
        }
        Some(())
    }

    /// Behind DROP INDEX: `[IF EXISTS] name ON table [WAIT …] …`.
    pub(super) fn drop_index(&mut self) -> Option<Kind> {
        if self.is_mariadb() {
            self.if_exists();
        }
        let name = self.identifier()?;
        self.expect("ON")?;
        let table = self.table()?;
        let mut read = self.wait();
        while read.is_some() && !self.is_end() {
            read = self.algorithm_or_lock().filter(|found| *found).map(|_| ());
        }
        Some(Kind::Definition(match read {
            Some(()) if !is_primary(&name) => vec![Effect::Keeps(table, vec![IndexChange::Drops(name)])],
            Some(()) => vec![Effect::Changes(table)],
            None => vec![Effect::Changes(table), Effect::ChangesMentioned],
        }))
    }
}

/// Whether an index of this name is the primary key.
fn is_primary(name: &str) -> bool {
    name.eq_ignore_ascii_case("primary")
}
