//! How the parts of a mark are written: words with one space between, bytes that are not plain
//! as `%` and two digits.

use std::fmt::Write as _;

/// What stands for nothing.
const NONE: &str = "-";
/// What stands before a text that is there, which may be empty.
const SOME: char = '=';

/// A text that is written.
pub(super) struct Written(String);

impl Written {
    pub(super) fn new(form: &str) -> Written {
        Written(form.to_owned())
    }

    /// A plain word of ours.
    pub(super) fn word(&mut self, word: &str) {
        self.0.push(' ');
        self.0.push_str(word);
    }

    pub(super) fn number(&mut self, number: u64) {
        self.word(&number.to_string());
    }

    pub(super) fn flags(&mut self, flags: &[bool]) {
        let digits = flags.iter().map(|flag| if *flag { '1' } else { '0' });
        self.word(&digits.collect::<String>());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.push(' ');
        self.0.push(SOME);
        for byte in bytes {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.') {
                self.0.push(char::from(*byte));
            } else {
                write!(self.0, "%{byte:02X}").expect("a string takes all");
            }
        }
    }

    pub(super) fn option(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bytes(bytes),
            None => self.word(NONE),
        }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// A text that is read.
pub(super) struct Fields<'a>(std::str::Split<'a, char>);

impl<'a> Fields<'a> {
    pub(super) fn new(text: &'a str) -> Fields<'a> {
        Fields(text.split(' '))
    }

    pub(super) fn word(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let word = self.word()?;
        // A sign, or a zero before the digits, is none of ours.
        let number: u64 = word.parse().ok()?;
        (number.to_string() == word).then_some(number)
    }

    pub(super) fn flags<const N: usize>(&mut self) -> Option<[bool; N]> {
        let word = self.word()?.as_bytes();
        let word: &[u8; N] = word.try_into().ok()?;
        let is_flag = |byte: &u8| matches!(byte, b'0' | b'1');
        word.iter().all(is_flag).then(|| word.map(|byte| byte == b'1'))
    }

    pub(super) fn bytes(&mut self) -> Option<Vec<u8>> {
        self.option()?
    }

    pub(super) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }

    /// What was written by `Written::option`.
    pub(super) fn option(&mut self) -> Option<Option<Vec<u8>>> {
        let word = self.word()?;
        if word == NONE {
            return Some(None);
        }
        let mut rest = word.strip_prefix(SOME)?.bytes();
        let mut bytes = Vec::with_capacity(rest.len());
        while let Some(byte) = rest.next() {
            bytes.push(if byte == b'%' {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            } else {
                byte
            });
        }
        Some(Some(bytes))
    }

    pub(super) fn is_end(&mut self) -> bool {
        self.0.next().is_none()
    }
}
