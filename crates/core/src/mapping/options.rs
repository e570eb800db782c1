//! What the conversion of a schema depends on.

use crate::schema::target::Dialect;

/// What the conversion depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappingOptions {
    /// The target's dialect.
    pub dialect: Dialect,
    /// Whether the target has the type UUID (the emulator of release 1.5.28 has not).
    pub uuid_supported: bool,
}
