//! The one conversion of values: a source scalar into Spanner's wire form, exactly, or a refusal.
//!
//! Each value has one spelling, whichever road it took: integers without leading zeros; NUMERIC
//! without trailing zeros and negative zero; a decimal in text with the digits of its scale, as the
//! server prints it, but without ZEROFILL; timestamps in UTC with `Z`, whose fraction has no
//! trailing zeros; TIME and intervals as [`Encoding::String`] says; UUIDs in lower case; the
//! elements of a list as they would stand alone; JSON without spaces, otherwise as the source
//! spells it.

mod binary;
mod boolean;
mod calendar;
#[cfg(test)]
mod check;
mod column;
mod convert;
mod decimal;
mod float;
mod form;
mod input;
mod integer;
mod interval;
mod json;
pub(crate) mod limit;
mod refusal;
mod text;
mod uuid;

pub(crate) use binary::base64_bytes;
pub use column::ColumnPlan;
pub(crate) use decimal::PlainDecimal;
pub use form::{ElementEncoding, Encoding};
pub use input::{Constant, Input, RowFunction};
pub(crate) use json::flavor as json_flavor;
pub use limit::{CELL_BYTES_MAX, STRING_CHARACTERS_MAX};
pub use refusal::Refusal;
