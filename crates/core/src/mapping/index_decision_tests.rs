//! Cases of indexes and foreign keys: what the rules decide about each, as a value.

use super::tests::{GOOGLE, POSTGRES, text_type, varchar};
use super::*;
use crate::fixture::{BIGINT, column, foreign_key, index, qualified, table};
use crate::mapping::decision::NameReason;
use crate::mapping::index_decision::{
    ForeignKeyChange, ForeignKeyOutcome, ForeignKeyReason, IndexChange, IndexCountExcess, IndexOutcome,
    IndexReason, KeptForeignKey, KeptIndex, KeyExcess,
};
use crate::mapping::overrides::{ColumnOverride, Overrides, TableOverride, apply};
use crate::mapping::type_reason::{Folding, KeyRefusal};
use crate::schema::charset::Charset;
use crate::schema::mysql::MysqlType;
use crate::schema::source::{ForeignKeyAction, IndexPart, SourceForeignKey, SourceIndex};

fn left_out(reason: IndexReason) -> IndexOutcome {
    IndexOutcome::LeftOut(reason)
}

#[test]
fn an_index_has_one_decision() {
    let decimal = MysqlType::Decimal {
        precision: 9,
        scale: 2,
    };
    let columns = vec![
        column("id", BIGINT),
        column("name", varchar(20)),
        column("json", MysqlType::Json),
        column("folded", text_type(20, Charset::Utf8mb4, "utf8mb4_general_ci")),
        column("float", MysqlType::Double),
        column("long", varchar(5_000)),
        column("decimal", decimal),
    ];
    let check = |options, index: SourceIndex, expected: IndexOutcome| {
        let mut source = table("t", columns.clone());
        source.indexes = vec![index];
        let decided = map(vec![source], options).indexes;
        let named = decided[0].name.as_ref();
        let named = named.map(|name| (name.name.as_str(), name.reason));
        let is_kept = matches!(expected, IndexOutcome::Kept(_));
        assert_eq!(named, is_kept.then_some(("t_i", NameReason::Own)));
        assert_eq!(decided[0].outcome, expected);
    };
    let kept = |columns: &[usize], changes| {
        let columns = columns.iter().map(|column| (*column, false)).collect();
        IndexOutcome::Kept(KeptIndex { columns, changes })
    };
    let of = |unique, part| SourceIndex {
        parts: vec![part],
        ..index("i", unique, &[])
    };
    let prefix = || IndexPart::Column {
        column: 1,
        descending: false,
        prefix: Some(4),
    };
    let text = "lower(`name`)".to_owned();
    let of_kind = |kind: &str| SourceIndex {
        kind: kind.to_owned(),
        ..index("i", false, &[1])
    };
    let own = |unique, column: usize| index("i", unique, &[column]);
    check(&GOOGLE, own(false, 1), kept(&[1], vec![]));
    check(
        &GOOGLE,
        of(false, prefix()),
        kept(&[1], vec![IndexChange::WholeColumn]),
    );
    let folding = IndexChange::Folding(Folding::Collation("utf8mb4_general_ci".to_owned()));
    let changes = vec![folding, IndexChange::NullFiltered];
    check(&GOOGLE, index("i", true, &[3, 0]), kept(&[3, 0], changes));
    for kind in ["BTREE", "HASH", "btree"] {
        check(&GOOGLE, of_kind(kind), kept(&[1], vec![]));
    }
    for kind in ["FULLTEXT", "SPATIAL", "RTREE", "VECTOR", "gin", "one of tomorrow"] {
        check(
            &GOOGLE,
            of_kind(kind),
            left_out(IndexReason::Kind(kind.to_owned())),
        );
    }
    let expression = IndexPart::Expression { text: text.clone() };
    check(
        &GOOGLE,
        of(false, expression),
        left_out(IndexReason::Expression(text)),
    );
    check(
        &GOOGLE,
        of(true, prefix()),
        left_out(IndexReason::UniqueOverPrefix),
    );
    check(
        &GOOGLE,
        own(true, 4),
        left_out(IndexReason::UniqueOver(KeyRefusal::FloatingPoint)),
    );
    check(&GOOGLE, own(false, 2), left_out(IndexReason::TypeNotIndexable));
    check(&POSTGRES, own(false, 6), left_out(IndexReason::NumericInDialect));
    check(&GOOGLE, own(false, 0), left_out(IndexReason::SameAsPrimaryKey));
    let descending = IndexPart::Column {
        column: 0,
        descending: true,
        prefix: None,
    };
    let backwards = KeptIndex {
        columns: vec![(0, true)],
        changes: vec![],
    };
    check(&GOOGLE, of(false, descending), IndexOutcome::Kept(backwards));
    let excess = KeyExcess::Bytes(20_024);
    check(&GOOGLE, own(false, 5), left_out(IndexReason::Excess(excess)));
}

#[test]
fn a_foreign_key_has_one_decision() {
    let folded = || text_type(9, Charset::Utf8mb4, "utf8mb4_0900_ai_ci");
    let columns = || {
        vec![
            column("id", BIGINT),
            column("n", BIGINT),
            column("code", folded()),
        ]
    };
    let check = |key: SourceForeignKey, expected: ForeignKeyOutcome| {
        let mut child = table("b", columns());
        child.columns.push(column("name", varchar(9)));
        child.foreign_keys = vec![key];
        let decided = map(vec![table("a", columns()), child], &GOOGLE).foreign_keys;
        let is_kept = matches!(expected, ForeignKeyOutcome::Kept(_));
        let named = decided[0].name.as_ref().map(|name| name.reason);
        assert_eq!(named, is_kept.then_some(NameReason::Own));
        assert_eq!(decided[0].outcome, expected);
    };
    let kept = |changes| {
        ForeignKeyOutcome::Kept(KeptForeignKey {
            columns: vec![1],
            parent: "a".to_owned(),
            parent_columns: vec!["id".to_owned()],
            changes,
        })
    };
    let plain = || foreign_key("f", &[1], "a", &["id"]);
    check(plain(), kept(vec![]));
    let cascade = SourceForeignKey {
        on_delete: ForeignKeyAction::Cascade,
        on_update: ForeignKeyAction::SetNull,
        ..plain()
    };
    let changes = vec![
        ForeignKeyChange::DeleteActionDropped(ForeignKeyAction::Cascade),
        ForeignKeyChange::UpdateActionDropped(ForeignKeyAction::SetNull),
    ];
    check(cascade, kept(changes));
    let left_out = |child: usize, parent: &str, column: &str, reason| {
        let key = foreign_key("f", &[child], parent, &[column]);
        check(key, ForeignKeyOutcome::LeftOut(reason));
    };
    let gone = ForeignKeyReason::ParentNotMigrated(qualified("gone"));
    left_out(1, "gone", "id", gone);
    left_out(1, "a", "absent", ForeignKeyReason::NoColumn("absent".to_owned()));
    let folding = Folding::Collation("utf8mb4_0900_ai_ci".to_owned());
    left_out(2, "a", "code", ForeignKeyReason::Folding(folding));
    left_out(1, "a", "n", ForeignKeyReason::ParentNotUnique);
    left_out(3, "a", "id", ForeignKeyReason::TypesDiffer);
}

/// A column that a person leaves out takes its index and its foreign key with it.
#[test]
fn parts_over_a_column_that_is_left_out() {
    let columns = || vec![column("id", BIGINT), column("n", BIGINT)];
    let mut child = table("b", columns());
    child.indexes = vec![index("i", false, &[1])];
    child.foreign_keys = vec![foreign_key("f", &[1], "a", &["id"])];
    let exclude = ColumnOverride {
        exclude: true,
        ..ColumnOverride::default()
    };
    let wanted = TableOverride {
        columns: [("n".to_owned(), exclude)].into(),
        ..TableOverride::default()
    };
    let known = Known::default();
    let decisions = decide(vec![table("a", columns()), child], &known, &GOOGLE);
    let decisions = apply(decisions, &Overrides::from([(qualified("b"), wanted)]), &known).unwrap();
    let mapping = map_decided(decisions, &known);
    assert_eq!(mapping.indexes[0].outcome, left_out(IndexReason::ColumnLeftOut));
    let reason = ForeignKeyReason::ColumnLeftOut("n".to_owned());
    assert_eq!(
        mapping.foreign_keys[0].outcome,
        ForeignKeyOutcome::LeftOut(reason)
    );
    assert_eq!(
        (&mapping.indexes[0].name, &mapping.foreign_keys[0].name),
        (&None, &None)
    );
}

#[test]
fn a_key_has_at_most_16_parts() {
    let columns = (0..17).map(|number| column(&format!("c{number}"), BIGINT));
    let mut source = table("t", columns.collect());
    let parts: Vec<usize> = (1..17).collect();
    source.indexes = vec![index("fits", false, &parts[1..]), index("i", false, &parts)];
    let decided = map(vec![source], &GOOGLE).indexes;
    assert!(matches!(decided[0].outcome, IndexOutcome::Kept(_)));
    let reason = IndexReason::Excess(KeyExcess::Parts(17));
    assert_eq!(decided[1].outcome, left_out(reason));
}

/// Spanner makes an index on either side of a foreign key; each must be within the limits.
#[test]
fn the_index_behind_a_foreign_key_has_limits() {
    let columns = || vec![column("id", BIGINT), column("long", varchar(5_000))];
    let mut parent = table("a", columns());
    parent.indexes = vec![index("u", true, &[1])];
    let mut child = table("b", columns());
    child.foreign_keys = vec![foreign_key("f", &[1], "a", &["long"])];
    let decided = map(vec![parent, child], &GOOGLE).foreign_keys;
    let reason = ForeignKeyReason::IndexExcess {
        table: "b".to_owned(),
        excess: KeyExcess::Bytes(20_024),
    };
    assert_eq!(decided[0].outcome, ForeignKeyOutcome::LeftOut(reason));
}

#[test]
fn a_table_has_at_most_128_indexes() {
    let made = |count: usize| {
        let mut source = table("t", vec![column("id", BIGINT), column("n", BIGINT)]);
        let indexes = (0..count).map(|number| index(&format!("i{number}"), false, &[1]));
        source.indexes = indexes.collect();
        index_count_excess(&map(vec![source], &GOOGLE).plans[0])
    };
    assert_eq!(made(128), None);
    let excess = IndexCountExcess {
        table: qualified("t"),
        own: 129,
        behind: 0,
    };
    assert_eq!(made(129), Some(excess));

    // The indexes behind foreign keys count too.
    let columns = || {
        (0..129)
            .map(|number| column(&format!("c{number}"), BIGINT))
            .collect()
    };
    let mut child = table("b", columns());
    let key = |at: usize| foreign_key(&format!("f{at}"), &[at], "a", &["c0"]);
    child.foreign_keys = (1..129).map(key).collect();
    child.indexes = vec![index("i", false, &[1])];
    let plans = map(vec![table("a", columns()), child], &GOOGLE).plans;
    let excess = IndexCountExcess {
        table: qualified("b"),
        own: 1,
        behind: 128,
    };
    assert_eq!(index_count_excess(&plans[1]), Some(excess));
}

/// Equal values on either side may have different bytes: the columns of both sides are looked at.
#[test]
fn a_foreign_key_that_folds_on_one_side_alone_is_left_out() {
    let folded = || text_type(9, Charset::Utf8mb4, "utf8mb4_0900_ai_ci");
    for (of_parent, of_child) in [(folded(), varchar(9)), (varchar(9), folded())] {
        let mut child = table("b", vec![column("id", BIGINT), column("code", of_child)]);
        child.foreign_keys = vec![foreign_key("f", &[1], "a", &["code"])];
        let parent = table("a", vec![column("code", of_parent)]);
        let decided = map(vec![parent, child], &GOOGLE).foreign_keys;
        let folding = Folding::Collation("utf8mb4_0900_ai_ci".to_owned());
        let reason = ForeignKeyReason::Folding(folding);
        assert_eq!(decided[0].outcome, ForeignKeyOutcome::LeftOut(reason));
    }
}

/// InnoDB takes a foreign key to an index that is not unique, and to the first columns of one.
#[test]
fn only_the_columns_of_a_whole_unique_index_can_be_referred_to() {
    let check = |indexes: Vec<SourceIndex>, columns: &[&str], is_kept: bool| {
        let named = || ["id", "x", "y"].map(|name| column(name, BIGINT)).to_vec();
        let mut parent = table("a", named());
        parent.indexes = indexes;
        let mut child = table("b", named());
        let places: Vec<usize> = (1..=columns.len()).collect();
        child.foreign_keys = vec![foreign_key("f", &places, "a", columns)];
        let outcome = map(vec![parent, child], &GOOGLE).foreign_keys.remove(0).outcome;
        match outcome {
            ForeignKeyOutcome::Kept(_) => assert!(is_kept, "{columns:?}"),
            left_out => {
                let expected = ForeignKeyOutcome::LeftOut(ForeignKeyReason::ParentNotUnique);
                assert_eq!((left_out, is_kept), (expected, false));
            }
        }
    };
    let unique = |columns: &[usize]| vec![index("u", true, columns)];
    check(unique(&[1, 2]), &["y", "x"], true);
    check(unique(&[1, 2]), &["x"], false);
    check(unique(&[1]), &["x", "y"], false);
    check(vec![index("i", false, &[1])], &["x"], false);
}

/// The table's own key needs no index behind it, however long it may be; the parent's side has the
/// same limit as the child's.
#[test]
fn only_an_index_that_is_made_behind_a_foreign_key_has_limits() {
    let made = |bytes: u32, parent_key: usize| {
        let long = MysqlType::Varbinary { bytes };
        let columns = || vec![column("long", long.clone()), column("id", BIGINT)];
        let mut parent = table("a", columns());
        parent.primary_key = vec![parent_key];
        parent.columns[1].nullable = false;
        parent.indexes = vec![index("u", true, &[0])];
        let mut child = table("b", columns());
        child.foreign_keys = vec![foreign_key("f", &[0], "a", &["long"])];
        map(vec![parent, child], &GOOGLE).foreign_keys.remove(0).outcome
    };
    assert!(matches!(made(9_000, 0), ForeignKeyOutcome::Kept(_)));
    assert!(matches!(made(8_168, 1), ForeignKeyOutcome::Kept(_)), "8192 bytes");
    let reason = ForeignKeyReason::IndexExcess {
        table: "a".to_owned(),
        excess: KeyExcess::Bytes(8_193),
    };
    assert_eq!(made(8_169, 1), ForeignKeyOutcome::LeftOut(reason));
}
