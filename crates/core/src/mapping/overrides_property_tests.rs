//! What holds whatever a person chooses about names that clash.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::part_choices_tests::{OPTIONS, choose, named, objects, of_index, of_key, overrides};
use super::*;
use crate::fixture::{BIGINT, column, foreign_key, index, table};
use crate::mapping::convert::map_decided;
use crate::mapping::decide::decide;
use crate::mapping::decision::NameReason;
use crate::mapping::index_decision::{
    ForeignKeyDecision, ForeignKeyOutcome, IndexDecision, IndexOutcome, IndexReason,
};
use crate::schema::definition::TableDefinition;
use crate::schema::source::SourceColumn;

/// Tables, columns, indexes and foreign keys whose names become the same at the target.
fn clashing_tables() -> Vec<SourceTable> {
    let columns = || {
        ["id", "x-y", "x_y", "x y"]
            .map(|name| column(name, BIGINT))
            .to_vec()
    };
    let made = |name: &str, origins: [&str; 3]| {
        let mut made = table(name, columns());
        made.indexes = vec![
            index(origins[0], true, &[1]),
            index(origins[1], false, &[2]),
            index("again", false, &[0]),
        ];
        made.foreign_keys = vec![foreign_key(origins[2], &[3], "t-i", &["id"])];
        made
    };
    vec![
        made("t", ["i", "i-j", "t_i"]),
        made("t-i", ["i_j", "j", "f"]),
        made("t_i", ["j", "i-j", "T"]),
    ]
}

/// Names that clash with those of `clashing_tables`, or are not legal.
fn asked_name() -> impl Strategy<Value = String> {
    let names = [
        "t", "T_I", "t_i", "t_i_2", "t_i_j", "t_i_j_2", "f", "F_2", "x_y", "x_y_2", "new", "no-name",
    ];
    prop::sample::select(names.to_vec()).prop_map(str::to_owned)
}

fn part_choice() -> impl Strategy<Value = PartChoice> {
    prop_oneof![Just(PartChoice::Exclude), asked_name().prop_map(PartChoice::Name)]
}

fn column_override() -> impl Strategy<Value = ColumnOverride> {
    let named = asked_name().prop_map(|name| ColumnOverride {
        name: Some(name),
        ..ColumnOverride::default()
    });
    let excluded = ColumnOverride {
        exclude: true,
        ..ColumnOverride::default()
    };
    prop_oneof![named, Just(excluded)]
}

fn table_override() -> impl Strategy<Value = TableOverride> {
    let part = |names: &[&'static str]| prop::sample::select(names.to_vec()).prop_map(str::to_owned);
    (
        prop::option::of(asked_name()),
        prop::collection::btree_map(part(&["x-y", "x_y", "x y"]), column_override(), 0..2),
        prop::collection::btree_map(part(&["i", "i-j", "i_j", "j", "again"]), part_choice(), 0..2),
        prop::collection::btree_map(part(&["t_i", "f", "T"]), part_choice(), 0..2),
    )
        .prop_map(|(name, columns, indexes, foreign_keys)| TableOverride {
            name,
            columns,
            indexes,
            foreign_keys,
            ..TableOverride::default()
        })
}

/// No two names are the same, however they are written.
fn are_distinct<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    let mut taken = BTreeSet::new();
    let mut names = names.map(str::to_lowercase);
    names.all(|name| taken.insert(name))
}

/// Whether a decision has what a person has chosen about the object, and the rules' where nothing
/// is chosen.
fn follows(
    choice: Option<&PartChoice>,
    (by, name): (ChosenBy, Option<&NameDecision>),
    is_excluded: bool,
) -> bool {
    match choice {
        Some(PartChoice::Exclude) => is_excluded && by == ChosenBy::Person && name.is_none(),
        Some(PartChoice::Name(asked)) => {
            !is_excluded && by == ChosenBy::Rule && name == Some(&NameDecision::asked(asked))
        }
        None => {
            let by_rule = name.is_none_or(|name| name.reason.chosen_by() == ChosenBy::Rule);
            !is_excluded && by == ChosenBy::Rule && by_rule
        }
    }
}

fn index_follows(wanted: &TableOverride, source: &SourceTable, decision: &IndexDecision) -> bool {
    let is_excluded = matches!(decision.outcome, IndexOutcome::Excluded(_));
    let choice = wanted.indexes.get(&source.indexes[decision.source].name);
    follows(
        choice,
        (decision.chosen_by(), decision.name.as_ref()),
        is_excluded,
    )
}

fn key_follows(wanted: &TableOverride, source: &SourceTable, decision: &ForeignKeyDecision) -> bool {
    let is_excluded = matches!(decision.outcome, ForeignKeyOutcome::Excluded);
    let choice = wanted
        .foreign_keys
        .get(&source.foreign_keys[decision.source].name);
    follows(
        choice,
        (decision.chosen_by(), decision.name.as_ref()),
        is_excluded,
    )
}

/// What a person has chosen about a table and its columns is what is decided.
fn table_follows(wanted: &TableOverride, decided: &TableDecision) -> bool {
    let name = match &wanted.name {
        Some(asked) => decided.name == NameDecision::asked(asked),
        None => decided.name.reason.chosen_by() == ChosenBy::Rule,
    };
    let column = |(at, column): (usize, &SourceColumn)| {
        let made = decided.columns.iter().find(|made| made.source() == Some(at));
        match wanted.columns.get(&column.name) {
            Some(ColumnOverride { exclude: true, .. }) => made.is_none() && decided.excluded.contains(&at),
            Some(ColumnOverride {
                name: Some(asked), ..
            }) => made.is_some_and(|made| made.name == NameDecision::asked(asked)),
            Some(ColumnOverride { .. }) | None => {
                made.is_some_and(|made| made.name.reason != NameReason::Asked)
            }
        }
    };
    name && decided.source.columns.iter().enumerate().all(column)
}

proptest! {
    /// Whatever a person chooses: it is refused, or it is what is made, and no two objects of the
    /// target have one name. The second pass converts tables that are recorded already.
    #[test]
    fn choices_are_never_changed_and_names_stay_distinct(
        wanted in prop::collection::vec(table_override(), 3),
        is_recorded in any::<bool>(),
    ) {
        let tables = clashing_tables();
        let before = choose(tables.clone(), &Overrides::new()).unwrap().plans;
        let recorded: Vec<TableDefinition> = before
            .iter()
            .filter(|_| is_recorded)
            .map(TableDefinition::of)
            .collect();
        let known = Known {
            former: recorded.iter().collect(),
            taken: vec!["new_2", "T_I_J_3"],
            ..Known::default()
        };
        // A choice about a part that the table does not have is refused; these are left out here.
        let wanted: Overrides = tables
            .iter()
            .zip(wanted)
            .map(|(table, mut wanted)| {
                wanted.indexes.retain(|name, _| table.indexes.iter().any(|index| index.name == *name));
                wanted.foreign_keys.retain(|name, _| table.foreign_keys.iter().any(|key| key.name == *name));
                (table.name.clone(), wanted)
            })
            .collect();
        let by_rule = decide(tables, &known, &OPTIONS);
        match apply(by_rule, &wanted, &known) {
            Err(errors) => {
                let is_name = |error: &OverrideError| matches!(error, OverrideError::Name(..));
                prop_assert!(!errors.is_empty() && errors.iter().all(is_name), "{errors:?}");
            }
            Ok(decisions) => {
                for table in &decisions.tables {
                    prop_assert!(table_follows(&wanted[&table.source.name], table), "{table:?}");
                    let columns = table.columns.iter().map(|column| column.name.name.as_str());
                    prop_assert!(are_distinct(columns), "{:?}", table.columns);
                }
                let mapping = map_decided(decisions, &known);
                let names = objects(&mapping);
                let all = names.iter().map(String::as_str).chain(known.taken.iter().copied());
                prop_assert!(are_distinct(all), "{names:?}");
                let source = |name: &QualifiedName| {
                    let plan = mapping.plans.iter().find(|plan| plan.name() == name);
                    plan.expect("each table has a key").source.as_ref()
                };
                for index in &mapping.indexes {
                    prop_assert!(index_follows(&wanted[&index.table], source(&index.table), index), "{index:?}");
                }
                for key in &mapping.foreign_keys {
                    prop_assert!(key_follows(&wanted[&key.table], source(&key.table), key), "{key:?}");
                }
            }
        }
    }
}

/// Choices that the property above must be able to reach: it would hold for none at all.
#[test]
fn the_clashing_tables_can_be_chosen_about() {
    let wanted = overrides([
        ("t", of_index("i", named("new"))),
        ("t_i", of_key("T", named("F_2"))),
    ]);
    let mapping = choose(clashing_tables(), &wanted).unwrap();
    let again =
        |decision: &IndexDecision| decision.outcome == IndexOutcome::LeftOut(IndexReason::SameAsPrimaryKey);
    assert_eq!(mapping.indexes.iter().filter(|index| again(index)).count(), 3);
    let expected = [
        "t",
        "new",
        "t_i_j_2",
        "t_i_3",
        "t_i_2",
        "t_i_2_i_j",
        "t_i_2_j",
        "f",
        "t_i",
        "t_i_j",
        "t_i_i_j",
        "F_2",
    ];
    assert_eq!(objects(&mapping), expected);
}
