//! A replica as source: does it hold what its own source holds, and write it into its own binary
//! log?

use std::collections::BTreeMap;

use spanferry_core::report::code;
use spanferry_core::report::finding::Severity;

use super::Check;
use crate::connection::ResultSet;
use crate::error::MysqlError;
use crate::replica;

/// Columns of a replica's status that name a filter of what it applies; both servers have them, one
/// row a channel.
const FILTERS: [&str; 6] = [
    "Replicate_Do_DB",
    "Replicate_Ignore_DB",
    "Replicate_Do_Table",
    "Replicate_Ignore_Table",
    "Replicate_Wild_Do_Table",
    "Replicate_Wild_Ignore_Table",
];

impl Check<'_> {
    pub(super) async fn replica(&mut self, variables: &BTreeMap<String, String>) -> Result<(), MysqlError> {
        let status = replica::status(self.connection).await?;
        if let Some(status) = &status {
            self.replication_filters(status);
        }
        self.replicated_is_logged(variables, status.as_ref());
        Ok(())
    }

    fn replication_filters(&mut self, status: &ResultSet) {
        let mut filters: Vec<String> = Vec::new();
        for name in FILTERS {
            let Some(column) = status.column(name) else {
                continue;
            };
            let values = status.rows.iter().map(|row| row.text_or_empty(column));
            for value in values.filter(|value| !value.is_empty()) {
                let filter = format!("`{}` = `{value}`", name.to_ascii_lowercase());
                if !filters.contains(&filter) {
                    filters.push(filter);
                }
            }
        }
        if filters.is_empty() {
            return;
        }
        let text = format!(
            "the source is a replica with replication filters ({}): what they keep out is not in it, and is not migrated",
            filters.join(", ")
        );
        let remedy =
            "Make sure that the filters let every migrated table through, or take the replica's own source.";
        self.find_of_server(code::SOURCE_SETTING, Severity::Warning, text, Some(remedy.into()));
    }

    /// A replica must write what it replicates into its own binary log.
    fn replicated_is_logged(&mut self, variables: &BTreeMap<String, String>, status: Option<&ResultSet>) {
        let logs = ["log_replica_updates", "log_slave_updates"]
            .iter()
            .find_map(|name| variables.get(*name).map(|value| (*name, value)));
        let Some((name, value)) = logs.filter(|(_, value)| !value.eq_ignore_ascii_case("ON")) else {
            return;
        };
        let (severity, text) = match status {
            Some(status) if status.rows.is_empty() => return,
            Some(_) => (
                Severity::Blocking,
                format!(
                    "the source is a replica and `{name}` is {value}: replicated changes are not in its binary log"
                ),
            ),
            None => (
                Severity::Warning,
                format!(
                    "`{name}` is {value}: if the source is a replica, replicated changes are not in its binary log"
                ),
            ),
        };
        self.find_of_server(
            code::SOURCE_SETTING,
            severity,
            text,
            Some(format!("Start the server with `{name} = ON`.").into()),
        );
    }
}
