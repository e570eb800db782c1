//! Components: tables whose rows change together by foreign-key actions, and what it takes to apply
//! their changes exactly.
//!
//! Numbers in comments are steps of docs/design/cascades.md.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::cascade::ComponentKind;
use crate::schema::source::{ActionEdge, ForeignKeyAction, QualifiedName};

/// Tables that are tied by action edges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// The tables: of any schema, selected or not.
    pub tables: BTreeSet<QualifiedName>,
    /// The edges between them, as places in the list that was given.
    pub edges: Vec<usize>,
    /// The tables in units: those that reach each other by edges are one. Ancestors come first
    /// (18).
    pub units: Vec<BTreeSet<QualifiedName>>,
    /// What its changes need.
    pub kind: ComponentKind,
}

/// The components of these edges, by the name of their first table.
pub fn components(edges: &[ActionEdge]) -> Vec<Component> {
    let graph = Graph::of(edges);
    let mut open: BTreeSet<&QualifiedName> = graph.neighbours.keys().copied().collect();
    let mut found = Vec::new();
    while let Some(first) = open.first().copied() {
        let tables = closure([first], |table| graph.neighbours[table].iter().copied());
        open.retain(|table| !tables.contains(table));
        let is_inside = |at: &usize| tables.contains(&edges[*at].child);
        let places: Vec<usize> = (0..edges.len()).filter(is_inside).collect();
        found.push(Component {
            units: units(&graph, &tables),
            kind: kind(&graph, &places),
            tables: tables.into_iter().cloned().collect(),
            edges: places,
        });
    }
    found
}

/// The edges by the tables at their ends.
struct Graph<'a> {
    edges: &'a [ActionEdge],
    /// The places of the edges below each table.
    below: BTreeMap<&'a QualifiedName, Vec<usize>>,
    neighbours: BTreeMap<&'a QualifiedName, BTreeSet<&'a QualifiedName>>,
}

impl<'a> Graph<'a> {
    fn of(edges: &'a [ActionEdge]) -> Graph<'a> {
        let mut below: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        let mut neighbours: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (at, edge) in edges.iter().enumerate() {
            below.entry(&edge.parent).or_default().push(at);
            neighbours.entry(&edge.parent).or_default().insert(&edge.child);
            neighbours.entry(&edge.child).or_default().insert(&edge.parent);
        }
        Graph {
            edges,
            below,
            neighbours,
        }
    }

    /// The places of the edges below a table.
    fn below(&self, table: &QualifiedName) -> &[usize] {
        self.below.get(table).map_or(&[], Vec::as_slice)
    }

    /// The table and all tables below it.
    fn reach(&self, table: &'a QualifiedName) -> BTreeSet<&'a QualifiedName> {
        closure([table], |table| {
            self.below(table).iter().map(|at| &self.edges[*at].child)
        })
    }
}

/// Everything that is reached from some tables.
fn closure<'a, I: Iterator<Item = &'a QualifiedName>>(
    from: impl IntoIterator<Item = &'a QualifiedName>,
    next: impl Fn(&'a QualifiedName) -> I,
) -> BTreeSet<&'a QualifiedName> {
    let mut open: Vec<&QualifiedName> = from.into_iter().collect();
    let mut seen: BTreeSet<&QualifiedName> = open.iter().copied().collect();
    while let Some(table) = open.pop() {
        for other in next(table) {
            if seen.insert(other) {
                open.push(other);
            }
        }
    }
    seen
}

fn units(graph: &Graph<'_>, tables: &BTreeSet<&QualifiedName>) -> Vec<BTreeSet<QualifiedName>> {
    let reach: BTreeMap<&QualifiedName, BTreeSet<&QualifiedName>> =
        tables.iter().map(|table| (*table, graph.reach(table))).collect();
    let mut open = tables.clone();
    let mut units = Vec::new();
    while !open.is_empty() {
        let is_above = |other: &&&QualifiedName, table: &QualifiedName| {
            reach[**other].contains(table) && !reach[table].contains(**other)
        };
        let has_none_above = |table: &&&QualifiedName| !open.iter().any(|other| is_above(&other, table));
        let top = open.iter().find(has_none_above).copied();
        let top = top.expect("tables without their circles have a first one");
        let unit: BTreeSet<&QualifiedName> = open
            .iter()
            .copied()
            .filter(|other| reach[top].contains(other) && reach[other].contains(top))
            .collect();
        open.retain(|table| !unit.contains(table));
        units.push(unit.into_iter().cloned().collect());
    }
    units
}

fn kind(graph: &Graph<'_>, places: &[usize]) -> ComponentKind {
    if is_one_level(graph, places) {
        ComponentKind::OneLevel
    } else if order_of_rows_matters(graph, places) {
        ComponentKind::Refused
    } else {
        ComponentKind::Exact
    }
}

/// Step 38: ON DELETE actions only, no table is both parent and child, and no two edges of a child
/// share a column.
fn is_one_level(graph: &Graph<'_>, places: &[usize]) -> bool {
    let mut columns = BTreeSet::new();
    places.iter().all(|at| {
        let edge = &graph.edges[*at];
        let mut own = edge.columns.iter();
        !edge.on_update.changes_rows()
            && graph.below(&edge.child).is_empty()
            && own.all(|column| columns.insert((&edge.child, column)))
    })
}

/// Step 10: below some edge, itself included, two edges lead into one table, and one of them writes
/// a column that the other one holds or that an edge below the table references.
fn order_of_rows_matters(graph: &Graph<'_>, places: &[usize]) -> bool {
    places.iter().any(|first| {
        let tables = graph.reach(&graph.edges[*first].child);
        let below = tables.iter().flat_map(|table| graph.below(table)).copied();
        let reached: BTreeSet<usize> = below.chain([*first]).collect();
        let mut into: BTreeMap<&QualifiedName, Vec<&ActionEdge>> = BTreeMap::new();
        for at in reached {
            let edge = &graph.edges[at];
            into.entry(&edge.child).or_default().push(edge);
        }
        into.into_iter().any(|(child, edges)| meet(graph, child, &edges))
    })
}

/// Whether one of several edges into a table writes what another one holds, or what an edge below
/// references.
fn meet(graph: &Graph<'_>, child: &QualifiedName, edges: &[&ActionEdge]) -> bool {
    let referenced: BTreeSet<&String> = graph
        .below(child)
        .iter()
        .flat_map(|at| &graph.edges[*at].parent_columns)
        .collect();
    edges.len() > 1
        && edges.iter().enumerate().any(|(at, edge)| {
            let others = edges.iter().enumerate().filter(|(other, _)| *other != at);
            let held: BTreeSet<&String> = others.flat_map(|(_, other)| &other.columns).collect();
            writes(edge)
                && edge
                    .columns
                    .iter()
                    .any(|column| held.contains(column) || referenced.contains(column))
        })
}

/// Whether the edge changes its columns in rows that stay.
fn writes(edge: &ActionEdge) -> bool {
    edge.on_delete == ForeignKeyAction::SetNull || edge.on_update.changes_rows()
}

#[cfg(test)]
#[path = "component_tests.rs"]
mod tests;
