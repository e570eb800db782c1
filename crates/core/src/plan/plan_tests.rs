//! Cases of plans whose rows are not those of the source: another order, constants, functions,
//! columns left to the target.

use super::*;
use crate::fixture::{self, BIGINT, column, table};
use crate::value::encode::{Constant, Encoding};
use crate::value::scalar::Scalar;
use crate::wire::list_value::{WireReader, WireValue};

const TEXT: Encoding = Encoding::String { characters_max: 9 };

/// A plan over two columns `a` and `b` of numbers, whose row has these inputs.
fn plan(inputs: Vec<(Input, Encoding)>, key: &[usize]) -> TablePlan {
    let source = table("t", vec![column("a", BIGINT), column("b", BIGINT)]);
    let columns = inputs.into_iter().enumerate();
    let columns = columns.map(|(target, (input, encoding))| ColumnPlan {
        input,
        target,
        encoding,
        not_null: false,
    });
    TablePlan {
        columns: columns.collect(),
        target_key: TargetKey::Columns(key.to_vec()),
        ..fixture::plan(source, [])
    }
}

/// The row and the key that a plan makes of values of the source.
fn encode(plan: &TablePlan, values: &[i64]) -> Result<(Vec<u8>, Vec<u8>), RefusedCell> {
    let (layout, mut encoder, mut key) = (RowLayout::of(plan), RowEncoder::new(), Vec::new());
    encoder.begin(plan, &layout);
    for value in values {
        encoder.cell(plan, &layout, Scalar::Signed(*value))?;
    }
    encoder.end(plan, &layout)?;
    encoder.key_into(plan, &mut key);
    Ok((encoder.row().to_vec(), key))
}

fn texts(payload: &[u8]) -> Vec<String> {
    let text = |value: WireValue<'_>| match value {
        WireValue::String(text) => String::from_utf8_lossy(text).into_owned(),
        WireValue::Null => "NULL".to_owned(),
        other => panic!("{other:?}"),
    };
    WireReader::new(payload)
        .map(|value| text(value.unwrap()))
        .collect()
}

#[test]
fn a_row_has_the_order_of_its_plan() {
    let from = |source| (Input::Source(source), Encoding::Int64);
    let constant = |constant| (Input::Constant(constant), TEXT);
    let check = |inputs, key: &[usize], values: &[i64], row: &[&str], expected_key: &[&str]| {
        let plan = plan(inputs, key);
        let (found, found_key) = encode(&plan, values).unwrap();
        assert_eq!((texts(&found), texts(&found_key)), (own(row), own(expected_key)));
    };
    check(vec![from(0), from(1)], &[0], &[1, 2], &["1", "2"], &["1"]);
    check(vec![from(1), from(0)], &[1], &[1, 2], &["2", "1"], &["1"]);
    check(vec![from(1)], &[0], &[2], &["2"], &["2"]);
    let shard = || constant(Constant::Text("eu".to_owned()));
    check(vec![shard(), from(0)], &[0, 1], &[1], &["eu", "1"], &["eu", "1"]);
    check(
        vec![from(0), constant(Constant::Null)],
        &[0],
        &[1],
        &["1", "NULL"],
        &["1"],
    );
    // One column of the source fills two of the target.
    check(
        vec![from(0), shard(), from(0)],
        &[2],
        &[7],
        &["7", "eu", "7"],
        &["7"],
    );
}

fn own(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_layout_is_direct_where_nothing_must_be_moved() {
    let from = |source| (Input::Source(source), Encoding::Int64);
    let check = |inputs, is_direct: bool, feeds: &[usize]| {
        let layout = RowLayout::of(&plan(inputs, &[0]));
        let sources: Vec<usize> = layout.feeds().iter().map(|feed| feed.source).collect();
        assert_eq!((layout.is_direct(), sources.as_slice()), (is_direct, feeds));
    };
    check(vec![from(0), from(1)], true, &[0, 1]);
    check(vec![from(1)], true, &[1]);
    check(vec![from(1), from(0)], false, &[0, 1]);
    check(vec![from(0), from(0)], false, &[0]);
    check(vec![(Input::Constant(Constant::Null), TEXT)], false, &[]);
}

/// A refused value is reported with the column that refuses it, in any order.
#[test]
fn a_refusal_names_the_column_of_the_plan() {
    let narrow = Encoding::String { characters_max: 1 };
    let inputs = vec![(Input::Constant(Constant::Text("long".to_owned())), narrow)];
    let refused = encode(&plan(inputs, &[0]), &[]).unwrap_err();
    assert_eq!(refused.column, 0);
    let inputs = vec![
        (Input::Source(1), Encoding::Date),
        (Input::Source(0), Encoding::Int64),
    ];
    let refused = encode(&plan(inputs, &[1]), &[1, 2]).unwrap_err();
    assert_eq!(refused.column, 0);
}

/// The digest is stored at the target, so it must never change.
#[test]
fn the_digest_of_a_row_stays_what_it_is() {
    let digest = (
        Input::Function(RowFunction::Digest),
        Encoding::Bytes { bytes_max: 16 },
    );
    let from = |source| (Input::Source(source), Encoding::Int64);
    let plan = plan(vec![digest, from(0), from(1)], &[1]);
    let of = |values: &[i64]| texts(&encode(&plan, values).unwrap().0)[0].clone();
    assert_eq!(of(&[1, 2]), "1kfuUD+wDH8fNqDd6CXVxA==");
    assert_ne!(of(&[2, 1]), of(&[1, 2]));
    assert_ne!(of(&[1, 12]), of(&[11, 2]));
}

#[test]
fn what_no_release_can_run_yet_is_named() {
    let digest = || {
        (
            Input::Function(RowFunction::Digest),
            Encoding::Bytes { bytes_max: 16 },
        )
    };
    let ordinal = || (Input::Function(RowFunction::Ordinal), Encoding::Int64);
    let from = |source| (Input::Source(source), Encoding::Int64);
    assert_eq!(plan(vec![from(0), digest()], &[0]).not_built(), None);
    assert!(plan(vec![from(0), ordinal()], &[0]).not_built().is_some());
    assert!(plan(vec![from(0), digest()], &[1]).not_built().is_some());
    let multiset = TablePlan {
        target_key: TargetKey::Multiset([0, 1]),
        ..plan(vec![digest(), ordinal(), from(0)], &[])
    };
    assert_eq!(
        (multiset.key(), multiset.not_built().is_some()),
        (&[0, 1][..], true)
    );
}

#[test]
fn columns_left_to_the_target_are_not_written() {
    let from = |source| (Input::Source(source), Encoding::Int64);
    let mut plan = plan(vec![from(1), from(0)], &[1]);
    plan.columns[0].target = 2;
    plan.columns[1].target = 0;
    plan.target.columns = ["a", "filled", "b"].map(fixture::target_column).into();
    assert_eq!(plan.column_names().collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(plan.mutations_per_upsert(), 3);
}
