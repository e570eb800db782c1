//! Server character sets (the decoder tables follow in this folder).

/// A character set of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Charset {
    /// UTF-8, up to four bytes a character.
    Utf8mb4,
}
