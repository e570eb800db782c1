//! Spanner's limits of one cell, and the check of a length against one.

use super::Refusal;

/// Longest STRING: 2,621,440 characters and 10 MiB (Spanner documentation, "Quotas & limits").
pub const STRING_CHARACTERS_MAX: u32 = 2_621_440;
/// Longest cell of any type.
pub const CELL_BYTES_MAX: u32 = 10 << 20;

/// Refuses a length in bytes above `limit`.
pub(super) fn check_bytes(length: usize, limit: u32) -> Result<(), Refusal> {
    if length > limit as usize {
        Err(Refusal::TooLong {
            limit: u64::from(limit),
        })
    } else {
        Ok(())
    }
}
