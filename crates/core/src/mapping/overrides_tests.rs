//! Cases of what a person decides: what becomes of it at the target, and what is refused.

use super::*;
use crate::fixture::{BIGINT, column, index, qualified, table};
use crate::mapping::convert::{Mapping, map_decided};
use crate::mapping::decide::decide;
use crate::mapping::decision::NameReason;
use crate::mapping::known::Known;
use crate::mapping::options::MappingOptions;
use crate::plan::TargetKey;
use crate::schema::charset::Charset;
use crate::schema::ddl;
use crate::schema::mysql::MysqlType;
use crate::schema::source::SourceTable;
use crate::schema::target::ByTarget;

const OPTIONS: MappingOptions = MappingOptions {
    dialect: Dialect::GoogleSql,
    uuid_supported: true,
};

/// Two tables, the second with a unique index besides its key.
fn tables() -> Vec<SourceTable> {
    let text = MysqlType::Varchar {
        characters: 20,
        charset: Charset::Utf8mb4,
        collation: "utf8mb4_0900_bin".to_owned(),
    };
    let mut order = table(
        "orders",
        vec![column("id", BIGINT), column("code", text), column("n", BIGINT)],
    );
    order.columns[1].nullable = false;
    order.indexes.push(index("by_code", true, &[1]));
    vec![table("other", vec![column("id", BIGINT)]), order]
}

fn overridden(wanted: TableOverride) -> Result<Mapping, Vec<OverrideError>> {
    let known = Known::default();
    let decisions = decide(tables(), &known, &OPTIONS);
    let decisions = apply(
        decisions,
        &Overrides::from([(qualified("orders"), wanted)]),
        &known,
    )?;
    Ok(map_decided(decisions, &known))
}

fn of_column(name: &str, wanted: ColumnOverride) -> TableOverride {
    TableOverride {
        columns: [(name.to_owned(), wanted)].into(),
        ..TableOverride::default()
    }
}

fn constant(name: &str, ty: TargetType, constant: Constant) -> AddedColumn {
    AddedColumn {
        name: name.to_owned(),
        ty,
        not_null: true,
        filling: Filling::Written(Input::Constant(constant)),
    }
}

fn shard() -> AddedColumn {
    constant(
        "shard",
        TargetType::String(Some(2)),
        Constant::Text("eu".to_owned()),
    )
}

/// The statements that create the table and its index.
#[track_caller]
fn check(wanted: TableOverride, expected: &[&str]) {
    let mapping = overridden(wanted).unwrap();
    let plan = mapping
        .plans
        .iter()
        .find(|plan| plan.name().table == "orders")
        .unwrap();
    let indexes = plan.target.indexes.iter();
    let indexes = indexes.map(|index| ddl::create_index(&plan.target, index, OPTIONS.dialect));
    let made: Vec<String> = std::iter::once(ddl::create_table(&plan.target, OPTIONS.dialect))
        .chain(indexes)
        .collect();
    let made: Vec<String> = made
        .iter()
        .map(|text| text.replace('\n', "").replace("  ", " "))
        .collect();
    assert_eq!(made, expected);
}

#[test]
fn what_a_person_decides_is_what_is_made() {
    let plain = "CREATE TABLE `orders` ( `id` INT64 NOT NULL, `code` STRING(20) NOT NULL, `n` INT64) PRIMARY KEY (`id`)";
    let by_code = "CREATE UNIQUE INDEX `orders_by_code` ON `orders` (`code`)";
    check(TableOverride::default(), &[plain, by_code]);
    let named = TableOverride {
        name: Some("purchase".to_owned()),
        ..TableOverride::default()
    };
    let purchase = |text: &str| text.replace("orders", "purchase");
    check(named, &[&purchase(plain), &purchase(by_code)]);
    let renamed = ColumnOverride {
        name: Some("label".to_owned()),
        ty: Some(TargetType::String(None)),
        exclude: false,
    };
    check(
        of_column("CODE", renamed),
        &[
            "CREATE TABLE `orders` ( `id` INT64 NOT NULL, `label` STRING(MAX) NOT NULL, `n` INT64) PRIMARY KEY (`id`)",
        ],
    );
    let left_out = ColumnOverride {
        exclude: true,
        ..ColumnOverride::default()
    };
    check(
        of_column("code", left_out.clone()),
        &["CREATE TABLE `orders` ( `id` INT64 NOT NULL, `n` INT64) PRIMARY KEY (`id`)"],
    );
    let numeric = ColumnOverride {
        ty: Some(TargetType::Numeric),
        ..ColumnOverride::default()
    };
    check(
        of_column("n", numeric),
        &[
            "CREATE TABLE `orders` ( `id` INT64 NOT NULL, `code` STRING(20) NOT NULL, `n` NUMERIC) PRIMARY KEY (`id`)",
            by_code,
        ],
    );
    // The key of another unique index, without the column of the former key.
    let other_key = TableOverride {
        key: Some(vec!["code".to_owned()]),
        ..of_column("id", left_out)
    };
    check(
        other_key,
        &["CREATE TABLE `orders` ( `code` STRING(20) NOT NULL, `n` INT64) PRIMARY KEY (`code`)"],
    );
    let sharded = TableOverride {
        added: vec![
            shard(),
            AddedColumn {
                filling: Filling::ByTarget(ByTarget::Default("CURRENT_TIMESTAMP()".to_owned())),
                ..constant("seen", TargetType::Timestamp, Constant::Null)
            },
        ],
        key: Some(vec!["shard".to_owned(), "id".to_owned()]),
        ..TableOverride::default()
    };
    check(
        sharded,
        &[
            "CREATE TABLE `orders` ( `id` INT64 NOT NULL, `code` STRING(20) NOT NULL, `n` INT64, `shard` STRING(2) NOT NULL, `seen` TIMESTAMP NOT NULL DEFAULT (CURRENT_TIMESTAMP())) PRIMARY KEY (`shard`, `id`)",
            by_code,
        ],
    );
}

/// Ranges are read by the source's key, rows are written by the target's; a column of the target's
/// own is not written.
#[test]
fn a_plan_has_a_key_for_each_end() {
    let own = AddedColumn {
        filling: Filling::ByTarget(ByTarget::Generated("n + 1".to_owned())),
        not_null: false,
        ..constant("more", TargetType::Int64, Constant::Null)
    };
    let wanted = TableOverride {
        added: vec![own, shard()],
        key: Some(vec!["shard".to_owned(), "id".to_owned()]),
        ..TableOverride::default()
    };
    let mapping = overridden(wanted).unwrap();
    let plan = &mapping.plans[0];
    assert_eq!(plan.source_key, [0]);
    assert_eq!(plan.target_key, TargetKey::Columns(vec![3, 0]));
    assert_eq!(plan.target.primary_key, [4, 0]);
    assert_eq!(
        plan.column_names().collect::<Vec<_>>(),
        ["id", "code", "n", "shard"]
    );
    assert_eq!(plan.target.indexes[0].columns, [(1, false)]);
    assert_eq!(plan.not_built(), None);
}

#[test]
fn what_cannot_be_is_refused() {
    let check = |wanted: TableOverride, expected: OverrideError| {
        assert_eq!(overridden(wanted).unwrap_err(), [expected]);
    };
    let orders = || qualified("orders");
    let named = |name: &str| TableOverride {
        name: Some(name.to_owned()),
        ..TableOverride::default()
    };
    check(named("Other"), OverrideError::Name(orders(), "Other".to_owned()));
    check(named("a-b"), OverrideError::Name(orders(), "a-b".to_owned()));
    let column = |name: &str| ColumnOverride {
        name: Some(name.to_owned()),
        ..ColumnOverride::default()
    };
    check(
        of_column("gone", column("x")),
        OverrideError::NoColumn(orders(), "gone".to_owned()),
    );
    check(
        of_column("n", column("ID")),
        OverrideError::Name(orders(), "ID".to_owned()),
    );
    let ty = |ty| ColumnOverride {
        ty: Some(ty),
        ..ColumnOverride::default()
    };
    check(
        of_column("n", ty(TargetType::Date)),
        OverrideError::Type(orders(), "n".to_owned()),
    );
    let exclude = ColumnOverride {
        exclude: true,
        ..ColumnOverride::default()
    };
    check(of_column("id", exclude), OverrideError::Key(orders()));
    let key = |key: &[&str], added: Vec<AddedColumn>| TableOverride {
        key: Some(key.iter().map(|name| (*name).to_owned()).collect()),
        added,
        ..TableOverride::default()
    };
    check(key(&["n"], vec![]), OverrideError::Key(orders()));
    check(key(&["shard"], vec![shard()]), OverrideError::Key(orders()));
    check(key(&["id", "absent"], vec![]), OverrideError::Key(orders()));
    let digest = AddedColumn {
        filling: Filling::Written(Input::Function(RowFunction::Digest)),
        ..constant("digest", TargetType::Bytes(Some(16)), Constant::Null)
    };
    check(key(&["digest", "id"], vec![digest]), OverrideError::Key(orders()));
    let null = constant("x", TargetType::Int64, Constant::Null);
    let added = TableOverride {
        added: vec![null],
        ..TableOverride::default()
    };
    check(added, OverrideError::Type(orders(), "x".to_owned()));
    let unknown = Overrides::from([(qualified("absent"), TableOverride::default())]);
    let refused = apply(
        decide(tables(), &Known::default(), &OPTIONS),
        &unknown,
        &Known::default(),
    )
    .unwrap_err();
    assert_eq!(refused, [OverrideError::NoTable(qualified("absent"))]);
}

/// What was chosen says who chose it.
#[test]
fn a_decision_says_who_has_chosen() {
    let wanted = of_column(
        "n",
        ColumnOverride {
            name: Some("count".to_owned()),
            ty: Some(TargetType::Numeric),
            exclude: false,
        },
    );
    let overrides = Overrides::from([(qualified("orders"), wanted)]);
    let decided = apply(
        decide(tables(), &Known::default(), &OPTIONS),
        &overrides,
        &Known::default(),
    )
    .unwrap();
    let columns = &decided.tables[0].columns;
    let by: Vec<(NameReason, ChosenBy)> = columns
        .iter()
        .map(|column| (column.name.reason, column.chosen_by))
        .collect();
    let rule = (NameReason::Own, ChosenBy::Rule);
    assert_eq!(by, [rule, rule, (NameReason::Asked, ChosenBy::Person)]);
    assert_eq!(decided.tables[0].key.reason, KeyReason::Primary);
}

/// A column that is left out before the key moves the key's places, not its columns.
#[test]
fn the_key_stays_where_columns_before_it_go() {
    let mut source = table("t", ["a", "b", "c"].map(|name| column(name, BIGINT)).to_vec());
    source.primary_key = vec![2, 1];
    let exclude = ColumnOverride {
        exclude: true,
        ..ColumnOverride::default()
    };
    let wanted = Overrides::from([(qualified("t"), of_column("a", exclude))]);
    let known = Known::default();
    let decisions = apply(decide(vec![source], &known, &OPTIONS), &wanted, &known).unwrap();
    assert_eq!(
        (&decisions.tables[0].excluded, &decisions.tables[0].joined),
        (&vec![0], &vec![])
    );
    let plan = map_decided(decisions, &known).plans.remove(0);
    assert_eq!(plan.source_key, [2, 1]);
    assert_eq!(plan.target.primary_key, [1, 0]);
    assert_eq!(plan.key(), [1, 0]);
}

/// A part of a key of the source does not tell its rows apart.
#[test]
fn a_key_that_is_asked_for_holds_a_whole_key() {
    let mut source = table("t", ["a", "b", "c"].map(|name| column(name, BIGINT)).to_vec());
    source.primary_key = vec![0, 1];
    source.columns[2].nullable = false;
    let decided = |key: &[&str]| {
        let wanted = TableOverride {
            key: Some(key.iter().map(|name| (*name).to_owned()).collect()),
            ..TableOverride::default()
        };
        let known = Known::default();
        let wanted = Overrides::from([(qualified("t"), wanted)]);
        apply(decide(vec![source.clone()], &known, &OPTIONS), &wanted, &known)
    };
    for part in [&["a"][..], &["b"], &["c", "b"]] {
        assert_eq!(decided(part).unwrap_err(), [OverrideError::Key(qualified("t"))]);
    }
    let key = decided(&["c", "b", "a"]).unwrap().tables.remove(0).key;
    assert_eq!((key.target, key.source), (vec![2, 1, 0], vec![0, 1]));
    assert_eq!(key.reason, KeyReason::Asked);
    assert_eq!(key.reason.chosen_by(), ChosenBy::Person);
}

/// A part of the key is never NULL, also if it comes from no column of the source.
#[test]
fn an_added_part_of_the_key_is_not_null() {
    let wanted = TableOverride {
        added: vec![AddedColumn {
            not_null: false,
            ..shard()
        }],
        key: Some(vec!["shard".to_owned(), "id".to_owned()]),
        ..TableOverride::default()
    };
    let target = &overridden(wanted).unwrap().plans[0].target;
    assert_eq!(
        (target.columns[3].name.as_str(), target.columns[3].not_null),
        ("shard", true)
    );
}

/// Each dialect has its own form of a numeric.
#[test]
fn a_numeric_that_is_asked_for_has_the_form_of_the_dialect() {
    for (dialect, expected) in [
        (Dialect::GoogleSql, Encoding::Numeric),
        (Dialect::PostgreSql, Encoding::PgNumeric),
    ] {
        let numeric = ColumnOverride {
            ty: Some(TargetType::Numeric),
            ..ColumnOverride::default()
        };
        let wanted = Overrides::from([(qualified("orders"), of_column("n", numeric))]);
        let (known, options) = (Known::default(), MappingOptions { dialect, ..OPTIONS });
        let decisions = apply(decide(tables(), &known, &options), &wanted, &known).unwrap();
        let column = &decisions.tables[0].columns[2];
        assert_eq!((column.ty, column.encoding), (TargetType::Numeric, expected));
    }
}

/// The control tables keep their names, at the source's side and at the target's, in any letter
/// case.
#[test]
fn names_of_the_control_tables_are_kept() {
    use crate::mapping::check::{Trouble, check};
    let found = |source: &str, target: Option<&str>| {
        let wanted = TableOverride {
            name: target.map(str::to_owned),
            ..TableOverride::default()
        };
        let known = Known::default();
        let tables = vec![table(source, vec![column("id", BIGINT)])];
        let wanted = Overrides::from([(qualified(source), wanted)]);
        let decisions = apply(decide(tables, &known, &OPTIONS), &wanted, &known).unwrap();
        check(&decisions.tables[0])
    };
    assert_eq!(found("Spanferry_a", None), [Trouble::Reserved]);
    assert_eq!(found("Spanferry_a", Some("a")), [Trouble::Reserved]);
    assert_eq!(found("a", Some("SPANFERRY_a")), [Trouble::Reserved]);
    assert_eq!(found("spanferry", Some("a_spanferry_")), []);
}
