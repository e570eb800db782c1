//! Amounts as people read them: counts, bytes and time spans.

use std::time::Duration;

/// A count with thousands separated.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 table`, `2 tables`.
pub fn counted(value: usize, thing: &str) -> String {
    let plural = if value == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", count(value as u64))
}

/// A number of rows: `1 row`, `2 rows`.
pub fn rows(value: u64) -> String {
    let plural = if value == 1 { "" } else { "s" };
    format!("{} row{plural}", count(value))
}

/// Bytes in the unit that suits them.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut whole, mut tenth, mut unit) = (value, 0, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenth = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    if unit == 0 {
        format!("{whole} B")
    } else {
        format!("{whole}.{tenth} {}", UNITS[unit])
    }
}

/// A time span, in its two largest units.
pub fn span(value: Duration) -> String {
    let seconds = value.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([rows(0), rows(1), rows(2_000)], ["0 rows", "1 row", "2,000 rows"]);
        assert_eq!(
            (count(0), count(999), count(1_234_567)),
            ("0".into(), "999".into(), "1,234,567".into())
        );
        assert_eq!(
            (counted(1, "table"), counted(0, "table")),
            ("1 table".into(), "0 tables".into())
        );
        assert_eq!(
            (bytes(1023), bytes(1536), bytes(5 << 30)),
            ("1023 B".into(), "1.5 KiB".into(), "5.0 GiB".into())
        );
        let at = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(
            (at(59), at(61), at(3_700), at(90_000)),
            ("59s".into(), "1m01s".into(), "1h01m".into(), "1d01h".into())
        );
    }
}
