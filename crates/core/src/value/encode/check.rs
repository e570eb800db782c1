//! The one check of a value's wire form, for the tests of each kind of value.

use super::{ColumnPlan, Encoding, Refusal};
use crate::value::scalar::Scalar;
use crate::wire::list_value::{WireReader, WireValue};

/// The text that a value becomes.
pub(super) fn encoded(encoding: Encoding, scalar: Scalar<'_>) -> Result<String, Refusal> {
    let mut out = Vec::new();
    ColumnPlan::of_source(0, 0, encoding, true).encode(scalar, &mut out)?;
    let values: Vec<_> = WireReader::new(&out).map(Result::unwrap).collect();
    let [WireValue::String(text)] = values[..] else {
        panic!("expected one string, found {values:?}")
    };
    Ok(String::from_utf8(text.to_vec()).unwrap())
}

/// Asserts what a value becomes.
pub(super) fn check(encoding: Encoding, scalar: Scalar<'_>, expected: Result<&str, Refusal>) {
    assert_eq!(
        encoded(encoding, scalar),
        expected.map(str::to_owned),
        "{scalar:?}"
    );
}
