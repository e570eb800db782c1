//! Damage for the fuzz tests (`cargo test -p spanferry-mysql fuzz`): random numbers that repeat,
//! and bytes changed by them.

/// xorshift64: the same seed gives the same damage.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `limit`, 0 if there is none.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let limit = u64::try_from(limit.max(1)).expect("a length fits 64 bits");
        usize::try_from(self.0 % limit).expect("it is below a length")
    }

    /// Any byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.0.to_le_bytes()[self.below(8)]
    }

    /// Up to `length_max` bytes of noise.
    pub(crate) fn noise(&mut self, length_max: usize) -> Vec<u8> {
        (0..self.below(length_max + 1)).map(|_| self.byte()).collect()
    }

    /// Changes, removes, inserts or cuts off one to four bytes.
    pub(crate) fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            match self.below(16) {
                0 => bytes.truncate(at),
                1..=3 => drop(bytes.remove(at)),
                4..=6 => bytes.insert(at, self.byte()),
                7..=9 => bytes[at] = [0, 1, 0x7f, 0x80, 0xfb, 0xfc, 0xfd, 0xfe, 0xff][self.below(9)],
                10..=12 => bytes[at] = self.byte(),
                _ => bytes[at] ^= 1 << self.below(8),
            }
        }
    }
}

/// Bytes written as hexadecimal digits.
pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("digits");
            u8::from_str_radix(pair, 16).expect("two digits")
        })
        .collect()
}
