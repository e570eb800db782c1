//! Epochs: the terms of the owners of a migration.

/// One owner's term over the fence rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);
