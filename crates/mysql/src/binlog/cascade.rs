//! Rows events behind which foreign keys may have changed rows that the log does not show.
//!
//! `check` lets a foreign key with actions pass where the server logs cascades. Events may come
//! from a server above it that does not (docs/design/cascades.md). So each event is judged by its
//! flags.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use spanferry_core::plan::TablePlan;
use spanferry_core::report::code;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::report::remedy::Remedy;
use spanferry_core::report::shell;
use spanferry_core::schema::source::{ForeignKeyAction, NameCase, SourceForeignKey};

use super::count::changed_columns;
use super::rows::{Change, RowsEvent, RowsFlags};
use super::table_map::{Definition, TableMapHead};
use super::tables::{Tables, key_of, lookup_key};
use crate::foreign_key::without_actions;

/// The foreign keys of migrated tables by which the server changes rows of the child.
#[derive(Debug)]
pub(super) struct Cascades {
    edges: Vec<Edge>,
}

#[derive(Debug)]
struct Edge {
    /// The child, by its index in `Tables`.
    child: usize,
    /// The place in the child's foreign keys.
    key: usize,
    /// The parent, by the key of `lookup_key`.
    parent: Vec<u8>,
    /// Whether the parent is migrated, so that its own foreign keys are known.
    parent_is_migrated: bool,
}

/// What happened to rows of a table.
#[derive(Debug, Clone)]
enum Effect {
    Deleted,
    /// These columns changed; nothing if any of them may have.
    Updated(Option<Vec<String>>),
}

impl Effect {
    /// What the foreign key then does to rows of its child.
    fn through(&self, plan: &TablePlan, key: &SourceForeignKey) -> Option<Effect> {
        let action = match self {
            Effect::Deleted => key.on_delete,
            Effect::Updated(columns) if touches(columns.as_deref(), &key.parent_columns) => key.on_update,
            Effect::Updated(_) => return None,
        };
        let columns = key.columns.iter();
        let columns = columns.map(|column| plan.source.columns[*column].name.clone());
        match (self, action) {
            (Effect::Deleted, ForeignKeyAction::Cascade) => Some(Effect::Deleted),
            (_, ForeignKeyAction::Cascade | ForeignKeyAction::SetNull) => {
                Some(Effect::Updated(Some(columns.collect())))
            }
            (_, ForeignKeyAction::NoAction | ForeignKeyAction::SetDefault) => None,
        }
    }

    /// What may have happened to rows of another table, through tables that are not known.
    fn beyond(&self) -> Vec<Effect> {
        match self {
            Effect::Deleted => vec![Effect::Deleted, Effect::Updated(None)],
            Effect::Updated(_) => vec![Effect::Updated(None)],
        }
    }
}

fn touches(changed: Option<&[String]>, referenced: &[String]) -> bool {
    let same = |left: &String, right: &String| NameCase::Insensitive.same(left, right);
    changed.is_none_or(|changed| {
        changed
            .iter()
            .any(|column| referenced.iter().any(|other| same(column, other)))
    })
}

impl Cascades {
    /// The foreign keys of these tables that have actions.
    pub(super) fn of(plans: &[Arc<TablePlan>]) -> Cascades {
        let migrated: BTreeSet<_> = plans.iter().map(|plan| key_of(plan.name())).collect();
        let mut edges = Vec::new();
        for (child, plan) in plans.iter().enumerate() {
            for (key, foreign_key) in plan.source.foreign_keys.iter().enumerate() {
                if !foreign_key.has_actions() {
                    continue;
                }
                let names = plan.source.names;
                let schema = names.normalise(&foreign_key.parent.schema);
                let table = names.normalise(&foreign_key.parent.table);
                let parent = lookup_key(schema.as_bytes(), table.as_bytes());
                let parent_is_migrated = migrated.contains(&parent);
                edges.push(Edge {
                    child,
                    key,
                    parent,
                    parent_is_migrated,
                });
            }
        }
        Cascades { edges }
    }

    /// Whether no migrated table has one.
    pub(super) fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// The children whose rows may have changed with this table, each with the place of one foreign
    /// key that leads to it.
    ///
    /// Of a parent that is not migrated the own foreign keys are not recorded, nor is its name if
    /// it was renamed. So any other table may stand above it.
    fn reached(&self, tables: &Tables, table: &[u8], effect: &Effect) -> BTreeMap<usize, usize> {
        let mut found = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![(table.to_vec(), effect.clone())];
        for edge in self.edges.iter().filter(|edge| !edge.parent_is_migrated) {
            if edge.parent != table {
                let beyond = effect.beyond().into_iter();
                open.extend(beyond.map(|effect| (edge.parent.clone(), effect)));
            }
        }
        while let Some((name, effect)) = open.pop() {
            for (place, edge) in self.edges.iter().enumerate() {
                let plan = tables.plan(edge.child);
                if edge.parent != name {
                    continue;
                }
                if let Some(next) = effect.through(plan, &plan.source.foreign_keys[edge.key]) {
                    found.entry(edge.child).or_insert(edge.key);
                    if seen.insert((place, matches!(next, Effect::Deleted))) {
                        open.push((key_of(plan.name()), next));
                    }
                }
            }
        }
        found
    }

    /// The children whose rows may change without being logged when any rows of this table do.
    pub(super) fn below(&self, tables: &Tables, head: &TableMapHead<'_>) -> BTreeSet<usize> {
        let table = lookup_key(head.schema, head.table);
        let effects = [Effect::Deleted, Effect::Updated(None)].into_iter();
        effects
            .flat_map(|effect| self.reached(tables, &table, &effect).into_keys())
            .collect()
    }

    /// The tables whose rows may have changed without being logged, with the findings that stop
    /// them; `map` is the table map of the rows.
    pub(super) fn hidden_behind(
        &self,
        tables: &Tables,
        map: &[u8],
        rows: ChangedRows<'_>,
        mariadb: bool,
    ) -> Vec<(usize, Finding)> {
        if self.is_empty() || !rows.flags().may_hide_cascades(mariadb) {
            return Vec::new();
        }
        let Ok(head) = TableMapHead::parse(map) else {
            return Vec::new();
        };
        let effect = rows.effect(&head, mariadb);
        if matches!(&effect, Effect::Updated(Some(columns)) if columns.is_empty()) {
            return Vec::new();
        }
        let reached = self.reached(tables, &lookup_key(head.schema, head.table), &effect);
        let title = title(&head);
        let finding =
            |(child, key): (&usize, &usize)| (*child, hidden(tables.plan(*child), *key, &title, &effect));
        let mut found: Vec<_> = reached.iter().map(finding).collect();
        let own = tables.index_of(&head);
        if let (Some(own), Some((_, finding))) = (own, found.first())
            && !reached.contains_key(&own)
        {
            // The target's foreign keys tie it to the child, whose rows are not known any more.
            let subject = Subject::table(tables.plan(own).name());
            let finding = finding.clone();
            found.push((own, Finding { subject, ..finding }));
        }
        found
    }
}

/// Rows of one table that were deleted or updated.
#[derive(Debug, Clone, Copy)]
pub(super) enum ChangedRows<'a> {
    /// Rows that can be read.
    Read(&'a RowsEvent<'a>),
    /// Updates in a form that is not read.
    Unread(RowsFlags),
}

impl ChangedRows<'_> {
    fn flags(&self) -> RowsFlags {
        match self {
            ChangedRows::Read(event) => event.flags,
            ChangedRows::Unread(flags) => *flags,
        }
    }

    fn effect(&self, head: &TableMapHead<'_>, mariadb: bool) -> Effect {
        match self {
            ChangedRows::Read(event) if event.change == Change::Delete => Effect::Deleted,
            ChangedRows::Read(event) => Effect::Updated(changed_names(head.definition, event, mariadb)),
            ChangedRows::Unread(_) => Effect::Updated(None),
        }
    }
}

/// The finding that stops the table of a plan; `key` is the place of one of its foreign keys.
fn hidden(plan: &TablePlan, key: usize, parent: &str, effect: &Effect) -> Finding {
    let source = &plan.source;
    let key = &source.foreign_keys[key];
    let what = match effect {
        Effect::Deleted => "a row was deleted",
        Effect::Updated(_) => "a row was changed",
    };
    let text = format!(
        "{what} in {parent} by a server that does not log cascades (the event lacks the flag 0x10): \
         the foreign key `{}` of table `{}`, with ON DELETE {} and ON UPDATE {}, may have changed rows without an event",
        key.name,
        source.name.table,
        key.on_delete.words(),
        key.on_update.words()
    );
    let remedy = format!(
        "Migrate from a server that logs cascades of its own changes and has no other server above it. \
         Or take the actions away where the changes are made: {}; and let the application change the child rows itself. \
         Then stop `migrate` and run `spanferry resync {}`.",
        without_actions(source, key).join("; "),
        shell::quoted(&source.name.table)
    );
    let subject = Subject::part(&source.name, &key.name);
    Finding::new(code::CASCADE_HIDDEN, Severity::Blocking, subject, text).remedy(Remedy::Words(remedy))
}

/// The names of the columns that an update changes; nothing if that cannot be seen.
fn changed_names(definition: &[u8], event: &RowsEvent<'_>, mariadb: bool) -> Option<Vec<String>> {
    let definition = Definition::parse(definition, mariadb).ok()?;
    let changed = changed_columns(&definition, event)?;
    let names = changed.into_iter();
    names
        .map(|column| definition.columns[column].name.clone())
        .collect()
}

/// The table as a message names it.
fn title(head: &TableMapHead<'_>) -> String {
    format!(
        "`{}.{}`",
        String::from_utf8_lossy(head.schema),
        String::from_utf8_lossy(head.table)
    )
}
