//! Timestamps of the target: each names one of its states.

/// A moment by the target's own clock, at which it committed or was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitTimestamp {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds beyond them, below 1,000,000,000.
    pub nanoseconds: u32,
}

impl CommitTimestamp {
    /// Whole microseconds since 1970: the target commits no two states within one.
    pub fn microseconds(self) -> i64 {
        self.seconds * 1_000_000 + i64::from(self.nanoseconds / 1_000)
    }
}
