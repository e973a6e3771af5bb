//! How far a figure would differ over other queries: a bootstrap over pairs.
//!
//! Answers: 95 % intervals of the difference and the ratio of two figures that are each a quotient of sums
//! over the same queries. Pairs are drawn together, so that what is hard for both runs cancels. The limits
//! are bias-corrected and accelerated (BCa: Efron, JASA 82, 1987, 171), as `scipy.stats.bootstrap` has
//! them; the generator has a fixed seed, and the same pairs give the same limits.

use crate::analysis::stats::{Z, normal_cdf, normal_quantile, quantile};

/// The most resamples.
const MOST: usize = 10_000;
/// The fewest, which are enough for limits to a twentieth of the interval's width.
const FEWEST: usize = 1_000;
/// What may be drawn altogether, which takes about a tenth of a second.
const DRAWS: usize = 20_000_000;
const SEED: u64 = 0x1b7_5eed;

/// One query's part of the sums: numerator and denominator of A's figure, and those of B's.
pub(super) type Pair = [f64; 4];

/// Intervals of 95 %; `None` where a resample has no such figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Intervals {
    /// Of A's figure less B's.
    pub(super) difference: Option<[f64; 2]>,
    /// Of A's figure by B's.
    pub(super) ratio: Option<[f64; 2]>,
}

/// The figures of A and B.
pub(super) fn figures(sums: &Pair) -> [f64; 2] {
    [sums[0] / sums[1], sums[2] / sums[3]]
}

pub(super) fn total(pairs: &[Pair]) -> Pair {
    let mut sums = [0.0; 4];
    pairs.iter().for_each(|pair| add(&mut sums, pair));
    sums
}

/// With 10,000 resamples, fewer if there are over 2,000 pairs: 20 million pairs are drawn at most, but at
/// least 1,000 resamples.
pub(super) fn intervals(pairs: &[Pair]) -> Intervals {
    intervals_from(pairs, (DRAWS / pairs.len().max(1)).clamp(FEWEST, MOST))
}

fn intervals_from(pairs: &[Pair], resamples: usize) -> Intervals {
    let (mut differences, mut ratios) = (Vec::new(), Vec::new());
    let mut rng = fastrand::Rng::with_seed(SEED);
    for _ in 0..resamples {
        let mut sums = [0.0; 4];
        for _ in 0..pairs.len() {
            add(&mut sums, &pairs[rng.usize(..pairs.len())]);
        }
        differences.push(difference(&sums));
        ratios.push(log_ratio(&sums));
    }
    let total = total(pairs);
    let without_each = |figure: fn(&Pair) -> f64| -> Vec<f64> {
        let without = |pair: &Pair| std::array::from_fn(|part| total[part] - pair[part]);
        pairs.iter().map(|pair| figure(&without(pair))).collect()
    };
    let ratio = limits(log_ratio(&total), ratios, &without_each(log_ratio));
    Intervals {
        difference: limits(difference(&total), differences, &without_each(difference)),
        ratio: ratio.map(|limits| limits.map(f64::exp)),
    }
}

fn add(sums: &mut Pair, pair: &Pair) {
    for (sum, part) in sums.iter_mut().zip(pair) {
        *sum += part;
    }
}

fn difference(sums: &Pair) -> f64 {
    let [a, b] = figures(sums);
    a - b
}

/// A ratio and its inverse are equally far from 1 on the log scale.
fn log_ratio(sums: &Pair) -> f64 {
    let [a, b] = figures(sums).map(f64::ln);
    a - b
}

/// The BCa limits of a figure from its resamples, and from what it is without each pair.
fn limits(estimate: f64, mut resamples: Vec<f64>, without_each: &[f64]) -> Option<[f64; 2]> {
    if !resamples.iter().chain(without_each).all(|figure| figure.is_finite()) {
        return None;
    }
    resamples.sort_unstable_by(f64::total_cmp);
    let bias = bias(estimate, &resamples);
    let acceleration = acceleration(without_each);
    let level = |z: f64| normal_cdf(bias + (bias + z) / (1.0 - acceleration * (bias + z)));
    Some([quantile(&resamples, level(-Z))?, quantile(&resamples, level(Z))?])
}

/// How far the estimate is from the resamples' median, in normal deviations.
fn bias(estimate: f64, sorted: &[f64]) -> f64 {
    let below = sorted.partition_point(|figure| *figure < estimate);
    let not_above = sorted.partition_point(|figure| *figure <= estimate);
    let n = sorted.len() as f64;
    // Equal ones count by half. Not 0 or 1, which would be infinitely far.
    let share = ((below + not_above) as f64 / 2.0).clamp(0.5, n - 0.5) / n;
    normal_quantile(share)
}

/// How fast the figure's deviation changes with the figure: a sixth of the skewness of its parts.
fn acceleration(without_each: &[f64]) -> f64 {
    let mean = without_each.iter().sum::<f64>() / without_each.len() as f64;
    let power = |n: i32| without_each.iter().map(|figure| (mean - figure).powi(n)).sum::<f64>();
    let scale = power(2).powf(1.5);
    if scale > 0.0 { power(3) / (6.0 * scale) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Costs of the same queries on two runs: long queries are long on both, and B takes a fifth more.
    fn draw(rng: &mut fastrand::Rng, queries: usize) -> Vec<Pair> {
        let pair = |rng: &mut fastrand::Rng| {
            let length = (2.0 * rng.f64()).exp();
            [length * (0.9 + 0.2 * rng.f64()), 1.0, 1.2 * length * (0.9 + 0.2 * rng.f64()), 1.0]
        };
        (0..queries).map(|_| pair(rng)).collect()
    }

    #[test]
    fn about_nineteen_in_twenty_intervals_hold_the_truth() {
        const RUNS: usize = 400;
        // The mean of exp(2 u), u even between 0 and 1.
        let mean = (2.0_f64.exp() - 1.0) / 2.0;
        let mut rng = fastrand::Rng::with_seed(3);
        let (mut of_ratio, mut of_difference) = (0, 0);
        for _ in 0..RUNS {
            let intervals = intervals_from(&draw(&mut rng, 20), FEWEST);
            let holds = |[low, high]: [f64; 2], truth: f64| low <= truth && truth <= high;
            of_ratio += usize::from(holds(intervals.ratio.unwrap(), 1.0 / 1.2));
            of_difference += usize::from(holds(intervals.difference.unwrap(), -0.2 * mean));
        }
        for held in [of_ratio, of_difference] {
            let share = held as f64 / RUNS as f64;
            assert!((0.88..=0.99).contains(&share), "{share}");
        }
    }

    #[test]
    fn pairs_make_the_ratio_surer_than_each_cost_is() {
        let pairs = draw(&mut fastrand::Rng::with_seed(4), 50);
        let [low, high] = intervals(&pairs).ratio.unwrap();
        assert!(high / low < 1.1, "{low} {high}");
        let mut apart: Vec<Pair> = pairs.clone();
        for (position, pair) in apart.iter_mut().enumerate() {
            pair[2] = pairs[(position + 25) % 50][2];
        }
        let [low, high] = intervals(&apart).ratio.unwrap();
        assert!(high / low > 1.3, "{low} {high}");
    }

    #[test]
    fn equal_pairs_have_an_interval_of_no_width() {
        let [low, high] = intervals(&[[3.0, 1.0, 4.0, 1.0]; 12]).ratio.unwrap();
        assert!((low - 0.75).abs() < 1e-12 && (high - 0.75).abs() < 1e-12);
    }

    #[test]
    fn a_figure_of_nothing_has_a_difference_and_no_ratio() {
        let mut pairs = vec![[0.0, 1.0, 1.0, 2.0]; 20];
        pairs[0][0] = 1.0;
        let intervals = intervals(&pairs);
        assert_eq!(intervals.ratio, None);
        assert!(intervals.difference.is_some());
    }
}
