//! What a resync does: which tables are loaded again with today's definition, which stay stopped,
//! which are given up.

use std::collections::BTreeSet;

use spanferry_core::mapping::convert;
use spanferry_core::mapping::known::Known;
use spanferry_core::port::target::{ControlState, Epoch, TablePhase, TargetDescription};
use spanferry_core::report::finding::Finding;
use spanferry_core::schema::definition::TableDefinition;
use spanferry_core::schema::source::{QualifiedName, SourceTable};

use super::decide::{TableStop, gone, recorded, unselected};
use super::today::{Place, Today};

/// What a resync does. Tables that are not named here stay as they are.
#[derive(Debug, Clone, Default)]
pub struct Resync {
    /// Tables that are emptied and loaded again, with their new definitions.
    pub reload: Vec<TableDefinition>,
    /// Tables that are dropped at the target and leave the migration, with their recorded
    /// definitions.
    pub forget: Vec<TableDefinition>,
    /// Tables of the same group that cannot be loaded: they stay stopped, each for its reason.
    pub left: Vec<TableStop>,
    /// New definitions of tables that continue without a reload: only their group or their foreign
    /// keys change.
    pub changed: Vec<TableDefinition>,
    /// What the conversion of the tables to be loaded has to say.
    pub findings: Vec<Finding>,
}

impl Resync {
    /// The tables that are emptied at the target.
    pub fn emptied(&self) -> impl Iterator<Item = &QualifiedName> {
        let emptied = self.reload.iter().chain(&self.forget);
        emptied.map(TableDefinition::name)
    }
}

/// Why a table cannot be resynced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Neither the migration nor the selection has a table of this name.
    Unknown,
    /// These findings stand in the way.
    Findings(Vec<Finding>),
}

/// Everything that a resync is decided from.
#[derive(Debug, Clone, Copy)]
pub struct ResyncRequest<'a> {
    /// The table that the operator names.
    pub table: &'a QualifiedName,
    /// The source.
    pub today: &'a Today,
    /// The record.
    pub control: &'a ControlState,
    /// The target, whose names are taken.
    pub description: &'a TargetDescription,
    /// What the source's check has found about single tables.
    pub checked: &'a [Finding],
}

/// Decides what a resync loads again: the group of a table as it is recorded, as one, with today's
/// definitions. A table that is selected and not recorded is taken into the migration.
///
/// Groups that have stopped and that today's foreign keys refer to are loaded too, since the group
/// would never be complete without them. Groups that flow are only joined: their rows need not be
/// read again. `is_blocking` says which findings stand in the way.
pub fn decide_resync(
    request: ResyncRequest<'_>,
    is_blocking: impl Fn(&Finding) -> bool,
) -> Result<Resync, Refusal> {
    let ResyncRequest {
        table,
        today,
        control,
        description,
        checked,
    } = request;
    match (today.place(table), control.tables.contains_key(table)) {
        (Place::Selected(_), _) => {}
        (Place::Unselected, true) => return Err(Refusal::Findings(vec![unselected(table).finding])),
        (Place::Gone, true) => return Err(Refusal::Findings(vec![gone(table).finding])),
        (Place::Unselected | Place::Gone, false) => return Err(Refusal::Unknown),
    }
    let blocked = |name: &QualifiedName| -> Vec<Finding> {
        let concerns = |finding: &&Finding| finding.subject.source_table() == Some(name);
        let found = checked.iter().filter(concerns);
        found.filter(|finding| is_blocking(finding)).cloned().collect()
    };
    let set = set_of(request, |name| !blocked(name).is_empty());
    let (mut tables, mut left, mut blocking) = (Vec::new(), Vec::new(), Vec::new());
    for name in &set {
        match today.place(name) {
            Place::Selected(table) => {
                blocking.extend(blocked(name));
                tables.push(table.clone());
            }
            Place::Unselected => left.push(unselected(name)),
            Place::Gone => left.push(gone(name)),
        }
    }
    let (flowing, others): (Vec<_>, Vec<_>) = recorded(control)
        .filter(|definition| !set.contains(definition.name()))
        .partition(|definition| control.tables[definition.name()].phase != TablePhase::Stopped);
    let former = control.definitions.values();
    let known = Known {
        fixed: flowing.clone(),
        former: former
            .filter(|definition| set.contains(definition.name()))
            .collect(),
        taken: taken(description, others.iter().chain(&flowing).copied()),
        epoch: Epoch(control.migration.epoch.0 + 1),
        free_group: control
            .definitions
            .values()
            .map(|known| known.group.0 + 1)
            .max()
            .unwrap_or(0),
        cascades: Some(&today.cascades),
    };
    let mapped = convert::map_known(tables, &known, &today.mapping);
    blocking.extend(
        mapped
            .findings
            .iter()
            .filter(|finding| is_blocking(finding))
            .cloned(),
    );
    if !blocking.is_empty() {
        return Err(Refusal::Findings(blocking));
    }
    let mut resync = Resync {
        left,
        findings: mapped.findings,
        ..Resync::default()
    };
    for plan in &mapped.plans {
        let definition = TableDefinition::of(plan);
        match flowing.iter().find(|known| known.name() == plan.name()) {
            None => resync.reload.push(definition),
            Some(known) if known.group != definition.group => resync.changed.push(definition),
            Some(_) => {}
        }
    }
    Ok(resync)
}

/// The tables that are loaded as one: see `decide_resync`.
fn set_of(
    request: ResyncRequest<'_>,
    is_blocked: impl Fn(&QualifiedName) -> bool,
) -> BTreeSet<QualifiedName> {
    let (today, control) = (request.today, request.control);
    let group_of = |table: &QualifiedName| -> BTreeSet<QualifiedName> {
        let group = recorded(control)
            .find(|known| known.name() == table)
            .map(|known| known.group);
        let members = recorded(control).filter(|known| Some(known.group) == group);
        members.map(|known| known.name().clone()).collect()
    };
    let is_stopped = |table: &QualifiedName| {
        control
            .tables
            .get(table)
            .is_some_and(|row| row.phase == TablePhase::Stopped)
    };
    let can_load = |group: &BTreeSet<QualifiedName>| {
        let mut tables = group.iter();
        tables.all(|table| matches!(today.place(table), Place::Selected(_)) && !is_blocked(table))
    };
    let mut set = group_of(request.table);
    set.insert(request.table.clone());
    loop {
        let members = today.selected.iter().filter(|table| set.contains(&table.name));
        let parents =
            members.flat_map(|table: &SourceTable| table.foreign_keys.iter().map(|key| &key.parent));
        let mut outside = parents.filter(|parent| !set.contains(parent) && is_stopped(parent));
        let Some(group) = outside.find_map(|parent| Some(group_of(parent)).filter(|group| can_load(group)))
        else {
            return set;
        };
        set.extend(group);
    }
}

/// Names at the target that a new object must not get: of other tables as they are recorded, and of
/// what is there.
fn taken<'a>(
    description: &'a TargetDescription,
    others: impl Iterator<Item = &'a TableDefinition>,
) -> Vec<&'a str> {
    let recorded = others.flat_map(|definition| {
        let (indexes, keys) = (&definition.target.indexes, &definition.target.foreign_keys);
        let indexes = indexes.iter().map(|index| index.name.as_str());
        let keys = keys.iter().map(|key| key.name.as_str());
        std::iter::once(definition.target.name.as_str())
            .chain(indexes)
            .chain(keys)
    });
    let tables = description.tables.keys().map(String::as_str);
    let indexes = description.indexes.iter().map(String::as_str);
    let keys = description.foreign_keys.iter().map(String::as_str);
    recorded.chain(tables).chain(indexes).chain(keys).collect()
}

/// Decides what it takes to give a table up: foreign keys of other tables to it go with it.
pub fn decide_forget(control: &ControlState, table: &QualifiedName) -> Result<Resync, Refusal> {
    let forgotten = recorded(control).find(|known| known.name() == table);
    let forgotten = forgotten.ok_or(Refusal::Unknown)?;
    let mut changed = Vec::new();
    for known in recorded(control).filter(|known| known.name() != table) {
        let mut definition = known.clone();
        let keys = &mut definition.target.foreign_keys;
        keys.retain(|key| key.parent != forgotten.target.name);
        if definition != *known {
            changed.push(definition);
        }
    }
    Ok(Resync {
        forget: vec![forgotten.clone()],
        changed,
        ..Resync::default()
    })
}
