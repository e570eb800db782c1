//! What people read: codes, findings, failures, remedies and amounts.

pub mod acceptance;
pub mod amount;
pub mod code;
pub mod failure;
pub mod finding;
pub mod remedy;
pub mod shell;
