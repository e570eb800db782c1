//! What a `MysqlSource` answers to the engine: catalog, check, position and health.

use std::time::Duration;

use spanferry_core::port::source::{
    CatalogSource, CheckRequest, HealthSource, PositionSource, PreflightSource, SourceHealth,
};
use spanferry_core::position::Position;
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::{Finding, Severity};
use spanferry_core::schema::source::Catalog;

use crate::connection::Connection;
use crate::error::MysqlError;
use crate::line::{FRESH, KEPT};
use crate::position::{position, unreadable};
use crate::source::{At, MysqlSource};
use crate::{catalog, health, history, preflight};

impl CatalogSource for MysqlSource {
    async fn catalog(&self) -> Result<Catalog, Failure> {
        let mut asking = self.ask(KEPT).await?;
        let found = catalog::read(asking.connection(), &self.options().schema).await;
        let mut found = found.at(self)?;
        let asked = catalog::ask_hidden(asking.connection(), &mut found).await;
        asked.at(self)?;
        asking.keep();
        Ok(found)
    }
}

impl PreflightSource for MysqlSource {
    async fn check(&self, request: &CheckRequest) -> Result<Vec<Finding>, Failure> {
        let mut asking = self.ask(KEPT).await?;
        let found = preflight::check(asking.connection(), self.options(), self.replica(), request).await;
        let mut findings = found.at(self)?;
        asking.keep();
        // What else is wrong with the server would make this one misleading.
        let is_refused = |finding: &Finding| {
            finding.severity == Severity::Blocking && finding.subject.table_name().is_none()
        };
        if !findings.iter().any(is_refused) {
            let connection = self.connect().await.at(self)?;
            findings.extend(self.expect_witness(connection).await?);
        }
        Ok(findings)
    }
}

impl PositionSource for MysqlSource {
    async fn position(&self) -> Result<Position, Failure> {
        let mut asking = self.ask(FRESH).await?;
        let found = position(asking.connection()).await;
        let found = found.at(self)?;
        asking.keep();
        found.map_err(|error| unreadable(self.options(), error))
    }

    async fn holds(&self, position: &Position) -> Result<bool, Failure> {
        let mut asking = self.ask(FRESH).await?;
        let holds = history::holds(self, asking.connection(), position).await?;
        asking.keep();
        Ok(holds)
    }

    async fn identity(&self) -> Result<String, Failure> {
        let mut asking = self.ask(KEPT).await?;
        let found = identity(asking.connection()).await;
        let found = found.at(self)?;
        asking.keep();
        Ok(found)
    }
}

impl HealthSource for MysqlSource {
    async fn health(&self) -> Result<SourceHealth, Failure> {
        let mut asking = self.ask(KEPT).await?;
        let found = match health::health(asking.connection()).await {
            // The connection that was kept may have been closed meanwhile.
            Err(error) if error.is_connection_lost() => {
                drop(asking);
                asking = self.ask(Duration::ZERO).await?;
                health::health(asking.connection()).await
            }
            found => found,
        };
        let found = found.at(self)?;
        asking.keep();
        Ok(found)
    }
}

async fn identity(connection: &mut Connection) -> Result<String, MysqlError> {
    let sql = connection.server().facts().identity;
    let text = connection.query(sql).await?.first_text().unwrap_or_default();
    Ok(format!(
        "{text} ({}, {})",
        connection.server(),
        connection.address()
    ))
}
