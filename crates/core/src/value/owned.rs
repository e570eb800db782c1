//! A source value that owns its bytes, for values that are kept: a column's default.

use crate::value::scalar::{Date, DateTime, Interval, Scalar, Time};

/// A source value that is neither NULL nor a list. Two are equal if they are the same to the last
/// bit: floats are kept as their bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnedScalar {
    /// As [`Scalar::Bool`].
    Bool(bool),
    /// As [`Scalar::Signed`].
    Signed(i64),
    /// As [`Scalar::Unsigned`].
    Unsigned(u64),
    /// As [`Scalar::Digits`].
    Digits(Vec<u8>),
    /// As [`Scalar::Decimal`].
    Decimal(Vec<u8>),
    /// As [`Scalar::Float32`].
    Float32 {
        /// Its bits.
        bits: u32,
    },
    /// As [`Scalar::Float64`].
    Float64 {
        /// Its bits.
        bits: u64,
    },
    /// As [`Scalar::Text`].
    Text(String),
    /// As [`Scalar::Bytes`].
    Bytes(Vec<u8>),
    /// As [`Scalar::Date`].
    Date(Date),
    /// As [`Scalar::DateTime`].
    DateTime(DateTime),
    /// As [`Scalar::Time`].
    Time(Time),
    /// As [`Scalar::Interval`].
    Interval(Interval),
    /// As [`Scalar::Uuid`].
    Uuid([u8; 16]),
    /// As [`Scalar::Json`].
    Json(String),
}

impl OwnedScalar {
    /// A value of its own; none of NULL and of a list.
    pub fn of(scalar: Scalar<'_>) -> Option<OwnedScalar> {
        Some(match scalar {
            Scalar::Null | Scalar::Array(_) => return None,
            Scalar::Bool(value) => OwnedScalar::Bool(value),
            Scalar::Signed(value) => OwnedScalar::Signed(value),
            Scalar::Unsigned(value) => OwnedScalar::Unsigned(value),
            Scalar::Digits(text) => OwnedScalar::Digits(text.to_vec()),
            Scalar::Decimal(text) => OwnedScalar::Decimal(text.to_vec()),
            Scalar::Float32(value) => OwnedScalar::Float32 {
                bits: value.to_bits(),
            },
            Scalar::Float64(value) => OwnedScalar::Float64 {
                bits: value.to_bits(),
            },
            Scalar::Text(text) => OwnedScalar::Text(text.to_owned()),
            Scalar::Bytes(bytes) => OwnedScalar::Bytes(bytes.to_vec()),
            Scalar::Date(value) => OwnedScalar::Date(value),
            Scalar::DateTime(value) => OwnedScalar::DateTime(value),
            Scalar::Time(value) => OwnedScalar::Time(value),
            Scalar::Interval(value) => OwnedScalar::Interval(value),
            Scalar::Uuid(value) => OwnedScalar::Uuid(value),
            Scalar::Json(text) => OwnedScalar::Json(text.to_owned()),
        })
    }

    /// The same value, borrowed.
    pub fn scalar(&self) -> Scalar<'_> {
        match self {
            OwnedScalar::Bool(value) => Scalar::Bool(*value),
            OwnedScalar::Signed(value) => Scalar::Signed(*value),
            OwnedScalar::Unsigned(value) => Scalar::Unsigned(*value),
            OwnedScalar::Digits(text) => Scalar::Digits(text),
            OwnedScalar::Decimal(text) => Scalar::Decimal(text),
            OwnedScalar::Float32 { bits } => Scalar::Float32(f32::from_bits(*bits)),
            OwnedScalar::Float64 { bits } => Scalar::Float64(f64::from_bits(*bits)),
            OwnedScalar::Text(text) => Scalar::Text(text),
            OwnedScalar::Bytes(bytes) => Scalar::Bytes(bytes),
            OwnedScalar::Date(value) => Scalar::Date(*value),
            OwnedScalar::DateTime(value) => Scalar::DateTime(*value),
            OwnedScalar::Time(value) => Scalar::Time(*value),
            OwnedScalar::Interval(value) => Scalar::Interval(*value),
            OwnedScalar::Uuid(value) => Scalar::Uuid(*value),
            OwnedScalar::Json(text) => Scalar::Json(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_value_is_the_one_it_was_made_from() {
        let check = |scalar: Scalar<'_>| {
            let owned = OwnedScalar::of(scalar);
            assert_eq!(owned.as_ref().map(OwnedScalar::scalar), Some(scalar));
        };
        check(Scalar::Bool(true));
        check(Scalar::Signed(-1));
        check(Scalar::Unsigned(u64::MAX));
        check(Scalar::Digits(b"7"));
        check(Scalar::Decimal(b"-0.50"));
        check(Scalar::Float32(0.1));
        check(Scalar::Float64(5e-324));
        check(Scalar::Text("é"));
        check(Scalar::Bytes(b"\0\xff"));
        check(Scalar::Json("{}"));
        check(Scalar::Uuid([7; 16]));
        assert_eq!(OwnedScalar::of(Scalar::Null), None);
        assert_eq!(OwnedScalar::of(Scalar::Array(&[])), None);
        let zeros = [0.0, -0.0].map(|value| OwnedScalar::of(Scalar::Float64(value)));
        assert_ne!(zeros[0], zeros[1], "-0 is another value than 0");
    }
}
