//! A small seeded generator of pseudo-random numbers, so that a seed replays a run exactly on every
//! machine.

/// Environment variable that gives the random tests another seed than the one they always run with.
pub const SEED_VARIABLE: &str = "SPANFERRY_SEED";

/// The seed of a random test: that of [`SEED_VARIABLE`] if it is set, else `default`.
///
/// # Panics
/// When the variable is not a number: a typing error must not pass for a soak run.
pub fn seed(default: u64) -> u64 {
    match std::env::var(SEED_VARIABLE) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{SEED_VARIABLE}=`{text}`, expected a number")),
        Err(_) => default,
    }
}

/// SplitMix64: one word of state, equal results for equal seeds, good enough for test data (never
/// for secrets).
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A generator whose whole future is fixed by `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A generator of its own for part number `index` of a run, independent of how far this one has
    /// come since.
    #[must_use]
    pub fn fork(&self, index: u64) -> Self {
        let mut child = Self::new(self.state ^ index.wrapping_mul(0xA076_1D64_78BD_642F));
        child.word();
        child
    }

    /// The next 64 random bits.
    pub fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`.
    ///
    /// # Panics
    /// When `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "an empty range has no number");
        // The high half of a 128-bit product: no division, and a bias below 2^-32 for the bounds
        // used here.
        let product = u128::from(self.word()) * u128::from(bound);
        u64::try_from(product >> 64).expect("the high half of a product of two u64 fits")
    }

    /// A number in `low..=high`.
    ///
    /// # Panics
    /// When `high` is below `low`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "an empty range has no number");
        low + self.below(high - low + 1)
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let length = u64::try_from(choices.len()).expect("a slice's length fits u64");
        let index = usize::try_from(self.below(length)).expect("below the length, which is a usize");
        &choices[index]
    }

    /// `length` random bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.word().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_seed_replays() {
        let (mut left, mut right) = (Random::new(7), Random::new(7));
        assert!((0..1000).all(|_| left.word() == right.word()));
        assert_ne!(Random::new(7).fork(1).word(), Random::new(7).fork(2).word());
    }

    #[test]
    fn numbers_stay_in_their_range_and_reach_both_ends() {
        let mut random = Random::new(1);
        let mut seen = [false; 5];
        for _ in 0..1000 {
            let number = random.between(3, 7);
            assert!((3..=7).contains(&number));
            seen[usize::try_from(number - 3).unwrap()] = true;
        }
        assert_eq!(seen, [true; 5]);
    }

    #[test]
    fn bytes_have_the_asked_length() {
        for length in [0, 1, 7, 8, 9, 33] {
            assert_eq!(Random::new(2).bytes(length).len(), length);
        }
    }
}
