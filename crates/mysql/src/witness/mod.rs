//! The source's witness: what the server itself counts, lists and prints, compared with the target
//! by a conversion that the load does not use. Nothing here may call `core::encode`,
//! `core::canonical`, `core::value` or `core::json`.

mod json;
mod literal;
mod plain;
mod printed;
mod session;

pub use session::MysqlWitness;
