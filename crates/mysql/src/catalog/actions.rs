//! The actions of foreign keys. MariaDB shows them in the information schema only to an account
//! that may do more to the table than SELECT; SHOW CREATE TABLE shows them to everyone who sees the
//! table.

use spanferry_core::schema::source::{ForeignKeyAction, QualifiedName};

use crate::connection::{Connection, ResultRow};
use crate::error::MysqlError;
use crate::sql;

/// ON DELETE and ON UPDATE.
pub(super) type Actions = (ForeignKeyAction, ForeignKeyAction);

/// The words that SHOW CREATE TABLE and the information schema have for actions.
const WORDS: [(&str, ForeignKeyAction); 5] = [
    ("CASCADE", ForeignKeyAction::Cascade),
    ("SET NULL", ForeignKeyAction::SetNull),
    ("SET DEFAULT", ForeignKeyAction::SetDefault),
    ("NO ACTION", ForeignKeyAction::NoAction),
    ("RESTRICT", ForeignKeyAction::NoAction),
];

/// An action as the information schema names it; none if it is hidden.
fn listed(row: &ResultRow, index: usize) -> Option<ForeignKeyAction> {
    let text = row.text(index)?;
    let known = WORDS.iter().find(|(words, _)| *words == text);
    known.map(|(_, action)| *action)
}

/// Reads the actions of the foreign keys of tables, and asks for the statement of a table where the
/// information schema hides them.
#[derive(Default)]
pub(super) struct ActionReader {
    /// The table that was asked for last, and its statement.
    statement: Option<(QualifiedName, String)>,
}

impl ActionReader {
    /// The actions of one foreign key. The row has ON DELETE in column `first` and ON UPDATE in the
    /// next one.
    pub(super) async fn actions(
        &mut self,
        connection: &mut Connection,
        table: &QualifiedName,
        name: &str,
        (row, first): (&ResultRow, usize),
    ) -> Result<Actions, MysqlError> {
        if let (Some(on_delete), Some(on_update)) = (listed(row, first), listed(row, first + 1)) {
            return Ok((on_delete, on_update));
        }
        let title = format!(
            "{}.{}",
            sql::identifier(&table.schema),
            sql::identifier(&table.table)
        );
        let known = self.statement.take().filter(|(known, _)| known == table);
        let (_, statement) = match known {
            Some(known) => self.statement.insert(known),
            None => {
                let found = connection.query(&format!("SHOW CREATE TABLE {title}")).await?;
                let text = found.rows.first().map(|row| row.text_or_empty(1));
                self.statement.insert((table.clone(), text.unwrap_or_default()))
            }
        };
        of_statement(statement, name).ok_or(MysqlError::HiddenColumn { table: title })
    }
}

/// The actions of a foreign key in the statement that creates its table; none if it is not there.
///
/// Each constraint has a line of its own. Behind the referenced columns stand only the actions, and
/// a comma.
fn of_statement(statement: &str, name: &str) -> Option<Actions> {
    let head = format!("CONSTRAINT {} FOREIGN KEY ", sql::identifier(name));
    let mut lines = statement.lines().map(str::trim);
    let line = lines.find(|line| line.starts_with(&head))?;
    let line = line.strip_suffix(',').unwrap_or(line);
    let (line, on_update) = cut_action(line, "ON UPDATE");
    let (line, on_delete) = cut_action(line, "ON DELETE");
    line.ends_with(')').then_some((on_delete, on_update))
}

/// Cuts an action off the end of a line; without one nothing is done.
fn cut_action<'a>(line: &'a str, event: &str) -> (&'a str, ForeignKeyAction) {
    let cut = |(words, action): &(&str, ForeignKeyAction)| {
        let rest = line.strip_suffix(words)?.strip_suffix(' ')?;
        Some((rest.strip_suffix(event)?.strip_suffix(' ')?, *action))
    };
    let found = WORDS.iter().find_map(cut);
    found.unwrap_or((line, ForeignKeyAction::NoAction))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ForeignKeyAction::{Cascade, NoAction, SetDefault, SetNull};

    #[test]
    fn actions_of_a_statement() {
        let statement = "CREATE TABLE `k` (\n  `id` int(11) NOT NULL COMMENT 'ON DELETE CASCADE',\n  \
             CONSTRAINT `a``b` FOREIGN KEY (`p`) REFERENCES `p` (`id`) ON DELETE CASCADE,\n  \
             CONSTRAINT `both` FOREIGN KEY (`p`) REFERENCES `s`.`p` (`id`) ON DELETE SET NULL ON UPDATE CASCADE,\n  \
             CONSTRAINT `last` FOREIGN KEY (`p`) REFERENCES `p` (`id`) ON UPDATE SET DEFAULT,\n  \
             CONSTRAINT `none` FOREIGN KEY (`p`) REFERENCES `p` (`ON DELETE CASCADE`),\n  \
             CONSTRAINT `no` FOREIGN KEY (`p`) REFERENCES `p` (`id`) ON DELETE NO ACTION ON UPDATE RESTRICT\n) ENGINE=InnoDB";
        let check = |name: &str, expected: Option<Actions>| {
            assert_eq!(of_statement(statement, name), expected, "{name}");
        };
        check("a`b", Some((Cascade, NoAction)));
        check("both", Some((SetNull, Cascade)));
        check("last", Some((NoAction, SetDefault)));
        check("none", Some((NoAction, NoAction)));
        check("no", Some((NoAction, NoAction)));
        check("bot", None);
        // What is not understood is not taken for nothing.
        let unknown = statement.replace("ON DELETE CASCADE,", "ON DELETE CASCADE LATER,");
        assert_eq!(of_statement(&unknown, "a`b"), None);
    }
}
