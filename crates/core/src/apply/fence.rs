//! What the fence row found after an unclear commit says about it.

use crate::port::target::FenceKey;

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It happened, once.
    Applied,
    /// It has not happened: a rejection is real, a lost request may be sent again.
    NotApplied,
    /// Somebody else owns the lane: stop, and never take it back unasked.
    Fenced,
}

/// Judges a commit from `previous` to `next` by the key that was `found` afterwards.
///
/// Holds because keys of a lane never fall and never repeat (docs/design/fence.md, steps 1 to 4):
/// `next` is found only if the commit happened and nothing after it; `previous` only if it has not
/// happened yet.
pub fn judge(previous: FenceKey, next: FenceKey, found: Option<FenceKey>) -> Verdict {
    match found {
        Some(key) if key == next => Verdict::Applied,
        Some(key) if key == previous => Verdict::NotApplied,
        Some(_) | None => Verdict::Fenced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::change_log::Sequence;
    use crate::port::epoch::Epoch;

    #[test]
    fn only_the_two_own_keys_count() {
        let key = |epoch, sequence, piece| FenceKey {
            epoch: Epoch(epoch),
            sequence: Sequence(sequence),
            piece,
        };
        let check =
            |found, expected| assert_eq!(judge(key(2, 5, 0), key(2, 9, 0), found), expected, "{found:?}");
        check(Some(key(2, 9, 0)), Verdict::Applied);
        check(Some(key(2, 5, 0)), Verdict::NotApplied);
        check(Some(key(2, 5, 3)), Verdict::Fenced);
        check(Some(key(3, 9, 0)), Verdict::Fenced);
        check(None, Verdict::Fenced);
    }
}
