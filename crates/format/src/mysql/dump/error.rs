//! What can be wrong with a dump, and where.

/// Why a dump cannot be read on, or a row cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault} (byte {offset}, line {line})")]
pub struct DumpError {
    /// What is wrong.
    pub fault: Fault,
    /// Bytes of the dump before the place.
    pub offset: u64,
    /// The line of the place, from 1.
    pub line: u64,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The dump ends within a statement: it was cut off.
    #[error("the dump ends within the statement that begins here")]
    OpenStatement,
    /// A statement, comment or row is longer than the caller allows.
    #[error("what begins here is longer than {limit} bytes")]
    TooLong {
        /// The bound.
        limit: usize,
    },
    /// The rows of an INSERT are not in the form that servers read.
    #[error("the row has not the expected form: expected {expected}")]
    Syntax {
        /// What should stand here.
        expected: &'static str,
    },
    /// A character set that is not known.
    #[error("the character set `{name}` is not known")]
    UnknownCharset {
        /// Its name.
        name: String,
    },
    /// A setting that decides how the dump is to be read gets a value that is not known here.
    #[error("the value that `{variable}` gets is not known, and it decides how the dump is read")]
    Setting {
        /// The variable.
        variable: &'static str,
    },
    /// A statement's bytes are no text of the character set that the dump has set.
    #[error("the statement is no text of the character set `{charset}`")]
    NotText {
        /// The name of the character set.
        charset: &'static str,
    },
    /// The keyword DEFAULT stands for a value.
    #[error("DEFAULT stands for a value, which only the server knows")]
    DefaultValue,
    /// A function call stands for a value.
    #[error("a call of `{name}` stands for a value, which only the server can compute")]
    Function {
        /// The function's name.
        name: String,
    },
    /// Another expression stands for a value.
    #[error("an expression stands for a value, which only the server can compute")]
    Expression,
    /// Something follows the rows that changes what they mean.
    #[error("`{word}` follows the rows, which only the server can execute")]
    Clause {
        /// Its first word.
        word: String,
    },
}
