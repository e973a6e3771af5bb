//! Two accuracies over the same queries: is one of them higher?

use crate::analysis::stats::{sign_test, wilson_ci95};

/// Queries by which of the two runs, A and B, answered them right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Agreement {
    pub(super) both: usize,
    pub(super) only_a: usize,
    pub(super) only_b: usize,
    pub(super) neither: usize,
}

impl Agreement {
    pub(super) fn of(verdicts: impl Iterator<Item = [bool; 2]>) -> Self {
        let mut agreement = Self::default();
        for verdict in verdicts {
            let count = match verdict {
                [true, true] => &mut agreement.both,
                [true, false] => &mut agreement.only_a,
                [false, true] => &mut agreement.only_b,
                [false, false] => &mut agreement.neither,
            };
            *count += 1;
        }
        agreement
    }

    pub(super) fn pairs(self) -> usize {
        self.both + self.only_a + self.only_b + self.neither
    }

    /// The accuracies of A and B; `None` of nothing.
    pub(super) fn accuracies(self) -> Option<[f64; 2]> {
        let share = |right: usize| right as f64 / self.pairs() as f64;
        (self.pairs() > 0).then(|| [share(self.both + self.only_a), share(self.both + self.only_b)])
    }

    /// McNemar's test, exact: were both equally good, how likely is it that the queries on which they differ
    /// are as unevenly split, or more so?
    pub(super) fn p_value(self) -> Option<f64> {
        let differ = self.only_a + self.only_b;
        (self.pairs() > 0).then(|| sign_test(self.only_a.min(self.only_b), differ))
    }

    /// The interval of A's accuracy less B's: Newcombe's method 10 (Statistics in Medicine 17, 1998, 2635),
    /// Wilson's intervals joined with the correlation of the answers.
    pub(super) fn difference_ci95(self) -> Option<[f64; 2]> {
        let ([a, b], pairs) = (self.accuracies()?, self.pairs());
        let [a_low, a_high] = wilson_ci95(self.both + self.only_a, pairs)?;
        let [b_low, b_high] = wilson_ci95(self.both + self.only_b, pairs)?;
        let phi = self.correlation();
        let joined = |one: f64, other: f64| {
            (one * one - 2.0 * phi * one * other + other * other).max(0.0).sqrt()
        };
        let (below, above) = (joined(a - a_low, b_high - b), joined(a_high - a, b - b_low));
        Some([a - b - below, a - b + above])
    }

    /// The correlation with the method's correction for continuity.
    fn correlation(self) -> f64 {
        let [both, only_a, only_b, neither] =
            [self.both, self.only_a, self.only_b, self.neither].map(|count| count as f64);
        let scale = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither);
        let product = both * neither - only_a * only_b;
        let corrected = match product {
            positive if positive > 0.0 => (positive - 0.5 * self.pairs() as f64).max(0.0),
            other => other,
        };
        if scale > 0.0 { corrected / scale.sqrt() } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn agreement(both: usize, only_a: usize, only_b: usize, neither: usize) -> Agreement {
        Agreement { both, only_a, only_b, neither }
    }

    #[test]
    fn nothing_has_no_accuracy() {
        let none = Agreement::of(std::iter::empty());
        assert_eq!((none.accuracies(), none.p_value(), none.difference_ci95()), (None, None, None));
    }

    #[test]
    fn the_figures_are_those_by_hand() {
        let some = agreement(50, 10, 2, 38);
        assert_eq!((some.accuracies(), some.pairs()), (Some([0.6, 0.52]), 100));
        // 2 (1 + 12 + 66) / 4096.
        assert!((some.p_value().unwrap() - 158.0 / 4096.0).abs() < 1e-12);
        // phi = (50 x 38 - 20 - 50) / sqrt(60 x 40 x 52 x 48) = 0.7477; Wilson's limits are 0.5020 and 0.6906,
        // 0.4232 and 0.6154.
        let [low, high] = some.difference_ci95().unwrap();
        assert!((low - 0.0113).abs() < 1e-4 && (high - 0.1468).abs() < 1e-4, "{low} {high}");
    }

    #[test]
    fn runs_that_agree_on_all_differ_by_nothing_that_is_sure() {
        let same = agreement(10, 0, 0, 0);
        assert_eq!(same.p_value(), Some(1.0));
        let [low, high] = same.difference_ci95().unwrap();
        assert!(low < 0.0 && 0.0 < high && low == -high);
    }

    /// How often in 100 the interval misses the truth, for answers that are right with these chances.
    fn misses(queries: usize, [both, only_a, only_b]: [f64; 3]) -> f64 {
        const RUNS: usize = 2_000;
        let mut rng = fastrand::Rng::with_seed(11);
        let truth = only_a - only_b;
        let missed = (0..RUNS).filter(|_| {
            let drawn = Agreement::of((0..queries).map(|_| match rng.f64() {
                chance if chance < both => [true, true],
                chance if chance < both + only_a => [true, false],
                chance if chance < both + only_a + only_b => [false, true],
                _ => [false, false],
            }));
            let [low, high] = drawn.difference_ci95().unwrap();
            truth < low || high < truth
        });
        100.0 * missed.count() as f64 / RUNS as f64
    }

    #[test]
    fn about_nineteen_in_twenty_intervals_hold_the_truth() {
        for (queries, chances) in [
            (20, [0.5, 0.1, 0.1]),
            (30, [0.8, 0.15, 0.02]),
            (100, [0.3, 0.05, 0.2]),
            (500, [0.6, 0.1, 0.1]),
        ] {
            let misses = misses(queries, chances);
            assert!((0.5..=7.5).contains(&misses), "{queries} queries: {misses} in 100");
        }
    }

    proptest! {
        #[test]
        fn swapping_the_runs_turns_the_difference_around(
            both in 0_usize..60, only_a in 0_usize..60, only_b in 0_usize..60, neither in 0_usize..60,
        ) {
            let one = agreement(both, only_a, only_b, neither);
            let other = agreement(both, only_b, only_a, neither);
            prop_assert_eq!(one.p_value(), other.p_value());
            if let (Some([low, high]), Some([a, b])) = (one.difference_ci95(), one.accuracies()) {
                let [other_low, other_high] = other.difference_ci95().unwrap();
                prop_assert!((low + other_high).abs() < 1e-12 && (high + other_low).abs() < 1e-12);
                prop_assert!(-1.0 - 1e-9 <= low && low <= a - b && a - b <= high && high <= 1.0 + 1e-9);
            }
        }
    }
}
