//! A directory that only this user may use: its files are opened without following links, and
//! refused if others can reach them.
//!
//! The state directory and the change log in it hold rows of the source and decide which servers
//! are used. A link planted there would let another user choose which file is overwritten, and a
//! planted file would let him choose the source.

mod directory;
mod error;

pub use directory::PrivateDir;
pub use error::{Fault, PrivateError};
