//! A fit on which single points that lie far off have little pull: Huber's M-estimate.
//!
//! By weighted least squares again and again (Huber, Robust Statistics, 1981, chapter 7), with 1.345 for
//! his constant, which costs 5 % of efficiency where no point lies off, and the scale from the median of
//! the absolute residuals. Points with an unusual x keep their pull: it is y that is allowed to be off.

use super::least_squares::{Ci95, Each, Ols, Plane, Points};

/// Fewer points have no robust fit.
const FEWEST: usize = 10;
/// Residuals beyond so many scales pull no more than one at that distance.
const THRESHOLD: f64 = 1.345;
/// The median of the absolute values of a standard normal variable.
const NORMAL_MEDIAN: f64 = 0.674_489_750_196_081_7;
/// Most rounds until the fit stands.
const ROUNDS: usize = 200;
/// It stands when a round moves it by less than this part of the residuals' scale.
const STILL: f64 = 1e-12;
/// It nearly stands when a round moves it by less than this part.
const NEARLY_STILL: f64 = 1e-4;
/// The least part of a value that still means something beside its rounding.
const ROUNDING: f64 = 1e-14;
/// Points so many scales off are counted as outliers.
const FAR_OFF: f64 = 5.0;
/// The share of a slope by which the fits must differ for both to be told.
const MATERIAL: f64 = 0.1;

/// The fit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Robust<const P: usize> {
    pub(super) plane: Plane<P>,
    /// By the asymptotic covariance (Huber's first, with his correction), with Student's t.
    pub(super) ci95: Each<P, Ci95>,
    /// Points more than five scales off.
    pub(super) outliers: usize,
}

impl<const P: usize> Robust<P> {
    /// The robust fit, if it tells something else than least squares: a slope that differs by over a tenth,
    /// and that of least squares lies outside the robust one's interval. `None` of few points, too, and if
    /// the fit doesn't come to stand.
    pub(super) fn if_it_differs(points: &Points<P>, ols: &Ols<P>) -> Option<Self> {
        if points.len() < FEWEST {
            return None;
        }
        let differs = |plane: &Plane<P>, share: f64, variable: usize| {
            let (plain, own) = (ols.plane.slopes[variable], plane.slopes[variable]);
            (plain - own).abs() > share * plain.abs().max(own.abs())
        };
        // Most fits are over here: what is to come moves no slope by a tenth of a tenth of it.
        let nearly = settled(points, ols, &ols.plane, NEARLY_STILL)?;
        if !(0..P).any(|variable| differs(&nearly, 0.9 * MATERIAL, variable)) {
            return None;
        }
        let robust = Self::of(points, ols, settled(points, ols, &nearly, STILL)?);
        let is_outside = |variable: usize| {
            let plain = ols.plane.slopes[variable];
            robust.ci95.slopes[variable].is_none_or(|[low, high]| plain < low || high < plain)
        };
        let tells = |variable| differs(&robust.plane, MATERIAL, variable) && is_outside(variable);
        (0..P).any(tells).then_some(robust)
    }

    fn of(points: &Points<P>, ols: &Ols<P>, plane: Plane<P>) -> Self {
        let residuals = Residuals::of(points, &plane);
        let far_off = FAR_OFF * residuals.scale.max(ROUNDING * ols.spread_y);
        let outliers = residuals.of.iter().filter(|residual| residual.abs() > far_off).count();
        let deviation = residuals.deviation(P + 1);
        let errors = deviation.map(|deviation| points.errors(&ols.plane, deviation));
        let ci95 = points.ci95(&plane, errors);
        Self { plane, ci95, outliers }
    }
}

/// Goes on from a plane until a round moves it by less than this part of the residuals' scale.
fn settled<const P: usize>(
    points: &Points<P>,
    ols: &Ols<P>,
    from: &Plane<P>,
    still: f64,
) -> Option<Plane<P>> {
    let unit = points.errors(&ols.plane, (points.len() as f64).sqrt());
    let mut plane = from.clone();
    for _ in 0..ROUNDS {
        let Residuals { of, scale } = Residuals::of(points, &plane);
        if scale <= ROUNDING * ols.spread_y {
            // Over half of the points lie on the plane exactly.
            return Some(plane);
        }
        let next = points.fit(|position| (THRESHOLD * scale / of[position].abs()).min(1.0))?;
        let stands = is_still(&next, &plane, &unit, still * scale);
        plane = next;
        if stands {
            return Some(plane);
        }
    }
    None
}

/// Whether a round has moved the plane by less than `least`. `unit` is by how much a slope and the intercept
/// have to change to move it by about 1.
fn is_still<const P: usize>(
    next: &Plane<P>,
    before: &Plane<P>,
    unit: &Each<P, f64>,
    least: f64,
) -> bool {
    let is_still = |next: f64, before: f64, unit: f64| {
        (next - before).abs() <= least * unit + ROUNDING * next.abs()
    };
    let mut slopes = next.slopes.iter().zip(before.slopes).zip(unit.slopes);
    slopes.all(|((next, before), unit)| is_still(*next, before, unit))
        && is_still(next.intercept(), before.intercept(), unit.intercept)
}

/// What a plane leaves over.
struct Residuals {
    of: Vec<f64>,
    /// What their standard deviation would be, were they normal.
    scale: f64,
}

impl Residuals {
    fn of<const P: usize>(points: &Points<P>, plane: &Plane<P>) -> Self {
        let of: Vec<f64> = points.rows().map(|(x, y)| plane.residual(x, y)).collect();
        let scale = median_size(&of) / NORMAL_MEDIAN;
        Self { of, scale }
    }

    /// What stands for the deviation of y in the fit's standard errors; `parameters` were fitted.
    fn deviation(&self, parameters: usize) -> Option<f64> {
        let n = self.of.len() as f64;
        let scaled = || self.of.iter().map(|residual| (residual / self.scale).abs());
        let pulls: f64 = scaled().map(|size| size.min(THRESHOLD).powi(2)).sum();
        let inside = scaled().filter(|size| *size <= THRESHOLD).count() as f64 / n;
        let correction = 1.0 + parameters as f64 / n * (1.0 - inside) / inside;
        let variance = pulls * self.scale.powi(2) / (n - parameters as f64);
        Some(correction * variance.sqrt() / inside).filter(|deviation| deviation.is_finite())
    }
}

/// The median of absolute values, in linear time.
fn median_size(values: &[f64]) -> f64 {
    let mut sizes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
    let middle = sizes.len() / 2;
    let (smaller, upper, _) = sizes.select_nth_unstable_by(middle, f64::total_cmp);
    if values.len() % 2 == 1 {
        return *upper;
    }
    let lower = smaller.iter().copied().max_by(f64::total_cmp);
    lower.map_or(*upper, |lower| 0.5 * (lower + *upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::stats::median;

    fn fits(points: &Points<1>) -> (Ols<1>, Option<Robust<1>>) {
        let ols = points.ols().unwrap();
        let robust = Robust::if_it_differs(points, &ols);
        (ols, robust)
    }

    fn noisy_line(seed: u64, outliers: usize) -> Points<1> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let x: Vec<[f64; 1]> = (0..100).map(|i| [f64::from(i)]).collect();
        let mut y: Vec<f64> = x.iter().map(|[x]| 5.0 + 2.0 * x + rng.f64() - 0.5).collect();
        for value in y.iter_mut().rev().take(outliers) {
            *value += 1_000.0;
        }
        Points { x, y }
    }

    #[test]
    fn outliers_pull_least_squares_and_not_the_robust_fit() {
        let (ols, robust) = fits(&noisy_line(3, 5));
        let robust = robust.unwrap();
        assert!(ols.plane.slopes[0] > 3.0, "{ols:?}");
        assert!((robust.plane.slopes[0] - 2.0).abs() < 0.01, "{robust:?}");
        let [low, high] = robust.ci95.slopes[0].unwrap();
        assert!(low < 2.0 && 2.0 < high && high - low < 0.02, "{low} {high}");
        assert_eq!(robust.outliers, 5);
    }

    #[test]
    fn without_outliers_there_is_nothing_else_to_tell() {
        for seed in 0..20 {
            assert_eq!(fits(&noisy_line(seed, 0)).1, None, "{seed}");
        }
    }

    #[test]
    fn a_line_that_most_points_lie_on_is_found() {
        let x: Vec<[f64; 1]> = (0..30).map(|i| [f64::from(i)]).collect();
        let mut y: Vec<f64> = x.iter().map(|[x]| 1.0 + 3.0 * x).collect();
        y[29] += 1e4;
        let robust = fits(&Points { x, y }).1.unwrap();
        assert!((robust.plane.slopes[0] - 3.0).abs() < 1e-9, "{robust:?}");
        assert_eq!(robust.outliers, 1);
    }

    #[test]
    fn few_points_have_no_robust_fit() {
        let mut points = noisy_line(1, 1);
        let few = points.len() - (FEWEST - 1);
        points = Points { x: points.x.split_off(few), y: points.y.split_off(few) };
        assert_eq!(fits(&points).1, None);
    }

    #[test]
    fn the_median_of_sizes_is_the_median() {
        for values in [&[3.0, -1.0, 2.0][..], &[-4.0, 1.0, 3.0, -2.0], &[0.0, 0.0]] {
            let sizes: Vec<f64> = values.iter().map(|value: &f64| value.abs()).collect();
            assert_eq!(Some(median_size(values)), median(&sizes));
        }
    }
}
