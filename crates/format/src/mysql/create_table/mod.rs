//! CREATE TABLE as MySQL and MariaDB print it and people write it: read to a syntax tree, and from
//! there to the same [`SourceTable`](spanferry_core::schema::source::SourceTable) that the catalog
//! of a live server gives.

mod column;
mod default;
mod default_collation;
mod error;
mod key;
mod resolve;
mod statement;
mod surroundings;
#[cfg(test)]
mod tests;
mod text_form;
mod tree;
mod type_name;
mod words;

pub use default_collation::default_collation;
pub use error::NotRead;
pub use statement::parse;
pub use surroundings::{Defaults, Surroundings};
pub use tree::{Check, ColumnDefinition, CreateTable, DefaultValue, ForeignKey, Generated, Key, KeyPart};
pub use tree::{TableName, TypeName};
