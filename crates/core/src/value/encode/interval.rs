//! Intervals as text, as PostgreSQL prints them.

use std::fmt::Write as _;

use crate::value::scalar::Interval;

/// Longest text: `-178956970 years -8 mons -2147483648 days -2562047788:00:54.775808`.
pub(super) const CHARACTERS_MAX: usize = 66;

/// The text that PostgreSQL prints under `intervalstyle = postgres`, its default: years, months and
/// days each with a sign of its own, then hours, minutes and seconds with one. A `+` stands before
/// a part that follows a negative one.
///
/// Source: `EncodeInterval` of PostgreSQL (src/backend/utils/adt/datetime.c).
pub(super) fn text(interval: Interval) -> String {
    let mut text = String::with_capacity(CHARACTERS_MAX);
    let mut is_after_negative = false;
    let parts = [
        (interval.months / 12, "year"),
        (interval.months % 12, "mon"),
        (interval.days, "day"),
    ];
    for (value, unit) in parts.into_iter().filter(|(value, _)| *value != 0) {
        let space = if text.is_empty() { "" } else { " " };
        let sign = if is_after_negative && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        append(&mut text, format_args!("{space}{sign}{value} {unit}{plural}"));
        is_after_negative = value < 0;
    }
    if text.is_empty() || interval.microseconds != 0 {
        clock(interval.microseconds, is_after_negative, &mut text);
    }
    text
}

/// Hours, minutes and seconds, with the fraction's digits up to the last that is not zero.
fn clock(microseconds: i64, is_after_negative: bool, text: &mut String) {
    let size = microseconds.unsigned_abs();
    let space = if text.is_empty() { "" } else { " " };
    let sign = match (microseconds < 0, is_after_negative) {
        (true, _) => "-",
        (false, true) => "+",
        (false, false) => "",
    };
    let (seconds, fraction) = (size / 1_000_000, size % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    append(
        text,
        format_args!("{space}{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    );
    if fraction != 0 {
        append(text, format_args!(".{fraction:06}"));
        text.truncate(text.trim_end_matches('0').len());
    }
}

fn append(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("a text takes all that is written to it");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `SELECT interval '…'` of PostgreSQL prints.
    #[test]
    fn intervals_are_printed_as_the_server_prints_them() {
        let check = |months, days, microseconds, expected: &str| {
            let interval = Interval {
                months,
                days,
                microseconds,
            };
            let found = text(interval);
            assert_eq!(found, expected);
            assert!(found.len() <= CHARACTERS_MAX, "{found}");
        };
        let hour = 3_600_000_000;
        check(0, 0, 0, "00:00:00");
        check(12, 0, 0, "1 year");
        check(
            14,
            3,
            4 * hour + 305_678_900,
            "1 year 2 mons 3 days 04:05:05.6789",
        );
        check(1, 1, 0, "1 mon 1 day");
        check(-14, 3, -hour, "-1 years -2 mons +3 days -01:00:00");
        check(-12, 0, hour, "-1 years +01:00:00");
        check(0, -1, 0, "-1 days");
        check(0, 0, -5, "-00:00:00.000005");
        check(0, 0, 100 * hour, "100:00:00");
        check(
            i32::MIN,
            i32::MIN,
            i64::MIN,
            "-178956970 years -8 mons -2147483648 days -2562047788:00:54.775808",
        );
    }
}
