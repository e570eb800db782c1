//! The plan of a column, which picks the conversion of its values.

use super::convert::encode_value;
use super::form::Encoding;
use super::{Input, Refusal};
use crate::value::scalar::Scalar;
use crate::wire::list_value;

/// How one column is converted; computed once per table and schema version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnPlan {
    /// Where its values come from.
    pub input: Input,
    /// The column of the target that it fills: its place in the target table's columns.
    pub target: usize,
    /// Which form the target takes.
    pub encoding: Encoding,
    /// Whether the target column is NOT NULL.
    pub not_null: bool,
}

impl ColumnPlan {
    /// The plan of a column that comes from the source.
    pub fn of_source(source: usize, target: usize, encoding: Encoding, not_null: bool) -> ColumnPlan {
        ColumnPlan {
            input: Input::Source(source),
            target,
            encoding,
            not_null,
        }
    }

    /// The source column that it comes from, if it comes from one.
    pub fn source(&self) -> Option<usize> {
        match self.input {
            Input::Source(column) => Some(column),
            Input::Constant(_) | Input::Function(_) => None,
        }
    }

    /// Appends the value as one element of a `ListValue`. On a refusal `out` is as before.
    pub fn encode(&self, scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        if matches!(scalar, Scalar::Null) {
            if self.not_null {
                return Err(Refusal::Null);
            }
            list_value::put_null(out);
            return Ok(());
        }
        let start = out.len();
        let result = encode_value(self.encoding, scalar, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_refusal_leaves_no_trace(text in ".{0,8}", start in prop::collection::vec(any::<u8>(), 0..9)) {
            let mut out = start.clone();
            let plan = ColumnPlan::of_source(0, 0, Encoding::Json { arbitrary_numbers: false }, false);
            if plan.encode(Scalar::Json(&text), &mut out).is_err() {
                prop_assert_eq!(out, start);
            }
        }
    }
}
