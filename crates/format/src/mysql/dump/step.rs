//! What a reader gives, one after the other.

use super::error::{DumpError, Fault};
use super::insert::Insert;
use super::row::Row;
use super::session::Session;
use crate::charset;

/// How much of a dump is kept at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest statement or comment in bytes. Of an INSERT only what stands before the first row
    /// counts.
    pub statement_bytes_max: usize,
    /// Longest row in bytes, as it is written.
    pub row_bytes_max: usize,
}

/// What comes next in the dump.
#[derive(Debug)]
pub enum Step<'a> {
    /// The bytes end within something: feed more, or say that there are none.
    More,
    /// A row of an INSERT or REPLACE.
    Row(Row<'a>),
    /// A row with a value that only a server can compute. The rows behind it follow.
    Refused {
        /// The statement that it is of.
        insert: &'a Insert,
        /// Which value, and where.
        error: DumpError,
    },
    /// Any other statement.
    Statement(Statement<'a>),
    /// The dump is over.
    End(Ending),
}

/// How a dump ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// Whether it has the `-- Dump completed` that mysqldump and mariadb-dump write at the end;
    /// with `--tab`, triggers stand behind it. Other tools, and `--skip-comments`, write none.
    pub completed: bool,
    /// The bytes of the whole dump.
    pub bytes: u64,
}

/// A statement without rows.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    pub(super) text: &'a [u8],
    pub(super) offset: u64,
    pub(super) line: u64,
    pub(super) session: &'a Session,
}

impl<'a> Statement<'a> {
    /// Its bytes without the delimiter, in the character set of its session.
    pub fn bytes(&self) -> &'a [u8] {
        self.text
    }

    /// Bytes of the dump before it.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The line where it begins, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// What the dump has set up to here, this statement included.
    pub fn session(&self) -> &'a Session {
        self.session
    }

    /// Its text; `scratch` takes it where the dump is not UTF-8.
    pub fn text<'t>(&'t self, scratch: &'t mut Vec<u8>) -> Result<&'t str, DumpError> {
        text(self.text, self.session, scratch).map_err(|fault| DumpError {
            fault,
            offset: self.offset,
            line: self.line,
        })
    }
}

/// The bytes as text of the character set that the dump has set.
pub(super) fn text<'t>(
    bytes: &'t [u8],
    session: &Session,
    scratch: &'t mut Vec<u8>,
) -> Result<&'t str, Fault> {
    let charset = session.reading().charset;
    charset::decode(charset, bytes, scratch).map_err(|_| Fault::NotText {
        charset: charset.name(),
    })
}
