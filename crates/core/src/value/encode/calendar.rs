//! Dates and times.

use super::Refusal;
use super::refusal::form;
use crate::value::scalar::{Date, DateTime, Scalar, Time};
use crate::wire::list_value;

pub(super) fn date(scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let Scalar::Date(value) = scalar else {
        return form("date");
    };
    let mut text = Short::default();
    write_date(value, &mut text)?;
    list_value::put_string(out, text.as_bytes());
    Ok(())
}

fn write_date(value: Date, text: &mut Short) -> Result<(), Refusal> {
    if value.month == 0 || value.day == 0 {
        return Err(Refusal::ZeroDate);
    }
    if !(1..=9999).contains(&value.year) || value.month > 12 || value.day > days_in(value.year, value.month) {
        return Err(Refusal::DateRange);
    }
    text.digits(u32::from(value.year), 4);
    text.push(b'-');
    text.digits(u32::from(value.month), 2);
    text.push(b'-');
    text.digits(u32::from(value.day), 2);
    Ok(())
}

/// Days of a month in the calendar that both sides use for all years.
fn days_in(year: u16, month: u8) -> u8 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// RFC 3339 in UTC; the fraction without trailing zeros, none if it is zero.
pub(super) fn timestamp(scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let Scalar::DateTime(DateTime {
        date,
        hour,
        minute,
        second,
        nanosecond,
    }) = scalar
    else {
        return form("date with time");
    };
    let mut text = Short::default();
    write_date(date, &mut text)?;
    if hour > 23 || minute > 59 || second > 59 || nanosecond > 999_999_999 {
        return form("time of day");
    }
    text.push(b'T');
    text.digits(u32::from(hour), 2);
    text.push(b':');
    text.digits(u32::from(minute), 2);
    text.push(b':');
    text.digits(u32::from(second), 2);
    if nanosecond != 0 {
        // Most sources have no finer parts than microseconds.
        let (mut fraction, mut width) = if nanosecond.is_multiple_of(1_000) {
            (nanosecond / 1_000, 6)
        } else {
            (nanosecond, 9)
        };
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            width -= 1;
        }
        text.push(b'.');
        text.digits(fraction, width);
    }
    text.push(b'Z');
    list_value::put_string(out, text.as_bytes());
    Ok(())
}

/// `[-]HH:MM:SS`, three digits for hours from 100 on, and all six digits of a fraction that is not
/// zero: a form that does not depend on the column's declared digits, so that text and binary
/// values agree.
pub(super) fn time(value: Time) -> Result<Short, Refusal> {
    if value.hours > 999 || value.minutes > 59 || value.seconds > 59 || value.microseconds > 999_999 {
        return form("time");
    }
    let mut text = Short::default();
    let is_zero = (value.hours, value.minutes, value.seconds, value.microseconds) == (0, 0, 0, 0);
    if value.negative && !is_zero {
        text.push(b'-');
    }
    text.digits(u32::from(value.hours), if value.hours >= 100 { 3 } else { 2 });
    text.push(b':');
    text.digits(u32::from(value.minutes), 2);
    text.push(b':');
    text.digits(u32::from(value.seconds), 2);
    if value.microseconds != 0 {
        text.push(b'.');
        text.digits(value.microseconds, 6);
    }
    Ok(text)
}

/// A short text put together on the stack.
#[derive(Default)]
pub(super) struct Short {
    buffer: [u8; 32],
    length: usize,
}

impl Short {
    fn push(&mut self, byte: u8) {
        self.buffer[self.length] = byte;
        self.length += 1;
    }

    fn digits(&mut self, mut value: u32, width: usize) {
        for at in (self.length..self.length + width).rev() {
            self.buffer[at] = (value % 10) as u8 + b'0';
            value /= 10;
        }
        self.length += width;
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::encode::Encoding;
    use crate::value::encode::check::check;

    #[test]
    fn dates_and_times() {
        let date = |year, month, day| Date { year, month, day };
        check(Encoding::Date, Scalar::Date(date(1, 1, 1)), Ok("0001-01-01"));
        check(
            Encoding::Date,
            Scalar::Date(date(0, 0, 0)),
            Err(Refusal::ZeroDate),
        );
        check(
            Encoding::Date,
            Scalar::Date(date(2024, 5, 0)),
            Err(Refusal::ZeroDate),
        );
        check(
            Encoding::Date,
            Scalar::Date(date(0, 1, 1)),
            Err(Refusal::DateRange),
        );
        check(
            Encoding::Date,
            Scalar::Date(date(2023, 2, 29)),
            Err(Refusal::DateRange),
        );
        check(Encoding::Date, Scalar::Date(date(2024, 2, 29)), Ok("2024-02-29"));
        let at = |nanosecond| DateTime {
            date: date(2038, 1, 19),
            hour: 3,
            minute: 14,
            second: 8,
            nanosecond,
        };
        check(
            Encoding::Timestamp,
            Scalar::DateTime(at(0)),
            Ok("2038-01-19T03:14:08Z"),
        );
        check(
            Encoding::Timestamp,
            Scalar::DateTime(at(5_000)),
            Ok("2038-01-19T03:14:08.000005Z"),
        );
        check(
            Encoding::Timestamp,
            Scalar::DateTime(at(120_000_000)),
            Ok("2038-01-19T03:14:08.12Z"),
        );
        check(
            Encoding::Timestamp,
            Scalar::DateTime(at(7)),
            Ok("2038-01-19T03:14:08.000000007Z"),
        );
        check(
            Encoding::Timestamp,
            Scalar::DateTime(at(123_456_780)),
            Ok("2038-01-19T03:14:08.12345678Z"),
        );
        let time = |negative, hours, microseconds| Time {
            negative,
            hours,
            minutes: 5,
            seconds: 9,
            microseconds,
        };
        let text = Encoding::String { characters_max: 18 };
        check(text, Scalar::Time(time(true, 838, 0)), Ok("-838:05:09"));
        check(text, Scalar::Time(time(false, 0, 5)), Ok("00:05:09.000005"));
        check(
            text,
            Scalar::Time(time(true, 99, 500_000)),
            Ok("-99:05:09.500000"),
        );
        check(
            text,
            Scalar::Time(Time {
                minutes: 0,
                seconds: 0,
                ..time(true, 0, 0)
            }),
            Ok("00:00:00"),
        );
        check(text, Scalar::Time(time(false, 1000, 0)), form("time"));
        check(text, Scalar::Time(time(false, 0, 1_000_000)), form("time"));
        check(
            Encoding::Timestamp,
            Scalar::DateTime(at(1_000_000_000)),
            form("time of day"),
        );
    }
}
