//! Comparing both ends: the canonical form of rows, and the boundary to witnesses.

pub mod canonical;
pub mod witness;
