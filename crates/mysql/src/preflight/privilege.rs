//! What the account may do, and the exact GRANT statements for what it may not.

use spanferry_core::code;
use spanferry_core::finding::{Severity, Subject};

use super::Check;
use crate::connection::Connection;
use crate::error::MysqlError;
use crate::sql;

/// One line of SHOW GRANTS.
#[derive(Debug, PartialEq, Eq)]
struct Grant {
    /// Upper-case names; column privileges with their columns cut off.
    privileges: Vec<String>,
    /// `*.*` or `schema.*` or `schema.table`, unquoted.
    object: String,
}

impl Grant {
    /// Reads ``GRANT SELECT, INSERT (`a`) ON `s`.* TO …``; role grants have no ON.
    fn parse(line: &str) -> Option<Grant> {
        let rest = line.strip_prefix("GRANT ")?;
        let (privileges, rest) = rest.split_once(" ON ")?;
        let (object, _) = rest.split_once(" TO ")?;
        let privileges = privileges
            .split(", ")
            .map(|text| {
                text.split(" (")
                    .next()
                    .unwrap_or(text)
                    .trim()
                    .to_ascii_uppercase()
            })
            .collect();
        Some(Grant {
            privileges,
            object: object.replace('`', "").replace("\\_", "_"),
        })
    }

    fn gives(&self, names: &[&str]) -> bool {
        self.privileges
            .iter()
            .any(|own| own == "ALL PRIVILEGES" || own == "ALL" || names.contains(&own.as_str()))
    }
}

impl Check<'_> {
    pub(super) async fn privileges(&mut self) -> Result<(), MysqlError> {
        let mariadb = self.connection.server().is_mariadb();
        let account = self.account.clone();
        let mut grants = Vec::new();
        for statement in grant_statements(mariadb, &self.active_roles().await?) {
            let rows = self.rows_if_allowed(&statement).await?.unwrap_or_default();
            grants.extend(rows.iter().filter_map(|row| Grant::parse(&row.text_or_empty(0))));
        }
        let schema = self.options.schema.clone();
        let everywhere = |names: &[&str]| {
            grants
                .iter()
                .any(|grant| grant.object == "*.*" && grant.gives(names))
        };
        let on_schema = |names: &[&str]| {
            grants.iter().any(|grant| {
                let object = grant.object.as_str();
                (object == "*.*"
                    || object == format!("{schema}.*")
                    || object == format!("{}.*", schema.replace('_', "\\_")))
                    && grant.gives(names)
            })
        };
        let on_every_table = |names: &[&str]| {
            self.request.tables.iter().all(|table| {
                let object = format!("{schema}.{table}");
                grants
                    .iter()
                    .any(|grant| grant.object == object && grant.gives(names))
            })
        };
        let mut missing = Vec::new();
        let quoted = sql::identifier(&schema);
        if !on_schema(&["SELECT"]) && !on_every_table(&["SELECT"]) {
            missing.push((
                Severity::Blocking,
                "SELECT",
                format!("GRANT SELECT ON {quoted}.* TO {account}"),
                "rows cannot be read",
            ));
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
            let grant = format!(
                "GRANT {} ON *.* TO {account}",
                if mariadb {
                    "BINLOG MONITOR"
                } else {
                    "REPLICATION CLIENT"
                }
            );
            missing.push((
                Severity::Warning,
                "REPLICATION CLIENT",
                grant,
                "filters and replicas of the source cannot be seen",
            ));
        }
        let global_lock = everywhere(&["RELOAD", "FLUSH_TABLES"]);
        if !global_lock && !on_schema(&["LOCK TABLES"]) {
            let grant = format!("GRANT RELOAD ON *.* TO {account}");
            missing.push((
                Severity::Notice,
                "RELOAD or LOCK TABLES",
                grant,
                "the snapshot opens without a lock, exact only after a short catch-up",
            ));
        }
        if !on_schema(&["TRIGGER"]) {
            let grant = format!("GRANT TRIGGER ON {quoted}.* TO {account}");
            missing.push((Severity::Notice, "TRIGGER", grant, "triggers cannot be listed"));
        }
        if mariadb && !everywhere(&["BINLOG ADMIN", "SUPER"]) {
            let grant = format!("GRANT BINLOG ADMIN ON *.* TO {account}");
            missing.push((
                Severity::Notice,
                "BINLOG ADMIN",
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
            self.find(code, severity, Subject::whole(), text, Some(grant));
        }
        Ok(())
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

/// The account that is logged in, as GRANT takes it. A user's name may hold `@`, a host's may not.
pub(super) async fn account(connection: &mut Connection) -> Result<String, MysqlError> {
    let found = connection.query("SELECT CURRENT_USER()").await?;
    let account = found.first_text().unwrap_or_default();
    Ok(account.rsplit_once('@').map_or_else(
        || sql::text(&account),
        |(user, host)| format!("{}@{}", sql::text(user), sql::text(host)),
    ))
}

/// MariaDB lists an active role's grants by itself, MySQL when the roles are named.
fn grant_statements(mariadb: bool, roles: &str) -> Vec<String> {
    if mariadb || roles.is_empty() {
        vec!["SHOW GRANTS".to_owned()]
    } else {
        vec![format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<(&[&str], &str)>) {
        let expected = expected.map(|(privileges, object)| Grant {
            privileges: privileges.iter().map(|name| (*name).to_owned()).collect(),
            object: object.to_owned(),
        });
        assert_eq!(Grant::parse(line), expected, "{line}");
    }

    #[test]
    fn grants() {
        check(
            "GRANT ALL PRIVILEGES ON *.* TO `a`@`%` WITH GRANT OPTION",
            Some((&["ALL PRIVILEGES"], "*.*")),
        );
        check(
            "GRANT SELECT (`a`), LOCK TABLES ON `my\\_db`.* TO `a`@`%`",
            Some((&["SELECT", "LOCK TABLES"], "my_db.*")),
        );
        check("GRANT `role`@`%` TO `a`@`%`", None);
    }
}
