//! How large segments, blocks and the whole log may become.

/// Sizes that the caller chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the unit belongs to the name of a size")]
pub(crate) struct Limits {
    /// Length at which a segment takes no further transaction.
    pub(crate) segment_bytes: u64,
    /// Byte budget of the whole log.
    pub(crate) budget_bytes: u64,
    /// Length at which a block takes no further piece, at most `BLOCK_TARGET_BYTES`.
    pub(crate) block_bytes: usize,
}
