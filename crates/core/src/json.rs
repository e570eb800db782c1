//! JSON as the target will hold it: accepted exactly or refused, and a form in which equal values are equal bytes.

use std::fmt::Write as _;

/// Deepest nesting that Spanner accepts (Spanner documentation, "JSON data type": 80 levels).
pub const NESTING_MAX: usize = 80;

/// What a JSON text is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// To be stored: numbers keep their spelling; those that the target would change are refused.
    Stored {
        /// The target keeps any decimal (jsonb); otherwise 64-bit integers and doubles.
        arbitrary_numbers: bool,
    },
    /// To be compared: keys in order of their bytes, numbers as digits and exponent.
    Compared,
}

/// Writes `text` in a form. On an error `out` holds a part of it.
pub fn write(text: &str, form: Form, out: &mut String) -> Result<(), &'static str> {
    let mut parser = Parser {
        rest: text.as_bytes(),
        form,
    };
    parser.value(0, out)?;
    parser.space();
    if parser.rest.is_empty() {
        Ok(())
    } else {
        Err("text after the end of the value")
    }
}

struct Parser<'a> {
    rest: &'a [u8],
    form: Form,
}

impl Parser<'_> {
    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.space();
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn value(&mut self, depth: usize, out: &mut String) -> Result<(), &'static str> {
        if depth > NESTING_MAX {
            return Err("nesting deeper than 80 levels");
        }
        self.space();
        match self.rest.first() {
            Some(b'{') => self.object(depth, out),
            Some(b'[') => self.array(depth, out),
            Some(b'"') => {
                let text = self.string()?;
                put_string(&text, out);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(out),
            _ => self.word(out),
        }
    }

    fn word(&mut self, out: &mut String) -> Result<(), &'static str> {
        for word in ["true", "false", "null"] {
            if let Some(rest) = self.rest.strip_prefix(word.as_bytes()) {
                self.rest = rest;
                out.push_str(word);
                return Ok(());
            }
        }
        Err("no JSON value")
    }

    fn array(&mut self, depth: usize, out: &mut String) -> Result<(), &'static str> {
        self.take(b'[');
        out.push('[');
        if !self.take(b']') {
            loop {
                self.value(depth + 1, out)?;
                if self.take(b']') {
                    break;
                }
                if !self.take(b',') {
                    return Err("a list without its end");
                }
                out.push(',');
            }
        }
        out.push(']');
        Ok(())
    }

    fn object(&mut self, depth: usize, out: &mut String) -> Result<(), &'static str> {
        self.take(b'{');
        let mut members: Vec<(String, String)> = Vec::new();
        if !self.take(b'}') {
            loop {
                self.space();
                let key = self.string()?;
                if !self.take(b':') {
                    return Err("a key without its value");
                }
                let mut value = String::new();
                self.value(depth + 1, &mut value)?;
                members.push((key, value));
                if self.take(b'}') {
                    break;
                }
                if !self.take(b',') {
                    return Err("an object without its end");
                }
            }
        }
        members.sort_by(|left, right| left.0.cmp(&right.0));
        if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err("a key that occurs twice");
        }
        out.push('{');
        for (index, (key, value)) in members.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            put_string(key, out);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        Ok(())
    }

    fn string(&mut self) -> Result<String, &'static str> {
        let [b'"', rest @ ..] = self.rest else {
            return Err("no string where one is due");
        };
        self.rest = rest;
        let mut bytes = Vec::new();
        loop {
            let plain = self
                .rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            let plain = plain.ok_or("a string without its end")?;
            bytes.extend_from_slice(&self.rest[..plain]);
            let special = self.rest[plain];
            self.rest = &self.rest[plain + 1..];
            match special {
                b'"' => return String::from_utf8(bytes).map_err(|_| "a string that is no UTF-8"),
                b'\\' => {
                    let mut buffer = [0; 4];
                    bytes.extend_from_slice(self.escape()?.encode_utf8(&mut buffer).as_bytes());
                }
                _ => return Err("a control character in a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, &'static str> {
        let [kind, rest @ ..] = self.rest else {
            return Err("a string without its end");
        };
        self.rest = rest;
        Ok(match kind {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err("an unknown escape in a string"),
        })
    }

    fn unicode_escape(&mut self) -> Result<char, &'static str> {
        let lone = "a surrogate that stands alone";
        let first = self.hex4()?;
        let code = match first {
            0xd800..0xdc00 => {
                self.rest = self.rest.strip_prefix(b"\\u").ok_or(lone)?;
                let second = self.hex4()?;
                if !(0xdc00..0xe000).contains(&second) {
                    return Err(lone);
                }
                0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            code => code,
        };
        char::from_u32(code).ok_or(lone)
    }

    fn hex4(&mut self) -> Result<u32, &'static str> {
        let (digits, rest) = self.rest.split_at_checked(4).ok_or("a string without its end")?;
        self.rest = rest;
        digits.iter().try_fold(0, |code, digit| {
            let value = char::from(*digit)
                .to_digit(16)
                .ok_or("an unknown escape in a string")?;
            Ok(code << 4 | value)
        })
    }

    fn number(&mut self, out: &mut String) -> Result<(), &'static str> {
        let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
        let end = self
            .rest
            .iter()
            .position(|byte| !is_part(byte))
            .unwrap_or(self.rest.len());
        let text = std::str::from_utf8(&self.rest[..end]).map_err(|_| "no number")?;
        self.rest = &self.rest[end..];
        let decimal = Decimal::parse(text).ok_or("no number")?;
        match self.form {
            Form::Compared => decimal.write(out),
            Form::Stored { arbitrary_numbers } => {
                if !arbitrary_numbers && !decimal.fits_spanner(text) {
                    return Err("a number that neither a 64-bit integer nor a double holds");
                }
                out.push_str(text);
            }
        }
        Ok(())
    }
}

/// A decimal as significant digits and a power of ten.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    /// Without leading and trailing zeros; empty for zero.
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn parse(text: &str) -> Option<Decimal> {
        let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty() || leading_zero || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        if mantissa.ends_with('.') {
            return None;
        }
        let exponent: i64 = exponent.parse().ok()?;
        let digits = format!("{whole}{fraction}");
        let kept = digits.trim_end_matches('0');
        let dropped = i64::try_from(digits.len() - kept.len()).ok()?;
        let exponent = exponent
            .checked_sub(i64::try_from(fraction.len()).ok()?)?
            .checked_add(dropped)?;
        let digits = kept.trim_start_matches('0').to_owned();
        let is_zero = digits.is_empty();
        Some(Decimal {
            negative: negative && !is_zero,
            digits,
            exponent: if is_zero { 0 } else { exponent },
        })
    }

    fn write(&self, out: &mut String) {
        let sign = if self.negative { "-" } else { "" };
        let digits = if self.digits.is_empty() { "0" } else { &self.digits };
        // Writing to a string cannot fail.
        let _written = write!(out, "{sign}{digits}e{}", self.exponent);
    }

    /// Whether GoogleSQL JSON keeps the value: an integer of 64 bits, or a double whose shortest form is this decimal.
    fn fits_spanner(&self, text: &str) -> bool {
        if text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok() {
            return true;
        }
        let Ok(double) = text.parse::<f64>() else {
            return false;
        };
        double.is_finite() && Decimal::parse(&format!("{double:e}")).as_ref() == Some(self)
    }
}

fn put_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{0}'..='\u{1f}' => {
                let _written = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, form: Form) -> Result<String, &'static str> {
        let mut out = String::new();
        write(text, form, &mut out).map(|()| out)
    }

    #[test]
    fn equal_values_compare_equal() {
        let check = |left, right| {
            let (left, right) = (written(left, Form::Compared), written(right, Form::Compared));
            assert!(left.is_ok());
            assert_eq!(left, right);
        };
        check(r#"{"b": 1, "a": [true, null]}"#, r#"{"a":[true,null],"b":1.0}"#);
        check("1.50", "15e-1");
        check("-0.0", "0");
        check("100", "1E2");
        check(r#""\u00e9\ud83d\ude00\/""#, "\"é😀/\"");
        assert_ne!(
            written("1", Form::Compared),
            written("1.0000000000000001", Form::Compared)
        );
    }

    #[test]
    fn what_the_target_would_change_is_refused() {
        let spanner = Form::Stored {
            arbitrary_numbers: false,
        };
        let check = |text, accepted| assert_eq!(written(text, spanner).is_ok(), accepted, "{text}");
        check("18446744073709551615", true);
        check("-9223372036854775808", true);
        check("18446744073709551617", false);
        check("0.1", true);
        check("1.50", true);
        check("0.1234567890123456789", false);
        check("1e400", false);
        check(r#"{"a":1,"a":2}"#, false);
        check(r#""\ud800""#, false);
        check("[1,]", false);
        check("01", false);
        check("1.", false);
        check("{} x", false);
        let (deepest, too_deep) = ("[".repeat(81) + &"]".repeat(81), "[".repeat(82) + &"]".repeat(82));
        check(&deepest, true);
        check(&too_deep, false);
        assert!(
            written(
                "0.1234567890123456789",
                Form::Stored {
                    arbitrary_numbers: true
                }
            )
            .is_ok()
        );
    }
}
