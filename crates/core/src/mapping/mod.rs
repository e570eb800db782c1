//! From the source's schema to the target's: types, keys, indexes, foreign keys and groups.

mod column;
pub mod convert;
pub mod database_limits;
pub mod groups;
pub(crate) mod index;
mod key_limits;
mod session_expression;
