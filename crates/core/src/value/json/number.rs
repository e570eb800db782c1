//! Numbers as JSON spells them: whether the target keeps one, and a form in which equal ones are
//! equal bytes.

use std::fmt::{self, Write as _};
use std::ops::Range;

use super::form::{Flavor, Reason};

/// Digits of a jsonb number before the point.
const JSONB_WHOLE_DIGITS_MAX: i64 = 4_932;
/// Digits of a jsonb number behind the point, trailing zeros included.
const JSONB_FRACTION_DIGITS_MAX: i64 = 16_383;
/// So many significant digits survive the way through a double, within `EXACT_EXPONENT_MAX` of the
/// point.
const EXACT_DIGITS: usize = 15;
/// Well within the range of normal doubles (1e-307 to 1e308).
const EXACT_EXPONENT_MAX: i64 = 280;

/// A number as spelled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
    /// Neither point nor exponent.
    is_integer: bool,
}

impl<'a> Decimal<'a> {
    /// Reads `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?` from the beginning of a text;
    /// with it, what follows.
    pub(super) fn read(text: &'a [u8]) -> Option<(Decimal<'a>, &'a [u8])> {
        let mut reader = Reader { rest: text };
        let negative = reader.step(b"-");
        let whole = reader.digits();
        if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') {
            return None;
        }
        let has_point = reader.step(b".");
        let fraction = if has_point { reader.digits() } else { &[] };
        if has_point && fraction.is_empty() {
            return None;
        }
        let mut exponent = 0;
        let has_exponent = reader.step(b"eE");
        if has_exponent {
            let below = reader.step(b"-");
            if !below {
                reader.step(b"+");
            }
            let digits = reader.digits();
            if digits.is_empty() {
                return None;
            }
            exponent = digits.iter().fold(0_i64, |sum, digit| {
                sum.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
            });
            exponent = exponent.min(i64::from(u32::MAX)) * if below { -1 } else { 1 };
        }
        let decimal = Decimal {
            negative,
            whole,
            fraction,
            exponent,
            is_integer: !has_point && !has_exponent,
        };
        Some((decimal, reader.rest))
    }

    fn digit(&self, index: usize) -> u8 {
        self.whole
            .get(index)
            .copied()
            .unwrap_or_else(|| self.fraction[index - self.whole.len()])
    }

    /// The digits between leading and trailing zeros; empty for zero.
    fn significant(&self) -> Range<usize> {
        let total = self.whole.len() + self.fraction.len();
        let Some(start) = (0..total).find(|index| self.digit(*index) != b'0') else {
            return 0..0;
        };
        let end = (start..total)
            .rfind(|index| self.digit(*index) != b'0')
            .map_or(start, |last| last + 1);
        start..end
    }

    /// The power of ten of the digit before index `end`.
    fn exponent_at(&self, end: usize) -> i64 {
        self.exponent + signed(self.whole.len()) - signed(end)
    }

    fn same_value(&self, other: &Decimal<'_>) -> bool {
        let (left, right) = (self.significant(), other.significant());
        if left.is_empty() || right.is_empty() {
            return left.is_empty() && right.is_empty();
        }
        self.negative == other.negative
            && self.exponent_at(left.end) == other.exponent_at(right.end)
            && left
                .map(|index| self.digit(index))
                .eq(right.map(|index| other.digit(index)))
    }

    /// Refuses what the target would change or not take.
    pub(super) fn check(&self, spelled: &[u8], flavor: Flavor) -> Result<(), Reason> {
        let kept = match flavor {
            Flavor::Json => self.fits_integer(spelled) || self.survives_double(spelled),
            Flavor::Jsonb => self.fits_jsonb(),
        };
        let reason = match flavor {
            Flavor::Json => "a number that neither a 64-bit integer nor a double holds",
            Flavor::Jsonb => "a number of more than 4,932 digits before or 16,383 behind the point",
        };
        if kept { Ok(()) } else { Err(reason) }
    }

    fn fits_integer(&self, spelled: &[u8]) -> bool {
        let parses = |text: &str| text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok();
        self.is_integer && (self.whole.len() <= 18 || std::str::from_utf8(spelled).is_ok_and(parses))
    }

    /// Whether a double's shortest text is this decimal again.
    fn survives_double(&self, spelled: &[u8]) -> bool {
        let significant = self.significant();
        let exponent = self.exponent_at(significant.end);
        if significant.len() <= EXACT_DIGITS && exponent.abs() <= EXACT_EXPONENT_MAX {
            return true;
        }
        Shortest::of(spelled).is_some_and(|shortest| shortest.decimal().same_value(self))
    }

    fn fits_jsonb(&self) -> bool {
        let significant = self.significant();
        let whole_digits = if significant.is_empty() {
            0
        } else {
            self.exponent_at(significant.start)
        };
        let fraction_digits = signed(self.fraction.len()) - self.exponent;
        whole_digits <= JSONB_WHOLE_DIGITS_MAX && fraction_digits <= JSONB_FRACTION_DIGITS_MAX
    }

    /// The same bytes for every spelling of what the target holds: GoogleSQL may print a double
    /// with up to 17 digits.
    pub(super) fn write_compared(&self, spelled: &[u8], flavor: Flavor, out: &mut Vec<u8>) {
        if flavor == Flavor::Json
            && !self.fits_integer(spelled)
            && let Some(shortest) = Shortest::of(spelled)
        {
            return shortest.decimal().write(out);
        }
        self.write(out);
    }

    fn write(&self, out: &mut Vec<u8>) {
        let significant = self.significant();
        if significant.is_empty() {
            return out.push(b'0');
        }
        if self.negative {
            out.push(b'-');
        }
        let exponent = self.exponent_at(significant.end);
        out.extend(significant.map(|index| self.digit(index)));
        out.extend_from_slice(b"e");
        out.extend_from_slice(exponent.to_string().as_bytes());
    }
}

/// What is left of a text of which a number is being read.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn digits(&mut self) -> &'a [u8] {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        digits
    }

    /// Takes one byte if it is among `bytes`; no space before it.
    fn step(&mut self, bytes: &[u8]) -> bool {
        match self.rest {
            [first, rest @ ..] if bytes.contains(first) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).expect("no text is longer than 2^63 bytes")
}

/// The shortest text that gives a double back, in scientific notation, on the stack.
struct Shortest {
    buffer: [u8; 32],
    length: usize,
}

impl Shortest {
    /// Of the finite double nearest to the number spelled so.
    fn of(spelled: &[u8]) -> Option<Shortest> {
        let double: f64 = std::str::from_utf8(spelled).ok()?.parse().ok()?;
        let mut shortest = Shortest {
            buffer: [0; 32],
            length: 0,
        };
        (double.is_finite() && write!(shortest, "{double:e}").is_ok()).then_some(shortest)
    }

    fn decimal(&self) -> Decimal<'_> {
        let text = &self.buffer[..self.length];
        let (decimal, _) = Decimal::read(text).expect("a float's scientific notation is a JSON number");
        decimal
    }
}

impl fmt::Write for Shortest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.buffer
            .get_mut(self.length..end)
            .ok_or(fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
