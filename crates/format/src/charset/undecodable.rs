//! Bytes that are no text of their character set.

/// Bytes that are no character of their character set; the server would show `?` or refuse them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes from offset {offset} on are no character of the character set")]
pub struct UndecodableText {
    /// Where the first undecodable character begins, in bytes from the start of the text.
    pub offset: usize,
}
