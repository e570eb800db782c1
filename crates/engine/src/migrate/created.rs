//! Before the end: which of the tables that were created after the migration began are still at the
//! source.

use std::collections::BTreeSet;
use std::time::Duration;

use spanferry_core::port::source::CatalogSource;
use spanferry_core::report::failure::Failure;
use spanferry_core::schema::source::QualifiedName;

use crate::progress::Progress;

/// How long the end may wait for the source's catalog. Without an answer every created table is
/// still reported.
const CATALOG_PATIENCE: Duration = Duration::from_secs(10);

/// Forgets created tables that the source does not have any more: they were dropped or renamed, so
/// nothing of them is missing at the target. The source must show all its tables: one that it hides
/// would be forgotten as well.
///
/// Cancellation: safe.
pub(super) async fn forget_dropped<S: CatalogSource>(source: &S, progress: &Progress) {
    if progress.created().tables.is_empty() {
        return;
    }
    match tokio::time::timeout(CATALOG_PATIENCE, names_now(source)).await {
        // The statement may have spelt the name otherwise than the catalog does.
        Ok(Ok(names)) => progress.retain_created(|table| names.contains(&in_lower_case(table))),
        Ok(Err(failure)) => {
            tracing::warn!(failure = %failure.for_log(), "the source does not show which created tables still exist");
        }
        Err(_) => tracing::warn!("the source did not show in time which created tables still exist"),
    }
}

/// The names of all tables, in lower case.
async fn names_now<S: CatalogSource>(source: &S) -> Result<BTreeSet<QualifiedName>, Failure> {
    let tables = source.catalog().await?.tables.into_iter();
    Ok(tables.map(|table| in_lower_case(&table.name)).collect())
}

fn in_lower_case(name: &QualifiedName) -> QualifiedName {
    QualifiedName::new(name.schema.to_lowercase(), name.table.to_lowercase())
}

#[cfg(test)]
mod tests {
    use spanferry_core::report::code;
    use spanferry_core::report::finding::{Finding, Severity, Subject};
    use spanferry_core::schema::source::{Catalog, SourceTable};

    use super::*;
    use crate::fixture::table;

    /// A source with one table, or one that does not answer.
    struct Source(Option<&'static str>);

    impl CatalogSource for Source {
        async fn catalog(&self) -> Result<Catalog, Failure> {
            let Some(name) = self.0 else {
                return std::future::pending().await;
            };
            Ok(Catalog {
                tables: vec![SourceTable::clone(&table(name).source)],
                ..Catalog::default()
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_created_table_is_reported_until_the_source_shows_that_it_is_gone() {
        let check = async |source: Source, expected: &[&str]| {
            let progress = Progress::default();
            for name in ["Scratch", "later"] {
                let subject = Subject::table(&spanferry_core::fixture::qualified(name));
                progress.report(Finding::new(
                    code::TABLE_CREATED,
                    Severity::Warning,
                    subject,
                    "created",
                ));
                let subject = Subject::table(&spanferry_core::fixture::qualified(name));
                progress.report(Finding::new(code::DDL_SEEN, Severity::Notice, subject, "other"));
            }
            forget_dropped(&source, &progress).await;
            let left = progress.created().tables.into_iter();
            let left: Vec<String> = left.map(|name| name.table).collect();
            assert_eq!(left, expected);
            let findings = progress.snapshot().findings;
            let told = findings
                .iter()
                .filter(|finding| finding.code == code::TABLE_CREATED);
            assert_eq!(told.count(), expected.len());
            assert_eq!(findings.len(), expected.len() + 2, "other findings stay");
        };
        check(Source(Some("later")), &["later"]).await;
        check(Source(Some("scratch")), &["Scratch"]).await;
        check(Source(Some("t")), &[]).await;
        check(Source(None), &["Scratch", "later"]).await;
    }
}
