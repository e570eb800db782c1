//! Rows in Spanner's wire form.

pub mod list_value;
pub mod partial_rows;
pub mod rows;
