//! STRING: text, and the other values that are kept as text.

use super::Refusal;
use super::calendar;
use super::decimal::PlainDecimal;
use super::integer::is_integer;
use super::interval;
use super::limit::{CELL_BYTES_MAX, check_bytes};
use super::refusal::form;
use super::uuid;
use crate::value::scalar::Scalar;
use crate::wire::list_value;

pub(super) fn string(scalar: Scalar<'_>, characters_max: u32, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let limit = u64::from(characters_max);
    match scalar {
        Scalar::Text(text) | Scalar::Json(text) => {
            // A text of so few bytes cannot have too many characters.
            if text.len() as u64 > limit && text.chars().count() as u64 > limit {
                return Err(Refusal::TooLong { limit });
            }
            check_bytes(text.len(), CELL_BYTES_MAX)?;
            list_value::put_string(out, text.as_bytes());
            Ok(())
        }
        Scalar::Decimal(text) => {
            let decimal = PlainDecimal::read_scaled(text).ok_or(Refusal::Form { expected: "decimal" })?;
            let length = decimal.length();
            check_bytes(length, characters_max)?;
            list_value::put_string_head(out, length);
            decimal.write(out);
            Ok(())
        }
        Scalar::Digits(text) if is_integer(text) => put_short(text, characters_max, out),
        Scalar::Signed(value) => put_short(itoa::Buffer::new().format(value).as_bytes(), characters_max, out),
        Scalar::Unsigned(value) => {
            put_short(itoa::Buffer::new().format(value).as_bytes(), characters_max, out)
        }
        Scalar::Time(value) => put_short(calendar::time(value)?.as_bytes(), characters_max, out),
        Scalar::Interval(value) => put_short(interval::text(value).as_bytes(), characters_max, out),
        Scalar::Uuid(value) => put_short(&uuid::text(value), characters_max, out),
        Scalar::Null
        | Scalar::Bool(_)
        | Scalar::Digits(_)
        | Scalar::Float32(_)
        | Scalar::Float64(_)
        | Scalar::Bytes(_)
        | Scalar::Date(_)
        | Scalar::DateTime(_)
        | Scalar::Array(_) => form("text"),
    }
}

fn put_short(text: &[u8], characters_max: u32, out: &mut Vec<u8>) -> Result<(), Refusal> {
    check_bytes(text.len(), characters_max)?;
    list_value::put_string(out, text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::encode::Encoding;
    use crate::value::encode::check::check;

    #[test]
    fn text_has_a_limit() {
        let three = Encoding::String { characters_max: 3 };
        check(three, Scalar::Text("äöü"), Ok("äöü"));
        check(three, Scalar::Text("abcd"), Err(Refusal::TooLong { limit: 3 }));
        check(three, Scalar::Text("a\0b"), Ok("a\0b"));
    }
}
