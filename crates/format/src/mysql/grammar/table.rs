//! Statements about whole tables: CREATE, DROP, RENAME, TRUNCATE, and what maintains them.

use super::super::effect::{Effect, Kind, Named};
use super::super::token::Token;
use super::Parser;

impl Parser<'_> {
    /// Behind CREATE … TABLE.
    ///
    /// Besides the table, only a query can reach rows: it may call a function that changes some. A
    /// server that logs rows never logs the query of CREATE TABLE … SELECT, so one that is there is
    /// a change logged as a statement.
    pub(super) fn create_table(&mut self, temporary: bool, replace: bool) -> Option<Kind> {
        let conditional = self.if_not_exists();
        let table = self.table()?;
        if self.has_query()? {
            return Some(Kind::Rows);
        }
        if temporary {
            return Some(Kind::Nothing);
        }
        let creates = Effect::Creates(table.clone());
        // A table of this name that is migrated has gone before, or goes now.
        Some(Kind::Definition(if conditional && !replace {
            vec![creates]
        } else {
            vec![Effect::Changes(table), creates]
        }))
    }

    /// Whether the rest of CREATE TABLE holds a query: SELECT anywhere, VALUES or TABLE outside of
    /// parentheses.
    fn has_query(&self) -> Option<bool> {
        let (mut depth, mut found) = (0_usize, false);
        for token in self.rest() {
            match token {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => depth = depth.checked_sub(1)?,
                Token::Symbol(';') | Token::Unreadable => return None,
                token if token.is_word("SELECT") => found = true,
                token if depth == 0 && (token.is_word("VALUES") || token.is_word("TABLE")) => found = true,
                Token::Word(_) | Token::Quoted(_) | Token::Literal | Token::Symbol(_) => {}
            }
        }
        (depth == 0).then_some(found)
    }

    /// Behind DROP … TABLE: `[IF EXISTS] table, … [WAIT …] [RESTRICT | CASCADE]`.
    pub(super) fn drop_table(&mut self, temporary: bool) -> Option<Kind> {
        self.if_exists();
        let tables = self.tables()?;
        let read = self.wait().and_then(|()| {
            self.accept_any(&["RESTRICT", "CASCADE"]);
            self.end()
        });
        if temporary && read.is_some() {
            return Some(Kind::Nothing);
        }
        Some(changed(tables, read))
    }

    /// Behind DROP SEQUENCE, which is a table of one row.
    pub(super) fn drop_sequence(&mut self) -> Option<Kind> {
        self.if_exists();
        let tables = self.tables()?;
        let read = self.end();
        Some(changed(tables, read))
    }

    /// Behind RENAME: `TABLE [IF EXISTS] a [WAIT …] TO b, …`, or users.
    pub(super) fn rename(&mut self) -> Option<Kind> {
        if self.accept("USER") {
            self.defines("USER");
            return Some(Kind::Definition(Vec::new()));
        }
        self.accept_any(&["TABLE", "TABLES"]).then_some(())?;
        self.defines("TABLE");
        if self.is_mariadb() {
            self.if_exists();
        }
        let (mut changes, mut creates) = (Vec::new(), Vec::new());
        loop {
            changes.push(Effect::Changes(self.table()?));
            self.wait()?;
            self.expect("TO")?;
            let new = self.table()?;
            changes.push(Effect::Changes(new.clone()));
            creates.push(Effect::Creates(new));
            if !self.symbol(',') {
                break;
            }
        }
        self.end()?;
        Some(Kind::Definition([changes, creates].concat()))
    }

    /// Behind TRUNCATE: `[TABLE] table [WAIT …]`.
    pub(super) fn truncate(&mut self) -> Option<Kind> {
        self.accept("TABLE");
        self.defines("TABLE");
        let table = self.table()?;
        let read = self.wait().and_then(|()| self.end());
        if read.is_none() {
            return Some(changed(vec![table], read));
        }
        Some(Kind::Definition(vec![Effect::Truncates(table)]))
    }

    /// Behind ANALYZE: `[LOCAL] TABLE table, …` and what is counted. `ANALYZE UPDATE …` of MariaDB
    /// changes rows.
    pub(super) fn analyze(&mut self) -> Option<Kind> {
        let tables = self.maintained()?;
        let rest = self.accept("PERSISTENT") || self.accept_any(&["UPDATE", "DROP"]) && self.is("HISTOGRAM");
        Some(if rest || self.is_end() {
            kept(tables)
        } else {
            changed(tables, None)
        })
    }

    /// Behind OPTIMIZE: `[LOCAL] TABLE table, … [WAIT …]`. It builds the table again from the same
    /// rows.
    pub(super) fn optimize(&mut self) -> Option<Kind> {
        let tables = self.maintained()?;
        let read = self.wait().and_then(|()| self.end());
        Some(match read {
            Some(()) => kept(tables),
            None => changed(tables, None),
        })
    }

    /// Behind REPAIR and CHECK: what they find damaged may go.
    pub(super) fn repair(&mut self) -> Option<Kind> {
        let tables = self.maintained()?;
        Some(changed(tables, Some(())))
    }

    fn maintained(&mut self) -> Option<Vec<Named>> {
        self.accept_any(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
        self.accept_any(&["TABLE", "TABLES"]).then_some(())?;
        self.defines("TABLE");
        self.tables()
    }
}

/// Tables that change; what is not read to its end may change others.
fn changed(tables: Vec<Named>, read: Option<()>) -> Kind {
    let mut effects: Vec<Effect> = tables.into_iter().map(Effect::Changes).collect();
    if read.is_none() {
        effects.push(Effect::ChangesMentioned);
    }
    Kind::Definition(effects)
}

fn kept(tables: Vec<Named>) -> Kind {
    let keeps = tables.into_iter().map(|table| Effect::Keeps(table, Vec::new()));
    Kind::Definition(keeps.collect())
}
