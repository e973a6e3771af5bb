//! Where values lie densely: a Gaussian kernel density estimate for plots.
//!
//! Answers: the density on an even grid, with Scott's bandwidth, as `scipy.stats.gaussian_kde` gives it
//! by default; the grid's points are exact to twelve digits of the largest, since nothing is binned. In
//! the unit of the values; a density is per that unit.

use serde::{Deserialize, Serialize};

use super::stats::std_dev;

/// The grid reaches so many bandwidths beyond the extreme values.
const BEYOND: f64 = 4.0;
/// The least and the most points of a grid.
const POINTS: [usize; 2] = [512, 16_384];
/// Between two points of the grid there is at most this part of a bandwidth, unless it would have too
/// many points.
const STEP: f64 = 0.5;
/// A kernel is left out where it is under a 10¹⁷th of its height.
const REACH: f64 = 9.0;

/// A density on an even grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Density {
    /// The kernel's standard deviation.
    pub bandwidth: f64,
    /// The grid, ascending.
    pub x: Vec<f64>,
    /// The density at each of its points.
    pub density: Vec<f64>,
}

/// The density of values in any order; `None` of fewer than two, of equal ones, and if one isn't finite.
///
/// The grid has more points where single values lie far out, up to 16,384: beyond that the kernels are
/// narrower than its steps, and the bulk is drawn coarsely.
#[must_use]
pub fn kde(values: &[f64]) -> Option<Density> {
    let bandwidth = std_dev(values)? * (values.len() as f64).powf(-0.2);
    let least = values.iter().copied().min_by(f64::total_cmp)?;
    let most = values.iter().copied().max_by(f64::total_cmp)?;
    let (low, high) = (least - BEYOND * bandwidth, most + BEYOND * bandwidth);
    let steps = (high - low) / (STEP * bandwidth);
    let last = (steps.ceil() as usize + 1).clamp(POINTS[0], POINTS[1]) - 1;
    let step = (high - low) / last as f64;
    // Equal values have a deviation all the same where their mean had to be rounded.
    if least == most || !step.is_finite() {
        return None;
    }
    let mut sums = vec![0.0; last + 1];
    let kernel = Kernel::new(step / bandwidth);
    for value in values {
        kernel.add((value - low) / step, &mut sums);
    }
    let scale = 1.0 / (values.len() as f64 * bandwidth * std::f64::consts::TAU.sqrt());
    Some(Density {
        bandwidth,
        x: (0..=last).map(|point| low + point as f64 * step).collect(),
        density: sums.into_iter().map(|sum| sum * scale).collect(),
    })
}

/// A Gaussian on a grid. Its values at even steps from its middle follow from two exponentials, since
/// exp(-(d + k)²/2) = exp(-d²/2) exp(-d)ᵏ exp(-k²/2): a hundred thousand values take milliseconds. None
/// of these overflows while a step is at most a few bandwidths. It is: n values span at most sqrt(2 n)
/// deviations, which is under two bandwidths a step up to a million values.
struct Kernel {
    /// A step of the grid in bandwidths.
    step: f64,
    /// exp(-k²/2) for the `k`-th point from the nearest one, as far as it matters.
    tail: Vec<f64>,
}

impl Kernel {
    fn new(step: f64) -> Self {
        let reach = (REACH / step).ceil() as i32 + 1;
        let tail = (0..=reach).map(|k| (-0.5 * (f64::from(k) * step).powi(2)).exp()).collect();
        Self { step, tail }
    }

    /// Adds a kernel of height 1 around `position`, in steps of the grid from its start.
    fn add(&self, position: f64, sums: &mut [f64]) {
        let nearest = (position.round() as usize).min(sums.len() - 1);
        let distance = (nearest as f64 - position) * self.step;
        let height = (-0.5 * distance * distance).exp();
        let ratio = (-distance * self.step).exp();
        let mut factor = height;
        for (sum, tail) in sums[nearest..].iter_mut().zip(&self.tail) {
            *sum += factor * tail;
            factor *= ratio;
        }
        let mut factor = height / ratio;
        for (sum, tail) in sums[..nearest].iter_mut().rev().zip(&self.tail[1..]) {
            *sum += factor * tail;
            factor /= ratio;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The sum over all values, spelled out.
    fn directly(values: &[f64], bandwidth: f64, x: f64) -> f64 {
        let kernel = |value: &f64| (-0.5 * ((x - value) / bandwidth).powi(2)).exp();
        let sum: f64 = values.iter().map(kernel).sum();
        sum / (values.len() as f64 * bandwidth * std::f64::consts::TAU.sqrt())
    }

    fn largest(density: &Density) -> f64 {
        density.density.iter().copied().fold(0.0, f64::max)
    }

    fn area(density: &Density) -> f64 {
        (density.x[1] - density.x[0]) * density.density.iter().sum::<f64>()
    }

    #[test]
    fn values_without_a_spread_have_no_density() {
        for values in
            [&[] as &[f64], &[1.0], &[0.1, 0.1, 0.1], &[1.0, f64::NAN], &[1.0, f64::INFINITY]]
        {
            assert_eq!(kde(values), None, "{values:?}");
        }
    }

    #[test]
    fn two_values_have_scotts_bandwidth() {
        // scipy.stats.gaussian_kde([0, 1]): the deviation sqrt(1/2) times 2^(-1/5).
        let density = kde(&[0.0, 1.0]).unwrap();
        assert!((density.bandwidth - 0.5_f64.sqrt() * 2.0_f64.powf(-0.2)).abs() < 1e-15);
        assert_eq!(density.x.len(), POINTS[0]);
    }

    #[test]
    fn an_outlier_does_not_hide_the_bulk() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut values: Vec<f64> = (0..1_000).map(|_| rng.f64()).collect();
        values.push(1e4);
        let density = kde(&values).unwrap();
        assert!((area(&density) - 1.0).abs() < 1e-3, "{}", area(&density));
    }

    proptest! {
        #[test]
        fn the_density_is_the_sum_of_all_kernels(values in prop::collection::vec(-1e3_f64..1e3, 2..60)) {
            let density = kde(&values).unwrap();
            let largest = largest(&density);
            for (x, found) in density.x.iter().zip(&density.density).step_by(37) {
                let expected = directly(&values, density.bandwidth, *x);
                prop_assert!((found - expected).abs() <= 1e-11 * largest, "{x}: {found} {expected}");
            }
            prop_assert!((area(&density) - 1.0).abs() < 1e-3);
        }

        #[test]
        fn the_order_of_the_values_does_not_matter(values in prop::collection::vec(-1e3_f64..1e3, 2..60)) {
            let (one, mut reversed) = (kde(&values).unwrap(), values.clone());
            reversed.reverse();
            let other = kde(&reversed).unwrap();
            for (a, b) in one.density.iter().zip(&other.density) {
                prop_assert!((a - b).abs() <= 1e-11 * largest(&one));
            }
        }

        #[test]
        fn it_moves_and_stretches_with_the_values(
            values in prop::collection::vec(-1e3_f64..1e3, 2..60), shift in -1e3_f64..1e3, scale in 1e-3_f64..1e3,
        ) {
            let density = kde(&values).unwrap();
            let moved: Vec<f64> = values.iter().map(|value| shift + scale * value).collect();
            let moved = kde(&moved).unwrap();
            prop_assert!((moved.bandwidth / (scale * density.bandwidth) - 1.0).abs() < 1e-6);
            for (a, b) in density.density.iter().zip(&moved.density) {
                prop_assert!((a - b * scale).abs() <= 1e-6 * largest(&density));
            }
        }
    }
}
