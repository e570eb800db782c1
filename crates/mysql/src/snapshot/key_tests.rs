//! A stored boundary is taken only as what it is: one cell for each column of the key, of that
//! column's type.

use spanferry_core::fixture;
use spanferry_core::plan::TablePlan;
use spanferry_core::port::source::Boundary;
use spanferry_core::report::code;
use spanferry_core::value::encode::Encoding;

use super::condition;

/// A table with a key of two columns, in another order than the table has them.
fn plan() -> TablePlan {
    let columns = ["a", "b"].map(|name| fixture::column(name, fixture::BIGINT));
    let mut plan = fixture::plan(fixture::table("t", columns.into()), [Encoding::Int64; 2]);
    plan.source_key = vec![1, 0];
    plan
}

/// With fewer cells a range would begin behind rows that were not read.
#[test]
fn a_boundary_with_other_cells_than_the_key_is_refused() {
    // The digits 1 and 2; a letter; half a byte; nothing.
    for boundary in ["31", "31,32,31", "31,61", "31,3", "31,", ""] {
        let boundary = Some(Boundary(boundary.into()));
        for (after, up_to) in [(&boundary, &None), (&None, &boundary)] {
            let failure = condition(&plan(), after.as_ref(), up_to.as_ref()).unwrap_err();
            assert_eq!(failure.code, code::STATE_FOREIGN, "{boundary:?}");
        }
    }
}

#[test]
fn a_range_is_above_one_boundary_and_up_to_the_other() {
    let at = |cells: &str| Some(Boundary(cells.into()));
    let found = condition(&plan(), at("31,32").as_ref(), at("33,34").as_ref()).unwrap();
    let after = "(`b` > 1 OR (`b` = 1 AND (`a` > 2)))";
    let up_to = "(`b` < 3 OR (`b` = 3 AND (`a` <= 4)))";
    assert_eq!(found, format!("WHERE {after} AND {up_to}"));
    assert_eq!(condition(&plan(), None, None).unwrap(), "");
}
