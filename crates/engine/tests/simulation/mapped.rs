//! A table whose rows at the target are not those of the source: another order and key, a constant,
//! a column left to the target.

use std::sync::Arc;

use spanferry_core::fixture;
use spanferry_core::plan::{RefusedCell, RowEncoder, RowLayout, TablePlan, TargetKey};
use spanferry_core::schema::definition::{Estimates, plans_of};
use spanferry_core::schema::target::{ByTarget, TargetColumn};
use spanferry_core::value::encode::{ColumnPlan, Constant, Encoding, Input};
use spanferry_core::value::scalar::Scalar;
use spanferry_core::wire::list_value::{WireReader, WireValue};
use spanferry_engine::plan::Planned;

use crate::history::{NOTE, Row};
use crate::verification::verified;
use crate::world::{Shared, World};
use crate::{new_world, run_in};

/// Histories that the test goes through.
const SEEDS: u64 = 60;
/// The constant that is a part of the key.
const SHARD: i64 = 7;

/// Replaces the plan of one table, if the world has it so.
pub(crate) fn replace_plan(world: &World, planned: &mut Planned) {
    let plans = planned.plans.iter_mut();
    for plan in plans.filter(|plan| world.is_mapped && plan.name().table == "note") {
        *plan = Arc::new(mapped(plan));
    }
}

/// The plan of a table for the target's columns `filled`, `plain`, `shard`, `tied` and `id`, with
/// the key `shard`, `id`.
fn mapped(plan: &TablePlan) -> TablePlan {
    let mut mapped = plan.clone();
    let column = |name: &str| TargetColumn {
        not_null: true,
        ..fixture::target_column(name)
    };
    mapped.target.columns = ["filled", "plain", "shard", "tied", "id"].map(column).into();
    mapped.target.columns[0].by_target = Some(ByTarget::Default("1".to_owned()));
    mapped.target.primary_key = vec![2, 4];
    let inputs = [
        Input::Source(2),
        Input::Constant(Constant::Integer(SHARD)),
        Input::Source(1),
        Input::Source(0),
    ];
    let columns = inputs.into_iter().zip(1..);
    mapped.columns = columns
        .map(|(input, target)| ColumnPlan {
            input,
            target,
            encoding: Encoding::Int64,
            not_null: true,
        })
        .collect();
    mapped.target_key = TargetKey::Columns(vec![1, 3]);
    mapped
}

/// A row as its plan wants it.
pub(crate) fn encode_row(plan: &TablePlan, row: Row) -> Result<Vec<u8>, RefusedCell> {
    let (layout, mut encoder) = (RowLayout::of(plan), RowEncoder::new());
    encoder.begin(plan, &layout);
    for feed in layout.feeds() {
        encoder.cell(plan, &layout, Scalar::Signed(row[feed.source]))?;
    }
    encoder.end(plan, &layout)?;
    Ok(encoder.row().to_vec())
}

/// The key at the target of the row with this key at the source.
pub(crate) fn encode_key(plan: &TablePlan, key: i64) -> Vec<u8> {
    let mut encoded = Vec::new();
    for column in plan.key() {
        let column = &plan.columns[*column];
        let value = match &column.input {
            Input::Constant(constant) => constant.scalar(),
            Input::Source(_) | Input::Function(_) => Scalar::Signed(key),
        };
        column.encode(value, &mut encoded).unwrap();
    }
    encoded
}

/// The values of a payload's cells, those at these columns of the plan, by the source's columns;
/// none if a cell is no number, or no constant of the plan.
pub(crate) fn read(plan: &TablePlan, columns: &[usize], payload: &[u8]) -> Option<Row> {
    let mut row = [0; 3];
    let mut cells = WireReader::new(payload);
    for column in columns {
        let Some(Ok(WireValue::String(text))) = cells.next() else {
            return None;
        };
        let value = std::str::from_utf8(text).ok()?.parse().ok()?;
        match &plan.columns[*column].input {
            Input::Source(source) => row[*source] = value,
            Input::Constant(constant) if constant.scalar() == Scalar::Signed(value) => {}
            Input::Constant(_) | Input::Function(_) => return None,
        }
    }
    cells.next().is_none().then_some(row)
}

/// The plans that are recorded.
fn recorded(shared: &Shared) -> Vec<Arc<TablePlan>> {
    let world = shared.lock();
    let definitions = &world.target.control.as_ref().unwrap().definitions;
    plans_of(definitions.values(), &Estimates::new())
}

/// Load, catch-up and the stream bring the rows of such a table through crashes as those of any
/// other.
#[test]
fn a_table_of_another_shape_goes_the_same_way() {
    for seed in (0..SEEDS).filter(|seed| seed % 4 != 2) {
        let shared = new_world(seed, None);
        shared.lock().is_mapped = true;
        let (violations, counts) = run_in(&shared, None);
        assert!(violations.is_empty(), "seed {seed}: {violations:#?} {counts:#?}");
    }
}

/// Verify compares the rows by the plan: it sees a difference in a moved column, and names it.
#[test]
fn verify_compares_a_table_of_another_shape() {
    let shared = crate::verification::migrated_in(|world| world.is_mapped = true);
    let plans = recorded(&shared);
    let end = shared.lock().history.transactions.len();
    let note = |shared: &Shared| {
        let verdicts = verified(shared, &plans, end).unwrap();
        let mut verdicts = verdicts.into_iter();
        verdicts.find(|verdict| verdict.name.table == "note").unwrap()
    };
    assert_eq!(plans[NOTE].columns.len(), 4);
    let verdict = note(&shared);
    assert!(verdict.is_equal() && verdict.rows_source > 0, "{verdict:?}");
    shared.lock().target.rows[NOTE].first_entry().unwrap().get_mut()[2] += 1;
    let verdict = note(&shared);
    assert_eq!(verdict.keys[0].columns, ["plain"], "{verdict:?}");
}
