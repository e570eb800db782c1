//! Foreign keys whose cascades change migrated rows without a trace in the binary log.

use spanferry_core::report::code;
use spanferry_core::report::finding::{Severity, Subject};
use spanferry_core::report::remedy::Remedy;
use spanferry_core::schema::source::QualifiedName;

use super::Check;
use crate::error::MysqlError;
use crate::foreign_key;
use crate::sql;

impl Check<'_> {
    /// A cascade changes the child: it matters when the child is migrated, wherever the parent
    /// lives. SET DEFAULT changes nothing (`foreign_key::changes_rows`).
    pub(super) async fn cascades(&mut self) -> Result<(), MysqlError> {
        if self.cascades_are_logged().await? || self.request.tables.is_empty() {
            return Ok(());
        }
        let sql = sql::in_schema(
            "SELECT r.table_name, r.constraint_name, r.unique_constraint_schema, r.referenced_table_name, r.delete_rule, \
             r.update_rule FROM information_schema.referential_constraints r WHERE $in(r.constraint_schema) \
             AND (r.delete_rule IN ('CASCADE', 'SET NULL') OR r.update_rule IN ('CASCADE', 'SET NULL'))",
            &self.catalog.schema,
        );
        for row in self.connection.query(&sql).await?.rows {
            let table = QualifiedName::new(&self.catalog.schema, row.text_or_empty(0));
            let name = row.text_or_empty(1);
            if !self.request.tables.contains(&table) {
                continue;
            }
            let text = format!(
                "it is a foreign key to `{}.{}` with ON DELETE {} and ON UPDATE {}: the server changes rows of this table by it, and does \
                 not write these changes to its binary log",
                row.text_or_empty(2),
                row.text_or_empty(3),
                row.text_or_empty(4),
                row.text_or_empty(5)
            );
            let remedy = self.without_actions(&table, &name);
            self.find(
                code::SOURCE_TABLE_UNSUPPORTED,
                Severity::Blocking,
                Subject::part(&table, &name),
                text,
                remedy,
            );
        }
        Ok(())
    }

    /// The statements that create the foreign key again, without actions.
    fn without_actions(&self, table: &QualifiedName, name: &str) -> Option<Remedy> {
        let mut tables = self.catalog.tables.iter();
        let table = tables.find(|known| known.name == *table)?;
        let key = table.foreign_keys.iter().find(|key| key.name == name)?;
        let remedy = Remedy::Source {
            statements: foreign_key::without_actions(table, key),
            note: None,
        };
        Some(remedy.note(
            "the application then loses these actions: it must change or delete the child rows itself, before the parent row. \
             The second statement rebuilds the table",
        ))
    }

    /// MySQL 9.7 and later without `innodb_native_foreign_keys` write cascades as rows of their own
    /// (SERVERS 2.6). The variable speaks for this server only: events that come from a server
    /// above it are judged one by one (`binlog::cascade`).
    async fn cascades_are_logged(&mut self) -> Result<bool, MysqlError> {
        if self.connection.server().is_mariadb() {
            return Ok(false);
        }
        let found = self
            .rows_if_allowed("SELECT @@GLOBAL.innodb_native_foreign_keys")
            .await?;
        Ok(found.and_then(|rows| rows.first().and_then(|row| row.number(0))) == Some(0))
    }
}
