//! A cursor over the bytes of a dump that knows its comments and quotes.

use spanferry_core::schema::charset::Charset;

use super::error::Fault;
use super::session::Reading;
use crate::mysql::token::Dialect;

/// Why the cursor could not continue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes end here; with more of them it may continue.
    More,
    /// The byte at this index is not what it should be.
    Fault(Fault, usize),
}

pub(super) type Found<T> = Result<T, Stop>;

/// Reads from the left to the right.
#[derive(Debug)]
pub(super) struct Cursor<'w> {
    pub(super) bytes: &'w [u8],
    pub(super) at: usize,
    /// Nothing follows `bytes`.
    pub(super) last: bool,
    pub(super) reading: Reading,
    /// Inside of a comment whose content counts.
    pub(super) inside: bool,
}

impl<'w> Cursor<'w> {
    pub(super) fn new(bytes: &'w [u8], last: bool, reading: Reading) -> Cursor<'w> {
        Cursor {
            bytes,
            at: 0,
            last,
            reading,
            inside: false,
        }
    }

    pub(super) fn rest(&self) -> &'w [u8] {
        &self.bytes[self.at..]
    }

    /// The next byte, which must be there.
    pub(super) fn byte(&self) -> Found<u8> {
        self.bytes.get(self.at).copied().ok_or(Stop::More)
    }

    /// The byte behind the next one; 0 at the end of the dump.
    fn second(&self) -> Found<u8> {
        match self.bytes.get(self.at + 1) {
            Some(byte) => Ok(*byte),
            None if self.last => Ok(0),
            None => Err(Stop::More),
        }
    }

    pub(super) fn fault<T>(&self, fault: Fault) -> Found<T> {
        Err(Stop::Fault(fault, self.at))
    }

    pub(super) fn spaces(&mut self) {
        let count = self.rest().iter().take_while(|byte| is_space(**byte)).count();
        self.at += count;
    }

    /// Steps over spaces and comments; into and out of comments whose content counts.
    pub(super) fn blank(&mut self) -> Found<()> {
        loop {
            self.spaces();
            match self.byte()? {
                b'#' | b'-' if self.is_line_comment()? => self.line()?,
                b'/' if self.second()? == b'*' => match self.code()? {
                    Some(bytes) if !self.inside => {
                        self.inside = true;
                        self.at += bytes;
                    }
                    _ => self.block()?,
                },
                b'*' if self.inside && self.second()? == b'/' => {
                    self.inside = false;
                    self.at += 2;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Whether a comment to the end of the line begins here.
    pub(super) fn is_line_comment(&self) -> Found<bool> {
        match self.byte()? {
            b'#' => Ok(true),
            b'-' if self.second()? == b'-' => match self.bytes.get(self.at + 2) {
                Some(byte) => Ok(byte.is_ascii_whitespace() || byte.is_ascii_control()),
                None if self.last => Ok(true),
                None => Err(Stop::More),
            },
            _ => Ok(false),
        }
    }

    /// Steps behind the line's end.
    pub(super) fn line(&mut self) -> Found<()> {
        match memchr::memchr(b'\n', self.rest()) {
            Some(end) => self.at += end + 1,
            None if self.last => self.at = self.bytes.len(),
            None => return Err(Stop::More),
        }
        Ok(())
    }

    /// Steps over a comment whose content does not count.
    pub(super) fn block(&mut self) -> Found<()> {
        let end = memchr::memmem::find(&self.bytes[self.at + 2..], b"*/").ok_or(Stop::More)?;
        self.at += 2 + end + 2;
        Ok(())
    }

    /// The length of what begins a comment whose content counts, if one begins here.
    pub(super) fn code(&self) -> Found<Option<usize>> {
        /// `/*M!` and six digits.
        const LONGEST: usize = 10;
        let rest = self.rest();
        if rest.len() < LONGEST && !self.last {
            return Err(Stop::More);
        }
        let (mark, for_mariadb) = match rest {
            [b'/', b'*', b'!', ..] => (3, false),
            [b'/', b'*', b'M' | b'm', b'!', ..] => (4, true),
            _ => return Ok(None),
        };
        let digits = rest[mark..]
            .iter()
            .take(6)
            .take_while(|byte| byte.is_ascii_digit());
        let digits = match digits.count() {
            count @ (5 | 6) => count,
            _ => 0,
        };
        let version = rest[mark..mark + digits].iter();
        let version = version.fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
        let dialect = Dialect {
            mariadb: self.reading.mariadb,
            ansi_quotes: false,
            no_backslash: false,
        };
        let executes = dialect.executes(for_mariadb, (digits > 0).then_some(version));
        Ok(executes.then_some(mark + digits))
    }

    /// Steps over what stands in quotes; the cursor is on the first quote.
    pub(super) fn quoted(&mut self) -> Found<()> {
        let quote = self.byte()?;
        let escapes = self.has_escapes(quote);
        let mut at = self.at + 1;
        loop {
            at += self.special(quote, escapes, at)?;
            let is_escape = self.bytes[at] == b'\\' && escapes;
            if is_escape || self.bytes.get(at + 1) == Some(&quote) {
                at += 2;
            } else if at + 1 == self.bytes.len() && !self.last {
                return Err(Stop::More);
            } else {
                self.at = at + 1;
                return Ok(());
            }
            if at > self.bytes.len() {
                return Err(Stop::More);
            }
        }
    }

    /// Whether a backslash means something in these quotes.
    pub(super) fn has_escapes(&self, quote: u8) -> bool {
        !(self.reading.no_backslash || quote == b'`' || (quote == b'"' && self.reading.ansi_quotes))
    }

    /// How many bytes from `from` on stand before the next quote or backslash.
    pub(super) fn special(&self, quote: u8, escapes: bool, from: usize) -> Found<usize> {
        let rest = self.bytes.get(from..).ok_or(Stop::More)?;
        if self.reading.has_hidden_backslashes() {
            return self.special_character(quote, escapes, rest);
        }
        let found = if escapes {
            memchr::memchr2(quote, b'\\', rest)
        } else {
            memchr::memchr(quote, rest)
        };
        found.ok_or(Stop::More)
    }

    /// The same in a character set where a backslash can be the second byte of a character.
    fn special_character(&self, quote: u8, escapes: bool, rest: &[u8]) -> Found<usize> {
        let mut at = 0;
        loop {
            let byte = *rest.get(at).ok_or(Stop::More)?;
            if byte == quote || (byte == b'\\' && escapes) {
                return Ok(at);
            }
            at += match rest.get(at + 1) {
                Some(next) if is_two_bytes(self.reading.charset, byte, *next) => 2,
                _ => 1,
            };
        }
    }

    /// A word of letters, digits, `_` and `$`; bytes from 0x80 on are letters.
    pub(super) fn word(&mut self) -> Found<&'w [u8]> {
        let rest = self.rest();
        let length = rest.iter().take_while(|byte| is_word(**byte)).count();
        if length == rest.len() && !self.last {
            return Err(Stop::More);
        }
        self.at += length;
        Ok(&rest[..length])
    }

    /// Steps over this byte if it comes next.
    pub(super) fn accept(&mut self, byte: u8) -> Found<bool> {
        let found = self.byte()? == byte;
        self.at += usize::from(found);
        Ok(found)
    }

    /// Whether these bytes come next.
    pub(super) fn is(&self, bytes: &[u8]) -> Found<bool> {
        let rest = self.rest();
        if rest.len() < bytes.len() && bytes.starts_with(rest) {
            return Err(Stop::More);
        }
        Ok(rest.starts_with(bytes))
    }
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

/// Whether the two bytes are one character, in the character sets whose second bytes may be a
/// backslash. In those of four bytes no other byte may be one.
fn is_two_bytes(charset: Charset, lead: u8, trail: u8) -> bool {
    match charset {
        Charset::Sjis | Charset::Cp932 => {
            matches!(lead, 0x81..=0x9f | 0xe0..=0xfc) && matches!(trail, 0x40..=0x7e | 0x80..=0xfc)
        }
        Charset::Gbk | Charset::Gb18030 => {
            matches!(lead, 0x81..=0xfe) && matches!(trail, 0x40..=0x7e | 0x80..=0xfe)
        }
        Charset::Big5 => matches!(lead, 0xa1..=0xf9) && matches!(trail, 0x40..=0x7e | 0xa1..=0xfe),
        _ => false,
    }
}
