//! Which hashes were certainly never put aside: a Bloom filter of a fixed size.
//!
//! The probes are those of Kirsch and Mitzenmacher, "Less Hashing, Same Performance: Building a Better Bloom Filter":
//! sums of two numbers, here the halves of a hash.

/// 1 MiB: of a million hashes, one of 40 that are not there has to be looked for; of four million, every second.
const BITS: u64 = 1 << 23;
const PROBES: u64 = 4;

/// Takes in hashes. It has no memory before it takes in the first.
#[derive(Debug, Default)]
pub(super) struct Filter(Vec<u64>);

fn probes(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    let (first, step) = (hash & u64::from(u32::MAX), hash >> 32 | 1);
    (0..PROBES).map(move |probe| {
        let bit = (first + probe * step) % BITS;
        (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
    })
}

impl Filter {
    /// Takes hashes in.
    pub(super) fn add(&mut self, hashes: impl Iterator<Item = u64>) {
        self.0.resize(usize::try_from(BITS / 64).unwrap_or(0), 0);
        for (word, bit) in hashes.flat_map(probes) {
            self.0[word] |= bit;
        }
    }

    /// Whether a hash may have been taken in; if not, it was not.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        !self.0.is_empty() && probes(hash).all(|(word, bit)| self.0[word] & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_in_may_be_there_and_most_else_is_not() {
        let spread = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut filter = Filter::default();
        assert!(!filter.may_hold(0), "an empty filter holds nothing");
        filter.add((0..100_000).map(spread));
        assert!((0..100_000).all(|number| filter.may_hold(spread(number))));
        let wrong = (100_000..200_000).filter(|number| filter.may_hold(spread(*number))).count();
        assert!(wrong < 100, "{wrong} of 100,000");
    }
}
