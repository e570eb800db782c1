//! What plans record of foreign keys with actions, and the groups that these make.

use super::*;
use crate::fixture::{self, BIGINT, qualified};
use crate::mapping::convert::map_known;
use crate::mapping::options::MappingOptions;
use crate::plan::cascade::ComponentKind;
use crate::schema::definition::TableDefinition;
use crate::schema::source::{ActionEdge, ForeignKeyAction, ParentKey, SourceCascades, SourceTable};
use crate::schema::target::Dialect;

const OPTIONS: MappingOptions = MappingOptions {
    dialect: Dialect::GoogleSql,
    uuid_supported: true,
};

/// A table `id, a, b` with foreign keys that delete, by column: `a` references `parent.id`.
fn table(name: &str, parents: &[(usize, &str)]) -> SourceTable {
    let columns = ["id", "a", "b"].map(|name| fixture::column(name, BIGINT));
    let mut table = fixture::table(name, columns.into());
    for (column, parent) in parents {
        let mut key = fixture::foreign_key(&format!("to {parent}"), &[*column], parent, &["id"]);
        key.on_delete = ForeignKeyAction::Cascade;
        table.foreign_keys.push(key);
    }
    table
}

/// What a source says that does not log what these foreign keys change, and one of another table.
fn unlogged(tables: &[SourceTable], more: &[(&str, &str)]) -> SourceCascades {
    let edge = |name: &str, child: &str, column: &str, parent: &QualifiedName| ActionEdge {
        name: name.to_owned(),
        child: qualified(child),
        columns: vec![column.to_owned()],
        parent: parent.clone(),
        parent_columns: vec!["id".to_owned()],
        on_delete: ForeignKeyAction::Cascade,
        on_update: ForeignKeyAction::NoAction,
        parent_key: ParentKey::Unique,
    };
    let own = tables.iter().flat_map(|table| {
        table.foreign_keys.iter().map(|key| {
            let column = &table.columns[key.columns[0]].name;
            edge(&key.name, &table.name.table, column, &key.parent)
        })
    });
    let more = more
        .iter()
        .map(|(child, parent)| edge("more", child, "id", &qualified(parent)));
    SourceCascades {
        log: CascadeLog::Unlogged,
        edges: own.chain(more).collect(),
    }
}

/// The name of a plan, its group, the number and kind of its component, and the places of its
/// foreign keys.
type Recorded<'a> = (&'a str, u32, Option<(u32, ComponentKind)>, Vec<usize>);

fn recorded(plans: &[TablePlan]) -> Vec<Recorded<'_>> {
    let plans = plans.iter().map(|plan| {
        let TableCascades::Unlogged { component, edges } = &plan.cascades else {
            panic!("the source does not log cascades")
        };
        let part = component.map(|part| (part.number, part.kind));
        let edges = edges.iter().map(|edge| edge.foreign_key).collect();
        (plan.name().table.as_str(), plan.group.0, part, edges)
    });
    plans.collect()
}

#[test]
fn plans_record_their_components() {
    use ComponentKind::{Exact, OneLevel};
    let tables = vec![
        table("alone", &[]),
        table("g", &[(1, "k")]),
        table("k", &[(1, "p"), (2, "not selected")]),
        table("m", &[(2, "q")]),
        table("p", &[]),
        table("q", &[]),
        table("x", &[(1, "not selected")]),
    ];
    let cascades = unlogged(&tables, &[]);
    let known = Known {
        cascades: Some(&cascades),
        ..Known::default()
    };
    let plans = map_known(tables.clone(), &known, &OPTIONS).plans;
    assert_eq!(
        recorded(&plans),
        [
            ("alone", 0, None, vec![]),
            ("g", 1, Some((0, Exact)), vec![0]),
            ("k", 1, Some((0, Exact)), vec![0]),
            ("m", 2, Some((0, OneLevel)), vec![0]),
            ("p", 1, Some((0, Exact)), vec![]),
            ("q", 2, Some((0, OneLevel)), vec![]),
            // The parent is not migrated, and ties it to `k` all the same.
            ("x", 1, Some((0, Exact)), vec![]),
        ]
    );
    // A table that is not selected stands between two others, or makes a second level.
    let above = unlogged(&tables, &[("q", "not selected either")]);
    let known = Known {
        cascades: Some(&above),
        ..Known::default()
    };
    let plans = map_known(tables.clone(), &known, &OPTIONS).plans;
    assert_eq!(recorded(&plans)[3].2, Some((0, Exact)));

    // Where the source logs what they change, nothing is recorded, and nothing else tied.
    let logged = SourceCascades {
        log: CascadeLog::Logged,
        ..cascades.clone()
    };
    let known = Known {
        cascades: Some(&logged),
        ..Known::default()
    };
    let plans = map_known(tables, &known, &OPTIONS).plans;
    assert!(plans.iter().all(|plan| plan.cascades == TableCascades::Logged));
    assert_ne!(plans[6].group, plans[2].group);
}

/// A table that stays as it is recorded keeps its component; another one of its group gets another
/// number.
#[test]
fn a_recorded_component_is_not_chosen_again() {
    let first = vec![table("k", &[(1, "p")]), table("p", &[])];
    let cascades = unlogged(&first, &[]);
    let known = Known {
        cascades: Some(&cascades),
        ..Known::default()
    };
    let plans = map_known(first, &known, &OPTIONS).plans;
    let definitions: Vec<TableDefinition> = plans.iter().map(TableDefinition::of).collect();
    let mut later = table("z", &[(1, "y")]);
    later
        .foreign_keys
        .push(fixture::foreign_key("to k", &[2], "k", &["id"]));
    let tables = vec![later, table("y", &[])];
    let cascades = unlogged(&tables[1..], &[("z", "y")]);
    let known = Known {
        fixed: definitions.iter().collect(),
        cascades: Some(&cascades),
        free_group: 1,
        ..Known::default()
    };
    let plans = map_known(tables, &known, &OPTIONS).plans;
    let numbers: Vec<_> = recorded(&plans)
        .into_iter()
        .map(|(name, group, part, _)| (name, group, part.map(|(number, _)| number)))
        .collect();
    assert_eq!(
        numbers,
        [
            ("k", 0, Some(0)),
            ("p", 0, Some(0)),
            ("y", 0, Some(1)),
            ("z", 0, Some(1))
        ]
    );
}
