//! The text of a MySQL or MariaDB dump, read as statements and rows; `load` will use it, and
//! nothing in the product does yet.
//!
//! [`Reader`] takes the bytes in pieces of any size. It does no input or output of its own, and it
//! never holds a whole INSERT statement: each row is handed on when it is complete.

mod cursor;
mod error;
mod insert;
mod reader;
mod row;
mod session;
#[cfg(test)]
mod tests;

pub use error::{DumpError, Fault};
pub use insert::Insert;
pub use reader::{Ending, Limits, Mark, Reader, Statement, Step};
pub use row::{Cell, Row};
pub use session::{Reading, Session};
