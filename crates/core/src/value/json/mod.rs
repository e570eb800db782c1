//! JSON as the target will hold it: accepted exactly or refused, and a form in which equal values
//! are equal bytes.
//!
//! Facts: Spanner documentation, "Working with JSON data" (80 levels, first of duplicate keys kept,
//! numbers as 64-bit integers or doubles that survive text to double to text) and "Working with
//! JSONB data"; jsonb's number limits and its refusal of U+0000 measured on emulator 1.5.28.

mod form;
mod number;
mod parser;
#[cfg(test)]
mod tests;

pub use form::{Flavor, Form, Reason};
#[cfg(test)]
pub(crate) use parser::NESTING_MAX;
pub use parser::write;
