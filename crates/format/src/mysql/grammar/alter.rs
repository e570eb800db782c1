//! ALTER TABLE: its head, its actions, and what each of them does.

use super::super::effect::{Effect, IndexChange, Kind, Named};
use super::super::token::Token;
use super::Parser;

/// What one action does.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    /// It was read to its end, and changes neither rows nor columns.
    Keeps(Option<IndexChange>),
    /// It may change the table itself, and no other.
    Changes,
    /// Rows move between the table and this one.
    Exchanges(Named),
    /// The table, or a part of it, becomes a table of this name.
    Becomes(Named),
    /// It is not understood.
    Unknown,
}

/// First words of actions that name columns, indexes, partitions, constraints or settings of the
/// table itself, and at most a foreign key's parent, of which nothing changes.
const OWN: &[&str] = &[
    "ADD",
    "ALTER",
    "ANALYZE",
    "AUTOEXTEND_SIZE",
    "AUTO_INCREMENT",
    "AVG_ROW_LENGTH",
    "CHANGE",
    "CHARACTER",
    "CHARSET",
    "CHECK",
    "CHECKSUM",
    "COALESCE",
    "COLLATE",
    "COMMENT",
    "COMPRESSION",
    "DEFAULT",
    "DELAY_KEY_WRITE",
    "DISCARD",
    "DROP",
    "ENCRYPTED",
    "ENCRYPTION",
    "ENCRYPTION_KEY_ID",
    "ENGINE",
    "ENGINE_ATTRIBUTE",
    "FORCE",
    "IMPORT",
    "INSERT_METHOD",
    "KEY_BLOCK_SIZE",
    "MAX_ROWS",
    "MIN_ROWS",
    "MODIFY",
    "OPTIMIZE",
    "ORDER",
    "PACK_KEYS",
    "PAGE_CHECKSUM",
    "PAGE_COMPRESSED",
    "PAGE_COMPRESSION_LEVEL",
    "PARTITION",
    "REBUILD",
    "REMOVE",
    "REORGANIZE",
    "REPAIR",
    "ROW_FORMAT",
    "STATS_AUTO_RECALC",
    "STATS_PERSISTENT",
    "STATS_SAMPLE_PAGES",
    "TABLESPACE",
    "TRANSACTIONAL",
    "TRUNCATE",
    "UPGRADE",
];

impl<'a> Parser<'a> {
    /// Behind ALTER … TABLE; `ignore`: rows that violate a new index are deleted.
    pub(super) fn alter_table(&mut self, ignore: bool) -> Option<Kind> {
        if self.is_mariadb() {
            self.if_exists();
        }
        let table = self.table()?;
        let Some(actions) = self.wait().and_then(|()| self.actions()) else {
            let effects = vec![Effect::Changes(table), Effect::ChangesMentioned];
            return Some(Kind::Definition(effects));
        };
        let (mut changes, mut indexes, mut others) = (ignore, Vec::new(), Vec::new());
        for action in actions {
            match self.part(action).action() {
                Action::Keeps(index) => indexes.extend(index),
                Action::Changes => changes = true,
                Action::Exchanges(other) => others.push(Effect::Changes(other)),
                Action::Becomes(other) => {
                    others.push(Effect::Changes(other.clone()));
                    others.push(Effect::Creates(other));
                }
                Action::Unknown => others.push(Effect::ChangesMentioned),
            }
        }
        let own = if changes || !others.is_empty() {
            Effect::Changes(table)
        } else {
            Effect::Keeps(table, indexes)
        };
        Some(Kind::Definition([vec![own], others].concat()))
    }

    /// The actions, which commas outside of parentheses separate.
    fn actions(&mut self) -> Option<Vec<&'a [Token]>> {
        let rest = self.rest();
        let (mut depth, mut start, mut actions) = (0_usize, 0, Vec::new());
        for (at, token) in rest.iter().enumerate() {
            match token {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => depth = depth.checked_sub(1)?,
                Token::Symbol(',') if depth == 0 => {
                    actions.push(&rest[start..at]);
                    start = at + 1;
                }
                Token::Symbol(';') | Token::Unreadable => return None,
                Token::Word(_) | Token::Quoted(_) | Token::Literal | Token::Symbol(_) => {}
            }
        }
        if !rest.is_empty() {
            actions.push(&rest[start..]);
        }
        (depth == 0).then_some(actions)
    }

    fn action(mut self) -> Action {
        let whole = self.rest();
        if let Some(index) = self.kept().filter(|_| self.is_end()) {
            return Action::Keeps(index);
        }
        self = self.part(whole);
        if let Some(action) = self.with_other().filter(|_| self.is_end()) {
            return action;
        }
        self = self.part(whole);
        if self.accept_any(OWN)
            || self.accept_all(&["CONVERT", "TO"])
            || (self.accept("RENAME") && self.accept_any(&["COLUMN", "INDEX", "KEY"]))
        {
            return Action::Changes;
        }
        Action::Unknown
    }

    /// An action that changes neither rows nor columns.
    fn kept(&mut self) -> Option<Option<IndexChange>> {
        match self.word()?.as_str() {
            "ADD" => self.add_index().map(Some),
            "DROP" => {
                self.index_or_key()?;
                if self.is_mariadb() {
                    self.if_exists();
                }
                Some(Some(IndexChange::Drops(self.index_name()?)))
            }
            "RENAME" => {
                self.index_or_key()?;
                if self.is_mariadb() {
                    self.if_exists();
                }
                let from = self.index_name()?;
                self.expect("TO")?;
                Some(Some(IndexChange::Renames(from, self.index_name()?)))
            }
            "ALTER" if self.is("INDEX") || self.is("KEY") => self.alter_index().map(|()| None),
            "ALTER" => self.alter_default().map(|()| None),
            "DISABLE" | "ENABLE" => self.expect("KEYS").map(|()| None),
            "ALGORITHM" | "LOCK" => {
                self.symbol('=');
                self.word().map(|_| None)
            }
            "WITH" | "WITHOUT" if !self.is_mariadb() => self.expect("VALIDATION").map(|()| None),
            option => self.kept_options(option).map(|()| None),
        }
    }

    fn index_or_key(&mut self) -> Option<()> {
        self.accept_any(&["INDEX", "KEY"]).then_some(())
    }

    fn add_index(&mut self) -> Option<IndexChange> {
        let constraint = self.accept("CONSTRAINT");
        if constraint && !self.is("UNIQUE") {
            self.identifier()?;
        }
        let kind = self.index_kind();
        let keyword = self.index_or_key();
        match kind {
            super::index::IndexKind::Unique => {}
            _ if constraint => return None,
            super::index::IndexKind::Plain => keyword?,
            super::index::IndexKind::Fulltext | super::index::IndexKind::Spatial => {}
        }
        self.added_index(kind)
    }

    /// Whether the optimizer may use an index.
    fn alter_index(&mut self) -> Option<()> {
        self.index_or_key()?;
        if self.is_mariadb() {
            self.if_exists();
            self.index_name()?;
            self.accept("NOT");
            return self.expect("IGNORED");
        }
        self.index_name()?;
        self.accept_any(&["VISIBLE", "INVISIBLE"]).then_some(())
    }

    /// The default of a column: rows that are there keep their values. It is a literal, a function
    /// or an expression in parentheses.
    fn alter_default(&mut self) -> Option<()> {
        self.accept("COLUMN");
        if self.is_mariadb() {
            self.if_exists();
        }
        self.identifier()?;
        if self.accept_all(&["DROP", "DEFAULT"]) {
            return Some(());
        }
        if !self.accept_all(&["SET", "DEFAULT"]) {
            return None;
        }
        if self.group().is_some() {
            return Some(());
        }
        if !self.symbol('-') {
            self.symbol('+');
        }
        if matches!(self.rest(), [Token::Literal, ..]) {
            return self.literal();
        }
        self.word()?;
        if self.symbol('.') {
            self.word()?;
        }
        self.group();
        Some(())
    }

    /// Settings of a table that are about neither rows nor columns, one after the other.
    fn kept_options(&mut self, first: &str) -> Option<()> {
        let mut option = first.to_owned();
        loop {
            self.symbol('=');
            match option.as_str() {
                "AUTO_INCREMENT" => self.number()?,
                "COMMENT" => self.literal()?,
                "STATS_PERSISTENT" | "STATS_AUTO_RECALC" | "STATS_SAMPLE_PAGES" => {
                    if !self.accept("DEFAULT") {
                        self.number()?;
                    }
                }
                _ => return None,
            }
            if self.is_end() {
                return Some(());
            }
            option = self.word()?;
        }
    }

    /// An action that names another table.
    fn with_other(&mut self) -> Option<Action> {
        match self.word()?.as_str() {
            "EXCHANGE" => {
                self.expect("PARTITION")?;
                self.identifier()?;
                self.expect("WITH")?;
                self.expect("TABLE")?;
                let other = self.table()?;
                if self.accept_any(&["WITH", "WITHOUT"]) {
                    self.expect("VALIDATION")?;
                }
                Some(Action::Exchanges(other))
            }
            "CONVERT" if self.accept("TABLE") => {
                let other = self.table()?;
                self.expect("TO")?;
                self.expect("PARTITION")?;
                // The partition's name, bounds and settings.
                while self.next().is_some() {}
                Some(Action::Exchanges(other))
            }
            "CONVERT" => {
                self.expect("PARTITION")?;
                self.identifier()?;
                self.expect("TO")?;
                self.expect("TABLE")?;
                Some(Action::Becomes(self.table()?))
            }
            "RENAME" => {
                if ["COLUMN", "INDEX", "KEY"].iter().any(|word| self.is(word)) {
                    return None;
                }
                if !self.accept_any(&["TO", "AS"]) {
                    self.symbol('=');
                }
                Some(Action::Becomes(self.table()?))
            }
            _ => None,
        }
    }
}
