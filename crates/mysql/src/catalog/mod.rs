//! The source's schema, read from information_schema.

mod actions;
mod cascade;
mod hidden_default;
mod read;

pub(crate) use hidden_default::ask_hidden;
pub(crate) use read::read;
