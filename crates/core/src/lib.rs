//! Pure heart of Spanferry: values, schemas, positions, ordering, progress and the boundary traits.

pub mod amount;
pub mod canonical;
pub mod change_log;
pub mod charset;
pub mod code;
pub mod database_limits;
pub mod ddl;
pub mod encode;
pub mod failure;
pub mod fence;
pub mod finding;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
pub mod groups;
pub mod json;
mod key_limits;
pub mod mapping;
mod mapping_index;
mod mapping_type;
pub mod names;
pub mod plan;
pub mod position;
pub mod reached;
pub mod record;
pub mod remedy;
pub mod rows;
pub mod scalar;
pub mod schema;
mod session_expression;
pub mod shell;
pub mod source;
pub mod target;
pub mod target_schema;
pub mod value;
pub mod window;
pub mod wire;
pub mod witness;
