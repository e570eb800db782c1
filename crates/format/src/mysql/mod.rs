//! What MySQL and MariaDB write as text: cells of a result or a dump, and SQL statements.

pub mod cell;
pub mod dump;
mod effect;
mod grammar;
pub mod statement;
pub mod token;
