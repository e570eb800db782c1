//! Amounts of bytes as an operator writes them: `64GiB`, `500MB`, `1GiB/s`, or plain bytes.

use std::num::NonZeroU64;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Units that are taken, each with its bytes; the letters' case matters, as they are always
/// written.
const UNITS: [(&str, u64); 10] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// What is taken, for messages.
const EXPECTED: &str = "expected bytes as a number, with a unit if wanted (B, kB, MB, GB, TB of 1000; KiB, MiB, GiB, TiB of 1024), \
                        such as `64GiB`";

/// The text is no amount of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MalformedQuantity {
    /// Digits and a unit were expected.
    #[error("{EXPECTED}, found `{0}`")]
    Malformed(String),
    /// The number is understood, the unit is not.
    #[error("`{unit}` is no known unit: {EXPECTED}")]
    Unit { unit: String },
    /// More than can be counted.
    #[error("`{0}` is more than 2^64 bytes")]
    TooLarge(String),
    /// Nothing would ever be read.
    #[error("a rate of 0 would read nothing; leave it out for no bound")]
    NoRate,
}

/// An amount of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteCount(pub(crate) u64);

/// Bytes a second, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteRate(pub(crate) NonZeroU64);

impl FromStr for ByteCount {
    type Err = MalformedQuantity;

    fn from_str(text: &str) -> Result<ByteCount, MalformedQuantity> {
        parse(text, text).map(ByteCount)
    }
}

impl FromStr for ByteRate {
    type Err = MalformedQuantity;

    fn from_str(text: &str) -> Result<ByteRate, MalformedQuantity> {
        let bytes = parse(text.strip_suffix("/s").unwrap_or(text), text)?;
        NonZeroU64::new(bytes)
            .map(ByteRate)
            .ok_or(MalformedQuantity::NoRate)
    }
}

/// A number with at most one point, then perhaps a space, then perhaps a unit. `whole` is what the
/// message repeats.
fn parse(text: &str, whole: &str) -> Result<u64, MalformedQuantity> {
    let malformed = || MalformedQuantity::Malformed(whole.to_owned());
    let end = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim());
    let (digits, fraction) = number.split_once('.').unwrap_or((number, ""));
    if digits.is_empty() || fraction.contains('.') || number.ends_with('.') {
        return Err(malformed());
    }
    let bytes = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, bytes)| *bytes);
    let unit_bytes = match (unit, bytes) {
        ("", _) => 1,
        (_, Some(bytes)) => bytes,
        (_, None) => {
            let unit = unit.to_owned();
            return Err(MalformedQuantity::Unit { unit });
        }
    };
    let too_large = || MalformedQuantity::TooLarge(whole.to_owned());
    let count = |digits: &str| digits.parse::<u64>().map_err(|_| too_large());
    let mut total = u128::from(count(digits)?) * u128::from(unit_bytes);
    if !fraction.is_empty() {
        let scale = u32::try_from(fraction.len())
            .ok()
            .and_then(|places| 10_u64.checked_pow(places));
        let scale = scale.ok_or_else(too_large)?;
        total += u128::from(count(fraction)?) * u128::from(unit_bytes) / u128::from(scale);
    }
    u64::try_from(total).map_err(|_| too_large())
}

/// Takes a TOML number of bytes, or a text as on the command line.
struct Amount<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = MalformedQuantity>> Visitor<'_> for Amount<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bytes as a number or as a text such as \"64GiB\"")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for ByteCount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ByteCount, D::Error> {
        from.deserialize_any(Amount(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for ByteRate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ByteRate, D::Error> {
        from.deserialize_any(Amount(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render;

    fn check(text: &str, expected: Result<u64, &str>) {
        match (text.parse::<ByteCount>(), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found.0, expected, "{text}"),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{text}: {error}"),
            (found, expected) => panic!("{text}: found {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn amounts() {
        check("4096", Ok(4096));
        check("64GiB", Ok(64 << 30));
        check("500MB", Ok(500_000_000));
        check("1.5 KiB", Ok(1536));
        check("0", Ok(0));
        check("18446744073709551615", Ok(u64::MAX));
        check("18446744073709551616", Err("more than 2^64"));
        check("99999999 TiB", Err("more than 2^64"));
        check("64Gib", Err("`Gib` is no known unit: expected bytes"));
        check("64 G", Err("`G` is no known unit"));
        check("1GiB/s", Err("`GiB/s` is no known unit"));
        check("", Err("found ``"));
        check("GiB", Err("found `GiB`"));
        check("1.2.3MB", Err("found `1.2.3MB`"));
        check("-1", Err("found `-1`"));
        check("1.", Err("found `1.`"));
    }

    #[test]
    fn rates() {
        let rate = |text: &str| text.parse::<ByteRate>().map(|rate| rate.0.get());
        assert_eq!(
            (rate("1GiB/s"), rate("200000"), rate("2MB")),
            (Ok(1 << 30), Ok(200_000), Ok(2_000_000))
        );
        assert_eq!(rate("0MB/s"), Err(MalformedQuantity::NoRate));
        assert!(rate("1MB/h").unwrap_err().to_string().contains("`MB/h`"));
    }

    #[test]
    fn what_is_printed_is_taken() {
        for bytes in [0, 1023, 1536, 5 << 30, 3 << 40] {
            check(&render::bytes(bytes), Ok(bytes));
        }
    }

    #[test]
    fn a_file_may_give_a_number_or_a_text() {
        #[derive(serde::Deserialize)]
        struct File {
            budget: ByteCount,
            rate: ByteRate,
        }
        let file: File = toml::from_str("budget = '2KiB'\nrate = 7").unwrap();
        assert_eq!((file.budget.0, file.rate.0.get()), (2048, 7));
        let error = toml::from_str::<File>("budget = '2 Ki'\nrate = 7")
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("`Ki` is no known unit"), "{error}");
    }
}
