//! `check`: everything that catalog, variables and privileges of the source show, all at once.

mod account;
mod cascade;
mod demand;
mod grant;
mod hourly;
mod privilege;
mod replica;
mod retention;
mod service;
mod setting;
mod table;

pub(crate) use account::account;
pub(crate) use demand::{Demand, MARIADB_DEMANDS, MYSQL_DEMANDS};
pub(crate) use setting::set;

use spanferry_core::port::source::CheckRequest;
use spanferry_core::report::code::{self, Code};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::report::remedy::Remedy;
use spanferry_core::schema::source::Catalog;

use self::service::Service;
use crate::catalog;
use crate::connection::{Connection, ResultRow};
use crate::error::MysqlError;
use crate::options::Options;
use crate::replica_id::ReplicaId;

/// Collects the findings of one check.
struct Check<'a> {
    connection: &'a mut Connection,
    options: &'a Options,
    replica: &'a ReplicaId,
    request: &'a CheckRequest,
    catalog: Catalog,
    /// The account as GRANT takes it.
    account: String,
    /// Who runs the server, once its variables are known.
    service: Service,
    findings: Vec<Finding>,
}

/// Looks at everything. An error means only that the check itself could not be made.
pub(crate) async fn check(
    connection: &mut Connection,
    options: &Options,
    replica: &ReplicaId,
    request: &CheckRequest,
) -> Result<Vec<Finding>, MysqlError> {
    let catalog = catalog::read(connection, &options.schema).await?;
    let account = account(connection).await?;
    let mut check = Check {
        connection,
        options,
        replica,
        request,
        catalog,
        account,
        service: Service::default(),
        findings: Vec::new(),
    };
    check.server_and_schema();
    check.settings().await?;
    check.privileges().await?;
    check.hourly_limits().await?;
    check.tables();
    check.cascades();
    let mut findings = check.findings;
    findings.sort_by(|left, right| {
        right
            .severity
            .cmp(&left.severity)
            .then_with(|| left.subject.cmp(&right.subject))
    });
    Ok(findings)
}

impl Check<'_> {
    fn server_and_schema(&mut self) {
        let server = self.connection.server().clone();
        if server.version < server.facts().oldest {
            let text = format!("the server is {server}; expected MySQL 8.0 or MariaDB 10.5, or later");
            self.find_of_server(code::SOURCE_SETTING, Severity::Blocking, text, None);
        }
        if !self.connection.is_encrypted() {
            let text = "the connection to the source is not encrypted".to_owned();
            let remedy = "Add `ssl-mode=VERIFY_IDENTITY&ssl-ca=FILE` to the source URL.";
            self.find_of_server(code::SOURCE_NOTICE, Severity::Notice, text, Some(remedy.into()));
        } else if !self.options.ssl_mode.is_verified() {
            let text = "the certificate of the source is not verified".to_owned();
            let remedy = "Add `ssl-mode=VERIFY_CA&ssl-ca=FILE` to the source URL.";
            self.find_of_server(code::SOURCE_NOTICE, Severity::Notice, text, Some(remedy.into()));
        }
        for table in &self.request.tables {
            if !self.catalog.tables.iter().any(|known| known.name == *table) {
                let text = "the table does not exist or the account may not see it".to_owned();
                let remedy = Remedy::source(format!(
                    "GRANT SELECT ON {}.* TO {}",
                    crate::sql::identifier(&table.schema),
                    self.account
                ));
                self.findings.push(
                    Finding::new(
                        code::SOURCE_SCHEMA,
                        Severity::Blocking,
                        Subject::table(table),
                        text,
                    )
                    .remedy(remedy),
                );
            }
        }
    }

    fn find(
        &mut self,
        code: Code,
        severity: Severity,
        subject: Subject,
        text: String,
        remedy: Option<Remedy>,
    ) {
        let finding = Finding::new(code, severity, subject, text);
        self.findings.push(match remedy {
            Some(remedy) => finding.remedy(remedy),
            None => finding,
        });
    }

    /// A finding about the server, not about any one table.
    fn find_of_server(&mut self, code: Code, severity: Severity, text: String, remedy: Option<Remedy>) {
        self.find(code, severity, Subject::whole(), text, remedy);
    }

    /// Rows of a query that the account may not be allowed to make, or that this server does not
    /// know: `None` then.
    async fn rows_if_allowed(&mut self, sql: &str) -> Result<Option<Vec<ResultRow>>, MysqlError> {
        Ok(self
            .connection
            .query_if_allowed(sql)
            .await?
            .map(|found| found.rows))
    }
}
