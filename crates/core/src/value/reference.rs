//! Owned values with the plain, readable definition of the conversion: the oracle of the fast one
//! in `encode`.
//!
//! Nothing here is fast, and nothing of it is shared with `encode`: what both agree on was thought
//! twice.

use crate::value::encode::{CELL_BYTES_MAX, ColumnPlan, ElementEncoding, Encoding, Refusal};
use crate::value::json::NESTING_MAX;
use crate::value::scalar::{Date, DateTime, Interval, Scalar, Time};

/// One source value that owns its bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer of any type, YEAR included.
    Integer(i128),
    /// A decimal: optional `-`, digits, optional `.` and digits; or `NaN`.
    Decimal(String),
    /// A 4-byte float.
    Float32(f32),
    /// An 8-byte float.
    Float64(f64),
    /// Text, ENUM labels and SET lists included.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A date.
    Date(Date),
    /// DATETIME, or TIMESTAMP in UTC.
    DateTime(DateTime),
    /// TIME.
    Time(Time),
    /// A span of months, days and microseconds.
    Interval(Interval),
    /// A UUID as a number of 128 bits.
    Uuid(u128),
    /// JSON text.
    Json(String),
    /// A list.
    List(Vec<Value>),
}

impl Value {
    /// Hands on each scalar that may stand for this value, one for each road it may take.
    pub(crate) fn each_scalar(&self, mut take: impl FnMut(Scalar<'_>)) {
        match self {
            Value::Null => take(Scalar::Null),
            Value::Bool(value) => take(Scalar::Bool(*value)),
            Value::List(elements) => {
                let elements: Vec<Scalar<'_>> = elements.iter().map(Value::scalar).collect();
                take(Scalar::Array(&elements));
            }
            Value::Integer(value) => {
                if let Ok(signed) = i64::try_from(*value) {
                    take(Scalar::Signed(signed));
                }
                if let Ok(unsigned) = u64::try_from(*value) {
                    take(Scalar::Unsigned(unsigned));
                }
                take(Scalar::Digits(value.to_string().as_bytes()));
            }
            Value::Decimal(_)
            | Value::Float32(_)
            | Value::Float64(_)
            | Value::Text(_)
            | Value::Bytes(_)
            | Value::Date(_)
            | Value::DateTime(_)
            | Value::Time(_)
            | Value::Interval(_)
            | Value::Uuid(_)
            | Value::Json(_) => take(self.scalar()),
        }
    }

    /// The scalar that stands for this value: an integer's is binary, and a list's is an empty one.
    fn scalar(&self) -> Scalar<'_> {
        match self {
            Value::Null => Scalar::Null,
            Value::Bool(value) => Scalar::Bool(*value),
            Value::Integer(value) => i64::try_from(*value).map_or_else(
                |_| Scalar::Unsigned(u64::try_from(*value).expect("an integer has 64 bits")),
                Scalar::Signed,
            ),
            Value::Decimal(text) => Scalar::Decimal(text.as_bytes()),
            Value::Float32(value) => Scalar::Float32(*value),
            Value::Float64(value) => Scalar::Float64(*value),
            Value::Text(text) => Scalar::Text(text),
            Value::Bytes(bytes) => Scalar::Bytes(bytes),
            Value::Date(date) => Scalar::Date(*date),
            Value::DateTime(value) => Scalar::DateTime(*value),
            Value::Time(time) => Scalar::Time(*time),
            Value::Interval(interval) => Scalar::Interval(*interval),
            Value::Uuid(number) => Scalar::Uuid(number.to_be_bytes()),
            Value::Json(text) => Scalar::Json(text),
            Value::List(_) => Scalar::Array(&[]),
        }
    }
}

/// One target value: an owned `google.protobuf.Value`, JSON text read.
#[derive(Debug, Clone, PartialEq)]
pub enum Plain {
    /// NULL.
    Null,
    /// A boolean.
    Bool(bool),
    /// A finite float.
    Number(f64),
    /// Anything else that is no list.
    Text(String),
    /// An array.
    List(Vec<Plain>),
    /// JSON. Of a key that occurs twice, which `encode` refuses, this holds one value only.
    Json(serde_json::Value),
}

/// The conversion of one value as its definition reads.
pub fn convert(value: &Value, plan: &ColumnPlan) -> Result<Plain, Refusal> {
    match (plan.encoding, value) {
        (_, Value::Null) if plan.not_null => Err(Refusal::Null),
        (_, Value::Null) => Ok(Plain::Null),
        (Encoding::Bool, Value::Bool(value)) => Ok(Plain::Bool(*value)),
        (Encoding::Bool, Value::Integer(number)) => match number {
            0 => Ok(Plain::Bool(false)),
            1 => Ok(Plain::Bool(true)),
            _ => Err(Refusal::BooleanRange),
        },
        (Encoding::Bool, Value::Bytes(bytes)) => match bytes.as_slice() {
            [0] => Ok(Plain::Bool(false)),
            [1] => Ok(Plain::Bool(true)),
            _ => Err(Refusal::BooleanRange),
        },
        (Encoding::Int64, Value::Integer(value)) => {
            let value = i64::try_from(*value).map_err(|_| Refusal::IntegerRange)?;
            Ok(Plain::Text(value.to_string()))
        }
        (Encoding::Float32 | Encoding::Float64, Value::Float32(value)) => Ok(float(f64::from(*value))),
        (Encoding::Float64, Value::Float64(value)) => Ok(float(*value)),
        (Encoding::Numeric, Value::Integer(value)) => numeric(&value.to_string(), 29, 9),
        (Encoding::Numeric, Value::Decimal(text)) if text == "NaN" => Err(Refusal::NotANumber),
        (Encoding::PgNumeric, Value::Decimal(text)) if text == "NaN" => Ok(Plain::Text(text.clone())),
        (Encoding::Numeric, Value::Decimal(text)) => numeric(text, 29, 9),
        (Encoding::PgNumeric, Value::Integer(value)) => numeric(&value.to_string(), 131_072, 16_383),
        (Encoding::PgNumeric, Value::Decimal(text)) => numeric(text, 131_072, 16_383),
        (Encoding::String { characters_max }, value) => string(value, characters_max),
        (Encoding::Bytes { bytes_max }, Value::Bytes(bytes)) => {
            let limit = bytes_max.min(CELL_BYTES_MAX);
            if bytes.len() > limit as usize {
                return Err(Refusal::TooLong {
                    limit: u64::from(limit),
                });
            }
            Ok(Plain::Text(base64(bytes)))
        }
        (Encoding::Date, Value::Date(value)) => date(*value).map(Plain::Text),
        (Encoding::Timestamp, Value::DateTime(value)) => timestamp(value),
        (Encoding::Json { arbitrary_numbers }, Value::Json(text) | Value::Text(text)) => {
            json(text, arbitrary_numbers)
        }
        (
            Encoding::Array {
                element: ElementEncoding::Float32,
                dimensions,
            },
            Value::Bytes(bytes),
        ) => vector(bytes, dimensions),
        (Encoding::Array { element, dimensions }, Value::List(elements)) => {
            list(elements, element, dimensions)
        }
        (Encoding::Uuid, Value::Text(text)) => uuid(text),
        (Encoding::Uuid, Value::Uuid(number)) => Ok(Plain::Text(uuid_text(*number))),
        (encoding, _) => Err(Refusal::Form {
            expected: expected(encoding),
        }),
    }
}

fn expected(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Bool => "boolean",
        Encoding::Int64 => "integer",
        Encoding::Float32 => "4-byte float",
        Encoding::Float64 => "8-byte float",
        Encoding::Numeric | Encoding::PgNumeric => "decimal",
        Encoding::String { .. } => "text",
        Encoding::Bytes { .. } => "bytes",
        Encoding::Date => "date",
        Encoding::Timestamp => "date with time",
        Encoding::Json { .. } => "JSON",
        Encoding::Array {
            element: ElementEncoding::Float32,
            ..
        } => "vector",
        Encoding::Array { .. } => "array",
        Encoding::Uuid => "UUID",
    }
}

fn float(value: f64) -> Plain {
    if value.is_nan() {
        Plain::Text("NaN".to_owned())
    } else if value == f64::INFINITY {
        Plain::Text("Infinity".to_owned())
    } else if value == f64::NEG_INFINITY {
        Plain::Text("-Infinity".to_owned())
    } else {
        Plain::Number(value)
    }
}

/// A decimal's sign, digits before the point without leading zeros, and digits behind it.
fn decimal_parts(text: &str) -> Option<(bool, String, String)> {
    let (negative, unsigned) = text
        .strip_prefix('-')
        .map_or((false, text), |unsigned| (true, unsigned));
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.chars().all(|character| character.is_ascii_digit()) {
        return None;
    }
    let is_zero = digits.chars().all(|digit| digit == '0');
    Some((
        negative && !is_zero,
        whole.trim_start_matches('0').to_owned(),
        fraction.to_owned(),
    ))
}

fn join_decimal(negative: bool, whole: &str, fraction: &str) -> String {
    let sign = if negative { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

fn numeric(text: &str, whole_max: usize, fraction_max: usize) -> Result<Plain, Refusal> {
    let (negative, whole, fraction) = decimal_parts(text).ok_or(Refusal::Form { expected: "decimal" })?;
    let fraction = fraction.trim_end_matches('0');
    if whole.len() > whole_max || fraction.len() > fraction_max {
        return Err(Refusal::NumericRange);
    }
    Ok(Plain::Text(join_decimal(negative, &whole, fraction)))
}

fn string(value: &Value, characters_max: u32) -> Result<Plain, Refusal> {
    let text = match value {
        Value::Text(text) | Value::Json(text) => text.clone(),
        Value::Integer(value) => value.to_string(),
        Value::Decimal(text) => {
            let (negative, whole, fraction) =
                decimal_parts(text).ok_or(Refusal::Form { expected: "decimal" })?;
            join_decimal(negative, &whole, &fraction)
        }
        Value::Time(time) => time_text(time)?,
        Value::Interval(interval) => interval_text(interval),
        Value::Uuid(number) => uuid_text(*number),
        Value::Null
        | Value::Bool(_)
        | Value::List(_)
        | Value::Float32(_)
        | Value::Float64(_)
        | Value::Bytes(_)
        | Value::Date(_)
        | Value::DateTime(_) => return Err(Refusal::Form { expected: "text" }),
    };
    if text.chars().count() > characters_max as usize {
        return Err(Refusal::TooLong {
            limit: u64::from(characters_max),
        });
    }
    if text.len() > CELL_BYTES_MAX as usize {
        return Err(Refusal::TooLong {
            limit: u64::from(CELL_BYTES_MAX),
        });
    }
    Ok(Plain::Text(text))
}

fn time_text(time: &Time) -> Result<String, Refusal> {
    let Time {
        negative,
        hours,
        minutes,
        seconds,
        microseconds,
    } = *time;
    if hours > 999 || minutes > 59 || seconds > 59 || microseconds > 999_999 {
        return Err(Refusal::Form { expected: "time" });
    }
    let size = format!("{hours:02}:{minutes:02}:{seconds:02}");
    let fraction = if microseconds == 0 {
        String::new()
    } else {
        format!(".{microseconds:06}")
    };
    let is_zero = size == "00:00:00" && fraction.is_empty();
    Ok(format!(
        "{}{size}{fraction}",
        if negative && !is_zero { "-" } else { "" }
    ))
}

/// RFC 4648, bit by bit.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = bytes
        .iter()
        .map(|byte| format!("{byte:08b}"))
        .collect::<Vec<_>>()
        .concat();
    let letter = |six: &[u8]| {
        let six = format!("{:0<6}", std::str::from_utf8(six).expect("zeros and ones"));
        char::from(LETTERS[usize::from_str_radix(&six, 2).expect("six zeros and ones")])
    };
    let mut text: String = bits.as_bytes().chunks(6).map(letter).collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

fn date(value: Date) -> Result<String, Refusal> {
    let Date { year, month, day } = value;
    if month == 0 || day == 0 {
        return Err(Refusal::ZeroDate);
    }
    let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let lengths = [
        31,
        if is_leap { 29 } else { 28 },
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
    let length = lengths.get(usize::from(month) - 1).copied().unwrap_or(0);
    if year == 0 || year > 9999 || day > length {
        return Err(Refusal::DateRange);
    }
    Ok(format!("{year:04}-{month:02}-{day:02}"))
}

fn timestamp(value: &DateTime) -> Result<Plain, Refusal> {
    let DateTime {
        date: day,
        hour,
        minute,
        second,
        nanosecond,
    } = *value;
    let day = date(day)?;
    if hour > 23 || minute > 59 || second > 59 || nanosecond > 999_999_999 {
        return Err(Refusal::Form {
            expected: "time of day",
        });
    }
    let text = format!("{day}T{hour:02}:{minute:02}:{second:02}.{nanosecond:09}");
    Ok(Plain::Text(format!(
        "{}Z",
        text.trim_end_matches('0').trim_end_matches('.')
    )))
}

/// Each part that is not zero with its unit, and the clock if it is not zero or nothing else is
/// left.
fn interval_text(interval: &Interval) -> String {
    let Interval {
        months,
        days,
        microseconds,
    } = *interval;
    let mut parts: Vec<String> = Vec::new();
    let mut is_negative_before = false;
    for (number, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if number != 0 {
            let plus = if is_negative_before && number > 0 { "+" } else { "" };
            let s = if number == 1 { "" } else { "s" };
            parts.push(format!("{plus}{number} {unit}{s}"));
            is_negative_before = number < 0;
        }
    }
    if microseconds != 0 || parts.is_empty() {
        let size = i128::from(microseconds).abs();
        let seconds = size / 1_000_000;
        let (hour, minute, second) = (seconds / 3_600, seconds % 3_600 / 60, seconds % 60);
        let plus = if is_negative_before { "+" } else { "" };
        let sign = if microseconds < 0 { "-" } else { plus };
        let fraction = match size % 1_000_000 {
            0 => String::new(),
            fraction => format!(".{fraction:06}").trim_end_matches('0').to_owned(),
        };
        parts.push(format!("{sign}{hour:02}:{minute:02}:{second:02}{fraction}"));
    }
    parts.join(" ")
}

fn uuid_text(number: u128) -> String {
    let digits = format!("{number:032x}");
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
    groups.map(|group| digits[group].to_owned()).join("-")
}

/// Each element as it would be alone. Lists of lists, and vectors with NULL, do not exist.
fn list(elements: &[Value], element: ElementEncoding, dimensions: Option<u32>) -> Result<Plain, Refusal> {
    if dimensions.is_some_and(|dimensions| elements.len() != dimensions as usize) {
        return Err(Refusal::Form {
            expected: "vector of all its declared elements",
        });
    }
    let plan = ColumnPlan::of_source(0, 0, element.encoding(), false);
    let convert_element = |value: &Value| match value {
        Value::Null if dimensions.is_some() => Err(Refusal::Form {
            expected: "vector without NULL",
        }),
        Value::List(_) => Err(Refusal::Form {
            expected: "array of one dimension",
        }),
        value => convert(value, &plan),
    };
    elements
        .iter()
        .map(convert_element)
        .collect::<Result<_, _>>()
        .map(Plain::List)
}

fn vector(bytes: &[u8], dimensions: Option<u32>) -> Result<Plain, Refusal> {
    if bytes.len() > CELL_BYTES_MAX as usize {
        return Err(Refusal::TooLong {
            limit: u64::from(CELL_BYTES_MAX),
        });
    }
    if !bytes.len().is_multiple_of(4) {
        return Err(Refusal::Form {
            expected: "vector of 4-byte floats",
        });
    }
    if dimensions.is_some_and(|dimensions| bytes.len() / 4 != dimensions as usize) {
        return Err(Refusal::Form {
            expected: "vector of all its declared elements",
        });
    }
    let element = |four: &[u8]| f32::from_le_bytes(four.try_into().expect("chunks of four"));
    Ok(Plain::List(
        bytes
            .chunks(4)
            .map(|four| float(f64::from(element(four))))
            .collect(),
    ))
}

fn uuid(text: &str) -> Result<Plain, Refusal> {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    let is_hex = text
        .chars()
        .all(|character| character == '-' || character.is_ascii_hexdigit());
    if lengths != [8, 4, 4, 4, 12] || !is_hex {
        return Err(Refusal::Form { expected: "UUID" });
    }
    Ok(Plain::Text(text.to_lowercase()))
}

fn json(text: &str, is_jsonb: bool) -> Result<Plain, Refusal> {
    let read = serde_json::from_str(text).map_err(|_| Refusal::Json { reason: "it is none" })?;
    check_json(&read, is_jsonb, 0)?;
    Ok(Plain::Json(read))
}

fn check_json(value: &serde_json::Value, is_jsonb: bool, depth: usize) -> Result<(), Refusal> {
    let refuse = |reason| Err(Refusal::Json { reason });
    let is_held = |text: &str| !(is_jsonb && text.contains('\0'));
    match value {
        serde_json::Value::Null | serde_json::Value::Bool(_) => Ok(()),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) if depth == NESTING_MAX => {
            refuse("nesting")
        }
        serde_json::Value::Array(list) => list
            .iter()
            .try_for_each(|value| check_json(value, is_jsonb, depth + 1)),
        serde_json::Value::Object(map) => map.iter().try_for_each(|(key, value)| {
            if is_held(key) {
                check_json(value, is_jsonb, depth + 1)
            } else {
                refuse("U+0000")
            }
        }),
        serde_json::Value::String(text) if is_held(text) => Ok(()),
        serde_json::Value::String(_) => refuse("U+0000"),
        serde_json::Value::Number(number) if is_json_number(&number.to_string(), is_jsonb) => Ok(()),
        serde_json::Value::Number(_) => refuse("number"),
    }
}

/// Whether the target holds the number. Exponents are written out, up to more than any limit.
fn is_json_number(text: &str, is_jsonb: bool) -> bool {
    let Some((whole, fraction)) = expand(text) else {
        return false;
    };
    if is_jsonb {
        return whole.trim_start_matches(['-', '0']).len() <= 4_932 && fraction.len() <= 16_383;
    }
    if text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok() {
        return true;
    }
    let double: f64 = text.parse().expect("JSON's numbers are Rust's");
    let plain = |(whole, fraction): (String, String)| {
        let (negative, whole, fraction) = decimal_parts(&format!("{whole}.{fraction}")).expect("digits");
        join_decimal(negative, &whole, fraction.trim_end_matches('0'))
    };
    double.is_finite() && expand(&format!("{double:e}")).map(plain) == Some(plain((whole, fraction)))
}

/// The digits before and behind the point once the exponent is written out; `None` if it is beyond
/// every limit.
fn expand(text: &str) -> Option<(String, String)> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent
        .parse()
        .ok()
        .filter(|exponent: &i32| exponent.abs() < 20_000)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (mut whole, mut fraction) = (whole.to_owned(), fraction.to_owned());
    for _ in 0..exponent {
        whole.push(if fraction.is_empty() {
            '0'
        } else {
            fraction.remove(0)
        });
    }
    let sign = if whole.starts_with('-') { "-" } else { "" };
    for _ in exponent..0 {
        fraction.insert(
            0,
            if whole.len() > sign.len() {
                whole.pop().expect("not empty")
            } else {
                '0'
            },
        );
    }
    if whole == sign {
        whole.push('0');
    }
    Some((whole, fraction))
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;
