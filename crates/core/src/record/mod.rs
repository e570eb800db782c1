//! Texts that are stored at the target: JSON with a version, written and read by explicit encoders.
//!
//! Each text is one JSON object without spaces whose first field is `"version"`. Fields come in the
//! order of the private `Stored…` structs, which exist only for this: a change of the model in
//! memory does not change what is stored. The golden files in `golden/` hold a text of every
//! version; a test reads them and writes them again, byte for byte. A text of another version, with
//! an unknown field or without a required one is an error, never a default.

mod column_type;
mod definition;
#[cfg(test)]
mod definition_tests;
mod postgres_type;
mod stop_reason;
mod text;

pub use stop_reason::StopReason;
pub use text::{RecordError, VERSION};

pub(crate) use text::{decode, encode};
