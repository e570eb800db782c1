//! Where the values of a target column come from.

use crate::value::scalar::Scalar;

/// Where the values of a target column come from. A column that the target fills by itself
/// (`ByTarget`) has no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// From a column of the source: its place in the source table's columns.
    Source(usize),
    /// The same value in each row.
    Constant(Constant),
    /// Computed from the row.
    Function(RowFunction),
}

/// A value that all rows have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constant {
    /// NULL.
    Null,
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(String),
}

/// A function of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFunction {
    /// 16 bytes that differ for different rows: a digest of all values that come from the source,
    /// in the plan's order.
    Digest,
    /// The number of this row among equal ones. No row shows it: only the target knows how many it
    /// has.
    Ordinal,
}

impl Constant {
    /// The value.
    pub fn scalar(&self) -> Scalar<'_> {
        match self {
            Constant::Null => Scalar::Null,
            Constant::Integer(number) => Scalar::Signed(*number),
            Constant::Text(text) => Scalar::Text(text),
        }
    }
}
