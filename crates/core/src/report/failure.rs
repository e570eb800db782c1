//! Failures at the boundaries: classified where they are born, with a code, the object, the cause
//! and the next command.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::report::code::{self, Code};
use crate::schema::source::QualifiedName;

/// What may be done after a failure. Decided where it happens, never guessed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Nothing happened; the same call may be made again, not before `after` if it is given.
    Retry {
        /// Delay asked for by the server.
        after: Option<Duration>,
    },
    /// It may or may not have happened: look before judging.
    Ambiguous,
    /// Belongs to one table, `Failure::table`: its group stops, the others flow. Or to one
    /// statement of a batch.
    StopTable,
    /// The migration ends, resumable.
    StopMigration,
    /// An invariant broke.
    Bug,
}

/// A failed operation.
#[derive(Debug)]
pub struct Failure {
    /// Register entry.
    pub code: Code,
    /// What may be done.
    pub class: Class,
    /// The object it happened to: a table, file, host or statement; never a value of a row. For
    /// people: decisions read `table`.
    pub object: String,
    /// The source table whose group it stops.
    pub table: Option<QualifiedName>,
    /// What happened, as a lower-case fragment, without its cause.
    pub message: String,
    /// The next command, if it is more precise than the code's own explanation.
    pub hint: Option<String>,
    /// The cause.
    pub cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    /// A failure without a cause or hint.
    pub fn new(code: Code, class: Class, object: impl Into<String>, message: impl Into<String>) -> Failure {
        Failure {
            code,
            class,
            object: object.into(),
            table: None,
            message: message.into(),
            hint: None,
            cause: None,
        }
    }

    /// A failure that belongs to one source table: its group stops.
    pub fn of_table(code: Code, table: &QualifiedName, message: impl Into<String>) -> Failure {
        Failure {
            table: Some(table.clone()),
            ..Failure::new(code, Class::StopTable, table.table.clone(), message)
        }
    }

    /// A broken invariant.
    pub fn bug(object: impl Into<String>, message: impl Into<String>) -> Failure {
        Failure::new(code::BUG, Class::Bug, object, message)
    }

    /// A task that has panicked. `payload` is what the panic carried.
    pub fn panicked(task: &str, payload: &(dyn Any + Send)) -> Failure {
        Failure::bug("", panic_text(task, payload))
    }

    /// The same failure with its cause.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Failure {
        self.cause = Some(cause.into());
        self
    }

    /// The same failure with a hint of its own.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// The hint to print: its own, or the code's explanation.
    pub fn next_step(&self) -> &str {
        self.hint.as_deref().unwrap_or(self.code.explanation())
    }

    /// What happened and why, without the object: for a finding, which names its object by itself.
    pub fn reason(&self) -> String {
        match &self.cause {
            Some(cause) => format!("{}: {cause}", self.message),
            None => self.message.clone(),
        }
    }

    /// The failure and all of its causes in one line for a log: without words of a server that may
    /// quote a row.
    pub fn for_log(&self) -> String {
        let mut text = self.to_string();
        let mut cause = StdError::source(self);
        while let Some(known) = cause {
            let line = match known.downcast_ref::<ServerWords>() {
                Some(words) => words.for_log.clone(),
                None => known.to_string(),
            };
            if !line.is_empty() {
                text.push_str(": ");
                text.push_str(&line);
            }
            cause = known.source();
        }
        text
    }

    /// Whether the same call may simply be made again.
    pub fn is_retry(&self) -> bool {
        matches!(self.class, Class::Retry { .. })
    }
}

/// A cause in the words of a server, which may quote a row or its key: whole for a person and for
/// findings, which only the operator can read, and cut for a log, which goes to others too.
#[derive(Debug)]
pub struct ServerWords {
    cause: Box<dyn StdError + Send + Sync>,
    for_log: String,
}

impl ServerWords {
    /// The whole cause, and what of it quotes nothing.
    pub fn new(cause: impl Into<Box<dyn StdError + Send + Sync>>, for_log: impl Into<String>) -> ServerWords {
        ServerWords {
            cause: cause.into(),
            for_log: for_log.into(),
        }
    }
}

impl fmt::Display for ServerWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl StdError for ServerWords {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.source()
    }
}

/// `task NAME panicked: …`, with the text of the panic.
pub fn panic_text(task: &str, payload: &(dyn Any + Send)) -> String {
    let fixed = payload.downcast_ref::<&str>().copied();
    let text = fixed.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("task {task} panicked: {}", text.unwrap_or("it gave no text"))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.object.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.object, self.message)
        }
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause
            .as_deref()
            .map(|cause| cause as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_carries_every_cause() {
        let inner = Failure::bug("disk", "is full");
        let failure = Failure::bug("statement", "was refused").caused_by(inner);
        assert_eq!(failure.for_log(), "statement: was refused: disk: is full");
    }

    #[test]
    fn a_panic_is_reported_with_its_task_and_text() {
        let text: &(dyn Any + Send) = &"boom";
        assert_eq!(
            Failure::panicked("capture", text).to_string(),
            "task capture panicked: boom"
        );
        assert_eq!(
            panic_text("apply", &"3 of 2".to_owned()),
            "task apply panicked: 3 of 2"
        );
        assert_eq!(panic_text("apply", &7), "task apply panicked: it gave no text");
    }

    #[test]
    fn a_log_line_lacks_what_a_server_quotes() {
        let words = ServerWords::new(
            "ALREADY_EXISTS: Row [1] in table t already exists",
            "ALREADY_EXISTS",
        );
        let refused = Failure::bug("t", "was refused").caused_by(words);
        let outer = Failure::bug("lane", "gives up").caused_by(refused);
        assert_eq!(outer.for_log(), "lane: gives up: t: was refused: ALREADY_EXISTS");
        let whole = outer.cause.unwrap().source().unwrap().to_string();
        assert_eq!(whole, "ALREADY_EXISTS: Row [1] in table t already exists");
    }
}
