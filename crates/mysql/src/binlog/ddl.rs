//! What a statement in the stream means for the migrated tables: a stop, a notice, or nothing.

use std::collections::BTreeSet;

use spanferry_core::code;
use spanferry_core::finding::{Finding, Severity, Subject};
use spanferry_core::source::ChangeSink;

use super::decoder::BinlogDecoder;
use super::query::QueryEvent;
use super::statement::{Kind, Named, Statement};

impl BinlogDecoder {
    /// Follows the statement of a QUERY event.
    pub(super) fn query(&mut self, body: &[u8], sink: &mut dyn ChangeSink) {
        let query = match QueryEvent::parse(body) {
            Ok(query) => query,
            Err(error) => return self.stop_all(&error.to_string(), sink),
        };
        if query.text.as_deref() == Some("COMMIT") {
            return;
        }
        let statement = query.statement();
        let title = &statement.title;
        match statement.kind {
            Kind::Rollback => {
                self.stop_changed("rows taken back by a logged ROLLBACK: the transaction mixes engines", sink);
            }
            Kind::Harmless => self.harmless(&query, &statement, sink),
            Kind::CreateTable => {
                self.stop_named(&query, &statement, sink);
                self.created(&query, &statement.tables, sink);
            }
            Kind::CreateTableIfAbsent => self.created(&query, &statement.tables, sink),
            Kind::ChangeTable => {
                self.stop_named(&query, &statement, sink);
                if title.starts_with("RENAME") {
                    let targets: Vec<Named> = statement.tables.iter().skip(1).step_by(2).cloned().collect();
                    self.created(&query, &targets, sink);
                } else if title.starts_with("CREATE") {
                    // CREATE OR REPLACE: it may be new.
                    self.created(&query, &statement.tables, sink);
                }
                self.created(&query, statement.renamed_to.as_slice(), sink);
            }
            Kind::ChangeSchema => {
                if self.is_schema(statement.schema.as_deref().unwrap_or(&query.schema)) {
                    self.stop_all_with(code::DDL_SEEN, &format!("{title} on the migrated schema"), sink);
                }
            }
            Kind::ChangeRows if self.may_change(&query, &statement) => self.stop_all(
                &format!("a change logged as statement ({title}): a session has another `binlog_format`, expected ROW"),
                sink,
            ),
            Kind::Xa => self.transaction.xa = true,
            Kind::XaCommit => self.stop_all("XA COMMIT: the transaction's rows were logged before its decision", sink),
            Kind::Unknown if self.touches(&query, &statement) => {
                self.stop_all_with(code::DDL_SEEN, &format!("a statement that is not recognised ({title})"), sink);
            }
            Kind::Begin | Kind::Commit | Kind::Nothing | Kind::ChangeRows | Kind::Unknown => {}
        }
    }

    fn harmless(&mut self, query: &QueryEvent, statement: &Statement, sink: &mut dyn ChangeSink) {
        let title = &statement.title;
        for index in self.named(query, &statement.tables) {
            let subject = Subject::table(self.plans[index].name().table.clone());
            sink.notice(Finding::new(
                code::DDL_SEEN,
                Severity::Notice,
                subject,
                format!("{title}, which changes no rows"),
            ));
        }
        if statement.tables.is_empty() && self.is_schema(&query.schema) {
            let text = format!("{title}, which changes no rows");
            sink.notice(Finding::new(
                code::DDL_SEEN,
                Severity::Notice,
                Subject::whole(),
                text,
            ));
        }
    }

    /// Tells of tables created in a migrated schema.
    fn created(&mut self, query: &QueryEvent, tables: &[Named], sink: &mut dyn ChangeSink) {
        for named in tables {
            let schema = named.schema.as_deref().unwrap_or(&query.schema);
            if self.is_schema(schema) && self.named(query, std::slice::from_ref(named)).is_empty() {
                let subject = Subject::table(named.table.clone());
                sink.notice(Finding::new(
                    code::TABLE_CREATED,
                    Severity::Warning,
                    subject,
                    "a table was created at the source and is not carried",
                ));
            }
        }
    }

    /// Stops the migrated tables that a statement names.
    fn stop_named(&mut self, query: &QueryEvent, statement: &Statement, sink: &mut dyn ChangeSink) {
        let title = &statement.title;
        for index in self.named(query, &statement.tables) {
            self.stop(
                index,
                code::DDL_SEEN,
                &format!("{title} at the source"),
                None,
                sink,
            );
        }
    }

    /// Plans of the tables named, in any letter case.
    fn named(&self, query: &QueryEvent, tables: &[Named]) -> BTreeSet<usize> {
        let same = |left: &str, right: &str| left == right || left.to_lowercase() == right.to_lowercase();
        let mut found = BTreeSet::new();
        for named in tables {
            let schema = named.schema.as_deref().unwrap_or(&query.schema);
            for (index, plan) in self.plans.iter().enumerate() {
                if same(&plan.name().schema, schema) && same(&plan.name().table, &named.table) {
                    found.insert(index);
                }
            }
        }
        found
    }

    fn is_schema(&self, name: &str) -> bool {
        self.schemas
            .iter()
            .any(|schema| schema == name || schema.to_lowercase() == name.to_lowercase())
    }

    /// Whether rows changed by a statement may be those of migrated tables. A view, a trigger or a function leads from any schema
    /// to another, unseen in the text, so only the server's own account (MariaDB gives none) clears a statement.
    fn may_change(&self, query: &QueryEvent, statement: &Statement) -> bool {
        query.changed_schemas.is_none() || self.touches(query, statement)
    }

    /// Whether a statement that cannot be followed may change migrated tables.
    fn touches(&self, query: &QueryEvent, statement: &Statement) -> bool {
        query.text.is_none()
            || self.is_schema(&query.schema)
            || query
                .changed_schemas
                .iter()
                .flatten()
                .any(|schema| self.is_schema(schema))
            || statement.mentioned.iter().any(|name| self.is_schema(name))
    }
}
