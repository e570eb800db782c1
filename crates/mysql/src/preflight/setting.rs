//! Server variables: is everything in the binary log, in full, and for long enough?

use std::collections::BTreeMap;

use spanferry_core::report::code;
use spanferry_core::report::finding::Severity;
use spanferry_core::report::remedy::Remedy;

use super::Check;
use super::demand::{BOTH_DEMANDS, Demand};
use super::service::Service;
use crate::error::MysqlError;
use crate::flavor::Facts;
use crate::{prepared, replica_id};

/// A setting's value in a sentence.
fn shown(value: &str) -> String {
    if value.is_empty() {
        return "empty".to_owned();
    }
    format!("`{value}`")
}

/// GTIDs can be enabled in steps while the servers run. Each step must have arrived at every
/// replica before the next.
fn enable_gtids() -> Remedy {
    let steps = ["OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"];
    let first = "SET PERSIST enforce_gtid_consistency = ON".to_owned();
    let steps = steps.map(|step| format!("SET PERSIST gtid_mode = {step}"));
    let remedy = Remedy::Source {
        statements: std::iter::once(first).chain(steps).collect(),
        note: None,
    };
    remedy.note(
        "the first statement makes the server refuse CREATE TABLE ... SELECT in a transaction and the like; where the source has \
         replicas or is one, run each statement on all of these servers before the next",
    )
}

/// What is wrong with this value of `lower_case_table_names`, if anything. It cannot be changed
/// once data is there.
fn mixed_names(value: &str) -> Option<&'static str> {
    (!matches!(value, "0" | "1")).then_some(
        "`lower_case_table_names` is 2, expected 0 or 1: names in the binary log may be in another letter case than in the catalog",
    )
}

/// The statement that sets a variable. Where the server does not keep it over a restart, the note
/// says what does.
pub(crate) fn set(facts: &Facts, name: &str, value: &str) -> Remedy {
    let remedy = Remedy::source(format!("{} {name} = {value}", facts.set));
    if facts.set_is_kept {
        return remedy;
    }
    remedy.note(format!(
        "and put `{name} = {value}` below [mysqld] in my.cnf, or a restart forgets it"
    ))
}

impl Check<'_> {
    pub(super) async fn settings(&mut self) -> Result<(), MysqlError> {
        let mut variables = BTreeMap::new();
        for row in self.connection.query("SHOW GLOBAL VARIABLES").await?.rows {
            variables.insert(row.text_or_empty(0).to_ascii_lowercase(), row.text_or_empty(1));
        }
        self.service = Service::of(&variables);
        let own = self.connection.server().facts().demands;
        for demand in BOTH_DEMANDS.iter().chain(own) {
            self.demanded(demand, &variables);
        }
        if let Some(text) = variables
            .get("lower_case_table_names")
            .and_then(|value| mixed_names(value))
        {
            let remedy = "Migrate from a server whose `lower_case_table_names` is 0 or 1, such as a replica of it on Linux.";
            self.find_of_server(
                code::SOURCE_SETTING,
                Severity::Blocking,
                text.to_owned(),
                Some(Remedy::Words(remedy.to_owned())),
            );
        }
        self.retention(&variables).await?;
        self.notices(&variables);
        self.filters().await?;
        self.replica(&variables).await?;
        self.replicas_of_source(&variables).await?;
        self.prepared().await
    }

    fn demanded(&mut self, demand: &Demand, variables: &BTreeMap<String, String>) {
        // A variable that the server does not have cannot be set wrong: 9.x drops `binlog_format`
        // some day.
        let Some(value) = variables.get(demand.name) else {
            return;
        };
        if demand
            .accepted
            .iter()
            .any(|accepted| accepted.eq_ignore_ascii_case(value))
        {
            return;
        }
        let (name, wanted) = (demand.name, demand.accepted[0]);
        let remedy = match (demand.dynamic, name) {
            (_, "gtid_mode") if self.service == Service::Own => enable_gtids(),
            (true, _) if wanted.is_empty() => self.set(name, "''"),
            (true, _) => self.set(name, wanted),
            (false, _) => format!("Start the server with `{name} = {wanted}`.").into(),
        };
        let text = format!(
            "`{name}` is {}, expected {}: {}",
            shown(value),
            shown(wanted),
            demand.reason
        );
        self.find_of_server(code::SOURCE_SETTING, Severity::Blocking, text, Some(remedy));
    }

    pub(super) fn set(&self, name: &str, value: &str) -> Remedy {
        let own = || set(self.connection.server().facts(), name, value);
        self.service.set(name, value).unwrap_or_else(own)
    }

    fn notices(&mut self, variables: &BTreeMap<String, String>) {
        let notices = [
            (
                "sync_binlog",
                "1",
                "after a crash of the source's machine the binary log may lack transactions that the source has, or the other way round",
            ),
            (
                "innodb_flush_log_at_trx_commit",
                "1",
                "after a crash of the source's machine committed transactions may be gone that were already captured",
            ),
        ];
        for (name, wanted, reason) in notices {
            if let Some(value) = variables.get(name).filter(|value| value.as_str() != wanted) {
                let text = format!("`{name}` is {value}: {reason}");
                let remedy = self.set(name, wanted);
                self.find_of_server(code::SOURCE_NOTICE, Severity::Notice, text, Some(remedy));
            }
        }
        let modes = variables.get("sql_mode").map_or("", String::as_str);
        let strict = modes
            .split(',')
            .any(|mode| mode == "STRICT_TRANS_TABLES" || mode == "STRICT_ALL_TABLES");
        let lax: Vec<_> = ["NO_ZERO_DATE", "NO_ZERO_IN_DATE"]
            .into_iter()
            .filter(|mode| !modes.contains(mode))
            .collect();
        if !strict || !lax.is_empty() {
            let text = format!(
                "`sql_mode` is {}: the data may have zero dates and values that were cut; a row with a zero date is refused",
                shown(modes)
            );
            self.find_of_server(code::SOURCE_NOTICE, Severity::Notice, text, None);
        }
    }

    async fn filters(&mut self) -> Result<(), MysqlError> {
        // MariaDB and MySQL up to 8.3 say SHOW MASTER STATUS, MySQL from 8.2 on SHOW BINARY LOG
        // STATUS.
        let mut found = None;
        for statement in ["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"] {
            if found.is_none() {
                found = self.rows_if_allowed(statement).await?;
            }
        }
        // The filters compare to the letter, whatever `lower_case_table_names` is.
        let schema = &self.catalog.schema;
        let names = |text: String| {
            text.split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect::<Vec<_>>()
        };
        let Some(row) = found.unwrap_or_default().into_iter().next() else {
            return Ok(());
        };
        let (only, never) = (names(row.text_or_empty(2)), names(row.text_or_empty(3)));
        let hidden = (!only.is_empty() && !only.contains(schema)) || never.contains(schema);
        // With row format the filter looks at the changed table's schema, so a list that contains
        // ours does no harm.
        if hidden {
            let text = format!(
                "`binlog_do_db` or `binlog_ignore_db` keeps changes of schema `{schema}` out of the binary log"
            );
            let remedy = "Start the server without `binlog_do_db` and `binlog_ignore_db`.".into();
            self.find_of_server(code::SOURCE_SETTING, Severity::Blocking, text, Some(remedy));
        }
        Ok(())
    }

    async fn replicas_of_source(&mut self, variables: &BTreeMap<String, String>) -> Result<(), MysqlError> {
        let ours = self.replica.number();
        let remedy = || Some("Choose another number with `--server-id`.".into());
        let own = variables.get("server_id").and_then(|id| id.parse().ok());
        // A number that we choose ourselves moves on when the stream is opened.
        if own == Some(ours) && self.replica.is_given() {
            let text = format!("server id {ours} is the source's own");
            self.find_of_server(code::SOURCE_SERVER_ID, Severity::Blocking, text, remedy());
        }
        match replica_id::listed(self.connection).await? {
            Some(replicas) if self.replica.is_given() && self.replica.is_taken(&replicas) => {
                let text = format!("another replica of the source has server id {ours}");
                self.find_of_server(code::SOURCE_SERVER_ID, Severity::Blocking, text, remedy());
            }
            Some(_) => {}
            None => {
                let text = format!("whether server id {ours} is free could not be seen");
                let privilege = self.connection.server().facts().replicas_privilege;
                let grant = privilege
                    .map(|privilege| Remedy::source(format!("GRANT {privilege} ON *.* TO {}", self.account)));
                let by_hand = || "Give `--server-id` a number that no replica of the source uses.".into();
                let remedy = grant.unwrap_or_else(by_hand);
                self.find_of_server(code::SOURCE_NOTICE, Severity::Notice, text, Some(remedy));
            }
        }
        Ok(())
    }

    /// Which prepared transactions there are. The load waits for those that matter to it.
    async fn prepared(&mut self) -> Result<(), MysqlError> {
        match prepared::list(self.connection).await? {
            Some(open) if !open.is_empty() => {
                let text = format!(
                    "{} prepared XA transactions are open ({}): the load waits for each that may have changed migrated tables",
                    open.len(),
                    prepared::named(open.iter())
                );
                let remedy = "End those that their coordinator has forgotten: XA RECOVER lists them, XA COMMIT or XA ROLLBACK ends one.";
                self.find_of_server(code::SOURCE_PREPARED, Severity::Notice, text, Some(remedy.into()));
            }
            Some(_) => {}
            None => {
                let remedy = Some(Remedy::source(prepared::grant(&self.account)));
                if prepared::needs_list(self.connection.server()) {
                    let text = "prepared XA transactions cannot be listed".to_owned();
                    self.find_of_server(code::SOURCE_PRIVILEGE, Severity::Blocking, text, remedy);
                } else {
                    let text = "prepared XA transactions cannot be listed: one that is prepared before the migration begins, and is committed later, stops every table"
                        .to_owned();
                    self.find_of_server(code::SOURCE_NOTICE, Severity::Notice, text, remedy);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No server on Linux can be made to have this setting.
    #[test]
    fn names_of_two_letter_cases_are_refused() {
        assert_eq!(mixed_names("0"), None);
        assert_eq!(mixed_names("1"), None);
        assert!(mixed_names("2").is_some_and(|text| text.contains("`lower_case_table_names` is 2")));
    }
}
