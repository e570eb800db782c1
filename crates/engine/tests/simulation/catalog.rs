//! What an administrator changes in the source's catalog and in the selection between two
//! processes, and the oracle for it: the record decides what a later process works on.

use std::collections::{BTreeMap, BTreeSet};

use spanferry_core::fixture;
use spanferry_core::mapping::convert;
use spanferry_core::port::target::{ControlState, FencedCommit, TablePhase};
use spanferry_core::report::code::{self, Code};
use spanferry_core::schema::definition::TableDefinition;
use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::schema::source::{Catalog, QualifiedName, SourceTable};

use crate::history::{AUTHOR, BOOK, ITEM, MAPPING, NOTE, plans};
use crate::source::catalog_now;
use crate::target::reached;
use crate::world::{Mutant, World};

/// Names that sort before those of the tables, and that the target cannot distinguish from them:
/// mapped together, they take these names.
const COLLIDING: [&str; 4] = ["AUTHOR", "Book", "ITEM", "NOTE"];

/// What an administrator has changed since the migration began.
#[derive(Debug, Default)]
pub(crate) struct CatalogChanges {
    /// Tables that the command line leaves out.
    excluded: BTreeSet<usize>,
    /// Tables that are not at the source.
    dropped: BTreeSet<usize>,
    /// Tables whose last column has another type, of which the values look the same.
    narrowed: BTreeSet<usize>,
    /// Tables without their unique index or foreign key.
    unconstrained: BTreeSet<usize>,
    /// A table whose name collides with another one at the target.
    collision: Option<&'static str>,
    /// Whether `note`, which has no primary key, has a second unique index that comes first.
    has_other_key: bool,
    /// Tables whose group may have stopped for one of these changes.
    touched: BTreeSet<usize>,
    /// Target name and key of each table as they were recorded first.
    recorded: BTreeMap<QualifiedName, (String, Vec<usize>)>,
}

fn toggle(set: &mut BTreeSet<usize>, table: usize) -> bool {
    let is_new = set.insert(table);
    if !is_new {
        set.remove(&table);
    }
    is_new
}

impl CatalogChanges {
    /// Makes a catalog what the administrator has made of it.
    pub(crate) fn apply(&self, catalog: &mut Catalog) {
        // It has no primary key: a unique index serves as its key.
        let note = &mut catalog.tables[NOTE];
        note.primary_key.clear();
        note.indexes.push(fixture::index("by_id", true, &[0]));
        for table in &self.narrowed {
            catalog.tables[*table].columns[2].ty = MysqlType::Integer {
                bits: 32,
                unsigned: false,
            }
            .into();
        }
        for table in &self.unconstrained {
            catalog.tables[*table].foreign_keys.clear();
            if *table != NOTE {
                catalog.tables[*table].indexes.clear();
            }
        }
        if self.has_other_key {
            let other = fixture::index("a_tied", true, &[1]);
            catalog.tables[NOTE].indexes.insert(0, other);
        }
        let collision = self.collision.map(|name| SourceTable {
            foreign_keys: Vec::new(),
            name: fixture::qualified(name),
            ..catalog.tables[AUTHOR].clone()
        });
        let mut number = 0..;
        catalog
            .tables
            .retain(|_| !self.dropped.contains(&number.next().unwrap_or_default()));
        catalog.tables.extend(collision);
    }

    /// Whether the command line selects a table of the source.
    pub(crate) fn selects(&self, name: &QualifiedName) -> bool {
        let plans = plans();
        let mut excluded = self.excluded.iter();
        !excluded.any(|table| plans[*table].name() == name)
    }

    fn is_away(&self, table: usize) -> bool {
        self.excluded.contains(&table) || self.dropped.contains(&table)
    }
}

/// One change between two processes, once the tables are recorded.
pub(crate) fn change_catalog(world: &mut World) {
    let Some(control) = world.target.control.as_ref() else {
        return;
    };
    if control.tables.is_empty() {
        return;
    }
    let is_cut = reached(control).partial.is_some();
    let table = *world.random.pick(&[AUTHOR, BOOK, ITEM, NOTE]);
    // What is counted in a cut transaction is the most delicate.
    let excludes = is_cut && world.random.chance(50);
    let kind = if excludes { 2 } else { world.random.below(9) };
    let collision = *world.random.pick(&COLLIDING);
    let changes = &mut world.catalog;
    let what = match kind {
        0 if changes.collision.take().is_some() => "colliding table dropped",
        0 | 1 => {
            changes.collision = Some(collision);
            "colliding table created"
        }
        2 | 3 => {
            changes.touched.insert(table);
            match (toggle(&mut changes.excluded, table), is_cut) {
                (true, true) => "table excluded in a cut transaction",
                (true, false) => "table excluded",
                (false, _) => "table included again",
            }
        }
        4 => {
            changes.touched.insert(table);
            if toggle(&mut changes.dropped, table) {
                "table dropped"
            } else {
                "table created again"
            }
        }
        5 => {
            changes.touched.insert(table);
            toggle(&mut changes.narrowed, table);
            "table altered"
        }
        6 => {
            toggle(&mut changes.unconstrained, table);
            "constraint dropped or added at the source"
        }
        _ => {
            changes.has_other_key = !changes.has_other_key;
            "unique index added or dropped at the source"
        }
    };
    world.count(what);
}

/// Before a resync all tables are there and selected, and the key is the old one: the record may
/// take over the rest.
pub(crate) fn bring_back(world: &mut World) {
    if !std::mem::take(&mut world.catalog.excluded).is_empty() {
        world.count("table included again");
    }
    if !std::mem::take(&mut world.catalog.dropped).is_empty() {
        world.count("table created again");
    }
    world.catalog.has_other_key = false;
}

/// A resync has taken over what the source has today.
pub(crate) fn taken_over(world: &mut World) {
    let control = world.target.control.as_ref().expect("it was resynced");
    let plans = plans();
    let is_stopped = |table: &usize| {
        let row = &control.tables[plans[*table].name()];
        row.phase == TablePhase::Stopped
    };
    let before = world.catalog.touched.len();
    world.catalog.touched.retain(is_stopped);
    if world.catalog.touched.len() < before {
        world.count("change of the catalog taken over");
    }
}

/// Whether a change of the catalog or selection explains why a table has stopped: one of its own
/// group.
pub(crate) fn explains(world: &World, table: usize, reason: Code) -> bool {
    let plans = plans();
    let definitions = &world.target.control.as_ref().unwrap().definitions;
    let group = |table: usize| definitions.get(plans[table].name()).map(|known| known.group);
    let is_of_catalog = [code::SCHEMA_MISMATCH, code::TABLE_GONE, code::TABLE_UNSELECTED].contains(&reason);
    let mut touched = world.catalog.touched.iter();
    is_of_catalog && touched.any(|touched| group(*touched) == group(table))
}

/// A commit writes each table under the name and by the key that are recorded.
pub(crate) fn expect_recorded(world: &mut World, commit: &FencedCommit) {
    let definitions = &world.target.control.as_ref().unwrap().definitions;
    for mutations in &commit.data {
        let plan = &mutations.table;
        let is_same = definitions.get(plan.name()).is_some_and(|known| {
            known.target.name == plan.target.name
                && known.target_key == plan.target_key
                && known.columns == plan.columns
        });
        if !is_same {
            let text = format!(
                "{} is written as `{}`, not as recorded",
                plan.name(),
                plan.target.name
            );
            world.violations.push(text);
        }
    }
}

/// Names and keys are as they were recorded first, and what is away or another today has stopped.
pub(crate) fn judge_record(world: &mut World) {
    let control = world.target.control.as_ref().unwrap();
    let mut wrong = Vec::new();
    for (name, known) in &control.definitions {
        let now = (known.target.name.clone(), known.source_key.clone());
        let first = world.catalog.recorded.entry(name.clone());
        let first = first.or_insert_with(|| now.clone());
        if *first != now {
            wrong.push(format!("{name} was recorded as {first:?}, is {now:?}"));
        }
    }
    let today = catalog_now(world).tables;
    for plan in plans() {
        let (table, name) = (plan.id.0 as usize, plan.name());
        let recorded = &control.definitions[name].source.columns;
        let found = today.iter().find(|found| found.name == *name);
        let is_other = found.is_some_and(|found| found.columns[2].ty != recorded[2].ty);
        let is_stopped = control.tables[name].phase == TablePhase::Stopped;
        if (world.catalog.is_away(table) || is_other) && !is_stopped {
            wrong.push(format!("{name} continues, though it is away or another"));
        }
        // A reason about the table itself names its way out: one that is away cannot be loaded
        // again.
        let reason = control.tables[name].stopped.as_ref();
        let reason = reason.filter(|reason| reason.subject.source_table() == Some(name));
        let is_told_away =
            reason.is_none_or(|reason| [code::TABLE_GONE, code::TABLE_UNSELECTED].contains(&reason.code));
        if world.catalog.is_away(table) && !is_told_away {
            wrong.push(format!("{name} is away, but its stop says {reason:?}"));
        }
    }
    world.violations.append(&mut wrong);
}

/// What the engine reads of the control tables; a wrong variant makes of the record what an engine
/// without it would.
pub(crate) fn as_read(world: &World, mut control: ControlState) -> ControlState {
    let changes = &world.catalog;
    let selected = || {
        let tables = catalog_now(world).tables.into_iter();
        tables.filter(|table| changes.selects(&table.name)).collect()
    };
    let planned_again = || convert::map(selected(), &MAPPING).plans;
    match world.mutant {
        Some(Mutant::PlanDecidedAgain) => {
            for plan in planned_again() {
                if let Some(known) = control.definitions.get_mut(plan.name()) {
                    *known = TableDefinition::of(&plan);
                }
            }
        }
        Some(Mutant::KeyChosenAgain) => {
            for plan in planned_again() {
                if let Some(known) = control.definitions.get_mut(plan.name()) {
                    known.source_key.clone_from(&plan.source_key);
                    known.target_key.clone_from(&plan.target_key);
                    known.target.primary_key.clone_from(&plan.target.primary_key);
                }
            }
        }
        Some(Mutant::CountSelected) => {
            let plans = plans();
            for plan in plans.iter().filter(|plan| changes.is_away(plan.id.0 as usize)) {
                control.definitions.remove(plan.name());
                control.tables.remove(plan.name());
            }
        }
        _ => {}
    }
    control
}
