//! Pure heart of Spanferry: values, schemas, positions, ordering, progress and the boundary traits.

pub mod apply;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
pub mod mapping;
pub mod plan;
pub mod port;
pub mod position;
pub mod record;
pub mod report;
pub mod schema;
pub mod value;
pub mod verify;
pub mod wire;
