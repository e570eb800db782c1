//! The error packet, with which the server answers a command or a login.

use super::wire::Cursor;
use crate::error::MysqlError;

/// Most bytes that are kept of the text of an error; the servers write 512 at most.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Reads an error packet (0xff, number, `#`, SQLSTATE, text).
pub(super) fn server_error(packet: &[u8]) -> MysqlError {
    let mut cursor = Cursor::new(packet);
    let head = cursor.take(1).and_then(|_| cursor.integer(2));
    let Ok(code) = head else {
        return MysqlError::Protocol {
            expected: "an error packet",
        };
    };
    let text = cursor.rest();
    let (sqlstate, message) = match text.strip_prefix(b"#") {
        Some(text) if text.len() >= 5 => text.split_at(5),
        _ => (b"HY000".as_slice(), text),
    };
    let owned = |bytes: &[u8]| {
        let kept = &bytes[..bytes.len().min(MESSAGE_BYTES_MAX)];
        String::from_utf8_lossy(kept).into_owned()
    };
    MysqlError::Server {
        code: u16::try_from(code).unwrap_or(u16::MAX),
        sqlstate: owned(sqlstate),
        message: owned(message),
        at_login: false,
    }
}
