//! The conversion of one value by its form. A list converts each of its elements in the same way.

use super::form::{ElementEncoding, Encoding};
use super::limit::CELL_BYTES_MAX;
use super::refusal::form;
use super::{Refusal, binary, boolean, calendar, decimal, float, integer, json, text, uuid};
use crate::value::scalar::Scalar;
use crate::wire::list_value;

/// Most bytes of one list in the wire form: a cell of the target's limit whose elements are bytes
/// takes a third more, and each element has a head.
const LIST_BYTES_MAX: usize = 2 * CELL_BYTES_MAX as usize;

/// Appends a value that is not NULL. On a refusal `out` holds a part of it.
pub(super) fn encode_value(encoding: Encoding, scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    match encoding {
        Encoding::Bool => boolean::boolean(scalar, out),
        Encoding::Int64 => integer::int64(scalar, out),
        Encoding::Float32 => float::float32(scalar, out),
        Encoding::Float64 => float::float64(scalar, out),
        Encoding::Numeric => decimal::numeric(scalar, decimal::NUMERIC_DIGITS, out),
        Encoding::PgNumeric => decimal::numeric(scalar, decimal::PG_NUMERIC_DIGITS, out),
        Encoding::String { characters_max } => text::string(scalar, characters_max, out),
        Encoding::Bytes { bytes_max } => binary::bytes(scalar, bytes_max, out),
        Encoding::Date => calendar::date(scalar, out),
        Encoding::Timestamp => calendar::timestamp(scalar, out),
        Encoding::Json { arbitrary_numbers } => json::json(scalar, json::flavor(arbitrary_numbers), out),
        Encoding::Array { element, dimensions } => array(scalar, element, dimensions, out),
        Encoding::Uuid => uuid::uuid(scalar, out),
    }
}

/// A list. A vector may also come as the bytes of its 4-byte floats.
fn array(
    scalar: Scalar<'_>,
    element: ElementEncoding,
    dimensions: Option<u32>,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let elements = match (scalar, element) {
        (Scalar::Bytes(bytes), ElementEncoding::Float32) => return float::vector(bytes, dimensions, out),
        (Scalar::Array(elements), _) => elements,
        _ => {
            return form(if element == ElementEncoding::Float32 {
                "vector"
            } else {
                "array"
            });
        }
    };
    if dimensions.is_some_and(|dimensions| elements.len() != dimensions as usize) {
        return form("vector of all its declared elements");
    }
    let encoding = element.encoding();
    let list = list_value::open_list(out);
    let start = out.len();
    let mut bytes = 0;
    for element in elements {
        bytes += value_bytes(*element);
        if bytes > CELL_BYTES_MAX as usize || out.len() - start > LIST_BYTES_MAX {
            return Err(Refusal::TooLong {
                limit: u64::from(CELL_BYTES_MAX),
            });
        }
        match element {
            Scalar::Null if dimensions.is_some() => return form("vector without NULL"),
            Scalar::Null => list_value::put_null(out),
            Scalar::Array(_) => return form("array of one dimension"),
            element => encode_value(encoding, *element, out)?,
        }
    }
    list_value::close_list(out, list);
    Ok(())
}

/// What an element counts against the limit of a cell.
fn value_bytes(scalar: Scalar<'_>) -> usize {
    match scalar {
        Scalar::Text(text) | Scalar::Json(text) => text.len(),
        Scalar::Bytes(bytes) | Scalar::Decimal(bytes) | Scalar::Digits(bytes) => bytes.len(),
        Scalar::Uuid(_) => 16,
        Scalar::Null | Scalar::Bool(_) => 1,
        Scalar::Signed(_)
        | Scalar::Unsigned(_)
        | Scalar::Float32(_)
        | Scalar::Float64(_)
        | Scalar::Date(_)
        | Scalar::DateTime(_)
        | Scalar::Time(_)
        | Scalar::Interval(_) => 8,
        Scalar::Array(elements) => elements.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::encode::ColumnPlan;
    use crate::wire::list_value::{WireReader, WireValue};

    fn encoded(element: ElementEncoding, elements: &[Scalar<'_>]) -> Result<Vec<u8>, Refusal> {
        let plan = ColumnPlan::of_source(
            0,
            0,
            Encoding::Array {
                element,
                dimensions: None,
            },
            true,
        );
        let mut out = Vec::new();
        plan.encode(Scalar::Array(elements), &mut out).map(|()| out)
    }

    #[test]
    fn lists_keep_order_and_nulls() {
        let elements = [Scalar::Signed(7), Scalar::Null, Scalar::Digits(b"-8")];
        let out = encoded(ElementEncoding::Int64, &elements).unwrap();
        let Some(Ok(WireValue::List(list))) = WireReader::new(&out).next() else {
            panic!("expected one list")
        };
        let found: Vec<_> = WireReader::new(list).map(Result::unwrap).collect();
        assert_eq!(
            found,
            [WireValue::String(b"7"), WireValue::Null, WireValue::String(b"-8")]
        );
        assert!(encoded(ElementEncoding::Int64, &[]).is_ok());
    }

    #[test]
    fn an_element_is_refused_as_it_would_be_alone() {
        let check = |element, scalar, expected| {
            assert_eq!(encoded(element, &[Scalar::Null, scalar]), Err(expected));
        };
        check(
            ElementEncoding::Int64,
            Scalar::Unsigned(u64::MAX),
            Refusal::IntegerRange,
        );
        check(ElementEncoding::Bool, Scalar::Signed(2), Refusal::BooleanRange);
        let string = ElementEncoding::String { characters_max: 2 };
        check(string, Scalar::Text("abc"), Refusal::TooLong { limit: 2 });
        let nested = Refusal::Form {
            expected: "array of one dimension",
        };
        check(ElementEncoding::Int64, Scalar::Array(&[]), nested);
    }

    #[test]
    fn a_list_has_the_limit_of_a_cell() {
        let bytes = vec![7; CELL_BYTES_MAX as usize / 4];
        let element = ElementEncoding::Bytes {
            bytes_max: CELL_BYTES_MAX,
        };
        assert!(encoded(element, &[Scalar::Bytes(&bytes); 4]).is_ok());
        let limit = Refusal::TooLong {
            limit: u64::from(CELL_BYTES_MAX),
        };
        let five = [Scalar::Bytes(&bytes); 5];
        assert_eq!(encoded(element, &five), Err(limit.clone()));
        assert_eq!(
            encoded(ElementEncoding::Bool, &vec![Scalar::Bool(true); 6 << 20]),
            Err(limit)
        );
    }
}
