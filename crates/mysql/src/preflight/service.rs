//! Managed services: how they are recognised, and how a setting is changed there.

use std::collections::BTreeMap;

use spanferry_core::report::remedy::Remedy;

/// Who runs the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Service {
    /// A server of its owner's, or a service that cannot be recognised.
    #[default]
    Own,
    /// Amazon RDS.
    Rds,
    /// Amazon Aurora.
    Aurora,
    /// Google Cloud SQL.
    CloudSql,
}

impl Service {
    /// The service that the server's variables show: Aurora has a version of its own, RDS its own
    /// folders, Cloud SQL its own flags.
    pub(super) fn of(variables: &BTreeMap<String, String>) -> Service {
        let folder = |name: &str| variables.get(name).is_some_and(|path| path.starts_with("/rdsdb"));
        if variables.contains_key("aurora_version") {
            Service::Aurora
        } else if folder("datadir") || folder("basedir") {
            Service::Rds
        } else if variables.keys().any(|name| name.starts_with("cloudsql_")) {
            Service::CloudSql
        } else {
            Service::Own
        }
    }

    /// How a variable is set where no account may run `SET GLOBAL`; `None` where one may.
    pub(super) fn set(self, name: &str, value: &str) -> Option<Remedy> {
        let place = match self {
            Service::Own => return None,
            Service::Rds => "the DB parameter group of the Amazon RDS instance",
            Service::Aurora => "the DB cluster parameter group of the Amazon Aurora cluster",
            Service::CloudSql => "the database flags of the Cloud SQL instance",
        };
        Some(format!("Set `{name}` to `{value}` in {place}.").into())
    }

    /// The name of the service that keeps its retention in a table of its own, and the most hours
    /// that it takes.
    pub(super) fn retention_table(self) -> (&'static str, u64) {
        match self {
            Service::Aurora => ("Amazon Aurora", 2_160),
            Service::Own | Service::Rds | Service::CloudSql => ("Amazon RDS", 168),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_told_by_their_variables() {
        let check = |variables: &[(&str, &str)], expected: Service| {
            let variables = variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            assert_eq!(Service::of(&variables.collect()), expected);
        };
        check(&[], Service::Own);
        check(
            &[("datadir", "/var/lib/mysql/"), ("basedir", "/usr/")],
            Service::Own,
        );
        check(&[("datadir", "/rdsdbdata/db/")], Service::Rds);
        check(&[("basedir", "/rdsdbbin/mysql-8.0.40.R1/")], Service::Rds);
        check(
            &[("datadir", "/rdsdbdata/db/"), ("aurora_version", "3.08.0")],
            Service::Aurora,
        );
        check(&[("cloudsql_iam_authentication", "OFF")], Service::CloudSql);
    }

    #[test]
    fn a_setting_is_changed_where_the_service_has_it() {
        assert_eq!(Service::Own.set("gtid_mode", "ON"), None);
        for service in [Service::Rds, Service::Aurora, Service::CloudSql] {
            let remedy = service.set("gtid_mode", "ON").expect("words").to_string();
            assert!(remedy.starts_with("Set `gtid_mode` to `ON` in the "), "{remedy}");
        }
    }
}
