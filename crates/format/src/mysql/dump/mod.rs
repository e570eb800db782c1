//! The text of a MySQL or MariaDB dump, read as statements and rows; `load` will use it, and
//! nothing in the product does yet.
//!
//! [`Reader`] takes the bytes in pieces of any size. It does no input or output of its own, and it
//! never holds a whole INSERT statement: each row is handed on when it is complete.

mod assignment;
mod cursor;
mod error;
mod insert;
mod mark;
mod mark_text;
mod reader;
mod row;
mod scan;
mod session;
mod step;
#[cfg(test)]
mod tests;

pub use error::{DumpError, Fault};
pub use insert::Insert;
pub use mark::Mark;
pub use reader::Reader;
pub use row::{Cell, Row};
pub use session::{Reading, Session};
pub use step::{Ending, Limits, Statement, Step};
