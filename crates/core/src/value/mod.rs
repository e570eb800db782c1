//! Values: what a source gives, and how it becomes a value of the target.

pub mod encode;
pub mod json;
pub mod owned;
#[cfg(test)]
pub mod reference;
pub mod scalar;
