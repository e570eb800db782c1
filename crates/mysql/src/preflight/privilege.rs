//! What the account may do, and the exact GRANT statements for what it may not.

use spanferry_core::report::code;
use spanferry_core::report::finding::Severity;
use spanferry_core::report::remedy::Remedy;

use super::Check;
use super::grant::Grants;
use crate::error::MysqlError;
use crate::flavor::{Facts, LockRelease};
use crate::sql;

impl Check<'_> {
    pub(super) async fn privileges(&mut self) -> Result<(), MysqlError> {
        let facts = self.connection.server().facts();
        let account = self.account.clone();
        let mut lines = Vec::new();
        for statement in grant_statements(facts, &self.active_roles().await?) {
            let rows = self.rows_if_allowed(&statement).await?.unwrap_or_default();
            lines.extend(rows.iter().map(|row| row.text_or_empty(0)));
        }
        let grants = Grants::parse(&lines, self.schemas_are_literal().await?, self.catalog.names);
        let schema = self.catalog.schema.clone();
        let everywhere = |names: &[&str]| grants.everywhere(names);
        let on_schema = |names: &[&str]| grants.on_schema(&schema, names);
        let on_every_table = |names: &[&str]| {
            let mut tables = self.request.tables.iter();
            tables.all(|table| grants.on_table(&table.schema, &table.table, names))
        };
        let mut missing = Vec::new();
        let quoted = sql::identifier(&schema);
        if !on_schema(&["SELECT"]) {
            let grant = format!("GRANT SELECT ON {quoted}.* TO {account}");
            if on_every_table(&["SELECT"]) {
                // The catalog shows an account only what it may read: other tables would be missing
                // at the target in silence.
                let text = format!(
                    "the account {account} has SELECT on single tables only: others of schema {quoted}, if there are any, cannot be seen and are not migrated"
                );
                self.find_of_server(
                    code::SOURCE_PARTLY_VISIBLE,
                    Severity::Blocking,
                    text,
                    Some(Remedy::source(grant)),
                );
            } else {
                missing.push((Severity::Blocking, "SELECT", grant, "rows cannot be read"));
            }
        }
        if !everywhere(&["REPLICATION SLAVE", "REPLICATION REPLICA"]) {
            let grant = format!("GRANT REPLICATION SLAVE ON *.* TO {account}");
            missing.push((
                Severity::Blocking,
                "REPLICATION SLAVE",
                grant,
                "the binary log cannot be read",
            ));
        }
        if !everywhere(&["REPLICATION CLIENT", "BINLOG MONITOR"]) {
            let grant = format!("GRANT {} ON *.* TO {account}", facts.monitor_privilege);
            missing.push((
                Severity::Warning,
                "REPLICATION CLIENT",
                grant,
                "filters and replicas of the source cannot be seen",
            ));
        }
        if self.request.lock && !on_schema(&["LOCK TABLES"]) {
            let grant = format!("GRANT LOCK TABLES ON {quoted}.* TO {account}");
            missing.push((
                Severity::Notice,
                "LOCK TABLES",
                grant,
                "the snapshot opens without the lock that `--lock` asks for",
            ));
        }
        if !on_schema(&["TRIGGER"]) {
            let grant = format!("GRANT TRIGGER ON {quoted}.* TO {account}");
            missing.push((Severity::Notice, "TRIGGER", grant, "triggers cannot be listed"));
        }
        if let Some(LockRelease { privilege, .. }) = facts.lock_release
            && !everywhere(&[privilege, "SUPER"])
        {
            let grant = format!("GRANT {privilege} ON *.* TO {account}");
            missing.push((
                Severity::Notice,
                privilege,
                grant,
                "a DDL on any table that a session has read makes it give its snapshot up",
            ));
        }
        for (severity, name, grant, reason) in missing {
            let text = format!("the account {account} lacks {name}: {reason}");
            let code = if severity == Severity::Notice {
                code::SOURCE_NOTICE
            } else {
                code::SOURCE_PRIVILEGE
            };
            self.find_of_server(code, severity, text, Some(Remedy::source(grant)));
        }
        Ok(())
    }

    /// Whether `_` and `%` in a granted schema's name stand for themselves: so they do in MySQL
    /// with partial revokes.
    async fn schemas_are_literal(&mut self) -> Result<bool, MysqlError> {
        let found = self.rows_if_allowed("SELECT @@GLOBAL.partial_revokes").await?;
        Ok(found.and_then(|rows| rows.first()?.number(0)) == Some(1))
    }

    async fn active_roles(&mut self) -> Result<String, MysqlError> {
        let rows = self
            .rows_if_allowed("SELECT CURRENT_ROLE()")
            .await?
            .unwrap_or_default();
        Ok(rows
            .first()
            .and_then(|row| row.text(0))
            .filter(|roles| roles != "NONE")
            .unwrap_or_default())
    }
}

/// The statements that list the account's grants, with those of its active roles.
fn grant_statements(facts: &Facts, roles: &str) -> Vec<String> {
    if facts.roles_must_be_named && !roles.is_empty() {
        vec![format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}")]
    } else {
        vec!["SHOW GRANTS".to_owned()]
    }
}
