//! Groups: tables tied by foreign keys go through the migration together. These are the foreign
//! keys of the target and, where the source's log does not show what actions change, those of the
//! source with actions (docs/design/cascades.md, 1).

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::schema::definition::TableDefinition;
    use crate::schema::target::TargetForeignKey;

    /// A plan with foreign keys to these tables.
    fn plan(name: &str, parents: &[&str]) -> TablePlan {
        let key = |parent: &&str| TargetForeignKey {
            name: format!("{name}_{parent}"),
            columns: vec![0],
            parent: (*parent).to_owned(),
            parent_columns: vec!["id".to_owned()],
            origin: "f".to_owned(),
        };
        let mut plan = fixture::plan(fixture::table(name, Vec::new()), []);
        plan.target.foreign_keys = parents.iter().map(key).collect();
        plan
    }

    /// The groups of these plans; the numbers are those of recorded tables, by their names.
    fn groups(mut plans: Vec<TablePlan>, recorded: &[(&str, u32)]) -> Vec<u32> {
        let definition = |(name, group): &(&str, u32)| TableDefinition {
            group: GroupId(*group),
            ..TableDefinition::of(&plan(name, &[]))
        };
        let recorded: Vec<TableDefinition> = recorded.iter().map(definition).collect();
        let known = Known {
            fixed: recorded.iter().collect(),
            free_group: 9,
            ..Known::default()
        };
        group_tables(&mut plans, &known);
        plans.iter().map(|plan| plan.group.0).collect()
    }

    #[test]
    fn recorded_tables_stay_together_under_their_number() {
        let plans = || ["a", "b", "c", "d", "e"].map(|name| plan(name, &[])).to_vec();
        assert_eq!(groups(plans(), &[]), [9, 10, 11, 12, 13]);
        // Nothing but the record ties `b` to `d`.
        assert_eq!(groups(plans(), &[("b", 4), ("d", 4), ("a", 2)]), [2, 4, 9, 4, 10]);
    }

    #[test]
    fn of_groups_that_become_one_the_lowest_number_remains() {
        let recorded = [("a", 3), ("b", 5), ("c", 5), ("d", 1)];
        let plans = |parents: &[&str]| {
            let known = ["a", "b", "c", "d"].map(|name| plan(name, &[]));
            known
                .into_iter()
                .chain([plan("e", parents), plan("f", &[])])
                .collect()
        };
        assert_eq!(groups(plans(&["b"]), &recorded), [3, 5, 5, 1, 5, 9]);
        assert_eq!(groups(plans(&["a", "c"]), &recorded), [3, 3, 3, 1, 3, 9]);
        assert_eq!(groups(plans(&["a", "d"]), &recorded), [1, 5, 5, 1, 1, 9]);
    }
}
