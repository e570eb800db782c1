//! From the source's schema to the target's: types, keys, indexes, foreign keys and groups.

mod cascade;
pub mod check;
mod column;
pub mod component;
pub mod convert;
pub mod database_limits;
pub mod decide;
pub mod decision;
mod default_findings;
mod default_rule;
mod findings;
pub mod groups;
pub(crate) mod index;
pub mod index_decision;
mod index_findings;
mod key_limits;
pub mod known;
mod naming;
pub mod options;
pub mod override_error;
pub mod overrides;
mod session_expression;
pub mod type_reason;
