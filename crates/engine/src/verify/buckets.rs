//! Rows of one side summed up by a hash of their key.

use std::collections::BTreeSet;

use spanferry_core::verify::canonical::digest;

use super::scan::{Content, Side};
use super::verdict::Tally;

/// Buckets a table's rows fall into: 192 KiB a side.
const BUCKETS: usize = 4_096;

/// The bucket of a key with this digest.
pub(super) fn bucket_of(key_digest: u128) -> usize {
    usize::try_from(key_digest % BUCKETS as u128).expect("a bucket's number is below BUCKETS")
}

/// Count and sums of digests of the rows in one bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bucket {
    rows: u64,
    /// Of those, the ones without an exact form.
    refused: u64,
    keys: u128,
    values: u128,
}

/// Both sides' buckets of one table.
pub(super) struct Buckets {
    source: Vec<Bucket>,
    target: Vec<Bucket>,
}

impl Buckets {
    pub(super) fn new() -> Buckets {
        Buckets {
            source: vec![Bucket::default(); BUCKETS],
            target: vec![Bucket::default(); BUCKETS],
        }
    }

    /// Adds a row, by its canonical key, whose digest is returned.
    pub(super) fn add(&mut self, side: Side, key: &[u8], content: Content<'_>) -> u128 {
        let key = digest(key);
        let buckets = match side {
            Side::Source => &mut self.source,
            Side::Target => &mut self.target,
        };
        let bucket = &mut buckets[bucket_of(key)];
        bucket.rows += 1;
        bucket.keys = bucket.keys.wrapping_add(key);
        match content {
            Content::Row { canonical, .. } => bucket.values = bucket.values.wrapping_add(digest(canonical)),
            // The target has none, so that the bucket differs.
            Content::Refused => bucket.refused += 1,
        }
        key
    }

    /// Rows of the source and of the target.
    pub(super) fn rows(&self) -> (u64, u64) {
        let sum = |buckets: &[Bucket]| buckets.iter().map(|bucket| bucket.rows).sum();
        (sum(&self.source), sum(&self.target))
    }

    /// The buckets in which the sides differ.
    pub(super) fn differing(&self) -> BTreeSet<usize> {
        (0..BUCKETS)
            .filter(|at| self.source[*at] != self.target[*at])
            .collect()
    }

    /// The fewest rows that can differ in a bucket that differs.
    pub(super) fn least(&self, at: usize) -> Tally {
        let (source, target) = (&self.source[at], &self.target[at]);
        if source.refused > 0 {
            // Rows that are counted as refused may be all that differs.
            return Tally::default();
        }
        let (missing, extra) = (
            source.rows.saturating_sub(target.rows),
            target.rows.saturating_sub(source.rows),
        );
        if source.keys == target.keys {
            // The same keys: the values of one at least are others.
            return Tally {
                missing,
                extra,
                different: 1,
            };
        }
        if missing + extra == 0 {
            // As many keys, but not the same: one at least is exchanged for another.
            return Tally {
                missing: 1,
                extra: 1,
                different: 0,
            };
        }
        Tally {
            missing,
            extra,
            different: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &[(&str, &str)], target: &[(&str, &str)], expected: (u64, u64, u64)) {
        let mut buckets = Buckets::new();
        for (side, rows) in [(Side::Source, source), (Side::Target, target)] {
            for (key, row) in rows {
                // All rows in one bucket, whatever their keys.
                let bucket = match side {
                    Side::Source => &mut buckets.source[0],
                    Side::Target => &mut buckets.target[0],
                };
                bucket.rows += 1;
                bucket.keys = bucket.keys.wrapping_add(digest(key.as_bytes()));
                bucket.values = bucket.values.wrapping_add(digest(row.as_bytes()));
            }
        }
        assert_eq!(buckets.differing().into_iter().collect::<Vec<_>>(), [0]);
        let least = buckets.least(0);
        assert_eq!((least.missing, least.extra, least.different), expected);
    }

    #[test]
    fn a_lower_bound_is_never_above_the_truth() {
        check(&[("a", "1"), ("b", "1")], &[("a", "2"), ("b", "2")], (0, 0, 1));
        check(&[("a", "1"), ("b", "1")], &[("a", "1"), ("c", "1")], (1, 1, 0));
        check(&[("a", "1"), ("b", "1")], &[("a", "2")], (1, 0, 0));
        check(&[], &[("a", "1"), ("b", "1")], (0, 2, 0));
    }
}
