//! Schemas of both ends, names at the target, and the recorded definition of a table.

pub mod charset;
pub mod ddl;
pub mod definition;
pub mod difference;
mod foreign_key_action;
pub mod legal_name;
pub(crate) mod literal;
pub mod logical;
pub mod mysql;
pub mod names;
pub mod postgres;
mod qualified_name;
pub mod source;
pub mod source_default;
pub mod target;
pub mod typed_name;
