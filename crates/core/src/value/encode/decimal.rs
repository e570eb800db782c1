//! Decimals: NUMERIC of both dialects, and the plain spelling that comparing shares.

use super::Refusal;
use super::refusal::form;
use crate::value::scalar::Scalar;
use crate::wire::list_value;

/// Digits of GoogleSQL NUMERIC before and behind the point.
pub(super) const NUMERIC_DIGITS: (usize, usize) = (29, 9);
/// Digits of PostgreSQL numeric in Spanner before and behind the point.
pub(super) const PG_NUMERIC_DIGITS: (usize, usize) = (131_072, 16_383);

/// The one decimal that is no number; both sides spell it so.
const NAN: &[u8] = b"NaN";

pub(super) fn numeric(scalar: Scalar<'_>, limits: (usize, usize), out: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut digits = itoa::Buffer::new();
    let text = match scalar {
        Scalar::Decimal(text) | Scalar::Digits(text) => text,
        Scalar::Signed(value) => digits.format(value).as_bytes(),
        Scalar::Unsigned(value) => digits.format(value).as_bytes(),
        _ => return form("decimal"),
    };
    let Some(decimal) = PlainDecimal::read(text) else {
        return not_a_number(text, limits, out);
    };
    if decimal.whole.len() > limits.0 || decimal.fraction.len() > limits.1 {
        return Err(Refusal::NumericRange);
    }
    let length = decimal.length();
    list_value::put_string_head(out, length);
    decimal.write(out);
    Ok(())
}

/// `NaN` where the target holds it. Any other text here is no decimal.
fn not_a_number(text: &[u8], limits: (usize, usize), out: &mut Vec<u8>) -> Result<(), Refusal> {
    if text != NAN {
        return form("decimal");
    }
    if limits != PG_NUMERIC_DIGITS {
        return Err(Refusal::NotANumber);
    }
    list_value::put_string(out, NAN);
    Ok(())
}

/// A decimal without leading zeros and negative zero.
pub(crate) struct PlainDecimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
}

impl<'a> PlainDecimal<'a> {
    /// Reads `[-]digits[.digits]` and forgets trailing zeros behind the point.
    pub(crate) fn read(text: &'a [u8]) -> Option<PlainDecimal<'a>> {
        let mut decimal = PlainDecimal::read_scaled(text)?;
        let zeros = decimal
            .fraction
            .iter()
            .rev()
            .take_while(|digit| **digit == b'0')
            .count();
        decimal.fraction = &decimal.fraction[..decimal.fraction.len() - zeros];
        Some(decimal)
    }

    /// Reads `[-]digits[.digits]` and keeps all digits behind the point.
    pub(super) fn read_scaled(text: &'a [u8]) -> Option<PlainDecimal<'a>> {
        let unsigned = text.strip_prefix(b"-").unwrap_or(text);
        let (whole, fraction) = match unsigned.iter().position(|byte| *byte == b'.') {
            Some(point) => (&unsigned[..point], &unsigned[point + 1..]),
            None => (unsigned, &[][..]),
        };
        if whole.is_empty() && fraction.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
            return None;
        }
        let zeros = whole.iter().take_while(|digit| **digit == b'0').count();
        let whole = &whole[zeros..];
        let is_zero = whole.is_empty() && fraction.iter().all(|digit| *digit == b'0');
        let negative = unsigned.len() < text.len() && !is_zero;
        Some(PlainDecimal {
            negative,
            whole,
            fraction,
        })
    }

    /// Bytes that `write` appends.
    pub(crate) fn length(&self) -> usize {
        let point = if self.fraction.is_empty() {
            0
        } else {
            1 + self.fraction.len()
        };
        usize::from(self.negative) + self.whole.len().max(1) + point
    }

    /// Appends the canonical text.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        out.extend_from_slice(if self.whole.is_empty() { b"0" } else { self.whole });
        if !self.fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(self.fraction);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::encode::Encoding;
    use crate::value::encode::check::check;

    #[test]
    fn decimals() {
        check(Encoding::Numeric, Scalar::Decimal(b"-0.00"), Ok("0"));
        check(Encoding::Numeric, Scalar::Decimal(b"0012.3400"), Ok("12.34"));
        check(Encoding::Numeric, Scalar::Decimal(b"-.5"), Ok("-0.5"));
        check(
            Encoding::Numeric,
            Scalar::Decimal(b"0.1234567890"),
            Ok("0.123456789"),
        );
        check(
            Encoding::Numeric,
            Scalar::Decimal(b"0.1234567891"),
            Err(Refusal::NumericRange),
        );
        check(
            Encoding::Numeric,
            Scalar::Decimal(b"100000000000000000000000000000"),
            Err(Refusal::NumericRange),
        );
        check(
            Encoding::PgNumeric,
            Scalar::Decimal(b"0.1234567891"),
            Ok("0.1234567891"),
        );
        check(
            Encoding::Numeric,
            Scalar::Unsigned(u64::MAX),
            Ok("18446744073709551615"),
        );
        check(
            Encoding::String { characters_max: 70 },
            Scalar::Decimal(b"1.50"),
            Ok("1.50"),
        );
        check(
            Encoding::String { characters_max: 70 },
            Scalar::Decimal(b"-0001.50"),
            Ok("-1.50"),
        );
        check(
            Encoding::String { characters_max: 70 },
            Scalar::Decimal(b"-0.00"),
            Ok("0.00"),
        );
        check(
            Encoding::String { characters_max: 3 },
            Scalar::Decimal(b"-1.5"),
            Err(Refusal::TooLong { limit: 3 }),
        );
        check(Encoding::PgNumeric, Scalar::Decimal(b"NaN"), Ok("NaN"));
        check(
            Encoding::Numeric,
            Scalar::Decimal(b"NaN"),
            Err(Refusal::NotANumber),
        );
        for bad in [&b""[..], b"nan", b"-NaN", b"-", b".", b"1e5", b"1.2.3"] {
            check(Encoding::Numeric, Scalar::Decimal(bad), form("decimal"));
        }
    }
}
