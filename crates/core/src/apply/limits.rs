//! How large a window of the ordered apply may grow.

/// How large a window may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimits {
    /// A window of several transactions is closed at this many bytes: commits of a few megabytes
    /// are what Spanner takes best.
    pub bytes_best: usize,
    /// One transaction may take this many bytes before it is cut: bounded by our memory, below
    /// Spanner's 100 MiB.
    pub bytes_max: usize,
    /// Spanner's limit of mutations in a commit, less the control rows that travel along.
    pub mutations_max: usize,
}

impl WindowLimits {
    /// The limits for the emulator, whose commits take time by the square of their rows when an
    /// index is unique.
    pub const EMULATOR: WindowLimits = WindowLimits {
        bytes_best: 512 << 10,
        bytes_max: 20 << 20,
        mutations_max: 8_000,
    };
    /// The limits for the real service.
    pub const SPANNER: WindowLimits = WindowLimits {
        bytes_best: 2 << 20,
        bytes_max: 20 << 20,
        mutations_max: 79_000,
    };
}
