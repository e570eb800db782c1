//! A bounded sample of the target's rows, the same at every run: those whose keys have the lowest
//! digests.

use std::collections::BTreeMap;

/// Rows of a table that the source's witness is asked for.
const SAMPLE_ROWS_MAX: usize = 1_000;
/// Bytes of these rows, as the target spells them; one row is always kept.
const SAMPLE_BYTES_MAX: usize = 16 << 20;

/// Keeps the rows with the lowest digests, which lie anywhere in the table. A table of up to
/// `SAMPLE_ROWS_MAX` rows is kept whole.
#[derive(Debug)]
pub(super) struct Sample {
    rows: BTreeMap<u128, Vec<u8>>,
    bytes: usize,
    /// Digests from here on are not kept: a row that was dropped had this one.
    below: u128,
}

impl Sample {
    pub(super) fn new() -> Sample {
        Sample {
            rows: BTreeMap::new(),
            bytes: 0,
            below: u128::MAX,
        }
    }

    /// Takes a row, given as the digest of its key and as the target spells it.
    pub(super) fn offer(&mut self, digest: u128, row: &[u8]) {
        if digest >= self.below {
            return;
        }
        self.bytes += row.len();
        if let Some(before) = self.rows.insert(digest, row.to_vec()) {
            self.bytes -= before.len();
        }
        while self.rows.len() > 1 && (self.rows.len() > SAMPLE_ROWS_MAX || self.bytes > SAMPLE_BYTES_MAX) {
            if let Some((digest, dropped)) = self.rows.pop_last() {
                self.bytes -= dropped.len();
                self.below = digest;
            }
        }
    }

    pub(super) fn into_rows(self) -> Vec<Vec<u8>> {
        self.rows.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(rows: impl Iterator<Item = (u128, usize)>) -> Vec<Vec<u8>> {
        let mut sample = Sample::new();
        for (digest, length) in rows {
            let mut row = digest.to_le_bytes().to_vec();
            row.resize(length, 0);
            sample.offer(digest, &row);
        }
        sample.into_rows()
    }

    /// The same rows in any order: those with the lowest digests.
    #[test]
    fn a_sample_is_bounded_and_does_not_depend_on_the_order() {
        let mix = |number: u64| u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let rows = || (0..5_000).map(|number| (mix(number), 16));
        let found = sampled(rows());
        assert_eq!(found, sampled(rows().collect::<Vec<_>>().into_iter().rev()));
        let mut lowest: Vec<u128> = (0..5_000).map(mix).collect();
        lowest.sort_unstable();
        let expected = lowest[..SAMPLE_ROWS_MAX].iter();
        assert!(
            found
                .iter()
                .map(Vec::as_slice)
                .eq(expected.map(|digest| digest.to_le_bytes()))
        );
        assert_eq!(sampled((0..7).map(|number| (number, 16))).len(), 7);
    }

    #[test]
    fn long_rows_make_a_sample_smaller_but_never_empty() {
        let part = SAMPLE_BYTES_MAX / 4;
        assert_eq!(sampled((0..9).map(|number| (number, part))).len(), 4);
        assert_eq!(sampled((0..9).rev().map(|number| (number, part))).len(), 4);
        assert_eq!(
            sampled((0..3).map(|number| (number, SAMPLE_BYTES_MAX + 1))).len(),
            1
        );
        // A short row behind a dropped one is not kept in its place.
        let found = sampled([(1, SAMPLE_BYTES_MAX), (2, 100), (3, 16)].into_iter());
        assert_eq!(found.len(), 1);
    }
}
