//! Text and bytes of sources, read without a connector: character sets, cells and SQL statements.
//!
//! A connector and a reader of files use the same code here, so one value has one reading whichever
//! way it came. Nothing in this crate does input or output, and nothing in it knows which server,
//! connection or file its bytes come from.

pub mod cell;
pub mod charset;
pub mod mysql;
