//! Server UUIDs of MySQL.

use std::fmt;

/// A 16-byte server UUID of MySQL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerUuid(pub [u8; 16]);

impl ServerUuid {
    /// Parses the 36-character form, with or without dashes, in any case.
    pub fn parse(text: &str) -> Option<ServerUuid> {
        let mut digits = text.bytes().filter(|byte| *byte != b'-');
        let mut bytes = [0_u8; 16];
        for byte in &mut bytes {
            *byte = (hex_digit(digits.next()?)? << 4) | hex_digit(digits.next()?)?;
        }
        digits.next().is_none().then_some(ServerUuid(bytes))
    }

    /// Its bytes as one number: compared in one instruction.
    pub(super) fn number(self) -> u128 {
        u128::from_be_bytes(self.0)
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

impl fmt::Display for ServerUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        // Every transaction's identity is printed on its way into the log: one write, not one a byte.
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, byte) in self.0.iter().enumerate() {
            at += usize::from(matches!(index, 4 | 6 | 8 | 10));
            text[at] = DIGITS[usize::from(byte >> 4)];
            text[at + 1] = DIGITS[usize::from(byte & 15)];
            at += 2;
        }
        f.write_str(str::from_utf8(&text).expect("hexadecimal digits and dashes"))
    }
}

impl fmt::Debug for ServerUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
