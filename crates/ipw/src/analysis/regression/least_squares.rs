//! Least squares with an intercept, in one or two variables, plain or weighted.
//!
//! Sums are of distances from the mean, so that large values with small differences keep their digits.
//! `None` where a plane isn't determined.

use std::array::from_fn;

use crate::analysis::stats::student_t_975;

/// Below this part of its variance a variable is taken to say nothing beside the others.
const SINGULAR: f64 = 1e-12;

/// What explains, and what is explained. All of it is finite.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Points<const P: usize> {
    pub(super) x: Vec<[f64; P]>,
    pub(super) y: Vec<f64>,
}

/// A fitted line or plane.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plane<const P: usize> {
    pub(super) slopes: [f64; P],
    mean_x: [f64; P],
    mean_y: f64,
    /// The inverse of the sums of squares and products of x around their means.
    inverse: [[f64; P]; P],
}

/// A figure for each slope and one for the intercept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Each<const P: usize, T> {
    pub(super) slopes: [T; P],
    pub(super) intercept: T,
}

/// An interval of 95 %, where there is one.
pub(super) type Ci95 = Option<[f64; 2]>;

/// Ordinary least squares.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ols<const P: usize> {
    pub(super) plane: Plane<P>,
    /// Share of the variance of y that the plane explains; `None` if y doesn't vary.
    pub(super) r2: Option<f64>,
    /// Student's intervals, for errors that are alike and independent.
    pub(super) ci95: Each<P, Ci95>,
    /// The standard deviation of y.
    pub(super) spread_y: f64,
}

impl<const P: usize> Points<P> {
    pub(super) fn len(&self) -> usize {
        self.y.len()
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = (&[f64; P], f64)> {
        self.x.iter().zip(self.y.iter().copied())
    }

    /// How many points there are beyond those that the plane needs.
    fn degrees(&self) -> Option<usize> {
        self.len().checked_sub(P + 1).filter(|degrees| *degrees > 0)
    }

    /// The least and the most of a variable; `None` of no point.
    pub(super) fn range(&self, variable: usize) -> Option<[f64; 2]> {
        let values = || self.x.iter().map(|x| x[variable]);
        Some([values().min_by(f64::total_cmp)?, values().max_by(f64::total_cmp)?])
    }

    /// The plane with the least sum of squares, each weighted as told by its position.
    pub(super) fn fit(&self, weight: impl Fn(usize) -> f64) -> Option<Plane<P>> {
        let (mut total, mut sum_x, mut sum_y) = (0.0, [0.0; P], 0.0);
        for (position, (x, y)) in self.rows().enumerate() {
            let weight = weight(position);
            total += weight;
            sum_y += weight * y;
            add(&mut sum_x, weight, x);
        }
        let (mean_x, mean_y) = (sum_x.map(|sum| sum / total), sum_y / total);
        let (mut squares, mut products) = ([[0.0; P]; P], [0.0; P]);
        for (position, (x, y)) in self.rows().enumerate() {
            let (weight, x) = (weight(position), minus(x, &mean_x));
            for (row, own) in squares.iter_mut().zip(x) {
                add(row, weight * own, &x);
            }
            add(&mut products, weight * (y - mean_y), &x);
        }
        let inverse = inverse(squares)?;
        let slopes = times(&inverse, &products);
        let is_finite = slopes.iter().chain([&mean_y]).all(|value| value.is_finite());
        is_finite.then_some(Plane { slopes, mean_x, mean_y, inverse })
    }

    /// `None` unless there are more than P points, and each variable says something of its own.
    pub(super) fn ols(&self) -> Option<Ols<P>> {
        let varies = |variable| self.range(variable).is_some_and(|[least, most]| least < most);
        if self.len() <= P || !(0..P).all(varies) {
            return None;
        }
        let plane = self.fit(|_| 1.0)?;
        let residuals: f64 = self.rows().map(|(x, y)| plane.residual(x, y).powi(2)).sum();
        let total: f64 = self.y.iter().map(|y| (y - plane.mean_y).powi(2)).sum();
        let r2 = Some((1.0 - residuals / total).clamp(0.0, 1.0)).filter(|r2| r2.is_finite());
        let deviation = self.degrees().map(|degrees| (residuals / degrees as f64).sqrt());
        let errors = deviation.map(|deviation| self.errors(&plane, deviation));
        let ci95 = self.ci95(&plane, errors);
        let spread_y = (total / self.len() as f64).sqrt();
        Some(Ols { plane, r2, ci95, spread_y })
    }

    /// Standard errors where each y has the same `deviation` from an unweighted `plane`.
    pub(super) fn errors(&self, plane: &Plane<P>, deviation: f64) -> Each<P, f64> {
        let (mean, inverse) = (&plane.mean_x, &plane.inverse);
        let of_mean = 1.0 / self.len() as f64 + dot(mean, &times(inverse, mean));
        Each {
            slopes: from_fn(|variable| deviation * inverse[variable][variable].sqrt()),
            intercept: deviation * of_mean.sqrt(),
        }
    }

    /// Intervals around the plane with these standard errors.
    pub(super) fn ci95(&self, plane: &Plane<P>, errors: Option<Each<P, f64>>) -> Each<P, Ci95> {
        let interval = |value: f64, error: fn(&Each<P, f64>, usize) -> f64, variable| {
            let half_width = student_t_975(self.degrees()?) * error(&errors?, variable);
            half_width.is_finite().then_some([value - half_width, value + half_width])
        };
        Each {
            slopes: from_fn(|variable| {
                interval(
                    plane.slopes[variable],
                    |errors, variable| errors.slopes[variable],
                    variable,
                )
            }),
            intercept: interval(plane.intercept(), |errors, _| errors.intercept, 0),
        }
    }

    /// Standard errors that hold though errors may differ from point to point: HC3 (MacKinnon and White,
    /// Journal of Econometrics 29, 1985, 305), which weighs each residual by what it would be if the
    /// plane had been fitted without its point. `None` where a point alone determines a slope.
    pub(super) fn hc3(&self, plane: &Plane<P>) -> Option<Each<P, f64>> {
        let one = 1.0 / self.len() as f64;
        let mut variances = Each { slopes: [0.0; P], intercept: 0.0 };
        for (x, y) in self.rows() {
            let from_mean = minus(x, &plane.mean_x);
            let pull = times(&plane.inverse, &from_mean);
            let without = 1.0 - one - dot(&from_mean, &pull);
            if without < SINGULAR {
                return None;
            }
            let square = (plane.residual(x, y) / without).powi(2);
            add(&mut variances.slopes, square, &pull.map(|pull| pull * pull));
            variances.intercept += square * (one - dot(&plane.mean_x, &pull)).powi(2);
        }
        Some(Each {
            slopes: variances.slopes.map(f64::sqrt),
            intercept: variances.intercept.sqrt(),
        })
    }
}

impl<const P: usize> Plane<P> {
    pub(super) fn intercept(&self) -> f64 {
        self.mean_y - dot(&self.slopes, &self.mean_x)
    }

    pub(super) fn residual(&self, x: &[f64; P], y: f64) -> f64 {
        y - self.mean_y - dot(&self.slopes, &minus(x, &self.mean_x))
    }
}

impl Points<2> {
    /// Pearson's correlation of the two variables; `None` if one of them doesn't vary.
    pub(super) fn correlation(&self) -> Option<f64> {
        let n = self.len() as f64;
        let mean = [0, 1].map(|variable| self.x.iter().map(|x| x[variable]).sum::<f64>() / n);
        let (mut products, mut squares) = (0.0, [0.0; 2]);
        for x in &self.x {
            let [one, other] = minus(x, &mean);
            products += one * other;
            add(&mut squares, 1.0, &[one * one, other * other]);
        }
        let scale = squares[0].sqrt() * squares[1].sqrt();
        (scale > 0.0).then(|| (products / scale).clamp(-1.0, 1.0))
    }
}

fn add<const P: usize>(sums: &mut [f64; P], factor: f64, values: &[f64; P]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += factor * value;
    }
}

fn minus<const P: usize>(values: &[f64; P], others: &[f64; P]) -> [f64; P] {
    from_fn(|position| values[position] - others[position])
}

fn dot<const P: usize>(values: &[f64; P], others: &[f64; P]) -> f64 {
    values.iter().zip(others).map(|(value, other)| value * other).sum()
}

fn times<const P: usize>(matrix: &[[f64; P]; P], vector: &[f64; P]) -> [f64; P] {
    from_fn(|row| dot(&matrix[row], vector))
}

/// The inverse of a symmetric, positive matrix; `None` if it has none that could be trusted. It is scaled
/// to a unit diagonal first, so that the variables' units don't matter.
fn inverse<const P: usize>(matrix: [[f64; P]; P]) -> Option<[[f64; P]; P]> {
    let scale: [f64; P] = from_fn(|row| matrix[row][row].sqrt());
    let mut left: [[f64; P]; P] =
        from_fn(|row| from_fn(|column| matrix[row][column] / scale[row] / scale[column]));
    let mut right: [[f64; P]; P] =
        from_fn(|row| from_fn(|column| if row == column { 1.0 } else { 0.0 }));
    for pivot in 0..P {
        let size = left[pivot][pivot];
        if size.is_nan() || size <= SINGULAR {
            return None;
        }
        let (own_left, own_right) = (left[pivot].map(|v| v / size), right[pivot].map(|v| v / size));
        (left[pivot], right[pivot]) = (own_left, own_right);
        for row in (0..P).filter(|row| *row != pivot) {
            let factor = -left[row][pivot];
            add(&mut left[row], factor, &own_left);
            add(&mut right[row], factor, &own_right);
        }
    }
    Some(from_fn(|row| from_fn(|column| right[row][column] / scale[row] / scale[column])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(x: &[f64], y: &[f64]) -> Points<1> {
        Points { x: x.iter().map(|x| [*x]).collect(), y: y.to_vec() }
    }

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-12 * expected.abs().max(1.0)
    }

    #[test]
    fn a_line_is_that_of_the_textbook() {
        // Sums around the means 3 and 4: xx 10, xy 6, yy 6; residuals 6 - 36/10 = 2.4.
        let fit = line(&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 4.0, 5.0, 4.0, 5.0]).ols().unwrap();
        assert!(close(fit.plane.slopes[0], 0.6) && close(fit.plane.intercept(), 2.2));
        assert!(close(fit.r2.unwrap(), 0.6));
        let half_width = student_t_975(3) * (2.4_f64 / 3.0 / 10.0).sqrt();
        let [low, high] = fit.ci95.slopes[0].unwrap();
        assert!(close(low, 0.6 - half_width) && close(high, 0.6 + half_width));
        let half_width = student_t_975(3) * (0.8 * (0.2 + 9.0 / 10.0_f64)).sqrt();
        assert!(close(fit.ci95.intercept.unwrap()[1], 2.2 + half_width));
    }

    #[test]
    fn what_is_not_determined_has_no_line() {
        for points in [line(&[], &[]), line(&[1.0], &[2.0]), line(&[0.1; 3], &[1.0, 2.0, 3.0])] {
            assert_eq!(points.ols(), None);
        }
        let two = line(&[1.0, 2.0], &[1.0, 3.0]).ols().unwrap();
        assert!(close(two.plane.slopes[0], 2.0) && two.ci95.slopes == [None]);
        let flat = line(&[1.0, 2.0, 3.0], &[4.0; 3]).ols().unwrap();
        assert_eq!((flat.plane.slopes, flat.r2), ([0.0], None));
        let twins =
            Points { x: vec![[1.0, 2.0], [2.0, 4.0], [3.0, 6.0], [5.0, 10.0]], y: vec![1.0; 4] };
        assert_eq!(twins.ols(), None);
    }

    #[test]
    fn a_plane_gives_back_what_it_was_made_from() {
        let x: Vec<[f64; 2]> = (0..40).map(|i| [f64::from(i), f64::from(i * i % 17)]).collect();
        let y = x.iter().map(|[a, b]| 1e6 + 0.25 * a - 3.0 * b).collect();
        let fit = Points { x, y }.ols().unwrap();
        assert!(close(fit.plane.slopes[0], 0.25) && close(fit.plane.slopes[1], -3.0));
        assert!((fit.plane.intercept() - 1e6).abs() < 1e-6 && close(fit.r2.unwrap(), 1.0));
    }

    #[test]
    fn a_weight_counts_as_so_many_points() {
        let weighted = line(&[1.0, 2.0, 4.0], &[1.0, 3.0, 2.0]);
        let repeated = line(&[1.0, 2.0, 4.0, 4.0, 4.0], &[1.0, 3.0, 2.0, 2.0, 2.0]);
        let weighted = weighted.fit(|position| [1.0, 1.0, 3.0][position]).unwrap();
        let repeated = repeated.fit(|_| 1.0).unwrap();
        assert!(close(weighted.slopes[0], repeated.slopes[0]));
        assert!(close(weighted.intercept(), repeated.intercept()));
    }

    #[test]
    fn a_point_that_holds_a_slope_alone_has_no_robust_error() {
        let points = line(&[0.0, 0.0, 0.0, 5.0], &[1.0, 2.0, 3.0, 4.0]);
        let plane = points.ols().unwrap().plane;
        assert_eq!(points.hc3(&plane), None);
    }

    #[test]
    fn correlation_has_the_sign_of_the_slope() {
        let points =
            |b: [f64; 4]| Points { x: (0..4).map(|i| [i as f64, b[i]]).collect(), y: vec![0.0; 4] };
        assert!(close(points([3.0, 5.0, 7.0, 9.0]).correlation().unwrap(), 1.0));
        assert!(close(points([1.0, 0.0, -1.0, -2.0]).correlation().unwrap(), -1.0));
        assert_eq!(points([1.0; 4]).correlation(), None);
        // r = 3 / sqrt(5 x 5), by hand.
        assert!(close(points([1.0, 0.0, 3.0, 2.0]).correlation().unwrap(), 0.6));
    }
}
