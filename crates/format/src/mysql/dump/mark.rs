//! A place in a dump from which it can be read on, and its text.

use std::sync::Arc;

use super::insert::Insert;
use super::mark_text::{Fields, Written};
use super::session::Session;

/// A place between two steps, from which a dump can be read on. Cheap to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Bytes of the dump before it.
    pub offset: u64,
    pub(super) line: u64,
    pub(super) session: Arc<Session>,
    pub(super) place: Place,
    pub(super) completed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Between two statements.
    Between,
    /// In front of a row, and of the comma before it if it is not the first.
    Rows { insert: Arc<Insert>, first: bool },
}

/// The form of the text; another one gets another number.
const FORM: &str = "1";

impl Mark {
    /// The mark as one line of printable ASCII, which another process can read: it is stored.
    pub fn to_text(&self) -> String {
        let mut text = Written::new(FORM);
        text.number(self.offset);
        text.number(self.line);
        text.flags(&[self.completed]);
        self.session.write(&mut text);
        match &self.place {
            Place::Between => text.word("between"),
            Place::Rows { insert, first } => {
                text.word("rows");
                text.flags(&[*first]);
                insert.write(&mut text);
            }
        }
        text.finish()
    }

    /// The mark that `to_text` has written; none for any other text.
    pub fn parse(text: &str) -> Option<Mark> {
        let mut fields = Fields::new(text);
        if fields.word()? != FORM {
            return None;
        }
        let (offset, line) = (fields.number()?, fields.number()?);
        let [completed] = fields.flags()?;
        let session = Arc::new(Session::read(&mut fields)?);
        let place = match fields.word()? {
            "between" => Place::Between,
            "rows" => {
                let [first] = fields.flags()?;
                let insert = Arc::new(Insert::read(&mut fields)?);
                Place::Rows { insert, first }
            }
            _ => return None,
        };
        fields.is_end().then_some(Mark {
            offset,
            line,
            session,
            place,
            completed,
        })
    }
}
