//! What a target can do, as it reports itself: no code asks which product or emulator stands behind
//! it.

use crate::apply::limits::WindowLimits;

/// What a target can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetCapabilities {
    /// How many commits may be in flight at once in all lanes; at least 1.
    pub commits_in_flight: usize,
    /// The bounds of commits that it takes well.
    pub window_limits: WindowLimits,
    /// Whether it refuses DDL while a commit is in flight.
    pub ddl_needs_quiet: bool,
    /// Whether its columns can have the type UUID.
    pub has_uuid: bool,
}

impl TargetCapabilities {
    /// What the Spanner service can do. Its connections carry 100 calls each; fewer commits are in
    /// flight, so that reads find room.
    pub const SPANNER: TargetCapabilities = TargetCapabilities {
        commits_in_flight: 32,
        window_limits: WindowLimits::SPANNER,
        ddl_needs_quiet: false,
        has_uuid: true,
    };
    /// What its emulator can do: it takes one transaction at a time.
    pub const EMULATOR: TargetCapabilities = TargetCapabilities {
        commits_in_flight: 1,
        window_limits: WindowLimits::EMULATOR,
        ddl_needs_quiet: true,
        has_uuid: false,
    };
}
