//! JSON texts compared as values: keys in any order, numbers by what they are worth, strings by
//! their characters.

use std::collections::BTreeMap;

/// Deepest nesting that is read; the servers take no more than 100 levels.
const DEPTH_MAX: usize = 200;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Array(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

/// A number as its digits and as a double.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Number {
    negative: bool,
    /// Significant digits without zeros at either end; empty for 0.
    digits: String,
    /// The power of ten that the digits, as a whole number, are multiplied by.
    exponent: i64,
    double: f64,
}

impl Value {
    /// Whether both are one value. Where decimals are not kept, numbers of the same double are one.
    pub(super) fn equals(&self, other: &Value, keeps_decimals: bool) -> bool {
        match (self, other) {
            (Value::Number(left), Value::Number(right)) => left.equals(right, keeps_decimals),
            (Value::Array(left), Value::Array(right)) => {
                left.len() == right.len()
                    && left
                        .iter()
                        .zip(right)
                        .all(|(left, right)| left.equals(right, keeps_decimals))
            }
            (Value::Object(left), Value::Object(right)) => {
                left.len() == right.len()
                    && left.iter().zip(right).all(|((name, left), (other, right))| {
                        name == other && left.equals(right, keeps_decimals)
                    })
            }
            (Value::Null, Value::Null) => true,
            (Value::Bool(left), Value::Bool(right)) => left == right,
            (Value::String(left), Value::String(right)) => left == right,
            (
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_),
                _,
            ) => false,
        }
    }

    /// Elements of an array, members of an object, 1 for anything else: `JSON_LENGTH`.
    pub(super) fn members(&self) -> usize {
        match self {
            Value::Array(elements) => elements.len(),
            Value::Object(members) => members.len(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
        }
    }
}

impl Number {
    fn equals(&self, other: &Number, keeps_decimals: bool) -> bool {
        let same_decimal =
            (self.negative, &self.digits, self.exponent) == (other.negative, &other.digits, other.exponent);
        same_decimal || !keeps_decimals && self.double.to_bits() == other.double.to_bits()
    }

    fn read(text: &str) -> Option<Number> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        if whole.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let kept = all.trim_end_matches('0');
        let behind = i64::try_from(all.len() - kept.len()).ok()?;
        let exponent = exponent.parse::<i64>().ok()? - i64::try_from(fraction.len()).ok()? + behind;
        let digits = kept.trim_start_matches('0').to_owned();
        let is_zero = digits.is_empty();
        Some(Number {
            negative: negative && !is_zero,
            exponent: if is_zero { 0 } else { exponent },
            digits,
            double: text.parse().ok()?,
        })
    }
}

/// Reads a text; `None` if it is none, or says something twice.
pub(super) fn parse(text: &str) -> Option<Value> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.space();
    (reader.at == text.len()).then_some(value)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    /// Steps over a word, after space.
    fn accept(&mut self, word: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            return None;
        }
        for (word, value) in [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
        ] {
            if self.accept(word) {
                return Some(value);
            }
        }
        match self.rest().as_bytes().first()? {
            b'"' => self.string().map(Value::String),
            b'[' => self.array(depth),
            b'{' => self.object(depth),
            _ => self.number(),
        }
    }

    fn number(&mut self) -> Option<Value> {
        let end = self
            .rest()
            .find(|letter: char| !letter.is_ascii_digit() && !"+-.eE".contains(letter));
        let length = end.unwrap_or(self.rest().len());
        let number = Number::read(&self.rest()[..length])?;
        self.at += length;
        Some(Value::Number(number))
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        self.accept("[");
        let mut elements = Vec::new();
        if self.accept("]") {
            return Some(Value::Array(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            if self.accept("]") {
                return Some(Value::Array(elements));
            }
            if !self.accept(",") {
                return None;
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        self.accept("{");
        let mut members = BTreeMap::new();
        if self.accept("}") {
            return Some(Value::Object(members));
        }
        loop {
            self.space();
            let name = self.string()?;
            if !self.accept(":") {
                return None;
            }
            let value = self.value(depth + 1)?;
            if members.insert(name, value).is_some() {
                return None;
            }
            if self.accept("}") {
                return Some(Value::Object(members));
            }
            if !self.accept(",") {
                return None;
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        let mut letters = self.text[self.at..].strip_prefix('"')?.char_indices();
        let mut string = String::new();
        let mut high = None;
        loop {
            let (at, letter) = letters.next()?;
            let unit = match letter {
                '"' => {
                    self.at += at + 2;
                    return high.is_none().then_some(string);
                }
                '\\' => escaped(&mut letters)?,
                plain => Unit::Letter(plain),
            };
            match (high.take(), unit) {
                (None, Unit::Letter(letter)) => string.push(letter),
                (None, Unit::Code(code @ 0xd800..=0xdbff)) => high = Some(code),
                (None, Unit::Code(code)) => string.push(char::from_u32(code)?),
                (Some(high), Unit::Code(low @ 0xdc00..=0xdfff)) => {
                    string.push(char::from_u32(
                        0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00),
                    )?);
                }
                (Some(_), Unit::Letter(_) | Unit::Code(_)) => return None,
            }
        }
    }
}

/// What a string is made of.
enum Unit {
    Letter(char),
    /// A code of `\u`, maybe half of a pair.
    Code(u32),
}

fn escaped(letters: &mut std::str::CharIndices<'_>) -> Option<Unit> {
    Some(Unit::Letter(match letters.next()?.1 {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let mut code = 0;
            for _ in 0..4 {
                code = code << 4 | letters.next()?.1.to_digit(16)?;
            }
            return Some(Unit::Code(code));
        }
        other @ ('"' | '\\' | '/') => other,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(left: &str, right: &str, keeps_decimals: bool, expected: bool) {
        let (left_value, right_value) = (parse(left).expect(left), parse(right).expect(right));
        assert_eq!(
            left_value.equals(&right_value, keeps_decimals),
            expected,
            "{left} {right} {keeps_decimals}"
        );
    }

    #[test]
    fn spellings_of_one_value_are_equal() {
        for keeps_decimals in [true, false] {
            check(
                "{\"b\": 1, \"a\": [ ]}",
                "{\"a\":[],\"b\":1}",
                keeps_decimals,
                true,
            );
            check("1.50", "1.5", keeps_decimals, true);
            check("15e-1", "1.5", keeps_decimals, true);
            check("1000", "1e3", keeps_decimals, true);
            check("-0.0", "0", keeps_decimals, true);
            check("\"\\u00e9\\ud83d\\ude00\\/\"", "\"é😀/\"", keeps_decimals, true);
            check(" null ", "null", keeps_decimals, true);
            check("[1,2]", "[2,1]", keeps_decimals, false);
            check("[1]", "[1,1]", keeps_decimals, false);
            check("\"1\"", "1", keeps_decimals, false);
            check("true", "false", keeps_decimals, false);
            check("{\"a\":1}", "{\"b\":1}", keeps_decimals, false);
            check("{\"a\":1}", "{\"a\":1,\"b\":1}", keeps_decimals, false);
            check("0.1", "0.10000000000000002", keeps_decimals, false);
            check("10", "1", keeps_decimals, false);
        }
        check("4.9406564584124654e-324", "5e-324", false, true);
        check("4.9406564584124654e-324", "5e-324", true, false);
    }

    #[test]
    fn what_is_no_json_has_no_value() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,\"a\":2}",
            "{a:1}",
            "tru",
            "1 2",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"a",
            "--1",
            ".5",
            "1e",
            "[1",
            "{\"a\" 1}",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"[".repeat(100_000)), None);
        assert!(parse(&("[".repeat(100) + &"]".repeat(100))).is_some());
    }
}
