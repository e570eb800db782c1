//! A second, plain conversion: whether what the server printed and what the target holds are one
//! value.

use aws_lc_rs::digest::{SHA256, digest};
use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::value::encode::Encoding;
use spanferry_core::wire::list_value::{WireReader, WireValue};

use super::json;
use crate::sql;

/// Whether they are one value. `printed` is what `printed::expression` gave.
pub(super) fn agrees(
    ty: &MysqlType,
    encoding: Encoding,
    printed: Option<&[u8]>,
    held: WireValue<'_>,
) -> bool {
    match (printed, held) {
        (None, WireValue::Null) => true,
        (Some(printed), WireValue::String(text)) => text_agrees(ty, encoding, printed, text).unwrap_or(false),
        (Some(printed), WireValue::Number(number)) => number_agrees(ty, printed, number),
        (Some(printed), WireValue::List(elements)) => vector_agrees(ty, printed, elements).unwrap_or(false),
        (None | Some(_), WireValue::Null | WireValue::Bool(_))
        | (None, WireValue::String(_) | WireValue::Number(_) | WireValue::List(_)) => false,
    }
}

/// `None` if one of them is not what its type can be.
fn text_agrees(ty: &MysqlType, encoding: Encoding, printed: &[u8], held: &[u8]) -> Option<bool> {
    Some(match ty {
        MysqlType::Integer { .. } | MysqlType::Decimal { .. } | MysqlType::Year => {
            decimal(printed)? == decimal(held)?
        }
        MysqlType::Bit { bits } => {
            let bytes = base64(held)?;
            let digits = sql::hex(&bytes);
            bytes.len() == usize::from(bits.div_ceil(8))
                && without_zeros(digits.as_bytes()) == without_zeros(printed)
        }
        MysqlType::Varchar { .. }
        | MysqlType::Text { .. }
        | MysqlType::Enum { .. }
        | MysqlType::Set { .. } => same_bytes(printed, held)?,
        MysqlType::Binary { .. }
        | MysqlType::Varbinary { .. }
        | MysqlType::Blob { .. }
        | MysqlType::Geometry => same_bytes(printed, &base64(held)?)?,
        MysqlType::Json | MysqlType::JsonText { .. } => json_agrees(encoding, printed, held)?,
        MysqlType::Date => printed == held,
        MysqlType::DateTime { .. } => printed == moment(held)?.text_of_server().as_bytes(),
        MysqlType::Timestamp { .. } => decimal(printed)? == decimal(moment(held)?.since_1970()?.as_bytes())?,
        MysqlType::Time { .. } => decimal(printed)? == decimal(seconds(held)?.as_bytes())?,
        MysqlType::Uuid => printed.eq_ignore_ascii_case(held),
        MysqlType::Inet4 | MysqlType::Inet6 => printed == held,
        MysqlType::Float | MysqlType::Double | MysqlType::Vector { .. } | MysqlType::Unknown { .. } => false,
    })
}

/// The server printed the bytes of a double; a 4-byte float is one that was widened.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a 4-byte float comes back from its double, and from a shorter text of it"
)]
fn number_agrees(ty: &MysqlType, printed: &[u8], held: f64) -> bool {
    let held = match ty {
        MysqlType::Float => f64::from(held as f32),
        MysqlType::Double => held,
        _ => return false,
    };
    printed == sql::hex(&held.to_le_bytes()).as_bytes()
}

#[expect(clippy::cast_possible_truncation, reason = "elements are 4-byte floats")]
fn vector_agrees(ty: &MysqlType, printed: &[u8], elements: &[u8]) -> Option<bool> {
    if !matches!(ty, MysqlType::Vector { .. }) {
        return None;
    }
    let mut bytes = Vec::new();
    for element in WireReader::new(elements) {
        let Ok(WireValue::Number(number)) = element else {
            return None;
        };
        bytes.extend_from_slice(&(number as f32).to_le_bytes());
    }
    same_bytes(printed, &bytes)
}

/// The server printed hexadecimal digits, or `LENGTH:SHA256` of what is long.
fn same_bytes(printed: &[u8], held: &[u8]) -> Option<bool> {
    let Some(colon) = printed.iter().position(|byte| *byte == b':') else {
        return Some(printed == sql::hex(held).as_bytes());
    };
    let (length, hash) = (&printed[..colon], &printed[colon + 1..]);
    let own = sql::hex(digest(&SHA256, held).as_ref());
    Some(length == held.len().to_string().as_bytes() && hash.eq_ignore_ascii_case(own.as_bytes()))
}

/// The server printed the text's hexadecimal digits, or `MEMBERS:` of what is long.
fn json_agrees(encoding: Encoding, printed: &[u8], held: &[u8]) -> Option<bool> {
    // PostgreSQL's jsonb keeps every number; GoogleSQL's JSON keeps doubles, and may spell one
    // otherwise.
    let keeps_decimals = matches!(
        encoding,
        Encoding::Json {
            arbitrary_numbers: true
        }
    );
    let held = json::parse(std::str::from_utf8(held).ok()?)?;
    match printed.strip_suffix(b":") {
        Some(members) => Some(members == held.members().to_string().as_bytes()),
        None => {
            let text = String::from_utf8(unhex(printed)?).ok()?;
            Some(json::parse(&text)?.equals(&held, keeps_decimals))
        }
    }
}

/// Sign, digits before and digits behind the point, without zeros that mean nothing.
fn decimal(text: &[u8]) -> Option<(bool, &[u8], &[u8])> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&digits[..at], &digits[at + 1..]),
        None => (digits, &[][..]),
    };
    if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return None;
    }
    let behind = fraction
        .iter()
        .rposition(|byte| *byte != b'0')
        .map_or(0, |at| at + 1);
    let (whole, fraction) = (without_zeros(whole), &fraction[..behind]);
    let is_zero = whole.is_empty() && fraction.is_empty();
    Some((digits.len() < text.len() && !is_zero, whole, fraction))
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

/// A point in time as the target spells it, in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    year: i64,
    month: i64,
    day: i64,
    second_of_day: i64,
    microsecond: i64,
}

/// Reads `YYYY-MM-DDTHH:MM:SS[.fffffffff]Z`; a fraction finer than microseconds is no value of the
/// source.
pub(super) fn moment(held: &[u8]) -> Option<Moment> {
    let text = std::str::from_utf8(held).ok()?.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [year, month, day] = parts(date, '-')?;
    let [hour, minute, second] = parts(time, ':')?;
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 6 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Moment {
        year,
        month,
        day,
        second_of_day: (hour * 60 + minute) * 60 + second,
        microsecond: format!("{fraction:0<6}").parse().ok()?,
    })
}

fn parts(text: &str, separator: char) -> Option<[i64; 3]> {
    let numbers: Option<Vec<i64>> = text
        .split(separator)
        .map(|part| part.parse().ok().filter(|number| *number >= 0))
        .collect();
    numbers?.try_into().ok()
}

impl Moment {
    /// As `DATE_FORMAT` prints it.
    pub(super) fn text_of_server(&self) -> String {
        let (hour, rest) = (self.second_of_day / 3600, self.second_of_day % 3600);
        format!(
            "{:04}-{:02}-{:02} {hour:02}:{:02}:{:02}.{:06}",
            self.year,
            self.month,
            self.day,
            rest / 60,
            rest % 60,
            self.microsecond
        )
    }

    /// As `UNIX_TIMESTAMP` prints it; `None` for years before 1970, which no TIMESTAMP has.
    fn since_1970(&self) -> Option<String> {
        let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let lengths = [
            31,
            28 + i64::from(leap(self.year)),
            31,
            30,
            31,
            30,
            31,
            31,
            30,
            31,
            30,
            31,
        ];
        let months = usize::try_from(self.month - 1).ok()?;
        let in_years: i64 = (1970..self.year).map(|year| 365 + i64::from(leap(year))).sum();
        let in_months: i64 = lengths.get(..months)?.iter().sum();
        let seconds = (in_years + in_months + self.day - 1) * 86_400 + self.second_of_day;
        (self.year >= 1970).then(|| format!("{seconds}.{:06}", self.microsecond))
    }
}

/// `[-]HH:MM:SS[.ffffff]` as signed seconds.
fn seconds(held: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(held).ok()?;
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (time, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let [hours, minutes, seconds] = parts(time, ':')?;
    Some(format!(
        "{sign}{}.{fraction}",
        (hours * 60 + minutes) * 60 + seconds
    ))
}

/// The bytes of a Base64 text.
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in text.chunks(4) {
        let digits: Vec<u32> = group
            .iter()
            .take_while(|digit| **digit != b'=')
            .map(|digit| sextet(*digit))
            .collect::<Option<_>>()?;
        let is_padded = group[digits.len()..].iter().all(|digit| *digit == b'=');
        if group.len() != 4 || digits.len() < 2 || !is_padded {
            return None;
        }
        let padding = 4 - digits.len();
        let bits = digits.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * padding);
        bytes.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
    }
    Some(bytes)
}

fn sextet(digit: u8) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use spanferry_core::schema::charset::Charset;

    const TEXT: Encoding = Encoding::String { characters_max: 99 };
    const JSON: Encoding = Encoding::Json {
        arbitrary_numbers: false,
    };

    fn check(ty: &MysqlType, printed: &str, held: &str, expected: bool) {
        let encoding = if matches!(ty, MysqlType::Json) { JSON } else { TEXT };
        let held = WireValue::String(held.as_bytes());
        let found = agrees(ty, encoding, Some(printed.as_bytes()), held);
        assert_eq!(found, expected, "{printed} {held:?}");
    }

    #[test]
    fn numbers() {
        let integer = MysqlType::Integer {
            bits: 32,
            unsigned: true,
        };
        check(&integer, "00007", "7", true);
        check(&integer, "7", "8", false);
        check(&integer, "-7", "7", false);
        check(&integer, "7", "7x", false);
        let decimal = MysqlType::Decimal {
            precision: 5,
            scale: 2,
        };
        check(&decimal, "-001.50", "-1.5", true);
        check(&decimal, "0.00", "0", true);
        check(&decimal, "-0.00", "0", true);
        check(&decimal, "1.50", "1.05", false);
        check(&decimal, "10", "1", false);
        check(&MysqlType::Bit { bits: 10 }, "201", "AgE=", true);
        check(&MysqlType::Bit { bits: 10 }, "0", "AAA=", true);
        check(&MysqlType::Bit { bits: 10 }, "201", "AAIB", false);
        let double = |ty: &MysqlType, printed: &str, held: f64| {
            agrees(ty, TEXT, Some(printed.as_bytes()), WireValue::Number(held))
        };
        assert!(double(&MysqlType::Double, "9A9999999999B93F", 0.1));
        assert!(!double(
            &MysqlType::Double,
            "9A9999999999B93F",
            0.100_000_000_000_000_02
        ));
        assert!(!double(&MysqlType::Double, "0000000000000080", 0.0));
        assert!(double(&MysqlType::Float, "000000A09999B93F", 0.1));
        assert!(!double(&MysqlType::Double, "000000A09999B93F", 0.1));
        assert!(!double(&MysqlType::Date, "000000A09999B93F", 0.1));
    }

    #[test]
    fn texts_and_bytes() {
        let text = MysqlType::Text {
            charset: Charset::Latin1,
            collation: "latin1_bin".into(),
        };
        check(&text, "C3A9", "é", true);
        check(&text, "", "", true);
        check(&text, "C3A9", "e", false);
        check(&text, "C3A920", "é", false);
        let long = "x".repeat(70_000);
        let hash = "70000:".to_owned() + &sql::hex(digest(&SHA256, long.as_bytes()).as_ref()).to_lowercase();
        check(&text, &hash, &long, true);
        check(&text, &hash, &long.replacen('x', "y", 1), false);
        check(&text, &hash, &long[1..], false);
        let bytes = MysqlType::Blob { bytes_max: 9 };
        check(&bytes, "00FF", "AP8=", true);
        check(&bytes, "", "", true);
        check(&bytes, "00FF", "AP9=", true);
        for bad in ["AP8", "AP8-", "A===", "====", "AP=8"] {
            check(&bytes, "00FF", bad, false);
        }
        assert!(agrees(&bytes, TEXT, None, WireValue::Null));
        assert!(!agrees(&bytes, TEXT, None, WireValue::String(b"")));
        assert!(!agrees(&bytes, TEXT, Some(b""), WireValue::Null));
        assert!(!agrees(&bytes, TEXT, Some(b"1"), WireValue::Bool(true)));
    }

    #[test]
    fn times() {
        let date_time = MysqlType::DateTime { fraction: 6 };
        check(
            &date_time,
            "0001-01-02 03:04:05.120000",
            "0001-01-02T03:04:05.12Z",
            true,
        );
        check(
            &date_time,
            "0001-01-02 03:04:05.120000",
            "0001-01-02T03:04:05.120000000Z",
            true,
        );
        check(
            &date_time,
            "0001-01-02 03:04:05.120000",
            "0001-01-02T03:04:05.120000001Z",
            false,
        );
        check(
            &date_time,
            "0001-01-02 03:04:05.120000",
            "0001-01-02T03:04:05.12",
            false,
        );
        let timestamp = MysqlType::Timestamp { fraction: 6 };
        check(
            &timestamp,
            "2147483647.999999",
            "2038-01-19T03:14:07.999999Z",
            true,
        );
        check(&timestamp, "1709164800", "2024-02-29T00:00:00Z", true);
        check(&timestamp, "1709164800", "2024-02-29T01:00:00Z", false);
        check(&timestamp, "4107542400", "2100-03-01T00:00:00Z", true);
        let time = MysqlType::Time { fraction: 6 };
        check(&time, "-0.000001", "-00:00:00.000001", true);
        check(&time, "-3020399.000000", "-838:59:59", true);
        check(&time, "0.500000", "00:00:00.500000", true);
        check(&time, "0.500000", "-00:00:00.500000", false);
        check(&MysqlType::Date, "2024-02-29", "2024-02-29", true);
        check(&MysqlType::Date, "2024-02-29", "2024-03-01", false);
        check(&MysqlType::Year, "0", "0", true);
    }

    #[test]
    fn documents() {
        let json = |text: &str| sql::hex(text.as_bytes());
        check(
            &MysqlType::Json,
            &json("{\"b\": 1.50, \"a\": [1, 2]}"),
            "{\"a\":[1,2],\"b\":1.5}",
            true,
        );
        check(&MysqlType::Json, &json("{\"b\": 1.50}"), "{\"b\":1.51}", false);
        check(&MysqlType::Json, "2:", "{\"a\":[1,2],\"b\":1.5}", true);
        check(&MysqlType::Json, "3:", "{\"a\":[1,2],\"b\":1.5}", false);
        check(&MysqlType::Json, "7B", "{}", false);
    }

    #[test]
    fn vectors() {
        let mut list = Vec::new();
        for number in [1.0, -2.5] {
            spanferry_core::wire::list_value::put_number(&mut list, number);
        }
        let vector = MysqlType::Vector { dimensions: 2 };
        let check = |printed: &str| agrees(&vector, TEXT, Some(printed.as_bytes()), WireValue::List(&list));
        assert!(check("0000803F000020C0"));
        assert!(!check("0000803F00002040"));
        assert!(!check("0000803F"));
    }
}
