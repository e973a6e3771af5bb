//! Chance that stays the same for ever.
//!
//! SplitMix64, written out: no release of a crate can change what a seed gives, and with it the
//! dataset's bytes.

/// A stream of choices.
pub(super) struct Random {
    state: u64,
}

impl Random {
    /// The stream that a seed gives for a purpose; another purpose has another stream, so that a
    /// change in one family leaves the others as they are.
    pub(super) fn new(seed: u64, purpose: &str) -> Self {
        // FNV-1a.
        let state = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64 ^ seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self { state }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A position in something of this length, which isn't 0.
    pub(super) fn below(&mut self, length: usize) -> usize {
        ((u128::from(self.next()) * length as u128) >> 64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn number(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as usize) as i64
    }

    /// A size from `low` to `high`, both included.
    pub(super) fn size(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True so many times in a hundred.
    pub(super) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// One of these.
    pub(super) fn choose<T: Clone>(&mut self, options: impl AsRef<[T]>) -> T {
        let options = options.as_ref();
        options[self.below(options.len())].clone()
    }

    /// So many different ones of these, in any order.
    pub(super) fn sample<T: Clone>(&mut self, options: &[T], count: usize) -> Vec<T> {
        let mut taken = options.to_vec();
        self.shuffle(&mut taken);
        taken.truncate(count);
        taken
    }

    /// So many numbers from `low` to `high`.
    pub(super) fn numbers(&mut self, count: usize, low: i64, high: i64) -> Vec<i64> {
        (0..count).map(|_| self.number(low, high)).collect()
    }

    /// So many different numbers from `low` to `high`, which must hold as many.
    pub(super) fn different(&mut self, count: usize, low: i64, high: i64) -> Vec<i64> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let number = self.number(low, high);
            if !taken.contains(&number) {
                taken.push(number);
            }
        }
        taken
    }

    /// Any order of them (Fisher and Yates).
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_published_stream() {
        // The first outputs of SplitMix64 for the state 1234567, from its authors' reference code.
        let mut random = Random { state: 1_234_567 };
        let first =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([random.next(), random.next(), random.next()], first);
    }

    #[test]
    fn another_purpose_has_another_stream_and_the_same_has_the_same() {
        let first = |purpose| Random::new(1, purpose).next();
        assert_eq!(first("dates 3"), first("dates 3"));
        assert_ne!(first("dates 3"), first("dates 4"));
        assert_ne!(Random::new(1, "dates 3").next(), Random::new(2, "dates 3").next());
    }

    #[test]
    fn numbers_reach_both_ends_and_a_shuffle_loses_nothing() {
        let mut random = Random::new(1, "test");
        let drawn = random.numbers(200, -2, 2);
        assert!((-2..=2).all(|number| drawn.contains(&number)));
        assert!(drawn.iter().all(|number| (-2..=2).contains(number)));
        let mut items: Vec<usize> = (0..50).collect();
        random.shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
