//! QUERY events: a statement's text, and the settings under which it is to be read.

use spanferry_core::schema::charset::Charset;
use spanferry_format::charset::{decode, of_collation};
use spanferry_format::mysql::statement::{Kind, Statement};
use spanferry_format::mysql::token::Dialect;

use super::event::{Cursor, Malformed};

/// A parsed QUERY event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueryEvent {
    /// Default schema, empty if none.
    pub(crate) schema: String,
    /// The statement's text; `None` if it is no text in the client's character set.
    pub(crate) text: Option<String>,
    /// Schemas that the statement changed, by the server's account (MySQL only); `None` if it does
    /// not say.
    pub(crate) changed_schemas: Option<Vec<String>>,
    /// `ANSI_QUOTES`: `"x"` is an identifier.
    pub(crate) ansi_quotes: bool,
    /// `NO_BACKSLASH_ESCAPES`.
    pub(crate) no_backslash: bool,
}

/// Whether the body of a QUERY event is `BEGIN`, which nearly every transaction has: recognised
/// without parsing it. Every character set of a client writes the word in the same bytes.
pub(crate) fn is_begin(body: &[u8]) -> bool {
    let lengths = || {
        Some((
            *body.get(8)?,
            u16::from_le_bytes(*body.get(11..13)?.first_chunk()?),
        ))
    };
    lengths().is_some_and(|(schema, variables)| {
        body.get(13 + usize::from(variables) + usize::from(schema)..) == Some(b"\0BEGIN")
    })
}

impl QueryEvent {
    /// Parses the body of a QUERY event.
    pub(crate) fn parse(body: &[u8]) -> Result<QueryEvent, Malformed> {
        let mut cursor = Cursor::new(body);
        cursor.take(8)?;
        let schema_length = cursor.length(1)?;
        cursor.take(2)?;
        let variables_length = cursor.length(2)?;
        let variables = cursor.take(variables_length)?;
        let schema = String::from_utf8_lossy(cursor.take(schema_length)?).into_owned();
        cursor.take(1)?;
        let mut event = QueryEvent {
            schema,
            text: None,
            changed_schemas: None,
            ansi_quotes: false,
            no_backslash: false,
        };
        let mut charset = Some(Charset::Utf8mb4);
        // A variable that is not known ends the reading: what stands behind it is not needed for
        // safety.
        let _unknown: Result<(), Malformed> = event.variables(Cursor::new(variables), &mut charset);
        let mut scratch = Vec::new();
        let statement = cursor.rest();
        event.text = match charset {
            Some(charset) => decode(charset, statement, &mut scratch).ok().map(str::to_owned),
            None => None,
        }
        .or_else(|| std::str::from_utf8(statement).ok().map(str::to_owned));
        Ok(event)
    }

    fn variables(&mut self, mut cursor: Cursor<'_>, charset: &mut Option<Charset>) -> Result<(), Malformed> {
        while !cursor.is_empty() {
            match cursor.u8()? {
                0 | 3 | 10 => skip(&mut cursor, 4)?,
                1 => {
                    let mode = cursor.u64()?;
                    self.ansi_quotes = mode & 4 != 0;
                    self.no_backslash = mode & (1 << 20) != 0;
                }
                2 => {
                    let length = cursor.length(1)?;
                    cursor.take(length + 1)?;
                }
                4 => {
                    *charset = of_collation(cursor.u16()?);
                    cursor.take(4)?;
                }
                5 | 6 => {
                    let length = cursor.length(1)?;
                    cursor.take(length)?;
                }
                7 | 8 | 18 => skip(&mut cursor, 2)?,
                9 | 17 | 129 => skip(&mut cursor, 8)?,
                11 => {
                    for _ in 0..2 {
                        let length = cursor.length(1)?;
                        cursor.take(length)?;
                    }
                }
                12 => {
                    let count = cursor.u8()?;
                    // 254: more than the event can name.
                    if count != 254 {
                        let mut schemas = Vec::new();
                        for _ in 0..count {
                            let length = cursor.rest().iter().position(|byte| *byte == 0);
                            let name = cursor.take(length.ok_or(Malformed("a schema name without end"))?)?;
                            cursor.take(1)?;
                            schemas.push(String::from_utf8_lossy(name).into_owned());
                        }
                        self.changed_schemas = Some(schemas);
                    }
                }
                13 | 128 => skip(&mut cursor, 3)?,
                16 | 19 | 20 | 130 => skip(&mut cursor, 1)?,
                _ => return Err(Malformed("an unknown status variable")),
            }
        }
        Ok(())
    }

    /// What the statement does at a server of this kind.
    pub(crate) fn statement(&self, mariadb: bool) -> Statement {
        let dialect = Dialect {
            mariadb,
            ansi_quotes: self.ansi_quotes,
            no_backslash: self.no_backslash,
        };
        match &self.text {
            Some(text) => Statement::read(text, dialect),
            None => Statement::new(Kind::Unknown),
        }
    }
}

fn skip(cursor: &mut Cursor<'_>, count: usize) -> Result<(), Malformed> {
    cursor.take(count).map(|_| ())
}
