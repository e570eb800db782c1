//! Cloud Spanner as the target: client, DDL, fenced commits, control tables and reads.

pub mod admin;
mod backoff;
mod channel;
mod chunk;
pub mod client;
pub mod commit;
mod credentials;
pub mod endpoint;
pub mod error;
pub mod name;
pub mod read;
pub mod transaction;
