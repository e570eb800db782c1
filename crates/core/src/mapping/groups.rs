//! Groups: tables tied by foreign keys go through the migration together. These are the foreign keys
//! of the target and, where the source's log does not show what actions change, those of the source
//! with actions (docs/design/cascades.md, 1).

use std::collections::BTreeMap;

use crate::mapping::component::components;
use crate::mapping::known::Known;
use crate::plan::{GroupId, TablePlan};
use crate::schema::source::{CascadeLog, QualifiedName};

/// Numbers the groups of plans by the foreign keys that are carried, or whose actions the log does
/// not show; a table without any is a group of its own.
///
/// Tables that stay as they are recorded (`Known::fixed`) stay together, and their group keeps its
/// number; of several that a new foreign key brings together the lowest remains.
pub(crate) fn group_tables(plans: &mut [TablePlan], known: &Known<'_>) {
    let recorded: BTreeMap<&QualifiedName, GroupId> = known
        .fixed
        .iter()
        .map(|known| (known.name(), known.group))
        .collect();
    let groups: Vec<Option<GroupId>> = plans
        .iter()
        .map(|plan| recorded.get(plan.name()).copied())
        .collect();
    let mut parent = tied(plans, &groups, known);
    let mut numbers: BTreeMap<usize, GroupId> = BTreeMap::new();
    for (index, group) in groups.iter().enumerate() {
        if let Some(group) = group {
            let number = numbers.entry(root(&mut parent, index)).or_insert(*group);
            *number = (*number).min(*group);
        }
    }
    let mut next = known.free_group;
    for (index, plan) in plans.iter_mut().enumerate() {
        let number = numbers.entry(root(&mut parent, index)).or_insert_with(|| {
            next += 1;
            GroupId(next - 1)
        });
        plan.group = *number;
    }
}

/// Plans that belong together, as trees: each plan's parent.
fn tied(plans: &[TablePlan], groups: &[Option<GroupId>], known: &Known<'_>) -> Vec<usize> {
    let mut parent: Vec<usize> = (0..plans.len()).collect();
    let mut unite = |left: usize, right: usize| {
        let (left, right) = (root(&mut parent, left), root(&mut parent, right));
        parent[left.max(right)] = left.min(right);
    };
    let names = plans.iter().map(|plan| plan.target.name.as_str());
    let by_name: BTreeMap<&str, usize> = names.zip(0..).collect();
    let at_source: BTreeMap<&QualifiedName, usize> = plans.iter().map(TablePlan::name).zip(0..).collect();
    let unlogged = known.cascades.filter(|source| source.log == CascadeLog::Unlogged);
    let edges = unlogged.map_or(&[][..], |source| source.edges.as_slice());
    for component in components(edges) {
        let mut inside = component.tables.iter().filter_map(|table| at_source.get(table));
        if let Some(first) = inside.next() {
            inside.for_each(|other| unite(*first, *other));
        }
    }
    let mut first: BTreeMap<GroupId, usize> = BTreeMap::new();
    for (index, plan) in plans.iter().enumerate() {
        for key in &plan.target.foreign_keys {
            if let Some(other) = by_name.get(key.parent.as_str()) {
                unite(index, *other);
            }
        }
        if let Some(group) = groups[index] {
            unite(index, *first.entry(group).or_insert(index));
        }
    }
    parent
}

fn root(parent: &mut [usize], mut at: usize) -> usize {
    while parent[at] != at {
        parent[at] = parent[parent[at]];
        at = parent[at];
    }
    at
}
