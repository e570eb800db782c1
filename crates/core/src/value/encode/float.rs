//! Floating-point numbers, alone and as vectors.

use super::Refusal;
use super::limit::{CELL_BYTES_MAX, check_bytes};
use super::refusal::form;
use crate::value::scalar::Scalar;
use crate::wire::list_value;

pub(super) fn float32(scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let Scalar::Float32(value) = scalar else {
        return form("4-byte float");
    };
    put_float(out, f64::from(value));
    Ok(())
}

pub(super) fn float64(scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    match scalar {
        Scalar::Float64(value) => put_float(out, value),
        Scalar::Float32(value) => put_float(out, f64::from(value)),
        _ => return form("8-byte float"),
    }
    Ok(())
}

/// A vector that comes as the bytes of its floats.
pub(super) fn vector(bytes: &[u8], dimensions: Option<u32>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    check_bytes(bytes.len(), CELL_BYTES_MAX)?;
    let (floats, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return form("vector of 4-byte floats");
    }
    if dimensions.is_some_and(|dimensions| floats.len() != dimensions as usize) {
        return form("vector of all its declared elements");
    }
    let list = list_value::open_list(out);
    for float in floats {
        put_float(out, f64::from(f32::from_le_bytes(*float)));
    }
    list_value::close_list(out, list);
    Ok(())
}

/// Numbers travel as such, what JSON's numbers cannot hold as a word (Spanner documentation,
/// `TypeCode.FLOAT64`).
fn put_float(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        list_value::put_number(out, value);
    } else if value.is_nan() {
        list_value::put_string(out, b"NaN");
    } else if value > 0.0 {
        list_value::put_string(out, b"Infinity");
    } else {
        list_value::put_string(out, b"-Infinity");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::encode::Encoding;
    use crate::value::encode::check::check;

    #[test]
    fn vectors() {
        let vector = Encoding::vector(Some(2));
        check(
            vector,
            Scalar::Bytes(&[0; 4]),
            form("vector of all its declared elements"),
        );
        check(vector, Scalar::Bytes(&[0; 7]), form("vector of 4-byte floats"));
    }
}
