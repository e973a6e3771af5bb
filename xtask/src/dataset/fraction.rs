//! Exact fractions, so that no answer depends on how a float is rounded.

use std::fmt;
use std::ops::{Add, Div, Mul, Sub};

use anyhow::{Result, bail};

/// A fraction in lowest terms with a positive denominator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fraction {
    numerator: i64,
    denominator: i64,
}

impl Fraction {
    /// `numerator / denominator`; the denominator isn't 0.
    pub(super) fn new(numerator: i64, denominator: i64) -> Self {
        let shared = greatest_common_divisor(numerator, denominator).max(1);
        let sign = denominator.signum();
        Self { numerator: sign * numerator / shared, denominator: sign * denominator / shared }
    }

    /// The numerator in lowest terms.
    pub(super) fn numerator(self) -> i64 {
        self.numerator
    }

    /// The denominator in lowest terms.
    pub(super) fn denominator(self) -> i64 {
        self.denominator
    }

    /// All digits of it as a decimal number.
    ///
    /// # Errors
    /// If they don't end within 9 places.
    pub(super) fn decimal(self) -> Result<String> {
        let Some(places) = (0..10).find(|places| 10_i64.pow(*places) % self.denominator == 0)
        else {
            bail!("{self} has no short decimal form");
        };
        let scaled = self.numerator * (10_i64.pow(places) / self.denominator);
        let sign = if scaled < 0 { "-" } else { "" };
        let digits = format!("{:0width$}", scaled.abs(), width = places as usize + 1);
        let (whole, rest) = digits.split_at(digits.len() - places as usize);
        let point = if rest.is_empty() { "" } else { "." };
        Ok(format!("{sign}{whole}{point}{rest}"))
    }
}

impl From<i64> for Fraction {
    fn from(number: i64) -> Self {
        Self::new(number, 1)
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator {
            1 => write!(formatter, "{}", self.numerator),
            denominator => write!(formatter, "{}/{denominator}", self.numerator),
        }
    }
}

impl Add for Fraction {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::new(
            self.numerator * other.denominator + other.numerator * self.denominator,
            self.denominator * other.denominator,
        )
    }
}

impl Sub for Fraction {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + Self::new(-other.numerator, other.denominator)
    }
}

impl Mul for Fraction {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self::new(self.numerator * other.numerator, self.denominator * other.denominator)
    }
}

impl Div for Fraction {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        Self::new(self.numerator * other.denominator, self.denominator * other.numerator)
    }
}

/// The largest number that divides both (Euclid); 0 for two zeros.
pub(super) fn greatest_common_divisor(one: i64, other: i64) -> i64 {
    if other == 0 { one.abs() } else { greatest_common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_quotients_are_exact_and_in_lowest_terms() {
        let [half, third] = [Fraction::new(1, 2), Fraction::new(-2, -6)];
        assert_eq!((half + third).to_string(), "5/6");
        assert_eq!((third - half).to_string(), "-1/6");
        assert_eq!((half * third / Fraction::new(1, 12)).to_string(), "2");
    }

    #[test]
    fn decimals_keep_their_zeros_and_endless_ones_are_refused() {
        let decimal = |numerator, denominator| Fraction::new(numerator, denominator).decimal();
        assert_eq!(decimal(1, 8).unwrap(), "0.125");
        assert_eq!(decimal(-1, 200).unwrap(), "-0.005");
        assert_eq!(decimal(1200, 1).unwrap(), "1200");
        assert!(decimal(1, 3).is_err());
    }
}
