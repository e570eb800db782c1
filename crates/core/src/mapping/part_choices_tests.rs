//! Cases of what a person chooses about indexes, foreign keys, and names that others have.

use super::*;
use crate::fixture::{BIGINT, column, foreign_key, index, qualified, table};
use crate::mapping::convert::{Mapping, map_decided};
use crate::mapping::decide::decide;
use crate::mapping::options::MappingOptions;
use crate::schema::definition::TableDefinition;
use crate::schema::source::{SourceIndex, SourceTable};

pub(super) const OPTIONS: MappingOptions = MappingOptions {
    dialect: Dialect::GoogleSql,
    uuid_supported: true,
};

/// A parent, and a child with a unique index, an index that the target cannot have, one that its
/// key makes needless, and a foreign key. The parent's index has a name that is not legal.
fn tables() -> Vec<SourceTable> {
    let mut parent = table("a", vec![column("id", BIGINT), column("code", BIGINT)]);
    parent.indexes = vec![index("by-code", true, &[1])];
    let columns = ["id", "a_id", "n"].map(|name| column(name, BIGINT));
    let mut child = table("b", columns.to_vec());
    let full = SourceIndex {
        kind: "FULLTEXT".to_owned(),
        ..index("full", false, &[2])
    };
    child.indexes = vec![
        index("again", true, &[0]),
        full,
        index("n_once", true, &[2]),
        index("plain", false, &[2]),
    ];
    child.foreign_keys = vec![foreign_key("to_a", &[1], "a", &["id"])];
    vec![parent, child]
}

pub(super) fn choose(tables: Vec<SourceTable>, overrides: &Overrides) -> Result<Mapping, Vec<OverrideError>> {
    let known = Known::default();
    let decisions = apply(decide(tables, &known, &OPTIONS), overrides, &known)?;
    Ok(map_decided(decisions, &known))
}

pub(super) fn named(name: &str) -> PartChoice {
    PartChoice::Name(name.to_owned())
}

pub(super) fn of_index(name: &str, choice: PartChoice) -> TableOverride {
    TableOverride {
        indexes: [(name.to_owned(), choice)].into(),
        ..TableOverride::default()
    }
}

pub(super) fn of_key(name: &str, choice: PartChoice) -> TableOverride {
    TableOverride {
        foreign_keys: [(name.to_owned(), choice)].into(),
        ..TableOverride::default()
    }
}

fn of_table(name: &str) -> TableOverride {
    TableOverride {
        name: Some(name.to_owned()),
        ..TableOverride::default()
    }
}

pub(super) fn overrides<const N: usize>(wanted: [(&str, TableOverride); N]) -> Overrides {
    wanted.map(|(table, wanted)| (qualified(table), wanted)).into()
}

/// The names of all objects of the target: tables, their indexes, their foreign keys.
pub(super) fn objects(mapping: &Mapping) -> Vec<String> {
    let of_table = |target: &crate::schema::target::TargetTable| {
        let indexes = target.indexes.iter().map(|index| index.name.clone());
        let keys = target.foreign_keys.iter().map(|key| key.name.clone());
        let name = std::iter::once(target.name.clone());
        name.chain(indexes).chain(keys).collect::<Vec<_>>()
    };
    let plans = mapping.plans.iter();
    plans.flat_map(|plan| of_table(&plan.target)).collect()
}

#[test]
fn the_target_has_what_is_chosen() {
    let check = |wanted: Overrides, expected: &[&str]| {
        assert_eq!(objects(&choose(tables(), &wanted).unwrap()), expected);
    };
    let all = ["a", "a_by_code", "b", "b_n_once", "b_plain", "to_a"];
    check(Overrides::new(), &all);
    check(
        overrides([("b", of_index("n_once", PartChoice::Exclude))]),
        &["a", "a_by_code", "b", "b_plain", "to_a"],
    );
    check(
        overrides([("b", of_index("N_ONCE", named("UniqueN")))]),
        &["a", "a_by_code", "b", "UniqueN", "b_plain", "to_a"],
    );
    check(
        overrides([("b", of_key("to_a", PartChoice::Exclude))]),
        &["a", "a_by_code", "b", "b_n_once", "b_plain"],
    );
    check(
        overrides([("b", of_key("to_a", named("child_of_a")))]),
        &["a", "a_by_code", "b", "b_n_once", "b_plain", "child_of_a"],
    );
    // A choice about a part follows its table under another name.
    let wanted = TableOverride {
        name: Some("child".to_owned()),
        ..of_index("plain", named("b_plain"))
    };
    check(
        overrides([("b", wanted)]),
        &["a", "a_by_code", "child", "child_n_once", "b_plain", "to_a"],
    );
    // Names by rule make room for those that are asked for, and use those that become free.
    check(
        overrides([("b", of_index("plain", named("A_BY_CODE")))]),
        &["a", "a_by_code_2", "b", "b_n_once", "A_BY_CODE", "to_a"],
    );
    check(
        overrides([("b", of_index("plain", named("to_a")))]),
        &["a", "a_by_code", "b", "b_n_once", "to_a", "to_a_2"],
    );
    check(
        overrides([("a", of_index("by-code", named("b_plain")))]),
        &["a", "b_plain", "b", "b_n_once", "b_plain_2", "to_a"],
    );
    // Two tables change their names with each other.
    check(
        overrides([("a", of_table("b")), ("b", of_table("a"))]),
        &["b", "b_by_code", "a", "a_n_once", "a_plain", "to_a"],
    );
}

/// Tables and columns whose names are not legal get others by rule: these make room, too.
#[test]
fn a_name_by_rule_makes_room() {
    let columns = || ["id", "x-y", "n"].map(|name| column(name, BIGINT)).to_vec();
    let tables = || vec![table("a b", columns()), table("c", columns())];
    let wanted = TableOverride {
        columns: [(
            "n".to_owned(),
            ColumnOverride {
                name: Some("x_y".to_owned()),
                ..ColumnOverride::default()
            },
        )]
        .into(),
        ..of_table("a_b")
    };
    let mapping = choose(tables(), &overrides([("c", wanted)])).unwrap();
    assert_eq!(objects(&mapping), ["a_b_2", "a_b"]);
    let columns: Vec<&str> = mapping.plans[1].column_names().collect();
    assert_eq!(columns, ["id", "x_y_2", "x_y"]);
}

#[test]
fn a_choice_that_cannot_be_is_refused() {
    let check = |wanted: Overrides, expected: &[OverrideError]| {
        assert_eq!(choose(tables(), &wanted).unwrap_err(), expected);
    };
    let name = |table: &str, name: &str| OverrideError::Name(qualified(table), name.to_owned());
    let part = |error: fn(QualifiedName, String) -> OverrideError, part: &str| {
        error(qualified("b"), part.to_owned())
    };
    let index = |part: &str, choice| overrides([("b", of_index(part, choice))]);
    let key = |part: &str, choice| overrides([("b", of_key(part, choice))]);
    // An index is no foreign key, and an index of another table is none of this.
    for other in ["to_a", "by-code", "absent"] {
        let unknown = part(OverrideError::NoIndex, other);
        check(index(other, PartChoice::Exclude), &[unknown]);
    }
    let unknown = part(OverrideError::NoForeignKey, "plain");
    check(key("plain", named("x")), &[unknown]);
    let illegal = ["", "2nd", "a-b", "primary_key", "Spanferry_positions", "größe"];
    for asked in illegal {
        check(index("plain", named(asked)), &[name("b", asked)]);
    }
    for asked in ["pk_b", "ck_is_not_null_b", "spanferry_x", "a b"] {
        check(key("to_a", named(asked)), &[name("b", asked)]);
    }
    let long = "a".repeat(129);
    check(index("plain", named(&long)), &[name("b", &long)]);
    // A table keeps the name of its own.
    check(index("plain", named("A")), &[name("b", "A")]);
    check(key("to_a", named("B")), &[name("b", "B")]);
    // Two choices of one name.
    let two = TableOverride {
        foreign_keys: [("to_a".to_owned(), named("SAME"))].into(),
        ..of_index("plain", named("same"))
    };
    check(overrides([("b", two)]), &[name("b", "SAME")]);
    let of_two = [
        ("a", of_index("by-code", named("same"))),
        ("b", of_index("plain", named("same"))),
    ];
    check(overrides(of_two), &[name("b", "same")]);
    check(
        overrides([("a", of_table("same")), ("b", of_index("plain", named("same")))]),
        &[name("b", "same")],
    );
    // Two choices about one object.
    let twice = TableOverride {
        indexes: [
            ("PLAIN".to_owned(), PartChoice::Exclude),
            ("plain".to_owned(), named("x")),
        ]
        .into(),
        ..TableOverride::default()
    };
    let contradiction = part(OverrideError::Contradiction, "plain");
    check(overrides([("b", twice)]), &[contradiction]);
    let columns = |columns: &[(&str, ColumnOverride)]| TableOverride {
        columns: columns
            .iter()
            .map(|(name, wanted)| ((*name).to_owned(), wanted.clone()))
            .collect(),
        ..TableOverride::default()
    };
    let exclude = ColumnOverride {
        exclude: true,
        ..ColumnOverride::default()
    };
    let both = ColumnOverride {
        name: Some("x".to_owned()),
        ..exclude.clone()
    };
    let contradiction = || part(OverrideError::Contradiction, "n");
    check(overrides([("b", columns(&[("n", both)]))]), &[contradiction()]);
    let twice = columns(&[("N", exclude.clone()), ("n", exclude)]);
    check(overrides([("b", twice)]), &[contradiction()]);
}

/// What is left out is a loss: a finding names it and who has chosen it.
#[test]
fn findings_name_who_has_chosen() {
    let check = |wanted: TableOverride, part: &str, expected: &[&str]| {
        let mapping = choose(tables(), &overrides([("b", wanted)])).unwrap();
        let about = mapping.findings.iter();
        let about = about.filter(|finding| finding.subject.part_name() == Some(part));
        let found: Vec<String> = about
            .map(|finding| format!("{:?} {} {}", finding.severity, finding.code, finding.text))
            .collect();
        assert_eq!(found, expected);
    };
    let exclude = |part: &str| of_index(part, PartChoice::Exclude);
    check(
        exclude("plain"),
        "plain",
        &["Warning SF-4004 the index is not created at the target: a person has left it out"],
    );
    let unique = "Warning SF-4010 the unique index is not created at the target, where nothing keeps its values unique: a person has left it out";
    check(exclude("n_once"), "n_once", &[unique]);
    check(
        exclude("full"),
        "full",
        &[
            "Warning SF-4004 the index is not created at the target: a FULLTEXT index, and a person has left it out",
        ],
    );
    // The primary key keeps these values unique, whether a rule or a person has left the index out.
    check(
        exclude("again"),
        "again",
        &[
            "Notice SF-4004 the index is not created at the target: the primary key does the same, and a person has left it out",
        ],
    );
    check(
        of_key("to_a", PartChoice::Exclude),
        "to_a",
        &["Warning SF-4004 the foreign key is not created at the target: a person has left it out"],
    );
    check(
        of_key("to_a", named("x")),
        "to_a",
        &["Notice SF-4005 it is named `x` at the target, as a person has chosen"],
    );
    // A name for what the rules leave out has no effect: that is refused.
    check(
        of_index("full", named("x")),
        "full",
        &[
            "Warning SF-4004 the index is not created at the target: a FULLTEXT index",
            "Blocking SF-4015 a name is chosen for it, but it is not created at the target",
        ],
    );
}

/// A foreign key that a person has left out ties no tables, and no types.
#[test]
fn a_foreign_key_that_is_left_out_ties_nothing() {
    use crate::schema::mysql::MysqlType;
    let options = MappingOptions {
        dialect: Dialect::PostgreSql,
        ..OPTIONS
    };
    let decimal = || MysqlType::Decimal {
        precision: 10,
        scale: 2,
    };
    let columns = || vec![column("id", BIGINT), column("price", decimal())];
    let mut parent = table("a", columns());
    parent.indexes = vec![index("u", true, &[1])];
    let mut child = table("b", columns());
    child.foreign_keys = vec![foreign_key("f", &[1], "a", &["price"])];
    let known = Known::default();
    let decided = || decide(vec![parent.clone(), child.clone()], &known, &options);
    let types = |decisions: &Decisions| -> Vec<TargetType> {
        decisions.tables.iter().map(|table| table.columns[1].ty).collect()
    };
    assert_eq!(types(&decided()), [TargetType::String(Some(13)); 2]);
    let wanted = overrides([("b", of_key("f", PartChoice::Exclude))]);
    let decisions = apply(decided(), &wanted, &known).unwrap();
    assert_eq!(types(&decisions), [TargetType::Numeric; 2]);
    let plans = map_decided(decisions, &known).plans;
    assert_ne!(plans[0].group, plans[1].group);
    let plans = map_decided(decided(), &known).plans;
    assert_eq!(plans[0].group, plans[1].group);
}

/// What is recorded keeps its names, and a choice may confirm its name or give another one. The
/// name of another recorded object is taken.
#[test]
fn a_recorded_name_is_taken_by_its_object() {
    let before = choose(tables(), &overrides([("b", of_index("plain", named("x")))])).unwrap();
    let recorded: Vec<TableDefinition> = before.plans.iter().map(TableDefinition::of).collect();
    let known = Known {
        former: recorded.iter().collect(),
        ..Known::default()
    };
    let check = |wanted: TableOverride, expected: Result<&[&str], OverrideError>| {
        let decisions = decide(tables(), &known, &OPTIONS);
        let made = apply(decisions, &overrides([("b", wanted)]), &known);
        let made = made.map(|decisions| objects(&map_decided(decisions, &known)));
        let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(made, expected.map_err(|error| vec![error]));
    };
    let same = ["a", "a_by_code", "b", "b_n_once", "x", "to_a"];
    check(TableOverride::default(), Ok(&same));
    check(of_index("plain", named("x")), Ok(&same));
    check(of_table("b"), Ok(&same));
    let other = ["a", "a_by_code", "b", "b_n_once", "y", "to_a"];
    check(of_index("plain", named("y")), Ok(&other));
    let error = OverrideError::Name(qualified("b"), "X".to_owned());
    check(of_index("n_once", named("X")), Err(error));
    // A new table does not get the name of a recorded index, which keeps it.
    let mut with_new = tables();
    with_new.push(table("b_n_once", vec![column("id", BIGINT)]));
    let mapping = map_decided(decide(with_new, &known, &OPTIONS), &known);
    let expected = ["a", "a_by_code", "b", "b_n_once", "x", "to_a", "b_n_once_2"];
    assert_eq!(objects(&mapping), expected);
}

/// A foreign key that the rules leave out has no name at the target, also where a person has asked
/// for one.
#[test]
fn what_is_not_created_has_no_name_at_the_target() {
    let mut parts = tables();
    parts[1].foreign_keys = vec![foreign_key("to_a", &[1], "gone", &["id"])];
    let both = TableOverride {
        foreign_keys: [("to_a".to_owned(), named("x"))].into(),
        ..of_index("full", named("y"))
    };
    let mapping = choose(parts, &overrides([("b", both)])).unwrap();
    let key = &mapping.foreign_keys[0];
    let full = mapping.indexes.iter().find(|index| index.source == 1).unwrap();
    assert_eq!((key.target_name(), full.target_name()), (None, None));
    let asked = |name: &Option<NameDecision>| name.as_ref().map(|name| name.name.clone());
    assert_eq!(asked(&key.name).as_deref(), Some("x"));
    assert_eq!(asked(&full.name).as_deref(), Some("y"));
}
