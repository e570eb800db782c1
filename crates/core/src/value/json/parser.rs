//! Reads a JSON text once, from left to right, and writes it in a form as it goes.

use super::form::{Flavor, Form, Reason};
use super::number::Decimal;
use crate::value::encode::limit::CELL_BYTES_MAX;

/// Deepest nesting of lists and objects that Spanner's documentation promises.
pub(crate) const NESTING_MAX: usize = 80;

/// Appends `text` in a form. On an error `out` holds a part of it.
///
/// The stored form is never longer than the text, and allocates nothing but the places of the keys,
/// once.
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
    /// Where the output must end.
    end: usize,
    /// Members of all objects that are open.
    members: Vec<Member>,
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

    fn number(&mut self, out: &mut Vec<u8>) -> Result<(), Reason> {
        let (decimal, rest) =
            Decimal::read(self.rest).ok_or("a number that is not written as JSON writes numbers")?;
        let spelled = &self.rest[..self.rest.len() - rest.len()];
        self.rest = rest;
        match self.form {
            Form::Stored => {
                decimal.check(spelled, self.flavor)?;
                out.extend_from_slice(spelled);
            }
            Form::Compared => decimal.write_compared(spelled, self.flavor, out),
        }
        Ok(())
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
