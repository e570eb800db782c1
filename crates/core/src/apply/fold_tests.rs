//! The fold against a naive model: whatever changes come in whatever order, its mutations make the
//! rows that the changes make.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::fixture;
use crate::value::encode::Encoding;
use crate::wire::list_value::{WireReader, WireValue, put_null, put_string};

/// The columns behind the key.
type Values = [Option<u8>; 3];
type Rows = BTreeMap<u8, Values>;

const TABLE: TableId = TableId(0);

#[derive(Debug, Clone)]
enum Step {
    Write {
        key: u8,
        values: Values,
    },
    /// Changes the columns whose bits are set, if the row is there.
    WritePartly {
        key: u8,
        columns: u8,
        values: Values,
    },
    Delete {
        key: u8,
    },
    /// A transaction ends.
    End,
    /// A window ends.
    Take,
}

fn fold() -> Fold {
    let columns = ["k", "a", "b", "c"].map(|name| fixture::column(name, fixture::BIGINT));
    let plan = fixture::plan(fixture::table("t", columns.into()), [Encoding::Int64; 4]);
    Fold::new([Arc::new(plan)].into())
}

fn put(value: Option<u8>, out: &mut Vec<u8>) {
    match value {
        Some(value) => put_string(out, value.to_string().as_bytes()),
        None => put_null(out),
    }
}

fn payload(values: impl IntoIterator<Item = Option<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    values.into_iter().for_each(|value| put(value, &mut out));
    out
}

fn numbers(payload: &[u8]) -> Vec<Option<u8>> {
    let number = |value| match value {
        WireValue::Null => None,
        WireValue::String(text) => Some(std::str::from_utf8(text).unwrap().parse().unwrap()),
        other => panic!("{other:?}"),
    };
    WireReader::new(payload)
        .map(|value| number(value.unwrap()))
        .collect()
}

/// The key and the columns whose bits are set.
fn columns_of(bits: u8) -> ColumnSet {
    ColumnSet::of(std::iter::once(0).chain((1..4).filter(|column| bits & (1 << (column - 1)) != 0)))
}

fn cells(key: u8, columns: &ColumnSet, values: Values) -> Vec<u8> {
    let value = |column| {
        if column == 0 {
            Some(key)
        } else {
            values[column - 1]
        }
    };
    payload(columns.iter().map(value))
}

fn stage_whole(fold: &mut Fold, key: u8, values: Values) {
    let row = payload(std::iter::once(Some(key)).chain(values));
    fold.stage(TABLE, &payload([Some(key)]), Content::Whole(&row), true);
}

fn stage_partly(fold: &mut Fold, key: u8, bits: u8, values: Values) {
    let columns = columns_of(bits);
    let cells = cells(key, &columns, values);
    let row = PartialRow {
        columns: &columns,
        cells: &cells,
    };
    fold.stage(TABLE, &payload([Some(key)]), Content::Partial(row), true);
}

fn stage_gone(fold: &mut Fold, key: u8) {
    fold.stage(TABLE, &payload([Some(key)]), Content::Gone, true);
}

/// What a target does with mutations. Each of its rules is one of Spanner's.
fn commit(rows: &mut Rows, data: &[TableMutations]) {
    let mut written = BTreeSet::new();
    for mutations in data {
        for row in mutations.rows.payloads() {
            let found = numbers(row);
            let key = found[0].unwrap();
            assert!(written.insert(key), "the window has two mutations of key {key}");
            match mutations.kind {
                MutationKind::Delete => drop(rows.remove(&key)),
                MutationKind::Upsert => drop(rows.insert(key, found[1..].try_into().unwrap())),
                MutationKind::Insert => panic!("the ordered apply inserts nothing"),
                MutationKind::Update(columns) => {
                    let row = rows.get_mut(&key).expect("the row is there");
                    assert_eq!(columns.len(), found.len());
                    for (column, value) in columns.iter().zip(found).skip(1) {
                        row[column - 1] = value;
                    }
                }
            }
        }
    }
}

/// Makes a change in the model; whether the source can make it there.
fn replay(rows: &mut Rows, step: &Step) -> bool {
    match step {
        Step::Write { key, values } => drop(rows.insert(*key, *values)),
        Step::WritePartly { key, columns, values } => {
            let Some(row) = rows.get_mut(key) else {
                return false;
            };
            for column in columns_of(*columns).iter().skip(1) {
                row[column - 1] = values[column - 1];
            }
        }
        Step::Delete { key } => drop(rows.remove(key)),
        Step::End | Step::Take => {}
    }
    true
}

fn steps() -> impl Strategy<Value = Step> {
    let key = || 0..4_u8;
    let values = || prop::array::uniform3(prop::option::of(0..9_u8));
    prop_oneof![
        3 => (key(), values()).prop_map(|(key, values)| Step::Write { key, values }),
        5 => (key(), 0..8_u8, values())
            .prop_map(|(key, columns, values)| Step::WritePartly { key, columns, values }),
        2 => key().prop_map(|key| Step::Delete { key }),
        2 => Just(Step::End),
        1 => Just(Step::Take),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn mutations_make_the_rows_that_the_changes_make(
        first in prop::collection::btree_map(0..4_u8, prop::array::uniform3(prop::option::of(0..9_u8)), 0..4),
        steps in vec(steps(), 0..40),
    ) {
        let (mut model, mut target, mut fold) = (first.clone(), first, fold());
        // The rows after the last transaction that is in the fold: a window holds no half of one.
        let mut whole = model.clone();
        for step in &steps {
            if !replay(&mut model, step) {
                continue;
            }
            match step {
                Step::Write { key, values } => stage_whole(&mut fold, *key, *values),
                Step::WritePartly { key, columns, values } => stage_partly(&mut fold, *key, *columns, *values),
                Step::Delete { key } => stage_gone(&mut fold, *key),
                Step::End => {
                    prop_assert!(fold.unfit().is_empty());
                    fold.fold_staged();
                    whole.clone_from(&model);
                }
                Step::Take => {
                    commit(&mut target, &fold.take());
                    prop_assert_eq!(&target, &whole);
                }
            }
        }
        fold.fold_staged();
        let mutations = fold.mutations();
        let data = fold.take();
        let counted = |data: &TableMutations| {
            let each = match data.kind {
                MutationKind::Delete => data.table.mutations_per_delete(),
                MutationKind::Upsert | MutationKind::Insert => data.table.mutations_per_upsert(),
                MutationKind::Update(columns) => data.table.mutations_per_update(&columns),
            };
            each * data.rows.len()
        };
        prop_assert_eq!(mutations, data.iter().map(counted).sum::<usize>());
        commit(&mut target, &data);
        prop_assert_eq!(target, model);
    }
}

/// The table of `meet`, and what each pair comes to, within one transaction and over two.
#[test]
fn every_pair_of_kinds_has_its_rule() {
    let (a, b) = ([Some(1), Some(2), None], [Some(7), None, Some(9)]);
    let stage = |fold: &mut Fold, change: Held, values: Values| match change {
        Held::Gone => stage_gone(fold, 5),
        Held::Whole => stage_whole(fold, 5, values),
        Held::Partial => stage_partly(fold, 5, if values == a { 0b011 } else { 0b110 }, values),
    };
    let check = |held: Option<Held>, change: Held, expected: Option<(MutationKind, Vec<Option<u8>>)>| {
        for ends_between in [false, true] {
            let mut fold = fold();
            if let Some(held) = held {
                stage(&mut fold, held, a);
            }
            if ends_between {
                fold.fold_staged();
            }
            stage(&mut fold, change, b);
            assert_eq!(
                fold.unfit().contains(&TABLE),
                expected.is_none(),
                "{held:?} {change:?}"
            );
            let Some((kind, row)) = &expected else { continue };
            fold.fold_staged();
            let data = fold.take();
            let found: Vec<_> = data
                .iter()
                .flat_map(|data| data.rows.payloads().map(|row| (data.kind, numbers(row))))
                .collect();
            assert_eq!(found, [(*kind, row.clone())], "{held:?} {change:?}");
        }
    };
    let gone = || Some((MutationKind::Delete, vec![Some(5)]));
    let whole = || Some((MutationKind::Upsert, vec![Some(5), Some(7), None, Some(9)]));
    let every = [None, Some(Held::Gone), Some(Held::Whole), Some(Held::Partial)];
    for held in every {
        check(held, Held::Gone, gone());
        check(held, Held::Whole, whole());
    }
    let update = |bits, row| Some((MutationKind::Update(columns_of(bits)), row));
    check(None, Held::Partial, update(0b110, vec![Some(5), None, Some(9)]));
    check(Some(Held::Gone), Held::Partial, None);
    let patched = vec![Some(5), Some(1), None, Some(9)];
    check(
        Some(Held::Whole),
        Held::Partial,
        Some((MutationKind::Upsert, patched.clone())),
    );
    check(Some(Held::Partial), Held::Partial, update(0b111, patched));
}

/// Stages one value of a column for a key.
fn stage_column(fold: &mut Fold, key: &[u8], column: usize) {
    let mut cells = Vec::new();
    (0..2).for_each(|_| put_string(&mut cells, key));
    let (columns, cells) = (&ColumnSet::of([0, column]), cells.as_slice());
    let row = PartialRow { columns, cells };
    fold.stage(TABLE, key, Content::Partial(row), true);
}

fn new_fold() -> Fold {
    let tables = [Arc::new(fixture::plan(fixture::table("t", Vec::new()), []))];
    Fold::new(tables.into())
}

/// What the fold collects: each set of columns with its number of rows.
fn collected(fold: &mut Fold) -> Vec<(MutationKind, usize)> {
    fold.fold_staged();
    let data = fold.take();
    data.iter().map(|run| (run.kind, run.rows.len())).collect()
}

/// What a window has held of sets of columns does not stay for the next.
#[test]
fn sets_of_columns_go_with_their_window() {
    let update = |columns: &[usize]| MutationKind::Update(ColumnSet::of(columns.iter().copied()));
    let mut fold = new_fold();
    for column in 1..4 {
        stage_column(&mut fold, b"a", column);
        fold.fold_staged();
    }
    stage_column(&mut fold, b"b", 2);
    let kinds: Vec<MutationKind> = fold.take().iter().map(|run| run.kind).collect();
    assert_eq!(kinds, [update(&[0, 1, 2, 3])]);
    assert_eq!(fold.column_sets, [ColumnSet::of([0, 2])]);
    assert_eq!(collected(&mut fold), [(update(&[0, 2]), 1)]);
    assert!(fold.column_sets.is_empty());
}

/// Only the last sets are compared with a new one, and each row keeps its own.
#[test]
fn rows_of_many_sets_of_columns_stay_apart() {
    let most = SETS_COMPARED + 4;
    let mut fold = new_fold();
    for column in 1..=most {
        for copy in 0..2 {
            stage_column(&mut fold, format!("{column}-{copy}").as_bytes(), column);
        }
    }
    let update = |column| (MutationKind::Update(ColumnSet::of([0, column])), 2);
    let expected: Vec<_> = (1..=most).map(update).collect();
    assert_eq!(collected(&mut fold), expected);
}
