//! Integers and strings of the MySQL protocol (MySQL internals manual, "Basic data types").

use crate::error::MysqlError;

/// Reads a packet from its beginning. Every call is an error, never a panic, beyond the packet's
/// end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

const SHORT: MysqlError = MysqlError::Protocol {
    expected: "a longer packet",
};

impl<'a> Cursor<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Cursor<'a> {
        Cursor { rest }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], MysqlError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A little-endian integer of up to 8 bytes.
    pub(super) fn integer(&mut self, bytes: usize) -> Result<u64, MysqlError> {
        Ok(self
            .take(bytes)?
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    pub(super) fn until_zero(&mut self) -> Result<&'a [u8], MysqlError> {
        let at = self.rest.iter().position(|byte| *byte == 0).ok_or(SHORT)?;
        let text = self.take(at)?;
        self.take(1)?;
        Ok(text)
    }

    /// A length-encoded integer; `None` is the mark of NULL.
    pub(super) fn length(&mut self) -> Result<Option<u64>, MysqlError> {
        Ok(Some(match self.integer(1)? {
            0xfb => return Ok(None),
            0xfc => self.integer(2)?,
            0xfd => self.integer(3)?,
            0xfe => self.integer(8)?,
            0xff => return Err(MysqlError::Protocol { expected: "a length" }),
            small => small,
        }))
    }

    /// A length-encoded string; `None` is NULL.
    pub(super) fn string(&mut self) -> Result<Option<&'a [u8]>, MysqlError> {
        match self.length()? {
            None => Ok(None),
            Some(length) => self.take(usize::try_from(length).map_err(|_| SHORT)?).map(Some),
        }
    }

    /// A length-encoded string as text.
    pub(super) fn text(&mut self) -> Result<String, MysqlError> {
        Ok(String::from_utf8_lossy(self.string()?.unwrap_or_default()).into_owned())
    }
}
