//! Components of known graphs, and of random ones against the definitions word for word.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Component, components};
use crate::fixture::qualified;
use crate::plan::cascade::ComponentKind;
use crate::schema::source::ForeignKeyAction::{Cascade, NoAction, SetNull};
use crate::schema::source::{ActionEdge, ForeignKeyAction, ParentKey, QualifiedName};

/// An edge `child.columns → parent.columns`, such as `k.p → p.id`.
fn edge(text: &str, on_delete: ForeignKeyAction, on_update: ForeignKeyAction) -> ActionEdge {
    let (from, to) = text.split_once(" → ").unwrap();
    let side = |text: &str| {
        let (table, columns) = text.split_once('.').unwrap();
        let columns: Vec<String> = columns.split('+').map(str::to_owned).collect();
        (qualified(table), columns)
    };
    let ((child, columns), (parent, parent_columns)) = (side(from), side(to));
    ActionEdge {
        name: text.to_owned(),
        child,
        columns,
        parent,
        parent_columns,
        on_delete,
        on_update,
        parent_key: ParentKey::Unique,
    }
}

fn deletes(text: &str) -> ActionEdge {
    edge(text, Cascade, NoAction)
}

/// The units of each component, as `a b, c`, and what it needs.
fn shape(edges: &[ActionEdge]) -> Vec<(String, ComponentKind)> {
    let unit = |unit: &BTreeSet<QualifiedName>| {
        let names = unit.iter().map(|table| table.table.as_str());
        names.collect::<Vec<_>>().join(" ")
    };
    let units = |component: &Component| component.units.iter().map(unit).collect::<Vec<_>>().join(", ");
    let found = components(edges);
    let shapes = found.iter().map(|component| (units(component), component.kind));
    shapes.collect()
}

#[test]
fn known_graphs() {
    let check = |edges: &[ActionEdge], expected: &[(&str, ComponentKind)]| {
        let expected: Vec<_> = expected
            .iter()
            .map(|(units, kind)| ((*units).to_owned(), *kind))
            .collect();
        assert_eq!(shape(edges), expected, "{edges:?}");
    };
    use ComponentKind::{Exact, OneLevel, Refused};
    check(&[], &[]);
    // One level: also two parents, SET NULL, and several children.
    check(&[deletes("k.p → p.id")], &[("p, k", OneLevel)]);
    check(
        &[
            deletes("k.p → p.id"),
            edge("k.q → q.id", SetNull, NoAction),
            deletes("m.p → p.id"),
            deletes("z.y → y.id"),
        ],
        &[("p, m, q, k", OneLevel), ("y, z", OneLevel)],
    );
    // Not: two edges that share a column, ON UPDATE, two levels, a reference to itself.
    check(
        &[deletes("k.p → p.id"), deletes("k.p+b → q.a+b")],
        &[("p, q, k", Exact)],
    );
    check(&[edge("k.p → p.id", Cascade, Cascade)], &[("p, k", Exact)]);
    check(
        &[deletes("k.p → p.id"), deletes("g.k → k.id")],
        &[("p, k, g", Exact)],
    );
    check(&[deletes("a.up → a.id")], &[("a", Exact)]);
    // Tables in a circle are one unit.
    check(
        &[
            deletes("a.b → b.id"),
            deletes("b.a → a.id"),
            deletes("c.b → b.id"),
            deletes("a.d → d.id"),
        ],
        &[("d, a b, c", Exact)],
    );
    // Paths that meet: SET NULL of a column that the other one holds, or that is referenced below.
    let meet = |first: ActionEdge, second: ActionEdge| {
        let (left, right) = (deletes("l.a → a.id"), deletes("r.a → a.id"));
        vec![deletes("a.z → z.id"), left, right, first, second]
    };
    check(
        &meet(deletes("k.l → l.id"), deletes("k.r → r.id")),
        &[("z, a, l, r, k", Exact)],
    );
    check(
        &meet(edge("k.l → l.id", SetNull, NoAction), deletes("k.r → r.id")),
        &[("z, a, l, r, k", Exact)],
    );
    check(
        &meet(edge("k.l → l.id", SetNull, NoAction), deletes("k.l+r → r.id+a")),
        &[("z, a, l, r, k", Refused)],
    );
    // The constraints of one row are taken in a known order: no edge lies above both paths.
    let both = meet(edge("k.l → l.id", SetNull, NoAction), deletes("k.l+r → r.id+a"));
    check(&both[1..], &[("a, l, r, k", Exact)]);
    let mut below = meet(edge("k.l → l.id", SetNull, NoAction), deletes("k.r → r.id"));
    below.push(deletes("x.k → k.l"));
    check(&below, &[("z, a, l, r, k, x", Refused)]);
    // The edge at the top counts too: a row of `b` is set to NULL by way of another one.
    check(
        &[deletes("b.a → a.id"), edge("b.up+a → b.id+a", SetNull, NoAction)],
        &[("a, b", Refused)],
    );
}

/// Tables of other schemas are other tables.
#[test]
fn a_table_is_its_schema_and_name() {
    let mut foreign = deletes("k.p → p.id");
    foreign.parent = QualifiedName::new("elsewhere", "p");
    let found = components(&[deletes("m.p → p.id"), foreign]);
    assert_eq!(found.len(), 2);
}

fn action() -> impl Strategy<Value = (ForeignKeyAction, ForeignKeyAction)> {
    prop::sample::select(vec![
        (Cascade, NoAction),
        (SetNull, NoAction),
        (Cascade, Cascade),
        (NoAction, SetNull),
        (NoAction, Cascade),
    ])
}

fn edges() -> impl Strategy<Value = Vec<ActionEdge>> {
    let columns = prop::sample::select(vec!["i", "a", "b", "a+b"]);
    let one = (0..5_usize, columns.clone(), 0..5_usize, columns, action());
    let one = one.prop_map(|(child, own, parent, referenced, (on_delete, on_update))| {
        let names = ["A", "B", "C", "D", "E"];
        let text = format!("{}.{own} → {}.{referenced}", names[child], names[parent]);
        edge(&text, on_delete, on_update)
    });
    prop::collection::vec(one, 0..7)
}

/// Whether a row of `to` may change with one of `from`, in so many steps.
fn reaches(edges: &[ActionEdge], from: &QualifiedName, to: &QualifiedName, steps: usize) -> bool {
    from == to
        || steps > 0
            && edges
                .iter()
                .any(|edge| edge.parent == *from && reaches(edges, &edge.child, to, steps - 1))
}

/// The rule of step 10, pair by pair, as `models/cascade_model.py` has it.
fn refused(edges: &[ActionEdge], of: &Component) -> bool {
    let writes = |edge: &ActionEdge| edge.on_delete == SetNull || edge.on_update != NoAction;
    let of: Vec<usize> = of.edges.clone();
    of.iter().any(|first| {
        let reached =
            |at: &usize| at == first || reaches(edges, &edges[*first].child, &edges[*at].parent, edges.len());
        let reached: Vec<usize> = of.iter().copied().filter(reached).collect();
        reached.iter().any(|one| {
            reached.iter().any(|other| {
                let (left, right) = (&edges[*one], &edges[*other]);
                let below = edges.iter().filter(|edge| edge.parent == left.child);
                let below: Vec<&String> = below.flat_map(|edge| &edge.parent_columns).collect();
                let is_hit = |column: &String| right.columns.contains(column) || below.contains(&column);
                one != other && left.child == right.child && writes(left) && left.columns.iter().any(is_hit)
            })
        })
    })
}

fn one_level(edges: &[ActionEdge], of: &Component) -> bool {
    let own: Vec<&ActionEdge> = of.edges.iter().map(|at| &edges[*at]).collect();
    let shares = |left: &ActionEdge, right: &ActionEdge| {
        left.child == right.child && left.columns.iter().any(|column| right.columns.contains(column))
    };
    let is_parent = |table: &QualifiedName| own.iter().any(|edge| edge.parent == *table);
    own.iter()
        .all(|edge| edge.on_update == NoAction && !is_parent(&edge.child))
        && (0..own.len()).all(|left| (0..left).all(|right| !shares(own[left], own[right])))
}

proptest! {
    #[test]
    fn random_graphs_are_what_the_definitions_say(edges in edges()) {
        let found = components(&edges);
        let mut places: Vec<usize> = found.iter().flat_map(|component| component.edges.clone()).collect();
        places.sort_unstable();
        prop_assert_eq!(places, (0..edges.len()).collect::<Vec<_>>(), "each edge is in one component");
        for component in &found {
            // Connected, and nothing of it elsewhere.
            let mut joined = BTreeSet::from([component.tables.first().unwrap().clone()]);
            for _ in &edges {
                for edge in &edges {
                    if joined.contains(&edge.child) || joined.contains(&edge.parent) {
                        joined.extend([edge.child.clone(), edge.parent.clone()]);
                    }
                }
            }
            prop_assert_eq!(&joined, &component.tables);
            // Each table in one unit; two are in one if they reach each other; none behind its
            // child.
            let flat: Vec<&QualifiedName> = component.units.iter().flatten().collect();
            prop_assert_eq!(flat.len(), component.tables.len());
            let unit = |table: &QualifiedName| component.units.iter().position(|unit| unit.contains(table)).unwrap();
            let reaches = |from, to| reaches(&edges, from, to, edges.len());
            for one in &component.tables {
                for other in &component.tables {
                    let together = reaches(one, other) && reaches(other, one);
                    prop_assert_eq!(unit(one) == unit(other), together);
                    prop_assert!(!reaches(one, other) || unit(one) <= unit(other));
                }
            }
            let kind = if one_level(&edges, component) {
                ComponentKind::OneLevel
            } else if refused(&edges, component) {
                ComponentKind::Refused
            } else {
                ComponentKind::Exact
            };
            prop_assert_eq!(component.kind, kind);
        }
    }
}
