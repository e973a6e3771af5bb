//! Small statistics on finite numbers, in the unit of what they are given.
//!
//! Answers: `None` where a figure isn't defined (too few values, or one that isn't finite), never zero.
//! The intervals are of 95 %, two-sided.

use crate::record::Stats;

mod distributions;

pub use distributions::{normal_cdf, normal_quantile, sign_test, student_t_975};

/// The 97.5 % point of the normal distribution.
pub(super) const Z: f64 = 1.959_963_984_540_054;

/// The arithmetic mean; `None` of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    finite(values.iter().sum::<f64>() / values.len() as f64)
}

/// The sample standard deviation (divided by n - 1); `None` of fewer than two values.
#[must_use]
pub fn std_dev(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = mean(values)?;
    // Two passes: the difference of two large sums would lose the digits that matter.
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    finite((squares / (values.len() - 1) as f64).sqrt())
}

/// The `q` quantile, 0 to 1, of values in ascending order, by linear interpolation between the two
/// nearest (numpy's default); `None` of nothing or of a `q` outside 0 to 1.
#[must_use]
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    if !(0.0..=1.0).contains(&q) {
        return None;
    }
    let position = q * last as f64;
    let below = position.floor();
    let (low, high) = (sorted[below as usize], sorted[position.ceil() as usize]);
    // Not `low + 0 * (high - low)`: the neighbours may be infinitely far apart.
    let value = if low == high { low } else { low + (position - below) * (high - low) };
    finite(value)
}

/// The median of values in any order; `None` of nothing.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

/// Mean, extremes and median of values in any order; all `None` of nothing, or if one isn't finite.
#[must_use]
pub fn summarize(values: &[f64]) -> Stats {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(min), Some(max)) = (sorted.first().copied(), sorted.last().copied()) else {
        return Stats::default();
    };
    if !(min.is_finite() && max.is_finite()) {
        return Stats::default();
    }
    Stats { avg: mean(&sorted), max: Some(max), median: quantile(&sorted, 0.5), min: Some(min) }
}

/// Student's interval of the mean of independent values, [low, high]; `None` of fewer than two.
#[must_use]
pub fn mean_ci95(values: &[f64]) -> Option<[f64; 2]> {
    let (mean, deviation) = (mean(values)?, std_dev(values)?);
    let half_width = student_t_975(values.len() - 1) * deviation / (values.len() as f64).sqrt();
    Some([finite(mean - half_width)?, finite(mean + half_width)?])
}

/// The interval of the mean of values that can't be zero or less, as Student's t gives it on the log scale
/// (delta method), so that its limits are positive, too; `None` of fewer than two, and unless every value
/// is positive.
#[must_use]
pub fn positive_mean_ci95(values: &[f64]) -> Option<[f64; 2]> {
    if values.iter().any(|value| value.is_nan() || *value <= 0.0) {
        return None;
    }
    let (mean, factor) = (mean(values)?, mean_log_width(values)?.exp());
    Some([finite(mean / factor)?, finite(mean * factor)?])
}

/// Half the width of the interval of a mean on the log scale; `None` of fewer than two values.
fn mean_log_width(values: &[f64]) -> Option<f64> {
    let (mean, deviation) = (mean(values)?, std_dev(values)?);
    Some(student_t_975(values.len() - 1) * deviation / (values.len() as f64).sqrt() / mean)
}

/// Wilson's interval of a share of `successes` in `trials`, [low, high]; `None` of no trial.
///
/// It stays inside 0 to 1 and keeps a width where every trial or none is a success, where the textbook
/// interval has none.
#[must_use]
pub fn wilson_ci95(successes: usize, trials: usize) -> Option<[f64; 2]> {
    if trials == 0 || successes > trials {
        return None;
    }
    let (n, share) = (trials as f64, successes as f64 / trials as f64);
    let centre = share + Z * Z / (2.0 * n);
    let half_width = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // Exactly 0 and 1 at the ends, where rounding would leave a remainder.
    let low = if successes == 0 { 0.0 } else { (centre - half_width) / scale };
    let high = if successes == trials { 1.0 } else { (centre + half_width) / scale };
    Some([low, high])
}

/// The interval of `share of successes / mean of costs`, both of the same queries: what accuracy per
/// joule and per watt are. `None` of fewer than two queries, and unless every cost is positive.
///
/// The limits of the share (Wilson) and of the mean (Student's t on the log scale, so that they are
/// positive) are joined by the method of variance estimates recovery, with the correlation between the
/// two (Donner and Zou, Statistical Methods in Medical Research 21, 2012, 347). A bootstrap of
/// 20 queries with one success in twenty misses the truth in 30 of 100 runs, since a run without success
/// gets an interval of no width; this one misses in 3 to 7, in one pass over the queries.
#[must_use]
pub fn ratio_ci95(queries: &[(bool, f64)]) -> Option<[f64; 2]> {
    if queries.len() < 2 || queries.iter().any(|(_, cost)| cost.is_nan() || *cost <= 0.0) {
        return None;
    }
    let n = queries.len();
    let successes = queries.iter().filter(|(success, _)| *success).count();
    let costs: Vec<f64> = queries.iter().map(|(_, cost)| *cost).collect();
    let (share, cost) = (successes as f64 / n as f64, mean(&costs)?);
    let [share_low, share_high] = wilson_ci95(successes, n)?;
    let cost_log_width = mean_log_width(&costs)?;
    let correlation = correlation(queries, share, cost);
    let joined = |share_log_width: f64| {
        let square = share_log_width.powi(2) + cost_log_width.powi(2)
            - 2.0 * correlation * share_log_width * cost_log_width;
        square.max(0.0).sqrt()
    };
    let ratio = share / cost;
    let [low, high] = if successes == 0 {
        [0.0, share_high / cost * cost_log_width.exp()]
    } else {
        [
            ratio * (-joined((share / share_low).ln())).exp(),
            ratio * joined((share_high / share).ln()).exp(),
        ]
    };
    Some([finite(low)?, finite(high)?])
}

/// Pearson's correlation of success and cost; 0 where one of them doesn't vary.
fn correlation(queries: &[(bool, f64)], share: f64, cost: f64) -> f64 {
    let (mut both, mut of_success, mut of_cost) = (0.0, 0.0, 0.0);
    for (success, own_cost) in queries {
        let (success, own_cost) = (f64::from(u8::from(*success)) - share, own_cost - cost);
        both += success * own_cost;
        of_success += success * success;
        of_cost += own_cost * own_cost;
    }
    let scale = (of_success * of_cost).sqrt();
    if scale > 0.0 { (both / scale).clamp(-1.0, 1.0) } else { 0.0 }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
    }

    #[test]
    fn nothing_has_no_statistics() {
        assert_eq!(
            (mean(&[]), std_dev(&[]), median(&[]), quantile(&[], 0.5)),
            (None, None, None, None)
        );
        assert_eq!(summarize(&[]), Stats::default());
        assert_eq!((wilson_ci95(0, 0), ratio_ci95(&[])), (None, None));
    }

    #[test]
    fn a_value_that_is_not_finite_makes_the_figure_unknown() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!((mean(&[1.0, bad]), std_dev(&[1.0, bad])), (None, None));
            assert_eq!(summarize(&[1.0, bad, 2.0]), Stats::default());
            assert_eq!(ratio_ci95(&[(true, 1.0), (false, bad)]), None);
        }
    }

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.quantile([1, 2, 4, 8, 16], q)
        let sorted = [1.0, 2.0, 4.0, 8.0, 16.0];
        for (q, expected) in
            [(0.0, 1.0), (0.1, 1.4), (0.5, 4.0), (0.9, 12.8), (0.95, 14.4), (1.0, 16.0)]
        {
            assert!(close(quantile(&sorted, q).unwrap(), expected), "{q}");
        }
        assert_eq!(quantile(&[3.0], 0.99), Some(3.0));
        for q in [-0.1, 1.1, f64::NAN] {
            assert_eq!(quantile(&sorted, q), None);
        }
    }

    #[test]
    fn mean_deviation_and_median_are_those_of_the_textbook() {
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        assert_eq!(mean(&values), Some(5.0));
        assert!(close(std_dev(&values).unwrap(), (32.0_f64 / 7.0).sqrt()));
        assert_eq!(median(&[9.0, 1.0, 4.0, 2.0]), Some(3.0));
        assert_eq!(std_dev(&[5.0]), None);
        let far_away: Vec<f64> = [4.0, 7.0, 13.0, 16.0].iter().map(|value| value + 1e9).collect();
        assert!(close(std_dev(&far_away).unwrap(), 30.0_f64.sqrt()));
    }

    #[test]
    fn a_summary_has_mean_extremes_and_median() {
        let expected = Stats { avg: Some(4.0), max: Some(9.0), median: Some(3.0), min: Some(1.0) };
        assert_eq!(summarize(&[9.0, 1.0, 3.0, 5.0, 2.0]), expected);
    }

    #[test]
    fn wilsons_interval_agrees_with_published_values() {
        // Newcombe, Statistics in Medicine 17, 1998, table I, method 3.
        for (successes, trials, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let [found_low, found_high] = wilson_ci95(successes, trials).unwrap();
            assert!(
                (found_low - low).abs() < 5e-5 && (found_high - high).abs() < 5e-5,
                "{successes}/{trials}"
            );
        }
        assert_eq!(wilson_ci95(20, 20).unwrap()[1], 1.0);
        assert_eq!(wilson_ci95(3, 2), None);
    }

    #[test]
    fn students_t_agrees_with_its_table() {
        for (degrees, expected) in [
            (1, 12.7062),
            (4, 2.7764),
            (5, 2.5706),
            (6, 2.4469),
            (10, 2.2281),
            (19, 2.0930),
            (30, 2.0423),
            (120, 1.9799),
        ] {
            assert!(
                (student_t_975(degrees) - expected).abs() < 1e-3,
                "{degrees}: {}",
                student_t_975(degrees)
            );
        }
    }

    #[test]
    fn the_interval_of_a_mean_is_that_of_the_textbook() {
        // t(3) = 3.182446; the deviation of 1, 2, 3, 4 is sqrt(5 / 3).
        let [low, high] = mean_ci95(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        let half_width = 3.182_446 * (5.0_f64 / 3.0).sqrt() / 2.0;
        assert!(
            (low - (2.5 - half_width)).abs() < 1e-6 && (high - (2.5 + half_width)).abs() < 1e-6
        );
        assert_eq!((mean_ci95(&[1.0]), mean_ci95(&[1.0, f64::NAN])), (None, None));
    }

    #[test]
    fn the_mean_of_what_is_positive_has_positive_limits() {
        let [low, high] = positive_mean_ci95(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        let factor = (3.182_446 * (5.0_f64 / 3.0).sqrt() / 2.0 / 2.5).exp();
        assert!((low - 2.5 / factor).abs() < 1e-6 && (high - 2.5 * factor).abs() < 1e-6);
        // Student's interval of these reaches below zero.
        let [low, high] = positive_mean_ci95(&[1.0, 100.0]).unwrap();
        assert!(0.0 < low && low < 50.5 && 50.5 < high, "{low} {high}");
        for none in [&[1.0][..], &[1.0, 0.0], &[1.0, -2.0], &[1.0, f64::NAN]] {
            assert_eq!(positive_mean_ci95(none), None);
        }
    }

    /// Successes and costs with known true ratio, correlated through a common normal variable.
    fn draw(rng: &mut fastrand::Rng, queries: usize, chance: f64) -> Vec<(bool, f64)> {
        (0..queries)
            .map(|_| {
                let success = rng.f64() < chance;
                // A success costs 2 to 4, a failure 1 to 7: means 3 and 4.
                let cost = if success { 2.0 + 2.0 * rng.f64() } else { 1.0 + 6.0 * rng.f64() };
                (success, cost)
            })
            .collect()
    }

    #[test]
    fn about_nineteen_in_twenty_intervals_of_a_ratio_hold_the_truth() {
        const RUNS: usize = 2_000;
        let mut rng = fastrand::Rng::with_seed(7);
        for (queries, chance) in [(10, 0.5), (20, 0.05), (20, 0.9), (100, 0.3), (1_000, 0.7)] {
            let truth = chance / (3.0 * chance + 4.0 * (1.0 - chance));
            let held = (0..RUNS)
                .filter(|_| {
                    let [low, high] = ratio_ci95(&draw(&mut rng, queries, chance)).unwrap();
                    low <= truth && truth <= high
                })
                .count();
            let share = held as f64 / RUNS as f64;
            assert!((0.92..=0.99).contains(&share), "{queries} queries at {chance}: {share}");
        }
    }

    #[test]
    fn a_run_without_success_still_has_an_upper_limit() {
        let [low, high] = ratio_ci95(&[(false, 2.0); 20]).unwrap();
        assert_eq!(low, 0.0);
        assert!(close(high, wilson_ci95(0, 20).unwrap()[1] / 2.0));
        assert_eq!(ratio_ci95(&[(true, 2.0)]), None);
        assert_eq!(ratio_ci95(&[(true, 2.0), (true, 0.0)]), None);
    }

    proptest! {
        #[test]
        fn an_interval_holds_its_estimate_and_is_positive(
            queries in prop::collection::vec((any::<bool>(), 1e-3_f64..1e6), 2..60),
        ) {
            let n = queries.len() as f64;
            let successes = queries.iter().filter(|(success, _)| *success).count() as f64;
            let ratio = successes / queries.iter().map(|(_, cost)| cost).sum::<f64>();
            let [low, high] = ratio_ci95(&queries).unwrap();
            prop_assert!(n >= 2.0 && 0.0 <= low);
            prop_assert!(low <= ratio * (1.0 + 1e-12) && ratio <= high * (1.0 + 1e-12), "{low} {ratio} {high}");
        }

        #[test]
        fn a_quantile_lies_between_the_extremes_and_grows_with_q(
            mut values in prop::collection::vec(-1e9_f64..1e9, 1..40), q in 0.0_f64..=1.0, r in 0.0_f64..=1.0,
        ) {
            values.sort_by(f64::total_cmp);
            let (low, high) = (quantile(&values, q.min(r)).unwrap(), quantile(&values, q.max(r)).unwrap());
            let slack = 1e-6;
            prop_assert!(values[0] - slack <= low && low <= high + slack && high <= values[values.len() - 1] + slack);
        }
    }
}
