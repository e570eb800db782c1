//! Booleans, and the numbers 0 and 1 that stand for them.

use super::Refusal;
use super::refusal::form;
use crate::value::scalar::Scalar;
use crate::wire::list_value;

/// MySQL has no boolean: its BOOL is a TINYINT(1), and BIT(1) is a byte.
pub(super) fn boolean(scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let value = match scalar {
        Scalar::Bool(value) => value,
        Scalar::Signed(0) | Scalar::Unsigned(0) | Scalar::Digits(b"0") | Scalar::Bytes([0]) => false,
        Scalar::Signed(1) | Scalar::Unsigned(1) | Scalar::Digits(b"1") | Scalar::Bytes([1]) => true,
        Scalar::Signed(_) | Scalar::Unsigned(_) | Scalar::Digits(_) | Scalar::Bytes(_) => {
            return Err(Refusal::BooleanRange);
        }
        Scalar::Null
        | Scalar::Decimal(_)
        | Scalar::Float32(_)
        | Scalar::Float64(_)
        | Scalar::Text(_)
        | Scalar::Date(_)
        | Scalar::DateTime(_)
        | Scalar::Time(_)
        | Scalar::Interval(_)
        | Scalar::Uuid(_)
        | Scalar::Json(_)
        | Scalar::Array(_) => return form("boolean"),
    };
    list_value::put_bool(out, value);
    Ok(())
}
