//! The source's schema, read from information_schema.

mod column_type;
mod expression;
mod read;

pub(crate) use read::read;
