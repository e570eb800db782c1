//! Integers: INT64, and what an integer looks like in any form.

use super::Refusal;
use super::refusal::form;
use crate::value::scalar::Scalar;
use crate::wire::list_value;

pub(super) fn int64(scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    match scalar {
        Scalar::Signed(value) => list_value::put_string(out, itoa::Buffer::new().format(value).as_bytes()),
        Scalar::Unsigned(value) if i64::try_from(value).is_ok() => {
            list_value::put_string(out, itoa::Buffer::new().format(value).as_bytes());
        }
        Scalar::Unsigned(_) => return Err(Refusal::IntegerRange),
        Scalar::Digits(text) => {
            if !is_integer(text) {
                return form("integer");
            }
            // Up to 18 digits fit whatever they are; beyond that they are reckoned.
            if text.len() > 18
                && std::str::from_utf8(text)
                    .ok()
                    .and_then(|text| text.parse::<i64>().ok())
                    .is_none()
            {
                return Err(Refusal::IntegerRange);
            }
            list_value::put_string(out, text);
        }
        _ => return form("integer"),
    }
    Ok(())
}

/// Whether it is an integer in its one spelling.
pub(super) fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) && (digits[0] != b'0' || text.len() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::encode::Encoding;
    use crate::value::encode::check::{check, encoded};
    use proptest::prelude::*;

    #[test]
    fn integers() {
        check(
            Encoding::Int64,
            Scalar::Signed(i64::MIN),
            Ok("-9223372036854775808"),
        );
        check(
            Encoding::Int64,
            Scalar::Unsigned(u64::MAX),
            Err(Refusal::IntegerRange),
        );
        check(Encoding::Int64, Scalar::Unsigned(0), Ok("0"));
        check(
            Encoding::Int64,
            Scalar::Digits(b"9223372036854775807"),
            Ok("9223372036854775807"),
        );
        check(
            Encoding::Int64,
            Scalar::Digits(b"9223372036854775808"),
            Err(Refusal::IntegerRange),
        );
        check(
            Encoding::Int64,
            Scalar::Digits(b"-9223372036854775808"),
            Ok("-9223372036854775808"),
        );
        check(Encoding::Int64, Scalar::Digits(b"1x"), form("integer"));
        for bad in [&b"007"[..], b"-0", b"-", b"", b"+1", b"12345678901234567890x"] {
            check(Encoding::Int64, Scalar::Digits(bad), form("integer"));
            check(
                Encoding::String { characters_max: 30 },
                Scalar::Digits(bad),
                form("text"),
            );
        }
    }

    proptest! {
        #[test]
        fn integers_equal_the_plain_way(value: i64, unsigned: u64) {
            let text = value.to_string();
            prop_assert_eq!(encoded(Encoding::Int64, Scalar::Signed(value)), Ok(text.clone()));
            prop_assert_eq!(encoded(Encoding::Int64, Scalar::Digits(text.as_bytes())), Ok(text));
            prop_assert_eq!(encoded(Encoding::Numeric, Scalar::Unsigned(unsigned)), Ok(unsigned.to_string()));
        }
    }
}
