//! Cloud Spanner as the target: client, DDL, fenced commits, control tables and reads.

pub mod admin;
mod backoff;
mod catalog;
mod channel;
mod chunk;
pub mod client;
pub mod commit;
pub mod control;
mod credentials;
mod ddl;
mod ddl_call;
pub mod destination;
pub mod endpoint;
pub mod error;
mod failure;
pub mod name;
mod objects;
pub mod read;
mod row;
pub mod transaction;
mod type_name;

pub use ddl::DdlError;
pub use destination::SpannerTarget;
