//! What plans record of foreign-key actions: whether the source's log shows them, the components,
//! and each table's own foreign keys with actions (docs/design/cascades.md, 1 and 2).

use std::collections::{BTreeMap, BTreeSet};

use crate::mapping::component::components;
use crate::mapping::known::Known;
use crate::plan::cascade::{CascadeEdge, ComponentPart, TableCascades};
use crate::plan::{GroupId, TablePlan};
use crate::schema::source::{CascadeLog, QualifiedName, SourceForeignKey};

/// Records in the plans what the source does by foreign keys. Groups are known; tables that stay as
/// they are recorded keep what they have.
pub(crate) fn record_cascades(plans: &mut [TablePlan], known: &Known<'_>) {
    let Some(source) = known.cascades else { return };
    if source.log == CascadeLog::Logged {
        return;
    }
    let fixed: BTreeSet<&QualifiedName> = known.fixed.iter().map(|fixed| fixed.name()).collect();
    let mut parts = parts(plans, known);
    let edges: Vec<Vec<CascadeEdge>> = plans.iter().map(|plan| edges_of(plan, plans)).collect();
    for (plan, edges) in plans.iter_mut().zip(edges) {
        if !fixed.contains(plan.name()) {
            plan.cascades = TableCascades::Unlogged {
                component: parts.remove(plan.name()),
                edges,
            };
        }
    }
}

/// The component of each plan, numbered within its group. Numbers of components that are recorded
/// are not given again.
fn parts(plans: &[TablePlan], known: &Known<'_>) -> BTreeMap<QualifiedName, ComponentPart> {
    let mut next: BTreeMap<GroupId, u32> = BTreeMap::new();
    for plan in plans {
        if let TableCascades::Unlogged {
            component: Some(part),
            ..
        } = &plan.cascades
        {
            let next = next.entry(plan.group).or_default();
            *next = (*next).max(part.number + 1);
        }
    }
    let edges = known.cascades.map_or(&[][..], |source| source.edges.as_slice());
    let mut parts = BTreeMap::new();
    for component in components(edges) {
        let mut inside = plans.iter().filter(|plan| component.tables.contains(plan.name()));
        let Some(first) = inside.next() else { continue };
        let next = next.entry(first.group).or_default();
        let part = ComponentPart {
            number: *next,
            kind: component.kind,
        };
        *next += 1;
        parts.extend(component.tables.into_iter().map(|table| (table, part)));
    }
    parts
}

/// The table's foreign keys with actions whose parents are migrated.
fn edges_of(child: &TablePlan, plans: &[TablePlan]) -> Vec<CascadeEdge> {
    let edge = |(foreign_key, key): (usize, &SourceForeignKey)| {
        let parent = plans.iter().find(|plan| *plan.name() == key.parent)?;
        let columns = key.parent_columns.iter();
        let columns: Option<Vec<usize>> = columns.map(|column| parent.source.column_index(column)).collect();
        Some(CascadeEdge {
            foreign_key,
            parent_columns: columns?,
        })
    };
    let keys = child.source.foreign_keys.iter().enumerate();
    keys.filter(|(_, key)| key.has_actions())
        .filter_map(edge)
        .collect()
}

#[cfg(test)]
#[path = "cascade_tests.rs"]
mod tests;
