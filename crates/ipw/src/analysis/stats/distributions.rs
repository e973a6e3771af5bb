//! Probabilities and quantiles of the distributions that intervals and tests need.
//!
//! Answers: to at least ten digits, by sums of positive terms that end by themselves; no table, no fit.

use std::f64::consts::{FRAC_PI_2, PI};

use super::Z;

/// From so many degrees of freedom on the expansion around the normal distribution has twelve digits.
const MANY_DEGREES: usize = 200;

/// The 97.5 % point of Student's t with so many degrees of freedom; infinite with none.
#[must_use]
pub fn student_t_975(degrees: usize) -> f64 {
    if degrees == 0 {
        return f64::INFINITY;
    }
    if degrees > MANY_DEGREES {
        return student_t_975_of_many(degrees as f64);
    }
    let angle = increasing_to(0.95, [0.0, FRAC_PI_2], |angle| within_angle(angle, degrees));
    (degrees as f64).sqrt() * angle.tan()
}

/// The probability that Student's t, of a whole number of degrees, lies within +-sqrt(degrees) x
/// tan(angle): the finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4.
fn within_angle(angle: f64, degrees: usize) -> f64 {
    let is_odd = degrees % 2 == 1;
    let square = angle.cos().powi(2);
    let mut term = if is_odd { angle.cos() } else { 1.0 };
    let mut sum = if degrees == 1 { 0.0 } else { term };
    // Each term is the one before times cos² times 1/2, 3/4, 5/6, ... or 2/3, 4/5, ...
    let mut factor = if is_odd { 2.0 } else { 1.0 };
    for _ in 0..degrees.saturating_sub(2) / 2 {
        term *= square * factor / (factor + 1.0);
        sum += term;
        factor += 2.0;
    }
    if is_odd { (angle + angle.sin() * sum) * 2.0 / PI } else { angle.sin() * sum }
}

/// The expansion of Abramowitz and Stegun, 26.7.5.
fn student_t_975_of_many(n: f64) -> f64 {
    let z = |power: i32| Z.powi(power);
    Z + (z(3) + Z) / (4.0 * n)
        + (5.0 * z(5) + 16.0 * z(3) + 3.0 * Z) / (96.0 * n * n)
        + (3.0 * z(7) + 19.0 * z(5) + 17.0 * z(3) - 15.0 * Z) / (384.0 * n * n * n)
        + (79.0 * z(9) + 776.0 * z(7) + 1482.0 * z(5) - 1920.0 * z(3) - 945.0 * Z)
            / (92_160.0 * n.powi(4))
}

/// The probability that a standard normal variable is at most `x`.
#[must_use]
pub fn normal_cdf(x: f64) -> f64 {
    // Beyond this it is 0 or 1 to the last digit that the quantile below asks for.
    const FAR: f64 = 9.0;
    if x.is_nan() || x.abs() > FAR {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    // phi(x) (x + x³/3 + x⁵/(3 x 5) + ...): Abramowitz and Stegun, 26.2.11.
    let (mut term, mut sum, mut divisor) = (x, x, 1.0);
    while term.abs() > f64::EPSILON * 0.1 * sum.abs() {
        divisor += 2.0;
        term *= x * x / divisor;
        sum += term;
    }
    0.5 + sum * (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// The point below which a standard normal variable is with `probability`, 0 to 1; at most 9 either way.
#[must_use]
pub fn normal_quantile(probability: f64) -> f64 {
    increasing_to(probability, [-9.0, 9.0], normal_cdf)
}

/// The two-sided exact sign test: how likely it is that of `trials` tosses of a fair coin heads or tails
/// come at most `fewer` times; 1 of no toss.
#[must_use]
pub fn sign_test(fewer: usize, trials: usize) -> f64 {
    let fewer = fewer.min(trials - fewer.min(trials));
    if 2 * fewer >= trials {
        return 1.0;
    }
    // The chances of 0 to `trials` heads are as the binomial coefficients. In units of the one in the
    // middle none of them overflows, and those that vanish are too small to matter.
    let middle = trials / 2;
    let (mut coefficient, mut below, mut tail) = (1.0, 0.0, 0.0);
    for heads in (0..middle).rev() {
        coefficient *= (heads + 1) as f64 / (trials - heads) as f64;
        below += coefficient;
        if heads <= fewer {
            tail += coefficient;
        }
    }
    let middles = if trials.is_multiple_of(2) { 1.0 } else { 2.0 };
    // An odd number of tosses has two middles, of which `fewer` may be the lower one.
    if fewer == middle {
        tail += 1.0;
    }
    (2.0 * tail / (2.0 * below + middles)).min(1.0)
}

/// Where an increasing function reaches `target` in a range, to the last digit.
fn increasing_to(target: f64, [mut low, mut high]: [f64; 2], f: impl Fn(f64) -> f64) -> f64 {
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return middle;
        }
        if f(middle) < target {
            low = middle;
        } else {
            high = middle;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-10 * expected.abs()
    }

    #[test]
    fn students_t_agrees_with_known_values() {
        // With one and two degrees there are closed forms.
        assert!(close(student_t_975(1), (0.475 * PI).tan()));
        assert!(close(student_t_975(2), 0.95 * (2.0 / (1.0 - 0.95_f64.powi(2))).sqrt()));
        assert_eq!(student_t_975(0), f64::INFINITY);
        for (degrees, expected) in [
            (3, 3.182_446_305_284_263),
            (10, 2.228_138_851_964_938_5),
            (30, 2.042_272_456_301_237_6),
        ] {
            assert!(close(student_t_975(degrees), expected), "{degrees}");
        }
    }

    #[test]
    fn sums_and_expansion_meet() {
        for degrees in MANY_DEGREES..MANY_DEGREES + 3 {
            let angle = increasing_to(0.95, [0.0, FRAC_PI_2], |angle| within_angle(angle, degrees));
            let by_sums = (degrees as f64).sqrt() * angle.tan();
            let by_expansion = student_t_975_of_many(degrees as f64);
            assert!((by_sums / by_expansion - 1.0).abs() < 1e-11, "{degrees}");
        }
        assert!(close(student_t_975(usize::MAX), Z));
    }

    #[test]
    fn the_normal_distribution_and_its_quantiles_agree() {
        assert!(close(normal_cdf(Z), 0.975) && close(normal_quantile(0.975), Z));
        assert!(close(normal_quantile(0.75), 0.674_489_750_196_081_7));
        assert!(normal_cdf(0.0) == 0.5 && normal_quantile(0.5).abs() < 1e-15);
        for x in [-6.0, -2.5, -1e-9, 0.3, 4.0] {
            assert!((normal_cdf(x) + normal_cdf(-x) - 1.0).abs() < 1e-15);
        }
        assert_eq!((normal_cdf(f64::INFINITY), normal_cdf(f64::NEG_INFINITY)), (1.0, 0.0));
    }

    #[test]
    fn the_sign_test_counts_tosses() {
        assert_eq!((sign_test(0, 0), sign_test(1, 2), sign_test(5, 10)), (1.0, 1.0, 1.0));
        // 2 x 1/32; 2 x (1 + 5)/32; 2 x (1 + 10 + 45)/1024.
        assert!(close(sign_test(0, 5), 2.0 / 32.0) && close(sign_test(1, 5), 12.0 / 32.0));
        assert!(close(sign_test(2, 10), 112.0 / 1024.0));
        assert_eq!((sign_test(2, 5), sign_test(3, 5)), (1.0, 1.0));
        assert_eq!(sign_test(8, 10), sign_test(2, 10));
        assert_eq!(sign_test(0, 100_000), 0.0);
        assert!(close(sign_test(0, 1_000), 2.0_f64.powi(-999)));
    }
}
