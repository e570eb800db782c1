//! One row of an INSERT statement: its literals, read without a copy where they are as they stand.

use std::ops::Range;

use spanferry_core::schema::charset::Charset;

use super::cursor::{Cursor, Found, Stop, is_word};
use super::error::Fault;
use super::insert::Insert;
use crate::mysql::escape::unescaped;

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// A number as it is written, a `+` before it left out.
    Number(&'a [u8]),
    /// TRUE or FALSE.
    Bool(bool),
    /// What stands in quotes, its escapes undone.
    Text {
        /// Its bytes.
        bytes: &'a [u8],
        /// Their character set: that of the introducer, else that of the dump. `Binary` of the dump
        /// means that the bytes are as the column keeps them.
        charset: Charset,
    },
    /// `0x41`, `X'41'`.
    Hex {
        /// Its bytes.
        bytes: &'a [u8],
        /// The character set of its introducer.
        charset: Option<Charset>,
    },
    /// `b'101'`, `0b101`.
    Bits {
        /// Its bytes, the highest first, with as many zero bits before them as are missing.
        bytes: &'a [u8],
        /// The character set of its introducer.
        charset: Option<Charset>,
    },
}

/// One row, until the reader is asked for the next step.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub(super) insert: &'a Insert,
    pub(super) slots: &'a [Slot],
    pub(super) bytes: &'a [u8],
    pub(super) scratch: &'a [u8],
    pub(super) offset: u64,
    pub(super) line: u64,
}

impl<'a> Row<'a> {
    /// The statement that it is of.
    pub fn insert(&self) -> &'a Insert {
        self.insert
    }

    /// How many values it has.
    pub fn width(&self) -> usize {
        self.slots.len()
    }

    /// Its values in order.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = Cell<'a>> + use<'a> {
        let (bytes, scratch) = (self.bytes, self.scratch);
        self.slots.iter().map(move |slot| slot.cell(bytes, scratch))
    }

    /// Bytes of the dump before its opening parenthesis.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The line of its opening parenthesis, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Number,
    Bool(bool),
    Text(Charset),
    Hex(Option<Charset>),
    Bits(Option<Charset>),
}

/// A value by the place of its bytes.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    kind: Kind,
    /// In the scratch space; else in the dump.
    copied: bool,
    start: usize,
    end: usize,
}

impl Slot {
    fn new(kind: Kind, copied: bool, range: Range<usize>) -> Slot {
        Slot {
            kind,
            copied,
            start: range.start,
            end: range.end,
        }
    }

    fn cell<'a>(&self, bytes: &'a [u8], scratch: &'a [u8]) -> Cell<'a> {
        let bytes = &(if self.copied { scratch } else { bytes })[self.start..self.end];
        match self.kind {
            Kind::Null => Cell::Null,
            Kind::Number => Cell::Number(bytes),
            Kind::Bool(value) => Cell::Bool(value),
            Kind::Text(charset) => Cell::Text { bytes, charset },
            Kind::Hex(charset) => Cell::Hex { bytes, charset },
            Kind::Bits(charset) => Cell::Bits { bytes, charset },
        }
    }
}

/// Most values of a row: no table has more columns.
const CELLS_MAX: usize = 4096;

/// Reads rows. What it keeps is used for each row again, so that no value takes memory of its own.
#[derive(Debug, Default)]
pub(super) struct RowReader {
    pub(super) slots: Vec<Slot>,
    pub(super) scratch: Vec<u8>,
}

impl RowReader {
    /// Reads a row; the cursor is on its opening parenthesis, and then behind the closing one.
    pub(super) fn row(&mut self, cursor: &mut Cursor<'_>) -> Found<()> {
        self.slots.clear();
        self.scratch.clear();
        cursor.at += 1;
        cursor.blank()?;
        if cursor.accept(b')')? {
            return Ok(());
        }
        loop {
            let slot = self.cell(cursor)?;
            if self.slots.len() == CELLS_MAX {
                return cursor.fault(Fault::Syntax {
                    expected: "no more values than a table can have columns",
                });
            }
            self.slots.push(slot);
            cursor.blank()?;
            match cursor.byte()? {
                b',' => {
                    cursor.at += 1;
                    cursor.blank()?;
                }
                b')' if cursor.inside => {
                    return cursor.fault(Fault::Syntax {
                        expected: "the end of the comment",
                    });
                }
                b')' => {
                    cursor.at += 1;
                    return Ok(());
                }
                _ => return cursor.fault(Fault::Expression),
            }
        }
    }

    fn cell(&mut self, cursor: &mut Cursor<'_>) -> Found<Slot> {
        match cursor.byte()? {
            b'\'' => self.text(cursor, cursor.reading.charset),
            b'"' if !cursor.reading.ansi_quotes => self.text(cursor, cursor.reading.charset),
            b'0'..=b'9' | b'.' | b'-' | b'+' => self.number(cursor, None),
            byte if is_word(byte) => self.word(cursor),
            _ => cursor.fault(Fault::Expression),
        }
    }

    /// NULL, an introducer, or the name of something that only a server can compute.
    fn word(&mut self, cursor: &mut Cursor<'_>) -> Found<Slot> {
        let start = cursor.at;
        let word = cursor.word()?;
        let next = cursor.byte()?;
        match word {
            b"NULL" => return Ok(Slot::new(Kind::Null, false, start..start)),
            b"X" | b"x" if next == b'\'' => return self.quoted_hex(cursor, None),
            b"B" | b"b" if next == b'\'' => return self.quoted_bits(cursor, None),
            b"N" | b"n" if next == b'\'' => return self.text(cursor, Charset::Utf8mb3),
            [b'_', name @ ..] => return self.introduced(cursor, name, start),
            _ => {}
        }
        if word.eq_ignore_ascii_case(b"NULL") {
            return Ok(Slot::new(Kind::Null, false, start..start));
        }
        for (text, value) in [(&b"TRUE"[..], true), (b"FALSE", false)] {
            if word.eq_ignore_ascii_case(text) {
                return Ok(Slot::new(Kind::Bool(value), false, start..start));
            }
        }
        cursor.blank()?;
        let fault = match cursor.byte()? {
            b'(' => Fault::Function {
                name: String::from_utf8_lossy(word).into_owned(),
            },
            _ if word.eq_ignore_ascii_case(b"DEFAULT") => Fault::DefaultValue,
            _ => Fault::Expression,
        };
        Err(Stop::Fault(fault, start))
    }

    /// What stands behind `_charset`.
    fn introduced(&mut self, cursor: &mut Cursor<'_>, name: &[u8], start: usize) -> Found<Slot> {
        let name = String::from_utf8_lossy(name);
        let Some(charset) = Charset::from_name(&name) else {
            let name = name.into_owned();
            return Err(Stop::Fault(Fault::UnknownCharset { name }, start));
        };
        cursor.blank()?;
        match cursor.byte()? {
            b'\'' => self.text(cursor, charset),
            b'"' if !cursor.reading.ansi_quotes => self.text(cursor, charset),
            b'0' => self.number(cursor, Some(charset)),
            b'X' | b'x' => {
                cursor.at += 1;
                self.quoted_hex(cursor, Some(charset))
            }
            b'B' | b'b' => {
                cursor.at += 1;
                self.quoted_bits(cursor, Some(charset))
            }
            _ => cursor.fault(Fault::Syntax {
                expected: "a literal behind the character set",
            }),
        }
    }

    /// A number, or a literal that begins with `0x` or `0b`.
    fn number(&mut self, cursor: &mut Cursor<'_>, charset: Option<Charset>) -> Found<Slot> {
        let start = cursor.at;
        if let [b'0', kind @ (b'x' | b'b'), ..] = cursor.rest() {
            cursor.at += 2;
            let digits = cursor.word()?;
            return if *kind == b'x' {
                self.hex(digits, charset, start)
            } else {
                self.bits(digits, charset, start)
            };
        }
        let rest = cursor.rest();
        let sign = usize::from(matches!(rest.first(), Some(b'-' | b'+')));
        let plus = usize::from(rest.first() == Some(&b'+'));
        let Some(length) = number_length(&rest[sign..]) else {
            return match &rest[sign..] {
                b"" | b"." => Err(Stop::More),
                _ => cursor.fault(Fault::Expression),
            };
        };
        let end = start + sign + length;
        // An exponent that is not there yet.
        if let b"e" | b"E" | b"e-" | b"E-" | b"e+" | b"E+" = &cursor.bytes[end..] {
            return Err(Stop::More);
        }
        match cursor.bytes.get(end) {
            None => Err(Stop::More),
            Some(byte) if is_word(*byte) || *byte == b'.' => cursor.fault(Fault::Expression),
            Some(_) if charset.is_some() => cursor.fault(Fault::Expression),
            Some(_) => {
                cursor.at = end;
                Ok(Slot::new(Kind::Number, false, start + plus..end))
            }
        }
    }

    /// What stands in quotes; texts that follow each other are one.
    fn text(&mut self, cursor: &mut Cursor<'_>, charset: Charset) -> Found<Slot> {
        let quote = cursor.byte()?;
        let escapes = cursor.has_escapes(quote);
        let start = cursor.at + 1;
        let length = cursor.special(quote, escapes, start)?;
        let end = start + length;
        let next = *cursor.bytes.get(end + 1).ok_or(Stop::More)?;
        if cursor.bytes[end] == quote && matches!(next, b',' | b')') {
            cursor.at = end + 1;
            return Ok(Slot::new(Kind::Text(charset), false, start..end));
        }
        let copied = self.scratch.len();
        loop {
            self.unescape(cursor)?;
            cursor.blank()?;
            let next = cursor.byte()?;
            if next != b'\'' && (next != b'"' || cursor.reading.ansi_quotes) {
                break;
            }
        }
        Ok(Slot::new(Kind::Text(charset), true, copied..self.scratch.len()))
    }

    /// Copies what stands in quotes; the cursor is on the first quote.
    fn unescape(&mut self, cursor: &mut Cursor<'_>) -> Found<()> {
        let quote = cursor.byte()?;
        let escapes = cursor.has_escapes(quote);
        let mut at = cursor.at + 1;
        loop {
            let end = at + cursor.special(quote, escapes, at)?;
            self.scratch.extend_from_slice(&cursor.bytes[at..end]);
            let next = *cursor.bytes.get(end + 1).ok_or(Stop::More)?;
            if cursor.bytes[end] == quote {
                if next != quote {
                    cursor.at = end + 1;
                    return Ok(());
                }
                self.scratch.push(quote);
            } else {
                match unescaped(next) {
                    Some(byte) => self.scratch.push(byte),
                    // For LIKE: the backslash stays.
                    None => self.scratch.extend_from_slice(&[b'\\', next]),
                }
            }
            at = end + 2;
        }
    }

    fn quoted_hex(&mut self, cursor: &mut Cursor<'_>, charset: Option<Charset>) -> Found<Slot> {
        let start = cursor.at;
        let digits = quoted_digits(cursor)?;
        if digits.len() % 2 == 1 {
            return Err(Stop::Fault(HEX, start));
        }
        self.hex(digits, charset, start)
    }

    fn quoted_bits(&mut self, cursor: &mut Cursor<'_>, charset: Option<Charset>) -> Found<Slot> {
        let start = cursor.at;
        let digits = quoted_digits(cursor)?;
        self.bits(digits, charset, start)
    }

    fn hex(&mut self, digits: &[u8], charset: Option<Charset>, start: usize) -> Found<Slot> {
        let copied = self.scratch.len();
        let (odd, pairs) = digits.split_at(digits.len() % 2);
        let mut is_hex = true;
        let mut digit = |byte: u8| {
            let value = HEX_DIGITS[usize::from(byte)];
            is_hex &= value < 16;
            value & 15
        };
        self.scratch.extend(odd.iter().map(|byte| digit(*byte)));
        let bytes = pairs
            .chunks_exact(2)
            .map(|pair| digit(pair[0]) << 4 | digit(pair[1]));
        self.scratch.extend(bytes);
        if !is_hex {
            return Err(Stop::Fault(HEX, start));
        }
        Ok(Slot::new(Kind::Hex(charset), true, copied..self.scratch.len()))
    }

    fn bits(&mut self, digits: &[u8], charset: Option<Charset>, start: usize) -> Found<Slot> {
        let copied = self.scratch.len();
        if !digits.iter().all(|byte| matches!(byte, b'0' | b'1')) {
            return Err(Stop::Fault(
                Fault::Syntax {
                    expected: "binary digits",
                },
                start,
            ));
        }
        let (first, rest) = digits.split_at(digits.len() % 8);
        let groups = std::iter::once(first).filter(|group| !group.is_empty());
        let byte = |group: &[u8]| group.iter().fold(0, |byte, digit| byte << 1 | (digit & 1));
        self.scratch.extend(groups.chain(rest.chunks(8)).map(byte));
        Ok(Slot::new(Kind::Bits(charset), true, copied..self.scratch.len()))
    }
}

const HEX: Fault = Fault::Syntax {
    expected: "pairs of hexadecimal digits",
};

/// The value of each byte as a hexadecimal digit; 0xff for what is none.
const HEX_DIGITS: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut digit = 0_u8;
    while digit < 16 {
        values[b"0123456789abcdef"[digit as usize] as usize] = digit;
        values[b"0123456789ABCDEF"[digit as usize] as usize] = digit;
        digit += 1;
    }
    values
};

/// What stands in the quotes on which the cursor is.
fn quoted_digits<'w>(cursor: &mut Cursor<'w>) -> Found<&'w [u8]> {
    if !cursor.accept(b'\'')? {
        return cursor.fault(Fault::Syntax {
            expected: "a quote before the digits",
        });
    }
    let rest = cursor.rest();
    let end = memchr::memchr(b'\'', rest).ok_or(Stop::More)?;
    cursor.at += end + 1;
    Ok(&rest[..end])
}

/// The length of `12`, `1.5`, `.5`, `1.` or `1e-10`; none if it is no number.
fn number_length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let rest = text[from..].iter();
        rest.take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut end = digits(0);
    let mut count = end;
    if text.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        end += 1 + fraction;
        count += fraction;
    }
    if count == 0 {
        return None;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'-' | b'+')));
        let exponent = digits((end + 1 + sign).min(text.len()));
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    Some(end)
}
