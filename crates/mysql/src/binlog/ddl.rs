//! What a statement in the stream means for the migrated tables: a stop, a notice, or nothing.

use std::collections::BTreeSet;

use spanferry_core::plan::TablePlan;
use spanferry_core::port::change::SchemaChangeKind;
use spanferry_core::report::code;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::schema::source::{IndexPart, NameCase, QualifiedName};
use spanferry_format::mysql::statement::{Effect, IndexChange, Kind, Named, Statement};

use super::consequence::{Consequence, blocking};
use super::query::QueryEvent;
use super::tables::Tables;
use super::two_phase::is_decision;

/// What the statement of a QUERY event means.
pub(super) fn judge(body: &[u8], tables: &Tables, mariadb: bool) -> Vec<Consequence> {
    let query = match QueryEvent::parse(body) {
        Ok(query) => query,
        Err(error) => return vec![Consequence::unusable(error.to_string())],
    };
    if query.text.as_deref() == Some("COMMIT") {
        return Vec::new();
    }
    let statement = query.statement(mariadb);
    let (query, statement) = (&query, &statement);
    Judge {
        tables,
        query,
        statement,
    }
    .consequences()
}

/// One statement, and the tables for which it is judged.
struct Judge<'a> {
    tables: &'a Tables,
    query: &'a QueryEvent,
    statement: &'a Statement,
}

impl Judge<'_> {
    fn consequences(&self) -> Vec<Consequence> {
        let title = &self.statement.title;
        match &self.statement.kind {
            Kind::Rollback | Kind::RollbackToSavepoint => {
                let text = "rows that a logged ROLLBACK takes back: the transaction also changed a table without transactions, or a temporary table";
                vec![Consequence::StopChanged(text.to_owned())]
            }
            Kind::Definition(effects) => self.definition(effects),
            Kind::Rows if self.may_change() => vec![Consequence::unusable(format!(
                "a change logged as statement ({title}): the server or the session that wrote it has another `binlog_format`, expected ROW"
            ))],
            Kind::XaStart | Kind::XaPrepare => vec![Consequence::Prepared],
            Kind::UnknownDefinition if self.may_define() => vec![self.unknown()],
            Kind::UnknownDefinition => self.stop_mentioned(),
            Kind::Unknown if self.may_change() => vec![self.unknown()],
            // What the end of a prepared transaction means is not known here
            // (`ChangeDecoder::two_phase`).
            Kind::XaEnd if is_decision(self.query.text.as_deref()) => Vec::new(),
            Kind::XaEnd => vec![Consequence::unusable(
                "the end of an XA transaction that cannot be read",
            )],
            Kind::Begin | Kind::Commit | Kind::Nothing | Kind::Rows | Kind::Unknown => Vec::new(),
        }
    }

    fn definition(&self, effects: &[Effect]) -> Vec<Consequence> {
        if effects.is_empty() && self.tables.names().has_schema(&self.query.schema) {
            let text = format!("{}, which changes no rows", self.statement.title);
            return vec![notice(Subject::whole(), Severity::Notice, text)];
        }
        let effects = effects.iter();
        effects.flat_map(|effect| self.effect(effect)).collect()
    }

    fn effect(&self, effect: &Effect) -> Vec<Consequence> {
        let title = &self.statement.title;
        let one = match effect {
            Effect::Changes(table) => self.schema_change(table, SchemaChangeKind::Altered),
            Effect::Truncates(table) => self.schema_change(table, SchemaChangeKind::Truncated),
            Effect::Keeps(table, changes) => self.find(table).map(|index| self.indexes(index, changes)),
            Effect::Creates(table) => self.created(table),
            Effect::ChangesSchema(schema) => {
                let schema = schema.as_deref().unwrap_or(&self.query.schema);
                let is_ours = self.tables.names().has_schema(schema);
                is_ours
                    .then(|| Consequence::StopAll(code::DDL_SEEN, format!("{title} on the migrated schema")))
            }
            Effect::ChangesMentioned => return self.stop_mentioned(),
        };
        one.into_iter().collect()
    }

    fn find(&self, table: &Named) -> Option<usize> {
        self.tables.names().find(&self.query.schema, table)
    }

    fn schema_change(&self, table: &Named, kind: SchemaChangeKind) -> Option<Consequence> {
        let index = self.find(table)?;
        let text = format!("{} at the source", self.statement.title);
        let finding = blocking(self.tables.plan(index), code::DDL_SEEN, &text, None);
        Some(Consequence::SchemaChange(index, kind, finding))
    }

    fn stop(&self, index: usize, text: &str) -> Consequence {
        let finding = blocking(self.tables.plan(index), code::DDL_SEEN, text, None);
        Consequence::Stop(index, finding)
    }

    /// Indexes of a table change, nothing else of it. One that makes the rows unique by the
    /// migration's key must stay.
    fn indexes(&self, index: usize, changes: &[IndexChange]) -> Consequence {
        let (plan, title) = (self.tables.plan(index), &self.statement.title);
        if let Some(name) = changes.iter().find_map(|change| lost_key(plan, change)) {
            let text = format!(
                "{title} at the source: without the unique index `{name}` rows may share a key of the target"
            );
            return self.stop(index, &text);
        }
        let has_primary_key = is_key(plan, &plan.source.primary_key);
        let adds = |change: &IndexChange| matches!(change, IndexChange::Adds { unique: true });
        let drops =
            |change: &IndexChange| matches!(change, IndexChange::Drops(name) if is_unique(plan, name));
        if changes.iter().any(adds) && !has_primary_key {
            let text = format!(
                "{title} at the source: it may bring back the unique index that is the table's key, without which rows may have shared a key"
            );
            return self.stop(index, &text);
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
        notice(
            Subject::table(plan.name()),
            severity,
            format!("{title}, {effect}"),
        )
    }

    /// Reports a table created in a migrated schema.
    fn created(&self, table: &Named) -> Option<Consequence> {
        let schema = table.schema.as_deref().unwrap_or(&self.query.schema);
        let is_new = self.tables.names().has_schema(schema) && self.find(table).is_none();
        is_new.then(|| {
            Consequence::Notice(Finding::new(
                code::TABLE_CREATED,
                Severity::Warning,
                Subject::Table(QualifiedName::new(schema, &table.table)),
                "a table was created at the source and is not migrated",
            ))
        })
    }

    fn unknown_text(&self) -> String {
        format!("a statement that is not recognised ({})", self.statement.title)
    }

    /// A statement that is not understood: it may have changed any table.
    fn unknown(&self) -> Consequence {
        Consequence::StopAll(code::DDL_SEEN, self.unknown_text())
    }

    /// A statement of which a part is not understood: it may have changed the tables whose names
    /// stand in it.
    fn stop_mentioned(&self) -> Vec<Consequence> {
        let names = self.statement.mentioned.iter();
        let mentioned: BTreeSet<usize> = names.flat_map(|name| self.tables.names().named(name)).collect();
        let text = self.unknown_text();
        mentioned
            .into_iter()
            .map(|index| self.stop(index, &text))
            .collect()
    }

    /// Whether rows changed by a statement may be those of migrated tables. A view, a trigger or a
    /// function leads from any schema to another, unseen in the text, so only the server's own
    /// account (MariaDB gives none) clears a statement.
    fn may_change(&self) -> bool {
        let changed = || self.query.changed_schemas.iter().flatten();
        changed().count() == 0
            || self.may_define()
            || changed().any(|schema| self.tables.names().has_schema(schema))
    }

    /// Whether a statement that changes only what it names may change something of a migrated
    /// schema.
    fn may_define(&self) -> bool {
        let names = self.tables.names();
        self.query.text.is_none()
            || names.has_schema(&self.query.schema)
            || self.statement.mentioned.iter().any(|name| names.has_schema(name))
    }
}

fn notice(subject: Subject, severity: Severity, text: String) -> Consequence {
    Consequence::Notice(Finding::new(code::DDL_SEEN, severity, subject, text))
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
