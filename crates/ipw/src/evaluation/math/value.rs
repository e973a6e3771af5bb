//! The value of a formula without variables: sums, products, powers, roots and pi.
//!
//! Answers: what a formula in its canonical spelling comes to, exactly where that is a fraction, and whether two
//! values are the same.

use super::super::quantity::{EXACT_FLOATS, close};

/// Parentheses and arguments within others. What is nested more deeply has no value.
const DEEPEST: usize = 64;
/// The highest power that is multiplied out.
const HIGHEST_POWER: u32 = 1_024;
/// What rounding in a few dozen operations may come to, relatively.
const ROUNDING: f64 = 1e-12;

/// What a formula comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// A fraction in lowest terms; the denominator is positive.
    Exact(i128, i128),
    /// Anything else, infinity among it. Never NaN.
    Float(f64),
}

/// The value of a formula in its canonical spelling; `None` if it has variables, or none can be told.
pub(super) fn value(canonical: &str) -> Option<Value> {
    let mut parser = Parser { rest: canonical };
    let value = parser.sum(0)?;
    parser.rest.is_empty().then_some(value)
}

impl Value {
    /// Whether two values are the same; `None` where they are too large to tell.
    pub(super) fn same(self, answer: Self) -> Option<bool> {
        if let (Self::Exact(numerator, 1), Self::Exact(other, 1)) = (self, answer) {
            return Some(numerator == other);
        }
        let (reference, given) = (self.float(), answer.float());
        let size = reference.abs().max(given.abs());
        if size.is_infinite() {
            return Some(reference == given);
        }
        if size > EXACT_FLOATS {
            return None;
        }
        Some(close(reference, given) || (reference - given).abs() <= ROUNDING * size.max(1.0))
    }

    fn float(self) -> f64 {
        match self {
            Self::Exact(numerator, denominator) => numerator as f64 / denominator as f64,
            Self::Float(value) => value,
        }
    }

    fn of_float(value: f64) -> Option<Self> {
        (!value.is_nan()).then_some(Self::Float(value))
    }

    fn fraction(numerator: i128, denominator: i128) -> Option<Self> {
        if denominator == 0 {
            return None;
        }
        let divisor = divisor(numerator.unsigned_abs(), denominator.unsigned_abs());
        let divisor = i128::try_from(divisor).ok()?.checked_mul(denominator.signum())?;
        Some(Self::Exact(numerator.checked_div(divisor)?, denominator.checked_div(divisor)?))
    }

    /// The exact result of two fractions, else that of two floats.
    fn combined(
        self,
        other: Self,
        exact: impl Fn((i128, i128), (i128, i128)) -> Option<Self>,
        float: impl Fn(f64, f64) -> f64,
    ) -> Option<Self> {
        if let (Self::Exact(a, b), Self::Exact(c, d)) = (self, other)
            && let Some(result) = exact((a, b), (c, d))
        {
            return Some(result);
        }
        Self::of_float(float(self.float(), other.float()))
    }

    fn plus(self, other: Self) -> Option<Self> {
        let exact = |(a, b): (i128, i128), (c, d): (i128, i128)| {
            let sum = a.checked_mul(d)?.checked_add(c.checked_mul(b)?)?;
            Self::fraction(sum, b.checked_mul(d)?)
        };
        self.combined(other, exact, |a, b| a + b)
    }

    fn times(self, other: Self) -> Option<Self> {
        let exact = |(a, b): (i128, i128), (c, d): (i128, i128)| {
            Self::fraction(a.checked_mul(c)?, b.checked_mul(d)?)
        };
        self.combined(other, exact, |a, b| a * b)
    }

    fn negated(self) -> Option<Self> {
        self.times(Self::Exact(-1, 1))
    }

    fn divided_by(self, other: Self) -> Option<Self> {
        match other {
            Self::Exact(0, _) => None,
            Self::Exact(numerator, denominator) => {
                self.times(Self::fraction(denominator, numerator)?)
            }
            Self::Float(0.0) => None,
            Self::Float(value) => Self::of_float(self.float() / value),
        }
    }

    fn to_the_power_of(self, exponent: Self) -> Option<Self> {
        if let (Self::Exact(numerator, denominator), Self::Exact(power, 1)) = (self, exponent) {
            let size =
                u32::try_from(power.unsigned_abs()).ok().filter(|it| *it <= HIGHEST_POWER)?;
            if numerator == 0 && power <= 0 {
                return None;
            }
            let raised = numerator.checked_pow(size).zip(denominator.checked_pow(size));
            if let Some((numerator, denominator)) = raised {
                let raised = Self::Exact(numerator, denominator);
                return if power < 0 { Self::Exact(1, 1).divided_by(raised) } else { Some(raised) };
            }
        }
        Self::of_float(self.float().powf(exponent.float()))
    }

    /// The real root of a degree.
    fn root(self, degree: Self) -> Option<Self> {
        let Self::Exact(degree @ 2..=64, 1) = degree else { return None };
        let value = self.float();
        let size = match degree {
            2 => value.abs().sqrt(),
            3 => value.abs().cbrt(),
            _ => value.abs().powf(1.0 / degree as f64),
        };
        let is_real = value >= 0.0 || degree % 2 == 1;
        is_real.then_some(size.copysign(value)).and_then(Self::of_float)
    }
}

/// The greatest common divisor.
fn divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn eat(&mut self, token: &str) -> bool {
        let after = self.rest.strip_prefix(token);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn sum(&mut self, depth: usize) -> Option<Value> {
        let _plus = self.eat("+");
        let mut total = self.signed_product(depth)?;
        loop {
            if self.eat("+") {
                total = total.plus(self.signed_product(depth)?)?;
            } else if self.eat("-") {
                total = total.plus(self.product(depth)?.negated()?)?;
            } else {
                return Some(total);
            }
        }
    }

    fn signed_product(&mut self, depth: usize) -> Option<Value> {
        if self.eat("-") { self.product(depth)?.negated() } else { self.product(depth) }
    }

    /// Factors with or without a sign between them.
    fn product(&mut self, depth: usize) -> Option<Value> {
        let start = self.rest;
        let mut product = self.power(depth)?;
        let first = &start[..start.len() - self.rest.len()];
        // `3\frac{1}{2}` is a mixed number.
        if is_whole(first)
            && let Some(part) = self.fraction_behind_whole()
        {
            product = product.plus(part)?;
        }
        loop {
            if self.eat("*") {
                product = product.times(self.signed_power(depth)?)?;
            } else if self.eat("/") {
                product = product.divided_by(self.signed_power(depth)?)?;
            } else if self.rest.starts_with(['(', '\\']) || self.begins_number() {
                product = product.times(self.power(depth)?)?;
            } else {
                return Some(product);
            }
        }
    }

    fn begins_number(&self) -> bool {
        self.rest.starts_with(|digit: char| digit.is_ascii_digit())
    }

    /// `\frac{1}{2}` or ` 1/2` in whole numbers, if it comes next.
    fn fraction_behind_whole(&mut self) -> Option<Value> {
        let (numerator, denominator, rest) = if let Some(rest) = self.rest.strip_prefix("\\frac{") {
            let (numerator, rest) = rest.split_once("}{")?;
            let (denominator, rest) = rest.split_once('}')?;
            (numerator, denominator, rest)
        } else {
            let (numerator, rest) = self.rest.strip_prefix(' ')?.split_once('/')?;
            let end = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
            (numerator, &rest[..end], &rest[end..])
        };
        if !is_whole(numerator) || !is_whole(denominator) || rest.starts_with('^') {
            return None;
        }
        let part = Value::fraction(numerator.parse().ok()?, denominator.parse().ok()?)?;
        self.rest = rest;
        Some(part)
    }

    fn signed_power(&mut self, depth: usize) -> Option<Value> {
        if self.eat("-") { self.power(depth)?.negated() } else { self.power(depth) }
    }

    fn power(&mut self, depth: usize) -> Option<Value> {
        let base = self.atom(depth)?;
        if !self.eat("^{") {
            return Some(base);
        }
        let exponent = self.inside("}", depth)?;
        base.to_the_power_of(exponent)
    }

    /// A sum and what closes it.
    fn inside(&mut self, closing: &str, depth: usize) -> Option<Value> {
        if depth >= DEEPEST {
            return None;
        }
        let value = self.sum(depth + 1)?;
        self.eat(closing).then_some(value)
    }

    fn atom(&mut self, depth: usize) -> Option<Value> {
        if self.begins_number() {
            return self.number();
        }
        if self.eat("(") {
            self.inside(")", depth)
        } else if self.eat("\\frac{") {
            let numerator = self.inside("}{", depth)?;
            numerator.divided_by(self.inside("}", depth)?)
        } else if self.eat("\\sqrt[") {
            let degree = self.inside("]{", depth)?;
            self.inside("}", depth)?.root(degree)
        } else if self.eat("\\sqrt{") {
            self.inside("}", depth)?.root(Value::Exact(2, 1))
        } else if self.eat("\\pi ") {
            Some(Value::Float(std::f64::consts::PI))
        } else if self.eat("\\infty ") {
            Some(Value::Float(f64::INFINITY))
        } else {
            None
        }
    }

    /// A decimal number, exactly if it isn't too long. `007` is a code and no number.
    fn number(&mut self) -> Option<Value> {
        let end = self.rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(self.rest.len());
        let (whole, rest) = self.rest.split_at(end);
        let decimals = rest.strip_prefix('.').unwrap_or_default();
        let end = decimals.find(|it: char| !it.is_ascii_digit()).unwrap_or(decimals.len());
        let decimals = &decimals[..end];
        let length = whole.len() + if decimals.is_empty() { 0 } else { 1 + decimals.len() };
        let text = &self.rest[..length];
        self.rest = &self.rest[length..];
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        let denominator = u32::try_from(decimals.len()).ok().and_then(|it| 10_i128.checked_pow(it));
        let digits = format!("{whole}{decimals}").parse().ok();
        match digits.zip(denominator) {
            Some((digits, denominator)) => Value::fraction(digits, denominator),
            None => Value::of_float(text.parse().ok()?),
        }
    }
}

fn is_whole(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::canonical::{Comma, canonical};
    use super::*;

    fn of(text: &str) -> Option<Value> {
        value(&canonical(text, Comma::Thousands)?)
    }

    #[test]
    fn a_fraction_is_exact() {
        let cases = [
            ("42", (42, 1)),
            ("-42", (-42, 1)),
            ("1,234", (1_234, 1)),
            ("0.125", (1, 8)),
            (r"\frac{6}{8}", (3, 4)),
            ("-6/8", (-3, 4)),
            (r"\frac{-3}{-6}", (1, 2)),
            (r"3\frac{1}{2}", (7, 2)),
            (r"-3\frac12", (-7, 2)),
            ("3 1/2", (7, 2)),
            ("2(3+4)", (14, 1)),
            (r"2 \cdot 3 - 4 \times 5", (-14, 1)),
            ("2^{10}", (1_024, 1)),
            ("2^{-3}", (1, 8)),
            (r"\left(\frac{2}{3}\right)^2", (4, 9)),
            ("-2^2", (-4, 1)),
            ("(-2)^2", (4, 1)),
            (r"1.5 \times 10^3", (1_500, 1)),
            ("12/3/2", (2, 1)),
            ("2*-3", (-6, 1)),
            ("+5", (5, 1)),
        ];
        for (text, (numerator, denominator)) in cases {
            assert_eq!(of(text), Some(Value::Exact(numerator, denominator)), "{text}");
        }
    }

    #[test]
    fn roots_and_pi_are_floats() {
        let cases = [
            (r"\sqrt{2}", 2_f64.sqrt()),
            (r"3\sqrt2", 3.0 * 2_f64.sqrt()),
            (r"\frac{1+\sqrt5}{2}", 1.618_033_988_749_895),
            (r"\sqrt[3]{-8}", -2.0),
            (r"\sqrt[4]{16}", 2.0),
            (r"4\pi", 4.0 * std::f64::consts::PI),
            (r"\frac{\pi}{2}", std::f64::consts::FRAC_PI_2),
            (r"\pi^2", std::f64::consts::PI.powi(2)),
            (r"2^{\frac12}", 2_f64.sqrt()),
            (r"3^{1/3}", 3_f64.cbrt()),
            (r"2\sqrt{3}\pi", 2.0 * 3_f64.sqrt() * std::f64::consts::PI),
            (r"2\sqrt{1+\sqrt{2}}", 2.0 * (1.0 + 2_f64.sqrt()).sqrt()),
            (r"-\infty", f64::NEG_INFINITY),
        ];
        for (text, expected) in cases {
            let value = of(text).unwrap();
            assert_eq!(value.same(Value::Float(expected)), Some(true), "{text}: {value:?}");
        }
    }

    #[test]
    fn what_has_no_value_has_none() {
        let texts = [
            "",
            "x",
            "2x",
            "1/0",
            r"\frac{1}{0}",
            r"\sqrt{-1}",
            "007",
            "1 2",
            "(1",
            "1)",
            "/2",
            "2+",
            "1,2",
            r"\infty-\infty",
            "0^0",
            "0^{-1}",
            r"\sqrt[0]{2}",
            r"\sqrt[x]{2}",
            "5cm",
            "50%",
            "2^{100000}",
            "=",
            "1..2",
            r"\log 2",
            "3 1/0",
        ];
        for text in texts {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn values_are_the_same_to_a_millionth_and_whole_numbers_exactly() {
        let same = |one, other| of(one).unwrap().same(of(other).unwrap());
        assert_eq!(same("1/3", "0.3333333"), Some(true));
        assert_eq!(same("1/3", "0.333"), Some(false));
        assert_eq!(same(r"\sqrt{4}", "2"), Some(true));
        assert_eq!(same(r"(\sqrt{2}-1)(\sqrt{2}+1)-1", "0"), Some(true));
        assert_eq!(same("9007199254740993", "9007199254740992"), Some(false));
        assert_eq!(same("2^{100}", "2^{100}+1"), Some(false));
        assert_eq!(same("2^{1000}", "2^{1000}+1"), None);
        assert_eq!(same("2^{1000}", "2^{999}"), None);
        assert_eq!(same(r"\infty", r"-\infty"), Some(false));
        assert_eq!(same(r"\infty", "5"), Some(false));
        assert_eq!(same("0.0000005", "0"), Some(false));
    }

    #[test]
    fn what_is_nested_too_deeply_has_no_value() {
        let nested = |depth: usize| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(value(&nested(60)), Some(Value::Exact(1, 1)));
        assert_eq!(value(&nested(100_000)), None);
        assert_eq!(value(&"-".repeat(100_000)), None);
    }
}
