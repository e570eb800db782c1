//! The source's schema, read from information_schema.

mod actions;
mod cascade;
mod column_type;
mod default;
mod default_expression;
mod expression;
mod hidden_default;
mod literal;
mod read;

pub(crate) use hidden_default::ask_hidden;
pub(crate) use read::read;
