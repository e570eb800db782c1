//! The reader: takes bytes in pieces, gives statements and rows one after the other.

use std::ops::Range;
use std::sync::Arc;

use super::cursor::{Cursor, Found, Stop};
use super::error::{DumpError, Fault};
use super::insert::{self, Insert};
use super::mark::{Mark, Place};
use super::row::{Row, RowReader};
use super::scan::{
    BYTE_ORDER_MARK, DELIMITER, Note, comment, delimiter_command, note, sets, skip_group, skip_statement,
};
use super::session::{Reading, Session};
use super::step::{Ending, Limits, Statement, Step, text};

/// Reads a dump. After an error it gives the same error for ever.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    buffer: Vec<u8>,
    /// How much of the buffer was read.
    at: usize,
    /// Bytes of the dump before the buffer.
    base: u64,
    /// The line of `at`.
    line: u64,
    finished: bool,
    /// How many bytes were not enough at the last look.
    short: usize,
    session: Arc<Session>,
    place: Place,
    completed: bool,
    rows: RowReader,
}

/// What was found, by its place in the buffer.
enum Outcome {
    More,
    End,
    Statement(Range<usize>, u64),
    Row(u64, u64),
    Refused(DumpError),
}

impl Reader {
    /// A reader of a dump from its first byte on. It is read in this way until something in it says
    /// otherwise: its header names the server's family, its statements the rest.
    pub fn new(limits: Limits, reading: Reading) -> Reader {
        let mark = Mark {
            offset: 0,
            line: 1,
            session: Arc::new(Session::new(reading)),
            place: Place::Between,
            completed: false,
        };
        Reader::resume(limits, mark)
    }

    /// A reader of what follows a mark: the first byte that it is fed is the one at
    /// [`Mark::offset`].
    pub fn resume(limits: Limits, mark: Mark) -> Reader {
        Reader {
            limits,
            buffer: Vec::new(),
            at: 0,
            base: mark.offset,
            line: mark.line,
            finished: false,
            short: 0,
            session: mark.session,
            place: mark.place,
            completed: mark.completed,
            rows: RowReader::default(),
        }
    }

    /// The place behind the last step.
    pub fn mark(&self) -> Mark {
        Mark {
            offset: self.offset(),
            line: self.line,
            session: Arc::clone(&self.session),
            place: self.place.clone(),
            completed: self.completed,
        }
    }

    /// Takes the next bytes. What is fed is kept until it is read, so feed when [`Step::More`] is
    /// asked for: then no more is kept than twice the longest row or statement, and one piece.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        self.base += to_u64(self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Nothing follows what was fed.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// What the dump has set so far.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The next statement or row.
    #[expect(
        clippy::should_implement_trait,
        reason = "what it gives is borrowed from the reader"
    )]
    pub fn next(&mut self) -> Result<Step<'_>, DumpError> {
        Ok(match self.advance()? {
            Outcome::More => Step::More,
            Outcome::End => Step::End(Ending {
                completed: self.completed,
                bytes: self.offset(),
            }),
            Outcome::Statement(range, line) => Step::Statement(Statement {
                offset: self.base + to_u64(range.start),
                text: &self.buffer[range],
                line,
                session: &self.session,
            }),
            Outcome::Row(offset, line) => Step::Row(self.found_row(offset, line)),
            Outcome::Refused(error) => Step::Refused {
                insert: self.insert(),
                error,
            },
        })
    }

    fn insert(&self) -> &Insert {
        match &self.place {
            Place::Rows { insert, .. } => insert,
            Place::Between => unreachable!("a row is found within its statement only"),
        }
    }

    /// The row that `advance` has read; its values are by their place behind `offset`.
    fn found_row(&self, offset: u64, line: u64) -> Row<'_> {
        let start = usize::try_from(offset - self.base).expect("it is within the buffer");
        Row {
            insert: self.insert(),
            slots: &self.rows.slots,
            bytes: &self.buffer[start..self.at],
            scratch: &self.rows.scratch,
            offset,
            line,
        }
    }

    fn offset(&self) -> u64 {
        self.base + to_u64(self.at)
    }

    fn error(&self, fault: Fault, behind: usize) -> DumpError {
        let before = &self.buffer[self.at..(self.at + behind).min(self.buffer.len())];
        DumpError {
            fault,
            offset: self.offset() + to_u64(behind),
            line: self.line + lines(before),
        }
    }

    fn advance(&mut self) -> Result<Outcome, DumpError> {
        loop {
            let pending = self.buffer.len() - self.at;
            // Each look at a long row begins at its first byte: look when there is twice as much.
            if !self.finished && pending < self.short.saturating_mul(2).min(self.limit()) {
                return Ok(Outcome::More);
            }
            let found = match self.place {
                Place::Between => self.between(),
                Place::Rows { .. } => self.next_row(),
            };
            match found {
                Ok(Some(outcome)) => return Ok(outcome),
                Ok(None) => {}
                Err(Stop::Fault(fault, behind)) => return Err(self.error(fault, behind)),
                Err(Stop::More) if pending >= self.limit() => {
                    let limit = self.limit();
                    return Err(self.error(Fault::TooLong { limit }, 0));
                }
                Err(Stop::More) if self.finished => return Err(self.open_statement()),
                Err(Stop::More) => {
                    self.short = pending;
                    return Ok(Outcome::More);
                }
            }
        }
    }

    fn open_statement(&self) -> DumpError {
        match &self.place {
            Place::Between => self.error(Fault::OpenStatement, 0),
            Place::Rows { insert, .. } => DumpError {
                fault: Fault::OpenStatement,
                offset: insert.offset,
                line: insert.line,
            },
        }
    }

    /// The bound on what comes next.
    fn limit(&self) -> usize {
        match self.place {
            Place::Between => self.limits.statement_bytes_max,
            Place::Rows { .. } => self.limits.row_bytes_max,
        }
    }

    /// A cursor over what is not read yet, up to the bound.
    fn cursor(&self) -> Cursor<'_> {
        let rest = &self.buffer[self.at..];
        let limit = self.limit();
        let last = self.finished && rest.len() <= limit;
        Cursor::new(&rest[..rest.len().min(limit)], last, self.session.reading())
    }

    fn consume(&mut self, bytes: usize) {
        self.line += lines(&self.buffer[self.at..self.at + bytes]);
        self.at += bytes;
        self.short = 0;
    }

    /// Between two statements: steps over spaces and comments, or finds a statement.
    fn between(&mut self) -> Found<Option<Outcome>> {
        let mut cursor = self.cursor();
        if cursor.bytes.is_empty() {
            return Ok(Some(if self.finished {
                Outcome::End
            } else {
                Outcome::More
            }));
        }
        if self.offset() == 0 && cursor.is(BYTE_ORDER_MARK)? {
            cursor.at += BYTE_ORDER_MARK.len();
        }
        cursor.spaces();
        if cursor.at > 0 {
            let spaces = cursor.at;
            self.consume(spaces);
            return Ok(None);
        }
        if let Some(bytes) = comment(&mut cursor)? {
            let comment = &self.buffer[self.at..self.at + bytes];
            match note(comment) {
                Some(Note::Begun) => self.completed = false,
                Some(Note::Completed) => self.completed = true,
                Some(Note::Mariadb(mariadb)) => Arc::make_mut(&mut self.session).set_mariadb(mariadb),
                Some(Note::Schema(schema)) => Arc::make_mut(&mut self.session).set_schema(schema),
                None => {}
            }
            self.consume(bytes);
            return Ok(None);
        }
        if cursor.is(self.session.delimiter())? {
            self.consume(self.session.delimiter().len());
            return Ok(None);
        }
        self.statement()
    }

    fn statement(&mut self) -> Found<Option<Outcome>> {
        let mut cursor = self.cursor();
        if let Some(bytes) = delimiter_command(&mut cursor)? {
            let line = &self.buffer[self.at + DELIMITER.len()..self.at + bytes];
            Arc::make_mut(&mut self.session).set_delimiter(line);
            self.consume(bytes);
            return Ok(None);
        }
        cursor.at = 0;
        if let Some(mut insert) = insert::head(&mut cursor)? {
            let bytes = cursor.at;
            (insert.offset, insert.line) = (self.offset(), self.line);
            self.consume(bytes);
            let insert = Arc::new(insert);
            self.place = Place::Rows { insert, first: true };
            return Ok(None);
        }
        cursor.at = 0;
        cursor.inside = false;
        skip_statement(&mut cursor, self.session.delimiter())?;
        let bytes = cursor.at;
        self.follow(bytes)?;
        let (start, line) = (self.at, self.line);
        self.consume(bytes + self.session.delimiter().len());
        Ok(Some(Outcome::Statement(start..start + bytes, line)))
    }

    /// Takes what a SET or USE statement of so many bytes changes for what follows.
    fn follow(&mut self, bytes: usize) -> Found<()> {
        let statement = &self.buffer[self.at..self.at + bytes];
        if !sets(statement) {
            return Ok(());
        }
        let mut scratch = Vec::new();
        let text = text(statement, &self.session, &mut scratch).map_err(|fault| Stop::Fault(fault, 0))?;
        let session = Arc::make_mut(&mut self.session);
        session.follow(text).map_err(|fault| Stop::Fault(fault, 0))
    }

    fn next_row(&mut self) -> Found<Option<Outcome>> {
        let mut rows = std::mem::take(&mut self.rows);
        let found = self.read_row(&mut rows);
        self.rows = rows;
        found
    }

    fn read_row(&mut self, rows: &mut RowReader) -> Found<Option<Outcome>> {
        let first = matches!(self.place, Place::Rows { first: true, .. });
        let mut cursor = self.cursor();
        if !first {
            cursor.blank()?;
            if cursor.is(self.session.delimiter())? {
                let bytes = cursor.at + self.session.delimiter().len();
                self.consume(bytes);
                self.place = Place::Between;
                return Ok(None);
            }
            if !cursor.accept(b',')? {
                let word = String::from_utf8_lossy(cursor.word()?).into_owned();
                return cursor.fault(Fault::Clause { word });
            }
        }
        cursor.blank()?;
        if cursor.byte()? != b'(' || cursor.inside {
            return cursor.fault(Fault::Syntax {
                expected: "a parenthesis before the row",
            });
        }
        let start = cursor.at;
        let row = Cursor {
            bytes: cursor.rest(),
            at: 0,
            ..cursor
        };
        let found = one_row(rows, row).map_err(|stop| match stop {
            Stop::Fault(fault, behind) => Stop::Fault(fault, start + behind),
            Stop::More => Stop::More,
        });
        let (bytes, refused) = found?;
        self.consume(start);
        let (offset, line) = (self.offset(), self.line);
        let outcome = match refused {
            None => Outcome::Row(offset, line),
            Some((fault, behind)) => Outcome::Refused(self.error(fault, behind)),
        };
        self.consume(bytes);
        if let Place::Rows { first, .. } = &mut self.place {
            *first = false;
        }
        Ok(Some(outcome))
    }
}

/// A row's length, and what is refused in it if anything is.
fn one_row(rows: &mut RowReader, mut cursor: Cursor<'_>) -> Found<(usize, Option<(Fault, usize)>)> {
    match rows.row(&mut cursor) {
        Ok(()) => Ok((cursor.at, None)),
        Err(Stop::Fault(
            fault @ (Fault::DefaultValue
            | Fault::Function { .. }
            | Fault::Expression
            | Fault::UnknownCharset { .. }),
            behind,
        )) => {
            cursor.at = 0;
            cursor.inside = false;
            skip_group(&mut cursor)?;
            Ok((cursor.at, Some((fault, behind))))
        }
        Err(stop) => Err(stop),
    }
}

fn lines(bytes: &[u8]) -> u64 {
    to_u64(memchr::memchr_iter(b'\n', bytes).count())
}

fn to_u64(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits 64 bits")
}
