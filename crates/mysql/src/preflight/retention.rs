//! How long the source keeps its binary log: by its variables, and by the table in which Amazon's
//! services have it.

use std::collections::BTreeMap;

use spanferry_core::report::code;
use spanferry_core::report::finding::Severity;
use spanferry_core::report::remedy::Remedy;

use super::Check;
use super::service::Service;
use crate::error::MysqlError;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
/// An account without a privilege on schema `mysql` gets the same refusal on every server, whether
/// the table is there or not.
const CONFIGURATION: &str = "SELECT value FROM mysql.rds_configuration WHERE name = 'binlog retention hours'";

/// What Amazon's table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Configured {
    /// The account does not see it: there is none, or it may not.
    Unseen,
    /// NULL: a file of the log goes as soon as the service itself does not need it.
    NotKept,
    /// Hours.
    Hours(u64),
}

/// How long the log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    /// Not at all.
    Not,
    /// Seconds.
    For(u64),
    /// Until it is deleted by hand.
    Forever,
}

impl Check<'_> {
    /// Twice the estimated load, and a day at least.
    pub(super) async fn retention(&mut self, variables: &BTreeMap<String, String>) -> Result<(), MysqlError> {
        let estimate = self.request.load_estimate.as_secs();
        let needed = (estimate * 2).max(DAY);
        let configured = self.configured().await?;
        let by_table = configured.kept();
        let by_variable = by_variables(variables);
        if by_table < Kept::For(needed) {
            let (service, hours_max) = self.service.retention_table();
            let remedy = set_hours(needed, service, hours_max);
            self.too_short(by_table, estimate, needed, remedy);
        } else if by_variable < Kept::For(needed) {
            let remedy = if variables.contains_key("binlog_expire_logs_seconds") {
                self.set("binlog_expire_logs_seconds", &needed.to_string())
            } else {
                self.set("expire_logs_days", &needed.div_ceil(DAY).to_string())
            };
            self.too_short(by_variable, estimate, needed, remedy);
        }
        if configured == Configured::Unseen && matches!(self.service, Service::Rds | Service::Aurora) {
            self.warn_unseen();
        }
        Ok(())
    }

    async fn configured(&mut self) -> Result<Configured, MysqlError> {
        let found = self.rows_if_allowed(CONFIGURATION).await?;
        Ok(match found {
            None => Configured::Unseen,
            Some(rows) => {
                let hours = rows.first().and_then(|row| row.number(0));
                hours.map_or(Configured::NotKept, Configured::Hours)
            }
        })
    }

    fn too_short(&mut self, kept: Kept, estimate: u64, needed: u64, remedy: Remedy) {
        let severity = if kept < Kept::For(estimate.max(1)) {
            Severity::Blocking
        } else {
            Severity::Warning
        };
        let now = match kept {
            Kept::Not => "the binary log is not kept: the service deletes it as soon as it likes".to_owned(),
            Kept::For(seconds) => format!("the binary log is kept for {seconds} s"),
            Kept::Forever => "the binary log is kept".to_owned(),
        };
        let text = format!(
            "{now}, expected {needed} s: twice the load, which is estimated to take {estimate} s, and a day at least"
        );
        self.find_of_server(code::SOURCE_RETENTION, severity, text, Some(remedy));
    }

    /// The service deletes the log by a setting that the account does not see.
    fn warn_unseen(&mut self) {
        let (service, _) = self.service.retention_table();
        let text = format!(
            "how long {service} keeps the binary log could not be seen: `binlog retention hours` must not be NULL"
        );
        let grant = format!("GRANT SELECT ON mysql.rds_configuration TO {}", self.account);
        self.find_of_server(
            code::SOURCE_NOTICE,
            Severity::Notice,
            text,
            Some(Remedy::source(grant)),
        );
    }
}

impl Configured {
    fn kept(self) -> Kept {
        match self {
            Configured::Unseen => Kept::Forever,
            Configured::NotKept => Kept::Not,
            Configured::Hours(hours) => Kept::For(hours.saturating_mul(HOUR)),
        }
    }
}

/// What the server's own variables say; 0 is for ever.
fn by_variables(variables: &BTreeMap<String, String>) -> Kept {
    let number = |name: &str| {
        let value = variables.get(name).and_then(|text| text.parse::<f64>().ok());
        value.unwrap_or(0.0)
    };
    let days = number("expire_logs_days") * 86_400.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "days and seconds of a setting"
    )]
    let seconds = number("binlog_expire_logs_seconds").max(days) as u64;
    if seconds == 0 {
        Kept::Forever
    } else {
        Kept::For(seconds)
    }
}

/// The statement by which the service keeps the log longer, as long as it can.
fn set_hours(needed: u64, service: &str, hours_max: u64) -> Remedy {
    let hours = needed.div_ceil(HOUR);
    let statement = format!(
        "CALL mysql.rds_set_configuration('binlog retention hours', {})",
        hours.min(hours_max)
    );
    let remedy = Remedy::source(statement);
    if hours > hours_max {
        remedy.note(format!(
            "{service} takes {hours_max} hours at most, which may be too short for a load of this size"
        ))
    } else {
        remedy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_say_how_long_the_log_is_kept() {
        let check = |variables: &[(&str, &str)], expected: Kept| {
            let variables = variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            assert_eq!(by_variables(&variables.collect()), expected);
        };
        check(&[], Kept::Forever);
        check(
            &[("binlog_expire_logs_seconds", "0"), ("expire_logs_days", "0")],
            Kept::Forever,
        );
        check(&[("binlog_expire_logs_seconds", "60")], Kept::For(60));
        check(&[("expire_logs_days", "0.5")], Kept::For(43_200));
        assert!(Kept::Not < Kept::For(0) && Kept::For(u64::MAX) < Kept::Forever);
    }

    #[test]
    fn hours_are_no_more_than_the_service_takes() {
        let check = |needed: u64, service: Service, expected: &str| {
            let (name, most) = service.retention_table();
            let remedy = set_hours(needed, name, most).to_string();
            assert!(
                remedy.starts_with(&format!(
                    "CALL mysql.rds_set_configuration('binlog retention hours', {expected})"
                )),
                "{remedy}"
            );
            assert_eq!(remedy.contains("at most"), needed > most * HOUR, "{remedy}");
        };
        check(DAY, Service::Rds, "24");
        check(DAY + 1, Service::Own, "25");
        check(200 * HOUR, Service::Rds, "168");
        check(200 * HOUR, Service::Aurora, "200");
    }
}
