//! What a statement in the stream means for the migrated tables: a stop, a notice, or nothing.

use std::collections::BTreeSet;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::change::{ChangeSink, SchemaChangeKind};
use spanferry_core::report::code;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::schema::source::{IndexPart, NameCase, QualifiedName};
use spanferry_format::mysql::statement::{Effect, IndexChange, Kind, Named, Statement};

use super::decoder::BinlogDecoder;
use super::query::QueryEvent;
use super::two_phase::is_decision;

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
        let statement = query.statement(self.mariadb);
        let title = &statement.title;
        match &statement.kind {
            Kind::Rollback | Kind::RollbackToSavepoint => {
                let text = "rows that a logged ROLLBACK takes back: the transaction also changed a table without transactions, or a temporary table";
                self.stop_changed(text, sink);
            }
            Kind::Definition(effects) => self.definition(&query, &statement, effects, sink),
            Kind::Rows if self.may_change(&query, &statement) => self.stop_all(
                &format!("a change logged as statement ({title}): the server or the session that wrote it has another `binlog_format`, expected ROW"),
                sink,
            ),
            Kind::XaStart | Kind::XaPrepare => self.transaction.xa = true,
            Kind::UnknownDefinition if self.may_define(&query, &statement) => self.stop_unknown(&statement, sink),
            Kind::UnknownDefinition => self.stop_mentioned(&statement, sink),
            Kind::Unknown if self.may_change(&query, &statement) => self.stop_unknown(&statement, sink),
            // What the end of a prepared transaction means is not known here
            // (`ChangeDecoder::two_phase`).
            Kind::XaEnd if is_decision(query.text.as_deref()) => {}
            Kind::XaEnd => self.stop_all("the end of an XA transaction that cannot be read", sink),
            Kind::Begin | Kind::Commit | Kind::Nothing | Kind::Rows | Kind::Unknown => {}
        }
    }

    fn definition(
        &mut self,
        query: &QueryEvent,
        statement: &Statement,
        effects: &[Effect],
        sink: &mut dyn ChangeSink,
    ) {
        let title = &statement.title;
        if effects.is_empty() && self.tables.has_schema(&query.schema) {
            self.tell(
                None,
                Severity::Notice,
                format!("{title}, which changes no rows"),
                sink,
            );
        }
        for effect in effects {
            match effect {
                Effect::Changes(table) | Effect::Truncates(table) => {
                    if let Some(index) = self.tables.find(&query.schema, table) {
                        let kind = if matches!(effect, Effect::Truncates(_)) {
                            SchemaChangeKind::Truncated
                        } else {
                            SchemaChangeKind::Altered
                        };
                        self.schema_change(index, kind, &format!("{title} at the source"), sink);
                    }
                }
                Effect::Keeps(table, indexes) => {
                    if let Some(index) = self.tables.find(&query.schema, table) {
                        self.indexes(index, title, indexes, sink);
                    }
                }
                Effect::Creates(table) => self.created(query, table, sink),
                Effect::ChangesSchema(schema) => {
                    if self.tables.has_schema(schema.as_deref().unwrap_or(&query.schema)) {
                        self.stop_all_with(code::DDL_SEEN, &format!("{title} on the migrated schema"), sink);
                    }
                }
                Effect::ChangesMentioned => self.stop_mentioned(statement, sink),
            }
        }
    }

    /// Indexes of a table change, nothing else of it. One that makes the rows unique by the
    /// migration's key must stay.
    fn indexes(&mut self, index: usize, title: &str, changes: &[IndexChange], sink: &mut dyn ChangeSink) {
        let plan = &self.plans[index];
        if let Some(name) = changes.iter().find_map(|change| lost_key(plan, change)) {
            let text = format!(
                "{title} at the source: without the unique index `{name}` rows may share a key of the target"
            );
            return self.stop(index, code::DDL_SEEN, &text, None, sink);
        }
        let has_primary_key = is_key(plan, &plan.source.primary_key);
        let adds = |change: &IndexChange| matches!(change, IndexChange::Adds { unique: true });
        let drops =
            |change: &IndexChange| matches!(change, IndexChange::Drops(name) if is_unique(plan, name));
        if changes.iter().any(adds) && !has_primary_key {
            let text = format!(
                "{title} at the source: it may bring back the unique index that is the table's key, without which rows may have shared a key"
            );
            return self.stop(index, code::DDL_SEEN, &text, None, sink);
        }
        let (severity, effect) = if changes.iter().any(adds) {
            (
                Severity::Warning,
                "which adds a unique index: the target does not get it",
            )
        } else if changes.iter().any(drops) {
            (
                Severity::Warning,
                "which drops a unique index: the target keeps its own, and refuses rows with equal values",
            )
        } else {
            (Severity::Notice, "which changes no rows")
        };
        self.tell(Some(index), severity, format!("{title}, {effect}"), sink);
    }

    fn tell(&self, table: Option<usize>, severity: Severity, text: String, sink: &mut dyn ChangeSink) {
        let subject = table.map_or_else(Subject::whole, |index| Subject::table(self.plans[index].name()));
        sink.notice(Finding::new(code::DDL_SEEN, severity, subject, text));
    }

    /// Tells of a table created in a migrated schema.
    fn created(&self, query: &QueryEvent, table: &Named, sink: &mut dyn ChangeSink) {
        let schema = table.schema.as_deref().unwrap_or(&query.schema);
        if self.tables.has_schema(schema) && self.tables.find(&query.schema, table).is_none() {
            let subject = Subject::Table(QualifiedName::new(schema, &table.table));
            sink.notice(Finding::new(
                code::TABLE_CREATED,
                Severity::Warning,
                subject,
                "a table was created at the source and is not migrated",
            ));
        }
    }

    /// A statement that is not understood: it may have changed any table.
    fn stop_unknown(&mut self, statement: &Statement, sink: &mut dyn ChangeSink) {
        let text = format!("a statement that is not recognised ({})", statement.title);
        self.stop_all_with(code::DDL_SEEN, &text, sink);
    }

    /// A statement of which a part is not understood: it may have changed the tables whose names
    /// stand in it.
    fn stop_mentioned(&mut self, statement: &Statement, sink: &mut dyn ChangeSink) {
        let names = statement.mentioned.iter();
        let mentioned: BTreeSet<usize> = names.flat_map(|name| self.tables.named(name)).collect();
        let text = format!("a statement that is not recognised ({})", statement.title);
        for index in mentioned {
            self.stop(index, code::DDL_SEEN, &text, None, sink);
        }
    }

    /// Whether rows changed by a statement may be those of migrated tables. A view, a trigger or a
    /// function leads from any schema to another, unseen in the text, so only the server's own
    /// account (MariaDB gives none) clears a statement.
    fn may_change(&self, query: &QueryEvent, statement: &Statement) -> bool {
        query.changed_schemas.iter().flatten().count() == 0
            || self.may_define(query, statement)
            || query
                .changed_schemas
                .iter()
                .flatten()
                .any(|schema| self.tables.has_schema(schema))
    }

    /// Whether a statement that changes only what it names may change something of a migrated
    /// schema.
    fn may_define(&self, query: &QueryEvent, statement: &Statement) -> bool {
        query.text.is_none()
            || self.tables.has_schema(&query.schema)
            || statement
                .mentioned
                .iter()
                .any(|name| self.tables.has_schema(name))
    }
}

/// The index that the rows need to be unique by the plan's key, if this change may take it away.
///
/// Where the key is the primary key none is needed. Else an index that the plan does not know may
/// be the needed one under another name.
fn lost_key<'a>(plan: &TablePlan, change: &'a IndexChange) -> Option<&'a str> {
    if is_key(plan, &plan.source.primary_key) {
        return None;
    }
    let is_other = |name: &str| {
        let known = plan.source.indexes.iter().find(|index| same(&index.name, name));
        known.is_some_and(|index| !(index.unique && holds_key(plan, &index.parts)))
    };
    match change {
        IndexChange::Adds { .. } => None,
        IndexChange::Drops(name) => (!is_other(name)).then_some(name),
        IndexChange::Renames(from, _) => (!is_other(from)).then_some(from),
    }
}

/// Whether these columns are the plan's key, in its order.
fn is_key(plan: &TablePlan, columns: &[usize]) -> bool {
    key_columns(plan).eq(columns.iter().copied())
}

/// The columns of the plan's key at the source, by their places in its table.
fn key_columns(plan: &TablePlan) -> impl Iterator<Item = usize> {
    plan.source_key.iter().copied()
}

/// Whether these parts are columns of the plan's key and nothing else: rows that share a key then
/// share them too.
fn holds_key(plan: &TablePlan, parts: &[IndexPart]) -> bool {
    parts.iter().all(|part| match part {
        IndexPart::Column { column, .. } => key_columns(plan).any(|key| key == *column),
        IndexPart::Expression { .. } => false,
    })
}

fn is_unique(plan: &TablePlan, name: &str) -> bool {
    let mut indexes = plan.source.indexes.iter();
    indexes.any(|index| index.unique && same(&index.name, name))
}

/// Names of indexes are compared without regard to letter case, on every server.
fn same(left: &str, right: &str) -> bool {
    NameCase::Insensitive.same(left, right)
}
