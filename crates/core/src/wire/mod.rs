//! Rows in Spanner's wire form.

pub mod list_value;
pub mod rows;
