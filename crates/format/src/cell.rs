//! Forms in which several sources print values: digits, dates and times.

use spanferry_core::value::encode::Refusal;
use spanferry_core::value::scalar::{Date, DateTime, Time};

/// A number without the zeros that ZEROFILL puts before it; one digit before the point stays.
pub(crate) fn without_leading_zeros(cell: &[u8]) -> &[u8] {
    let zeros = cell.iter().take_while(|byte| **byte == b'0').count();
    match cell.get(zeros) {
        Some(byte) if byte.is_ascii_digit() => &cell[zeros..],
        _ => &cell[zeros.saturating_sub(1)..],
    }
}

/// A number as every language prints it; no infinity, and not "not a number".
pub(crate) fn finite_float(cell: &[u8]) -> Result<f64, Refusal> {
    let text = utf8(cell)?;
    let value: f64 = text.parse().map_err(|_| Refusal::Form { expected: "number" })?;
    if value.is_finite() {
        Ok(value)
    } else {
        Err(Refusal::Form {
            expected: "finite number",
        })
    }
}

/// Text that is UTF-8 already.
pub fn utf8(cell: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(cell).map_err(|error| Refusal::Undecodable {
        charset: "utf8mb4",
        offset: error.valid_up_to(),
    })
}

/// A number of one to nine digits.
pub fn digits(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0'))
    })
}

/// A number up to 255.
fn small(text: &[u8]) -> Option<u8> {
    digits(text).and_then(|number| u8::try_from(number).ok())
}

/// A date as `YYYY-MM-DD`; zeros are read, so that they can be refused by name.
pub fn date(text: &[u8]) -> Option<Date> {
    match text {
        [year @ .., b'-', m1, m2, b'-', d1, d2] if year.len() == 4 => Some(Date {
            year: u16::try_from(digits(year)?).ok()?,
            month: small(&[*m1, *m2])?,
            day: small(&[*d1, *d2])?,
        }),
        _ => None,
    }
}

/// Seconds and their fraction in nanoseconds: `SS` or `SS.fffffffff`.
fn seconds(text: &[u8]) -> Option<(u8, u32)> {
    let (whole, fraction) = text.split_at_checked(2)?;
    let nanoseconds = match fraction {
        [] => 0,
        [b'.', fraction @ ..] if fraction.len() <= 9 => {
            digits(fraction)? * 10_u32.pow(9 - u32::try_from(fraction.len()).ok()?)
        }
        _ => return None,
    };
    Some((small(whole)?, nanoseconds))
}

/// A date with a time of day as `YYYY-MM-DD HH:MM:SS[.fffffffff]`.
pub fn date_time(text: &[u8]) -> Option<DateTime> {
    let (day, rest) = text.split_at_checked(10)?;
    match rest {
        [b' ', h1, h2, b':', m1, m2, b':', rest @ ..] => {
            let (second, nanosecond) = seconds(rest)?;
            let (hour, minute) = (small(&[*h1, *h2])?, small(&[*m1, *m2])?);
            Some(DateTime {
                date: date(day)?,
                hour,
                minute,
                second,
                nanosecond,
            })
        }
        _ => None,
    }
}

/// A span of time as `[-]H…H:MM:SS[.ffffff]`.
pub fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let colon = text.iter().position(|byte| *byte == b':')?;
    let (hours, rest) = text.split_at(colon);
    match rest {
        [b':', m1, m2, b':', rest @ ..] => {
            let (seconds, nanoseconds) = seconds(rest)?;
            let hours = u16::try_from(digits(hours)?).ok()?;
            Some(Time {
                negative,
                hours,
                minutes: small(&[*m1, *m2])?,
                seconds,
                microseconds: nanoseconds.is_multiple_of(1_000).then_some(nanoseconds / 1_000)?,
            })
        }
        _ => None,
    }
}
