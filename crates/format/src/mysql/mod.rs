//! What MySQL and MariaDB write as text: cells of a result or a dump, and SQL statements.

pub mod cell;
pub mod column_type;
pub mod create_table;
mod default_expression;
pub mod dump;
mod effect;
mod escape;
pub mod expression;
mod grammar;
pub mod literal;
pub mod shown_default;
pub mod statement;
pub mod token;
