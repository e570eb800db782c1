//! JSON as the target will hold it: accepted exactly or refused, and a form in which equal values are equal bytes.
//!
//! Facts: Spanner documentation, "Working with JSON data" (80 levels, first of duplicate keys kept, numbers as 64-bit
//! integers or doubles that survive text to double to text) and "Working with JSONB data"; jsonb's number limits and its
//! refusal of U+0000 measured on emulator 1.5.28.

use std::fmt::{self, Write as _};
use std::ops::Range;

use crate::encode::limit::CELL_BYTES_MAX;

/// Deepest nesting of lists and objects that Spanner's documentation promises.
pub const NESTING_MAX: usize = 80;
/// Digits of a jsonb number before the point.
const JSONB_WHOLE_DIGITS_MAX: i64 = 4_932;
/// Digits of a jsonb number behind the point, trailing zeros included.
const JSONB_FRACTION_DIGITS_MAX: i64 = 16_383;
/// So many significant digits survive the way through a double, within `EXACT_EXPONENT_MAX` of the point.
const EXACT_DIGITS: usize = 15;
/// Well within the range of normal doubles (1e-307 to 1e308).
const EXACT_EXPONENT_MAX: i64 = 280;

/// The type that holds the JSON at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// GoogleSQL's JSON: numbers are 64-bit integers, signed or unsigned, or doubles.
    Json,
    /// PostgreSQL's jsonb: any decimal, but no U+0000 in strings.
    Jsonb,
}

/// What a JSON text is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// To be stored: no space, keys in the source's order, numbers as spelled; what the target would change is refused.
    Stored,
    /// To be compared: keys in order of their bytes, numbers as digits and exponent.
    Compared,
}

/// Why a text is not written. Holds nothing of it.
pub type Reason = &'static str;

/// Appends `text` in a form. On an error `out` holds a part of it.
///
/// The stored form is never longer than the text, and allocates nothing but the places of the keys, once.
pub fn write(text: &str, flavor: Flavor, form: Form, out: &mut Vec<u8>) -> Result<(), Reason> {
    let end = out.len() + CELL_BYTES_MAX as usize;
    let mut parser = Parser {
        rest: text.as_bytes(),
        flavor,
        form,
        end,
        members: Vec::new(),
    };
    parser.value(0, out)?;
    parser.space();
    if parser.rest.is_empty() {
        Ok(())
    } else {
        Err("text after the end of the value")
    }
}

/// Where a member of an object lies in the output.
#[derive(Debug, Clone)]
struct Member {
    start: usize,
    key_end: usize,
    end: usize,
}

impl Member {
    fn key<'a>(&self, out: &'a [u8]) -> &'a [u8] {
        &out[self.start..self.key_end]
    }
}

struct Parser<'a> {
    rest: &'a [u8],
    flavor: Flavor,
    form: Form,
    /// Where the output must not go on.
    end: usize,
    /// Members of all objects that are open.
    members: Vec<Member>,
}

impl<'a> Parser<'a> {
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

    /// A value within `depth` lists and objects.
    fn value(&mut self, depth: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
        if out.len() > self.end {
            return Err("more than 10 MiB");
        }
        self.space();
        match self.rest.first() {
            Some(b'{' | b'[') if depth == NESTING_MAX => Err("nesting deeper than 80 levels"),
            Some(b'{') => self.object(depth + 1, out),
            Some(b'[') => self.array(depth + 1, out),
            Some(b'"') => self.string(out),
            Some(b'-' | b'0'..=b'9') => self.number(out),
            Some(_) | None => self.word(out),
        }
    }

    fn word(&mut self, out: &mut Vec<u8>) -> Result<(), Reason> {
        for word in ["true", "false", "null"] {
            if let Some(rest) = self.rest.strip_prefix(word.as_bytes()) {
                self.rest = rest;
                out.extend_from_slice(word.as_bytes());
                return Ok(());
            }
        }
        Err("no JSON value where one is due")
    }

    fn array(&mut self, depth: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
        self.take(b'[');
        out.push(b'[');
        if !self.take(b']') {
            loop {
                self.value(depth, out)?;
                if self.take(b']') {
                    break;
                }
                if !self.take(b',') {
                    return Err("a list without its end");
                }
                out.push(b',');
            }
        }
        out.push(b']');
        Ok(())
    }

    fn object(&mut self, depth: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
        self.take(b'{');
        out.push(b'{');
        let first = self.members.len();
        if !self.take(b'}') {
            loop {
                self.member(depth, out)?;
                if self.take(b'}') {
                    break;
                }
                if !self.take(b',') {
                    return Err("an object without its end");
                }
                out.push(b',');
            }
        }
        finish_object(&mut self.members[first..], self.form, out)?;
        self.members.truncate(first);
        out.push(b'}');
        Ok(())
    }

    fn member(&mut self, depth: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
        let start = out.len();
        self.space();
        self.string(out)?;
        let key_end = out.len();
        if !self.take(b':') {
            return Err("a key without its value");
        }
        out.push(b':');
        self.value(depth, out)?;
        self.members.push(Member {
            start,
            key_end,
            end: out.len(),
        });
        Ok(())
    }

    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), Reason> {
        if !self.take(b'"') {
            return Err("no string where one is due");
        }
        out.push(b'"');
        loop {
            let plain = self
                .rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            let plain = plain.ok_or("a string without its end")?;
            out.extend_from_slice(&self.rest[..plain]);
            let special = self.rest[plain];
            self.rest = &self.rest[plain + 1..];
            match special {
                b'"' => break,
                b'\\' => {
                    let character = self.escape()?;
                    if character == '\0' && self.flavor == Flavor::Jsonb {
                        return Err("U+0000 in a string, which jsonb does not hold");
                    }
                    put_character(character, out);
                }
                _ => return Err("a control character in a string"),
            }
        }
        out.push(b'"');
        Ok(())
    }

    fn escape(&mut self) -> Result<char, Reason> {
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

    fn unicode_escape(&mut self) -> Result<char, Reason> {
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

    fn hex4(&mut self) -> Result<u32, Reason> {
        let (digits, rest) = self.rest.split_at_checked(4).ok_or("a string without its end")?;
        self.rest = rest;
        digits.iter().try_fold(0, |code, digit| {
            let value = char::from(*digit)
                .to_digit(16)
                .ok_or("an unknown escape in a string")?;
            Ok(code << 4 | value)
        })
    }

    fn digits(&mut self) -> &'a [u8] {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        digits
    }

    fn number(&mut self, out: &mut Vec<u8>) -> Result<(), Reason> {
        let all = self.rest;
        let decimal = self
            .decimal()
            .ok_or("a number that is not written as JSON writes numbers")?;
        let spelled = &all[..all.len() - self.rest.len()];
        match self.form {
            Form::Stored => {
                decimal.check(spelled, self.flavor)?;
                out.extend_from_slice(spelled);
            }
            Form::Compared => decimal.write_compared(spelled, self.flavor, out),
        }
        Ok(())
    }

    /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    fn decimal(&mut self) -> Option<Decimal<'a>> {
        let negative = self.step(b"-");
        let whole = self.digits();
        if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') {
            return None;
        }
        let has_point = self.step(b".");
        let fraction = if has_point { self.digits() } else { &[] };
        if has_point && fraction.is_empty() {
            return None;
        }
        let mut exponent = 0;
        let has_exponent = self.step(b"eE");
        if has_exponent {
            let below = self.step(b"-");
            if !below {
                self.step(b"+");
            }
            let digits = self.digits();
            if digits.is_empty() {
                return None;
            }
            exponent = digits.iter().fold(0_i64, |sum, digit| {
                sum.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
            });
            exponent = exponent.min(i64::from(u32::MAX)) * if below { -1 } else { 1 };
        }
        Some(Decimal {
            negative,
            whole,
            fraction,
            exponent,
            is_integer: !has_point && !has_exponent,
        })
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

/// Refuses a key that occurs twice; brings the members in order if they are to be compared.
fn finish_object(members: &mut [Member], form: Form, out: &mut Vec<u8>) -> Result<(), Reason> {
    // MySQL keeps keys by length, then bytes; others often write them in the order of their bytes.
    let by_bytes = members.is_sorted_by(|left, right| left.key(out) < right.key(out));
    let by_length = |member: &Member| (member.key_end - member.start, member.key(out));
    if by_bytes
        || (form == Form::Stored && members.is_sorted_by(|left, right| by_length(left) < by_length(right)))
    {
        return Ok(());
    }
    let start = members[0].start;
    members.sort_unstable_by(|left, right| left.key(out).cmp(right.key(out)));
    if members
        .windows(2)
        .any(|pair| pair[0].key(out) == pair[1].key(out))
    {
        return Err("a key that occurs twice in one object");
    }
    if form == Form::Compared {
        let unordered = out.split_off(start);
        for (index, member) in members.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&unordered[member.start - start..member.end - start]);
        }
    }
    Ok(())
}

/// Appends one character of a string, escaped only where JSON demands it.
fn put_character(character: char, out: &mut Vec<u8>) {
    let short = match character {
        '"' => b'"',
        '\\' => b'\\',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        '\0'..'\u{20}' => {
            let code = character as u8;
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[
                b"01"[usize::from(code >> 4)],
                b"0123456789abcdef"[usize::from(code & 15)],
            ]);
            return;
        }
        _ => {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// A number as spelled.
#[derive(Debug, Clone, Copy)]
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
    /// Neither point nor exponent.
    is_integer: bool,
}

impl Decimal<'_> {
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
    fn check(&self, spelled: &[u8], flavor: Flavor) -> Result<(), Reason> {
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

    /// The same bytes for every spelling of what the target holds: GoogleSQL may print a double with up to 17 digits.
    fn write_compared(&self, spelled: &[u8], flavor: Flavor, out: &mut Vec<u8>) {
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
        let rest = &self.buffer[..self.length];
        let mut parser = Parser {
            rest,
            flavor: Flavor::Json,
            form: Form::Stored,
            end: 0,
            members: Vec::new(),
        };
        parser
            .decimal()
            .expect("a float's scientific notation is a JSON number")
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

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, flavor: Flavor, form: Form) -> Result<String, Reason> {
        let mut out = Vec::new();
        write(text, flavor, form, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn stored_text_is_the_source_without_spaces() {
        let check = |text, expected: &str| {
            assert_eq!(written(text, Flavor::Json, Form::Stored).as_deref(), Ok(expected));
        };
        check(
            r#" {"b": 1.50, "a" : [ true,null , {} ]} "#,
            r#"{"b":1.50,"a":[true,null,{}]}"#,
        );
        check(
            r#""\u0041\u00e9\ud83d\ude00\/\b\u0008\u001f\u0000""#,
            "\"Aé😀/\\b\\b\\u001f\\u0000\"",
        );
        check("-0", "-0");
        check("1E+2", "1E+2");
    }

    #[test]
    fn equal_values_compare_equal() {
        let compared = |text, flavor| written(text, flavor, Form::Compared).unwrap();
        let check = |left, right| {
            for flavor in [Flavor::Json, Flavor::Jsonb] {
                assert_eq!(compared(left, flavor), compared(right, flavor), "{left} {right}");
            }
        };
        check(
            r#"{"b": 1, "a": [true, null], "aa": {"y": 2, "x": 3}}"#,
            r#"{"a":[true,null],"aa":{"x":3,"y":2},"b":1.0}"#,
        );
        check("1.50", "15e-1");
        check("-0.0", "0");
        check("100", "1E2");
        check("0.00e7", "-0");
        check(r#""\u00e9\ud83d\ude00\/""#, "\"é😀/\"");
        // As `%.17g` prints the double.
        assert_eq!(
            compared("0.1", Flavor::Json),
            compared("0.10000000000000001", Flavor::Json)
        );
        assert_ne!(
            compared("0.1", Flavor::Jsonb),
            compared("0.10000000000000001", Flavor::Jsonb)
        );
        assert_eq!(
            compared("5e-324", Flavor::Json),
            compared("4.94065645841247e-324", Flavor::Json)
        );
        assert_ne!(
            compared("18446744073709551615", Flavor::Json),
            compared("18446744073709551614", Flavor::Json)
        );
        assert_ne!(compared("[1,2]", Flavor::Json), compared("[2,1]", Flavor::Json));
        assert_ne!(compared("[12]", Flavor::Json), compared("[1,2]", Flavor::Json));
    }

    #[test]
    fn what_the_target_would_change_is_refused() {
        let check = |text: &str, json: bool, jsonb: bool| {
            assert_eq!(
                written(text, Flavor::Json, Form::Stored).is_ok(),
                json,
                "JSON {text}"
            );
            assert_eq!(
                written(text, Flavor::Jsonb, Form::Stored).is_ok(),
                jsonb,
                "jsonb {text}"
            );
        };
        check("18446744073709551615", true, true);
        check("-9223372036854775808", true, true);
        check("18446744073709551616", false, true);
        check("100000000000000000000", true, true);
        check("9007199254740993.0", false, true);
        check("0.1", true, true);
        check("5e-324", true, true);
        check("1.7976931348623157e308", true, true);
        check("0.1234567890123456789", false, true);
        check("1e400", false, true);
        check("1e-400", false, true);
        check("1e4931", false, true);
        check("1e4932", false, false);
        check("1e-16383", false, true);
        check("1e-16384", false, false);
        check("1e99999999999999999999999", false, false);
        check("0e99999999999999999999999", true, true);
        check(r#"{"a":1,"b":2,"a":3}"#, false, false);
        check(r#"{"b":1,"a":{"b":1},"c":{"b":1}}"#, true, true);
        check(r#"{"a":1,"\u0061":1}"#, false, false);
        check(r#""\u0000""#, true, false);
        check(&("[".repeat(80) + "1" + &"]".repeat(80)), true, true);
        check(&("[".repeat(81) + &"]".repeat(81)), false, false);
        check(&(r#"{"a":"#.repeat(81) + "1" + &"}".repeat(81)), false, false);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            " ",
            "[1,]",
            "[,1]",
            "[1",
            "01",
            "1.",
            ".5",
            "+1",
            "-",
            "1e",
            "1e+",
            "- 1",
            "1 2",
            "{} x",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1,}",
            "\"",
            "\"\\",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud800\\u0041\"",
            "\"\n\"",
            "tru",
            "NaN",
            "Infinity",
            "'a'",
            "1/**/",
            "\u{feff}1",
        ] {
            assert!(written(text, Flavor::Json, Form::Stored).is_err(), "{text}");
        }
    }
}
