//! The web shop: a schema, its rows, and an application that keeps writing to it.

mod data;
mod load;
mod transaction;

pub use data::{Rows, create, fill};
pub use load::{Load, LoadOptions, LoadReport};
